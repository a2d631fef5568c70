"""What goes wrong on a tour, done to a recorded one: a camera that freezes, light that rolls, lost frames, a wing that looks like another.

Each is a `mapping.tour.Tour` around a tour; nothing is rendered again. What the robot truly did changes with `FalseLoop` alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.types import CameraFrame, LaserScan, UInt8Array, nanoseconds
from astra.geometry import CameraRig, Pose2, Pose3, Trajectory
from astra.mapping.tour import Tour, base_from_sensor, is_calibrated


@dataclass(frozen=True, eq=False)
class Twisted:
    """A tour as it is; the others change one thing about it."""

    tour: Tour

    @property
    def name(self) -> str:
        """The tour's name."""
        return self.tour.name

    @property
    def rig(self) -> CameraRig:
        """The tour's cameras."""
        return self.tour.rig

    @property
    def calibrated(self) -> bool:
        """Whether the tour's intrinsics were measured."""
        return is_calibrated(self.tour)

    @property
    def odometry(self) -> Trajectory | None:
        """The tour's odometry."""
        return self.tour.odometry

    def frames(self) -> Iterator[CameraFrame]:
        """The tour's images."""
        return self.tour.frames()

    def scans(self) -> Sequence[LaserScan]:
        """The tour's scans."""
        return self.tour.scans()

    def base_from_sensor(self, frame: str) -> Pose3:
        """Where the tour's other sensors sit."""
        return base_from_sensor(self.tour, frame)


@dataclass(frozen=True, eq=False)
class Clipped(Twisted):
    """The first `end_ns` of a tour."""

    end_ns: int

    @property
    def odometry(self) -> Trajectory | None:
        """The odometry up to the end."""
        whole = self.tour.odometry
        if whole is None:
            return None
        known = whole.stamps_ns <= self.end_ns
        return Trajectory(whole.stamps_ns[known], whole.poses[known])

    def frames(self) -> Iterator[CameraFrame]:
        """The images up to the end."""
        for frame in self.tour.frames():
            if frame.stamp_ns > self.end_ns:
                return
            yield frame

    def scans(self) -> Sequence[LaserScan]:
        """The scans up to the end."""
        return [scan for scan in self.tour.scans() if scan.stamp_ns <= self.end_ns]


@dataclass(frozen=True, eq=False)
class Dropped(Twisted):
    """Images that never arrive: a share of them, at random and of each camera for itself."""

    share: float = 0.3
    seed: int = 0

    def frames(self) -> Iterator[CameraFrame]:
        """What is left."""
        rng = np.random.default_rng([self.seed, 30])
        return (frame for frame in self.tour.frames() if rng.random() >= self.share)


@dataclass(frozen=True, eq=False)
class RollingExposure(Twisted):
    """Brightness that rolls slowly up and down, as an exposure control that hunts; bright parts saturate, dark ones lose their greys."""

    stops: float = 1.5  # either way
    period_s: float = 14.0

    def frames(self) -> Iterator[CameraFrame]:
        """The images, brighter and darker."""
        levels = np.arange(256) / 255.0
        start: int | None = None
        for frame in self.tour.frames():
            start = frame.stamp_ns if start is None else start
            gain = 2.0 ** (self.stops * math.sin(2.0 * math.pi * (frame.stamp_ns - start) * 1e-9 / self.period_s))
            table = np.clip(255.0 * (gain * levels**2.2) ** (1.0 / 2.2), 0.0, 255.0).round().astype(np.uint8)
            yield replace(frame, rgb=table[frame.rgb])


@dataclass(frozen=True, eq=False)
class Frozen(Twisted):
    """Cameras that repeat one picture for a while, with new stamps; `cameras`: which, empty: all of them."""

    from_share: float = 0.4  # of the tour's time
    for_s: float = 10.0
    cameras: tuple[str, ...] = ()

    def frames(self) -> Iterator[CameraFrame]:
        """The images, some of them stale."""
        odometry = self.tour.odometry
        first, last = (0, 0) if odometry is None else (int(odometry.stamps_ns[0]), int(odometry.stamps_ns[-1]))
        begin = first + int(self.from_share * (last - first))
        end = begin + nanoseconds(self.for_s)
        kept: dict[str, UInt8Array] = {}
        for frame in self.tour.frames():
            if begin <= frame.stamp_ns < end and frame.camera in (self.cameras or tuple(self.rig.names)):
                yield replace(frame, rgb=kept.setdefault(frame.camera, frame.rgb))
            else:
                yield frame


@dataclass(frozen=True, eq=False)
class FalseLoop(Twisted):
    """At its end the tour goes on through a wing that looks exactly like the one between `begin_ns` and `end_ns`, and is elsewhere.

    Odometry (and the truth, `truth_with_wing`) go on from where the tour ends; the pictures are the old ones with fresh noise.
    """

    begin_ns: int
    end_ns: int
    noise: float = 2.5  # grey values
    gap_s: float = 0.4

    @property
    def shift_ns(self) -> int:
        """What is added to the stamps of the wing's second showing."""
        odometry = self.tour.odometry
        assert odometry is not None
        return int(odometry.stamps_ns[-1]) + nanoseconds(self.gap_s) - self.begin_ns

    @property
    def odometry(self) -> Trajectory | None:
        """Odometry of the tour, then of the wing."""
        odometry = self.tour.odometry
        return None if odometry is None else self.truth_with_wing(odometry)

    def frames(self) -> Iterator[CameraFrame]:
        """The tour's images, then the wing's again."""
        yield from self.tour.frames()
        rng = np.random.default_rng(17)
        for frame in self.tour.frames():
            if self.begin_ns <= frame.stamp_ns <= self.end_ns:
                noisy = frame.rgb + rng.normal(0.0, self.noise, frame.rgb.shape)
                yield replace(frame, stamp_ns=frame.stamp_ns + self.shift_ns, rgb=np.clip(noisy, 0, 255).round().astype(np.uint8))

    def scans(self) -> Sequence[LaserScan]:
        """The tour's scans, then the wing's again."""
        scans = list(self.tour.scans())
        again = [replace(s, stamp_ns=s.stamp_ns + self.shift_ns) for s in scans if self.begin_ns <= s.stamp_ns <= self.end_ns]
        return [*scans, *again]

    def truth_with_wing(self, path: Trajectory) -> Trajectory:
        """The path of the tour, continued by the wing's."""
        inside = (path.stamps_ns >= self.begin_ns) & (path.stamps_ns <= self.end_ns)
        last, begin = path.at(int(path.stamps_ns[-1])), path.at(self.begin_ns).inverse()
        wing = [last @ begin @ Pose2(*row) for row in path.poses[inside].tolist()]
        poses = np.concatenate([path.poses, np.array([(p.x, p.y, p.yaw) for p in wing]).reshape(-1, 3)])
        return Trajectory(np.concatenate([path.stamps_ns, path.stamps_ns[inside] + self.shift_ns]), poses)


def false_loop(tour: Tour, truth: Trajectory, length_m: float = 12.0, apart_m: float = 3.0) -> FalseLoop:
    """The wing of about `length_m` whose second showing lies farthest from its first one by the truth, at least `apart_m` if it can be."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(truth.poses[:, :2], axis=0), axis=1))])
    best, farthest = None, -1.0
    for start in np.linspace(0.0, max(float(along[-1]) - length_m, 0.0), 12):
        a, b = (int(truth.stamps_ns[min(int(np.searchsorted(along, s)), len(along) - 1)]) for s in (start, start + length_m))
        wing = FalseLoop(tour, a, b)
        whole = wing.truth_with_wing(truth)
        shown = whole.poses[len(truth.poses) :, :2]
        inside = (truth.stamps_ns >= a) & (truth.stamps_ns <= b)
        distance = float(np.linalg.norm(shown - truth.poses[inside, :2], axis=1).min())
        if distance > farthest:
            best, farthest = wing, distance
        if distance >= apart_m:
            break
    assert best is not None
    return best
