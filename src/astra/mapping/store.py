"""What of a reconstruction is stored: what localization and merging read, or less, for maps that travel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import IntArray
from astra.mapping.keyframes import read_rgb, write_image
from astra.topomap.features import MapFeatures


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Localization reads features with a point alone, and `merge` joins as well without the others; other tools read COLMAP's model."""

    unplaced: bool = False  # features without a 3-D point
    most_features: int = 0  # of a view with a point, those that most views see; 0: all
    model: bool = True  # COLMAP's, under sfm/
    jpeg_quality: int = 0  # of the images; 0: as they were used

    def __post_init__(self) -> None:
        require(0 <= self.most_features <= 20000, "most_features", self.most_features, "0 … 20000")
        require(self.most_features == 0 or not self.unplaced, "unplaced", self.unplaced, "false where most_features counts those with a point")
        require(self.jpeg_quality == 0 or 20 <= self.jpeg_quality <= 100, "jpeg_quality", self.jpeg_quality, "0, or 20 … 100")


def slimmed(features: MapFeatures, config: StoreConfig) -> MapFeatures:
    """The features that are stored, in their order."""
    if config.unplaced:
        return features
    rows = np.flatnonzero(features.point_ids >= 0)
    view = np.searchsorted(features.offsets, rows, side="right") - 1
    if config.most_features:
        keep = _most_seen(view, features.point_ids[rows], config.most_features)
        rows, view = rows[keep], view[keep]
    offsets = np.searchsorted(view, np.arange(len(features.view_ids) + 1)).astype(np.int64)
    return replace(
        features,
        offsets=offsets,
        keypoints=features.keypoints[rows],
        descriptors=features.descriptors[rows],
        points_map=features.points_map[rows],
        point_ids=features.point_ids[rows],
    )


def slim_image(image: Path, folder: Path, config: StoreConfig) -> Path:
    """The file that is stored for an image: itself, or a smaller one made in `folder`."""
    if config.jpeg_quality == 0:
        return image
    small = folder / image.name
    write_image(small, read_rgb(image), config.jpeg_quality)
    return small


def _most_seen(view: IntArray, point_ids: IntArray, most: int) -> IntArray:
    """Rows, rising, of each view's `most` features whose points most views see; `view` and `point_ids` are (N,)."""
    seen = np.bincount(point_ids)[point_ids]
    order = np.lexsort((-seen, view))  # stable: the strongest of those that are seen alike come first
    first = np.searchsorted(view[order], view[order])
    return np.sort(order[np.arange(len(order)) - first < most])
