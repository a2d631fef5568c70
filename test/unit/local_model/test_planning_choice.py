"""Of several trajectories, the free, forward, steady and agreeing one is chosen; time counts."""

from __future__ import annotations

import numpy as np
import pytest

from astra.core.types import Float32Array, FloatArray
from astra.local_model.planning.choice import ChoiceConfig, Situation, clearance_along, costs
from astra.local_model.planning.config import MapConfig, TrajectoryConfig
from astra.local_model.planning.maps import NOTHING_M, clearance_maps
from astra.local_model.planning.solvers import drivable, poses_of

MAPS, STEP_S = MapConfig(), 0.25


def arc(v: float, w: float, steps: int = 12) -> FloatArray:
    yaw = w * STEP_S * np.arange(1, steps + 1)
    middle = yaw - 0.5 * w * STEP_S
    return np.stack([np.cumsum(v * STEP_S * np.cos(middle)), np.cumsum(v * STEP_S * np.sin(middle)), yaw], axis=1)


def maps(discs: list[list[float]], stays: bool = True) -> Float32Array:
    """Discs that stay, or that are there at first and then gone."""
    given = np.repeat(np.array(discs, np.float64).reshape(1, -1, 3), 5, axis=0)
    if not stays:
        given[2:, :, 0] = 50.0
    nothing = np.full((MAPS.cells, MAPS.cells), NOTHING_M, np.float32)
    return clearance_maps(nothing, np.ones(nothing.shape, bool), given, 0.22, MAPS)


def chosen(poses: list[FloatArray], situation: Situation) -> int:
    return int(np.argmin(costs(np.stack(poses), situation, ChoiceConfig(), MAPS)[0]))


def ahead(velocity: tuple[float, float] = (0.5, 0.0), **more: object) -> Situation:
    return Situation(more.pop("maps", maps([])), velocity, (2.5, 0.0), STEP_S, **more)  # type: ignore[arg-type]


def test_the_straight_way_is_taken_when_it_is_free_and_another_when_it_is_not() -> None:
    ways = [arc(0.5, -0.4), arc(0.5, 0.0), arc(0.5, 0.4)]
    assert chosen(ways, ahead()) == 1
    assert chosen(ways, ahead(maps=maps([[1.2, -0.2, 0.3]]))) == 2
    assert not costs(np.stack(ways), ahead(maps=maps([[1.2, 0.0, 0.4]])), ChoiceConfig(), MAPS)[1][1]


def test_who_is_gone_by_then_does_not_stand_in_the_way() -> None:
    assert clearance_along(maps([[1.2, 0.0, 0.3]], stays=False), arc(0.5, 0.0)[None], STEP_S, MAPS)[0, 17] > 0.5
    assert clearance_along(maps([[1.2, 0.0, 0.3]]), arc(0.5, 0.0)[None], STEP_S, MAPS)[0, 17] < 0.0


def test_a_tie_is_broken_by_the_last_choice() -> None:
    ways = [arc(0.5, 0.3), arc(0.5, -0.3)]
    for k in (0, 1):
        assert chosen(ways, ahead(last=ways[k])) == k


def test_backing_out_and_leaping_cost() -> None:
    assert chosen([arc(-0.2, 0.0), arc(0.1, 0.0)], ahead((0.0, 0.0))) == 1
    assert chosen([arc(1.4, 0.0), arc(0.55, 0.0)], ahead()) == 1  # faster than the robot can


def test_progress_is_along_the_route() -> None:
    corner = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 1.5]])
    situation = Situation(maps([]), (0.3, 0.0), (0.5, 1.5), STEP_S, corner)
    assert chosen([arc(0.3, 0.0), arc(0.3, 0.6)], situation) == 1


def test_what_wheels_cannot_do_is_taken_out() -> None:
    x = np.random.default_rng(0).standard_normal((4, 12, 3))
    poses = poses_of(drivable(x, TrajectoryConfig()), TrajectoryConfig())
    before = np.concatenate([np.zeros((4, 1, 3)), poses[:, :-1]], axis=1)
    moved, middle = poses - before, 0.5 * (poses[..., 2] + before[..., 2])
    sideways = moved[..., 1] * np.cos(middle) - moved[..., 0] * np.sin(middle)
    assert np.abs(sideways).max() == pytest.approx(0.0, abs=1e-9)
