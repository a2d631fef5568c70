"""Starts: reachable, with room, reproducible, and refused where there is none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.sim.starts import FloorPlan, floor_plan, random_start, start_from_text
from astra.sim.world import World, WorldTruth


@pytest.fixture
def world() -> World:
    """Two halls, 4 m × 4 m each, behind one another with a closed wall between; the tour starts in the left one."""
    free = np.ones((80, 162), bool)
    free[:, 80:82] = False
    truth = WorldTruth((), (), np.zeros((0, 2)), Pose2(1.0, 1.0, 0.0), free, 0.05, (0.0, 0.0))
    return World("halls", Path("halls/scene.xml"), truth)


def test_starts_are_reachable_and_have_room(world: World) -> None:
    rng = np.random.default_rng(0)
    poses = [random_start(world, rng, clearance_m=0.5) for _ in range(200)]
    xy = np.array([(p.x, p.y) for p in poses])
    assert (xy > 0.4).all() and (xy < 3.6).all()
    assert np.abs(xy.mean(axis=0) - 2.0).max() < 0.25 and xy.std(axis=0).min() > 0.6
    assert np.abs(np.mean(np.exp(1j * np.array([p.yaw for p in poses])))) < 0.25
    assert random_start(world, np.random.default_rng(7)) == random_start(world, np.random.default_rng(7))


def test_without_a_home_the_largest_part_counts(world: World) -> None:
    plan = floor_plan(world)
    shrunk = plan.free.copy()
    shrunk[:, :40] = False
    lost = FloorPlan(shrunk, plan.resolution_m, plan.origin_xy)
    rows, columns = np.nonzero(lost.reachable(lost.clearance_m()))
    assert len(rows) and columns.min() > 82


def test_a_given_start_is_parsed_and_checked(world: World) -> None:
    rng = np.random.default_rng(0)
    assert start_from_text("2, 2.5, -1.5", world, rng, 0.22) == Pose2(2.0, 2.5, -1.5)
    assert start_from_text("random", world, rng, 0.22).is_finite()
    for text in ("2,2", "here", "nan,0,0"):
        with pytest.raises(BadInputError, match="start"):
            start_from_text(text, world, rng, 0.22)
    for text in ("4.05,2,0", "3.9,2,0", "-3,2,0"):
        with pytest.raises(BadInputError, match="no room"):
            start_from_text(text, world, rng, 0.22)


def test_a_world_without_room_says_so(world: World) -> None:
    with pytest.raises(BadInputError, match="no reachable floor"):
        random_start(world, np.random.default_rng(0), clearance_m=3.0)


def test_clearance_is_distance(world: World) -> None:
    plan = floor_plan(world)
    cell = plan.cell(1.0, 2.0)
    assert cell is not None and plan.clearance_m()[cell] == pytest.approx(1.0, abs=0.08)
    assert plan.cell(-0.01, 1.0) is None and plan.cell(8.2, 1.0) is None and not math.isnan(plan.clearance_m().max())
