"""Edges are where the tour drove, or where it could have."""

import itertools
import math

import numpy as np
import pytest
from toy_catalogue import ToyCatalogue

from astra.core.types import LaserScan
from astra.geometry import BODY_FROM_OPTICAL, Pose2, Pose3, Trajectory
from astra.mapping.graph import GraphConfig, build_edges, position_sigmas
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.metric import MetricFragment
from astra.mapping.occupancy import OccupancyConfig, build_occupancy
from astra.mapping.passage import PassageConfig
from astra.mapping.scale import ScaleEstimate
from astra.mapping.sfm import SfmFragment
from astra.sim.worlds.office import plan_office
from astra.sim.worlds.plan import WALL_M
from astra.topomap import EdgeKind, Node, View

# A hairpin: out along y = 0, back along y = 0.8.
POSES = [Pose2(0.5 * k, 0.0, 0.0) for k in range(6)] + [Pose2(2.5 - 0.5 * k, 0.8, math.pi) for k in range(6)]


def nodes_of(poses, fragment=lambda k: 0, skip=()):
    return {k: Node(k, k, Pose3.from_pose2(p), (), (), fragment(k)) for k, p in enumerate(poses) if k not in skip}


def keyframes_of(poses, tour=lambda k: 0):
    return [Keyframe(k, tour(k), (k + 1) * 10**9, p, ()) for k, p in enumerate(poses)]


def wall_between(points):
    """Scans of a wall along y = 0.4 as seen from the drive."""
    scans = []
    for k, pose in enumerate(points):
        angles = -math.pi + math.pi / 180 * np.arange(360)
        world = angles + pose.yaw
        with np.errstate(divide="ignore"):
            to_wall = (0.4 - pose.y) / np.sin(world)
        x = pose.x + to_wall * np.cos(world)
        ranges = np.where((to_wall > 0) & (np.abs(x - 1.2) < 3.0), to_wall, 3.0)
        scans.append(LaserScan((k + 1) * 10**9, "lidar", ranges.astype(np.float32), -math.pi, math.pi / 180, 0.05, 10.0))
    track = Trajectory(np.arange(1, len(points) + 1) * 10**9, np.array([(p.x, p.y, p.yaw) for p in points]))
    return build_occupancy([(track, scans, {"lidar": Pose2()})], OccupancyConfig(driven_radius_m=0.1))


def kinds(edges):
    return {(e.a, e.b): e.kind for e in edges}


ALL = {k: frozenset(range(100)) for k in range(len(POSES))}


def test_consecutive_nodes_are_driven_edges_with_their_length():
    edges = build_edges(nodes_of(POSES), keyframes_of(POSES), dict.fromkeys(range(12), frozenset()), None)
    assert [(e.a, e.b) for e in edges] == [(k, k + 1) for k in range(11)]
    assert all(e.kind is EdgeKind.DRIVEN for e in edges)
    assert edges[0].length_m == pytest.approx(0.5) and edges[5].length_m == pytest.approx(0.8)
    assert all(math.isnan(e.width_m) for e in edges)


def test_a_wall_that_the_scans_saw_is_not_crossed():
    edges = build_edges(nodes_of(POSES), keyframes_of(POSES), ALL, wall_between(POSES), GraphConfig(passage=PassageConfig(clearance_m=0.1)))
    across = [(a, b) for a, b in kinds(edges) if a < 6 <= b and (a, b) != (5, 6)]
    assert across == []
    along = [e for e in edges if e.b < 6]
    assert all(2.5 < e.width_m < 3.1 for e in along if e.kind is EdgeKind.DRIVEN)  # from the wall to as far as is told


def test_without_a_wall_near_nodes_that_share_points_are_joined():
    points = [Pose2(p.x, p.y, p.yaw) for p in POSES]
    free = [LaserScan((k + 1) * 10**9, "lidar", np.full(360, 2.9, np.float32), -math.pi, math.pi / 180, 0.05, 10.0) for k in range(12)]
    track = Trajectory(np.arange(1, 13) * 10**9, np.array([(p.x, p.y, p.yaw) for p in points]))
    grid = build_occupancy([(track, free, {"lidar": Pose2()})])
    grid.log_odds[grid.occupied] = 0.0
    edges = kinds(build_edges(nodes_of(POSES), keyframes_of(POSES), ALL, grid))
    assert edges[0, 11] is EdgeKind.VISIBLE and edges[2, 9] is EdgeKind.VISIBLE
    assert max(np.hypot(POSES[a].x - POSES[b].x, POSES[a].y - POSES[b].y) for a, b in edges) <= 1.5
    few = ALL | {9: frozenset(range(3))}
    assert (2, 9) not in kinds(build_edges(nodes_of(POSES), keyframes_of(POSES), few, grid))


def test_without_scans_visible_edges_stay_near_the_drive():
    edges = kinds(build_edges(nodes_of(POSES), keyframes_of(POSES), ALL, None))
    assert (0, 11) not in edges  # 0.8 m apart, the middle is 0.4 m from where anything drove
    assert (0, 2) in edges


def test_fragments_and_tours_are_not_joined_by_succession():
    edges = kinds(build_edges(nodes_of(POSES, lambda k: int(k >= 6)), keyframes_of(POSES), ALL, None))
    assert (5, 6) not in edges and not any(a < 6 <= b for a, b in edges)
    two_tours = kinds(build_edges(nodes_of(POSES), keyframes_of(POSES, lambda k: int(k >= 6)), dict.fromkeys(range(12), frozenset()), None))
    assert (5, 6) not in two_tours


def test_a_long_gap_is_bridged_only_by_known_free_space():
    skip = (1, 2, 3, 4, 5, 6, 7, 8)
    far = [Pose2(1.0 * k, 0.0, 0.0) for k in range(12)]
    nothing = dict.fromkeys(range(12), frozenset())
    assert build_edges(nodes_of(far, skip=skip), keyframes_of(far), nothing, None)[0].a == 9
    track = Trajectory(np.arange(1, 13) * 10**9, np.array([(p.x, p.y, p.yaw) for p in far]))
    free = [LaserScan((k + 1) * 10**9, "lidar", np.full(360, 2.9, np.float32), -math.pi, math.pi / 180, 0.05, 10.0) for k in range(12)]
    grid = build_occupancy([(track, free, {"lidar": Pose2()})])
    grid.log_odds[grid.occupied] = 0.0
    assert (0, 9) in kinds(build_edges(nodes_of(far, skip=skip), keyframes_of(far), nothing, grid))


def with_cameras(poses, height=1.0):
    """Nodes whose camera looks ahead from `height`."""
    return {
        k: Node(k, k, Pose3.from_pose2(p), (View(k, "front", "", Pose3.from_pose2(p, height) @ BODY_FROM_OPTICAL),)) for k, p in enumerate(poses)
    }


def test_nodes_that_see_the_same_things_over_a_wall_are_not_joined():
    """A low wall along y = 0.2 between two tracks 0.4 m apart: both see everything above it, no lidar."""
    poses = [Pose2(0.4 * k, 0.0, 0.0) for k in range(6)] + [Pose2(2.0 - 0.4 * k, 0.4, math.pi) for k in range(6)]
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(-0.5, 1.8, 120), 0.2 + 0.01 * rng.normal(size=120), rng.uniform(0.1, 0.6, 120)])
    over = np.column_stack([rng.uniform(-0.5, 3, 200), rng.uniform(-2, 2, 200), rng.uniform(1.5, 2.4, 200)])

    def across(points):
        edges = kinds(build_edges(with_cameras(poses), keyframes_of(poses), ALL, None, points={0: points}))
        return {(a, b) for a, b in edges if a < 6 <= b and poses[a].x < 1.5 and poses[b].x < 1.5}

    assert (1, 10) in across(over)
    assert across(np.concatenate([wall, over])) == set()


def test_a_pane_that_the_lidar_looks_through_stops_by_its_frame_and_handle():
    poses = [Pose2(0.0, 0.0, 0.0), Pose2(0.5, 0.0, 0.0), Pose2(1.3, 0.0, 0.0), Pose2(1.8, 0.0, 0.0)]
    frames = [Keyframe(k, k // 2, (k + 1) * 10**9, p, ()) for k, p in enumerate(poses)]  # two tours, one on either side of x = 0.9
    free = [LaserScan((k + 1) * 10**9, "lidar", np.full(360, 2.9, np.float32), -math.pi, math.pi / 180, 0.05, 10.0) for k in range(4)]
    grid = build_occupancy([(Trajectory(np.arange(1, 5) * 10**9, np.array([(p.x, p.y, p.yaw) for p in poses])), free, {"lidar": Pose2()})])
    grid.log_odds[grid.occupied] = -1.0
    handle = np.column_stack([np.full(6, 0.9), np.linspace(-0.05, 0.08, 6), np.full(6, 0.95)])
    assert (1, 2) in kinds(build_edges(with_cameras(poses), frames, ALL, grid))
    assert (1, 2) not in kinds(build_edges(with_cameras(poses), frames, ALL, grid, points={0: handle}))


def through(middle, heading, walls, rng, reach=1.8):
    """Scans of a drive of `reach` to either side of a place among walls (segments), and the graph's edges."""
    ahead = np.array([math.cos(heading), math.sin(heading)])
    poses = [Pose2(float(x), float(y), heading) for x, y in (np.array(middle) + ahead * d for d in np.arange(-reach, reach + 0.01, 0.4))]
    scans = []
    for k, pose in enumerate(poses):
        world = heading - math.pi + math.pi / 360 * np.arange(720)
        ranges = np.min([hits(pose, world, *wall) for wall in walls], axis=0) + 0.01 * rng.normal(size=720)
        scans.append(LaserScan((k + 1) * 10**9, "lidar", ranges.astype(np.float32), -math.pi, math.pi / 360, 0.05, 10.0))
    track = Trajectory(np.arange(1, len(poses) + 1) * 10**9, np.array([(p.x, p.y, p.yaw) for p in poses]))
    grid = build_occupancy([(track, scans, {"lidar": Pose2()})], OccupancyConfig(driven_radius_m=0.1))
    return build_edges(nodes_of(poses), keyframes_of(poses), dict.fromkeys(range(len(poses)), frozenset()), grid)


def outline(x0, y0, x1, y1):
    """The four sides of a box."""
    return [((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))]


def hits(pose, angles, start, end):
    """Ranges at which rays meet a wall; 20 m where they do not."""
    start, end, ray = np.array(start), np.array(end), np.stack([np.cos(angles), np.sin(angles)], axis=1)
    wall, to = end - start, start - np.array([pose.x, pose.y])
    cross = ray[:, 0] * wall[1] - ray[:, 1] * wall[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (to[0] * wall[1] - to[1] * wall[0]) / cross
        along = (to[0] * ray[:, 1] - to[1] * ray[:, 0]) / cross
    return np.where((distance > 0) & (along >= 0) & (along <= 1), distance, 20.0)


@pytest.mark.parametrize(("width", "offset", "angle"), [(0.8, 0.0, 0.0), (0.9, 0.12, 0.0), (1.2, -0.2, 0.3), (1.0, 0.05, -0.6)])
def test_a_doorway_is_as_wide_as_it_is_wherever_the_robot_went_through(width, offset, angle):
    walls = [*outline(2.0, width / 2, 2.15, 3.0), *outline(2.0, -3.0, 2.15, -width / 2), *outline(-1.0, -3.0, 5.0, 3.0)]
    edges = through((2.0, offset), angle, walls, np.random.default_rng(0))
    assert min(e.width_m for e in edges) == pytest.approx(width, abs=0.1)
    assert edges[0].width_m > 1.5


@pytest.mark.parametrize("seed", (1, 4, 3))
def test_the_doorways_of_a_generated_office_are_known_within_ten_centimetres(seed):
    """Its walls alone: what furniture leaves of a doorway is not its width."""
    boxes, doors = [], []
    for wall in plan_office(seed, ToyCatalogue()).walls:
        along = int(wall.a[0] == wall.b[0])  # 1: the wall runs along y
        low, high = sorted((wall.a[along], wall.b[along]))
        for k, (a, b) in enumerate(itertools.pairwise([low, *itertools.chain(*sorted(wall.openings)), high])):
            near, far = wall.a[1 - along] - WALL_M / 2, wall.a[1 - along] + WALL_M / 2
            if (k % 2 == 0 and b <= a) or (k % 2 == 1 and not low < a < b < high):
                continue  # an opening up to the next wall has no jamb on that side
            (doors if k % 2 else boxes).append((near, a, far, b) if along else (a, near, b, far))
    walls = list(itertools.chain(*(outline(*box) for box in boxes)))
    rng = np.random.default_rng(seed)
    errors = []
    for x0, y0, x1, y1 in doors:
        along = int(x1 - x0 < y1 - y0)
        room = (x0 - 0.9, y0 + 0.02, x1 + 0.9, y1 - 0.02) if along else (x0 + 0.02, y0 - 0.9, x1 - 0.02, y1 + 0.9)
        if any(room[0] < box[2] and box[0] < room[2] and room[1] < box[3] and box[1] < room[3] for box in boxes):
            continue  # another wall stands in front of it
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        middle[along] += rng.uniform(-0.1, 0.1)
        edges = through(middle, (0.0 if along else math.pi / 2) + rng.uniform(-0.3, 0.3), walls, rng, reach=0.8)
        errors.append(min(e.width_m for e in edges) - max(x1 - x0, y1 - y0))
    assert len(errors) >= 3 and np.abs(errors).max() < 0.1, np.round(errors, 3)


def sigma_with(points, noise_px=1.0, scale_sigma=0.0, x=0.0):
    base = Pose3.from_pose2(Pose2(x, 0.0, 0.0))
    cam = base @ BODY_FROM_OPTICAL
    sfm = SfmFragment({}, {}, points, np.full(len(points), noise_px), {0: np.arange(len(points))}, {}, math.nan, None)
    fragment = MetricFragment(sfm, ScaleEstimate(1.0, scale_sigma, "odometry"), Pose3(), {0: base}, {0: cam}, points, 0.0)
    return position_sigmas(fragment, [Keyframe(0, 0, 0, None, (KeyView(0, "front", ""),))], 112.0)[0]


def test_sigma_falls_with_points_and_grows_with_noise_and_distance():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(2, 5, 400), rng.uniform(-2, 2, 400), rng.uniform(-1, 1, 400)])
    many, few = sigma_with(points), sigma_with(points[:100])
    assert few / many == pytest.approx(2.0, rel=0.3)
    assert sigma_with(points, noise_px=3.0) / many == pytest.approx(3.0, rel=0.01)
    assert sigma_with(points + np.array([10.0, 0, 0]), scale_sigma=0.02, x=10.0) == pytest.approx(0.2, rel=0.01)


def test_sigma_is_what_repeated_resections_scatter_by():
    """Monte Carlo: solve the camera's position again and again from noisy pixels."""
    import cv2

    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(2, 5, 60), rng.uniform(-2, 2, 60), rng.uniform(-1, 1, 60)])
    in_cam = BODY_FROM_OPTICAL.inverse().apply(points)
    matrix = np.array([[112.0, 0, 112], [0, 112.0, 80], [0, 0, 1]])
    pixels = (in_cam[:, :2] / in_cam[:, 2:]) * 112.0 + [112, 80]
    centres = []
    for _ in range(300):
        noisy = pixels + rng.normal(size=pixels.shape)
        _, rvec, tvec = cv2.solvePnP(in_cam, noisy, matrix, None, np.zeros(3), np.zeros(3), True, cv2.SOLVEPNP_ITERATIVE)
        centres.append(-cv2.Rodrigues(rvec)[0].T @ tvec.ravel())
    assert sigma_with(points) == pytest.approx(np.sqrt(np.mean(np.var(centres, axis=0))), rel=0.15)
