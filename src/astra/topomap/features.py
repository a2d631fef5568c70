"""The visual memory of a map: per view, local features with their triangulated points, and one place descriptor."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np

from astra.core.types import AnyArray, Float32Array, IntArray, UInt8Array


@dataclass(frozen=True, slots=True, eq=False)
class ViewFeatures:
    """Local features of one view.

    keypoints: (N, 2) float32 [px], pixel centres at integers. descriptors: (N, 128) uint8 RootSIFT.
    points_map: (N, 3) float32 [m], NaN where not triangulated. point_ids: (N,) int64, −1 where not triangulated.
    """

    keypoints: Float32Array
    descriptors: UInt8Array
    points_map: Float32Array
    point_ids: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class MapFeatures:
    """All views' features, concatenated; view k (row k of `view_ids`) owns rows offsets[k]:offsets[k+1].

    view_ids: (V,) int64. offsets: (V + 1,) int64. place: (V, D) float32, L2-normalised place descriptors.
    """

    view_ids: IntArray
    offsets: IntArray
    keypoints: Float32Array
    descriptors: UInt8Array
    points_map: Float32Array
    point_ids: IntArray
    place: Float32Array

    def view(self, view_id: int) -> ViewFeatures:
        """The features of one view.

        Raises:
            KeyError: the map has no such view.
        """
        rows = np.flatnonzero(self.view_ids == view_id)
        if len(rows) == 0:
            raise KeyError(view_id)
        lo, hi = int(self.offsets[rows[0]]), int(self.offsets[rows[0] + 1])
        return ViewFeatures(self.keypoints[lo:hi], self.descriptors[lo:hi], self.points_map[lo:hi], self.point_ids[lo:hi])


def give_back(array: AnyArray) -> None:
    """Let go of what was read of a memory-mapped array; it is read anew from disk where it is wanted again. Other arrays stay as they are."""
    base: object = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
