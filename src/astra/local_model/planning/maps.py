"""The maps that the planner reads: clearance of a disc now and at later moments, and what is known at all."""

from __future__ import annotations

import numpy as np

from astra.core.types import AnyArray, BoolArray, Float32Array
from astra.local_model.planning.config import MapConfig

NOTHING_M = 10.0  # distance where there is nothing


def clearance_maps(distance: AnyArray, known: BoolArray, discs: AnyArray, radius_m: float, config: MapConfig) -> Float32Array:
    """(..., M + 1, Y, X): clearance over its cap, −0.5 … 1, at each moment, and 1 where known.

    Args:
        distance: (..., Y, X) from cells' centres to what stands there [m].
        known: (..., Y, X) whether anybody has looked there.
        discs: (..., M, D, 3) x, y, radius [m, base_link] of who will be where at each moment.
        radius_m: of the robot.
        config: the maps.
    """
    centres = config.points().astype(np.float32)
    moments = len(config.moments_s)
    clearance = np.repeat(np.asarray(distance, np.float32)[..., None, :, :], moments, axis=-3)
    for k in range(discs.shape[-2]):
        x, y, radius = (np.asarray(discs[..., k, n], np.float32)[..., None, None] for n in range(3))
        if (np.abs(x) < config.size_m).any():
            np.minimum(clearance, np.hypot(centres[..., 0] - x, centres[..., 1] - y) - radius, out=clearance)
    maps = np.clip((clearance - np.float32(radius_m)) / np.float32(config.cap_m), -0.5, 1.0)
    return np.concatenate([maps, np.asarray(known, np.float32)[..., None, :, :]], axis=-3)


def distance_of(occupied: BoolArray, config: MapConfig) -> Float32Array:
    """(Y, X) distance [m] from the maps' cells to the border of occupied cells (2Y, 2X) half as large."""
    import cv2

    if not occupied.any():
        return np.full((config.cells, config.cells), NOTHING_M, np.float32)
    half = 0.5 * config.resolution_m
    fine = np.asarray(cv2.distanceTransform(np.asarray(~occupied, np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
    blocks = fine.reshape(config.cells, 2, config.cells, 2).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(blocks * np.float32(half) - np.float32(0.5 * half), np.float32)
