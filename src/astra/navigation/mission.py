"""The mission: from an instruction to "arrived", as a state machine that knows no ROS.

The node feeds it events and carries out its commands. Every state is left after a bounded time, so that a mission always ends with a code.
The goal is looked up before the robot moves: an instruction that means nothing on this map causes no motion at all.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from astra.core.types import FloatArray
from astra.geometry import Pose2
from astra.navigation.look_around import LookAround
from astra.navigation.mission_events import (
    Advance,
    BackUp,
    BehaviorEnded,
    Code,
    Command,
    Ending,
    Event,
    FetchMap,
    FindGoal,
    Finish,
    Fix,
    FollowEnded,
    FollowRoute,
    GoalSearched,
    Halt,
    MapMissing,
    MapReady,
    MissionConfig,
    Motion,
    NoRoute,
    Phase,
    PlanRoute,
    RouteReady,
    Search,
    Spin,
    Stop,
    Tick,
)
from astra.navigation.polyline import RouteProgress
from astra.navigation.protocols import GoalPlace
from astra.navigation.recovery import REMEDIES, Recovery, RecoveryLadder, Remedy, turn_between

__all__ = [
    "Mission",
    "Advance",
    "BackUp",
    "BehaviorEnded",
    "Code",
    "Command",
    "Ending",
    "Event",
    "FetchMap",
    "FindGoal",
    "Finish",
    "Fix",
    "FollowEnded",
    "FollowRoute",
    "GoalSearched",
    "Halt",
    "MapMissing",
    "MapReady",
    "MissionConfig",
    "Motion",
    "NoRoute",
    "Phase",
    "PlanRoute",
    "RouteReady",
    "Search",
    "Spin",
    "Stop",
    "Tick",
]


class _State(Enum):
    FETCHING_MAP = Phase.FINDING_GOAL, "fetching"
    FINDING_GOAL = Phase.FINDING_GOAL, "finding"
    LOCALIZING = Phase.LOCALIZING, "standing"
    LOOK_TURN = Phase.LOOKING_AROUND, "turning"
    LOOK_MOVE = Phase.LOOKING_AROUND, "moving"
    LOOK_PAUSE = Phase.LOOKING_AROUND, "pausing"
    PLANNING = Phase.PLANNING, "planning"
    DRIVING = Phase.DRIVING, "driving"
    HALTED = Phase.RECOVERING, "halted"
    SERVER_WAIT = Phase.RECOVERING, "server"
    RECOVERY_WAIT = Phase.RECOVERING, "waiting"
    RECOVERY_ACT = Phase.RECOVERING, "acting"
    SETTLING = Phase.ARRIVING, "settling"
    FINAL_TURN = Phase.ARRIVING, "turning"
    ENDED = Phase.ARRIVING, "ended"


_MOVING = frozenset({_State.LOOK_TURN, _State.LOOK_MOVE, _State.DRIVING, _State.RECOVERY_ACT, _State.FINAL_TURN})
_Commands = tuple[Command, ...]


class Mission:
    """One mission. `handle(event)` returns the commands to carry out; after `Finish` it only returns nothing.

    Args:
        target: where to go if the goal is a pose; None if it must be looked up by `FindGoal`.
    """

    def __init__(self, config: MissionConfig | None = None, target: Pose2 | None = None) -> None:
        self.config = config or MissionConfig()
        self.goal = target
        self.places: tuple[GoalPlace, ...] = ()
        self.why = "waiting for the map"
        self.ladder = RecoveryLadder(self.config.recovery)
        self._looked_up_near = target is not None
        self._state = _State.FETCHING_MAP
        self._tick = Tick(0.0)
        self._began_s = self._since_s = math.nan
        self._asked = False
        self._attempts = 0
        self._blocked: tuple[tuple[float, float], ...] = ()
        self._progress: RouteProgress | None = None
        self._best_m = math.inf
        self._best_at_s = self._advanced_at_s = 0.0
        self._replans = self._arrivals = 0
        self._planned_s = -math.inf
        self._looking = LookAround(self.config)
        self._reckoning: tuple[float, float] | None = None  # since when, and the odometer then
        self._stale_since_s: float | None = None
        self._server_since_s: float | None = None

    # --- what the outside may ask -----------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """The phase for feedback."""
        phase: Phase = self._state.value[0]
        return phase

    @property
    def ended(self) -> bool:
        """Whether `Finish` was given."""
        return self._state is _State.ENDED

    @property
    def recoveries(self) -> int:
        """Recoveries tried so far."""
        return self.ladder.count

    @property
    def remaining_m(self) -> float:
        """Length of route left, NaN while there is none."""
        return self._progress.remaining_m if self._progress is not None else math.nan

    def subgoal(self, ahead_m: float) -> Pose2 | None:
        """The route's point `ahead_m` from here, heading along the route; None unless driving."""
        if self._progress is None or self._state is not _State.DRIVING:
            return None
        behind, point = self._progress.point_ahead(max(ahead_m - 0.2, 0.0)), self._progress.point_ahead(ahead_m)
        return Pose2(float(point[0]), float(point[1]), math.atan2(point[1] - behind[1], point[0] - behind[0]))

    # --- events -----------------------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> _Commands:
        """Take in one event; returns what to do now, in order."""
        if self.ended:
            return ()
        match event:
            case Tick():
                return self._on_tick(event)
            case Stop(preempted):
                if preempted:
                    return self._finish(Code.PREEMPTED, "a newer goal arrived")
                return self._end(Ending.CANCELED, Code.NONE, "cancelled")
            case MapReady():
                return self._on_map()
            case MapMissing(message, final):
                self.why, self._asked = message, False
                return self._finish(Code.NO_MAP, message) if final else ()
            case GoalSearched():
                return self._on_search(event)
            case RouteReady(polyline):
                return self._on_route(polyline)
            case NoRoute(message):
                return self._on_no_route(message)
            case FollowEnded():
                return self._on_follow_ended(event)
            case BehaviorEnded():
                return self._on_behavior_ended(event)

    def _on_tick(self, tick: Tick) -> _Commands:
        if math.isnan(self._began_s):
            self._began_s = self._since_s = self._best_at_s = self._advanced_at_s = tick.now_s
        self._tick = tick
        if tick.now_s - self._began_s > self.config.timeout_s:
            return self._finish(Code.TIMED_OUT, f"the mission took longer than timeout_s = {self.config.timeout_s:g} s")
        stale = self._watch_inputs()
        if stale:
            return stale
        if tick.stale and self._state not in (_State.FETCHING_MAP, _State.FINDING_GOAL, _State.PLANNING):
            return ()  # nothing may start to move now; `_watch_inputs` bounds the wait
        match self._state:
            case _State.FETCHING_MAP:
                return self._tick_fetching()
            case _State.FINDING_GOAL:
                return self._tick_finding()
            case _State.LOCALIZING:
                return self._tick_localizing()
            case _State.LOOK_PAUSE:
                return self._tick_look_pause()
            case _State.LOOK_TURN | _State.LOOK_MOVE if self._age() > self.config.look_motion_s:
                return (Halt(), *self._after_look(False, "it took too long"))
            case _State.PLANNING:
                return self._tick_planning()
            case _State.DRIVING:
                return self._tick_driving()
            case _State.HALTED:
                return self._resume() if not tick.stale else ()
            case _State.SERVER_WAIT:
                return self._plan("trying the motion server again") if self._age() >= self.config.recovery.wait_s else ()
            case _State.RECOVERY_WAIT:
                return self._tick_recovery_wait()
            case _State.SETTLING:
                return self._tick_settling()
            case _:
                return ()

    # --- inputs that went stale -------------------------------------------------------------------------------------------------------

    def _watch_inputs(self) -> _Commands:
        """Stop at once on stale inputs; give up if they stay so."""
        tick = self._tick
        if not tick.stale:
            self._stale_since_s = None
            return ()
        if self._stale_since_s is None:
            self._stale_since_s = tick.now_s
        named = ", ".join(tick.stale)
        if tick.now_s - self._stale_since_s > self.config.stale_limit_s:
            return self._finish(Code.SENSORS_STALE, f"no fresh {named} for {self.config.stale_limit_s:g} s")
        if self._state in _MOVING:
            self._enter(_State.HALTED, f"standing: {named} is stale")
            return (Halt(),)
        return ()

    def _resume(self) -> _Commands:
        return self._plan("inputs are fresh again") if self.goal is not None and self._looked_up_near else self._localize("inputs are fresh again")

    # --- map and goal -----------------------------------------------------------------------------------------------------------------

    def _tick_fetching(self) -> _Commands:
        if self._age() > self.config.map_wait_s:
            return self._finish(Code.NO_MAP, f"no map within {self.config.map_wait_s:g} s: {self.why}")
        if self._asked:
            return ()
        self._asked = True
        return (FetchMap(),)

    def _on_map(self) -> _Commands:
        if self._state is not _State.FETCHING_MAP:
            return ()
        return self._localize("the map is here") if self.goal is not None else self._find()

    def _find(self) -> _Commands:
        """Ask for the goal; with the robot's own place as the centre of the search once that is known."""
        near = self._tick.pose if self._tick.fix is Fix.GOOD else None
        if self._state is not _State.FINDING_GOAL:
            self._attempts = 0
        self._enter(_State.FINDING_GOAL, "looking the goal up on the map")
        self._attempts += 1
        self._looked_up_near = near is not None
        self._asked = True
        return (FindGoal(near),)

    def _tick_finding(self) -> _Commands:
        if self._asked and self._age() <= self.config.search_timeout_s:
            return ()
        if not self._asked and self._age() <= self.config.recovery.wait_s:
            return ()
        if self._attempts >= self.config.search_attempts:
            return self._finish(Code.UNKNOWN, f"the goal search gave no answer in {self._attempts} attempts")
        return self._find()

    def _on_search(self, event: GoalSearched) -> _Commands:
        if self._state is not _State.FINDING_GOAL:
            return ()
        if event.outcome is Search.UNAVAILABLE:
            # The service may be starting again: ask again after a moment.
            self._asked, self.why, self._since_s = False, event.message, self._tick.now_s
            return ()
        if event.outcome is Search.REFUSED:
            return self._finish(Code.BAD_GOAL, event.message)
        if event.outcome is Search.NOT_FOUND or not event.places:
            if self.goal is None:
                return self._finish(Code.NOT_FOUND, event.message or "nothing on this map matches the instruction")
            return self._plan("the nearby search found nothing new")
        self.places = event.places
        if event.outcome is Search.AMBIGUOUS and self._looked_up_near:
            named = "; ".join(f"{place.label} ({place.score:.2f})" for place in event.places[:4])
            return self._finish(Code.AMBIGUOUS, f"the instruction fits several places: {named}")
        self.goal = event.places[0].map_from_goal if event.outcome is Search.FOUND else None
        found = event.places[0]
        return self._localize(f"the goal is {found.label!r}: {found.why}" if self.goal is not None else "several places fit: where am I?")

    # --- where am I? ------------------------------------------------------------------------------------------------------------------

    def _localize(self, why: str) -> _Commands:
        """Go on if the robot knows where it is, else wait for that."""
        if self._tick.fix is Fix.GOOD:
            return self._localized()
        self._enter(_State.LOCALIZING, why)
        self._looking = LookAround(self.config)
        return ()

    def _localized(self) -> _Commands:
        self._reckoning = None
        self._best_at_s = self._tick.now_s  # time spent on localizing is not time without progress
        return self._plan("localized") if self._looked_up_near and self.goal is not None else self._find()

    def _tick_localizing(self) -> _Commands:
        if self._tick.fix is Fix.GOOD:
            return self._localized()
        if not self._tick.localizer_alive:
            self.why = "waiting for the localizer to come back"
            if self._age() > self.config.localizer_wait_s:
                return self._finish(Code.LOST, f"the localizer did not come back within {self.config.localizer_wait_s:g} s")
            return ()
        self.why = "working out where the robot is"
        return self._look() if self._age() > self.config.look_after_s else ()

    def _look(self) -> _Commands:
        """One more step of looking around, or the admission to be lost."""
        step = self._looking.next(self._tick)
        if isinstance(step, str):
            return self._finish(Code.LOST, step)
        moves = isinstance(step, Advance)
        self._enter(_State.LOOK_MOVE if moves else _State.LOOK_TURN, "looking from elsewhere" if moves else "looking around to recognise a place")
        return (step,)

    def _after_look(self, ok: bool, trouble: str) -> _Commands:
        self._looking.ended(ok, trouble)
        self._enter(_State.LOOK_PAUSE, "looking around to recognise a place")
        return ()

    def _tick_look_pause(self) -> _Commands:
        if self._tick.fix is Fix.GOOD:
            return self._localized()
        if not self._tick.localizer_alive:
            return self._localize("waiting for the localizer to come back")
        judged = self._tick.answered_s < self._age() or self._age() >= self.config.look_patience_s  # what is seen from here
        return self._look() if judged and self._age() >= self.config.look_pause_s else ()

    # --- planning and driving -----------------------------------------------------------------------------------------------------------

    def _plan(self, why: str) -> _Commands:
        self._enter(_State.PLANNING, why)
        self._asked = False
        return self._tick_planning()

    def _tick_planning(self) -> _Commands:
        if self._tick.fix is not Fix.GOOD or self._tick.pose is None:
            return self._localize("the robot does not know where it is")
        if self._asked or self._tick.now_s - self._planned_s < self.config.replan_period_s:
            return ()
        assert self.goal is not None
        self._asked, self._planned_s = True, self._tick.now_s
        return (PlanRoute(self._tick.pose, self.goal, self._blocked),)

    def _on_route(self, polyline: FloatArray) -> _Commands:
        if self._state is not _State.PLANNING:
            return ()
        assert self.goal is not None
        self._progress = RouteProgress(polyline)
        self._best_m = min(self._best_m, self._progress.length_m)
        self._advanced_at_s = self._tick.now_s
        self._enter(_State.DRIVING, f"driving {self._progress.length_m:.1f} m")
        return (FollowRoute(polyline, self.goal),)

    def _on_no_route(self, message: str) -> _Commands:
        if self._state not in (_State.PLANNING, _State.FETCHING_MAP):
            return ()
        return self._finish(Code.BLOCKED if self._blocked else Code.NO_ROUTE, message)

    def _tick_driving(self) -> _Commands:
        tick = self._tick
        assert self._progress is not None
        reckoned = self._watch_fix()
        if reckoned:
            return reckoned
        if tick.pose is None:
            return ()
        offset_m = self._progress.update(np.array([tick.pose.x, tick.pose.y]))
        self._note_progress()
        if tick.now_s - self._best_at_s > self.config.give_up_s:
            return self._finish(Code.BLOCKED, f"came no closer to the goal for {self.config.give_up_s:g} s")
        if offset_m > self.config.off_route_m and tick.now_s - self._planned_s > self.config.replan_period_s:
            return self._replan(f"{offset_m:.1f} m off the route")
        if tick.now_s - self._advanced_at_s > self.config.no_progress_s:
            return (Halt(), *self._recover(f"came no closer for {self.config.no_progress_s:g} s"))
        return ()

    def _note_progress(self) -> None:
        assert self._progress is not None
        if self._progress.remaining_m < self._best_m - self.config.recovery.progress_m:
            self._best_m = self._progress.remaining_m
            self._best_at_s = self._advanced_at_s = self._tick.now_s
            self._server_since_s = None
            self.ladder.progressed()

    def _watch_fix(self) -> _Commands:
        """Dead reckoning is bounded in time and distance; being lost stops the robot at once."""
        tick = self._tick
        if tick.fix is Fix.GOOD:
            if self._reckoning is not None:
                self._reckoning, self.why = None, "localized again"
            return ()
        if tick.fix is Fix.LOST:
            return (Halt(), *self._localize("lost on the way"))
        if self._reckoning is None:
            self._reckoning = (tick.now_s, tick.driven_m)
            self.why = "driving on by odometry: no fresh localization"
        since_s, from_m = self._reckoning
        if tick.now_s - since_s > self.config.dead_reckoning_s or tick.driven_m - from_m > self.config.dead_reckoning_m:
            return (Halt(), *self._localize("stopped: no fresh localization"))
        return ()

    def _replan(self, why: str) -> _Commands:
        self._replans += 1
        if self._replans > self.config.max_replans:
            return self._finish(Code.BLOCKED, f"planned anew {self.config.max_replans} times, last because: {why}")
        return (Halt(), *self._plan(why))

    def _on_follow_ended(self, event: FollowEnded) -> _Commands:
        if self._state is not _State.DRIVING:
            return ()
        close = self._distance_to_goal() <= self.config.goal_tolerance_m
        if event.outcome is Motion.SUCCEEDED or close:
            self._enter(_State.SETTLING, "confirming the arrival")
            return () if event.outcome is Motion.SUCCEEDED else (Halt(),)
        if event.outcome is Motion.UNAVAILABLE:
            return self._wait_for_server(event.message)
        if self._tick.fix is not Fix.GOOD:
            return self._localize(f"stopped without a good localization: {event.message}")
        return self._remedy(event)

    def _remedy(self, event: FollowEnded) -> _Commands:
        """Each error of a controller has its answer."""
        match REMEDIES.get(event.code, Remedy.CLIMB):
            case Remedy.GIVE_UP:
                return self._finish(Code.CONTROLLER_FAILED, event.message)
            case Remedy.WAIT:
                return self._wait_for_server(event.message)
            case Remedy.REPLAN:
                return self._replan(event.message)
            case Remedy.CLIMB_ON:
                self.ladder.skip_retries()
        return self._recover(event.message)

    def _wait_for_server(self, message: str) -> _Commands:
        now = self._tick.now_s
        if self._server_since_s is None:
            self._server_since_s = now
        if now - self._server_since_s > self.config.server_wait_s:
            return self._finish(Code.CONTROLLER_FAILED, f"{message} for {self.config.server_wait_s:g} s")
        self._enter(_State.SERVER_WAIT, message)
        return ()

    # --- recoveries ---------------------------------------------------------------------------------------------------------------------

    def _recover(self, why: str) -> _Commands:
        """Stand still for a moment, then climb one rung."""
        self._enter(_State.RECOVERY_WAIT, why)
        return ()

    def _tick_recovery_wait(self) -> _Commands:
        if self._age() < self.config.recovery.wait_s:
            return ()
        step, config, cause = self.ladder.next(), self.config.recovery, self.why
        if step is Recovery.GIVE_UP:
            return self._finish(Code.BLOCKED, f"gave up after {self.ladder.count} recoveries, last because: {cause}")
        if step is Recovery.RETRY:
            return self._plan(f"trying again: {cause}")
        if step is Recovery.REROUTE:
            self._mark_blocked()
            return self._plan(f"looking for another way: {cause}")
        if step is Recovery.SPIN:
            self._enter(_State.RECOVERY_ACT, f"turning to the widest gap: {cause}")
            angle = self._tick.gap_rad if self._tick.gap_rad is not None and abs(self._tick.gap_rad) > 0.2 else config.default_spin_rad
            return (Spin(angle),)
        self._enter(_State.RECOVERY_ACT, f"backing up: {cause}")
        return (BackUp(config.back_up_m),)

    def _mark_blocked(self) -> None:
        """Remember where the route is shut, a little ahead of the robot; the distance to the goal is measured anew."""
        if self._progress is not None:
            x, y = self._progress.point_ahead(self.config.recovery.blocked_ahead_m).tolist()
            self._blocked = (*self._blocked, (x, y))
        self._best_m, self._best_at_s = math.inf, self._tick.now_s

    def _on_behavior_ended(self, event: BehaviorEnded) -> _Commands:
        ok = event.outcome is Motion.SUCCEEDED
        match self._state:
            case _State.LOOK_TURN | _State.LOOK_MOVE:
                return self._after_look(ok, event.message)
            case _State.RECOVERY_ACT:
                if not ok:
                    return self._recover(f"the recovery failed: {event.message}")
                return self._plan("recovered; planning anew")
            case _State.FINAL_TURN:
                return self._arrive()  # the place counts; a turn that the room does not allow is no failure
            case _:
                return ()

    # --- arrival ------------------------------------------------------------------------------------------------------------------------

    def _tick_settling(self) -> _Commands:
        """Standing at the goal: believe the arrival only if a fresh pose says so."""
        if self._age() < self.config.settle_s:
            return ()
        tick = self._tick
        if tick.fix is not Fix.GOOD or tick.pose is None:
            return self._localize("at the goal by odometry, but not localized")
        assert self.goal is not None
        if self._distance_to_goal() > self.config.goal_tolerance_m:
            self._arrivals += 1
            if self._arrivals >= self.config.arrival_attempts:
                return self._finish(Code.CONTROLLER_FAILED, f"stopped {self._distance_to_goal():.2f} m from the goal {self._arrivals} times")
            return self._plan(f"still {self._distance_to_goal():.2f} m from the goal")
        turn = turn_between(tick.pose, self.goal)
        if abs(turn) > self.config.goal_yaw_tolerance_rad:
            self._enter(_State.FINAL_TURN, "turning to face the goal")
            return (Spin(turn),)
        return self._arrive()

    def _arrive(self) -> _Commands:
        return self._end(Ending.SUCCEEDED, Code.NONE, "arrived")

    def _distance_to_goal(self) -> float:
        if self._tick.pose is None or self.goal is None:
            return math.inf
        return self._tick.pose.distance_to(self.goal)

    # --- bookkeeping --------------------------------------------------------------------------------------------------------------------

    def _age(self) -> float:
        """Time in this state [s]."""
        return self._tick.now_s - self._since_s

    def _enter(self, state: _State, why: str) -> None:
        self._state, self.why, self._since_s = state, why, self._tick.now_s

    def _finish(self, code: Code, message: str) -> _Commands:
        return self._end(Ending.ABORTED, code, message)

    def _end(self, ending: Ending, code: Code, message: str) -> _Commands:
        was_moving = self._state in _MOVING
        self._enter(_State.ENDED, message)
        return (*((Halt(),) if was_moving else ()), Finish(ending, code, message))
