"""Recording: somebody drives, and everything the robot senses goes to a sink. Used to make drives, never by the robot itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError
from astra.core.types import CameraFrame, nanoseconds, seconds
from astra.geometry import Pose2
from astra.sim.driver import Driver, DriveSink
from astra.sim.simulation import Simulation

CONTROL_S = 0.02
MOVERS_S = 0.1  # between two notes of where everybody is


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
    session = _Session(simulation, driver, sink, config)
    while not session.is_over():
        session.sense()
        session.steer()
        session.move()
        if progress is not None:
            progress(session.progress)
    return session.recording()


class _Session:
    """One drive while it is recorded."""

    def __init__(self, simulation: Simulation, driver: Driver, sink: DriveSink, config: RecordingConfig) -> None:
        self._simulation, self._driver, self._sink, self._config = simulation, driver, sink, config
        self._start_ns, self._done_ns = simulation.time_ns, -1
        periods = (1.0 / config.image_rate_hz, 1.0 / simulation.robot.lidar.rate_hz, MOVERS_S)
        self._images, self._scans, self._movers = (_Ticks(self._start_ns, period_s) for period_s in periods)
        self._frames, self._length_m, self._last = 0, 0.0, simulation.pose()
        self._late: list[tuple[int, CameraFrame]] = []  # images on their way, with when they arrive [ns]
        self._goal: Pose2 | None = None
        self._planned_at_s, self._disturbed = -math.inf, False

    @property
    def elapsed_s(self) -> float:
        """Simulated time since the beginning."""
        return seconds(self._simulation.time_ns - self._start_ns)

    @property
    def progress(self) -> float:
        """The part that is done, 0 to 1."""
        return max(self._driver.progress, min(1.0, self.elapsed_s / self._config.seconds))

    def is_over(self) -> bool:
        """Whether the driver is done and the robot has stood still for a while.

        Raises:
            AstraError: it takes too long.
        """
        if self.elapsed_s > self._config.limit_s:
            raise AstraError(f"the drive was not finished within {self._config.limit_s:.0f} s; the robot stands at {self._simulation.pose()}")
        return self._done_ns >= 0 and self._simulation.time_ns >= self._done_ns + nanoseconds(self._config.settle_s)

    def sense(self) -> None:
        """Write what cameras and lidar see, and where everybody is, when it is time to."""
        now, simulation = self._simulation.time_ns, self._simulation
        if self._images.due(now):
            self._take(simulation.render(depth=self._config.depth))
        if self._scans.due(now):
            self._sink.write_scan(simulation.scan())
        if self._config.truth and simulation.movers is not None and self._movers.due(now):
            self._sink.write_movers(now, simulation.movers.positions(np.array([seconds(now)]))[0])

    def steer(self) -> None:
        """Give the driver's command, once the robot has stood still for long enough and until the drive is over."""
        command, scene = None, self._simulation.truth()
        if self._done_ns < 0 and self.elapsed_s >= self._config.settle_s:
            command = self._driver.command(self._simulation.pose(), (scene.linear_mps, scene.angular_radps), seconds(scene.stamp_ns))
            if self._config.truth:
                self._note_intentions(scene.stamp_ns)
            if command is None or self.elapsed_s >= self._config.seconds - self._config.settle_s:
                self._done_ns, command = scene.stamp_ns, None
        self._simulation.set_command(*(command or (0.0, 0.0)))

    def move(self) -> None:
        """Let time pass and write what the robot felt."""
        simulation, sink = self._simulation, self._sink
        simulation.advance(CONTROL_S)
        pose = simulation.pose()
        self._length_m, self._last = self._length_m + self._last.distance_to(pose), pose
        for sample in simulation.drain_imu():
            sink.write_imu(sample)
        for twist in simulation.drain_wheel():
            sink.write_wheel(twist)
        self._receive(simulation.time_ns)
        if self._config.truth:
            sink.write_truth(simulation.truth())

    def _take(self, frames: tuple[CameraFrame, ...]) -> None:
        """Images that were just taken: they arrive at once, or later, or never."""
        real = self._simulation.real
        for frame in frames:
            received_ns = frame.stamp_ns if real is None else real.arrivals.received_ns(frame.camera, frame.stamp_ns)
            if received_ns is not None:
                self._late.append((received_ns, frame))
        self._receive(self._simulation.time_ns)

    def _receive(self, now_ns: int) -> None:
        """Write the images that have arrived by now."""
        for received_ns, frame in self._late:
            if received_ns <= now_ns:
                self._sink.write_frame(frame, received_ns)
                self._frames += 1
        self._late = [late for late in self._late if late[0] > now_ns]

    def recording(self) -> Recording:
        """What was driven so far."""
        return Recording(self._length_m, self.elapsed_s, self._frames, self._simulation.collisions())

    def _note_intentions(self, stamp_ns: int) -> None:
        """Write where the driver wants to go, what it means to do and whether it is kept from it, where that has changed."""
        goal, plan, disturbed = self._driver.goal, self._driver.plan, self._driver.disturbed
        if goal is not None and goal != self._goal:
            self._goal = goal
            self._sink.write_goal(stamp_ns, goal)
        if plan is not None and plan[0] != self._planned_at_s:
            self._planned_at_s = plan[0]
            self._sink.write_plan(nanoseconds(plan[0]), plan[1])
        if disturbed != self._disturbed:
            self._disturbed = disturbed
            self._sink.write_disturbed(stamp_ns, disturbed)


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
