"""Light that is painted into the textures: lamps hang from the ceilings and leave brighter pools under and beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import Float32Array, FloatArray
from astra.sim.worlds.plan import Room

MAP_STEP_M = 0.25  # light changes slowly: its maps are coarse
AMBIENT = 0.62
RANGE = (0.55, 1.35)
WARM, COLD = (1.0, 0.90, 0.76), (0.88, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class Lamp:
    """A lamp under the ceiling: its place and full size along x and y [m]."""

    x: float
    y: float
    size: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class RoomLight:
    """The lamps of one room and its tint, which is applied to all that is drawn there: r, g, b ≤ 1."""

    lamps: tuple[Lamp, ...]
    height_m: float
    tint: tuple[float, float, float]
    power: float

    def gain(self, points: FloatArray, normal: tuple[float, float, float]) -> Float32Array:
        """Light (...) on a surface at points (..., 3) with a normal: around 1 where a room is evenly lit."""
        total = np.full(points.shape[:-1], AMBIENT)
        for lamp in self.lamps:
            to = np.array([lamp.x, lamp.y, self.height_m - 0.05]) - points
            distance2 = (to**2).sum(axis=-1)
            facing = np.clip(to @ np.array(normal), 0.0, None) / np.sqrt(distance2 + 1e-9)
            total += self.power * (0.25 + 0.75 * facing) / (distance2 + 1.0)
        return np.asarray(np.clip(total, *RANGE), dtype=np.float32)


def light_room(room: Room, height_m: float, mood: FloatArray, rng: np.random.Generator, spacing_m: float, size: tuple[float, float]) -> RoomLight:
    """Lamps on a lattice about `spacing_m` wide and a tint about the building's `mood` (brightness, warmth), both 0 … 1."""
    x0, y0, x1, y1 = room.box
    columns, rows = (max(1, round((high - low) / spacing_m)) for low, high in ((x0, x1), (y0, y1)))
    dx, dy = rng.uniform(-0.25, 0.25, 2)
    turned = rng.random() < 0.5
    lamps = tuple(
        Lamp(x0 + (i + 0.5) * (x1 - x0) / columns + float(dx), y0 + (j + 0.5) * (y1 - y0) / rows + float(dy), size[::-1] if turned else size)
        for i in range(columns)
        for j in range(rows)
    )
    bright, warm = np.clip(mood + rng.normal(0.0, (0.16, 0.12)), 0.0, 1.0)
    colour = (1.0 - warm) * np.array(COLD) + warm * np.array(WARM)
    tint = colour / colour.max() * (0.72 + 0.28 * bright)
    return RoomLight(lamps, height_m, (float(tint[0]), float(tint[1]), float(tint[2])), 1.25 * (height_m / 2.5) ** 1.5)


def lattice(origin: FloatArray, right: FloatArray, down: FloatArray) -> FloatArray:
    """Points (h, w, 3) on a rectangle, row 0 at its upper edge: from `origin` along `right` and `down`, about `MAP_STEP_M` apart."""
    w, h = (max(2, math.ceil(float(np.linalg.norm(v)) / MAP_STEP_M) + 1) for v in (right, down))
    points: FloatArray = origin + np.linspace(0.0, 1.0, h)[:, None, None] * down + np.linspace(0.0, 1.0, w)[None, :, None] * right
    return points
