"""Stage 1: keep the frames that show something new and are sharp (the paper's temporal downsampling).

With odometry a keyframe is due after a distance or a turn, without it after a time. When one is due, the sharpest of the next few frames
is taken. The tour is read once, images are written to the work folder as they are chosen.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import MappingError
from astra.core.types import Float32Array, UInt8Array, seconds
from astra.geometry import Pose2, Trajectory, wrap_angle
from astra.mapping.tour import FrameSet, Tour, image_name, synchronised

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyframeConfig:
    """When a frame becomes a keyframe."""

    distance_m: float = 0.45
    turn_rad: float = math.radians(25.0)
    rate_hz: float = 2.0  # without odometry; ≤ 0 keeps every frame
    max_keyframes: int = 140  # with odometry the spacing grows, up to twofold, to stay within this
    sync_tolerance_s: float = 0.04
    blur_ratio: float = 0.5  # a frame is blurred if its sharpness is below this share of the running median
    patience: int = 3  # frames that a due keyframe may wait for a sharp one
    jpeg_quality: int = 95

    def __post_init__(self) -> None:
        require(0.05 <= self.distance_m <= 5.0, "distance_m", self.distance_m, "0.05 … 5")
        require(0.05 <= self.turn_rad <= math.pi, "turn_rad", self.turn_rad, "0.05 … π")
        require(math.isfinite(self.rate_hz), "rate_hz", self.rate_hz, "finite")
        require(self.max_keyframes >= 2, "max_keyframes", self.max_keyframes, "≥ 2")
        require(0.0 <= self.sync_tolerance_s <= 1.0, "sync_tolerance_s", self.sync_tolerance_s, "0 … 1")
        require(0.0 <= self.blur_ratio < 1.0, "blur_ratio", self.blur_ratio, "in [0, 1)")
        require(1 <= self.patience <= 50, "patience", self.patience, "1 … 50")
        require(50 <= self.jpeg_quality <= 100, "jpeg_quality", self.jpeg_quality, "50 … 100")


@dataclass(frozen=True, slots=True, eq=False)
class KeyView:
    """One image of a keyframe; `image` is its file name inside the keyframes folder."""

    id: int
    camera: str
    image: str


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """A moment that the map keeps. `odom_from_base` is None without odometry; `tour` counts the tours of one build."""

    id: int
    tour: int
    stamp_ns: int
    odom_from_base: Pose2 | None
    views: tuple[KeyView, ...]


@dataclass(slots=True, eq=False)
class _Sharpness:
    """Running median of each camera's sharpness, so that blurred frames stand out against their neighbours."""

    history: dict[str, list[float]] = field(default_factory=dict)

    def relative(self, frames: FrameSet) -> float:
        """Median over cameras of this set's sharpness against its own past; 1 is ordinary."""
        ratios = []
        for frame in frames.frames:
            value = _laplacian_variance(frame.rgb)
            past = self.history.setdefault(frame.camera, [])
            past.append(value)
            del past[:-31]
            ratios.append(value / max(float(np.median(past)), 1e-6))
        return float(np.median(ratios))


def select_keyframes(
    tour: Tour, index: int, first_id: int, first_view_id: int, folder: Path, config: KeyframeConfig, tick: Callable[[], None] = lambda: None
) -> list[Keyframe]:
    """Choose the tour's keyframes and write their images to `folder`.

    Args:
        index: which tour of this build it is.
        first_id, first_view_id: ids to start from.
        tick: called once for every set of frames that was read.

    Raises:
        MappingError: the tour holds fewer than three usable frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keyframes: list[Keyframe] = []
    view_id = first_view_id
    for frames in _chosen(tour, config, tick):
        views = []
        for frame in frames.frames:
            own = Path(image_name(tour, frame)).name
            image = f"{first_id + len(keyframes):05d}_{frame.camera}.jpg"
            if own:
                image = f"{index}_{own}" if index else own
            write_image(folder / image, frame.rgb, config.jpeg_quality)
            views.append(KeyView(view_id, frame.camera, image))
            view_id += 1
        pose = tour.odometry.at(frames.stamp_ns) if tour.odometry is not None else None
        keyframes.append(Keyframe(first_id + len(keyframes), index, frames.stamp_ns, pose, tuple(views)))
    if len(keyframes) < 3:
        raise MappingError(f"tour {tour.name!r} gives {len(keyframes)} usable frames that differ, at least 3 are needed for a map")
    return keyframes


def spacing_factor(odometry: Trajectory, config: KeyframeConfig) -> float:
    """By how much the spacing is stretched so that the tour stays within `max_keyframes`; 1 … 2."""
    turned = float(np.abs([wrap_angle(float(d)) for d in np.diff(odometry.poses[:, 2])]).sum())
    expected = odometry.length_m() / config.distance_m + turned / config.turn_rad
    return float(np.clip(expected / config.max_keyframes, 1.0, 2.0))


def _chosen(tour: Tour, config: KeyframeConfig, tick: Callable[[], None]) -> Iterator[FrameSet]:
    """The frame sets that become keyframes, in time order."""
    sharpness = _Sharpness()
    stretch = 1.0 if tour.odometry is None else spacing_factor(tour.odometry, config)
    known = set(tour.rig.names)
    last: FrameSet | None = None
    waiting: list[tuple[float, FrameSet]] = []
    patience = 1 if tour.odometry is None and config.rate_hz <= 0.0 else config.patience
    for frames in synchronised(tour, config.sync_tolerance_s):
        tick()
        frames = FrameSet(frames.stamp_ns, tuple(f for f in frames.frames if f.camera in known))
        if not frames.frames or (last is not None and not _is_due(last, frames, tour.odometry, config, stretch)):
            continue
        if last is not None and _is_same_picture(last, frames):
            continue  # a frozen camera or a robot at rest adds nothing
        relative = sharpness.relative(frames)
        waiting.append((relative, frames))
        if relative >= config.blur_ratio or len(waiting) >= patience:
            last = max(waiting, key=lambda entry: entry[0])[1]
            waiting = []
            yield last
    if waiting:
        yield max(waiting, key=lambda entry: entry[0])[1]


def _is_due(last: FrameSet, now: FrameSet, odometry: Trajectory | None, config: KeyframeConfig, stretch: float) -> bool:
    if odometry is None:
        return config.rate_hz <= 0.0 or seconds(now.stamp_ns - last.stamp_ns) >= 1.0 / config.rate_hz - 1e-6
    step = odometry.at(last.stamp_ns).inverse() @ odometry.at(now.stamp_ns)
    # Distance and turn add up: a curve changes the view by both.
    return math.hypot(step.x, step.y) / (config.distance_m * stretch) + abs(step.yaw) / (config.turn_rad * stretch) >= 1.0


def _is_same_picture(a: FrameSet, b: FrameSet) -> bool:
    """Whether every camera that both sets share shows the same pixels up to noise."""
    images = {frame.camera: frame.rgb for frame in a.frames}
    shared = [(images[frame.camera], frame.rgb) for frame in b.frames if frame.camera in images]
    if not shared:
        return False
    return all(p.shape == q.shape and _mean_difference(p, q) < 0.5 for p, q in shared)


def _mean_difference(a: UInt8Array, b: UInt8Array) -> float:
    return float(np.abs(a[::4, ::4].astype(np.int16) - b[::4, ::4].astype(np.int16)).mean())


def _laplacian_variance(rgb: UInt8Array) -> float:
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    response: Float32Array = cv2.Laplacian(grey, cv2.CV_32F)
    return float(response.var())


def write_image(path: Path, rgb: UInt8Array, quality: int) -> None:
    """Write an RGB image (H, W, 3) in the format that its name says; `quality` is JPEG's."""
    import cv2

    done, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise MappingError(f"cannot encode {path.name}")
    path.write_bytes(data.tobytes())


def read_rgb(path: Path) -> UInt8Array:
    """Read an image file as RGB (H, W, 3).

    Raises:
        MappingError: it is not a readable image.
    """
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise MappingError(f"cannot read image {path}")
    rgb: UInt8Array = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb
