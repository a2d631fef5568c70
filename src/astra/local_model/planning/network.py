"""The velocity field of the flow-matching planner: a transformer that reads the scene once and refines trajectories against it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from astra.core.config import require
from astra.local_model.planning.flow import Solver, solve
from astra.local_model.planning.trajectory import TrajectoryConfig

GOAL_CAP_M = 5.0


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """Sizes; `features` is the number of channels of the bird's-eye features and `moments` that of the occupancy maps."""

    features: int = 96
    moments: int = 5  # occupancy now and at four future moments
    history: int = 4  # velocities, newest first
    width: int = 96
    heads: int = 4
    encoder_layers: int = 1
    decoder_layers: int = 3
    patch: int = 6  # cells of a token's side
    solver: Solver = "euler"
    solver_steps: int = 4
    trajectory: TrajectoryConfig = field(default_factory=TrajectoryConfig)

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width {self.width}")
        require(self.solver in ("euler", "midpoint", "heun"), "solver", self.solver, "one of euler, midpoint, heun")
        require(1 <= self.solver_steps <= 100, "solver_steps", self.solver_steps, "between 1 and 100")


@dataclass(frozen=True, slots=True, eq=False)
class Scene2d:
    """What the planner knows. features: (B, C, Y, X). occupancy: (B, M, Y, X) 0..1. velocity: (B, H, 2) m/s, rad/s. goal: (B, 3) x, y, yaw."""

    features: Tensor
    occupancy: Tensor
    velocity: Tensor
    goal: Tensor


class FlowPlanner(nn.Module):
    """v(X_t, t | scene); `sample` draws trajectories."""

    def __init__(self, config: PlannerConfig | None = None, cells: int = 48) -> None:
        super().__init__()
        self.config = c = config or PlannerConfig()
        side = cells // c.patch
        self.look = nn.Conv2d(c.features, c.width, c.patch, stride=c.patch)
        half = c.patch // 2
        self.obstacles = nn.Sequential(nn.Conv2d(c.moments, 24, 3, stride=2, padding=1), nn.ReLU(inplace=True), nn.Conv2d(24, c.width, half, stride=half))
        self.register_buffer("where", _positions(side, c.width), persistent=False)
        self.self_state = nn.Sequential(nn.Linear(2 * c.history, c.width), nn.GELU(approximate="tanh"), nn.Linear(c.width, c.width))
        self.goal = nn.Sequential(nn.Linear(6, c.width), nn.GELU(approximate="tanh"), nn.Linear(c.width, c.width))
        layer = nn.TransformerEncoderLayer(c.width, c.heads, 2 * c.width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, c.encoder_layers, enable_nested_tensor=False)
        self.step = nn.Linear(3, c.width)
        self.order = nn.Parameter(0.02 * torch.randn(1, c.trajectory.steps, c.width))
        self.moment = nn.Sequential(nn.Linear(32, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        decoder = nn.TransformerDecoderLayer(c.width, c.heads, 2 * c.width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(decoder, c.decoder_layers, nn.LayerNorm(c.width))
        self.leave = nn.Linear(c.width, 3)

    def read(self, scene: Scene2d) -> Tensor:
        """The scene as tokens (B, S, C); read once for all samples and solver steps."""
        cells = (self.look(scene.features) + self.obstacles(scene.occupancy)).flatten(2).transpose(1, 2) + self.where
        tokens = torch.cat([cells, self.self_state(scene.velocity.flatten(1))[:, None], self.goal(goal_features(scene.goal))[:, None]], 1)
        out: Tensor = self.encoder(tokens)
        return out

    def velocity(self, x: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """v (N, T, 3) for scaled steps x (N, T, 3) at t (N,) given tokens (N, S, C)."""
        queries = self.step(x) + self.order + self.moment(time_features(t))[:, None]
        out: Tensor = self.leave(self.decoder(queries, tokens))
        return out

    def sample(self, tokens: Tensor, count: int, generator: torch.Generator | None = None, spread: float = 1.0) -> Tensor:
        """Trajectories (B, count, T, 3) as steps [m, m, rad]; `spread` above 1 explores more.

        Args:
            tokens: (B, S, C) of `read`.
            count: samples a scene.
            generator: of the noise.
            spread: of the noise.
        """
        c, b = self.config, tokens.shape[0]
        many = tokens.repeat_interleave(count, 0)
        noise = spread * torch.randn(b * count, c.trajectory.steps, 3, generator=generator, device=tokens.device)
        x = solve(lambda at, t: self.velocity(at, t, many), noise, c.solver_steps, c.solver)
        return c.trajectory.unscaled(x).unflatten(0, (b, count))


def goal_features(goal: Tensor) -> Tensor:
    """(B, 6): direction, capped distance, its nearness, and the heading to arrive with."""
    distance = goal[:, :2].norm(dim=1, keepdim=True)
    direction = goal[:, :2] / distance.clamp(min=1e-3)
    return torch.cat([direction, distance.clamp(max=GOAL_CAP_M) / GOAL_CAP_M, torch.exp(-distance), goal[:, 2:].cos(), goal[:, 2:].sin()], 1)


def time_features(t: Tensor) -> Tensor:
    """Sines and cosines (N, 32) of t (N,) in 0..1."""
    angles = t[:, None] * torch.exp(torch.linspace(0.0, math.log(200.0), 16, device=t.device, dtype=t.dtype))
    return torch.cat([angles.sin(), angles.cos()], 1)


def _positions(side: int, width: int) -> Tensor:
    """Fixed 2-D positions (1, side·side, width)."""
    quarter = width // 4
    rates = torch.exp(-torch.arange(quarter) * math.log(100.0) / quarter)
    along = torch.arange(side, dtype=torch.float32)[:, None] * rates
    one = torch.cat([along.sin(), along.cos()], 1)
    both = torch.cat([one[:, None].expand(side, side, -1), one[None].expand(side, side, -1)], -1)
    return torch.nn.functional.pad(both.reshape(1, side * side, -1), (0, width - 4 * quarter))
