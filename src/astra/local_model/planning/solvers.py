"""From noise to trajectories, whatever the head: few steps of a solver, in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from astra.core.types import AnyArray, Float32Array, FloatArray
from astra.local_model.planning.config import HeadKind, PlannerConfig, Solver, TrajectoryConfig

Refine = Callable[[AnyArray, AnyArray], AnyArray]  # (x (N, T, 3), t (N,)) → (N, T, 3)


def solve(velocity: Refine, noise: AnyArray, steps: int, solver: Solver = "euler") -> AnyArray:
    """Integrate dx/dt = v(x, t) from noise (N, ...) at t = 0 to t = 1 in `steps` equal steps."""
    x, h = noise, 1.0 / steps
    for k in range(steps):
        t = np.full(x.shape[0], k * h, x.dtype)
        v = velocity(x, t)
        if solver == "midpoint":
            v = velocity(x + 0.5 * h * v, t + 0.5 * h)
        elif solver == "heun":
            v = 0.5 * (v + velocity(x + h * v, t + h))
        x = x + h * v
    return x


def denoise(clean: Refine, noise: AnyArray, steps: int) -> AnyArray:
    """DDIM (Song et al., 2021) with a network that foretells the clean sample; `network.kept` gives its ᾱ."""
    x = noise
    for k in range(steps):
        t, following = k / steps, (k + 1) / steps
        known = clean(x, np.full(x.shape[0], t, x.dtype))
        keep, then = _kept(t), _kept(following)
        left = (x - math.sqrt(keep) * known) / math.sqrt(1.0 - keep)
        x = known if k + 1 == steps else math.sqrt(then) * known + math.sqrt(1.0 - then) * left
    return x


def draw(refine: Refine, config: PlannerConfig, noise: AnyArray, steps: int | None = None, solver: Solver | None = None) -> AnyArray:
    """Scaled steps (N, T, 3) of any head from noise (N, T, 3)."""
    head: HeadKind = config.head
    steps = config.solver_steps if steps is None else steps
    if head == "flow":
        return solve(refine, noise, steps, solver or config.solver)
    if head == "diffusion":
        return denoise(refine, noise, steps)
    return refine(0.0 * noise if head == "act" else noise, np.ones(len(noise), noise.dtype))


def poses_of(x: AnyArray, config: TrajectoryConfig) -> FloatArray:
    """Poses (N, T, 3) x, y, yaw in base_link of scaled steps (N, T, 3)."""
    steps = np.asarray(x, np.float64) * np.array(config.spread) + np.array(config.mean)
    yaw = steps[..., 2].cumsum(-1)
    before = yaw - steps[..., 2]
    cos, sin = np.cos(before), np.sin(before)
    ahead, aside = steps[..., 0], steps[..., 1]
    return np.stack([(cos * ahead - sin * aside).cumsum(-1), (sin * ahead + cos * aside).cumsum(-1), yaw], axis=-1)


def drivable(x: AnyArray, config: TrajectoryConfig) -> AnyArray:
    """The same with what wheels cannot do taken out: a step goes along the arc between its headings, never sideways."""
    out = np.array(x)
    ahead, turn = (x[..., k] * config.spread[k] + config.mean[k] for k in (0, 2))
    out[..., 1] = (ahead * np.tan(np.clip(0.5 * turn, -0.7, 0.7)) - config.mean[1]) / config.spread[1]
    return out


def noises(rng: np.random.Generator, count: int, config: TrajectoryConfig, spread: float = 1.0) -> Float32Array:
    """(N, T, 3); `spread` above 1 explores more."""
    return np.float32(spread) * rng.standard_normal((count, config.steps, 3), dtype=np.float32)


def _kept(t: float) -> float:
    return math.cos(0.5 * math.pi * (0.995 * (1.0 - t) + 0.004)) ** 2
