"""Maps of photos are judged against published poses, whatever frame and axes those are in."""

import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.evaluation.real_maps import map_real_set, read_poses, score_map
from astra.geometry import CameraModel, Pose3
from astra.topomap import MapInfo, Node, TopoMap, View

TARGETS = {"kitchen": (125, 0.035, 2.3, 1.5 * 111.0), "fox": (50, None, None, 1.5 * 129.0)}  # images, ATE [m], rotation [°], CPU-seconds


def map_of(poses, fragment=lambda k: 0):
    nodes = {
        k: Node(k, k, pose, (View(k, "camera", f"images/{k}.jpg", pose),), (), fragment(k), 0.01) for k, pose in enumerate(poses)
    }
    return TopoMap(MapInfo("m", "unknown", None, (), {}), {"camera": CameraModel.from_fov(64, 48, 1.0)}, nodes, (), {})


def walk(count=12, seed=3):
    rng = np.random.default_rng(seed)
    return [Pose3.from_rpy(*rng.normal(0, 0.5, 3), translation=rng.normal(0, 2.0, 3)) for _ in range(count)]


def test_frame_scale_and_axes_of_the_truth_do_not_count():
    true, offset, world = walk(), Pose3.from_rpy(0.08, 0.0, 0.03), Pose3.from_rpy(0.3, -1.0, 2.0, (3.0, 1.0, 0.0))
    found = [world @ Pose3(p.rotation @ offset.rotation, 0.4 * p.translation) for p in true]
    score = score_map("x", map_of(found), {f"{k}.jpg": p for k, p in enumerate(true)})
    assert (score.placed, score.images, score.fragments) == (12, 12, (12,))
    assert score.ate < 1e-6 and score.rotation_deg < 1e-3
    assert score.extent == pytest.approx(np.linalg.norm(np.ptp([p.translation for p in true], axis=0)))


def test_errors_and_missing_images_count():
    true = walk(40)
    rng = np.random.default_rng(0)
    found = [p @ Pose3.from_rpy(*rng.normal(0, math.radians(2.0), 3), translation=rng.normal(0, 0.05, 3)) for p in true[:30]]
    score = score_map("x", map_of(found, lambda k: int(k >= 25)), {f"{k}.jpg": p for k, p in enumerate(true)})
    assert (score.placed, score.images, score.fragments) == (30, 40, (25, 5))
    assert 0.05 < score.ate < 0.11 and 1.5 < score.rotation_deg < 4.0


def test_a_line_that_is_no_pose_is_named(tmp_path):
    (tmp_path / "poses.txt").write_text("# image tx ty tz qx qy qz qw\na.jpg 1 2 3 0 0 0 1\nb.jpg 1 2\n")
    with pytest.raises(BadInputError, match="line 3"):
        read_poses(tmp_path / "poses.txt")
    with pytest.raises(BadInputError, match="images"):
        map_real_set(tmp_path)


real = pytest.mark.skipif(not os.environ.get("ASTRA_REAL_DATA"), reason="ASTRA_REAL_DATA is not set: the real photos are not at hand")


@cache
def score_of(name):
    score = map_real_set(Path(os.environ["ASTRA_REAL_DATA"]) / name)
    print(score.line())
    return score


@real
@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_real_photos_become_one_map(name):
    assert score_of(name).fragments == (TARGETS[name][0],)


KITCHEN = pytest.mark.xfail(reason="positions reach their target, rotations do not: docs/results/mapping.md", strict=False)


@real
@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=KITCHEN if name == "kitchen" else ()) for name in TARGETS])
def test_real_photos_are_placed_as_well_as_by_plain_colmap(name):
    _, ate_m, rotation_deg, _ = TARGETS[name]
    score = score_of(name)
    assert score.ate <= (ate_m if ate_m is not None else 0.0008 * score.extent)
    assert rotation_deg is None or score.rotation_deg <= rotation_deg
