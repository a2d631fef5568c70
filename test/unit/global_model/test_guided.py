"""Guided matching on a toy map: points in space that a few views see, each with a descriptor of its own."""

import math

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.global_model.guided import GuidedConfig, match_guided
from astra.global_model.loaded import LoadedMap
from astra.global_model.types import QueryView
from astra.perception.local import LocalFeatures, unit_descriptors
from astra.topomap import MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)
MOUNT = Pose3.from_rpy(0, 0, 0, np.array([0.08, 0.0, 0.9])) @ BODY_FROM_OPTICAL
POINTS = 80


def codes(count, seed):
    """Descriptors (count, 128) uint8, no two alike: few of the bins are filled."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((count, 128)) < 0.2, rng.integers(60, 255, (count, 128)), 0).astype(np.uint8)


def scene(base, seed):
    """Points (POINTS, 3) that a camera of a robot at `base` sees, and their descriptors."""
    rng = np.random.default_rng(seed)
    cam = np.column_stack([rng.uniform(-3, 3, 4000), rng.uniform(-2, 2, 4000), rng.uniform(3, 6, 4000)])
    seen = MODEL.project(cam)[1]
    return (Pose3.from_pose2(base) @ MOUNT).apply(cam[seen][:POINTS]), codes(POINTS, seed)


def toy_map(scenes):
    """One view a scene, from the pose given with it."""
    nodes, parts, offsets = {}, [], [0]
    for k, (base, points, descriptors) in enumerate(scenes):
        pose = Pose3.from_pose2(base)
        nodes[k] = Node(k, k, pose, (View(k, "front", f"images/{k}.png", pose @ MOUNT),))
        parts.append((points, descriptors, 1000 * k + np.arange(len(points))))
        offsets.append(offsets[-1] + len(points))
    points = np.concatenate([p[0] for p in parts]).astype(np.float32)
    features = MapFeatures(
        np.arange(len(nodes)), np.array(offsets), np.zeros((len(points), 2), np.float32), np.concatenate([p[1] for p in parts]), points,
        np.concatenate([p[2] for p in parts]), np.eye(len(nodes), 960, dtype=np.float32),
    )  # fmt: skip
    return LoadedMap(TopoMap(MapInfo("toy", "given"), {"front": MODEL}, nodes, (), {}), features)


HERE = Pose2(0.0, 0.0, 0.0)
SCENE, CODES = scene(HERE, 1)
MAP = toy_map([(HERE, SCENE, CODES)])


def photo(base, points=SCENE, descriptors=CODES, shift_px=0.0):
    """View, features and units as a camera at `base` would have them, all features `shift_px` to the right; rows: of the points it sees."""
    pixels, seen = MODEL.project((Pose3.from_pose2(base) @ MOUNT).inverse().apply(points))
    found = LocalFeatures((pixels[seen] + [shift_px, 0.0]).astype(np.float32), descriptors[seen], np.ones(int(seen.sum()), np.float32))
    view = QueryView("front", np.zeros((MODEL.height, MODEL.width, 3), np.uint8), MODEL, MOUNT)
    return (view,), (found,), (unit_descriptors(found.descriptors),), np.flatnonzero(seen)


def guided(picture, pose, loaded=MAP, **config):
    return match_guided(loaded, *picture[:3], Pose3.from_pose2(pose), GuidedConfig(**config))


def test_at_the_true_pose_every_point_is_found_and_none_by_chance():
    truth = Pose2(0.3, 0.2, 0.1)
    picture = photo(truth)
    out = guided(picture, truth)
    assert out.found == out.shown == len(picture[3]) == len(out.matches) and out.chance == 0.0
    assert np.array_equal(out.matches.point_ids[np.argsort(out.matches.keypoint)], picture[3])
    assert np.allclose(out.matches.points_map, SCENE[out.matches.point_ids], atol=1e-5) and (out.matches.view == 0).all()


@pytest.mark.parametrize(("shift_px", "share"), [(0.0, 1.0), (4.0, 1.0), (7.0, 0.0)])
def test_points_count_only_near_where_they_should_be(shift_px, share):
    picture = photo(HERE, shift_px=shift_px)
    assert guided(picture, HERE).found == share * len(picture[3])


def test_a_texture_that_repeats_is_found_by_chance_as_often_as_at_its_place():
    """Every point looks the same: what lies near a projection says nothing, and the shifted projections tell so."""
    picture = photo(HERE, descriptors=np.tile(CODES[:1], (POINTS, 1)))
    alike = toy_map([(HERE, SCENE, np.tile(CODES[:1], (POINTS, 1)))])
    wrong = guided(picture, Pose2(0.6, 0.4, 0.2), alike, radius_px=8.0)
    assert wrong.found > 10 and abs(wrong.found - wrong.chance) < 0.35 * wrong.found


def test_unlike_features_are_not_matched_however_near():
    picture = photo(HERE, descriptors=codes(POINTS, 9))
    assert guided(picture, HERE).found == 0


def test_nothing_is_shown_from_where_the_map_has_not_looked():
    for pose in (Pose2(20.0, 0.0, 0.0), Pose2(0.0, 0.0, math.pi)):
        out = guided(photo(HERE), pose)
        assert (out.found, out.chance, out.shown, len(out.matches)) == (0, 0.0, 0, 0)


def test_an_image_without_features_matches_nothing():
    picture = photo(HERE, points=np.zeros((0, 3)), descriptors=np.zeros((0, 128), np.uint8))
    assert guided(picture, HERE).found == 0


def test_a_point_in_two_views_is_shown_once():
    twice = toy_map([(HERE, SCENE, CODES), (Pose2(0.2, 0.0, 0.0), SCENE, CODES)])
    features = twice.features
    features.point_ids[POINTS:] = features.point_ids[:POINTS]
    out = guided(photo(HERE), HERE, twice)
    assert out.shown == out.found == POINTS


@pytest.mark.parametrize(
    "wrong",
    [{"views": 0}, {"distance_m": 0.0}, {"angle_rad": 4.0}, {"radius_px": 0.0}, {"min_cosine": 1.0}, {"shift_px": 5.0}],
)
def test_bad_configurations_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GuidedConfig(**wrong)
