"""Where a robot may wake up: uniformly over the reachable floor of any world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.geometry import Pose2
from astra.sim.world import World

PASSABLE_M = 0.30  # distance to the nearest thing that counts as a way through
MOSTLY = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class FloorPlan:
    """Free floor: `free` (Y, X) bool, cell (0, 0) with its lower-left corner at `origin_xy` [m]; `home_xy` is known to be reachable, if given."""

    free: BoolArray
    resolution_m: float
    origin_xy: tuple[float, float]
    home_xy: tuple[float, float] | None = None

    def clearance_m(self) -> FloatArray:
        """Distance (Y, X) from each cell to the nearest thing or to the edge of the grid [m]."""
        from scipy.ndimage import distance_transform_edt

        distance: FloatArray = distance_transform_edt(np.pad(self.free, 1))[1:-1, 1:-1] * self.resolution_m
        return distance

    def cell(self, x: float, y: float) -> tuple[int, int] | None:
        """(row, column) of a point, or None outside the grid."""
        column, row = (math.floor((v - o) / self.resolution_m) for v, o in zip((x, y), self.origin_xy))
        return (row, column) if 0 <= row < self.free.shape[0] and 0 <= column < self.free.shape[1] else None

    def reachable(self, clearance: FloatArray) -> BoolArray:
        """Cells (Y, X) connected to home by ways at least `PASSABLE_M` from everything; without a home, the largest such part."""
        from scipy.ndimage import label

        parts, count = label(clearance >= PASSABLE_M, structure=np.ones((3, 3)))
        if count == 0:
            return np.zeros(self.free.shape, bool)
        cell = self.cell(*self.home_xy) if self.home_xy else None
        number = int(parts[cell]) if cell else 0
        if number == 0:
            number = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
        mask: BoolArray = parts == number
        return mask


def floor_plan(world: World) -> FloorPlan:
    """The free floor of a world: from its truth, or measured in the physics for scenes that we did not make."""
    truth = world.truth
    if truth is not None:
        return FloorPlan(truth.free, truth.resolution_m, truth.origin_xy, (truth.tour_start.x, truth.tour_start.y))
    from astra.sim import foreign, occupancy

    spec = foreign.completed_spec(world.scene)
    model = foreign.compiled(spec, world.scene)
    low, high = foreign.bounds(model, world.scene)
    shape = occupancy.grid_shape(low, high, str(world.scene))
    free = occupancy.probe_free(spec, low, shape)
    on_floor = free & foreign.drawn_floor(model, low, shape)
    if on_floor.sum() > MOSTLY * free.sum():  # else the scene draws no floor of its own, and its plane serves everywhere
        free = on_floor
    return FloorPlan(free, occupancy.RESOLUTION_M, (float(low[0]), float(low[1])))


def random_start(world: World, rng: np.random.Generator, clearance_m: float = 0.45) -> Pose2:
    """A pose drawn uniformly over the reachable floor that is at least `clearance_m` from everything, with any heading.

    Raises:
        BadInputError: no such floor.
    """
    plan = floor_plan(world)
    clearance = plan.clearance_m()
    rows, columns = np.nonzero(plan.reachable(clearance) & (clearance >= clearance_m))
    if len(rows) == 0:
        raise BadInputError(f"world {world.name} has no reachable floor {clearance_m} m away from everything")
    k = int(rng.integers(0, len(rows)))
    dx, dy, turn = (float(v) for v in rng.uniform(0.0, 1.0, 3))
    x = plan.origin_xy[0] + (float(columns[k]) + dx) * plan.resolution_m
    y = plan.origin_xy[1] + (float(rows[k]) + dy) * plan.resolution_m
    return Pose2(x, y, (2.0 * turn - 1.0) * math.pi)


def start_from_text(text: str, world: World, rng: np.random.Generator, radius_m: float) -> Pose2:
    """Parse a start: "random", or "x,y,yaw" in the world frame [m, rad].

    Args:
        text: the start.
        world: where.
        rng: draws the random one.
        radius_m: the robot's radius, which a given place must have room for.

    Raises:
        BadInputError: neither of the two, or no room there.
    """
    if text == "random":
        return random_start(world, rng)
    try:
        x, y, yaw = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(f"start must be 'random' or x,y,yaw, found {text!r}") from error
    pose = Pose2(x, y, yaw)
    if not pose.is_finite():
        raise BadInputError(f"start {text!r} is not finite")
    plan = floor_plan(world)
    cell = plan.cell(x, y)
    if cell is None or plan.clearance_m()[cell] < radius_m:
        raise BadInputError(f"start {text!r} leaves no room for a robot of radius {radius_m} m in world {world.name}")
    return pose
