"""What a controller can be asked to do: follow a path, turn on the spot, back up. Each is ticked and says when it has ended, and how.

The end codes carry Nav2's names; the node translates them into each action's numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry.se2 import Pose2, wrap_angle
from astra.navigation.control import Command, ControlConfig, ControlMode, RegulatedPurePursuit, ramp
from astra.navigation.gate import GateDecision, GateReason


class MotionEnd(StrEnum):
    """How a motion ended."""

    SUCCEEDED = "succeeded"
    PATIENCE_EXCEEDED = "patience_exceeded"
    NO_PROGRESS = "failed_to_make_progress"
    ODOMETRY_LOST = "tf_error"
    TIMEOUT = "timeout"
    COLLISION_AHEAD = "collision_ahead"


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Patience of the motions, and the speeds of turning and backing up."""

    failure_tolerance: float = 8.0  # s that a path may be blocked before it is given up
    movement_time_allowance: float = 10.0  # s within which the robot must move …
    required_movement_radius: float = 0.25  # … this far [m]
    required_movement_angle: float = 0.5  # … or turn this far [rad]
    xy_goal_tolerance: float = 0.15  # m; tighter than Nav2's stock 0.25, so that what localization adds still fits
    yaw_goal_tolerance: float = 0.25  # rad
    spin_speed: float = 0.9  # rad/s
    spin_min_speed: float = 0.15
    spin_tolerance: float = 0.05  # rad
    backup_acceleration: float = 0.4  # m/s²
    blocked_allowance: float = 2.0  # s that a turn or a retreat may be blocked

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and 0.0 < value < 1e4, name, value, "> 0")


@dataclass(frozen=True, slots=True)
class MotionInput:
    """What a motion sees at a tick: ROS time [s], the robot in odom, how free it is, and the cap from outside."""

    time_s: float
    dt_s: float
    odom_from_base: Pose2
    clearance_m: float = math.inf
    speed_limit_mps: float = math.inf


class Motion(Protocol):
    """A motion under way. `command` proposes a velocity or ends; `gated` is told what the gate let through."""

    def command(self, now: MotionInput, velocity: tuple[float, float]) -> Command | MotionEnd: ...

    def gated(self, now: MotionInput, decision: GateDecision) -> MotionEnd | None: ...


class FollowPathMotion:
    """Follows a path in odom with the regulated pure pursuit, Nav2's progress check and patience."""

    def __init__(self, poses: FloatArray, control: ControlConfig, config: MotionConfig) -> None:
        self._pursuit = RegulatedPurePursuit(control, config.xy_goal_tolerance, config.yaw_goal_tolerance)
        self._pursuit.set_path(poses)
        self._config = config
        self._progress = _Watch(config.movement_time_allowance)
        self._patience = _Watch(config.failure_tolerance)
        self._here: Pose2 | None = None
        self.remaining_m = math.inf

    def take_over(self, other: FollowPathMotion) -> None:
        """Inherit the clocks of the path this one replaces: a stream of paths must not hide that the robot is stuck."""
        self._progress, self._patience, self._here = other._progress, other._patience, other._here

    def command(self, now: MotionInput, velocity: tuple[float, float]) -> Command | MotionEnd:
        """The pursuit's command; ends when it has arrived or when the robot has not moved for too long."""
        command = self._pursuit.command(now.odom_from_base, velocity, now.dt_s, now.clearance_m, now.speed_limit_mps)
        self.remaining_m = command.remaining_m if command.mode is not ControlMode.ARRIVED else 0.0
        if command.mode is ControlMode.ARRIVED:
            return MotionEnd.SUCCEEDED
        if self._here is None or _moved(self._here, now.odom_from_base, self._config):
            self._here = now.odom_from_base
            self._progress.reset(now.time_s)
        return MotionEnd.NO_PROGRESS if self._progress.expired(now.time_s) else command

    def gated(self, now: MotionInput, decision: GateDecision) -> MotionEnd | None:
        """Lose patience when the gate lets nothing through for too long."""
        if not decision.stopped:
            self._patience.reset(now.time_s)
            return None
        if not self._patience.expired(now.time_s):
            return None
        return MotionEnd.ODOMETRY_LOST if decision.reason is GateReason.STALE_ODOMETRY else MotionEnd.PATIENCE_EXCEEDED


class SpinMotion:
    """Turns by an angle relative to the heading at the start; `turned_rad` counts whole turns."""

    def __init__(self, target_rad: float, allowance_s: float, control: ControlConfig, config: MotionConfig) -> None:
        self._target, self._control, self._config = target_rad, control, config
        self._deadline = _Watch(allowance_s if allowance_s > 0.0 else math.inf)
        self._blocked = _Watch(config.blocked_allowance)
        self._last_yaw: float | None = None
        self.turned_rad = 0.0

    def command(self, now: MotionInput, velocity: tuple[float, float]) -> Command | MotionEnd:
        """Turn, slowing down so as to stop at the target."""
        if self._last_yaw is not None:
            self.turned_rad += wrap_angle(now.odom_from_base.yaw - self._last_yaw)
        self._last_yaw = now.odom_from_base.yaw
        left = self._target - self.turned_rad
        if abs(left) <= self._config.spin_tolerance:
            return MotionEnd.SUCCEEDED
        if self._deadline.expired(now.time_s):
            return MotionEnd.TIMEOUT
        limit = self._control.max_angular_accel
        speed = max(min(self._config.spin_speed, self._control.max_angular_vel, math.sqrt(limit * abs(left))), self._config.spin_min_speed)
        turn = ramp(velocity[1], math.copysign(speed, left), limit * now.dt_s, limit * now.dt_s)
        return Command(0.0, turn, ControlMode.ROTATE_TO_PATH)

    def gated(self, now: MotionInput, decision: GateDecision) -> MotionEnd | None:
        """End when the turn is blocked for too long."""
        return _blocked_end(self._blocked, now, decision)


class BackUpMotion:
    """Drives straight back over a distance."""

    def __init__(self, distance_m: float, speed_mps: float, allowance_s: float, control: ControlConfig, config: MotionConfig) -> None:
        self._distance, self._speed = abs(distance_m), min(abs(speed_mps), control.desired_linear_vel)
        self._config = config
        self._deadline = _Watch(allowance_s if allowance_s > 0.0 else math.inf)
        self._blocked = _Watch(config.blocked_allowance)
        self._start: Pose2 | None = None
        self.driven_m = 0.0

    def command(self, now: MotionInput, velocity: tuple[float, float]) -> Command | MotionEnd:
        """Back up, braking before the end and holding the heading of the start."""
        if self._start is None:
            self._start = now.odom_from_base
        self.driven_m = self._start.distance_to(now.odom_from_base)
        left = self._distance - self.driven_m
        if left <= 0.01:
            return MotionEnd.SUCCEEDED
        if self._deadline.expired(now.time_s):
            return MotionEnd.TIMEOUT
        speed = max(min(self._speed, now.speed_limit_mps, math.sqrt(2.0 * self._config.backup_acceleration * left)), 0.04)
        step = self._config.backup_acceleration * now.dt_s
        back = ramp(velocity[0], -speed, step, 2.0 * step)
        turn = min(max(1.5 * wrap_angle(self._start.yaw - now.odom_from_base.yaw), -0.4), 0.4)
        return Command(back, turn, ControlMode.FOLLOW, left)

    def gated(self, now: MotionInput, decision: GateDecision) -> MotionEnd | None:
        """End when the retreat is blocked for too long."""
        return _blocked_end(self._blocked, now, decision)


@dataclass(slots=True)
class _Watch:
    """A clock that expires unless it is reset; it starts at its first question."""

    allowance_s: float
    since_s: float | None = None

    def reset(self, time_s: float) -> None:
        self.since_s = time_s

    def expired(self, time_s: float) -> bool:
        if self.since_s is None or time_s < self.since_s:  # the clock may have jumped back
            self.since_s = time_s
        return time_s - self.since_s > self.allowance_s


def _moved(here: Pose2, there: Pose2, config: MotionConfig) -> bool:
    turned = abs(wrap_angle(there.yaw - here.yaw))
    return here.distance_to(there) > config.required_movement_radius or turned > config.required_movement_angle


def _blocked_end(watch: _Watch, now: MotionInput, decision: GateDecision) -> MotionEnd | None:
    if not decision.stopped:
        watch.reset(now.time_s)
        return None
    if not watch.expired(now.time_s):
        return None
    return MotionEnd.ODOMETRY_LOST if decision.reason is GateReason.STALE_ODOMETRY else MotionEnd.COLLISION_AHEAD
