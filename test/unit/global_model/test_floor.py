"""The pose of a robot that stands level, from synthetic matches whose pose is known."""

import math

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.global_model.fine import Correspondences, FineConfig
from astra.global_model.floor import FloorConfig, solve_on_floor
from astra.global_model.types import QueryView

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)
TRUTH = Pose2(3.2, -1.7, 2.1)


def cameras(*yaws, pitch=0.0):
    image = np.zeros((MODEL.height, MODEL.width, 3), np.uint8)
    mounts = [Pose3.from_rpy(0.0, pitch, yaw, np.array([0.1 * math.cos(yaw), 0.1 * math.sin(yaw), 0.9])) for yaw in yaws]
    return tuple(QueryView(f"c{k}", image, MODEL, mount @ BODY_FROM_OPTICAL) for k, mount in enumerate(mounts))


def observe(views, truth, count, seed=0, noise_px=0.0, outliers=0):
    """`count` matches a view, the first `outliers` of them with pixels drawn at random."""
    rng = np.random.default_rng(seed)
    parts = []
    for row, view in enumerate(views):
        cam = np.column_stack([rng.uniform(-3, 3, 4000), rng.uniform(-2, 2, 4000), rng.uniform(0.8, 6, 4000)])
        pixels, seen = view.model.project(cam)
        chosen = np.flatnonzero(seen)[:count]
        measured = pixels[chosen] + rng.normal(0, noise_px, (count, 2))
        measured[:outliers] = rng.uniform([0, 0], [MODEL.width, MODEL.height], (outliers, 2))
        rows = np.arange(count)
        parts.append(Correspondences(np.full(count, row), rows, measured, (Pose3.from_pose2(truth) @ view.base_from_cam).apply(cam[chosen]), rows + 1000 * row))
    return Correspondences.stack(parts)


def solve(views, matches, **config):
    return solve_on_floor(views, matches, FineConfig(), FloorConfig(**config))


@pytest.mark.parametrize("yaw", [-3.0, -1.2, 0.0, 2.1])
@pytest.mark.parametrize(("yaws", "pitch"), [((0.0,), 0.0), ((2.0,), 0.3), ((0.0, math.pi / 2, math.pi, -math.pi / 2), 0.0)])
def test_exact_matches_have_no_error(yaw, yaws, pitch):
    views, truth = cameras(*yaws, pitch=pitch), Pose2(1.0, -2.0, yaw)
    matches = observe(views, truth, 20)
    pose = solve(views, matches)
    assert pose.map_from_base.pose2().distance_to(truth) < 1e-6 and pose.map_from_base.angle_to(Pose3.from_pose2(truth)) < 1e-6
    assert pose.inliers.all() and pose.map_from_base.translation[2] == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_the_matches_suffices(seed):
    views = cameras(0.0)
    matches = observe(views, TRUTH, 60, seed, noise_px=0.5, outliers=48)
    pose = solve(views, matches)
    assert pose.map_from_base.pose2().distance_to(TRUTH) < 0.1 and math.degrees(pose.map_from_base.angle_to(Pose3.from_pose2(TRUTH))) < 1.5
    assert pose.inliers[48:].sum() >= 10 and pose.inliers[:48].sum() <= 4
    assert np.linalg.eigvalsh(pose.covariance).min() > 0.0


def test_noise_alone_agrees_on_little():
    views = cameras(0.0)
    for seed in range(4):
        pose = solve(views, observe(views, TRUTH, 60, seed, outliers=60))
        assert pose is None or pose.inliers.sum() <= 12


def test_the_same_matches_give_the_same_pose():
    views = cameras(0.0)
    matches = observe(views, TRUTH, 30, noise_px=0.5, outliers=10)
    first, second = solve(views, matches), solve(views, matches)
    assert first.map_from_base.pose2() == second.map_from_base.pose2() and (first.inliers == second.inliers).all()


def test_too_few_matches_and_points_that_tell_no_distance_give_no_pose():
    views = cameras(0.0)
    few = observe(views, TRUTH, 5)
    assert solve(views, few) is None
    assert solve(views, Correspondences.stack([])) is None
    rng = np.random.default_rng(0)  # all at the camera's height: a row of pixels, as far away as one likes
    cam = np.column_stack([rng.uniform(-1, 1, 30), np.zeros(30), rng.uniform(2, 6, 30)])
    pixels, _ = MODEL.project(cam)
    rows = np.arange(30)
    level = Correspondences(np.zeros(30, int), rows, pixels, (Pose3.from_pose2(TRUTH) @ views[0].base_from_cam).apply(cam), rows)
    assert solve(views, level) is None


def test_a_robot_in_the_air_is_not_found_on_the_floor():
    """Points as a camera half a metre higher would see them: no level pose at height 0 explains all of them."""
    views = cameras(0.0)
    seen = observe(views, TRUTH, 40)
    raised = Correspondences(seen.view, seen.keypoint, seen.pixels, seen.points_map + [0.0, 0.0, 0.5], seen.point_ids)
    pose = solve(views, raised)
    assert pose is None or pose.inliers.sum() < 0.5 * len(raised)


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"refined": 0}, {"iterations": 0}, {"min_slope": 1.0}, {"max_range_m": 0.0}, {"min_inliers": 2}])
def test_bad_configurations_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FloorConfig(**wrong)
