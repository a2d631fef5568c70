"""Static scenes as a few large textured meshes: quads whose pictures are packed on atlas pages, and separate collision shapes.

One mesh, one texture and one draw call a page make the renderer several times faster than one geom for each box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.types import FloatArray, UInt8Array

PAGE_PX = 2048
GUTTER_PX = 8  # replicated border, so that mipmaps do not bleed between neighbours
VISUAL_GROUP, CEILING_GROUP, COLLISION_GROUP = 1, 2, 3  # MuJoCo geom groups; the ceiling is left out of overviews


@dataclass(frozen=True, slots=True)
class CollisionShape:
    """A solid that is never drawn: `kind` box (half sizes) or cylinder (radius, half height) at `centre`, turned by `yaw_rad`."""

    kind: str
    centre: tuple[float, float, float]
    size: tuple[float, ...]
    yaw_rad: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Quad:
    corners: FloatArray  # (4, 3), seen from its front: bottom left, bottom right, top right, top left
    patch: int
    window: tuple[float, float, float, float]  # left, top, right, bottom as fractions of the patch
    group: int


class SceneBuilder:
    """Collects quads and solids, then writes meshes, textures and the MJCF text."""

    def __init__(self) -> None:
        self._patches: list[UInt8Array] = []
        self._quads: list[_Quad] = []
        self.solids: list[CollisionShape] = []

    @property
    def triangles(self) -> int:
        """Triangles drawn."""
        return 2 * len(self._quads)

    def patch(self, rgb: UInt8Array) -> int:
        """Register a picture (H, W, 3); returns its number."""
        h, w = rgb.shape[:2]
        limit = PAGE_PX - 2 * GUTTER_PX
        if max(h, w) > limit:
            import cv2

            scale = limit / max(h, w)
            rgb = np.asarray(cv2.resize(rgb, (int(w * scale), int(h * scale)), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        self._patches.append(rgb)
        return len(self._patches) - 1

    def quad(
        self, corners: FloatArray, patch: int, window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0), group: int = VISUAL_GROUP
    ) -> None:
        """A rectangle with corners (4, 3): bottom left, bottom right, top right, top left seen from its front."""
        self._quads.append(_Quad(np.asarray(corners, dtype=np.float64), patch, window, group))

    def wall_quad(self, a: tuple[float, float], b: tuple[float, float], bottom_m: float, top_m: float, patch: int) -> None:
        """An upright rectangle from `a` (left) to `b` (right), seen from the side on which a → b runs left to right."""
        self.quad(np.array([(*a, bottom_m), (*b, bottom_m), (*b, top_m), (*a, top_m)]), patch)

    def solid_box(self, centre: tuple[float, float, float], size: tuple[float, float, float], yaw_rad: float = 0.0) -> None:
        """A collision box with full sizes [m]."""
        self.solids.append(CollisionShape("box", centre, tuple(s / 2 for s in size), yaw_rad))

    def solid_cylinder(self, centre: tuple[float, float, float], radius_m: float, height_m: float) -> None:
        """An upright collision cylinder."""
        self.solids.append(CollisionShape("cylinder", centre, (radius_m, height_m / 2)))

    def write(self, folder: Path) -> None:
        """Write scene.xml, meshes/ and textures/ into `folder`."""
        import cv2

        pages, places = _pack(self._patches)
        (folder / "meshes").mkdir(parents=True)
        (folder / "textures").mkdir()
        assets, geoms = [], []
        for index, page in enumerate(pages):
            cv2.imwrite(str(folder / "textures" / f"page{index}.png"), page[..., ::-1])
            assets.append(
                f'<texture name="page{index}" type="2d" file="textures/page{index}.png"/>'
                f'<material name="page{index}" texture="page{index}" texuniform="false" specular="0" shininess="0"/>'
            )
            for group in (VISUAL_GROUP, CEILING_GROUP):
                quads = [q for q in self._quads if places[q.patch][0] == index and q.group == group]
                if not quads:
                    continue
                name = f"page{index}_{group}"
                _write_obj(folder / "meshes" / f"{name}.obj", quads, places, page.shape[0], self._patches)
                assets.append(f'<mesh name="{name}" file="meshes/{name}.obj" inertia="shell"/>')
                geoms.append(f'<geom type="mesh" mesh="{name}" material="page{index}" contype="0" conaffinity="0" group="{group}"/>')
        solids = "\n".join(_solid_xml(s) for s in self.solids)
        text = _SCENE.format(assets="\n".join(assets), geoms="\n".join(geoms), solids=solids)
        (folder / "scene.xml").write_text(text, "utf-8")


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
</worldbody>
</mujoco>
"""


def _solid_xml(solid: CollisionShape) -> str:
    size = " ".join(f"{v:.5g}" for v in solid.size)
    centre = " ".join(f"{v:.5g}" for v in solid.centre)
    turn = f' euler="0 0 {solid.yaw_rad:.5g}"' if solid.yaw_rad else ""
    # Opaque on purpose: ray casting passes through geoms with zero alpha. Their group hides them from the cameras.
    return f'<geom type="{solid.kind}" size="{size}" pos="{centre}"{turn} group="{COLLISION_GROUP}" friction="0.3"/>'


def _pack(patches: list[UInt8Array]) -> tuple[list[UInt8Array], list[tuple[int, int, int]]]:
    """Shelf packing by falling height. Returns pages (H, W, 3) and, for each patch, (page, x, y) of its first pixel."""
    places: list[tuple[int, int, int]] = [(0, 0, 0)] * len(patches)
    page, x, y, shelf = 0, 0, 0, 0
    for index in sorted(range(len(patches)), key=lambda i: -patches[i].shape[0]):
        h, w = (v + 2 * GUTTER_PX for v in patches[index].shape[:2])
        if x + w > PAGE_PX:
            x, y, shelf = 0, y + shelf, 0
        if y + h > PAGE_PX:
            page, x, y, shelf = page + 1, 0, 0, 0
        places[index] = (page, x + GUTTER_PX, y + GUTTER_PX)
        x, shelf = x + w, max(shelf, h)
    pages = [np.full((PAGE_PX, PAGE_PX, 3), 128, np.uint8) for _ in range(page + 1)]
    for patch, (number, px, py) in zip(patches, places):
        padded = np.pad(patch, ((GUTTER_PX, GUTTER_PX), (GUTTER_PX, GUTTER_PX), (0, 0)), mode="edge")
        pages[number][py - GUTTER_PX : py - GUTTER_PX + padded.shape[0], px - GUTTER_PX : px - GUTTER_PX + padded.shape[1]] = padded
    return pages, places


def _write_obj(path: Path, quads: list[_Quad], places: list[tuple[int, int, int]], page_px: int, patches: list[UInt8Array]) -> None:
    lines = []
    for q in quads:
        _, x, y = places[q.patch]
        h, w = patches[q.patch].shape[:2]
        left, right = (x + q.window[0] * w) / page_px, (x + q.window[2] * w) / page_px
        top, bottom = 1.0 - (y + q.window[1] * h) / page_px, 1.0 - (y + q.window[3] * h) / page_px
        normal = np.cross(q.corners[1] - q.corners[0], q.corners[3] - q.corners[0])
        length = float(np.linalg.norm(normal))
        normal = normal / length if length > 0 else np.array([0.0, 0.0, 1.0])
        lines += ["v " + " ".join(f"{v:.5f}" for v in corner) for corner in q.corners]
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in ((left, bottom), (right, bottom), (right, top), (left, top))]
        lines.append("vn " + " ".join(f"{v:.4f}" for v in normal))
    for i in range(len(quads)):
        a, n = 4 * i + 1, i + 1
        lines.append(f"f {a}/{a}/{n} {a + 1}/{a + 1}/{n} {a + 2}/{a + 2}/{n}")
        lines.append(f"f {a}/{a}/{n} {a + 2}/{a + 2}/{n} {a + 3}/{a + 3}/{n}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rotate(points: FloatArray, yaw_rad: float, at: tuple[float, float]) -> FloatArray:
    """Turn points (N, 3) about the vertical axis, then move them by `at` (x, y)."""
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    moved: FloatArray = np.asarray(points, dtype=np.float64) @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    moved[:, :2] += at
    return moved
