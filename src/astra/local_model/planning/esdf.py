"""The masked ESDF loss (paper 3.2.2), derived from its purpose: keep clear of things, and leave the demonstrated way alone.

Φ is the signed distance to the nearest obstacle of the time-indexed true occupancy, positive in the free. The reward is Φ, capped at a safe
distance: farther is no better. Where the demonstration went, close to a wall as it may have been, the reward must not push away from it: the
mask U (the dilated demonstration) takes it out *there*. The paper's formula damps with 1 − α·1[U] for 0 < α < 1, which agrees with that
purpose only as far as α is large; α = 1 is ours, α as printed and no mask at all are kept for the ablation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from astra.core.config import require
from astra.core.types import BoolArray, Float32Array


@dataclass(frozen=True, slots=True)
class EsdfConfig:
    """How far is far enough, and how wide the demonstrated way is."""

    weight: float = 1.0  # λ
    cap_m: float = 0.45  # of the distance from the robot's centre that is rewarded
    mask: float = 1.0  # α: 1 ours, 0 unmasked, between as printed
    dilation_m: float = 0.15  # of the demonstration

    def __post_init__(self) -> None:
        require(self.weight >= 0.0, "weight", self.weight, "≥ 0")
        require(self.cap_m > 0.0, "cap_m", self.cap_m, "> 0")
        require(0.0 <= self.mask <= 1.0, "mask", self.mask, "in [0, 1]")


def signed_distance(occupied: BoolArray, resolution_m: float) -> Float32Array:
    """Φ (..., Y, X) [m] of maps (..., Y, X): distance to the nearest occupied cell's border in the free, negative inside."""
    from scipy.ndimage import distance_transform_edt

    flat = occupied.reshape(-1, *occupied.shape[-2:])
    out = np.empty(flat.shape, np.float32)
    far = float(np.hypot(*occupied.shape[-2:])) * resolution_m
    for k, cells in enumerate(flat):
        outside = distance_transform_edt(~cells) - 0.5 if cells.any() else np.full(cells.shape, far / resolution_m)
        inside = distance_transform_edt(cells) - 0.5 if not cells.all() else np.full(cells.shape, far / resolution_m)
        out[k] = np.where(cells, -inside, outside) * resolution_m
    return out.reshape(occupied.shape)


def sample_field(field: Tensor, xy: Tensor, resolution_m: float) -> Tensor:
    """Bilinear samples (B, T, N) with gradients of fields (B, T, Y, X), base_link in the middle, at xy (B, T, N, 2) [m]; the border goes on."""
    b, t, y, x = field.shape
    scaled = torch.stack([xy[..., 0] / (x * resolution_m / 2.0), xy[..., 1] / (y * resolution_m / 2.0)], -1)
    out = torch.nn.functional.grid_sample(
        field.reshape(b * t, 1, y, x), scaled.reshape(b * t, 1, -1, 2), mode="bilinear", padding_mode="border", align_corners=False
    )
    return out.view(b, t, -1)


def masked_esdf_loss(
    poses: Tensor, demonstrated: Tensor, field: Tensor, resolution_m: float, config: EsdfConfig, discs: Tensor, movers: Tensor | None = None
) -> Tensor:
    """Σ max(0, cap − Φ) over the footprint's discs, as far as a pose does not lie on the demonstrated way; mean over the batch.

    Args:
        poses: (B, T, 3) x, y, yaw of the estimate.
        demonstrated: (B, T, 3) poses of the demonstration.
        field: (B, T, Y, X) Φ at the time of each pose [m], or (B, 1, Y, X) of what stands still.
        resolution_m: of the field.
        config: weights.
        discs: (M, 3) x, y, radius of discs that cover the footprint, base_link [m].
        movers: (B, T, D, 3) x, y, radius of who is elsewhere at the time of each pose; Φ is the nearer of field and movers.
    """
    cos, sin = poses[..., 2:3].cos(), poses[..., 2:3].sin()
    centres = torch.stack([poses[..., 0:1] + cos * discs[:, 0] - sin * discs[:, 1], poses[..., 1:2] + sin * discs[:, 0] + cos * discs[:, 1]], -1)
    b, t, m, _ = centres.shape
    distance = sample_field(field, centres.reshape(b, field.shape[1], -1, 2), resolution_m).view(b, t, m)
    if movers is not None:
        beside = (centres[..., None, :] - movers[:, :, None, :, :2]).norm(dim=-1) - movers[:, :, None, :, 2]
        distance = torch.minimum(distance, beside.amin(-1))
    reward = (distance - (discs[:, 2] - discs[:, 2].min())).clamp(max=config.cap_m).amin(-1)
    apart = (poses[..., None, :2] - demonstrated[..., None, :, :2]).norm(dim=-1).amin(-1)
    damp = 1.0 - config.mask * (apart <= config.dilation_m).to(reward.dtype)
    return config.weight * (damp * (config.cap_m - reward)).sum(-1).mean()
