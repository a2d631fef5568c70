"""Shortest paths over a grid of costs: the search under the classical planner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import AnyArray, BoolArray, FloatArray, IntArray

BLOCKED = 1e6
"""Cost of a cell that must not be entered."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """Costs (H, W) from the start, +inf where not reachable, and each cell's predecessor (H·W,), negative at the start."""

    cost: FloatArray
    predecessors: IntArray

    def path_to(self, row: int, column: int) -> IntArray:
        """Cells (N, 2) of (row, column) from the start to a reachable cell."""
        width = self.cost.shape[1]
        index = row * width + column
        cells = [index]
        while (index := int(self.predecessors[index])) >= 0:
            cells.append(index)
        order = np.array(cells[::-1], dtype=np.int64)
        return np.stack([order // width, order % width], axis=1)


class GridGraph:
    """The 8-connected graph of a grid of fixed shape; only the weights change from search to search."""

    def __init__(self, height: int, width: int) -> None:
        self.shape = (height, width)
        index = np.arange(height * width, dtype=np.int32).reshape(height, width)
        rows, columns, lengths = [], [], []
        for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
            here = index[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)].ravel()
            rows.append(here)
            columns.append(here + np.int32(dy * width + dx))
            lengths.append(np.full(len(here), math.hypot(dy, dx)))
        row, column = np.concatenate(rows), np.concatenate(columns)
        order = np.lexsort((column, row))
        self._row, self._column = row[order], column[order]
        self._half_length = 0.5 * np.concatenate(lengths)[order]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(self._row, minlength=height * width))]).astype(np.int32)

    def search(self, cost: AnyArray, start: tuple[int, int], limit: float) -> SearchResult:
        """Dijkstra from `start` (row, column) over cell costs (H, W) per cell length, up to a total cost of `limit`."""
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import dijkstra

        height, width = self.shape
        flat = cost.ravel()
        weights = self._half_length * (flat[self._row] + flat[self._column])
        graph = csr_matrix((weights, self._column, self._starts), shape=(height * width, height * width))
        total, predecessors = dijkstra(graph, indices=start[0] * width + start[1], return_predecessors=True, limit=min(limit, 0.4 * BLOCKED))
        return SearchResult(total.reshape(height, width), predecessors)


def cheapest_polyline(vertices: FloatArray, link_cost: FloatArray, links: IntArray) -> IntArray:
    """Indices of the cheapest chain of links from the first vertex to the last.

    Args:
        vertices: (N, 2), in order along a path.
        link_cost: (L,), +inf where the straight line is not free.
        links: (L, 2) pairs i < j, sorted by j.
    """
    count = len(vertices)
    best = np.full(count, np.inf)
    parent = np.full(count, -1, dtype=np.int64)
    best[0] = 0.0
    firsts = np.searchsorted(links[:, 1], np.arange(count + 1))
    for j in range(1, count):
        piece = slice(int(firsts[j]), int(firsts[j + 1]))
        totals = best[links[piece, 0]] + link_cost[piece]
        if len(totals):
            k = int(np.argmin(totals))
            if totals[k] < np.inf:
                best[j], parent[j] = totals[k], links[piece.start + k, 0]
    if not np.isfinite(best[-1]):
        return np.arange(count)
    chain = [count - 1]
    while chain[-1] > 0:
        chain.append(int(parent[chain[-1]]))
    return np.array(chain[::-1], dtype=np.int64)


def paint(shape: tuple[int, int], cells: IntArray, radius: int) -> BoolArray:
    """A mask (H, W) of all cells within a square of `radius` around the cells (N, 2)."""
    mask = np.zeros(shape, dtype=bool)
    offsets = np.stack(np.meshgrid(np.arange(-radius, radius + 1), np.arange(-radius, radius + 1), indexing="ij"), axis=-1).reshape(-1, 2)
    around = (cells[:, None, :] + offsets).reshape(-1, 2)
    inside = np.all((around >= 0) & (around < np.array(shape)), axis=1)
    mask[around[inside, 0], around[inside, 1]] = True
    return mask
