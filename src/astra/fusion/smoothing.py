"""Corrections of map→odom spread over time, for consumers that dislike jumps; the estimate itself is never delayed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from astra.core.config import require
from astra.geometry.se2 import Pose2, wrap_angle


@dataclass(frozen=True, slots=True)
class SmoothingConfig:
    """How fast the published map→odom follows the estimate."""

    enabled: bool = field(default=False, metadata={"help": "spread corrections of map→odom over time instead of jumping"})
    speed_mps: float = field(default=0.25, metadata={"help": "of a correction at the robot [m/s]"})
    turn_radps: float = field(default=0.25, metadata={"help": "of a correction of the heading [rad/s]"})
    at_once_m: float = field(default=0.5, metadata={"help": "larger corrections are no drift and taken at once [m]"})
    at_once_rad: float = field(default=0.5, metadata={"help": "likewise of the heading [rad]"})

    def __post_init__(self) -> None:
        for name in ("speed_mps", "turn_radps", "at_once_m", "at_once_rad"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")


class JumpSmoother:
    """Follows map_from_odom at bounded speed, measured where the robot is: far from odom's origin a small turn would be a long way."""

    def __init__(self, config: SmoothingConfig | None = None) -> None:
        self.config = config or SmoothingConfig()
        self._shown: Pose2 | None = None

    def reset(self) -> None:
        """The next target is taken as it is."""
        self._shown = None

    def follow(self, map_from_odom: Pose2, odom_from_base: Pose2, elapsed_s: float) -> Pose2:
        """map_from_odom to publish, `elapsed_s` after the last."""
        config, shown = self.config, self._shown
        if config.enabled and shown is not None and elapsed_s >= 0.0:
            here, there = shown @ odom_from_base, map_from_odom @ odom_from_base
            away_m, turn = here.distance_to(there), wrap_angle(there.yaw - here.yaw)
            if away_m <= config.at_once_m and abs(turn) <= config.at_once_rad:
                along = min(1.0, config.speed_mps * elapsed_s / max(away_m, 1e-9))
                about = min(1.0, config.turn_radps * elapsed_s / max(abs(turn), 1e-9))
                moved = Pose2(here.x + along * (there.x - here.x), here.y + along * (there.y - here.y), wrap_angle(here.yaw + about * turn))
                map_from_odom = moved @ odom_from_base.inverse()
        self._shown = map_from_odom
        return map_from_odom
