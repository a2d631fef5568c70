"""What a piece of furniture looks like and where it is solid, in its own frame, and the one picture that all its faces share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.types import Float32Array, FloatArray, IntArray, UInt8Array
from astra.sim.textures import fractal

GUTTER_PX = 1  # replicated border around each field of the picture
Size = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Solid:
    """A box that is solid, in the piece's frame: its centre and its full sizes [m]."""

    centre: tuple[float, float, float]
    size: Size


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Triangles, counter-clockwise seen from their front, on one picture, with the light baked in.

    Args:
        vertices: (N, 3) [m], front +x, footprint centred, the floor at z = 0.
        faces: (M, 3).
        uv: (M, 3, 2) fractions of the picture, u right, v down.
        picture: (H, W, 3) RGB.
        solids: what a robot runs into.
        colour: RGB of most of what one sees.
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    picture: UInt8Array
    solids: tuple[Solid, ...]
    colour: tuple[float, float, float]


def light(normals: FloatArray) -> FloatArray:
    """Baked light (…) of faces with unit normals (…, 3): most from above, more from the front and the back than from the sides."""
    up = normals[..., 2]
    level: FloatArray = 0.76 + 0.12 * np.abs(normals[..., 0]) + np.where(up > 0, 0.24, 0.2) * up
    return level


def arrange(sizes: IntArray) -> tuple[tuple[int, int], IntArray]:
    """Shelf packing of fields (K, 2) [height, width] on one picture about as high as wide.

    Returns:
        the picture's (height, width) and the first row and column of each field (K, 2), its gutter left free around it.
    """
    outer = np.asarray(sizes, dtype=np.int64) + 2 * GUTTER_PX
    width = int(max(outer[:, 1].max(), np.ceil(np.sqrt(1.1 * outer.prod(axis=1).sum()))))
    corners = np.zeros_like(outer)
    x, y, shelf = 0, 0, 0
    for k in np.argsort(-outer[:, 0], kind="stable"):
        if x + outer[k, 1] > width:
            x, y, shelf = 0, y + shelf, 0
        corners[k] = y + GUTTER_PX, x + GUTTER_PX
        x, shelf = x + int(outer[k, 1]), max(shelf, int(outer[k, 0]))
    return (y + shelf, width), corners


def grained(picture: Float32Array, rng: np.random.Generator, px_per_m: float, strength: float = 0.06) -> UInt8Array:
    """A picture (H, W, 3) with multi-scale shading, a drifting tint and specks, so that features are found on plain boards."""
    h, w = picture.shape[:2]
    shade, tint = fractal(h, w, rng, max(4.0, 0.2 * px_per_m)), fractal(h, w, rng, max(8.0, 0.5 * px_per_m), 4.0)
    specks = rng.random((h, w)) < 0.006
    shade[specks] += rng.choice([-3.0, 2.5], int(specks.sum()))
    gain = 1.0 + strength * shade[..., None] + 0.2 * strength * tint[..., None] * np.array([1.0, 0.0, -1.0], np.float32)
    return np.clip(picture * gain, 0, 255).astype(np.uint8)
