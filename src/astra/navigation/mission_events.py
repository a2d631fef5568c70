"""The words between a mission and the node that carries it out: events in, commands out, limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose2
from astra.navigation.protocols import GoalPlace
from astra.navigation.recovery import RecoveryConfig


class Phase(IntEnum):
    """What a person is told; the numbers are those of the action's feedback."""

    LOCALIZING = 0
    LOOKING_AROUND = 1
    FINDING_GOAL = 2
    PLANNING = 3
    DRIVING = 4
    RECOVERING = 5
    ARRIVING = 6


class Code(IntEnum):
    """Why a mission ended; the numbers are those of the action's result."""

    NONE = 0
    BAD_GOAL = 1
    NO_MAP = 2
    NOT_FOUND = 3
    AMBIGUOUS = 4
    LOST = 5
    NO_ROUTE = 6
    BLOCKED = 7
    SENSORS_STALE = 8
    CONTROLLER_FAILED = 9
    TIMED_OUT = 10
    PREEMPTED = 11
    UNKNOWN = 99


class Ending(StrEnum):
    """How the action ends."""

    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    CANCELED = "canceled"


class Fix(StrEnum):
    """How well the robot knows where it is."""

    LOST = "lost"  # there is no map→odom to trust
    AGEING = "ageing"  # there was one, but nobody keeps it up: driving on is dead reckoning
    GOOD = "good"


# --- events: what happened ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """The state of affairs, several times a second. `pose` is map_from_base; `stale` names inputs too old to move on."""

    now_s: float
    pose: Pose2 | None = None
    fix: Fix = Fix.LOST
    localizer_alive: bool = True
    stale: tuple[str, ...] = ()
    gap_rad: float | None = None  # heading of the widest gap, relative to the robot
    driven_m: float = 0.0  # odometer
    look: Pose2 | None = None  # from where the localizer would tell most, in base_link now; None: it has no wish
    room_ahead_m: float = 0.0  # that the robot may drive straight on, as measured now
    answered_s: float = 0.0  # age of the images of the localizer's newest answer


@dataclass(frozen=True, slots=True)
class MapReady:
    """The graph was received."""


@dataclass(frozen=True, slots=True)
class MapMissing:
    """There is no graph; `final` if waiting does not help."""

    message: str
    final: bool = False


class Search(StrEnum):
    """How a goal search ended."""

    FOUND = "found"
    AMBIGUOUS = "ambiguous"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"  # nobody answered
    REFUSED = "refused"  # the request itself is bad


@dataclass(frozen=True, slots=True)
class GoalSearched:
    """The answer to `FindGoal`, candidates best first."""

    outcome: Search
    places: tuple[GoalPlace, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RouteReady:
    """The answer to `PlanRoute`: `polyline` (K, 2) in the map frame."""

    polyline: FloatArray


@dataclass(frozen=True, slots=True)
class NoRoute:
    """The answer to `PlanRoute` if there is none; the answer to `FetchMap` if a goal pose lies outside the graph."""

    message: str


class Motion(StrEnum):
    """How a motion ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"  # no server, or it died


@dataclass(frozen=True, slots=True)
class FollowEnded:
    """`FollowRoute` came to an end by itself; `code` is nav2_msgs/FollowPath's, 0 for none."""

    outcome: Motion
    message: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class BehaviorEnded:
    """`Spin`, `BackUp` or `Advance` came to an end by itself."""

    outcome: Motion
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody wants the mission to end: a cancel, or (`preempted`) a newer goal."""

    preempted: bool = False


Event = Tick | MapReady | MapMissing | GoalSearched | RouteReady | NoRoute | FollowEnded | BehaviorEnded | Stop

# --- commands: what to do -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchMap:
    """Get the graph."""


@dataclass(frozen=True, slots=True)
class FindGoal:
    """Look the instruction up, outwards from `near` if given."""

    near: Pose2 | None


@dataclass(frozen=True, slots=True)
class PlanRoute:
    """Plan from `start` to `goal` around the points `blocked` [m, map frame]."""

    start: Pose2
    goal: Pose2
    blocked: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FollowRoute:
    """Drive along `polyline` (K, 2), map frame, to `goal`."""

    polyline: FloatArray
    goal: Pose2


@dataclass(frozen=True, slots=True)
class Spin:
    """Turn on the spot."""

    angle_rad: float


@dataclass(frozen=True, slots=True)
class BackUp:
    """Drive straight back."""

    distance_m: float


@dataclass(frozen=True, slots=True)
class Advance:
    """Drive straight on, without a map: to see a place from elsewhere."""

    distance_m: float


@dataclass(frozen=True, slots=True)
class Halt:
    """End whatever motion is going on."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The mission is over."""

    ending: Ending
    code: Code
    message: str


Command = FetchMap | FindGoal | PlanRoute | FollowRoute | Spin | BackUp | Advance | Halt | Finish

@dataclass(frozen=True, slots=True)
class MissionConfig:
    """Limits of a mission. Times run on the mission's clock, which stands still while the simulation does."""

    timeout_s: float = 900.0  # whole mission
    map_wait_s: float = 60.0  # for the graph
    search_timeout_s: float = 30.0  # for one answer to a goal search
    search_attempts: int = 4
    look_after_s: float = 5.0  # stand this long before looking around
    look_step_rad: float = math.pi / 4.0
    look_pause_s: float = 3.0  # stand after each step: a sharp image and its evaluation …
    look_patience_s: float = 12.0  # … which a busy machine takes so long for, at most
    look_turns: float = 2.0  # full turns before the robot admits that it is lost
    look_moves: int = 10  # moves to other views, before it does
    look_move_m: float = 1.5  # longest of them
    look_margin_m: float = 0.15  # room that must be left at its end
    look_motion_s: float = 20.0  # longest turn or move while looking around
    look_limit_s: float = 180.0  # of looking around at all
    localizer_wait_s: float = 120.0  # for a localizer that died to come back
    dead_reckoning_s: float = 10.0  # drive on without a fresh map→odom
    dead_reckoning_m: float = 4.0
    stale_limit_s: float = 15.0  # of standing on stale inputs
    server_wait_s: float = 45.0  # for a motion server that died to come back
    off_route_m: float = 1.5  # farther from the route, and it is planned anew
    replan_period_s: float = 3.0  # at least between two plans
    max_replans: int = 20
    no_progress_s: float = 30.0  # without coming progress_m closer while driving: a failure
    give_up_s: float = 240.0  # without coming progress_m closer at all: blocked
    goal_tolerance_m: float = 0.45
    goal_yaw_tolerance_rad: float = 0.5
    settle_s: float = 1.5  # stand at the goal until the pose is confirmed
    arrival_attempts: int = 4
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name != "recovery":
                value = getattr(self, name)
                require(math.isfinite(value) and value > 0, name, value, "a finite number > 0")
        require(self.look_step_rad <= math.pi, "look_step_rad", self.look_step_rad, "at most π")
