"""Differentiable volume rendering of a signed-distance volume (VolSDF and MonoSDF weights)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from astra.local_model.grid import VoxelGrid


@dataclass(frozen=True, slots=True, eq=False)
class RayBatch:
    """Rays of each sample, base_link frame: `origins` (B, R, 3) [m], `directions` (B, R, 3) per metre of depth along the optical axis."""

    origins: Tensor
    directions: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """Per ray: `depth` (B, R) [m, along the optical axis], `colour` (B, R, 3), and `opacity` (B, R), how much of it met a surface."""

    depth: Tensor
    colour: Tensor
    opacity: Tensor


def density_from_sdf(sdf: Tensor, beta: Tensor) -> Tensor:
    """Laplace density [1/m]: σ = Ψ_β(−s) / β, with Ψ_β the cumulative distribution of a Laplace variable of scale β."""
    inside = 0.5 * torch.exp(-sdf.abs() / beta)
    return torch.where(sdf > 0, inside, 1.0 - inside) / beta


def render_rays(sdf: Tensor, colour: Tensor, beta: Tensor, rays: RayBatch, depths: Tensor, grid: VoxelGrid) -> Rendered:
    """Render depth and colour along rays: w_i = T_i (1 − exp(−σ_i δ_i)), T_i = exp(−Σ_{j<i} σ_j δ_j).

    Args:
        sdf: (B, 1, Z, Y, X) [m].
        colour: (B, 3, Z, Y, X).
        beta: scalar [m].
        rays: R rays of each sample.
        depths: (N + 1,) ascending, the edges of the steps along each ray [m of depth].
        grid: of the volumes; what lies outside is empty.
    """
    middle = 0.5 * (depths[:-1] + depths[1:])
    points = rays.origins.unsqueeze(2) + rays.directions.unsqueeze(2) * middle.view(1, 1, -1, 1)
    length = rays.directions.norm(dim=-1, keepdim=True) * (depths[1:] - depths[:-1])  # (B, R, N) metres of each step
    sampled, inside = sample_volume(torch.cat([sdf, colour], 1), points, grid)
    sigma = density_from_sdf(sampled[:, 0], beta) * inside
    optical = sigma * length
    through = torch.exp(-(optical.cumsum(-1) - optical))
    weights = through * (1.0 - torch.exp(-optical))
    opacity = weights.sum(-1)
    depth = (weights * middle).sum(-1) + (1.0 - opacity) * depths[-1]
    shade = (weights.unsqueeze(1) * sampled[:, 1:]).sum(-1).transpose(1, 2)
    return Rendered(depth, shade, opacity)


def sample_volume(volume: Tensor, points: Tensor, grid: VoxelGrid) -> tuple[Tensor, Tensor]:
    """Trilinear samples (B, C, R, N) of (B, C, Z, Y, X) at points (B, R, N, 3), and whether each lies in the grid (B, R, N)."""
    half = grid.size_m / 2.0
    height = grid.levels * grid.level_m
    scaled = torch.stack([points[..., 0] / half, points[..., 1] / half, (points[..., 2] - grid.z_min_m) / (height / 2.0) - 1.0], -1)
    inside = (scaled.abs() <= 1.0).all(-1).to(volume.dtype)
    sampled = torch.nn.functional.grid_sample(volume, scaled.unsqueeze(1), mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.squeeze(2), inside
