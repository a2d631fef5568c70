"""Δposes that arrive late: the last seconds of beliefs and intervals, to go back to the moments that a Δpose is about and drive on from there."""

from __future__ import annotations

import bisect
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from astra.core.types import FloatArray, nanoseconds
from astra.fusion.belief import Belief, Interval, advance, delta_surprise, fuse_delta
from astra.fusion.odometry_config import OdometryConfig
from astra.geometry.se2 import Pose2

_SAME_NS = 1_000_000  # stamps this near to each other are one


@dataclass(frozen=True, slots=True, eq=False)
class DeltaPose:
    """A measured motion `from_base_from_to_base` between two stamps, with covariance (3, 3) of x [m], y [m], yaw [rad] in the base at `from_ns`."""

    from_ns: int
    to_ns: int
    motion: Pose2
    covariance: FloatArray


class DeltaOutcome(StrEnum):
    """What became of a Δpose."""

    FUSED = "fused"
    WAITING = "waiting"  # until the wheels have come so far
    OUTLIER = "outlier"  # contradicts the wheels and the gyro
    REVOLT = "revolt"  # contradicts them, as those before it did: the wheels are wrong
    TOO_OLD = "too_old"
    OVERLAP = "overlap"  # begins before the end of the one that was fused last
    NOT_FINITE = "not_finite"

    @property
    def is_used(self) -> bool:
        """Whether it changed the belief."""
        return self in (DeltaOutcome.FUSED, DeltaOutcome.REVOLT)


class History:
    """Beliefs at the ends of intervals, oldest first; the newest one is the present."""

    def __init__(self, config: OdometryConfig, start: Belief) -> None:
        self._config = config
        self.outcomes: Counter[DeltaOutcome] = Counter()
        self.restart(start)

    def restart(self, belief: Belief) -> None:
        """Forget everything before this belief."""
        self._beliefs, self._intervals = [belief], list[Interval]()
        self._fused_ns, self._refused = belief.stamp_ns, 0
        self._waiting: list[DeltaPose] = []

    @property
    def newest(self) -> Belief:
        """The present."""
        return self._beliefs[-1]

    def travelled_m(self, from_ns: int, to_ns: int) -> float:
        """How far the wheels (or, while they slipped, the accelerometer) went between two stamps."""
        first = bisect.bisect_right(self._intervals, from_ns, key=lambda i: i.end_ns)
        last = bisect.bisect_left(self._intervals, to_ns, key=lambda i: i.start_ns)
        spans = ((i, max(i.start_ns, from_ns), min(i.end_ns, to_ns)) for i in self._intervals[first:last])
        return sum(i.travel_m * (end - begin) / (i.end_ns - i.start_ns) for i, begin, end in spans)

    def append(self, interval: Interval) -> None:
        """Drive on."""
        self._beliefs.append(advance(self.newest, interval, self._config))
        self._intervals.append(interval)
        oldest_ns = interval.end_ns - nanoseconds(self._config.delta_memory_s)
        if len(self._beliefs) > 64 and self._beliefs[32].stamp_ns < oldest_ns:
            del self._beliefs[:32], self._intervals[:32]

    def add(self, delta: DeltaPose) -> DeltaOutcome:
        """Fuse a Δpose, or keep it until the wheels have come so far."""
        outcome = self._judge(delta)
        if outcome is DeltaOutcome.WAITING:
            self._waiting.append(delta)
        self.outcomes[outcome] += 1
        return outcome

    def retry(self) -> list[DeltaOutcome]:
        """Fuse what waited and is now due."""
        due = [delta for delta in self._waiting if delta.to_ns <= self.newest.stamp_ns]
        if not due:
            return []
        self._waiting = [delta for delta in self._waiting if delta.to_ns > self.newest.stamp_ns]
        return [self.add(delta) for delta in sorted(due, key=lambda d: d.to_ns)]

    def _judge(self, delta: DeltaPose) -> DeltaOutcome:
        covariance = np.asarray(delta.covariance)
        if not delta.motion.is_finite() or covariance.shape != (3, 3) or not np.all(np.isfinite(covariance)):
            return DeltaOutcome.NOT_FINITE
        if delta.to_ns <= delta.from_ns or float(np.linalg.eigvalsh(0.5 * (covariance + covariance.T))[0]) <= 0.0:
            return DeltaOutcome.NOT_FINITE
        if delta.to_ns > self.newest.stamp_ns:
            far = delta.to_ns - self.newest.stamp_ns > nanoseconds(self._config.delta_memory_s) or len(self._waiting) >= 32
            return DeltaOutcome.TOO_OLD if far else DeltaOutcome.WAITING
        if delta.from_ns < self._beliefs[0].stamp_ns:
            return DeltaOutcome.TOO_OLD
        if delta.from_ns < self._fused_ns - _SAME_NS:
            return DeltaOutcome.OVERLAP
        return self._fuse(delta)

    def _fuse(self, delta: DeltaPose) -> DeltaOutcome:
        first, then = self._at(delta.from_ns)
        belief = then.cloned()
        last = bisect.bisect_left(self._beliefs, delta.to_ns, key=lambda b: b.stamp_ns) - 1
        for i in range(first, last + 1):
            interval = self._intervals[i]
            begin, end = max(interval.start_ns, delta.from_ns), min(interval.end_ns, delta.to_ns)
            belief = advance(belief, interval if (begin, end) == (interval.start_ns, interval.end_ns) else interval.part(begin, end), self._config)
        surprise, expected, _ = delta_surprise(belief, delta.motion)
        chi_squared = float(surprise @ np.linalg.solve(expected + delta.covariance, surprise))
        outcome = DeltaOutcome.FUSED
        if chi_squared > self._config.delta_gate:
            self._refused += 1
            if self._refused < self._config.delta_revolt:
                return DeltaOutcome.OUTLIER
            outcome, belief = DeltaOutcome.REVOLT, _doubted(belief, surprise)
        else:
            self._refused = 0
        self._drive_on(fuse_delta(belief, delta.motion, delta.covariance), last)
        self._fused_ns = delta.to_ns
        return outcome

    def _at(self, stamp_ns: int) -> tuple[int, Belief]:
        """The index of the interval that holds a stamp, and the belief at it."""
        i = max(bisect.bisect_right(self._beliefs, stamp_ns, key=lambda b: b.stamp_ns) - 1, 0)
        belief = self._beliefs[i]
        if stamp_ns > belief.stamp_ns:
            belief = advance(belief, self._intervals[i].part(belief.stamp_ns, stamp_ns), self._config)
        return i, belief

    def _drive_on(self, belief: Belief, last: int) -> None:
        """Replace everything after a corrected belief inside (or at the end of) interval `last`."""
        remaining = self._intervals[last + 1 :]
        interval = self._intervals[last]
        if interval.end_ns > belief.stamp_ns:
            remaining = [interval.part(belief.stamp_ns, interval.end_ns), *remaining]
            kept = [interval.part(interval.start_ns, belief.stamp_ns)]
        else:
            kept = [interval]
        self._beliefs = [*self._beliefs[: last + 1], belief]
        self._intervals = [*self._intervals[:last], *kept]
        for interval in remaining:
            self._beliefs.append(advance(self._beliefs[-1], interval, self._config))
            self._intervals.append(interval)


def _doubted(belief: Belief, surprise: FloatArray) -> Belief:
    """A belief whose motion since the clone is as uncertain as it is surprising."""
    covariance = belief.covariance.copy()
    covariance[:3, :3] += np.diag([max(surprise[0] ** 2, surprise[1] ** 2)] * 2 + [surprise[2] ** 2])
    return replace(belief, covariance=covariance)
