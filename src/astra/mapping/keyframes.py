"""Stage 1: keep the frames that show something new and are sharp (the paper's temporal downsampling).

With odometry a keyframe is due after a distance or a turn; without it after a time in which the picture has moved, sooner where it moves fast,
never while it stands. When one is due, the sharpest of the next few frames is taken. The tour is read once, images are written to the work
folder as they are chosen.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import MappingError
from astra.core.types import Float32Array, UInt8Array, seconds
from astra.geometry import Pose2, Trajectory, wrap_angle
from astra.mapping.tour import FrameSet, Tour, damages, image_name, synchronised
from astra.mapping.view_motion import ViewMotion

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyframeConfig:
    """When a frame becomes a keyframe."""

    distance_m: float = 0.45
    turn_rad: float = math.radians(25.0)
    rate_hz: float = 2.0  # without odometry; ≤ 0 keeps every frame
    still: float = 0.015  # share of the image's width; a picture that moved less since the last keyframe shows nothing new (without odometry)
    sweep: float = 0.15  # a picture that moved more is due at once (without odometry)
    max_rate_hz: float = 10.0  # of keyframes in a fast sweep (without odometry)
    max_keyframes: int = 140  # with odometry the spacing grows, up to twofold, to stay within this
    sync_tolerance_s: float = 0.04
    blur_ratio: float = 0.5  # a frame is blurred if its sharpness is below this share of the running median
    min_keyframes: int = 3  # of a tour; fewer fix neither a loop nor a scale
    patience: int = 3  # frames that a due keyframe may wait for a sharp one
    jpeg_quality: int = 95

    def __post_init__(self) -> None:
        require(0.05 <= self.distance_m <= 5.0, "distance_m", self.distance_m, "0.05 … 5")
        require(0.05 <= self.turn_rad <= math.pi, "turn_rad", self.turn_rad, "0.05 … π")
        require(math.isfinite(self.rate_hz), "rate_hz", self.rate_hz, "finite")
        require(0.0 <= self.still < self.sweep <= 1.0, "still, sweep", (self.still, self.sweep), "0 ≤ still < sweep ≤ 1")
        require(self.max_rate_hz > 0.0, "max_rate_hz", self.max_rate_hz, "> 0")
        require(self.max_keyframes >= 2, "max_keyframes", self.max_keyframes, "≥ 2")
        require(0.0 <= self.sync_tolerance_s <= 1.0, "sync_tolerance_s", self.sync_tolerance_s, "0 … 1")
        require(0.0 <= self.blur_ratio < 1.0, "blur_ratio", self.blur_ratio, "in [0, 1)")
        require(self.min_keyframes >= 2, "min_keyframes", self.min_keyframes, "≥ 2")
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
    tour: Tour,
    index: int,
    first_id: int,
    first_view_id: int,
    folder: Path,
    config: KeyframeConfig,
    tick: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = logger.warning,
) -> list[Keyframe]:
    """Choose the tour's keyframes and write their images to `folder`.

    Args:
        index: which tour of this build it is.
        first_id, first_view_id: ids to start from.
        tick: called once for every set of frames that was read.
        note: told what was left out because it is damaged or frozen, one sentence each.

    Raises:
        MappingError: the tour holds fewer than three usable frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keyframes: list[Keyframe] = []
    view_id = first_view_id
    chooser = _Chooser(tour, config, 1.0 if tour.odometry is None else spacing_factor(tour.odometry, config))
    for frames in chooser.chosen(tick):
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
    notes = [*damages(tour), *chooser.notes()]
    for text in notes:
        note(f"tour {tour.name}: {text}")
    if len(keyframes) < config.min_keyframes:
        names = ", ".join(view.image for keyframe in keyframes for view in keyframe.views) or "none"
        raise MappingError(
            f"tour {tour.name!r} gives {len(keyframes)} usable frames that differ ({names}), at least {config.min_keyframes} are needed for a map"
            + "".join(f"; {text}" for text in notes)
        )
    return keyframes


def spacing_factor(odometry: Trajectory, config: KeyframeConfig) -> float:
    """By how much the spacing is stretched so that the tour stays within `max_keyframes`; 1 … 2."""
    turned = float(np.abs([wrap_angle(float(d)) for d in np.diff(odometry.poses[:, 2])]).sum())
    expected = odometry.length_m() / config.distance_m + turned / config.turn_rad
    return float(np.clip(expected / config.max_keyframes, 1.0, 2.0))


@dataclass(slots=True, eq=False)
class _Chooser:
    """The frame sets that become keyframes, in time order, and what was odd about the others."""

    tour: Tour
    config: KeyframeConfig
    stretch: float  # how much wider than configured keyframes lie
    last: FrameSet | None = None
    sharpness: _Sharpness = field(default_factory=_Sharpness)
    motion: dict[str, ViewMotion] = field(default_factory=dict)
    frozen: dict[str, _Frozen] = field(default_factory=dict)

    def chosen(self, tick: Callable[[], None]) -> Iterator[FrameSet]:
        """Read the tour once."""
        patience = 1 if self.keeps_all else self.config.patience
        known = set(self.tour.rig.names)
        waiting: list[tuple[float, FrameSet]] = []
        for frames in synchronised(self.tour, self.config.sync_tolerance_s):
            tick()
            frames = FrameSet(frames.stamp_ns, tuple(f for f in frames.frames if f.camera in known))
            if not frames.frames or not (self.last is None or self.is_due(self.last, frames)):
                continue
            frames = self.without_frozen(frames)
            if not frames.frames:
                continue  # a frozen camera or a robot at rest adds nothing
            relative = self.sharpness.relative(frames)
            waiting.append((relative, frames))
            if relative >= self.config.blur_ratio or len(waiting) >= patience:
                yield self.take(waiting)
                waiting = []
        if waiting:
            yield self.take(waiting)

    @property
    def keeps_all(self) -> bool:
        """Whether every image that differs becomes a keyframe."""
        return self.tour.odometry is None and self.config.rate_hz <= 0.0

    def take(self, waiting: Sequence[tuple[float, FrameSet]]) -> FrameSet:
        """The sharpest of those that waited becomes the last keyframe."""
        self.last = max(waiting, key=lambda entry: entry[0])[1]
        if self.tour.odometry is None and not self.keeps_all:
            for frame in self.last.frames:
                self.motion.setdefault(frame.camera, ViewMotion()).restart(frame.rgb)
        return self.last

    def is_due(self, last: FrameSet, now: FrameSet) -> bool:
        """Whether enough has changed since the last keyframe."""
        odometry, config = self.tour.odometry, self.config
        if odometry is not None:
            step = odometry.at(last.stamp_ns).inverse() @ odometry.at(now.stamp_ns)
            # Distance and turn add up: a curve changes the view by both.
            way = math.hypot(step.x, step.y) / (config.distance_m * self.stretch)
            return way + abs(step.yaw) / (config.turn_rad * self.stretch) >= 1.0
        if self.keeps_all:
            return True
        passed = seconds(now.stamp_ns - last.stamp_ns) + 1e-6
        moved = [self.motion[f.camera].follow(f.rgb) for f in now.frames if f.camera in self.motion]
        way = max((share for share in moved if not math.isnan(share)), default=math.nan)
        if math.isnan(way):  # nothing to follow: time decides
            return passed >= 1.0 / config.rate_hz
        return (way >= config.still and passed >= 1.0 / config.rate_hz) or (way >= config.sweep and passed >= 1.0 / config.max_rate_hz)

    def without_frozen(self, now: FrameSet) -> FrameSet:
        """The set without cameras that show the last keyframe's very pixels, which they cannot if anything moved."""
        before = {} if self.last is None else {frame.camera: frame.rgb for frame in self.last.frames}
        kept = []
        for frame in now.frames:
            stood = self.frozen.setdefault(frame.camera, _Frozen())
            reference = before.get(frame.camera, stood.picture)
            if reference is not None and _is_same_picture(reference, frame.rgb):
                stood.hold(reference, now.stamp_ns, self.last)
            else:
                stood.release()
                kept.append(frame)
        return FrameSet(now.stamp_ns, tuple(kept))

    def notes(self) -> list[str]:
        """Stretches in which a camera showed one picture although odometry says that it moved."""
        texts = []
        for camera, stood in self.frozen.items():
            stood.release()
            for begin, end in stood.stretches:
                way = self._way_m(begin, end)
                if way >= 2.0 * self.config.distance_m:
                    texts.append(f"camera {camera} stood frozen for {seconds(end - begin):.1f} s and {way:.1f} m: its images {_span(begin, end)} were left out")
        return texts

    def _way_m(self, begin: int, end: int) -> float:
        odometry = self.tour.odometry
        if odometry is None:
            return 0.0
        a, b = odometry.at(begin), odometry.at(end)
        return a.distance_to(b) + self.config.distance_m * abs(wrap_angle(b.yaw - a.yaw)) / self.config.turn_rad


@dataclass(slots=True, eq=False)
class _Frozen:
    """Since when a camera shows one picture, and the stretches (begin, end) [ns] in which it did."""

    picture: UInt8Array | None = None
    since: int = 0
    until: int = 0
    stretches: list[tuple[int, int]] = field(default_factory=list)

    def hold(self, picture: UInt8Array, stamp_ns: int, last: FrameSet | None) -> None:
        """The camera still shows `picture`."""
        if self.picture is None:
            self.picture, self.since = picture, stamp_ns if last is None else last.stamp_ns
        self.until = stamp_ns

    def release(self) -> None:
        """It shows another one."""
        if self.picture is not None:
            self.stretches.append((self.since, self.until))
        self.picture = None


def _span(begin: int, end: int) -> str:
    return f"stamped {seconds(begin):.2f} … {seconds(end):.2f} s"


def _is_same_picture(a: UInt8Array, b: UInt8Array) -> bool:
    """Whether two images show the same pixels up to noise."""
    return a.shape == b.shape and _mean_difference(a, b) < 0.5


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
    return decode_rgb(read_image(path), str(path))


def read_image(path: Path) -> bytes:
    """An image file as it is.

    Raises:
        MappingError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MappingError(f"cannot read image {path}: {error.strerror}") from error


def decode_rgb(data: bytes, name: str) -> UInt8Array:
    """An image file's bytes as RGB (H, W, 3).

    Raises:
        MappingError: they are no image; the message calls it `name`.
    """
    import cv2

    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise MappingError(f"cannot read image {name}")
    rgb: UInt8Array = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb
