"""Whether a robot can go straight from one place to another, and how wide the way is: by the occupancy grid, by where the tour went, by points in between.

A grid knows what the lidar's plane saw; a table top, a window sill or the frame of a pane lies above it. So triangulated points that stand in
the way of whatever carried the cameras forbid a passage too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray
from astra.mapping.occupancy import Occupancy
from astra.topomap.types import UNKNOWN


@dataclass(frozen=True, slots=True)
class PassageConfig:
    """What counts as a free way."""

    clearance_m: float = 0.25  # of a way that nobody took from obstacles
    driven_tolerance_m: float = 0.22  # without a grid a way must stay this close to where the tour went
    point_clearance_m: float = 0.15  # from points in the way
    min_points: int = 4  # of them; fewer are chance
    min_height_m: float = 0.08  # of a point over the floor
    head_m: float = 0.1  # over the highest camera that a point may still stand in the way
    max_width_m: float = 5.0  # wider passages are told as this wide
    chord_step_rad: float = math.radians(10.0)
    max_chord_rad: float = math.radians(60.0)  # from across the way: what lies ahead does not narrow it

    def __post_init__(self) -> None:
        require(self.clearance_m >= 0.0, "clearance_m", self.clearance_m, "≥ 0")
        require(self.driven_tolerance_m > 0.0, "driven_tolerance_m", self.driven_tolerance_m, "> 0")
        require(self.point_clearance_m >= 0.0, "point_clearance_m", self.point_clearance_m, "≥ 0")
        require(self.min_points >= 1, "min_points", self.min_points, "≥ 1")
        require(self.max_width_m > 0.0, "max_width_m", self.max_width_m, "> 0")
        require(0.0 < self.chord_step_rad < math.pi / 2, "chord_step_rad", self.chord_step_rad, "in (0, π/2)")
        require(0.0 <= self.max_chord_rad < math.pi / 2, "max_chord_rad", self.max_chord_rad, "in [0, π/2)")


@dataclass(frozen=True, slots=True, eq=False)
class FreeSpace:
    """What is known of one fragment's free space; lengths in its units, `metre` of which are a metre.

    occupancy: the grid with `free` (H, W), `clearance` (H, W) [m] to the nearest obstacle, and `closed` (H, W), where a passage ends; or None.
    driven: (N, 2) where the tour was. obstacles: (P, 2) points at the height of the robot, with a search tree.
    """

    config: PassageConfig
    metre: float
    occupancy: Occupancy | None
    free: BoolArray | None
    clearance: FloatArray | None
    closed: BoolArray | None
    driven: FloatArray
    obstacles: FloatArray
    tree: Any

    @staticmethod
    def of(
        driven: FloatArray, occupancy: Occupancy | None, points: FloatArray, camera_height: float, config: PassageConfig, metre: float = 1.0
    ) -> FreeSpace:
        """Free space of a fragment whose z = 0 is the floor.

        Args:
            driven: (N, 2) of the tour. points: (P, 3). camera_height: of the highest camera; NaN leaves the points out.
        """
        from scipy.ndimage import binary_erosion
        from scipy.spatial import cKDTree

        free = clearance = closed = None
        if occupancy is not None:
            free, clearance = occupancy.free, occupancy.clearance_m().astype(np.float64)
            # A line one or two cells wide that no scan settled ends no passage.
            closed = occupancy.occupied | binary_erosion(~free, np.ones((3, 3)), border_value=1)
        low, high = config.min_height_m * metre, camera_height + config.head_m * metre
        standing = points[(points[:, 2] > low) & (points[:, 2] < high), :2] if math.isfinite(camera_height) else points[:0, :2]
        return FreeSpace(config, metre, occupancy, free, clearance, closed, driven, standing, cKDTree(standing))

    def is_passable(self, start: FloatArray, end: FloatArray) -> bool:
        """Whether the straight way between two places (2,) is known to be free."""
        samples = segment(start, end, 0.05 * self.metre)
        if self.free is not None and self.clearance is not None:
            rows, columns = self._cells(samples)
            if not np.all(self.free[rows, columns]) or np.any(self.clearance[rows, columns] < self.config.clearance_m):
                return False
        elif np.any(np.linalg.norm(samples[:, None] - self.driven, axis=2).min(axis=1) > self.config.driven_tolerance_m * self.metre):
            return False
        return not self._is_blocked(start, end)

    def width_m(self, start: FloatArray, end: FloatArray) -> float:
        """The narrowest opening that the way passes: the shortest free chord across it anywhere along it; NaN without a grid.

        A chord runs through a place of the way from obstacle to obstacle, at most `max_chord_rad` from across the way: so the width of a
        doorway is found although the robot went through it off its middle and at an angle.
        """
        if self.occupancy is None or self.closed is None:
            return UNKNOWN
        config, step = self.config, 0.5 * self.occupancy.config.resolution_m
        samples = segment(start, end, 0.1)
        heading = math.atan2(end[1] - start[1], end[0] - start[0])
        count = int(config.max_chord_rad / config.chord_step_rad)
        angles = heading + math.pi / 2 + config.chord_step_rad * np.arange(-count, count + 1)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        reach = step * np.arange(1, int(0.5 * config.max_width_m / step) + 1)
        rays = np.stack([directions, -directions])[None, :, :, None] * reach[:, None]  # (1, 2, A, R, 2)
        rows, columns = self._cells(samples[:, None, None, None] + rays)
        closed = self.closed[rows, columns]
        free = np.where(closed.any(axis=3), np.argmax(closed, axis=3) * step, reach[-1])  # (S, 2, A)
        # A beam ends anywhere inside its cell, and a ray anywhere within its last step: half of each, on either side, is free on average.
        chords = free.sum(axis=1) + self.occupancy.config.resolution_m + step
        return float(min(chords.min(), config.max_width_m))

    def _is_blocked(self, start: FloatArray, end: FloatArray) -> bool:
        """Whether points stand in the way, apart from those next to its ends, where somebody stood."""
        config = self.config
        way = end - start
        length = float(np.linalg.norm(way))
        if length < 1e-9 or not len(self.obstacles):
            return False
        across = config.point_clearance_m * self.metre
        near = self.tree.query_ball_point((start + end) / 2.0, length / 2.0 + across)
        offset = self.obstacles[near] - start
        along = offset @ way / length
        beside = np.abs(offset[:, 0] * way[1] - offset[:, 1] * way[0]) / length
        return int(((beside < across) & (along > min(across, 0.3 * length)) & (along < length - min(across, 0.3 * length))).sum()) >= config.min_points

    def _cells(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rows and columns of places (..., 2), clamped to the grid."""
        assert self.occupancy is not None
        cells = self.occupancy.cells(places)
        height, width = self.occupancy.log_odds.shape
        return np.clip(cells[..., 0], 0, height - 1), np.clip(cells[..., 1], 0, width - 1)


def driven_places(places: Mapping[int, FloatArray], followed: Sequence[tuple[int, int]], max_gap: float, step: float) -> FloatArray:
    """Where the tour went, (N, 2): its nodes' places, and the ways between nodes that follow one another at most `max_gap` apart."""
    ways = [np.array(list(places.values())).reshape(-1, 2)]
    for a, b in followed:
        if a in places and b in places and float(np.linalg.norm(places[a] - places[b])) <= max_gap:
            ways.append(segment(places[a], places[b], step))
    return np.concatenate(ways)


def segment(start: FloatArray, end: FloatArray, step: float) -> FloatArray:
    """Places (N, 2) from start to end, `step` or less apart."""
    count = max(int(np.linalg.norm(end - start) / step) + 2, 2)
    return np.asarray(start + np.linspace(0.0, 1.0, count)[:, None] * (end - start))
