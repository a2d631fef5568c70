"""Landmark detections of all views: made beside SfM on a thread of their own, kept as JSON in the work folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from astra.mapping.keyframes import KeyView, read_rgb
from astra.mapping.landmarks import LandmarkDetection, LandmarkExtractor

Detections = Mapping[int, tuple[LandmarkDetection, ...]]


def detect_landmarks(
    views: Sequence[KeyView], folder: Path, extractor: LandmarkExtractor, tick: Callable[[int], None] = lambda done: None
) -> Detections:
    """View id → what the extractor finds in its image; `tick` may raise to stop."""
    found = {}
    for view in views:
        found[view.id] = tuple(extractor.extract(read_rgb(folder / view.image)))
        tick(1)
    return found


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
