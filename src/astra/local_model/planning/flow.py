"""Conditional flow matching (Lipman et al., 2023) on straight paths from noise to data.

X_t = (1 − t)·X_0 + t·X_1 with X_0 noise and X_1 data; the velocity to learn is u = X_1 − X_0. The one-step estimate of the clean sample is
X_t + (1 − t)·v: the paper prints X_t − t·v, which holds where t = 1 is noise, against its own text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x_t (N, ...), t (N,)) → v (N, ...)
Solver = Literal["euler", "midpoint", "heun"]


def interpolate(noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """X_t and u_t for noise and data (N, ...) at t (N,) in 0..1."""
    s = t.view(-1, *[1] * (data.dim() - 1))
    return (1.0 - s) * noise + s * data, data - noise


def clean_estimate(x_t: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """Where the path would end if the velocity stayed: X_t + (1 − t)·v."""
    return x_t + (1.0 - t.view(-1, *[1] * (x_t.dim() - 1))) * velocity


def solve(velocity: Velocity, noise: Tensor, steps: int, solver: Solver = "euler") -> Tensor:
    """Integrate dx/dt = v(x, t) from noise (N, ...) at t = 0 to t = 1 in `steps` equal steps."""
    x, h = noise, 1.0 / steps
    for k in range(steps):
        t = torch.full((x.shape[0],), k * h, dtype=x.dtype, device=x.device)
        v = velocity(x, t)
        if solver == "midpoint":
            v = velocity(x + 0.5 * h * v, t + 0.5 * h)
        elif solver == "heun" and k + 1 < steps:
            v = 0.5 * (v + velocity(x + h * v, t + h))
        x = x + h * v
    return x
