"""What was seen stays where it was in the world for two seconds; who arrives is believed at once."""

from __future__ import annotations

import numpy as np

from astra.geometry import Pose2
from astra.local_model.grid import VoxelGrid
from astra.local_model.memory import LastingMap, NearMemory

GRID = VoxelGrid(size_m=4.0, resolution_m=0.1, levels=1, level_m=1.2)
S = 1_000_000_000


def look(*cells: tuple[int, int]) -> np.ndarray:
    near = np.full((40, 40), 0.05, np.float32)
    for cell in cells:
        near[cell] = 0.95
    return near


def test_a_thing_that_is_passed_is_still_known_and_then_forgotten() -> None:
    memory, everywhere, nowhere = NearMemory(GRID), np.ones((40, 40), bool), np.zeros((40, 40), bool)
    memory.add(0, Pose2(), look((20, 30)), everywhere)
    recent, seen = memory.add(S, Pose2(1.0, 0.0, 0.0), np.full((40, 40), 0.5, np.float32), nowhere)
    assert recent[20, 20] > 0.8 and recent[20, 30] < 0.6 and seen[20, 20]
    assert not seen[20, 35]  # 1.5 m ahead now, 2.5 m ahead then: beyond the near map
    _, seen = memory.add(2 * S + S // 2, Pose2(1.0, 0.0, 0.0), look(), nowhere)
    assert not seen.any()


def test_looks_are_averaged_but_an_arrival_is_not() -> None:
    memory, everywhere = NearMemory(GRID), np.ones((40, 40), bool)
    for tick in range(10):
        memory.add(tick * S // 10, Pose2(), look((10, 10)), everywhere)
    recent, _ = memory.add(S, Pose2(), look((30, 30)), everywhere)
    assert recent[30, 30] > 0.85 and recent[10, 10] > 0.5
    for tick in range(11, 40):
        recent, _ = memory.add(tick * S // 10, Pose2(), look(), everywhere)
    assert recent[10, 10] < 0.2


def test_a_clock_that_steps_back_clears_the_past() -> None:
    memory, everywhere = NearMemory(GRID), np.ones((40, 40), bool)
    memory.add(S, Pose2(), look((10, 10)), everywhere)
    recent, seen = memory.add(0, Pose2(), look(), np.zeros((40, 40), bool))
    assert recent[10, 10] < 0.1 and not seen.any()


def test_looks_that_are_sure_outweigh_others_and_stay_where_they_were() -> None:
    grid = VoxelGrid()
    memory = LastingMap(grid)
    wall = np.full((48, 48), 0.02, np.float32)
    wall[:, 34:36] = 0.98  # 2 m ahead
    for tick in range(4):
        memory.add(tick * 500_000_000, Pose2(), wall)
    doubt = memory.add(2_000_000_000, Pose2(1.0, 0.0, 0.0), np.full((48, 48), 0.5, np.float32))
    assert (doubt[10:38, 29:31] > 0.9).all() and (doubt[10:38, 10:28] < 0.1).all()
    young = LastingMap(grid)
    np.testing.assert_allclose(young.add(0, Pose2(), wall), np.clip(wall, 0.01, 0.99), atol=1e-3)
    assert np.abs(memory.add(0, Pose2(), np.full((48, 48), 0.5, np.float32)) - 0.5).max() < 1e-3  # the clock stepped back


def test_a_second_look_within_the_step_is_not_kept() -> None:
    often, seldom, rng = LastingMap(VoxelGrid()), LastingMap(VoxelGrid()), np.random.default_rng(0)
    looks = rng.random((11, 48, 48)).astype(np.float32)
    for tick, look in enumerate(looks):
        fast = often.add(tick * 100_000_000, Pose2(0.01 * tick, 0.0, 0.0), look)
        if tick % 5 == 0:
            slow = seldom.add(tick * 100_000_000, Pose2(0.01 * tick, 0.0, 0.0), look)
    np.testing.assert_allclose(fast, slow, atol=1e-5)
