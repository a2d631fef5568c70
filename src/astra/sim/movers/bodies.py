"""What movers look like and what stands for them in the physics: a few hundred triangles each, coloured from one picture of swatches.

A person is three bodies (trunk and two legs, so that legs can swing); a cart or pallet jack belongs to the trunk of the one who pushes it.
Light is painted into the swatches by the direction that a face looks, as everywhere in our scenes.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astra.core.types import FloatArray, UInt8Array
from astra.sim.meshes import COLLISION_GROUP, VISUAL_GROUP
from astra.sim.movers.mover import Colour, Looks, Mover, MoverKind

SWATCHES_FILE = "movers.png"
HIP_SPREAD_M = 0.09  # of each leg from the middle
HIP_SHARE = 0.48  # of a person's height
SWATCH_PX, LIGHTS = 16, (0.62, 0.76, 0.88, 1.0)
SUN = np.array([0.35, 0.25, 0.9])
DISCS: dict[MoverKind, tuple[tuple[float, float], ...]] = {  # what a mover covers of the floor: along its heading, radius [m]
    "person": ((0.0, 0.25),),
    "cart": ((0.4, 0.34), (0.1, 0.34), (-0.37, 0.25)),
    "pallet_jack": ((0.5, 0.5), (0.0, 0.5), (-0.62, 0.25)),
}
METAL, WOOD, JACK = (120, 124, 130), (176, 140, 94), (206, 92, 30)
SWATCHES = (*Looks.__slots__, "metal", "wood", "jack")


def operator_x_m(kind: MoverKind) -> float:
    """Where the person stands in the mover's frame, along its heading [m]."""
    return {"person": 0.0, "cart": -0.37, "pallet_jack": -0.62}[kind]


def radius_m(kind: MoverKind) -> float:
    """A circle about the mover's origin that holds all of it however it turns [m]."""
    return {"person": 0.25, "cart": 0.66, "pallet_jack": 0.88}[kind]


def hip_m(height_m: float) -> float:
    """Height of the joints of the legs [m]."""
    return HIP_SHARE * height_m


def movers_xml(movers: tuple[Mover, ...], folder: Path) -> tuple[str, str]:
    """The XML of assets and bodies for `SceneBuilder.write`; writes the picture that colours them into the world's folder."""
    if not movers:
        return "", ""
    _write_swatches(movers, folder / SWATCHES_FILE)
    assets = [
        f'<texture name="movers" type="2d" file="{SWATCHES_FILE}"/>',
        '<material name="movers" texture="movers" texuniform="false" specular="0" shininess="0"/>',
    ]
    bodies = []
    for row, mover in enumerate(movers):
        shapes = {"body": _trunk(mover), "left": _leg(mover.height_m), "right": _leg(mover.height_m)}
        for part, shape in shapes.items():
            name = f"mover/{mover.name}/{part}"
            assets.append(shape.asset_xml(name, row, len(movers)))
            solids = _solids_xml(mover) if part == "body" else ""
            bodies.append(
                f'<body name="{name}" mocap="true" pos="{_start(mover, part)}"><geom name="{name}" type="mesh" mesh="{name}" material="movers" '
                f'contype="0" conaffinity="0" group="{VISUAL_GROUP}"/>{solids}</body>'
            )
    return "\n".join(assets), "\n".join(bodies)


@dataclass(slots=True)
class _Shape:
    """Triangles (3, 3) with the number of their swatch."""

    triangles: list[FloatArray] = field(default_factory=list)
    swatches: list[int] = field(default_factory=list)

    def loft(self, swatch: str, rings: list[tuple[float, float, float, float]], y: float = 0.0, sides: int = 6) -> None:
        """A closed body through ellipses (z, x, half depth, half width), from below upwards."""
        angles = 2 * math.pi * (np.arange(sides) + 0.5) / sides
        round_ = [np.stack([x + a * np.cos(angles), y + b * np.sin(angles), np.full(sides, z)], axis=1) for z, x, a, b in rings]
        for low, high in itertools.pairwise(round_):
            for i in range(sides):
                j = (i + 1) % sides
                self._add(swatch, low[i], low[j], high[j])
                self._add(swatch, low[i], high[j], high[i])
        for i in range(1, sides - 1):
            self._add(swatch, round_[0][0], round_[0][i + 1], round_[0][i])
            self._add(swatch, round_[-1][0], round_[-1][i], round_[-1][i + 1])

    def box(self, swatch: str, low: tuple[float, float, float], high: tuple[float, float, float]) -> None:
        """A box between two corners."""
        middle, half = (np.array(low) + high) / 2, (np.array(high) - low) / 2
        for axis in range(3):
            for sign in (1.0, -1.0):
                u, v, n = np.zeros(3), np.zeros(3), np.zeros(3)
                n[axis], u[(axis + 1) % 3], v[(axis + 2) % 3] = sign * half[axis], sign * half[(axis + 1) % 3], half[(axis + 2) % 3]
                corners = [middle + n + a * u + b * v for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
                self._add(swatch, corners[0], corners[1], corners[2])
                self._add(swatch, corners[0], corners[2], corners[3])

    def limb(self, swatch: str, a: tuple[float, float, float], b: tuple[float, float, float], thick_m: float) -> None:
        """A prism of four sides from `a` to `b`, thinner at its end."""
        start, end = np.array(a), np.array(b)
        along = (end - start) / np.linalg.norm(end - start)
        across = np.cross(along, (0.0, 1.0, 0.0))
        across /= np.linalg.norm(across)
        other = np.cross(along, across)
        ring = [math.cos(t) * across + math.sin(t) * other for t in (0.25 * math.pi, 0.75 * math.pi, 1.25 * math.pi, 1.75 * math.pi)]
        low, high = [start + r * thick_m for r in ring], [end + r * thick_m * 0.7 for r in ring]
        for i in range(4):
            j = (i + 1) % 4
            self._add(swatch, low[i], low[j], high[j])
            self._add(swatch, low[i], high[j], high[i])
        self._add(swatch, high[0], high[1], high[2])
        self._add(swatch, high[0], high[2], high[3])

    def asset_xml(self, name: str, row: int, rows: int) -> str:
        """The mesh, each corner a vertex of its own, coloured by row `row` of `rows` in the picture of swatches."""
        triangles = np.array(self.triangles)
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        bright = np.clip((normals @ SUN + 1.0) / 2.0 * len(LIGHTS), 0, len(LIGHTS) - 1).astype(np.int64)
        column = np.array(self.swatches) * len(LIGHTS) + bright
        inside = np.array([(0.25, 0.25), (0.75, 0.25), (0.5, 0.75)])
        u = (column[:, None] + inside[:, 0]) / (len(SWATCHES) * len(LIGHTS))
        v = np.broadcast_to((row + inside[:, 1]) / rows, u.shape)
        vertices = " ".join(f"{value:.4f}" for value in triangles.ravel())
        texcoords = " ".join(f"{value:.5f}" for value in np.stack([u, v], axis=-1).ravel())
        faces = " ".join(str(k) for k in range(3 * len(triangles)))
        return f'<mesh name="{name}" inertia="shell" vertex="{vertices}" texcoord="{texcoords}" face="{faces}"/>'

    def _add(self, swatch: str, a: FloatArray, b: FloatArray, c: FloatArray) -> None:
        self.triangles.append(np.array([a, b, c]))
        self.swatches.append(SWATCHES.index(swatch))


def _leg(height_m: float) -> _Shape:
    """A leg with its shoe, hanging from its hip at the origin."""
    leg, hip = _Shape(), hip_m(height_m)
    leg.loft("trousers", [(0.06 - hip, -0.01, 0.045, 0.045), (-0.5 * hip, 0.01, 0.06, 0.06), (0.04, 0.0, 0.085, 0.085)])
    leg.box("shoes", (-0.07, -0.045, -hip), (0.17, 0.045, 0.07 - hip))
    return leg


def _trunk(mover: Mover) -> _Shape:
    """Everything but the legs, standing on the floor at the origin."""
    shape, x, h = _Shape(), operator_x_m(mover.kind), mover.height_m
    hip, shoulder = hip_m(h), 0.82 * h
    shape.loft("trousers", [(hip - 0.04, x, 0.11, 0.17), (hip + 0.08, x, 0.11, 0.165)])
    shape.loft("top", [(hip + 0.06, x, 0.115, 0.17), (hip + 0.2, x, 0.11, 0.155), (shoulder - 0.08, x, 0.12, 0.2), (shoulder + 0.01, x, 0.08, 0.15)])
    shape.loft("skin", [(shoulder, x, 0.055, 0.055), (h - 0.23, x, 0.06, 0.06), (h - 0.17, x + 0.015, 0.095, 0.08), (h - 0.04, x, 0.09, 0.075)])
    shape.loft("hair", [(h - 0.15, x - 0.05, 0.06, 0.075), (h - 0.06, x - 0.015, 0.095, 0.085), (h, x - 0.015, 0.05, 0.05)])
    for side in (1.0, -1.0):
        joint = (x, side * 0.2, shoulder - 0.05)
        if mover.kind == "person":
            elbow, hand = (x - 0.03, side * 0.23, shoulder - 0.32), (x + 0.05, side * 0.22, shoulder - 0.56)
        else:
            elbow, hand = (x + 0.06, side * 0.21, shoulder - 0.3), (x + 0.27, side * 0.18, 1.0)
        shape.limb("top", joint, elbow, 0.055)
        shape.limb("skin", elbow, hand, 0.042)
    if mover.kind == "cart":
        _add_cart(shape)
    elif mover.kind == "pallet_jack":
        _add_jack(shape)
    return shape


def _add_cart(shape: _Shape) -> None:
    """A trolley with two shelves and boxes on it, 0.72 m long."""
    for z in (0.18, 0.72):
        shape.box("metal", (-0.1, -0.24, z), (0.6, 0.24, z + 0.04))
    for x in (-0.09, 0.57):
        for y in (-0.23, 0.2):
            shape.box("metal", (x, y, 0.02), (x + 0.03, y + 0.03, 1.0 if x < 0 else 0.76))
    shape.box("metal", (-0.1, -0.23, 0.98), (-0.06, 0.23, 1.02))
    shape.box("load", (0.0, -0.2, 0.76), (0.36, 0.14, 1.02))
    shape.box("wood", (0.08, -0.2, 0.22), (0.54, 0.2, 0.56))


def _add_jack(shape: _Shape) -> None:
    """A pallet jack with a loaded pallet on its forks, 1.1 m long."""
    shape.box("jack", (-0.34, -0.24, 0.08), (-0.2, 0.24, 0.62))
    shape.box("metal", (-0.38, -0.02, 0.5), (-0.34, 0.02, 1.02))
    shape.box("metal", (-0.4, -0.2, 1.0), (-0.35, 0.2, 1.04))
    for y in (-0.26, 0.1):
        shape.box("jack", (-0.2, y, 0.06), (0.76, y + 0.16, 0.12))
    shape.box("wood", (-0.16, -0.38, 0.12), (0.78, 0.38, 0.24))
    shape.box("load", (-0.14, -0.36, 0.24), (0.34, 0.36, 0.86))
    shape.box("wood", (0.36, -0.34, 0.24), (0.76, 0.34, 0.68))


def _solids_xml(mover: Mover) -> str:
    """Upright solids, as wide at the height of the lidar as at that of the mast."""
    h, look = mover.height_m, f'group="{COLLISION_GROUP}" friction="0.3"'
    person = f'<geom type="cylinder" size="0.22 {h / 2 - 0.01:.4f}" pos="{operator_x_m(mover.kind):.3f} 0 {h / 2 + 0.01:.4f}" {look}/>'
    if mover.kind == "cart":
        return person + f'<geom type="box" size="0.35 0.24 0.5" pos="0.25 0 0.52" {look}/>'
    if mover.kind == "pallet_jack":
        return person + f'<geom type="box" size="0.58 0.38 0.42" pos="0.2 0 0.44" {look}/>'
    return person


def _start(mover: Mover, part: str) -> str:
    x, y, _ = mover.pose(0.0)
    return f"{x:.4f} {y:.4f} {0.0 if part == 'body' else hip_m(mover.height_m):.4f}"


def _write_swatches(movers: tuple[Mover, ...], path: Path) -> None:
    """One row a mover, first row at the bottom as texture coordinates count; each colour in every light, a little uneven."""
    import cv2

    rng = np.random.default_rng(len(movers))
    fixed: dict[str, Colour] = {"metal": METAL, "wood": WOOD, "jack": JACK}
    colours = np.array([[fixed[s] if s in fixed else getattr(m.looks, s) for s in SWATCHES] for m in movers], dtype=np.float64)
    lit = colours[:, :, None, :] * np.array(LIGHTS)[:, None]
    picture = np.repeat(np.repeat(lit.reshape(len(movers), -1, 3), SWATCH_PX, axis=0), SWATCH_PX, axis=1)
    noisy: UInt8Array = np.clip(picture + rng.normal(0.0, 5.0, (*picture.shape[:2], 1)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), noisy[::-1, :, ::-1])
