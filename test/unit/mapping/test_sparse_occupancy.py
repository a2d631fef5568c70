"""A grid without a lidar says what points, depth and the drive show, and leaves the rest unknown."""

import math

import numpy as np
import yaml

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.mapping.nav2_map import load_nav2_map
from astra.mapping.occupancy import write_nav2_map
from astra.mapping.sparse_occupancy import SeenDepth, SeenPoints, occupancy_of_depth, occupancy_of_points

DRIVEN = np.column_stack([np.arange(0.0, 4.01, 0.05), np.zeros(81)])
CENTRES = [np.array([x, 0.0, 0.9]) for x in np.arange(0.0, 4.1, 0.5)]


def room(seed=0):
    """Points of a wall along y = 1.5, a floor, a lamp under the ceiling, and a lone stray point."""
    rng = np.random.default_rng(seed)
    wall = np.column_stack([rng.uniform(0, 4, 400), np.full(400, 1.52), rng.uniform(0.2, 2.0, 400)])
    floor = np.column_stack([rng.uniform(0, 4, 60), rng.uniform(-1.2, 1.2, 60), 0.01 * rng.normal(size=60)])
    lamp = np.column_stack([rng.uniform(1.9, 2.1, 50), rng.uniform(-0.6, -0.5, 50), np.full(50, 2.2)])
    return np.concatenate([wall, floor, lamp, [[3.0, -1.0, 0.6], [np.nan, 0, 0]]]), floor


def value(grid, x, y):
    row, column = grid.cells(np.array([x, y]))
    return "occupied" if grid.occupied[row, column] else "free" if grid.free[row, column] else "unknown"


def test_points_make_obstacles_and_the_floor_that_was_seen_is_free():
    points, floor = room()
    grid = occupancy_of_points([SeenPoints(c, points) for c in CENTRES], DRIVEN)
    along = [value(grid, x, 1.52) for x in np.arange(0.3, 3.8, 0.05)]
    assert along.count("occupied") > 0.8 * len(along)
    assert all(value(grid, x, 0.0) == "free" for x in np.arange(0.1, 4.0, 0.1))
    assert all(value(grid, *p[:2]) == "free" for p in floor)
    assert value(grid, 2.0, -0.55) != "occupied"  # what hangs over the robot is no obstacle
    assert value(grid, 3.0, -1.0) != "occupied"  # one point is chance
    assert value(grid, 2.0, 2.0) == "unknown" and value(grid, 2.0, 1.6) != "free"


def test_the_drive_alone_makes_a_lane():
    grid = occupancy_of_points((), DRIVEN)
    assert value(grid, 2.0, 0.1) == "free" and value(grid, 2.0, 0.6) == "unknown" and not grid.occupied.any()


def test_depth_images_make_walls_and_free_floor():
    """A camera at 0.9 m looks along x at a wall at x = 3 from y = −1 to 1; the floor before it is free."""
    camera = CameraModel.from_fov(320, 240, 1.4)
    v, u = np.mgrid[0:240, 0:320]
    rays = np.column_stack([camera.unproject(np.stack([u, v], axis=2).reshape(-1, 2).astype(float)), np.ones(76800)])
    images = []
    for k, x in enumerate((0.0, 0.6, 1.2)):
        map_from_cam = Pose3.from_pose2(Pose2(x, 0.0, 0.0), 0.9) @ BODY_FROM_OPTICAL
        world = rays @ map_from_cam.rotation.T
        with np.errstate(divide="ignore"):
            to_wall, to_floor = (3.02 - x) / world[:, 0], np.where(world[:, 2] < 0, -0.9 / world[:, 2], np.inf)
        depth = np.minimum(np.where(to_wall > 0, to_wall, np.inf), to_floor)
        depth[~np.isfinite(depth) | (depth > 6)] = 0.0
        images.append(SeenDepth(k * 10**10, map_from_cam, camera, depth.reshape(240, 320).astype(np.float32)))
    grid = occupancy_of_depth(images, DRIVEN[:25])
    assert [value(grid, 3.02, y) for y in np.arange(-0.8, 0.8, 0.1)].count("occupied") >= 14
    assert [value(grid, x, y) for x in np.arange(1.0, 2.8, 0.2) for y in (-0.4, 0.0, 0.4)].count("free") >= 24
    assert value(grid, 3.4, 0.0) == "unknown"
    down = SeenDepth(0, Pose3.from_rpy(0, math.pi / 2, 0, (0, 0, 1.0)) @ BODY_FROM_OPTICAL, camera, np.ones((240, 320), np.float32))
    assert occupancy_of_depth([down], DRIVEN) is None


def test_nav2_reads_what_is_written(tmp_path):
    points, _ = room()
    grid = occupancy_of_points([SeenPoints(c, points) for c in CENTRES], DRIVEN)
    write_nav2_map(grid, tmp_path)
    back = load_nav2_map(tmp_path / "map.yaml").occupancy()
    assert np.array_equal(back.occupied, grid.occupied) and np.array_equal(back.free, grid.free)
    entry = yaml.safe_load((tmp_path / "map.yaml").read_text())
    assert set(entry) == {"image", "mode", "resolution", "origin", "negate", "occupied_thresh", "free_thresh"}  # all that map_server needs
