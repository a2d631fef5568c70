"""Pictures of a world: straight from above without its ceiling, and from every camera at places along its tour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.types import FloatArray, UInt8Array
from astra.geometry import Pose2
from astra.sim import engine
from astra.sim.foreign import bounds as scene_bounds
from astra.sim.foreign import compiled, completed_spec, read_spec
from astra.sim.meshes import CEILING_GROUP, COLLISION_GROUP
from astra.sim.render import Renderer
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.starts import random_start
from astra.sim.world import World

MARGIN_M = 0.4
MAX_PIXELS = 1800
NOTHING = (228, 231, 235)  # where the world has nothing to show
ABOVE_M = 15.0  # where it is looked at from


@dataclass(frozen=True, slots=True, eq=False)
class TopView:
    """`image` (H, W, 3) RGB shows x0 … x1, y0 … y1 of the world, its first row at y1."""

    image: UInt8Array
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def px_per_m(self) -> float:
        """Pixels a metre."""
        return float(self.image.shape[1] / (self.x1 - self.x0))


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    """A place on the tour and what each camera, in the rig's order, sees from it: (H, W, 3) RGB."""

    pose: Pose2
    images: tuple[UInt8Array, ...]


def top_view(world: World) -> TopView:
    """The world from above, as a parallel projection: what it shows can be measured."""
    mujoco = engine.mujoco()
    spec = read_spec(world.scene) if world.truth is not None else completed_spec(world.scene)
    model = compiled(spec, world.scene)
    low, high = _bounds(world, model)
    size = high - low
    scale = MAX_PIXELS / max(size)
    height, width = round(float(size[1]) * scale), round(float(size[0]) * scale)
    model.vis.global_.fovy = float(size[1])  # of a parallel projection: metres
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    camera = mujoco.MjvCamera()
    camera.orthographic = 1
    camera.lookat[:] = (*((low + high) / 2), 0.0)
    camera.azimuth, camera.elevation, camera.distance = 90.0, -90.0, ABOVE_M
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = Renderer(model)
    try:
        image = renderer.overview(data, camera, (width, height), (CEILING_GROUP, COLLISION_GROUP))
    finally:
        renderer.close()
    image[(image == 0).all(axis=2)] = NOTHING
    return TopView(image, float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def tour_stops(world: World, robot: RobotConfig, count: int) -> tuple[Stop, ...]:
    """Camera views at `count` places spread evenly along the tour, looking ahead; without a tour, at places drawn at random."""
    truth = world.truth
    if truth is not None and len(truth.tour) > 1:
        poses = poses_along(truth.tour, count)
    else:
        rng = np.random.default_rng(0)
        poses = [random_start(world, rng) for _ in range(count)]
    simulation = Simulation(world, robot, 0)
    try:
        stops = []
        for pose in poses:
            simulation.place(pose)
            stops.append(Stop(pose, tuple(frame.rgb for frame in simulation.render())))
    finally:
        simulation.close()
    return tuple(stops)


def poses_along(line: FloatArray, count: int) -> list[Pose2]:
    """Poses spread evenly along a line (N, 2), each looking along it."""
    steps = np.diff(line, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    line, steps = line[[True, *(lengths > 1e-6)]], steps[lengths > 1e-6]
    along = np.concatenate([[0.0], np.cumsum(lengths[lengths > 1e-6])])
    at = (np.arange(count) + 0.5) / count * along[-1]
    k = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(steps) - 1)
    x, y = (np.interp(at, along, line[:, axis]) for axis in (0, 1))
    yaw = np.arctan2(steps[k, 1], steps[k, 0])
    return [Pose2(*(float(v) for v in pose)) for pose in zip(x, y, yaw)]


def _bounds(world: World, model: Any) -> tuple[FloatArray, FloatArray]:
    if world.truth is None:
        low, high = scene_bounds(model, world.scene)
    else:
        truth = world.truth
        low = np.array(truth.origin_xy, dtype=np.float64)
        high = low + np.array(truth.free.shape[::-1]) * truth.resolution_m
    return low - MARGIN_M, high + MARGIN_M
