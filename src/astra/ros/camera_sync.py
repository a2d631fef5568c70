"""Images of several cameras that belong together; no ROS in it.

Messages are kept as they came: decoding is left to whoever uses a set, which is far less often than images arrive.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from astra.core.config import require
from astra.core.types import nanoseconds, seconds


@dataclass(frozen=True, slots=True)
class CameraSyncConfig:
    """What counts as one moment, and as too old."""

    tolerance_s: float = field(default=0.05, metadata={"help": "largest difference between the stamps of one set of images [s]"})
    max_age_s: float = field(default=1.0, metadata={"help": "images older than this against ROS time are not used [s]"})
    max_ahead_s: float = field(default=0.5, metadata={"help": "images stamped further in the future than this are not used [s]"})
    min_cameras: int = field(default=1, metadata={"help": "cameras that must agree on one moment; fewer give no set"})
    depth: int = 6  # images kept per camera

    def __post_init__(self) -> None:
        for name in ("tolerance_s", "max_age_s", "max_ahead_s"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")
        require(self.min_cameras >= 1, "min_cameras", self.min_cameras, "≥ 1")
        require(self.depth >= 1, "depth", self.depth, "≥ 1")


class ImageRefusal(StrEnum):
    """Why an image was not kept."""

    OLD = "too_old"
    AHEAD = "from_the_future"
    OUT_OF_ORDER = "out_of_order"
    CLOCK_JUMP_BACK = "clock_jump_back"  # it was kept, everything older was dropped


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Messages by camera, taken within the tolerance of `stamp_ns`, the newest of them; `missing` cameras had none."""

    stamp_ns: int
    messages: dict[str, Any]
    missing: tuple[str, ...]


class CameraSync:
    """Keeps the newest images of each camera and finds sets of one moment among them."""

    def __init__(self, names: tuple[str, ...], config: CameraSyncConfig | None = None) -> None:
        require(len(names) > 0 and len(set(names)) == len(names), "camera_names", names, "distinct and at least one")
        self.config = config or CameraSyncConfig()
        require(self.config.min_cameras <= len(names), "min_cameras", self.config.min_cameras, f"at most the {len(names)} cameras")
        self.names = names
        self.refused: Counter[ImageRefusal] = Counter()
        self._images: dict[str, list[tuple[int, Any]]] = {name: [] for name in names}

    def clear(self) -> None:
        """Drop every image."""
        for images in self._images.values():
            images.clear()

    def add(self, name: str, stamp_ns: int, message: Any, now_ns: int) -> ImageRefusal | None:
        """Keep an image; returns why not, or None."""
        refusal = self._judge(name, stamp_ns, now_ns)
        if refusal is not None:
            self.refused[refusal] += 1
        if refusal is ImageRefusal.CLOCK_JUMP_BACK:
            self.clear()
        elif refusal is not None:
            return refusal
        images = self._images[name]
        images.append((stamp_ns, message))
        del images[: -self.config.depth]
        return refusal

    def newest(self, now_ns: int) -> ImageSet | None:
        """The newest set of images of one moment that is fresh; a set of more cameras beats a newer one of fewer."""
        stamps = sorted({stamp for images in self._images.values() for stamp, _ in images}, reverse=True)
        best: ImageSet | None = None
        for stamp in stamps:
            if seconds(now_ns - stamp) > self.config.max_age_s:
                break
            found = self._around(stamp)
            if len(found) >= self.config.min_cameras and (best is None or len(found) > len(best.messages)):
                best = ImageSet(stamp, found, tuple(name for name in self.names if name not in found))
                if not best.missing:
                    break
        return best

    def silent(self, now_ns: int) -> tuple[str, ...]:
        """Cameras without a fresh image."""
        limit = nanoseconds(self.config.max_age_s)
        return tuple(name for name, images in self._images.items() if not images or now_ns - images[-1][0] > limit)

    def _around(self, stamp_ns: int) -> dict[str, Any]:
        """Per camera the image nearest to a stamp, not newer than it, within the tolerance."""
        limit = nanoseconds(self.config.tolerance_s)
        found: dict[str, Any] = {}
        for name, images in self._images.items():
            for stamp, message in reversed(images):
                if 0 <= stamp_ns - stamp <= limit:
                    found[name] = message
                    break
        return found

    def _judge(self, name: str, stamp_ns: int, now_ns: int) -> ImageRefusal | None:
        config, images = self.config, self._images[name]
        if seconds(now_ns - stamp_ns) > config.max_age_s:
            return ImageRefusal.OLD
        if seconds(stamp_ns - now_ns) > config.max_ahead_s:
            return ImageRefusal.AHEAD
        if images and stamp_ns <= images[-1][0]:
            jumped = seconds(images[-1][0] - stamp_ns) > config.max_age_s
            return ImageRefusal.CLOCK_JUMP_BACK if jumped else ImageRefusal.OUT_OF_ORDER
        return None
