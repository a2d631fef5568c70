"""The motions that others carry out for the navigator: follow a route, spin, back up. One at a time; a server that dies is noticed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from nav2_msgs.action import BackUp, FollowPath, Spin
from nav_msgs.msg import Path
from rclpy.action import ActionClient

from astra.core.config import require
from astra.core.types import FloatArray, nanoseconds, seconds
from astra.geometry import Pose2
from astra.navigation.mission import Motion
from astra.navigation.polyline import resample, with_headings
from astra.ros.actions import ActionCall
from astra.ros.conversions import path_from_poses
from astra.ros.watch import Heartbeats

OnEnd = Callable[[Motion, str, int], None]  # how, why, and the action's error code


@dataclass(frozen=True, slots=True)
class MotionsConfig:
    """Who carries motions out, and how long the navigator believes in them without a sign of life (steady time)."""

    follow_server: str = field(default="astra_local", metadata={"help": "node whose heartbeat stands for follow_action"})
    behavior_server: str = field(default="astra_controller", metadata={"help": "node whose heartbeat stands for spin and backup"})
    follow_action: str = field(default="astra/follow_path", metadata={"help": "FollowPath action that takes the whole route"})
    goal_checker_id: str = field(default="", metadata={"help": "goal checker named in FollowPath goals; empty: the only one"})
    answer_timeout_s: float = field(default=5.0, metadata={"help": "for a server to take a goal [s]"})
    silence_timeout_s: float = field(default=6.0, metadata={"help": "without feedback from a goal that had given some [s]"})
    turn_radps: float = field(default=0.4, metadata={"help": "slowest turn granted to a spin [rad/s]"})
    back_up_mps: float = field(default=0.10, metadata={"help": "speed of backing up [m/s]"})
    route_step_m: float = field(default=0.20, metadata={"help": "distance between the poses of a route [m]"})

    def __post_init__(self) -> None:
        for name in ("answer_timeout_s", "silence_timeout_s", "turn_radps", "back_up_mps", "route_step_m"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "> 0")


@dataclass(slots=True, eq=False)
class _Running:
    """The goal under way; arrival times on the steady clock."""

    call: ActionCall
    on_end: OnEnd
    server: str
    sent_ns: int
    feedback_ns: int | None = None


class Motions:
    """Sends motions as action goals; every motion ends with exactly one call of its `on_end`, unless it is halted."""

    def __init__(self, node: Any, config: MotionsConfig, heartbeats: Heartbeats) -> None:
        self._node, self._config, self._heartbeats = node, config, heartbeats
        self._follow = ActionClient(node, FollowPath, config.follow_action)
        self._spin = ActionClient(node, Spin, "spin")
        self._back_up = ActionClient(node, BackUp, "backup")
        self._running: _Running | None = None
        self.distance_to_goal_m = math.nan  # as the last follow feedback says

    def follow(self, route: Path, on_end: OnEnd) -> None:
        """Drive along a route to its last pose."""
        self.distance_to_goal_m = math.nan
        request = FollowPath.Goal(path=route, goal_checker_id=self._config.goal_checker_id)
        self._send(self._follow, self._config.follow_server, request, on_end)

    def spin(self, angle_rad: float, on_end: OnEnd) -> None:
        """Turn on the spot."""
        request = Spin.Goal(target_yaw=angle_rad, time_allowance=_duration(abs(angle_rad) / self._config.turn_radps + 5.0))
        self._send(self._spin, self._config.behavior_server, request, on_end)

    def advance(self, odom_from_base: Pose2, odom_frame: str, distance_m: float, on_end: OnEnd) -> None:
        """Drive straight on by odometry alone, as a route of one straight piece."""
        goal = odom_from_base @ Pose2(distance_m, 0.0, 0.0)
        line = np.array([[odom_from_base.x, odom_from_base.y], [goal.x, goal.y]])
        self.follow(route_path(line, goal, self._node.now_ns(), odom_frame, self._config.route_step_m), on_end)

    def back_up(self, distance_m: float, on_end: OnEnd) -> None:
        """Drive straight back."""
        request = BackUp.Goal(speed=self._config.back_up_mps, time_allowance=_duration(distance_m / self._config.back_up_mps + 5.0))
        request.target.x = distance_m
        self._send(self._back_up, self._config.behavior_server, request, on_end)

    def halt(self) -> None:
        """Cancel what is under way; its `on_end` is not called."""
        running, self._running = self._running, None
        if running is not None:
            running.call.cancel(silent=True)

    def check(self) -> None:
        """Notice a server that died: no answer, no heartbeat, or no feedback any more."""
        running = self._running
        if running is None:
            return
        now = self._node.steady_ns()
        trouble = ""
        if not running.call.answered and seconds(now - running.sent_ns) > self._config.answer_timeout_s:
            trouble = f"{running.server} does not answer"
        elif running.feedback_ns is not None and seconds(now - running.feedback_ns) > self._config.silence_timeout_s:
            trouble = f"{running.server} gives no feedback any more"
        elif self._heartbeats.is_silent(running.server):
            trouble = f"{running.server} is silent"
        if trouble:
            self.halt()
            running.on_end(Motion.UNAVAILABLE, trouble, 0)

    def close(self) -> None:
        """Destroy the clients."""
        self.halt()
        for client in (self._follow, self._spin, self._back_up):
            client.destroy()

    def _send(self, client: ActionClient, server: str, request: Any, on_end: OnEnd) -> None:
        self.halt()
        if not client.server_is_ready():
            on_end(Motion.UNAVAILABLE, f"{server} is not there", 0)
            return
        running: _Running

        def ended(status: int, result: Any) -> None:
            if self._running is running:
                self._running = None
                on_end(*_outcome(server, status, result))

        def feedback(message: Any) -> None:
            running.feedback_ns = self._node.steady_ns()
            self.distance_to_goal_m = float(getattr(message, "distance_to_goal", math.nan))

        running = self._running = _Running(ActionCall(client, request, ended, feedback), on_end, server, self._node.steady_ns())


def route_path(polyline: FloatArray, goal: Pose2, stamp_ns: int, frame_id: str, step_m: float) -> Path:
    """nav_msgs/Path along the polyline (K, 2) at even steps, headings along the way, the goal's at the end."""
    poses = with_headings(resample(np.asarray(polyline, dtype=np.float64), step_m), goal.yaw)
    poses[-1, 2] = goal.yaw
    return path_from_poses(poses, stamp_ns, frame_id)


def _outcome(server: str, status: int, result: Any) -> tuple[Motion, str, int]:
    if status == GoalStatus.STATUS_SUCCEEDED:
        return Motion.SUCCEEDED, "", 0
    if result is None:
        return Motion.UNAVAILABLE, f"{server} refused the goal", 0
    code = int(getattr(result, "error_code", 0))
    message = str(getattr(result, "error_msg", "")) or f"error code {code}"
    return Motion.FAILED, f"{server}: {message}", code


def _duration(time_s: float) -> Duration:
    whole = nanoseconds(time_s)
    return Duration(sec=whole // 10**9, nanosec=whole % 10**9)
