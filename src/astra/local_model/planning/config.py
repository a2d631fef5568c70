"""What the planner's parts agree on: trajectories, maps, sizes. Without torch, as the robot runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray

Solver = Literal["euler", "midpoint", "heun"]
HeadKind = Literal["flow", "act", "vae", "diffusion"]
GOAL_CAP_M = 5.0


@dataclass(frozen=True, slots=True)
class TrajectoryConfig:
    """How long a trajectory is, and the spread of its steps, by which they are scaled to about one."""

    steps: int = 12
    step_s: float = 0.25
    spread: tuple[float, float, float] = (0.05, 0.01, 0.15)  # m, m, rad a step, one standard deviation
    mean: tuple[float, float, float] = (0.085, 0.0, 0.0)

    def __post_init__(self) -> None:
        require(2 <= self.steps <= 100, "steps", self.steps, "between 2 and 100")
        require(0.05 <= self.step_s <= 1.0, "step_s", self.step_s, "between 0.05 and 1")
        require(min(self.spread) > 0.0, "spread", self.spread, "all > 0")


@dataclass(frozen=True, slots=True)
class MapConfig:
    """The square of clearance around base_link that the planner reads. Maps are (Y, X): row 0 is the rightmost, column 0 the rearmost."""

    size_m: float = 6.4
    resolution_m: float = 0.1
    cap_m: float = 0.8  # of clearance: farther is no better
    moments_s: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)  # now, and what is foretold

    def __post_init__(self) -> None:
        require(self.size_m > 0.0 < self.resolution_m, "resolution_m", self.resolution_m, "> 0")
        require(self.cells % 8 == 0 and abs(self.cells * self.resolution_m - self.size_m) < 1e-6, "size_m", self.size_m, "a multiple of eight cells")
        require(self.cap_m > 0.0, "cap_m", self.cap_m, "> 0")
        require(self.moments_s[:1] == (0.0,), "moments_s", self.moments_s, "from 0 on")

    @property
    def cells(self) -> int:
        """Cells along one side."""
        return round(self.size_m / self.resolution_m)

    def points(self, fine: bool = False) -> FloatArray:
        """Cells' centres (Y, X, 2) [m, base_link]; of cells half as large if `fine`."""
        parts = 2 if fine else 1
        along = (np.arange(self.cells * parts) + 0.5) * self.resolution_m / parts - self.size_m / 2.0
        y, x = np.meshgrid(along, along, indexing="ij")
        return np.stack([x, y], axis=-1)


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """Which head, and sizes; `features` is the number of channels of the eyes' bird's-eye features, 0 for none."""

    head: HeadKind = "flow"
    features: int = 0
    history: int = 4  # velocities, newest first
    width: int = 96
    heads: int = 4
    encoder_layers: int = 1
    decoder_layers: int = 3
    latent: int = 8  # of act and vae
    noise_steps: int = 50  # of diffusion, while it learns
    solver: Solver = "euler"
    solver_steps: int = 4
    maps: MapConfig = field(default_factory=MapConfig)
    trajectory: TrajectoryConfig = field(default_factory=TrajectoryConfig)

    def __post_init__(self) -> None:
        require(self.head in get_args(HeadKind), "head", self.head, f"one of {', '.join(get_args(HeadKind))}")
        require(self.width % (4 * self.heads) == 0, "width", self.width, f"a multiple of {4 * self.heads}")
        require(self.features >= 0, "features", self.features, "at least 0")
        require(1 <= self.latent <= 3 * self.trajectory.steps, "latent", self.latent, "at most three a step")
        require(self.solver in get_args(Solver), "solver", self.solver, f"one of {', '.join(get_args(Solver))}")
        require(1 <= self.solver_steps <= 100, "solver_steps", self.solver_steps, "between 1 and 100")
