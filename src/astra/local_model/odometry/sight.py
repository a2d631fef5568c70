"""Everything from pictures to Δposes: the eyes, the points they are followed by, and the learned head."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import ImuSample, UInt8Array, WheelTwist
from astra.geometry import CameraRig, Pose2
from astra.local_model.health import CameraState
from astra.local_model.odometry.points import PointOdometry, grey_pictures, pixel_rays
from astra.local_model.odometry.runtime import LearnedOdometry, StepMotion, eyes_key
from astra.local_model.runtime import Eyes, EyesConfig, View


class SeeingOdometry:
    """Pictures in, motions out.

    Args:
        eyes: folder of the exported eyes.
        head: folder of the exported head; it must have been trained over these eyes.
        rig: the cameras.
        sensors: what the head may use; vision alone for what is fused with wheels and IMU afterwards.
        threads: of ONNX Runtime.

    Raises:
        BadInputError: a folder is not there, or the head belongs to other eyes.
    """

    def __init__(self, eyes: Path, head: Path, rig: CameraRig, sensors: Collection[str] = ("vision",), threads: int = 1) -> None:
        self._learned = LearnedOdometry(head, sensors, threads)
        if self._learned.eyes != (key := eyes_key(eyes)):
            raise BadInputError(f"{head} was trained over the eyes {self._learned.eyes}, not over {eyes} ({key})")
        self._eyes, self._rig = Eyes(eyes, rig, EyesConfig(threads=threads, moments_s=())), rig
        self._points = PointOdometry(*pixel_rays(rig))

    def see(
        self, images: Mapping[str, UInt8Array | None], stamp_ns: int, odom_from_base: Pose2, imu: Sequence[ImuSample] = (), wheel: Sequence[WheelTwist] = ()
    ) -> StepMotion | None:
        """Look once, and tell the motion since the last look; None where there is none to compare with.

        Args:
            images: camera → (H, W, 3) uint8 RGB; absent or None where nothing came.
            stamp_ns: of the images.
            odom_from_base: where the robot then was, by odometry: a camera that shows the very same picture while this moves is frozen.
            imu, wheel: readings since the last look, for a head that may use them.
        """
        return self.told(self._eyes.see(images, stamp_ns, odom_from_base), images, imu, wheel)

    def told(
        self, view: View, images: Mapping[str, UInt8Array | None], imu: Sequence[ImuSample] = (), wheel: Sequence[WheelTwist] = ()
    ) -> StepMotion | None:
        """The same for a view that somebody else has taken of these images."""
        works = np.array([view.cameras[name] is CameraState.WORKS for name in self._rig.names])
        motion = self._points.push(grey_pictures(images, self._rig), view.depth_m, works)
        features = view.features if works.any() else None
        return self._learned.push(view.stamp_ns, features, imu, wheel, None if motion is None else motion.columns())
