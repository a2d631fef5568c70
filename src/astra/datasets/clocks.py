"""Stamps of a recording in one time: corrected by constants, never running backwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, IntArray, nanoseconds, seconds
from astra.datasets.bag import Bag
from astra.datasets.topics import TopicMap

MIN_CORRELATION = 0.8  # of two signals that are to show the same motion


class Stamper:
    """The time of each message of one pass through a bag.

    Args:
        source: the bag's name, for errors.
        topics: says whose stamps count and what is added to them.
        offsets_ns: topic → constant added to its stamps; see `clock_offsets`.
    """

    def __init__(self, source: str, topics: TopicMap, offsets_ns: Mapping[str, int]) -> None:
        self._source, self._offsets = source, offsets_ns
        self._by_reception = {clock.topic for clock in topics.clocks if clock.stamps == "receive"}
        self._last: dict[str, int] = {}

    def __call__(self, topic: str, received_ns: int, header_ns: int) -> int:
        """The message's time.

        Raises:
            BadInputError: the topic's clock steps back, or its header is never filled in.
        """
        stamp = (received_ns if topic in self._by_reception else header_ns) + self._offsets.get(topic, 0)
        last = self._last.get(topic)
        if last is not None and stamp < last:
            raise BadInputError(
                f"{self._source}: the clock of {topic} steps back by {seconds(last - stamp):.3f} s at {seconds(stamp):.3f} s; "
                f"`astra drive inspect` counts such steps, and a topic map may use reception times (stamps: receive)"
            )
        if last is not None and header_ns == 0 and topic not in self._by_reception:
            raise BadInputError(f"{self._source}: the messages of {topic} carry no stamp; a topic map may use reception times (stamps: receive)")
        self._last[topic] = stamp
        return stamp


def clock_offsets(bag: Bag, topics: TopicMap) -> dict[str, int]:
    """Topic → constant [ns] to add to its stamps, by the topic map; those marked `auto` are estimated.

    The estimate lets the topic's quickest message arrive in no time: min over messages of (received − header). A message is never received
    before it was sent, so this is the largest offset that both clocks allow, wrong by no more than the shortest transport.
    """
    offsets = {clock.topic: nanoseconds(clock.offset_s) for clock in topics.clocks if clock.offset_s}
    wanted = {clock.topic for clock in topics.clocks if clock.estimate and clock.stamps == "header"}
    for topic, delays in latencies_ns(bag, wanted).items():
        offsets[topic] = offsets.get(topic, 0) + int(delays.min())
    return offsets


def latencies_ns(bag: Bag, topics: Collection[str]) -> dict[str, IntArray]:
    """Received − header (N,) [ns] of all stamped messages of some topics."""
    delays: dict[str, list[int]] = {}
    for message in bag.raw(topics) if topics else ():
        if message.header_ns is not None:
            delays.setdefault(message.topic, []).append(message.received_ns - message.header_ns)
    return {topic: np.array(values, dtype=np.int64) for topic, values in delays.items()}


def lag_s(a_times_s: FloatArray, a: FloatArray, b_times_s: FloatArray, b: FloatArray, max_lag_s: float = 1.0) -> float | None:
    """How much later b shows what a shows [s], by cross-correlation, to 5 ms; None if they hold too little to tell.

    Args:
        a_times_s, a: stamps (N,) and values (N,) of one signal, for example the wheels' turning rate.
        b_times_s, b: those of the other, for example the gyro's.
        max_lag_s: the largest lag looked for, either way.
    """
    begin, end = max(a_times_s[0], b_times_s[0]) + max_lag_s, min(a_times_s[-1], b_times_s[-1]) - max_lag_s
    if end - begin < 5.0:
        return None
    grid = np.arange(begin, end, 0.01)
    reference, best, score = np.interp(grid, a_times_s, a), 0.0, 0.0
    for reach_s, step_s in ((max_lag_s, 0.05), (0.05, 0.005)):
        lags = best + np.arange(-reach_s, reach_s + step_s / 2, step_s)
        scores = np.array([_correlation(reference, np.interp(grid + lag, b_times_s, b)) for lag in lags])
        best, score = float(lags[np.argmax(scores)]), float(scores.max())
    return best if score > MIN_CORRELATION and abs(best) < max_lag_s else None


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 1e-9 else 0.0
