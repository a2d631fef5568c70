"""The expert in the simulator's physics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from astra.datasets.expert import DisturbanceConfig, Disturber, ExpertDriver, StartKind, draw_start, floor_for
from astra.datasets.expert.trial import drive_to
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import build_office


def test_bad_starts_and_disturbances_in_the_office_end_at_the_goal_without_a_touch(tmp_path: Path) -> None:
    world, robot = build_office(tmp_path / "office", 0), RobotConfig()
    assert world.truth is not None
    floor, home = floor_for(world.truth, robot), (world.truth.tour_start.x, world.truth.tour_start.y)
    for seed, kind in enumerate((StartKind.FACING_WALL, StartKind.CORNER)):
        rng = np.random.default_rng([1, seed])
        driver = ExpertDriver(world.truth, robot, rng, floor=floor)
        start, goal = (draw_start(floor, driver.outline, k, rng, home) for k in (kind, StartKind.FREE))
        simulation = Simulation(world, robot, seed, start, movers=False)
        trial = drive_to(simulation, driver, goal, 90.0, Disturber(floor, driver.outline, robot, rng, DisturbanceConfig(every_s=6.0)))
        assert trial.arrived
        assert (trial.contacts, trial.at_fault) == (0, 0)
        assert simulation.pose().distance_to(goal) < 0.2
        assert trial.length_m < 1.4 * trial.route_m + 1.0
        assert trial.mean_mps > 0.25
        assert trial.clearance_m > 0.02
