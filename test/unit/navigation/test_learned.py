"""The learned planner makes maps of the grid, proposes the best sample in odom, remembers it, and gives up where none is free."""

from __future__ import annotations

import math

import numpy as np
import pytest

from astra.core.types import Float32Array, FloatArray
from astra.geometry import Pose2
from astra.local_model.planning.clearing import ClearingConfig
from astra.local_model.planning.config import PlannerConfig
from astra.navigation.grid import LocalGrid
from astra.navigation.learned import LearnedConfig, LearnedPlanner
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.protocols import LocalPlanError, LocalScene, NoLocalPath, Planner, Subgoal
from astra.navigation.shield import Shield, ShieldConfig, ShieldedPlanner

HERE = Pose2(3.0, -2.0, 0.7)


class Fan:
    """Arcs of even turning rates instead of a network; remembers what it was asked."""

    def __init__(self, speed: float = 0.5, turns: tuple[float, ...] = (-0.5, 0.0, 0.5)) -> None:
        self.config, self.speed, self.turns = PlannerConfig(), speed, turns
        self.spreads: list[float] = []
        self.maps: Float32Array = np.zeros(0, np.float32)
        self.velocity: FloatArray = np.zeros(0)

    def sample(
        self, maps: Float32Array, velocity: FloatArray, goal: FloatArray, count: int, rng: np.random.Generator, *, steps: int | None = None, spread: float = 1.0
    ) -> FloatArray:
        self.maps, self.velocity = maps, velocity
        self.spreads.append(spread)
        at = 0.25 * np.arange(1, 13)
        out = []
        for turn in self.turns:
            middle = turn * (at - 0.125)
            out.append(np.stack([np.cumsum(0.25 * self.speed * np.cos(middle)), np.cumsum(0.25 * self.speed * np.sin(middle)), turn * at], axis=1))
        return np.stack(out)


def scene(walls: list[tuple[float, float, float, float]], stamp_s: float = 1.0, speed: float = 0.5) -> LocalScene:
    """Boxes x0, y0, x1, y1 [m] in front of a robot at HERE, in its own frame."""
    cells = (np.arange(160) + 0.5) * 0.05 - 4.0
    y, x = np.meshgrid(cells, cells, indexing="ij")
    local = HERE.inverse().apply(np.stack([x + HERE.x, y + HERE.y], axis=-1).reshape(-1, 2)).reshape(160, 160, 2)
    occupied = np.zeros((160, 160), bool)
    for x0, y0, x1, y1 in walls:
        occupied |= (local[..., 0] >= x0) & (local[..., 0] <= x1) & (local[..., 1] >= y0) & (local[..., 1] <= y1)
    return LocalScene(round(stamp_s * 1e9), HERE, speed, 0.0, LocalGrid.from_occupied(occupied, HERE.x - 4.0, HERE.y - 4.0, 0.05))


def to(x: float, y: float) -> Subgoal:
    return Subgoal(HERE @ Pose2(x, y, 0.0))


def test_the_maps_are_seen_from_the_robot() -> None:
    planner = LearnedPlanner(Fan())
    assert isinstance(planner, Planner)
    maps = planner.maps(scene([(1.0, -3.0, 1.2, 3.0)]))
    row = maps[0, 32] * 0.8 + 0.22  # along the robot's x axis
    x = (np.arange(64) + 0.5) * 0.1 - 3.2
    for k in (36, 38):
        assert row[k] == pytest.approx(1.0 - x[k], abs=0.06)
    assert (maps[:5] == maps[0]).all() and maps[5, 32, 32] == 1.0


def test_a_free_way_becomes_a_path_in_odom() -> None:
    path = LearnedPlanner(Fan()).plan(scene([]), to(2.5, 0.0))
    assert path.poses[0] == pytest.approx([HERE.x, HERE.y, HERE.yaw])
    assert path.end().distance_to(HERE @ Pose2(1.5, 0.0, 0.0)) < 1e-6 and path.speeds_mps == pytest.approx(0.5)


def test_a_path_asks_for_the_speed_that_the_robot_is_to_reach() -> None:
    fan = Fan(turns=(0.0,))
    poses = fan.sample(np.zeros(0, np.float32), np.zeros(0), np.zeros(0), 1, np.random.default_rng(0))
    poses[0, :, 0] = np.cumsum(0.25 * np.array([0.1, 0.3, *[0.5] * 8, 0.3, 0.1]))
    fan.sample = lambda *_, **__: poses  # type: ignore[method-assign]
    speeds = LearnedPlanner(fan, LearnedConfig(brisk_mps=0.0)).plan(scene([], speed=0.0), to(2.5, 0.0)).speeds_mps
    assert speeds[:10] == pytest.approx(0.5) and speeds[-1] == pytest.approx(0.1)


def test_a_slow_learner_goes_faster_where_there_is_room_and_not_where_there_is_none() -> None:
    planner = LearnedPlanner(Fan(speed=0.2, turns=(0.0,)), LearnedConfig(brisk_mps=0.5))
    assert planner.plan(scene([], speed=0.2), to(2.5, 0.0)).speeds_mps == pytest.approx(0.5, abs=0.02)
    narrow = planner.plan(scene([(-1.0, 0.35, 2.0, 0.5), (-1.0, -0.5, 2.0, -0.35)], 1.2, 0.2), to(2.5, 0.0))
    assert narrow.speeds_mps.mean() < 0.25


def test_a_blocked_way_is_left_for_a_free_one_and_the_choice_is_kept() -> None:
    planner = LearnedPlanner(Fan(turns=(-0.6, 0.0, 0.6)), LearnedConfig(clearing=ClearingConfig(rounds=0)))
    left = planner.plan(scene([(1.0, -1.5, 1.3, 0.15)]), to(2.5, 0.0))
    assert (HERE.inverse() @ left.end()).y > 0.5
    again = planner.plan(scene([(1.2, -0.1, 1.3, 0.1)], 1.1), to(2.5, 0.0))  # now both sides are as good
    assert (HERE.inverse() @ again.end()).y > 0.5
    planner.reset()


def test_none_free_is_tried_once_more_with_more_noise_and_then_given_up() -> None:
    fan = Fan()
    with pytest.raises(LocalPlanError) as error:
        LearnedPlanner(fan).plan(scene([(0.4, -3.0, 0.6, 3.0)]), to(2.5, 0.0))
    assert error.value.reason is NoLocalPath.SUBGOAL_UNREACHABLE and fan.spreads == [1.0, 1.5]
    with pytest.raises(LocalPlanError):
        LearnedPlanner(fan).plan(scene([]), Subgoal(Pose2(math.nan, 0.0, 0.0)))


def test_a_turn_on_the_spot_asks_the_controller_for_the_new_direction() -> None:
    path = LearnedPlanner(Fan(speed=0.0, turns=(0.6,))).plan(scene([], speed=0.0), to(-2.0, 1.0))
    way = path.end().distance_to(HERE)
    assert way == pytest.approx(LearnedConfig().turn_path_m) and path.end().yaw == pytest.approx(math.remainder(HERE.yaw + 1.8, 2 * math.pi))
    with pytest.raises(LocalPlanError):
        LearnedPlanner(Fan(speed=-0.2, turns=(0.0,))).plan(scene([], speed=0.0), to(2.0, 0.0))


def test_velocities_are_remembered_by_their_times() -> None:
    fan = Fan()
    planner = LearnedPlanner(fan)
    for k in range(6):
        planner.plan(scene([], 1.0 + 0.1 * k, 0.1 * k), to(2.5, 0.0))
    np.testing.assert_allclose(fan.velocity[:, 0], [0.5, 0.25, 0.0, 0.0], atol=1e-6)


def test_behind_the_shield_the_classical_planner_drives_where_no_sample_is_free() -> None:
    from astra.navigation.gate import Ages

    shielded = ShieldedPlanner(LearnedPlanner(Fan()), ClassicalPlanner(), Shield(ShieldConfig(budget_s=50.0)), lambda: Ages(0.0, 0.0))
    assert len(shielded.plan(scene([]), to(2.5, 0.0)).poses) == 13
    shielded.plan(scene([(0.5, -0.4, 0.7, 0.4)]), to(2.5, 0.0))
    assert shielded.counts.fallbacks == 1 and shielded.counts.reasons == {"no_path": 1}
