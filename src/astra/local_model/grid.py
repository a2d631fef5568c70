"""The robot-centred voxel grid: x forward, y left, z up, base_link in the middle of its floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class VoxelGrid:
    """A box of voxels around the robot. Volumes are (Z, Y, X): index 0 is the lowest, the rightmost (−y), the rearmost (−x)."""

    size_m: float = 9.6  # of the square footprint
    resolution_m: float = 0.2
    z_min_m: float = 0.0
    levels: int = 6
    level_m: float = 0.2

    def __post_init__(self) -> None:
        require(0.01 <= self.resolution_m <= self.size_m, "resolution_m", self.resolution_m, "between 0.01 and size_m")
        cells = self.size_m / self.resolution_m
        require(abs(cells - round(cells)) < 1e-6, "size_m", self.size_m, "a multiple of resolution_m")
        require(1 <= self.levels <= 64, "levels", self.levels, "between 1 and 64")
        require(0.01 <= self.level_m <= 5.0, "level_m", self.level_m, "between 0.01 and 5")

    @property
    def cells(self) -> int:
        """Voxels along x and along y."""
        return round(self.size_m / self.resolution_m)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self.levels, self.cells, self.cells

    @property
    def count(self) -> int:
        """All voxels."""
        return self.levels * self.cells * self.cells

    def index(self, points_base: AnyArray) -> IntArray:
        """Flat voxel indices (...,) of points (..., 3) [m, base_link]; −1 outside."""
        points = np.asarray(points_base)
        half = self.size_m / 2.0
        ix = np.floor((points[..., 0] + half) / self.resolution_m)
        iy = np.floor((points[..., 1] + half) / self.resolution_m)
        iz = np.floor((points[..., 2] - self.z_min_m) / self.level_m)
        inside = (ix >= 0) & (ix < self.cells) & (iy >= 0) & (iy < self.cells) & (iz >= 0) & (iz < self.levels)
        flat = (iz * self.cells + iy) * self.cells + ix
        return np.where(inside, flat, -1).astype(np.int64)

    def centres(self) -> FloatArray:
        """Voxel centres (Z, Y, X, 3) [m, base_link]."""
        along = (np.arange(self.cells) + 0.5) * self.resolution_m - self.size_m / 2.0
        up = self.z_min_m + (np.arange(self.levels) + 0.5) * self.level_m
        z, y, x = np.meshgrid(up, along, along, indexing="ij")
        return np.stack([x, y, z], axis=-1)

    def flat(self) -> VoxelGrid:
        """The same footprint with one level that holds all."""
        return VoxelGrid(self.size_m, self.resolution_m, self.z_min_m, 1, self.levels * self.level_m)
