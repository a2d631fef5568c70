"""Lift-Splat of one fixed rig as sparse matrices: what `encoder3d.splat` does in training, in two milliseconds and without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from astra.core.types import AnyArray, Float32Array, IntArray
from astra.local_model.lifting import PARTS


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """`cells` (C + 2, count): features and evidence as `Encoder3d.settle` wants them; `seen` (count,): rays of working cameras that meet each."""

    cells: Float32Array
    seen: Float32Array


class Pooling:
    """Pools pixels of a rig into the cells of one grid.

    Args:
        voxel: (V, D·PARTS, h, w) of the rig's `SplatPlan` on the grid.
        count: cells of the grid.
    """

    def __init__(self, voxel: IntArray, count: int) -> None:
        v, parts, h, w = voxel.shape
        flat = voxel.reshape(-1)
        inside = np.flatnonzero(flat < count)
        order = inside[np.argsort(flat[inside], kind="stable")]
        camera, place = np.divmod(order, parts * h * w)
        part, pixel = np.divmod(place, h * w)
        self._source = (camera * parts + part) * (h * w) + pixel  # into (V, D·PARTS, h·w)
        self._columns = (camera * (h * w) + pixel).astype(np.int32)
        self._rows = np.concatenate([[0], np.cumsum(np.bincount(flat[order], minlength=count))]).astype(np.int32)
        self._shape = (count, v * h * w)

    def __call__(self, features: AnyArray, depth: AnyArray) -> Pooled:
        """Pool.

        Args:
            features: (V, C, h, w) float32.
            depth: (V, D, h, w) float32, probabilities; all zero for a camera that is not believed.
        """
        channels = features.shape[1]
        parts = np.repeat(depth, PARTS, axis=1) / np.float32(PARTS)
        passing = parts.sum(1, keepdims=True) - parts.cumsum(1)
        pixels = np.ones((self._shape[1], channels + 1), np.float32)
        pixels[:, :channels] = features.transpose(0, 2, 3, 1).reshape(-1, channels)
        total = self._matrix(parts) @ pixels
        ended, passed = total[:, -1], self._matrix(passing) @ pixels[:, -1]
        cells = np.concatenate([total[:, :-1] / (1.0 + ended)[:, None], np.log1p(ended)[:, None], np.log1p(passed)[:, None]], axis=1)
        return Pooled(np.ascontiguousarray(cells.T, dtype=np.float32), ended + passed)

    def _matrix(self, weights: AnyArray) -> sparse.csr_matrix:
        return sparse.csr_matrix((weights.reshape(-1)[self._source].astype(np.float32), self._columns, self._rows), shape=self._shape)
