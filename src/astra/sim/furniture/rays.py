"""Rays through triangles, by Open3D."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What rays (K,) meet first: the distance (inf: nothing), the face, the barycentric coordinates (K, 2) of its 2nd and 3rd corner."""

    distance_m: FloatArray
    face: IntArray
    uv: FloatArray

    @property
    def met(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which rays meet anything (K,)."""
        return np.isfinite(self.distance_m)


class Rays:
    """Triangles as something that rays meet: vertices (N, 3), faces (M, 3)."""

    def __init__(self, vertices: FloatArray, faces: IntArray) -> None:
        import open3d as o3d

        self._tensor = o3d.core.Tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(self._tensor.from_numpy(_packed(vertices, np.float32)), self._tensor.from_numpy(_packed(faces, np.uint32)))

    def cast(self, starts: FloatArray, directions: FloatArray) -> Hits:
        """First hits of rays from (K, 3) along unit vectors (K, 3) or (3,)."""
        rays = np.concatenate([starts, np.broadcast_to(directions, starts.shape)], axis=1)
        hits = self._scene.cast_rays(self._tensor.from_numpy(_packed(rays, np.float32)))
        distance, face, uv = (hits[key].numpy() for key in ("t_hit", "primitive_ids", "primitive_uvs"))
        return Hits(distance.astype(np.float64), face.astype(np.int64), uv.astype(np.float64))

    def nearest(self, points: FloatArray) -> tuple[FloatArray, IntArray, FloatArray]:
        """The nearest points (K, 3) on any triangle, their faces (K,) and barycentric coordinates (K, 2)."""
        found = self._scene.compute_closest_points(self._tensor.from_numpy(_packed(points, np.float32)))
        nearest, face, uv = (found[key].numpy() for key in ("points", "primitive_ids", "primitive_uvs"))
        return nearest.astype(np.float64), face.astype(np.int64), uv.astype(np.float64)


def normals_of(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Unit normals (M, 3)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    unit: FloatArray = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-15)
    return unit


def _packed(values: FloatArray | IntArray, kind: type) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.ascontiguousarray(values, dtype=kind)
