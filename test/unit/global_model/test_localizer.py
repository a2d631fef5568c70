"""The whole localizer on a room whose truth is exact: right poses, honest covariance, and lost where it must be."""

import importlib.util
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError, ConfigError
from astra.core.types import CameraFrame
from astra.geometry import Pose2, Pose3
from astra.global_model.confidence import ConfidenceConfig, Support, exclusive, objection, probability, spread_of
from astra.global_model.goal import GoalFinder
from astra.global_model.loaded import LoadedMap
from astra.global_model.localizer import GlobalLocalizer, GlobalLocalizerConfig
from astra.global_model.types import GoalStatus, Query, Status
from astra.topomap.features import MapFeatures

spec = importlib.util.spec_from_file_location("box_room", Path(__file__).with_name("box_room.py"))
box_room = importlib.util.module_from_spec(spec)
spec.loader.exec_module(box_room)


@pytest.fixture(scope="module")
def room():
    return box_room.BoxRoom(1)


@pytest.fixture(scope="module")
def localizer(room):
    return GlobalLocalizer(Path("unused"), loaded=room.build_map())


def random_poses(count, seed):
    rng = np.random.default_rng(seed)
    return [Pose2(*rng.uniform([0.8, 0.8], [6.2, 4.2]), float(rng.uniform(-math.pi, math.pi))) for _ in range(count)]


def query(room, pose, cameras=4, near=None):
    return Query.from_frames(room.frames(pose, 7)[:cameras], box_room.rig(), near)


@pytest.mark.parametrize("pose", random_poses(6, 3))
def test_four_cameras_find_the_pose(room, localizer, pose):
    result = localizer.localize(query(room, pose))
    assert result.status is Status.LOCALIZED and result.stamp_ns == 7 and result.confidence > 0.9
    found = result.map_from_base.pose2()
    assert found.distance_to(pose) < 0.05 and math.degrees(result.map_from_base.angle_to(Pose3.from_pose2(pose))) < 1.0
    error = result.map_from_base.translation - Pose3.from_pose2(pose).translation
    assert error @ np.linalg.solve(result.covariance[:3, :3], error) < 30.0
    assert result.candidate_nodes[0] == localizer.loaded.index.nearest_nodes(found.x, found.y)[0]
    assert result.times.total_s >= result.times.fine_s > 0.0


def test_single_images_are_right_or_refused(room, localizer):
    statuses = []
    for pose in random_poses(8, 5):
        result = localizer.localize(query(room, pose, cameras=1))
        statuses.append(result.status)
        if result.status is Status.LOCALIZED:
            assert result.map_from_base.pose2().distance_to(pose) < 0.2
    assert statuses.count(Status.LOCALIZED) >= 5


def test_a_hand_held_photo_is_placed_with_its_tilt(room, localizer):
    map_from_cam = Pose3.from_rpy(0.1, 0.15, 0.8, np.array([3.0, 2.0, 1.4])) @ box_room.BODY_FROM_OPTICAL
    result = localizer.localize(Query.from_image(room.render(map_from_cam), box_room.MODEL))
    assert result.status is Status.LOCALIZED
    found = result.map_from_base @ box_room.BODY_FROM_OPTICAL
    assert np.linalg.norm(found.translation - map_from_cam.translation) < 0.1 and found.angle_to(map_from_cam) < math.radians(2)


def test_looks_prefer_the_true_pose_and_admit_where_the_map_shows_nothing(room, localizer):
    pose = Pose2(3.0, 2.2, 0.6)
    localizer.localize(query(room, pose))
    poses = np.array([[pose.x, pose.y, pose.yaw], [pose.x, pose.y, pose.yaw + math.pi / 4], [60.0, 60.0, 0.0]])
    likeness = localizer.likeness(poses)
    assert likeness[0] > likeness[1]
    assert np.isnan(likeness[2])


def test_another_room_is_lost(localizer):
    other = box_room.BoxRoom(2)
    for pose in random_poses(2, 6):
        for cameras in (1, 4):
            result = localizer.localize(query(other, pose, cameras))
            assert result.status is Status.LOST and result.map_from_base is None and result.covariance is None and result.reason


def test_darkness_and_noise_are_lost(localizer):
    rng = np.random.default_rng(0)
    for image in (np.zeros((160, 224, 3), np.uint8), rng.integers(0, 255, (160, 224, 3), dtype=np.uint8)):
        frames = tuple(CameraFrame(0, name, image) for name in box_room.rig().names)
        assert localizer.localize(Query.from_frames(frames, box_room.rig())).status is Status.LOST


def test_a_right_hint_saves_time_and_a_wrong_one_costs_nothing_but_time(room, localizer):
    pose = random_poses(1, 8)[0]
    right = localizer.localize(query(room, pose, near=pose))
    wrong = localizer.localize(query(room, pose, near=Pose2(pose.x - 3.0, pose.y, pose.yaw + 2.0)))
    for result in (right, wrong):
        assert result.status is Status.LOCALIZED and result.map_from_base.pose2().distance_to(pose) < 0.05
    assert right.times.coarse_s == 0.0


def test_same_images_same_answer(room, localizer):
    pose = random_poses(1, 9)[0]
    a, b = (localizer.localize(query(room, pose)) for _ in range(2))
    assert np.array_equal(a.map_from_base.matrix(), b.map_from_base.matrix())


def test_query_time(room, localizer):
    q = query(room, random_poses(1, 10)[0])
    localizer.localize(q)
    started = time.process_time()
    localizer.localize(q)
    assert time.process_time() - started < 3.0


def test_image_goal_stands_where_the_image_was_taken(room, localizer):
    finder = GoalFinder(Path("unused"), loaded=localizer.loaded, localizer=localizer)
    pose = Pose2(2.7, 2.5, 0.9)
    base = Pose3.from_pose2(pose)
    image = room.render(base @ box_room.rig()["front"].base_from_cam)
    result = finder.find_image(Query.from_image(image, box_room.MODEL))
    assert result.status is GoalStatus.FOUND
    assert result.candidates[0].map_from_goal.distance_to(pose) < 0.6
    assert abs(math.remainder(result.candidates[0].map_from_goal.yaw - pose.yaw, 2 * math.pi)) < 0.05
    other = box_room.BoxRoom(2).render(base @ box_room.rig()["front"].base_from_cam)
    assert finder.find_image(Query.from_image(other, box_room.MODEL)).status is GoalStatus.NOT_FOUND


def test_poses_in_the_air_or_on_their_side_are_refused_for_a_robot():
    support = Support(200, 220, 20, 4, 150, 0.01, 0.5)
    config = ConfidenceConfig()
    assert objection(support, Pose3.from_pose2(Pose2(1, 2, 3)), True, config) is None
    assert "off the floor" in objection(support, Pose3.from_pose2(Pose2(1, 2, 3), z=0.6), True, config)
    assert "tilted" in objection(support, Pose3.from_rpy(0.4, 0, 0), True, config)
    assert objection(support, Pose3.from_rpy(0.4, 0, 0), False, config) is None


def test_probability_grows_with_each_kind_of_support():
    config = ConfidenceConfig()
    given = Support(30, 60, 8, 2, 25, 0.1, 1.0, found=40, chance=10.0, shown=300)
    base = probability(given, config)
    assert probability(replace(given, spread=50), config) > base
    assert probability(replace(given, matched=40), config) > base
    assert probability(replace(given, sigma_position_m=0.05), config) > base
    assert probability(replace(given, found=80), config) > base
    assert probability(replace(given, chance=30.0), config) < base  # what is found anywhere says nothing
    assert probability(replace(given, inliers=60, matched=120), config) == base  # twice the features on the same things say nothing new


def test_of_two_places_that_look_alike_neither_is_sure():
    assert exclusive(0.95, []) == pytest.approx(0.95)
    assert exclusive(0.95, [0.95]) == pytest.approx(19 / 39)
    assert exclusive(0.95, [0.5]) == pytest.approx(19 / 21)
    assert exclusive(0.99, [0.1, 0.1]) > 0.98


@pytest.mark.parametrize(("fragment", "sure"), [(0, False), (1, True)])
def test_one_place_in_two_fragments_is_one_place(room, localizer, fragment, sure):
    loaded, shift = localizer.loaded, Pose3.from_pose2(Pose2(2.2, -1.0, 0.05))  # the room a second time, as drift would leave it
    old, features = loaded.map, loaded.features
    nodes = dict(old.nodes)
    for node in old.nodes.values():
        views = tuple(replace(view, id=view.id + 1000, map_from_cam=shift @ view.map_from_cam) for view in node.views)
        nodes[node.id + 100] = replace(node, id=node.id + 100, map_from_base=shift @ node.map_from_base, views=views, fragment=fragment)
    edges = old.edges + tuple(replace(edge, a=edge.a + 100, b=edge.b + 100) for edge in old.edges)
    twice = MapFeatures(
        np.concatenate([features.view_ids, features.view_ids + 1000]), np.concatenate([features.offsets, features.offsets[1:] + features.offsets[-1]]),
        np.tile(features.keypoints, (2, 1)), np.tile(features.descriptors, (2, 1)),
        np.concatenate([features.points_map, shift.apply(features.points_map).astype(np.float32)]),
        np.concatenate([features.point_ids, features.point_ids + features.point_ids.max() + 1]), np.tile(features.place, (2, 1)),
    )  # fmt: skip
    config = GlobalLocalizerConfig(strong_confidence=1.0)  # all places are tried
    found = GlobalLocalizer(Path("unused"), config, LoadedMap(replace(old, nodes=nodes, edges=edges), twice)).localize(query(room, Pose2(2.0, 3.0, 0.4)))
    assert (found.status is Status.LOCALIZED) == sure


def test_one_poster_counts_little():
    rng = np.random.default_rng(0)
    poster = np.column_stack([rng.uniform(0.05, 0.45, (80, 2)), np.full(80, 1.2)])
    wall = np.column_stack([rng.uniform(0, 5, 80), rng.uniform(0, 2.5, 80), np.full(80, 1.2)])
    assert spread_of(poster, 0.5, 6) == 6
    assert spread_of(wall, 0.5, 6) > 60
    assert spread_of(np.zeros((0, 3)), 0.5, 6) == 0
    assert "one thing" in objection(Support(80, 90, 6, 1, 6, 0.01, 0.5), Pose3(), True, ConfidenceConfig())


def test_bad_queries_are_named(room):
    with pytest.raises(BadInputError, match="at least one image"):
        Query(0, ())
    with pytest.raises(BadInputError, match="calibration is for 224×160"):
        Query.from_image(np.zeros((100, 100, 3), np.uint8), box_room.MODEL)
    with pytest.raises(BadInputError, match="uint8"):
        Query.from_image(np.zeros((160, 224, 3), np.float32), box_room.MODEL)
    with pytest.raises(ConfigError, match="read_landmarks"):
        GlobalLocalizerConfig(read_landmarks="sometimes")
