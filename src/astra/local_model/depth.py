"""Depth as a distribution over bins that widen with distance, as the resolution of a camera does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class DepthBins:
    """`count` bins of depth along the optical axis from `near_m` to `far_m`, each wider than the one before by the same factor."""

    near_m: float = 0.25
    far_m: float = 7.2
    count: int = 36

    def __post_init__(self) -> None:
        require(0.01 <= self.near_m < self.far_m, "near_m", self.near_m, "at least 0.01 and less than far_m")
        require(4 <= self.count <= 256, "count", self.count, "between 4 and 256")

    def edges(self) -> FloatArray:
        """(count + 1,) [m]."""
        return np.geomspace(self.near_m, self.far_m, self.count + 1)

    def centres(self, parts: int = 1) -> FloatArray:
        """The middle of each bin, or of each of its `parts` equal parts: (count · parts,) [m]."""
        edges = self.edges()
        share = (np.arange(parts) + 0.5) / parts
        return (edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * share).ravel()

    def index(self, depth_m: AnyArray) -> IntArray:
        """The bin of each depth; what is nearer or farther than all falls into the first or last bin, no depth (≤ 0, NaN) is −1."""
        depth = np.asarray(depth_m, dtype=np.float64)
        known = depth > 0.0
        place = np.log(np.where(known, depth, self.near_m) / self.near_m) / np.log(self.far_m / self.near_m) * self.count
        return np.where(known, np.clip(np.floor(place), 0, self.count - 1), -1).astype(np.int64)
