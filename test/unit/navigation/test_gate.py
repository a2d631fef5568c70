"""The velocity gate: what may never pass, and what must."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra.core.errors import ConfigError
from astra.core.types import LaserScan
from astra.geometry import Pose2
from astra.navigation.footprint import Footprint, FootprintConfig
from astra.navigation.gate import Ages, GateConfig, GateReason, VelocityGate

FRESH = Ages(0.05, 0.02, 0.1)


def gate_seeing(lab, segments: np.ndarray, pose: Pose2 = Pose2(), outline: Footprint | None = None) -> VelocityGate:  # noqa: B008
    gate = VelocityGate(footprint=outline)
    gate.see(lab.cast(segments, pose), Pose2())
    return gate


def test_free_space_lets_a_command_through_unchanged(lab) -> None:
    decision = gate_seeing(lab, lab.room()).limit(0.5, 0.3, FRESH)
    assert (decision.linear_mps, decision.angular_radps) == (0.5, 0.3)
    assert decision.reason is GateReason.CLEAR


@pytest.mark.parametrize("speed", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("yaw", [0.0, 0.35])
def test_driving_at_a_wall_stops_before_it(lab, speed: float, yaw: float) -> None:
    """In closed loop, with a tenth of a second between scan and wheels and the braking that the configuration counts on."""
    config, wall = GateConfig(), lab.box(1.0, -4, 1.2, 4)
    gate, pose, actual, pending = VelocityGate(config), Pose2(0, 0, yaw), 0.0, [0.0, 0.0]
    for _ in range(400):
        gate.see(lab.cast(wall, pose), Pose2())
        pending.append(gate.limit(speed, 0.0, FRESH).linear_mps)
        wanted = pending.pop(0)
        actual = max(wanted, actual - config.braking * 0.05)
        pose = pose @ Pose2.exp(actual * 0.05, 0.0, 0.0)
        assert lab.distance(wall, np.array([[pose.x, pose.y]]))[0] > 0.22
    assert actual < 0.03
    assert lab.distance(wall, np.array([[pose.x, pose.y]]))[0] < 0.22 + 0.12


@pytest.mark.parametrize("speed", [0.035, 0.5])
@pytest.mark.parametrize("start_m", [0.225, 0.4])
def test_it_does_not_creep_on_when_the_scan_is_noisy(lab, start_m: float, speed: float) -> None:
    """However long it is pushed: a reading that dips below the margin must not become the new measure."""
    wall = lab.box(start_m, -4, start_m + 0.2, 4)
    gate, pose = VelocityGate(), Pose2()
    for step in range(400):
        if step % 2 == 0:
            gate.see(lab.cast(wall, pose, noise_m=0.008, seed=step), Pose2())
        pose = pose @ Pose2.exp(gate.limit(speed, 0.0, FRESH).linear_mps * 0.05, 0.0, 0.0)
    assert start_m - pose.x > 0.22


def test_it_slows_before_it_stops_and_keeps_the_curve(lab) -> None:
    decision = gate_seeing(lab, lab.box(0.45, -4, 0.6, 4)).limit(0.6, 0.3, FRESH)
    assert decision.reason is GateReason.SLOWED
    assert 0.0 < decision.linear_mps < 0.5
    assert decision.angular_radps / decision.linear_mps == pytest.approx(0.5)


def test_a_wall_at_the_side_does_not_stop_driving_along_it(lab) -> None:
    wall = lab.box(-5, 0.25, 5, 0.4)
    assert gate_seeing(lab, wall).limit(0.5, 0.0, FRESH).reason is GateReason.CLEAR
    assert gate_seeing(lab, wall).limit(0.5, 0.8, FRESH).share < 0.8


def test_a_robot_that_touches_may_drive_away_but_not_on(lab) -> None:
    gate = gate_seeing(lab, lab.box(0.21, -1, 0.4, 1))
    assert gate.limit(0.2, 0.0, FRESH).reason is GateReason.BLOCKED
    assert gate.limit(-0.2, 0.0, FRESH).reason is GateReason.CLEAR
    assert gate.limit(0.0, 0.8, FRESH).reason is GateReason.CLEAR


def test_a_long_robot_may_not_turn_into_a_wall_beside_it(lab) -> None:
    outline = FootprintConfig(footprint="[[0.4, 0.2], [-0.4, 0.2], [-0.4, -0.2], [0.4, -0.2]]").build()
    gate = gate_seeing(lab, lab.box(-5, 0.23, 5, 0.4), outline=outline)
    assert gate.limit(0.3, 0.0, FRESH).reason is GateReason.CLEAR
    turn = gate.limit(0.0, 1.0, FRESH)
    assert turn.share < 0.4


@pytest.mark.parametrize("values", [(math.nan, 0.0), (0.1, math.inf), (-math.inf, 0.0)])
def test_a_command_that_is_not_finite_stops(lab, values: tuple[float, float]) -> None:
    decision = gate_seeing(lab, lab.room()).limit(*values, FRESH)
    assert decision.reason is GateReason.NOT_FINITE
    assert (decision.linear_mps, decision.angular_radps) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("ages", "reason"),
    [
        (Ages(1.0, 0.02, 0.1), GateReason.STALE_SCAN),
        (Ages(math.inf, 0.02, 0.1), GateReason.STALE_SCAN),
        (Ages(math.nan, 0.02, 0.1), GateReason.STALE_SCAN),
        (Ages(0.05, 1.0, 0.1), GateReason.STALE_ODOMETRY),
        (Ages(0.05, 0.02, 9.0), GateReason.STALE_PATH),
    ],
)
def test_stale_input_stops_with_its_name(lab, ages: Ages, reason: GateReason) -> None:
    decision = gate_seeing(lab, lab.room()).limit(0.3, 0.1, ages)
    assert decision.stopped
    assert decision.reason is reason


def test_without_any_scan_nothing_moves_unless_no_lidar_is_declared() -> None:
    assert VelocityGate().limit(0.3, 0.0, FRESH).reason is GateReason.STALE_SCAN
    assert VelocityGate(GateConfig(require_scan=False)).limit(0.3, 0.0, Ages(math.inf, 0.0)).reason is GateReason.CLEAR


def test_standing_still_always_passes() -> None:
    assert VelocityGate().limit(0.0, 0.0, Ages(math.inf, math.inf, math.inf)).reason is GateReason.CLEAR


def test_an_empty_scan_is_free_space() -> None:
    gate = VelocityGate()
    gate.see(LaserScan(0, "lidar", np.full(360, np.inf, dtype=np.float32), -math.pi, math.pi / 180, 0.1, 10.0), Pose2())
    assert gate.limit(0.5, 0.0, FRESH).reason is GateReason.CLEAR
    assert gate.clearance_m() == math.inf


def test_the_scan_is_moved_to_where_the_robot_is_now(lab) -> None:
    gate = gate_seeing(lab, lab.box(0.8, -4, 1.0, 4))
    still, moved = gate.limit(0.6, 0.0, FRESH), gate.limit(0.6, 0.0, FRESH, Pose2(0.3, 0.0, 0.0))
    assert still.reason is GateReason.CLEAR
    assert moved.share < 0.8


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(-2, 2), st.floats(-4, 4), st.floats(-3, 3), st.floats(-2, 2))
def test_nothing_faster_than_the_limits_or_in_another_direction_passes(v: float, w: float, x: float, y: float) -> None:
    gate = VelocityGate()
    ranges = np.full(360, np.inf, dtype=np.float32)
    ranges[int(math.degrees(math.atan2(y, x)) + 180) % 360] = max(math.hypot(x, y), 0.2)
    gate.see(LaserScan(0, "lidar", ranges, -math.pi, math.pi / 180, 0.1, 10.0), Pose2())
    decision = gate.limit(v, w, FRESH)
    assert abs(decision.linear_mps) <= min(abs(v), 0.6) + 1e-9
    assert abs(decision.angular_radps) <= min(abs(w), 1.2) + 1e-9
    assert decision.linear_mps * v >= 0.0
    assert decision.angular_radps * w >= 0.0
    assert 0.0 <= decision.share <= 1.0


def test_a_decision_takes_a_fraction_of_two_milliseconds(lab) -> None:
    gate = gate_seeing(lab, lab.door(0.6), Pose2(0.5, 0.0, 0.0))
    began = time.process_time()
    for i in range(100):
        gate.limit(0.5, 0.01 * i - 0.5, FRESH)
    assert (time.process_time() - began) / 100 < 0.004  # about 0.6 ms on the machines we measured


def test_bad_limits_are_named() -> None:
    with pytest.raises(ConfigError, match="braking"):
        GateConfig(braking=0.0)


def test_a_robot_that_goes_blind_slows_down_before_it_is_stopped() -> None:
    gate = VelocityGate()
    gate.see(LaserScan(0, "lidar", np.full(360, np.inf, dtype=np.float32), -math.pi, math.pi / 180, 0.1, 10.0), Pose2())
    speeds = [gate.limit(0.4, 0.0, Ages(age_s, 0.02)).linear_mps for age_s in (0.1, 0.2, 0.25, 0.3, 0.35, 0.41)]
    assert speeds == pytest.approx([0.4, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert gate.limit(0.4, 0.0, Ages(0.05, 0.1875)).linear_mps == pytest.approx(0.2)
    assert VelocityGate(GateConfig(require_scan=False)).limit(0.4, 0.0, Ages(math.inf, 0.02)).linear_mps == pytest.approx(0.4)
