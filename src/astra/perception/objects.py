"""Furniture in images: a small anchor-free network (CenterNet: a heat map of centres, and the size of what is there) on ONNX Runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError, MissingDependencyError
from astra.core.types import Float32Array, FloatArray, UInt8Array

STRIDE = 8  # of the heat map, in pixels of the network's input
MULTIPLE = 16  # of which the input's sides are
MODEL_FILE, CARD_FILE = "objects.onnx", "objects.json"

# What is told apart, and which of the simulator's categories are the same to the eye.
_MEMBERS: dict[str, tuple[str, ...]] = {
    "bed": ("bed",), "child bed": ("child_bed",), "sofa": ("sofa",), "armchair": ("armchair",), "chair": ("chair",), "office chair": ("office_chair",),
    "stool": ("stool",), "table": ("table", "low_table"), "desk": ("desk",), "shelf": ("shelf", "bookcase"), "wardrobe": ("wardrobe", "cabinet"),
    "chest of drawers": ("chest_of_drawers",), "shoe rack": ("shoe_rack",), "locker": ("locker",), "counter": ("counter",), "fridge": ("fridge",),
    "stove": ("stove",), "dishwasher": ("dishwasher",), "toilet": ("toilet",), "bathtub": ("bathtub",), "shower": ("shower",),
    "washing machine": ("washing_machine",), "washbasin": ("washbasin", "sink"), "tv": ("tv",), "plant": ("plant",), "copier": ("copier",),
    "whiteboard": ("whiteboard",), "vending machine": ("vending_machine",), "server rack": ("server_rack",), "reception desk": ("reception_desk",),
    "toy": ("toy",), "first aid box": ("first_aid_box",), "rack": ("rack",), "pallet": ("pallet",), "boxes": ("boxes",), "crate": ("crate",),
    "charging station": ("charging_station",), "packing table": ("packing_table", "workbench"), "roll cage": ("roll_cage",),
}  # fmt: skip
CLASSES = tuple(_MEMBERS)


@cache
def _classes() -> dict[str, str]:
    return {member: name for name, members in _MEMBERS.items() for member in members}


def class_of(category: str) -> str | None:
    """The class of a category of the simulator's furniture; None for what is not told apart."""
    return _classes().get(category)


@dataclass(frozen=True, slots=True)
class ObjectDetectorConfig:
    """How images are looked at. `model_dir` holds objects.onnx and objects.json."""

    model_dir: Path | None = None  # none: models/objects of this checkout
    height_px: int = 112  # to which images are scaled, as in training
    max_objects: int = 12  # in an image
    min_side_px: float = 6.0  # of a box, in the network's input
    min_score: float = 0.0  # beside the model's own thresholds
    threads: int = 1

    def __post_init__(self) -> None:
        require(self.height_px >= 32 and self.height_px % MULTIPLE == 0, "height_px", self.height_px, f"a multiple of {MULTIPLE} from 32 on")
        require(self.max_objects >= 1, "max_objects", self.max_objects, "≥ 1")
        require(self.min_side_px > 0.0, "min_side_px", self.min_side_px, "> 0")
        require(0.0 <= self.min_score <= 1.0, "min_score", self.min_score, "in 0..1")
        require(1 <= self.threads <= 64, "threads", self.threads, "in 1..64")


@dataclass(frozen=True, slots=True, eq=False)
class DetectedObject:
    """A thing of class `name`, with `score` 0..1, in the box x0 y0 x1 y1 (4,) [px of the image]."""

    name: str
    score: float
    box: FloatArray


class ObjectDetector:
    """Finds furniture in images; the model loads at the first one. Not to be shared between threads."""

    def __init__(self, config: ObjectDetectorConfig | None = None) -> None:
        self.config = config or ObjectDetectorConfig()
        self._session: Any = None
        self._names: tuple[str, ...] = ()
        self._thresholds: FloatArray = np.zeros(0)

    def detect(self, rgb: UInt8Array) -> tuple[DetectedObject, ...]:
        """What stands in an image (H, W, 3) uint8 RGB, surest first; only what reaches its class's threshold."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise BadInputError(f"an image of shape {rgb.shape} and type {rgb.dtype} is not (H, W, 3) uint8")
        if self._session is None:
            self._load()
        heat, size, offset = self._session.run(None, {"image": prepare(rgb, self.config.height_px)})
        found = decode(heat[0], size[0], offset[0], self.config.max_objects)
        scale = np.tile([rgb.shape[1] / (heat.shape[3] * STRIDE), rgb.shape[0] / (heat.shape[2] * STRIDE)], 2)
        out = []
        for kind, score, box in found:
            if score >= max(self._thresholds[kind], self.config.min_score) and np.min(box[2:] - box[:2]) >= self.config.min_side_px:
                low, high = np.zeros(4), np.tile([rgb.shape[1] - 1.0, rgb.shape[0] - 1.0], 2)
                out.append(DetectedObject(self._names[kind], score, np.clip(box * scale, low, high)))
        return tuple(out)

    def _load(self) -> None:
        try:
            from onnxruntime import InferenceSession, SessionOptions
        except ImportError as error:
            raise MissingDependencyError(f"finding objects needs onnxruntime ({error})") from error
        folder = self.config.model_dir or default_model()
        for name in (MODEL_FILE, CARD_FILE):
            if not (folder / name).is_file():
                raise BadInputError(f"object model {folder} has no {name}: none is shipped, `astra train objects` makes one")
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        self._names = tuple(card["classes"])
        self._thresholds = np.array([card["thresholds"].get(name, 2.0) for name in self._names])
        options = SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.config.threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = InferenceSession(str(folder / MODEL_FILE), sess_options=options, providers=["CPUExecutionProvider"])


def default_model() -> Path:
    """Where a trained model is looked for."""
    return Path(__file__).parents[3] / "models" / "objects"


def prepare(rgb: UInt8Array, height_px: int) -> UInt8Array:
    """The network's input (1, H, W, 3) uint8: the image at a height, and a width that is a multiple of `MULTIPLE`."""
    import cv2

    width = max(MULTIPLE, round(rgb.shape[1] * height_px / rgb.shape[0] / MULTIPLE) * MULTIPLE)
    if rgb.shape[:2] == (height_px, width):
        return rgb[None]
    way = cv2.INTER_AREA if rgb.shape[0] > height_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height_px), interpolation=way), np.uint8)[None]


def decode(heat: Float32Array, size: Float32Array, offset: Float32Array, most: int) -> list[tuple[int, float, FloatArray]]:
    """Class, score and box (4,) [px of the input] of the peaks of a heat map, surest first; where boxes cover each other, the surest stands.

    Args:
        heat: (C, h, w) 0..1. size: (2, h, w) width and height, offset: (2, h, w) of the centre in its cell [px of the input].
        most: boxes that are returned.
    """
    import cv2

    # The highest value around each cell, in any class: one thing is one class.
    best = heat.max(axis=0)
    peak = best >= cv2.dilate(best, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(peak & (best > 0.05))
    order = np.argsort(-best[rows, columns], kind="stable")[: 3 * most]
    out: list[tuple[int, float, FloatArray]] = []
    for row, column in zip(rows[order], columns[order]):
        centre = np.array([column, row]) * STRIDE + offset[:, row, column]
        half = size[:, row, column] / 2.0
        box = np.concatenate([centre - half, centre + half]).astype(np.float64)
        if all(overlap(box, other) < 0.5 for _, _, other in out):
            out.append((int(heat[:, row, column].argmax()), float(best[row, column]), box))
    return out[:most]


def overlap(a: FloatArray, b: FloatArray) -> float:
    """Intersection over union of two boxes (4,)."""
    common = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0).prod()
    whole = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
    return float(common / whole) if whole > 0.0 else 0.0
