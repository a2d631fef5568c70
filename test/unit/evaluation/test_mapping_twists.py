"""What goes wrong on purpose goes wrong as it should, and nothing else does."""

import math

import numpy as np
import pytest

from astra.core.types import CameraFrame, LaserScan
from astra.evaluation.mapping.twists import Clipped, Dropped, FalseLoop, Frozen, RollingExposure, false_loop
from astra.geometry import CameraModel, CameraRig, Pose2, Pose3, RigCamera, Trajectory
from astra.mapping.tour import CalibratedTour, MountedTour, Tour

CAMERAS = ("front", "back")
STEPS = 100
STAMPS = np.arange(STEPS) * 10**9
# Straight on for 20 m, then round a corner and back beside it.
PATH = np.array([(min(0.4 * k, 20.0), max(0.4 * k - 20.0, 0.0), 0.0 if 0.4 * k < 20.0 else math.pi / 2) for k in range(STEPS)])


class Plain:
    name, calibrated = "plain", True
    rig = CameraRig(tuple(RigCamera(name, CameraModel.from_fov(16, 12, 1.2), Pose3()) for name in CAMERAS))
    odometry = Trajectory(STAMPS, PATH)

    def frames(self):
        for k in range(STEPS):
            for number, camera in enumerate(CAMERAS):
                rgb = np.full((12, 16, 3), 100 + k, np.uint8)
                rgb[0, 0] = number
                yield CameraFrame(int(STAMPS[k]), camera, rgb)

    def scans(self):
        return [LaserScan(int(t), "lidar", np.ones(4, np.float32), 0.0, 0.1, 0.1, 9.0) for t in STAMPS]

    def base_from_sensor(self, frame):
        return Pose3(translation=np.array([0.0, 0.0, 0.3]))


def test_a_twisted_tour_is_a_tour():
    for tour in (Dropped(Plain()), RollingExposure(Plain()), Frozen(Plain()), FalseLoop(Plain(), 0, 10**9), Clipped(Plain(), 10**10)):
        assert isinstance(tour, Tour) and isinstance(tour, CalibratedTour) and isinstance(tour, MountedTour)
        assert tour.base_from_sensor("lidar").translation[2] == 0.3 and tour.rig.names == CAMERAS


def test_a_share_of_the_images_is_lost_the_same_ones_every_time():
    left = [(f.stamp_ns, f.camera) for f in Dropped(Plain(), 0.3).frames()]
    assert len(left) == pytest.approx(0.7 * 2 * STEPS, abs=15)
    assert left == [(f.stamp_ns, f.camera) for f in Dropped(Plain(), 0.3).frames()]
    assert left != [(f.stamp_ns, f.camera) for f in Dropped(Plain(), 0.3, seed=1).frames()]


def test_a_frozen_camera_repeats_its_picture_while_the_other_goes_on():
    frames = list(Frozen(Plain(), 0.5, 10.0, ("front",)).frames())
    front, back = ([int(f.rgb[5, 5, 0]) - 100 for f in frames if f.camera == camera] for camera in CAMERAS)
    first = next(k for k in range(STEPS) if front[k + 1] == front[k])
    assert front[first : first + 10] == [first] * 10 and front[first + 10] == first + 10
    assert back == list(range(STEPS)) and [f.stamp_ns for f in frames if f.camera == "front"] == STAMPS.tolist()


def test_light_rolls_both_ways_and_leaves_the_shape_alone():
    frames = list(RollingExposure(Plain(), 1.5, 14.0).frames())
    ratio = np.array([int(f.rgb[5, 5, 0]) / (100 + k // 2) for k, f in enumerate(frames)])
    assert ratio[0] == pytest.approx(1.0, abs=0.02) and ratio.max() > 1.4 and ratio.min() < 0.7
    assert frames[0].rgb.shape == (12, 16, 3) and frames[0].rgb.dtype == np.uint8


def test_a_clipped_tour_ends():
    tour = Clipped(Plain(), int(STAMPS[30]))
    assert max(f.stamp_ns for f in tour.frames()) == STAMPS[30] == tour.odometry.stamps_ns[-1] and len(tour.scans()) == 31


def test_the_false_wing_looks_like_the_old_one_and_is_elsewhere():
    plain = Plain()
    tour = false_loop(plain, plain.odometry, length_m=6.0, apart_m=3.0)
    assert np.all(np.diff(tour.odometry.stamps_ns) > 0) and len(tour.scans()) > STEPS
    again = [f for f in tour.frames() if f.stamp_ns > STAMPS[-1]]
    assert len(again) == len(tour.scans()[STEPS:]) * 2
    for frame in again[::5]:
        old = frame.stamp_ns - tour.shift_ns
        assert abs(float(frame.rgb[1:].mean()) - (100 + old // 10**9)) < 2.0  # the same picture but for noise
        here, there = tour.odometry.at(frame.stamp_ns), plain.odometry.at(old)
        assert here.distance_to(there) > 3.0
    end, begin = plain.odometry.at(int(STAMPS[-1])), tour.odometry.at(tour.begin_ns + tour.shift_ns)
    assert begin.distance_to(end) < 1e-6 and begin.yaw == pytest.approx(end.yaw)


def test_the_wing_keeps_its_shape():
    tour = FalseLoop(Plain(), 0, int(STAMPS[20]))
    whole = tour.odometry
    steps = [whole.at(int(t) + tour.shift_ns).inverse() @ whole.at(int(t) + 10**9 + tour.shift_ns) for t in STAMPS[:19]]
    assert all(step.distance_to(Pose2(0.4, 0.0, 0.0)) < 1e-9 for step in steps)
