"""Who asked the navigator for something, and in which words to answer: three doors, one mission behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from astra_nav.action import NavigateToTarget
from astra_nav.msg import GoalCandidate
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from nav2_msgs.action import NavigateToPose

from astra.core.types import nanoseconds
from astra.navigation.mission import Code, Ending, Finish, Phase
from astra.ros.actions import Outcome, TickedActionServer

OUTCOMES = {Ending.SUCCEEDED: Outcome.SUCCEEDED, Ending.ABORTED: Outcome.ABORTED, Ending.CANCELED: Outcome.CANCELED}
POSE_CODES = {Code.LOST: NavigateToPose.Result.TF_ERROR, Code.TIMED_OUT: NavigateToPose.Result.TIMEOUT}


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The state of a mission, in messages where they are sent on as they came."""

    phase: Phase
    why: str
    pose: PoseStamped | None  # map frame; None before the robot knows
    remaining_m: float
    recoveries: int
    driven_m: float
    elapsed_s: float
    speed_mps: float
    goal: GoalCandidate | None = None
    candidates: tuple[GoalCandidate, ...] = ()


class Requester(Protocol):
    """Somebody who wants to get somewhere."""

    @property
    def cancel_requested(self) -> bool: ...

    def feedback(self, report: Report) -> None: ...

    def finish(self, finish: Finish, report: Report) -> None: ...


class TargetRequester:
    """A client of /navigate_to_target."""

    def __init__(self, server: TickedActionServer, handle: Any) -> None:
        self._server, self._handle = server, handle

    @property
    def cancel_requested(self) -> bool:
        """Whether the client wants its goal to end."""
        return bool(self._handle.is_cancel_requested)

    def feedback(self, report: Report) -> None:
        """Say how it goes."""
        message = NavigateToTarget.Feedback(phase=int(report.phase), why=report.why, recoveries=report.recoveries)
        message.distance_remaining = report.remaining_m if math.isfinite(report.remaining_m) else math.nan
        if report.pose is not None:
            message.current_pose = report.pose
        if self._handle.is_active:
            self._handle.publish_feedback(message)

    def finish(self, finish: Finish, report: Report) -> None:
        """Say how it ended."""
        result = NavigateToTarget.Result(error_code=int(finish.code), error_msg="" if finish.code is Code.NONE else finish.message)
        if report.goal is not None:
            result.goal = report.goal
        if finish.code is Code.AMBIGUOUS:
            result.candidates = list(report.candidates)
        if report.pose is not None:
            result.final_pose = report.pose
        result.distance_driven, result.total_time = report.driven_m, duration(report.elapsed_s)
        self._server.finish(self._handle, OUTCOMES[finish.ending], result)


class PoseRequester:
    """A client of Nav2's /navigate_to_pose: RViz, a behaviour tree, the simple commander."""

    def __init__(self, server: TickedActionServer, handle: Any) -> None:
        self._server, self._handle = server, handle

    @property
    def cancel_requested(self) -> bool:
        """Whether the client wants its goal to end."""
        return bool(self._handle.is_cancel_requested)

    def feedback(self, report: Report) -> None:
        """Say how it goes, in Nav2's words."""
        message = NavigateToPose.Feedback(number_of_recoveries=report.recoveries, navigation_time=duration(report.elapsed_s))
        if math.isfinite(report.remaining_m):
            message.distance_remaining = report.remaining_m
            message.estimated_time_remaining = duration(min(report.remaining_m / max(report.speed_mps, 0.1), 36000.0))
        if report.pose is not None:
            message.current_pose = report.pose
        if self._handle.is_active:
            self._handle.publish_feedback(message)

    def finish(self, finish: Finish, report: Report) -> None:
        """Say how it ended; Nav2 knows fewer reasons, the text has ours."""
        result = NavigateToPose.Result()
        if finish.code not in (Code.NONE, Code.PREEMPTED):  # a preempted goal carries code 0, as Nav2's do
            result.error_code = POSE_CODES.get(finish.code, NavigateToPose.Result.UNKNOWN)
        if finish.code is not Code.NONE:
            result.error_msg = f"{finish.code.name}: {finish.message}"
        self._server.finish(self._handle, OUTCOMES[finish.ending], result)


class TopicRequester:
    """Somebody who clicked a goal in RViz and listens to the log only."""

    cancel_requested = False

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def feedback(self, report: Report) -> None:
        """Nobody listens."""

    def finish(self, finish: Finish, report: Report) -> None:
        """Log the end."""
        if finish.ending is Ending.SUCCEEDED:
            self._logger.info(f"goal_pose: {finish.message}")
        else:
            self._logger.warning(f"goal_pose: {finish.code.name}: {finish.message}")


def duration(time_s: float) -> Duration:
    """builtin_interfaces/Duration from seconds ≥ 0."""
    whole = nanoseconds(max(time_s, 0.0))
    return Duration(sec=whole // 10**9, nanosec=whole % 10**9)
