"""The plain set: every category as boxes, drums and blobs from the table `plain.yaml`. Needs nothing but this package."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.types import FloatArray, IntArray
from astra.sim.furniture.shape import Shape, Size, Solid, arrange, grained, light
from astra.sim.furniture.solids import solids_of
from astra.sim.furniture.tables import read_yaml
from astra.sim.worlds.plan import Model

PREFIX = "plain/"
VERSION = "1"
PX_PER_M, LEAST_PX, MOST_PX = 64.0, 3, 192
LOOKS = 2  # models of one size that differ in colour
DRUM_SIDES, BLOB_SIDES, BLOB_RINGS = 10, 7, 4
EYE_M = 1.5  # tops of goods above this are not drawn: no camera sees them
Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Design:
    """One entry of the table."""

    sizes: tuple[Size, ...]
    colours: dict[str, str]
    parts: tuple[tuple[Any, ...], ...]
    variants: int


@functools.cache
def _table() -> tuple[dict[str, Design], dict[str, tuple[Colour, ...]]]:
    raw = read_yaml("plain.yaml")
    palettes = {name: tuple((float(r), float(g), float(b)) for r, g, b in colours) for name, colours in raw.pop("palettes").items()}
    designs = {
        category: Design(
            tuple((float(a), float(b), float(c)) for a, b, c in entry["sizes"]),
            entry["colours"],
            tuple(tuple(part) for part in entry["parts"]),
            int(entry.get("variants", 1)),
        )
        for category, entry in raw.items()
    }
    return designs, palettes


@functools.cache
def models() -> tuple[Model, ...]:
    """Every plain model, by category."""
    designs, _ = _table()
    return tuple(
        Model(f"{PREFIX}{category}-{k}.{'ab'[look]}", category, size)
        for category, design in designs.items()
        for k, size in enumerate(design.sizes)
        for look in range(LOOKS)
    )


def variants(category: str) -> int:
    """Looks that one model of a category has; 0: every piece has its own."""
    return _table()[0][category].variants


def shape(model: Model, variant: int) -> Shape:
    """One look of a plain model; the same for the same model and variant."""
    designs, palettes = _table()
    design = designs[model.category]
    colours = {key: _drawn(palettes[palette], _seeded(model.name, key)) for key, palette in design.colours.items()}
    work = _Work(np.asarray(model.size_m), colours, palettes, _seeded(model.name, str(variant)))
    for part in design.parts:
        getattr(work, str(part[0]))(str(part[1]), *(float(v) for v in part[2:]))
    work.hide()
    return work.finish(closed=design.variants == 0)


def _seeded(*words: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256("/".join(words).encode()).digest()[:8], "little"))


def _drawn(palette: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    return palette[int(rng.integers(len(palette)))]


class _Work:
    """Collects rectangles of one piece, corner by corner, in metres of the piece's frame."""

    def __init__(self, size: FloatArray, colours: dict[str, Colour], palettes: dict[str, tuple[Colour, ...]], rng: np.random.Generator) -> None:
        self._size, self._colours, self._palettes, self._rng = size, colours, palettes, rng
        self._quads: list[FloatArray] = []  # (4, 3), counter-clockwise from its bottom left
        self._paint: list[Colour] = []
        self._boxes: list[FloatArray] = []  # (2, 3) low and high corner

    def _metres(self, fractions: FloatArray) -> FloatArray:
        moved: FloatArray = (np.asarray(fractions, dtype=np.float64) - np.array([0.5, 0.5, 0.0])) * self._size
        return moved

    def _quad(self, corners: FloatArray, colour: Colour) -> None:
        self._quads.append(np.asarray(corners, dtype=np.float64))
        self._paint.append(colour)

    def box(self, key: str, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> None:
        """A box between fractions of the size."""
        self._box(self._metres(np.array([[x0, y0, z0], [x1, y1, z1]])), self._colours[key])

    def _box(self, corners: FloatArray, colour: Colour, faces: str = "xXyYzZ") -> None:
        (a, b, c), (d, e, f) = corners.tolist()
        self._boxes.append(corners)
        sides = {
            "X": [(d, b, c), (d, e, c), (d, e, f), (d, b, f)],
            "x": [(a, e, c), (a, b, c), (a, b, f), (a, e, f)],
            "Y": [(d, e, c), (a, e, c), (a, e, f), (d, e, f)],
            "y": [(a, b, c), (d, b, c), (d, b, f), (a, b, f)],
            "Z": [(a, b, f), (d, b, f), (d, e, f), (a, e, f)],
            "z": [(a, e, c), (d, e, c), (d, b, c), (a, b, c)],
        }
        for side in faces:
            if side != "z" or c > 0.05:
                self._quad(np.array(sides[side]), colour)

    def drum(self, key: str, x: float, y: float, radius: float, z0: float, z1: float) -> None:
        """An upright drum with a lid."""
        angles = 2 * math.pi * np.arange(DRUM_SIDES + 1) / DRUM_SIDES
        ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        for p, q in itertools.pairwise(ring):
            self._quad(self._metres(np.array([(*p, z0), (*q, z0), (*q, z1), (*p, z1)])), self._colours[key])
        for i in range(0, DRUM_SIDES, 2):
            lid = [(x, y), tuple(ring[i]), tuple(ring[i + 1]), tuple(ring[i + 2])]
            self._quad(self._metres(np.array([(u, v, z1) for u, v in lid])), self._colours[key])

    def wheel(self, key: str, x: float, z: float, radius: float, y0: float, y1: float) -> None:
        """A drum on its side; only its outer face is drawn."""
        angles = 2 * math.pi * np.arange(DRUM_SIDES + 1) / DRUM_SIDES
        high = radius * self._size[0] / self._size[2]
        ring = np.stack([x - radius * np.cos(angles), z + high * np.sin(angles)], axis=1)
        for (a, b), (c, d) in itertools.pairwise(ring):
            self._quad(self._metres(np.array([(a, y0, b), (c, y0, d), (c, y1, d), (a, y1, b)])), self._colours[key])
        y, turn = (y0, -1) if y0 + y1 < 1.0 else (y1, 1)
        for i in range(0, DRUM_SIDES, 2):
            lid = [(x, z), *(tuple(ring[i + k]) for k in (0, 1, 2))]
            self._quad(self._metres(np.array([(u, y, v) for u, v in lid]))[::-turn], self._colours[key])

    def blob(self, key: str, x: float, y: float, z: float, rx: float, ry: float, rz: float) -> None:
        """An uneven ball."""
        across = 2 * math.pi * np.arange(BLOB_SIDES + 1) / BLOB_SIDES
        up = math.pi * (np.arange(BLOB_RINGS + 1) / BLOB_RINGS - 0.5)
        swell = self._rng.uniform(0.7, 1.0, (BLOB_RINGS + 1, BLOB_SIDES + 1))
        swell[:, -1] = swell[:, 0]
        swell[[0, -1]] = 1.0
        reach = swell * np.cos(up)[:, None]
        grid = np.stack([x + rx * reach * np.cos(across), y + ry * reach * np.sin(across), z + rz * np.broadcast_to(np.sin(up)[:, None], reach.shape)], axis=2)
        points = self._metres(np.clip(grid, 0.0, 1.0))
        base = np.asarray(self._colours[key])
        for i, j in itertools.product(range(BLOB_RINGS), range(BLOB_SIDES)):
            r, g, b = (base * self._rng.uniform(0.75, 1.2)).tolist()
            self._quad(np.stack([points[i, j], points[i, j + 1], points[i + 1, j + 1], points[i + 1, j]]), (r, g, b))

    def goods(self, palette: str, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> None:
        """Things side by side, of uneven width, height and depth, with a gap here and there."""
        (a, b, c), (d, e, f) = self._metres(np.array([[x0, y0, z0], [x1, y1, z1]])).tolist()
        wide = {"books": 0.11, "cans": 0.12, "machines": 0.4, "shoes": 0.13, "things": 0.2}.get(palette, 0.55)
        y = b
        while e - y > 0.03:
            width = min(float(self._rng.uniform(0.6, 1.4)) * min(wide, 0.6 * (e - b)), e - y)
            if e - y - width < 0.03:
                width = e - y
            high = c + (f - c) * float(self._rng.uniform(0.65, 1.0))
            deep = a + (d - a) * float(self._rng.uniform(0.85, 1.0))
            tone = float(self._rng.uniform(0.85, 1.1))
            red, green, blue = _drawn(self._palettes[palette], self._rng)
            if self._rng.random() > 0.06:
                self._box(np.array([[a, y, c], [deep, y + width, high]]), (red * tone, green * tone, blue * tone), "XyYZ" if high < EYE_M else "XyY")
            y += width

    def hide(self) -> None:
        """Drop rectangles that lie wholly inside or against a box: nobody sees them."""
        if not self._boxes:
            return
        low, high = np.stack(self._boxes).transpose(1, 0, 2)
        quads = np.stack(self._quads)
        normals = np.cross(quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 0])
        outside = quads + 1e-3 * (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9))[:, None]
        least, most = outside.min(axis=1)[:, None], outside.max(axis=1)[:, None]
        inside = ((least >= low - 5e-4) & (most <= high + 5e-4)).all(axis=2).any(axis=1)
        kept = np.flatnonzero(~inside).tolist()
        self._quads, self._paint = [self._quads[k] for k in kept], [self._paint[k] for k in kept]

    def finish(self, closed: bool) -> Shape:
        """Paint the picture and set up the triangles, stretched to the full size; what is closed all around is solid as a whole."""
        quads = np.stack(self._quads)
        low, high = quads.min(axis=(0, 1)), quads.max(axis=(0, 1))
        quads = (quads - low) / (high - low) * self._size - self._size * np.array([0.5, 0.5, 0.0])
        ends = quads.reshape(-1, 3)
        right, up = (np.max([np.linalg.norm(quads[:, a] - quads[:, b], axis=1) for a, b in pairs], axis=0) for pairs in (((1, 0), (2, 3)), ((3, 0), (2, 1))))
        sizes = np.clip(np.round(PX_PER_M * np.stack([up, right], axis=1)), LEAST_PX, MOST_PX).astype(np.int64)
        (rows, columns), corners = arrange(sizes)
        normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
        areas = np.linalg.norm(normals, axis=1)
        paint = np.asarray(self._paint)
        shades = paint * light(normals / np.maximum(areas, 1e-12)[:, None])[:, None]
        picture = np.full((rows, columns, 3), 128.0, np.float32)
        for (h, w), (y, x), shade in zip(sizes, corners, shades):
            picture[y - 1 : y + h + 1, x - 1 : x + w + 1] = shade
        uv = _windows(sizes, corners, (rows, columns))
        order = np.array([[0, 1, 2], [0, 2, 3]])
        faces = (4 * np.arange(len(quads))[:, None, None] + order).reshape(-1, 3)
        solids = (Solid((0.0, 0.0, float(self._size[2]) / 2), (*self._size.tolist(),)),) if closed else solids_of(ends, faces)
        r, g, b = ((paint * areas[:, None]).sum(axis=0) / areas.sum()).tolist()
        return Shape(ends, faces, uv[:, order].reshape(-1, 3, 2), grained(picture, self._rng, PX_PER_M), solids, (r, g, b))


def _windows(sizes: IntArray, corners: IntArray, picture: tuple[int, int]) -> FloatArray:
    """Corners (K, 4, 2) of fields in fractions of the picture (u, v): bottom left, bottom right, top right, top left."""
    top, left = corners.T / np.array(picture)[:, None]
    bottom, right = (corners + sizes).T / np.array(picture)[:, None]
    return np.stack([np.stack(p, axis=1) for p in ((left, bottom), (right, bottom), (right, top), (left, top))], axis=1)
