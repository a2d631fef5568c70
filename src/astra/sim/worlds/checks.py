"""What must hold for every world: things do not stand in each other, doors and signs are free, a robot gets everywhere, views stay light."""

from __future__ import annotations

import itertools
import math

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.sim.meshes import SceneBuilder
from astra.sim.textures import sign_width_m
from astra.sim.worlds.plan import WALL_M, Piece, Plan
from astra.sim.worlds.truth import RESOLUTION_M

ALLOWED_M = 0.01  # pieces may touch
DOOR_DEPTH_M = 0.45  # that stays free on both sides of an opening
ROBOT_M = 0.27  # the robot's radius and 5 cm
STANDING_M2 = 0.6  # of floor that a robot reaches in every goal
TRIANGLES = 20_000  # that any one view may show
DOORWAY_M = 0.2  # so near to a zone counts as inside


def faults(plan: Plan, free: BoolArray) -> list[str]:
    """Everything that is wrong with a plan and its free floor (Y, X)."""
    return [*_overlaps(plan), *_in_walls(plan), *_blocked_doors(plan, free), *_signs_on_signs(plan), *_cut_off(plan, free)]


def scene_faults(scene: SceneBuilder, seats: FloatArray) -> list[str]:
    """What is wrong with a painted scene: too many triangles in a view from one of some places (K, 2)."""
    most = int(triangles_in_view(scene, seats[:: max(1, len(seats) // 50)]).max())
    return [f"{most} triangles in one view, {TRIANGLES} are allowed"] if most > TRIANGLES else []


def triangles_in_view(scene: SceneBuilder, eyes: FloatArray, views: int = 8, half_fov_rad: float = math.pi / 4) -> IntArray:
    """Triangles that may be seen from each of some places (K, 2) for headings all around (K, views): those of zones in sight whose boxes lie ahead."""
    boxes, counts, zone_of = scene.extents()
    names = sorted(set(zone_of))
    number = {name: k for k, name in enumerate(names)}
    zones = np.array([number[z] for z in zone_of])
    low = np.array([boxes[zones == k, :2].min(axis=0) for k in range(len(names))])
    high = np.array([boxes[zones == k, 2:].max(axis=0) for k in range(len(names))])
    sees = np.array([[a == b or not a or not b or b in scene.sees.get(a, names) for b in names] for a in names])
    corners = np.stack([boxes[:, [0, 1]], boxes[:, [2, 1]], boxes[:, [2, 3]], boxes[:, [0, 3]]], axis=1)
    totals = np.zeros((len(eyes), views), np.int64)
    for i, eye in enumerate(eyes):
        inside = ((low - DOORWAY_M <= eye) & (eye <= high + DOORWAY_M)).all(axis=1) & np.array([bool(n) for n in names])
        shown = sees[inside].any(axis=0)[zones] if inside.any() else np.ones(len(zones), bool)
        offset = corners[shown] - eye
        for k in range(views):
            heading = 2 * math.pi * k / views
            sides = np.array([(-math.sin(heading + s * half_fov_rad), math.cos(heading + s * half_fov_rad)) for s in (-1, 1)]) * [[1.0], [-1.0]]
            ahead = ((offset @ sides.T).max(axis=1) > 0).all(axis=1)
            totals[i, k] = counts[shown][ahead].sum()
    return totals


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


def _in_walls(plan: Plan) -> list[str]:
    """Furniture that stands in a wall or outside."""
    walls = []
    for wall in plan.walls:
        a, b = np.array(wall.a), np.array(wall.b)
        along = (b - a) / float(np.linalg.norm(b - a))
        aside = np.array([-along[1], along[0]]) * (WALL_M / 2 - ALLOWED_M)
        cuts = [0.0, *(v for opening in sorted(wall.openings) for v in opening), float(np.linalg.norm(b - a))]
        walls += [np.array([p + aside, p - aside, q - aside, q + aside]) for p, q in ((a + along * s, a + along * e) for s, e in zip(cuts[0::2], cuts[1::2]))]
    x0, y0, x1, y1 = plan.outline
    found = []
    for piece in plan.pieces:
        shape = footprint(piece, -ALLOWED_M / 2)
        outside = (shape < [x0, y0]).any() or (shape > [x1, y1]).any()
        near = [w for w in walls if (w.min(axis=0) <= shape.max(axis=0)).all() and (w.max(axis=0) >= shape.min(axis=0)).all()]
        if outside or any(_intersect(shape, wall) for wall in near):
            found.append(f"{piece.model.category} in {piece.room} at ({piece.x:.1f}, {piece.y:.1f}) stands in a wall")
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


def _blocked_doors(plan: Plan, free: BoolArray) -> list[str]:
    found = []
    for wall in plan.walls:
        a, b = np.array(wall.a), np.array(wall.b)
        along = (b - a) / float(np.linalg.norm(b - a))
        normal = np.array([along[1], -along[0]])
        for start, end in wall.openings:
            s, d = np.meshgrid(np.arange(start + 0.1, end - 0.1, RESOLUTION_M), np.arange(-DOOR_DEPTH_M, DOOR_DEPTH_M + 1e-9, RESOLUTION_M))
            points = a + s[..., None] * along + d[..., None] * normal
            columns, rows = (np.floor((points - np.array(plan.outline[:2])) / RESOLUTION_M).astype(int)[..., k] for k in (0, 1))
            inside = (rows >= 0) & (rows < free.shape[0]) & (columns >= 0) & (columns < free.shape[1])
            if not free[rows[inside], columns[inside]].all():
                found.append(f"the opening at ({points[..., 0].mean():.1f}, {points[..., 1].mean():.1f}) is not free")
    return found


def _signs_on_signs(plan: Plan) -> list[str]:
    """Signs that hang over each other."""
    found = []
    width = {place.text: sign_width_m(place.text, 1.0) for place in plan.signs}
    for a, b in itertools.combinations(plan.signs, 2):
        room = (width[a.text] * a.letter_m + width[b.text] * b.letter_m) / 2
        if a.facing == b.facing and math.dist(a.at, b.at) < room and abs(a.z_m - b.z_m) < 0.95 * (a.letter_m + b.letter_m):
            found.append(f"the signs {a.text} and {b.text} hang over each other")
    return found


def _cut_off(plan: Plan, free: BoolArray) -> list[str]:
    """Goals in which a robot that comes from the largest free part reaches too little floor."""
    from scipy.ndimage import distance_transform_edt, label

    wide = distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1] * RESOLUTION_M - RESOLUTION_M / 2 >= ROBOT_M
    parts, _ = label(wide, structure=np.ones((3, 3)))
    main = parts == int(np.argmax(np.bincount(parts.ravel())[1:], axis=0)) + 1 if wide.any() else wide
    found = []
    for room in plan.rooms:
        x0, y0, x1, y1 = ((v - o) / RESOLUTION_M for v, o in zip(room.box, (*plan.outline[:2], *plan.outline[:2])))
        inside = main[max(round(y0), 0) : round(y1), max(round(x0), 0) : round(x1)]
        if room.is_goal and inside.sum() * RESOLUTION_M**2 < STANDING_M2:
            found.append(f"{room.name} cannot be reached")
    return found
