"""Rates for diagnostics, and silence for logs. No ROS in it."""

from __future__ import annotations

from astra.core.types import nanoseconds, seconds

KEPT = 500  # different things said


class Quiet:
    """Lets the same thing be said at most once in a while, and counts how often it would have been."""

    def __init__(self, pause_s: float) -> None:
        self._pause_ns = nanoseconds(pause_s)
        self._said: dict[str, tuple[int, int]] = {}  # when last, and how often since

    def ask(self, what: str, now_ns: int) -> int | None:
        """How often it happened since it was last said, this time included; None: not now."""
        when, count = self._said.get(what, (None, 0))
        if when is not None and now_ns - when < self._pause_ns:
            self._said[what] = (when, count + 1)
            return None
        if len(self._said) >= KEPT:
            self._said.clear()
        self._said[what] = (now_ns, 0)
        return count + 1


class Rate:
    """How often something happens, over the time since it was last asked for or a second, whichever is longer."""

    def __init__(self) -> None:
        self.count = 0
        self._since: tuple[int, int] | None = None  # steady time, count
        self._hz = 0.0

    def happened(self) -> None:
        """It happened once."""
        self.count += 1

    def hz(self, now_ns: int) -> float:
        """The rate [Hz]."""
        if self._since is None:
            self._since = (now_ns, self.count)
        span_s = seconds(now_ns - self._since[0])
        if span_s >= 1.0:
            self._hz = (self.count - self._since[1]) / span_s
            self._since = (now_ns, self.count)
        return self._hz
