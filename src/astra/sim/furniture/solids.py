"""What a robot runs into: a piece's footprint below one metre, as columns.

A planar lidar at 0.2 m and a planner see a floor plan: what has any surface below `LOW_M` counts as solid over the floor under it, a
table as well as a chest. What begins higher (a lampshade, a wall cabinet over a counter) is passed under.
"""

from __future__ import annotations

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.sim.furniture.shape import Solid

LOW_M = 1.0
CELL_M = 0.02
MOST_BOXES = 4
WASTE = 0.06  # of a box's area that need not be covered before it is split


def solids_of(vertices: FloatArray, faces: IntArray) -> tuple[Solid, ...]:
    """One to four boxes over the footprint below one metre, as high as what stands on it.

    Args:
        vertices: (N, 3) [m], the floor at z = 0.
        faces: (M, 3).
    """
    x, y, z = _samples(vertices, faces).T
    low = z < LOW_M
    if not low.any():
        low[:] = True
    start, end = (np.array([f(x[low]), f(y[low])]) for f in (np.min, np.max))
    shape = np.maximum(1, np.ceil((end - start) / CELL_M - 1e-6)).astype(int)
    step = np.maximum((end - start) / shape, 1e-6)
    i, j = (np.floor((v - v0) / dv).astype(int) - (v == v1) for v, v0, v1, dv in zip((x, y), start, end, step))
    taken = np.zeros(tuple(shape), dtype=bool)
    taken[np.minimum(i[low], shape[0] - 1), np.minimum(j[low], shape[1] - 1)] = True
    solids = []
    for a, b, c, d in _cover(_filled(taken)):
        (x0, y0), (x1, y1) = (start + step * (a, c)).tolist(), (start + step * (b, d)).tolist()
        high = float(z[(i >= a) & (i < b) & (j >= c) & (j < d)].max())
        solids.append(Solid(((x0 + x1) / 2, (y0 + y1) / 2, high / 2), (x1 - x0, y1 - y0, high)))
    return tuple(solids)


def _samples(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Points (K, 3) on every triangle, no further apart than a cell."""
    a, b, c = (np.asarray(vertices, dtype=np.float64)[faces[:, k]] for k in range(3))
    longest = np.max([np.linalg.norm(p - q, axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    steps = np.clip(np.ceil(longest / CELL_M), 1, 300).astype(int)
    points = []
    for count in np.unique(steps):
        of = steps == count
        u, v = np.meshgrid(np.arange(count + 1), np.arange(count + 1))
        u, v = (w[u + v <= count] / count for w in (u, v))
        grid = a[of][:, None] + u[:, None] * (b - a)[of][:, None] + v[:, None] * (c - a)[of][:, None]
        points.append(grid.reshape(-1, 3))
    return np.concatenate(points)


def _filled(taken: BoolArray) -> BoolArray:
    """The footprint with what it encloses."""
    from scipy import ndimage

    filled: BoolArray = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(taken, 2)))[2:-2, 2:-2] | taken
    return filled


def _cover(taken: BoolArray) -> list[tuple[int, int, int, int]]:
    """Boxes (i0, i1, j0, j1) that cover all that is taken: the box with the most waste is cut where the cut saves most."""
    least = WASTE * taken.size
    boxes = [_tight(taken, (0, taken.shape[0], 0, taken.shape[1]))]
    while len(boxes) < MOST_BOXES:
        cuts = [(saved, k, pair) for k, box in enumerate(boxes) if _waste(taken, box) >= least for saved, pair in [_best_cut(taken, box)]]
        saved, k, pair = max(cuts, key=lambda cut: cut[0], default=(0, 0, []))
        if saved < least:
            break
        boxes[k : k + 1] = pair
    return boxes


def _tight(taken: BoolArray, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    i0, _, j0, _ = box
    inside = taken[box[0] : box[1], box[2] : box[3]]
    i, j = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if len(i) == 0:
        return i0, i0, j0, j0
    return int(i0 + i[0]), int(i0 + i[-1] + 1), int(j0 + j[0]), int(j0 + j[-1] + 1)


def _best_cut(taken: BoolArray, box: tuple[int, int, int, int]) -> tuple[int, list[tuple[int, int, int, int]]]:
    """Cells saved by the best straight cut of a box, and the two boxes that it makes."""
    i0, i1, j0, j1 = box
    best: tuple[int, list[tuple[int, int, int, int]]] = (0, [box])
    pairs = [((i0, i, j0, j1), (i, i1, j0, j1)) for i in range(i0 + 1, i1)] + [((i0, i1, j0, j), (i0, i1, j, j1)) for j in range(j0 + 1, j1)]
    for pair in pairs:
        made = [_tight(taken, half) for half in pair]
        saved = _area(box) - sum(_area(half) for half in made)
        if saved > best[0]:
            best = (saved, [half for half in made if _area(half)])
    return best


def _waste(taken: BoolArray, box: tuple[int, int, int, int]) -> int:
    """Cells of a box that are not taken."""
    return _area(box) - int(taken[box[0] : box[1], box[2] : box[3]].sum())


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[1] - box[0]) * (box[3] - box[2])
