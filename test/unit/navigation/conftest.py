"""Rooms made of line segments and the lidar that sees them."""

import math

import numpy as np
import pytest

from astra.core.types import LaserScan
from astra.geometry import Pose2
from astra.navigation.grid import RollingGrid
from astra.navigation.protocols import LocalScene

Segments = np.ndarray  # (N, 2, 2)


def box(x0: float, y0: float, x1: float, y1: float) -> Segments:
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)


def cast(segments: Segments, pose: Pose2, stamp_ns: int = 0, beams: int = 360, noise_m: float = 0.0, seed: int = 0) -> LaserScan:
    """An exact planar lidar at `pose`: beam i at -π + i · 2π/beams."""
    angles = np.arange(beams) * 2 * math.pi / beams - math.pi
    rays = np.stack([np.cos(angles + pose.yaw), np.sin(angles + pose.yaw)], axis=1)
    origin, edges = segments[:, 0], segments[:, 1] - segments[:, 0]
    across = rays[:, None, 0] * edges[None, :, 1] - rays[:, None, 1] * edges[None, :, 0]
    offset = origin - np.array([pose.x, pose.y])
    with np.errstate(all="ignore"):
        t = (offset[:, 0] * edges[:, 1] - offset[:, 1] * edges[:, 0])[None] / across
        u = (offset[None, :, 0] * rays[:, None, 1] - offset[None, :, 1] * rays[:, None, 0]) / across
    ranges = np.where((u >= 0) & (u <= 1) & (t > 0) & np.isfinite(t), t, np.inf).min(axis=1)
    ranges = ranges + noise_m * np.random.default_rng(seed).standard_normal(beams)
    ranges[ranges > 10.0] = np.inf
    return LaserScan(stamp_ns, "lidar", ranges.astype(np.float32), -math.pi, 2 * math.pi / beams, 0.1, 10.0)


def look(segments: Segments, pose: Pose2, scans: int = 3, noise_m: float = 0.01) -> LocalScene:
    """The scene after some scans from one pose."""
    grid = RollingGrid()
    for i in range(scans):
        grid.add_scan(cast(segments, pose, i * 10**8, noise_m=noise_m, seed=i), pose, Pose2())
    return LocalScene((scans - 1) * 10**8, pose, 0.0, 0.0, grid.snapshot())


class Lab:
    """The helpers above, handed to tests as one fixture."""

    box = staticmethod(box)
    cast = staticmethod(cast)
    look = staticmethod(look)

    @staticmethod
    def room() -> Segments:
        return box(-5.0, -3.0, 5.0, 3.0)

    @staticmethod
    def door(width_m: float) -> Segments:
        """A room with a wall at x = 1 … 1.1 and a door of the given width around y = 0."""
        return np.concatenate([box(-5, -3, 5, 3), box(1.0, -3, 1.1, -width_m / 2), box(1.0, width_m / 2, 1.1, 3)])

    @staticmethod
    def distance(segments: Segments, points: np.ndarray) -> np.ndarray:
        """Exact distance (K,) of points (K, 2) to the nearest segment."""
        start, edge = segments[:, 0], segments[:, 1] - segments[:, 0]
        along = np.clip(np.einsum("kni,ni->kn", points[:, None] - start, edge) / np.sum(edge**2, axis=1), 0.0, 1.0)
        return np.linalg.norm(points[:, None] - (start + along[..., None] * edge), axis=2).min(axis=1)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()
