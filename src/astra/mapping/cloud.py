"""The map's points as a cloud for people and other tools, and what they say about the floor (with Open3D)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray

SEED = 0


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """How the cloud is thinned and the floor looked for."""

    voxel_m: float = 0.03
    neighbours: int = 12
    outlier_ratio: float = 2.0  # standard deviations of the mean distance to the neighbours
    floor_band_m: float = 0.3  # points this near to z = 0 take part in the floor
    floor_inlier_m: float = 0.03
    floor_points: int = 200  # fewer say nothing
    max_floor_height_m: float = 0.06
    max_floor_tilt_rad: float = math.radians(2.0)

    def __post_init__(self) -> None:
        require(self.voxel_m > 0.0, "cloud.voxel_m", self.voxel_m, "> 0")
        require(self.neighbours >= 2, "cloud.neighbours", self.neighbours, "≥ 2")
        require(self.floor_points >= 3, "cloud.floor_points", self.floor_points, "≥ 3")


@dataclass(frozen=True, slots=True)
class Floor:
    """The floor as the triangulated points show it: its height over z = 0 at the points' centre, its tilt, and how many points lie on it."""

    height_m: float
    tilt_rad: float
    points: int


def thin_cloud(points_map: FloatArray, config: CloudConfig) -> FloatArray:
    """Points (P, 3) [m] without stragglers, one per voxel; (Q, 3), Q ≤ P."""
    if len(points_map) <= config.neighbours:
        return points_map
    cloud = _cloud(points_map).voxel_down_sample(config.voxel_m)
    if len(cloud.points) > config.neighbours:
        cloud, _ = cloud.remove_statistical_outlier(config.neighbours, config.outlier_ratio)
    return np.asarray(cloud.points, dtype=np.float64)


def floor_of(points_map: FloatArray, config: CloudConfig) -> Floor | None:
    """The plane through the points near z = 0, by RANSAC; None where too few points lie on the floor.

    The map's z = 0 comes from the robot's poses alone, so the floor's texture is an independent witness of scale, tilt and camera height.
    """
    import open3d

    near = points_map[np.abs(points_map[:, 2]) < config.floor_band_m]
    if len(near) < config.floor_points:
        return None
    open3d.utility.random.seed(SEED)
    (a, b, c, d), inliers = _cloud(near).segment_plane(config.floor_inlier_m, 3, 500)
    if len(inliers) < config.floor_points or abs(c) < math.cos(math.radians(30.0)):
        return None  # a wall's foot, not a floor
    x, y = near[inliers, :2].mean(axis=0)
    return Floor(float(-(a * x + b * y + d) / c), math.acos(min(abs(c), 1.0)), len(inliers))


def floor_warnings(points_map: FloatArray, config: CloudConfig) -> list[str]:
    """What the floor's points hold against the map."""
    floor = floor_of(points_map, config)
    if floor is None:
        return []
    found = []
    if abs(floor.height_m) > config.max_floor_height_m:
        found.append(f"the floor's {floor.points} points lie {floor.height_m:+.2f} m from z = 0: are the cameras' heights right?")
    if floor.tilt_rad > config.max_floor_tilt_rad:
        found.append(f"the floor's {floor.points} points are tilted by {math.degrees(floor.tilt_rad):.1f}°")
    return found


def write_cloud(points_map: FloatArray, path: Path) -> None:
    """Write points (P, 3) as PLY."""
    import open3d

    if not open3d.io.write_point_cloud(path, _cloud(points_map)):
        raise OSError(f"cannot write {path}")


def _cloud(points: FloatArray) -> Any:
    import open3d

    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.ascontiguousarray(points, dtype=np.float64)))
