"""Wavefront OBJ and MTL text → triangles with materials: what furniture catalogues use of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, IntArray


@dataclass(slots=True)
class Material:
    """Diffuse colour (0…1), opacity, and the name of its picture, "" if it has none."""

    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    opacity: float = 1.0
    picture: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Wavefront:
    """Triangles: vertices (N, 3), faces (M, 3), uv (M, 3, 2) with v up, nan where there is none, material (M,) into `materials`."""

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    material: IntArray
    materials: tuple[Material, ...]


@dataclass(slots=True)
class _Text:
    vertices: list[list[float]] = field(default_factory=list)
    uvs: list[list[float]] = field(default_factory=list)
    corners: list[tuple[int, int]] = field(default_factory=list)  # vertex, uv (-1: none), three for each triangle
    used: list[int] = field(default_factory=list)  # material of each triangle


def read_obj(text: str, read: Callable[[str], str | None]) -> Wavefront:
    """Triangles of an OBJ text; polygons become fans.

    Args:
        text: content of the OBJ file.
        read: gives the text of a material file by its name, None if there is none.

    Raises:
        BadInputError: no triangle, or an index that points nowhere.
    """
    body = _Text()
    names: dict[str, int] = {"": 0}
    materials: dict[str, Material] = {}
    current = 0
    for line in _lines(text):
        word, _, rest = line.partition(" ")
        if word == "v":
            body.vertices.append([float(v) for v in rest.split()[:3]])
        elif word == "vt":
            body.uvs.append([float(v) for v in rest.split()[:2]])
        elif word == "f":
            _face(body, rest.split(), current)
        elif word == "usemtl":
            current = names.setdefault(rest.strip(), len(names))
        elif word == "mtllib":
            materials.update(read_mtl(read(rest.strip()) or ""))
    if not body.used:
        raise BadInputError("an OBJ file without a face")
    corners = np.array(body.corners, dtype=np.int64).reshape(-1, 3, 2)
    if corners[..., 0].min() < 0 or corners[..., 0].max() >= len(body.vertices) or corners[..., 1].max() >= len(body.uvs):
        raise BadInputError("an OBJ file whose face names a vertex that it does not have")
    uvs = np.array([*body.uvs, [np.nan, np.nan]], dtype=np.float64)  # -1 reads the last
    vertices = np.array(body.vertices, dtype=np.float64)
    return Wavefront(vertices, corners[..., 0], uvs[corners[..., 1]], np.array(body.used), tuple(materials.get(name, Material()) for name in names))


def read_mtl(text: str) -> dict[str, Material]:
    """Materials of an MTL text by name."""
    materials: dict[str, Material] = {}
    current = Material()
    for line in _lines(text):
        word, _, rest = line.partition(" ")
        if word == "newmtl":
            current = materials.setdefault(rest.strip(), Material())
        elif word == "Kd":
            red, green, blue = (float(v) for v in rest.split()[:3])
            current.colour = (red, green, blue)
        elif word == "d":
            current.opacity = float(rest.split()[-1])
        elif word == "Tr":
            current.opacity = 1.0 - float(rest.split()[-1])
        elif word == "map_Kd":
            current.picture = rest.strip() if not rest.strip().startswith("-") else rest.split()[-1]
    return materials


def _lines(text: str) -> Iterable[str]:
    for line in text.replace("\\\n", " ").replace("\\\r\n", " ").splitlines():
        stripped = line.strip().replace("\t", " ")
        if stripped and not stripped.startswith("#"):
            yield stripped


def _face(body: _Text, words: list[str], material: int) -> None:
    corners = []
    for word in words:
        parts = word.split("/")
        vertex = int(parts[0])
        uv = int(parts[1]) if len(parts) > 1 and parts[1] else 0
        corners.append((vertex - 1 if vertex > 0 else len(body.vertices) + vertex, uv - 1 if uv > 0 else len(body.uvs) + uv if uv < 0 else -1))
    for k in range(1, len(corners) - 1):
        body.corners += [corners[0], corners[k], corners[k + 1]]
        body.used.append(material)
