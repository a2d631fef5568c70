"""Readings of the scale are weighed by their sigmas; one that contradicts the others is told."""

import math

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import CameraModel, Pose3
from astra.mapping.clues import MeasuredDistance, MetricClues, camera_height_reading, check_distances, distance_reading, find_floor
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.scale import ScaleConfig, ScaleReading, disagreements, fuse_scale
from astra.mapping.sfm import SfmFragment

CONFIG = ScaleConfig()


def test_readings_that_agree_are_averaged_by_their_weight():
    found = fuse_scale([ScaleReading("rig", 2.04, 0.02), ScaleReading("odometry", 2.0, 0.01)], CONFIG)
    assert found.metres_per_unit == pytest.approx(2.0 * (2.04 / 2.0) ** 0.2, rel=1e-9)  # weights 4 : 1
    assert found.sigma == pytest.approx(0.01 / math.sqrt(1.25))
    assert found.source == "odometry" and found.refused == () and disagreements(found) == []


def test_a_contradiction_is_told_and_what_a_person_measured_is_believed():
    wheels = ScaleReading("odometry", 2.3, 0.008)
    found = fuse_scale([wheels, ScaleReading("rig", 2.31, 0.02), ScaleReading("distance", 2.0, 0.01)], CONFIG)
    assert found.metres_per_unit == pytest.approx(2.0) and found.source == "distance"
    assert wheels in found.refused
    assert found.sigma > 0.04  # somebody is wrong, so nobody is sure
    assert any("odometry says +15.0 %" in text and "distance" in text for text in disagreements(found))


def test_nothing_usable_is_no_scale():
    assert fuse_scale([], CONFIG) is None
    assert fuse_scale([ScaleReading("imu", 1.0, 0.4), ScaleReading("rig", math.nan, 0.01)], CONFIG) is None


def room(units_per_m, tilt=0.0, height=1.2, seed=0, table=True, wobble=0.0):
    """A fragment of a walk through a room 8 × 6 m: floor, table, walls; the camera `height` above the floor. Returns it and up."""
    rng = np.random.default_rng(seed)
    floor = np.column_stack([rng.uniform(0, 8, 500), rng.uniform(0, 6, 500), 0.004 * rng.normal(size=500)])
    wall = np.column_stack([rng.uniform(0, 8, 900), np.full(900, 6.0), rng.uniform(0, 2.5, 900)])
    top = np.column_stack([rng.uniform(3, 5, 700), rng.uniform(2.5, 4, 700), 0.74 + 0.004 * rng.normal(size=700)])
    mirrored = np.column_stack([rng.uniform(0, 8, 40), rng.uniform(0, 6, 40), rng.uniform(-2.0, -0.2, 40)])  # in a polished floor
    points = np.concatenate([floor, wall, mirrored, *([top] if table else [])])
    sfm_from_world = Pose3.from_rpy(0.3, -0.8, 1.0, (4.0, 5.0, 6.0))
    poses = {}
    for k in range(40):
        centre = np.array([1.0 + 0.15 * k, 1.0 + 0.05 * k, height + wobble * rng.normal()])
        poses[k] = Pose3(sfm_from_world.rotation, sfm_from_world.apply(centre) * units_per_m)
    up = sfm_from_world.rotation @ Pose3.from_rpy(tilt, 0.7 * tilt, 0.0).rotation[:, 2]
    points = sfm_from_world.apply(points) * units_per_m
    model = {(0, "camera"): CameraModel.from_fov(64, 48, 1.2)}
    return SfmFragment(poses, poses, points, np.full(len(points), 0.3), {}, model, math.nan, None), up


@pytest.mark.parametrize(("tilt", "seed"), [(0.0, 0), (0.05, 1), (-0.12, 2)])
def test_the_camera_height_gives_the_scale_over_the_floor_and_not_over_the_table(tilt, seed):
    fragment, up = room(0.31, tilt, seed=seed)
    reading = camera_height_reading(fragment, up, MetricClues(camera_height_m=1.2), CONFIG)
    assert reading.metres_per_unit == pytest.approx(1 / 0.31, rel=0.005)
    assert abs(reading.metres_per_unit * 0.31 - 1) < 3 * reading.sigma < 0.06


def test_a_camera_in_the_hand_is_known_as_well_as_it_is_held():
    fragment, up = room(2.0, wobble=0.05)
    reading = camera_height_reading(fragment, up, MetricClues(camera_height_m=1.2), CONFIG)
    assert 0.02 < reading.sigma < 0.08 and abs(reading.metres_per_unit * 2.0 - 1) < 2 * reading.sigma


def test_without_a_floor_the_height_says_nothing():
    rng = np.random.default_rng(0)
    fragment, up = room(1.0)
    cloud = fragment.points[0] + rng.uniform(-3, 3, (300, 3))
    positions = np.array([p.translation for p in fragment.sfm_from_ref.values()])
    assert find_floor(cloud[:30], positions, up) is None
    assert camera_height_reading(fragment, up, MetricClues(), CONFIG) is None


def keyframes(count=40):
    return [Keyframe(k, 0, k, None, (KeyView(k, "camera", f"img_{k:03d}.jpg"),)) for k in range(count)]


def test_measured_distances_give_the_scale():
    fragment, _ = room(0.5)
    metres = 0.15811388 * 20
    clues = MetricClues(distances=(MeasuredDistance("img_000.jpg", "img_020", metres), MeasuredDistance("5", "25", 1.004 * metres)))
    check_distances(clues, keyframes())
    reading = distance_reading(fragment, keyframes(), clues, CONFIG)
    assert reading.metres_per_unit == pytest.approx(2.0 * 1.002, rel=1e-4)
    assert 0.002 < reading.sigma < 0.01
    wrong = MetricClues(distances=(*clues.distances, MeasuredDistance("0", "30", 1.5 * 0.15811388 * 30)))
    assert distance_reading(fragment, keyframes(), wrong, CONFIG).sigma > 0.03  # they do not agree among themselves


def test_a_distance_in_another_fragment_says_nothing_and_a_wrong_name_is_named():
    fragment, _ = room(0.5)
    assert distance_reading(fragment, keyframes(60), MetricClues(distances=(MeasuredDistance("0", "50", 2.0),)), CONFIG) is None
    with pytest.raises(BadInputError, match=r"kitchen\.jpg"):
        check_distances(MetricClues(distances=(MeasuredDistance("kitchen.jpg", "3", 2.0),)), keyframes())
    with pytest.raises(BadInputError, match="more than 0"):
        MeasuredDistance("a", "b", -1.0)
