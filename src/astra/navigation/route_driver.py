"""Drives a route by local paths: which subgoal to plan to, when to send a new path to the controller, when it is over.

No ROS and no planning here: the caller plans to the offered subgoals and reports what came out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry.se2 import Pose2, wrap_angle
from astra.navigation.polyline import RouteProgress, project
from astra.navigation.protocols import LocalPath, LocalPlanError, Subgoal


@dataclass(frozen=True, slots=True)
class DriverConfig:
    """Lookahead, streaming and patience of `RouteDriver`."""

    lookahead: float = 2.5  # m along the route
    other_lookaheads: tuple[float, ...] = (3.2, 1.6, 0.9)  # tried in this order where the first subgoal cannot be reached
    goal_tolerance: float = 0.25  # m
    yaw_tolerance: float = 0.15  # rad
    stream_period: float = 0.33  # s between paths sent to the controller …
    path_change: float = 0.12  # … unless the path moved by more than this [m]
    shortest_path: float = 0.35  # m: a path that ends before its subgoal and is shorter than this is not worth driving
    bridge: float = 1.0  # s that the last path may be driven on while no new one is found
    no_path_allowance: float = 6.0  # s without any path
    movement_allowance: float = 12.0  # s within which the robot must move …
    movement_radius: float = 0.25  # … this far [m], or turn by twice as many radians
    progress_allowance: float = 60.0  # s within which the route must get shorter by movement_radius

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name != "other_lookaheads":
                require(0.0 < getattr(self, name) < 1e4, name, getattr(self, name), "> 0")
        require(all(value > 0.0 for value in self.other_lookaheads), "other_lookaheads", self.other_lookaheads, "> 0")


class DriveEnd(StrEnum):
    """How a route ended."""

    ARRIVED = "arrived"
    NO_PATH = "no_path"
    NO_PROGRESS = "no_progress"


class Order(StrEnum):
    """What the caller shall do with the controller now."""

    KEEP = "keep"  # let it go on with the path it has
    SEND = "send"  # give it the new path
    HOLD = "hold"  # stop it


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One tick's outcome; `end` and `why` are set when the route is over without arriving."""

    order: Order
    path: LocalPath | None = None
    end: DriveEnd | None = None
    why: str = ""


@dataclass(slots=True, eq=False)
class RouteDriver:
    """One route, from acceptance to its end. `route` (N, 3) of x, y, yaw in a frame of the caller's choice (map or odom)."""

    config: DriverConfig
    route: FloatArray
    heed_yaw: bool = True
    sent: LocalPath | None = None
    sent_final: bool = False
    _progress: RouteProgress = field(init=False)
    _sent_s: float = -math.inf
    _last_path_s: float | None = None
    _mark: tuple[float, Pose2] | None = None
    _shortest: tuple[float, float] | None = None
    why: str = ""

    def __post_init__(self) -> None:
        self._progress = RouteProgress(self.route[:, :2])

    @property
    def remaining_m(self) -> float:
        """Length of the route still to drive [m]."""
        return self._progress.remaining_m

    @property
    def goal(self) -> Pose2:
        """The route's end, in the route's frame."""
        x, y, yaw = self.route[-1].tolist()
        return Pose2(x, y, yaw)

    def subgoals(self, route_from_odom: Pose2, odom_from_base: Pose2) -> tuple[Subgoal, ...]:
        """Note the progress made and offer subgoals in odom, best first; a final one has the route's end and its heading."""
        here = route_from_odom @ odom_from_base
        position = np.array([here.x, here.y])
        self._progress.update(position)
        # Where a route turns back on itself, the point ahead of the robot along it may be where the robot stands: that stretch is done.
        while self._progress.remaining_m > self.config.lookahead:
            if np.hypot(*(self._progress.point_ahead(self.config.lookahead) - position)) > self.config.shortest_path:
                break
            self._progress.skip_to(self.config.lookahead)
        odom_from_route = route_from_odom.inverse()
        offers: list[Subgoal] = []
        final_offered = False
        for ahead_m in (self.config.lookahead, *self.config.other_lookaheads):
            final = self._progress.remaining_m <= ahead_m
            if final and final_offered:
                continue
            final_offered |= final
            piece = odom_from_route.apply(self._progress.piece_ahead(ahead_m))
            if final:
                target = odom_from_route @ self.goal
            else:
                step = piece[-1] - piece[-2]
                target = Pose2(float(piece[-1, 0]), float(piece[-1, 1]), math.atan2(step[1], step[0]))
            offers.append(Subgoal(target, final, piece))
        return tuple(offers)

    def planned(self, now_s: float, outcome: LocalPath | LocalPlanError, final: bool, odom_from_base: Pose2) -> Decision:
        """Decide what to do with a path, or with the reason why there is none. `final`: it was planned to the route's end."""
        if isinstance(outcome, LocalPlanError):
            return self._without_path(now_s, str(outcome))
        stuck = self._stuck(now_s, odom_from_base)
        if stuck:
            return Decision(Order.HOLD, None, DriveEnd.NO_PROGRESS, stuck)
        if not outcome.reaches_subgoal and outcome.length_m() < self.config.shortest_path:
            return self._without_path(now_s, "the way ahead is blocked")
        self._last_path_s = now_s
        if not self._worth_sending(now_s, outcome, final, odom_from_base):
            return Decision(Order.KEEP, outcome)
        self.sent, self.sent_final, self._sent_s = outcome, final and outcome.reaches_subgoal, now_s
        return Decision(Order.SEND, outcome)

    def send_again(self) -> None:
        """The controller has nothing to do any more: the next path shall be sent whatever it is."""
        self.sent, self._sent_s = None, -math.inf

    def arrived(self, route_from_odom: Pose2, odom_from_base: Pose2) -> bool:
        """Whether the robot stands within the tolerance of the route's end (and not at a place the route merely passes)."""
        here = route_from_odom @ odom_from_base
        self._progress.update(np.array([here.x, here.y]))
        near = here.distance_to(self.goal) <= self.config.goal_tolerance + 0.05  # the controller's tolerance is measured a tick earlier
        return near and self._progress.remaining_m <= 4.0 * self.config.goal_tolerance

    def yaw_error(self, route_from_odom: Pose2, odom_from_base: Pose2) -> float:
        """Angle to turn to the goal's heading [rad]; 0 where it is not asked for or close enough."""
        if not self.heed_yaw:
            return 0.0
        error = wrap_angle(self.goal.yaw - (route_from_odom @ odom_from_base).yaw)
        return error if abs(error) > self.config.yaw_tolerance else 0.0

    def _without_path(self, now_s: float, why: str) -> Decision:
        """Drive on for a moment, then hold, then give up."""
        if self._last_path_s is None or now_s < self._last_path_s:
            self._last_path_s = now_s
        without_s = now_s - self._last_path_s
        if without_s > self.config.no_path_allowance:
            return Decision(Order.HOLD, None, DriveEnd.NO_PATH, f"no local path for {without_s:.1f} s: {why}")
        if without_s > self.config.bridge:
            self.send_again()
            return Decision(Order.HOLD, None, None, why)
        return Decision(Order.KEEP, None, None, why)

    def _stuck(self, now_s: float, odom_from_base: Pose2) -> str:
        """Why the robot counts as stuck, or an empty text."""
        if self._mark is None or now_s < self._mark[0] or _moved(self._mark[1], odom_from_base, self.config.movement_radius):
            self._mark = (now_s, odom_from_base)
        remaining = self._progress.remaining_m
        if self._shortest is None or now_s < self._shortest[0] or remaining < self._shortest[1] - self.config.movement_radius:
            self._shortest = (now_s, remaining)
        if now_s - self._mark[0] > self.config.movement_allowance:
            return f"the robot has not moved for {now_s - self._mark[0]:.0f} s"
        if now_s - self._shortest[0] > self.config.progress_allowance:
            return f"the route got no shorter for {now_s - self._shortest[0]:.0f} s"
        return ""

    def _worth_sending(self, now_s: float, path: LocalPath, final: bool, odom_from_base: Pose2) -> bool:
        """Whether the controller should get this path: it has none, the period has passed, or the way has changed."""
        if self.sent is None or now_s < self._sent_s:
            return True
        elapsed_s = now_s - self._sent_s
        if elapsed_s >= self.config.stream_period:
            return True
        return elapsed_s >= 0.3 * self.config.stream_period and (final != self.sent_final or _apart(path, self.sent, odom_from_base) > self.config.path_change)


def _moved(here: Pose2, there: Pose2, radius_m: float) -> bool:
    return here.distance_to(there) > radius_m or abs(wrap_angle(there.yaw - here.yaw)) > 2.0 * radius_m


def _apart(path: LocalPath, other: LocalPath, odom_from_base: Pose2) -> float:
    """Greatest distance of the next metre and a half of `path` from `other` [m]."""
    here = np.array([odom_from_base.x, odom_from_base.y])
    ahead = path.poses[np.hypot(*(path.poses[:, :2] - here).T) < 1.5, :2]
    return max((project(other.poses[:, :2], point)[1] for point in ahead[::4]), default=0.0)
