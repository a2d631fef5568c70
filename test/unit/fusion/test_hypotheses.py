"""Several places fit: the filter keeps them apart until driving tells which one is true, and admits that it does not know before."""

import math

import numpy as np
import pytest

from astra.fusion.hypotheses import HypothesesConfig, HypothesisFilter, Sighting
from astra.fusion.relocalization import OdometryPoint
from astra.geometry import Pose2

SHARP = np.diag([0.05, 0.05, 0.02]) ** 2


def sighting(pose, probability=0.45, covariance=SHARP):
    return Sighting(pose, covariance, probability)


def drive(filter_, steps, start=None, truth=None):
    """Drive `steps` metres one by one; yields the odometry and the true pose."""
    odometry, driven, true = Pose2(5.0, -3.0, 0.7), 0.0, truth
    filter_.advance(OdometryPoint(0, odometry))
    yield true
    for k, step in enumerate(steps, start=1):
        odometry, driven, true = odometry @ Pose2(step, 0.0, 0.0), driven + step, true @ Pose2(step, 0.0, 0.0)
        filter_.advance(OdometryPoint(k * 1_000_000_000, odometry, driven))
        yield true


def test_one_image_that_fits_two_aisles_names_no_winner():
    filter_ = HypothesisFilter()
    filter_.advance(OdometryPoint(0, Pose2()))
    filter_.observe([sighting(Pose2(1, 2, 0)), sighting(Pose2(1, 8, 0))])
    assert filter_.winner is None
    assert [h.weight for h in filter_.hypotheses] == pytest.approx([0.45, 0.45], abs=0.03)


def test_driving_on_tells_look_alike_aisles_apart():
    # The second aisle ends after 2 m: from there on only the true one is seen.
    filter_ = HypothesisFilter()
    winners = []
    for k, true in enumerate(drive(filter_, [1.0] * 4, truth=Pose2(1, 2, 0))):
        seen = [sighting(true)]
        if k < 2:
            seen.append(sighting(Pose2(true.x, true.y + 6, true.yaw)))
        filter_.observe(seen)
        winners.append(filter_.winner)
    assert winners[0] is None and winners[1] is None
    assert winners[-1] is not None
    assert winners[-1].estimate.map_from_base.distance_to(Pose2(5, 2, 0)) < 0.05


def test_the_same_image_again_convinces_nobody():
    filter_ = HypothesisFilter()
    for k in range(10):
        filter_.advance(OdometryPoint(k, Pose2()))
        filter_.observe([sighting(Pose2(1, 2, 0), 0.5)])
        if k < 4:
            assert filter_.winner is None


def test_an_unlikely_pose_that_motion_bears_out_wins_against_a_likely_one_that_it_does_not():
    filter_ = HypothesisFilter()
    for k, true in enumerate(drive(filter_, [0.8] * 5, truth=Pose2(3, 3, 1.0))):
        strays = Pose2(10.0 * math.sin(7.0 * k), 8.0 * math.cos(5.0 * k), k)
        filter_.observe([sighting(true, 0.2), sighting(strays, 0.6)])
    assert filter_.winner is not None
    assert filter_.winner.estimate.map_from_base.distance_to(true) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_poses_at_random_are_never_believed(seed):
    rng = np.random.default_rng(seed)
    filter_ = HypothesisFilter()
    for _ in drive(filter_, [0.6] * 12, truth=Pose2()):
        filter_.observe([sighting(Pose2(*rng.uniform([0, 0, -3], [20, 15, 3])), 0.7)])
        assert filter_.winner is None or filter_.winner.weight < 0.99


def test_looks_decide_between_poses_that_geometry_cannot_tell_apart():
    filter_ = HypothesisFilter()
    for true in drive(filter_, [0.7] * 5, truth=Pose2(1, 2, 0)):
        both = [sighting(true), sighting(Pose2(true.x, true.y + 6, true.yaw))]
        filter_.observe(both, lambda poses: np.where(poses[:, 1] < 5, 0.8, 0.6))
    assert filter_.hypotheses[0].estimate.map_from_base.y == pytest.approx(2.0, abs=0.1)
    assert filter_.hypotheses[0].weight > 0.9


def test_hypotheses_are_carried_by_odometry_and_grow_vaguer():
    filter_ = HypothesisFilter(HypothesesConfig(drift_sigma_m=0.1))
    filter_.advance(OdometryPoint(0, Pose2(0, 0, 0)))
    filter_.observe([sighting(Pose2(2, 2, math.pi / 2), 0.9)])
    before = filter_.hypotheses[0].estimate.position_sigma_m
    filter_.advance(OdometryPoint(1, Pose2(3, 0, 0), 3.0))
    estimate = filter_.hypotheses[0].estimate
    assert (estimate.map_from_base.x, estimate.map_from_base.y) == pytest.approx((2, 5))
    assert estimate.position_sigma_m > before


def test_weights_and_the_unknown_sum_to_one_and_nonsense_is_ignored():
    filter_ = HypothesisFilter()
    filter_.advance(OdometryPoint(0, Pose2()))
    filter_.observe([sighting(Pose2(math.nan, 0, 0)), Sighting(Pose2(), np.full((3, 3), np.nan), 0.5)])
    assert filter_.hypotheses == () and filter_.unknown == 1.0
    filter_.observe([sighting(Pose2(k, 0, 0), 0.3) for k in range(100)])
    assert len(filter_.hypotheses) <= filter_.config.max_hypotheses
    assert sum(h.weight for h in filter_.hypotheses) + filter_.unknown == pytest.approx(1.0)
