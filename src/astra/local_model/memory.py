"""What was said of the cells near the robot during the last two seconds, kept where it was in the world: cameras look over what stands at the robot's feet."""

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
