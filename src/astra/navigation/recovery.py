"""What to do when the robot cannot go on: a ladder of recoveries that always ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, LaserScan
from astra.geometry import Pose2, wrap_angle
from astra.topomap.types import TopoMap


class Recovery(StrEnum):
    """One rung of the ladder."""

    RETRY = "retry"  # wait a moment and plan again: people move on
    SPIN = "spin"  # turn to the widest gap
    BACK_UP = "back_up"
    REROUTE = "reroute"  # take what blocks the route out of the graph
    GIVE_UP = "give_up"


class Remedy(StrEnum):
    """What answers the error with which a controller gave up a route."""

    CLIMB = "climb"  # the ladder, from the rung where it stands
    CLIMB_ON = "climb_on"  # the ladder, past its retries: the same again would end the same way
    REPLAN = "replan"  # another route; no motion mends a path
    WAIT = "wait"  # for the server or the transforms, then plan anew
    GIVE_UP = "give_up"  # nothing that the robot does could help


# FollowPath.Result: UNKNOWN, INVALID_CONTROLLER, TF_ERROR, INVALID_PATH, PATIENCE_EXCEEDED, FAILED_TO_MAKE_PROGRESS, NO_VALID_CONTROL, CONTROLLER_TIMED_OUT
REMEDIES = {
    100: Remedy.CLIMB, 101: Remedy.GIVE_UP, 102: Remedy.WAIT, 103: Remedy.REPLAN,
    104: Remedy.CLIMB, 105: Remedy.CLIMB_ON, 106: Remedy.CLIMB, 107: Remedy.WAIT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecoveryConfig:
    """How often each recovery is tried, and when a failure counts as a new one."""

    retries: int = 1  # per climb of the ladder
    spins: int = 1
    back_ups: int = 1
    reroutes: int = 2  # per mission; the ladder is climbed once more after each
    max_recoveries: int = 16  # per mission
    progress_m: float = 0.75  # this much closer to the goal, and the ladder starts at its foot
    wait_s: float = 1.0  # before each recovery: the robot comes to rest
    back_up_m: float = 0.30
    default_spin_rad: float = math.pi / 2.0  # where no scan shows a gap
    blocked_ahead_m: float = 0.6  # how far ahead on the route the obstacle is assumed
    blocked_radius_m: float = 0.5  # graph edges nearer to it are not used again

    def __post_init__(self) -> None:
        for name in ("retries", "spins", "back_ups", "reroutes"):
            require(0 <= getattr(self, name) <= 10, name, getattr(self, name), "between 0 and 10")
        require(self.max_recoveries >= 0, "max_recoveries", self.max_recoveries, "≥ 0")
        for name in ("progress_m", "wait_s", "back_up_m", "blocked_ahead_m", "blocked_radius_m"):
            require(0.0 < getattr(self, name) < 10.0, name, getattr(self, name), "between 0 and 10")
        require(0.0 < abs(self.default_spin_rad) <= math.pi, "default_spin_rad", self.default_spin_rad, "non-zero and at most π")


class RecoveryLadder:
    """Retry → spin → back up → re-route, again on the new route, then give up.

    The number of rungs handed out is bounded by `max_recoveries`, whatever the caller reports.
    """

    def __init__(self, config: RecoveryConfig | None = None) -> None:
        self.config = config or RecoveryConfig()
        self._climb = (
            [Recovery.RETRY] * self.config.retries + [Recovery.SPIN] * self.config.spins + [Recovery.BACK_UP] * self.config.back_ups
        )  # fmt: skip
        self._rung = 0
        self._reroutes = 0
        self.count = 0

    def next(self) -> Recovery:
        """The recovery for the failure that just happened."""
        if self.count >= self.config.max_recoveries:
            return Recovery.GIVE_UP
        if self._rung < len(self._climb):
            step = self._climb[self._rung]
            self._rung += 1
        elif self._reroutes < self.config.reroutes:
            step = Recovery.REROUTE
            self._reroutes += 1
            self._rung = 0
        else:
            return Recovery.GIVE_UP
        self.count += 1
        return step

    def skip_retries(self) -> None:
        """Trying again would not help: the next recovery is another one."""
        self._rung = max(self._rung, self.config.retries)

    def progressed(self) -> None:
        """The robot came on: the next failure starts at the foot of the ladder. Counts per mission stay."""
        self._rung = 0


def widest_gap(scan: LaserScan, base_from_lidar_yaw: float = 0.0, half_width_rad: float = 0.30, horizon_m: float = 4.0) -> float | None:
    """The heading, relative to base_link [rad], in which a sector of ±`half_width_rad` is free the farthest; None if nothing was measured.

    Directions equally free beyond `horizon_m` are the same: the smallest turn among them wins.
    """
    ranges = np.minimum(np.where(np.isnan(scan.ranges), 0.0, scan.ranges), horizon_m).astype(np.float64)
    if len(ranges) < 3 or scan.angle_increment_rad == 0.0:
        return None
    angles = np.asarray(scan.angles(), dtype=np.float64)
    reach = max(1, round(half_width_rad / abs(scan.angle_increment_rad)))
    covers_circle = abs(scan.angle_increment_rad) * len(ranges) > 2.0 * math.pi - 2.0 * abs(scan.angle_increment_rad)
    mode = "wrap" if covers_circle else "constant"
    padded = np.pad(ranges, reach, mode=mode)  # type: ignore[call-overload]
    free = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).min(axis=1)
    headings = [wrap_angle(float(a) + base_from_lidar_yaw) for a in angles]
    best = max(range(len(free)), key=lambda i: (round(float(free[i]), 2), -abs(headings[i])))
    return headings[best] if free[best] > 0.0 else None


def edges_near(topomap: TopoMap, points: FloatArray, radius_m: float) -> frozenset[tuple[int, int]]:
    """The edges (pairs of node ids) that pass any of `points` (N, 2) [m, map frame] within `radius_m`."""
    if len(points) == 0 or not topomap.edges:
        return frozenset()
    position = {node.id: node.map_from_base.translation[:2] for node in topomap.nodes.values()}
    starts = np.array([position[edge.a] for edge in topomap.edges])
    along = np.array([position[edge.b] for edge in topomap.edges]) - starts
    squared = np.maximum((along**2).sum(axis=1), 1e-12)
    found: set[tuple[int, int]] = set()
    for point in np.asarray(points, dtype=np.float64).reshape(-1, 2):
        share = np.clip(((point - starts) * along).sum(axis=1) / squared, 0.0, 1.0)
        distance = np.linalg.norm(starts + share[:, None] * along - point, axis=1)
        found |= {(topomap.edges[i].a, topomap.edges[i].b) for i in np.flatnonzero(distance <= radius_m)}
    return frozenset(found)


def turn_between(pose: Pose2, goal: Pose2) -> float:
    """The turn [rad] from the pose's heading to the goal's, in (−π, π]."""
    return wrap_angle(goal.yaw - pose.yaw)
