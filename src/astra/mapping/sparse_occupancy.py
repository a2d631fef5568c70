"""Occupancy without a lidar: obstacles where triangulated points or depth images show them, free where the tour went or the floor was seen.

Triangulated points are sparse: a bare wall has none. So nothing is called free because no point stands there; most of such a grid is unknown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, LaserScan
from astra.geometry import CameraModel, Pose2, Pose3
from astra.mapping.assemble import Reconstruction
from astra.mapping.occupancy import Occupancy, OccupancyConfig, clear_driven, empty_grid, grid_of_scans
from astra.mapping.passage import driven_places
from astra.mapping.scale import UNKNOWN_SOURCE
from astra.mapping.tour import DepthTour, Tour


@dataclass(frozen=True, slots=True)
class SparseConfig:
    """What a point says about the cell under it."""

    min_height_m: float = 0.1  # of an obstacle over the floor
    max_height_m: float = 1.5
    floor_m: float = 0.05  # a point this near to z = 0 is floor
    free_below_m: float = 0.25  # the part of a ray to the floor that runs lower frees the cells under it
    min_points: int = 2  # of a cell and its neighbours that make an obstacle
    max_range_m: float = 8.0  # from the camera
    beams: int = 180  # at most, into which a depth image's columns are gathered
    depth_tolerance_s: float = 0.05  # between a keyframe and its depth image
    max_gap_m: float = 2.5  # between keyframes that follow one another, for the way between them to count as driven

    def __post_init__(self) -> None:
        require(0.0 < self.floor_m < self.min_height_m < self.max_height_m, "min_height_m", self.min_height_m, "between floor_m and max_height_m")
        require(self.free_below_m > self.floor_m, "free_below_m", self.free_below_m, "> floor_m")
        require(self.min_points >= 1, "min_points", self.min_points, "≥ 1")
        require(self.max_range_m > 0.0, "max_range_m", self.max_range_m, "> 0")
        require(self.beams >= 8, "beams", self.beams, "≥ 8")


@dataclass(frozen=True, slots=True, eq=False)
class SeenPoints:
    """One view's triangulated points (K, 3) and the camera's place (3,), both in the map frame."""

    centre: FloatArray
    points: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SeenDepth:
    """One view's depth (H, W) float32 [m] along the optical axis, 0 where nothing was measured."""

    stamp_ns: int
    map_from_cam: Pose3
    camera: CameraModel
    depth_m: Float32Array


def occupancy_of_points(
    views: Iterable[SeenPoints], driven: FloatArray, config: SparseConfig | None = None, grid_config: OccupancyConfig | None = None
) -> Occupancy:
    """The grid of triangulated points and of where the tour went.

    Args:
        driven: (N, 2) places of the tour, close together.
    """
    config, grid_config = config or SparseConfig(), grid_config or OccupancyConfig()
    near = [(view, _near(view, config)) for view in views]
    standing = [points[(points[:, 2] > config.min_height_m) & (points[:, 2] < config.max_height_m), :2] for _, points in near]
    obstacles = np.unique(np.concatenate([*standing, np.zeros((0, 2))]), axis=0)  # every point once, however many views see it
    floor = np.concatenate([_floor_rays(view.centre, points, config, grid_config.resolution_m) for view, points in near] or [np.zeros((0, 2))])
    grid = empty_grid([obstacles, floor], driven, grid_config)
    votes = _counts(grid, obstacles)
    around = sum(np.roll(votes, (r, c), (0, 1)) for r in (-1, 0, 1) for c in (-1, 0, 1))
    grid.log_odds[_counts(grid, floor) > 0] = -grid_config.visit_limit
    grid.log_odds[(votes > 0) & (around >= config.min_points)] = grid_config.visit_limit
    clear_driven(grid, driven)
    return grid


def occupancy_of_depth(
    images: Iterable[SeenDepth], driven: FloatArray, config: SparseConfig | None = None, grid_config: OccupancyConfig | None = None
) -> Occupancy | None:
    """The grid of depth images, each turned into a planar scan of what stands between knee and head; None without a usable image."""
    config, grid_config = config or SparseConfig(), grid_config or OccupancyConfig()
    scans = [_planar(image, config) for image in sorted(images, key=lambda image: image.stamp_ns)]
    return grid_of_scans([scan for scan in scans if scan is not None], driven, grid_config)


def grid_without_scans(
    found: Reconstruction, tours: Sequence[Tour], config: SparseConfig | None = None, grid_config: OccupancyConfig | None = None
) -> Occupancy | None:
    """The first fragment's grid from depth images if there are any, else from its points; None where lengths are not metres."""
    fragment = found.fragments[0]
    if fragment.scale.source == UNKNOWN_SOURCE:
        return None
    config, grid_config = config or SparseConfig(), grid_config or OccupancyConfig()
    places = {k: pose.translation[:2] for k, pose in fragment.map_from_base.items()}
    registered = sorted((k for k in found.keyframes if k.id in places), key=lambda k: k.id)
    followed = [(a.id, b.id) for a, b in itertools.pairwise(registered) if a.tour == b.tour]
    driven = driven_places(places, followed, config.max_gap_m, grid_config.resolution_m)
    by_depth = occupancy_of_depth(_depths(found, tours, config), driven, config, grid_config)
    if by_depth is not None:
        return by_depth
    points = found.view_points()
    seen = [SeenPoints(pose.translation, points[view_id].astype(np.float64)) for view_id, pose in fragment.map_from_cam.items()]
    heights = np.array([view.centre[2] for view in seen])
    floor_is_known = len(heights) > 0 and float(np.median(heights)) > config.min_height_m  # else z = 0 is the first camera
    return occupancy_of_points(seen if floor_is_known else (), driven, config, grid_config)


def _depths(found: Reconstruction, tours: Sequence[Tour], config: SparseConfig) -> Iterator[SeenDepth]:
    """The depth images taken with the first fragment's keyframes."""
    poses = found.fragments[0].map_from_cam
    for index, tour in enumerate(tours):
        mine = [k for k in found.keyframes if k.tour == index]
        if not isinstance(tour, DepthTour) or not mine:
            continue
        for k, camera, depth in tour.depths(np.array([k.stamp_ns for k in mine], dtype=np.int64), config.depth_tolerance_s):
            view = next((v for v in mine[k].views if v.camera == camera and v.id in poses), None)
            if view is not None:
                model = found.model(index, camera)
                if depth.shape == (model.height, model.width):
                    yield SeenDepth(mine[k].stamp_ns, poses[view.id], model, depth)


def _near(view: SeenPoints, config: SparseConfig) -> FloatArray:
    finite = view.points[np.isfinite(view.points).all(axis=1)]
    return np.asarray(finite[np.linalg.norm(finite - view.centre, axis=1) < config.max_range_m])


def _floor_rays(centre: FloatArray, points: FloatArray, config: SparseConfig, step_m: float) -> FloatArray:
    """Places (N, 2) under the low part of the rays to the floor's points."""
    floor = points[np.abs(points[:, 2]) < config.floor_m]
    if centre[2] < 2.0 * config.free_below_m or not len(floor):
        return np.zeros((0, 2))
    share = (config.free_below_m - floor[:, 2]) / (centre[2] - floor[:, 2])  # of the ray, from its foot, that runs low
    length = np.linalg.norm(centre[:2] - floor[:, :2], axis=1) * share
    steps = max(int(length.max() / step_m) + 1, 2)
    u = np.linspace(0.0, 1.0, steps)[:, None] * share  # (S, K)
    return np.asarray((floor[:, :2] + u[:, :, None] * (centre[:2] - floor[:, :2])).reshape(-1, 2))


def _counts(grid: Occupancy, places: FloatArray) -> FloatArray:
    """(H, W) how many places lie in each cell."""
    cells = grid.cells(places)
    cells = cells[np.all((cells >= 0) & (cells < np.array(grid.log_odds.shape)), axis=1)]
    counts = np.zeros(grid.log_odds.shape)
    np.add.at(counts, (cells[:, 0], cells[:, 1]), 1.0)
    return counts


def _planar(image: SeenDepth, config: SparseConfig) -> tuple[Pose2, LaserScan] | None:
    """A depth image as a scan from its camera's place: per direction the nearest obstacle; beyond reach where only floor was seen."""
    height, width = image.depth_m.shape
    v, u = np.mgrid[0:height:2, 0:width:2]
    depth = image.depth_m[::2, ::2].astype(np.float64)
    seen = (depth > 0.0) & np.isfinite(depth)
    rays = image.camera.unproject(np.stack([u[seen], v[seen]], axis=1).astype(np.float64))
    points = image.map_from_cam.apply(np.column_stack([rays, np.ones(len(rays))]) * depth[seen][:, None])
    centre, ahead = image.map_from_cam.translation, image.map_from_cam.rotation[:, 2]
    if not len(points) or math.hypot(ahead[0], ahead[1]) < 0.3:
        return None  # it looks at the floor or the ceiling
    yaw = math.atan2(ahead[1], ahead[0])
    offset = points[:, :2] - centre[:2]
    bearing = (np.arctan2(offset[:, 1], offset[:, 0]) - yaw + math.pi) % (2.0 * math.pi) - math.pi
    low, high = float(np.percentile(bearing, 1)), float(np.percentile(bearing, 99))
    if high - low < math.radians(5.0):
        return None
    beams = max(min(config.beams, width // 3), 4)  # each has a column or more
    beam = np.floor((bearing - low) / (high - low) * beams).astype(np.int64)
    inside = (beam >= 0) & (beam < beams)
    standing = inside & (points[:, 2] > config.min_height_m) & (points[:, 2] < config.max_height_m)
    ranges = np.full(beams, np.nan)
    ranges[np.unique(beam[inside & (points[:, 2] <= config.min_height_m)])] = np.inf
    ranges[np.unique(beam[standing])] = np.inf
    np.fmin.at(ranges, beam[standing], np.linalg.norm(offset[standing], axis=1))
    step = (high - low) / beams
    scan = LaserScan(image.stamp_ns, "camera", ranges.astype(np.float32), low + 0.5 * step, step, 0.05, config.max_range_m)
    return Pose2(float(centre[0]), float(centre[1]), yaw), scan
