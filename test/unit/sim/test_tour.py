"""The driver of the tour."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from astra.core.errors import AstraError
from astra.core.types import CameraFrame, ImuSample, LaserScan, Scene, WheelTwist
from astra.geometry import Pose2, Pose3
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.tour import TourConfig, record_tour
from astra.sim.world import World


class Memory:
    """Keeps what a recorder would write."""

    def __init__(self) -> None:
        self.frames: list[CameraFrame] = []
        self.imu: list[ImuSample] = []
        self.wheel: list[WheelTwist] = []
        self.scans: list[LaserScan] = []
        self.poses: list[Pose2] = []

    def write_frame(self, frame: CameraFrame) -> None:
        self.frames.append(frame)

    def write_imu(self, sample: ImuSample) -> None:
        self.imu.append(sample)

    def write_wheel(self, twist: WheelTwist) -> None:
        self.wheel.append(twist)

    def write_scan(self, scan: LaserScan) -> None:
        self.scans.append(scan)

    def write_truth(self, scene: Scene) -> None:
        self.poses.append(Pose3.from_matrix(scene.world_from_base).pose2())


BENDS = np.array([(-4.0, 0.0), (-1.0, 0.0), (-1.0, 2.0), (-2.5, 2.0), (-2.5, 0.5)])


def test_the_driver_stays_on_the_path_and_stops_at_its_end(yard: World) -> None:
    simulation = Simulation(yard, RobotConfig(), 0, Pose2(-4.0, 0.0, 0.0))
    memory = Memory()
    result = record_tour(simulation, BENDS, memory, TourConfig(image_rate_hz=1.0), truth=True)
    simulation.close()
    end = memory.poses[-1]
    assert math.dist((end.x, end.y), BENDS[-1]) < 0.2
    for pose in memory.poses[::20]:
        assert min(_distance((pose.x, pose.y), a, b) for a, b in itertools.pairwise(BENDS)) < 0.15
    assert result.length_m == pytest.approx(8.0)
    assert result.collisions == 0
    assert len(memory.imu) == pytest.approx(200 * result.duration_s, abs=3)
    assert len(memory.scans) == pytest.approx(10 * result.duration_s, abs=2)
    assert len(memory.frames) == result.frames == 4 * math.ceil(result.duration_s)
    synchronous = {f.stamp_ns for f in memory.frames}
    assert len(synchronous) * 4 == len(memory.frames)


def test_truth_is_left_out_on_request(yard: World) -> None:
    memory = Memory()
    simulation = Simulation(yard, RobotConfig(), 0)
    record_tour(simulation, np.array([(0.0, 0.0), (0.5, 0.0)]), memory, TourConfig(image_rate_hz=1.0), truth=False)
    simulation.close()
    assert memory.poses == []
    assert memory.imu


def test_a_blocked_tour_ends_with_an_error_that_says_where(yard: World) -> None:
    simulation = Simulation(yard, RobotConfig(), 0, Pose2(2.0, 0.0, 0.0))
    with pytest.raises(AstraError, match="not finished"):
        record_tour(simulation, np.array([(2.0, 0.0), (4.5, 0.0)]), Memory(), TourConfig(image_rate_hz=0.5), truth=False)
    simulation.close()


def _distance(p: tuple[float, float], a: np.ndarray, b: np.ndarray) -> float:
    t = float(np.clip(np.dot(np.array(p) - a, b - a) / np.dot(b - a, b - a), 0.0, 1.0))
    return math.dist(p, a + t * (b - a))
