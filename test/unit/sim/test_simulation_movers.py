"""People in the simulated world: they walk, can be run into, make room for a robot that is put down, and can be left out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from astra.geometry import Pose2
from astra.sim.movers import Looks, Mover, movers_xml, save_movers
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World
from astra.sim.worlds.truth import WorldTruth

LOOKS = Looks((200, 160, 130), (40, 30, 30), (200, 40, 40), (40, 40, 70), (30, 30, 30), (180, 140, 90))


@pytest.fixture
def pavement(tmp_path: Path) -> World:
    """A bare floor on which Ann walks five metres along x at 1 m/s, stands for a minute, and walks back."""
    knots = np.array([(0, 0, 0, 0), (5, 5, 0, 0), (65, 5, 0, 0), (67, 5, 0, math.pi), (72, 0, 0, math.pi), (74, 0, 0, 2 * math.pi)], dtype=np.float64)
    crowd = (Mover("ann", "person", 0.25, 1.7, LOOKS, 0.0, knots),)
    save_movers(crowd, tmp_path)
    assets, bodies = movers_xml(crowd, tmp_path)
    (tmp_path / "scene.xml").write_text(
        f"<mujoco><asset>{assets}</asset><worldbody><geom type='plane' size='0 0 1' group='3'/>{bodies}</worldbody></mujoco>", encoding="utf-8"
    )
    return World("pavement", tmp_path / "scene.xml", WorldTruth((), (), np.zeros((0, 2)), Pose2(), np.ones((200, 200), bool), 0.1, (-10.0, -10.0)))


def ahead_m(simulation: Simulation) -> float:
    """What the lidar measures straight ahead."""
    ranges = simulation.scan().ranges
    return float(ranges[len(ranges) // 2])


def test_people_walk_where_they_say_and_the_lidar_sees_them(pavement: World) -> None:
    simulation = Simulation(pavement, RobotConfig(), 0, Pose2(8.0, 0.0, math.pi))
    assert simulation.movers is not None
    for time_s in (0.0, 2.0, 4.0):
        simulation.advance(time_s - simulation.time_ns * 1e-9)
        assert simulation.movers.positions(np.array([time_s]))[0, 0, :2] == pytest.approx((time_s, 0.0), abs=0.03)
        assert ahead_m(simulation) == pytest.approx(8.0 - time_s - 0.22, abs=0.1)
    assert simulation.collisions() == 0


def test_running_into_somebody_is_a_collision(pavement: World) -> None:
    simulation = Simulation(pavement, RobotConfig(), 0, Pose2(8.0, 0.0, math.pi))
    simulation.set_command(0.5, 0.0)
    simulation.advance(8.0)
    assert simulation.truth().in_contact and simulation.collisions() == 1
    assert simulation.pose().x == pytest.approx(5.0 + 0.22 + RobotConfig().radius_m, abs=0.03)


def test_nobody_walks_into_a_robot_that_stands(pavement: World) -> None:
    simulation = Simulation(pavement, RobotConfig(), 0, Pose2(3.0, 0.0, 0.0))
    simulation.advance(9.0)
    assert simulation.collisions() == 0
    assert simulation.pose().distance_to(Pose2(3.0, 0.0, 0.0)) < 0.01


def test_a_robot_put_down_where_somebody_is_stands_free(pavement: World) -> None:
    simulation = Simulation(pavement, RobotConfig(), 0, Pose2(9.0, 5.0, 0.0))
    simulation.advance(20.0)
    simulation.place(Pose2(5.0, 0.0, 0.0))
    simulation.advance(0.5)
    assert simulation.collisions() == 0
    assert simulation.pose().distance_to(Pose2(5.0, 0.0, 0.0)) < 0.01


def test_without_movers_the_floor_is_empty(pavement: World) -> None:
    simulation = Simulation(pavement, RobotConfig(), 0, Pose2(8.0, 0.0, math.pi), movers=False)
    simulation.advance(1.0)
    assert simulation.movers is None and np.isinf(simulation.scan().ranges).all()
