"""Rectangles that tile a floor, the openings between them and the walls around them. Metres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.sim.worlds.placing import Doorway
from astra.sim.worlds.plan import WALL_M, Box, Point, Room, Wall

GRID_M = 0.05  # inner walls lie on this grid
JAMB_M = WALL_M / 2 + 0.12  # wall left between an opening and a corner
Segment = tuple[Point, Point]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A rectangle of a floor before it has a name."""

    category: str
    box: Box

    @property
    def size(self) -> tuple[float, float]:
        """Extent along x and y [m]."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def divide(low: float, high: float, shares: Sequence[float], rng: np.random.Generator, spread: float = 0.12) -> list[tuple[float, float]]:
    """Cut [low, high] into consecutive stretches in about these proportions, on the grid."""
    weights = np.array(shares) * rng.uniform(1.0 - spread, 1.0 + spread, len(shares))
    cuts = low + (high - low) * np.cumsum(weights) / weights.sum()
    inner = [float(on_grid(cut)) for cut in cuts[:-1]]
    return list(zip([low, *inner], [*inner, high]))


def on_grid(value: float) -> float:
    """The nearest place where a wall may lie."""
    return round(round(value / GRID_M) * GRID_M, 4)


def draw(low: float, high: float, rng: np.random.Generator) -> float:
    """A length on the grid."""
    return on_grid(float(rng.uniform(low, high)))


def turned(cells: Sequence[Cell], size: tuple[float, float], rng: np.random.Generator, transpose: bool) -> tuple[list[Cell], tuple[float, float]]:
    """Cells mirrored at random in x and y, and with `transpose` perhaps with x and y exchanged; the extent that they fill."""
    width, depth = size
    mirror_x, mirror_y, swap = (bool(v) for v in rng.random(3) < 0.5)
    found = []
    for cell in cells:
        x0, y0, x1, y1 = cell.box
        if mirror_x:
            x0, x1 = width - x1, width - x0
        if mirror_y:
            y0, y1 = depth - y1, depth - y0
        box = (y0, x0, y1, x1) if swap and transpose else (x0, y0, x1, y1)
        a, b, c, d = (round(v, 4) for v in box)
        found.append(Cell(cell.category, (a, b, c, d)))
    return found, (depth, width) if swap and transpose else size


def shared_wall(a: Box, b: Box) -> Segment | None:
    """The stretch of wall between two boxes, or None if they do not touch along a side."""
    low_x, high_x = max(a[0], b[0]), min(a[2], b[2])
    low_y, high_y = max(a[1], b[1]), min(a[3], b[3])
    if abs(high_x - low_x) < 1e-6 and high_y - low_y > 1e-6:
        return (low_x, low_y), (low_x, high_y)
    if abs(high_y - low_y) < 1e-6 and high_x - low_x > 1e-6:
        return (low_x, low_y), (high_x, low_y)
    return None


def length_m(segment: Segment | None) -> float:
    """Length of a stretch of wall, 0 if there is none."""
    return 0.0 if segment is None else abs(segment[1][0] - segment[0][0]) + abs(segment[1][1] - segment[0][1])


def opening(a: Room, b: Room, width_m: float, rng: np.random.Generator, central: bool = False) -> Doorway | None:
    """An opening of this clear width between two rooms: near one end of their wall as doors are, or in its middle; None if there is no space."""
    wall = shared_wall(a.box, b.box)
    free = length_m(wall) - width_m - 2 * JAMB_M
    if wall is None or free < 0.0:
        return None
    near_end = float(rng.choice([rng.uniform(0.0, 0.1), rng.uniform(0.9, 1.0), rng.uniform(0.1, 0.9)], p=[0.42, 0.42, 0.16]))
    share = float(rng.uniform(0.4, 0.6)) if central else near_end
    start = JAMB_M + share * free
    step = (1.0, 0.0) if wall[0][1] == wall[1][1] else (0.0, 1.0)
    first = wall[0][0] + step[0] * start, wall[0][1] + step[1] * start
    return Doorway(first, (first[0] + step[0] * width_m, first[1] + step[1] * width_m), (a.name, b.name))


def passage(a: Room, b: Room) -> Doorway:
    """The whole stretch between two rooms that no wall parts."""
    wall = shared_wall(a.box, b.box)
    assert wall is not None, f"{a.name} and {b.name} do not touch"
    return Doorway(wall[0], wall[1], (a.name, b.name), walled=False)


def walls_around(rooms: Sequence[Room], doors: Sequence[Doorway], unwalled: Sequence[Doorway]) -> tuple[Wall, ...]:
    """Walls along every side of every room, straight on as far as they go, with the doors as openings.

    Args:
        rooms: tile the outline.
        doors: openings in a wall.
        unwalled: stretches between two rooms without any wall.
    """
    lines: dict[tuple[int, float], list[tuple[float, float]]] = {}
    for room in rooms:
        x0, y0, x1, y1 = room.box
        for axis, at, low, high in ((0, y0, x0, x1), (0, y1, x0, x1), (1, x0, y0, y1), (1, x1, y0, y1)):
            lines.setdefault((axis, round(at, 4)), []).append((low, high))
    walls = []
    for (axis, at), stretches in sorted(lines.items()):
        gaps = [along(door, axis) for door in unwalled if on_line(door, axis, at)]
        for low, high in _without(_union(stretches), gaps):
            inside = sorted(along(door, axis) for door in doors if on_line(door, axis, at) and low < along(door, axis)[0] < high)
            a, b = ((low, at), (high, at)) if axis == 0 else ((at, low), (at, high))
            walls.append(Wall(a, b, tuple((start - low, end - low) for start, end in inside)))
    return tuple(walls)


def connected(names: Collection[str], doors: Sequence[Doorway]) -> bool:
    """Can one walk from any room to any other?"""
    reached, frontier = set(), [next(iter(names))]
    while frontier:
        name = frontier.pop()
        reached.add(name)
        frontier += [other for door in doors if name in door.rooms for other in door.rooms if other not in reached]
    return reached >= set(names)


def doors_of(name: str, doors: Sequence[Doorway]) -> list[Doorway]:
    """The openings of one room."""
    return [door for door in doors if name in door.rooms]


def slenderness(box: Box) -> float:
    """Longer side over shorter side."""
    sides: FloatArray = np.array([box[2] - box[0], box[3] - box[1]])
    return float(sides.max() / sides.min())


def area_m2(box: Box) -> float:
    """Area up to the walls' centre lines."""
    return (box[2] - box[0]) * (box[3] - box[1])


def on_line(door: Doorway, axis: int, at: float) -> bool:
    """Does an opening lie on the line x = at (axis 1) or y = at (axis 0)?"""
    across = 1 - axis
    return abs(door.a[across] - at) < 1e-6 and abs(door.b[across] - at) < 1e-6


def along(door: Doorway, axis: int) -> tuple[float, float]:
    """From where to where an opening goes along its wall."""
    return min(door.a[axis], door.b[axis]), max(door.a[axis], door.b[axis])


def _union(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Overlapping and touching stretches made one."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(stretches):
        if merged and low <= merged[-1][1] + 1e-6:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return merged


def _without(stretches: Sequence[tuple[float, float]], gaps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches less the gaps."""
    left = list(stretches)
    for start, end in gaps:
        left = [piece for low, high in left for piece in ((low, min(high, start)), (max(low, end), high)) if piece[1] - piece[0] > 1e-6]
    return left
