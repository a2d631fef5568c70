"""Which cameras can be believed: black, saturated, frozen and missing pictures are found, so that the cells that they alone see become unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import UInt8Array


class CameraState(StrEnum):
    """What is wrong with a picture, if anything."""

    WORKS = "works"
    MISSING = "missing"
    BLACK = "black"
    SATURATED = "saturated"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """When a picture is not believed."""

    black_level: int = 12  # nine pixels in ten are darker
    white_level: int = 250  # more than `white_share` of the pixels are brighter
    white_share: float = 0.7
    frozen_frames: int = 3  # the very same bytes so often, though the robot moved
    moved_m: float = 0.05
    turned_rad: float = 0.05

    def __post_init__(self) -> None:
        require(0 <= self.black_level < self.white_level <= 255, "black_level", self.black_level, "less than white_level ≤ 255")
        require(0.0 < self.white_share <= 1.0, "white_share", self.white_share, "in (0, 1]")
        require(self.frozen_frames >= 2, "frozen_frames", self.frozen_frames, "at least 2")


class CameraHealth:
    """Judges every picture as it comes; a sensor that works never gives the very same picture twice, since it has noise, unless nothing moves.

    Args:
        names: of the cameras.
        config: limits.
    """

    def __init__(self, names: Sequence[str], config: HealthConfig | None = None) -> None:
        self.names, self._config = tuple(names), config or HealthConfig()
        self._last: dict[str, tuple[UInt8Array, int, float, float]] = {}  # picture, how often, metres and radians since it first came

    def judge(self, images: Mapping[str, UInt8Array | None], moved_m: float = 0.0, turned_rad: float = 0.0) -> dict[str, CameraState]:
        """The state of every camera.

        Args:
            images: camera → (H, W, 3) uint8; absent or None: nothing came.
            moved_m: how far the robot moved since the last call.
            turned_rad: and turned.
        """
        return {name: self._judge(name, images.get(name), abs(moved_m), abs(turned_rad)) for name in self.names}

    def _judge(self, name: str, image: UInt8Array | None, moved_m: float, turned_rad: float) -> CameraState:
        c = self._config
        if image is None or image.size == 0:
            return CameraState.MISSING
        same, way, turn = 1, 0.0, 0.0
        before = self._last.get(name)
        if before is not None and before[0].shape == image.shape and np.array_equal(before[0], image):
            same, way, turn = before[1] + 1, before[2] + moved_m, before[3] + turned_rad
        self._last[name] = image, same, way, turn
        small = image[::4, ::4]
        if (small.max(axis=-1) < c.black_level).mean() > 0.9:
            return CameraState.BLACK
        if (small.min(axis=-1) >= c.white_level).mean() > c.white_share:
            return CameraState.SATURATED
        if same >= c.frozen_frames and (way > c.moved_m or turn > c.turned_rad):
            return CameraState.FROZEN
        return CameraState.WORKS
