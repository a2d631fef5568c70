"""How one step of the tour holds to the next without odometry: by verified matches, and by points that both sides have triangulated.

Between the keyframes before a step and those after it the map may bend unseen in two ways. The matches across the step can contradict the
poses, because something else (a false loop) had more votes; then the map is broken there. Or hardly anything on one side fixes the unit of
length on the other: a turn on the spot, a blank wall, a few far points. Then the scale may change by any factor at no cost in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, IntArray
from astra.mapping.audit.evidence import VerifiedPairs
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment


@dataclass(frozen=True, slots=True)
class JointConfig:
    """When a step counts as broken, and when as loose."""

    window: int = 4  # keyframes on either side that take part
    min_matches: int = 25  # across the step, explained by the map; fewer hold nothing
    min_explained: float = 0.35  # share of the matches across the step that the map must explain
    ray_sigma_rad: float = 0.003  # of one observation

    def __post_init__(self) -> None:
        require(1 <= self.window <= 20, "window", self.window, "1 … 20")
        require(self.min_matches >= 1, "min_matches", self.min_matches, "≥ 1")
        require(0.0 <= self.min_explained <= 1.0, "min_explained", self.min_explained, "in [0, 1]")
        require(0.0 < self.ray_sigma_rad < 0.1, "ray_sigma_rad", self.ray_sigma_rad, "in (0, 0.1)")


@dataclass(frozen=True, slots=True, eq=False)
class Joints:
    """One row a step between neighbouring keyframes of the map, J of them.

    before, after: (J,) keyframe ids. matches: (J,) verified matches across it between keyframes at most a window apart.
    explained: (J,) how many of them the map's poses explain. scale_sigma: (J,) relative sigma of the unit of length handed across.
    moved: (J,) length of the step, depth: (J,) median distance of the points seen from its two ends, both in the map's units.
    """

    before: IntArray
    after: IntArray
    matches: FloatArray
    explained: FloatArray
    scale_sigma: FloatArray
    moved: FloatArray
    depth: FloatArray


def measure_joints(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], pairs: VerifiedPairs, share: FloatArray, config: JointConfig | None = None
) -> Joints:
    """Measure every step of the fragment.

    Args:
        share: (E,) of each pair's matches that the map explains, NaN outside of it (`evidence.explained`).
    """
    config = config or JointConfig()
    mine = sorted((k for k in keyframes if k.id in fragment.sfm_from_ref), key=lambda k: (k.tour, k.id))
    steps = [(i, i + 1) for i in range(len(mine) - 1) if mine[i].tour == mine[i + 1].tour]
    index = {k.id: i for i, k in enumerate(mine)}
    tour = np.array([k.tour for k in mine])
    known = np.isfinite(share)
    a = np.array([index[int(k)] for k in pairs.frame_a[known]], dtype=np.int64)
    b = np.array([index[int(k)] for k in pairs.frame_b[known]], dtype=np.int64)
    near = (b - a <= 2 * config.window) & (tour[a] == tour[b])
    matches, explained = np.zeros(len(mine)), np.zeros(len(mine))
    inliers = pairs.inliers[known].astype(np.float64)
    for i, j, count, part in zip(a[near], b[near], inliers[near], share[known][near]):
        matches[i:j] += count
        explained[i:j] += count * part
    rays = _Sightings.build(fragment, mine)
    rows = [_step(rays, [k.id for k in mine], tour, i, config) for i, _ in steps]
    ids = np.array([k.id for k in mine], dtype=np.int64)
    ends = np.array(steps, dtype=np.int64).reshape(-1, 2)
    sigma, moved, depth = np.array(rows).reshape(-1, 3).T
    return Joints(ids[ends[:, 0]], ids[ends[:, 1]], matches[ends[:, 0]], explained[ends[:, 0]], sigma, moved, depth)


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


def _step(rays: _Sightings, ids: Sequence[int], tour: IntArray, i: int, config: JointConfig) -> tuple[float, float, float]:
    """Scale sigma, length and depth of the step from position i to i + 1."""
    first, last = max(0, i - config.window + 1), min(len(ids), i + 1 + config.window)
    while tour[first] != tour[i]:
        first += 1
    while tour[last - 1] != tour[i]:
        last -= 1
    left, right = _parallax(rays, first, i + 1), _parallax(rays, i + 1, last)
    both, at_left, at_right = np.intersect1d(left[0], right[0], return_indices=True)
    sigma = math.inf
    if len(both):
        variance = (config.ray_sigma_rad / np.maximum(left[1][at_left], 1e-9)) ** 2 + (config.ray_sigma_rad / np.maximum(right[1][at_right], 1e-9)) ** 2
        sigma = 1.0 / math.sqrt(float((1.0 / variance).sum()))
    here = rays.of(i, i + 2)
    depth = float(np.median(rays.distance[here])) if here.stop > here.start else math.nan
    return sigma, float(np.linalg.norm(rays.centre[i + 1] - rays.centre[i])), depth


def _parallax(rays: _Sightings, first: int, last: int) -> tuple[IntArray, FloatArray]:
    """Points seen from keyframes first … last − 1, and the root of the summed squares of their rays' spread [rad], 0 if seen once."""
    rows = rays.of(first, last)
    points, inverse, counts = np.unique(rays.point[rows], return_inverse=True, return_counts=True)
    total = np.zeros((len(points), 3))
    np.add.at(total, inverse, rays.ray[rows])
    # Σ |r_i − r̄|² = n − n |r̄|², since the rays have unit length
    spread = counts - (total**2).sum(axis=1) / counts
    return points, np.sqrt(np.maximum(spread, 0.0))


