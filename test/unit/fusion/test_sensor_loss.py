"""Sensors that fail in flight: the pose stays finite, the covariance grows, the state says why, and all is well again afterwards."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from astra.core.types import ImuSample, WheelTwist, nanoseconds
from astra.fusion.odometry import OdometryState, Rejection, Trouble, WheelImuOdometry, YawSource
from astra.geometry import Pose2, Trajectory

REAL = os.environ.get("ASTRA_REAL_DATA")
SPEED, TURN = 0.4, 0.25
Reading = ImuSample | WheelTwist


def readings(duration_s: float = 20.0, seed: int = 0) -> list[Reading]:
    """Two seconds of rest and a circle, with the noise of cheap sensors."""
    rng = np.random.default_rng(seed)
    out: list[Reading] = []
    for i in range(round(duration_s * 200)):
        t = i / 200
        speed, turn = min(max(0.4 * (t - 2.0), 0.0), SPEED), TURN if t > 3.0 else 0.0
        push = 0.4 if 2.0 < t < 3.0 else 0.0
        gyro = np.array([0.0, 0.0, turn + 0.01]) + 0.003 * rng.standard_normal(3)
        out.append(ImuSample(nanoseconds(1.0 + t), gyro, np.array([push + 0.05, 0.0, 9.81]) + 0.03 * rng.standard_normal(3)))
        if i % 4 == 0:
            out.append(WheelTwist(nanoseconds(1.0 + t), speed + 0.002 * rng.standard_normal(), turn + 0.01 * rng.standard_normal()))
    return out


def follow(stream: list[Reading], watch_s: float = 10.9) -> tuple[OdometryState, OdometryState, WheelImuOdometry]:
    """The state shortly before the end of the trouble (`watch_s` of the drive's time), and at the end of the drive."""
    odometry, watched = WheelImuOdometry(), None
    for reading in stream:
        if isinstance(reading, ImuSample):
            odometry.add_imu(reading)
        else:
            odometry.add_wheel(reading)
        state = odometry.predicted()
        assert state.odom_from_base.is_finite()
        assert np.isfinite(state.covariance).all()
        if watched is None and reading.stamp_ns >= nanoseconds(1.0 + watch_s):
            watched = state
    assert watched is not None
    return watched, odometry.state, odometry


def during(stream: list[Reading], kind: type, change: Callable[[Reading], list[Reading]], begin_s: float = 8.0, end_s: float = 11.0) -> list[Reading]:
    """The stream with every reading of a kind in a span replaced by what `change` makes of it."""
    out: list[Reading] = []
    for reading in stream:
        inside = begin_s <= reading.stamp_ns * 1e-9 - 1.0 < end_s and isinstance(reading, kind)
        out += change(reading) if inside else [reading]
    return out


def lost(reading: Reading) -> list[Reading]:
    return []


def frozen(reading: Reading) -> list[Reading]:
    return [WheelTwist(reading.stamp_ns, 0.0, 0.0)]


def not_a_number(reading: Reading) -> list[Reading]:
    if isinstance(reading, WheelTwist):
        return [WheelTwist(reading.stamp_ns, math.nan, math.nan)]
    return [ImuSample(reading.stamp_ns, np.full(3, math.nan), np.full(3, math.nan))]


@pytest.fixture(scope="module")
def well() -> tuple[OdometryState, OdometryState]:
    at, end, _ = follow(readings())
    assert end.troubles == ()
    return at, end


def grew(state: OdometryState, reference: OdometryState, times: float) -> bool:
    return float(np.trace(state.covariance)) > times * float(np.trace(reference.covariance))


@pytest.mark.parametrize("change", [lost, not_a_number])
def test_an_imu_that_goes_off_leaves_the_heading_to_the_wheels(well: tuple[OdometryState, OdometryState], change: Callable[[Reading], list[Reading]]) -> None:
    at, end, _ = follow(during(readings(), ImuSample, change))
    assert Trouble.NO_GYRO in at.troubles
    assert at.yaw_source is YawSource.WHEEL
    assert grew(at, well[0], 1.2)
    assert end.troubles == ()
    assert end.yaw_source is YawSource.GYRO
    assert end.odom_from_base.distance_to(well[1].odom_from_base) < 0.1


@pytest.mark.parametrize("change", [lost, not_a_number])
def test_wheels_that_go_off_are_held_for_a_moment_and_then_missed(
    well: tuple[OdometryState, OdometryState], change: Callable[[Reading], list[Reading]]
) -> None:
    at, end, _ = follow(during(readings(), WheelTwist, change, end_s=8.6), watch_s=8.55)
    assert Trouble.NO_WHEELS in at.troubles
    assert grew(at, well[0], 4.0)
    assert end.troubles == ()
    # nobody told of 0.4 s of way, and the covariance knows
    assert end.odom_from_base.distance_to(well[1].odom_from_base) < 3.0 * math.sqrt(float(np.trace(end.covariance[:2, :2])))


def test_wheels_that_stick_while_the_robot_goes_on(well: tuple[OdometryState, OdometryState]) -> None:
    at, end, _ = follow(during(readings(), WheelTwist, frozen))
    assert {Trouble.DISTRUST, Trouble.SLIP_SPEED, Trouble.SLIP_TURN} & set(at.troubles)
    assert grew(at, well[0], 10.0)
    error_m = end.odom_from_base.distance_to(well[1].odom_from_base)
    assert error_m < 3.0 * math.sqrt(float(np.trace(end.covariance[:2, :2])))
    assert end.linear_mps == pytest.approx(SPEED, abs=0.02)  # believed again


def test_half_a_second_without_anything(well: tuple[OdometryState, OdometryState]) -> None:
    silent = during(during(readings(), WheelTwist, lost, end_s=8.5), ImuSample, lost, end_s=8.5)
    at, end, _ = follow(silent, watch_s=8.51)
    assert Trouble.GAP in at.troubles
    assert grew(at, well[0], 4.0)
    assert end.troubles == ()
    assert end.odom_from_base.distance_to(well[1].odom_from_base) < 0.1


def test_everything_twice_and_out_of_order(well: tuple[OdometryState, OdometryState]) -> None:
    stream = readings()
    doubled = [copy for reading in stream for copy in (reading, reading)]
    _, end, odometry = follow(doubled)
    assert odometry.count(Rejection.DUPLICATE) == len(stream)
    assert end.odom_from_base == well[1].odom_from_base
    swapped = [r for pair in zip(stream[1::2], stream[::2]) for r in pair]
    _, end, odometry = follow(swapped)
    assert odometry.count(Rejection.OUT_OF_ORDER) > 0
    assert end.odom_from_base.distance_to(well[1].odom_from_base) < 0.1


def test_a_clock_that_jumps_back_in_flight() -> None:
    stream = readings()
    early = [r for r in stream if r.stamp_ns < nanoseconds(11.0)]
    again = [r for r in stream if r.stamp_ns >= nanoseconds(6.0)]
    _, end, odometry = follow([*early, *again])
    assert odometry.count(Rejection.CLOCK_JUMP_BACK) == 1
    assert end.troubles == ()
    assert end.odom_from_base.is_finite()


@pytest.mark.skipif(not REAL, reason="ASTRA_REAL_DATA is not set: the real robots are not at hand")
@pytest.mark.parametrize(("name", "length_m"), [("test1", 358.0), ("test2", 84.0)])
def test_real_robots_outdoors_end_to_end(tmp_path: Path, name: str, length_m: float, capsys: pytest.CaptureFixture[str]) -> None:
    """A Husky whose IMU is mounted on its side, and a Jackal on rough ground: as long a way as by the wheels alone, and no NaN."""
    from astra.cli.main import main

    bag = Path(REAL or "") / "wheel_imu" / f"{name}.bag"
    for sensors in ("wheel", "imu,wheel"):
        assert main(["odometry", str(bag), "--sensors", sensors, "--out", str(tmp_path / "out.tum"), "--json"]) == 0
        trajectory = Trajectory.load_tum(tmp_path / "out.tum")
        assert np.isfinite(trajectory.poses).all()
        assert trajectory.length_m() == pytest.approx(length_m, rel=0.05)
    capsys.readouterr()
    assert trajectory.at(int(trajectory.stamps_ns[0])).distance_to(Pose2()) < 1e-6
