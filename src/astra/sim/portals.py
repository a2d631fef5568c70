"""What can be seen through a chain of openings: the view's wedge is cut by one opening after the other. Seen from above, metres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Point = tuple[float, float]
DEEPEST = 10  # openings in a row
BESIDE_M = 0.1  # openings count as wider by so much at both ends, for jambs and frames that belong to the room behind


@dataclass(frozen=True, slots=True)
class Way:
    """An opening of a zone: what lies behind it, its ends on the left and on the right as one leaves, and what has to be looked over."""

    into: str
    left: Point
    right: Point
    sill_m: float = 0.0

    def wider(self, by_m: float = BESIDE_M) -> Way:
        """The same with its ends moved outwards."""
        dx, dy = self.left[0] - self.right[0], self.left[1] - self.right[1]
        k = by_m / max((dx * dx + dy * dy) ** 0.5, 1e-9)
        return Way(self.into, (self.left[0] + k * dx, self.left[1] + k * dy), (self.right[0] - k * dx, self.right[1] - k * dy), self.sill_m)


class Wedge(NamedTuple):
    """Everything between two directions from the eye, less than half a turn apart."""

    left: Point
    right: Point


class Glimpse(NamedTuple):
    """A zone, the wedge in which it is seen, and the slope of the lowest line of sight; -inf if nothing has to be looked over."""

    zone: str
    wedge: Wedge
    slope: float = -math.inf


def glimpses(at: Point, height_m: float, wedge: Wedge, zones: Sequence[str], ways: Mapping[str, tuple[Way, ...]], top_m: float) -> list[Glimpse]:
    """Every zone in sight of a point in all of `zones`, each as often as there are ways to see it.

    Args:
        at: the eye, from above.
        height_m: its height.
        wedge: what it looks at.
        zones: where it is.
        ways: the openings of each zone.
        top_m: nothing reaches higher than this.
    """
    found: list[Glimpse] = []
    eye = _Eye(at, height_m, top_m, ways)
    for zone in zones:
        _look(eye, Glimpse(zone, wedge), (zone,), found)
    return found


@dataclass(frozen=True, slots=True)
class _Eye:
    at: Point
    height_m: float
    top_m: float
    ways: Mapping[str, tuple[Way, ...]]


def _look(eye: _Eye, here: Glimpse, path: tuple[str, ...], found: list[Glimpse]) -> None:
    found.append(here)
    if len(path) > DEEPEST:
        return
    for way in eye.ways.get(here.zone, ()):
        if way.into in path:
            continue
        wedge = _through(eye.at, here.wedge, way)
        if wedge is None:
            continue
        slope = here.slope
        if way.sill_m > eye.height_m:
            slope = max(slope, (way.sill_m - eye.height_m) / max(math.hypot(*wedge.left), math.hypot(*wedge.right), 1e-3))
        if eye.height_m + slope * _distance(wedge) <= eye.top_m:
            _look(eye, Glimpse(way.into, wedge, slope), (*path, way.into), found)


def _distance(wedge: Wedge) -> float:
    """From the eye to the nearest point between a wedge's two ends."""
    (ax, ay), (bx, by) = wedge.left, wedge.right
    dx, dy = bx - ax, by - ay
    k = min(max(-(ax * dx + ay * dy) / max(dx * dx + dy * dy, 1e-12), 0.0), 1.0)
    return math.hypot(ax + k * dx, ay + k * dy)


def _through(at: Point, wedge: Wedge, way: Way) -> Wedge | None:
    """The part of a wedge that passes an opening; None if none does."""
    x, y = at
    ax, ay, bx, by = way.left[0] - x, way.left[1] - y, way.right[0] - x, way.right[1] - y
    if ax * by - ay * bx >= 0.0:  # seen from behind, or from a point on it
        return None
    (lx, ly), (rx, ry) = wedge.left, wedge.right
    # Cut the opening where it leaves the wedge: its ends' offsets to the inner side of either border decide.
    a_left, b_left = ax * ly - ay * lx, bx * ly - by * lx  # ≥ 0: right of the left border
    if a_left < 0.0 and b_left < 0.0:
        return None
    if a_left < 0.0:
        k = a_left / (a_left - b_left)
        ax, ay = ax + k * (bx - ax), ay + k * (by - ay)
    elif b_left < 0.0:
        k = b_left / (b_left - a_left)
        bx, by = bx + k * (ax - bx), by + k * (ay - by)
    a_right, b_right = rx * ay - ry * ax, rx * by - ry * bx  # ≥ 0: left of the right border
    if a_right < 0.0 and b_right < 0.0:
        return None
    if b_right < 0.0:
        k = b_right / (b_right - a_right)
        bx, by = bx + k * (ax - bx), by + k * (ay - by)
    elif a_right < 0.0:
        k = a_right / (a_right - b_right)
        ax, ay = ax + k * (bx - ax), ay + k * (by - ay)
    return Wedge((ax, ay), (bx, by))
