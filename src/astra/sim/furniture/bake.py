"""A detailed model → few triangles and one small picture that shows what the detailed one looks like from six sides.

Rays along the axes photograph the detailed model, with light and occlusion; each triangle of the simple one shows its place in the
photograph of the side that it faces, or, where something stands before it, the flat colour of what lies there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray, UInt8Array
from astra.sim.furniture.rays import Rays, normals_of
from astra.sim.furniture.shape import Shape, arrange, grained, light
from astra.sim.furniture.simplify import SIDES, seen_from_outside, simplified
from astra.sim.furniture.solids import solids_of
from astra.sim.furniture.sweethome import Source

VERSION = 4
ACROSS = np.array([[0, 1, 0], [0, -1, 0], [-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=np.float64)  # to the right in each photograph
PICTURE_PX2 = 45_000
MOST_PX_PER_M, LEAST_PX = 100.0, 3
SWATCH_PX = 3
DARKEST, BRIGHTEST = 26.0, 240.0  # nothing real is as black or as pure in colour as a material can be written
CLEAR = (196.0, 210.0, 214.0)  # colour of glass
OCCLUSION_RAYS, OCCLUSION_M = 12, 0.35

log = logging.getLogger(__name__)


def bake(source: Source, triangles: int, rng: np.random.Generator) -> Shape:
    """Make a model simple.

    Args:
        source: the detailed model, in a piece's frame.
        triangles: how many the result may have.
        rng: grain.
    """
    vertices, faces, amiss = simplified(source, triangles)
    log.debug("%d triangles instead of %d, %.1f %% of what one sees amiss", len(faces), len(source.faces), 100 * amiss)
    detailed = _Detailed(seen_from_outside(source))
    views, visible = _best_views(detailed, vertices, faces)
    photographs = _photographs(detailed, np.unique(views[visible]))
    uv, picture = _picture(detailed, photographs, vertices, faces, np.where(visible, views, -1), rng)
    r, g, b = np.concatenate([p.colours[p.hit] for p in photographs.values()]).mean(axis=0).tolist()
    return Shape(vertices, faces, uv, picture, solids_of(vertices, faces), (r, g, b))


# --- what it looks like ---


class _Detailed:
    """The detailed model as something that rays meet, with colours."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rays = Rays(source.vertices, source.faces)
        self.normals = normals_of(source.vertices, source.faces)

    def colours(self, face: IntArray, uv: FloatArray) -> FloatArray:
        """RGB (K, 3) at barycentric coordinates (K, 2) of faces (K,)."""
        source = self.source
        materials = source.material[face]
        base = np.array([m.colour for m in source.materials]) * 255.0
        clear = np.array([m.opacity for m in source.materials]) < 0.5
        out: FloatArray = np.where(clear[:, None], 0.25 * base + 0.75 * np.asarray(CLEAR), base)[materials]
        weights = np.stack([1 - uv.sum(axis=1), uv[:, 0], uv[:, 1]], axis=1)
        at = (source.uv[face] * weights[..., None]).sum(axis=1)
        for k, material in enumerate(source.materials):
            picture = source.pictures.get(material.picture)
            of = np.flatnonzero((materials == k) & np.isfinite(at).all(axis=1)) if picture is not None else np.zeros(0, dtype=int)
            if picture is not None and len(of):
                h, w = picture.shape[:2]
                texel = picture[((1 - at[of, 1] % 1.0) * h).astype(int) % h, (at[of, 0] % 1.0 * w).astype(int) % w].astype(np.float64)
                share = texel[:, 3:] / 255.0
                out[of] = share * texel[:, :3] + (1 - share) * 0.6 * out[of]
        return DARKEST + (BRIGHTEST - DARKEST) / 255.0 * out

    def lit(self, points: FloatArray, face: IntArray, towards: FloatArray) -> FloatArray:
        """Light (K,) at points of faces seen by someone in the direction `towards` (3,) or (K, 3): by the normal, less in corners."""
        normals = self.normals[face]
        normals = normals * np.where((normals * towards).sum(axis=1) < 0, -1.0, 1.0)[:, None]
        rng = np.random.default_rng(0)
        around = rng.standard_normal((OCCLUSION_RAYS, 3))
        around /= np.linalg.norm(around, axis=1, keepdims=True)
        closed = np.zeros(len(points))
        for direction in around:
            out = normals + 0.95 * direction
            hits = self.rays.cast(points + 0.004 * normals, out / np.linalg.norm(out, axis=1, keepdims=True))
            closed += np.clip(1.0 - hits.distance_m / OCCLUSION_M, 0.0, 1.0) / OCCLUSION_RAYS
        lit: FloatArray = light(normals) * (1.0 - 0.55 * closed)
        return lit


@dataclass(frozen=True, slots=True, eq=False)
class _Photograph:
    """One side as it is seen from far away: colours (H, W, 3), where anything was hit (H, W), the axes and the corner of its first pixel."""

    colours: Float32Array
    hit: BoolArray
    axes: FloatArray  # (2, 3) right and down
    origin: FloatArray  # (2,) of the left upper corner along these
    px_per_m: float

    def pixels(self, points: FloatArray) -> FloatArray:
        """Where points (…, 3) appear, in pixels (…, 2), u right, v down."""
        at: FloatArray = (points @ self.axes.T - self.origin) * self.px_per_m
        return at


def _best_views(detailed: _Detailed, vertices: FloatArray, faces: IntArray) -> tuple[IntArray, BoolArray]:
    """For each triangle the side that shows it best (M,), and whether that one shows it at all (M,)."""
    normals = normals_of(vertices, faces)
    weights = np.array([[1 / 3, 1 / 3, 1 / 3], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    points = np.einsum("kc,mcd->mkd", weights, vertices[faces])
    extent = vertices.max(axis=0) - vertices.min(axis=0)
    near = 0.015 + 0.02 * float(extent.max())
    far = float(np.linalg.norm(extent)) + 1.0
    scores = np.zeros((len(faces), len(SIDES)))
    for k, side in enumerate(SIDES):
        facing = normals @ side
        of = np.flatnonzero(facing > 0.25)
        if len(of):
            starts = points[of].reshape(-1, 3) + side * far
            reached = detailed.rays.cast(starts, -side).distance_m.reshape(len(of), -1)
            clear = (np.abs(far - reached) < near).mean(axis=1)
            scores[of, k] = np.where(clear >= 0.5, facing[of] * clear, 0.0)
    return scores.argmax(axis=1), scores.max(axis=1) > 0


def _photographs(detailed: _Detailed, sides: IntArray) -> dict[int, _Photograph]:
    source = detailed.source
    low, high = source.vertices[source.faces].min(axis=(0, 1)), source.vertices[source.faces].max(axis=(0, 1))
    extent = high - low
    areas = [float(np.prod([e for e, s in zip(extent, SIDES[k]) if s == 0])) for k in sides]
    px_per_m = float(np.clip(np.sqrt(PICTURE_PX2 / max(sum(areas), 1e-6)), 10.0, MOST_PX_PER_M))
    return {int(k): _photograph(detailed, SIDES[k], ACROSS[k], low, high, px_per_m) for k in sides}


def _photograph(detailed: _Detailed, side: FloatArray, right: FloatArray, low: FloatArray, high: FloatArray, px_per_m: float) -> _Photograph:
    axes = np.stack([right, np.cross(right, side) * -1.0])
    corners = np.stack([low, high]) @ axes.T
    origin, end = corners.min(axis=0), corners.max(axis=0)
    columns, rows = (max(LEAST_PX, int(np.ceil(v * px_per_m))) for v in end - origin)
    v, u = np.meshgrid((np.arange(rows) + 0.5) / px_per_m, (np.arange(columns) + 0.5) / px_per_m, indexing="ij")
    reach = float((np.abs(side) * np.maximum(np.abs(low), np.abs(high))).sum()) + 1.0
    starts = (origin[0] + u.reshape(-1, 1)) * axes[0] + (origin[1] + v.reshape(-1, 1)) * axes[1] + side * reach
    hits = detailed.rays.cast(starts, -side)
    met, face = hits.met, hits.face[hits.met]
    points = starts[met] - side * hits.distance_m[met, None]
    seen = np.zeros((rows * columns, 3), np.float32)
    seen[met] = detailed.colours(face, hits.uv[met]) * detailed.lit(points, face, side)[:, None]
    hit = met.reshape(rows, columns)
    return _Photograph(_spread(seen.reshape(rows, columns, 3), hit), hit, axes, origin, px_per_m)


def _spread(colours: Float32Array, hit: BoolArray) -> Float32Array:
    """Every pixel without a hit takes the colour of the nearest one with."""
    from scipy import ndimage

    if not hit.any():
        return colours
    nearest = ndimage.distance_transform_edt(~hit, return_distances=False, return_indices=True)
    spread: Float32Array = colours[tuple(nearest)]
    return spread


def _picture(
    detailed: _Detailed, photographs: dict[int, _Photograph], vertices: FloatArray, faces: IntArray, views: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, UInt8Array]:
    """Texture coordinates (M, 3, 2) and the picture that holds the photographs and a swatch for each triangle that none shows."""
    hidden = np.flatnonzero(views < 0)
    swatches = _flat_colours(detailed, vertices, faces[hidden])
    sizes = [p.hit.shape for p in photographs.values()] + [(SWATCH_PX, SWATCH_PX)] * len(hidden)
    (rows, columns), corners = arrange(np.array(sizes))
    picture = np.full((rows, columns, 3), 128.0, np.float32)
    uv = np.zeros((len(faces), 3, 2))
    for (side, photograph), (y, x) in zip(photographs.items(), corners):
        h, w = photograph.hit.shape
        picture[y - 1 : y + h + 1, x - 1 : x + w + 1] = np.pad(photograph.colours, ((1, 1), (1, 1), (0, 0)), mode="edge")
        of = views == side
        uv[of] = np.clip(photograph.pixels(vertices[faces[of]]), 0.2, [w - 0.2, h - 0.2]) + np.array([x, y])
    px_per_m = next(iter(photographs.values())).px_per_m if photographs else MOST_PX_PER_M
    for triangle, colour, (y, x) in zip(hidden, swatches, corners[len(photographs) :]):
        picture[y - 1 : y + SWATCH_PX + 1, x - 1 : x + SWATCH_PX + 1] = colour
        uv[triangle] = np.array([[0.5, 2.5], [2.5, 2.5], [1.5, 0.5]]) + np.array([x, y])
    return uv / [columns, rows], grained(picture, rng, px_per_m, 0.045)


def _flat_colours(detailed: _Detailed, vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Colours (K, 3), lit, of the detailed model nearest to the middle of triangles (K, 3)."""
    if len(faces) == 0:
        return np.zeros((0, 3))
    points, face, uv = detailed.rays.nearest(vertices[faces].mean(axis=1))
    lit: FloatArray = detailed.colours(face, uv) * detailed.lit(points, face, normals_of(vertices, faces))[:, None]
    return lit
