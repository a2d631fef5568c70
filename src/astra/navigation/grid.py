"""What the robot knows of its surroundings: a rolling grid in odom, fed by lidar scans.

Hits mark cells and keep the hit's own position, so that narrow doors are not lost to the cells' size; rays that pass clear them; what is
out of sight is remembered for a while and then forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray, LaserScan, seconds
from astra.geometry.distance import distance_to_points, sample_bilinear
from astra.geometry.se2 import Pose2


@dataclass(frozen=True, slots=True)
class GridConfig:
    """Size, memory and evidence of the rolling grid."""

    size_m: float = 8.0
    resolution_m: float = 0.05
    memory_s: float = 20.0  # an obstacle out of sight is forgotten after this
    clear_rays: int = 4  # scans that must see through a cell before its obstacle is taken away
    hit_margin_m: float = 0.08  # a ray clears cells only up to this far before its hit
    ignore_radius_m: float = 0.15  # hits nearer to base_link's origin are the robot itself
    max_range_m: float = 6.0

    def __post_init__(self) -> None:
        require(0.01 <= self.resolution_m <= 0.5, "resolution_m", self.resolution_m, "0.01 … 0.5")
        require(20 * self.resolution_m <= self.size_m <= 30.0, "size_m", self.size_m, "at least 20 cells and at most 30 m")
        require(self.memory_s > 0.0, "memory_s", self.memory_s, "> 0")
        require(1 <= self.clear_rays <= 100, "clear_rays", self.clear_rays, "1 … 100")
        require(self.hit_margin_m >= 0.0, "hit_margin_m", self.hit_margin_m, "≥ 0")
        require(self.ignore_radius_m >= 0.0, "ignore_radius_m", self.ignore_radius_m, "≥ 0")
        require(self.max_range_m > 0.0, "max_range_m", self.max_range_m, "> 0")

    @property
    def cells(self) -> int:
        """Cells along one side."""
        return round(self.size_m / self.resolution_m)


@dataclass(frozen=True, slots=True, eq=False)
class LocalGrid:
    """A frozen view of the surroundings in odom at `stamp_ns`. Rows are y, columns x; cell (0, 0)'s corner lies at (origin_x, origin_y).

    `occupied`, `known` (H, W); `distance` (H, W) float32 [m] from each cell's centre to the nearest obstacle point;
    `points` (M, 2) [m] the obstacle points themselves, exact where the sensor was.
    """

    stamp_ns: int
    origin_x: float
    origin_y: float
    resolution_m: float
    occupied: BoolArray
    known: BoolArray
    distance: Float32Array
    points: FloatArray

    @staticmethod
    def from_occupied(
        occupied: BoolArray, origin_x: float, origin_y: float, resolution_m: float, stamp_ns: int = 0, known: BoolArray | None = None
    ) -> LocalGrid:
        """From cells that are obstacles as a whole, e.g. a predicted occupancy: their border is sampled at half-cell steps."""
        points = border_points(occupied) * resolution_m + np.array([origin_x, origin_y])
        centres = np.indices(occupied.shape, dtype=np.float32)[::-1].transpose(1, 2, 0) + 0.5
        # The centre's distance less half a diagonal never exceeds the distance to the cell's border.
        distance = distance_to_points(occupied, np.ascontiguousarray(centres), resolution_m) - np.float32(resolution_m * math.sqrt(0.5))
        seen = np.ones_like(occupied) if known is None else known
        return LocalGrid(stamp_ns, origin_x, origin_y, resolution_m, occupied, seen, np.maximum(distance, np.float32(0.0)), points)

    def cells(self, points: FloatArray) -> FloatArray:
        """Positions (..., 2) [m, odom] in units of cells from the origin, (x, y)."""
        return cast(FloatArray, (points - np.array([self.origin_x, self.origin_y])) / self.resolution_m)

    def distance_at(self, points: FloatArray) -> FloatArray:
        """Interpolated distance (...) to the nearest obstacle at positions (..., 2) in odom; clamped at the border."""
        return sample_bilinear(self.distance, self.cells(points))

    def contains(self, points: FloatArray) -> BoolArray:
        """Whether positions (..., 2) in odom lie on the grid."""
        cells = self.cells(points)
        height, width = self.occupied.shape
        inside: BoolArray = (cells[..., 0] >= 0) & (cells[..., 0] < width) & (cells[..., 1] >= 0) & (cells[..., 1] < height)
        return inside


@dataclass(slots=True, eq=False)
class RollingGrid:
    """The grid that follows the robot; `add_scan` costs a few milliseconds, `snapshot` gives planners a frozen view."""

    config: GridConfig = field(default_factory=GridConfig)
    _corner: tuple[int, int] | None = None  # odom cell index (x, y) of the grid's first cell
    _strength: Float32Array = field(init=False)  # (H, W): 1 freshly hit, falls to 0
    _seen: BoolArray = field(init=False)
    _offset: Float32Array = field(init=False)  # (H, W, 2): the hit's (x, y) inside its cell, in cells
    _stamp_ns: int | None = None

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        n = self.config.cells
        self._strength = np.zeros((n, n), dtype=np.float32)
        self._seen = np.zeros((n, n), dtype=bool)
        self._offset = np.full((n, n, 2), 0.5, dtype=np.float32)
        self._corner, self._stamp_ns = None, None

    def add_scan(self, scan: LaserScan, odom_from_base: Pose2, base_from_sensor: Pose2) -> None:
        """Move with the robot, let memory fade, clear what the rays pass and mark what they hit."""
        self._follow(odom_from_base)
        self._fade(scan.stamp_ns)
        odom_from_sensor = odom_from_base @ base_from_sensor
        ranges = np.asarray(scan.ranges, dtype=np.float32)
        valid = ~np.isnan(ranges) & (ranges >= scan.range_min_m)
        reach = np.float32(min(self.config.max_range_m, scan.range_max_m))
        hit = valid & (ranges < reach)
        self._clear_rays(scan, odom_from_sensor, np.where(valid, np.minimum(ranges, reach), np.float32(0.0)), hit)
        angles = scan.angles()[hit]
        points = odom_from_sensor.apply(np.stack([ranges[hit] * np.cos(angles), ranges[hit] * np.sin(angles)], axis=1))
        self.mark(points, odom_from_base)

    def mark(self, points: FloatArray, odom_from_base: Pose2) -> None:
        """Mark obstacle points (N, 2) in odom, from any sensor; those on the robot itself are left out."""
        assert self._corner is not None, "mark() needs a grid that has been placed by a scan"
        own = np.hypot(points[:, 0] - odom_from_base.x, points[:, 1] - odom_from_base.y) < self.config.ignore_radius_m
        cells = points[~own] / self.config.resolution_m - np.array(self._corner)
        n = self.config.cells
        index = np.floor(cells).astype(np.int64)
        inside = np.all((index >= 0) & (index < n), axis=1)
        cells, index = cells[inside], index[inside]
        flat = index[:, 1] * n + index[:, 0]
        counts = np.bincount(flat, minlength=n * n)
        marked = np.nonzero(counts)[0]
        fraction = cells - index
        mean = np.stack([np.bincount(flat, fraction[:, k], n * n)[marked] / counts[marked] for k in range(2)], axis=1)
        offset, strength = self._offset.reshape(-1, 2), self._strength.reshape(-1)
        known = strength[marked] > 0.0
        weight = np.where(known, 0.4, 1.0)[:, None]
        offset[marked] = (1.0 - weight) * offset[marked] + weight * mean
        strength[marked] = 1.0
        self._seen.reshape(-1)[marked] = True

    def snapshot(self) -> LocalGrid:
        """The surroundings as they are known now."""
        assert self._corner is not None and self._stamp_ns is not None, "snapshot() needs a scan"
        occupied = self._strength > 0.0
        n, resolution = self.config.cells, self.config.resolution_m
        points_cells = self._offset + np.indices((n, n), dtype=np.float32)[::-1].transpose(1, 2, 0)
        distance = distance_to_points(occupied, points_cells, resolution)
        points = (points_cells[occupied].astype(np.float64) + np.array(self._corner)) * resolution
        x, y = self._corner[0] * resolution, self._corner[1] * resolution
        return LocalGrid(self._stamp_ns, x, y, resolution, occupied, self._seen.copy(), distance, points)

    def _follow(self, odom_from_base: Pose2) -> None:
        """Keep the robot in the middle by shifting whole cells."""
        n, resolution = self.config.cells, self.config.resolution_m
        corner = (math.floor(odom_from_base.x / resolution) - n // 2, math.floor(odom_from_base.y / resolution) - n // 2)
        if self._corner is not None and corner != self._corner:
            dx, dy = corner[0] - self._corner[0], corner[1] - self._corner[1]
            self._strength = _shifted(self._strength, dx, dy, 0.0)
            self._seen = _shifted(self._seen, dx, dy, False)
            self._offset = _shifted(self._offset, dx, dy, 0.5)
        self._corner = corner

    def _fade(self, stamp_ns: int) -> None:
        """Let strength fall with time; a clock that went back leaves it as it is."""
        if self._stamp_ns is not None:
            elapsed_s = max(seconds(stamp_ns - self._stamp_ns), 0.0)
            np.maximum(self._strength - np.float32(elapsed_s / self.config.memory_s), np.float32(0.0), out=self._strength)
        self._stamp_ns = stamp_ns

    def _clear_rays(self, scan: LaserScan, odom_from_sensor: Pose2, ranges: Float32Array, hit: BoolArray) -> None:
        """Weaken obstacles in cells that both neighbouring rays pass with a margin, and note those cells as known."""
        count = len(ranges)
        if count < 2:
            return
        assert self._corner is not None
        n, resolution = self.config.cells, self.config.resolution_m
        axis = (np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(resolution)
        x = axis + np.float32(self._corner[0] * resolution - odom_from_sensor.x)
        y = (axis + np.float32(self._corner[1] * resolution - odom_from_sensor.y))[:, None]
        bearing = np.arctan2(y, x) - np.float32(odom_from_sensor.yaw + scan.angle_min_rad)
        step = np.float32(scan.angle_increment_rad)
        beam = np.mod(bearing if step > 0 else -bearing, np.float32(2.0 * math.pi)) / abs(step)
        first = beam.astype(np.int32)
        full_turn = abs(count * abs(float(step)) - 2.0 * math.pi) < 1.5 * abs(float(step))
        following = first + 1
        following[following >= count] = 0 if full_turn else count  # the last beam's neighbour is the first, or nobody
        np.minimum(first, count, out=first)
        # A miss clears up to the reach; a hit up to a margin before it; beyond the scan's field of view nothing is cleared.
        clears = np.append(np.where(hit, ranges - np.float32(self.config.hit_margin_m), ranges), np.float32(0.0)).astype(np.float32)
        passed = np.sqrt(x * x + y * y) < np.minimum(clears[first], clears[following])
        self._strength[passed] -= np.float32(1.0 / self.config.clear_rays)
        np.maximum(self._strength, np.float32(0.0), out=self._strength)
        self._strength[self._strength < 1e-3] = 0.0
        self._seen |= passed


def border_points(occupied: BoolArray) -> FloatArray:
    """Points (M, 2), (x, y) in units of cells, on obstacle cells (H, W) that have a free neighbour: corners, middles of edges and centres."""
    padded = np.pad(occupied, 1)
    rim = occupied & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    rows, columns = np.nonzero(rim)
    steps = np.array([(u, v) for u in (0.0, 0.5, 1.0) for v in (0.0, 0.5, 1.0)])
    cells = (np.stack([columns, rows], axis=1)[:, None, :] + steps).reshape(-1, 2)
    points: FloatArray = np.unique(np.round(2.0 * cells), axis=0) / 2.0
    return points


def _shifted(values: AnyArray, dx: int, dy: int, fill: float) -> AnyArray:
    """`values` seen from a window moved by (dx, dy) cells; new cells hold `fill`."""
    out = np.full_like(values, fill)
    height, width = values.shape[:2]
    if abs(dx) < width and abs(dy) < height:
        target = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
        source = (slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx)))
        out[target] = values[source]
    return out
