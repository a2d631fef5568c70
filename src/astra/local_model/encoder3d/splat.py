"""Lift-Splat (Philion and Fidler, 2020): each pixel's feature lands in the voxels along its ray, weighted by its depth distribution.

Where rays end is `lifting`'s part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from astra.local_model.lifting import PARTS


def spread(depth: Tensor) -> Tensor:
    """The probability of each depth bin (B, V, D, h, w), shared by its parts: (B, V, D·PARTS, h, w)."""
    return depth.repeat_interleave(PARTS, 2) / PARTS


def splat(features: Tensor, weights: Tensor, voxel: Tensor, count: int) -> Tensor:
    """Sum features into voxels.

    Args:
        features: (B, V, C, h, w).
        weights: (B, V, D, h, w), of each splatted point; see `spread`.
        voxel: (B, V, D, h, w) int64, 0..count; `count` is dropped.
        count: voxels of the grid.

    Returns:
        (B, C, count).
    """
    b, _, c, h, w = features.shape
    inside, target = _landed(voxel, count)
    pixels = features.permute(0, 1, 3, 4, 2).reshape(-1, c)
    image = torch.div(inside, weights.shape[2] * h * w, rounding_mode="floor")
    rows = weights.reshape(-1)[inside].unsqueeze(1) * pixels[image * (h * w) + inside % (h * w)]
    out = features.new_zeros(b * count, c).index_add(0, target, rows)
    return out.view(b, count, c).transpose(1, 2)


def evidence(depth: Tensor, voxel: Tensor, count: int) -> Tensor:
    """What rays say about voxels: how much of them ends there, and how much passes through.

    Args:
        depth: (B, V, D, h, w), probabilities over D (`spread`); a camera that is not there has none.
        voxel: (B, V, D, h, w) int64.
        count: voxels of the grid.

    Returns:
        (B, 2, count): ended, passed.
    """
    b = depth.shape[0]
    inside, target = _landed(voxel, count)
    passed = depth.sum(2, keepdim=True) - depth.cumsum(2)
    both = torch.stack([depth.reshape(-1)[inside], passed.reshape(-1)[inside]], dim=-1)
    out = depth.new_zeros(b * count, 2).index_add(0, target, both)
    return out.view(b, count, 2).transpose(1, 2)


def _landed(voxel: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Which splatted points (flat over B, V, D, h, w) land in the grid, and where in the flat (B·count): most land outside."""
    flat = voxel.reshape(-1)
    inside = (flat < count).nonzero().squeeze(1)
    batch = torch.div(inside, voxel[0].numel(), rounding_mode="floor")
    return inside, batch * count + flat[inside]
