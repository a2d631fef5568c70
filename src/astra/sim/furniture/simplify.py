"""Fewer triangles: what nobody sees goes, the rest is merged until few are left, and what has two visible sides gets two."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.sim.furniture.rays import Rays, normals_of
from astra.sim.furniture.sweethome import Source

RAYS = 160  # along the longer side of each view
HALFWAY = 8
SHARES = (0.2, 0.35, 0.6, 1.0)  # of the triangles allowed, tried one after the other
FIRM, LOOSE = 3.0, 0.1  # weight of keeping open edges where they are
BACK_SHARE = 0.12  # of the rays that meet a triangle must meet its back before it gets one
GOOD = 0.04  # of the rays may go amiss before another way is tried
WELD_M = 0.0005  # vertices nearer than this become one
AWAY_M = 0.04  # a ray that ends so much further on the simple model went through a crack
SIDES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64)
_SLANTED = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-0.35, 0.5, 1.6)])
VIEWS = np.concatenate([SIDES, _SLANTED / np.linalg.norm(_SLANTED, axis=1, keepdims=True)])


def seen_from_outside(source: Source) -> Source:
    """Only the triangles that some ray from outside meets, turned so that more of them meet its front."""
    turned, seen = _turned(source)
    return Source(turned.vertices, turned.faces[seen], turned.uv[seen], turned.material[seen], turned.materials, turned.pictures)


def simplified(source: Source, triangles: int) -> tuple[FloatArray, IntArray, float]:
    """The mesh that looks like the source with the fewest triangles, or the one that looks most like it if it takes more than allowed.

    Args:
        source: what it shall look like.
        triangles: most that it may have.

    Returns:
        vertices and faces, in the source's box, and the share of what one sees that is unlike the source.
    """
    turned, seen = _turned(source)
    best, least = _clustered(turned.vertices, turned.faces, triangles), 1.0
    for faces, boundary, share in [(turned.faces[seen], FIRM, share) for share in SHARES] + [(turned.faces[seen], LOOSE, 1.0), (turned.faces, FIRM, 1.0)]:
        made = _fitted(turned.vertices, faces, int(share * triangles), boundary)
        if len(made[1]) <= triangles and (amiss := unlike(source, *made)) < least:
            best, least = made, amiss
        if least < GOOD:
            break
    return *_stretched(*best, source), least


def _turned(source: Source) -> tuple[Source, BoolArray]:
    """The source with each triangle turned so that more of the rays from outside meet its front, and whether any meets it (M,)."""
    front, back = _sights(source.vertices, source.faces)
    flipped = back > front
    faces, uv = source.faces.copy(), source.uv.copy()
    faces[flipped], uv[flipped] = faces[flipped][:, ::-1], uv[flipped][:, ::-1]
    return Source(source.vertices, faces, uv, source.material, source.materials, source.pictures), front + back > 0


def unlike(source: Source, vertices: FloatArray, faces: IntArray) -> float:
    """Share of the rays that meet the source from outside and pass the mesh, or meet its unlit back, or end far from there."""
    detailed, simple, normals = Rays(source.vertices, source.faces), Rays(vertices, faces), normals_of(vertices, faces)
    _, which, count = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    doubled = count[which.reshape(-1)] > 1
    wrong, every = 0, 0
    for side, starts in _views(source.vertices, source.faces):
        a, b = detailed.cast(starts, -side), simple.cast(starts, -side)
        back = np.zeros(len(starts), dtype=bool)
        back[b.met] = (normals[b.face[b.met]] @ side <= 0) & ~doubled[b.face[b.met]]
        with np.errstate(invalid="ignore"):
            wrong += int((a.met & (~b.met | back | (b.distance_m - a.distance_m > AWAY_M))).sum())
        every += int(a.met.sum())
    return wrong / max(every, 1)


def _views(vertices: FloatArray, faces: IntArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Directions (3,) towards the viewer and parallel rays' starts (K, 3) that cover the box around the faces."""
    low, high = vertices[faces].min(axis=(0, 1)), vertices[faces].max(axis=(0, 1))
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    corners = np.stack(np.meshgrid(*zip(low, high)), axis=-1).reshape(-1, 3) - middle
    for side in VIEWS:
        right = np.cross(side, [0.0, 0.0, 1.0] if abs(side[2]) < 0.9 else [1.0, 0.0, 0.0])
        right /= np.linalg.norm(right)
        up = np.cross(right, side)
        reach = np.abs(corners @ np.stack([right, up]).T).max(axis=0)
        step = 2 * reach.max() / RAYS
        u, v = np.meshgrid(np.arange(-reach[0], reach[0], step) + step / 2, np.arange(-reach[1], reach[1], step) + step / 2)
        yield side, middle + side * (radius + 0.1) + u.reshape(-1, 1) * right + v.reshape(-1, 1) * up


def _sights(vertices: FloatArray, faces: IntArray) -> tuple[IntArray, IntArray]:
    """How many rays from outside meet the front (M,) and the back (M,) of each triangle first."""
    rays, normals = Rays(vertices, faces), normals_of(vertices, faces)
    front, back = np.zeros(len(faces), dtype=np.int64), np.zeros(len(faces), dtype=np.int64)
    for side, starts in _views(vertices, faces):
        hits = rays.cast(starts, -side)
        met = hits.face[hits.met]
        forward = normals[met] @ side > 0
        front += np.bincount(met[forward], minlength=len(faces))
        back += np.bincount(met[~forward], minlength=len(faces))
    return front, back


def _fitted(vertices: FloatArray, faces: IntArray, triangles: int, boundary: float) -> tuple[FloatArray, IntArray]:
    """A mesh of about so many triangles, those with two visible sides doubled."""
    target = triangles
    vertices, faces = _decimated(vertices, faces, HALFWAY * triangles, boundary)  # the long way once, what is left as often as needed
    for _ in range(6):
        points, few = _decimated(vertices, faces, target, boundary)
        front, back = _sights(points, few)
        seen = np.maximum(front + back, 1)
        with_front, with_back = front > BACK_SHARE * seen, back > BACK_SHARE * seen
        few = np.concatenate([few[with_front], few[with_back][:, ::-1]])
        if len(few) <= triangles:
            break
        target = int(target * 0.95 * triangles / len(few))
    return points, few


def _clustered(vertices: FloatArray, faces: IntArray, triangles: int) -> tuple[FloatArray, IntArray]:
    """A rough mesh of at most so many triangles whatever the source is like: vertices that share a cell become one."""
    import open3d as o3d

    mesh = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces.astype(np.int32)))
    cell = 0.03
    rough = mesh.simplify_vertex_clustering(cell)
    while len(rough.triangles) > triangles:
        cell *= 1.3
        rough = mesh.simplify_vertex_clustering(cell)
    return np.asarray(rough.vertices), np.asarray(rough.triangles).astype(np.int64)


def _stretched(vertices: FloatArray, faces: IntArray, source: Source) -> tuple[FloatArray, IntArray]:
    """A mesh in exactly the source's box."""
    low, high = vertices[faces].min(axis=(0, 1)), vertices[faces].max(axis=(0, 1))
    a, b = source.vertices[source.faces].min(axis=(0, 1)), source.vertices[source.faces].max(axis=(0, 1))
    return (vertices - low) / np.maximum(high - low, 1e-9) * (b - a) + a, faces


def _decimated(vertices: FloatArray, faces: IntArray, target: int, boundary: float) -> tuple[FloatArray, IntArray]:
    """Quadric edge collapses down to `target` triangles."""
    import open3d as o3d

    mesh = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces.astype(np.int32)))
    mesh.merge_close_vertices(WELD_M)
    mesh.remove_duplicated_triangles()
    mesh.remove_degenerate_triangles()
    if len(mesh.triangles) > target:
        mesh = mesh.simplify_quadric_decimation(target, boundary_weight=boundary)
    mesh.remove_degenerate_triangles()
    mesh.remove_unreferenced_vertices()
    return np.asarray(mesh.vertices), np.asarray(mesh.triangles).astype(np.int64)
