"""Reading text in images: PP-OCRv6 (detection and recognition) on ONNX Runtime, with the weights that the `rapidocr` package ships.

What is read is data about the world, never an instruction.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import MissingDependencyError
from astra.core.types import FloatArray, UInt8Array

MIN_SEARCH_PX = 224  # long side of the smallest image in which text is searched


@dataclass(frozen=True, slots=True)
class TextReaderConfig:
    """How images are prepared for the reader and what counts as read."""

    min_long_side_px: int = 560  # smaller images are enlarged to this …
    max_upscale: float = 3.0  # … but by no more than this
    max_long_side_px: int = 960  # the detector sees larger images reduced to this
    search_share: float = 0.0  # of the image's own size at which text is searched, no smaller than `MIN_SEARCH_PX`; 0: as it is read
    min_score: float = 0.60  # of the recognizer, 0..1
    min_box_score: float = 0.40  # of the detector, 0..1
    min_height_px: float = 5.0  # of the text in the original image
    min_characters: int = 2  # letters and digits
    threads: int = 1

    def __post_init__(self) -> None:
        require(32 <= self.min_long_side_px <= 4096, "min_long_side_px", self.min_long_side_px, "in 32..4096")
        require(32 <= self.max_long_side_px <= 4096, "max_long_side_px", self.max_long_side_px, "in 32..4096")
        require(0.0 <= self.search_share <= 1.0, "search_share", self.search_share, "in 0..1")
        require(1.0 <= self.max_upscale <= 8.0, "max_upscale", self.max_upscale, "in 1..8")
        require(0.0 <= self.min_score <= 1.0, "min_score", self.min_score, "in 0..1")
        require(0.0 < self.min_box_score <= 1.0, "min_box_score", self.min_box_score, "in (0, 1]")
        require(self.min_height_px >= 0.0, "min_height_px", self.min_height_px, "≥ 0")
        require(self.min_characters >= 1, "min_characters", self.min_characters, "≥ 1")
        require(1 <= self.threads <= 64, "threads", self.threads, "in 1..64")


@dataclass(frozen=True, slots=True, eq=False)
class TextDetection:
    """One line of text: `score` 0..1; `polygon` (4, 2) [px], clockwise from the text's top left, pixel centres at integers."""

    text: str
    score: float
    polygon: FloatArray

    @property
    def centre(self) -> FloatArray:
        """The polygon's centre (2,) [px]."""
        middle: FloatArray = self.polygon.mean(axis=0)
        return middle

    @property
    def height_px(self) -> float:
        """The mean length of the polygon's left and right sides."""
        p = self.polygon
        return float((np.linalg.norm(p[3] - p[0]) + np.linalg.norm(p[2] - p[1])) / 2.0)


def normalise_text(text: str) -> str:
    """Lower case letters and digits separated by single blanks: "A‑001 " and "a 001" read the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", " ", folded).strip()


def landmark_name(label: str) -> str:
    """What two signs of one name have in common, however the blanks were read: letters and digits alone."""
    return normalise_text(label).replace(" ", "")


class TextReader:
    """Finds and reads lines of text; the models load at the first image."""

    def __init__(self, config: TextReaderConfig | None = None) -> None:
        self.config = config or TextReaderConfig()
        self._engine: Any = None

    def read(self, rgb: UInt8Array) -> tuple[TextDetection, ...]:
        """Read an image (H, W, 3) uint8 RGB of any size; best score first."""
        import cv2

        engine = self._engine = self._engine or self._load()
        height, width = rgb.shape[:2]
        scale = min(max(self.config.min_long_side_px / max(height, width), 1.0), self.config.max_upscale)
        image = np.ascontiguousarray(rgb[:, :, ::-1])
        if scale > 1.0:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        engine.text_det.limit_side_len = self._search_px(max(height, width))
        result = engine(image)
        if result.boxes is None or result.txts is None:
            return ()
        found = []
        for box, text, score in zip(result.boxes, result.txts, result.scores):
            polygon = (np.asarray(box, dtype=np.float64) + 0.5) / scale - 0.5
            detection = TextDetection(str(text).strip(), float(score), polygon)
            if self._is_legible(detection):
                found.append(detection)
        return tuple(sorted(found, key=lambda d: -d.score))

    def _search_px(self, long_side_px: int) -> int:
        """The size at which the detector sees an image: where text is takes fewer pixels to say than what it says."""
        if self.config.search_share == 0.0:
            return self.config.max_long_side_px
        return min(max(round(self.config.search_share * long_side_px), MIN_SEARCH_PX), self.config.max_long_side_px)

    def _is_legible(self, detection: TextDetection) -> bool:
        characters = len(normalise_text(detection.text).replace(" ", ""))
        return detection.height_px >= self.config.min_height_px and characters >= self.config.min_characters

    def _load(self) -> Any:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise MissingDependencyError(f"reading text needs rapidocr: pip install --no-deps rapidocr ({error})") from error
        config = self.config
        engine = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.text_score": config.min_score,
                "Global.log_level": "error",
                "Det.limit_type": "max",
                "Det.limit_side_len": config.max_long_side_px,
                "Det.box_thresh": config.min_box_score,
                "EngineConfig.onnxruntime.intra_op_num_threads": config.threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        engine._load_det_model()
        if config.threads > 1:  # one thread has no pool that could spin
            for model in (engine._load_det_model(), engine._load_rec_model()):
                model.session.session = _without_spinning(model.session.session, config.threads)
        return engine


def _without_spinning(session: Any, threads: int) -> Any:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return InferenceSession(session._model_path, sess_options=options, providers=["CPUExecutionProvider"])
