"""Furnishing one room, and the drawing board beneath: rectangles, openings, walls, free floor."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from toy_catalogue import USUAL, ToyCatalogue

from astra.core.errors import BadInputError
from astra.sim.worlds.boards import Boards
from astra.sim.worlds.layout import divide, opening, passage, walls_around
from astra.sim.worlds.placing import Doorway, Floor, Keep, Member, Pose, footprint, free_parts
from astra.sim.worlds.plan import CATEGORIES, Model, Room, Wall
from astra.sim.worlds.recipes import RECIPES
from astra.sim.worlds.rooms import GROUPS, furnish

DOOR = Doorway((1.0, 0.0), (1.9, 0.0))
EVERY = [(kind, category) for kind in RECIPES for category in RECIPES[kind]]


def room(category: str = "office", width: float = 4.0, depth: float = 4.0) -> Room:
    return Room(category, category, "", (0.0, 0.0, width, depth), "planks")


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] - 1e-9 and b[0] < a[2] - 1e-9 and a[1] < b[3] - 1e-9 and b[1] < a[3] - 1e-9


@pytest.mark.parametrize(("kind", "category"), EVERY)
def test_every_recipe_fills_a_room_without_blocking_it(kind, category) -> None:
    for seed in range(3):
        pieces = furnish(room(category), [DOOR, Doorway((4.0, 2.5), (4.0, 3.4))], ToyCatalogue(), np.random.default_rng(seed), 1.0, kind)
        boxes = [footprint(piece) for piece in pieces if piece.z_m == 0.0]
        assert all(box[0] > 0.06 and box[1] > 0.06 and box[2] < 3.94 and box[3] < 3.94 for box in boxes)
        assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
        _, _, parts = free_parts((0.06, 0.06, 3.94, 3.94), boxes, 0.37)
        assert parts.max() >= 1
        assert not any(overlap(box, (1.0, 0.0, 1.9, 0.7)) or overlap(box, (3.3, 2.5, 4.0, 3.4)) for box in boxes)


def test_recipes_name_what_exists() -> None:
    assert set(USUAL) == set(CATEGORIES)
    for rules in (rules for recipes in RECIPES.values() for rules in recipes.values()):
        assert all(rule.what in CATEGORIES or rule.what in GROUPS for rule in rules)


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(BadInputError, match="ballroom"):
        furnish(room("ballroom"), [DOOR], ToyCatalogue(), np.random.default_rng(0))


def test_an_empty_catalogue_leaves_the_room_empty() -> None:
    class Nothing:
        def pick(self, category: str, rng: np.random.Generator, within: tuple[float, float, float] = (9.0, 9.0, 9.0)) -> Model | None:
            return None

    assert all(furnish(room(category), [DOOR], Nothing(), np.random.default_rng(0), 1.0, kind) == [] for kind, category in EVERY)


def test_kept_floor_holds_only_low_things_and_stays_reachable() -> None:
    keep, spot = Keep((0.06, 1.0, 0.8, 3.0), 0.8), Keep((1.5, 1.5, 2.5, 2.5), reach=True)
    for seed in range(10):
        pieces = furnish(room(), [DOOR], ToyCatalogue(), np.random.default_rng(seed), 2.0, "office", [keep, spot])
        assert all(p.model.size_m[2] <= 0.8 for p in pieces if overlap(footprint(p), keep.box))
        assert not any(overlap(footprint(p), spot.box) for p in pieces)


def test_nothing_may_part_two_doors() -> None:
    """A wardrobe across a narrow room fits, but closes the way."""
    narrow = room("hallway", 6.0, 1.5)
    floor = Floor(narrow, [Doorway((0.0, 0.3), (0.0, 1.2)), Doorway((6.0, 0.3), (6.0, 1.2))])
    block = Model("block", "wardrobe", (0.9, 0.9, 2.0))
    slim = Model("slim", "shelf", (0.3, 0.9, 2.0))
    assert not floor.put([Member(block, 0.45, 0.0)], Pose(3.0, 0.1, 90.0))
    assert floor.put([Member(slim, 0.15, 0.0)], Pose(3.0, 0.1, 90.0))
    assert footprint(floor.pieces[0]) == pytest.approx((2.55, 0.1, 3.45, 0.4))


def test_free_floor_of_a_parted_room_has_two_parts() -> None:
    _, _, parts = free_parts((0.0, 0.0, 4.0, 2.0), [(1.9, 0.0, 2.1, 2.0)], 0.3)
    assert parts.max() == 2
    _, _, parts = free_parts((0.0, 0.0, 4.0, 2.0), [(1.9, 0.0, 2.1, 1.3)], 0.3)
    assert parts.max() == 1
    _, _, parts = free_parts((0.0, 0.0, 4.0, 2.0), [(1.9, 0.0, 2.1, 1.5)], 0.3)
    assert parts.max() == 2


def test_walls_go_straight_on_and_stop_where_rooms_meet_without_one() -> None:
    west, east = Room("west", "office", "", (0.0, 0.0, 4.0, 3.0), "planks"), Room("east", "office", "", (4.0, 0.0, 7.0, 3.0), "planks")
    door = Doorway((4.0, 1.0), (4.0, 2.0), ("west", "east"))
    walls = walls_around([west, east], [door], [])
    assert len(walls) == 5
    assert Wall((0.0, 0.0), (7.0, 0.0)) in walls
    assert Wall((4.0, 0.0), (4.0, 3.0), ((1.0, 2.0),)) in walls
    assert len(walls_around([west, east], [], [passage(west, east)])) == 4


def test_divided_stretches_join_up() -> None:
    stretches = divide(1.0, 9.0, [1.0, 2.0, 1.0], np.random.default_rng(0))
    assert stretches[0][0] == 1.0 and stretches[-1][1] == 9.0
    assert all(a[1] == b[0] for a, b in itertools.pairwise(stretches))
    assert stretches[1][1] - stretches[1][0] > 2.5


def test_an_opening_needs_wall_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    low, high = Room("low", "office", "", (0.0, 0.0, 2.0, 3.0), ""), Room("high", "office", "", (1.0, 3.0, 5.0, 6.0), "")
    assert opening(low, high, 0.9, rng) is None
    for _ in range(20):
        door = opening(low, high, 0.6, rng)
        assert door is not None and door.a[1] == door.b[1] == 3.0 and door.a[0] > 1.17 and door.b[0] < 1.83
        assert door.width_m == pytest.approx(0.6)


def test_a_sign_hangs_beside_its_door_and_never_over_an_opening() -> None:
    hall, office = Room("hall", "corridor", "", (0.0, 0.0, 8.0, 2.0), ""), Room("office", "office", "ROOM 7", (0.0, 2.0, 8.0, 6.0), "")
    door = Doorway((3.0, 2.0), (4.0, 2.0), ("hall", "office"))
    boards = Boards([hall, office], walls_around([hall, office], [door], []), [door], [])
    assert boards.beside(door, hall, "ROOM 7", "office") and boards.beside(door, hall, "ROOM 7", "office")
    first, second = (board.sign for board in boards.hung)
    assert first.facing == second.facing == (0.0, -1.0) and first.at[1] == pytest.approx(1.94)
    assert first.at[0] > 4.4 and second.at[0] < 2.6
    assert not boards.beside(door, hall, "ROOM 7", "office"), "both sides are taken"


def test_a_sign_inside_faces_the_room_and_leaves_floor_to_read_it() -> None:
    office = Room("office", "office", "ROOM 7", (0.0, 0.0, 4.0, 4.0), "")
    boards = Boards([office], walls_around([office], [], []), [], [])
    assert boards.inside(office, "ROOM 7", np.random.default_rng(0))
    sign, spot = boards.hung[0].sign, next(keep for keep in boards.keeps_in(office) if keep.reach)
    middle = (spot.box[0] + spot.box[2]) / 2, (spot.box[1] + spot.box[3]) / 2
    assert 1.0 <= math.dist(middle, sign.at) <= 1.6
    assert np.dot(np.subtract(middle, sign.at), sign.facing) > 1.0
