"""Every check finds what it is for, and nothing in a plan that is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_plan import block, small_plan

from astra.sim.meshes import SceneBuilder
from astra.sim.worlds.checks import faults, triangles_in_view
from astra.sim.worlds.plan import SOUTH, Piece, Plan, SignPlace
from astra.sim.worlds.sight import seen_from
from astra.sim.worlds.truth import free_space


def found(plan: Plan) -> list[str]:
    scene = SceneBuilder()
    for piece in plan.pieces:
        depth, width, height = piece.model.size_m
        scene.solid_box((piece.x, piece.y, piece.z_m + height / 2), (depth, width, height), np.radians(piece.degrees))
    for wall in plan.walls:
        (ax, ay), (bx, by) = wall.a, wall.b
        length = max(bx - ax, by - ay)
        cuts = [0.0, *(v for o in wall.openings for v in o), length]
        for s, e in zip(cuts[0::2], cuts[1::2]):
            x, y = (ax + (s + e) / 2, ay) if bx > ax else (ax, ay + (s + e) / 2)
            scene.solid_box((x, y, 1.25), (e - s, 0.12, 2.5) if bx > ax else (0.12, e - s, 2.5))
    return faults(plan, free_space(scene.solids, plan.outline))


def test_a_plan_that_is_right_has_no_faults() -> None:
    lamp = block(6.0, -3.0, (0.2, 0.2, 0.4), z_m=1.0)
    assert found(small_plan(pieces=(block(6.0, -3.0), lamp, block(7.1, -3.0)))) == []


@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        (block(6.7, -3.0, degrees=45.0), "stand in each other"),
        (block(4.0, 4.0, room="room_0"), "stands in a wall"),
        (block(12.2, -2.0), "stands in a wall"),
        (block(1.5, -0.6), "is not free"),
        (block(1.5, 1.0, (1.5, 1.5, 1.0), room="corridor"), "is not free"),
    ],
)
def test_furniture_in_the_wrong_place_is_named(piece: Piece, fault: str) -> None:
    assert any(fault in f for f in found(small_plan(pieces=(block(6.0, -3.0), piece))))


def test_a_piece_turned_clear_of_another_is_no_fault() -> None:
    assert found(small_plan(pieces=(block(6.0, -3.0), block(7.15, -2.0, degrees=45.0)))) == []


def test_a_goal_behind_furniture_cannot_be_reached() -> None:
    barrier = tuple(block(8.55 + 0.97 * k, 4.5, (0.95, 0.95, 1.0), room="room_2") for k in range(4))
    assert found(small_plan(pieces=barrier)) == []  # room enough before it
    near = tuple(block(8.55 + 0.97 * k, 2.9, (0.95, 0.7, 1.0), room="room_2") for k in range(4))
    assert "room_2 cannot be reached" in found(small_plan(pieces=near))


def test_signs_over_each_other_are_found() -> None:
    plan = small_plan()
    twice = (*plan.signs, SignPlace("EXIT", (3.5, 1.94), SOUTH, 0.15, 1.3, "room_0"))
    assert any("hang over each other" in f for f in found(replace(plan, signs=twice)))


def test_triangles_count_by_sight_and_by_heading() -> None:
    """Every room draws its floor: from room 0 its own, the corridor's and the hall's can be seen, those two only to the east and south."""
    plan, scene = small_plan(), SceneBuilder()
    grey = scene.patch(np.full((8, 8, 3), 128, np.uint8))
    for room in plan.rooms:
        x0, y0, x1, y1 = room.box
        scene.quad(np.array([(x0, y0, 0.0), (x1, y0, 0.0), (x1, y1, 0.0), (x0, y1, 0.0)]), grey, zone=room.name)
    scene.sees = seen_from(plan)
    counts = triangles_in_view(scene, np.array([[2.0, 5.0]]), views=4)[0]  # east, north, west, south
    assert counts.tolist() == [6, 2, 2, 6]
