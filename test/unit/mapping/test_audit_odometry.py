"""What odometry knows about a map: true maps pass in spite of drift and noise, folded and shrunken ones are cut where they break."""

import math
from pathlib import Path

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.mapping.audit.odometry import against_odometry
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.metric import to_metric
from astra.mapping.sfm import SfmFragment

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)
BASE_FROM_CAM = Pose3.from_rpy(0, 0, 0, (0.08, 0.0, 0.9)) @ BODY_FROM_OPTICAL
RIGS = [CameraRig((RigCamera("front", MODEL, BASE_FROM_CAM),))]


def tour(count=120, step=0.45):
    """Twice around a block of 9 m × 4.5 m."""
    poses, pose = [], Pose2()
    for k in range(count):
        poses.append(pose)
        pose = pose @ Pose2(step, 0.0, math.pi / 2 if k % 30 in (10, 15, 25, 29) else 0.0)
    return poses


def drifting(truth, rng):
    """What wheels and gyroscope would say of it."""
    poses, pose = [], Pose2(3.0, -2.0, 0.4)
    for a, b in zip(truth, [*truth[1:], truth[-1]]):
        poses.append(pose)
        step = a.inverse() @ b
        pose = pose @ Pose2(step.x * (1.01 + 0.02 * rng.normal()), 0.005 * rng.normal(), step.yaw * 1.01 + 0.002 + 0.004 * rng.normal())
    return poses


def checked(mapped, odometry, noise_m=0.01, seed=0):
    """Breaks and doubts of a map whose cameras stand at `mapped`, in a frame and unit of its own."""
    rng = np.random.default_rng(seed)
    sfm_from_world = Pose3.from_rpy(0.4, -0.7, 2.0, (3.0, -1.0, 5.0))
    poses = {}
    for k, pose in enumerate(mapped):
        cam = sfm_from_world @ Pose3.from_pose2(pose) @ BASE_FROM_CAM
        poses[k] = Pose3(cam.rotation, 0.4 * (cam.translation + noise_m * rng.normal(size=3)))
    fragment = SfmFragment(poses, dict(poses), np.zeros((2, 3)), np.full(2, 0.3), {k: np.array([0, 1]) for k in poses}, {}, math.nan, Path())
    keyframes = [Keyframe(k, 0, k * 10**9, pose, (KeyView(k, "front", f"{k}.jpg"),)) for k, pose in enumerate(odometry)]
    return against_odometry(to_metric(fragment, keyframes, RIGS, mounted=True), keyframes, mounted=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_true_map_passes_though_odometry_drifts(seed):
    truth = tour()
    odometry = drifting(truth, np.random.default_rng(seed))
    assert odometry[-1].distance_to(odometry[0]) > 0.3
    assert checked(truth, odometry, seed=seed) == ([], [])


@pytest.mark.parametrize("seed", range(3))
def test_a_fold_is_cut_where_it_is(seed):
    truth = tour()
    folded = [*truth[:60], *(Pose2(p.x - 2.0, p.y + 1.0, p.yaw) for p in truth[60:])]
    breaks, doubts = checked(folded, drifting(truth, np.random.default_rng(seed)), seed=seed)
    assert [(b.before, b.after) for b in breaks] == [(59, 60)]
    assert doubts == []


@pytest.mark.parametrize("seed", range(3))
def test_a_scale_that_collapses_half_way_is_cut_there(seed):
    truth = tour()
    half = truth[70]
    shrunk = [half @ Pose2(0.6 * d.x, 0.6 * d.y, d.yaw) for d in (half.inverse() @ p for p in truth[70:])]
    breaks, _ = checked([*truth[:70], *shrunk], drifting(truth, np.random.default_rng(seed)), seed=seed)
    assert len(breaks) == 1 and abs(breaks[0].after - 70) <= 3
    assert "scale" in breaks[0].reason


def test_a_bend_that_no_step_explains_is_doubted():
    truth = tour()
    bent, pose = [], Pose2()
    for k, (a, b) in enumerate(zip(truth, [*truth[1:], truth[-1]])):
        bent.append(pose)
        step = a.inverse() @ b
        pose = pose @ Pose2(step.x, step.y, step.yaw + (0.03 if 30 <= k < 60 else 0.0))
    breaks, doubts = checked(bent, drifting(truth, np.random.default_rng(1)))
    assert breaks == [] and doubts and "departs from odometry" in doubts[0].reason
