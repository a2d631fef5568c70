"""Landmark detections of all views: made beside SfM on a thread of their own, kept as JSON in the work folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from astra.core.plain_text import plain_text
from astra.core.types import UInt8Array
from astra.mapping.keyframes import Keyframe, KeyView, decode_rgb, read_image, read_rgb
from astra.mapping.landmarks import LandmarkDetection, LandmarkExtractor, PortableExtractor, is_dynamic
from astra.mapping.parallel import Shared, Workers
from astra.topomap.io import MAX_CHARACTERS

STRIDE = 2  # keyframes between two that are looked at first

Detections = Mapping[int, tuple[LandmarkDetection, ...]]


def detect_landmarks(
    keyframes: Sequence[Keyframe],
    folder: Path,
    extractor: LandmarkExtractor,
    max_images: int,
    tick: Callable[[int], None] = lambda done: None,
    workers: Workers | None = None,
) -> Detections:
    """View id → what the extractor finds in its image, for the images that are worth looking at.

    What a place shows, its neighbours show too: every second keyframe is looked at, more rarely where half of `max_images` would not suffice, and
    then the neighbours of those that showed something, by the same camera, until nothing new is found or `max_images` are spent.

    Args:
        folder: where the keyframes' images lie.
        tick: called for each image; may raise to stop.
        workers: look at several images at once, if the extractor is `portable`.
    """
    look = _looker(folder, extractor, workers)
    tracks: dict[tuple[int, str], list[KeyView]] = defaultdict(list)
    for keyframe in keyframes:
        for view in keyframe.views:
            tracks[keyframe.tour, view.camera].append(view)
    found: dict[int, tuple[LandmarkDetection, ...]] = {}
    stride = max(STRIDE, -(-2 * sum(len(track) for track in tracks.values()) // max_images))
    waiting = [(key, k) for key, track in tracks.items() for k in range(0, len(track), stride)]
    while waiting and len(found) < max_images:
        wave = {tracks[key][k].id: (key, k) for key, k in dict.fromkeys(waiting) if tracks[key][k].id not in found}
        wave = dict(list(wave.items())[: max_images - len(found)])
        waiting = []
        for (view_id, (key, k)), seen in zip(wave.items(), look([tracks[key][k] for key, k in wave.values()])):
            found[view_id] = seen
            tick(1)
            if seen:
                waiting += [(key, j) for j in (k - 1, k + 1) if 0 <= j < len(tracks[key])]
    return found


def _looker(
    folder: Path, extractor: LandmarkExtractor, workers: Workers | None
) -> Callable[[Sequence[KeyView]], Iterable[tuple[LandmarkDetection, ...]]]:
    """What the extractor finds in each of some views' images, in order."""
    if workers is None or not (isinstance(extractor, PortableExtractor) and extractor.portable):
        return lambda views: (_seen(extractor, read_rgb(folder / view.image)) for view in views)
    task, pool = partial(_seen_alone, Shared.of(extractor)), workers
    return lambda views: pool.in_order(task, ((view.image, read_image(folder / view.image)) for view in views))


def _seen(extractor: LandmarkExtractor, rgb: UInt8Array) -> tuple[LandmarkDetection, ...]:
    return tuple(as_data(d) for d in extractor.extract(rgb) if stays(d))


def _seen_alone(extractor: Shared[LandmarkExtractor], image: tuple[str, bytes]) -> tuple[LandmarkDetection, ...]:
    name, data = image
    return _seen(extractor.get(), decode_rgb(data, name))


def as_data(detection: LandmarkDetection) -> LandmarkDetection:
    """The detection with its words bounded and on one line: what is read in the world is shown and compared, and never more than that."""
    label, attributes, function = (plain_text(getattr(detection, name), MAX_CHARACTERS[name]) for name in ("label", "attributes", "function"))
    return replace(detection, score=min(max(float(detection.score), 0.0), 1.0), label=label, attributes=attributes, function=function)


def stays(detection: LandmarkDetection) -> bool:
    """Whether it can be a landmark: it says something, lies in the image as a finite polygon, and is nothing that walks away."""
    polygon = np.asarray(detection.polygon, dtype=np.float64)
    is_there = polygon.shape == (4, 2) and bool(np.isfinite(polygon).all()) and bool(np.ptp(polygon, axis=0).min() > 0.0)
    return is_there and bool(plain_text(detection.label, 1)) and (detection.is_text or not is_dynamic(detection.label))


def save_detections(path: Path, detections: Detections) -> None:
    """Write as JSON."""
    document = {
        str(view_id): [
            {
                "label": d.label,
                "is_text": d.is_text,
                "score": round(float(d.score), 4),
                "polygon": np.asarray(d.polygon, dtype=np.float64).round(2).tolist(),
                "attributes": d.attributes,
                "function": d.function,
            }
            for d in found
        ]
        for view_id, found in detections.items()
    }
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def load_detections(path: Path) -> Detections:
    """Read what `save_detections` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        int(view_id): tuple(
            LandmarkDetection(d["label"], d["is_text"], d["score"], np.array(d["polygon"], dtype=np.float64), d["attributes"], d["function"])
            for d in found
        )
        for view_id, found in document.items()
    }
