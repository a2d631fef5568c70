"""A drive as a stream of observations: images of one moment, and all that the other sensors said since the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from astra.core.config import require
from astra.core.types import CameraFrame, ImuSample, LaserScan, Observation, WheelTwist, nanoseconds
from astra.datasets import decode

if TYPE_CHECKING:
    from astra.datasets.drive import Arrival, Drive

PERIOD_S = 0.1  # between the ticks of a drive without cameras
SLACK_S = 0.5  # a reading may be received this much later than the images of its time


def observations(drive: Drive, tolerance_s: float, *, depth: bool) -> Iterator[Observation]:
    """See `Drive.observations`."""
    require(0.0 <= tolerance_s <= 1.0, "tolerance_s", tolerance_s, "between 0 and 1")
    others = _Others(drive)
    if not drive.topics.cameras:
        yield from _by_period(others)
        return
    for received_ns, frames in _sets(drive.arriving_frames(depth=depth), nanoseconds(tolerance_s)):
        yield others.observation(frames[0].stamp_ns, received_ns + nanoseconds(SLACK_S), frames)


def _sets(frames: Iterator[tuple[int, CameraFrame]], tolerance_ns: int) -> Iterator[tuple[int, tuple[CameraFrame, ...]]]:
    """Images of one moment, with the time at which the last of them was received."""
    pending: list[tuple[int, CameraFrame]] = []
    for received_ns, frame in frames:
        if pending and (frame.stamp_ns - pending[0][1].stamp_ns > tolerance_ns or any(frame.camera == other.camera for _, other in pending)):
            yield max(r for r, _ in pending), tuple(f for _, f in pending)
            pending = []
        pending.append((received_ns, frame))
    if pending:
        yield max(r for r, _ in pending), tuple(f for _, f in pending)


def _by_period(others: _Others) -> Iterator[Observation]:
    first = others.peek()
    if first is None:
        return
    tick_ns = first.stamp_ns
    while others.peek() is not None or others.waiting:
        tick_ns += nanoseconds(PERIOD_S)
        observation = others.observation(tick_ns, None, ())
        if observation.imu or observation.wheel or observation.scan is not None:
            yield observation


class _Others:
    """IMU, wheel and scan readings, read no further ahead than needed."""

    def __init__(self, drive: Drive) -> None:
        topics = drive.topics
        self._decoders: dict[str, Any] = {
            topics.imu: decode.imu_from_message, topics.wheel: decode.wheel_from_message, topics.scan: decode.scan_from_message,
        }  # fmt: skip
        self._decoders.pop("", None)
        self._stream = drive.arrivals(tuple(self._decoders))
        self._next: Arrival | None = next(self._stream, None)
        self.waiting: list[Arrival] = []

    def peek(self) -> Arrival | None:
        """The next message that has not been looked at."""
        return self._next

    def observation(self, stamp_ns: int, received_ns: int | None, frames: tuple[CameraFrame, ...]) -> Observation:
        """All readings up to `stamp_ns` that were received by `received_ns`; None: until the stamps themselves are `SLACK_S` beyond."""
        while self._next is not None and self._is_due(self._next, stamp_ns, received_ns):
            self.waiting.append(self._next)
            self._next = next(self._stream, None)
        now = sorted((a for a in self.waiting if a.stamp_ns <= stamp_ns), key=lambda a: a.stamp_ns)
        self.waiting = [a for a in self.waiting if a.stamp_ns > stamp_ns]
        readings = [self._decoders[a.topic](a.message, a.stamp_ns) for a in now]
        scans = [r for r in readings if isinstance(r, LaserScan)]
        return Observation(
            stamp_ns, frames, tuple(r for r in readings if isinstance(r, ImuSample)), tuple(r for r in readings if isinstance(r, WheelTwist)),
            scans[-1] if scans else None,
        )  # fmt: skip

    @staticmethod
    def _is_due(a: Arrival, stamp_ns: int, received_ns: int | None) -> bool:
        return a.stamp_ns <= stamp_ns + nanoseconds(SLACK_S) if received_ns is None else a.received_ns <= received_ns
