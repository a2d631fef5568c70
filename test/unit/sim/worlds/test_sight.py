"""Which rooms see which: worked out on paper."""

from __future__ import annotations

from dataclasses import replace

from small_plan import small_plan, without_opening

from astra.sim.worlds.plan import Model, Piece
from astra.sim.worlds.sight import portals, seen_from


def test_rooms_see_each_other_through_doors_in_line_only() -> None:
    seen = {name: set(others) for name, others in seen_from(small_plan()).items()}
    assert seen["corridor"] == {"corridor", "room_0", "room_1", "room_2", "lounge"}
    # Rooms beside one another look through parallel doors in one wall: no straight line passes both.
    assert seen["room_0"] == {"room_0", "corridor", "lounge"}
    # From the hall's door at x 1 … 2 lines rise through all doors of the opposite wall.
    assert seen["lounge"] == {"lounge", "corridor", "room_0", "room_1", "room_2"}
    assert all(a in seen[b] for a in seen for b in seen[a])


def test_a_closed_wall_ends_sight_and_a_missing_one_opens_it() -> None:
    closed = seen_from(without_opening(small_plan(), 1))
    assert closed["lounge"] == ("lounge",)
    plan = small_plan()
    opened = seen_from(replace(plan, walls=tuple(w for k, w in enumerate(plan.walls) if k != 2)))
    assert "room_1" in opened["room_0"]
    assert "room_2" not in opened["room_0"]


def test_portals_are_the_openings_with_left_and_right_as_one_walks_through() -> None:
    (door,) = [p for p in portals(small_plan())["corridor"] if p.into == "lounge"]
    assert (door.left, door.right, door.ahead) == ((2.0, 0.0), (1.0, 0.0), (0.0, -1.0))
    (back,) = [p for p in portals(small_plan())["lounge"] if p.into == "corridor"]
    assert (back.left, back.right, back.ahead) == ((1.0, 0.0), (2.0, 0.0), (0.0, 1.0))


def test_racks_hide_what_lies_behind_them_but_are_seen_themselves() -> None:
    plan = small_plan()
    plan = replace(plan, walls=tuple(w for k, w in enumerate(plan.walls) if k not in (2, 3)))
    rack = Model("rack", "rack", (0.8, 4.0, 2.2))
    shelved = replace(plan, pieces=(Piece(rack, 4.45, 4.0, 0.0, "room_1"), Piece(rack, 8.45, 4.0, 0.0, "room_2")))
    assert set(seen_from(plan)["room_0"]) >= {"room_1", "room_2"}
    assert "room_1" in seen_from(shelved)["room_0"]
    assert "room_2" not in seen_from(shelved)["room_0"]
