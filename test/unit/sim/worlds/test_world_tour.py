"""The tour of a small building: everywhere, past every sign, with room to spare."""

from __future__ import annotations

import math

import numpy as np
from small_plan import block, small_plan, without_opening

from astra.core.types import BoolArray
from astra.geometry.distance import distance_to_occupied
from astra.sim.meshes import SceneBuilder
from astra.sim.worlds.fitout import Fitter
from astra.sim.worlds.plan import Plan
from astra.sim.worlds.style import STYLES
from astra.sim.worlds.tour import Tour, plan_tour
from astra.sim.worlds.truth import free_space


class Boxes:
    """Furnishes with solid boxes."""

    def pick(self, category: str, rng: np.random.Generator, within: object = None) -> None:
        return None

    def build(self, scene: SceneBuilder, model, x, y, yaw_rad, z_m, rng, zone) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
        scene.solid_box((x, y, z_m + model.size_m[2] / 2), model.size_m, yaw_rad)
        return 100.0, 100.0, 100.0


def toured(plan: Plan) -> tuple[Tour, BoolArray]:
    fitter = Fitter(plan, Boxes(), STYLES["office"], (0,))
    fitter.furnish()
    free = free_space(fitter.scene.solids, plan.outline)
    return plan_tour(plan, free, free_space(fitter.scene.solids, plan.outline, 1.0, 2.5)), free


def test_the_tour_enters_every_room_and_keeps_clear() -> None:
    plan = small_plan(pieces=(block(6.0, -2.0, (2.0, 3.0, 1.0)), block(2.0, 5.0, room="room_0")))
    tour, free = toured(plan)
    assert tour.missed == ()
    for room in plan.rooms:
        x0, y0, x1, y1 = room.box
        inside = (tour.waypoints > [x0, y0]).all(axis=1) & (tour.waypoints < [x1, y1]).all(axis=1)
        assert inside.any(), room.name
    cells = np.floor((tour.waypoints - plan.outline[:2]) / 0.05).astype(int)
    clearance = distance_to_occupied(~free, 0.05)[cells[:, 1], cells[:, 0]]
    assert clearance.min() >= 0.25
    steps = np.linalg.norm(np.diff(tour.waypoints, axis=0), axis=1)
    assert steps.max() < 0.4
    assert steps.sum() < 60.0
    assert (tour.start.x, tour.start.y) == tuple(tour.waypoints[0])
    assert 0.0 < tour.start.y < 2.0  # begins in the corridor


def test_every_sign_is_passed_in_front_and_close_by() -> None:
    plan = small_plan()
    tour, _ = toured(plan)
    for sign in plan.signs:
        offset = tour.waypoints - np.array(sign.at)
        ahead, distance = offset @ np.array(sign.facing), np.linalg.norm(offset, axis=1)
        assert ((ahead > 0.5) & (distance < 9.0 * sign.letter_m) & (ahead > math.cos(math.radians(42.0)) * distance)).any(), sign.text


def test_what_cannot_be_reached_or_read_is_named() -> None:
    tour, _ = toured(without_opening(small_plan(), 1))
    assert tour.missed == ("lounge",)
    hidden = tuple(block(3.2, 1.4, (2.0, 0.9, 1.8), room="corridor") for _ in range(1))
    tour, _ = toured(small_plan(pieces=hidden))
    assert "ROOM 0" in tour.missed


def test_low_furniture_hides_no_sign() -> None:
    tour, _ = toured(small_plan(pieces=(block(3.2, 1.75, (1.2, 0.3, 0.9), room="corridor"),)))
    assert tour.missed == ()


def test_the_same_plan_has_the_same_tour() -> None:
    assert (toured(small_plan())[0].waypoints == toured(small_plan())[0].waypoints).all()
