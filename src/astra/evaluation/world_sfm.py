"""Does structure from motion find its way in a generated world? A walk from the entrance to a far room, reconstructed and compared with truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, UInt8Array
from astra.evaluation.plain_sfm import PlainSfmResult, plain_sfm
from astra.geometry import Pose2, Pose3
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World, WorldTruth
from astra.sim.worlds.tour import Floor

WIDTH, HEIGHT = 320, 240


@dataclass(frozen=True, slots=True)
class WalkConfig:
    """How far the walk goes and how often it is photographed."""

    longest_m: float = 25.0
    step_m: float = 0.15
    turn_rad: float = math.radians(6.0)
    ease_m: float = 0.5  # corners are walked as arcs of about this size


def reconstruct_walk(world: World, config: WalkConfig | None = None, threads: int = 2) -> PlainSfmResult:
    """Photograph a walk through a world with one camera ahead and reconstruct it with plain COLMAP.

    Raises:
        BadInputError: a world without truth.
    """
    if world.truth is None:
        raise BadInputError(f"{world.scene} has no truth to compare with")
    c = config or WalkConfig()
    robot = RobotConfig()
    robot = replace(robot, cameras=replace(robot.cameras, width=WIDTH, height=HEIGHT, names=("front",), yaws_deg=(0.0,)))
    simulation = Simulation(world, robot, 0, movers=False)
    try:
        images, centres = _photograph(simulation, walk(world.truth, c), c)
        return plain_sfm(images, centres, simulation.rig["front"].model, threads)
    finally:
        simulation.close()


def walk(truth: WorldTruth, config: WalkConfig) -> FloatArray:
    """Points (K, 2), 5 cm apart, from the start of the tour to the farthest goal within reach of the walk, without turning back."""
    rows, columns = truth.free.shape
    x0, y0 = truth.origin_xy
    floor = Floor(truth.free, (x0, y0, x0 + columns * truth.resolution_m, y0 + rows * truth.resolution_m), truth.resolution_m)
    start = floor.flat(floor.cell((truth.tour_start.x, truth.tour_start.y)))
    ends = list(dict.fromkeys(floor.flat(floor.cell((float(p[0]), float(p[1])))) for p in truth.tour))
    cost = floor.costs([start, *ends])[0, 1:]
    nowhere = np.zeros(floor.passable.size, bool)
    for k in np.argsort(-np.where(np.isfinite(cost), cost, -1.0)):
        path = np.array([floor.point(cell) for cell in floor.way(start, ends[int(k)], nowhere, float(cost[k]))])
        if float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) <= config.longest_m:
            return _smooth(path, config.ease_m)
    raise BadInputError("the tour never leaves its start")


def _smooth(path: FloatArray, ease_m: float) -> FloatArray:
    from scipy.ndimage import gaussian_filter1d

    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    s = np.arange(0.0, along[-1], 0.05)
    even = np.stack([np.interp(s, along, path[:, k]) for k in (0, 1)], axis=1)
    eased: FloatArray = gaussian_filter1d(even, ease_m / 2 / 0.05, axis=0, mode="nearest")
    return eased


def _photograph(simulation: Simulation, path: FloatArray, config: WalkConfig) -> tuple[list[UInt8Array], FloatArray]:
    from scipy.ndimage import gaussian_filter1d

    ahead = np.gradient(path, axis=0)
    heading = gaussian_filter1d(np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])), 5)
    camera = simulation.rig["front"]
    images, centres = [], []
    last: tuple[FloatArray, float] | None = None
    for point, yaw in zip(path, heading):
        if last is None or np.linalg.norm(point - last[0]) >= config.step_m or abs(yaw - last[1]) >= config.turn_rad:
            pose = Pose2(float(point[0]), float(point[1]), float(yaw))
            simulation.place(pose)
            images.append(simulation.render()[0].rgb)
            centres.append((Pose3.from_pose2(pose) @ camera.base_from_cam).translation)
            last = point, float(yaw)
    return images, np.array(centres)
