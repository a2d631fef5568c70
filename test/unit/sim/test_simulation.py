"""Physics, cameras, lidar and truth against closed forms in a world of one wall."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.sim.robot import CameraConfig, RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World

ROBOT = RobotConfig()


def drive(simulation: Simulation, linear: float, angular: float, duration_s: float) -> None:
    simulation.set_command(linear, angular)
    simulation.advance(duration_s)


def test_a_resting_robot_stays_and_its_imu_feels_gravity_and_bias(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0, Pose2(1.0, -0.5, 0.7))
    simulation.advance(2.0)
    assert simulation.pose().distance_to(Pose2(1.0, -0.5, 0.7)) < 1e-3
    assert simulation.pose().yaw == pytest.approx(0.7, abs=1e-3)
    samples = simulation.drain_imu()
    accel = np.mean([s.linear_acceleration for s in samples[100:]], axis=0)
    assert accel == pytest.approx([0.0, 0.0, 9.81], abs=0.2)
    assert np.abs(np.mean([s.angular_velocity for s in samples], axis=0)).max() < 0.02


def test_sensors_come_at_their_rates_with_increasing_stamps(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0)
    for _ in range(100):
        simulation.advance(0.013)
    imu, wheel = simulation.drain_imu(), simulation.drain_wheel()
    assert simulation.time_ns == 1_300_000_000
    assert len(imu) == 260
    assert len(wheel) == 64  # the first reading only starts the count
    assert set(np.diff([s.stamp_ns for s in imu])) == {5_000_000}
    assert set(np.diff([s.stamp_ns for s in wheel])) == {20_000_000}
    assert simulation.drain_imu() == []


def test_a_straight_drive_covers_the_commanded_distance(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0, Pose2(-3.0, 0.0, 0.0))
    drive(simulation, 0.4, 0.0, 5.0)
    drive(simulation, 0.0, 0.0, 2.0)
    # Acceleration and braking are symmetric: distance is speed times the time of the command.
    assert simulation.pose().x == pytest.approx(-3.0 + 0.4 * 5.0, abs=0.03)
    assert abs(simulation.pose().y) < 0.01
    travelled = 0.02 * sum(t.linear_mps for t in simulation.drain_wheel())
    assert travelled == pytest.approx(2.0, rel=0.03)


def test_turning_on_the_spot_turns_by_rate_times_time(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0)
    drive(simulation, 0.0, 0.8, 2.0)
    assert simulation.truth().angular_radps == pytest.approx(0.8, abs=0.03)
    drive(simulation, 0.0, 0.0, 1.0)
    assert simulation.pose().yaw == pytest.approx(1.6, abs=0.06)
    assert simulation.pose().distance_to(Pose2()) < 0.02


def test_commands_are_limited_in_speed_and_acceleration(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0, Pose2(-4.0, 0.0, 0.0))
    drive(simulation, 9.0, 0.0, 0.25)
    assert simulation.truth().linear_mps <= ROBOT.max_linear_mps2 * 0.25 + 0.02
    simulation.advance(2.0)
    assert simulation.truth().linear_mps == pytest.approx(ROBOT.max_linear_mps, abs=0.02)
    with pytest.raises(BadInputError, match="not finite"):
        simulation.set_command(math.nan, 0.0)


def test_lidar_measures_the_wall(yard: World) -> None:
    start = Pose2(0.5, 0.3, 0.4)
    scan = Simulation(yard, ROBOT, 0, start).scan()
    angles = scan.angles().astype(float) + start.yaw
    with np.errstate(divide="ignore"):
        expected = np.where(np.cos(angles) > 0, (3.0 - start.x) / np.cos(angles), np.inf)
    y = start.y + expected * np.sin(angles)
    clear_hit = np.isfinite(expected) & (np.abs(y) < 1.95)
    assert clear_hit.sum() > 50
    assert np.abs(scan.ranges[clear_hit] - expected[clear_hit]).max() < 6 * ROBOT.lidar.noise_m
    behind = np.abs(np.angle(np.exp(1j * (angles - math.pi)))) < 1.0
    assert np.isinf(scan.ranges[behind]).all()
    assert scan.frame == "lidar"


def test_images_agree_with_the_camera_model(yard: World) -> None:
    start = Pose2(0.6, 0.1, 0.15)
    simulation = Simulation(yard, ROBOT, 0, start)
    simulation.advance(0.1)
    frames = {f.camera: f for f in simulation.render()}
    simulation.close()
    assert list(frames) == ["front", "left", "back", "right"]
    rgb = frames["front"].rgb.astype(int)
    assert rgb.shape == (160, 224, 3)
    rows, columns = np.nonzero((rgb[..., 0] > 120) & (rgb[..., 1] < 60))
    assert len(rows) >= 4
    front = simulation.rig["front"]
    centre = np.append(simulation.pose().inverse().apply(np.array([[2.5, 0.4]])), [[1.2]], axis=1)
    expected, _ = front.model.project(front.base_from_cam.inverse().apply(centre))
    assert [columns.mean(), rows.mean()] == pytest.approx(expected[0].tolist(), abs=0.6)
    back = frames["back"].rgb.astype(int)
    assert not ((back[..., 0] > 120) & (back[..., 1] < 60)).any()


def test_the_same_seed_gives_the_same_run_and_another_seed_another(yard: World) -> None:
    def run(seed: int) -> tuple[Pose2, list[float], list[float]]:
        simulation = Simulation(yard, ROBOT, seed, Pose2(0.0, 0.0, 0.2))
        drive(simulation, 0.3, 0.5, 1.0)
        return simulation.pose(), [s.angular_velocity[2] for s in simulation.drain_imu()], simulation.scan().ranges.tolist()

    assert run(4) == run(4)
    assert run(4)[1] != run(5)[1]
    assert run(4)[2] != run(5)[2]


def test_running_into_the_wall_is_one_collision_and_truth_says_so(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0, Pose2(2.2, 0.0, 0.0))
    drive(simulation, 0.4, 0.0, 3.0)
    assert simulation.truth().in_contact
    assert simulation.collisions() == 1
    assert simulation.pose().x == pytest.approx(3.0 - ROBOT.radius_m, abs=0.02)
    drive(simulation, -0.3, 0.0, 3.0)
    assert not simulation.truth().in_contact
    drive(simulation, 0.4, 0.0, 4.0)
    assert simulation.collisions() == 2


def test_wheels_report_motion_that_the_wall_prevents(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0, Pose2(2.7, 0.0, 0.0))
    drive(simulation, 0.5, 0.0, 3.0)
    turned = 0.02 * sum(t.linear_mps for t in simulation.drain_wheel())
    moved = simulation.pose().x - 2.7
    assert turned > moved + 0.1  # slip


def test_place_moves_the_robot_and_time_goes_on(yard: World) -> None:
    simulation = Simulation(yard, ROBOT, 0)
    drive(simulation, 0.5, 0.0, 1.0)
    simulation.place(Pose2(-2.0, 1.0, 1.5))
    simulation.advance(0.5)
    assert simulation.time_ns == 1_500_000_000
    assert simulation.pose().distance_to(Pose2(-2.0, 1.0, 1.5)) < 5e-3


def test_unusable_scenes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.xml"
    path.write_text("<mujoco><worldbody><geom size='-1'/></worldbody></mujoco>", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"broken\.xml"):
        Simulation(World("broken", path), ROBOT, 0)


def test_a_fisheye_shows_things_where_its_model_says(yard: World) -> None:
    robot = RobotConfig(cameras=CameraConfig(names=("front", "left"), yaws_deg=(0.0, 90.0), lens="equidistant", horizontal_fov_deg=180.0))
    simulation = Simulation(yard, robot, 0, Pose2(1.6, 0.1, -0.55))
    frames = {f.camera: f for f in simulation.render(depth=True)}
    simulation.close()
    for camera in simulation.rig.cameras:
        frame = frames[camera.name]
        rgb = frame.rgb.astype(int)
        rows, columns = np.nonzero((rgb[..., 0] > 120) & (rgb[..., 1] < 60))
        assert rgb.shape == (160, 224, 3) and len(rows) >= 3
        centre = np.append(simulation.pose().inverse().apply(np.array([[2.5, 0.4]])), [[1.2]], axis=1)
        point = camera.base_from_cam.inverse().apply(centre)
        expected, seen = camera.model.project(point)
        assert seen.all()
        assert [columns.mean(), rows.mean()] == pytest.approx(expected[0].tolist(), abs=0.8)
        assert frame.depth_m is not None
        assert np.median(frame.depth_m[rows, columns]) == pytest.approx(point[0, 2], abs=0.08)
