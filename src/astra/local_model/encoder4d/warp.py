"""Ego-motion alignment: a volume seen from an earlier pose, as it lies around the current one."""

from __future__ import annotations

import torch
from torch import Tensor

from astra.local_model.grid import VoxelGrid


def warp_volume(volume: Tensor, past_from_now: Tensor, grid: VoxelGrid) -> Tensor:
    """Resample volumes (B, C, Z, Y, X) of an earlier base_link frame into the current one; what was not in view is 0.

    Args:
        volume: features around the earlier pose.
        past_from_now: (B, 3) x, y [m] and yaw [rad] of the current base_link in the earlier one.
        grid: of the volumes.
    """
    b, c, z, y, x = volume.shape
    half = grid.size_m / 2.0
    cos, sin = past_from_now[:, 2].cos(), past_from_now[:, 2].sin()
    theta = torch.stack(
        [torch.stack([cos, -sin, past_from_now[:, 0] / half], 1), torch.stack([sin, cos, past_from_now[:, 1] / half], 1)], 1
    )  # where a cell of the result lay then, as affine_grid wants it: x right along columns, y down along rows
    where = torch.nn.functional.affine_grid(theta, [b, c * z, y, x], align_corners=False)
    moved = torch.nn.functional.grid_sample(volume.reshape(b, c * z, y, x), where, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.view(b, c, z, y, x)
