"""Progress of long stages, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

Tick = Callable[[int], None]


class Progress(Protocol):
    """Shows stages as they run."""

    def start(self, name: str, total: int | None) -> Tick:
        """A stage begins; the returned function is told how many steps were done since its last call."""
        ...

    def finish(self, name: str) -> None:
        """The stage is done."""
        ...


class Quiet:
    """Shows nothing."""

    def start(self, name: str, total: int | None) -> Tick:
        """Nothing to show."""
        return lambda done: None

    def finish(self, name: str) -> None:
        """Nothing to show."""


class TqdmProgress:
    """One bar a stage on stderr."""

    def __init__(self) -> None:
        self._bars: dict[str, object] = {}

    def start(self, name: str, total: int | None) -> Tick:
        """Open the stage's bar."""
        from tqdm import tqdm

        bar = tqdm(total=total, desc=f"{name:<10}", leave=True, dynamic_ncols=True)
        self._bars[name] = bar
        return lambda done: bar.update(done) and None

    def finish(self, name: str) -> None:
        """Close the stage's bar."""
        bar = self._bars.pop(name, None)
        if bar is not None:
            bar.close()  # type: ignore[attr-defined]


class StageClock:
    """Runs stages under a `Progress` and keeps their wall times."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Tick]:
        """Time a stage and show it."""
        begin = time.perf_counter()
        tick = self.progress.start(name, total)
        try:
            yield tick
        finally:
            self.progress.finish(name)
            self.seconds[name] = round(time.perf_counter() - begin, 2)
