"""Matching guided by a pose: what the map shows from there is looked for where it should appear, and for comparison where it should not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, IntArray
from astra.geometry import Pose3
from astra.global_model.fine import Correspondences
from astra.global_model.loaded import LoadedMap
from astra.global_model.types import QueryView
from astra.perception.local import LocalFeatures


@dataclass(frozen=True, slots=True)
class GuidedConfig:
    """How far from where it should be, and how unlike, a feature may be."""

    views: int = 10  # of the map, by pose, whose points are looked for
    distance_m: float = 3.0
    angle_rad: float = 1.0
    radius_px: float = 5.0
    min_cosine: float = 0.8
    shift_px: float = 24.0  # of the places where nothing should be found

    def __post_init__(self) -> None:
        require(self.views >= 1, "views", self.views, "≥ 1")
        require(self.distance_m > 0, "distance_m", self.distance_m, "> 0")
        require(0 < self.angle_rad <= np.pi, "angle_rad", self.angle_rad, "in (0, π]")
        require(self.radius_px > 0, "radius_px", self.radius_px, "> 0")
        require(0 < self.min_cosine < 1, "min_cosine", self.min_cosine, "in (0, 1)")
        require(self.shift_px > self.radius_px, "shift_px", self.shift_px, "> radius_px")


@dataclass(frozen=True, slots=True, eq=False)
class Guided:
    """`matches` at a pose; `found`: image features that show a map point where it should be; `chance`: as many as do so where the map's points are
    shifted; `shown`: map points that should be in the images."""

    matches: Correspondences
    found: int
    chance: float
    shown: int


def match_guided(
    loaded: LoadedMap, views: Sequence[QueryView], features: Sequence[LocalFeatures], units: Sequence[Float32Array], map_from_base: Pose3,
    config: GuidedConfig,
) -> Guided:
    """Match the images with what the map shows from `map_from_base`."""
    parts, found, chance, shown = [], 0, 0.0, 0
    for k, view in enumerate(views):
        map_from_cam = map_from_base @ view.base_from_cam
        rows = loaded.rows_like(map_from_cam, config.views, config.distance_m, config.angle_rad)
        near = [points for points in (loaded.view_points(int(row)) for row in rows) if len(points.units)]
        if not near or len(units[k]) == 0:
            continue
        points_map = np.concatenate([points.points_map for points in near])
        pixels, inside = view.model.project(map_from_cam.inverse().apply(points_map))
        ids, descriptors = np.concatenate([p.point_ids for p in near])[inside], np.concatenate([p.units for p in near])[inside]
        points_map, pixels = points_map[inside], pixels[inside]
        if len(ids) == 0:
            continue
        shown += len(np.unique(ids))
        alike = units[k] @ descriptors.T
        alike[alike < config.min_cosine] = -1.0
        pairs = _pairs(alike, features[k].keypoints, pixels, config)
        found += len(pairs)
        size = np.array([view.model.width, view.model.height])
        moves = config.shift_px * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        chance += float(np.mean([len(_pairs(alike, features[k].keypoints, np.mod(pixels + move, size), config)) for move in moves]))
        parts.append(
            Correspondences(
                np.full(len(pairs), k, dtype=np.int64), pairs[:, 0], features[k].keypoints[pairs[:, 0]].astype(np.float64),
                points_map[pairs[:, 1]].astype(np.float64), ids[pairs[:, 1]].astype(np.int64),
            )
        )  # fmt: skip
    return Guided(Correspondences.stack(parts), found, chance, shown)


def _pairs(alike: Float32Array, keypoints: Float32Array, pixels: FloatArray, config: GuidedConfig) -> IntArray:
    """Rows (K, 2) of features and points: each feature's likest point within the radius; a point may be that of several features."""
    rows, columns = np.nonzero(alike > 0.0)
    near = ((keypoints[rows] - pixels[columns]) ** 2).sum(axis=1) <= config.radius_px**2
    rows, columns = rows[near], columns[near]
    order = np.argsort(-alike[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    _, first = np.unique(rows, return_index=True)
    pairs: IntArray = np.column_stack([rows[first], columns[first]])
    return pairs
