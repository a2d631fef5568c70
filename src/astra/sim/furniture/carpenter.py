"""Furniture of boxes and drums. Whatever reaches the height of the mast is as wide at the height of the lidar."""

from __future__ import annotations

import itertools
import math

import numpy as np

from astra.core.types import FloatArray
from astra.sim.meshes import SceneBuilder, rotate
from astra.sim.textures import Colour, surface

PATCH_M = (0.6, 2.5)  # pictures of materials come in two sizes
PX_PER_M = 150.0
FACE_LIGHT = {"top": 1.0, "front": 0.88, "back": 0.88, "left": 0.76, "right": 0.76, "bottom": 0.76}
BOOKS = ((178.0, 52.0, 44.0), (42.0, 84.0, 140.0), (222.0, 196.0, 120.0), (60.0, 120.0, 72.0), (232.0, 228.0, 214.0), (66.0, 50.0, 72.0))


class Carpenter:
    """Builds furniture at a pose (x, y, yaw); the front of every piece faces its +x axis."""

    def __init__(self, scene: SceneBuilder, rng: np.random.Generator) -> None:
        self.scene, self.rng = scene, rng
        self._materials: dict[tuple[Colour, float, float], int] = {}
        self._place, self._zone = (0.0, 0.0, 0.0), ""

    def build(self, kind: str, x: float, y: float, yaw_rad: float, colour: Colour, zone: str = "") -> None:
        """Build one piece: sofa, armchair, low_table, table, desk, chair, shelf, cabinet, counter, fridge, copier, plant, crate."""
        self._place, self._zone = (x, y, yaw_rad), zone
        getattr(self, f"_{kind}")(colour)

    def _material(self, colour: Colour, light: float, size_m: float) -> int:
        key = (colour, light, size_m)
        if key not in self._materials:
            shaded = (colour[0] * light, colour[1] * light, colour[2] * light)
            self._materials[key] = self.scene.patch(surface(size_m, size_m, shaded, self.rng, PX_PER_M, 45.0))
        return self._materials[key]

    def _face(self, corners: FloatArray, colour: Colour, light: float) -> None:
        x, y, yaw = self._place
        wide, high = float(np.linalg.norm(corners[1] - corners[0])), float(np.linalg.norm(corners[3] - corners[0]))
        size = PATCH_M[0] if max(wide, high) <= PATCH_M[0] else PATCH_M[1]
        wide, high = min(wide / size, 1.0), min(high / size, 1.0)
        u, v = float(self.rng.uniform(0, 1 - wide)), float(self.rng.uniform(0, 1 - high))
        self.scene.quad(rotate(corners, yaw, (x, y)), self._material(colour, light, size), (u, v, u + wide, v + high), zone=self._zone)

    def box(self, centre: tuple[float, float, float], size: tuple[float, float, float], colour: Colour) -> None:
        """A drawn box, in the piece's frame, full sizes."""
        (cx, cy, cz), (a, b, c) = centre, (size[0] / 2, size[1] / 2, size[2] / 2)
        low, high = cz - c, cz + c

        def upright(x0: float, y0: float, x1: float, y1: float) -> FloatArray:
            return np.array([(x0, y0, low), (x1, y1, low), (x1, y1, high), (x0, y0, high)])

        self._face(upright(cx + a, cy - b, cx + a, cy + b), colour, FACE_LIGHT["front"])
        self._face(upright(cx - a, cy + b, cx - a, cy - b), colour, FACE_LIGHT["back"])
        self._face(upright(cx + a, cy + b, cx - a, cy + b), colour, FACE_LIGHT["left"])
        self._face(upright(cx - a, cy - b, cx + a, cy - b), colour, FACE_LIGHT["right"])
        flat = [(cx - a, cy - b), (cx + a, cy - b), (cx + a, cy + b), (cx - a, cy + b)]
        self._face(np.array([(x, y, high) for x, y in flat]), colour, FACE_LIGHT["top"])
        if low > 0.05:
            self._face(np.array([(x, y, low) for x, y in reversed(flat)]), colour, FACE_LIGHT["bottom"])

    def drum(self, radius_m: float, low_m: float, high_m: float, colour: Colour, sides: int = 10) -> None:
        """A drawn upright prism about the piece's axis."""
        angles = 2 * math.pi * np.arange(sides + 1) / sides
        ring = radius_m * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for i, (p, q) in enumerate(itertools.pairwise(ring)):
            light = FACE_LIGHT["front" if math.cos(2 * math.pi * i / sides) > 0 else "left"]
            self._face(np.array([(*p, low_m), (*q, low_m), (*q, high_m), (*p, high_m)]), colour, light)
        for i in range(0, sides, 2):
            corners = [(0.0, 0.0), tuple(ring[i]), tuple(ring[i + 1]), tuple(ring[(i + 2) % sides])]
            self._face(np.array([(cx, cy, high_m) for cx, cy in corners]), colour, FACE_LIGHT["top"])

    def _solid(self, size: tuple[float, float, float], at: tuple[float, float] = (0.0, 0.0)) -> None:
        x, y, yaw = self._place
        px, py, _ = rotate(np.array([[*at, 0.0]]), yaw, (x, y))[0]
        self.scene.solid_box((float(px), float(py), size[2] / 2), size, yaw)

    def _seat(self, width: float, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.21), (0.85, width, 0.42), colour)
        self.box((-0.34, 0.0, 0.60), (0.17, width, 0.40), colour)
        for sign in (-1, 1):
            self.box((0.0, sign * (width / 2 - 0.09), 0.50), (0.85, 0.18, 0.18), colour)
        self._solid((0.85, width, 0.9))

    def _sofa(self, colour: Colour) -> None:
        self._seat(1.9, colour)

    def _armchair(self, colour: Colour) -> None:
        self._seat(0.95, colour)

    def _low_table(self, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.40), (0.60, 0.95, 0.05), colour)
        self.box((0.0, 0.0, 0.19), (0.52, 0.85, 0.37), colour)
        self._solid((0.60, 0.95, 0.45))

    def _table(self, colour: Colour) -> None:
        self._top(0.9, 1.7, colour)

    def _desk(self, colour: Colour) -> None:
        self._top(0.7, 1.4, colour)
        self.box((-0.2, 0.1, 0.97), (0.04, 0.52, 0.34), (35.0, 37.0, 45.0))
        self.box((-0.2, 0.1, 0.78), (0.16, 0.20, 0.04), (60.0, 60.0, 66.0))
        self.box((0.1, -0.45, 0.80), (0.30, 0.22, 0.08), (190.0, 120.0, 70.0))

    def _top(self, depth: float, width: float, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.735), (depth, width, 0.05), colour)
        self.box((0.0, 0.0, 0.355), (depth - 0.06, width - 0.06, 0.71), (colour[0] * 0.8, colour[1] * 0.8, colour[2] * 0.8))
        self._solid((depth, width, 1.0))

    def _chair(self, colour: Colour) -> None:
        self.drum(0.20, 0.0, 0.40, (70.0, 70.0, 76.0), 8)
        self.box((0.0, 0.0, 0.44), (0.44, 0.44, 0.08), colour)
        self.box((-0.20, 0.0, 0.70), (0.06, 0.42, 0.44), colour)
        x, y, _ = self._place
        self.scene.solid_cylinder((x, y, 0.46), 0.24, 0.92)

    def _shelf(self, colour: Colour) -> None:
        self.box((-0.13, 0.0, 0.95), (0.04, 1.2, 1.9), colour)
        for z in (0.03, 0.5, 0.95, 1.4, 1.87):
            self.box((0.0, 0.0, z), (0.30, 1.2, 0.05), colour)
        for sign in (-1, 1):
            self.box((0.0, sign * 0.585, 0.95), (0.30, 0.03, 1.9), colour)
        for z in (0.055, 0.525, 0.975, 1.425):
            y = -0.54
            while y < 0.45:
                width, height = float(self.rng.uniform(0.05, 0.16)), float(self.rng.uniform(0.2, 0.36))
                self.box((0.01, y + width / 2, z + height / 2), (0.22, width - 0.01, height), BOOKS[int(self.rng.integers(0, len(BOOKS)))])
                y += width + (float(self.rng.uniform(0.05, 0.2)) if self.rng.random() < 0.25 else 0.0)
        self._solid((0.32, 1.22, 1.9))

    def _cabinet(self, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.55), (0.42, 0.9, 1.1), colour)
        for z in (0.2, 0.55, 0.9):
            self.box((0.215, 0.0, z), (0.012, 0.84, 0.30), (colour[0] * 1.1, colour[1] * 1.05, colour[2]))
            self.box((0.23, 0.0, z), (0.03, 0.18, 0.03), (50.0, 50.0, 55.0))
        self._solid((0.46, 0.9, 1.1))

    def _counter(self, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.43), (0.58, 2.2, 0.86), colour)
        self.box((0.0, 0.0, 0.885), (0.62, 2.24, 0.05), (205.0, 200.0, 190.0))
        self.box((-0.05, -0.7, 1.05), (0.30, 0.28, 0.28), (45.0, 42.0, 44.0))
        self.box((-0.05, 0.1, 1.00), (0.26, 0.42, 0.18), (185.0, 60.0, 50.0))
        self.box((0.05, 0.75, 0.95), (0.36, 0.46, 0.08), (150.0, 156.0, 165.0))
        self.box((-0.12, 0.0, 1.75), (0.34, 2.2, 0.6), (colour[0] * 0.9, colour[1], colour[2]))
        self._solid((0.62, 2.24, 1.2))

    def _fridge(self, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.88), (0.65, 0.65, 1.76), (225.0, 228.0, 232.0))
        self.box((0.335, 0.25, 1.1), (0.03, 0.04, 0.6), (60.0, 60.0, 65.0))
        self._solid((0.70, 0.65, 1.76))

    def _copier(self, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.45), (0.62, 0.75, 0.90), (215.0, 215.0, 210.0))
        self.box((0.0, 0.0, 1.0), (0.60, 0.72, 0.18), (95.0, 100.0, 110.0))
        self.box((0.32, 0.1, 0.95), (0.06, 0.3, 0.12), (40.0, 130.0, 180.0))
        for z in (0.2, 0.42, 0.64):
            self.box((0.315, 0.0, z), (0.015, 0.62, 0.16), (180.0, 182.0, 185.0))
        self._solid((0.68, 0.77, 1.1))

    def _plant(self, colour: Colour) -> None:
        self.drum(0.22, 0.0, 0.42, (150.0, 85.0, 55.0), 10)
        for _ in range(26):
            angle, height = float(self.rng.uniform(0, 2 * math.pi)), float(self.rng.uniform(0.45, 1.35))
            reach, size = float(self.rng.uniform(0.04, 0.22)), float(self.rng.uniform(0.08, 0.2))
            green = (40.0 + 30.0 * float(self.rng.integers(0, 3)), 105.0 + 30.0 * float(self.rng.integers(0, 3)), 45.0)
            self.box((reach * math.cos(angle), reach * math.sin(angle), height), (size, size, 0.05), green)
        x, y, _ = self._place
        self.scene.solid_cylinder((x, y, 0.7), 0.28, 1.4)

    def _crate(self, colour: Colour) -> None:
        self.box((0.0, 0.0, 0.28), (0.55, 0.75, 0.56), (176.0, 132.0, 84.0))
        self.box((0.02, -0.05, 0.75), (0.42, 0.50, 0.38), (190.0, 150.0, 100.0))
        self._solid((0.55, 0.75, 0.95))
