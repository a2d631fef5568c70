"""The robot's outline as discs, so that clearance is a few look-ups in the distance field."""

from __future__ import annotations

import math
from dataclasses import dataclass

from astra.core.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Outline:
    """Discs of one radius whose centres lie at `offsets_m` along the base's x axis."""

    offsets_m: tuple[float, ...]
    radius_m: float

    @property
    def reach_m(self) -> float:
        """The farthest that any part lies from base_link: room to turn on the spot."""
        return max(abs(x) for x in self.offsets_m) + self.radius_m

    @staticmethod
    def disc(radius_m: float) -> Outline:
        """A round robot."""
        return Outline((0.0,), radius_m)

    @staticmethod
    def rectangle(rear_m: float, front_m: float, half_width_m: float, overhang_m: float = 0.03) -> Outline:
        """Discs that cover the rectangle -rear_m ≤ x ≤ front_m, |y| ≤ half_width_m and stick out of its sides by `overhang_m` at most."""
        if min(rear_m, front_m, half_width_m) <= 0.0 or overhang_m <= 0.0:
            raise BadInputError(f"a rectangle of {rear_m}, {front_m}, {half_width_m} m with overhang {overhang_m} m has no inside")
        radius = half_width_m + overhang_m
        step = 2.0 * math.sqrt(radius**2 - half_width_m**2)  # neighbours meet on the long sides
        first, last = -rear_m + step / 2, front_m - step / 2
        if last <= first:
            return Outline(((front_m - rear_m) / 2,), math.hypot((front_m + rear_m) / 2, half_width_m))
        count = math.ceil((last - first) / step) + 1
        return Outline(tuple(first + (last - first) * k / (count - 1) for k in range(count)), radius)
