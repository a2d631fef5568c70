"""Keyframes come by motion or by time, sharp ones first, and never twice the same picture."""

import math

import cv2
import numpy as np
import pytest

from astra.core.errors import MappingError
from astra.core.types import CameraFrame
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose3, RigCamera, Trajectory
from astra.mapping.keyframes import KeyframeConfig, read_rgb, select_keyframes, spacing_factor
from astra.mapping.tour import TourWithOdometry, image_name, is_calibrated, is_mounted, synchronised, usable_rig

MODEL = CameraModel.from_fov(64, 48, 1.5)


def picture(seed, blurred=False):
    image = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return cv2.GaussianBlur(image, (0, 0), 3.0) if blurred else image


class FakeTour:
    """Ten images a second, one or two cameras."""

    name = "fake"
    calibrated = False

    def __init__(self, images, odometry=None, cameras=("front",)):
        self.images, self.odometry = images, odometry
        self.rig = CameraRig(tuple(RigCamera(c, MODEL, Pose3(BODY_FROM_OPTICAL.rotation, np.array([0.1, 0, k]))) for k, c in enumerate(cameras)))

    def frames(self):
        for k, rgb in enumerate(self.images):
            for offset, camera in enumerate(self.rig.names):
                yield CameraFrame(k * 10**8 + offset * 10**6, camera, rgb)

    def scans(self):
        return ()


def odometry(poses):
    return Trajectory(np.arange(len(poses)) * 10**8, np.array(poses, dtype=float))


def chosen(tour, tmp_path, **config):
    frames = select_keyframes(tour, 0, 0, 0, tmp_path / "images", KeyframeConfig(**config))
    return [round(f.stamp_ns / 10**8) for f in frames], frames


def test_with_odometry_keyframes_come_by_distance_and_turn(tmp_path):
    straight = [(0.1 * k, 0.0, 0.0) for k in range(30)]
    turning = [(2.9, 0.0, 0.1 * k) for k in range(30)]
    images = [picture(k) for k in range(60)]
    when, frames = chosen(FakeTour(images, odometry(straight + turning)), tmp_path, distance_m=0.5, turn_rad=0.5)
    assert when[:6] == [0, 5, 10, 15, 20, 25]
    assert np.diff(when[7:]).tolist() == [5] * (len(when) - 8) and when[-1] >= 55
    assert frames[3].odom_from_base.x == pytest.approx(1.5)
    np.testing.assert_allclose(read_rgb(tmp_path / "images" / frames[0].views[0].image).mean(), images[0].mean(), atol=3)


def test_a_robot_at_rest_and_a_frozen_camera_add_nothing(tmp_path):
    images = [picture(k) for k in range(20)]
    when, _ = chosen(FakeTour(images, odometry([(min(0.2 * k, 1.0), 0, 0) for k in range(20)])), tmp_path / "rest", distance_m=0.4)
    assert max(when) <= 5
    frozen = [picture(min(k, 8)) for k in range(30)]
    when, _ = chosen(FakeTour(frozen), tmp_path / "frozen", rate_hz=10.0)
    assert when == list(range(9))


def pan(shifts, seed=0):
    """A camera that slides along one long picture by so many pixels an image."""
    strip = cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (48, 1200, 3), dtype=np.uint8), (0, 0), 1.5)
    starts = np.cumsum([0, *shifts])
    rng = np.random.default_rng(1)
    return [np.clip(strip[:, s : s + 64] + rng.normal(0, 2.0, (48, 64, 3)), 0, 255).astype(np.uint8) for s in starts]


def test_without_odometry_keyframes_come_by_time_and_every_photo_is_kept(tmp_path):
    assert chosen(FakeTour(pan([1] * 40)), tmp_path / "rate", rate_hz=2.0)[0] == list(range(0, 41, 5))
    blurred = [picture(k, blurred=k % 4 == 1) for k in range(12)]
    assert chosen(FakeTour(blurred), tmp_path / "all", rate_hz=0.0)[0] == list(range(12))


def test_without_odometry_a_standing_camera_adds_nothing_and_a_fast_turn_more(tmp_path):
    images = pan([1] * 20 + [0] * 40 + [1] * 20 + [6] * 20)
    when, _ = chosen(FakeTour(images), tmp_path, rate_hz=2.0)
    counts = np.histogram(when, [0, 21, 26, 60, 81, 102])[0]
    assert counts[0] == 5 and counts[2] == 0 and 3 <= counts[3] <= 5 and 8 <= counts[4] <= 12


def test_a_picture_without_corners_falls_back_to_time(tmp_path):
    walls = [np.full((48, 64, 3), 100 + 2 * k, np.uint8) for k in range(21)]
    assert chosen(FakeTour(walls), tmp_path, rate_hz=2.0)[0] == [0, 5, 10, 15, 20]


def test_a_frozen_camera_is_left_out_by_name_while_the_others_go_on(tmp_path):
    class HalfFrozen(FakeTour):
        def frames(self):
            for frame in super().frames():
                k = frame.stamp_ns // 10**8
                stuck = frame.camera == "back" and 8 <= k < 20
                yield CameraFrame(frame.stamp_ns, frame.camera, picture(100 + (8 if stuck else k) + 1000 * (frame.camera == "back")))

    said = []
    tour = HalfFrozen([None] * 30, odometry([(0.2 * k, 0, 0) for k in range(30)]), cameras=("front", "back"))
    frames = select_keyframes(tour, 0, 0, 0, tmp_path / "images", KeyframeConfig(distance_m=0.39), note=said.append)
    views = {round(f.stamp_ns / 10**8): [v.camera for v in f.views] for f in frames}
    assert views[8] == ["front", "back"] and views[14] == ["front"] and views[22] == ["front", "back"]
    assert len(said) == 1 and "camera back stood frozen" in said[0] and "0.80 … 1.8" in said[0]


def test_a_blurred_frame_gives_way_to_a_sharp_neighbour(tmp_path):
    images = [picture(k, blurred=k in (10, 20, 21)) for k in range(40)]
    when, _ = chosen(FakeTour(images, odometry([(0.1 * k, 0, 0) for k in range(40)])), tmp_path, distance_m=0.5)
    assert 10 not in when and 11 in when
    assert not {20, 21} & set(when)


def test_cameras_are_grouped_by_time(tmp_path):
    tour = FakeTour([picture(k) for k in range(5)], cameras=("front", "back"))
    assert [len(s.frames) for s in synchronised(tour, 0.04)] == [2] * 5
    _, frames = chosen(tour, tmp_path, rate_hz=0.0)
    assert [[v.camera for v in f.views] for f in frames] == [["front", "back"]] * 5
    assert [v.id for f in frames for v in f.views] == list(range(10))
    assert len({v.image for f in frames for v in f.views}) == 10


def test_a_long_tour_is_thinned_to_its_budget():
    config = KeyframeConfig(distance_m=0.5, max_keyframes=100)
    assert spacing_factor(odometry([(0.1 * k, 0, 0) for k in range(100)]), config) == 1.0
    assert spacing_factor(odometry([(0.1 * k, 0, 0) for k in range(751)]), config) == pytest.approx(1.5)
    assert spacing_factor(odometry([(1.0 * k, 0, 0) for k in range(1000)]), config) == 2.0


def test_a_tour_with_nothing_to_see_is_refused(tmp_path):
    with pytest.raises(MappingError, match=r"fake.*1 usable.*00000_front\.jpg"):
        chosen(FakeTour([picture(0)] * 10), tmp_path, rate_hz=0.0)


def test_a_rig_without_mounting_is_reduced_to_one_camera():
    tour = FakeTour([], cameras=("front", "back"))
    assert is_mounted(tour.rig) and usable_rig(tour.rig) is tour.rig
    lost = CameraRig(tuple(RigCamera(c.name, c.model, Pose3()) for c in tour.rig.cameras))
    assert not is_mounted(lost) and usable_rig(lost).names == ("front",)
    assert usable_rig(lost).cameras[0].base_from_cam.angle_to(BODY_FROM_OPTICAL) < 1e-9


def test_given_odometry_replaces_the_tours_own(tmp_path):
    tour = TourWithOdometry(FakeTour([picture(k) for k in range(30)]), odometry([(0.1 * k, 0, 0) for k in range(30)]))
    assert not is_calibrated(tour) and tour.name == "fake" and math.isclose(tour.odometry.length_m(), 2.9)
    assert image_name(tour, CameraFrame(0, "front", picture(0))) == ""
    assert chosen(tour, tmp_path, distance_m=0.5)[0][:3] == [0, 5, 10]
