"""Parts of one walk are joined over the step between them if both sides lie as odometry says, and in no other case."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.mapping.bridges import bridge
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.metric import to_metric
from astra.mapping.sfm import SfmFragment
from astra.topomap.audit import FragmentAudit, MapAudit, Verdict

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)
BASE_FROM_CAM = Pose3.from_rpy(0, 0, 0, (0.08, 0.0, 0.9)) @ BODY_FROM_OPTICAL
SFM = Pose3.from_rpy(0.4, -0.7, 2.0, (3.0, -1.0, 5.0))
RIGS = [CameraRig((RigCamera("front", MODEL, BASE_FROM_CAM),))]


def walk(count=40, step=0.4):
    poses, pose = [], Pose2()
    for k in range(count):
        poses.append(pose)
        pose = pose @ Pose2.exp(step, 0.0, 0.25 * math.sin(k / 5.0))
    return poses


def frames_of(odometry):
    return [Keyframe(k, 0, k * 10**9, pose, (KeyView(k, "front", f"{k}.jpg"),)) for k, pose in enumerate(odometry)]


def part(truth, first, units_per_m, frames, folder, frame=SFM, noise_m=0.0):
    rng, poses = np.random.default_rng(first), {}
    for k, pose in enumerate(truth):
        cam = frame @ (Pose3.from_pose2(pose) @ BASE_FROM_CAM)
        poses[first + k] = Pose3(cam.rotation, (cam.translation + noise_m * rng.normal(size=3)) * units_per_m)
    points = frame.apply(np.array([[1.0 + first, 2.0, 0.5]])) * units_per_m
    sfm = SfmFragment(dict(poses), dict(poses), points, np.full(1, 0.3), {v: np.array([0, -1]) for v in poses}, {(0, "front"): MODEL}, math.nan, Path(folder))
    return to_metric(sfm, frames, RIGS, True)


def report(*verdicts):
    return MapAudit(Verdict.CONSISTENT, (), tuple(FragmentAudit(20, verdict, (), 1, ("sequence",)) for verdict in verdicts))


GOOD = report(Verdict.CONSISTENT, Verdict.CONSISTENT)


def halves(truth, frames, folders=("0", "1"), **how):
    other = Pose3.from_rpy(1.0, 2.0, 3.0)
    return [part(truth[:20], 0, 0.5, frames, folders[0], **how), part(truth[20:], 20, 3.0, frames, folders[1], frame=other, **how)]


def test_two_parts_of_a_walk_become_one_where_the_truth_is():
    truth = walk()
    frames = frames_of(truth)
    found = bridge(halves(truth, frames, noise_m=0.01), frames, GOOD)
    (whole,) = found.fragments
    assert sorted(whole.map_from_base) == list(range(40)) and len(found.report.fragments) == 1
    assert found.report.fragments[0].nodes == 40 and "bridges" in found.report.fragments[0].checks
    start = whole.map_from_base[0].inverse()
    errors = [np.linalg.norm((start @ whole.map_from_base[k]).translation[:2] - [truth[k].x, truth[k].y]) for k in range(40)]
    assert max(errors) < 0.15
    assert 0.0 < found.sigmas[20] < found.sigmas[39] < 0.3, "the far end is less sure than the step"


def test_points_and_what_sees_them_are_joined_too():
    truth = walk()
    frames = frames_of(truth)
    (whole,) = bridge(halves(truth, frames), frames, GOOD).fragments
    start = whole.map_from_base[0].inverse()
    for view, first in ((3, 0), (33, 20)):
        row = whole.sfm.observations[view][0]
        np.testing.assert_allclose(start.apply(whole.points_map[row][None])[0], [1.0 + first, 2.0, 0.5], atol=0.02)
        assert whole.sfm.observations[view][1] == -1
    assert len(whole.joined_from) == 2


@pytest.mark.parametrize("case", ["slip", "gap", "cut", "doubtful", "too_short"])
def test_in_doubt_they_stay_apart(case):
    truth = walk()
    odometry = list(truth)
    if case == "slip":  # the wheels spin on the spot between the third and the fourth keyframe of the second part
        odometry[23:] = [odometry[22] @ (truth[22] @ Pose2(0.35, 0.0, 0.0)).inverse() @ p for p in odometry[23:]]
    frames = frames_of(odometry)
    folders = ("0", "0") if case == "cut" else ("0", "1")
    parts = halves(truth, frames, folders)
    if case == "gap":
        parts = [replace(p, map_from_base={k: v for k, v in p.map_from_base.items() if k not in (19, 20)}) for p in parts]
    if case == "too_short":
        parts[1] = replace(parts[1], map_from_base={k: v for k, v in parts[1].map_from_base.items() if k < 22})
    verdicts = GOOD if case != "doubtful" else report(Verdict.CONSISTENT, Verdict.DOUBTFUL)
    found = bridge(parts, frames, verdicts)
    assert len(found.fragments) == 2 and len(found.report.fragments) == 2 and not found.sigmas
