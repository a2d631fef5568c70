"""What others would answer from the same features: the pose of the likest image, by place features or by SIFT-VLAD, and hloc's recipe.

VLAD (Jégou et al., 2010; intra-normalised as in Arandjelović and Zisserman, 2013): for each visual word the sum of the residuals of the
descriptors nearest to it, each sum and then the whole scaled to length one.
hloc (Sarlin et al., 2019): the likest images, cut into groups that see common points; each group is matched and solved, most inliers win.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, IntArray
from astra.geometry import Pose3
from astra.global_model.fine import Correspondences, FineConfig, correspondences, solve_rig_pose, unique_keypoints
from astra.global_model.loaded import LoadedMap
from astra.global_model.localizer import QueryImages
from astra.global_model.types import Query
from astra.perception.local import LocalFeatureConfig, match_units


@dataclass(frozen=True, slots=True)
class BaselinesConfig:
    """Sizes of the vocabulary and of hloc's shortlist."""

    words: int = 32
    training_rows: int = 20_000  # descriptors of the map that the vocabulary is made from
    rounds: int = 12
    shortlist: int = 10  # images
    seed: int = 0

    def __post_init__(self) -> None:
        require(2 <= self.words <= 1024, "words", self.words, "2 … 1024")
        require(self.training_rows >= self.words, "training_rows", self.training_rows, "≥ words")
        require(self.rounds >= 1, "rounds", self.rounds, "≥ 1")
        require(self.shortlist >= 1, "shortlist", self.shortlist, "≥ 1")


@dataclass(frozen=True, slots=True, eq=False)
class BaselineAnswer:
    """A pose, none if there is none, the method's own score (only its order counts), and the time beyond the extraction [s]."""

    map_from_base: Pose3 | None
    score: float
    time_s: float


class Baselines:
    """The three methods on one map, for queries of one image."""

    def __init__(self, loaded: LoadedMap, config: BaselinesConfig | None = None) -> None:
        self.config, self._loaded = config or BaselinesConfig(), loaded
        self._fine, self._local = FineConfig(), LocalFeatureConfig()
        self._place: Float32Array = np.asarray(loaded.features.place, dtype=np.float32)
        units = [loaded.view_points(row).units for row in range(len(loaded.view_ids))]
        self._words = vocabulary(np.concatenate(units), self.config)
        self._vlad: Float32Array = np.stack([vlad(of_view, self._words) for of_view in units])

    def answer(self, query: Query, images: QueryImages) -> dict[str, BaselineAnswer]:
        """Every method's answer, by name."""
        started = time.perf_counter()
        assert images.place is not None
        place = self._place @ images.place[0]
        nearest = self._retrieved(query, place, started)
        pnp = self._matched(query, images, np.argsort(-place, kind="stable")[: self.config.shortlist], started)
        again = time.perf_counter()
        likeness = self._vlad @ vlad(images.units[0], self._words)
        return {"place": nearest, "vlad": self._retrieved(query, likeness, again), "pnp": pnp}

    def _retrieved(self, query: Query, likeness: Float32Array, started: float) -> BaselineAnswer:
        best = int(np.argmax(likeness))
        map_from_cam = self._loaded.index.view(int(self._loaded.view_ids[best])).map_from_cam
        return BaselineAnswer(map_from_cam @ query.views[0].base_from_cam.inverse(), float(likeness[best]), time.perf_counter() - started)

    def _matched(self, query: Query, images: QueryImages, rows: IntArray, started: float) -> BaselineAnswer:
        best: tuple[Pose3 | None, int] = None, 0
        for group in self._groups(rows):
            parts = []
            for row in group:
                points = self._loaded.view_points(row)
                pairs = match_units(images.units[0], points.units, self._local)
                parts.append(correspondences(0, images.features[0].keypoints, points.points_map, points.point_ids, pairs))
            matches = Correspondences.stack(parts)
            pose = solve_rig_pose(query.views, matches, self._fine)
            inliers = unique_keypoints(matches.select(pose.inliers)) if pose is not None else 0
            if pose is not None and inliers > best[1]:
                best = pose.map_from_base, inliers
        return BaselineAnswer(best[0], float(best[1]), time.perf_counter() - started)

    def _groups(self, rows: IntArray) -> list[list[int]]:
        """Connected parts of the shortlist; two views are connected if they see a common point."""
        groups: list[tuple[set[int], list[int]]] = []
        for row in rows.tolist():
            seen, members = set(self._loaded.view_points(row).point_ids.tolist()), [row]
            apart = []
            for points, others in groups:
                if points.isdisjoint(seen):
                    apart.append((points, others))
                else:
                    seen, members = seen | points, others + members
            groups = [*apart, (seen, members)]
        return [members for _, members in groups]


def vocabulary(units: Float32Array, config: BaselinesConfig) -> Float32Array:
    """Visual words (K, 128) of unit descriptors (N, 128): k-means by Lloyd's rounds on a sample."""
    rng = np.random.default_rng(config.seed)
    sample = units[rng.permutation(len(units))[: config.training_rows]]
    require(len(sample) >= config.words, "descriptors of the map", len(sample), f"≥ {config.words}, the number of words")
    words: Float32Array = sample[: config.words].copy()
    for _ in range(config.rounds):
        owner = nearest_word(sample, words)
        for k in range(config.words):
            if (owner == k).any():
                words[k] = sample[owner == k].mean(axis=0)
    return words


def nearest_word(units: Float32Array, words: Float32Array) -> IntArray:
    """Row (N,) of the word nearest to each descriptor."""
    rows: IntArray = np.argmax(units @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)
    return rows


def vlad(units: Float32Array, words: Float32Array) -> Float32Array:
    """The image's descriptor (K · 128,), of length one, or nought if it has no features."""
    sums = np.zeros_like(words)
    if len(units):
        owner = nearest_word(units, words)
        np.add.at(sums, owner, units - words[owner])
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    flat: Float32Array = (sums / max(float(np.linalg.norm(sums)), 1e-9)).ravel()
    return flat
