"""The data recipe: worlds of every kind, rides through them among people for the eyes, expert drives for the planner, and the samples of both.

What is packed already is passed over, so that an interrupted recipe goes on, and a longer one adds to a shorter. Worlds and recorded
drives are deleted once packed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from astra.core.config import require
from astra.core.errors import AstraError
from astra.datasets import open_drive
from astra.datasets.glide import GlideConfig, glide
from astra.datasets.packing import pack_drive
from astra.datasets.record import RecordRequest, record_world
from astra.sim.recording import RecordingConfig
from astra.sim.robot import RobotConfig
from astra.sim.world import World
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS, Kind, split_from_seed

logger = logging.getLogger(__name__)
VALIDATE_SEED = 10_000  # first of those kept for validation


@dataclass(frozen=True, slots=True)
class DataConfig:
    """How many worlds, and what is taken from each."""

    worlds: int = 60
    first_seed: int = 0
    validate_every: int = 10  # one world of so many is a validation world
    glides: int = 2  # in each world, each with cameras of its own
    drives: int = 0  # of the expert in each world
    seconds: float = 40.0  # of an expert's drive
    width: int = 160  # multiples of 16, as the encoder needs
    height: int = 112
    glide: GlideConfig = field(default_factory=GlideConfig)

    def __post_init__(self) -> None:
        require(self.worlds >= 1, "worlds", self.worlds, "at least 1")
        require(min(self.glides, self.drives) >= 0 < max(self.glides, self.drives), "glides", self.glides, "glides or drives, at least 1")
        require(self.seconds >= 8.0, "seconds", self.seconds, "at least 8")
        require(self.validate_every >= 2, "validate_every", self.validate_every, "at least 2")
        require(0 <= self.first_seed < VALIDATE_SEED - self.worlds, "first_seed", self.first_seed, "a train seed, as must be the last")


@dataclass(frozen=True, slots=True)
class Job:
    """One world: `glides` and `drives` are those that are not packed yet."""

    kind: Kind
    seed: int
    glides: tuple[int, ...]
    drives: tuple[int, ...]

    @property
    def world(self) -> str:
        """Its name."""
        return f"{self.kind}{self.seed}"


def jobs(config: DataConfig, out: Path) -> Iterator[Job]:
    """What is left to do below `out`: kinds take turns, and every so often a world is one for validation."""
    trained, held = 0, 0
    for number in range(config.worlds):
        if number % config.validate_every == min(3, config.validate_every - 1):
            seed, turn, held = VALIDATE_SEED + config.first_seed + held, held, held + 1
        else:
            seed, turn, trained = config.first_seed + trained, trained, trained + 1
        kind, place = KINDS[turn % len(KINDS)], out / split_from_seed(seed)
        glides = tuple(k for k in range(config.glides) if not (place / f"{kind}{seed}_glide{k}").is_dir())
        drives = tuple(k for k in range(config.drives) if not any(place.glob(f"{kind}{seed}_drive{k}-*")))
        if glides or drives:
            yield Job(kind, seed, glides, drives)


def make(config: DataConfig, out: Path, told: Callable[[str], None] = lambda line: None) -> int:
    """Ride, drive and pack until every job is done; `out` gets the sample sets `train` and `validate`. Returns how many samples were added."""
    out.mkdir(parents=True, exist_ok=True)
    robot = RobotConfig()
    robot = replace(robot, cameras=replace(robot.cameras, width=config.width, height=config.height))
    added = 0
    for job in jobs(config, out):
        place = out / split_from_seed(job.seed)
        with tempfile.TemporaryDirectory(dir=out, prefix=".making-") as scratch:
            try:
                world = generate(job.kind, job.seed, Path(scratch) / job.world)
                for number in job.glides:
                    added += glide(world, robot, config.glide, job.seed * 16 + number, place, f"{job.world}_glide{number}").samples
                for number in job.drives:
                    added += _drive(world, robot, config, job, number, place)
            except AstraError as error:
                logger.warning("%s is left out: %s", job.world, error)
        told(f"{job.world}: {added} samples")
    return added


def _drive(world: World, robot: RobotConfig, config: DataConfig, job: Job, number: int, place: Path) -> int:
    seed, pack = job.seed * 16 + number, config.glide.pack
    recording = RecordingConfig(2.0 * pack.rate_hz, seconds=config.seconds, depth=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".drive-") as scratch:
        path = Path(scratch) / f"{job.world}_drive{number}"
        record_world(RecordRequest(world, path, robot, seed, "expert", recording=recording, randomize=seed))
        return pack_drive(open_drive(path), place, pack).samples
