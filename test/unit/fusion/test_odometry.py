"""Wheel + IMU odometry against closed forms; the drives are synthetic, their truth is exact."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import yaml

from astra.core.errors import BadInputError, ConfigError
from astra.core.paths import share_dir
from astra.core.types import FloatArray, ImuSample, Observation, WheelTwist, nanoseconds
from astra.fusion.deltas import DeltaReader
from astra.fusion.odometry import DeltaOutcome, DeltaPose, OdometryConfig, Rejection, Trouble, WheelImuOdometry, YawSource, integrate
from astra.geometry import Pose2, wrap_angle

START_NS = 1_000_000_000


@dataclass
class Drive:
    wheel: list[WheelTwist]
    imu: list[ImuSample]


def imu(stamp_ns: int, rate: float) -> ImuSample:
    return ImuSample(stamp_ns, np.array([0.0, 0.0, rate]), np.array([0.0, 0.0, 9.81]))


def drive(
    duration_s: float,
    speed: Callable[[float], float],
    turn: Callable[[float], float],
    bias: float = 0.0,
    gyro_std: float = 0.0,
    seed: int = 0,
    wheel_turn: Callable[[float], float] | None = None,
) -> Drive:
    """Readings at 50 and 200 Hz of a robot with the given speeds over time."""
    rng = np.random.default_rng(seed)
    wheel = [
        WheelTwist(START_NS + nanoseconds(t), speed(t), (wheel_turn or turn)(t)) for t in np.arange(0.0, duration_s + 1e-9, 0.02).tolist()
    ]
    samples = [
        imu(START_NS + nanoseconds(t), turn(t) + bias + gyro_std * rng.standard_normal())
        for t in np.arange(0.0, duration_s + 1e-9, 0.005).tolist()
    ]
    return Drive(wheel, samples)


def feed(odometry: WheelImuOdometry, record: Drive) -> None:
    merged: list[tuple[int, int, ImuSample | WheelTwist]] = [(s.stamp_ns, 0, s) for s in record.imu]
    merged += [(w.stamp_ns, 1, w) for w in record.wheel]
    for _, _, reading in sorted(merged, key=lambda e: e[:2]):
        _ = odometry.add_imu(reading) if isinstance(reading, ImuSample) else odometry.add_wheel(reading)


def test_a_straight_drive_ends_where_the_wheels_say() -> None:
    record = drive(10.0, lambda t: 0.5, lambda t: 0.0)
    end = integrate(record.wheel, record.imu).at(record.wheel[-1].stamp_ns)
    assert end.x == pytest.approx(5.0, abs=1e-9)
    assert end.y == pytest.approx(0.0, abs=1e-9)
    assert end.yaw == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("with_imu", [True, False])
def test_a_circle_closes(with_imu: bool) -> None:
    period_s = 2.0 * math.pi / 0.5
    record = drive(period_s, lambda t: 0.4, lambda t: 0.5)
    tail = nanoseconds(period_s) + START_NS
    record.wheel.append(WheelTwist(tail, 0.4, 0.5))
    record.imu.append(imu(tail, 0.5))
    odometry = WheelImuOdometry()
    if not with_imu:
        record.imu.clear()
    feed(odometry, record)
    end = odometry.state
    assert end.yaw_source is (YawSource.GYRO if with_imu else YawSource.WHEEL)
    assert math.hypot(end.odom_from_base.x, end.odom_from_base.y) < 1e-6
    assert abs(wrap_angle(end.odom_from_base.yaw)) < 1e-6


def test_a_changing_speed_is_integrated_by_the_trapezoid() -> None:
    record = drive(4.0, lambda t: 0.2 * t, lambda t: 0.0)
    end = integrate(record.wheel, record.imu).at(record.wheel[-1].stamp_ns)
    assert end.x == pytest.approx(0.1 * 16.0, abs=1e-9)


def test_the_gyros_bias_is_learned_at_standstill_and_removed() -> None:
    turning = drive(40.0, lambda t: 0.5 if t > 5 else 0.0, lambda t: 0.3 if t > 5 else 0.0, bias=0.02, gyro_std=0.004)
    odometry = WheelImuOdometry()
    feed(odometry, turning)
    assert odometry.state.gyro_bias == pytest.approx(0.02, abs=5e-4)
    expected = wrap_angle(0.3 * 35.0)
    assert abs(wrap_angle(odometry.state.odom_from_base.yaw - expected)) < math.radians(1.0)


def test_a_turn_that_reverses_is_no_rest_to_read_the_bias_from() -> None:
    """A wheel's encoder and the gyro are quiet for a moment while a turn changes its sign."""
    record = drive(8.0, lambda t: 0.0, lambda t: float(np.interp(t, [2.0, 2.1, 4.0, 4.05, 4.7, 4.9], [0.0, -0.05, -0.05, 0.008, 0.008, -0.5])), bias=0.006)
    odometry = WheelImuOdometry()
    feed(odometry, record)
    assert odometry.state.gyro_bias == pytest.approx(0.006, abs=3e-4)


def test_standstill_drifts_less_than_a_millimetre_a_minute() -> None:
    rng = np.random.default_rng(3)
    record = drive(
        63.0,
        lambda t: 0.001 * rng.standard_normal(),
        lambda t: 0.0,
        bias=-0.015,
        gyro_std=0.01,
        wheel_turn=lambda t: 0.002 * rng.standard_normal(),
    )
    trajectory = integrate(record.wheel, record.imu)
    start, end = trajectory.at(START_NS + nanoseconds(3.0)), trajectory.at(START_NS + nanoseconds(63.0))
    assert start.distance_to(end) <= 0.001
    assert abs(start.yaw - end.yaw) < 1e-6


def test_a_robot_pushed_round_with_its_wheels_locked_is_seen_turning() -> None:
    record = drive(8.0, lambda t: 0.0, lambda t: 0.5 if t > 5 else 0.0, gyro_std=0.003, wheel_turn=lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, record)
    assert not odometry.state.stationary
    assert odometry.state.odom_from_base.yaw == pytest.approx(1.5, abs=0.05)


def test_covariance_grows_with_distance_and_not_at_standstill() -> None:
    def speed(t: float) -> float:
        return min(max(20.5 - t, 0.0), 0.5)

    record = with_accelerometer(drive(30.0, speed, lambda t: 0.0), speed)
    odometry = WheelImuOdometry()
    spreads = []
    samples = iter(record.imu)
    pending = next(samples, None)
    for twist in record.wheel:
        while pending is not None and pending.stamp_ns <= twist.stamp_ns:
            odometry.add_imu(pending)
            pending = next(samples, None)
        odometry.add_wheel(twist)
        spreads.append(float(np.trace(odometry.state.covariance)))
    # Comparing wheels and gyro takes back a little of what was lost since the last time.
    assert np.all(np.diff(spreads[:1000:100]) > 0.0)
    assert spreads[-1] == pytest.approx(spreads[1100], rel=1e-9)
    assert np.linalg.eigvalsh(odometry.state.covariance).min() > 0.0


def test_the_covariance_is_of_the_size_of_the_errors_it_describes() -> None:
    """Over noisy repetitions of one drive the normalised error stays within the 99.9 % bounds of its chi-square distribution."""
    # Nothing but noise: this drive's gyro has no bias and its wheels are as they should be.
    config = OdometryConfig(
        gyro_bias_initial_sigma_radps=1e-5, scale_initial_sigma=1e-6, wheel_skew_initial_sigma=1e-6, wheel_track_initial_sigma=1e-6
    )
    errors = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal
        record = drive(12.0, lambda t: 0.5, lambda t: 0.2, gyro_std=config.gyro_noise * math.sqrt(200.0), seed=seed)
        step = 0.5 * 0.02
        # Gyro and distance err as the configuration claims; lateral and turn errors stay out, so the filter is somewhat cautious here.
        record.wheel = [
            WheelTwist(w.stamp_ns, w.linear_mps + config.distance_sigma * math.sqrt(step) / 0.02 * noise(), w.angular_radps)
            for w in record.wheel
        ]
        record.imu = [ImuSample(s.stamp_ns, s.angular_velocity, np.full(3, math.nan)) for s in record.imu]  # which would know better
        odometry = WheelImuOdometry(config)
        feed(odometry, record)
        truth = Pose2.exp(0.5 * 12.0, 0.0, 0.2 * 12.0)
        pose, covariance = odometry.state.odom_from_base, odometry.state.covariance
        error = np.array([pose.x - truth.x, pose.y - truth.y, wrap_angle(pose.yaw - truth.yaw)])
        errors.append(float(error @ np.linalg.solve(covariance, error)))
    assert 0.5 < float(np.mean(errors)) < 3.0 + 3.3 * math.sqrt(6.0 / 24.0)


def test_wheels_that_disagree_with_the_gyro_grow_the_covariance_where_no_accelerometer_knows_the_speed() -> None:
    calm = drive(6.0, lambda t: 0.4, lambda t: 0.0)
    slip = drive(6.0, lambda t: 0.4, lambda t: 0.0, wheel_turn=lambda t: 0.8 if 2.0 < t < 3.0 else 0.0)
    for record in (calm, slip):
        record.imu = [ImuSample(s.stamp_ns, s.angular_velocity, np.full(3, math.nan)) for s in record.imu]
    quiet, slid = WheelImuOdometry(), WheelImuOdometry()
    feed(quiet, calm)
    half = Drive(
        [w for w in slip.wheel if w.stamp_ns <= START_NS + nanoseconds(2.8)],
        [s for s in slip.imu if s.stamp_ns <= START_NS + nanoseconds(2.8)],
    )
    feed(slid, half)
    assert slid.state.slipping
    feed(slid, Drive(slip.wheel[len(half.wheel) :], slip.imu[len(half.imu) :]))
    assert not slid.state.slipping
    assert slid.state.odom_from_base.yaw == pytest.approx(0.0, abs=1e-6)  # the heading follows the gyro
    assert np.trace(slid.state.covariance[:2, :2]) > 4.0 * np.trace(quiet.state.covariance[:2, :2])


@pytest.mark.parametrize("values", [(math.nan, 0.0), (0.3, math.inf), (-math.inf, math.nan)])
def test_readings_that_are_not_finite_are_counted_and_ignored(values: tuple[float, float]) -> None:
    record = drive(2.0, lambda t: 0.5, lambda t: 0.1)
    clean, dirty = WheelImuOdometry(), WheelImuOdometry()
    feed(clean, record)
    half = len(record.wheel) // 2
    bad = WheelTwist(record.wheel[half].stamp_ns + 1, *values)
    bad_imu = imu(record.imu[200].stamp_ns + 1, math.nan)
    feed(dirty, Drive([*record.wheel[: half + 1], bad, *record.wheel[half + 1 :]], [*record.imu[:201], bad_imu, *record.imu[201:]]))
    assert dirty.count(Rejection.NOT_FINITE) == 2
    assert dirty.state.odom_from_base == clean.state.odom_from_base
    assert np.array_equal(dirty.state.covariance, clean.state.covariance)


def test_an_implausible_speed_is_refused() -> None:
    odometry = WheelImuOdometry()
    odometry.add_wheel(WheelTwist(START_NS, 0.0, 0.0))
    assert odometry.add_wheel(WheelTwist(START_NS + 20_000_000, 400.0, 0.0)) is Rejection.IMPLAUSIBLE
    assert odometry.state.odom_from_base == Pose2()


def test_duplicates_and_late_readings_change_nothing() -> None:
    record = drive(2.0, lambda t: 0.5, lambda t: 0.1)
    clean, doubled = WheelImuOdometry(), WheelImuOdometry()
    feed(clean, record)
    for i, twist in enumerate(record.wheel):
        for sample in record.imu[4 * i - 3 if i else 0 : 4 * i + 1]:
            doubled.add_imu(sample)
            assert doubled.add_imu(sample) is Rejection.DUPLICATE
        doubled.add_wheel(twist)
        assert doubled.add_wheel(twist) is Rejection.DUPLICATE
        if i:
            assert doubled.add_wheel(record.wheel[i - 1]) is Rejection.OUT_OF_ORDER
    assert doubled.state.odom_from_base == clean.state.odom_from_base


@pytest.mark.parametrize("first", ["imu", "wheel"])
def test_a_clock_that_jumps_back_keeps_the_pose_and_goes_on(first: str) -> None:
    record = drive(4.0, lambda t: 0.5, lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, record)
    before = odometry.state.odom_from_base
    again = [WheelTwist(w.stamp_ns - START_NS, w.linear_mps, w.angular_radps) for w in record.wheel]
    samples = [imu(s.stamp_ns - START_NS, 0.0) for s in record.imu]
    # The recordings overlap, so the jump is only seen where it exceeds the reorder limit: start again from the very beginning.
    if first == "imu":
        assert odometry.add_imu(samples[0]) is Rejection.CLOCK_JUMP_BACK
        assert odometry.add_wheel(again[0]) is None
    else:
        assert odometry.add_wheel(again[0]) is Rejection.CLOCK_JUMP_BACK
        assert odometry.add_imu(samples[0]) is None
    assert odometry.state.odom_from_base == before
    assert odometry.state.stamp_ns == again[0].stamp_ns
    feed(odometry, Drive(again[1:], samples[1:]))
    assert odometry.state.odom_from_base.x == pytest.approx(4.0, abs=1e-9)
    assert odometry.count(Rejection.CLOCK_JUMP_BACK) == 1


def test_a_long_silence_is_not_driven_through_but_admitted() -> None:
    odometry = WheelImuOdometry()
    odometry.add_wheel(WheelTwist(START_NS, 0.5, 0.0))
    odometry.add_wheel(WheelTwist(START_NS + nanoseconds(0.02), 0.5, 0.0))
    before = odometry.state
    assert odometry.add_wheel(WheelTwist(START_NS + nanoseconds(5.0), 0.5, 0.0)) is Rejection.GAP
    assert odometry.state.odom_from_base == before.odom_from_base
    assert math.sqrt(odometry.state.covariance[0, 0]) > 2.0
    assert odometry.count(Rejection.GAP) == 1


def test_a_lost_imu_is_replaced_by_the_wheels_and_comes_back() -> None:
    record = drive(9.0, lambda t: 0.4, lambda t: 0.3)
    odometry = WheelImuOdometry()
    lost = Drive(record.wheel, [s for s in record.imu if not 3.0 < (s.stamp_ns - START_NS) * 1e-9 < 6.0])
    middle = START_NS + nanoseconds(5.0)
    feed(odometry, Drive([w for w in lost.wheel if w.stamp_ns <= middle], [s for s in lost.imu if s.stamp_ns <= middle]))
    assert odometry.state.yaw_source is YawSource.WHEEL
    feed(odometry, Drive([w for w in lost.wheel if w.stamp_ns > middle], [s for s in lost.imu if s.stamp_ns > middle]))
    assert odometry.state.yaw_source is YawSource.GYRO
    truth = Pose2.exp(0.4 * 9.0, 0.0, 0.3 * 9.0)
    assert odometry.state.odom_from_base.distance_to(truth) < 1e-3


def test_the_prediction_runs_ahead_of_slow_wheels() -> None:
    odometry = WheelImuOdometry()
    for i in range(5):
        odometry.add_wheel(WheelTwist(START_NS + i * 100_000_000, 0.5, 0.2))
        for k in range(20):
            odometry.add_imu(imu(START_NS + i * 100_000_000 + k * 5_000_000 + 1, 0.2))
    committed, ahead = odometry.state, odometry.predicted()
    assert ahead.stamp_ns - committed.stamp_ns == 95_000_001
    step = committed.odom_from_base.inverse() @ ahead.odom_from_base
    assert step.distance_to(Pose2.exp(0.5 * 0.095, 0.0, 0.2 * 0.095)) < 1e-6
    assert odometry.state.odom_from_base == committed.odom_from_base


def test_without_wheels_the_prediction_stays_and_grows_uncertain() -> None:
    record = drive(2.0, lambda t: 0.5, lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, record)
    at_loss = odometry.state
    for k in range(1, 190):
        odometry.add_imu(imu(record.imu[-1].stamp_ns + k * 5_000_000, 0.0))
    lost = odometry.predicted()
    assert lost.linear_mps == 0.0
    assert lost.odom_from_base.x <= at_loss.odom_from_base.x + 0.5 * 0.2 + 1e-9
    assert math.sqrt(lost.covariance[0, 0]) > 0.3


def test_observations_give_the_same_as_single_readings() -> None:
    record = drive(2.0, lambda t: 0.5, lambda t: 0.3)
    one, other = WheelImuOdometry(), WheelImuOdometry()
    feed(one, record)
    other.observe(Observation(record.wheel[-1].stamp_ns, (), tuple(record.imu), tuple(record.wheel)))
    assert one.state.odom_from_base == other.state.odom_from_base


def test_a_drive_without_wheels_is_bad_input() -> None:
    with pytest.raises(BadInputError, match="no usable wheel odometry"):
        integrate([], [imu(0, 0.0)])


def test_a_negative_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="gyro_noise"):
        OdometryConfig(gyro_noise=-1.0)


# --- slip, stuck wheels and the accelerometer -------------------------------------------------------------------------------------------


def with_accelerometer(record: Drive, speed: Callable[[float], float], bias: float = 0.1, std: float = 0.05, seed: int = 1) -> Drive:
    """The drive with the forward acceleration that belongs to a true speed over time."""
    rng = np.random.default_rng(seed)
    samples = []
    for s in record.imu:
        t = (s.stamp_ns - START_NS) * 1e-9
        accel = (speed(t + 0.0025) - speed(t - 0.0025)) / 0.005 + bias + std * rng.standard_normal()
        samples.append(ImuSample(s.stamp_ns, s.angular_velocity, np.array([accel, 0.0, 9.81])))
    return Drive(record.wheel, samples)


def ramp(t: float) -> float:
    """Two seconds of rest, then up to 0.5 m/s."""
    return min(max(0.5 * (t - 2.0), 0.0), 0.5)


def test_the_accelerometer_carries_the_speed_over_a_slip_of_both_wheels() -> None:
    """Both wheels spin alike: the gyro cannot tell, but no body gains 0.2 m/s in a hundredth of a second."""
    honest = drive(12.0, ramp, lambda t: 0.0)
    spun = drive(12.0, lambda t: ramp(t) + (0.2 if 6.0 < t < 6.8 else 0.0), lambda t: 0.0)
    reference, odometry = WheelImuOdometry(), WheelImuOdometry()
    feed(reference, with_accelerometer(honest, ramp))
    spun = with_accelerometer(spun, ramp)
    middle = START_NS + nanoseconds(6.5)
    feed(odometry, Drive([w for w in spun.wheel if w.stamp_ns <= middle], [s for s in spun.imu if s.stamp_ns <= middle]))
    assert Trouble.SLIP_SPEED in odometry.state.troubles
    feed(odometry, Drive([w for w in spun.wheel if w.stamp_ns > middle], [s for s in spun.imu if s.stamp_ns > middle]))
    assert odometry.state.troubles == ()
    assert odometry.state.odom_from_base.x == pytest.approx(reference.state.odom_from_base.x, abs=0.02)  # 0.16 m by the wheels
    assert odometry.state.covariance[0, 0] > reference.state.covariance[0, 0]


def test_wheels_that_stick_are_noticed_and_never_taken_for_standstill() -> None:
    """The encoders freeze at nought while the robot drives on; nobody can know how far, but the covariance must."""
    record = drive(10.5, lambda t: ramp(t) if t < 6.0 else 0.0, lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, with_accelerometer(record, ramp))
    state = odometry.state
    assert Trouble.DISTRUST in state.troubles
    assert not state.stationary
    assert state.odom_from_base.is_finite()
    missed_m = 0.5 * (10.5 - 3.0) + 0.25 - state.odom_from_base.x
    assert missed_m > 1.0
    assert missed_m < 3.0 * math.sqrt(state.covariance[0, 0])


@pytest.mark.parametrize("seen_mps, believed", [(None, False), (0.5, True), (0.46, True), (0.2, False)])
def test_wheels_that_stuck_are_believed_again_once_somebody_sees_their_speed(seen_mps: float | None, believed: bool) -> None:
    """Stuck from 6 to 8.5 s, right thereafter at an even speed, of which the accelerometer knows nothing; vision errs by some percent."""
    record = with_accelerometer(drive(14.0, lambda t: ramp(t) if not 6.0 < t < 8.5 else 0.0, lambda t: 0.0), ramp)
    odometry, fed = WheelImuOdometry(), -1
    for tenth in range(141):
        now = START_NS + nanoseconds(0.1 * tenth)
        feed(odometry, Drive([w for w in record.wheel if fed < w.stamp_ns <= now], [s for s in record.imu if fed < s.stamp_ns <= now]))
        if seen_mps is not None and tenth > 100:
            odometry.add_delta(DeltaPose(fed, now, Pose2(0.1 * seen_mps, 0.0, 0.0), np.diag([1e-4, 1e-4, 1e-5])))
        fed = now
    assert (Trouble.DISTRUST not in odometry.state.troubles) == believed


def test_a_ramp_is_no_slip() -> None:
    """Gravity along a slope of 5° looks like an acceleration that the wheels know nothing of; the wheelbase is on it within 0.4 s."""
    record = with_accelerometer(drive(12.0, ramp, lambda t: 0.0), ramp)
    sloping = [s.linear_acceleration + [0.85 * min(max((s.stamp_ns - START_NS) * 1e-9 - 6.0, 0.0) / 0.4, 1.0), 0.0, 0.0] for s in record.imu]
    record.imu = [ImuSample(s.stamp_ns, s.angular_velocity, a) for s, a in zip(record.imu, sloping)]
    odometry = WheelImuOdometry()
    for i, twist in enumerate(record.wheel):
        feed(odometry, Drive([twist], record.imu[4 * i - 3 if i else 0 : 4 * i + 1]))
        assert odometry.state.troubles == ()
    assert odometry.state.odom_from_base.x == pytest.approx(0.25 + 0.5 * 9.0, abs=1e-3)


def test_trust_returns_when_wheels_and_accelerometer_change_together() -> None:
    def true_speed(t: float) -> float:
        return ramp(t) if t < 12.0 else max(0.5 - 0.5 * (t - 12.0), 0.0)

    record = drive(16.0, lambda t: 0.0 if 6.0 < t < 9.0 else true_speed(t), lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, with_accelerometer(record, true_speed))
    assert odometry.state.troubles == ()
    assert odometry.state.stationary


# --- Δposes -----------------------------------------------------------------------------------------------------------------------------

TRUE_DELTAS = OdometryConfig(delta_stretch_sigma=1e-3, delta_bend_sigma=1e-4)  # they never err alike
TIGHT = np.diag([0.002**2, 0.002**2, 0.001**2])


def delta(start_s: float, end_s: float, motion: Pose2, covariance: FloatArray = TIGHT) -> DeltaPose:
    return DeltaPose(START_NS + nanoseconds(start_s), START_NS + nanoseconds(end_s), motion, covariance)


def feed_with_deltas(odometry: WheelImuOdometry, record: Drive, deltas: list[DeltaPose], delay_s: float) -> list[DeltaOutcome]:
    """Readings in time order; every Δpose comes `delay_s` after its end."""
    entries: list[tuple[int, int, object]] = [(s.stamp_ns, 0, s) for s in record.imu] + [(w.stamp_ns, 1, w) for w in record.wheel]
    entries += [(d.to_ns + nanoseconds(delay_s), 2, d) for d in deltas]
    outcomes = []
    for _, _, entry in sorted(entries, key=lambda e: e[:2]):
        if isinstance(entry, ImuSample):
            odometry.add_imu(entry)
        elif isinstance(entry, WheelTwist):
            odometry.add_wheel(entry)
        elif isinstance(entry, DeltaPose):
            outcomes.append(odometry.add_delta(entry))
    return outcomes


@pytest.mark.parametrize("delay_s", [0.0, 0.15])
def test_late_deltas_teach_the_wheels_scale_and_shrink_the_error(delay_s: float) -> None:
    """Wheels 2 % too large; frames 0.1 s apart and off the wheels' stamps."""
    record = drive(20.0, lambda t: 0.51, lambda t: 0.3)
    deltas = [delta(0.107 + 0.1 * i, 0.207 + 0.1 * i, Pose2.exp(0.05, 0.0, 0.03)) for i in range(195)]
    odometry = WheelImuOdometry(TRUE_DELTAS)
    feed_with_deltas(odometry, record, deltas, delay_s)
    assert odometry.count_delta(DeltaOutcome.FUSED) == len(deltas)
    assert odometry.wheel_scale == pytest.approx(-0.0196, abs=0.002)
    truth = Pose2.exp(0.5 * 20.0, 0.0, 0.3 * 20.0)
    alone = integrate(record.wheel, record.imu).at(record.wheel[-1].stamp_ns)
    assert odometry.state.odom_from_base.distance_to(truth) < 0.5 * alone.distance_to(truth)


def test_deltas_that_err_alike_do_not_teach_the_wheels_scale() -> None:
    """Vision takes all for 5 % farther off than it is; the wheels are right."""
    record = drive(20.0, lambda t: 0.5, lambda t: 0.3)
    deltas = [delta(0.1 + 0.2 * i, 0.3 + 0.2 * i, Pose2.exp(0.105, 0.0, 0.06)) for i in range(98)]
    found = []
    for stretch in (0.04, 1e-3):
        odometry = WheelImuOdometry(replace(OdometryConfig(), delta_stretch_sigma=stretch))
        feed_with_deltas(odometry, record, deltas, 0.05)
        found.append(abs(odometry.wheel_scale))
        assert np.linalg.eigvalsh(odometry.state.covariance)[0] > 0
    assert found[0] < 0.01 < found[1]


def test_creep_that_is_known_beforehand_is_the_scale_to_begin_with() -> None:
    record = drive(10.0, lambda t: 0.505, lambda t: 0.0)
    odometry = WheelImuOdometry(replace(OdometryConfig(), wheel_creep=0.01))
    feed(odometry, record)
    assert odometry.state.odom_from_base.x == pytest.approx(5.0, abs=0.01)


def test_a_delta_that_came_late_does_what_one_in_time_would_have_done() -> None:
    record = drive(4.0, lambda t: 0.51, lambda t: 0.3)
    deltas = [delta(0.1 + 0.2 * i, 0.3 + 0.2 * i, Pose2.exp(0.1, 0.0, 0.06)) for i in range(15)]
    ends = []
    for delay_s in (0.0, 0.3):
        odometry = WheelImuOdometry()
        feed_with_deltas(odometry, record, deltas, delay_s)
        ends.append(odometry.state)
    assert np.allclose(ends[0].covariance, ends[1].covariance, rtol=1e-6)
    # The corrections have not yet come through entirely in both.
    assert ends[0].odom_from_base.distance_to(ends[1].odom_from_base) < 1e-3


def test_a_delta_ahead_of_the_wheels_waits() -> None:
    record = drive(1.0, lambda t: 0.5, lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, Drive(record.wheel[:40], record.imu[:160]))
    assert odometry.add_delta(delta(0.7, 0.9, Pose2(0.1))) is DeltaOutcome.WAITING
    feed(odometry, Drive(record.wheel[40:], record.imu[160:]))
    assert odometry.count_delta(DeltaOutcome.FUSED) == 1


def test_the_told_pose_is_continuous_while_deltas_correct_it() -> None:
    record = drive(10.0, lambda t: 0.55, lambda t: 0.0)
    deltas = [delta(0.1 + 0.5 * i, 0.6 + 0.5 * i, Pose2(0.25)) for i in range(18)]
    odometry, steps, last = WheelImuOdometry(TRUE_DELTAS), [], Pose2()
    due = sorted(deltas, key=lambda d: d.to_ns)
    for i, twist in enumerate(record.wheel):
        feed(odometry, Drive([twist], record.imu[4 * i - 3 if i else 0 : 4 * i + 1]))
        while due and due[0].to_ns + nanoseconds(0.1) <= twist.stamp_ns:
            odometry.add_delta(due.pop(0))
        pose = odometry.state.odom_from_base
        steps.append(last.distance_to(pose))
        last = pose
    assert max(steps) < 0.02 * 0.55 * 1.5
    assert odometry.state.odom_from_base.x == pytest.approx(0.5 * 10.0, abs=0.15)


def test_one_wild_delta_is_refused_and_many_mean_that_the_wheels_are_wrong() -> None:
    """The robot is held by its wheels, which spin on the spot: vision sees it stand."""
    record = drive(8.0, lambda t: 0.5, lambda t: 0.0)
    good = [delta(0.2 * i, 0.2 * i + 0.2, Pose2(0.1)) for i in range(20)]
    good[10] = delta(2.0, 2.2, Pose2(1.0, 0.5, 0.4))
    odometry = WheelImuOdometry()
    outcomes = feed_with_deltas(odometry, record, good, 0.05)
    assert outcomes[10] is DeltaOutcome.OUTLIER
    assert outcomes.count(DeltaOutcome.FUSED) == 19
    held = [delta(4.0 + 0.2 * i, 4.2 + 0.2 * i, Pose2()) for i in range(15)]
    outcomes = feed_with_deltas(odometry, Drive([], []), held, 0.0)
    assert DeltaOutcome.REVOLT in outcomes
    assert outcomes.count(DeltaOutcome.OUTLIER) < 5
    assert Trouble.VISION in odometry.state.troubles or outcomes[-1] is DeltaOutcome.FUSED


def test_bad_deltas_are_refused_with_their_reason() -> None:
    record = drive(4.0, lambda t: 0.5, lambda t: 0.0)
    odometry = WheelImuOdometry()
    feed(odometry, record)
    before = odometry.state
    assert odometry.add_delta(delta(3.0, 3.1, Pose2(math.nan))) is DeltaOutcome.NOT_FINITE
    assert odometry.add_delta(delta(3.0, 3.1, Pose2(0.05), -TIGHT)) is DeltaOutcome.NOT_FINITE
    assert odometry.add_delta(delta(3.1, 3.0, Pose2(0.05))) is DeltaOutcome.NOT_FINITE
    assert odometry.add_delta(delta(0.1, 0.2, Pose2(0.05))) is DeltaOutcome.TOO_OLD
    assert odometry.state.odom_from_base == before.odom_from_base
    assert odometry.add_delta(delta(3.0, 3.2, Pose2(0.1))) is DeltaOutcome.FUSED
    assert odometry.add_delta(delta(3.1, 3.3, Pose2(0.1))) is DeltaOutcome.OVERLAP


def test_visual_odometry_becomes_deltas() -> None:
    reader, pose = DeltaReader(), Pose2(1.0, 2.0, 0.5)
    covariance, begins = np.zeros((6, 6)), np.zeros((6, 6))
    covariance[np.ix_((0, 1, 5), (0, 1, 5))], begins[0, 0] = TIGHT, -1.0
    assert reader.push(100, pose, begins.ravel()) is None
    told = reader.push(200, pose @ Pose2(0.1, 0.0, 0.02), covariance.ravel())
    assert told is not None and (told.from_ns, told.to_ns) == (100, 200)
    assert (told.motion.x, told.motion.y, told.motion.yaw) == pytest.approx((0.1, 0.0, 0.02))
    assert np.all(np.diag(told.covariance) > np.diag(TIGHT))  # successive ones err alike
    assert reader.push(200, pose, covariance.ravel()) is None  # the same stamp
    assert reader.push(300, pose, begins.ravel()) is None  # it begins anew
    assert reader.push(400, pose, covariance.ravel()) is not None


def test_a_new_frame_keeps_what_is_known_of_the_sensors() -> None:
    record = drive(20.0, lambda t: 0.5 if t > 4 else 0.0, lambda t: 0.2 if t > 4 else 0.0, bias=0.02)
    odometry = WheelImuOdometry()
    feed(odometry, record)
    bias = odometry.state.gyro_bias
    odometry.start_frame(Pose2())
    assert odometry.state.odom_from_base == Pose2()
    assert odometry.state.gyro_bias == bias
    assert np.trace(odometry.state.covariance) < 1e-6


def test_the_exported_filter_has_the_frames_rates_and_sizes_that_robot_localization_wants() -> None:
    document = yaml.safe_load((share_dir() / "config" / "robot_localization" / "ekf.yaml").read_text())
    parameters = document["ekf_filter_node"]["ros__parameters"]
    assert [parameters[f"{name}_frame"] for name in ("map", "odom", "base_link", "world")] == ["map", "odom", "base_link", "odom"]
    assert parameters["two_d_mode"] is True
    assert parameters["frequency"] >= 50.0
    assert len(parameters["odom0_config"]) == len(parameters["imu0_config"]) == 15
    noise = np.array(parameters["process_noise_covariance"]).reshape(15, 15)
    assert np.all(np.diag(noise) > 0.0)
    assert noise[5, 5] == pytest.approx(OdometryConfig().gyro_noise ** 2)
