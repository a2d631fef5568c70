"""What should be there if a join were right, and is not: features in images of one spot, and room where the robot drove.

Agreement is cheap where a building repeats itself. Two cameras that stand at one spot and look one way, though, must see the same things, and
nobody drives through a wall.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose3
from astra.geometry.distance import distance_to_occupied
from astra.mapping.contents import MapContents
from astra.mapping.occupancy import Occupancy


@dataclass(frozen=True, slots=True)
class CounterConfig:
    """When two images must share features, and how many missing ones refute a join."""

    near_m: float = 0.7  # between two cameras that must see the same …
    near_rad: float = math.radians(30.0)  # … and between their viewing directions
    min_expected: int = 30  # points that should be seen again; fewer say nothing
    min_found: float = 0.1  # share of them that must be found; images of one spot show several times as many
    radius_px: float = 8.0  # around where a point should be
    max_distance: float = 0.75  # between unit descriptors of one point
    max_pairs: int = 150  # of images that are compared
    min_pairs: int = 5  # fewer decide nothing
    max_empty: float = 0.35  # share of the pairs that lack what they should show
    wall_slack_m: float = 0.3  # a wall this far inside the other map's free space stands where nothing is
    max_wall_conflict: float = 0.25  # share of the walls both maps should know
    min_walls: int = 150  # cells; fewer decide nothing

    def __post_init__(self) -> None:
        require(self.near_m > 0.0, "near_m", self.near_m, "> 0")
        require(0.0 < self.near_rad < math.pi, "near_rad", self.near_rad, "in (0, π)")
        require(self.min_expected >= 1, "min_expected", self.min_expected, "≥ 1")
        require(0.0 <= self.min_found < 1.0, "min_found", self.min_found, "in [0, 1)")
        require(self.radius_px > 0.0, "radius_px", self.radius_px, "> 0")
        require(self.max_distance > 0.0, "max_distance", self.max_distance, "> 0")
        require(1 <= self.min_pairs <= self.max_pairs, "min_pairs", self.min_pairs, "1 … max_pairs")
        require(0.0 <= self.max_empty < 1.0, "max_empty", self.max_empty, "in [0, 1)")
        require(self.wall_slack_m > 0.0, "wall_slack_m", self.wall_slack_m, "> 0")
        require(0.0 <= self.max_wall_conflict < 1.0, "max_wall_conflict", self.max_wall_conflict, "in [0, 1)")
        require(self.min_walls >= 1, "min_walls", self.min_walls, "≥ 1")


@dataclass(frozen=True, slots=True)
class CounterEvidence:
    """pairs: images that must see the same; empty: how many do not. walls: cells both maps should know; conflicts: how many one of them denies."""

    pairs: int
    empty: int
    walls: int
    conflicts: int

    def objections(self, config: CounterConfig) -> list[str]:
        """Why the join cannot be right; empty if nothing speaks against it."""
        out = []
        if self.pairs >= config.min_pairs and self.empty > config.max_empty * self.pairs:
            out.append(f"{self.empty} of {self.pairs} pairs of images from one spot share next to nothing")
        if self.walls >= config.min_walls and self.conflicts > config.max_wall_conflict * self.walls:
            out.append(f"{100 * self.conflicts / self.walls:.0f} % of the walls would stand in the other map's free space")
        return out


def missing_features(
    a: MapContents, b: MapContents, fragment_a: int, a_from_cam: Mapping[int, Pose3], unit: float, config: CounterConfig
) -> tuple[int, int]:
    """How many pairs of images from one spot there are, and how many of them share next to nothing.

    Args:
        a_from_cam: B's views where they would stand in the fragment of A.
        unit: a metre in A's unit.
    """
    ids_a = [v.id for node in a.fragments[fragment_a] for v in node.views]
    positions = np.array([a.views[v].map_from_cam.translation for v in ids_a])
    axes = np.array([a.views[v].map_from_cam.rotation[:, 2] for v in ids_a])
    near = []
    for view_id, pose in a_from_cam.items():
        distance = np.linalg.norm(positions - pose.translation, axis=1)
        distance[axes @ pose.rotation[:, 2] < math.cos(config.near_rad)] = np.inf
        best = int(np.argmin(distance))
        if distance[best] < config.near_m * unit:
            near.append((ids_a[best], view_id))
    shares = [_found_again(a, b, id_a, id_b, a_from_cam[id_b], config) for id_a, id_b in near[:: 1 + len(near) // config.max_pairs]]
    known = [share for share in shares if share is not None]
    return len(known), sum(share < config.min_found for share in known)


def _found_again(a: MapContents, b: MapContents, id_a: int, id_b: int, a_from_cam: Pose3, config: CounterConfig) -> float | None:
    """The share of the points of A's view that B's view shows where they must be; None if too few should be there."""
    from scipy.spatial import cKDTree

    rows = np.arange(a.slice(id_a).start, a.slice(id_a).stop)
    rows = rows[np.asarray(a.features.point_ids)[rows] >= 0]
    if len(rows) == 0:
        return None
    pixels, inside = b.camera(id_b).project(a_from_cam.inverse().apply(np.asarray(a.features.points_map)[rows]))
    rows, pixels = rows[inside], pixels[inside]
    keypoints = np.asarray(b.features.keypoints)[b.slice(id_b)]
    if len(rows) < config.min_expected or len(keypoints) == 0:
        return None
    wanted = a.unit_descriptors(id_a)[rows - a.slice(id_a).start]
    given = b.unit_descriptors(id_b)
    around = cKDTree(keypoints).query_ball_point(pixels, config.radius_px)
    limit = 1.0 - 0.5 * config.max_distance**2  # cosine
    found = [len(near) > 0 and float((given[near] @ wanted[k]).max()) > limit for k, near in enumerate(around)]
    return float(np.mean(found))


def wall_conflicts(points_a: FloatArray, grid: Occupancy, slack_m: float) -> tuple[int, int]:
    """Of occupied points (N, 2) [m, grid's frame]: how many the grid knows, and how many of those lie deep in its free space."""
    cells = grid.cells(points_a)
    inside = np.all((cells >= 0) & (cells < np.array(grid.log_odds.shape)), axis=1)
    rows, columns = cells[inside].T
    free, occupied = grid.free[rows, columns], grid.occupied[rows, columns]
    to_other = distance_to_occupied(~grid.free, grid.config.resolution_m)[rows, columns]
    to_wall = distance_to_occupied(grid.occupied, grid.config.resolution_m)[rows, columns]
    known = free | occupied | (to_wall < slack_m)
    return int(known.sum()), int((free & (to_other > slack_m) & (to_wall > slack_m)).sum())
