from __future__ import annotations

import pytest
from gazebo_hall import START, Export, build_hall

from astra.sim.gazebo import export_sdf
from astra.sim.robot import RobotConfig
from astra.sim.world import World


@pytest.fixture(scope="session")
def hall(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The hall."""
    return build_hall(tmp_path_factory.mktemp("worlds") / "long hall")


@pytest.fixture(scope="session")
def export(hall: World, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The hall with the default robot."""
    out, robot = tmp_path_factory.mktemp("gazebo") / "hall", RobotConfig()
    return Export(hall, out, export_sdf(hall, robot, out, START), robot)
