"""The floor of a plan that nothing stands on, for tests that need no scene."""

from __future__ import annotations

import numpy as np

from astra.core.types import BoolArray
from astra.sim.worlds.placing import footprint
from astra.sim.worlds.plan import WALL_M, Box, Plan, Wall

CELL_M = 0.05


def wall_boxes(wall: Wall) -> list[Box]:
    """What stands of a wall on the floor."""
    axis = 0 if wall.a[1] == wall.b[1] else 1
    low, high = min(wall.a[axis], wall.b[axis]), max(wall.a[axis], wall.b[axis])
    forward = wall.a[axis] < wall.b[axis]
    gaps = sorted((low + s, low + e) if forward else (high - e, high - s) for s, e in wall.openings)
    cuts = [low, *(v for gap in gaps for v in gap), high]
    across, half = wall.a[1 - axis], WALL_M / 2
    stretches = list(zip(cuts[::2], cuts[1::2]))
    return [(s, across - half, e, across + half) if axis == 0 else (across - half, s, across + half, e) for s, e in stretches]


def free_floor(p: Plan) -> BoolArray:
    """(Y, X) cells of the outline on which nothing stands."""
    x0, y0, x1, y1 = p.outline
    xs, ys = np.arange(x0 + CELL_M / 2, x1, CELL_M), np.arange(y0 + CELL_M / 2, y1, CELL_M)
    free = np.ones((len(ys), len(xs)), bool)
    for a, b, c, d in [*(box for wall in p.walls for box in wall_boxes(wall)), *(footprint(piece) for piece in p.pieces)]:
        free[np.ix_((ys >= b) & (ys <= d), (xs >= a) & (xs <= c))] = False
    return free
