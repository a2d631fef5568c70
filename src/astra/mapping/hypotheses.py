"""Where a node of one map stands in another map: retrieval, local features, and a pose from the other map's points.

Every node answers on its own; whether the answers agree is asked in `join`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray
from astra.geometry import Pose3, Similarity
from astra.mapping.contents import MapContents
from astra.perception.local import LocalFeatureConfig, match_units
from astra.topomap import Node

Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class HypothesisConfig:
    """How hard one node looks for itself in the other map."""

    candidates: int = 6  # views of the other map that a view is compared with, most alike first
    max_nodes: int = 240  # of a fragment that are asked; of a longer one every second, third …
    min_inliers: int = 16  # points that fix a pose; fewer are chance
    min_error_px: float = 2.0  # of an inlier …
    max_error_rad: float = 0.004  # … or this, whichever is larger
    min_depths: int = 6  # points known to both maps that compare the units where a scale is unknown
    max_trials: int = 2000
    seed: int = 1

    def __post_init__(self) -> None:
        require(1 <= self.candidates <= 100, "candidates", self.candidates, "1 … 100")
        require(self.max_nodes >= 1, "max_nodes", self.max_nodes, "≥ 1")
        require(self.min_inliers >= 6, "min_inliers", self.min_inliers, "≥ 6")
        require(self.min_error_px > 0.0, "min_error_px", self.min_error_px, "> 0")
        require(self.max_error_rad >= 0.0, "max_error_rad", self.max_error_rad, "≥ 0")
        require(self.min_depths >= 3, "min_depths", self.min_depths, "≥ 3")
        require(self.max_trials >= 30, "max_trials", self.max_trials, "≥ 30")


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """One node's answer: `a_from_cam` is where its first used camera would stand in the fragment of A, `b_from_cam` where it stands in B.

    inliers: different image features that agree.
    pairs: (M, 2) int64, rows of B's and of A's feature arrays that are the same thing if the answer is right.
    """

    node_id: int
    fragment_a: int
    a_from_cam: Pose3
    b_from_cam: Pose3
    scale: float
    inliers: int
    pairs: IntArray

    @property
    def a_from_b(self) -> Similarity:
        """Map B's frame in map A's, if the answer is right."""
        return Similarity.between_poses(self.a_from_cam, self.b_from_cam, self.scale)


def hypotheses(
    a: MapContents,
    b: MapContents,
    nodes: Sequence[Node],
    config: HypothesisConfig,
    local: LocalFeatureConfig,
    tick: Tick = lambda done: None,
) -> list[Hypothesis]:
    """What the given nodes of B say about where B lies in each fragment of A."""
    descriptors = lru_cache(maxsize=512)(a.unit_descriptors)
    ids_a = np.asarray(a.features.view_ids)
    place_a = np.asarray(a.features.place)
    out = []
    for node in nodes[:: -(-len(nodes) // config.max_nodes)]:
        found = [_matches(a, b, view.id, _alike(place_a, b, view.id, ids_a, config.candidates), descriptors, local) for view in node.views]
        matches = _Matches.stack(found)
        for fragment in np.unique(matches.fragment):
            hypothesis = _solve(a, b, node, int(fragment), matches.select(matches.fragment == fragment), config)
            if hypothesis is not None:
                out.append(hypothesis)
        tick(1)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Matches:
    """view: (M,) ids of B's views. rows: (M, 2) rows of B's and A's feature arrays. fragment: (M,) of A."""

    view: IntArray
    rows: IntArray
    fragment: IntArray

    @staticmethod
    def stack(parts: Sequence[_Matches]) -> _Matches:
        empty = np.zeros(0, dtype=np.int64)
        view = np.concatenate([empty, *(p.view for p in parts)])
        rows = np.concatenate([np.zeros((0, 2), dtype=np.int64), *(p.rows for p in parts)])
        return _Matches(view, rows, np.concatenate([empty, *(p.fragment for p in parts)]))

    def select(self, chosen: BoolArray) -> _Matches:
        return _Matches(self.view[chosen], self.rows[chosen], self.fragment[chosen])


def _alike(place_a: Float32Array, b: MapContents, view_id: int, ids_a: IntArray, count: int) -> IntArray:
    """Ids of A's views whose place looks most like the view's."""
    similarity = place_a @ np.asarray(b.features.place[b.rows[view_id]])
    chosen: IntArray = ids_a[np.argsort(-similarity, kind="stable")[:count]]
    return chosen


def _matches(
    a: MapContents, b: MapContents, view_id: int, candidates: IntArray, descriptors: Callable[[int], Float32Array], local: LocalFeatureConfig
) -> _Matches:
    """Features of B's view with triangulated points of A's candidates; a feature and a point are paired once."""
    mine, start_b = b.unit_descriptors(view_id), b.slice(view_id).start
    rows, fragments = [], []
    for candidate in candidates.tolist():
        found = match_units(mine, descriptors(candidate), local) + np.array([start_b, a.slice(candidate).start])
        found = found[np.asarray(a.features.point_ids)[found[:, 1]] >= 0]
        rows.append(found)
        fragments.append(np.full(len(found), a.topo.nodes[a.node_of[candidate]].fragment, dtype=np.int64))
    stacked, fragment = np.concatenate(rows), np.concatenate(fragments)
    points = np.asarray(a.features.point_ids)[stacked[:, 1]]
    _, first = np.unique(np.stack([stacked[:, 0], points]), axis=1, return_index=True)
    first = np.sort(first)
    return _Matches(np.full(len(first), view_id, dtype=np.int64), stacked[first], fragment[first])


def _solve(a: MapContents, b: MapContents, node: Node, fragment: int, matches: _Matches, config: HypothesisConfig) -> Hypothesis | None:
    """The node's pose in A by RANSAC over all its cameras, or over the best one where the rig's size in A's unit is unknown."""
    if not (a.is_metric and b.is_metric) and len(matches.view):
        ids, counts = np.unique(matches.view, return_counts=True)
        matches = matches.select(matches.view == ids[np.argmax(counts)])
    if len(np.unique(matches.rows[:, 0])) < config.min_inliers:
        return None
    points = np.asarray(a.features.points_map)[matches.rows[:, 1]].astype(np.float64)
    rays = _rays(b, matches)
    found = _pose(b, matches, rays, points, config)
    if found is None:
        return None
    a_from_base, inlier = found
    count = len(np.unique(matches.rows[inlier, 0]))
    first = int(matches.view[inlier][0]) if count else 0
    if count < config.min_inliers or len(np.unique(np.round(points[inlier], 3), axis=0)) < config.min_inliers:
        return None
    a_from_cam, b_from_cam = a_from_base @ b.base_from_cam(first), b.views[first].map_from_cam
    scale = _scale(a_from_cam, b_from_cam, points[inlier], np.asarray(b.features.points_map)[matches.rows[inlier, 0]], a, b, config)
    return None if scale is None else Hypothesis(node.id, fragment, a_from_cam, b_from_cam, scale, count, matches.rows[inlier])


def _rays(b: MapContents, matches: _Matches) -> FloatArray:
    """(M, 2) x/z, y/z of the matched features in their cameras; NaN where the lens has no inverse."""
    out = np.full((len(matches.view), 2), np.nan)
    for view_id in np.unique(matches.view).tolist():
        chosen = matches.view == view_id
        out[chosen] = b.camera(view_id).unproject(np.asarray(b.features.keypoints)[matches.rows[chosen, 0]].astype(np.float64))
    out[~(np.abs(out).max(axis=1, initial=0.0) < 50.0)] = np.nan
    return out


def _pose(b: MapContents, matches: _Matches, rays: FloatArray, points: FloatArray, config: HypothesisConfig) -> tuple[Pose3, BoolArray] | None:
    """a_from_base and which matches agree with it, with ideal cameras of the views' focal length."""
    import pycolmap

    finite = np.flatnonzero(np.isfinite(rays).all(axis=1))
    if len(finite) < config.min_inliers:
        return None
    ids = np.unique(matches.view[finite])
    focal = np.array([b.camera(int(i)).fx for i in ids])
    which = np.searchsorted(ids, matches.view[finite])
    options = pycolmap.RANSACOptions()
    options.max_error = max(config.min_error_px, config.max_error_rad * float(focal.min()))
    options.min_num_trials, options.max_num_trials = 30, config.max_trials
    options.confidence, options.min_inlier_ratio = 0.999, 0.03
    options.random_seed, options.num_threads = config.seed, 1
    cameras = [pycolmap.Camera(model="PINHOLE", width=4000, height=4000, params=[f, f, 2000.0, 2000.0]) for f in focal]
    pixels = rays[finite] * focal[which, None] + 2000.0
    found: Any
    if len(ids) == 1:
        estimation = pycolmap.AbsolutePoseEstimationOptions()
        estimation.ransac = options
        found = pycolmap.estimate_and_refine_absolute_pose(pixels, points[finite], cameras[0], estimation)
        key, a_from = "cam_from_world", b.base_from_cam(int(ids[0])).inverse()
    else:
        mounts = [pycolmap.Rigid3d(b.base_from_cam(int(i)).inverse().matrix()[:3]) for i in ids]
        found = pycolmap.estimate_and_refine_generalized_absolute_pose(pixels, points[finite], which.tolist(), mounts, cameras, options)
        key, a_from = "rig_from_world", Pose3()
    if found is None:
        return None
    a_from_base = Pose3.from_matrix(found[key].matrix()).inverse() @ a_from
    if not np.isfinite(a_from_base.matrix()).all():
        return None
    inlier = np.zeros(len(rays), dtype=bool)
    for k, view_id in enumerate(ids.tolist()):
        chosen = finite[which == k]
        in_cam = (a_from_base @ b.base_from_cam(view_id)).inverse().apply(points[chosen])
        depth = np.maximum(in_cam[:, 2:], 1e-6)
        miss = np.linalg.norm(in_cam[:, :2] / depth - rays[chosen], axis=1) * focal[k]
        inlier[chosen] = (miss <= options.max_error) & (in_cam[:, 2] > 1e-3)
    return a_from_base, inlier


def _scale(
    a_from_cam: Pose3, b_from_cam: Pose3, points_a: FloatArray, points_b: Float32Array, a: MapContents, b: MapContents, config: HypothesisConfig
) -> float | None:
    """How long B's unit is in A's: 1 if both are metres, else by the distances of points that both maps know; None if too few are."""
    if a.is_metric and b.is_metric:
        return 1.0
    known = np.isfinite(points_b[:, 0])
    if int(known.sum()) < config.min_depths:
        return None
    in_a = np.linalg.norm(points_a[known] - a_from_cam.translation, axis=1)
    in_b = np.linalg.norm(points_b[known].astype(np.float64) - b_from_cam.translation, axis=1)
    return float(np.exp(np.median(np.log(np.maximum(in_a, 1e-9) / np.maximum(in_b, 1e-9)))))
