"""Atlas pages: many pictures on few textures, so that what is drawn together is drawn at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, UInt8Array

PAGE_PX = 2048
GUTTER_PX = 8  # replicated border, so that mipmaps do not bleed between neighbours
WIDTHS_PX = (128, 256, 512, 1024, 2048)
ROUND_PX = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies: its page, its first pixel, its size and its page's size [px]."""

    page: int
    x: int
    y: int
    width: int
    height: int
    page_width: int
    page_height: int

    def texcoords(self, uv: FloatArray) -> FloatArray:
        """Texture coordinates (…, 2), v up, of fractions (…, 2) of the picture, u right and v down."""
        clipped = np.clip(np.asarray(uv, dtype=np.float64), 0.0, 1.0)
        u = (self.x + clipped[..., 0] * self.width) / self.page_width
        v = 1.0 - (self.y + clipped[..., 1] * self.height) / self.page_height
        return np.stack([u, v], axis=-1)


def fitting(rgb: UInt8Array) -> UInt8Array:
    """The picture (H, W, 3), made smaller if no page could hold it."""
    h, w = rgb.shape[:2]
    limit = PAGE_PX - 2 * GUTTER_PX
    if max(h, w) <= limit:
        return rgb
    import cv2

    scale = limit / max(h, w)
    size = (max(1, int(w * scale)), max(1, int(h * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def pack(patches: dict[int, UInt8Array], first_page: int = 0) -> tuple[list[UInt8Array], dict[int, Place]]:
    """Shelf packing by falling height on as few pages as needed, each no larger than what it holds.

    Args:
        patches: number → picture (H, W, 3).
        first_page: number of the first page, so that several sets can share one count.

    Returns:
        pages (H, W, 3) and number → place.
    """
    width = _page_width(patches)
    corners: dict[int, tuple[int, int, int]] = {}
    heights = [0]
    page, x, y, shelf = 0, 0, 0, 0
    for key in sorted(patches, key=lambda k: -patches[k].shape[0]):
        h, w = (v + 2 * GUTTER_PX for v in patches[key].shape[:2])
        if x + w > width:
            x, y, shelf = 0, y + shelf, 0
        if y + h > PAGE_PX:
            page, x, y, shelf = page + 1, 0, 0, 0
            heights.append(0)
        corners[key] = (page, x, y)
        x, shelf = x + w, max(shelf, h)
        heights[page] = max(heights[page], y + h)
    pages = [np.full((-(-h // ROUND_PX) * ROUND_PX, width, 3), 128, np.uint8) for h in heights]
    places = {}
    for key, (number, px, py) in corners.items():
        padded = np.pad(patches[key], ((GUTTER_PX, GUTTER_PX), (GUTTER_PX, GUTTER_PX), (0, 0)), mode="edge")
        h, w = padded.shape[:2]
        pages[number][py : py + h, px : px + w] = padded
        size = (w - 2 * GUTTER_PX, h - 2 * GUTTER_PX)
        places[key] = Place(first_page + number, px + GUTTER_PX, py + GUTTER_PX, *size, width, pages[number].shape[0])
    return pages, places


def _page_width(patches: dict[int, UInt8Array]) -> int:
    """The narrowest width that takes every picture and makes a page about as high as wide."""
    sizes = [(p.shape[0] + 2 * GUTTER_PX, p.shape[1] + 2 * GUTTER_PX) for p in patches.values()]
    wanted = max(max((w for _, w in sizes), default=0), float(np.sqrt(sum(h * w for h, w in sizes))))
    return next((w for w in WIDTHS_PX if w >= wanted), PAGE_PX)
