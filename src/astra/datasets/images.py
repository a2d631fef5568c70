"""Folders of photos and video files as tours: one camera, no odometry.

A damaged file among many costs a note, not the tour: `ImageTour.notes` says what was left out once the images were read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, LaserScan, UInt8Array, nanoseconds, seconds
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera, Trajectory

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
PHOTO_PERIOD_S = 1.0  # photos have an order but no clock
DEFAULT_FOV_RAD = 1.2  # a phone's main camera, where no calibration is given
CUT_OFF = 0.97  # a video that gives less than this share of the frames it announces is damaged; containers round a little


class ImageTour:
    """Images of one camera in order; satisfies `mapping.tour.Tour`.

    Photos come in natural order (IMG_9 before IMG_10), a video's frames with the container's timestamps, whatever its frame rate.
    """

    odometry: Trajectory | None = None

    def __init__(self, path: Path, camera: CameraModel | None = None) -> None:
        self.name = path.stem
        self.path = path
        self._notes: dict[str, None] = {}  # in the order in which they came up
        first = next(self._images(), None)
        if first is None:
            raise BadInputError(f"{path} holds no image that can be read" + "".join(f"; {note}" for note in self._notes))
        height, width = first[1].shape[:2]
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise BadInputError(f"the camera is calibrated for {camera.width}×{camera.height}, but {path} is {width}×{height}")
        self.calibrated = camera is not None
        self.rig = CameraRig((RigCamera("camera", camera or CameraModel.from_fov(width, height, DEFAULT_FOV_RAD), Pose3()),))

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read, as far as the images were read."""
        return tuple(self._notes)

    def frames(self) -> Iterator[CameraFrame]:
        """The images in order; those of another size than the first are left out."""
        for stamp, rgb in self._images():
            if rgb.shape[:2] == (self.rig.cameras[0].model.height, self.rig.cameras[0].model.width):
                yield CameraFrame(stamp, "camera", rgb)
            else:
                name = self._files[round(stamp / nanoseconds(PHOTO_PERIOD_S))].name if self.path.is_dir() else f"at {seconds(stamp):.1f} s"
                self._note(f"image {name} is {rgb.shape[1]}×{rgb.shape[0]}, not of the first one's size: left out")

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
        return self._files[round(frame.stamp_ns / nanoseconds(PHOTO_PERIOD_S))].name

    @cached_property
    def _files(self) -> list[Path]:
        return sorted((p for p in self.path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), key=natural_key)

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def _images(self) -> Iterator[tuple[int, UInt8Array]]:
        return self._photos() if self.path.is_dir() else self._video()

    def _photos(self) -> Iterator[tuple[int, UInt8Array]]:
        for i, file in enumerate(self._files):
            try:
                rgb = load_image(file)
            except BadInputError:
                self._note(f"photo {file.name} cannot be read: left out")
                continue
            yield nanoseconds(i * PHOTO_PERIOD_S), rgb

    def _video(self) -> Iterator[tuple[int, UInt8Array]]:
        capture = cv2.VideoCapture(str(self.path))
        try:
            if not capture.isOpened():
                raise BadInputError(f"{self.path} is not a video that can be read (damaged, cut off, or of an unknown kind)")
            fps = capture.get(cv2.CAP_PROP_FPS)
            period_s = 1.0 / fps if 0.1 <= fps <= 1000.0 else 1.0 / 30.0
            announced, count, last_s = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0, -period_s
            while True:
                ok, bgr = capture.read()
                if not ok:
                    break
                time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
                if time_s <= last_s:  # a container without timestamps, or one that jumps back
                    time_s = last_s + period_s
                yield nanoseconds(time_s), np.ascontiguousarray(bgr[..., ::-1])
                last_s, count = time_s, count + 1
            if count < CUT_OFF * announced:
                self._note(f"video {self.path.name} breaks off after {count} of {announced} frames, at {max(last_s, 0.0):.1f} s: damaged or cut off")
        finally:
            capture.release()


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """A sorting key that reads numbers as numbers: photo 9 comes before photo 10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part] + [(1, 0, path.name)]


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
