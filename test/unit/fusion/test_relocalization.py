"""map→odom: drift is corrected, outliers are not believed, a carried robot is found again, and nothing is claimed without confirmation."""

import math

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.fusion.relocalization import (
    Estimate,
    FixOutcome,
    MapOdomEstimator,
    OdometryPoint,
    OdometryTrack,
    PoseFix,
    RelocalizationConfig,
    TrackState,
)
from astra.geometry import Pose2, wrap_angle

MAP_FROM_ODOM = Pose2(3.0, -2.0, 1.1)
SMALL = np.diag([0.02**2, 0.02**2, 0.005**2])


def point(t, pose, driven=0.0, turned=0.0):
    return OdometryPoint(round(t * 1e9), pose, driven, turned)


def fix_at(odometry, map_from_odom=MAP_FROM_ODOM, confidence=0.99, covariance=SMALL, noise=(0.0, 0.0, 0.0)):
    pose = map_from_odom @ odometry.odom_from_base
    return PoseFix(odometry, Pose2(pose.x + noise[0], pose.y + noise[1], wrap_angle(pose.yaw + noise[2])), covariance, confidence)


def close(a, b, metres=1e-6, radians=1e-6):
    return a.distance_to(b) <= metres and abs(wrap_angle(a.yaw - b.yaw)) <= radians


def started():
    estimator = MapOdomEstimator()
    assert estimator.add_fix(fix_at(point(0.0, Pose2(0.5, 0.2, 0.3)))).outcome is FixOutcome.STARTED
    return estimator


def test_knows_nothing_before_the_first_fix():
    estimator = MapOdomEstimator()
    assert estimator.map_from_odom is None and estimator.state is TrackState.LOST
    assert estimator.estimate_at(point(0.0, Pose2())) is None


def test_one_sure_fix_gives_map_from_odom_exactly():
    estimator = started()
    assert estimator.state is TrackState.TRACKING
    assert close(estimator.map_from_odom, MAP_FROM_ODOM)


def test_doubtful_first_fix_waits_for_one_that_agrees_after_motion():
    estimator = MapOdomEstimator()
    assert estimator.add_fix(fix_at(point(0.0, Pose2()), confidence=0.8)).outcome is FixOutcome.PENDING
    assert estimator.map_from_odom is None
    report = estimator.add_fix(fix_at(point(1.0, Pose2(0.0, 0.0, 0.4), 0.0, 0.4), confidence=0.8))
    assert report.outcome is FixOutcome.STARTED and close(estimator.map_from_odom, MAP_FROM_ODOM)


def test_doubtful_fixes_at_standstill_need_more_agreement():
    estimator = MapOdomEstimator()
    outcomes = [estimator.add_fix(fix_at(point(float(t), Pose2()), confidence=0.8)).outcome for t in range(3)]
    assert outcomes == [FixOutcome.PENDING, FixOutcome.PENDING, FixOutcome.STARTED]


def test_contradicting_first_fixes_confirm_nothing():
    estimator = MapOdomEstimator()
    for t in range(8):
        elsewhere = Pose2(4.0 * (t % 2), 0.0, 0.0)
        odometry = point(float(t), Pose2(0.1 * t, 0.0, 0.0), 0.1 * t)
        assert estimator.add_fix(fix_at(odometry, elsewhere, confidence=0.8)).outcome is FixOutcome.PENDING
    assert estimator.map_from_odom is None


def drive(metres, drift_per_m, rng):
    """Truth and odometry along a slalom; the odometry's heading drifts."""
    truth = odom = Pose2()
    driven = turned = 0.0
    for i in range(int(metres / 0.1)):
        turn = 0.05 * math.sin(0.05 * i)
        truth = truth @ Pose2.exp(0.1, 0.0, turn)
        odom = odom @ Pose2.exp(0.1 * 1.01, 0.0, turn + 0.1 * drift_per_m + rng.normal(0.0, 0.001))
        driven, turned = driven + 0.101, turned + abs(turn)
        yield truth, point(0.2 * (i + 1), odom, driven, turned)


def test_drift_is_corrected_and_the_covariance_covers_the_error():
    rng = np.random.default_rng(1)
    estimator = MapOdomEstimator()
    start = point(0.0, Pose2())
    estimator.add_fix(fix_at(start, Pose2()))
    errors, normalised = [], []
    for i, (truth, odometry) in enumerate(drive(60.0, 0.005, rng)):
        estimator.advance(odometry)
        if i % 20 == 19:
            noise = rng.normal(0.0, [0.02, 0.02, 0.005])
            report = estimator.add_fix(PoseFix(odometry, Pose2(truth.x + noise[0], truth.y + noise[1], truth.yaw + noise[2]), SMALL, 0.9))
            assert report.outcome is FixOutcome.ACCEPTED
        estimate = estimator.estimate_at(odometry)
        error = np.array([estimate.map_from_base.x - truth.x, estimate.map_from_base.y - truth.y, wrap_angle(estimate.map_from_base.yaw - truth.yaw)])
        errors.append(np.hypot(error[0], error[1]))
        normalised.append(error @ np.linalg.solve(estimate.covariance, error))
    assert np.median(errors) < 0.05 and max(errors) < 0.15
    assert np.mean(normalised) < 6.0  # 3 for a perfect model
    assert odometry.odom_from_base.distance_to(truth) > 1.0  # the odometry alone was that wrong


def test_single_outlier_changes_nothing():
    estimator = started()
    odometry = point(1.0, Pose2(0.6, 0.2, 0.3), 0.1)
    before = estimator.map_from_odom
    report = estimator.add_fix(fix_at(odometry, noise=(1.0, 0.0, 0.0)))
    assert report.outcome is FixOutcome.OUTLIER and report.chi_squared > estimator.config.gate
    assert estimator.map_from_odom == before and estimator.outliers_in_a_row == 1
    assert estimator.add_fix(fix_at(point(2.0, Pose2(0.7, 0.2, 0.3), 0.2))).outcome is FixOutcome.ACCEPTED
    assert estimator.outliers_in_a_row == 0


def test_scattered_outliers_never_overturn_the_estimate():
    estimator, rng = started(), np.random.default_rng(2)
    for t in range(1, 30):
        noise = (*rng.uniform(2.0, 9.0, 2) * rng.choice([-1, 1], 2), rng.uniform(-3, 3))
        assert estimator.add_fix(fix_at(point(float(t), Pose2(0.5, 0.2, 0.3)), noise=noise)).outcome is FixOutcome.OUTLIER
    assert close(estimator.map_from_odom, MAP_FROM_ODOM)


def test_kidnapped_robot_is_found_again_and_the_jump_is_told():
    estimator = started()
    carried = Pose2(-6.0, 1.0, -2.0) @ MAP_FROM_ODOM
    outcomes = []
    for t in range(1, 4):
        odometry = point(float(t), Pose2(0.5 + 0.1 * t, 0.2, 0.3), 0.1 * t)
        outcomes.append(estimator.add_fix(fix_at(odometry, carried)))
    assert [r.outcome for r in outcomes] == [FixOutcome.OUTLIER, FixOutcome.OUTLIER, FixOutcome.KIDNAPPED]
    assert close(estimator.map_from_odom, carried)
    expected = (carried @ odometry.odom_from_base).distance_to(MAP_FROM_ODOM @ odometry.odom_from_base)
    assert outcomes[-1].jump_m == pytest.approx(expected, abs=1e-6) and outcomes[-1].jump_m > 1.0
    assert outcomes[-1].jump_rad == pytest.approx(2.0, abs=1e-6)


def test_long_drive_without_fixes_is_lost_and_recovers():
    estimator = started()
    far = point(100.0, Pose2(60.0, 0.2, 0.3), 60.0)
    estimator.advance(far)
    assert estimator.state is TrackState.LOST
    report = estimator.add_fix(fix_at(far, noise=(2.0, 1.0, 0.2)))
    assert report.outcome is FixOutcome.RECOVERED and estimator.state is TrackState.TRACKING


def test_guess_is_tentative_until_a_fix_agrees():
    estimator, odometry = MapOdomEstimator(), point(0.0, Pose2(0.5, 0.2, 0.3))
    guess = MAP_FROM_ODOM @ odometry.odom_from_base
    wide = np.diag([0.25, 0.25, 0.07])
    estimator.set_prior(Estimate(Pose2(guess.x + 0.4, guess.y, guess.yaw), wide), odometry)
    assert estimator.state is TrackState.TENTATIVE and estimator.map_from_odom is not None
    assert estimator.add_fix(fix_at(point(1.0, Pose2(0.5, 0.2, 0.3)), confidence=0.7)).outcome is FixOutcome.CONFIRMED
    assert estimator.state is TrackState.TRACKING and close(estimator.map_from_odom, MAP_FROM_ODOM, 0.01, 0.01)


def test_wrong_guess_gives_way_to_a_sure_fix():
    estimator, odometry = MapOdomEstimator(), point(0.0, Pose2())
    estimator.set_prior(Estimate(Pose2(20.0, 0.0, 0.0), np.diag([0.25, 0.25, 0.07])), odometry)
    assert estimator.add_fix(fix_at(point(1.0, Pose2()))).outcome is FixOutcome.STARTED
    assert close(estimator.map_from_odom, MAP_FROM_ODOM)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"noise": (math.nan, 0.0, 0.0)}, FixOutcome.NOT_FINITE),
        ({"covariance": np.full((3, 3), math.nan)}, FixOutcome.NOT_FINITE),
        ({"covariance": -SMALL}, FixOutcome.NOT_FINITE),
        ({"covariance": np.diag([4.0, 4.0, 0.1])}, FixOutcome.TOO_VAGUE),
        ({"confidence": 0.1}, FixOutcome.TOO_VAGUE),
        ({"confidence": math.nan}, FixOutcome.TOO_VAGUE),
    ],
)
def test_unusable_fixes_are_named_and_ignored(change, outcome):
    estimator = started()
    before = estimator.map_from_odom
    assert estimator.add_fix(fix_at(point(1.0, Pose2(0.5, 0.2, 0.3)), **change)).outcome is outcome
    assert estimator.map_from_odom == before


def test_late_fixes_are_refused():
    estimator = started()
    estimator.advance(point(60.0, Pose2(0.5, 0.2, 0.3)))
    assert estimator.add_fix(fix_at(point(10.0, Pose2(0.5, 0.2, 0.3)))).outcome is FixOutcome.TOO_OLD


def test_estimate_does_not_depend_on_where_odom_starts():
    """Shifting and turning the odom frame leaves map_from_base and its covariance as they were."""
    results = []
    for shift in (Pose2(), Pose2(40.0, -70.0, 2.5)):
        estimator, rng = MapOdomEstimator(), np.random.default_rng(5)
        for i, (truth, odometry) in enumerate(drive(10.0, 0.01, rng)):
            moved = OdometryPoint(odometry.stamp_ns, shift @ odometry.odom_from_base, odometry.driven_m, odometry.turned_rad)
            if i % 10 == 0:
                estimator.add_fix(PoseFix(moved, truth, SMALL, 0.99))
        results.append(estimator.estimate_at(moved))
    assert close(results[0].map_from_base, results[1].map_from_base, 1e-9, 1e-9)
    assert np.allclose(results[0].covariance, results[1].covariance, atol=1e-12)


def test_standing_still_adds_no_drift_and_driving_does():
    estimator = started()
    same = estimator.estimate_at(point(500.0, Pose2(0.5, 0.2, 0.3)))
    further = estimator.estimate_at(point(500.0, Pose2(5.5, 0.2, 0.3), 5.0))
    assert same.position_sigma_m < 0.05 < further.position_sigma_m


def test_track_interpolates_and_refuses_what_it_does_not_cover():
    track = OdometryTrack(length_s=5.0)
    for i in range(101):
        assert track.add(round(i * 1e8), Pose2(0.1 * i, 0.0, wrap_angle(0.1 * i))) is not None
    middle = track.at(round(9.75e9))
    assert middle.odom_from_base.x == pytest.approx(9.75) and middle.driven_m == pytest.approx(9.75)
    assert abs(wrap_angle(middle.odom_from_base.yaw - 9.75)) < 1e-9 and middle.turned_rad == pytest.approx(9.75)
    assert track.at(round(1e9)) is None and track.at(round(10.5e9)) is None
    assert track.at(round(10.05e9)).odom_from_base.x == pytest.approx(10.0)
    assert track.add(round(9e9), Pose2()) is None and track.add(round(11e9), Pose2(math.nan, 0.0, 0.0)) is None
    track.clear()
    assert track.newest is None and track.at(0) is None


def test_bad_values_are_named():
    with pytest.raises(ConfigError, match="gate"):
        RelocalizationConfig(gate=0.0)
