"""Trajectories as the paper has them: ⟨(Δx, Δy, Δθ)⟩, the steps between adjacent poses, each in the frame of the pose before."""

from __future__ import annotations

import torch
from torch import Tensor

from astra.local_model.planning.config import TrajectoryConfig


def scaled(steps: Tensor, config: TrajectoryConfig) -> Tensor:
    """Steps (..., 3) [m, m, rad] to about zero mean and unit spread."""
    return (steps - steps.new_tensor(config.mean)) / steps.new_tensor(config.spread)


def unscaled(x: Tensor, config: TrajectoryConfig) -> Tensor:
    """The inverse of `scaled`."""
    return x * x.new_tensor(config.spread) + x.new_tensor(config.mean)


def poses_from_steps(steps: Tensor) -> Tensor:
    """Compose steps (..., T, 3) into poses (..., T, 3) x, y, yaw in the frame where the first step begins; differentiable."""
    yaw = steps[..., 2].cumsum(-1)
    before = yaw - steps[..., 2]
    cos, sin = before.cos(), before.sin()
    x = (cos * steps[..., 0] - sin * steps[..., 1]).cumsum(-1)
    y = (sin * steps[..., 0] + cos * steps[..., 1]).cumsum(-1)
    return torch.stack([x, y, yaw], -1)


def steps_from_poses(poses: Tensor) -> Tensor:
    """The inverse of `poses_from_steps`; yaw steps in (−π, π]."""
    before = torch.cat([torch.zeros_like(poses[..., :1, :]), poses[..., :-1, :]], -2)
    moved = poses - before
    cos, sin = before[..., 2].cos(), before[..., 2].sin()
    turn = torch.atan2(moved[..., 2].sin(), moved[..., 2].cos())
    return torch.stack([cos * moved[..., 0] + sin * moved[..., 1], cos * moved[..., 1] - sin * moved[..., 0], turn], -1)
