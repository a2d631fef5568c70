"""Sizes of the networks, apart from them: what runs on the robot reads these and never imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from astra.core.config import require
from astra.local_model.depth import DepthBins
from astra.local_model.grid import VoxelGrid


@dataclass(frozen=True, slots=True)
class Encoder3dConfig:
    """Sizes. ViT-S is width 384, depth 12, heads 6; the default runs at 10 Hz on two CPU cores."""

    width: int = 128
    depth: int = 4
    heads: int = 4
    lifted: int = 16  # channels of a pixel that are lifted
    channels: int = 16  # of a voxel
    neck: int = 96  # of the bird's-eye convolutions
    near_channels: int = 32
    uniform_depth: bool = False  # every depth alike: the baseline that lifts without looking for depth
    bins: DepthBins = field(default_factory=DepthBins)
    grid: VoxelGrid = field(default_factory=VoxelGrid)
    near: VoxelGrid = field(default_factory=lambda: VoxelGrid(size_m=4.0, resolution_m=0.1, levels=1, level_m=1.2, z_min_m=0.06))

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width {self.width}")
        require(self.depth >= 1, "depth", self.depth, "at least 1")
        require(self.near.levels == 1, "near.levels", self.near.levels, "1")
        require(self.near.size_m <= self.grid.size_m, "near.size_m", self.near.size_m, "at most grid.size_m")


@dataclass(frozen=True, slots=True)
class ForecasterConfig:
    """Sizes; `channels` is that of the encoder's voxels."""

    channels: int = 16
    past: int = 4  # volumes, the current one included
    step_s: float = 0.5
    slim: int = 6  # channels of a voxel that enter
    width: int = 24  # at half resolution
    deep: int = 64  # of a column at a quarter
    sharp: int = 24  # of a cell at full resolution
    hidden: int = 48  # of the map's change
    blocks: int = 2  # DiT blocks at a quarter resolution
    heads: int = 4

    def __post_init__(self) -> None:
        require(self.past >= 1, "past", self.past, "at least 1")
        require(self.deep % self.heads == 0, "heads", self.heads, f"a divisor of deep {self.deep}")
        require(self.blocks >= 1, "blocks", self.blocks, "at least 1")
