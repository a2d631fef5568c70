"""How far the picture has moved since the last keyframe, where no odometry says how far the camera has.

Corners of the keyframe are followed from frame to frame by sparse optical flow on a small grey image, about a millisecond each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from astra.core.types import AnyArray, UInt8Array

WIDTH_PX = 192
CORNERS = 80
MIN_CORNERS = 12  # fewer say nothing about the picture's motion


@dataclass(slots=True, eq=False)
class ViewMotion:
    """Follows the corners of one camera's last keyframe."""

    _image: AnyArray | None = field(default=None, init=False)
    _start: AnyArray = field(default_factory=lambda: np.zeros((0, 2), np.float32), init=False)
    _now: AnyArray = field(default_factory=lambda: np.zeros((0, 2), np.float32), init=False)
    _count: int = field(default=0, init=False)  # corners at the keyframe

    def restart(self, rgb: UInt8Array) -> None:
        """A new keyframe: (H, W, 3) or (H, W)."""
        import cv2

        self._image = _small(rgb)
        found = cv2.goodFeaturesToTrack(self._image, CORNERS, 0.01, 6)
        self._start = self._now = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        self._count = len(self._start)

    def follow(self, rgb: UInt8Array) -> float:
        """The median corner's way since the keyframe as a share of the image's width.

        Returns:
            1 where most corners left the picture, NaN where the keyframe had too few to follow.
        """
        import cv2

        if self._image is None or self._count < MIN_CORNERS:
            return float("nan")
        image = _small(rgb)
        if len(self._now):
            now, found, _ = cv2.calcOpticalFlowPyrLK(self._image, image, self._now[:, None], None, winSize=(15, 15), maxLevel=3)
            now = now.reshape(-1, 2)
            keep = (found.ravel() == 1) & (now >= 0).all(axis=1) & (now < np.array(image.shape[::-1])).all(axis=1)
            self._start, self._now = self._start[keep], now[keep]
        self._image = image
        ways = np.full(self._count, float(image.shape[1]))
        ways[: len(self._now)] = np.linalg.norm(self._now - self._start, axis=1)
        return float(np.median(ways)) / float(image.shape[1])


def _small(rgb: UInt8Array) -> AnyArray:
    import cv2

    grey = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    height = max(16, round(grey.shape[0] * WIDTH_PX / grey.shape[1]))
    small: AnyArray = cv2.resize(grey, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return small
