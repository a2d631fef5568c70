"""The robot's outline as discs, so that clearance is a few look-ups in the distance field."""

from __future__ import annotations

import math
from dataclasses import dataclass

from astra.core.errors import BadInputError

_OVERHANG_M = 0.01
_CORNER_M = 0.05


@dataclass(frozen=True, slots=True)
class Outline:
    """Discs (x, y, radius) in base_link [m]. `radius_m` is the largest disc about base_link that the outline holds."""

    discs: tuple[tuple[float, float, float], ...]
    radius_m: float

    @property
    def reach_m(self) -> float:
        """The farthest that any part lies from base_link: room to turn on the spot."""
        return max(math.hypot(x, y) + r for x, y, r in self.discs)

    @property
    def is_round(self) -> bool:
        """Whether turning on the spot changes nothing."""
        return len(self.discs) == 1

    @staticmethod
    def disc(radius_m: float) -> Outline:
        """A round robot."""
        return Outline(((0.0, 0.0, radius_m),), radius_m)

    @staticmethod
    def rectangle(half_length_m: float, half_width_m: float) -> Outline:
        """The rectangle |x| ≤ half_length_m, |y| ≤ half_width_m, longer than wide: as wide as it is along its axis, small in its corners.

        Of the short sides, a strip up to 0.05 m deep between middle and corners stays uncovered.
        """
        if not 0.0 < half_width_m <= half_length_m:
            raise BadInputError(f"a rectangle of half length {half_length_m} m and half width {half_width_m} m is not longer than wide")
        radius, corner = half_width_m + _OVERHANG_M, min(_CORNER_M, half_width_m / 2)
        last = half_length_m - half_width_m
        count = 2 + math.ceil(last / half_width_m) if last > 0.01 else 1
        along = [last * (2.0 * k / max(count - 1, 1) - 1.0) for k in range(count)] if count > 1 else [0.0]
        x, y = half_length_m - corner, half_width_m - corner
        corners = [(sx * x, sy * y, corner + _OVERHANG_M) for sx in (-1, 1) for sy in (-1, 1)]
        return Outline((*((a, 0.0, radius) for a in along), *corners), half_width_m)
