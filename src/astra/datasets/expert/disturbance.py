"""Pushes and shaky hands in the middle of a drive (after DART, Laskey et al., 2017): the robot leaves the expert's way, the expert goes on
planning from where it is, and its plans show how to come back. Only where there is room: a disturbance never ends in a collision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.datasets.expert.outline import Outline
from astra.datasets.expert.route import Floor
from astra.datasets.expert.starts import outline_clearance
from astra.geometry import Pose2
from astra.sim.robot import RobotConfig

_LOOK_S = np.arange(1, 13) * 0.1


@dataclass(frozen=True, slots=True)
class DisturbanceConfig:
    """How often and how hard."""

    every_s: float = 8.0  # on average, between two
    push_mps: float = 0.3
    push_radps: float = 1.0
    noise_mps: float = 0.2
    noise_radps: float = 0.8
    noise_s: float = 0.3  # how long the noise remembers
    shortest_s: float = 0.4
    longest_s: float = 1.5
    keep_m: float = 0.05  # clearance that a disturbed robot must be able to keep by braking
    person_m: float = 1.0

    def __post_init__(self) -> None:
        require(self.every_s > 0.0, "every_s", self.every_s, "positive")
        require(0.0 < self.shortest_s <= self.longest_s, "shortest_s", self.shortest_s, "positive, at most longest_s")


class Disturber:
    """Changes commands now and then; deterministic for its generator. `active` tells whether the last command was changed."""

    def __init__(self, floor: Floor, outline: Outline, robot: RobotConfig, rng: np.random.Generator, config: DisturbanceConfig | None = None) -> None:
        self.config = config or DisturbanceConfig()
        self._floor, self._outline, self._robot, self._rng = floor, outline, robot, rng
        self.active = False
        self.episodes = 0
        self._begins_s: float | None = None
        self._ends_s = 0.0
        self._shaky = False
        self._offset: FloatArray = np.zeros(2)
        self._last_s = 0.0

    def apply(self, pose: Pose2, command: tuple[float, float], time_s: float, movers: FloatArray) -> tuple[float, float]:
        """The command to give instead of the expert's.

        Args:
            pose: true pose.
            command: the expert's (v, w).
            time_s: simulated time.
            movers: (M, 3) x, y, radius of movers now.
        """
        if self._begins_s is None:
            self._begins_s = time_s + float(self._rng.exponential(self.config.every_s))
        if not self.active and time_s >= self._begins_s:
            self._begin(time_s)
        if self.active:
            self._shake(time_s - self._last_s)
            self._last_s = time_s
            limit = np.array([self._robot.max_linear_mps, self._robot.max_angular_radps])
            v, w = np.clip(np.array(command) + self._offset, -limit, limit).tolist()
            changed = (v, w)
            if time_s < self._ends_s and self._is_safe(pose, changed, movers):
                return changed
            self.active, self._begins_s = False, time_s + float(self._rng.exponential(self.config.every_s))
        return command

    def _begin(self, time_s: float) -> None:
        c, rng = self.config, self._rng
        self.active, self._last_s = True, time_s
        self.episodes += 1
        self._shaky = bool(rng.random() < 0.5)
        self._ends_s = time_s + float(rng.uniform(c.shortest_s, c.longest_s))
        self._offset = np.zeros(2) if self._shaky else rng.uniform(-1.0, 1.0, 2) * [c.push_mps, c.push_radps]

    def _shake(self, elapsed_s: float) -> None:
        """An Ornstein-Uhlenbeck step of the noise."""
        if self._shaky:
            keep = float(np.exp(-elapsed_s / self.config.noise_s))
            noise = self._rng.standard_normal(2) * [self.config.noise_mps, self.config.noise_radps]
            self._offset = keep * self._offset + (1.0 - keep**2) ** 0.5 * noise

    def _is_safe(self, pose: Pose2, command: tuple[float, float], movers: FloatArray) -> bool:
        """Whether the robot could follow the command for a moment and then brake with room to spare."""
        if len(movers) and (np.hypot(movers[:, 0] - pose.x, movers[:, 1] - pose.y) - movers[:, 2] - self._outline.reach_m).min() < self.config.person_m:
            return False
        v, w = command
        brake = 0.7 * self._robot.max_linear_mps2
        along = np.array([v * t if t <= 0.3 else v * 0.3 + np.sign(v) * _braked(abs(v), t - 0.3, brake) for t in _LOOK_S])
        turned = w * np.minimum(_LOOK_S, 0.6)
        heading = pose.yaw + 0.5 * turned
        poses = np.stack([pose.x + along * np.cos(heading), pose.y + along * np.sin(heading), pose.yaw + turned], axis=1)
        return bool((outline_clearance(self._floor, self._outline, poses) >= self.config.keep_m).all())


def _braked(speed: float, elapsed_s: float, brake: float) -> float:
    """Distance driven while braking for a time [m]."""
    t = min(elapsed_s, speed / brake)
    return speed * t - 0.5 * brake * t * t
