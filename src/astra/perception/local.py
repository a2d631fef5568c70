"""Local features for both sides of the map: OpenCV SIFT as RootSIFT in bytes, mutual nearest neighbours with a ratio test.

Mapping triangulates what this finds and localization matches against it, so that both must use the same extractor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, IntArray, UInt8Array

DESCRIPTOR_SIZE = 128
BLOCK_ROWS = 256  # of the matrix of similarities that is made at once


@dataclass(frozen=True, slots=True)
class LocalFeatureConfig:
    """How many features an image gives, and how faint they may be."""

    max_features: int = 700
    contrast_threshold: float = 0.015  # of OpenCV's SIFT; lower finds more on plain walls
    edge_threshold: float = 12.0
    grid_cells: int = 6  # the image is cut into grid_cells × grid_cells; each may keep an equal share before the strongest fill up
    ratio: float = 0.8  # of nearest to second nearest distance
    max_distance: float = 0.7  # between unit descriptors

    def __post_init__(self) -> None:
        require(16 <= self.max_features <= 20000, "max_features", self.max_features, "16 … 20000")
        require(0.0 < self.contrast_threshold < 0.5, "contrast_threshold", self.contrast_threshold, "in (0, 0.5)")
        require(self.edge_threshold > 1.0, "edge_threshold", self.edge_threshold, "> 1")
        require(1 <= self.grid_cells <= 32, "grid_cells", self.grid_cells, "1 … 32")
        require(0.0 < self.ratio <= 1.0, "ratio", self.ratio, "in (0, 1]")
        require(0.0 < self.max_distance <= 2.0, "max_distance", self.max_distance, "in (0, 2]")


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """keypoints: (N, 2) float32 [px], pixel centres at integers. descriptors: (N, 128) uint8 RootSIFT. scales: (N,) float32 [px]."""

    keypoints: Float32Array
    descriptors: UInt8Array
    scales: Float32Array

    def __len__(self) -> int:
        return len(self.keypoints)


@dataclass(slots=True, eq=False)
class LocalFeatureExtractor:
    """SIFT with its features spread over the image; cheap to construct, not to be shared between threads."""

    config: LocalFeatureConfig = field(default_factory=LocalFeatureConfig)
    _sift: object = field(default=None, init=False)

    def extract(self, rgb: UInt8Array) -> LocalFeatures:
        """The features of an image (H, W, 3) or (H, W), strongest first."""
        import cv2

        if self._sift is None:
            # All candidates are asked for: the choice among them is ours, so that one poster cannot take every feature.
            make = cv2.SIFT_create  # type: ignore[attr-defined]
            self._sift = make(0, 3, self.config.contrast_threshold, self.config.edge_threshold)
        grey = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        points = self._sift.detect(grey, None)  # type: ignore[attr-defined]
        chosen = _spread(points, grey.shape, self.config)
        if not chosen:
            return LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, DESCRIPTOR_SIZE), np.uint8), np.zeros(0, np.float32))
        chosen, raw = self._sift.compute(grey, chosen)  # type: ignore[attr-defined]
        keypoints = np.array([p.pt for p in chosen], dtype=np.float32)
        scales = np.array([p.size for p in chosen], dtype=np.float32)
        return LocalFeatures(keypoints, root_sift(raw), scales)


def root_sift(raw: Float32Array) -> UInt8Array:
    """RootSIFT, √(d / ‖d‖₁) · 512 clipped to a byte: Euclidean distance then compares histograms by the Hellinger kernel."""
    normed = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-9)
    quantised: UInt8Array = np.clip(np.rint(512.0 * np.sqrt(normed)), 0, 255).astype(np.uint8)
    return quantised


def unit_descriptors(descriptors: UInt8Array) -> Float32Array:
    """Descriptors (N, 128) uint8 as unit vectors (N, 128) float32."""
    values = descriptors.astype(np.float32)
    unit: Float32Array = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return unit


def match(a: UInt8Array, b: UInt8Array, config: LocalFeatureConfig | None = None) -> IntArray:
    """Mutual nearest neighbours between descriptors a (N, 128) and b (M, 128) that pass the ratio and distance tests.

    Returns:
        (K, 2) int64, rows of a and b, ordered by a's row.
    """
    return match_units(unit_descriptors(a), unit_descriptors(b), config or LocalFeatureConfig())


def match_units(a: Float32Array, b: Float32Array, config: LocalFeatureConfig) -> IntArray:
    """`match` for unit descriptors (N, 128) and (M, 128) float32, for callers that match the same image many times."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    best = np.empty(len(a), dtype=np.int64)
    top, second = np.empty(len(a), dtype=np.float32), np.empty(len(a), dtype=np.float32)
    column_top = np.full(len(b), -2.0, dtype=np.float32)
    for lo in range(0, len(a), BLOCK_ROWS):  # a block stays in the processor's cache while it is searched
        similarity = a[lo : lo + BLOCK_ROWS] @ b.T
        rows, block = np.arange(len(similarity)), slice(lo, lo + len(similarity))
        best[block] = similarity.argmax(axis=1)
        top[block] = similarity[rows, best[block]]
        np.maximum(column_top, similarity.max(axis=0), out=column_top)
        similarity[rows, best[block]] = -2.0
        second[block] = similarity.max(axis=1)
    mutual = top >= column_top[best]
    # Squared distance of unit vectors is 2 − 2·cosine.
    near = 2.0 - 2.0 * top
    far = 2.0 - 2.0 * second
    keep = mutual & (near < config.max_distance**2) & (near < config.ratio**2 * far)
    kept = np.flatnonzero(keep)
    return np.stack([kept, best[kept]], axis=1).astype(np.int64)


def _spread(points: list[object] | tuple[object, ...], shape: tuple[int, ...], config: LocalFeatureConfig) -> list[object]:
    """At most `max_features` keypoints: first each grid cell's share by strength, then the strongest of the rest."""
    if not points:
        return []
    response = np.array([p.response for p in points])  # type: ignore[attr-defined]
    position = np.array([p.pt for p in points])  # type: ignore[attr-defined]
    order = np.argsort(-response, kind="stable")
    if len(points) > config.max_features:
        n = config.grid_cells
        cell = np.clip((position * n / np.array([shape[1], shape[0]])).astype(np.int64), 0, n - 1)
        flat = (cell[:, 1] * n + cell[:, 0])[order]
        by_cell = np.argsort(flat, kind="stable")
        starts = np.searchsorted(flat[by_cell], np.arange(n * n))
        rank = np.empty(len(order), dtype=np.int64)
        rank[by_cell] = np.arange(len(order)) - starts[flat[by_cell]]
        share = config.max_features // (n * n)
        order = order[np.argsort(rank >= share, kind="stable")][: config.max_features]
        order = order[np.argsort(-response[order], kind="stable")]
    return [points[i] for i in order]
