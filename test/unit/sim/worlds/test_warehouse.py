"""Warehouses: thirty plans obey the rules of buildings, aisles repeat, codes tell them apart."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from plan_floor import CELL_M, free_floor, wall_boxes
from scipy import ndimage
from toy_catalogue import ToyCatalogue

from astra.core.errors import BadInputError
from astra.core.types import IntArray
from astra.sim.worlds.boards import board_m
from astra.sim.worlds.language import places
from astra.sim.worlds.placing import footprint
from astra.sim.worlds.plan import Box, Model, Plan
from astra.sim.worlds.warehouse import mirrored, plan_warehouse

SEEDS = range(30)
ROBOT_M = 0.27


@cache
def plan(seed: int) -> Plan:
    return plan_warehouse(seed, ToyCatalogue())


def overlap(a: Box, b: Box, by: float = 0.01) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > by and min(a[3], b[3]) - max(a[1], b[1]) > by


def robots_floor(p: Plan) -> IntArray:
    """(Y, X) number of the part of the floor on which the robot's middle can be, 0 for none."""
    clearance = ndimage.distance_transform_edt(np.pad(free_floor(p), 1))[1:-1, 1:-1] * CELL_M
    parts: IntArray = ndimage.label(clearance > ROBOT_M + CELL_M / 2)[0]
    return parts


def cells(p: Plan, parts: IntArray, box: Box) -> IntArray:
    a, b, c, d = (round(v / CELL_M) for v in box)
    return parts[b:d, a:c]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_overlaps(seed: int) -> None:
    p = plan(seed)
    boxes = [(piece, footprint(piece)) for piece in p.pieces]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = one.z_m >= other.z_m + other.model.size_m[2] - 0.01 or other.z_m >= one.z_m + one.model.size_m[2] - 0.01
        assert apart or not overlap(a, b), (one, other)
    standing = [box for wall in p.walls for box in wall_boxes(wall)]
    assert not [(piece, box) for piece, a in boxes for box in standing if overlap(a, box)]
    assert all(a[0] >= -1e-6 and a[1] >= -1e-6 and a[2] <= p.outline[2] and a[3] <= p.outline[3] for _, a in boxes)


@pytest.mark.parametrize("seed", SEEDS)
def test_rooms_tile_the_hall_and_all_can_be_reached(seed: int) -> None:
    p = plan(seed)
    assert 18.0 <= p.outline[2] <= 30.0 and 12.0 <= p.outline[3] <= 20.5
    assert sum((r.box[2] - r.box[0]) * (r.box[3] - r.box[1]) for r in p.rooms) == pytest.approx(p.outline[2] * p.outline[3])
    assert not any(overlap(a.box, b.box, 1e-6) for a, b in itertools.combinations(p.rooms, 2))
    parts = robots_floor(p)
    largest = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    for room in p.rooms:
        assert (cells(p, parts, room.box) == largest).sum() * CELL_M**2 > 0.6, room.name


@pytest.mark.parametrize("seed", SEEDS)
def test_doors_stay_clear(seed: int) -> None:
    p = plan(seed)
    for wall in p.walls:
        axis = 0 if wall.a[1] == wall.b[1] else 1
        sign = 1.0 if wall.a[axis] < wall.b[axis] else -1.0
        for start, end in wall.openings:
            low, high = sorted((wall.a[axis] + sign * start, wall.a[axis] + sign * end))
            across = wall.a[1 - axis]
            box = (low + 0.1, across - 0.45, high - 0.1, across + 0.45) if axis == 0 else (across - 0.45, low + 0.1, across + 0.45, high - 0.1)
            assert not [piece for piece in p.pieces if overlap(footprint(piece), box)]


@pytest.mark.parametrize("seed", SEEDS)
def test_signs_hang_on_something_and_can_be_read(seed: int) -> None:
    p = plan(seed)
    parts = robots_floor(p)
    largest = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    surfaces = [*(box for wall in p.walls for box in wall_boxes(wall)), *(footprint(piece) for piece in p.pieces if piece.model.category == "rack")]
    for sign in p.signs:
        (x, y), (fx, fy), half = sign.at, sign.facing, board_m(sign.text, sign.letter_m) / 2
        across = (-fy, fx)
        for end in (-half, half):
            at = x + across[0] * end, y + across[1] * end
            assert any(a - 0.002 <= at[0] <= c + 0.002 and b - 0.002 <= at[1] <= d + 0.002 for a, b, c, d in surfaces), sign
        corners = [(x + across[0] * u + fx * v, y + across[1] * u + fy * v) for u in (-half, half) for v in (0.02, 0.6)]
        front = min(c[0] for c in corners), min(c[1] for c in corners), max(c[0] for c in corners), max(c[1] for c in corners)
        hiding = [q for q in p.pieces if q.z_m + q.model.size_m[2] >= sign.z_m - sign.letter_m and overlap(footprint(q), front)]
        assert not hiding, (sign, hiding)
        reader = x + fx * 1.0, y + fy * 1.0
        near = reader[0] - 0.3, reader[1] - 0.3, reader[0] + 0.3, reader[1] + 0.3
        assert (cells(p, parts, near) == largest).any(), sign


@pytest.mark.parametrize("seed", SEEDS)
def test_aisles_repeat_and_their_codes_do_not(seed: int) -> None:
    p = plan(seed)
    aisles = [room for room in p.rooms if room.category == "aisle"]
    racks = [piece for piece in p.pieces if piece.model.category == "rack"]
    assert len({piece.model for piece in racks}) == 1
    blocks = {room.box[1] for room in aisles}
    assert len(blocks) in (1, 2) and 3 <= len(aisles) / len(blocks) <= 6
    assert len({room.label for room in aisles}) == len(aisles)
    texts = [sign.text for sign in p.signs]
    assert all(texts.count(room.label) == 2 for room in aisles)
    bays = [sign.text for sign in p.signs if sign.text not in {room.label for room in p.rooms}]
    assert len(bays) == len(set(bays))
    for room in aisles:
        sides = [sorted((q.x, q.y, q.degrees) for q in racks if q.room == room.name and abs(q.degrees) == way) for way in (0.0, 180.0)]
        assert len(sides[0]) == len(sides[1]) >= 1


def test_a_warehouse_has_what_one_expects() -> None:
    for seed in SEEDS:
        rooms = {room.category for room in plan(seed).rooms}
        assert rooms >= {"aisle", "main_aisle", "receiving", "packing", "returns", "charging", "office", "break_room", "restroom", "first_aid", "exit"}
        assert rooms <= set(places("warehouse"))
        standing = {(piece.room, piece.model.category) for piece in plan(seed).pieces}
        telling = {("receiving", "pallet"), ("packing", "packing_table"), ("returns", "boxes"), ("charging", "charging_station"), ("office", "desk")}
        assert telling <= standing
        named = {sign.room for sign in plan(seed).signs}
        assert named == {room.name for room in plan(seed).rooms if room.is_goal}
    assert {"dock", "cold_storage"} <= {room.category for seed in SEEDS for room in plan(seed).rooms}


def test_the_seed_decides_and_clutter_counts() -> None:
    assert plan_warehouse(3, ToyCatalogue()) == plan(3)
    assert plan(3) != plan(4)
    bare, full = (sum(len(plan_warehouse(seed, ToyCatalogue(), clutter).pieces) for seed in range(6)) for clutter in (0.0, 2.0))
    assert bare < full


def test_a_mirror_twice_changes_nothing() -> None:
    p = plan(5)
    for x, y in itertools.product((False, True), repeat=2):
        back = mirrored(mirrored(p, x, y), x, y)
        assert [room.name for room in back.rooms] == [room.name for room in p.rooms]
        for one, other in zip(back.pieces, p.pieces):
            assert (one.x, one.y) == pytest.approx((other.x, other.y), abs=1e-3)
            assert math.cos(math.radians(one.degrees - other.degrees)) == pytest.approx(1.0)


def test_no_warehouse_without_racks() -> None:
    class NoRacks(ToyCatalogue):
        def pick(self, category: str, rng: np.random.Generator, within: tuple[float, float, float] = (9.0, 9.0, 9.0)) -> Model | None:
            return None if category == "rack" else super().pick(category, rng, within)

    with pytest.raises(BadInputError, match="rack"):
        plan_warehouse(0, NoRacks())


