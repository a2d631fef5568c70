"""A tour of any length with one camera, photographed along the way that a generated world's tour takes: for what depends on the number of frames."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.paths import atomic_dir
from astra.core.types import CameraFrame, FloatArray, LaserScan, nanoseconds
from astra.geometry import CameraRig, Pose2, Trajectory
from astra.mapping.keyframes import read_rgb, write_image
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World

STEP_M, STEP_RAD = 0.4, math.radians(25.0)  # between two pictures; both add up
EASE_M = 0.5  # corners are driven as arcs of about this size
ASIDE_M = 0.12  # between two laps, which no robot drives alike
PERIOD_S = 0.5
SCALE_ERROR, TURN_ERROR = 0.004, 0.01  # of odometry, per metre and per radian
QUALITY = 95


@dataclass(frozen=True, slots=True, eq=False)
class LongTour:
    """The first `count` pictures of a folder that `photograph` made; satisfies `mapping.tour.Tour`."""

    folder: Path
    rig: CameraRig
    odometry: Trajectory
    truth: Trajectory
    count: int

    @property
    def name(self) -> str:
        """Which one."""
        return f"{self.folder.name}-{self.count}"

    def frames(self) -> Iterator[CameraFrame]:
        """The pictures in order."""
        for k in range(self.count):
            yield CameraFrame(int(self.odometry.stamps_ns[k]), self.rig.names[0], read_rgb(self.folder / f"{k:05d}.jpg"))

    def scans(self) -> Sequence[LaserScan]:
        """No lidar."""
        return ()


def long_tour(world: World, folder: Path, count: int, most: int, size: tuple[int, int] = (640, 480), seed: int = 0) -> LongTour:
    """The first `count` of `most` pictures of a tour that goes on until there are enough; those of an earlier call are taken if they suffice.

    Args:
        folder: where the pictures are, or will be.
        size: width and height [px] of the camera, which looks ahead.
        seed: of odometry's errors.

    Raises:
        BadInputError: a world without a tour.
    """
    if world.truth is None:
        raise BadInputError(f"{world.scene} has no tour")
    robot = RobotConfig()
    cameras = replace(robot.cameras, names=("front",), yaws_deg=(0.0,), width=size[0], height=size[1])
    robot = replace(robot, cameras=cameras)
    poses = stations(world.truth.tour[:, :2], max(count, most))
    done = folder / "tour.json"
    if not done.is_file() or int(json.loads(done.read_text())["count"]) < count:
        _photograph(world, robot, poses, folder)
    poses = poses[:count]
    stamps = np.array([nanoseconds(PERIOD_S * k) for k in range(count)], dtype=np.int64)
    return LongTour(folder, robot.rig(), Trajectory(stamps, drifting(poses, seed)), Trajectory(stamps, poses), count)


def stations(path: FloatArray, count: int) -> FloatArray:
    """Where `count` pictures are taken (count, 3) on the way along a path (K, 2) there and back, each lap a little aside of the last."""
    from scipy.ndimage import gaussian_filter1d

    even = _even(path)
    eased = gaussian_filter1d(even, EASE_M / 2 / 0.05, axis=0, mode="nearest")
    out: list[FloatArray] = []
    last: FloatArray | None = None
    lap = 0
    while len(out) < count:
        way = eased[::-1] if lap % 2 else eased
        ahead = np.gradient(way, axis=0)
        yaw = gaussian_filter1d(np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])), 5)
        aside = ASIDE_M * ((lap // 2) % 3 - 1) * np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
        for pose in _turned(np.column_stack([way + aside, yaw]), last):
            turn = 0.0 if last is None else abs(math.remainder(float(pose[2] - last[2]), 2.0 * math.pi))
            if last is None or math.dist(pose[:2], last[:2]) / STEP_M + turn / STEP_RAD >= 1.0:
                out.append(pose)
                last = pose
        lap += 1
    return np.array(out[:count])


def drifting(poses: FloatArray, seed: int) -> FloatArray:
    """What wheels make of true poses (N, 3): every step a little too long and turned a little too far."""
    rng = np.random.default_rng(seed)
    length, turn = 1.0 + rng.normal(0.0, SCALE_ERROR), 1.0 + rng.normal(0.0, TURN_ERROR)
    out = [Pose2(*(float(v) for v in poses[0]))]
    for a, b in pairwise(poses):
        step = Pose2(*(float(v) for v in a)).inverse() @ Pose2(*(float(v) for v in b))
        out.append(out[-1] @ Pose2(step.x * length, step.y * length, step.yaw * turn + rng.normal(0.0, 0.001)))
    return np.array([(pose.x, pose.y, pose.yaw) for pose in out])


def _even(path: FloatArray) -> FloatArray:
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    s = np.arange(0.0, along[-1], 0.05)
    return np.stack([np.interp(s, along, path[:, k]) for k in (0, 1)], axis=1)


def _turned(poses: FloatArray, last: FloatArray | None) -> Iterator[FloatArray]:
    """Poses (N, 3), with turns on the spot where the way turns about, the first from the `last` pose of the lap before."""
    before = poses[0] if last is None else last
    for pose in poses:
        turn = math.remainder(float(pose[2] - before[2]), 2.0 * math.pi)
        steps = max(math.ceil(abs(turn) / math.radians(5.0)), 1)
        for k in range(1, steps + 1):
            yield np.array([pose[0], pose[1], before[2] + turn * k / steps])
        before = np.array([pose[0], pose[1], before[2] + turn])


def _photograph(world: World, robot: RobotConfig, poses: FloatArray, folder: Path) -> None:
    simulation = Simulation(world, robot, 0, movers=False)
    try:
        with atomic_dir(folder) as scratch:
            for k, pose in enumerate(poses):
                simulation.place(Pose2(*(float(v) for v in pose)))
                write_image(scratch / f"{k:05d}.jpg", simulation.render()[0].rgb, QUALITY)
            (scratch / "tour.json").write_text(json.dumps({"count": len(poses)}))
    finally:
        simulation.close()
