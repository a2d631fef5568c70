"""Recording: somebody drives, and everything the robot senses goes to a sink. Used to make drives, never by the robot itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError
from astra.core.types import CameraFrame, FloatArray, ImuSample, LaserScan, Scene, WheelTwist, nanoseconds, seconds
from astra.geometry import Pose2
from astra.sim.simulation import Simulation

CONTROL_S = 0.02
MOVERS_S = 0.1  # between two notes of where everybody is


class Driver(Protocol):
    """Whoever drives, with the truth before their eyes."""

    @property
    def progress(self) -> float:
        """The part that is done, 0 to 1."""
        ...

    @property
    def goal(self) -> Pose2 | None:
        """Where to, for the time being; None if there is no saying."""
        ...

    def command(self, pose: Pose2, velocity: tuple[float, float], time_s: float) -> tuple[float, float] | None:
        """The twist (m/s, rad/s) for a true pose, twist and simulated time; None once the drive is over."""
        ...


class DriveSink(Protocol):
    """Where a recorded drive goes; `datasets.DriveWriter` is one."""

    def write_frame(self, frame: CameraFrame) -> None: ...

    def write_imu(self, sample: ImuSample) -> None: ...

    def write_wheel(self, twist: WheelTwist) -> None: ...

    def write_scan(self, scan: LaserScan) -> None: ...

    def write_truth(self, scene: Scene) -> None: ...

    def write_goal(self, stamp_ns: int, world_from_goal: Pose2) -> None: ...

    def write_movers(self, stamp_ns: int, movers: FloatArray) -> None:
        """Where everybody is: x, y, radius (M, 3) [m]."""
        ...


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """What is recorded, and for how long at most."""

    image_rate_hz: float = 5.0
    settle_s: float = 1.0  # standing still at both ends, so that the gyro's bias shows
    seconds: float = math.inf  # the drive is ended after so long
    limit_s: float = math.inf  # a driver who needs longer has failed
    depth: bool = False
    truth: bool = True

    def __post_init__(self) -> None:
        require(0.5 <= self.image_rate_hz <= 50.0, "image_rate_hz", self.image_rate_hz, "between 0.5 and 50")
        require(0.0 <= self.settle_s <= 30.0, "settle_s", self.settle_s, "between 0 and 30")
        require(self.seconds > 2.0 * self.settle_s, "seconds", self.seconds, f"longer than {2.0 * self.settle_s} s")
        require(self.limit_s > 0.0, "limit_s", self.limit_s, "positive")


@dataclass(frozen=True, slots=True)
class Recording:
    """What was driven."""

    length_m: float
    duration_s: float
    frames: int
    collisions: int


def record_drive(
    simulation: Simulation, driver: Driver, sink: DriveSink, config: RecordingConfig, progress: Callable[[float], None] | None = None
) -> Recording:
    """Let `driver` drive and write everything the robot senses.

    Raises:
        AstraError: the driver did not come to an end.
    """
    start_ns, begin = simulation.time_ns, simulation.pose()
    images, scans, movers = (_Ticks(start_ns, period_s) for period_s in (1.0 / config.image_rate_hz, 1.0 / simulation.robot.lidar.rate_hz, MOVERS_S))
    settle_ns, done_ns, frames, length, last, goal = nanoseconds(config.settle_s), None, 0, 0.0, begin, None
    while done_ns is None or simulation.time_ns < done_ns + settle_ns:
        now = simulation.time_ns
        if seconds(now - start_ns) > config.limit_s:
            raise AstraError(f"the drive was not finished within {config.limit_s:.0f} s; the robot stands at {simulation.pose()}")
        if images.due(now):
            views = simulation.render(depth=True) if config.depth else simulation.render()
            frames += len(views)
            for frame in views:
                sink.write_frame(frame)
        if scans.due(now):
            sink.write_scan(simulation.scan())
        if config.truth and movers.due(now):
            _write_movers(simulation, sink, now)
        command: tuple[float, float] | None = (0.0, 0.0)
        if done_ns is None and now - start_ns >= settle_ns:
            scene = simulation.truth()
            command = driver.command(simulation.pose(), (scene.linear_mps, scene.angular_radps), seconds(now))
            if config.truth and driver.goal is not None and driver.goal != goal:
                goal = driver.goal
                sink.write_goal(now, goal)
            if command is None or seconds(now - start_ns) >= config.seconds - config.settle_s:
                done_ns, command = now, (0.0, 0.0)
        simulation.set_command(*(command or (0.0, 0.0)))
        simulation.advance(CONTROL_S)
        length, last = length + last.distance_to(simulation.pose()), simulation.pose()
        _write_motion(simulation, sink, config.truth)
        if progress is not None:
            progress(max(driver.progress, min(1.0, seconds(now - start_ns) / config.seconds)))
    return Recording(length, seconds(simulation.time_ns - start_ns), frames, simulation.collisions())


class _Ticks:
    """A fixed period, without drift."""

    def __init__(self, start_ns: int, period_s: float) -> None:
        self._next_ns, self._period_ns = start_ns, nanoseconds(period_s)

    def due(self, now_ns: int) -> bool:
        """Whether the next tick has come; it is then over."""
        if now_ns < self._next_ns:
            return False
        self._next_ns += self._period_ns
        return True


def _write_movers(simulation: Simulation, sink: DriveSink, now_ns: int) -> None:
    movers = simulation.movers.positions(np.array([seconds(now_ns)]))[0] if simulation.movers is not None else np.zeros((0, 3))
    if len(movers):
        sink.write_movers(now_ns, movers)


def _write_motion(simulation: Simulation, sink: DriveSink, truth: bool) -> None:
    for sample in simulation.drain_imu():
        sink.write_imu(sample)
    for twist in simulation.drain_wheel():
        sink.write_wheel(twist)
    if truth:
        sink.write_truth(simulation.truth())
