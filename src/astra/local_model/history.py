"""The volumes of the last seconds: each frame is encoded once and kept with the odometry pose that it was seen from. No torch in here."""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy import sparse

from astra.core.types import NANOSECONDS, Float32Array
from astra.geometry import Pose2
from astra.local_model.grid import VoxelGrid


class VolumeHistory:
    """A ring buffer of volumes (…, Y, X), whatever their channels.

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
        """The volumes (1, P, …, Y, X) around the current pose, newest first, and (1, P) whether each was there.

        A moment of which nothing is kept is filled with the current volume: nothing is known to have moved.
        """
        stamp, pose, current = self._kept[-1]
        volumes, known = [current], [1.0]
        for step in range(1, self._steps):
            wanted = stamp - step * self._step_ns
            found = min(self._kept, key=lambda kept: abs(kept[0] - wanted))
            there = abs(found[0] - wanted) <= self._tolerance_ns
            volumes.append(moved(found[2], found[1].inverse() @ pose, self._grid) if there else current)
            known.append(float(there))
        return np.stack(volumes)[None], np.array([known], np.float32)


def moved(volume: Float32Array, past_from_now: Pose2, grid: VoxelGrid) -> Float32Array:
    """A volume (…, Y, X) of an earlier pose as it lies around the current one, bilinear; 0 where nothing was seen then.

    What `encoder4d.warp_volume` does, as a sparse matrix: a millisecond for a volume.
    """
    n = grid.cells
    along = (np.arange(n) + 0.5) * grid.resolution_m - grid.size_m / 2.0
    x, y = np.meshgrid(along, along)
    then = past_from_now.apply(np.column_stack([x.ravel(), y.ravel()]))
    place = (then + grid.size_m / 2.0) / grid.resolution_m - 0.5  # in cells, centres at integers
    low = np.floor(place).astype(np.int64)
    part = (place - low).astype(np.float32)
    corners = [(low + corner, np.abs(1 - corner - part).prod(axis=1)) for corner in np.array([[0, 0], [1, 0], [0, 1], [1, 1]])]
    inside = np.stack([((cells >= 0) & (cells < n)).all(axis=1) for cells, _ in corners], axis=1)
    columns = np.where(inside, np.stack([cells[:, 1] * n + cells[:, 0] for cells, _ in corners], axis=1), 0)
    weights = np.where(inside, np.stack([share for _, share in corners], axis=1), 0.0).astype(np.float32)
    matrix = sparse.csr_matrix((weights.ravel(), columns.astype(np.int32).ravel(), np.arange(0, 4 * n * n + 1, 4, dtype=np.int32)), shape=(n * n, n * n))
    flat = np.ascontiguousarray(volume.reshape(-1, n * n).T)
    return np.ascontiguousarray((matrix @ flat).T, dtype=np.float32).reshape(volume.shape)
