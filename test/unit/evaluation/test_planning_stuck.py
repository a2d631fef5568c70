"""Never stuck for ever: narrow doorways, a person in the way who leaves, a closed door with another way, and none at all; classical and shipped planner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astra.core.types import AnyArray, BoolArray, FloatArray
from astra.datasets.lessons import LessonConfig, PlannedWorld
from astra.evaluation.planning_loop import Body, Episode, Task, drive, learned_and_shielded
from astra.geometry import Pose2
from astra.local_model.planning.runtime import TrajectorySampler
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.protocols import Planner
from astra.sim.robot import RobotConfig
from astra.sim.world import WorldTruth

CELL = 0.05
MODEL = Path(__file__).resolve().parents[3] / "models/planner"
Maker = Callable[[Body], Planner]


@pytest.fixture(scope="module", params=["classical", pytest.param("shipped", marks=pytest.mark.slow)])
def make(request: pytest.FixtureRequest) -> Maker:
    if request.param == "classical":
        return lambda body: ClassicalPlanner()
    sampler = TrajectorySampler(MODEL)
    return lambda body: learned_and_shielded(sampler)


class Bystander:
    """Stands in the way until it leaves."""

    def __init__(self, x: float, y: float, until_s: float) -> None:
        self.place, self.until_s = (x, y, 0.25), until_s

    def reset(self, time_s: float, robot_xy: tuple[float, float]) -> None: ...

    def advance(self, time_s: float, robot_xy: tuple[float, float]) -> None: ...

    def positions(self, times_s: FloatArray) -> FloatArray:
        away = np.array([100.0, 100.0, 0.25])
        return np.stack([np.array([self.place]) if t < self.until_s else away[None] for t in times_s])


def hall(doors: tuple[tuple[float, float], ...], width_m: float = 3.0) -> BoolArray:
    """Free cells of a hall of 6 m with a wall across it at x = 3 m and doors from y to y in it."""
    free = np.zeros((round(width_m / CELL), 120), bool)
    free[2:-2, 2:-2] = True
    free[:, 59:62] = False
    for low, high in doors:
        free[round(low / CELL) : round(high / CELL), 59:62] = True
    return free


def episode(free: BoolArray, make: Maker, y: float, movers: Any = None) -> Episode:
    nothing: AnyArray = np.zeros((0, 2))
    truth = WorldTruth((), (), nothing, Pose2(1.0, y, 0.0), free, CELL, (0.0, 0.0))
    line = np.column_stack([np.linspace(1.2, 4.8, 19), np.full(19, y), np.zeros(19)])
    return drive(Task("hall/0", PlannedWorld(truth, movers), Pose2(1.2, y, 0.0), line, Pose2(4.8, y, 0.0)), make, RobotConfig(), LessonConfig(beams=180))


@pytest.mark.parametrize("wider_m", [0.4, 0.11])
def test_a_doorway_little_wider_than_the_robot_is_passed(wider_m: float, make: Maker) -> None:
    half = RobotConfig().radius_m + 0.5 * wider_m
    done = episode(hall(((1.5 - half, 1.5 + half),)), make, 1.5)
    assert done.arrived and done.collisions == 0


def test_a_person_in_the_way_who_leaves_after_20_s_is_waited_for(make: Maker) -> None:
    free = hall(((0.1, 1.1),), width_m=1.2)
    done = episode(free, make, 0.6, Bystander(3.0, 0.6, 20.0))
    assert done.arrived and done.at_fault == 0 and done.lasted_s > 20.0


def test_a_closed_door_is_left_for_another_way(make: Maker) -> None:
    done = episode(hall(((2.0, 2.9),)), make, 0.8)
    assert done.arrived and done.collisions == 0


def test_where_there_is_no_way_the_drive_ends_and_says_why(make: Maker) -> None:
    done = episode(hall(()), make, 1.5)
    assert not done.arrived and done.collisions == 0 and done.recoveries > 0 and done.why
