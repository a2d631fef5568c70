"""Conditional flow matching (Lipman et al., 2023) on straight paths from noise to data.

X_t = (1 − t)·X_0 + t·X_1 with X_0 noise and X_1 data; the velocity to learn is u = X_1 − X_0. The one-step estimate of the clean sample is
X_t + (1 − t)·v: the paper prints X_t − t·v, which holds where t = 1 is noise, against its own text.
"""

from __future__ import annotations

from torch import Tensor


def interpolate(noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """X_t and u_t for noise and data (N, ...) at t (N,) in 0..1."""
    s = t.view(-1, *[1] * (data.dim() - 1))
    return (1.0 - s) * noise + s * data, data - noise


def clean_estimate(x_t: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """Where the path would end if the velocity stayed: X_t + (1 − t)·v."""
    return x_t + (1.0 - t.view(-1, *[1] * (x_t.dim() - 1))) * velocity
