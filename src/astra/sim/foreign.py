"""Any MuJoCo scene without a robot as a world: its free floor is measured, and looks-only meshes get solids to bump into."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.geometry import Pose2
from astra.sim import occupancy
from astra.sim.meshes import COLLISION_GROUP
from astra.sim.world import FOREIGN_KIND, Solid, World, WorldTruth


def load_foreign(path: Path) -> World:
    """Open a MuJoCo scene whose floor lies at z = 0.

    Raises:
        BadInputError: MuJoCo refuses it, or it has no floor to drive on.
    """
    spec = read_spec(path)
    model = _compiled(spec, path)
    collides = ((model.geom_contype != 0) | (model.geom_conaffinity != 0)) & (model.geom_bodyid >= 0)
    is_plane = np.isin(model.geom_type, _support_types())
    low, high = _bounds(model, path)
    shape = occupancy.grid_shape(low, high, str(path))
    solids: tuple[Solid, ...] = ()
    floored = np.ones(shape, bool)
    if not (collides & ~is_plane).any():
        solids, floored = _solids(model, low, shape)
    world = World(path.stem, path.resolve(), _empty_truth(floored, low), solids, needs_floor=not (collides & is_plane).any())
    free = occupancy.probe_free(spec_from_world(world), low, low + np.array(shape[::-1]) * occupancy.RESOLUTION_M) & floored
    if not free.any():
        raise BadInputError(f"{path} has no free floor at z = 0")
    return World(world.name, world.scene, _with_start(free, low, path), solids, world.needs_floor)


def read_spec(path: Path) -> Any:
    """Parse a scene file.

    Raises:
        BadInputError: it cannot be read, or MuJoCo refuses it.
    """
    import mujoco

    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, OSError) as error:
        raise BadInputError(f"{path}: MuJoCo refuses this scene: {error}") from error


def spec_from_world(world: World) -> Any:
    """The world's scene as a mujoco.MjSpec, completed by its solids and floor; the robot is attached to it."""
    import mujoco

    spec = read_spec(world.scene)
    if world.needs_floor:
        spec.worldbody.add_geom(
            name="astra_floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1], group=COLLISION_GROUP, friction=[1.0, 0.005, 0.0001]
        )
    for solid in world.solids:
        low, high = np.array(solid.low), np.array(solid.high)
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, pos=(low + high) / 2, size=(high - low) / 2, group=COLLISION_GROUP, friction=[0.3, 0.005, 0.0001]
        )
    return spec


def _compiled(spec: Any, path: Path) -> Any:
    try:
        return spec.compile()
    except ValueError as error:
        raise BadInputError(f"{path}: MuJoCo refuses this scene: {error}") from error


def _support_types() -> list[int]:
    import mujoco

    return [int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_HFIELD)]


def _bounds(model: Any, path: Path) -> tuple[FloatArray, FloatArray]:
    """Corners (2,) of the box around all bounded geoms at robot height."""
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    corners: list[FloatArray] = []
    for geom in np.nonzero(~np.isin(model.geom_type, _support_types()))[0]:
        centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
        signs = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3)
        placed = (centre + signs * half) @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        if placed[:, 2].min() < occupancy.ROBOT_M:
            corners.append(placed[:, :2])
    if not corners:
        raise BadInputError(f"{path} holds nothing but a floor")
    points = np.concatenate(corners)
    low: FloatArray = np.floor(points.min(axis=0) / occupancy.RESOLUTION_M) * occupancy.RESOLUTION_M
    high: FloatArray = points.max(axis=0)
    return low, high


def _solids(model: Any, low: FloatArray, shape: tuple[int, int]) -> tuple[tuple[Solid, ...], BoolArray]:
    """Boxes under everything that is drawn above the floor, and the cells in which a floor is drawn (all, if none is)."""
    points = occupancy.mesh_surface(model)
    cells = np.floor((points[:, :2] - low) / occupancy.RESOLUTION_M).astype(np.int64)
    inside = (cells >= 0).all(axis=1) & (cells < np.array(shape[::-1])).all(axis=1)
    occupied, floored = np.zeros(shape, bool), np.zeros(shape, bool)
    above = points[:, 2] > occupancy.FLOOR_M
    occupied[cells[inside & above, 1], cells[inside & above, 0]] = True
    floored[cells[inside & ~above, 1], cells[inside & ~above, 0]] = True
    if floored.mean() < 0.1:
        floored[:] = True
    step = occupancy.RESOLUTION_M
    solids = []
    for row, column, rows, columns in occupancy.boxes_from_cells(occupied):
        x, y = float(low[0]) + column * step, float(low[1]) + row * step
        solids.append(Solid((x, y, occupancy.FLOOR_M / 2), (x + columns * step, y + rows * step, occupancy.ROBOT_M)))
    return tuple(solids), floored


def _empty_truth(free: BoolArray, low: FloatArray, start: Pose2 | None = None) -> WorldTruth:
    origin = (float(low[0]), float(low[1]))
    return WorldTruth(FOREIGN_KIND, 0, (), (), (), np.zeros((0, 2)), start or Pose2(), free, occupancy.RESOLUTION_M, origin)


def _with_start(free: BoolArray, low: FloatArray, path: Path) -> WorldTruth:
    """The truth with a start in the middle of the largest connected floor."""
    from scipy.ndimage import label

    truth = _empty_truth(free, low)
    clearance = truth.clearance_m()
    parts, count = label(clearance >= 0.3, structure=np.ones((3, 3)))
    if count == 0:
        raise BadInputError(f"{path} has no floor wide enough for the robot")
    largest = parts == int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    row, column = np.unravel_index(int(np.argmax(np.where(largest, clearance, 0.0))), free.shape)
    x, y = (float(o) + (int(c) + 0.5) * occupancy.RESOLUTION_M for o, c in zip(low, (column, row)))
    return _empty_truth(free, low, Pose2(x, y, math.pi / 2))
