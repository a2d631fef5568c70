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
