"""What was said of cells before, kept where it was in the world: of the near ones for two seconds, of the wide ones for as long as they are in reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import NANOSECONDS, AnyArray, BoolArray, Float32Array
from astra.geometry import Pose2
from astra.local_model.grid import VoxelGrid
from astra.local_model.history import moved

SURE = 0.01  # no look is surer than this
NEVER_S = 1e3


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """How long and how much the past counts."""

    kept_s: float = 2.0  # afterwards a cell is unknown
    fading_s: float = 0.72  # the weight of a look falls to a third within this time
    unseen_weight: float = 0.15  # of what a look guesses of cells that it did not see, over those that it saw
    arrival: float = 1.0  # logits: somebody who arrives is believed at once but for this much

    def __post_init__(self) -> None:
        require(self.kept_s > 0.0, "kept_s", self.kept_s, "more than 0")
        require(self.fading_s > 0.0, "fading_s", self.fading_s, "more than 0")
        require(0.0 < self.unseen_weight <= 1.0, "unseen_weight", self.unseen_weight, "in (0, 1]")
        require(self.arrival >= 0.0, "arrival", self.arrival, "at least 0")


class NearMemory:
    """The weighted mean of the looks of the last seconds, moved by odometry.

    Args:
        grid: of the near map.
        config: weights.
    """

    def __init__(self, grid: VoxelGrid, config: MemoryConfig | None = None) -> None:
        self._grid, self._config = grid, config or MemoryConfig()
        self._last: tuple[int, Pose2, Float32Array] | None = None  # mean of logits, weight, seconds since seen: (3, Y, X)

    def add(self, stamp_ns: int, odom_from_base: Pose2, near: Float32Array, seen: BoolArray) -> tuple[Float32Array, BoolArray]:
        """Add a look (Y, X), 0..1, and whether each cell was seen; returns the same of the last seconds. A clock that steps back clears the past."""
        c = self._config
        chance = np.clip(near, SURE, 1.0 - SURE)
        said: AnyArray = np.log(chance / (1.0 - chance))
        weight, age = np.where(seen, 1.0, c.unseen_weight), np.where(seen, 0.0, NEVER_S)
        mean = said
        if self._last is not None and 0 < stamp_ns - self._last[0] <= c.kept_s * NANOSECONDS:
            passed_s = (stamp_ns - self._last[0]) / NANOSECONDS
            before, then, since = self._carried(self._last[1].inverse() @ odom_from_base)
            then = then * math.exp(-passed_s / c.fading_s)
            mean = (weight * said + then * before) / (weight + then)
            weight, age = weight + then, np.minimum(age, since + passed_s)
        self._last = stamp_ns, odom_from_base, np.stack([mean, weight, age]).astype(np.float32)
        recent = 1.0 / (1.0 + np.exp(-np.maximum(mean, said - c.arrival)))
        return recent.astype(np.float32), np.asarray(age <= c.kept_s)

    def _carried(self, past_from_now: Pose2) -> AnyArray:
        """The memory around the current pose; what lay outside weighs nothing and was never seen."""
        assert self._last is not None
        layers = np.concatenate([self._last[2], np.ones_like(self._last[2][:1])])
        out = moved(layers, past_from_now, self._grid)
        inside = out[3] > 0.99
        return np.stack([out[0], np.where(inside, out[1], 0.0), np.where(inside, out[2], NEVER_S)])


@dataclass(frozen=True, slots=True)
class LastingConfig:
    """How much the past of the wide map counts."""

    step_s: float = 0.5  # between the looks that are kept; in between, the newest is laid over them for a moment
    fading_s: float = 4.0  # the weight of a look falls to a third within this time
    sure: float = 2.0  # logits from which on a look counts in full
    doubt: float = 0.15  # of one that knows nothing

    def __post_init__(self) -> None:
        require(self.step_s > 0.0, "step_s", self.step_s, "more than 0")
        require(self.fading_s > 0.0, "fading_s", self.fading_s, "more than 0")
        require(self.sure > 0.0, "sure", self.sure, "more than 0")
        require(0.0 < self.doubt <= 1.0, "doubt", self.doubt, "in (0, 1]")


class LastingMap:
    """The mean of all looks at what stands around, each cell of each look weighted by how sure it was, moved by odometry.

    What is kept changes every `step_s` alone: moving a map blurs it.

    Args:
        grid: of the map.
        config: weights.
    """

    def __init__(self, grid: VoxelGrid, config: LastingConfig | None = None) -> None:
        self._grid, self._config = grid, config or LastingConfig()
        self._kept: tuple[int, Pose2, Float32Array] | None = None  # mean of logits, weight: (2, Y, X)

    def add(self, stamp_ns: int, odom_from_base: Pose2, chance: Float32Array) -> Float32Array:
        """Add a look (Y, X), 0..1; returns the mean of all, likewise. A clock that steps back, or stood for long, clears the past."""
        c = self._config
        clipped = np.clip(chance, SURE, 1.0 - SURE)
        said: AnyArray = np.log(clipped / (1.0 - clipped))
        weight = np.clip(np.abs(said) / c.sure, c.doubt, 1.0)
        if self._kept is not None and not 0 < stamp_ns - self._kept[0] <= c.fading_s * NANOSECONDS:
            self._kept = None
        mean, passed_s = said, c.step_s
        if self._kept is not None:
            passed_s = (stamp_ns - self._kept[0]) / NANOSECONDS
            before, then = moved(self._kept[2], self._kept[1].inverse() @ odom_from_base, self._grid)
            then = then * math.exp(-passed_s / c.fading_s)
            mean, weight = (weight * said + then * before) / (weight + then), weight + then
        if passed_s > 0.9 * c.step_s:
            self._kept = stamp_ns, odom_from_base, np.stack([mean, weight]).astype(np.float32)
        return np.asarray(1.0 / (1.0 + np.exp(-mean)), np.float32)
