"""The tours that are mapped, as files in the cache: worlds and drives are made once and used by every later run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.paths import cache_dir
from astra.core.types import FloatArray
from astra.datasets import open_drive
from astra.datasets.drive import Drive
from astra.datasets.record import RecordRequest, record_world
from astra.evaluation.mapping.episodes import Episode, Twist
from astra.evaluation.mapping.ring import build_ring
from astra.evaluation.mapping.twists import Clipped, Dropped, FalseLoop, Frozen, RollingExposure, Twisted, false_loop
from astra.geometry import Trajectory
from astra.mapping.tour import Tour
from astra.sim.recording import RecordingConfig
from astra.sim.world import World, load_world
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS

SHORTEST_M, LONGEST_M = 60.0, 75.0  # a tour that is shorter is driven again, there and back; one that is longer is cut
IMAGE_RATE_HZ = 3.0


@dataclass(frozen=True, eq=False)
class Material:
    """What an episode is made of: the tour as the builder sees it, and the truth that only the judge sees."""

    tour: Tour
    drive: Drive
    world: World
    truth: Trajectory


def prepare(episode: Episode, root: Path | None = None) -> Material:
    """Open an episode's tour; what is not there yet is generated and recorded (in `root`, default: in the cache).

    Raises:
        BadInputError: a kind of building that nobody can make.
    """
    root = root or cache_dir() / "evaluation"
    folder, path = root / "worlds" / f"{episode.kind}{episode.seed}", root / "tours" / f"{episode.kind}{episode.seed}"
    world = load_world(folder) if folder.is_dir() else _make(episode, folder)
    if not path.is_dir():
        record_world(RecordRequest(_toured(world), path, movers=episode.movers, recording=RecordingConfig(IMAGE_RATE_HZ)))
    drive = open_drive(path)
    truth = drive.truth()
    if truth is None:
        raise BadInputError(f"{path} was recorded without truth")
    tour, truth = twisted(*_cut(drive, truth), episode.twist)
    return Material(tour, drive, world, truth)


def twisted(tour: Tour, truth: Trajectory, twist: Twist) -> tuple[Tour, Trajectory]:
    """A tour on which something goes wrong, and the truth of it."""
    if twist == "false_loop":
        wing: FalseLoop = false_loop(tour, truth)
        return wing, wing.truth_with_wing(truth)
    makers: dict[str, Callable[[Tour], Twisted]] = {
        "dropped": Dropped,
        "exposure": RollingExposure,
        "frozen": Frozen,
        "frozen_front": lambda plain: Frozen(plain, cameras=(plain.rig.names[0],)),
    }
    return (makers[twist](tour) if twist else tour), truth


def _make(episode: Episode, folder: Path) -> World:
    if episode.kind == "ring":
        return build_ring(folder, episode.seed)
    for kind in KINDS:
        if kind == episode.kind:
            return generate(kind, episode.seed, folder)
    raise BadInputError(f"kind {episode.kind!r} is not one of {', '.join(KINDS)}, ring")


def _toured(world: World) -> World:
    """The world with a tour that is long enough: driven back and forth until it is, and cut where it is too long."""
    if world.truth is None:
        raise BadInputError(f"{world.scene} has no tour")
    once: FloatArray = world.truth.tour
    times = max(math.ceil(SHORTEST_M / float(_along(once)[-1])), 1)
    legs = [once[::-1][1:] if k % 2 else once[1:] for k in range(times)]
    path = np.concatenate([once[:1], *legs])
    inside = _along(path) <= LONGEST_M
    return replace(world, truth=replace(world.truth, tour=path[: max(int(inside.sum()), 2)]))


def _along(path: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1))])


def _cut(drive: Drive, truth: Trajectory) -> tuple[Tour, Trajectory]:
    along = _along(truth.poses)
    if along[-1] <= LONGEST_M:
        return drive, truth
    last = int(np.searchsorted(along, LONGEST_M))
    return Clipped(drive, int(truth.stamps_ns[last])), Trajectory(truth.stamps_ns[: last + 1], truth.poses[: last + 1])
