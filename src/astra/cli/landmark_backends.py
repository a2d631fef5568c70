"""Landmark extractors by name for `astra map build --landmarks`: mapping knows the protocol only, the global model has the language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from astra.core.errors import BadInputError
from astra.mapping.landmarks import CombinedExtractor, LandmarkDetection, LandmarkExtractor

if TYPE_CHECKING:
    from astra.core.types import UInt8Array
    from astra.global_model.backends.mllm import MllmBackend


class MllmExtractor:
    """Landmarks as a multimodal language model sees them (paper 3.1.1); satisfies `LandmarkExtractor`."""

    def __init__(self, backend: MllmBackend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """The model's name."""
        return self._backend.model.name

    def extract(self, rgb: UInt8Array) -> Sequence[LandmarkDetection]:
        """The landmarks in one image (H, W, 3) uint8 RGB, with look and function."""
        from astra.global_model.backends.mllm import polygon_px

        return [LandmarkDetection(s.label, s.is_text, 0.9, polygon_px(s.box, rgb), s.look, s.function) for s in self._backend.describe(rgb)]


def make_extractor(name: str, config: Path | None = None) -> LandmarkExtractor | None:
    """The extractor called `name`; None for "none".

    Args:
        name: text, objects, text+objects, qwen2_5_vl, server or none.
        config: YAML of `BackendConfig` for the language models, of `ObjectDetectorConfig` for objects.

    Raises:
        BadInputError: the name is unknown, or the backend lacks a setting.
    """
    if name == "none":
        return None
    if name == "text":
        from astra.mapping.text_landmarks import TextLandmarkExtractor

        return TextLandmarkExtractor()
    if name == "objects":
        from astra.core.config import load_config
        from astra.mapping.object_landmarks import ObjectLandmarkExtractor
        from astra.perception.objects import ObjectDetector, ObjectDetectorConfig

        return ObjectLandmarkExtractor(ObjectDetector(load_config(ObjectDetectorConfig, config)))
    if name == "text+objects":
        parts = [part for part in (make_extractor("text"), make_extractor("objects", config)) if part is not None]
        return CombinedExtractor(parts)
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.global_model.backends.mllm import MllmBackend
    from astra.global_model.backends.select import BackendConfig, make_backend

    backend = make_backend(replace(load_config(BackendConfig, config), name=name))
    if not isinstance(backend, MllmBackend):
        raise BadInputError(f"backend {name!r} extracts no landmarks for maps")
    return MllmExtractor(backend)
