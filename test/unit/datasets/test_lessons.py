"""Lessons for the planner: what the expert meant, what a robot has seen, and nothing that it could not have seen."""

from __future__ import annotations

import numpy as np
import pytest

from astra.core.types import AnyArray
from astra.datasets.expert import floor_for
from astra.datasets.lessons import LessonConfig, Lessons, PlannedWorld, Sight
from astra.geometry import Pose2
from astra.local_model.planning.config import MapConfig
from astra.sim.robot import RobotConfig
from astra.sim.world import WorldTruth


def room() -> WorldTruth:
    """6 × 5 m with a wall that leaves a way around it."""
    free = np.zeros((100, 120), bool)
    free[2:98, 2:118] = True
    free[2:60, 58:62] = False
    nothing: AnyArray = np.zeros((0, 2))
    return WorldTruth((), (), nothing, Pose2(1.0, 1.0, 0.0), free, 0.05, (0.0, 0.0))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, AnyArray]]:
    return list(Lessons(PlannedWorld(room(), None), RobotConfig(), 3, LessonConfig(seconds=12.0)).rows())


def test_plans_begin_here_and_keep_clear_of_what_stands_there(rows: list[dict[str, AnyArray]]) -> None:
    assert len(rows) > 20
    plans = np.stack([row["plan"] for row in rows])
    assert plans.shape[1:] == (12, 3) and np.hypot(*plans[:, 0, :2].T).max() < 0.6 * 0.25 + 0.02
    cells = np.floor((plans[..., :2] + 3.2) / 0.1).astype(int)
    room_m = np.array([row["field"][y, x] for row, way in zip(rows, cells) for x, y in way], np.float64)
    assert room_m.min() > 0.22 - 0.1


def test_a_robot_knows_what_it_saw_and_forgets_it() -> None:
    config = LessonConfig(memory_s=5.0)
    sight, points = Sight(room(), config), MapConfig().points(fine=True)
    ranges, seen = sight.look(Pose2(1.5, 1.5, 0.0), np.array([[2.5, 1.5, 0.2], [4.5, 1.5, 0.2]]), 0.0)
    assert ranges[0] == pytest.approx(0.8, abs=0.05) and seen.tolist() == [True, False]  # the second stands behind the wall
    occupied, known = sight.around(Pose2(1.5, 1.5, 0.0), 1.0, points)
    assert occupied.any() and known[64, 64] and not known[64, 64 + 40]
    assert not sight.around(Pose2(1.5, 1.5, 0.0), 6.0, points)[1].any()


def test_the_truth_is_seen_from_the_robot(rows: list[dict[str, AnyArray]]) -> None:
    row = rows[0]
    occupied = np.unpackbits(row["occupied"]).reshape(128, 128).astype(bool)
    assert occupied.any()
    near = row["field"][np.nonzero(occupied)[0] // 2, np.nonzero(occupied)[1] // 2].astype(np.float64)
    assert near.max() < 0.1  # what is seen as occupied is
    assert floor_for(room(), RobotConfig()).passable.any() and row["route_m"] > 0.0


def test_a_learner_drives_and_the_expert_says_what_it_would_do() -> None:
    def circles(row: dict[str, AnyArray]) -> AnyArray:
        assert "plan" in row and row["velocity"].shape == (4, 2)
        turn = 1.0 * 0.25 * np.arange(1, 13)
        return np.stack([0.2 * np.sin(turn), 0.2 * (1.0 - np.cos(turn)), turn], axis=1)

    config = LessonConfig(seconds=9.0, piloted_s=(8.0, 8.0))
    led = list(Lessons(PlannedWorld(room(), None), RobotConfig(), 3, config, circles).rows())
    speeds = np.stack([row["velocity"][0] for row in led[4:]])
    assert speeds[:, 1] == pytest.approx(1.0, abs=0.05) and speeds[:, 0] == pytest.approx(0.2, abs=0.02)
    assert any(abs(float(row["plan"][-1, 2]) - 3.0) > 1.0 for row in led)  # the expert would not go on like that
