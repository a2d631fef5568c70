"""Which loops can be true together with odometry: a planar pose graph whose loops may be switched off.

Minimises Σ ‖log(z_ij⁻¹ x_i⁻¹ x_j)‖²_Σ over odometry's steps + Σ_c w_c r_c² + Φ_μ(w_c) over revisits c, each one edge with one weight: truncated
least squares by graduated non-convexity (Yang, Antonante, Tzoumas, Carlone, 2020). With μ from near 0 to ∞ the cost goes from convex to truncated at c̄:
w = 1 for r² ≤ μ/(μ+1) c̄², 0 for r² ≥ (μ+1)/μ c̄², else c̄/r · √(μ(μ+1)) − μ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose2, wrap_angle


@dataclass(frozen=True, slots=True)
class PoseGraphConfig:
    """How far edges are trusted."""

    step_m: float = 0.01  # sigma of a step, plus …
    step_share: float = 0.02  # … this much of its length
    step_rad: float = math.radians(0.4)
    loop_m: float = 0.1  # sigma of a revisit
    loop_rad: float = math.radians(2.0)
    truncation: float = 4.0  # sigmas from which on a revisit is no evidence
    growth: float = 2.0  # of μ between two rounds

    def __post_init__(self) -> None:
        for name in ("step_m", "step_share", "step_rad", "loop_m", "loop_rad", "truncation"):
            require(getattr(self, name) > 0.0, name, getattr(self, name), "> 0")
        require(self.growth > 1.0, "growth", self.growth, "> 1")


@dataclass(frozen=True, slots=True)
class PlanarEdge:
    """Node j as node i sees it; nodes are numbered from 0."""

    i: int
    j: int
    i_from_j: Pose2


def switch_loops(steps: Sequence[PlanarEdge], loops: Sequence[PlanarEdge], count: int, config: PoseGraphConfig | None = None) -> FloatArray:
    """(L,) weight of every loop in [0, 1]; 0 for those that cannot be true together with the steps and the other loops.

    Args:
        steps: odometry from every node to the next, connecting all `count` nodes in order.
    """
    config = config or PoseGraphConfig()
    weights = np.ones(len(loops))
    if not loops:
        return weights
    poses = _dead_reckoned(steps, count)
    edges = [*steps, *loops]
    bound = config.truncation**2
    worst = float(_squares(poses, edges, config)[len(steps) :].max())
    if worst <= bound:  # every loop fits odometry as it is
        return weights
    mu = bound / max(2.0 * worst - bound, 1e-9)
    while mu < 1e4:
        for _ in range(3):
            poses = _step(poses, edges, np.concatenate([np.ones(len(steps)), weights]), config)
        square = _squares(poses, edges, config)[len(steps) :]
        middle = config.truncation / np.sqrt(np.maximum(square, 1e-12)) * math.sqrt(mu * (mu + 1.0)) - mu
        weights = np.where(square <= mu / (mu + 1.0) * bound, 1.0, np.where(square >= (mu + 1.0) / mu * bound, 0.0, np.clip(middle, 0.0, 1.0)))
        if np.all((weights < 1e-3) | (weights > 1.0 - 1e-3)) and mu > 1.0:
            break
        mu *= config.growth
    return np.asarray(weights)


def _dead_reckoned(steps: Sequence[PlanarEdge], count: int) -> FloatArray:
    """(count, 3) x, y, heading of the steps chained."""
    poses = np.zeros((count, 3))
    for edge in steps:
        pose = Pose2(*poses[edge.i]) @ edge.i_from_j
        poses[edge.j] = pose.x, pose.y, pose.yaw
    return poses


def _errors(poses: FloatArray, edges: Sequence[PlanarEdge]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors (E, 3) in the frame of node i, and their derivatives (E, 3, 3) by the poses of i and j."""
    i, j = np.array([e.i for e in edges]), np.array([e.j for e in edges])
    measured = np.array([(e.i_from_j.x, e.i_from_j.y, e.i_from_j.yaw) for e in edges])
    cos, sin = np.cos(poses[i, 2]), np.sin(poses[i, 2])
    dx, dy = (poses[j, :2] - poses[i, :2]).T
    error = np.stack([cos * dx + sin * dy, -sin * dx + cos * dy, poses[j, 2] - poses[i, 2]], axis=1) - measured
    error[:, 2] = (error[:, 2] + math.pi) % (2.0 * math.pi) - math.pi
    by_i, by_j = np.zeros((len(edges), 3, 3)), np.zeros((len(edges), 3, 3))
    by_j[:, 0, 0] = by_j[:, 1, 1] = cos
    by_j[:, 0, 1], by_j[:, 1, 0], by_j[:, 2, 2] = sin, -sin, 1.0
    by_i[:, :, :2] = -by_j[:, :, :2]
    by_i[:, 0, 2], by_i[:, 1, 2], by_i[:, 2, 2] = -sin * dx + cos * dy, -cos * dx - sin * dy, -1.0
    return error, by_i, by_j


def _sigmas(edges: Sequence[PlanarEdge], config: PoseGraphConfig) -> FloatArray:
    """(E, 3) of every edge: neighbours in order are steps, all others loops."""
    out = np.empty((len(edges), 3))
    for row, edge in zip(out, edges):
        if edge.j == edge.i + 1:
            length = math.hypot(edge.i_from_j.x, edge.i_from_j.y)
            row[:] = (config.step_m + config.step_share * length,) * 2 + (config.step_rad,)
        else:
            row[:] = config.loop_m, config.loop_m, config.loop_rad
    return out


def _squares(poses: FloatArray, edges: Sequence[PlanarEdge], config: PoseGraphConfig) -> FloatArray:
    """(E,) squared errors in sigmas."""
    error, _, _ = _errors(poses, edges)
    return np.asarray(((error / _sigmas(edges, config)) ** 2).sum(axis=1))


def _step(poses: FloatArray, edges: Sequence[PlanarEdge], weights: FloatArray, config: PoseGraphConfig) -> FloatArray:
    """One step of Gauss-Newton with the first node held."""
    from scipy.sparse import coo_array, identity
    from scipy.sparse.linalg import spsolve

    error, by_i, by_j = _errors(poses, edges)
    scale = np.sqrt(weights)[:, None] / _sigmas(edges, config)
    rows = np.arange(error.size).reshape(-1, 3)
    row = np.repeat(rows[:, :, None], 3, axis=2)
    columns = [np.array([[3 * n + k for k in range(3)] for n in nodes])[:, None].repeat(3, axis=1) for nodes in zip(*((e.i, e.j) for e in edges))]
    values = [scale[:, :, None] * by_i, scale[:, :, None] * by_j]
    jacobian = coo_array(
        (np.concatenate([v.ravel() for v in values]), (np.tile(row.ravel(), 2), np.concatenate([c.ravel() for c in columns]))),
        shape=(error.size, poses.size),
    ).tocsc()[:, 3:]
    normal = (jacobian.T @ jacobian + 1e-9 * identity(jacobian.shape[1])).tocsc()
    moved = poses.copy()
    moved[1:] -= spsolve(normal, jacobian.T @ (scale * error).ravel()).reshape(-1, 3)
    moved[:, 2] = [wrap_angle(yaw) for yaw in moved[:, 2]]
    return moved
