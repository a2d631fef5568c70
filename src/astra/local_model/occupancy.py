"""From the encoder's features to what the planner reads: which cells around the robot are occupied, and which nobody has seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from astra.local_model.encoder3d import Encoder3dConfig, Encoding
from astra.local_model.rendering.fields import Fields, occupancy_from_sdf

SEEN_RAYS = 0.5  # of rays that must end in or pass through a cell before anything is said about it


@dataclass(frozen=True, slots=True, eq=False)
class Occupancy:
    """Bird's-eye occupancy, base_link in the middle, row y, column x.

    volume: (B, Z, Y, X) probability of each voxel. wide: (B, Y, X) logits on the whole grid. near: (B, y, x) logits on the fine near grid.
    wide_seen, near_seen: the same shapes, bool: cells that a working camera looked at.
    """

    volume: Tensor
    sdf: Tensor
    colour: Tensor
    wide: Tensor
    near: Tensor
    wide_seen: Tensor
    near_seen: Tensor


class OccupancyHead(nn.Module):
    """Signed distance and colour of the voxels, and occupancy of cells up to the robot's height."""

    def __init__(self, config: Encoder3dConfig) -> None:
        super().__init__()
        self.fields = Fields(config.channels)
        folded = config.channels * config.grid.levels
        self.wide = nn.Sequential(nn.Conv2d(folded, 48, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(48, 1, 1))
        self.near = nn.Conv2d(config.near_channels, 1, 3, padding=1)

    def forward(self, encoding: Encoding) -> Occupancy:
        sdf, colour = self.fields(encoding.voxels)
        return Occupancy(
            occupancy_from_sdf(sdf[:, 0]),
            sdf,
            colour,
            self.wide_map(encoding.voxels),
            self.near_map(encoding.near),
            encoding.seen.sum(1) >= SEEN_RAYS,
            encoding.near_seen >= SEEN_RAYS,
        )

    def wide_map(self, voxels: Tensor) -> Tensor:
        """Logits (B, Y, X) of voxels (B, C, Z, Y, X)."""
        out: Tensor = self.wide(voxels.flatten(1, 2))[:, 0]
        return out

    def near_map(self, near: Tensor) -> Tensor:
        """Logits (B, y, x) of near features (B, Cn, y, x)."""
        out: Tensor = self.near(near)[:, 0]
        return out


def cells_between(occupancy: Tensor, size_m: float, resolution_m: float, wanted_m: float, wanted_resolution_m: float) -> Tensor:
    """The middle `wanted_m` of square maps (..., N, N) at a coarser or equal resolution: a cell is occupied if any part of it is."""
    keep = round(wanted_m / resolution_m)
    first = (round(size_m / resolution_m) - keep) // 2
    middle = occupancy[..., first : first + keep, first : first + keep]
    factor = round(wanted_resolution_m / resolution_m)
    if factor == 1:
        return middle
    pooled = torch.nn.functional.max_pool2d(middle.reshape(-1, 1, keep, keep).float(), factor)
    return pooled.view(*middle.shape[:-2], keep // factor, keep // factor)
