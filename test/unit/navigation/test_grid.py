import math
import time

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.core.types import LaserScan
from astra.geometry import Pose2
from astra.navigation.grid import GridConfig, LocalGrid, RollingGrid

SECOND = 10**9


def at(grid: LocalGrid, x: float, y: float) -> bool:
    column, row = np.floor(grid.cells(np.array([x, y]))).astype(int)
    return bool(grid.occupied[row, column])


def test_walls_are_marked_where_they_stand_and_the_room_is_known_free(lab) -> None:
    grid = lab.look(lab.room(), Pose2(0.3, -0.2, 0.7), noise_m=0.0).grid
    assert np.all(lab.distance(lab.room(), grid.points) < 1e-3)
    assert not at(grid, 0.0, 0.0)
    column, row = np.floor(grid.cells(np.array([1.0, 1.0]))).astype(int)
    assert grid.known[row, column]


def test_the_distance_field_is_finer_than_the_cells(lab) -> None:
    grid = lab.look(lab.box(-2.013, -1.527, 2.013, 1.527), Pose2(), noise_m=0.0).grid
    places = np.random.default_rng(1).uniform([-1.8, -1.4], [1.8, 1.4], (200, 2))
    error = grid.distance_at(places) - lab.distance(lab.box(-2.013, -1.527, 2.013, 1.527), places)
    assert np.abs(error).max() < 0.03
    assert np.abs(error).mean() < 0.005


def test_an_obstacle_that_leaves_is_cleared_by_the_rays_that_pass(lab) -> None:
    rolling = RollingGrid()
    with_box = np.concatenate([lab.room(), lab.box(1.0, -0.2, 1.4, 0.2)])
    for i in range(5):
        rolling.add_scan(lab.cast(with_box, Pose2(), i * SECOND // 10), Pose2(), Pose2())
    assert at(rolling.snapshot(), 1.02, 0.0)
    for i in range(5, 10):
        rolling.add_scan(lab.cast(lab.room(), Pose2(), i * SECOND // 10), Pose2(), Pose2())
    assert not at(rolling.snapshot(), 1.02, 0.0)


def test_an_obstacle_out_of_sight_is_remembered_for_a_while_and_then_forgotten(lab) -> None:
    rolling = RollingGrid(GridConfig(memory_s=5.0))
    post = lab.box(1.5, -0.1, 1.7, 0.1)
    rolling.add_scan(lab.cast(np.concatenate([lab.room(), post]), Pose2(), 0), Pose2(), Pose2())
    screen = lab.box(0.8, -0.6, 0.85, 0.6)
    hidden = np.concatenate([lab.room(), post, screen])
    rolling.add_scan(lab.cast(hidden, Pose2(), 4 * SECOND), Pose2(), Pose2())
    assert at(rolling.snapshot(), 1.51, 0.0)
    rolling.add_scan(lab.cast(hidden, Pose2(), 8 * SECOND), Pose2(), Pose2())
    assert not at(rolling.snapshot(), 1.51, 0.0)


def test_the_grid_rolls_with_the_robot_and_keeps_obstacles_in_place(lab) -> None:
    rolling = RollingGrid()
    world = np.concatenate([lab.box(-20, -3, 20, 3), lab.box(1.0, 0.5, 1.3, 0.9)])
    for i in range(40):
        pose = Pose2(0.05 * i, -0.4, 0.05 * i)
        rolling.add_scan(lab.cast(world, pose, i * SECOND // 10), pose, Pose2())
    snapshot = rolling.snapshot()
    assert snapshot.origin_x == pytest.approx(1.95 - 4.0, abs=0.051)
    assert np.all(lab.distance(world, snapshot.points) < 0.02)
    assert at(snapshot, 1.01, 0.51)


def test_turning_and_shifting_the_sensor_on_the_robot_changes_nothing(lab) -> None:
    world, base = np.concatenate([lab.room(), lab.box(1.0, 0.5, 1.3, 0.9)]), Pose2(0.2, 0.1, 0.4)
    mount = Pose2(0.15, -0.05, math.pi)
    rolling = RollingGrid()
    rolling.add_scan(lab.cast(world, base @ mount), base, mount)
    error = lab.distance(world, rolling.snapshot().points)
    assert np.quantile(error, 0.97) < 1e-3  # a cell in a corner averages the hits on both walls
    assert error.max() < 0.04


def test_beams_without_a_reading_neither_mark_nor_clear(lab) -> None:
    rolling = RollingGrid()
    world = np.concatenate([lab.room(), lab.box(1.0, -0.2, 1.4, 0.2)])
    rolling.add_scan(lab.cast(world, Pose2(), 0), Pose2(), Pose2())
    blind = LaserScan(0, "lidar", np.full(360, np.nan, dtype=np.float32), -math.pi, 2 * math.pi / 360, 0.1, 10.0)
    before = rolling.snapshot()
    for _ in range(10):
        rolling.add_scan(blind, Pose2(), Pose2())
    assert np.array_equal(rolling.snapshot().occupied, before.occupied)


def test_a_lidar_that_sees_only_ahead_clears_only_ahead(lab) -> None:
    rolling = RollingGrid()
    behind_and_ahead = np.concatenate([lab.room(), lab.box(1.0, -0.2, 1.4, 0.2), lab.box(-1.42, -0.2, -1.02, 0.2)])
    rolling.add_scan(lab.cast(behind_and_ahead, Pose2(), 0), Pose2(), Pose2())
    full = lab.cast(lab.room(), Pose2(), 0)
    ahead = LaserScan(0, "lidar", full.ranges[90:271], full.angle_min_rad + math.pi / 2, full.angle_increment_rad, 0.1, 10.0)
    for _ in range(6):
        rolling.add_scan(ahead, Pose2(), Pose2())
    assert not at(rolling.snapshot(), 1.02, 0.0)
    assert at(rolling.snapshot(), -1.02, 0.0)


def test_returns_from_the_robot_itself_are_left_out(lab) -> None:
    grid = lab.look(np.concatenate([lab.room(), lab.box(0.1, 0.0, 0.12, 0.02)]), Pose2(), noise_m=0.0).grid
    assert np.hypot(*grid.points.T).min() > 1.0


def test_whole_cells_never_seem_farther_than_they_are(lab) -> None:
    rng = np.random.default_rng(4)
    occupied = rng.random((60, 60)) < 0.03
    grid = LocalGrid.from_occupied(occupied, -1.5, -1.5, 0.05)
    rows, columns = np.nonzero(occupied)
    low = np.stack([columns, rows], axis=1) * 0.05 - 1.5
    places = rng.uniform(-1.4, 1.4, (300, 2))
    gap = np.maximum(np.maximum(low - places[:, None], places[:, None] - low - 0.05), 0.0)
    true = np.linalg.norm(gap, axis=2).min(axis=1)
    apart = true > 0.1
    assert np.all(grid.distance_at(places)[apart] <= true[apart] + 0.005)
    assert np.all(np.linalg.norm(places[:, None] - grid.points, axis=2).min(axis=1)[apart] <= true[apart] + 0.0127)


def test_a_scan_takes_a_few_milliseconds(lab) -> None:
    rolling, times = RollingGrid(), []
    scans = [(pose := Pose2(0.02 * i, 0, 0), lab.cast(lab.room(), pose, i * SECOND // 10)) for i in range(40)]
    for pose, scan in scans:
        began = time.process_time()
        rolling.add_scan(scan, pose, Pose2())
        times.append(time.process_time() - began)
    assert np.median(times) < 0.010  # about 2 ms on the machines we measured; the bound leaves room for busy ones


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ConfigError, match="resolution_m"):
        GridConfig(resolution_m=0.0)
