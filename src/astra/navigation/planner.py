"""The classical local planner: it stays for ever as the fallback of the learned one.

Distance field → cost of closeness → Dijkstra over the grid → any-angle shortening → corner smoothing → exact check of the outline.
The robot may turn on the spot at the start, so that a path may leave in any direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, BoolArray, FloatArray, IntArray
from astra.geometry.se2 import wrap_angle
from astra.navigation.footprint import Footprint
from astra.navigation.grid import LocalGrid
from astra.navigation.polyline import densify, resample, with_headings
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Subgoal
from astra.navigation.search import BLOCKED, GridGraph, SearchResult, cheapest_polyline, paint


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """Clearances, costs and limits of `ClassicalPlanner`."""

    margin_m: float = 0.012  # hard clearance beyond the outline
    comfort_m: float = 0.30  # clearance beyond which nothing is gained
    closeness_weight: float = 4.0  # a metre at zero clearance costs 1 + this
    unknown_weight: float = 0.3  # a metre through unseen space costs this much more
    keep_discount: float = 0.85  # cells of the last path cost this share: no flapping between equal ways
    subgoal_slack_m: float = 0.8  # a blocked subgoal is replaced by a reachable point this near
    limit_m: float = 25.0  # longest path, in metres of cost
    step_m: float = 0.05
    max_speed_mps: float = 0.6
    lateral_acceleration_mps2: float = 0.5
    braking_mps2: float = 0.5
    close_speed_mps: float = 0.2  # speed at zero clearance; grows to max_speed_mps at comfort_m

    def __post_init__(self) -> None:
        for name in (
            "margin_m",
            "comfort_m",
            "step_m",
            "max_speed_mps",
            "lateral_acceleration_mps2",
            "braking_mps2",
            "close_speed_mps",
            "limit_m",
        ):
            require(0.0 < getattr(self, name) < 1e3, name, getattr(self, name), "> 0")
        require(self.closeness_weight >= 0.0, "closeness_weight", self.closeness_weight, "≥ 0")
        require(self.unknown_weight >= 0.0, "unknown_weight", self.unknown_weight, "≥ 0")
        require(0.1 <= self.keep_discount <= 1.0, "keep_discount", self.keep_discount, "0.1 … 1")
        require(self.subgoal_slack_m >= 0.0, "subgoal_slack_m", self.subgoal_slack_m, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """One inflation radius: what the search and the shortening must agree on."""

    grid: LocalGrid
    start: FloatArray  # (2,)
    radius_m: float
    config: PlannerConfig
    start_distance_m: float

    def needed(self, points: FloatArray) -> FloatArray:
        """Distance that positions (..., 2) must keep; the start may already be nearer than the margin, and may be left."""
        full = self.radius_m + self.config.margin_m
        if self.start_distance_m >= full:
            return np.full(points.shape[:-1], full)
        away = np.hypot(points[..., 0] - self.start[0], points[..., 1] - self.start[1])
        reduced: FloatArray = np.minimum(full, self.start_distance_m - 1e-3 + 0.3 * away)
        return reduced

    def cost(self, distance: AnyArray, needed: AnyArray | float) -> AnyArray:
        """Cost per metre from the distance to obstacles; `BLOCKED` below what is needed."""
        closeness = np.clip(1.0 - (distance - self.radius_m - self.config.margin_m) / self.config.comfort_m, 0.0, 1.0)
        return np.where(distance < needed, BLOCKED, 1.0 + self.config.closeness_weight * closeness**2)


class ClassicalPlanner:
    """Plans footprint-aware paths on a lidar grid (`navigation.protocols.Planner`). Deterministic; remembers its last path."""

    def __init__(self, config: PlannerConfig | None = None, footprint: Footprint | None = None) -> None:
        self.config = config or PlannerConfig()
        self.footprint = footprint or Footprint.disc(0.22)
        self._graph: GridGraph | None = None
        self._last: FloatArray | None = None
        self._scene: LocalScene | None = None
        self._explored: dict[float, tuple[_Attempt, SearchResult]] = {}  # of that scene, by inflation radius

    def reset(self) -> None:
        """Forget the last path."""
        self._last, self._scene = None, None

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        """A path from the robot to the subgoal, or to the nearest reachable point beside it.

        Raises:
            LocalPlanError: no path; `.reason` says why.
        """
        start, goal = scene.odom_from_base, subgoal.odom_from_goal
        if not (start.is_finite() and goal.is_finite()):
            raise LocalPlanError(NoLocalPath.NOT_FINITE, f"start {start}, subgoal {goal}")
        points = scene.grid.points
        pose = np.array([[start.x, start.y, start.yaw]])
        start_clearance = float(self.footprint.clearance_along(pose, points)[0])
        if start_clearance < 0.0:
            raise LocalPlanError(NoLocalPath.START_BLOCKED, f"an obstacle lies {-start_clearance:.3f} m inside the robot's outline")
        found_any = False
        for radius in self._radii():
            attempt, result = self._explore(scene, radius, points)
            target = self._target(attempt, result, np.array([goal.x, goal.y]))
            if target is None:
                continue
            found_any = True
            position, cell, reaches = target
            for line in self._lines(attempt, result, position, cell):
                path = self._finish(scene, line, points, start_clearance, reaches, float(result.cost[cell]), subgoal.final)
                if path is not None:
                    self._last = path.poses[:, :2]
                    return path
        self._last = None
        if found_any:
            raise LocalPlanError(NoLocalPath.TURN_BLOCKED, "the outline touches obstacles along every path found")
        raise LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, f"nothing reachable within {self.config.subgoal_slack_m} m of the subgoal")

    # --- stages -------------------------------------------------------------------------------------------------------------------

    def _radii(self) -> tuple[float, ...]:
        """Inflation radii to try: first the one that lets the robot turn anywhere, then tighter ones for a long outline."""
        inner, outer = self.footprint.inscribed_m, self.footprint.circumscribed_m
        return (outer,) if outer - inner < 0.01 else (outer, 0.5 * (inner + outer), inner)

    def _explore(self, scene: LocalScene, radius_m: float, points: FloatArray) -> tuple[_Attempt, SearchResult]:
        """Everything reachable from here; the subgoals of one scene share it."""
        if scene is not self._scene:
            self._scene, self._explored = scene, {}
        if radius_m not in self._explored:
            attempt = self._attempt(scene, radius_m, points)
            self._explored[radius_m] = attempt, self._search(attempt)
        return self._explored[radius_m]

    def _attempt(self, scene: LocalScene, radius_m: float, points: FloatArray) -> _Attempt:
        start = np.array([scene.odom_from_base.x, scene.odom_from_base.y])
        nearest = float(np.hypot(*(points - start).T).min()) if len(points) else math.inf
        interpolated = float(scene.grid.distance_at(start))
        return _Attempt(scene.grid, start, radius_m, self.config, min(nearest, interpolated))

    def _search(self, attempt: _Attempt) -> SearchResult:
        """Dijkstra over the costs of closeness, with the last path's surroundings at a discount."""
        grid, resolution = attempt.grid, attempt.grid.resolution_m
        height, width = grid.occupied.shape
        x = grid.origin_x + (np.arange(width) + 0.5) * resolution
        y = grid.origin_y + (np.arange(height) + 0.5) * resolution
        needed: AnyArray | float = attempt.radius_m + self.config.margin_m
        if attempt.start_distance_m < needed:
            needed = attempt.needed(np.stack(np.meshgrid(x, y), axis=-1))
        cost = attempt.cost(grid.distance, needed)
        cost[~grid.known] += self.config.unknown_weight
        start = self._cell(grid, attempt.start)
        cost[start] = min(cost[start], 1.0 + self.config.closeness_weight)
        if self._last is not None and self.config.keep_discount < 1.0:
            cells = np.floor(grid.cells(self._last)).astype(np.int64)[:, ::-1]
            cost[paint(grid.occupied.shape, cells, 2)] *= self.config.keep_discount
        if self._graph is None or self._graph.shape != grid.occupied.shape:
            self._graph = GridGraph(height, width)
        return self._graph.search(cost, start, self.config.limit_m / resolution)

    def _target(self, attempt: _Attempt, result: SearchResult, goal: FloatArray) -> tuple[FloatArray, tuple[int, int], bool] | None:
        """The position to end at, its cell and whether it is the subgoal itself; None if nothing near it is reachable."""
        grid = attempt.grid
        if bool(grid.contains(goal)):
            cell = self._cell(grid, goal)
            free = float(grid.distance_at(goal)) >= float(attempt.needed(goal))
            if np.isfinite(result.cost[cell]) and free:
                return goal, cell, True
        rows, columns = np.nonzero(np.isfinite(result.cost))
        centres = np.stack([grid.origin_x + (columns + 0.5) * grid.resolution_m, grid.origin_y + (rows + 0.5) * grid.resolution_m], axis=1)
        away = np.hypot(centres[:, 0] - goal[0], centres[:, 1] - goal[1])
        # Of points about as near, one with some room around it and a short way there is taken.
        closeness = np.clip(1.0 - (grid.distance[rows, columns] - attempt.radius_m) / self.config.comfort_m, 0.0, 1.0)
        best = int(np.argmin(away + 0.15 * closeness**2 + 0.02 * grid.resolution_m * result.cost[rows, columns]))
        if away[best] > self.config.subgoal_slack_m:
            return None
        return centres[best], (int(rows[best]), int(columns[best])), False

    def _lines(self, attempt: _Attempt, result: SearchResult, target: FloatArray, cell: tuple[int, int]) -> list[FloatArray]:
        """Candidate polylines (N, 2) at `step_m`, best first: smoothed, shortened, and the bare search path."""
        grid = attempt.grid
        cells = result.path_to(*cell)
        centres = np.stack([grid.origin_x + (cells[:, 1] + 0.5) * grid.resolution_m, grid.origin_y + (cells[:, 0] + 0.5) * grid.resolution_m], axis=1)
        raw = np.concatenate([attempt.start[None], centres[1:-1], target[None]])
        vertices = raw[_thin(len(raw), 2)]
        links, costs = self._links(attempt, vertices)
        short = resample(vertices[cheapest_polyline(vertices, costs, links)], self.config.step_m)
        return [self._smooth(attempt, short), short, resample(raw, self.config.step_m)]

    def _links(self, attempt: _Attempt, vertices: FloatArray) -> tuple[IntArray, FloatArray]:
        """Straight lines between vertices up to two metres apart along the path, and the integral of the cost along each."""
        count = len(vertices)
        i, j = np.triu_indices(count, 1)
        near = j - i <= max(3, round(2.0 / (1.6 * attempt.grid.resolution_m)))
        order = np.lexsort((i[near], j[near]))
        links = np.stack([i[near][order], j[near][order]], axis=1)
        chords = vertices[links[:, 1]] - vertices[links[:, 0]]
        lengths = np.hypot(chords[:, 0], chords[:, 1])
        samples = np.maximum(np.ceil(lengths / self.config.step_m).astype(np.int64), 1) + 1
        which = np.repeat(np.arange(len(links)), samples)
        place = np.arange(len(which)) - np.repeat(np.cumsum(samples) - samples, samples)
        positions = vertices[links[which, 0]] + chords[which] * (place / (samples[which] - 1))[:, None]
        each = attempt.cost(attempt.grid.distance_at(positions), attempt.needed(positions))
        total = np.bincount(which, each, len(links)) / samples * lengths
        total[np.bincount(which, each >= BLOCKED, len(links)) > 0] = np.inf
        return links, total + 1e-6  # of equal chains the one with fewer links

    def _smooth(self, attempt: _Attempt, line: FloatArray, rounds: int = 20) -> FloatArray:
        """Round the corners; a point that would come closer to an obstacle than is comfortable stays."""
        line = line.copy()
        floor = attempt.radius_m + self.config.margin_m + 0.25 * self.config.comfort_m
        distance = attempt.grid.distance_at(line)
        for _ in range(rounds if len(line) > 2 else 0):
            moved = line.copy()
            moved[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[:-2] + line[2:])
            after = attempt.grid.distance_at(moved)
            accept = (after >= distance - 1e-9) | (after >= floor)
            line[accept], distance = moved[accept], np.where(accept, after, distance)
        return resample(line, self.config.step_m)

    def _finish(
        self, scene: LocalScene, line: FloatArray, points: FloatArray, start_clearance: float, reaches: bool, cost: float, final: bool
    ) -> LocalPath | None:
        """Add headings and speeds; None if the outline would touch an obstacle anywhere along the way or in the turn at the start."""
        start = scene.odom_from_base
        poses = with_headings(line, start.yaw)
        turn = wrap_angle(float(poses[0, 2]) - start.yaw)
        angles = start.yaw + np.linspace(0.0, turn, max(2, math.ceil(abs(turn) / 0.1) + 1))
        turning = np.stack([np.full_like(angles, start.x), np.full_like(angles, start.y), angles], axis=1)
        checked = np.concatenate([turning, densify(poses)])
        clearance = self.footprint.clearance_along(checked, _within(points, checked, self.footprint.circumscribed_m + self.config.comfort_m))
        away = np.hypot(checked[:, 0] - start.x, checked[:, 1] - start.y)
        needed = np.minimum(0.5 * self.config.margin_m, 0.9 * start_clearance + 0.2 * away)
        if np.any(clearance < needed):
            return None
        along = clearance[len(turning) :][::_DENSITY]
        speeds = self._speeds(poses, along, stop=final)
        return LocalPath(scene.stamp_ns, poses, speeds, reaches, cost * scene.grid.resolution_m, float(clearance.min()))

    def _speeds(self, poses: FloatArray, clearance: FloatArray, stop: bool) -> FloatArray:
        """Speed at each pose, from curvature, closeness and, at a true goal, braking."""
        config = self.config
        share = np.clip(clearance / config.comfort_m, 0.0, 1.0)
        speeds = config.close_speed_mps + (config.max_speed_mps - config.close_speed_mps) * share
        steps = np.hypot(*np.diff(poses[:, :2], axis=0).T)
        if len(poses) > 2:
            bend = np.abs(np.remainder(np.diff(poses[:, 2]) + math.pi, 2.0 * math.pi) - math.pi) / np.maximum(steps, 1e-6)
            limit = np.sqrt(config.lateral_acceleration_mps2 / np.maximum(bend, 1e-6))
            speeds[:-1] = np.minimum(speeds[:-1], np.maximum(limit, 0.1))
        if stop:
            remaining = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
            speeds = np.minimum(speeds, np.sqrt(2.0 * config.braking_mps2 * remaining))
        return np.minimum(speeds, config.max_speed_mps)

    @staticmethod
    def _cell(grid: LocalGrid, point: FloatArray) -> tuple[int, int]:
        """The cell (row, column) of a position, clamped to the grid."""
        height, width = grid.occupied.shape
        column, row = np.floor(grid.cells(point)).astype(int).tolist()
        return min(max(row, 0), height - 1), min(max(column, 0), width - 1)


_DENSITY = 2


def _thin(count: int, every: int) -> BoolArray:
    """Keep every n-th of `count` entries and both ends."""
    keep: BoolArray = np.arange(count) % every == 0
    keep[0] = keep[-1] = True
    return keep


def _within(points: FloatArray, poses: FloatArray, reach_m: float) -> FloatArray:
    """The points (M, 2) inside the poses' bounding box grown by `reach_m`."""
    low, high = poses[:, :2].min(axis=0) - reach_m, poses[:, :2].max(axis=0) + reach_m
    return points[np.all((points >= low) & (points <= high), axis=1)]
