"""How one step of the tour holds to the next without odometry: by verified matches, and by points that both sides have triangulated.

Between the keyframes before a step and those after it the map may bend unseen in two ways. The matches across the step can contradict the
poses, because something else (a false loop) had more votes; then the map is broken there. Or hardly anything on one side fixes the unit of
length on the other: a turn on the spot, a blank wall, a few far points. Then the scale may change by any factor at no cost in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.mapping.audit.evidence import Agreement, VerifiedPairs, weighted_median
from astra.mapping.audit.findings import Break
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment


@dataclass(frozen=True, slots=True)
class JointConfig:
    """When a step counts as broken, and when as loose."""

    window: int = 5  # keyframes that a pair may span to count as sequential
    min_matches: int = 25  # across the step, explained by the map; fewer hold nothing
    min_explained: float = 0.5  # share of the matches across the step that the map must explain
    min_tracked: float = 0.3  # share of the matches with parallax across the step of which the map must have made points
    max_strain: float = 1.4  # residuals of the matches by the map against those by the pairs' own geometry
    noise_px: float = 0.2  # residuals below this are noise
    max_scale_sigma: float = 0.2  # of the unit of length handed across a step

    def __post_init__(self) -> None:
        require(1 <= self.window <= 20, "window", self.window, "1 … 20")
        require(self.min_matches >= 1, "min_matches", self.min_matches, "≥ 1")
        require(0.0 <= self.min_explained <= 1.0, "min_explained", self.min_explained, "in [0, 1]")
        require(0.0 <= self.min_tracked <= 1.0, "min_tracked", self.min_tracked, "in [0, 1]")
        require(self.max_strain > 1.0, "max_strain", self.max_strain, "> 1")
        require(self.noise_px > 0.0, "noise_px", self.noise_px, "> 0")
        require(self.max_scale_sigma > 0.0, "max_scale_sigma", self.max_scale_sigma, "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class Joints:
    """One row a step between neighbouring keyframes of the map, J of them.

    before, after: (J,) keyframe ids. matches: (J,) verified matches across it in pairs of at most a window. explained: (J,) how many of them the
    map's poses explain. parallax, tracked: (J,) how many of them have parallax, and of how many of those the map made points. strain: (J,) the
    median pair's residuals by the map against those by its own geometry; NaN without pairs. scale_sigma: (J,) relative sigma of the unit of
    length handed across. moved: (J,) length of the step, depth: (J,) median distance of the points seen from its two ends, in the map's units.
    """

    before: IntArray
    after: IntArray
    matches: FloatArray
    explained: FloatArray
    parallax: FloatArray
    tracked: FloatArray
    strain: FloatArray
    scale_sigma: FloatArray
    moved: FloatArray
    depth: FloatArray


def weak_joints(
    joints: Joints, rigid_unit: bool, confirmed: Collection[tuple[int, int]] = (), config: JointConfig | None = None
) -> list[Break]:
    """Steps that are broken (their two sides must not stay together) or hold nothing (they may, if something else joins them).

    Args:
        rigid_unit: the cameras' known distances fix the unit of length everywhere.
        confirmed: steps that odometry confirms; their images may strain a little.
    """
    config = config or JointConfig()
    found = []
    strained = _strained(joints, config.max_strain)
    for k, (before, after) in enumerate(zip(joints.before.tolist(), joints.after.tolist())):
        share = joints.explained[k] / max(joints.matches[k], 1.0)
        if joints.matches[k] >= config.min_matches and share < config.min_explained:
            found.append(Break(before, after, f"the map explains {100 * share:.0f} % of the matches across the step"))
        elif joints.parallax[k] >= 2 * config.min_matches and joints.tracked[k] < config.min_tracked * joints.parallax[k]:
            text = f"the map made points of {100 * joints.tracked[k] / joints.parallax[k]:.0f} % of the matches across the step"
            found.append(Break(before, after, text))
        elif joints.matches[k] >= config.min_matches and strained[k] and (before, after) not in confirmed:
            found.append(Break(before, after, f"the images fit each other {joints.strain[k]:.1f} times better than they fit the map"))
        elif joints.explained[k] < config.min_matches:
            found.append(Break(before, after, f"{joints.explained[k]:.0f} matches hold the step", contradicted=False))
        elif not rigid_unit and joints.scale_sigma[k] > config.max_scale_sigma:
            found.append(Break(before, after, f"the unit of length is loose by {100 * min(joints.scale_sigma[k], 9.99):.0f} %", contradicted=False))
    return found


def _strained(joints: Joints, most: float) -> BoolArray:
    """(J,) whether a step strains, and its neighbours with it: pairs reach over several steps, so one that strains alone a little is an accident."""
    strain = np.nan_to_num(joints.strain, nan=1.0)
    before = np.where(np.append(False, joints.after[:-1] == joints.before[1:]), np.append(1.0, strain[:-1]), strain)
    after = np.where(np.append(joints.after[:-1] == joints.before[1:], False), np.append(strain[1:], 1.0), strain)
    together = (strain > most) & (np.maximum(before, after) > 0.9 * most) & (before + strain + after > 3.0 * most)
    return np.asarray(together | (strain > 1.25 * most))


def measure_joints(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], pairs: VerifiedPairs, found: Agreement, pixel_rad: float, config: JointConfig | None = None
) -> Joints:
    """Measure every step of the fragment.

    Args:
        found: how the map explains the pairs.
        pixel_rad: the angle of one pixel.
    """
    config = config or JointConfig()
    mine = sorted((k for k in keyframes if k.id in fragment.sfm_from_ref), key=lambda k: (k.tour, k.id))
    ids, tour = np.array([k.id for k in mine], dtype=np.int64), np.array([k.tour for k in mine])
    steps = np.flatnonzero(tour[1:] == tour[:-1])
    counts, strain = _across(ids, tour, pairs, found, config.noise_px * pixel_rad, config.window)
    sights = _Sightings.build(fragment, mine)
    ray_sigma = 0.5 * pixel_rad * max(float(np.median(fragment.point_errors)) if len(fragment.point_errors) else 1.0, 0.3)
    sigma = np.array([_scale_sigma(sights, tour, int(i), ray_sigma, config.window) for i in steps])
    moved = np.linalg.norm(np.diff(sights.centre, axis=0), axis=1)[steps]
    depth = np.array([sights.median_distance(int(i), int(i) + 2) for i in steps])
    matches, explained, parallax, tracked = counts[:, steps]
    return Joints(ids[steps], ids[steps + 1], matches, explained, parallax, tracked, strain[steps], sigma, moved, depth)


def _across(
    ids: IntArray, tour: IntArray, pairs: VerifiedPairs, found: Agreement, noise_rad: float, window: int
) -> tuple[FloatArray, FloatArray]:
    """Of the pairs that reach across the step after every keyframe, by position.

    Returns:
        (4, K) matches, explained, with parallax, tracked; and (K,) their median strain, NaN without pairs.
    """
    known = np.flatnonzero(found.known)
    a, b = np.searchsorted(ids, pairs.frame_a[known]), np.searchsorted(ids, pairs.frame_b[known])
    near = (pairs.frame_b[known] - pairs.frame_a[known] <= window) & (tour[a] == tour[b])
    inliers = pairs.inliers.astype(np.float64)
    table = np.stack([inliers, inliers * found.share, found.tracked[:, 0], found.tracked[:, 1]])
    counts, strain, ratio = np.zeros((4, len(ids))), np.full(len(ids), np.nan), found.ratio(noise_rad)
    across: list[list[int]] = [[] for _ in ids]
    for e, i, j in zip(known[near].tolist(), a[near].tolist(), b[near].tolist()):
        for step in range(i, j):
            across[step].append(e)
    for step, rows in enumerate(across):
        if rows:
            counts[:, step] = table[:, rows].sum(axis=1)
            strain[step] = weighted_median(ratio[rows], inliers[rows])
    return counts, strain


@dataclass(frozen=True, slots=True, eq=False)
class _Sightings:
    """Every observation of a point: from which keyframe (position in the tour), which point, unit ray towards it in the map's frame, distance."""

    start: IntArray  # (N + 1,) rows of each keyframe
    point: IntArray
    ray: FloatArray
    distance: FloatArray
    centre: FloatArray  # (N, 3) of each keyframe's first camera

    @staticmethod
    def build(fragment: SfmFragment, mine: Sequence[Keyframe]) -> _Sightings:
        points, rays, distances, counts = [], [], [], []
        for keyframe in mine:
            rows = [fragment.observations[view.id] for view in keyframe.views]
            seen = [r[r >= 0] for r in rows]
            arms = [fragment.points[s] - fragment.sfm_from_cam[view.id].translation for s, view in zip(seen, keyframe.views)]
            arm = np.concatenate(arms)
            length = np.linalg.norm(arm, axis=1)
            points.append(np.concatenate(seen))
            rays.append(arm / np.maximum(length, 1e-12)[:, None])
            distances.append(length)
            counts.append(len(arm))
        centre = np.array([fragment.sfm_from_ref[k.id].translation for k in mine]).reshape(-1, 3)
        return _Sightings(
            np.cumsum([0, *counts]), np.concatenate(points), np.concatenate(rays).reshape(-1, 3), np.concatenate(distances), centre
        )

    def of(self, first: int, last: int) -> slice:
        """Rows of the keyframes at positions first … last − 1."""
        return slice(int(self.start[first]), int(self.start[last]))

    def median_distance(self, first: int, last: int) -> float:
        """How far off what these keyframes see lies; NaN if they see nothing."""
        rows = self.of(first, last)
        return float(np.median(self.distance[rows])) if rows.stop > rows.start else math.nan


def _scale_sigma(sights: _Sightings, tour: IntArray, i: int, ray_sigma: float, window: int) -> float:
    """Relative sigma of the unit of length that points seen from both sides of the step hand from one to the other; 0 where a side has no length."""
    first, last = _side(sights, tour, i, -1, window), _side(sights, tour, i + 1, 1, window)
    if first == i or last == i + 1:
        return 0.0
    left, right = _parallax(sights, first, i + 1), _parallax(sights, i + 1, last + 1)
    _, at_left, at_right = np.intersect1d(left[0], right[0], return_indices=True)
    if len(at_left) == 0:
        return math.inf
    variance = (ray_sigma / np.maximum(left[1][at_left], 1e-9)) ** 2 + (ray_sigma / np.maximum(right[1][at_right], 1e-9)) ** 2
    return 1.0 / math.sqrt(float((1.0 / variance).sum()))


def _side(sights: _Sightings, tour: IntArray, start: int, direction: int, window: int) -> int:
    """The last position that belongs to a step's side: a few steps of the usual length on, so that who stands still or turns has parallax too."""
    usual = float(np.median(np.linalg.norm(np.diff(sights.centre, axis=0), axis=1)))
    position, path = start, 0.0
    for _ in range(4 * window):
        ahead = position + direction
        if not 0 <= ahead < len(tour) or tour[ahead] != tour[start] or path > window * usual:
            break
        path += min(float(np.linalg.norm(sights.centre[ahead] - sights.centre[position])), 2.0 * usual)
        position = ahead
    return position if path > 0.5 * usual else start


def _parallax(sights: _Sightings, first: int, last: int) -> tuple[IntArray, FloatArray]:
    """Points seen from keyframes first … last − 1, and the root of the summed squares of their rays' spread [rad], 0 if seen once."""
    rows = sights.of(first, last)
    points, inverse, counts = np.unique(sights.point[rows], return_inverse=True, return_counts=True)
    total = np.zeros((len(points), 3))
    np.add.at(total, inverse, sights.ray[rows])
    # Σ |r_i − r̄|² = n − n |r̄|², since the rays have unit length
    spread = counts - (total**2).sum(axis=1) / counts
    return points, np.sqrt(np.maximum(spread, 0.0))
