"""Whoever drives while a drive is recorded, and where the recording goes."""

from __future__ import annotations

from typing import Protocol

from astra.core.types import CameraFrame, FloatArray, ImuSample, LaserScan, Scene, WheelTwist
from astra.geometry import Pose2

PLAN_STEP_S = 0.1  # between two poses of a plan


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

    @property
    def plan(self) -> tuple[float, FloatArray] | None:
        """When the driver last planned [s], and the poses (T, 3) it then meant to drive through, `PLAN_STEP_S` apart; None if it does not say."""
        ...

    @property
    def disturbed(self) -> bool:
        """Whether the last command was not what the driver wanted."""
        ...

    def command(self, pose: Pose2, velocity: tuple[float, float], time_s: float) -> tuple[float, float] | None:
        """The twist (m/s, rad/s) for a true pose, twist and simulated time; None once the drive is over."""
        ...


class DriveSink(Protocol):
    """Where a recorded drive goes; `datasets.DriveWriter` is one."""

    def write_frame(self, frame: CameraFrame, received_ns: int | None = None) -> None:
        """An image, and when it arrived if that was not at once."""
        ...

    def write_imu(self, sample: ImuSample) -> None: ...

    def write_wheel(self, twist: WheelTwist) -> None: ...

    def write_scan(self, scan: LaserScan) -> None: ...

    def write_truth(self, scene: Scene) -> None: ...

    def write_goal(self, stamp_ns: int, world_from_goal: Pose2) -> None: ...

    def write_plan(self, stamp_ns: int, poses: FloatArray) -> None:
        """What the driver means to do from a moment on: x, y, yaw (T, 3), `PLAN_STEP_S` apart."""
        ...

    def write_disturbed(self, stamp_ns: int, disturbed: bool) -> None: ...

    def write_movers(self, stamp_ns: int, movers: FloatArray) -> None:
        """Where everybody is: x, y, radius (M, 3) [m]."""
        ...
