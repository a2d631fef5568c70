"""The planner's data recipe: lessons of the expert in train worlds, a few in validation worlds; what is there already is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError
from astra.core.types import AnyArray, FloatArray
from astra.datasets.lessons import ROUTE_M, LessonConfig, Pilot, write_lessons
from astra.local_model.planning.clearing import Clearing
from astra.local_model.planning.maps import clearance_maps, distance_of
from astra.local_model.planning.runtime import TrajectorySampler
from astra.sim.worlds.plan import Kind, split_from_seed

logger = logging.getLogger(__name__)
TURNS: tuple[Kind, ...] = ("home", "office", "home", "office", "warehouse")  # a warehouse takes five times as long to plan as a home
VALIDATE_SEED = 10_000
AHEAD_M = 2.5  # of the subgoal, as on the robot


@dataclass(frozen=True, slots=True)
class PlannerDataConfig:
    """How many worlds of which seeds."""

    worlds: int = 50
    validation_worlds: int = 5
    first_seed: int = 5_000  # of the train worlds; validation worlds begin so much above the first validation seed
    pilot: str = ""  # folder of an exported planner that drives through the train worlds, while the expert says what it would do there
    lesson: LessonConfig = field(default_factory=LessonConfig)

    def __post_init__(self) -> None:
        require(self.worlds >= 1, "worlds", self.worlds, "at least 1")
        require(self.validation_worlds >= 0, "validation_worlds", self.validation_worlds, "at least 0")
        last = self.first_seed + max(self.worlds, self.validation_worlds)
        require(self.first_seed >= 0 and last <= VALIDATE_SEED, "first_seed", self.first_seed, "a train seed, as must be the last")


def make(config: PlannerDataConfig, out: Path, told: Callable[[str], None] = lambda line: None) -> int:
    """Fill `out/train` and `out/validate`; returns how many samples they hold of these worlds. Worlds without a way are left out."""
    seeds = [VALIDATE_SEED + config.first_seed + k for k in range(config.validation_worlds)]
    seeds += [config.first_seed + k for k in range(config.worlds)]
    samples, pilot = 0, pilot_of(Path(config.pilot)) if config.pilot else None
    for number, seed in enumerate(seeds):
        kind = TURNS[seed % len(TURNS)]
        try:
            samples += write_lessons(kind, seed, out / split_from_seed(seed), config.lesson, pilot=pilot if seed < VALIDATE_SEED else None)
        except AstraError as error:
            logger.warning("%s%d is left out: %s", kind, seed, error)
        told(f"{kind}{seed}: {samples} samples ({number + 1} of {len(seeds)} worlds)")
    return samples


def pilot_of(folder: Path, radius_m: float = 0.22) -> Pilot:
    """A learner as the robot has it, but with one sample and no shield: it shall get where it goes wrong."""
    sampler = TrajectorySampler(folder)
    maps, trajectory, rng = sampler.config.maps, sampler.config.trajectory, np.random.default_rng(0)
    clear = Clearing(maps, trajectory.steps, trajectory.step_s)

    def drive(row: dict[str, AnyArray]) -> FloatArray:
        side = 2 * maps.cells
        occupied, known = (np.unpackbits(row[name])[: side * side].reshape(side, side).astype(bool) for name in ("occupied", "known"))
        discs = np.repeat(row["discs"][:1][:, row["disc_seen"]], len(maps.moments_s), axis=0)
        seen = clearance_maps(distance_of(occupied, maps), known[::2, ::2], discs, radius_m, maps)
        final = float(row["route_m"]) <= AHEAD_M
        goal = np.array([*row["goal"], 1.0]) if final else np.array([*row["route"][round(AHEAD_M / ROUTE_M) - 1], 0.0, 0.0])
        out: FloatArray = clear(sampler.sample(seen, row["velocity"], goal, 1, rng), seen)[0]
        return out

    return drive
