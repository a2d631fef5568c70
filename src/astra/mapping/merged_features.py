"""The features of two maps as one: points in the merged frame, and points that both maps know counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from astra.core.types import Float32Array, FloatArray, IntArray
from astra.mapping.arrange import Key, Placed
from astra.mapping.contents import MapContents
from astra.topomap.features import MapFeatures


def merge_features(
    a: MapContents, b: MapContents, placed: Mapping[Key, Placed], pairs: Sequence[IntArray], same_point: float, view_offset: int
) -> MapFeatures:
    """Both maps' features, A's views first.

    Args:
        pairs: (M, 2) rows of B's and A's arrays that were found to show the same thing.
        same_point: distance within which the two maps' points of such a pair are one.
        view_offset: added to B's view ids.
    """
    points_a, points_b = moved_points(a, placed, 0), moved_points(b, placed, 1)
    ids_a, ids_b = np.asarray(a.features.point_ids), np.asarray(b.features.point_ids)
    first = int(ids_a.max(initial=-1)) + 1
    ids_b = np.where(ids_b >= 0, ids_b + first, -1)
    if pairs:
        points_b, ids_b = _share(np.concatenate(pairs), points_a, ids_a, points_b, ids_b, same_point)
    return MapFeatures(
        np.concatenate([a.features.view_ids, np.asarray(b.features.view_ids) + view_offset]),
        np.concatenate([a.features.offsets, np.asarray(b.features.offsets)[1:] + len(ids_a)]),
        np.concatenate([a.features.keypoints, b.features.keypoints]),
        np.concatenate([a.features.descriptors, b.features.descriptors]),
        np.concatenate([points_a, points_b]).astype(np.float32),
        np.concatenate([ids_a, ids_b]),
        np.concatenate([a.features.place, b.features.place]),
    )


def moved_points(contents: MapContents, placed: Mapping[Key, Placed], which: int) -> FloatArray:
    """(N, 3) every feature's point in the merged map, NaN where there is none; a point moves with the mean of the nodes that see it."""
    node_ids = np.repeat(
        np.array([contents.node_of[int(v)] for v in contents.features.view_ids], dtype=np.int64), np.diff(contents.features.offsets)
    )
    fragments = {node.id: node.fragment for node in contents.topo.nodes.values()}
    fragment = np.array([fragments[int(k)] for k in node_ids], dtype=np.int64)
    ids = np.asarray(contents.features.point_ids)
    points = np.asarray(contents.features.points_map).astype(np.float64)
    for number in np.unique(fragment).tolist():
        rows = np.flatnonzero((fragment == number) & (ids >= 0))
        moved = placed[which, number].points(points[rows], node_ids[rows])
        _, group = np.unique(ids[rows], return_inverse=True)
        count = np.bincount(group)
        mean = np.stack([np.bincount(group, moved[:, axis]) / count for axis in range(3)], axis=1)
        points[rows] = mean[group]
    return points


def _share(
    pairs: IntArray, points_a: FloatArray, ids_a: IntArray, points_b: FloatArray, ids_b: IntArray, same_point: float
) -> tuple[FloatArray, IntArray]:
    """B's features that show a point of A's get that point, and so does every other feature of B that shows theirs."""
    pairs = pairs[ids_a[pairs[:, 1]] >= 0]
    rows_b, rows_a = pairs.T
    points_b, out = points_b.copy(), ids_b.copy()
    blank = ids_b[rows_b] < 0
    points_b[rows_b[blank]], out[rows_b[blank]] = points_a[rows_a[blank]], ids_a[rows_a[blank]]
    near = ~blank & (np.linalg.norm(points_b[rows_b] - points_a[rows_a], axis=1) <= same_point)
    old, chosen = np.unique(ids_b[rows_b[near]], return_index=True)
    new_id, new_point = ids_a[rows_a[near]][chosen], points_a[rows_a[near]][chosen]
    at = np.searchsorted(old, ids_b)
    known = (ids_b >= 0) & (at < len(old))
    known[known] = old[at[known]] == ids_b[known]
    out[known], points_b[known] = new_id[at[known]], new_point[at[known]]
    return points_b, out


def view_rows(features: MapFeatures) -> dict[int, slice]:
    """View id → its rows of the feature arrays."""
    return {int(v): slice(int(lo), int(hi)) for v, lo, hi in zip(features.view_ids, features.offsets, features.offsets[1:])}


def unique_points(features: MapFeatures, view_ids: set[int]) -> FloatArray:
    """(P, 3) every triangulated point of the views, once."""
    rows = np.concatenate([np.arange(s.start, s.stop) for v, s in view_rows(features).items() if v in view_ids])
    rows = rows[features.point_ids[rows] >= 0]
    _, first = np.unique(features.point_ids[rows], return_index=True)
    points: Float32Array = features.points_map[rows[first]]
    return points.astype(np.float64)
