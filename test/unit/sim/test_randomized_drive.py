"""A robot that differs from its description, in the simulator: what it publishes stays nominal, what it sees and feels does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from astra.core.types import CameraFrame
from astra.geometry import Pose2
from astra.sim.randomize import RandomizationConfig, randomized
from astra.sim.recording import RecordingConfig, record_drive
from astra.sim.robot import CameraConfig, RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World

ROBOT = RobotConfig(cameras=CameraConfig(names=("front", "back"), yaws_deg=(0.0, 180.0), width=96, height=64))
START = Pose2(0.6, 0.1, 0.15)


def centre_of_marker(frame: CameraFrame) -> np.ndarray:
    rgb = frame.rgb.astype(int)
    rows, columns = np.nonzero((rgb[..., 0] > 100) & (rgb[..., 1] < 60))
    return np.array([columns.mean(), rows.mean()])


def test_nothing_randomized_changes_nothing(yard: World) -> None:
    real = randomized(ROBOT, 3, RandomizationConfig.none())
    plain, same = (Simulation(yard, ROBOT, 0, START, real=r) for r in (None, real))
    for simulation in (plain, same):
        simulation.set_command(0.3, 0.4)
        simulation.advance(0.5)
    assert plain.pose() == same.pose()
    assert [t.linear_mps for t in plain.drain_wheel()] == [t.linear_mps for t in same.drain_wheel()]
    assert all((a.rgb == b.rgb).all() for a, b in zip(plain.render(), same.render()))
    plain.close()
    same.close()


def test_a_knocked_camera_sees_from_where_it_is_and_publishes_where_it_should_be(yard: World) -> None:
    real = randomized(ROBOT, 5, dataclasses.replace(RandomizationConfig.none(), camera_shift_m=0.02, camera_turn_deg=3.0))
    simulation = Simulation(yard, ROBOT, 0, START, real=real)
    front = simulation.render()[0]
    simulation.close()
    assert simulation.rig["front"].base_from_cam.angle_to(ROBOT.rig()["front"].base_from_cam) < 1e-9
    centre = np.append(simulation.pose().inverse().apply(np.array([[2.5, 0.4]])), [[1.2]], axis=1)
    camera = real.true_rig["front"]
    there, _ = camera.model.project(camera.base_from_cam.inverse().apply(centre))
    nominal, _ = camera.model.project(ROBOT.rig()["front"].base_from_cam.inverse().apply(centre))
    assert centre_of_marker(front) == pytest.approx(there[0], abs=0.8)
    assert np.linalg.norm(there - nominal) > 1.5


def test_wheels_that_slip_report_more_than_was_driven(yard: World) -> None:
    slipping = dataclasses.replace(RandomizationConfig.none(), slip=(0.1, 0.1), slip_events_per_min=(0.0, 0.0))
    simulation = Simulation(yard, ROBOT, 0, Pose2(-3.0, 0.0, 0.0), real=randomized(ROBOT, 1, slipping))
    simulation.set_command(0.4, 0.0)
    simulation.advance(4.0)
    turned = 0.02 * sum(t.linear_mps for t in simulation.drain_wheel())
    moved = simulation.pose().x + 3.0
    assert 1.06 < turned / moved < 1.14


class Sink:
    """Keeps what arrives, and when."""

    def __init__(self) -> None:
        self.images: list[tuple[int, CameraFrame]] = []

    def write_frame(self, frame: CameraFrame, received_ns: int | None = None) -> None:
        assert received_ns is not None
        self.images.append((received_ns, frame))

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


class Nobody:
    """Stands still for two seconds."""

    goal, plan, disturbed, progress = None, None, False, 0.0

    def command(self, pose: Pose2, velocity: tuple[float, float], time_s: float) -> tuple[float, float] | None:
        return (0.0, 0.0) if time_s < 2.0 else None


def test_images_arrive_late_and_some_never(yard: World) -> None:
    late = dataclasses.replace(RandomizationConfig.none(), latency_s=(0.1, 0.1), jitter_s=(0.02, 0.02), drop_rate=(0.3, 0.3))
    simulation, sink = Simulation(yard, ROBOT, 0, START, real=randomized(ROBOT, 2, late)), Sink()
    record_drive(simulation, Nobody(), sink, RecordingConfig(10.0, settle_s=0.5))  # type: ignore[arg-type]
    simulation.close()
    delays = np.array([received - frame.stamp_ns for received, frame in sink.images]) * 1e-9
    assert 25 <= len(delays) <= 46  # of some 50
    assert delays.min() >= 0.1 - 1e-9 and delays.max() <= 0.12 + 1e-9 and np.ptp(delays) > 0.01
