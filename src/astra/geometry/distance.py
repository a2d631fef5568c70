"""Distance fields over cell grids.

Rows are y, columns x; the centre of cell (row, column) lies at origin + (column + ½, row + ½) · resolution.
"""

from __future__ import annotations

import numpy as np

from astra.core.types import BoolArray, Float32Array, FloatArray


def distance_to_occupied(occupied: BoolArray, resolution_m: float, cap_m: float = 1e3) -> Float32Array:
    """Euclidean distance [m] of every cell centre to the nearest occupied cell's centre: 0 inside, `cap_m` where nothing is occupied."""
    from scipy.ndimage import distance_transform_edt

    if not occupied.any():
        return np.full(occupied.shape, cap_m, dtype=np.float32)
    distance: Float32Array = (distance_transform_edt(~occupied) * resolution_m).astype(np.float32)
    return np.minimum(distance, np.float32(cap_m))


def signed_distance(occupied: BoolArray, resolution_m: float, cap_m: float = 1e3) -> Float32Array:
    """Positive distance to the nearest obstacle in free cells, negative depth inside obstacles [m]; zero lies on the cells' border."""
    outside = distance_to_occupied(occupied, resolution_m, cap_m)
    inside = distance_to_occupied(~occupied, resolution_m, cap_m)
    half = np.float32(0.5 * resolution_m)
    field: Float32Array = np.where(occupied, half - inside, outside - half).astype(np.float32)
    return np.clip(field, -cap_m, cap_m)


def distance_to_points(occupied: BoolArray, points_cells: Float32Array, resolution_m: float, cap_m: float = 1e3) -> Float32Array:
    """Distance [m] of every cell centre to the nearest of the points that occupied cells hold, finer than the cells themselves.

    Args:
        occupied: (H, W).
        points_cells: (H, W, 2) float32, the (x, y) of each occupied cell's point in units of cells from the grid's origin.

    The nearest occupied cell and those nearest to the four neighbours are tried, so that the result exceeds the true distance by a
    millimetre or so in rare corners and never by as much as a cell.
    """
    from scipy.ndimage import distance_transform_edt

    if not occupied.any():
        return np.full(occupied.shape, cap_m, dtype=np.float32)
    height, width = occupied.shape
    rows, columns = distance_transform_edt(~occupied, return_distances=False, return_indices=True)
    nearest = points_cells[rows, columns]
    x = np.broadcast_to(np.arange(width, dtype=np.float32) + 0.5, (height, width))
    y = np.broadcast_to((np.arange(height, dtype=np.float32) + 0.5)[:, None], (height, width))
    squared: Float32Array = (nearest[..., 0] - x) ** 2 + (nearest[..., 1] - y) ** 2
    for target, source in _NEIGHBOURS:
        candidate = nearest[source]
        dx, dy = candidate[..., 0] - x[target], candidate[..., 1] - y[target]
        np.minimum(squared[target], dx * dx + dy * dy, out=squared[target])
    return np.minimum(np.sqrt(squared) * np.float32(resolution_m), np.float32(cap_m))


_ALL, _HEAD, _TAIL = slice(None), slice(None, -1), slice(1, None)
_NEIGHBOURS = (
    ((_HEAD, _ALL), (_TAIL, _ALL)),
    ((_TAIL, _ALL), (_HEAD, _ALL)),
    ((_ALL, _HEAD), (_ALL, _TAIL)),
    ((_ALL, _TAIL), (_ALL, _HEAD)),
)


def sample_bilinear(field: Float32Array, cells: FloatArray) -> FloatArray:
    """Interpolate `field` (H, W) at positions `cells` (..., 2), (x, y) in units of cells from the origin; clamped at the border."""
    height, width = field.shape
    x = np.clip(cells[..., 0] - 0.5, 0.0, width - 1.0)
    y = np.clip(cells[..., 1] - 0.5, 0.0, height - 1.0)
    column = np.minimum(x.astype(np.int64), width - 2)
    row = np.minimum(y.astype(np.int64), height - 2)
    u, v = x - column, y - row
    flat = field.ravel()
    first = row * width + column
    top = flat[first] * (1.0 - u) + flat[first + 1] * u
    bottom = flat[first + width] * (1.0 - u) + flat[first + width + 1] * u
    value: FloatArray = top * (1.0 - v) + bottom * v
    return value
