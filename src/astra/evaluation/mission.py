"""Judge one mission against the simulator's truth, by the words of the contract (arrived, collision, localized)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from shapely.geometry import Point, Polygon

from astra.core.errors import BadInputError
from astra.core.paths import atomic_write
from astra.core.types import FloatArray, IntArray, seconds
from astra.geometry import Pose2, Trajectory, wrap_angle

ARRIVAL_RADIUS_M = 0.5  # base_link this near to the goal's region counts as arrived
STOPPED_MPS = 0.02
STAYED_M = 0.10  # a robot that moved less than this did not move
AT_FAULT_MPS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class TruthTrack:
    """The simulator's own record: `poses` (N, 3) of x, y [m], yaw [rad] in the world frame; `speeds_mps` (N,)."""

    stamps_ns: IntArray
    poses: FloatArray
    speeds_mps: FloatArray

    def trajectory(self) -> Trajectory:
        """The same as a trajectory that interpolates."""
        return Trajectory(self.stamps_ns, self.poses)

    def distance_m(self) -> float:
        """Distance driven; steps below a tenth of a millimetre are the solver's noise and do not count."""
        steps = np.linalg.norm(np.diff(self.poses[:, :2], axis=0), axis=1)
        return float(steps[steps > 1e-4].sum())


@dataclass(frozen=True, slots=True)
class LocalizationEvent:
    """What the stack said about its pose at `stamp_ns` (the images' stamp)."""

    stamp_ns: int
    status: str
    confidence: float
    map_from_base: Pose2 | None


@dataclass(frozen=True, slots=True, eq=False)
class GoalRegion:
    """One right answer: the region's `polygon` (K, 2) in the world frame [m]."""

    label: str
    polygon: FloatArray

    def distance_m(self, x: float, y: float) -> float:
        """Distance from a point to the region; zero inside."""
        return float(Polygon(self.polygon).distance(Point(x, y)))


@dataclass(frozen=True, slots=True, eq=False)
class MissionLog:
    """What was recorded from outside while the mission ran."""

    seed: int
    world: str
    instruction: str
    started_ns: int
    ended_ns: int
    truth: TruthTrack
    contacts_ns: tuple[int, ...]
    localizations: tuple[LocalizationEvent, ...]
    goal_status: str  # "found", "ambiguous", "not_found" or "unknown"
    map_from_goal: Pose2 | None
    error_code: int
    error_msg: str
    fallbacks: int
    restarts: int = 0
    cpu: tuple[tuple[str, float], ...] = ()  # (process, CPU-seconds per second of mission)


@dataclass(frozen=True, slots=True)
class MissionResult:
    """`result.json`. Errors are in metres against truth; NaN is written as null."""

    success: bool
    seed: int
    world: str
    instruction: str
    localized_after_s: float
    localization_error_m: float
    localization_error_deg: float
    goal_status: str
    goal_error_m: float
    arrived: bool
    distance_m: float
    shortest_m: float
    collisions: int
    collisions_at_fault: int
    duration_s: float
    fallbacks: int
    restarts: int
    error_code: int
    errors: tuple[str, ...]
    cpu: tuple[tuple[str, float], ...]

    def save(self, path: Path) -> None:
        """Write the result as JSON."""
        document = {key: _jsonable(value) for key, value in asdict(self).items()}
        document["cpu"] = dict(self.cpu)
        atomic_write(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def judge(log: MissionLog, right_answers: Sequence[GoalRegion], world_from_map: Pose2, shortest_m: float) -> MissionResult:
    """Score a mission.

    Args:
        log: the recorded mission.
        right_answers: regions that fulfil the instruction; if nothing does, the right deed is `not_found` and no motion.
        world_from_map: where the map's origin lies in the world.
        shortest_m: length of the shortest free path from the start to a right region.
    """
    if len(log.truth.stamps_ns) == 0:
        raise BadInputError("the mission's record holds no truth: was the simulator running?")
    errors = [log.error_msg] if log.error_msg else []
    localized_after_s, pose_error_m, pose_error_deg = _localization(log, world_from_map)
    distance = log.truth.distance_m()
    end = log.truth.poses[-1]
    goal_error = min((region.distance_m(float(end[0]), float(end[1])) for region in right_answers), default=math.nan)
    stopped = abs(float(log.truth.speeds_mps[-1])) <= STOPPED_MPS
    arrived = bool(right_answers) and goal_error <= ARRIVAL_RADIUS_M and stopped
    if right_answers:
        success = arrived and log.error_code == 0 and not log.contacts_ns
        if log.error_code == 0 and not arrived:
            errors.append("the stack reported success away from the right goal")
    else:
        success = log.goal_status == "not_found" and distance <= STAYED_M
    return MissionResult(
        success=success,
        seed=log.seed,
        world=log.world,
        instruction=log.instruction,
        localized_after_s=localized_after_s,
        localization_error_m=pose_error_m,
        localization_error_deg=pose_error_deg,
        goal_status=log.goal_status,
        goal_error_m=goal_error,
        arrived=arrived,
        distance_m=distance,
        shortest_m=shortest_m,
        collisions=len(log.contacts_ns),
        collisions_at_fault=_collisions_at_fault(log),
        duration_s=seconds(log.ended_ns - log.started_ns),
        fallbacks=log.fallbacks,
        restarts=log.restarts,
        error_code=log.error_code,
        errors=tuple(errors),
        cpu=log.cpu,
    )


def localization_errors(log: MissionLog, world_from_map: Pose2) -> FloatArray:
    """Per localized event: time since the start [s], position error [m], heading error [rad]; (K, 3)."""
    truth = log.truth.trajectory()
    rows = []
    for event in log.localizations:
        if event.status == "localized" and event.map_from_base is not None:
            true, said = truth.at(event.stamp_ns), world_from_map @ event.map_from_base
            rows.append((seconds(event.stamp_ns - log.started_ns), true.distance_to(said), abs(wrap_angle(true.yaw - said.yaw))))
    return np.array(rows).reshape(-1, 3)


def _localization(log: MissionLog, world_from_map: Pose2) -> tuple[float, float, float]:
    """When the robot first knew where it was, and the median error of what it said from then on."""
    errors = localization_errors(log, world_from_map)
    if len(errors) == 0:
        return math.nan, math.nan, math.nan
    return max(float(errors[0, 0]), 0.0), float(np.median(errors[:, 1])), math.degrees(float(np.median(errors[:, 2])))


def _collisions_at_fault(log: MissionLog) -> int:
    rows = np.clip(np.searchsorted(log.truth.stamps_ns, np.array(log.contacts_ns, dtype=np.int64)), 0, len(log.truth.stamps_ns) - 1)
    return int(sum(np.abs(log.truth.speeds_mps[max(row - 5, 0) : row + 1]).max() > AT_FAULT_MPS for row in rows))


def _jsonable(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
