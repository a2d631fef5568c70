"""Folders of photos and video files as tours: one camera, no odometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, LaserScan, UInt8Array, nanoseconds
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera, Trajectory

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
PHOTO_PERIOD_S = 1.0  # photos have an order but no clock
DEFAULT_FOV_RAD = 1.2  # a phone's main camera, where no calibration is given


class ImageTour:
    """Images of one camera in order; satisfies `mapping.tour.Tour`."""

    odometry: Trajectory | None = None

    def __init__(self, path: Path, camera: CameraModel | None = None) -> None:
        self.name = path.stem
        self.path = path
        first = next(self._images(), None)
        if first is None:
            raise BadInputError(f"{path} holds no image")
        height, width = first[1].shape[:2]
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise BadInputError(f"the camera is calibrated for {camera.width}×{camera.height}, but {path} is {width}×{height}")
        self.calibrated = camera is not None
        self.rig = CameraRig((RigCamera("camera", camera or CameraModel.from_fov(width, height, DEFAULT_FOV_RAD), Pose3()),))

    def frames(self) -> Iterator[CameraFrame]:
        """The images in order."""
        for stamp, rgb in self._images():
            yield CameraFrame(stamp, "camera", rgb)

    def scans(self) -> Sequence[LaserScan]:
        """No lidar."""
        return ()

    def base_from_sensor(self, frame: str) -> Pose3:
        """The camera is the base."""
        return Pose3()

    def image_name(self, frame: CameraFrame) -> str:
        """The photo's file name; empty for a video's frame."""
        if not self.path.is_dir():
            return ""
        return self._files()[round(frame.stamp_ns / nanoseconds(PHOTO_PERIOD_S))].name

    def _files(self) -> list[Path]:
        return sorted(p for p in self.path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)

    def _images(self) -> Iterator[tuple[int, UInt8Array]]:
        if self.path.is_dir():
            return self._photos()
        return self._video()

    def _photos(self) -> Iterator[tuple[int, UInt8Array]]:
        for i, file in enumerate(self._files()):
            yield nanoseconds(i * PHOTO_PERIOD_S), load_image(file)

    def _video(self) -> Iterator[tuple[int, UInt8Array]]:
        capture = cv2.VideoCapture(str(self.path))
        try:
            if not capture.isOpened():
                raise BadInputError(f"{self.path} is not a video that can be read")
            fps = capture.get(cv2.CAP_PROP_FPS) or 30.0
            last_s = -1.0
            while True:
                ok, bgr = capture.read()
                if not ok:
                    return
                time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
                if time_s <= last_s:  # containers without timestamps
                    time_s = last_s + 1.0 / fps
                yield nanoseconds(time_s), np.ascontiguousarray(bgr[..., ::-1])
                last_s = time_s
        finally:
            capture.release()


def load_image(path: Path) -> UInt8Array:
    """Read an image file to (H, W, 3) uint8 RGB.

    Raises:
        BadInputError: the file is missing or is no image.
    """
    if not path.is_file():
        raise BadInputError(f"{path} does not exist")
    bgr = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if bgr is None:
        raise BadInputError(f"{path} is not an image that can be read")
    return np.ascontiguousarray(bgr[..., ::-1])
