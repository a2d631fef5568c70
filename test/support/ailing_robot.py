"""Drives of robots that are well, and of robots with one thing wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from painted_box import paint, picture

from astra.core.types import CameraFrame, ImuSample, WheelTwist
from astra.datasets import Drive, DriveWriter, open_drive
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera

MODEL = CameraModel.from_fov(192, 144, math.radians(90.0))
MS = 1_000_000
Record = Callable[..., Drive]


def camera(name: str = "front", yaw_deg: float = 0.0, model: CameraModel = MODEL) -> RigCamera:
    """A camera at 1 m that looks to `yaw_deg`."""
    yaw = math.radians(yaw_deg)
    return RigCamera(name, model, Pose3.from_rpy(0.0, 0.0, yaw, np.array([0.1 * math.cos(yaw), 0.1 * math.sin(yaw), 1.0])) @ BODY_FROM_OPTICAL)


def motion(t_s: float) -> tuple[float, float]:
    """Two seconds at rest, six straight on, six turning left, six turning right, and again [m/s, rad/s]."""
    phase = (t_s - 2.0) % 18.0
    if t_s < 2.0:
        return 0.0, 0.0
    return (0.45, 0.0) if phase < 6.0 else (0.0, 0.5) if phase < 12.0 else (0.0, -0.5)


def recorder(folder: Path) -> Record:
    """Writes a drive: `true` is the camera that takes the pictures, `told` the one that calibration and /tf_static tell of; None takes no pictures."""

    def make(
        *, true: RigCamera | None = None, told: RigCamera | None = None, wheel: float = 1.0, turn: float = 1.0,
        imu: Callable[[ImuSample], ImuSample] = lambda s: s, frozen: bool = False,
    ) -> Drive:  # fmt: skip
        walls, rig = paint(), CameraRig((told or true or camera(),))
        with DriveWriter(folder / "drive", rig) as writer:
            pose, still = Pose2(-3.0, 0.5, 0.0), None
            for tick in range(2000):
                now, (v, w) = (5000 + 10 * tick) * MS, motion(tick * 0.01)
                writer.write_imu(imu(ImuSample(now, np.array([0.0, 0.0, w]), np.array([0.0, 0.0, 9.81]))), now)
                if tick % 2 == 0:
                    writer.write_wheel(WheelTwist(now, wheel * v, turn * w), now)
                if true is not None and tick % 25 == 0:
                    still = still if frozen and still is not None else picture(walls, true.model, Pose3.from_pose2(pose) @ true.base_from_cam)
                    writer.write_frame(CameraFrame(now, rig.cameras[0].name, still), now)
                pose = pose @ Pose2.exp(0.01 * v, 0.0, 0.01 * w)
        return open_drive(folder / "drive", need_cameras=False)

    return make
