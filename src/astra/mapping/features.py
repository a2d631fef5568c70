"""Stage 2: local features and place descriptors of every keyframe's images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from astra.core.types import Float32Array, IntArray, UInt8Array
from astra.mapping.keyframes import KeyView, decode_rgb, read_image
from astra.mapping.parallel import Shared, Workers
from astra.perception.local import DESCRIPTOR_SIZE, LocalFeatureConfig, LocalFeatureExtractor, LocalFeatures

CHUNK = 32  # images that are described together


class PlaceEncoder(Protocol):
    """One descriptor an image that is near for images of the same place; `perception.place.PlaceEncoder` is the default."""

    def encode(self, images: Sequence[UInt8Array]) -> Float32Array:
        """Descriptors (N, D) float32, L2-normalised, of N images (H, W, 3) uint8 RGB."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ViewSet:
    """Features of all views, concatenated; view `ids[k]` owns rows offsets[k]:offsets[k+1]. place: (V, D) float32, D may be 0."""

    ids: IntArray
    offsets: IntArray
    keypoints: Float32Array
    descriptors: UInt8Array
    scales: Float32Array
    place: Float32Array

    def rows(self, k: int) -> slice:
        """The rows of the k-th view."""
        return slice(int(self.offsets[k]), int(self.offsets[k + 1]))

    def __len__(self) -> int:
        return len(self.ids)


def extract_features(
    views: Sequence[KeyView],
    folder: Path,
    config: LocalFeatureConfig,
    encoder: PlaceEncoder | None,
    threads: int = 2,
    tick: Callable[[int], None] = lambda done: None,
    workers: Workers | None = None,
) -> ViewSet:
    """Features and place descriptors of the views' images in `folder`; `tick` is told how many views are done.

    Args:
        threads: that look at images, where no `workers` do.
    """
    local: list[LocalFeatures] = []
    place: list[Float32Array] = []
    chunks = [views[lo : lo + CHUNK] for lo in range(0, len(views), CHUNK)]
    pieces = (_Piece(tuple(view.image for view in chunk), tuple(read_image(folder / view.image) for view in chunk), config) for chunk in chunks)
    if workers is None:
        with ThreadPoolExecutor(threads) as pool:
            _collect(map(partial(_describe, pool, encoder), pieces), local, place, tick)
    else:
        _collect(workers.in_order(partial(_describe_alone, Shared.of(encoder)), pieces), local, place, tick)
    counts = np.array([0] + [len(f) for f in local], dtype=np.int64)
    return ViewSet(
        np.array([view.id for view in views], dtype=np.int64),
        np.cumsum(counts),
        np.concatenate([f.keypoints for f in local]) if local else np.zeros((0, 2), np.float32),
        np.concatenate([f.descriptors for f in local]) if local else np.zeros((0, DESCRIPTOR_SIZE), np.uint8),
        np.concatenate([f.scales for f in local]) if local else np.zeros(0, np.float32),
        np.concatenate(place) if place else np.zeros((len(views), 0), np.float32),
    )


def save_views(path: Path, views: ViewSet) -> None:
    """Write to one .npz in the work folder."""
    with path.open("wb") as stream:
        np.savez(
            stream, ids=views.ids, offsets=views.offsets, keypoints=views.keypoints,
            descriptors=views.descriptors, scales=views.scales, place=views.place,
        )  # fmt: skip


def load_views(path: Path) -> ViewSet:
    """Read what `save_views` wrote."""
    with np.load(path, allow_pickle=False) as data:
        return ViewSet(data["ids"], data["offsets"], data["keypoints"], data["descriptors"], data["scales"], data["place"])


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Images as files, by name, and what is to be found in them."""

    names: tuple[str, ...]
    files: tuple[bytes, ...]
    config: LocalFeatureConfig

    def look(self, k: int) -> tuple[UInt8Array, LocalFeatures]:
        """The k-th image (H, W, 3) and its features."""
        rgb = decode_rgb(self.files[k], self.names[k])
        return rgb, LocalFeatureExtractor(self.config).extract(rgb)


def _describe(pool: Executor | None, encoder: PlaceEncoder | None, piece: _Piece) -> tuple[list[LocalFeatures], Float32Array | None]:
    import cv2

    cv2.setNumThreads(1)
    loaded = list((map if pool is None else pool.map)(piece.look, range(len(piece.names))))
    place = None if encoder is None else np.asarray(encoder.encode([rgb for rgb, _ in loaded]), dtype=np.float32)
    return [features for _, features in loaded], place


def _describe_alone(encoder: Shared[PlaceEncoder | None], piece: _Piece) -> tuple[list[LocalFeatures], Float32Array | None]:
    return _describe(None, encoder.get(), piece)


def _collect(
    described: Iterable[tuple[list[LocalFeatures], Float32Array | None]],
    local: list[LocalFeatures],
    place: list[Float32Array],
    tick: Callable[[int], None],
) -> None:
    for features, descriptors in described:
        local += features
        if descriptors is not None:
            place.append(descriptors)
        tick(len(features))
