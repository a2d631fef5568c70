"""Static scenes as a few large textured meshes: pictures packed on atlas pages, one mesh a page and zone, and separate solids.

One mesh, one texture and one draw call a page make the renderer several times faster than one geom for each box. Everything drawn
belongs to a zone (a room, or "" for what is always drawn), so that a renderer may leave out the zones that a camera cannot see.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, IntArray, UInt8Array
from astra.sim.atlas import Place, fitting, pack
from astra.sim.portals import Way

VISUAL_GROUP, CEILING_GROUP, COLLISION_GROUP = 1, 2, 3  # MuJoCo geom groups; the ceiling is left out of overviews
ZONE_PREFIX = "zone/"  # geoms are named zone/<zone>/<page>
ZONES_FILE = "zones.json"
CLUSTER_TRIANGLES, CLUSTER_M = 600, 1.0  # meshes with more triangles over a wider area are split: one draw costs as much as about a hundred triangles
QUAD_FACES = ((0, 1, 2), (0, 2, 3))


@dataclass(frozen=True, slots=True)
class CollisionShape:
    """A solid that is never drawn: `kind` box (half sizes) or cylinder (radius, half height) at `centre`, turned by `yaw_rad`."""

    kind: str
    centre: tuple[float, float, float]
    size: tuple[float, ...]
    yaw_rad: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Triangles that show one patch: vertices (N, 3), faces (M, 3), uv (M, 3, 2) as fractions of the patch, u right, v down."""

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    patch: int
    group: int
    zone: str


class SceneBuilder:
    """Collects what is drawn and what is solid, then writes meshes, textures, zones and the MJCF text.

    `sees`: zone → zones seen from anywhere inside it; zones that are not named here see everything.
    `ways`: zone → its openings into other zones; with them a view is cut opening by opening, without them by `sees` alone.
    `light`: zone → red, green and blue of its light, at most 1; white where nothing is said.
    """

    def __init__(self) -> None:
        self._patches: list[UInt8Array] = []
        self._pieces: list[_Piece] = []
        self.solids: list[CollisionShape] = []
        self.sees: dict[str, tuple[str, ...]] = {}
        self.ways: dict[str, tuple[Way, ...]] = {}
        self.light: dict[str, tuple[float, float, float]] = {}

    @property
    def triangles(self) -> int:
        """Triangles drawn."""
        return sum(len(p.faces) for p in self._pieces)

    @property
    def zones(self) -> tuple[str, ...]:
        """Every zone in which something is drawn, in order of first use."""
        return tuple(dict.fromkeys(p.zone for p in self._pieces))

    def extents(self) -> tuple[FloatArray, IntArray, tuple[str, ...]]:
        """Of every mesh and quad: its box x0, y0, x1, y1 (P, 4), its triangles (P,) and its zone."""
        boxes = [(*p.vertices[:, :2].min(axis=0), *p.vertices[:, :2].max(axis=0)) for p in self._pieces]
        return np.array(boxes).reshape(-1, 4), np.array([len(p.faces) for p in self._pieces], np.int64), tuple(p.zone for p in self._pieces)

    def patch(self, rgb: UInt8Array) -> int:
        """Register a picture (H, W, 3); returns its number."""
        self._patches.append(fitting(rgb))
        return len(self._patches) - 1

    def quad(
        self, corners: FloatArray, patch: int, window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0), group: int = VISUAL_GROUP, zone: str = ""
    ) -> None:
        """A rectangle with corners (4, 3): bottom left, bottom right, top right, top left seen from its front.

        `window`: left, top, right, bottom of what it shows, as fractions of the patch.
        """
        left, top, right, bottom = window
        uv = np.array([(left, bottom), (right, bottom), (right, top), (left, top)])[np.array(QUAD_FACES)]
        self._pieces.append(_Piece(np.asarray(corners, dtype=np.float64), np.array(QUAD_FACES), uv, patch, group, zone))

    def wall_quad(self, a: tuple[float, float], b: tuple[float, float], bottom_m: float, top_m: float, patch: int, zone: str = "") -> None:
        """An upright rectangle from `a` (left) to `b` (right), seen from the side on which a → b runs left to right."""
        self.quad(np.array([(*a, bottom_m), (*b, bottom_m), (*b, top_m), (*a, top_m)]), patch, zone=zone)

    def mesh(self, vertices: FloatArray, faces: IntArray, uv: FloatArray, patch: int, zone: str = "", group: int = VISUAL_GROUP) -> None:
        """Triangles, counter-clockwise seen from their front: vertices (N, 3) [m], faces (M, 3), uv (M, 3, 2) fractions of the patch (u right, v down).

        Triangles without an area are left out.
        """
        points, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
        if corners.size and (corners.min() < 0 or corners.max() >= len(points)):
            raise BadInputError(f"mesh in zone {zone!r}: a face names vertex {corners.min()}…{corners.max()}, there are {len(points)}")
        if not np.isfinite(points).all():
            raise BadInputError(f"mesh in zone {zone!r}: a vertex is not finite")
        kept = np.linalg.norm(_normals(points, corners), axis=1) > 1e-9
        if kept.any():
            self._pieces.append(_Piece(points, corners[kept], np.asarray(uv, dtype=np.float64)[kept], patch, group, zone))

    def solid_box(self, centre: tuple[float, float, float], size: tuple[float, float, float], yaw_rad: float = 0.0) -> None:
        """A collision box with full sizes [m]."""
        self.solids.append(CollisionShape("box", centre, tuple(s / 2 for s in size), yaw_rad))

    def solid_cylinder(self, centre: tuple[float, float, float], radius_m: float, height_m: float) -> None:
        """An upright collision cylinder."""
        self.solids.append(CollisionShape("cylinder", centre, (radius_m, height_m / 2)))

    def write(self, folder: Path, extra_assets: str = "", extra_bodies: str = "") -> None:
        """Write scene.xml, zones.json, meshes/ and textures/ into `folder`; extra XML goes into its <asset> and <worldbody>."""
        (folder / "meshes").mkdir(parents=True)
        (folder / "textures").mkdir()
        assets, geoms = [], []
        pages = 0
        for zone in self.zones:
            pieces = [p for p in self._pieces if p.zone == zone]
            light = " ".join(f"{v:.4g}" for v in self.light.get(zone, (1.0, 1.0, 1.0)))
            drawn, places = pack({k: self._patches[k] for k in dict.fromkeys(p.patch for p in pieces)}, pages)
            for index, picture in enumerate(drawn, start=pages):
                assets.append(_write_page(folder, index, picture))
                for group in (VISUAL_GROUP, CEILING_GROUP):
                    shown = [p for p in pieces if places[p.patch].page == index and p.group == group]
                    for number, cluster in enumerate(_clusters(shown)):
                        name = f"page{index}" + ("_ceiling" if group == CEILING_GROUP else "") + (f"_{number}" if number else "")
                        _write_obj(folder / "meshes" / f"{name}.obj", cluster, places)
                        assets.append(f'<mesh name="{name}" file="meshes/{name}.obj" inertia="shell"/>')
                        geoms.append(
                            f'<geom name={quoteattr(f"{ZONE_PREFIX}{zone}/{name}")} type="mesh" mesh="{name}" material="page{index}" '
                            f'rgba="{light} 1" contype="0" conaffinity="0" group="{group}"/>'
                        )
            pages += len(drawn)
        solids = "\n".join(_solid_xml(s) for s in self.solids)
        text = _SCENE.format(assets="\n".join([*assets, extra_assets]), geoms="\n".join(geoms), solids=solids, bodies=extra_bodies)
        (folder / "scene.xml").write_text(text, "utf-8")
        self._write_zones(folder / ZONES_FILE)

    def _write_zones(self, path: Path) -> None:
        names = [z for z in self.zones if z]
        named = {z for pair in self.sees.items() for z in (pair[0], *pair[1])} | set(self.ways) | {w.into for ways in self.ways.values() for w in ways}
        if unknown := named - set(names):
            raise BadInputError(f"`sees` or `ways` names zones in which nothing is drawn: {', '.join(sorted(unknown))}")
        zones: dict[str, dict[str, Any]] = {}
        for zone in names:
            points = np.concatenate([p.vertices for p in self._pieces if p.zone == zone])
            seen = dict.fromkeys((zone, *self.sees.get(zone, names)))
            zones[zone] = {"box": [round(float(v), 4) for v in (*points.min(axis=0), *points.max(axis=0))], "sees": list(seen)}
            if self.ways:
                zones[zone]["ways"] = [{"into": w.into, "left": list(w.left), "right": list(w.right), "sill_m": w.sill_m} for w in self.ways.get(zone, ())]
        path.write_text(json.dumps(zones, indent=1, ensure_ascii=False) + "\n", "utf-8")


# Light is painted into the textures: full ambient, nothing else; no shadows, no multisampling.
_SCENE = """<mujoco model="world">
<compiler angle="radian"/>
<visual>
<headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/>
<quality shadowsize="0" offsamples="0"/>
<map znear="0.003" zfar="3"/>
</visual>
<statistic extent="15" center="0 0 1"/>
<asset>
{assets}
</asset>
<worldbody>
<geom name="floor" type="plane" size="0 0 1" group="3" friction="1 0.005 0.0001"/>
{geoms}
{solids}
{bodies}
</worldbody>
</mujoco>
"""


def _solid_xml(solid: CollisionShape) -> str:
    size = " ".join(f"{v:.5g}" for v in solid.size)
    centre = " ".join(f"{v:.5g}" for v in solid.centre)
    turn = f' euler="0 0 {solid.yaw_rad:.5g}"' if solid.yaw_rad else ""
    # Opaque on purpose: ray casting passes through geoms with zero alpha. Their group hides them from the cameras.
    return f'<geom type="{solid.kind}" size="{size}" pos="{centre}"{turn} group="{COLLISION_GROUP}" friction="0.3"/>'


def _write_page(folder: Path, index: int, picture: UInt8Array) -> str:
    """Write an atlas page; returns the XML of its texture and material."""
    import cv2

    cv2.imwrite(str(folder / "textures" / f"page{index}.png"), picture[..., ::-1])
    return (
        f'<texture name="page{index}" type="2d" file="textures/page{index}.png"/>'
        f'<material name="page{index}" texture="page{index}" texuniform="false" specular="0" shininess="0"/>'
    )


def _normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Twice the area of each face along its normal (M, 3)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals: FloatArray = np.cross(b - a, c - a)
    return normals


def _clusters(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Pieces that lie together, so that a view leaves out those beside it: halved along the longer side of their centres' box."""
    if sum(len(p.faces) for p in pieces) <= CLUSTER_TRIANGLES or len(pieces) < 2:
        return [pieces] if pieces else []
    centres = np.array([(p.vertices.min(axis=0) + p.vertices.max(axis=0))[:2] / 2 for p in pieces])
    if np.ptp(centres, axis=0).max() < CLUSTER_M:
        return [pieces]
    order = np.argsort(centres[:, int(np.ptp(centres, axis=0).argmax())], kind="stable")
    counts = np.cumsum([len(pieces[k].faces) for k in order])
    cut = int(np.clip(np.searchsorted(counts, counts[-1] / 2), 1, len(pieces) - 1))
    return [*_clusters([pieces[k] for k in order[:cut]]), *_clusters([pieces[k] for k in order[cut:]])]


def _write_obj(path: Path, pieces: list[_Piece], places: dict[int, Place]) -> None:
    vertices = np.concatenate([p.vertices for p in pieces])
    starts = np.cumsum([0, *(len(p.vertices) for p in pieces[:-1])])
    faces = np.concatenate([p.faces + start for p, start in zip(pieces, starts)])
    texcoords = np.concatenate([places[p.patch].texcoords(p.uv) for p in pieces]).reshape(-1, 2)
    normals = _normals(vertices, faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    corners = np.arange(3 * len(faces)).reshape(-1, 3) + 1
    table = np.stack([faces + 1, corners, np.repeat(np.arange(len(faces)) + 1, 3).reshape(-1, 3)], axis=2)
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in texcoords.tolist()]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in normals.tolist()]
    lines += ["f " + " ".join(f"{v}/{t}/{n}" for v, t, n in face) for face in table.tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rotate(points: FloatArray, yaw_rad: float, at: tuple[float, float]) -> FloatArray:
    """Turn points (N, 3) about the vertical axis, then move them by `at` (x, y)."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    moved: FloatArray = np.asarray(points, dtype=np.float64) @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    moved[:, :2] += at
    return moved
