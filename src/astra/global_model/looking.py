"""Where to look next: the motion after which the places that are still possible would look most different.

The paper's authors name the lack of it as a limit: one frame is answered, however ambiguous. Here the map itself foretells what the cameras
would see from each hypothesis after each motion, and the motion whose pictures differ most is the one worth making.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraRig, Pose2, Pose3
from astra.global_model.loaded import LoadedMap
from astra.perception.local import LocalFeatureConfig, match_units

_FEWEST_FEATURES = 40  # of a view, for its local features to tell anything


@dataclass(frozen=True, slots=True)
class LookingConfig:
    """Which motions are thought about, and when they are worth making."""

    turns: int = 16  # headings of a full turn
    steps_m: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)  # of moves in each of these directions; the way is made bit by bit, and thought over after each
    hypotheses: int = 4  # likeliest, that are told apart
    view_distance_m: float = 1.5  # of a map view from a foretold pose, for it to tell what is seen there
    view_angle_rad: float = math.radians(40.0)
    metre_cost: float = 0.01  # of telling power, a metre of driving
    radian_cost: float = 0.01
    least_power: float = 0.02  # below which no motion is better than another

    def __post_init__(self) -> None:
        require(self.turns >= 2, "turns", self.turns, "≥ 2")
        require(all(step > 0.0 for step in self.steps_m), "steps_m", self.steps_m, "> 0")
        require(self.hypotheses >= 2, "hypotheses", self.hypotheses, "≥ 2")
        require(self.view_distance_m > 0.0, "view_distance_m", self.view_distance_m, "> 0")
        require(0.0 < self.view_angle_rad <= math.pi, "view_angle_rad", self.view_angle_rad, "in (0, π]")
        require(self.least_power >= 0.0, "least_power", self.least_power, "≥ 0")


@dataclass(frozen=True, slots=True)
class Look:
    """A motion worth making, in base_link now: turn to `turn_rad`, then drive `ahead_m`.

    `power`: how much more the places then differ than where they look alike.
    """

    turn_rad: float
    ahead_m: float
    power: float


def most_telling(
    loaded: LoadedMap, rig: CameraRig, hypotheses: Sequence[tuple[Pose2, float]], free_m: FloatArray | None = None, config: LookingConfig | None = None
) -> Look | None:
    """The motion that tells most for its cost; None if no motion tells more than another.

    Args:
        hypotheses: (map_from_base, weight), any order.
        free_m: (turns,) how far the robot may drive in each direction, the first straight ahead, counter-clockwise [m]; None: turn only.
    """
    config = config or LookingConfig()
    likeliest = sorted(hypotheses, key=lambda entry: -entry[1])[: config.hypotheses]
    if len(likeliest) < 2:
        return None
    weights = np.array([weight for _, weight in likeliest])
    weights /= weights.sum()
    motions = [(0.0, 0.0)]  # to stay comes first and is never chosen: the present view has been seen
    for turn in range(config.turns):
        angle = math.remainder(2.0 * math.pi * turn / config.turns, 2.0 * math.pi)
        motions += [(angle, 0.0)] if turn else []
        motions += [(angle, step) for step in config.steps_m if free_m is not None and free_m[turn] >= step]
    foretold = np.stack([_foreseen(loaded, rig, pose, motions, config) for pose, _ in likeliest], axis=1)
    known: dict[tuple[int, int], float] = {}
    told = np.array([_difference(loaded, rows, weights, known) for rows in foretold])
    turns, ways = np.array(motions).T
    gain = told - told.min() - config.metre_cost * ways - config.radian_cost * np.abs(turns)
    best = 1 + int(np.argmax(gain[1:]))
    return Look(*motions[best], float(gain[best])) if gain[best] > config.least_power else None


def _difference(loaded: LoadedMap, foretold: IntArray, weights: FloatArray, known: dict[tuple[int, int], float]) -> float:
    """Σ_hk w_h w_k of how different what each camera would see from h and k is, mean over the cameras that the map foretells for both.

    Args:
        foretold: (H, C) rows of map views, −1 where the map has none.
        known: differences of pairs of rows; filled.
    """
    total = 0.0
    for h in range(len(weights)):
        for k in range(h + 1, len(weights)):
            pairs = [(min(a, b), max(a, b)) for a, b in zip(foretold[h].tolist(), foretold[k].tolist()) if a >= 0 and b >= 0]
            for pair in pairs:
                if pair not in known:
                    known[pair] = _unlike(loaded, *pair)
            if pairs:
                total += 2.0 * float(weights[h] * weights[k]) * sum(known[pair] for pair in pairs) / len(pairs)
    return total


def _unlike(loaded: LoadedMap, a: int, b: int) -> float:
    """How different two views of the map are, 0..1: by their place features, and by the local features that only one of them shows."""
    place = np.asarray(loaded.features.place[[a, b]], dtype=np.float64)
    looks = 1.0 - float(place[0] @ place[1])
    first, second = loaded.view_points(a).units, loaded.view_points(b).units
    fewest = min(len(first), len(second))
    if fewest < _FEWEST_FEATURES:
        return looks
    return 0.5 * (looks + 1.0 - len(match_units(first, second, LocalFeatureConfig())) / fewest)


def _foreseen(loaded: LoadedMap, rig: CameraRig, pose: Pose2, motions: Sequence[tuple[float, float]], config: LookingConfig) -> IntArray:
    """The rows (M, C) of the map views that show best what each camera would see after each motion, −1 where none does."""
    farthest = max(way for _, way in motions) + config.view_distance_m + 1.0
    near = np.flatnonzero(np.linalg.norm(loaded.view_positions[:, :2] - [pose.x, pose.y], axis=1) <= farthest)
    rows = np.full((len(motions), len(rig.cameras)), -1, dtype=np.int64)
    if len(near) == 0:
        return rows
    cameras = [Pose3.from_pose2(pose @ Pose2(0.0, 0.0, turn) @ Pose2(way, 0.0, 0.0)) @ c.base_from_cam for turn, way in motions for c in rig.cameras]
    positions, axes = np.array([c.translation for c in cameras]), np.array([c.rotation[:, 2] for c in cameras])
    distance = np.linalg.norm(positions[:, None] - loaded.view_positions[near], axis=2)
    angle = np.arccos(np.clip(axes @ loaded.view_axes[near].T, -1.0, 1.0))
    shown = (distance <= config.view_distance_m) & (angle <= config.view_angle_rad)
    cost = np.where(shown, distance / config.view_distance_m + angle / config.view_angle_rad, np.inf)
    best = np.argmin(cost, axis=1)
    found = np.isfinite(cost[np.arange(len(best)), best])
    rows.reshape(-1)[found] = near[best[found]]
    return rows
