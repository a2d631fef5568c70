"""Landmark detections of all views: made beside SfM on a thread of their own, kept as JSON in the work folder."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from astra.core.plain_text import plain_text
from astra.mapping.keyframes import Keyframe, KeyView, read_rgb
from astra.mapping.landmarks import LandmarkDetection, LandmarkExtractor, is_dynamic
from astra.topomap.io import MAX_CHARACTERS

STRIDE = 2  # keyframes between two that are looked at first

Detections = Mapping[int, tuple[LandmarkDetection, ...]]


def detect_landmarks(
    keyframes: Sequence[Keyframe], folder: Path, extractor: LandmarkExtractor, max_images: int, tick: Callable[[int], None] = lambda done: None
) -> Detections:
    """View id → what the extractor finds in its image, for the images that are worth looking at.

    What a place shows, its neighbours show too: every second keyframe is looked at, more rarely where half of `max_images` would not suffice, and
    then the neighbours of those that showed something, by the same camera, until nothing new is found or `max_images` are spent.

    Args:
        folder: where the keyframes' images lie.
        tick: called for each image; may raise to stop.
    """
    tracks: dict[tuple[int, str], list[KeyView]] = defaultdict(list)
    for keyframe in keyframes:
        for view in keyframe.views:
            tracks[keyframe.tour, view.camera].append(view)
    found: dict[int, tuple[LandmarkDetection, ...]] = {}
    stride = max(STRIDE, -(-2 * sum(len(track) for track in tracks.values()) // max_images))
    waiting = [(key, k) for key, track in tracks.items() for k in range(0, len(track), stride)]
    while waiting and len(found) < max_images:
        (key, k), *waiting = waiting
        view = tracks[key][k]
        if view.id in found:
            continue
        found[view.id] = tuple(as_data(d) for d in extractor.extract(read_rgb(folder / view.image)) if stays(d))
        tick(1)
        if found[view.id]:
            waiting += [(key, j) for j in (k - 1, k + 1) if 0 <= j < len(tracks[key])]
    return found


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
