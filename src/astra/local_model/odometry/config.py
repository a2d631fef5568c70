"""Sizes of the odometry head, apart from it: what runs on the robot reads these and never imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from astra.core.config import require

MODALITIES = ("vision", "imu", "wheel")
IMU_COLUMNS, WHEEL_COLUMNS = 8, 4  # of the rows that `steps` makes
POINT_COLUMNS = 14  # of `points.PointMotion.columns`
METRES, RADIANS = 0.1, 0.1  # what the network calls one: the motion of a step is of this size …
CORRECTION = 0.1  # … and what it corrects of a guess is of this share of it


@dataclass(frozen=True, slots=True)
class OdometryHeadConfig:
    """Sizes; `feature_channels` is that of the eyes' features, levels folded into channels."""

    steps: int = 10  # the current one and nine before it (paper 3.2.3)
    window: int = 7  # cells that a correlation looks around, 0.2 m each
    feature_channels: int = 96
    cells: int = 32  # of the square around the robot that is compared, along each side
    projected: int = 16  # channels that are compared
    width: int = 64
    depth: int = 3
    heads: int = 4
    memory: int = 48  # of each LSTM
    imu_rows: int = 64  # at most, in a step; the latest are kept
    wheel_rows: int = 24
    max_step_s: float = 0.6  # two frames farther apart are not compared
    spatial: bool = False  # SE(3) instead of SE(2)
    points: bool = True  # vision is told by points followed in the pictures too; what is learned corrects a guess by points, or by wheels and gyro

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", self.steps, "at least 1")
        require(self.window % 2 == 1 and self.window >= 3, "window", self.window, "odd and at least 3")
        require(self.cells % 8 == 0 and self.cells >= 8, "cells", self.cells, "a multiple of 8")
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width {self.width}")
        require(min(self.imu_rows, self.wheel_rows) >= 1, "imu_rows", self.imu_rows, "at least 1, as wheel_rows")
        require(self.max_step_s > 0.0, "max_step_s", self.max_step_s, "> 0")

    @property
    def freedoms(self) -> int:
        """x, y, yaw, or x, y, z, roll, pitch, yaw."""
        return 6 if self.spatial else 3

    @property
    def units(self) -> tuple[float, ...]:
        """Of each freedom [m or rad]."""
        share = CORRECTION if self.points else 1.0
        metres, radians = share * METRES, share * RADIANS
        return (metres,) * 3 + (radians,) * 3 if self.spatial else (metres, metres, radians)
