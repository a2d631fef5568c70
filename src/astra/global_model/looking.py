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
from astra.core.types import FloatArray
from astra.geometry import CameraRig, Pose2, Pose3
from astra.global_model.loaded import LoadedMap


@dataclass(frozen=True, slots=True)
class LookingConfig:
    """Which motions are thought about, and when they are worth making."""

    turns: int = 8  # headings of a full turn
    step_m: float = 1.0  # of a short move in each of these directions
    hypotheses: int = 6  # likeliest, that are told apart
    view_distance_m: float = 1.5  # of a map view from a foretold pose, for it to tell what is seen there
    view_angle_rad: float = math.radians(40.0)
    metre_cost: float = 0.05  # of telling power, a metre of driving
    radian_cost: float = 0.01
    least_power: float = 0.02  # below which no motion is better than another

    def __post_init__(self) -> None:
        require(self.turns >= 2, "turns", self.turns, "≥ 2")
        require(self.step_m >= 0.0, "step_m", self.step_m, "≥ 0")
        require(self.hypotheses >= 2, "hypotheses", self.hypotheses, "≥ 2")
        require(self.view_distance_m > 0.0, "view_distance_m", self.view_distance_m, "> 0")
        require(0.0 < self.view_angle_rad <= math.pi, "view_angle_rad", self.view_angle_rad, "in (0, π]")
        require(self.least_power >= 0.0, "least_power", self.least_power, "≥ 0")


@dataclass(frozen=True, slots=True)
class Look:
    """A motion worth making, in base_link now: turn to `turn_rad`, then drive `ahead_m`. `power` 0..1: how different the places then look."""

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
    best: Look | None = None
    for turn in range(config.turns):
        angle = math.remainder(2.0 * math.pi * turn / config.turns, 2.0 * math.pi)
        for ahead in (0.0, config.step_m):
            if (turn == 0 and ahead == 0.0) or (ahead > 0.0 and (free_m is None or free_m[turn] < ahead)):
                continue
            poses = [pose @ Pose2(0.0, 0.0, angle) @ Pose2(ahead, 0.0, 0.0) for pose, _ in likeliest]
            told = _difference(loaded, rig, poses, weights, config)
            power = told - config.metre_cost * ahead - config.radian_cost * abs(angle)
            if power > config.least_power and (best is None or power > best.power):
                best = Look(angle, ahead, power)
    return best


def _difference(loaded: LoadedMap, rig: CameraRig, poses: Sequence[Pose2], weights: FloatArray, config: LookingConfig) -> float:
    """Σ_hk w_h w_k (1 − likeness of what each camera would see from h and k), mean over the cameras that the map foretells for both."""
    foretold = np.array([[_foreseen(loaded, Pose3.from_pose2(pose) @ camera.base_from_cam, config) for camera in rig.cameras] for pose in poses])
    place = np.asarray(loaded.features.place, dtype=np.float64)
    total = 0.0
    for h in range(len(poses)):
        for k in range(h + 1, len(poses)):
            both = (foretold[h] >= 0) & (foretold[k] >= 0)
            if both.any():
                alike = np.einsum("cd,cd->c", place[foretold[h][both]], place[foretold[k][both]])
                total += 2.0 * float(weights[h] * weights[k]) * float(np.mean(1.0 - alike))
    return total


def _foreseen(loaded: LoadedMap, map_from_cam: Pose3, config: LookingConfig) -> int:
    """The row of the map view that shows best what a camera would see from there, −1 if none does."""
    rows = loaded.rows_like(map_from_cam, 1, config.view_distance_m, config.view_angle_rad)
    return int(rows[0]) if len(rows) else -1
