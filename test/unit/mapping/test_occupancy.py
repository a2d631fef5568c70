"""The grid of a square room is that room; it stays one when odometry drifts and SfM corrects it."""

import math

import numpy as np
import pytest
import yaml

from astra.core.types import LaserScan
from astra.geometry import Pose2, Trajectory
from astra.mapping.keyframes import Keyframe
from astra.mapping.occupancy import OccupancyConfig, build_occupancy, refined_trajectory, stretches, write_nav2_map

HALF_M = 2.0


def room_scan(stamp_ns, map_from_sensor, beams=360):
    """What a lidar sees in the square |x|, |y| ≤ 2 m."""
    angles = -math.pi + 2 * math.pi / beams * np.arange(beams)
    world = angles + map_from_sensor.yaw
    with np.errstate(divide="ignore", invalid="ignore"):
        to_x = (np.sign(np.cos(world)) * HALF_M - map_from_sensor.x) / np.cos(world)
        to_y = (np.sign(np.sin(world)) * HALF_M - map_from_sensor.y) / np.sin(world)
    ranges = np.minimum(np.where(to_x > 0, to_x, np.inf), np.where(to_y > 0, to_y, np.inf))
    return LaserScan(stamp_ns, "lidar", ranges.astype(np.float32), -math.pi, 2 * math.pi / beams, 0.1, 10.0)


def drive(count=60):
    return [Pose2(1.2 * math.cos(a), 1.2 * math.sin(a), a + math.pi / 2) for a in np.linspace(0, 2 * math.pi, count)]


def track_of(poses):
    return Trajectory(np.arange(1, len(poses) + 1) * 10**9, np.array([(p.x, p.y, p.yaw) for p in poses]))


def room_grid(poses=None, seen_from=None, **overrides):
    seen_from = seen_from or drive()
    scans = [room_scan((k + 1) * 10**9, pose) for k, pose in enumerate(seen_from)]
    return build_occupancy([(track_of(poses or seen_from), scans, {"lidar": Pose2()})], OccupancyConfig(**overrides))


def assert_is_the_room(grid, tolerance_m=0.08):
    resolution = grid.config.resolution_m
    rows, columns = np.nonzero(grid.occupied)
    points = np.stack([columns, rows], axis=1) * resolution + grid.origin + resolution / 2
    from_wall = np.abs(np.abs(points).max(axis=1) - HALF_M)
    assert from_wall.max() < tolerance_m
    walls = [(HALF_M, t) for t in np.linspace(-1.8, 1.8, 30)] + [(t, -HALF_M) for t in np.linspace(-1.8, 1.8, 30)]
    assert max(np.linalg.norm(points - w, axis=1).min() for w in np.array(walls)) < 2 * resolution
    inside = np.array([(x, y) for x in np.linspace(-1.7, 1.7, 20) for y in np.linspace(-1.7, 1.7, 20)])
    cells = grid.cells(inside)
    assert grid.free[cells[:, 0], cells[:, 1]].all()
    outside = grid.cells(np.array([(2.4, 0.0), (0.0, -2.4)]))
    assert not grid.free[outside[:, 0], outside[:, 1]].any() and not grid.occupied[outside[:, 0], outside[:, 1]].any()


def test_a_square_room_is_recovered():
    assert_is_the_room(room_grid())


def test_an_obstacle_behind_a_longer_neighbouring_ray_stays():
    pose = Pose2()
    scan = room_scan(10**9, pose)
    ranges = scan.ranges.copy()
    ranges[200] = 1.0  # a table leg one beam wide
    scans = [LaserScan((k + 1) * 10**9, "lidar", ranges, scan.angle_min_rad, scan.angle_increment_rad, 0.1, 10.0) for k in range(6)]
    track = track_of([pose] * 6)
    grid = build_occupancy([(track, scans, {"lidar": Pose2()})], OccupancyConfig(min_step_m=0.0, min_turn_rad=0.0))
    angle = scan.angles()[200]
    row, column = grid.cells(np.array([math.cos(angle), math.sin(angle)]))
    assert grid.occupied[row, column]


def test_misses_free_only_part_of_the_reach_and_nothing_beyond():
    nothing = LaserScan(10**9, "lidar", np.full(360, np.inf, np.float32), -math.pi, math.pi / 180, 0.1, 10.0)
    grid = build_occupancy([(track_of([Pose2(), Pose2()]), [nothing] * 4, {"lidar": Pose2()})], OccupancyConfig(min_step_m=0.0, min_turn_rad=0.0))
    assert not grid.occupied.any()
    near, far = grid.cells(np.array([(3.0, 0.0), (4.5, 0.0)]))
    assert grid.free[tuple(near)] and not grid.free[tuple(far)]


def test_what_was_driven_over_is_free_whatever_the_scans_say():
    person = LaserScan(10**9, "lidar", np.full(360, 0.5, np.float32), -math.pi, math.pi / 180, 0.1, 10.0)
    track = track_of([Pose2(0.1 * k, 0.0, 0.0) for k in range(12)])
    grid = build_occupancy([(track, [person], {"lidar": Pose2()})])
    cells = grid.cells(np.array([(0.1 * k, 0.0) for k in range(12)]))
    assert grid.free[cells[:, 0], cells[:, 1]].all()


def test_scans_are_placed_by_sfm_where_odometry_drifted():
    truth = drive()
    odometry, pose = [], Pose2()
    for a, b in zip(truth, truth[1:] + truth[-1:]):
        odometry.append(pose)
        step = a.inverse() @ b
        pose = pose @ Pose2(1.03 * step.x, step.y, step.yaw + 0.01)
    frames = [Keyframe(k, 0, (k + 1) * 10**9, odometry[k], ()) for k in range(0, 60, 5)]
    track = refined_trajectory(frames, {f.id: truth[f.id] for f in frames}, track_of(odometry))
    error = [math.hypot(x - p.x, y - p.y) for (x, y, _), p in zip(track.poses[:56], truth)]
    assert max(error) < 0.02
    scans_seen_from_truth = truth[:56]
    assert_is_the_room(room_grid([Pose2(*row) for row in track.poses[:56]], scans_seen_from_truth), tolerance_m=0.1)


def test_scans_of_a_stretch_that_another_fragment_holds_are_left_out():
    track = track_of([Pose2(0.1 * k, 0.0, 0.0) for k in range(30)])
    scans = [room_scan((k + 1) * 10**9, Pose2()) for k in range(30)]
    here, elsewhere = (np.array([k * 10**9 for k in seconds]) for seconds in ((1, 6, 24, 29), (11, 15, 19)))
    parts = stretches(track, scans, here, elsewhere)
    assert [(int(t.stamps_ns[0]), int(t.stamps_ns[-1])) for t, _ in parts] == [(10**9, 8 * 10**9), (22 * 10**9, 30 * 10**9)]
    assert [len(seen) for _, seen in parts] == [8, 9]
    assert [len(seen) for _, seen in stretches(track, scans, here, np.zeros(0, np.int64))] == [30]


def test_nav2_reads_the_same_room(tmp_path):
    grid = room_grid()
    write_nav2_map(grid, tmp_path)
    info = yaml.safe_load((tmp_path / "map.yaml").read_text())
    magic, size, depth, data = (tmp_path / info["image"]).read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    image = np.frombuffer(data, np.uint8).reshape(height, width)
    assert magic == b"P5" and depth == b"255" and info["mode"] == "trinary" and info["negate"] == 0
    # map_server: occupancy = (255 − value) / 255; row 0 of the image is the top.
    occupancy = (255.0 - image[::-1]) / 255.0
    np.testing.assert_array_equal(occupancy > info["occupied_thresh"], grid.occupied)
    np.testing.assert_array_equal(occupancy < info["free_thresh"], grid.free)
    assert info["origin"][:2] == pytest.approx(grid.origin.tolist()) and info["resolution"] == grid.config.resolution_m


def test_no_scans_no_grid():
    assert build_occupancy([(track_of(drive()), [], {})]) is None


def scan_with_person(stamp_ns, map_from_sensor, person, radius_m=0.25):
    """The room's scan with somebody standing in it."""
    scan = room_scan(stamp_ns, map_from_sensor)
    local = map_from_sensor.inverse().apply(np.array([person]))[0]
    along = scan.angles().astype(np.float64)
    forward = local[0] * np.cos(along) + local[1] * np.sin(along)
    inside = radius_m**2 - (local @ local - forward**2)
    hit = forward - np.sqrt(np.maximum(inside, 0.0))
    ranges = np.where((inside > 0) & (forward > 0), np.minimum(scan.ranges, hit), scan.ranges)
    return LaserScan(stamp_ns, "lidar", ranges.astype(np.float32), scan.angle_min_rad, scan.angle_increment_rad, 0.1, 10.0)


@pytest.mark.parametrize("stands_at", [range(10), range(25, 35), range(50, 60)], ids=["first", "midway", "last"])
def test_somebody_who_stood_there_for_a_while_leaves_no_mark(stands_at):
    person, poses = (0.1, -0.2), drive()
    scans = [
        scan_with_person((k + 1) * 10**9, pose, person) if k in stands_at else room_scan((k + 1) * 10**9, pose) for k, pose in enumerate(poses)
    ]
    assert_is_the_room(build_occupancy([(track_of(poses), scans, {"lidar": Pose2()})]))


def test_what_stands_there_all_the_time_stays():
    pillar, poses = (0.1, -0.2), drive()
    scans = [scan_with_person((k + 1) * 10**9, pose, pillar) for k, pose in enumerate(poses)]
    grid = build_occupancy([(track_of(poses), scans, {"lidar": Pose2()})])
    ring = np.array([(pillar[0] + 0.25 * math.cos(a), pillar[1] + 0.25 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 24)])
    cells = grid.cells(ring)
    near = np.lib.stride_tricks.sliding_window_view(np.pad(grid.occupied, 1), (3, 3)).any(axis=(2, 3))
    assert near[cells[:, 0], cells[:, 1]].all()
