"""What planning costs: a tick of the learned planner, its choice and the shield, part by part, for several numbers of solver steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.evaluation.bench_report import Result, spread, write_report
from astra.geometry import Pose2
from astra.local_model.planning.runtime import TrajectorySampler
from astra.navigation.grid import LocalGrid
from astra.navigation.learned import LearnedConfig, LearnedPlanner
from astra.navigation.protocols import LocalPlanError, LocalScene, Subgoal
from astra.navigation.shield import Foretold, Shield


@dataclass(frozen=True, slots=True)
class BenchPlannerConfig:
    """What is run: made-up rooms of boxes, with a forecast of four moments as full as the grid."""

    model: Path = Path("models/planner")
    ticks: int = 100
    boxes: int = 8
    steps: tuple[int, ...] = (1, 2, 4, 8)

    def __post_init__(self) -> None:
        require(self.ticks >= 10, "ticks", self.ticks, "at least 10")


def run(config: BenchPlannerConfig, out: Path, told: Callable[[str], None]) -> list[Result]:
    """Measure and write the report.

    Raises:
        BadInputError: no exported planner.
    """
    sampler, results = TrajectorySampler(config.model), list[Result]()
    for steps in config.steps:
        wall, cpu, shield = measure(LearnedPlanner(sampler, replace(LearnedConfig(), steps=steps)), config)
        own = steps == sampler.config.solver_steps
        target = "p95 ≤ 25 ms" if own else ""
        results += [*spread(f"tick_cpu_{steps}_steps", cpu * 1e3, "ms", target), *spread(f"tick_wall_{steps}_steps", wall * 1e3, "ms", target)]
        if own:
            results += [*spread("shield_cpu", shield * 1e3, "ms", "≤ 2 ms")]
        told(f"{steps} steps")
    notes = (
        f"Maps, {LearnedConfig().samples} samples in one batch, choice and shield; {sampler.config.solver}, {sampler.config.solver_steps} steps as shipped; "
        "one thread. CPU time is of the process; wall time suffers from whatever else runs."
    )
    write_report(results, out, "What planning costs", notes)
    return results


def measure(planner: LearnedPlanner, config: BenchPlannerConfig) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Wall and CPU time of each tick (N,) [s], and the shield's CPU time."""
    rng, shield, here = np.random.default_rng(0), Shield(), Pose2()
    wall, cpu, judged = [], [], []
    for tick in range(config.ticks + 5):
        grid = _room(rng, config.boxes)
        foretold = tuple(Foretold(after, grid.points) for after in (0.5, 1.0, 1.5, 2.0))
        scene = LocalScene(tick * 100_000_000, here, 0.4, 0.0, grid)
        began, began_cpu = time.perf_counter(), time.process_time()
        try:
            path = planner.plan(scene, Subgoal(Pose2(2.3, float(rng.uniform(-1.0, 1.0)))))
            before = time.process_time()
            shield.judge(path, scene, foretold)
            judged.append(time.process_time() - before)
        except LocalPlanError:
            pass  # a room without a way: two draws, which is the dearest tick
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return np.array(wall[5:]), np.array(cpu[5:]), np.array(judged[5:] or [math.nan])


def _room(rng: np.random.Generator, boxes: int) -> LocalGrid:
    """8 × 8 m with boxes that leave the robot's place free."""
    occupied = np.zeros((160, 160), bool)
    for _ in range(boxes):
        row, column = rng.integers(5, 150, 2)
        occupied[row : row + int(rng.integers(4, 16)), column : column + int(rng.integers(4, 16))] = True
    occupied[68:92, 68:92] = False
    return LocalGrid.from_occupied(occupied, -4.0, -4.0, 0.05)
