"""Two sessions' occupancy grids as one. Where they differ the later one is believed: furniture moves, and so do doors."""

from __future__ import annotations

import dataclasses

import numpy as np

from astra.core.types import FloatArray
from astra.geometry.distance import distance_to_occupied
from astra.mapping.arrange import Placed, nearest_bend
from astra.mapping.occupancy import Occupancy

SLACK_M = 0.15  # a wall that the later session sees this much aside is the same wall, drawn by another pose


def merge_grids(earlier: Occupancy | None, later: Occupancy, spot: Placed) -> Occupancy:
    """The earlier grid, grown and brought up to date by the later one, which lies at `spot`."""
    resolution = later.config.resolution_m if earlier is None else earlier.config.resolution_m
    outline = spot.new_from_old.apply(np.column_stack([_corners(later), np.zeros(4)]))[:, :2]
    low, high = outline.min(axis=0), outline.max(axis=0)
    if earlier is not None:
        low, high = np.minimum(low, _corners(earlier).min(axis=0)), np.maximum(high, _corners(earlier).max(axis=0))
    grid = _grown(earlier, low, high, resolution, later)
    seen = _resampled(later, grid, spot)
    return dataclasses.replace(grid, log_odds=_updated(grid, seen))


def _corners(grid: Occupancy) -> FloatArray:
    height, width = grid.log_odds.shape
    corners: FloatArray = grid.origin + np.array([[0, 0], [width, 0], [0, height], [width, height]]) * grid.config.resolution_m
    return corners


def _grown(earlier: Occupancy | None, low: FloatArray, high: FloatArray, resolution_m: float, like: Occupancy) -> Occupancy:
    """A grid over `low` … `high` that holds the earlier one, cell on cell."""
    start = low if earlier is None else earlier.origin
    before = np.maximum(np.ceil((start - low) / resolution_m - 1e-6), 0).astype(np.int64)
    origin = start - before * resolution_m
    width, height = np.ceil((high - origin) / resolution_m - 1e-6).astype(np.int64).tolist()
    log_odds = np.zeros((height, width), dtype=np.float32)
    if earlier is not None:
        rows, columns = earlier.log_odds.shape
        log_odds[before[1] : before[1] + rows, before[0] : before[0] + columns] = earlier.log_odds
    config = (earlier or like).config
    return Occupancy(log_odds, origin, dataclasses.replace(config, resolution_m=resolution_m))


def _resampled(later: Occupancy, grid: Occupancy, spot: Placed) -> Occupancy:
    """The later grid in the cells of `grid`: each cell is looked up where it lay before the bend and the motion."""
    height, width = grid.log_odds.shape
    rows, columns = np.indices((height, width)).reshape(2, -1)
    centres = grid.origin + (np.stack([columns, rows], axis=1) + 0.5) * grid.config.resolution_m
    rigid = centres - nearest_bend(spot, centres)
    old = spot.new_from_old.inverse().apply(np.column_stack([rigid, np.zeros(len(rigid))]))[:, :2]
    cells = later.cells(old)
    inside = np.all((cells >= 0) & (cells < np.array(later.log_odds.shape)), axis=1)
    values = np.zeros(height * width, dtype=np.float32)
    values[inside] = later.log_odds[cells[inside, 0], cells[inside, 1]]
    return Occupancy(values.reshape(height, width), grid.origin, grid.config)


def _updated(grid: Occupancy, seen: Occupancy) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The later session's word where it has one; walls that both know stay where the earlier session drew them."""
    resolution = grid.config.resolution_m
    to_new = distance_to_occupied(seen.occupied, resolution)
    to_old = distance_to_occupied(grid.occupied, resolution)
    out = grid.log_odds.copy()
    unknown = ~grid.occupied & ~grid.free
    take = unknown | (grid.occupied & seen.free & (to_new > SLACK_M)) | (grid.free & seen.occupied & (to_old > SLACK_M))
    take &= seen.occupied | seen.free
    out[take] = seen.log_odds[take]
    return out
