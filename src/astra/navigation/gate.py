"""The last hop before the wheels: nothing passes that would drive the outline into what the newest scan shows, or on stale input.

The commanded arc is rolled forward over the distance the robot needs to stop; the speed is cut to what the free part allows. Independent of
torch and of whoever made the command.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, LaserScan
from astra.geometry.se2 import Pose2
from astra.navigation.footprint import Footprint


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Limits of `VelocityGate`; ages are steady-clock seconds since arrival."""

    max_linear_vel: float = 0.6  # m/s
    max_angular_vel: float = 1.2  # rad/s
    braking: float = 0.6  # m/s² the robot surely reaches
    angular_braking: float = 1.5  # rad/s²
    latency: float = 0.15  # s from scan to wheels
    margin: float = 0.01  # m that must stay free when stopped
    scan_timeout: float = 0.4
    odometry_timeout: float = 0.25
    path_timeout: float = 1.5  # of a stream of paths; astra_local sends one every 0.4 s, and bridges 1 s without a plan
    require_scan: bool = True  # False: a robot without lidar is gated by ages alone
    self_radius: float = 0.15  # m: returns nearer to base_link are the robot itself

    def __post_init__(self) -> None:
        for name in ("max_linear_vel", "max_angular_vel", "braking", "angular_braking", "scan_timeout", "odometry_timeout", "path_timeout"):
            require(0.0 < getattr(self, name) < 100.0, name, getattr(self, name), "> 0")
        for name in ("latency", "margin", "self_radius"):
            require(0.0 <= getattr(self, name) < 5.0, name, getattr(self, name), "≥ 0")


class GateReason(StrEnum):
    """What the gate did and why."""

    CLEAR = "clear"
    SLOWED = "slowed"
    BLOCKED = "blocked"
    NOT_FINITE = "not_finite"
    STALE_SCAN = "stale_scan"
    STALE_ODOMETRY = "stale_odometry"
    STALE_PATH = "stale_path"


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds since each input arrived, +inf for never; `path_s` 0 where no path is involved."""

    scan_s: float
    odometry_s: float
    path_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The velocity that may be sent, why, and the share of the command that is left."""

    linear_mps: float
    angular_radps: float
    reason: GateReason
    share: float

    @property
    def stopped(self) -> bool:
        """Whether nothing of the command is left."""
        return self.share <= 0.0


class VelocityGate:
    """Scales or zeroes commands; `limit` costs well under a millisecond."""

    def __init__(self, config: GateConfig | None = None, footprint: Footprint | None = None) -> None:
        self.config = config or GateConfig()
        self.footprint = footprint or Footprint.disc(0.22)
        self._scan: LaserScan | None = None
        self._points: FloatArray | None = None

    def see(self, scan: LaserScan, base_from_sensor: Pose2) -> None:
        """Take the newest scan."""
        ranges = np.asarray(scan.ranges, dtype=np.float64)
        hit = np.isfinite(ranges) & (ranges >= scan.range_min_m) & (ranges < scan.range_max_m)
        angles = scan.angles()[hit].astype(np.float64)
        points = base_from_sensor.apply(np.stack([ranges[hit] * np.cos(angles), ranges[hit] * np.sin(angles)], axis=1))
        self._points = points[np.hypot(points[:, 0], points[:, 1]) >= self.config.self_radius]

    def clearance_m(self) -> float:
        """Free distance around the outline in the newest scan; +inf without obstacles or scan."""
        if self._points is None or len(self._points) == 0:
            return math.inf
        return float(self.footprint.clearance_along(np.zeros((1, 3)), self._points)[0])

    def limit(self, linear_mps: float, angular_radps: float, ages: Ages, scan_motion: Pose2 | None = None) -> GateDecision:
        """What of a command may be sent now.

        Args:
            scan_motion: base_at_scan_from_base_now, to move the scan's points to where they are seen from now.
        """
        if not (math.isfinite(linear_mps) and math.isfinite(angular_radps)):
            return _stop(GateReason.NOT_FINITE)
        if linear_mps == 0.0 and angular_radps == 0.0:
            return GateDecision(0.0, 0.0, GateReason.CLEAR, 1.0)
        stale = self._stale(ages)
        if stale is not None:
            return _stop(stale)
        shape = min(1.0, self.config.max_linear_vel / max(abs(linear_mps), 1e-9), self.config.max_angular_vel / max(abs(angular_radps), 1e-9))
        linear, angular = linear_mps * shape, angular_radps * shape
        share = self._fresh_share(ages)
        if self._points is not None:
            share = min(share, self._free_share(linear, angular, self._seen_from_now(scan_motion)))
        if share < 0.02:
            return _stop(GateReason.BLOCKED)
        reason = GateReason.CLEAR if share * shape >= 0.999 else GateReason.SLOWED
        return GateDecision(linear * share, angular * share, reason, share * shape)

    def _stale(self, ages: Ages) -> GateReason | None:
        config = self.config
        if config.require_scan and (self._points is None or not ages.scan_s <= config.scan_timeout):
            return GateReason.STALE_SCAN
        if not ages.odometry_s <= config.odometry_timeout:
            return GateReason.STALE_ODOMETRY
        if not ages.path_s <= config.path_timeout:
            return GateReason.STALE_PATH
        return None

    def _fresh_share(self, ages: Ages) -> float:
        """1 while scan and odometry are younger than half their limit, then falling to 0 at it: a robot that goes blind slows down at once."""
        limits = [(ages.odometry_s, self.config.odometry_timeout)]
        if self.config.require_scan:
            limits.append((ages.scan_s, self.config.scan_timeout))
        return min(1.0, *(2.0 * (1.0 - age_s / limit_s) for age_s, limit_s in limits))

    def _seen_from_now(self, scan_motion: Pose2 | None) -> FloatArray:
        assert self._points is not None
        return self._points if scan_motion is None else scan_motion.inverse().apply(self._points)

    def _free_share(self, linear: float, angular: float, points: FloatArray) -> float:
        """Largest share of the command with which the robot stops before the outline's clearance falls below the margin."""
        config = self.config
        duration_s = max(
            config.latency + abs(linear) / (2.0 * config.braking) + config.margin / max(abs(linear), 0.05),
            config.latency + abs(angular) / (2.0 * config.angular_braking),
        )
        reach = abs(linear) * duration_s + self.footprint.circumscribed_m + 2.0 * config.margin
        near = points[np.hypot(points[:, 0], points[:, 1]) <= reach]
        if len(near) == 0:
            return 1.0
        steps = max(4, math.ceil(max(abs(linear) * duration_s / 0.02, abs(angular) * duration_s / 0.08)))
        times = np.linspace(0.0, duration_s, min(steps, 60) + 1)
        clearance = self.footprint.clearance_along(arc(linear, angular, times), near)
        # Touching already, or nearer than the margin: only a motion that does not come closer still is let through, or the robot would
        # creep on tick by tick. The corners of a polygon that stands for a disc do not count as coming closer while turning on the spot.
        roundness = self.footprint.circumscribed_m - self.footprint.inscribed_m
        slack = roundness + 1e-3 if abs(linear) < 1e-3 and roundness < 0.01 else 1e-4
        needed = min(config.margin, float(clearance[0]) - slack)
        blocked = clearance < needed
        if not blocked.any():
            return 1.0
        first = int(np.argmax(blocked))
        free_s = float(times[first - 1]) if first else 0.0
        return min(
            _stopping_share(abs(linear), free_s * abs(linear), config.latency, config.braking),
            _stopping_share(abs(angular), free_s * abs(angular), config.latency, config.angular_braking),
        )


def _stopping_share(speed: float, free: float, latency_s: float, braking: float) -> float:
    """Share s of `speed` such that s·speed·latency + (s·speed)²/(2·braking) ≤ free."""
    if speed < 1e-9:
        return 1.0
    allowed = braking * (math.sqrt(latency_s**2 + 2.0 * free / braking) - latency_s)
    return min(1.0, allowed / speed)


def _stop(reason: GateReason) -> GateDecision:
    return GateDecision(0.0, 0.0, reason, 0.0)


def arc(linear_mps: float, angular_radps: float, times_s: FloatArray) -> FloatArray:
    """Poses (K, 3) in base_link after driving with a constant twist for the given times."""
    yaw = angular_radps * times_s
    if abs(angular_radps) < 1e-6:
        return np.stack([linear_mps * times_s, np.zeros_like(times_s), yaw], axis=1)
    radius = linear_mps / angular_radps
    return np.stack([radius * np.sin(yaw), radius * (1.0 - np.cos(yaw)), yaw], axis=1)
