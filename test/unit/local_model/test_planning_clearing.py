"""Trajectories are pushed clear of what the maps show, and are left alone where nothing is near."""

from __future__ import annotations

import numpy as np
import pytest

from astra.core.types import Float32Array, FloatArray
from astra.local_model.planning.choice import clearance_along
from astra.local_model.planning.clearing import Clearing, ClearingConfig
from astra.local_model.planning.config import MapConfig
from astra.local_model.planning.maps import NOTHING_M, clearance_maps

MAPS, STEP_S = MapConfig(), 0.25


def arcs(v: float, turns: list[float], steps: int = 12) -> FloatArray:
    """(K, T, 3): constant twists."""
    yaw = np.array(turns)[:, None] * STEP_S * np.arange(1, steps + 1)
    middle = yaw - 0.5 * np.array(turns)[:, None] * STEP_S
    return np.stack([np.cumsum(v * STEP_S * np.cos(middle), axis=1), np.cumsum(v * STEP_S * np.sin(middle), axis=1), yaw], axis=-1)


def maps(discs: list[list[float]], shifts: tuple[float, ...] = (0.0,) * 5) -> Float32Array:
    """Discs that move sideways by so much from moment to moment."""
    given = np.repeat(np.array(discs, np.float64).reshape(1, -1, 3), 5, axis=0)
    given[..., 1] += np.array(shifts)[:, None]
    nothing = np.full((MAPS.cells, MAPS.cells), NOTHING_M, np.float32)
    return clearance_maps(nothing, np.ones(nothing.shape, bool), given, 0.22, MAPS)


def room(poses: FloatArray, seen: Float32Array) -> FloatArray:
    return clearance_along(seen, poses, STEP_S, MAPS).min(axis=1)


def clearing(**settings: float) -> Clearing:
    return Clearing(MAPS, 12, STEP_S, ClearingConfig(**settings))  # type: ignore[arg-type]


def test_what_is_clear_stays_as_it_was_drawn() -> None:
    drawn = arcs(0.4, [-0.4, 0.0, 0.4])
    np.testing.assert_allclose(clearing()(drawn, maps([[0.0, 3.0, 0.2]])), drawn, atol=1e-9)


@pytest.mark.parametrize("beside", [-0.12, 0.12])
def test_a_thing_on_the_way_is_passed_on_the_nearer_side(beside: float) -> None:
    drawn, seen = arcs(0.4, [0.0]), maps([[0.9, beside, 0.15]])
    assert room(drawn, seen)[0] < 0.0
    out = clearing()(drawn, seen)
    assert room(out, seen)[0] > 0.04
    assert np.sign(out[0, -1, 1]) == -np.sign(beside)


def test_wheels_can_do_what_comes_out() -> None:
    out = clearing(rounds=8)(arcs(0.5, [-0.3, 0.0, 0.5]), maps([[0.6, 0.1, 0.2], [1.1, -0.4, 0.2]]))
    before = np.concatenate([np.zeros_like(out[:, :1]), out[:, :-1]], axis=1)
    moved, turns = out - before, out[..., 2] - before[..., 2]
    along = before[..., 2] + 0.5 * turns
    aside = moved[..., 1] * np.cos(along) - moved[..., 0] * np.sin(along)
    np.testing.assert_allclose(aside, 0.0, atol=1e-9)
    assert (np.hypot(moved[..., 0], moved[..., 1]) <= 0.6 * STEP_S + 1e-9).all()
    assert (np.abs(turns) <= 1.2 * STEP_S + 1e-9).all()


def test_a_narrow_gap_is_passed_in_its_middle() -> None:
    drawn, seen = arcs(0.35, [0.2]), maps([[0.6, 0.5, 0.15], [0.6, -0.5, 0.15]])
    straight = room(arcs(0.35, [0.0]), seen)[0]
    assert room(drawn, seen)[0] < straight - 0.03
    assert room(clearing()(drawn, seen), seen)[0] == pytest.approx(straight, abs=0.012)


def test_who_will_be_elsewhere_by_then_is_not_avoided() -> None:
    drawn = arcs(0.4, [0.0])
    going = maps([[1.2, 0.0, 0.2]], (0.0, 0.8, 1.6, 2.4, 3.2))
    np.testing.assert_allclose(clearing()(drawn, going), drawn, atol=1e-9)


def test_no_rounds_change_nothing() -> None:
    drawn = arcs(0.4, [0.0])
    np.testing.assert_array_equal(clearing(rounds=0)(drawn, maps([[0.9, 0.1, 0.15]])), drawn)
