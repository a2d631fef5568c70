"""What must hold for every world: things do not stand in each other, doors are free, a robot gets everywhere."""

from __future__ import annotations

import itertools
import math

import numpy as np

from astra.core.types import BoolArray, FloatArray
from astra.sim.worlds.plan import Piece, Plan

ALLOWED_M = 0.01  # pieces may touch
DOOR_DEPTH_M = 0.45  # that stays free on both sides of an opening


def faults(plan: Plan, free: BoolArray, resolution_m: float = 0.05) -> list[str]:
    """Everything that is wrong with a plan and its free floor (Y, X)."""
    return [*_overlaps(plan), *_blocked_doors(plan, free, resolution_m)]


def footprint(piece: Piece, margin_m: float = 0.0) -> FloatArray:
    """Corners (4, 2) of a piece on the floor, counter-clockwise."""
    dx, dy = piece.model.size_m[0] / 2 + margin_m, piece.model.size_m[1] / 2 + margin_m
    c, s = math.cos(math.radians(piece.degrees)), math.sin(math.radians(piece.degrees))
    corners: FloatArray = np.array([(dx, dy), (-dx, dy), (-dx, -dy), (dx, -dy)]) @ np.array([[c, s], [-s, c]]) + [piece.x, piece.y]
    return corners


def _overlaps(plan: Plan) -> list[str]:
    found = []
    shapes = [footprint(piece, -ALLOWED_M / 2) for piece in plan.pieces]
    for i, j in itertools.combinations(range(len(shapes)), 2):
        a, b = plan.pieces[i], plan.pieces[j]
        if a.z_m >= b.z_m + b.model.size_m[2] - 1e-6 or b.z_m >= a.z_m + a.model.size_m[2] - 1e-6:
            continue
        reach = sum(math.hypot(*p.model.size_m[:2]) for p in (a, b)) / 2
        if math.hypot(a.x - b.x, a.y - b.y) < reach and _intersect(shapes[i], shapes[j]):
            found.append(f"{a.model.category} and {b.model.category} in {a.room} stand in each other")
    return found


def _intersect(a: FloatArray, b: FloatArray) -> bool:
    """Whether two convex polygons overlap (separating axes)."""
    for polygon in (a, b):
        edges = np.roll(polygon, -1, axis=0) - polygon
        for normal in np.stack([edges[:, 1], -edges[:, 0]], axis=1):
            pa, pb = a @ normal, b @ normal
            if pa.max() <= pb.min() or pb.max() <= pa.min():
                return False
    return True


def _blocked_doors(plan: Plan, free: BoolArray, resolution_m: float) -> list[str]:
    found = []
    for wall in plan.walls:
        a, b = np.array(wall.a), np.array(wall.b)
        along = (b - a) / float(np.linalg.norm(b - a))
        normal = np.array([along[1], -along[0]])
        for start, end in wall.openings:
            s, d = np.meshgrid(np.arange(start + 0.1, end - 0.1, resolution_m), np.arange(-DOOR_DEPTH_M, DOOR_DEPTH_M + 1e-9, resolution_m))
            points = a + s[..., None] * along + d[..., None] * normal
            columns, rows = (np.floor((points - np.array(plan.outline[:2])) / resolution_m).astype(int)[..., k] for k in (0, 1))
            inside = (rows >= 0) & (rows < free.shape[0]) & (columns >= 0) & (columns < free.shape[1])
            if not free[rows[inside], columns[inside]].all():
                found.append(f"the opening at ({points[..., 0].mean():.1f}, {points[..., 1].mean():.1f}) is not free")
    return found
