"""The volumes of the last seconds: each frame is encoded once and kept with the odometry pose that it was seen from. No torch in here."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from scipy import sparse

from astra.core.types import NANOSECONDS, Float32Array
from astra.geometry import Pose2
from astra.local_model.grid import VoxelGrid


class VolumeHistory:
    """A ring buffer of volumes, cell by cell: (Y·X, C) whatever the channels, so that moving one is a product of matrices.

    Args:
        grid: of the volumes.
        steps: how many are asked for, the current one included.
        step_s: time between them [s].
        tolerance_s: how far from its moment a volume may lie.
    """

    def __init__(self, grid: VoxelGrid, steps: int, step_s: float, tolerance_s: float = 0.15) -> None:
        self._grid, self._steps, self._step_ns, self._tolerance_ns = grid, steps, step_s * NANOSECONDS, tolerance_s * NANOSECONDS
        self._kept: deque[tuple[int, Pose2, Float32Array]] = deque()

    def push(self, stamp_ns: int, odom_from_base: Pose2, volume: Float32Array) -> None:
        """Add the newest volume. A clock that steps back clears the past."""
        if self._kept and stamp_ns <= self._kept[-1][0]:
            self._kept.clear()
        self._kept.append((stamp_ns, odom_from_base, volume))
        oldest = stamp_ns - (self._steps - 1) * self._step_ns - self._tolerance_ns
        while self._kept[0][0] < oldest:
            self._kept.popleft()

    def aligned(self) -> tuple[Float32Array, Float32Array]:
        """The volumes (1, P, Y·X, C) around the current pose, newest first, and (1, P) whether each was there.

        A moment of which nothing is kept is filled with the current volume: nothing is known to have moved.
        """
        stamp, pose, current = self._kept[-1]
        volumes, known = [current], [1.0]
        for step in range(1, self._steps):
            wanted = stamp - step * self._step_ns
            found = min(self._kept, key=lambda kept: abs(kept[0] - wanted))
            there = abs(found[0] - wanted) <= self._tolerance_ns
            volumes.append(_weights(found[1].inverse() @ pose, self._grid) @ found[2] if there else current)
            known.append(float(there))
        return np.stack(volumes)[None], np.array([known], np.float32)


def moved(volume: Float32Array, past_from_now: Pose2, grid: VoxelGrid) -> Float32Array:
    """A volume (…, Y, X) of an earlier pose as it lies around the current one, bilinear; 0 where nothing was seen then: what `encoder4d.warp_volume` does."""
    flat = np.ascontiguousarray(volume.reshape(-1, grid.cells**2).T)
    return np.ascontiguousarray((_weights(past_from_now, grid) @ flat).T, dtype=np.float32).reshape(volume.shape)


def _weights(past_from_now: Pose2, grid: VoxelGrid) -> sparse.csr_matrix:
    """(Y·X, Y·X): what each cell takes of the four of an earlier frame around where it then lay."""
    n, cos, sin = grid.cells, math.cos(past_from_now.yaw), math.sin(past_from_now.yaw)
    along, middle = np.arange(n) + 0.5 - n / 2.0, n / 2.0 - 0.5
    x = (cos * along[None] - sin * along[:, None] + (past_from_now.x / grid.resolution_m + middle)).ravel()  # in cells, centres at integers
    y = (sin * along[None] + cos * along[:, None] + (past_from_now.y / grid.resolution_m + middle)).ravel()
    left, low = np.floor(x), np.floor(y)
    columns, rows = left[:, None] + np.array([0, 1, 0, 1]), low[:, None] + np.array([0, 0, 1, 1])
    right, upper = x - left, y - low
    shares = np.stack([1.0 - right, right], 1)[:, [0, 1, 0, 1]] * np.stack([1.0 - upper, upper], 1)[:, [0, 0, 1, 1]]
    inside = (columns >= 0) & (columns < n) & (rows >= 0) & (rows < n)
    cells = np.where(inside, rows * n + columns, 0).astype(np.int32)
    starts = np.arange(0, 4 * n * n + 1, 4, dtype=np.int32)
    return sparse.csr_matrix(((shares * inside).astype(np.float32).ravel(), cells.ravel(), starts), shape=(n * n, n * n))
