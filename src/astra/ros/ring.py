"""The last minute of everything, in memory; no ROS in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from astra.core.types import nanoseconds

Row = tuple[str, int, bytes]  # topic, stamp [ns], serialized message


class Ring:
    """Messages of the last `seconds`, at most `max_bytes` of them; of latched topics the last word is never forgotten."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._span_ns, self._max_bytes = nanoseconds(seconds), max_bytes
        self._rows: deque[Row] = deque()
        self._latched: dict[str, Row] = {}
        self.bytes = 0
        self.dropped = 0  # for lack of room, not of age

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, topic: str, stamp_ns: int, cdr: bytes, *, latched: bool) -> None:
        """Take a message; a clock that goes back empties the ring."""
        if self._rows and stamp_ns < self._rows[-1][1] - self._span_ns // 60:
            self._rows.clear()
            self.bytes = 0
        if latched:
            self._latched[topic] = (topic, stamp_ns, cdr)
            return
        self._rows.append((topic, stamp_ns, cdr))
        self.bytes += len(cdr)
        while self._rows[0][1] < stamp_ns - self._span_ns:
            self.bytes -= len(self._rows.popleft()[2])
        while self.bytes > self._max_bytes and len(self._rows) > 1:
            self.bytes -= len(self._rows.popleft()[2])
            self.dropped += 1

    def rows(self) -> Iterator[Row]:
        """What is remembered, oldest first; latched messages come first, stamped no later than the rest."""
        first_ns = self._rows[0][1] if self._rows else 0
        for topic, stamp_ns, cdr in self._latched.values():
            yield topic, min(stamp_ns, first_ns) if self._rows else stamp_ns, cdr
        yield from self._rows
