"""What a recording is worth: rates, gaps, lost messages, clock steps and delays of every topic, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from astra.core.types import FloatArray, IntArray, seconds
from astra.datasets import decode
from astra.datasets.bag import Bag
from astra.datasets.clocks import lag_s
from astra.datasets.payloads import Fingerprints
from astra.datasets.topics import TopicMap

GAP = 1.5  # a pause of more than this many periods has swallowed messages
CLOCKS_DIFFER_S = 0.5
LAG_S = 0.03
LEVEL = 0.94  # cosine of 20°


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One topic's health. Times by header stamps, by reception for messages without; `delay` is received − header, least, median and greatest.

    `dropped` is an estimate for topics that are read: what would fill the gaps at the median period. `steps_back` counts stamps earlier than the one before.
    """

    topic: str
    kind: str
    role: str
    count: int
    rate_hz: float
    longest_gap_s: float
    longest_gap_at_s: float
    dropped: int
    steps_back: int
    repeated: int
    delay_s: tuple[float, float, float] | None
    offset_s: float


@dataclass(frozen=True, slots=True)
class DriveReport:
    """A whole recording's health.

    `complete_sets` is the share of moments at which all cameras gave an image. `identical`: whether every message is, byte for byte, the one that was
    recorded; None for recordings that do not carry their fingerprints.
    """

    path: str
    duration_s: float
    topics: tuple[TopicReport, ...]
    wheel_to_imu_lag_s: float | None
    complete_sets: float | None
    identical: bool | None
    warnings: tuple[str, ...]

    def topic(self, name: str) -> TopicReport:
        """The report of one topic."""
        return next(t for t in self.topics if t.topic == name)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def inspect_bag(bag: Bag, topics: TopicMap | None, offsets_ns: Mapping[str, int]) -> DriveReport:
    """Read every message's stamps once and judge them; the messages themselves are not decoded.

    Args:
        bag: the recording.
        topics: what is read from it; None if that cannot be told.
        offsets_ns: constants added to header stamps.
    """
    received, headers, fingerprints = _stamps(bag)
    differing = fingerprints.differing(bag.custom, str(bag.path))
    roles = topics.roles() if topics else {}
    reports = tuple(
        _topic_report(bag, topic, roles.get(topic, ""), np.array(received.get(topic, []), dtype=np.int64), headers.get(topic), offsets_ns.get(topic, 0))
        for topic in sorted(bag.topics)
    )
    lag, up = _motion(bag, topics, offsets_ns)
    images = [np.array(headers[c.image]) + offsets_ns.get(c.image, 0) for c in topics.cameras if c.image in headers] if topics else []
    complete = _complete_sets(images) if topics and len(images) == len(topics.cameras) > 1 else None
    warnings = [*_warnings(reports, lag, complete, up), *(f"{topic}: not the messages that were recorded" for topic in differing or ())]
    return DriveReport(str(bag.path), bag.duration_s, reports, lag, complete, None if differing is None else not differing, tuple(warnings))


def _stamps(bag: Bag) -> tuple[dict[str, list[int]], dict[str, list[int]], Fingerprints]:
    fingerprints = Fingerprints()
    received: dict[str, list[int]] = {}
    headers: dict[str, list[int]] = {}
    for message in bag.raw(tuple(bag.topics)):
        fingerprints.add(message.topic, message.received_ns, message.data)
        received.setdefault(message.topic, []).append(message.received_ns)
        if message.header_ns is not None:
            headers.setdefault(message.topic, []).append(message.header_ns)
    return received, headers, fingerprints


def _topic_report(bag: Bag, topic: str, role: str, received: IntArray, header: list[int] | None, offset_ns: int) -> TopicReport:
    stamps = received if header is None else np.array(header, dtype=np.int64)
    steps = np.diff(stamps)
    forward = steps[steps > 0]
    period = float(np.median(forward)) if len(forward) else 0.0
    gaps = np.sort(stamps)
    pauses = np.diff(gaps)
    longest = int(np.argmax(pauses)) if len(pauses) else -1
    dropped = int(np.rint(pauses[pauses > GAP * period] / period - 1.0).sum()) if period and role else 0
    delays = None if header is None or not len(stamps) else (received - stamps) * 1e-9
    return TopicReport(
        topic, bag.topics[topic].kind, role, len(stamps), round(1e9 / period, 3) if period else 0.0, seconds(int(pauses[longest])) if longest >= 0 else 0.0,
        seconds(int(gaps[longest]) - bag.start_ns) if longest >= 0 else 0.0, dropped, int((steps < 0).sum()), int((steps == 0).sum()),
        None if delays is None else (float(delays.min()), float(np.median(delays)), float(delays.max())), seconds(offset_ns),
    )  # fmt: skip


def _complete_sets(images: list[IntArray]) -> float:
    """The share of one camera's images, the busiest one's, that all others join within half its period."""
    images = sorted(images, key=len, reverse=True)
    first = images[0]
    half = float(np.median(np.diff(first))) / 2 if len(first) > 1 else 0.0
    joined = np.ones(len(first), bool)
    for other in images[1:]:
        after = np.clip(np.searchsorted(np.sort(other), first), 1, max(len(other) - 1, 1))
        nearest = np.minimum(np.abs(other[np.minimum(after, len(other) - 1)] - first), np.abs(other[after - 1] - first))
        joined &= nearest <= half
    return float(joined.mean()) if len(joined) else 0.0


def _motion(bag: Bag, topics: TopicMap | None, offsets_ns: Mapping[str, int]) -> tuple[float | None, FloatArray | None]:
    """How much later the gyro shows a turn than the wheels [s], and the direction (3,) in which the IMU feels upwards."""
    if topics is None or not topics.imu:
        return None, None
    turns: list[tuple[float, float]] = []
    felt: list[tuple[float, ...]] = []
    for m in bag.messages((topics.wheel, topics.imu)):
        time_s = seconds(decode.header_ns(m.value) + offsets_ns.get(m.topic, 0) - bag.start_ns)
        if m.topic == topics.wheel:
            turns.append((time_s, float(m.value.twist.twist.angular.z)))
        else:
            felt.append((time_s, *decode.xyz(m.value.angular_velocity), *decode.xyz(m.value.linear_acceleration)))
    wheel, imu = np.array(sorted(turns)).reshape(-1, 2), np.array(sorted(felt)).reshape(-1, 7)
    if len(imu) < 20:
        return None, None
    up = np.median(imu[:, 4:], axis=0)
    up = up / max(float(np.linalg.norm(up)), 1e-9)
    if len(wheel) < 20 or np.abs(wheel[:, 1]).max() < 0.1:
        return None, up
    return lag_s(wheel[:, 0], wheel[:, 1], imu[:, 0], imu[:, 1:4] @ up), up


def _warnings(reports: tuple[TopicReport, ...], lag: float | None, complete: float | None, up: FloatArray | None) -> list[str]:
    out = []
    for r in reports:
        if r.count == 0:
            out.append(f"{r.topic} holds no message")
        if r.steps_back:
            out.append(f"the clock of {r.topic} steps back {r.steps_back} times; a topic map may use reception times (stamps: receive)")
        if r.dropped and r.role and not r.role.startswith("calibration"):
            gap = f"the longest gap is {r.longest_gap_s:.2f} s, {r.longest_gap_at_s:.1f} s into the drive"
            out.append(f"{r.topic}: about {r.dropped} messages are missing; {gap}")
        if r.role and r.delay_s is not None and (r.delay_s[0] - r.offset_s < -0.001 or r.delay_s[1] - r.offset_s > CLOCKS_DIFFER_S):
            out.append(f"{r.topic} is stamped by another clock than the recorder's (received − stamp = {r.delay_s[1]:.3f} s); give offset_s in a topic map")
    if lag is not None and abs(lag) > LAG_S:
        out.append(f"the IMU shows turns {lag * 1e3:+.0f} ms after the wheels; give offset_s for one of them in a topic map")
    if up is not None and float(up.any()) and up[2] < LEVEL:
        out.append(f"the IMU feels upwards along ({up[0]:.2f}, {up[1]:.2f}, {up[2]:.2f}), not along its z axis: it is mounted at an angle")
    if complete is not None and complete < 0.95:
        out.append(f"only {complete:.0%} of the moments have an image of every camera")
    return out
