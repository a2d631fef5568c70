"""The planner's data recipe: lessons of the expert in train worlds, a few in validation worlds; what is there already is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from astra.core.config import require
from astra.core.errors import AstraError
from astra.datasets.lessons import LessonConfig, write_lessons
from astra.sim.worlds.plan import Kind, split_from_seed

logger = logging.getLogger(__name__)
TURNS: tuple[Kind, ...] = ("home", "office", "home", "office", "warehouse")  # a warehouse takes five times as long to plan as a home
VALIDATE_SEED = 10_000


@dataclass(frozen=True, slots=True)
class PlannerDataConfig:
    """How many worlds of which seeds."""

    worlds: int = 50
    validation_worlds: int = 5
    first_seed: int = 5_000  # of the train worlds; validation worlds begin so much above the first validation seed
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
    samples = 0
    for number, seed in enumerate(seeds):
        kind = TURNS[seed % len(TURNS)]
        try:
            samples += write_lessons(kind, seed, out / split_from_seed(seed), config.lesson)
        except AstraError as error:
            logger.warning("%s%d is left out: %s", kind, seed, error)
        told(f"{kind}{seed}: {samples} samples ({number + 1} of {len(seeds)} worlds)")
    return samples
