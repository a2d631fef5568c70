"""Trajectories as the paper has them: ⟨(Δx, Δy, Δθ)⟩, the steps between adjacent poses, each in the frame of the pose before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from astra.core.config import require


@dataclass(frozen=True, slots=True)
class TrajectoryConfig:
    """How long a trajectory is, and the spread of its steps, by which they are scaled to about one."""

    steps: int = 12
    step_s: float = 0.25
    spread: tuple[float, float, float] = (0.10, 0.02, 0.15)  # m, m, rad a step, one standard deviation
    mean: tuple[float, float, float] = (0.10, 0.0, 0.0)

    def __post_init__(self) -> None:
        require(2 <= self.steps <= 100, "steps", self.steps, "between 2 and 100")
        require(0.05 <= self.step_s <= 1.0, "step_s", self.step_s, "between 0.05 and 1")
        require(min(self.spread) > 0.0, "spread", self.spread, "all > 0")

    def scaled(self, steps: Tensor) -> Tensor:
        """Steps (..., 3) [m, m, rad] to about zero mean and unit spread."""
        return (steps - steps.new_tensor(self.mean)) / steps.new_tensor(self.spread)

    def unscaled(self, scaled: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        return scaled * scaled.new_tensor(self.spread) + scaled.new_tensor(self.mean)


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
