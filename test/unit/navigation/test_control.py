"""The pursuit in closed loop with an ideal unicycle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.core.errors import ConfigError
from astra.geometry import Pose2, wrap_angle
from astra.navigation.control import Command, ControlConfig, ControlMode, RegulatedPurePursuit, ramp
from astra.navigation.polyline import project, resample, with_headings

DT = 0.05


def path(*points: tuple[float, float]) -> np.ndarray:
    return with_headings(resample(np.array(points, dtype=float), 0.05), 0.0)


def drive(pursuit: RegulatedPurePursuit, pose: Pose2, limit_s: float = 60.0, **inputs: float) -> tuple[list[Pose2], list[Command]]:
    poses, commands, velocity = [pose], [], (0.0, 0.0)
    for _ in range(round(limit_s / DT)):
        command = pursuit.command(pose, velocity, DT, **inputs)
        commands.append(command)
        if command.mode is ControlMode.ARRIVED:
            break
        velocity = (command.linear_mps, command.angular_radps)
        pose = pose @ Pose2.exp(velocity[0] * DT, 0.0, velocity[1] * DT)
        poses.append(pose)
    return poses, commands


@pytest.mark.parametrize(
    "line",
    [
        path((0, 0), (3, 0)),
        path((0, 0), (2, 0), (2, 2)),
        path((0, 0), (1, 0.3), (2, -0.3), (3, 0)),
        path((0, 0), (-2, 0.1)),
        np.stack([np.sin(np.linspace(0, 3, 60)), 1 - np.cos(np.linspace(0, 3, 60)), np.linspace(0, 3, 60)], axis=1),
    ],
)
def test_it_reaches_the_end_close_to_the_path(line: np.ndarray) -> None:
    pursuit = RegulatedPurePursuit()
    pursuit.set_path(line)
    poses, commands = drive(pursuit, Pose2())
    assert commands[-1].mode is ControlMode.ARRIVED
    assert math.hypot(poses[-1].x - line[-1, 0], poses[-1].y - line[-1, 1]) <= 0.25
    assert abs(wrap_angle(poses[-1].yaw - line[-1, 2])) <= 0.25
    assert max(project(line[:, :2], np.array([p.x, p.y]))[1] for p in poses) < 0.20


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.floats(-3.1, 3.1), st.floats(-2, 2), st.floats(-2, 2))
def test_speeds_and_accelerations_stay_within_their_limits(yaw: float, x: float, y: float) -> None:
    config = ControlConfig()
    pursuit = RegulatedPurePursuit(config)
    pursuit.set_path(path((0, 0), (x, y), (x + 1.5, y)))
    _, commands = drive(pursuit, Pose2(0, 0, yaw))
    speeds = np.array([(0.0, 0.0)] + [(c.linear_mps, c.angular_radps) for c in commands if c.mode is not ControlMode.ARRIVED])
    assert speeds[:, 0].min() >= -1e-9
    assert speeds[:, 0].max() <= config.desired_linear_vel + 1e-9
    assert np.abs(speeds[:, 1]).max() <= config.max_angular_vel + 1e-9
    assert np.diff(speeds[:, 0]).max(initial=0) <= config.max_linear_accel * DT + 1e-9
    assert np.diff(speeds[:, 0]).min(initial=0) >= -config.max_linear_decel * DT - 1e-9
    assert np.abs(np.diff(speeds[:, 1])).max(initial=0) <= config.max_angular_accel * DT + 1e-9


def test_a_path_that_leaves_backwards_is_turned_to_first() -> None:
    pursuit = RegulatedPurePursuit()
    pursuit.set_path(path((0, 0), (-2, 0)))
    command = pursuit.command(Pose2(), (0.0, 0.0), DT)
    assert command.mode is ControlMode.ROTATE_TO_PATH
    assert command.linear_mps == 0.0
    assert command.angular_radps != 0.0


def test_once_turning_it_turns_until_it_faces_the_path() -> None:
    pursuit = RegulatedPurePursuit()
    pursuit.set_path(path((0, 0), (0, 2)))
    poses, commands = drive(pursuit, Pose2())
    first = next(i for i, c in enumerate(commands) if c.mode is ControlMode.FOLLOW)
    assert abs(wrap_angle(poses[first].yaw - math.pi / 2)) < 0.25
    assert all(c.mode is ControlMode.ROTATE_TO_PATH for c in commands[:first])


@pytest.mark.parametrize(("what", "slow"), [("clearance_m", 0.1), ("speed_limit_mps", 0.2)])
def test_closeness_and_a_limit_from_outside_slow_it_down(what: str, slow: float) -> None:
    line = path((0, 0), (5, 0))
    free, held = RegulatedPurePursuit(), RegulatedPurePursuit()
    free.set_path(line)
    held.set_path(line)
    fast = max(c.linear_mps for c in drive(free, Pose2(), 5.0)[1])
    slower = max(c.linear_mps for c in drive(held, Pose2(), 5.0, **{what: slow})[1])
    assert fast == pytest.approx(0.55)
    assert 0.05 < slower <= 0.2 + 1e-9


def test_tight_curves_are_driven_slower_than_wide_ones() -> None:
    def arc_path(radius: float) -> np.ndarray:
        t = np.linspace(0, 2.5 / radius, 80)
        return np.stack([radius * np.sin(t), radius * (1 - np.cos(t)), t], axis=1)

    speeds = []
    for radius in (0.4, 3.0):
        pursuit = RegulatedPurePursuit()
        pursuit.set_path(arc_path(radius))
        speeds.append(max(c.linear_mps for c in drive(pursuit, Pose2())[1]))
    assert speeds[0] < 0.6 * speeds[1]


def test_a_new_path_takes_over_without_a_jolt() -> None:
    pursuit = RegulatedPurePursuit()
    pursuit.set_path(path((0, 0), (3, 0)))
    poses, commands = drive(pursuit, Pose2(), 3.0)
    here, last = poses[-1], commands[-1]
    pursuit.set_path(path((here.x, here.y), (here.x + 3, 0.2)))
    command = pursuit.command(here, (last.linear_mps, last.angular_radps), DT)
    assert abs(command.linear_mps - last.linear_mps) <= 0.8 * DT + 1e-9


def test_a_path_that_ends_where_the_robot_stands_has_arrived() -> None:
    pursuit = RegulatedPurePursuit()
    pursuit.set_path(np.array([[0.1, 0.0, 0.0]]))
    assert pursuit.command(Pose2(), (0.0, 0.0), DT).mode is ControlMode.ARRIVED


def test_a_loop_that_ends_at_its_start_is_driven_whole() -> None:
    t = np.linspace(0, 2 * math.pi, 200)
    loop = np.stack([np.sin(t), 1 - np.cos(t), t], axis=1)
    pursuit = RegulatedPurePursuit()
    pursuit.set_path(loop)
    poses, commands = drive(pursuit, Pose2())
    assert commands[-1].mode is ControlMode.ARRIVED
    assert max(p.y for p in poses) > 1.8


@settings(derandomize=True, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_ramp_reaches_what_is_near_and_never_oversteps(before: float, wanted: float, up: float, down: float) -> None:
    after = ramp(before, wanted, up, down)
    assert abs(after - before) <= max(up, down) + 1e-12
    assert abs(after - wanted) <= abs(before - wanted) + 1e-12
    if abs(wanted - before) <= min(up, down) and wanted * before >= 0:
        assert after == pytest.approx(wanted)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="min_lookahead_dist"):
        ControlConfig(min_lookahead_dist=2.0)
