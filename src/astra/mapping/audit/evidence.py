"""What the audit reads beside the map: every verified pair of images, and how far the map's poses explain its matches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry import CameraModel, Pose3
from astra.mapping.colmap import pose_from_rigid
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedPairs:
    """Pairs of views that share a two-view geometry, E of them, with K inlier matches in all.

    view_a, view_b, frame_a, frame_b: (E,) ids, frame_a < frame_b. b_from_a: (E, 3, 4) motion between the two cameras, its length arbitrary.
    offsets: (E + 1,) the pair's matches are rows offsets[e]:offsets[e+1] of rays_a, rays_b (K, 3), unit, optical axes, and of
    feature_a, feature_b (K,), rows of the views' features.
    """

    view_a: IntArray
    view_b: IntArray
    frame_a: IntArray
    frame_b: IntArray
    b_from_a: FloatArray
    offsets: IntArray
    rays_a: FloatArray
    rays_b: FloatArray
    feature_a: IntArray
    feature_b: IntArray

    def __len__(self) -> int:
        return len(self.view_a)

    @property
    def inliers(self) -> IntArray:
        """(E,) matches of each pair."""
        return np.asarray(np.diff(self.offsets), dtype=np.int64)

    @property
    def pair_of_match(self) -> IntArray:
        """(K,) the pair that each match belongs to."""
        return np.repeat(np.arange(len(self)), self.inliers)

    def count(self, of_match: FloatArray) -> FloatArray:
        """(E,) sum over each pair's matches of a number (K,)."""
        return np.asarray(np.bincount(self.pair_of_match, weights=of_match, minlength=len(self)), dtype=np.float64)


def read_verified_pairs(
    database: Path, keyframes: Sequence[Keyframe], views: ViewSet, models: Mapping[tuple[int, str], CameraModel]
) -> VerifiedPairs:
    """Read the two-view geometries of a COLMAP database.

    Args:
        models: (tour, camera) → intrinsics.
    """
    import pycolmap

    where = {view.id: (keyframe, view.camera) for keyframe in keyframes for view in keyframe.views}
    ends, motions, matches = [], [], []
    with pycolmap.Database.open(database) as opened:
        for pair_id, geometry in zip(*opened.read_two_view_geometries()):
            a, b = (int(i) - 1 for i in pycolmap.pair_id_to_image_pair(pair_id))
            rows = np.asarray(geometry.inlier_matches, dtype=np.int64).reshape(-1, 2)
            if len(rows) == 0 or geometry.cam2_from_cam1 is None or where[a][0].id == where[b][0].id:
                continue
            pose = pose_from_rigid(geometry.cam2_from_cam1)
            if where[a][0].id > where[b][0].id:
                a, b, rows, pose = b, a, rows[:, ::-1], pose.inverse()
            ends.append((a, b, where[a][0].id, where[b][0].id))
            motions.append(pose.matrix()[:3])
            matches.append(rows)
    rays = _rays(keyframes, views, models)
    table = np.array(ends, dtype=np.int64).reshape(-1, 4)
    rows = np.concatenate(matches) if matches else np.zeros((0, 2), dtype=np.int64)
    return VerifiedPairs(
        table[:, 0],
        table[:, 1],
        table[:, 2],
        table[:, 3],
        np.array(motions).reshape(-1, 3, 4),
        np.cumsum([0, *(len(m) for m in matches)]),
        np.concatenate([rays[a][m[:, 0]] for (a, *_), m in zip(ends, matches)]) if matches else np.zeros((0, 3)),
        np.concatenate([rays[b][m[:, 1]] for (_, b, *_), m in zip(ends, matches)]) if matches else np.zeros((0, 3)),
        rows[:, 0],
        rows[:, 1],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How the poses of one map explain the verified pairs between its views; rows of pairs with a view outside of it are NaN.

    share: (E,) of the matches that lie on their epipolar planes. strain: (E,) 80th percentile of the matches' residuals by the map against that
    by the pair's own two-view geometry, both [rad], as (E, 2). tracked: (E, 2) how many matches have parallax, and how many of those the map
    made one point of.
    """

    share: FloatArray
    strain: FloatArray
    tracked: FloatArray

    @property
    def known(self) -> BoolArray:
        """(E,) whether both views are in the map."""
        return np.isfinite(self.share)

    def ratio(self, noise_rad: float) -> FloatArray:
        """(E,) how many times worse the map explains a pair than its own geometry does, which is never better than `noise_rad`."""
        return np.asarray(np.maximum(self.strain[:, 0], noise_rad) / np.maximum(self.strain[:, 1], noise_rad))


def agreement(pairs: VerifiedPairs, fragment: SfmFragment, tolerance_rad: float, parallax_rad: float = math.radians(1.5)) -> Agreement:
    """Compare the map with every pair.

    Args:
        tolerance_rad: of a match from its epipolar plane.
        parallax_rad: between the two rays of a match from which on the map can triangulate it.
    """
    b_from_a, known = relative_poses(pairs, fragment.sfm_from_cam)
    by_map, by_pair = residuals(pairs, b_from_a), residuals(pairs, pairs.b_from_a)
    share = pairs.count((by_map < tolerance_rad).astype(np.float64)) / np.maximum(pairs.inliers, 1)
    strain = np.stack([_quantile(pairs, by_map), _quantile(pairs, by_pair)], axis=1)
    turned = np.einsum("kij,kj->ki", pairs.b_from_a[pairs.pair_of_match, :, :3], pairs.rays_a)
    apart = np.linalg.norm(np.cross(turned, pairs.rays_b), axis=1) > parallax_rad
    tracked = np.stack([pairs.count(apart.astype(np.float64)), pairs.count((apart & _one_point(pairs, fragment)).astype(np.float64))], axis=1)
    return Agreement(np.where(known, share, np.nan), np.where(known[:, None], strain, np.nan), np.where(known[:, None], tracked, np.nan))


def _one_point(pairs: VerifiedPairs, fragment: SfmFragment) -> BoolArray:
    """(K,) whether both features of a match observe the same point of the map."""
    start: dict[int, int] = {}
    total = 0
    for view, of_view in fragment.observations.items():
        start[view], total = total, total + len(of_view)
    points = np.concatenate([*fragment.observations.values(), [-1]])
    which = pairs.pair_of_match
    found = []
    for ids, feature in ((pairs.view_a, pairs.feature_a), (pairs.view_b, pairs.feature_b)):
        first = np.array([start.get(int(v), -1) for v in ids], dtype=np.int64)[which]
        found.append(np.where(first >= 0, points[np.where(first >= 0, first + feature, total)], -1))
    return np.asarray((found[0] >= 0) & (found[0] == found[1]))


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """The value below which half of the weight lies."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _quantile(pairs: VerifiedPairs, of_match: FloatArray, quantile: float = 0.8) -> FloatArray:
    """(E,) quantile of a number (K,) over each pair's matches."""
    order = np.lexsort((of_match, pairs.pair_of_match))
    rank = pairs.offsets[:-1] + np.floor(quantile * (pairs.inliers - 1)).astype(np.int64)
    return np.asarray(of_match[order][rank])


def residuals(pairs: VerifiedPairs, b_from_a: FloatArray) -> FloatArray:
    """(K,) angle [rad] of every match from its epipolar plane, for relative poses (E, 3, 4).

    Cameras that hardly moved have no epipolar plane: a match that a pure turn explains counts as explained.
    """
    which = pairs.pair_of_match
    turned = np.einsum("kij,kj->ki", b_from_a[which, :, :3], pairs.rays_a)
    by_turn = np.linalg.norm(np.cross(turned, pairs.rays_b), axis=1)
    normal = np.cross(b_from_a[which, :, 3], turned)
    by_plane = np.abs((normal * pairs.rays_b).sum(axis=1)) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
    return np.asarray(np.minimum(by_turn, by_plane), dtype=np.float64)


def relative_poses(pairs: VerifiedPairs, map_from_cam: Mapping[int, Pose3]) -> tuple[FloatArray, BoolArray]:
    """(E, 3, 4) b_from_a by the map, the identity where a view is not in it, and (E,) bool whether both are."""
    ids = np.array(sorted(map_from_cam), dtype=np.int64)
    rotation = np.array([map_from_cam[int(i)].rotation for i in ids]).reshape(-1, 3, 3)
    centre = np.array([map_from_cam[int(i)].translation for i in ids]).reshape(-1, 3)
    known = np.isin(pairs.view_a, ids) & np.isin(pairs.view_b, ids)
    out = np.tile(np.eye(3, 4), (len(pairs), 1, 1))
    a, b = np.searchsorted(ids, pairs.view_a[known]), np.searchsorted(ids, pairs.view_b[known])
    out[known, :, :3] = np.swapaxes(rotation[b], 1, 2) @ rotation[a]
    out[known, :, 3] = np.einsum("eji,ej->ei", rotation[b], centre[a] - centre[b])
    return out, known


def _rays(keyframes: Sequence[Keyframe], views: ViewSet, models: Mapping[tuple[int, str], CameraModel]) -> dict[int, FloatArray]:
    """View id → unit rays (N, 3) of its features."""
    row_of = {int(view_id): k for k, view_id in enumerate(views.ids)}
    out = {}
    for keyframe in keyframes:
        for view in keyframe.views:
            plane = models[keyframe.tour, view.camera].unproject(views.keypoints[views.rows(row_of[view.id])])
            rays = np.column_stack([plane, np.ones(len(plane))])
            out[view.id] = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return out
