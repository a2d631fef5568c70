"""Polylines in the plane: even steps, headings, progress along a route."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray


def resample(line: FloatArray, step_m: float) -> FloatArray:
    """The polyline (N, 2) at even steps of about `step_m`, with both ends."""
    lengths = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    if along[-1] < 1e-6:
        return line[[0, -1]].copy()
    wanted = np.linspace(0.0, along[-1], max(2, round(along[-1] / step_m) + 1))
    return np.stack([np.interp(wanted, along, line[:, k]) for k in range(2)], axis=1)


def with_headings(line: FloatArray, start_yaw: float) -> FloatArray:
    """Poses (N, 3) whose heading is the direction of travel; a path of no length keeps the start's."""
    steps = np.diff(line, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    if lengths.sum() < 1e-6:
        headings = np.full(len(line), start_yaw)
    else:
        yaw = np.arctan2(steps[:, 1], steps[:, 0])
        headings = np.concatenate([yaw, yaw[-1:]])
    return np.concatenate([line, headings[:, None]], axis=1)


def densify(poses: FloatArray) -> FloatArray:
    """Poses with one more between each two, for checks that must not step over an obstacle."""
    middle = poses[:-1].copy()
    middle[:, :2] = 0.5 * (poses[:-1, :2] + poses[1:, :2])
    out = np.empty((2 * len(poses) - 1, 3))
    out[0::2], out[1::2] = poses, middle
    return out


def point_along(line: FloatArray, arc_m: float) -> FloatArray:
    """The point (2,) at arc length `arc_m` of the polyline (N, 2), clamped to its ends."""
    along = arc_lengths(line)
    return np.array([np.interp(arc_m, along, line[:, k]) for k in range(2)])


def arc_lengths(line: FloatArray) -> FloatArray:
    """Arc length (N,) at every vertex of the polyline (N, 2)."""
    steps = np.diff(line, axis=0)
    return np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])


def project(line: FloatArray, point: FloatArray, low_m: float = 0.0, high_m: float = math.inf) -> tuple[float, float]:
    """Arc length of the point of the polyline (N, 2) that is nearest to `point` between two arc lengths, and the distance to it [m]."""
    along = arc_lengths(line)
    if len(line) == 1:
        return 0.0, float(np.hypot(*(line[0] - point)))
    edges = np.diff(line, axis=0)
    squared = np.maximum(np.sum(edges**2, axis=1), 1e-12)
    share = np.sum((point - line[:-1]) * edges, axis=1) / squared
    lengths = np.sqrt(squared)
    share = np.clip(share, np.clip((low_m - along[:-1]) / lengths, 0.0, 1.0), np.clip((high_m - along[:-1]) / lengths, 0.0, 1.0))
    outside = (along[1:] < low_m) | (along[:-1] > high_m)
    distance = np.hypot(*(line[:-1] + share[:, None] * edges - point).T)
    distance[outside] = np.inf
    if not np.isfinite(distance).any():
        end = line[-1] if low_m >= along[-1] else line[0]
        return float(np.clip(low_m, 0.0, along[-1])), float(np.hypot(*(end - point)))
    best = int(np.argmin(distance))
    return float(along[best] + share[best] * lengths[best]), float(distance[best])


@dataclass(slots=True, eq=False)
class RouteProgress:
    """How far along a route (N, 2) the robot has come. Progress looks a window ahead, so that a route may cross or touch itself."""

    route: FloatArray
    window_m: float = 3.0
    arc_m: float = 0.0

    def __post_init__(self) -> None:
        self.route = np.asarray(self.route, dtype=np.float64)
        if self.route.ndim != 2 or self.route.shape[0] < 1 or not np.all(np.isfinite(self.route)):
            raise BadInputError("a route needs at least one finite position")

    @property
    def length_m(self) -> float:
        """Length of the whole route [m]."""
        return float(arc_lengths(self.route)[-1])

    @property
    def remaining_m(self) -> float:
        """Length still to drive [m]."""
        return self.length_m - self.arc_m

    def update(self, position: FloatArray) -> float:
        """Move to the nearest point of the route a little behind or ahead; returns the distance from the route [m]."""
        arc, offset = project(self.route, position, max(0.0, self.arc_m - 0.5), self.arc_m + self.window_m)
        self.arc_m = max(self.arc_m, arc)
        return offset

    def skip_to(self, distance_m: float) -> None:
        """Count the next stretch of the route as done."""
        self.arc_m = min(self.arc_m + distance_m, self.length_m)

    def point_ahead(self, distance_m: float) -> FloatArray:
        """The route's point (2,) this far ahead, or its end."""
        return point_along(self.route, self.arc_m + distance_m)

    def piece_ahead(self, distance_m: float) -> FloatArray:
        """The route's polyline (M, 2) from here to this far ahead."""
        along = arc_lengths(self.route)
        inner = self.route[(along > self.arc_m + 1e-9) & (along < self.arc_m + distance_m - 1e-9)]
        return np.concatenate([self.point_ahead(0.0)[None], inner, self.point_ahead(distance_m)[None]])
