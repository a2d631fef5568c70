"""Metres, gravity and the map frame are recovered from trajectories whose truth is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera, Trajectory
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.metric import at_tour_start, estimate_scale, inconsistencies, place_by_odometry, to_metric
from astra.mapping.scale import ScaleConfig
from astra.mapping.sfm import SfmFragment

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)
BASE_FROM_CAM = Pose3.from_rpy(0, 0, 0, (0.08, 0.0, 0.9)) @ BODY_FROM_OPTICAL
RIGS = [CameraRig((RigCamera("front", MODEL, BASE_FROM_CAM),))]


def path(count=60, step=0.4):
    """A drive with curves: world_from_base."""
    poses, pose = [], Pose2()
    for k in range(count):
        poses.append(pose)
        pose = pose @ Pose2.exp(step, 0.0, 0.25 * math.sin(k / 5.0))
    return poses


def keyframes_of(odometry, first=0):
    return [Keyframe(first + k, 0, (first + k) * 10**9, pose, (KeyView(first + k, "front", f"{k}.jpg"),)) for k, pose in enumerate(odometry)]


def fragment_of(truth, units_per_m, sfm_from_world, unit_m=math.nan, first=0, noise_m=0.0):
    """What SfM would return for cameras on the true path: any frame, any unit."""
    rng = np.random.default_rng(1)
    poses = {}
    for k, pose in enumerate(truth):
        cam = Pose3.from_pose2(pose) @ BASE_FROM_CAM
        cam = sfm_from_world @ Pose3(cam.rotation, cam.translation + noise_m * rng.normal(size=3))
        poses[first + k] = Pose3(cam.rotation, cam.translation * units_per_m)
    points = (sfm_from_world.apply(np.array([[1.0, 2.0, 0.5], [3.0, -1.0, 1.0]]))) * units_per_m
    observations = {view_id: np.array([0, 1, -1]) for view_id in poses}
    return SfmFragment(dict(poses), dict(poses), points, np.full(2, 0.3), observations, {(0, "front"): MODEL}, unit_m, Path())


PAIR = [CameraRig((*RIGS[0].cameras, RigCamera("left", MODEL, Pose3.from_rpy(0, 0, 1.5, (0.0, 0.3, 0.9)) @ BODY_FROM_OPTICAL)))]
SFM_FROM_WORLD = Pose3.from_rpy(0.4, -0.7, 2.0, (3.0, -1.0, 5.0))
UP = SFM_FROM_WORLD.rotation[:, 2]


def test_a_known_similarity_is_undone():
    truth = path()
    metric = to_metric(fragment_of(truth, 0.37, SFM_FROM_WORLD), keyframes_of(truth), RIGS, mounted=True)
    assert metric.scale.source == "odometry"
    assert metric.scale.metres_per_unit == pytest.approx(1 / 0.37, rel=1e-6)
    for k, pose in enumerate(truth):
        found = metric.map_from_base[k]
        np.testing.assert_allclose(found.translation, [pose.x, pose.y, 0.0], atol=1e-6)
        assert found.angle_to(Pose3.from_pose2(pose)) < 1e-6
    np.testing.assert_allclose(metric.points_map, [[1.0, 2.0, 0.5], [3.0, -1.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(metric.map_from_cam[0].matrix(), (Pose3.from_pose2(truth[0]) @ BASE_FROM_CAM).matrix(), atol=1e-6)


@pytest.mark.parametrize(("share", "slip_m"), [(0.0, 0.0), (0.08, 0.3), (0.12, 0.2), (0.05, -0.35)])
@pytest.mark.parametrize("seed", range(3))
def test_scale_survives_drifting_odometry_and_wheels_that_slip_or_are_lifted(share, slip_m, seed):
    rng = np.random.default_rng(seed)
    truth = path(150)
    odometry, pose = [], Pose2()
    for a, b in zip(truth, truth[1:] + truth[-1:]):
        odometry.append(pose)
        step = a.inverse() @ b
        slip = slip_m if rng.random() < share else 0.0
        pose = pose @ Pose2(step.x + slip + 0.01 * rng.normal(), step.y, step.yaw + 0.004 + 0.01 * rng.normal())
    assert pose.distance_to(truth[-1]) > 1.0  # the whole path would mislead a global fit
    estimate = estimate_scale(fragment_of(truth, 2.0, SFM_FROM_WORLD, noise_m=0.005), keyframes_of(odometry), RIGS, UP)
    assert estimate.metres_per_unit == pytest.approx(0.5, rel=0.006)
    assert 0.005 < estimate.sigma < 0.015


def test_without_odometry_the_rig_gives_the_scale_and_without_both_it_is_unknown():
    truth = path(20)
    silent = [Keyframe(k.id, 0, k.stamp_ns, None, k.views) for k in keyframes_of(truth)]
    by_rig = to_metric(fragment_of(truth, 0.5, SFM_FROM_WORLD, unit_m=2.0), silent, PAIR, mounted=True)
    assert by_rig.scale.source == "rig" and by_rig.scale.metres_per_unit == pytest.approx(2.0)
    assert 0.01 < by_rig.scale.sigma < 0.05
    unknown = to_metric(fragment_of(truth, 0.5, SFM_FROM_WORLD), silent, RIGS, mounted=False)
    assert unknown.scale.source == "unknown"
    assert any("unknown" in text for text in inconsistencies(unknown, silent, RIGS, mounted=False))


def test_a_hand_held_camera_is_levelled_by_its_horizon():
    rng = np.random.default_rng(2)
    truth = path(40)
    fragment = fragment_of(truth, 1.0, SFM_FROM_WORLD)
    tilted = {k: p @ Pose3.from_rpy(*(0.02 * rng.normal(size=1)), 0.0, 0.0) @ Pose3.from_rpy(0.3, 0, 0) for k, p in fragment.sfm_from_ref.items()}
    looking_down = SfmFragment(tilted, tilted, fragment.points, fragment.point_errors, fragment.observations, fragment.models, math.nan, Path())
    silent = [Keyframe(k.id, 0, k.stamp_ns, None, k.views) for k in keyframes_of(truth)]
    metric = to_metric(looking_down, silent, [CameraRig((RigCamera("front", MODEL, BODY_FROM_OPTICAL),))], mounted=False)
    heights = np.array([p.translation[2] for p in metric.map_from_cam.values()])
    assert np.ptp(heights) < 0.02 * np.ptp([p.translation[0] for p in metric.map_from_cam.values()])


def test_a_consistent_map_has_no_warnings_and_a_folded_one_has():
    truth = path(60)
    frames = keyframes_of(truth)
    sound = to_metric(fragment_of(truth, 0.37, SFM_FROM_WORLD, noise_m=0.003), frames, RIGS, mounted=True)
    assert inconsistencies(sound, frames, RIGS, mounted=True) == []
    folded = [*truth[:30], *(Pose2(p.x - 3.0, p.y + 1.0, p.yaw + 0.5) for p in truth[30:])]  # a false loop moved the second half
    wrong = to_metric(fragment_of(folded, 0.37, SFM_FROM_WORLD), frames, RIGS, mounted=True)
    text = " ".join(inconsistencies(wrong, frames, RIGS, mounted=True))
    assert "distance" in text and "heading" in text


def test_a_bent_floor_is_told():
    truth = path(60)
    frames = keyframes_of(truth)
    fragment = fragment_of(truth, 1.0, Pose3())
    bent = {k: Pose3(p.rotation, p.translation + np.array([0, 0, 0.02 * p.translation[0] ** 2])) for k, p in fragment.sfm_from_ref.items()}
    fragment = SfmFragment(bent, bent, fragment.points, fragment.point_errors, fragment.observations, fragment.models, math.nan, Path())
    assert any("floor plane" in text for text in inconsistencies(to_metric(fragment, frames, RIGS, True), frames, RIGS, True))


def test_the_origin_is_the_tours_start_even_if_its_first_keyframes_are_missing():
    truth = path(60)
    frames = keyframes_of(truth)
    late = fragment_of(truth[7:], 0.5, SFM_FROM_WORLD, first=7)
    odometry = Trajectory(np.array([k.stamp_ns for k in frames]), np.array([(p.x, p.y, p.yaw) for p in truth]))
    metric = at_tour_start(to_metric(late, frames, RIGS, True), frames, odometry)
    np.testing.assert_allclose(metric.map_from_base[20].translation[:2], [truth[20].x, truth[20].y], atol=1e-6)


def test_a_second_fragment_is_put_where_odometry_says():
    truth = path(60)
    frames = keyframes_of(truth)
    first = to_metric(fragment_of(truth[:30], 0.5, SFM_FROM_WORLD), frames, RIGS, True)
    second = to_metric(fragment_of(truth[33:], 3.0, Pose3.from_rpy(1, 2, 3), first=33), frames, RIGS, True)
    placed = place_by_odometry(second, first, frames)
    for k in (33, 59):
        np.testing.assert_allclose(placed.map_from_base[k].translation, [truth[k].x, truth[k].y, 0.0], atol=1e-5)
    np.testing.assert_allclose(placed.points_map, [[1.0, 2.0, 0.5], [3.0, -1.0, 1.0]], atol=1e-5)


def test_bad_bounds_are_named():
    from astra.core.errors import ConfigError

    with pytest.raises(ConfigError, match="window_m"):
        ScaleConfig(window_m=0.0)
