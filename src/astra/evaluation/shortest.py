"""Shortest free paths on a true occupancy grid: what a perfect robot would have to drive."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from shapely import contains_xy
from shapely.geometry import Polygon

from astra.core.types import BoolArray, FloatArray


def shortest_path_m(
    free: BoolArray, resolution_m: float, origin_xy: tuple[float, float], start_xy: tuple[float, float], goal: FloatArray, radius_m: float
) -> float:
    """Length of the shortest path of a disc from a point to a region.

    Args:
        free: (Y, X) bool, True where nothing stands; cell (0, 0) has its lower-left corner at `origin_xy`.
        resolution_m: edge of a cell.
        origin_xy: world position of the grid's corner [m].
        start_xy: world position of the start [m].
        goal: (K, 2) polygon of the goal region, world frame [m].
        radius_m: radius of the disc.

    Returns:
        The length [m]; infinite if the region cannot be reached.
    """
    passable = distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1] * resolution_m > radius_m
    column, row = (int((s - o) / resolution_m) for s, o in zip(start_xy, origin_xy))
    if not (0 <= row < free.shape[0] and 0 <= column < free.shape[1]):
        return math.inf
    passable[row, column] = True  # the robot does stand there
    ids = np.full(free.shape, -1)
    ids[passable] = np.arange(int(passable.sum()))
    rows, columns, costs = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1)):
        a = ids[: free.shape[0] - dy, max(-dx, 0) : free.shape[1] - max(dx, 0)].ravel()
        b = ids[dy:, max(dx, 0) : free.shape[1] - max(-dx, 0)].ravel()
        both = (a >= 0) & (b >= 0)
        rows.append(a[both])
        columns.append(b[both])
        costs.append(np.full(int(both.sum()), math.hypot(dx, dy) * resolution_m))
    count = int(passable.sum())
    graph = coo_matrix((np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)).tocsr()
    distance = dijkstra(graph, directed=False, indices=int(ids[row, column]))
    y, x = np.nonzero(passable)
    centres = (np.stack([x, y], axis=1) + 0.5) * resolution_m + np.array(origin_xy)
    inside = contains_xy(Polygon(goal), centres[:, 0], centres[:, 1])
    return float(distance[inside].min(initial=math.inf))
