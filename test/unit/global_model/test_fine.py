"""The rig's pose from synthetic correspondences whose pose is known."""

import math
import time

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.global_model.fine import Correspondences, FineConfig, pose_covariance, reprojection_errors, solve_rig_pose, unique_keypoints
from astra.global_model.types import QueryView

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)


def rig(count=4, model=MODEL):
    image = np.zeros((model.height, model.width, 3), np.uint8)
    views = []
    for k in range(count):
        base_from_mount = Pose3.from_rpy(0, 0, k * math.pi / 2, np.array([0.08 * math.cos(k * math.pi / 2), 0.08 * math.sin(k * math.pi / 2), 0.9]))
        views.append(QueryView(f"c{k}", image, model, base_from_mount @ BODY_FROM_OPTICAL))
    return tuple(views)


def observe(views, truth, rng, per_view=60, noise_px=0.5, outliers=0.3):
    parts = []
    for row, view in enumerate(views):
        cam = np.column_stack([rng.uniform(-3, 3, 4000), rng.uniform(-2, 2, 4000), rng.uniform(0.8, 6, 4000)])
        pixels, seen = view.model.project(cam)
        chosen = np.flatnonzero(seen)[:per_view]
        points = (truth @ view.base_from_cam).apply(cam[chosen])
        measured = pixels[chosen] + rng.normal(0, noise_px, (len(chosen), 2))
        wrong = rng.random(len(chosen)) < outliers
        measured[wrong] = rng.uniform([0, 0], [view.model.width, view.model.height], (int(wrong.sum()), 2))
        rows = np.arange(len(chosen))
        parts.append(Correspondences(np.full(len(chosen), row), rows, measured, points, rows + 1000 * row))
    return Correspondences.stack(parts)


TRUTH = Pose3.from_pose2(Pose2(3.2, -1.7, 2.1))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("distortion", [("plumb_bob", ()), ("equidistant", (0.02, -0.003, 0.0, 0.0))])
def test_pose_is_found_among_outliers(count, distortion):
    rng = np.random.default_rng(count)
    model = CameraModel(224, 160, 112.0, 112.0, 111.5, 79.5, *distortion)
    views = rig(count, model)
    matches = observe(views, TRUTH, rng)
    started = time.process_time()
    pose = solve_rig_pose(views, matches, FineConfig())
    assert time.process_time() - started < 2.0
    assert pose is not None
    assert np.linalg.norm(pose.map_from_base.translation - TRUTH.translation) < 0.06
    assert math.degrees(pose.map_from_base.angle_to(TRUTH)) < 0.6
    assert 0.6 * len(matches) < pose.inliers.sum() < 0.8 * len(matches)


def test_noise_alone_gives_no_pose():
    rng = np.random.default_rng(1)
    views = rig(4)
    matches = observe(views, TRUTH, rng, outliers=1.0)
    pose = solve_rig_pose(views, matches, FineConfig())
    assert pose is None or pose.inliers.sum() < 0.15 * len(matches)


def test_exact_correspondences_have_no_error():
    views = rig(4)
    matches = observe(views, TRUTH, np.random.default_rng(2), noise_px=0.0, outliers=0.0)
    assert reprojection_errors(views, matches, TRUTH).max() < 1e-6
    pose = solve_rig_pose(views, matches, FineConfig())
    assert np.linalg.norm(pose.map_from_base.translation - TRUTH.translation) < 1e-4


def test_covariance_describes_the_scatter_of_estimates():
    """Over many noisy solutions the normalised squared error has the mean of chi² with six degrees of freedom."""
    views = rig(2)
    config = FineConfig(covariance_scale=1.0, sigma_floor_px=0.1, map_sigma_m=0.0, map_sigma_rad=0.0)
    squared = []
    for seed in range(60):
        matches = observe(views, TRUTH, np.random.default_rng(seed), per_view=40, noise_px=0.6, outliers=0.0)
        pose = solve_rig_pose(views, matches, config)
        rotation = pose.map_from_base.rotation @ TRUTH.rotation.T
        r = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]) / 2
        error = np.concatenate([pose.map_from_base.translation - TRUTH.translation, r])
        squared.append(error @ np.linalg.solve(pose.covariance, error))
    assert 4.0 < np.mean(squared) < 9.5


def test_covariance_is_refused_where_the_pose_is_not_determined():
    views = rig(1)
    one_point = np.repeat([[2.0, 0.1, 1.0]], 10, axis=0)
    points = TRUTH.apply(one_point)
    pixels = np.repeat(MODEL.project((views[0].base_from_cam.inverse()).apply(one_point[:1]))[0], 10, axis=0)
    rows = np.arange(10)
    covariance, _ = pose_covariance(views, Correspondences(np.zeros(10, int), rows, pixels, points, rows), TRUTH, FineConfig())
    assert covariance is None


def test_stack_keeps_each_pair_once():
    part = Correspondences(np.zeros(3, int), np.array([0, 0, 1]), np.zeros((3, 2)), np.zeros((3, 3)), np.array([5, 6, 5]))
    both = Correspondences.stack([part, part])
    assert len(both) == 3 and unique_keypoints(both) == 2
    assert len(Correspondences.stack([])) == 0
