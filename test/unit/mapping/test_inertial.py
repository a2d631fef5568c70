"""Gravity within half a degree, and a scale with an honest sigma, from an IMU and poses whose truth is known."""

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose3, RigCamera
from astra.mapping.clues import MetricClues
from astra.mapping.inertial import GRAVITY_MPS2, ImuTrack, imu_reading, up_of_imu
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.metric import inconsistencies, to_metric
from astra.mapping.sfm import SfmFragment

CAM_FROM_IMU = Pose3.from_rpy(0.3, -1.2, 0.5, (0.05, -0.02, 0.03))
SFM_FROM_WORLD = Pose3.from_rpy(0.4, -0.7, 2.0, (3.0, -1.0, 5.0))
UP = SFM_FROM_WORLD.rotation[:, 2]
UNITS_PER_M = 0.37
RATE_HZ = 200


def walk(seconds, vigour, seed=0):
    """A smooth path of an IMU in the hand: stamps (N,) ns, world_from_imu rotations, positions (N, 3), and its exact readings."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tones = rng.uniform(0.3, 1.2, (3, 4)), rng.uniform(0, 2 * math.pi, (3, 4)), rng.normal(size=(3, 4)) * vigour
    position = np.array([sum(a * np.sin(w * t + p) for w, p, a in zip(*axis)) for axis in zip(*tones)]).T
    force = np.array([sum(-a * w * w * np.sin(w * t + p) for w, p, a in zip(*axis)) for axis in zip(*tones)]).T + [0, 0, GRAVITY_MPS2]
    turn = Rotation.from_euler("zyx", np.stack([0.35 * t, 0.25 * np.sin(0.8 * t), 0.2 * np.sin(0.6 * t + 1)], axis=1))
    gyro = (turn[:-1].inv() * turn[1:]).as_rotvec() * RATE_HZ
    return (t * 1e9).astype(np.int64) + 10**9, turn, position, np.concatenate([gyro, gyro[-1:]]), turn.inv().apply(force)


def track_of(stamps, gyro, accel, seed=0, gyro_bias=(0.01, -0.02, 0.015), accel_bias=(0.05, -0.06, 0.04)):
    rng = np.random.default_rng(seed)
    noisy = accel + np.array(accel_bias) + 0.03 * rng.normal(size=accel.shape)
    return ImuTrack(stamps, gyro + np.array(gyro_bias) + 0.003 * rng.normal(size=gyro.shape), noisy, CAM_FROM_IMU)


def fragment_of(stamps, rotations, positions, noise_m=0.003, noise_rad=0.002, seed=0):
    """What SfM would return for the IMU's poses, and its keyframes."""
    rng = np.random.default_rng(seed)
    poses, frames = {}, []
    for k, (stamp, rotation, position) in enumerate(zip(stamps, rotations, positions)):
        cam = SFM_FROM_WORLD @ Pose3(rotation, position) @ CAM_FROM_IMU.inverse()
        turned = cam.rotation @ Pose3.from_rpy(*(noise_rad * rng.normal(size=3))).rotation
        poses[k] = Pose3(turned, (cam.translation + noise_m * rng.normal(size=3)) * UNITS_PER_M)
        frames.append(Keyframe(k, 0, int(stamp), None, (KeyView(k, "camera", f"{k}.jpg"),)))
    empty = np.zeros((0, 3))
    return SfmFragment(poses, poses, empty, np.zeros(0), {}, {}, math.nan, Path()), frames


def made(seconds=40.0, vigour=0.3, seed=0):
    stamps, turn, position, gyro, accel = walk(seconds, vigour, seed)
    kept = slice(30, -30, 100)
    fragment, frames = fragment_of(stamps[kept], turn[kept].as_matrix(), position[kept], seed=seed)
    return fragment, frames, track_of(stamps, gyro, accel, seed)


def degrees_off(up):
    return math.degrees(math.acos(min(1.0, float(up.direction @ UP))))


@pytest.mark.parametrize("seed", range(4))
def test_gravity_is_found_within_half_a_degree_and_knows_its_sigma(seed):
    fragment, frames, track = made(seed=seed)
    up = up_of_imu(fragment, frames, {0: track})
    assert up.source == "imu" and degrees_off(up) < 0.5
    assert degrees_off(up) < 3 * math.degrees(up.sigma_rad) < 2.0


@pytest.mark.parametrize("seed", range(4))
def test_the_scale_of_a_lively_hand_is_within_its_sigma(seed):
    fragment, frames, track = made(seed=seed)
    reading = imu_reading(fragment, frames, {0: track})
    assert abs(reading.metres_per_unit * UNITS_PER_M - 1) < min(2.5 * reading.sigma, 0.06)
    assert reading.sigma < 0.06


def test_a_camera_that_is_hardly_accelerated_has_no_scale():
    fragment, frames, track = made(vigour=0.004)
    reading = imu_reading(fragment, frames, {0: track})
    assert reading is None or reading.sigma > 0.15 or abs(reading.metres_per_unit * UNITS_PER_M - 1) < 2 * reading.sigma
    rig = [CameraRig((RigCamera("camera", CameraModel.from_fov(64, 48, 1.2), BODY_FROM_OPTICAL),))]
    metric = to_metric(fragment, frames, rig, False, clues=MetricClues(imu={0: track}))
    assert metric.scale.source == "unknown" and degrees_off(metric.up) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_an_imu_of_which_nobody_says_how_it_is_bolted_on_is_placed_by_its_turns(seed):
    fragment, frames, track = made(seed=seed)
    loose = ImuTrack(track.stamps_ns, track.gyro, track.accel, None)
    up = up_of_imu(fragment, frames, {0: loose})
    assert degrees_off(up) < 0.5
    reading = imu_reading(fragment, frames, {0: loose})
    assert abs(reading.metres_per_unit * UNITS_PER_M - 1) < 3 * reading.sigma < 0.25


def test_an_imu_that_does_not_turn_with_the_camera_is_not_believed():
    fragment, frames, track = made()
    late = ImuTrack(track.stamps_ns + 3 * 10**9, track.gyro, track.accel, None)
    assert up_of_imu(fragment, frames, {0: late}) is None and imu_reading(fragment, frames, {0: late}) is None


def test_holes_in_the_recording_are_left_out():
    fragment, frames, track = made()
    kept = (track.stamps_ns < 12 * 10**9) | (track.stamps_ns > 14 * 10**9)
    holed = ImuTrack(track.stamps_ns[kept], track.gyro[kept], track.accel[kept], track.cam_from_imu)
    assert degrees_off(up_of_imu(fragment, frames, {0: holed})) < 0.5
    short = track.stamps_ns < 4 * 10**9
    assert up_of_imu(fragment, frames, {0: ImuTrack(track.stamps_ns[short], track.gyro[short], track.accel[short], CAM_FROM_IMU)}) is None
    in_g = ImuTrack(track.stamps_ns, track.gyro, track.accel / GRAVITY_MPS2, CAM_FROM_IMU)
    assert up_of_imu(fragment, frames, {0: in_g}) is None


def test_a_robot_on_a_ramp_is_told():
    """The whole floor leans by 4° against gravity: the map keeps the floor as its ground, and says so."""
    count = 80
    drive = [Pose3.from_rpy(0, 0, 0.12 * k, (2 * math.sin(0.12 * k), 2 - 2 * math.cos(0.12 * k), 0.0)) for k in range(count)]
    ramp = Pose3.from_rpy(math.radians(4.0), 0.0, 0.0)
    base_from_cam = Pose3.from_rpy(0, 0.1, 0, (0.1, 0, 0.5)) @ BODY_FROM_OPTICAL
    poses = {k: ramp @ pose @ base_from_cam for k, pose in enumerate(drive)}
    frames = [Keyframe(k, 0, 10**9 + k * 5 * 10**8, None, (KeyView(k, "front", f"{k}.jpg"),)) for k in range(count)]
    stamps = 10**9 + np.arange(0, (count - 1) * 50 + 1) * 10**7
    turn = Rotation.from_matrix([ramp.rotation]) * Rotation.from_euler("z", 0.12 * (stamps[:, None] - 10**9) / 5e8)
    accel = turn.inv().apply([0, 0, GRAVITY_MPS2]) + [0, 2 * 0.24**2, 0]
    track = ImuTrack(stamps, np.tile([0, 0, 0.24], (len(stamps), 1)), accel, base_from_cam.inverse())
    rigs = [CameraRig((RigCamera("front", CameraModel.from_fov(64, 48, 1.2), base_from_cam),))]
    empty = SfmFragment(poses, poses, np.zeros((0, 3)), np.zeros(0), {}, {}, 1.0, Path())
    metric = to_metric(empty, frames, rigs, True, clues=MetricClues(imu={0: track}))
    assert metric.up.source == "poses" and metric.gravity_sigmas > 3
    assert any("not level" in text for text in inconsistencies(metric, frames, rigs, True))


@pytest.mark.skipif(not os.environ.get("ASTRA_REAL_DATA"), reason="ASTRA_REAL_DATA is not set: the drone's flight is not at hand")
def test_on_a_real_flight():
    folder = Path(os.environ["ASTRA_REAL_DATA"]) / "euroc_v101"
    with gzip.open(folder / "imu.csv.gz", "rt") as stream:
        lines = [line.split(",") for line in stream if not line.startswith("#")]
    imu = np.array([line[1:] for line in lines], dtype=float)
    track = ImuTrack(np.array([int(line[0]) for line in lines]), imu[:, :3], imu[:, 3:], CAM_FROM_IMU)
    with gzip.open(folder / "groundtruth.tum.gz", "rt") as stream:
        truth = [line.split() for line in stream if not line.startswith("#")][::10]  # two poses a second
    stamps = [int(row[0].split(".")[0]) * 10**9 + int(row[0].split(".")[1].ljust(9, "0")[:9]) for row in truth]
    poses = [Pose3.from_quaternion(np.array(row[4:], dtype=float), np.array(row[1:4], dtype=float)) for row in truth]
    fragment, frames = fragment_of(stamps, [p.rotation for p in poses], [p.translation for p in poses], noise_m=0.005)
    assert degrees_off(up_of_imu(fragment, frames, {0: track})) < 0.5
    reading = imu_reading(fragment, frames, {0: track})
    assert abs(reading.metres_per_unit * UNITS_PER_M - 1) < min(2.5 * reading.sigma, 0.05)
