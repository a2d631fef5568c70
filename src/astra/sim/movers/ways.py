"""Ways over free floor for something round: shortest with a liking for the middle, then smoothed."""

from __future__ import annotations

import math

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray, IntArray

NODE_M = 0.1
MARGIN_M = 0.08  # beyond the radius, so that smoothing and rounding stay clear of everything
SMOOTH_M = (0.6, 0.3, 0.15)  # tried in turn
ASIDE_M = (0.4, 0.3, 0.2, 0.1)  # people keep to the right where there is room, so that they can pass each other
LIKES_M = 0.7  # clearance beyond the radius from which on more is worth nothing


class Ways:
    """The largest connected floor on which a disc of `radius_m` can be, as a graph of nodes `NODE_M` apart; without `points` if there is none.

    Args:
        free: (Y, X) cells, cell (0, 0) with its lower-left corner at `origin_xy`.
        origin_xy: [m].
        resolution_m: size of a cell [m].
        radius_m: of the disc.
    """

    def __init__(self, free: BoolArray, origin_xy: tuple[float, float], resolution_m: float, radius_m: float) -> None:
        from scipy.ndimage import distance_transform_edt, label

        if free.ndim != 2 or not free.any():
            raise BadInputError(f"no free floor for anybody to walk on: a grid of shape {free.shape} with no free cell")
        self.radius_m, self._origin, self._resolution = radius_m, np.array(origin_xy), resolution_m
        self._clearance: FloatArray = distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1] * resolution_m - resolution_m * 0.75
        self._step = max(1, round(NODE_M / resolution_m))
        room = self._clearance[:: self._step, :: self._step] - radius_m
        parts, _ = label(room >= MARGIN_M, structure=np.ones((3, 3)))
        number = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1 if parts.any() else -1
        self.rows, self.columns = np.nonzero(parts == number)
        self._node = np.full(parts.shape, -1)
        self._node[self.rows, self.columns] = np.arange(len(self.rows))
        self.points = self._origin + (np.column_stack([self.columns, self.rows]) * self._step + 0.5) * resolution_m
        self._graph = self._edges(room)

    def nearest(self, xy: tuple[float, float], within_m: float) -> tuple[float, float] | None:
        """The node nearest to a point, None if there is none within a distance."""
        distance = np.linalg.norm(self.points - np.array(xy), axis=1)
        k = int(distance.argmin())
        return (float(self.points[k, 0]), float(self.points[k, 1])) if distance[k] <= within_m else None

    def random(self, rng: np.random.Generator) -> tuple[float, float]:
        """Any node."""
        x, y = self.points[int(rng.integers(len(self.points)))]
        return float(x), float(y)

    def ways_from(self, start: tuple[float, float], goals: list[tuple[float, float]]) -> dict[int, FloatArray]:
        """Ways (N, 2) [m], at least two points, from a node to others, by the goal's number; a goal that is the start has none."""
        from scipy.sparse.csgraph import dijkstra

        first = self._at(start)
        cost, before = dijkstra(self._graph, indices=first, return_predecessors=True)
        found = {}
        for number, goal in enumerate(goals):
            last = self._at(goal)
            if last == first or not math.isfinite(cost[last]):
                continue
            nodes = [last]
            while nodes[-1] != first:
                nodes.append(int(before[nodes[-1]]))
            found[number] = self._smooth(self.points[nodes[::-1]])
        return found

    def clearance_at(self, points: FloatArray) -> FloatArray:
        """Distance (…) [m] from points (…, 2) to the nearest thing, at most three quarters of a cell too short or too long."""
        cells = np.floor((np.asarray(points) - self._origin) / self._resolution).astype(np.int64)
        rows, columns = cells[..., 1], cells[..., 0]
        inside = (rows >= 0) & (rows < self._clearance.shape[0]) & (columns >= 0) & (columns < self._clearance.shape[1])
        found: FloatArray = np.where(inside, self._clearance[np.where(inside, rows, 0), np.where(inside, columns, 0)], 0.0)
        return found

    def _at(self, xy: tuple[float, float]) -> int:
        return int(np.linalg.norm(self.points - np.array(xy), axis=1).argmin())

    def _smooth(self, way: FloatArray) -> FloatArray:
        """The way (N, 2) without the grid's corners, as smooth as the room beside it allows; its ends stay."""
        from scipy.ndimage import gaussian_filter1d

        for sigma_m in SMOOTH_M:
            sigma = sigma_m / NODE_M
            pad = min(len(way) - 1, math.ceil(3 * sigma))
            padded = np.pad(way, ((pad, pad), (0, 0)), mode="reflect", reflect_type="odd")
            smooth: FloatArray = gaussian_filter1d(padded, sigma, axis=0, mode="nearest")[pad : len(padded) - pad]
            smooth[[0, -1]] = way[[0, -1]]
            if (self.clearance_at(smooth) >= self.radius_m + MARGIN_M / 2).all():
                return self._to_the_right(smooth)
        return way

    def _to_the_right(self, way: FloatArray) -> FloatArray:
        """The way (N, 2) a little further right where that stays clear; its ends stay."""
        from scipy.ndimage import gaussian_filter1d, minimum_filter1d

        tangent = np.gradient(way, axis=0)
        right = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        room = np.zeros(len(way))
        for aside in ASIDE_M:
            clear = self.clearance_at(way + aside * right) >= self.radius_m + MARGIN_M
            room = np.where((room == 0.0) & clear, aside, room)
        room[[0, -1]] = 0.0
        shift = gaussian_filter1d(minimum_filter1d(room, 9), 4.0, mode="nearest")
        shift *= np.minimum(1.0, np.minimum(np.arange(len(way)), np.arange(len(way))[::-1]) / 8.0)
        moved: FloatArray = way + shift[:, None] * right
        return moved if (self.clearance_at(moved) >= self.radius_m + MARGIN_M / 2).all() else way

    def _edges(self, room: FloatArray) -> object:
        """The graph as a sparse matrix: length, up to three times as much where it is narrow."""
        from scipy.sparse import coo_matrix

        narrow = 1.0 + 2.0 * np.clip(1.0 - room / LIKES_M, 0.0, 1.0)
        heads: list[IntArray] = []
        tails: list[IntArray] = []
        weights: list[FloatArray] = []
        padded = np.pad(self._node, 1, constant_values=-1)
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            other = padded[1 + dr : padded.shape[0] - 1 + dr, 1 + dc : padded.shape[1] - 1 + dc]
            both = (self._node >= 0) & (other >= 0)
            heads.append(self._node[both])
            tails.append(other[both])
            weights.append(math.hypot(dr, dc) * NODE_M * narrow[both])
        a, b, w = np.concatenate(heads), np.concatenate(tails), np.concatenate(weights)
        n = len(self.rows)
        return coo_matrix((np.concatenate([w, w]), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(n, n)).tocsr()
