"""Motions in closed loop with an ideal unicycle: they end, and say how."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from astra.geometry import Pose2, wrap_angle
from astra.navigation.control import Command, ControlConfig
from astra.navigation.gate import GateDecision, GateReason
from astra.navigation.motion import BackUpMotion, FollowPathMotion, Motion, MotionConfig, MotionEnd, MotionInput, SpinMotion

DT = 0.05
PASS = GateDecision(0.0, 0.0, GateReason.CLEAR, 1.0)
BLOCK = GateDecision(0.0, 0.0, GateReason.BLOCKED, 0.0)
BLIND = GateDecision(0.0, 0.0, GateReason.STALE_ODOMETRY, 0.0)


def run(motion: Motion, gate: Callable[[float], GateDecision] = lambda t: PASS, limit_s: float = 60.0) -> tuple[MotionEnd | None, Pose2, float]:
    """Drive until the motion ends; a blocked gate holds the robot."""
    pose, velocity = Pose2(), (0.0, 0.0)
    for step in range(round(limit_s / DT)):
        now = MotionInput(step * DT, DT, pose)
        command = motion.command(now, velocity)
        if isinstance(command, MotionEnd):
            return command, pose, now.time_s
        assert isinstance(command, Command)
        decision = gate(now.time_s)
        velocity = (0.0, 0.0) if decision.stopped else (command.linear_mps, command.angular_radps)
        if (end := motion.gated(now, decision)) is not None:
            return end, pose, now.time_s
        pose = pose @ Pose2.exp(velocity[0] * DT, 0.0, velocity[1] * DT)
    return None, pose, limit_s


def line(length_m: float) -> np.ndarray:
    x = np.linspace(0, length_m, 60)
    return np.stack([x, 0 * x, 0 * x], axis=1)


def follow(length_m: float = 3.0, **config: float) -> FollowPathMotion:
    return FollowPathMotion(line(length_m), ControlConfig(), MotionConfig(**config))


def test_a_free_path_succeeds_within_the_tolerance() -> None:
    end, pose, _ = run(follow())
    assert end is MotionEnd.SUCCEEDED
    assert abs(pose.x - 3.0) <= 0.15


def test_a_path_within_the_tolerance_succeeds_at_once_as_nav2_does() -> None:
    assert run(follow(0.12))[::2] == (MotionEnd.SUCCEEDED, 0.0)


def test_a_blocked_path_is_given_up_after_its_patience() -> None:
    end, _, time_s = run(follow(failure_tolerance=3.0), lambda t: BLOCK if t > 1.0 else PASS)
    assert end is MotionEnd.PATIENCE_EXCEEDED
    assert time_s == pytest.approx(4.0, abs=0.2)


def test_a_short_blockage_is_waited_for() -> None:
    assert run(follow(failure_tolerance=3.0), lambda t: BLOCK if 1.0 < t < 3.5 else PASS)[0] is MotionEnd.SUCCEEDED


def test_lost_odometry_has_its_own_end() -> None:
    assert run(follow(failure_tolerance=1.0), lambda t: BLIND)[0] is MotionEnd.ODOMETRY_LOST


def test_a_robot_that_does_not_move_makes_no_progress() -> None:
    motion, pose = follow(movement_time_allowance=4.0), Pose2()
    for step in range(200):
        now = MotionInput(step * DT, DT, pose)
        command = motion.command(now, (0.3, 0.0))
        motion.gated(now, PASS)
        if isinstance(command, MotionEnd):
            break
    assert command is MotionEnd.NO_PROGRESS
    assert step * DT == pytest.approx(4.0, abs=0.2)


def test_replacing_the_path_does_not_hide_that_the_robot_is_stuck() -> None:
    motion, end = follow(movement_time_allowance=4.0), None
    for step in range(200):
        if step % 6 == 5:
            fresh = follow(movement_time_allowance=4.0)
            fresh.take_over(motion)
            motion = fresh
        end = motion.command(MotionInput(step * DT, DT, Pose2()), (0.0, 0.0))
        if isinstance(end, MotionEnd):
            break
    assert end is MotionEnd.NO_PROGRESS


@pytest.mark.parametrize("target", [0.3, -1.57, math.pi, -5.5])
def test_a_spin_turns_by_the_angle_asked_for(target: float) -> None:
    motion = SpinMotion(target, 60.0, ControlConfig(), MotionConfig())
    end, pose, _ = run(motion)
    assert end is MotionEnd.SUCCEEDED
    assert motion.turned_rad == pytest.approx(target, abs=0.06)
    assert abs(wrap_angle(pose.yaw - target)) < 0.06
    assert math.hypot(pose.x, pose.y) < 1e-9


def test_a_spin_has_a_time_allowance() -> None:
    assert run(SpinMotion(3.0, 1.0, ControlConfig(), MotionConfig()))[0] is MotionEnd.TIMEOUT


@pytest.mark.parametrize("distance", [0.3, -0.3])
def test_backing_up_drives_straight_back(distance: float) -> None:
    motion = BackUpMotion(distance, 0.15, 20.0, ControlConfig(), MotionConfig())
    end, pose, _ = run(motion)
    assert end is MotionEnd.SUCCEEDED
    assert pose.x == pytest.approx(-0.3, abs=0.02)
    assert abs(pose.y) < 1e-6
    assert motion.driven_m == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    "motion",
    [SpinMotion(2.0, 0.0, ControlConfig(), MotionConfig()), BackUpMotion(1.0, 0.2, 0.0, ControlConfig(), MotionConfig())],
)
def test_a_turn_or_retreat_that_stays_blocked_ends_as_a_collision_ahead(motion: Motion) -> None:
    end, _, time_s = run(motion, lambda t: BLOCK if t > 0.5 else PASS)
    assert end is MotionEnd.COLLISION_AHEAD
    assert 2.0 < time_s < 3.0


def test_a_clock_that_jumps_back_does_not_end_a_motion() -> None:
    motion = follow(movement_time_allowance=4.0)
    for time_s in (100.0, 100.1, 3.0, 3.1):
        assert isinstance(motion.command(MotionInput(time_s, DT, Pose2()), (0.0, 0.0)), Command)
