"""The robot's outline on the floor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import yaml

from astra.core.config import require
from astra.core.errors import ConfigError
from astra.core.types import FloatArray
from astra.geometry.se2 import Pose2


@dataclass(frozen=True, slots=True)
class FootprintConfig:
    """The outline as Nav2 writes it: a polygon in text, or else a radius."""

    robot_radius: float = 0.22
    footprint: str = ""  # "[[x, y], …]" in base_link, convex; empty: a disc of robot_radius

    def __post_init__(self) -> None:
        require(0.0 < self.robot_radius < 5.0, "robot_radius", self.robot_radius, "between 0 and 5 m")

    def build(self) -> Footprint:
        """The outline.

        Raises:
            ConfigError: the text is no convex polygon around base_link.
        """
        if not self.footprint.strip():
            return Footprint.disc(self.robot_radius)
        try:
            vertices = np.array(yaml.safe_load(self.footprint), dtype=np.float64)
        except (yaml.YAMLError, ValueError, TypeError) as error:
            raise ConfigError(f"footprint = {self.footprint!r} is no list of [x, y] pairs") from error
        return Footprint.polygon(vertices)


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """A convex polygon `vertices` (N, 2) [m] in base_link, counter-clockwise, around the origin.

    `inscribed_m` and `circumscribed_m` are the radii about base_link: nearer obstacles always touch, farther ones never.
    """

    vertices: FloatArray
    normals: FloatArray  # (N, 2) outward unit normals of the edges
    offsets: FloatArray  # (N,) distances of the edges from the origin
    inscribed_m: float
    circumscribed_m: float

    @staticmethod
    def polygon(vertices: FloatArray) -> Footprint:
        """From the corners in either order.

        Raises:
            ConfigError: fewer than three corners, not convex, or base_link outside.
        """
        vertices = np.asarray(vertices, dtype=np.float64)
        if vertices.ndim != 2 or vertices.shape[0] < 3 or vertices.shape[1] != 2 or not np.all(np.isfinite(vertices)):
            raise ConfigError(f"a footprint needs at least three finite [x, y] corners, found {vertices.tolist()}")
        following = np.roll(vertices, -1, axis=0)
        if float(np.sum(vertices[:, 0] * following[:, 1] - vertices[:, 1] * following[:, 0])) < 0.0:
            vertices = vertices[::-1].copy()
            following = np.roll(vertices, -1, axis=0)
        edges = following - vertices
        normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
        lengths = np.linalg.norm(normals, axis=1)
        if np.any(lengths < 1e-6):
            raise ConfigError("a footprint's corners must differ")
        normals /= lengths[:, None]
        offsets = np.sum(normals * vertices, axis=1)
        if np.any(vertices @ normals.T > offsets + 1e-9):
            raise ConfigError(f"the footprint {vertices.tolist()} is not convex")
        if np.any(offsets <= 0.0):
            raise ConfigError("the footprint does not contain base_link")
        return Footprint(vertices, normals, offsets, float(offsets.min()), float(np.linalg.norm(vertices, axis=1).max()))

    @staticmethod
    def disc(radius_m: float, corners: int = 16) -> Footprint:
        """The regular polygon drawn around a disc, so that it covers the disc."""
        angles = 2.0 * math.pi * (np.arange(corners) + 0.5) / corners
        return Footprint.polygon(radius_m / math.cos(math.pi / corners) * np.stack([np.cos(angles), np.sin(angles)], axis=1))

    def clearance(self, points_base: FloatArray) -> FloatArray:
        """Signed distance [m] of points (..., 2) in base_link to the outline, negative inside."""
        beyond = points_base @ self.normals.T - self.offsets
        edges = np.roll(self.vertices, -1, axis=0) - self.vertices
        lengths = np.linalg.norm(edges, axis=1)
        along = points_base @ (edges / lengths[:, None]).T - np.sum(self.vertices * edges, axis=1) / lengths
        overshoot = along - np.clip(along, 0.0, lengths)
        inside = np.max(beyond, axis=-1)
        return cast(FloatArray, np.where(inside <= 0.0, inside, np.min(np.hypot(beyond, overshoot), axis=-1)))

    def clearance_along(self, poses: FloatArray, points: FloatArray) -> FloatArray:
        """Clearance (K,) of the outline at each pose (K, 3) from the points (M, 2) of the same frame; +inf without points."""
        if len(points) == 0 or len(poses) == 0:
            return np.full(len(poses), np.inf)
        dx, dy = points[None, :, 0] - poses[:, 0, None], points[None, :, 1] - poses[:, 1, None]
        distance = np.hypot(dx, dy)
        # Only points whose least possible clearance undercuts the nearest point's greatest possible one can be the nearest to the outline.
        bound = distance.min(axis=1) - self.inscribed_m + self.circumscribed_m
        pose, point = np.nonzero(distance <= bound[:, None] + 1e-9)
        c, s = np.cos(poses[pose, 2]), np.sin(poses[pose, 2])
        x, y = dx[pose, point], dy[pose, point]
        each = self.clearance(np.stack([c * x + s * y, c * y - s * x], axis=-1))
        nearest = np.full(len(poses), np.inf)
        np.minimum.at(nearest, pose, each)
        return nearest

    def corners_at(self, pose: Pose2) -> FloatArray:
        """The corners (N, 2) in the frame of the pose."""
        return pose.apply(self.vertices)
