"""Two small MLPs, applied to every voxel alike: its signed distance to the nearest surface, and its colour."""

from __future__ import annotations

import torch
from torch import Tensor, nn

OCCUPANCY_SHARPNESS_M = 0.05  # of the step from free to occupied at the surface


class Fields(nn.Module):
    """Voxel features (B, C, Z, Y, X) → sdf (B, 1, Z, Y, X) [m], negative inside things, and colour (B, 3, Z, Y, X), 0..1."""

    def __init__(self, channels: int, hidden: int = 16) -> None:
        super().__init__()
        self.sdf = nn.Sequential(nn.Conv3d(channels, hidden, 1), nn.Softplus(beta=10.0), nn.Conv3d(hidden, 1, 1))
        self.colour = nn.Sequential(nn.Conv3d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv3d(hidden, 3, 1), nn.Sigmoid())
        nn.init.constant_(self.sdf[-1].bias, 0.3)  # an empty room to begin with
        self.log_beta = nn.Parameter(torch.tensor(-2.3))

    @property
    def beta(self) -> Tensor:
        """The density's width at a surface [m]; learned."""
        return self.log_beta.exp().clamp(0.01, 1.0)

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        return self.sdf(voxels), self.colour(voxels)


def occupancy_from_sdf(sdf: Tensor) -> Tensor:
    """The probability (same shape) that a voxel is occupied: one half on the surface."""
    return torch.sigmoid(-sdf / OCCUPANCY_SHARPNESS_M)
