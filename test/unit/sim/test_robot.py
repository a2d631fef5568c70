"""The robot's description."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.config import from_mapping, load_config
from astra.core.errors import ConfigError
from astra.geometry import Pose2
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World

DEFAULT_YAML = Path(__file__).parents[3] / "config" / "robot" / "diffdrive.yaml"


def test_shipped_yaml_describes_the_default_robot() -> None:
    assert load_config(RobotConfig, DEFAULT_YAML) == RobotConfig()


@pytest.mark.parametrize(
    "values",
    [
        {"cameras": {"names": ["a", "a"], "yaws_deg": [0.0, 1.0]}},
        {"cameras": {"names": ["a"], "yaws_deg": [0.0, 1.0]}},
        {"cameras": {"width": 0}},
        {"wheels": {"track_m": 0.9}},
        {"length_m": 0.6},
        {"length_m": 0.6, "width_m": 0.45},
        {"lidar": {"range_min_m": 20.0}},
        {"max_linear_mps": 0.0},
        {"imu": {"rate_hz": 1000.0}},
    ],
)
def test_impossible_robots_are_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"out of bounds"):
        from_mapping(RobotConfig, values)


def test_a_point_straight_ahead_of_each_camera_lands_in_its_centre() -> None:
    robot = RobotConfig()
    for camera, degrees in zip(robot.rig().cameras, robot.cameras.yaws_deg, strict=True):
        yaw = math.radians(degrees)
        point = np.array([[3.0 * math.cos(yaw), 3.0 * math.sin(yaw), robot.cameras.z_m]])
        pixels, seen = camera.model.project(camera.base_from_cam.inverse().apply(point))
        assert seen.all()
        assert pixels[0] == pytest.approx([(robot.cameras.width - 1) / 2, (robot.cameras.height - 1) / 2], abs=1e-6)


def test_left_of_the_robot_is_left_in_the_front_image_and_up_is_up() -> None:
    front = RobotConfig().rig()["front"]
    points = np.array([[3.0, 0.5, 0.9], [3.0, 0.0, 1.4]])
    pixels, _ = front.model.project(front.base_from_cam.inverse().apply(points))
    assert pixels[0, 0] < front.model.cx
    assert pixels[1, 1] < front.model.cy


def test_the_four_cameras_together_see_all_around() -> None:
    robot = RobotConfig()
    angles = np.linspace(-math.pi, math.pi, 720, endpoint=False)
    ring = np.stack([5.0 * np.cos(angles), 5.0 * np.sin(angles), np.full_like(angles, robot.cameras.z_m)], axis=1)
    seen = np.zeros(len(angles), bool)
    for camera in robot.rig().cameras:
        seen |= camera.model.project(camera.base_from_cam.inverse().apply(ring))[1]
    assert seen.mean() > 0.97  # cameras off the axis leave a sliver at 45°


@pytest.mark.parametrize(("name", "cameras"), [("tug", 3), ("hexacam", 6)])
def test_other_robots_see_all_around_too(name: str, cameras: int) -> None:
    robot = load_config(RobotConfig, DEFAULT_YAML.parent / f"{name}.yaml")
    assert robot.name == name and len(robot.rig().cameras) == cameras
    angles = np.linspace(-math.pi, math.pi, 720, endpoint=False)
    ring = np.stack([5.0 * np.cos(angles), 5.0 * np.sin(angles), np.full_like(angles, robot.cameras.z_m)], axis=1)
    seen = np.any([camera.model.project(camera.base_from_cam.inverse().apply(ring))[1] for camera in robot.rig().cameras], axis=0)
    assert seen.mean() > 0.96


def test_a_rectangle_has_corners_a_disc_has_none() -> None:
    assert RobotConfig().footprint == ()
    tug = load_config(RobotConfig, DEFAULT_YAML.parent / "tug.yaml")
    assert tug.footprint == ((0.3, 0.225), (-0.3, 0.225), (-0.3, -0.225), (0.3, -0.225))
    assert max(math.hypot(*corner) for corner in tug.footprint) == pytest.approx(tug.radius_m)


def test_a_rectangular_robot_touches_with_its_front_and_its_corners(yard: World) -> None:
    tug = load_config(RobotConfig, DEFAULT_YAML.parent / "tug.yaml")
    simulation = Simulation(yard, tug, 0, Pose2(2.0, 0.0, 0.0))
    simulation.set_command(0.4, 0.0)
    simulation.advance(4.0)
    assert simulation.collisions() == 1
    assert simulation.pose().x == pytest.approx(3.0 - tug.half_length_m, abs=0.02)
    beside = Simulation(yard, tug, 0, Pose2(3.0 - 0.33, 0.0, 0.0))  # further than the front, nearer than the corners
    beside.set_command(0.0, 0.8)
    beside.advance(1.5)
    assert beside.collisions() == 1


def test_a_rectangular_robot_drives_and_turns_as_told(yard: World) -> None:
    tug = load_config(RobotConfig, DEFAULT_YAML.parent / "tug.yaml")
    simulation = Simulation(yard, tug, 0, Pose2(-3.0, 0.0, 0.0))
    for linear, angular, seconds in ((0.5, 0.0, 4.0), (0.0, 0.0, 2.0)):
        simulation.set_command(linear, angular)
        simulation.advance(seconds)
    assert simulation.pose().x == pytest.approx(-1.0, abs=0.03)
    for angular, seconds in ((0.6, 2.0), (0.0, 1.5)):
        simulation.set_command(0.0, angular)
        simulation.advance(seconds)
    assert simulation.pose().yaw == pytest.approx(1.2, abs=0.06)
