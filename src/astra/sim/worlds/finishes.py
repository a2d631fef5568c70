"""What walls, floors and ceilings are made of, and what hangs on walls. Nothing tiles: every piece is painted for its own place.

Pictures are (H, W, 3) RGB, row 0 at the upper edge. They must look like a building and still give a camera at 224 × 160 enough to hold on to.
"""

from __future__ import annotations

import math

import numpy as np

from astra.core.types import UInt8Array
from astra.sim.textures import Colour, fractal, lit, planks, surface, tiles

BRICK_M, WALL_TILE_M = (0.24, 0.08), 0.2
FEW, CLOUDS = 4.0, 0.075  # stains for each square metre; strength of uneven shading


def wall(kind: str, width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """A piece of wall: plaster, paper, brick, panel, tile or concrete."""
    size = (width_m, height_m, colour, rng, px_per_m)
    if kind == "paper":
        return _paper(*size)
    if kind == "brick":
        return _brick(*size)
    if kind == "panel":
        return np.ascontiguousarray(np.rot90(planks(height_m, width_m, colour, rng, px_per_m, FEW)))
    if kind == "tile":
        return tiles(*size, WALL_TILE_M, FEW)
    if kind == "concrete":
        return _concrete(*size)
    return plaster(*size)


def floor(kind: str, width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """A piece of floor: planks, tiles, carpet or concrete."""
    if kind == "planks":
        return planks(width_m, height_m, colour, rng, px_per_m, FEW)
    if kind == "tiles":
        return tiles(width_m, height_m, colour, rng, px_per_m, marks_per_m2=FEW)
    if kind == "carpet":
        return _carpet(width_m, height_m, colour, rng, px_per_m)
    return _concrete(width_m, height_m, colour, rng, px_per_m)


def ceiling(kind: str, width_m: float, height_m: float, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """A piece of ceiling: tiles, plaster, or concrete."""
    tone = rng.uniform(196.0, 218.0)
    colour = (float(tone), float(tone), float(tone) - 6.0)
    if kind == "tiles":
        return tiles(width_m, height_m, colour, rng, px_per_m, marks_per_m2=FEW)
    return (_concrete if kind == "concrete" else plaster)(width_m, height_m, colour, rng, px_per_m)


def plaster(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float, marks_per_m2: float = 26.0) -> UInt8Array:
    """Painted plaster: brushed, unevenly bleached, with scuffs and small chips."""
    image = surface(width_m, height_m, colour, rng, px_per_m, 0.0, CLOUDS)
    _chips(image, rng, round(width_m * height_m * marks_per_m2), px_per_m, (0.004, 0.016))
    return image


def window(width_m: float, height_m: float, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """A window with a view: sky, clouds, hills, trees, behind a cross of white bars."""
    import cv2

    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    up = np.linspace(1.0, 0.0, h, dtype=np.float32)[:, None]
    cloud = np.clip(0.5 + 0.35 * fractal(h, w, rng, px_per_m * 0.5), 0.0, 1.0) * up
    low, high = np.array([215.0, 228.0, 238.0]), np.array([120.0, 168.0, 222.0])
    image = low + (high - low) * up[..., None] + 30.0 * cloud[..., None]
    line = 0.45 + 0.12 * fractal(2, w, rng, px_per_m * 0.4)[0]
    for depth, shade in ((0.0, 150.0), (0.18, 95.0)):
        ridge = line + depth + 0.05 * fractal(2, w, rng, px_per_m * 0.15)[0]
        ground = np.linspace(0.0, 1.0, h)[:, None] > ridge[None, :]
        leaves = np.clip(1.0 + 0.3 * fractal(h, w, rng, px_per_m * 0.12), 0.3, 1.8)
        image[ground] = (np.array([0.55, 0.85, 0.45]) * shade * leaves[..., None])[ground]
    out = np.asarray(np.clip(image, 0, 255), dtype=np.uint8)
    bar = max(2, round(0.035 * px_per_m))
    out[:, w // 2 - bar // 2 : w // 2 + bar // 2 + 1] = 236
    if height_m > 1.1:
        out[h // 3 - bar // 2 : h // 3 + bar // 2 + 1] = 236
    cv2.rectangle(out, (0, 0), (w - 1, h - 1), (228, 226, 220), 2 * bar)
    return out


def door_leaf(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """An outer door: boards in a frame, with a handle and a pane."""
    leaf = np.ascontiguousarray(np.rot90(planks(height_m, width_m, colour, rng, px_per_m, FEW)))
    h, w = leaf.shape[:2]
    edge = max(2, round(0.05 * px_per_m))
    leaf[:edge], leaf[:, :edge], leaf[:, -edge:] = 70, 70, 70
    pane = window(0.4 * width_m, 0.3 * height_m, rng, px_per_m)
    top, left = round(0.12 * h), (w - pane.shape[1]) // 2
    leaf[top : top + pane.shape[0], left : left + pane.shape[1]] = pane
    handle = round(0.52 * h)
    leaf[handle : handle + max(2, round(0.03 * px_per_m)), round(0.8 * w) : round(0.92 * w)] = (205, 200, 180)
    return leaf


def _paper(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """Wallpaper with twigs and leaves tone on tone, each of its own shape, strewn so that none stands on another."""
    import cv2

    image = plaster(width_m, height_m, colour, rng, px_per_m, 8.0)
    h, w = image.shape[:2]
    pitch = float(rng.uniform(0.22, 0.34)) * px_per_m
    inks = [tuple(float(np.clip(c * gain + shift, 0, 255)) for c, shift in zip(colour, rng.uniform(-25, 25, 3))) for gain in (0.62, 0.78, 1.18)]
    for row in range(math.ceil(h / pitch) + 1):
        for column in range(math.ceil(w / pitch) + 1):
            x, y = (np.array([column + 0.5 * (row % 2), row]) + rng.uniform(-0.28, 0.28, 2)) * pitch
            turn, size = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.28, 0.5)) * pitch
            ink = inks[int(rng.integers(len(inks)))]
            tip = (round(x + size * math.cos(turn)), round(y + size * math.sin(turn)))
            cv2.line(image, (round(x), round(y)), tip, ink, max(1, round(0.008 * px_per_m)), cv2.LINE_AA)
            for k in range(int(rng.integers(2, 6))):
                t, lean = float(rng.uniform(0.2, 1.1)), turn + float(rng.uniform(-1.4, 1.4))
                at = (round(x + t * size * math.cos(turn) + 0.25 * size * math.cos(lean)), round(y + t * size * math.sin(turn) + 0.25 * size * math.sin(lean)))
                axes = (max(1, round(float(rng.uniform(0.16, 0.34)) * size)), max(1, round(float(rng.uniform(0.06, 0.15)) * size)))
                cv2.ellipse(image, at, axes, math.degrees(lean), 0, 360, inks[(k + row) % len(inks)], -1, cv2.LINE_AA)
    return image


def _brick(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """Bricks in running bond; every stone has its own tone."""
    tone = (0.55 * colour[0] + 70.0, 0.42 * colour[1] + 28.0, 0.36 * colour[2] + 22.0)
    image = plaster(width_m, height_m, tone, rng, px_per_m, 20.0)
    h, w = image.shape[:2]
    y, x = np.arange(h) / (BRICK_M[1] * px_per_m), np.arange(w) / (BRICK_M[0] * px_per_m)
    course = y.astype(int)
    across = x[None, :] + 0.5 * (course[:, None] % 2)
    stones = rng.normal(1.0, 0.17, (int(course[-1]) + 1, int(across.max()) + 2)).clip(0.55, 1.5)
    gain = stones[course[:, None], across.astype(int)].astype(np.float32)
    thick = 0.012 * px_per_m
    joint = ((y % 1.0) * BRICK_M[1] * px_per_m < thick)[:, None] | ((across % 1.0) * BRICK_M[0] * px_per_m < thick)
    out = lit(image, gain)
    out[joint] = np.clip(np.array(colour) * 0.35 + 110.0, 0, 255).astype(np.uint8)
    return out


def _concrete(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """Cast concrete: clouds, stains, pores and a few fine cracks."""
    import cv2

    mean = sum(colour) / 3.0
    grey = (0.25 * colour[0] + 0.75 * mean, 0.25 * colour[1] + 0.75 * mean, 0.25 * colour[2] + 0.75 * mean)
    image = surface(width_m, height_m, grey, rng, px_per_m, 0.0, CLOUDS)
    area = width_m * height_m
    _chips(image, rng, round(area * 22.0), px_per_m, (0.004, 0.02))
    h, w = image.shape[:2]
    for _ in range(round(area * 0.35)):
        steps = np.cumsum(rng.normal(0.0, 0.06 * px_per_m, (int(rng.integers(4, 14)), 2)) + rng.normal(0.0, 0.05 * px_per_m, 2), axis=0)
        line = (steps + rng.uniform(0, 1, 2) * [w, h]).astype(np.int32)
        cv2.polylines(image, [line], False, tuple(v * 0.55 for v in grey), 1, cv2.LINE_AA)
    return image


def _carpet(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """Short pile with flecks of a second colour, worn where people walk."""
    image = surface(width_m, height_m, colour, rng, px_per_m, 0.0, CLOUDS)
    h, w = image.shape[:2]
    flecks = rng.random((h // 2 + 1, w // 2 + 1)) < 0.035
    rows, columns = np.nonzero(flecks)
    gains = rng.choice([0.6, 0.75, 1.3], len(rows))[:, None]
    for dy in (0, 1):
        for dx in (0, 1):
            r, c = np.minimum(2 * rows + dy, h - 1), np.minimum(2 * columns + dx, w - 1)
            image[r, c] = np.clip(np.array(colour) * gains, 0, 255).astype(np.uint8)
    _chips(image, rng, round(width_m * height_m * 5.0), px_per_m, (0.01, 0.05))
    return image


def _chips(image: UInt8Array, rng: np.random.Generator, count: int, px_per_m: float, size_m: tuple[float, float]) -> None:
    """Small angular marks, darker and lighter, crowded in some places."""
    import cv2

    h, w = image.shape[:2]
    crowd = rng.uniform(0, 1, (max(1, count // 6), 2)) * [w, h]
    centres = crowd[rng.integers(0, len(crowd), count)] + rng.normal(0.0, 0.12 * px_per_m, (count, 2))
    gains = np.where(rng.random(count) < 0.65, rng.uniform(0.5, 0.82, count), rng.uniform(1.12, 1.3, count))
    radii = np.maximum(rng.uniform(*size_m, count) * px_per_m, 0.8)
    angles = rng.uniform(0, 2 * math.pi, (count, 4))
    corners = centres[:, None] + radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=2) * rng.uniform(0.4, 1.6, (count, 4, 1))
    at = np.clip(centres, 0, [w - 1, h - 1]).astype(int)
    colours = np.clip(image[at[:, 1], at[:, 0]] * gains[:, None], 0, 255).tolist()
    shapes = np.round(corners * 8.0).astype(np.int32)
    for shape, ink in zip(shapes, colours):
        cv2.fillConvexPoly(image, cv2.convexHull(shape), ink, cv2.LINE_AA, 3)


WALLS: tuple[str, ...] = ("plaster", "paper", "brick", "panel", "tile", "concrete")
