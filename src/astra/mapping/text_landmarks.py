"""The default landmark extractor: text as read, its colours in words, and what the words say that the place is for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from astra.core.errors import ConfigError
from astra.core.types import FloatArray, UInt8Array
from astra.mapping.landmarks import LandmarkDetection
from astra.perception.text import TextDetection, TextReader, TextReaderConfig, normalise_text

SEARCH_SHARE = 0.75  # of an image's size at which its text is searched


class Reader(Protocol):
    """Reads text in images, as `perception.text.TextReader` does."""

    def read(self, rgb: UInt8Array) -> Sequence[TextDetection]:
        """The lines of text in an image (H, W, 3) uint8 RGB."""
        ...


class TextLandmarkExtractor:
    """Text landmarks; satisfies `LandmarkExtractor`."""

    name = "text"
    portable = True

    def __init__(self, reader: Reader | None = None) -> None:
        # A tour passes every sign many times, some of them near: searching in fewer pixels finds as many signs in a third of the time.
        self._reader = reader or TextReader(TextReaderConfig(search_share=SEARCH_SHARE))

    def extract(self, rgb: UInt8Array) -> tuple[LandmarkDetection, ...]:
        """Every text in an image (H, W, 3) uint8 RGB; lines directly below each other are one."""
        return tuple(
            LandmarkDetection(d.text, True, d.score, np.asarray(d.polygon, dtype=np.float64), look(rgb, d.polygon), function_of(d.text))
            for d in merged_lines(self._reader.read(rgb))
        )


def merged_lines(detections: Sequence[TextDetection]) -> list[TextDetection]:
    """Lines of text that hang directly below each other and are alike in size read as one, top to bottom."""
    waiting = sorted(detections, key=lambda d: float(d.polygon[:, 1].mean()))
    out = []
    while waiting:
        lines = [waiting.pop(0)]
        while below := next((d for d in waiting if _hangs_below(lines[-1], d)), None):
            waiting = [d for d in waiting if d is not below]
            lines.append(below)
        out.append(_joined(lines))
    return out


@lru_cache(maxsize=4096)
def function_of(text: str) -> str:
    """What a place with this text on its sign is for, by the lexicon; empty if no word of it is known."""
    words = f" {normalise_text(text)} "
    found = [(len(name), function) for name, function in _lexicon() if f" {name} " in words]
    return max(found)[1] if found else ""


def look(rgb: UInt8Array, polygon: FloatArray) -> str:
    """The colours of a text in words, as in "white text on blue"; `polygon` (4, 2) [px]."""
    patch = _patch(rgb, polygon)
    if len(patch) < 12:
        return ""
    lightness = patch @ np.array([0.299, 0.587, 0.114])
    threshold = 0.5 * (np.percentile(lightness, 5) + np.percentile(lightness, 95))
    dark, light = patch[lightness <= threshold], patch[lightness > threshold]
    if min(len(dark), len(light)) < 4 or np.ptp(np.percentile(lightness, [5, 95])) < 20.0:
        return f"text on {colour_name(np.median(patch, axis=0))}"
    # Strokes cover less than the ground they stand on; the strongest tones are free of the blend at their edges.
    text, ground = (dark, light) if len(dark) < len(light) else (light, dark)
    names = [colour_name(_purest(pixels, pixels is dark)) for pixels in (text, ground)]
    return f"{names[0]} text on {names[1]}"


def colour_name(rgb: FloatArray) -> str:
    """The everyday name of a colour (3,), 0..255 each."""
    red, green, blue = (float(v) for v in rgb)
    high, low = max(red, green, blue), min(red, green, blue)
    chroma = high - low
    if chroma < 28.0 or chroma < 0.18 * high:
        return "black" if high < 60.0 else "dark grey" if high < 105.0 else "grey" if high < 165.0 else "light grey" if high < 205.0 else "white"
    if high == red:
        hue = 60.0 * (((green - blue) / chroma) % 6.0)
    elif high == green:
        hue = 60.0 * ((blue - red) / chroma + 2.0)
    else:
        hue = 60.0 * ((red - green) / chroma + 4.0)
    if 12.0 <= hue < 48.0 and high < 150.0:
        return "brown"
    name = next(name for limit, name in _HUES if hue < limit)
    shade = "dark " if high < 95.0 else "light " if low > 140.0 else ""
    return shade + name


_HUES = (
    (12.0, "red"),
    (42.0, "orange"),
    (70.0, "yellow"),
    (160.0, "green"),
    (195.0, "turquoise"),
    (255.0, "blue"),
    (290.0, "purple"),
    (340.0, "pink"),
    (361.0, "red"),
)


def _hangs_below(upper: TextDetection, lower: TextDetection) -> bool:
    (left_a, top_a), (right_a, bottom_a) = upper.polygon.min(axis=0), upper.polygon.max(axis=0)
    (left_b, top_b), (right_b, bottom_b) = lower.polygon.min(axis=0), lower.polygon.max(axis=0)
    height = max(bottom_a - top_a, 1e-6)
    overlap = min(right_a, right_b) - max(left_a, left_b)
    is_alike = 0.55 < height / max(bottom_b - top_b, 1e-6) < 1.8
    return bool(is_alike and -0.35 * height < top_b - bottom_a < 0.8 * height and overlap > 0.5 * min(right_a - left_a, right_b - left_b))


def _joined(lines: Sequence[TextDetection]) -> TextDetection:
    if len(lines) == 1:
        return lines[0]
    corners = np.concatenate([d.polygon for d in lines])
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    polygon = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)
    return TextDetection(" ".join(d.text for d in lines), min(d.score for d in lines), polygon)


def _patch(rgb: UInt8Array, polygon: FloatArray) -> FloatArray:
    """Pixels (N, 3) inside the polygon."""
    import cv2

    mask = np.zeros(rgb.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.rint(np.asarray(polygon)).astype(np.int32), 1)
    return np.asarray(rgb[mask > 0], dtype=np.float64)


def _purest(pixels: FloatArray, is_dark: bool) -> FloatArray:
    lightness = pixels @ np.array([0.299, 0.587, 0.114])
    order = np.argsort(lightness if is_dark else -lightness)
    return np.asarray(np.median(pixels[order[: max(len(order) // 2, 1)]], axis=0))


@lru_cache(maxsize=1)
def _lexicon() -> tuple[tuple[str, str], ...]:
    """Pairs of a normalised name and its function."""
    import yaml

    path = Path(__file__).with_name("lexicon.yaml")
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return tuple((normalise_text(str(name)), str(entry["function"])) for entry in entries for name in entry["names"])
    except (TypeError, KeyError) as error:
        raise ConfigError(f"{path} must list mappings with names and function") from error
