"""Checks every chosen path before it is followed, and has the classical planner drive whenever the learned one may not.

The outline is swept along the path in small steps, at the time it would be there: against what the grid holds now, and against what is
foretold for then. A path that would touch within `reject_s` is refused; one that would touch later is cut short of it and slowed, so that
the robot can stop. Independent of torch and of whoever made the path.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry.se2 import Pose2
from astra.navigation.footprint import Footprint
from astra.navigation.gate import Ages
from astra.navigation.grid import border_points
from astra.navigation.masks import Rules
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Planner, Subgoal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShieldConfig:
    """Limits of `Shield`, and the hysteresis of `ShieldedPlanner`."""

    margin_m: float = 0.012  # clearance that must stay, as the classical planner keeps it
    comfort_m: float = 0.30  # clearance from which on full speed is allowed
    close_speed_mps: float = 0.2  # speed at zero clearance
    unknown_speed_mps: float = 0.3  # where nobody has looked
    reject_s: float = 2.0  # a touch earlier than this refuses the path
    max_linear_vel: float = 0.6
    max_angular_vel: float = 1.2
    lateral_acceleration_mps2: float = 0.5
    braking_mps2: float = 0.5
    latency_s: float = 0.3  # from the scene to the wheels
    slip_rad: float = 0.35  # a step may point this far from the heading
    start_slack_m: float = 0.15  # the path begins this near to the robot
    step_m: float = 0.05  # of the sweep
    scan_timeout: float = 0.5  # s
    odometry_timeout: float = 0.5
    budget_s: float = 0.1  # the learned planner's answer is of no use later
    return_after: int = 10  # paths of the learned planner in a row that must pass before it drives again

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and 0.0 < value < 100.0, name, value, "> 0")


class Reason(StrEnum):
    """What was wrong with a path; `OK` nothing."""

    OK = "ok"
    SLOWED = "slowed"  # followed, with lower speeds or cut short
    NOT_FINITE = "not_finite"
    NOT_FROM_HERE = "not_from_here"
    NOT_DRIVABLE = "not_drivable"
    COLLISION = "collision"
    COLLISION_AHEAD = "collision_foretold"
    NO_PATH = "no_path"  # the learned planner gave up
    LATE = "late"
    FAILED = "failed"  # the learned planner raised something else
    WAITING = "waiting"  # it passed, but not often enough in a row yet


@dataclass(frozen=True, slots=True, eq=False)
class Foretold:
    """Obstacle points (M, 2) [m, odom] expected `after_s` seconds after the scene's stamp; it holds from the moment before to the one after."""

    after_s: float
    points: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The path as it may be followed (None: not at all), why, the seconds until it would touch (+inf: never) and the least clearance [m]."""

    path: LocalPath | None
    reason: Reason
    touch_s: float
    clearance_m: float


class Shield:
    """Judges paths; `judge` costs two to three milliseconds with a forecast of four moments (docs/PLANNER.md)."""

    def __init__(self, config: ShieldConfig | None = None, footprint: Footprint | None = None) -> None:
        self.config = config or ShieldConfig()
        self.footprint = footprint or Footprint.disc(0.22)

    def stale(self, ages: Ages) -> bool:
        """Whether the inputs are too old to judge anything by; ages that are no numbers count as too old."""
        return not (ages.scan_s <= self.config.scan_timeout and ages.odometry_s <= self.config.odometry_timeout)

    def judge(self, path: LocalPath, scene: LocalScene, foretold: tuple[Foretold, ...] = (), rules: Rules | None = None) -> Verdict:
        """What of a path may be followed.

        Args:
            path: in odom, from where the robot is.
            scene: whose grid already holds the keep-out zones (`Rules.applied`).
            foretold: in order of time.
            rules: for the speed limits of masks.
        """
        wrong = self._wrong(path, scene.odom_from_base)
        if wrong is not None:
            return Verdict(None, wrong, 0.0, math.nan)
        poses, passed, share = _sweep(path.poses, scene.odom_from_base, self.config)
        now = self._clearance(poses, scene.grid.points)
        speeds = self._slowed(self._speeds(path, scene, rules), passed, now)
        times = _times(path.poses, speeds, scene.odom_from_base, passed, share, self.config)
        later, needed = self._later(poses, times, foretold), self._needed(poses, now)
        clearance = np.minimum(now, later)
        touching = (now < needed) | (later < self.config.margin_m)
        if not touching.any():
            return self._passed(path, path, speeds, math.inf, float(clearance.min()))
        first = int(np.argmax(touching))
        touch_s, kept = float(times[first]), int(passed[first])
        if touch_s < self.config.reject_s or kept < 2:
            reason = Reason.COLLISION if now[first] < needed[first] else Reason.COLLISION_AHEAD
            return Verdict(None, reason, touch_s, float(clearance.min()))
        short = replace(path, poses=path.poses[:kept], reaches_subgoal=False)
        return self._passed(path, short, self._braked(short, speeds[:kept]), touch_s, float(clearance[:first].min()))

    # --- steps --------------------------------------------------------------------------------------------------------------------

    def _wrong(self, path: LocalPath, odom_from_base: Pose2) -> Reason | None:
        """What makes a path useless whatever lies around it."""
        poses, speeds = path.poses, path.speeds_mps
        if len(poses) < 2 or len(speeds) != len(poses) or not (np.isfinite(poses).all() and np.isfinite(speeds).all() and odom_from_base.is_finite()):
            return Reason.NOT_FINITE
        if math.hypot(poses[0, 0] - odom_from_base.x, poses[0, 1] - odom_from_base.y) > self.config.start_slack_m:
            return Reason.NOT_FROM_HERE
        steps = np.diff(poses[:, :2], axis=0)
        long = np.hypot(steps[:, 0], steps[:, 1]) > 0.02
        middle = poses[:-1, 2] + 0.5 * _wrapped(np.diff(poses[:, 2]))
        slip = np.abs(_wrapped(np.arctan2(steps[:, 1], steps[:, 0]) - middle))
        # Paths of straight pieces turn at their corners, where the heading is already that of the next piece.
        slip = np.minimum(slip, np.abs(_wrapped(np.arctan2(steps[:, 1], steps[:, 0]) - poses[:-1, 2])))
        return Reason.NOT_DRIVABLE if bool(np.any(slip[long] > self.config.slip_rad)) else None

    def _speeds(self, path: LocalPath, scene: LocalScene, rules: Rules | None) -> FloatArray:
        """Speeds (K,) within what wheels, curves, masks and unseen space allow."""
        config = self.config
        speeds = np.clip(path.speeds_mps, 0.0, config.max_linear_vel)
        steps = np.hypot(*np.diff(path.poses[:, :2], axis=0).T)
        bend = np.abs(_wrapped(np.diff(path.poses[:, 2]))) / np.maximum(steps, 1e-6)
        curve = np.minimum(config.max_angular_vel / np.maximum(bend, 1e-6), np.sqrt(config.lateral_acceleration_mps2 / np.maximum(bend, 1e-6)))
        speeds[:-1] = np.where(steps > 1e-3, np.minimum(speeds[:-1], np.maximum(curve, 0.05)), speeds[:-1])
        positions = path.poses[:, :2]
        cells = np.floor(scene.grid.cells(positions)).astype(np.int64)
        inside = scene.grid.contains(positions)
        column, row = np.where(inside[:, None], cells, 0).T
        speeds = np.where(inside & scene.grid.known[row, column], speeds, np.minimum(speeds, config.unknown_speed_mps))
        return speeds if rules is None else np.minimum(speeds, rules.speed_limits(positions, config.max_linear_vel))

    def _clearance(self, poses: FloatArray, points: FloatArray) -> FloatArray:
        """Clearance (K,) from points; +inf where none is near enough to matter."""
        reach = self.footprint.circumscribed_m + self.config.comfort_m
        (left, low), (right, high) = poses[:, :2].min(axis=0) - reach, poses[:, :2].max(axis=0) + reach
        x, y = points.T
        return self.footprint.clearance_along(poses, points[(x >= left) & (x <= right) & (y >= low) & (y <= high)])

    def _needed(self, poses: FloatArray, clearance: FloatArray) -> FloatArray:
        """Clearance (K,) to keep: the margin, or, where the robot stands nearer already, what leads away from there."""
        if clearance[0] >= self.config.margin_m:
            return np.full(len(poses), self.config.margin_m)
        away = np.hypot(poses[:, 0] - poses[0, 0], poses[:, 1] - poses[0, 1])
        needed: FloatArray = np.minimum(self.config.margin_m, clearance[0] - 1e-3 + 0.2 * away)
        return needed

    def _later(self, poses: FloatArray, times: FloatArray, foretold: tuple[Foretold, ...]) -> FloatArray:
        """Clearance (K,) from what is foretold for each pose's time."""
        clearance = np.full(len(poses), np.inf)
        moments = [f.after_s for f in foretold]
        for k, moment in enumerate(foretold):
            begin, end = moments[k - 1] if k else 0.0, moments[min(k + 1, len(moments) - 1)]
            then = (times >= begin) & (times <= end)
            if then.any():
                clearance[then] = np.minimum(clearance[then], self._clearance(poses[then], moment.points))
        return clearance

    def _slowed(self, speeds: FloatArray, passed: IntArray, clearance: FloatArray) -> FloatArray:
        """Speeds (K,) no higher than the clearance before and after each pose allows."""
        config = self.config
        least = np.full(len(speeds), np.inf)
        for pose in (passed - 1, passed):
            np.minimum.at(least, np.clip(pose, 0, len(least) - 1), clearance)
        share = np.clip(least / config.comfort_m, 0.0, 1.0)
        return np.minimum(speeds, config.close_speed_mps + (config.max_linear_vel - config.close_speed_mps) * share)

    def _braked(self, path: LocalPath, speeds: FloatArray) -> FloatArray:
        """Speeds (K,) from which the robot, after the latency, stops by the path's end."""
        config = self.config
        steps = np.hypot(*np.diff(path.poses[:, :2], axis=0).T)
        left = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
        return np.minimum(speeds, config.braking_mps2 * (np.sqrt(config.latency_s**2 + 2.0 * left / config.braking_mps2) - config.latency_s))

    def _passed(self, asked: LocalPath, path: LocalPath, speeds: FloatArray, touch_s: float, least: float) -> Verdict:
        """The verdict on a path that may be followed at these speeds."""
        slowed = len(path.poses) < len(asked.poses) or bool(np.any(speeds < asked.speeds_mps - 1e-3))
        return Verdict(replace(path, speeds_mps=speeds, clearance_m=least), Reason.SLOWED if slowed else Reason.OK, touch_s, least)


@dataclass(slots=True, eq=False)
class ShieldCounts:
    """What happened so far: ticks, ticks the fallback drove, and why it took over or kept driving."""

    ticks: int = 0
    fallbacks: int = 0
    takeovers: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)

    @property
    def fallback_rate(self) -> float:
        """Share of ticks that the fallback drove; 0 before the first."""
        return self.fallbacks / self.ticks if self.ticks else 0.0


class ShieldedPlanner:
    """A learned planner that never drives unchecked (`navigation.protocols.Planner`); the fallback drives when it may not.

    Args:
        learned: proposes paths.
        fallback: drives otherwise, and checks its own paths.
        shield: judges the proposals.
        ages: seconds since scan and odometry arrived, by a steady clock.
        foretold: what is foretold for a scene.
        rules: the masks in force now.
        clock: steady seconds.
    """

    def __init__(
        self,
        learned: Planner,
        fallback: Planner,
        shield: Shield,
        ages: Callable[[], Ages],
        foretold: Callable[[LocalScene], tuple[Foretold, ...]] = lambda _: (),
        rules: Callable[[], Rules | None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._learned, self._fallback, self._shield = learned, fallback, shield
        self._ages, self._foretold, self._rules, self._clock = ages, foretold, rules, clock
        self._owed = 0  # paths that must pass before the learned planner drives again
        self.counts = ShieldCounts()

    def reset(self) -> None:
        """Forget the last paths; a fallback under way goes on."""
        self._learned.reset()
        self._fallback.reset()

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        """The learned planner's path as the shield lets it through, or the fallback's.

        Raises:
            LocalPlanError: the inputs are stale, or neither planner has a path.
        """
        if self._shield.stale(self._ages()):
            raise LocalPlanError(NoLocalPath.STALE, "scan or odometry is too old to judge a path by")
        rules = self._rules()
        scene = scene if rules is None else replace(scene, grid=rules.applied(scene.grid))
        verdict = self._proposal(scene, subgoal, rules)
        self.counts.ticks += 1
        if verdict.path is not None:
            self._owed = max(0, self._owed - 1)
            if self._owed == 0:
                return verdict.path
        else:
            self.counts.takeovers += self._owed == 0
            self._owed = self._shield.config.return_after
        self.counts.fallbacks += 1
        self.counts.reasons[Reason.WAITING if verdict.path is not None else verdict.reason] += 1
        return self._limited(self._fallback.plan(scene, subgoal), rules)

    def _proposal(self, scene: LocalScene, subgoal: Subgoal, rules: Rules | None) -> Verdict:
        """The learned planner's path, judged; whatever goes wrong in it is a reason to fall back, not to stop."""
        began = self._clock()
        try:
            path = self._learned.plan(scene, subgoal)
        except LocalPlanError:
            return Verdict(None, Reason.NO_PATH, math.inf, math.nan)
        except Exception:
            if not self.counts.reasons[Reason.FAILED]:
                _LOG.exception("the learned planner failed; the fallback drives")
            return Verdict(None, Reason.FAILED, math.inf, math.nan)
        if self._clock() - began > self._shield.config.budget_s:
            return Verdict(None, Reason.LATE, math.inf, math.nan)
        return self._shield.judge(path, scene, self._foretold(scene), rules)

    def _limited(self, path: LocalPath, rules: Rules | None) -> LocalPath:
        """Masks' speed limits hold for the fallback, too."""
        if rules is None:
            return path
        return replace(path, speeds_mps=np.minimum(path.speeds_mps, rules.speed_limits(path.poses[:, :2], self._shield.config.max_linear_vel)))


def _sweep(poses: FloatArray, start: Pose2, config: ShieldConfig) -> tuple[FloatArray, IntArray, FloatArray]:
    """The way from the robot along the path in small steps: poses (M, 3), how many of the path's poses lie behind each, and the share of its step."""
    vertices, moved, turned = _steps(poses, start)
    parts = np.maximum(1, np.ceil(np.maximum(moved / config.step_m, np.abs(turned) / 0.1))).astype(np.int64)
    passed = np.repeat(np.arange(len(parts)), parts)
    share = (np.arange(len(passed)) - np.repeat(np.cumsum(parts) - parts, parts) + 1.0) / parts[passed]
    step = np.column_stack([np.diff(vertices[:, :2], axis=0), turned])
    swept = vertices[passed] + step[passed] * share[:, None]
    return np.concatenate([vertices[:1], swept]), np.concatenate([[0], passed]), np.concatenate([[0.0], share])


def _times(poses: FloatArray, speeds: FloatArray, start: Pose2, passed: IntArray, share: FloatArray, config: ShieldConfig) -> FloatArray:
    """When (M,) [s] the robot is at each pose of the sweep if it keeps to the speeds (K,)."""
    _, moved, turned = _steps(poses, start)
    pace = np.concatenate([speeds[:1], 0.5 * (speeds[:-1] + speeds[1:])])
    durations = np.maximum(moved / np.maximum(pace, 0.05), np.abs(turned) / config.max_angular_vel)
    begins: FloatArray = np.cumsum(durations) - durations
    times: FloatArray = begins[passed] + durations[passed] * share
    return times


def _steps(poses: FloatArray, start: Pose2) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The path with the robot before it (K + 1, 3), and how far each step goes (K,) [m] and turns (K,) [rad]."""
    vertices = np.concatenate([[[start.x, start.y, start.yaw]], poses])
    return vertices, np.hypot(*np.diff(vertices[:, :2], axis=0).T), _wrapped(np.diff(vertices[:, 2]))


def _wrapped(angles: FloatArray) -> FloatArray:
    """Angles in [−π, π)."""
    wrapped: FloatArray = np.remainder(angles + math.pi, 2.0 * math.pi) - math.pi
    return wrapped


def occupied_points(cells: BoolArray, resolution_m: float, odom_from_base: Pose2) -> FloatArray:
    """Points (M, 2) in odom on the border of occupied cells (Y, X), base_link in the middle: how a map of the eyes becomes obstacles."""
    half = 0.5 * np.array(cells.shape[::-1])
    points: FloatArray = odom_from_base.apply((border_points(cells) - half) * resolution_m)
    return points
