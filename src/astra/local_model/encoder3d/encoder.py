"""Surround images → voxel features, current occupancy evidence and depth (paper 3.2.1, Figure 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from astra.local_model.config import Encoder3dConfig
from astra.local_model.encoder3d.splat import evidence, splat, spread
from astra.local_model.encoder3d.vit import STEM, ViT

FLOOR_TRUST = 2.0  # to begin with, in logits
MEAN, STD = (0.45, 0.43, 0.40), (0.25, 0.25, 0.25)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """What the cameras say about the robot's surroundings.

    voxels: (B, C, Z, Y, X). near: (B, Cn, y, x), features of the fine near field. depth_logits: (B, V, D, h, w).
    seen: (B, Z, Y, X), how many rays of working cameras end in or pass through each voxel; near_seen: (B, y, x) likewise.
    """

    voxels: Tensor
    near: Tensor
    depth_logits: Tensor
    seen: Tensor
    near_seen: Tensor


class Encoder3d(nn.Module):
    """Any number of cameras with known geometry; `plan_splat` gives `voxel` and `rays` of a rig."""

    def __init__(self, config: Encoder3dConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or Encoder3dConfig()
        self.vit = ViT(c.width, c.depth, c.heads)
        self.head = nn.Conv2d(STEM[-1], c.bins.count + 1 + c.lifted, 1)
        folded = (c.lifted + 2) * c.grid.levels
        self.neck = nn.Sequential(*_conv(folded, c.neck, 1), *_conv(c.neck, c.neck, 3), nn.Conv2d(c.neck, c.channels * c.grid.levels, 3, padding=1))
        self.near_neck = nn.Sequential(*_conv(c.lifted + 2 + c.neck, c.near_channels, 3), *_conv(c.near_channels, c.near_channels, 3))
        self.register_buffer("middles", torch.arange(c.bins.count).view(1, 1, -1, 1, 1) + 0.5, persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, rays: Tensor, voxel: Tensor, near_voxel: Tensor, works: Tensor) -> Encoding:
        """Encode.

        Args:
            images: (B, V, 3, H, W) float32, 0..1.
            rays: (B, V, RAY_CHANNELS, h, w) float32 of the plan.
            voxel, near_voxel: (B, V, D·PARTS, h, w) int64 of the plans on `grid` and on `near`.
            works: (B, V) float32, 1 for cameras that work, 0 for those that are missing, black or frozen.
        """
        features, depth_logits = self.look(images, rays)
        return self.lift(features, depth_logits, voxel, near_voxel, works)

    def look(self, images: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Per pixel: features to lift (B, V, C, h, w) and depth logits (B, V, D, h, w).

        How deep the floor would be is known from geometry; the network says how much it believes that a pixel shows the floor.
        """
        b, v = images.shape[:2]
        normal = (images.flatten(0, 1) - self.mean) / self.std
        out = self.head(self.vit(normal, rays.flatten(0, 1))).unflatten(0, (b, v))
        count = self.config.bins.count
        if self.config.uniform_depth:
            return out[:, :, count + 1 :], torch.zeros_like(out[:, :, :count])
        floor = torch.relu(1.0 - (rays[:, :, -1:] * count - self.middles).abs())
        return out[:, :, count + 1 :], out[:, :, :count] + (FLOOR_TRUST + out[:, :, count : count + 1]) * floor

    def lift(self, features: Tensor, depth_logits: Tensor, voxel: Tensor, near_voxel: Tensor, works: Tensor) -> Encoding:
        """Splat both grids, and settle what landed."""
        c = self.config
        depth = spread(depth_logits.softmax(2) * works[:, :, None, None, None])
        coarse, seen = self._pool(features, depth, voxel, c.grid.count)
        fine, near_seen = self._pool(features, depth, near_voxel, c.near.count)
        voxels, near = self.settle(coarse, fine)
        z, y, x = c.grid.shape
        return Encoding(voxels, near, depth_logits, seen.unflatten(1, (z, y, x)), near_seen.unflatten(1, (c.near.cells, c.near.cells)))

    def settle(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Let neighbouring cells confer: pooled (B, C + 2, count) of both grids → voxels (B, C, Z, Y, X) and near (B, Cn, y, x)."""
        c = self.config
        z, y, x = c.grid.shape
        bev = coarse.reshape(coarse.shape[0], -1, y, x)
        inner = self.neck[:-1](bev)
        voxels = self.neck[-1](inner).unflatten(1, (c.channels, z))
        around = nn.functional.interpolate(self._crop(inner), size=(c.near.cells, c.near.cells), mode="nearest")
        near = self.near_neck(torch.cat([fine.unflatten(2, (c.near.cells, c.near.cells)), around], 1))
        return voxels, near

    def _pool(self, features: Tensor, depth: Tensor, voxel: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Sums of features and evidence (B, C + 2, count), damped where many rays meet; and how many rays meet (B, count)."""
        rays = evidence(depth, voxel, count)
        total = splat(features, depth, voxel, count)
        ended = rays[:, :1]
        return torch.cat([total / (1.0 + ended), torch.log1p(rays)], 1), rays.sum(1)

    def _crop(self, bev: Tensor) -> Tensor:
        c = self.config
        keep = round(c.near.size_m / c.grid.resolution_m)
        first = (c.grid.cells - keep) // 2
        return bev[..., first : first + keep, first : first + keep]


def _conv(before: int, after: int, size: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, size, padding=size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
