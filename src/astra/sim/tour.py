"""A person who drives the tour: pure pursuit along waypoints, on the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose2, wrap_angle

SPACING_M = 0.05
STAND_OFF_M = 0.6  # from somebody's outline to the robot's middle
LOOK_AHEAD_M = 0.8  # of the path that must be clear of everybody
LOOK_AHEAD_S = (0.0, 0.5, 1.0)
PATIENCE_S, RETREAT_S, RETREAT_MPS = 15.0, 5.0, 0.25  # whom nobody lets pass gives way, back along the path, each time twice as far
MOST_DOUBLINGS = 4


@dataclass(frozen=True, slots=True)
class TourConfig:
    """How the tour is driven."""

    speed_mps: float = 0.45
    turn_radps: float = 0.8
    lookahead_m: float = 0.45

    def __post_init__(self) -> None:
        require(0.05 <= self.speed_mps <= 2.0, "speed_mps", self.speed_mps, "between 0.05 and 2.0")
        require(0.1 <= self.turn_radps <= 3.0, "turn_radps", self.turn_radps, "between 0.1 and 3.0")
        require(0.2 <= self.lookahead_m <= 2.0, "lookahead_m", self.lookahead_m, "between 0.2 and 2.0")


class Crowd(Protocol):
    """Whoever else moves."""

    def positions(self, times_s: FloatArray) -> FloatArray:
        """x, y, radius (T, M, 3) [m] at simulated times (T,) [s]."""
        ...


class TourDriver:
    """Follows a polyline (K, 2); turns on the spot where it bends sharply, and waits for whoever stands in the way."""

    def __init__(self, waypoints: FloatArray, config: TourConfig, crowd: Crowd | None = None) -> None:
        self._config, self._crowd = config, crowd
        self._points = _resample(waypoints)
        self._index = 0
        self._waits_since_s, self._retreats_until_s = math.inf, -math.inf
        self._furthest, self._retreats = 0, 0

    @property
    def length_m(self) -> float:
        """Length of the path."""
        return float(np.linalg.norm(np.diff(self._points, axis=0), axis=1).sum())

    @property
    def limit_s(self) -> float:
        """Who needs longer does not get through."""
        waiting = 2.0 if self._crowd is None else 4.0
        return (1.0 + waiting) * self.length_m / self._config.speed_mps + 60.0

    @property
    def progress(self) -> float:
        """The part of the path that lies behind, 0 to 1."""
        return self._index / max(len(self._points) - 1, 1)

    @property
    def goal(self) -> Pose2:
        """The end of the path."""
        (x0, y0), (x1, y1) = self._points[-2:].tolist()
        return Pose2(x1, y1, math.atan2(y1 - y0, x1 - x0))

    @property
    def plan(self) -> None:
        """Nothing but the path."""
        return

    @property
    def disturbed(self) -> bool:
        """Never."""
        return False

    def command(self, pose: Pose2, velocity: tuple[float, float], time_s: float) -> tuple[float, float] | None:
        """The twist (m/s, rad/s) for this pose; None once the end is reached."""
        c, here = self._config, np.array([pose.x, pose.y])
        if time_s < self._retreats_until_s:
            return self._retreat(pose, time_s)
        window = self._points[self._index : self._index + 12]
        self._index += int(np.argmin(np.linalg.norm(window - here, axis=1)))
        last = len(self._points) - 1
        if self._index > self._furthest + round(STAND_OFF_M / SPACING_M):
            self._furthest, self._retreats = self._index, 0
        if self._index >= last - 2 and math.dist(self._points[last], here) < 0.12:
            return None
        if self._is_crowded(time_s, ahead=True):
            self._waits_since_s = min(self._waits_since_s, time_s)
            if time_s - self._waits_since_s > PATIENCE_S:
                self._waits_since_s, self._retreats_until_s = math.inf, time_s + RETREAT_S * 2 ** min(self._retreats, MOST_DOUBLINGS)
                self._retreats += 1
            return 0.0, 0.0
        self._waits_since_s = math.inf
        target = self._points[min(self._index + round(c.lookahead_m / SPACING_M), last)]
        distance = max(math.dist(target, here), 0.05)
        error = wrap_angle(math.atan2(target[1] - pose.y, target[0] - pose.x) - pose.yaw)
        if abs(error) > 0.8:
            return 0.0, math.copysign(c.turn_radps, error)
        speed = c.speed_mps * max(math.cos(error), 0.3) * min(1.0, (distance + 0.1) / c.lookahead_m)
        turn = 2.0 * speed * math.sin(error) / distance
        return speed, float(np.clip(turn, -c.turn_radps, c.turn_radps))

    def _retreat(self, pose: Pose2, time_s: float) -> tuple[float, float]:
        """Backwards along the path that was driven, unless it bends too sharply or somebody stands there."""
        here = np.array([pose.x, pose.y])
        first = max(self._index - 12, 0)
        self._index = first + int(np.argmin(np.linalg.norm(self._points[first : self._index + 1] - here, axis=1)))
        target = self._points[max(self._index - round(self._config.lookahead_m / SPACING_M), 0)]
        distance = math.dist(target, here)
        error = wrap_angle(math.atan2(target[1] - pose.y, target[0] - pose.x) - pose.yaw - math.pi)
        if distance < 0.1 or abs(error) > 0.8 or self._is_crowded(time_s, ahead=False):
            return 0.0, 0.0
        return -RETREAT_MPS, float(np.clip(2.0 * RETREAT_MPS * math.sin(error) / distance, -self._config.turn_radps, self._config.turn_radps))

    def _is_crowded(self, time_s: float, *, ahead: bool) -> bool:
        if self._crowd is None:
            return False
        people = self._crowd.positions(time_s + np.array(LOOK_AHEAD_S)).reshape(-1, 1, 3)
        reach = round(LOOK_AHEAD_M / SPACING_M)
        path = self._points[self._index : self._index + reach + 1] if ahead else self._points[max(self._index - reach, 0) : self._index + 1][::-1]
        distance = np.linalg.norm(people[..., :2] - path, axis=-1)
        # Whoever is nearer to where the robot stands than to where it goes is being left behind.
        coming = distance[:, -1] < distance[:, 0]
        return bool(((distance < people[..., 2] + STAND_OFF_M).any(axis=1) & coming).any())


def _resample(waypoints: FloatArray) -> FloatArray:
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(waypoints, axis=0), axis=1))])
    s = np.linspace(0.0, steps[-1], max(2, round(float(steps[-1]) / SPACING_M) + 1))
    return np.stack([np.interp(s, steps, waypoints[:, 0]), np.interp(s, steps, waypoints[:, 1])], axis=1)
