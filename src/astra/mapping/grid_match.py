"""How one occupancy grid lies in another: a search over all turns and shifts, then least squares on the distance to the walls.

Score of a motion: for every wall cell how near a wall of the other grid lies, less what stands in the other's free space. The shifts of one turn
are a cross-correlation, so that each turn costs two Fourier transforms. Walls alone fit a corridor nearly anywhere along it; therefore the best
motion is only believed if no other one fits nearly as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, Float32Array, FloatArray
from astra.geometry import Pose2, wrap_angle
from astra.geometry.distance import distance_to_occupied, sample_bilinear


@dataclass(frozen=True, slots=True)
class MatchConfig:
    """The search and the refinement."""

    coarse_m: float = 0.15  # cell of the search
    turn_rad: float = math.radians(2.0)  # between two turns of the search
    blur_m: float = 0.2  # how far a wall may be off in the search
    empty_weight: float = 0.5  # of a wall that would stand in free space, against one that fits
    peaks: int = 60  # of the search that are refined
    reach_m: float = 0.5  # walls further from any other do not pull
    sigma_m: float = 0.05  # of a wall's distance to its counterpart
    fits_m: float = 0.12  # a wall cell this near to the other grid's walls fits
    apart_m: float = 1.0  # motions nearer than this to each other …
    apart_rad: float = math.radians(15.0)  # … in both are the same
    max_scale_sigmas: float = 3.0  # by how much the lengths may change
    max_points: int = 4000  # of the walls that take part

    def __post_init__(self) -> None:
        require(0.02 <= self.coarse_m <= 1.0, "coarse_m", self.coarse_m, "0.02 … 1")
        require(0.001 <= self.turn_rad <= 0.5, "turn_rad", self.turn_rad, "0.001 … 0.5")
        require(self.blur_m > 0.0, "blur_m", self.blur_m, "> 0")
        require(self.empty_weight >= 0.0, "empty_weight", self.empty_weight, "≥ 0")
        require(self.peaks >= 2, "peaks", self.peaks, "≥ 2")
        require(self.reach_m > 0.0, "reach_m", self.reach_m, "> 0")
        require(self.sigma_m > 0.0, "sigma_m", self.sigma_m, "> 0")
        require(self.fits_m > 0.0, "fits_m", self.fits_m, "> 0")
        require(self.apart_m > 0.0, "apart_m", self.apart_m, "> 0")
        require(self.apart_rad > 0.0, "apart_rad", self.apart_rad, "> 0")
        require(self.max_points >= 100, "max_points", self.max_points, "≥ 100")


@dataclass(frozen=True, slots=True, eq=False)
class Walls:
    """walls, free: (H, W) bool, row 0 at the smallest y, cell (0, 0)'s corner at `origin` (2,) [m]."""

    walls: BoolArray
    free: BoolArray
    resolution_m: float
    origin: FloatArray

    def points(self, cells: BoolArray) -> FloatArray:
        """Centres (N, 2) [m] of cells."""
        rows, columns = np.nonzero(cells)
        centres: FloatArray = self.origin + (np.stack([columns, rows], axis=1) + 0.5) * self.resolution_m
        return centres

    def coarse(self, cell_m: float) -> Walls:
        """With larger cells: a wall where there is one in them, free where all that is known is free."""
        if cell_m <= self.resolution_m:
            return self
        shape = np.ceil(np.array(self.walls.shape) * self.resolution_m / cell_m).astype(np.int64)
        walls, free = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for cells, out in ((self.walls, walls), (self.free, free)):
            rows, columns = ((np.nonzero(cells)[k] * self.resolution_m / cell_m).astype(np.int64) for k in (0, 1))
            out[rows, columns] = True
        return Walls(walls, free & ~walls, cell_m, self.origin)


@dataclass(frozen=True, slots=True)
class GridMotion:
    """target = scale · turn(source) + shift.

    fit: share of the source's walls inside what the target knows that lie on a wall of the target. coverage: share of them that the target knows.
    empty: share of the walls of either that stand in the other's free space. residual_m: root mean square distance of those that fit.
    """

    target_from_source: Pose2
    scale: float
    fit: float
    coverage: float
    empty: float
    residual_m: float

    @property
    def score(self) -> float:
        """What ranks motions: walls that fit, less those that cannot be."""
        return self.coverage * (self.fit - self.empty)


def match_grids(source: Walls, target: Walls, scale_sigma: float, config: MatchConfig, near: Pose2 | None = None, near_m: float = 2.0) -> list[GridMotion]:
    """Motions of the source into the target, best first, each apart from the others.

    Args:
        scale_sigma: relative, of the source's lengths.
        near: only motions that carry the source's origin to within `near_m` and 45° of this pose.
    """
    fine, back = _Field(target), _Field(source)
    points, theirs = _thinned(source.points(source.walls), config.max_points), _thinned(target.points(target.walls), config.max_points)
    motions = []
    for start in _search(source.coarse(config.coarse_m), target.coarse(config.coarse_m), config, near, near_m):
        pose, scale = fine.refine(points, start, scale_sigma, config)
        motions.append(_judged(fine, back, points, theirs, pose, scale, config))
    found: list[GridMotion] = []
    for motion in sorted(motions, key=lambda m: -m.score):
        if not any(_same(motion.target_from_source, other.target_from_source, points.mean(axis=0), config) for other in found):
            found.append(motion)
    return found


def _same(a: Pose2, b: Pose2, middle: FloatArray, config: MatchConfig) -> bool:
    """Whether two motions carry the middle of the source's walls to about the same pose."""
    gap = float(np.linalg.norm(a.apply(middle) - b.apply(middle)))
    return gap < config.apart_m and abs(wrap_angle(a.yaw - b.yaw)) < config.apart_rad


def _judged(fine: _Field, back: _Field, points: FloatArray, theirs: FloatArray, pose: Pose2, scale: float, config: MatchConfig) -> GridMotion:
    """What a motion is worth: our walls in their grid, and theirs in ours."""
    ours = fine.look(pose.apply(scale * points), config)
    other = back.look(pose.inverse().apply(theirs) / scale, config)
    fits = ours.known & (ours.to_wall <= config.fits_m)
    count = max(int(ours.known.sum()), 1)
    residual = float(np.sqrt(np.mean(ours.to_wall[fits] ** 2))) if fits.any() else math.nan
    empty = max(float(ours.empty.sum()) / count, float(other.empty.sum()) / max(int(other.known.sum()), 1))
    return GridMotion(pose, scale, float(fits.sum()) / count, float(ours.known.sum()) / len(points), empty, residual)


def _thinned(points: FloatArray, count: int) -> FloatArray:
    return points[:: -(-len(points) // count)] if len(points) else points


def _search(source: Walls, target: Walls, config: MatchConfig, near: Pose2 | None, near_m: float) -> list[Pose2]:
    """The best shifts of every turn, the best of all first."""
    from scipy import fft

    cell = target.resolution_m
    walls, free = source.points(source.walls), source.points(source.free)
    radius = float(np.linalg.norm(walls - walls.mean(axis=0), axis=1).max()) + 2.0 * cell
    size = int(2.0 * radius / cell) + 3
    shape = [fft.next_fast_len(n + size, real=True) for n in target.walls.shape]
    near_wall = np.exp(-0.5 * (distance_to_occupied(target.walls, cell) / config.blur_m) ** 2).astype(np.float32)
    deep = target.free & (distance_to_occupied(~target.free, cell) > 2.0 * cell)
    wanted = fft.rfft2(near_wall - np.float32(config.empty_weight) * deep, shape)
    forbidden = fft.rfft2(target.walls.astype(np.float32), shape)
    middle = walls.mean(axis=0)
    weight = config.empty_weight * len(walls) / max(len(free), 1)
    candidates: list[tuple[float, Pose2]] = []
    for yaw in np.arange(0.0, 2.0 * math.pi, config.turn_rad):
        if near is not None and abs(wrap_angle(float(yaw) - near.yaw)) > math.radians(45.0):
            continue
        turn = Pose2(0.0, 0.0, float(yaw))
        drawn = fft.rfft2(_drawn(turn.apply(walls - middle), size, cell), shape)
        spread = fft.rfft2(_drawn(turn.apply(free - middle), size, cell), shape)
        score = fft.irfft2(wanted * np.conj(drawn) - weight * forbidden * np.conj(spread), shape)
        candidates += _peaks(score, target, size, middle, float(yaw), near, near_m)
    candidates.sort(key=lambda c: -c[0])
    return [pose for _, pose in candidates[: config.peaks]]


def _drawn(points: FloatArray, size: int, cell: float) -> Float32Array:
    """Counts of points (N, 2) around zero in a square grid; zero is the corner of its middle cell."""
    image = np.zeros((size, size), dtype=np.float32)
    columns, rows = np.floor(points / cell).astype(np.int64).T + size // 2
    inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    np.add.at(image, (rows[inside], columns[inside]), np.float32(1.0))
    return image


def _peaks(
    score: Float32Array, target: Walls, size: int, middle: FloatArray, yaw: float, near: Pose2 | None, near_m: float, count: int = 4
) -> list[tuple[float, Pose2]]:
    """The best shifts of one turn that are local maxima; the motion carries the source's `middle` to the shift."""
    from scipy.ndimage import maximum_filter

    top = (score == maximum_filter(score, 5, mode="wrap")) & (score > 0)
    rows, columns = np.nonzero(top)
    order = np.argsort(-score[rows, columns])
    out = []
    for k in order.tolist():
        # Indices beyond the target stand for negative shifts.
        row, column = (int(i) - (n if i >= t else 0) for i, n, t in zip((rows[k], columns[k]), score.shape, target.walls.shape))
        shift = target.origin + (np.array([column, row]) + size // 2) * target.resolution_m
        x, y = shift - Pose2(0.0, 0.0, yaw).apply(middle)
        pose = Pose2(float(x), float(y), yaw)
        if near is None or pose.distance_to(near) < near_m:
            out.append((float(score[rows[k], columns[k]]), pose))
        if len(out) == count:
            break
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Of points: known: whether the grid knows their place; to_wall: [m]; empty: whether they lie well inside free space."""

    known: BoolArray
    to_wall: FloatArray
    empty: BoolArray


class _Field:
    """A grid's distance fields, at its own resolution."""

    def __init__(self, target: Walls) -> None:
        self.target = target
        self.to_wall = distance_to_occupied(target.walls, target.resolution_m, cap_m=10.0)
        self.to_taken = distance_to_occupied(~target.free, target.resolution_m, cap_m=10.0)
        gradient = np.gradient(self.to_wall, target.resolution_m)
        self.slope_x, self.slope_y = gradient[1].astype(np.float32), gradient[0].astype(np.float32)

    def refine(self, points: FloatArray, start: Pose2, scale_sigma: float, config: MatchConfig) -> tuple[Pose2, float]:
        """Pose and scale that minimise Σ ρ(d(s·R·p + t)² / σ²) + ((s − 1) / σ_s)² by Gauss-Newton."""
        pose, scale = start, 1.0
        middle, slack = points.mean(axis=0), config.max_scale_sigmas * scale_sigma
        for step in range(30):
            turned = scale * Pose2(0.0, 0.0, pose.yaw).apply(points - middle)
            at = turned + pose.apply(middle)
            cells = (at - self.target.origin) / self.target.resolution_m
            distance = sample_bilinear(self.to_wall, cells)
            slope = np.stack([sample_bilinear(self.slope_x, cells), sample_bilinear(self.slope_y, cells)], axis=1)
            bound = max(config.reach_m * 0.8**step, 3.0 * config.sigma_m)  # far walls pull at first, then only what fits
            weight = (distance < 2.0 * bound) / (1.0 + (distance / bound) ** 2) ** 2
            jacobian = np.column_stack([slope, slope[:, 1] * turned[:, 0] - slope[:, 0] * turned[:, 1], (slope * turned).sum(axis=1)])
            information = (jacobian * weight[:, None]).T @ jacobian / config.sigma_m**2
            right = -(jacobian * weight[:, None]).T @ distance / config.sigma_m**2
            information += np.diag([1e-3, 1e-3, 1e-3, 1.0 / scale_sigma**2])
            right[3] += (1.0 - scale) / scale_sigma**2
            change = np.linalg.solve(information, right)
            change[3] *= scale
            centre = pose.apply(middle) + change[:2]
            yaw = wrap_angle(pose.yaw + float(np.clip(change[2], -0.1, 0.1)))
            x, y = centre - Pose2(0.0, 0.0, yaw).apply(middle)
            pose, scale = Pose2(float(x), float(y), yaw), float(np.clip(scale + change[3], 1.0 - slack, 1.0 + slack))
            if step > 12 and float(np.abs(change).max()) < 1e-5:
                break
        x, y = pose.apply(middle) - scale * Pose2(0.0, 0.0, pose.yaw).apply(middle)
        return Pose2(float(x), float(y), pose.yaw), scale

    def look(self, at: FloatArray, config: MatchConfig) -> _Look:
        """What the grid has at points (N, 2) [m]."""
        cells = np.floor((at - self.target.origin) / self.target.resolution_m).astype(np.int64)
        inside = np.all((cells >= 0) & (cells < np.array(self.target.walls.shape)[::-1]), axis=1)
        columns, rows = np.clip(cells, 0, np.array(self.target.walls.shape)[::-1] - 1).T
        to_wall = self.to_wall[rows, columns].astype(np.float64)
        known = inside & (self.target.walls[rows, columns] | self.target.free[rows, columns] | (to_wall <= config.fits_m))
        empty = known & (self.to_taken[rows, columns] > 2.0 * config.fits_m)
        return _Look(known, to_wall, empty)
