"""The whole floor as the expert sees it: true clearance, the speed it would allow itself anywhere, and the time from anywhere to a goal.

The time to a goal, T(x), solves |∇T| = 1 / v(clearance(x)): Dijkstra over a 32-connected grid (within 1 % of the straight line in the
open). The local planner descends T, so that it needs no way back to a route after a push or from a bad start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import NoPathError
from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray
from astra.geometry import Pose2
from astra.geometry.distance import signed_distance
from astra.navigation.polyline import resample

_OFFSETS = tuple((dy, dx) for dy in range(4) for dx in range(-3, 4) if math.gcd(dy, abs(dx)) == 1 and (dy > 0 or dx > 0))
_HOPS = 4  # cells' predecessors looked ahead for a direction: about 0.5 m
_ESCAPE_MPS = 0.1  # how slow the way out of a place too tight to drive in is taken to be


@dataclass(frozen=True, slots=True)
class SpeedConfig:
    """How fast a careful person would drive, by the clearance beyond the outline."""

    margin_m: float = 0.02  # routes keep at least this clearance
    tight_m: float = 0.04  # clearance at which `tight_mps` is allowed
    open_m: float = 0.40  # clearance from which on full speed is allowed
    tight_mps: float = 0.18

    def __post_init__(self) -> None:
        require(0.0 <= self.margin_m <= 0.5, "margin_m", self.margin_m, "between 0 and 0.5")
        require(0.0 <= self.tight_m < self.open_m <= 3.0, "tight_m", self.tight_m, "non-negative, below open_m ≤ 3")
        require(0.02 <= self.tight_mps <= 2.0, "tight_mps", self.tight_mps, "between 0.02 and 2")

    def allowed(self, clearance_m: Float32Array, max_mps: float) -> Float32Array:
        """Allowed speed [m/s] at clearances beyond the outline."""
        share = (clearance_m - self.tight_m) / (self.open_m - self.tight_m)
        speed: Float32Array = (self.tight_mps + (max_mps - self.tight_mps) * np.clip(share, 0.0, 1.0)).astype(np.float32)
        return np.minimum(speed, np.float32(max_mps))


@dataclass(frozen=True, slots=True, eq=False)
class TimeField:
    """Time [s] from every cell to one goal. `time_s` (Y, X) is finite wherever the goal can be reached or nearly so, `direction` (Y, X, 2)
    the unit vector of the way there, `following` (Y·X,) the next cell on it (-9999 at the goal and off the way)."""

    goal: Pose2
    time_s: Float32Array
    direction: Float32Array
    following: IntArray
    passable: BoolArray


class Floor:
    """True occupancy made ready for driving with one outline.

    Args:
        free: (Y, X) bool, True where nothing stands; cell (0, 0) has its lower-left corner at `origin_xy`.
        resolution_m: edge of a cell.
        origin_xy: world position of the grid's corner [m].
        radius_m: radius of the disc whose way is planned.
        max_mps: full speed.
        speeds: how clearance limits speed.
        reach_m: room that the outline needs to turn on the spot, where that is more than `radius_m`; ways with less are taken to be slow.
    """

    def __init__(
        self,
        free: BoolArray,
        resolution_m: float,
        origin_xy: tuple[float, float],
        radius_m: float,
        max_mps: float,
        speeds: SpeedConfig | None = None,
        reach_m: float = 0.0,
    ) -> None:
        self._reach_m = max(reach_m, radius_m)
        self.resolution_m, self.radius_m, self.max_mps, self.speeds = resolution_m, radius_m, max_mps, speeds or SpeedConfig()
        occupied = np.pad(~np.asarray(free, bool), 1, constant_values=True)
        self.origin = np.array([origin_xy[0] - resolution_m, origin_xy[1] - resolution_m])
        self.distance = signed_distance(occupied, resolution_m)
        self.passable: BoolArray = self.distance >= radius_m + self.speeds.margin_m
        self._flat_distance = self.distance.ravel()
        self._graph: tuple[BoolArray, Any, IntArray] | None = None

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """(row, column) of a point, clamped to the grid."""
        height, width = self.distance.shape
        column, row = (math.floor((v - o) / self.resolution_m) for v, o in zip((x, y), self.origin))
        return min(max(row, 0), height - 1), min(max(column, 0), width - 1)

    def centres(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """World positions (N, 2) of cells' centres."""
        centres: FloatArray = (np.stack([columns, rows], axis=1) + 0.5) * self.resolution_m + self.origin
        return centres

    def flat_cells(self, x: Float32Array, y: Float32Array) -> IntArray:
        """Flat indices of the cells that hold points, clamped to the grid."""
        height, width = self.distance.shape
        scale = np.float32(1.0 / self.resolution_m)
        column = ((x - np.float32(self.origin[0])) * scale).astype(np.int32)
        row = ((y - np.float32(self.origin[1])) * scale).astype(np.int32)
        index: IntArray = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
        return index

    def distance_at(self, x: Float32Array, y: Float32Array) -> Float32Array:
        """Distance [m] from points to the nearest solid, bilinear, negative inside; clamped at the grid's edge."""
        return self.interpolate(self._flat_distance, x, y)

    def interpolate(self, flat: Float32Array, x: Float32Array, y: Float32Array) -> Float32Array:
        """Values of a flattened field (Y·X,) at points, bilinear between cell centres."""
        height, width = self.distance.shape
        scale, half = np.float32(1.0 / self.resolution_m), np.float32(0.5)
        u = (x - np.float32(self.origin[0])) * scale - half
        v = (y - np.float32(self.origin[1])) * scale - half
        np.clip(u, 0.0, width - 1.001, out=u)
        np.clip(v, 0.0, height - 1.001, out=v)
        column, row = u.astype(np.int32), v.astype(np.int32)
        u -= column
        v -= row
        first = row * np.int32(width) + column
        low, high = flat.take(first), flat.take(first + np.int32(width))
        low += u * (flat.take(first + np.int32(1)) - low)
        high += u * (flat.take(first + np.int32(width + 1)) - high)
        high -= low
        high *= v
        high += low
        value: Float32Array = high
        return value

    def time_to(self, goal: Pose2, blocked: FloatArray | None = None) -> TimeField:
        """The time field of a goal.

        Args:
            goal: where to; need not be exactly passable, but within 0.2 m of what is.
            blocked: (M, 3) discs x, y, radius [m] that stand in the way as well.

        Raises:
            NoPathError: no room at the goal.
        """
        from scipy.ndimage import distance_transform_edt
        from scipy.sparse.csgraph import dijkstra

        passable, graph, ids = self._graph_of(blocked)
        source = self._nearest_passable(passable, goal, 0.2)
        if source is None:
            raise NoPathError(f"no room for the robot at ({goal.x:.2f}, {goal.y:.2f})")
        cost, before = dijkstra(graph, directed=False, indices=int(ids[source]), return_predecessors=True)
        height, width = passable.shape
        flat_of = np.flatnonzero(passable.ravel())
        time = np.full(height * width, np.inf, np.float32)
        time[flat_of] = cost
        following = np.full(height * width, -9999, np.int64)
        known = before >= 0
        following[flat_of[known]] = flat_of[before[known]]
        reached = np.isfinite(time).reshape(height, width)
        # Where the robot does not fit, or not from here: straight to the nearest cell that is on a way, slowly.
        away, nearest = distance_transform_edt(~reached, return_indices=True)
        flat_nearest = nearest[0] * width + nearest[1]
        filled = time[flat_nearest] + (away * self.resolution_m / _ESCAPE_MPS).astype(np.float32)
        return TimeField(goal, filled, self._directions(following, reached, flat_nearest, goal), following, reached)

    def route(self, field: TimeField, x: float, y: float) -> FloatArray:
        """The way (N, 2) from a point to the field's goal, about every 0.1 m.

        Raises:
            NoPathError: the goal cannot be reached from there.
        """
        start = self._nearest_passable(field.passable, Pose2(x, y), 0.6)
        if start is None:
            raise NoPathError(f"no way from ({x:.2f}, {y:.2f}) to ({field.goal.x:.2f}, {field.goal.y:.2f})")
        width = self.distance.shape[1]
        index, cells = start[0] * width + start[1], []
        while index >= 0:
            cells.append(index)
            index = int(field.following[index])
        order = np.array(cells, dtype=np.int64)
        line = np.concatenate([[[x, y]], self.centres(order // width, order % width)[1:], [[field.goal.x, field.goal.y]]])
        return self._smooth(resample(line, 0.1))

    def _smooth(self, line: FloatArray, rounds: int = 30) -> FloatArray:
        """Take the grid's corners out of a line, where that brings it no nearer to things than it may be."""
        line = line.copy()
        floor = self.radius_m + self.speeds.margin_m
        for _ in range(rounds if len(line) > 2 else 0):
            moved = 0.5 * line[1:-1] + 0.25 * (line[:-2] + line[2:])
            inside = self.distance_at(*moved.T.astype(np.float32)) >= floor
            line[1:-1][inside] = moved[inside]
        return line

    def _nearest_passable(self, passable: BoolArray, pose: Pose2, within_m: float) -> tuple[int, int] | None:
        row, column = self.cell(pose.x, pose.y)
        reach = math.ceil(within_m / self.resolution_m)
        low_row, low_column = max(row - reach, 0), max(column - reach, 0)
        rows, columns = np.nonzero(passable[low_row : row + reach + 1, low_column : column + reach + 1])
        if len(rows) == 0:
            return None
        away = np.hypot(*(self.centres(rows + low_row, columns + low_column) - [pose.x, pose.y]).T)
        best = int(np.argmin(away))
        if away[best] > within_m:
            return None
        return int(rows[best]) + low_row, int(columns[best]) + low_column

    def _graph_of(self, blocked: FloatArray | None) -> tuple[BoolArray, Any, IntArray]:
        if blocked is None or len(blocked) == 0:
            if self._graph is None:
                self._graph = self._build(self.passable, self.distance)
            return self._graph
        height, width = self.distance.shape
        x = self.origin[0] + (np.arange(width) + 0.5) * self.resolution_m
        y = self.origin[1] + (np.arange(height) + 0.5) * self.resolution_m
        distance = self.distance.copy()
        for bx, by, radius in blocked:
            away = np.hypot(x[None, :] - bx, y[:, None] - by) - radius
            np.minimum(distance, away.astype(np.float32), out=distance)
        return self._build(distance >= self.radius_m + self.speeds.margin_m, distance)

    def _build(self, passable: BoolArray, distance: Float32Array) -> tuple[BoolArray, Any, IntArray]:
        """The graph of passable cells; an edge's weight is the time along it."""
        from scipy.sparse import coo_matrix

        height, width = passable.shape
        count = int(passable.sum())
        ids = np.full(passable.shape, -1, np.int32)
        ids[passable] = np.arange(count, dtype=np.int32)
        slowness = np.float32(1.0) / self.speeds.allowed(distance - np.float32(self._reach_m), self.max_mps)
        rows, columns, weights = [], [], []
        for dy, dx in _OFFSETS:
            here = (slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0)))
            there = (slice(dy, height), slice(max(dx, 0), width - max(-dx, 0)))
            both = passable[here] & passable[there]
            rows.append(ids[here][both])
            columns.append(ids[there][both])
            weights.append((slowness[here][both] + slowness[there][both]) * np.float32(0.5 * math.hypot(dy, dx) * self.resolution_m))
        entries = np.concatenate(weights).astype(np.float64)
        graph = coo_matrix((entries, (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)).tocsr()
        return passable, graph, ids.astype(np.int64)

    def _directions(self, following: IntArray, reached: BoolArray, nearest: IntArray, goal: Pose2) -> Float32Array:
        """Unit vectors (Y, X, 2) towards the point a few cells further on the way; off the way, towards the way."""
        height, width = reached.shape
        own = np.arange(height * width).reshape(height, width)
        ahead = nearest.astype(np.int64)
        for _ in range(_HOPS):
            step = following[ahead]
            ahead = np.where(step >= 0, step, ahead)
        ahead = np.where(reached, ahead, nearest)
        x, y = (ahead % width - own % width).astype(np.float32), (ahead // width - own // width).astype(np.float32)
        at_end = following[ahead] < 0
        to_goal = (np.array([goal.x, goal.y]) - self.origin) / self.resolution_m - 0.5
        x, y = np.where(at_end & reached, to_goal[0] - own % width, x), np.where(at_end & reached, to_goal[1] - own // width, y)
        vectors: Float32Array = np.stack([x, y], axis=-1).astype(np.float32)
        vectors /= np.maximum(np.hypot(x, y), 1e-3)[..., None].astype(np.float32)
        return vectors
