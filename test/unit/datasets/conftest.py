"""A small drive, written message by message."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from astra.core.types import CameraFrame, ImuSample, LaserScan, Scene, WheelTwist
from astra.datasets import DriveWriter
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera

MODEL = CameraModel.from_fov(32, 24, math.radians(90))
RIG = CameraRig(
    (
        RigCamera("front", MODEL, Pose3(translation=np.array([0.1, 0.0, 0.9])) @ BODY_FROM_OPTICAL),
        RigCamera("back", MODEL, Pose3.from_rpy(0.0, 0.0, math.pi, np.array([-0.1, 0.0, 0.9])) @ BODY_FROM_OPTICAL),
    )
)
MS = 1_000_000
START_NS = 5_000 * MS

Recorder = Callable[..., Path]


def yaw_rate(t_s: float) -> float:
    """The robot of these drives sways."""
    return 0.5 * math.sin(1.3 * t_s) + 0.3 * math.sin(2.9 * t_s + 1.0)


@pytest.fixture
def recorded(tmp_path: Path) -> Recorder:
    """Writes a drive of `seconds` s: images at 10 Hz (back camera `skew_ms` later), IMU at 100 Hz, wheels at 50 Hz, scans at 10 Hz.

    `imu_late_ms` shifts what the IMU feels against its stamps; `delay_ms` lets its messages arrive late; `lose` drops images by index.
    """

    def record(
        name: str = "drive", *, seconds: float = 2.0, skew_ms: int = 0, imu_late_ms: int = 0, delay_ms: int = 0, lose: tuple[int, ...] = (), depth: bool = False
    ) -> Path:
        with DriveWriter(tmp_path / name, RIG, lidar=Pose3(translation=np.array([0.0, 0.0, 0.2])), truth=True) as writer:
            for tick in range(round(seconds * 100)):
                t, now = tick / 100, START_NS + tick * 10 * MS
                rate = yaw_rate(t - imu_late_ms * 1e-3)
                writer.write_imu(ImuSample(now, np.array([0.0, 0.0, rate]), np.array([0.0, 0.0, 9.81])), now + delay_ms * MS)
                if tick % 2 == 0:
                    writer.write_wheel(WheelTwist(now, 0.3, yaw_rate(t)))
                    writer.write_truth(Scene(now, Pose3.from_pose2(Pose2(0.3 * t, 0.1, 0.2)).matrix(), 0.3, yaw_rate(t), in_contact=0.5 <= t < 0.7))
                if tick % 10 == 0:
                    writer.write_scan(LaserScan(now, "lidar", np.array([1.0, np.inf, 2.0], np.float32), -1.0, 1.0, 0.1, 10.0))
                    if tick // 10 not in lose:
                        shade, metres = np.full((24, 32, 3), tick % 250, np.uint8), np.full((24, 32), 1.5 + t, np.float32)
                        writer.write_frame(CameraFrame(now, "front", shade, metres if depth else None))
                        writer.write_frame(CameraFrame(now + skew_ms * MS, "back", shade, metres if depth else None))
        return tmp_path / name

    return record
