"""The seams where learned heads slot in: whoever satisfies one of these protocols can take the place of the classical part."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np

from astra.core.errors import NoPathError
from astra.core.types import FloatArray, Observation
from astra.fusion.odometry import OdometryState
from astra.geometry.se2 import Pose2
from astra.navigation.footprint import Footprint
from astra.navigation.grid import LocalGrid

__all__ = [
    "Footprint",
    "GoalPlace",
    "GoalResolver",
    "LocalGrid",
    "LocalPath",
    "LocalPlanError",
    "LocalScene",
    "Localizer",
    "MapFix",
    "NoLocalPath",
    "OdometrySource",
    "Planner",
    "Subgoal",
]


class NoLocalPath(StrEnum):
    """Why there is no local path."""

    START_BLOCKED = "start_blocked"  # the footprint overlaps an obstacle already
    TURN_BLOCKED = "turn_blocked"  # free paths exist, but not for this outline's turns
    SUBGOAL_UNREACHABLE = "subgoal_unreachable"  # nothing reachable lies near enough to the subgoal
    STALE = "stale"  # the scene is too old to plan on
    NOT_FINITE = "not_finite"


class LocalPlanError(NoPathError):
    """A planner found no path; `reason` says why."""

    def __init__(self, reason: NoLocalPath, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class LocalScene:
    """What a local planner may look at, at the stamp of the newest exteroceptive input. Never truth."""

    stamp_ns: int
    odom_from_base: Pose2
    linear_mps: float
    angular_radps: float
    grid: LocalGrid
    observations: tuple[Observation, ...] = ()  # newest last; what learned planners encode


@dataclass(frozen=True, slots=True, eq=False)
class Subgoal:
    """Where to drive next: `odom_from_goal`; its heading matters only if `final`. `route` (N, 2) is the piece of route ahead, in odom."""

    odom_from_goal: Pose2
    final: bool = False
    route: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True, slots=True, eq=False)
class LocalPath:
    """A path to follow now, in odom. `poses` (K, 3) of x, y, yaw from the robot on; `speeds_mps` (K,) the speed meant at each pose.

    `stamp_ns` is that of the scene it was planned on; `reaches_subgoal` is False where only a point near the subgoal was reachable.
    """

    stamp_ns: int
    poses: FloatArray
    speeds_mps: FloatArray
    reaches_subgoal: bool = True
    cost: float = 0.0
    clearance_m: float = float("inf")

    def length_m(self) -> float:
        """Length [m]."""
        return float(np.linalg.norm(np.diff(self.poses[:, :2], axis=0), axis=1).sum())

    def end(self) -> Pose2:
        """The last pose."""
        x, y, yaw = self.poses[-1].tolist()
        return Pose2(x, y, yaw)


@dataclass(frozen=True, slots=True, eq=False)
class MapFix:
    """A pose of the robot in the map, with covariance (3, 3) of x, y, yaw; there is no fix without evidence."""

    stamp_ns: int
    map_from_base: Pose2
    covariance: FloatArray
    confidence: float


@dataclass(frozen=True, slots=True)
class GoalPlace:
    """A place that an instruction may mean; `map_from_goal` is a base_link pose with standing room."""

    landmark_id: int
    label: str
    score: float
    map_from_goal: Pose2
    why: str


@runtime_checkable
class Planner(Protocol):
    """Plans from the scene to the subgoal, or raises `LocalPlanError`; may remember its last path to stay consistent."""

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath: ...

    def reset(self) -> None: ...


@runtime_checkable
class OdometrySource(Protocol):
    """Turns observations into a continuous pose; wheels and IMU now, vision later."""

    @property
    def state(self) -> OdometryState: ...

    def observe(self, observation: Observation) -> None: ...


@runtime_checkable
class Localizer(Protocol):
    """Finds the robot in the map from one observation, or answers None ("lost")."""

    def localize(self, observation: Observation) -> MapFix | None: ...


@runtime_checkable
class GoalResolver(Protocol):
    """Turns an instruction into places, best first; no places means "not found"."""

    def resolve(self, instruction: str, near: Pose2 | None = None, radius_m: float | None = None) -> tuple[GoalPlace, ...]: ...
