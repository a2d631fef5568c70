"""Bundle adjustment of a second map against a first one that stays: nodes go back to where the pictures say they are."""

from dataclasses import replace

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.mapping.bend import Bend
from astra.mapping.joint import JointConfig, adjust, followed
from astra.topomap import Node, View
from astra.topomap.features import MapFeatures

CAMERA = CameraModel.from_fov(320, 240, 1.4)
MOUNTS = {name: Pose3.from_rpy(0, 0, side * 0.3, np.array([0.1, side * 0.1, 0.8])) @ BODY_FROM_OPTICAL for name, side in (("left", 1), ("right", -1))}
CAMERAS = dict.fromkeys(MOUNTS, CAMERA)
WALL = np.random.default_rng(0).uniform((3.0, -3.0, 0.0), (5.0, 3.0, 2.5), (300, 3))


def node(number, pose):
    views = tuple(View(2 * number + k, name, f"{number}{name}.jpg", pose @ mount) for k, (name, mount) in enumerate(MOUNTS.items()))
    return Node(number, number, pose, views, (), 0, 0.01)


def scene(seed=0):
    """True nodes 0 … 4 of the first map and 5 … 9 of the second, and the points that they see."""
    nodes = {k: node(k, Pose3.from_pose2(Pose2(0.15 * (k % 5), 0.2 * (k // 5), 0.02 * k))) for k in range(10)}
    pixels, ids, offsets, view_ids = [], [], [0], []
    rng = np.random.default_rng(seed)
    for view in (view for n in nodes.values() for view in n.views):
        at, inside = CAMERA.project(view.map_from_cam.inverse().apply(WALL))
        seen = np.flatnonzero(inside)
        pixels.append(at[seen] + rng.normal(0.0, 0.2, (len(seen), 2)))
        ids.append(seen)
        offsets.append(offsets[-1] + len(seen))
        view_ids.append(view.id)
    point_ids = np.concatenate(ids)
    count = len(point_ids)
    features = MapFeatures(
        np.array(view_ids), np.array(offsets), np.concatenate(pixels).astype(np.float32), np.zeros((count, 128), np.uint8),
        (WALL[point_ids] + rng.normal(0.0, 0.02, (count, 3))).astype(np.float32), point_ids, np.zeros((len(view_ids), 0), np.float32),
    )  # fmt: skip
    return nodes, features


def off(pose, metres=0.03, rad=0.01):
    """A pose that is a little wrong."""
    return Pose3.from_rpy(0.0, 0.0, rad, np.array([metres, -metres, 0.0])) @ pose


def test_nodes_go_back_to_where_the_pictures_say():
    nodes, features = scene()
    wrong = {k: node(k, off(n.map_from_base)) if k >= 5 else n for k, n in nodes.items()}
    found = adjust(wrong, set(range(5, 10)), features, CAMERAS, JointConfig())
    assert set(found) == set(range(5, 10))
    for k, pose in found.items():
        assert np.linalg.norm(pose.translation - nodes[k].map_from_base.translation) < 0.006
        assert pose.angle_to(nodes[k].map_from_base) < 0.002


def test_too_little_in_common_adjusts_nothing():
    nodes, features = scene()
    ids = features.point_ids.copy()
    ids[features.offsets[10] :] += 1000  # the second map's points are its own
    assert adjust(nodes, set(range(5, 10)), replace(features, point_ids=ids), CAMERAS, JointConfig()) == {}
    assert adjust(nodes, set(range(5, 10)), features, CAMERAS, JointConfig(max_iterations=0)) == {}


def test_the_bend_follows_and_those_that_were_not_adjusted_keep_theirs():
    rigid = {k: Pose3.from_pose2(Pose2(float(k), 0.0, 0.1 * k)) for k in range(3)}
    before = Bend(np.arange(3), np.array([p.translation for p in rigid.values()]), np.zeros((3, 3)), np.full((3, 3), 0.01))
    adjusted = {k: off(rigid[k]) for k in (0, 1)}
    bend = followed(before, rigid, adjusted, False, 0.5)
    for k in (0, 1):
        np.testing.assert_allclose(bend.pose(k, rigid[k]).matrix(), adjusted[k].matrix(), atol=1e-9)
    np.testing.assert_allclose(bend.pose(2, rigid[2]).translation, rigid[2].translation + 0.01)
    level = followed(None, rigid, {0: Pose3.from_rpy(0.1, 0.1, 0.2, np.array([0.1, 0.0, 0.3]))}, True, 0.5)
    assert level.shift[0, 2] == 0.0 and not level.turn[0, :2].any() and level.turn[0, 2] != 0.0
    assert followed(before, rigid, {0: off(rigid[0], 3.0)}, False, 0.5) is before  # too far to be true


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="loss_px"):
        JointConfig(loss_px=0.0)
