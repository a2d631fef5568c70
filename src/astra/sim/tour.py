"""A person who drives the tour: pure pursuit along waypoints, on the truth. Used to record drives, never by the robot itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError
from astra.core.types import CameraFrame, FloatArray, ImuSample, LaserScan, Scene, WheelTwist, nanoseconds
from astra.geometry import Pose2, wrap_angle
from astra.sim.simulation import Simulation

CONTROL_S = 0.02
SPACING_M = 0.05


@dataclass(frozen=True, slots=True)
class TourConfig:
    """How the tour is driven and how often images are kept."""

    speed_mps: float = 0.45
    turn_radps: float = 0.8
    lookahead_m: float = 0.45
    image_rate_hz: float = 5.0
    settle_s: float = 1.0  # standing still at both ends, so that the gyro's bias shows

    def __post_init__(self) -> None:
        require(0.05 <= self.speed_mps <= 2.0, "speed_mps", self.speed_mps, "between 0.05 and 2.0")
        require(0.1 <= self.turn_radps <= 3.0, "turn_radps", self.turn_radps, "between 0.1 and 3.0")
        require(0.2 <= self.lookahead_m <= 2.0, "lookahead_m", self.lookahead_m, "between 0.2 and 2.0")
        require(0.5 <= self.image_rate_hz <= 50.0, "image_rate_hz", self.image_rate_hz, "between 0.5 and 50")
        require(0.0 <= self.settle_s <= 30.0, "settle_s", self.settle_s, "between 0 and 30")


class TourDriver:
    """Follows a polyline (K, 2); turns on the spot where it bends sharply."""

    def __init__(self, waypoints: FloatArray, config: TourConfig) -> None:
        self._config = config
        self._points = _resample(waypoints)
        self._index = 0

    @property
    def length_m(self) -> float:
        """Length of the path."""
        return float(np.linalg.norm(np.diff(self._points, axis=0), axis=1).sum())

    @property
    def progress(self) -> float:
        """The part of the path that lies behind, 0 to 1."""
        return self._index / max(len(self._points) - 1, 1)

    def command(self, pose: Pose2) -> tuple[float, float] | None:
        """The twist (m/s, rad/s) for this pose; None once the end is reached."""
        c, here = self._config, np.array([pose.x, pose.y])
        window = self._points[self._index : self._index + 12]
        self._index += int(np.argmin(np.linalg.norm(window - here, axis=1)))
        last = len(self._points) - 1
        if self._index >= last - 2 and math.dist(self._points[last], here) < 0.12:
            return None
        target = self._points[min(self._index + round(c.lookahead_m / SPACING_M), last)]
        distance = max(math.dist(target, here), 0.05)
        error = wrap_angle(math.atan2(target[1] - pose.y, target[0] - pose.x) - pose.yaw)
        if abs(error) > 0.8:
            return 0.0, math.copysign(c.turn_radps, error)
        speed = c.speed_mps * max(math.cos(error), 0.3) * min(1.0, (distance + 0.1) / c.lookahead_m)
        turn = 2.0 * speed * math.sin(error) / distance
        return speed, float(np.clip(turn, -c.turn_radps, c.turn_radps))


class DriveSink(Protocol):
    """Where a recorded drive goes; `datasets.DriveWriter` is one."""

    def write_frame(self, frame: CameraFrame) -> None: ...

    def write_imu(self, sample: ImuSample) -> None: ...

    def write_wheel(self, twist: WheelTwist) -> None: ...

    def write_scan(self, scan: LaserScan) -> None: ...

    def write_truth(self, scene: Scene) -> None: ...


@dataclass(frozen=True, slots=True)
class TourResult:
    """What was driven."""

    length_m: float
    duration_s: float
    frames: int
    collisions: int


def record_tour(
    simulation: Simulation, waypoints: FloatArray, sink: DriveSink, config: TourConfig, *, truth: bool, progress: Callable[[float], None] | None = None
) -> TourResult:
    """Drive along `waypoints` (K, 2) and write everything the robot senses.

    Raises:
        AstraError: the path cannot be driven to its end.
    """
    driver = TourDriver(waypoints, config)
    limit_ns = nanoseconds(3.0 * driver.length_m / config.speed_mps + 60.0)
    image_ns, scan_ns = nanoseconds(1.0 / config.image_rate_hz), nanoseconds(1.0 / simulation.robot.lidar.rate_hz)
    start_ns, frames, done_ns = simulation.time_ns, 0, None
    next_image_ns = next_scan_ns = start_ns
    settle_ns = nanoseconds(config.settle_s)
    while done_ns is None or simulation.time_ns < done_ns + settle_ns:
        now = simulation.time_ns
        if now - start_ns > limit_ns:
            raise AstraError(f"the tour was not finished within {limit_ns * 1e-9:.0f} s; the robot stands at {simulation.pose()}")
        if now >= next_image_ns:
            views = simulation.render()
            frames += len(views)
            for frame in views:
                sink.write_frame(frame)
            next_image_ns += image_ns
        if now >= next_scan_ns:
            sink.write_scan(simulation.scan())
            next_scan_ns += scan_ns
        command = driver.command(simulation.pose()) if now - start_ns >= settle_ns and done_ns is None else (0.0, 0.0)
        if command is None:
            done_ns, command = now, (0.0, 0.0)
        simulation.set_command(*command)
        simulation.advance(CONTROL_S)
        _write_motion(simulation, sink, truth)
        if progress is not None:
            progress(driver.progress)
    return TourResult(driver.length_m, (simulation.time_ns - start_ns) * 1e-9, frames, simulation.collisions())


def _write_motion(simulation: Simulation, sink: DriveSink, truth: bool) -> None:
    for sample in simulation.drain_imu():
        sink.write_imu(sample)
    for twist in simulation.drain_wheel():
        sink.write_wheel(twist)
    if truth:
        sink.write_truth(simulation.truth())


def _resample(waypoints: FloatArray) -> FloatArray:
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(waypoints, axis=0), axis=1))])
    s = np.linspace(0.0, steps[-1], max(2, round(float(steps[-1]) / SPACING_M) + 1))
    return np.stack([np.interp(s, steps, waypoints[:, 0]), np.interp(s, steps, waypoints[:, 1])], axis=1)
