"""Furniture as landmarks: what the object detector finds, with the colour it shows and what a place with it is for."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from astra.core.types import FloatArray, UInt8Array
from astra.mapping.landmarks import LandmarkDetection
from astra.mapping.text_landmarks import colour_name
from astra.perception.objects import DetectedObject, ObjectDetector

CORE = 0.5  # of a box's sides: its middle, where there is little of what stands behind
FUNCTIONS = {
    "bed": "sleeping", "child bed": "a child sleeps here", "sofa": "sitting and resting", "armchair": "sitting and resting", "desk": "working at a desk",
    "table": "eating or working at a table", "fridge": "keeping food and drinks cold", "stove": "cooking", "dishwasher": "washing dishes",
    "toilet": "using the toilet", "bathtub": "taking a bath", "shower": "taking a shower", "washing machine": "washing clothes",
    "washbasin": "washing hands", "tv": "watching television", "copier": "printing, copying and scanning", "whiteboard": "talks and presentations",
    "vending machine": "buying snacks and drinks", "server rack": "computers and network", "reception desk": "visitors are welcomed",
    "toy": "children play", "first aid box": "bandages, treating injuries", "charging station": "charging batteries",
    "packing table": "packing parcels", "rack": "goods stored on racks",
}  # fmt: skip


class Detector(Protocol):
    """Finds objects in images, as `perception.objects.ObjectDetector` does."""

    def detect(self, rgb: UInt8Array) -> tuple[DetectedObject, ...]:
        """What stands in an image (H, W, 3) uint8 RGB."""
        ...


class ObjectLandmarkExtractor:
    """Object landmarks; satisfies `LandmarkExtractor`. That several views agree on them is decided where landmarks are joined."""

    name = "objects"
    portable = True

    def __init__(self, detector: Detector | None = None) -> None:
        self._detector = detector or ObjectDetector()

    def extract(self, rgb: UInt8Array) -> tuple[LandmarkDetection, ...]:
        """Every known thing in an image (H, W, 3) uint8 RGB."""
        return tuple(
            LandmarkDetection(found.name, False, found.score, corners(found.box), colour_of(rgb, found.box), FUNCTIONS.get(found.name, ""))
            for found in self._detector.detect(rgb)
        )


def corners(box: FloatArray) -> FloatArray:
    """The polygon (4, 2) of a box x0 y0 x1 y1, clockwise from its top left."""
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def colour_of(rgb: UInt8Array, box: FloatArray) -> str:
    """The everyday name of the colour in the middle of a box (4,) [px]."""
    centre, half = (box[:2] + box[2:]) / 2.0, CORE * (box[2:] - box[:2]) / 2.0
    low, high = np.floor(np.maximum(centre - half, 0.0)).astype(int), np.ceil(centre + half).astype(int) + 1
    middle = rgb[low[1] : high[1], low[0] : high[0]].reshape(-1, 3)
    return colour_name(np.median(middle.astype(np.float64), axis=0)) if len(middle) else ""
