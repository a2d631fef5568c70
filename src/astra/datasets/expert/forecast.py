"""What the expert knows of everything that moves: where it will be."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from astra.core.types import FloatArray


class MoverForecast(Protocol):
    """Movers as discs, now and later."""

    def positions(self, times_s: FloatArray) -> FloatArray:
        """x, y, radius [m] of every mover, (T, M, 3), at simulated times (T,) [s]."""
        ...


class NoMovers:
    """An empty building."""

    def positions(self, times_s: FloatArray) -> FloatArray:
        """Nobody, (T, 0, 3)."""
        return np.zeros((len(times_s), 0, 3))


class WatchedMovers:
    """A forecast corrected by what is seen: who stands although it should have walked, waits, and is taken to go on waiting."""

    def __init__(self, forecast: MoverForecast) -> None:
        self._forecast = forecast
        self._last: FloatArray | None = None  # (2, M, 3): where everybody was, and would have been a step later

    def ahead(self, times_s: FloatArray) -> FloatArray:
        """(T, M, 3): x, y, radius [m] at even times from now on; to be asked once every step of them."""
        positions = self._forecast.positions(times_s)
        now = positions[0, :, :2]
        last, self._last = self._last, positions[:2].copy()
        if last is None or last.shape[1] != len(now):
            return positions
        meant = np.hypot(*(last[1, :, :2] - last[0, :, :2]).T)
        walked = np.hypot(*(now - last[0, :, :2]).T)
        waits = (meant > 0.02) & (walked < 0.3 * meant)
        positions[:, waits] = positions[0, waits]
        return positions
