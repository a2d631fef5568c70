"""Homes and offices by rule: what a person would check on the drawing, over many seeds."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from toy_catalogue import ToyCatalogue

from astra.core.types import BoolArray, FloatArray
from astra.sim.textures import sign_width_m
from astra.sim.worlds.home import plan_home
from astra.sim.worlds.language import places
from astra.sim.worlds.office import plan_office
from astra.sim.worlds.plan import WALL_M, Box, Kind, Piece, Plan, Room

SEEDS = range(40)
CELL_M, ROBOT_M, MARGIN_M = 0.05, 0.27, 0.03
MAKERS = {"home": plan_home, "office": plan_office}


@cache
def plans(kind: Kind, clutter: float = 1.0) -> tuple[Plan, ...]:
    seeds = SEEDS if clutter == 1.0 else SEEDS[:8]
    return tuple(MAKERS[kind](seed, ToyCatalogue(), clutter) for seed in seeds)


@pytest.fixture(params=["home", "office"])
def every(request: pytest.FixtureRequest) -> tuple[Plan, ...]:
    return plans(request.param)


def corners(piece: Piece) -> FloatArray:
    depth, width, _ = piece.model.size_m
    c, s = math.cos(math.radians(piece.degrees)), math.sin(math.radians(piece.degrees))
    local = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (depth / 2, width / 2)
    return local @ np.array([(c, s), (-s, c)]) + (piece.x, piece.y)


def apart_m(a: FloatArray, b: FloatArray) -> float:
    """Largest gap between two rectangles along any of their sides' normals [m]; negative if they overlap."""
    sides = np.concatenate([np.diff(a, axis=0), np.diff(b, axis=0)])
    normals = np.stack([sides[:, 1], -sides[:, 0]]) / np.hypot(*sides.T)
    pa, pb = a @ normals, b @ normals
    return float(max((pb.min(axis=0) - pa.max(axis=0)).max(), (pa.min(axis=0) - pb.max(axis=0)).max()))


def wall_boxes(plan: Plan) -> list[Box]:
    boxes = []
    for wall in plan.walls:
        length = math.dist(wall.a, wall.b)
        along = (wall.b[0] - wall.a[0]) / length, (wall.b[1] - wall.a[1]) / length
        cuts = [0.0, *itertools.chain.from_iterable(wall.openings), length]
        for low, high in zip(cuts[0::2], cuts[1::2]):
            p, q = (wall.a[0] + along[0] * low, wall.a[1] + along[1] * low), (wall.a[0] + along[0] * high, wall.a[1] + along[1] * high)
            wide_x, wide_y = along[1] * WALL_M / 2, along[0] * WALL_M / 2
            boxes.append((p[0] - wide_x, p[1] - wide_y, q[0] + wide_x, q[1] + wide_y))
    return boxes


def openings(plan: Plan) -> list[tuple[FloatArray, FloatArray]]:
    """Ends of all openings in walls."""
    found = []
    for wall in plan.walls:
        along = (np.array(wall.b) - wall.a) / math.dist(wall.a, wall.b)
        found += [(np.array(wall.a) + along * low, np.array(wall.a) + along * high) for low, high in wall.openings]
    return found


def room_at(plan: Plan, point: FloatArray) -> Room | None:
    return next((r for r in plan.rooms if r.box[0] <= point[0] <= r.box[2] and r.box[1] <= point[1] <= r.box[3]), None)


def free_floor(plan: Plan, above_m: float = 0.0) -> BoolArray:
    """(Y, X) cells where nothing higher than `above_m` stands."""
    x1, y1 = plan.outline[2:]
    xs, ys = np.arange(CELL_M / 2, x1, CELL_M), np.arange(CELL_M / 2, y1, CELL_M)
    gx, gy = np.meshgrid(xs, ys)
    free = np.ones(gx.shape, bool)
    for a, b, c, d in wall_boxes(plan):
        free &= ~((gx >= a) & (gx <= c) & (gy >= b) & (gy <= d))
    for piece in plan.pieces:
        if piece.z_m == 0.0 and piece.model.size_m[2] > above_m:
            c, s = math.cos(math.radians(piece.degrees)), math.sin(math.radians(piece.degrees))
            along, across = (gx - piece.x) * c + (gy - piece.y) * s, -(gx - piece.x) * s + (gy - piece.y) * c
            free &= ~((np.abs(along) <= piece.model.size_m[0] / 2) & (np.abs(across) <= piece.model.size_m[1] / 2))
    return free


@cache
def reachable(plan: Plan) -> BoolArray:
    """(Y, X) cells that the centre of the robot's disc reaches from the way in."""
    clear = ndimage.distance_transform_edt(np.pad(free_floor(plan), 1))[1:-1, 1:-1] * CELL_M
    parts, _ = ndimage.label(clear >= ROBOT_M)
    door = next(r for r in plan.rooms if r.category in ("entrance", "exit"))
    inside = cells_of(door, parts)
    return parts == np.bincount(inside[inside > 0]).argmax()


def cells_of(room: Room, grid: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = (round(v / CELL_M) for v in room.box)
    return grid[y0:y1, x0:x1]


def test_rooms_tile_the_outline(every: tuple[Plan, ...]) -> None:
    for plan in every:
        total = sum((r.box[2] - r.box[0]) * (r.box[3] - r.box[1]) for r in plan.rooms)
        x0, y0, x1, y1 = plan.outline
        assert total == pytest.approx((x1 - x0) * (y1 - y0), abs=1e-6), plan.seed
        for a, b in itertools.combinations(plan.rooms, 2):
            across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0]), min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
            assert min(across) <= 1e-6, (plan.seed, a.name, b.name)


def test_every_opening_joins_two_rooms_and_is_wide_enough(every: tuple[Plan, ...]) -> None:
    for plan in every:
        for p, q in openings(plan):
            assert np.hypot(*(q - p)) >= 0.8 - 1e-6
            middle, normal = (p + q) / 2, np.array([q[1] - p[1], p[0] - q[0]]) / np.hypot(*(q - p))
            sides = room_at(plan, middle + 0.1 * normal), room_at(plan, middle - 0.1 * normal)
            assert None not in sides and sides[0] is not sides[1], plan.seed


def test_outer_walls_have_no_gap(every: tuple[Plan, ...]) -> None:
    for plan in every:
        x0, y0, x1, y1 = plan.outline
        for a, b in (((x0, y0), (x1, y0)), ((x0, y1), (x1, y1)), ((x0, y0), (x0, y1)), ((x1, y0), (x1, y1))):
            assert any(np.allclose(w.a, a) and np.allclose(w.b, b) and not w.openings for w in plan.walls), plan.seed


def test_furniture_stands_in_its_room_apart_from_the_rest(every: tuple[Plan, ...]) -> None:
    for plan in every:
        boxes = {room.name: room.box for room in plan.rooms}
        for room, pieces in itertools.groupby(sorted(plan.pieces, key=lambda p: p.room), key=lambda p: p.room):
            standing = [(piece, corners(piece)) for piece in pieces]
            for piece, outline in standing:
                margin = WALL_M / 2 + MARGIN_M
                low, high = np.array(boxes[room][:2]) + margin, np.array(boxes[room][2:]) - margin
                assert piece.z_m > 0 or ((outline >= low - 1e-6).all() and (outline <= high + 1e-6).all()), (plan.seed, room, piece)
            for (a, p), (b, q) in itertools.combinations([s for s in standing if s[0].z_m == 0.0], 2):
                assert apart_m(p, q) >= MARGIN_M - 1e-6, (plan.seed, room, a.model.name, b.model.name)


def test_what_stands_on_something_is_held(every: tuple[Plan, ...]) -> None:
    for plan in every:
        for piece in (p for p in plan.pieces if p.z_m > 0.0):
            under = [q for q in plan.pieces if q.room == piece.room and q.z_m == 0.0 and q.model.size_m[2] == pytest.approx(piece.z_m)]
            assert any(math.dist((q.x, q.y), (piece.x, piece.y)) < 0.1 for q in under), (plan.seed, piece)


def test_floor_before_openings_is_free(every: tuple[Plan, ...]) -> None:
    for plan in every:
        outlines = [corners(piece) for piece in plan.pieces]
        for p, q in openings(plan):
            along = (q - p) / np.hypot(*(q - p))
            normal = np.array([along[1], -along[0]])
            for side in (normal, -normal):
                zone = np.array([p, q, q + 0.65 * side, p + 0.65 * side])
                near = [outline for outline in outlines if np.abs(outline.mean(axis=0) - zone.mean(axis=0)).max() < 3.0]
                assert all(apart_m(zone, outline) > -1e-6 for outline in near), plan.seed


def test_a_robot_reaches_every_room(every: tuple[Plan, ...]) -> None:
    for plan in every:
        for room in plan.rooms:
            assert cells_of(room, reachable(plan)).sum() * CELL_M**2 >= 0.6 or room.category in ("toilet", "phone_booth"), (plan.seed, room.name)
            assert cells_of(room, reachable(plan)).any(), (plan.seed, room.name)


def test_signs_hang_on_whole_walls_and_can_be_read(every: tuple[Plan, ...]) -> None:
    for plan in every:
        walls = wall_boxes(plan)
        tall = free_floor(plan, above_m=1.0)
        ys, xs = np.nonzero(reachable(plan))
        standing = np.stack([xs, ys], 1) * CELL_M + CELL_M / 2
        for sign in plan.signs:
            right = np.array([-sign.facing[1], sign.facing[0]])
            half = sign_width_m(sign.text, sign.letter_m) / 2
            for end in (-half, -half / 2, 0.0, half / 2, half):
                x, y = np.array(sign.at) + right * end - np.array(sign.facing) * 0.03
                assert any(a - 1e-6 <= x <= c + 1e-6 and b - 1e-6 <= y <= d + 1e-6 for a, b, c, d in walls), (plan.seed, sign)
                x, y = np.array(sign.at) + right * end + np.array(sign.facing) * 0.3
                assert tall[int(y / CELL_M), int(x / CELL_M)], (plan.seed, sign)
            offset = standing - sign.at
            ahead, aside = offset @ sign.facing, np.abs(offset @ right)
            near = (np.hypot(*offset.T) < 10 * sign.letter_m) & (ahead > (sign.z_m + sign.letter_m / 2 - 0.8) / math.tan(math.radians(35)))
            assert (near & (aside < ahead * math.tan(math.radians(35)))).any(), (plan.seed, sign)


def test_two_signs_do_not_overlap(every: tuple[Plan, ...]) -> None:
    for plan in every:
        for a, b in itertools.combinations(plan.signs, 2):
            if a.facing == b.facing and abs(np.dot(np.subtract(a.at, b.at), a.facing)) < 1e-6:
                assert math.dist(a.at, b.at) > (sign_width_m(a.text, a.letter_m) + sign_width_m(b.text, b.letter_m)) / 2, (plan.seed, a, b)


def test_categories_are_ones_that_people_can_ask_for(every: tuple[Plan, ...]) -> None:
    for plan in every:
        assert {room.category for room in plan.rooms} <= set(places(plan.kind))
        assert len({room.name for room in plan.rooms}) == len(plan.rooms)


def test_rooms_show_by_their_furniture_what_they_are_for(every: tuple[Plan, ...]) -> None:
    """At least one telling piece nearly everywhere."""
    told = total = 0
    for plan in every:
        for room in plan.rooms:
            telling = set(places(plan.kind)[room.category].furniture)
            if room.is_goal and telling:
                total += 1
                told += bool(telling & {piece.model.category for piece in plan.pieces if piece.room == room.name})
    assert told / total > 0.99


def test_a_seed_gives_one_plan_and_another_seed_another() -> None:
    for make in MAKERS.values():
        assert make(5, ToyCatalogue()) == make(5, ToyCatalogue())
        assert make(5, ToyCatalogue()) != make(6, ToyCatalogue())


def test_homes_differ_as_in_life() -> None:
    homes = plans("home")
    areas = [(p.outline[2] - p.outline[0]) * (p.outline[3] - p.outline[1]) for p in homes]
    assert all(50 <= area <= 120 for area in areas) and np.std(areas) > 8
    counts = [Counter(room.category for room in plan.rooms) for plan in homes]
    assert all(c["living_room"] == c["kitchen"] == 1 and c["bathroom"] >= 1 and 1 <= c["bedroom"] <= 3 for c in counts)
    for sometimes in ("study", "dining_room", "laundry", "kids_room", "toilet", "hallway"):
        assert 1 <= sum(c[sometimes] > 0 for c in counts) < len(counts), sometimes
    signs = [len(plan.signs) for plan in homes]
    assert max(signs) <= 4 and signs.count(0) >= 3


def test_offices_have_numbers_names_and_two_signs_for_a_room() -> None:
    offices = plans("office")
    for plan in offices:
        x, y = plan.outline[2:]
        assert 10 <= y <= 16 and 12 <= x <= 24
        shown = Counter(sign.room for sign in plan.signs)
        for room in plan.rooms:
            if room.is_goal:
                assert room.label and shown[room.name] >= 1, (plan.seed, room.name)
        numbered = [room.label for room in plan.rooms if room.category == "office"]
        assert len(set(numbered)) == len(numbered) >= 1 and all(label[-3:].isdigit() for label in numbered)
        assert any(room.category == "exit" for room in plan.rooms)
    rooms = [(plan, room) for plan in offices for room in plan.rooms if room.is_goal]
    assert np.mean([sum(sign.room == room.name for sign in plan.signs) >= 2 for plan, room in rooms]) > 0.9
    corridors = Counter(sum(room.category == "corridor" for room in plan.rooms) for plan in offices)
    assert {1, 2, 4} <= set(corridors)


def test_office_routes_have_alternatives() -> None:
    """Most offices have a loop: more ways between rooms than a tree would need."""
    looped = 0
    for plan in plans("office"):
        joints = len(openings(plan)) + sum(
            a.category == b.category == "corridor" and _touch(a.box, b.box) for a, b in itertools.combinations(plan.rooms, 2)
        )
        looped += joints >= len(plan.rooms)
    assert looped > 0.85 * len(plans("office"))


def _touch(a: Box, b: Box) -> bool:
    across = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return abs(min(across)) < 1e-6 and max(across) > 0.5


def test_clutter_fills_rooms() -> None:
    for kind in MAKERS:
        usual = sum(len(plan.pieces) for plan in plans(kind)[:8])
        assert sum(len(plan.pieces) for plan in plans(kind, 3.0)) > 1.1 * usual
        assert sum(len(plan.pieces) for plan in plans(kind, 0.0)) < 0.9 * usual
        for plan in plans(kind, 3.0):
            assert all(cells_of(room, reachable(plan)).any() for room in plan.rooms)
