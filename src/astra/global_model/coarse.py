"""Coarse localization (paper 3.1.2): which nodes look like this, and which of the map's landmarks are in sight."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, IntArray
from astra.geometry import Pose2
from astra.global_model.backends.protocol import DetectedLandmark
from astra.global_model.types import Evidence
from astra.perception.text import normalise_text
from astra.topomap.features import MapFeatures, give_back
from astra.topomap.queries import MapIndex
from astra.topomap.types import Landmark


@dataclass(frozen=True, slots=True)
class CoarseConfig:
    """How many candidates go on to the fine stage."""

    candidates: int = 24  # nodes that go on
    views_per_image: int = 40  # best map views of each query image that vote for their nodes
    landmark_weight: float = 0.5  # of a matched landmark's vote, relative to one image's place vote
    exact_views: int = 20_000  # of a map whose views are all compared; of a larger one sketches are, and exactly the best by these
    sketch_dimensions: int = 64
    compared_views: int = 1000  # exactly, for each image, of such a map

    def __post_init__(self) -> None:
        require(self.candidates >= 1, "candidates", self.candidates, "≥ 1")
        require(self.views_per_image >= 1, "views_per_image", self.views_per_image, "≥ 1")
        require(self.landmark_weight >= 0.0, "landmark_weight", self.landmark_weight, "≥ 0")
        require(self.exact_views >= 2, "exact_views", self.exact_views, "≥ 2")
        require(self.sketch_dimensions >= 1, "sketch_dimensions", self.sketch_dimensions, "≥ 1")
        require(self.compared_views >= self.views_per_image, "compared_views", self.compared_views, "≥ views_per_image")


@dataclass(frozen=True, slots=True, eq=False)
class PlaceVotes:
    """How alike the query's images and the map's views are.

    similarity: (Q, V) float32 cosine. node_scores: (N,), rows as in `MapIndex.node_ids`, in units of one image's full vote.
    likeness: (Q, V) by all that was compared; the similarity unless local features were.
    """

    similarity: Float32Array
    node_scores: FloatArray
    likeness: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Place descriptors in few numbers: `mean` (D,), `basis` (D, K) of what varies most among them, `coefficients` (V, K); p ≈ mean + basis c.

    A hundred thousand nodes with four views each are 1.5 GB of descriptors; their sketches are 0.1, and compare fifteen times as fast.
    """

    mean: Float32Array
    basis: Float32Array
    coefficients: Float32Array

    @staticmethod
    def of(place: Float32Array, dimensions: int, sample: int = 4096, block: int = 8192) -> Sketch:
        """The sketches of descriptors (V, D), which are read block by block."""
        some = np.asarray(place[:: max(1, len(place) // sample)], dtype=np.float32)
        mean = some.mean(axis=0)
        _, vectors = np.linalg.eigh((some - mean).T @ (some - mean))
        basis = np.ascontiguousarray(vectors[:, ::-1][:, :dimensions])
        coefficients = np.empty((len(place), basis.shape[1]), dtype=np.float32)
        for lo in range(0, len(place), block):
            coefficients[lo : lo + block] = (place[lo : lo + block] - mean) @ basis
            give_back(place)
        return Sketch(mean, basis, coefficients)

    def similarity(self, descriptors: Float32Array) -> Float32Array:
        """Cosines (Q, V), roughly, of descriptors (Q, D) with all views."""
        out: Float32Array = descriptors @ self.basis @ self.coefficients.T + (descriptors @ self.mean)[:, None]
        return out


class PlaceRetrieval:
    """Ranks nodes by the likeness of their views to the query's images, whichever camera took them."""

    def __init__(self, index: MapIndex, features: MapFeatures, config: CoarseConfig) -> None:
        self.config = config
        self._place: Float32Array = np.asarray(features.place, dtype=np.float32)
        rows = {int(node_id): row for row, node_id in enumerate(index.node_ids)}
        self.row_of_view: IntArray = np.array([rows[index.node_of_view(int(v)).id] for v in features.view_ids], dtype=np.int64)
        self._nodes = len(index.node_ids)
        # Likeness that any two views of this map share: only what exceeds it speaks for a place.
        sample = self._place[:: max(1, len(self._place) // 256)]
        self._background = float(np.median(sample @ sample.T)) if len(sample) > 1 else 0.0
        self._sketch = Sketch.of(self._place, config.sketch_dimensions) if len(self._place) > config.exact_views else None

    def vote(self, descriptors: Float32Array) -> PlaceVotes:
        """Votes of query descriptors (Q, D): each image gives every node the likeness of its best view, above the map's background."""
        similarity = descriptors @ self._place.T if self._sketch is None else self._sketch.similarity(descriptors)
        scores = np.zeros(self._nodes)
        for descriptor, row in zip(descriptors, similarity, strict=True):
            count = min(self.config.views_per_image, len(row))
            if self._sketch is None:
                best = np.argpartition(-row, count - 1)[:count]
            else:
                near = np.sort(np.argpartition(-row, self.config.compared_views)[: self.config.compared_views])
                row[near] = self._place[near] @ descriptor
                best = near[np.argpartition(-row[near], count - 1)[:count]]
            votes = np.zeros(self._nodes)
            np.maximum.at(votes, self.row_of_view[best], (row[best] - self._background) / max(1e-6, 1.0 - self._background))
            scores += np.maximum(votes, 0.0)
        return PlaceVotes(similarity, scores, similarity)


@dataclass(frozen=True, slots=True)
class LandmarkMatch:
    """A detection in query image `view` that reads like a landmark of the map."""

    landmark_id: int
    view: int
    detection: DetectedLandmark
    similarity: float

    def evidence(self, why: str) -> Evidence:
        """The record of this match."""
        return Evidence(self.landmark_id, self.detection.label, why)


def match_landmarks(
    detections: Sequence[Sequence[DetectedLandmark]], landmarks: Iterable[Landmark], min_similarity: float
) -> tuple[LandmarkMatch, ...]:
    """All pairs of a detection (per query image) and a landmark whose labels agree, best first."""
    known = [(landmark.id, landmark.is_text, landmark.label) for landmark in landmarks]
    matches = []
    for view, found in enumerate(detections):
        for detection in found:
            letters, digits = _letters(detection.label)
            for landmark_id, is_text, other in known:
                other_letters, other_digits = _letters(other)
                if is_text != detection.is_text or digits != other_digits:
                    continue
                if 2 * min(len(letters), len(other_letters)) < min_similarity * (len(letters) + len(other_letters)):
                    continue  # texts of such lengths cannot be that similar
                similarity = text_similarity(letters, other_letters)
                if similarity >= min_similarity:
                    matches.append(LandmarkMatch(landmark_id, view, detection, similarity))
    return tuple(sorted(matches, key=lambda m: (-m.similarity, m.landmark_id)))


@lru_cache(maxsize=16384)
def _letters(label: str) -> tuple[str, tuple[str, ...]]:
    """A label's normalised letters and digits without spaces, and its digits; those of a large map are asked for again and again."""
    text = normalise_text(label).replace(" ", "")
    return text, tuple(c for c in text if c.isdigit())


def text_similarity(a: str, b: str) -> float:
    """Share of letters and digits in common, 0..1, of two normalised texts; texts whose digits differ name different things: 0."""
    a, b = a.replace(" ", ""), b.replace(" ", "")
    if not a or not b:
        return 0.0
    if [c for c in a if c.isdigit()] != [c for c in b if c.isdigit()]:
        return 0.0
    return 1.0 if a == b else difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def rank_nodes(
    index: MapIndex, votes: PlaceVotes, matches: Sequence[LandmarkMatch], near: Pose2 | None, near_radius_m: float, config: CoarseConfig
) -> tuple[tuple[int, float], ...]:
    """Nodes with their scores, best first: place votes, plus votes of landmarks they see, plus the nodes nearest to the hint."""
    scores = votes.node_scores.copy()
    best: dict[int, float] = {}
    for match in matches:
        best[match.landmark_id] = max(best.get(match.landmark_id, 0.0), match.similarity)
    for landmark_id, similarity in best.items():
        seers = index.map.landmarks[landmark_id].node_ids
        scores[np.searchsorted(index.node_ids, seers)] += config.landmark_weight * similarity / math.sqrt(max(len(seers), 1))
    voted = np.flatnonzero(scores > 0.0)
    chosen = [int(i) for i in voted[np.argsort(-scores[voted], kind="stable")[: config.candidates]]]
    if near is not None:
        close = [int(np.searchsorted(index.node_ids, node_id)) for node_id in index.nodes_within(near.x, near.y, near_radius_m)[: config.candidates // 2]]
        chosen = list(dict.fromkeys(close + chosen))[: config.candidates + len(close)]
    return tuple((int(index.node_ids[i]), float(scores[i])) for i in chosen)
