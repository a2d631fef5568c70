"""The driver of the tour."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from astra.core.errors import AstraError
from astra.core.types import CameraFrame, ImuSample, LaserScan, Scene, WheelTwist
from astra.geometry import Pose2, Pose3
from astra.sim.recording import Recording, RecordingConfig, record_drive
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.tour import TourConfig, TourDriver
from astra.sim.world import World


class Memory:
    """Keeps what a recorder would write."""

    def __init__(self) -> None:
        self.frames: list[CameraFrame] = []
        self.imu: list[ImuSample] = []
        self.wheel: list[WheelTwist] = []
        self.scans: list[LaserScan] = []
        self.poses: list[Pose2] = []
        self.movers: list[np.ndarray] = []
        self.goals: list[Pose2] = []

    def write_frame(self, frame: CameraFrame, received_ns: int | None = None) -> None:
        self.frames.append(frame)

    def write_imu(self, sample: ImuSample) -> None:
        self.imu.append(sample)

    def write_wheel(self, twist: WheelTwist) -> None:
        self.wheel.append(twist)

    def write_scan(self, scan: LaserScan) -> None:
        self.scans.append(scan)

    def write_movers(self, stamp_ns: int, movers: np.ndarray) -> None:
        self.movers.append(movers)

    def write_goal(self, stamp_ns: int, world_from_goal: Pose2) -> None:
        self.goals.append(world_from_goal)

    def write_plan(self, stamp_ns: int, poses: np.ndarray) -> None:
        raise AssertionError("the tour's driver has no plans")

    def write_disturbed(self, stamp_ns: int, disturbed: bool) -> None:
        raise AssertionError("nobody disturbs the tour's driver")

    def write_truth(self, scene: Scene) -> None:
        self.poses.append(Pose3.from_matrix(scene.world_from_base).pose2())


def drive(simulation: Simulation, waypoints: np.ndarray, memory: Memory, *, rate_hz: float = 1.0, truth: bool = True) -> Recording:
    driver = TourDriver(waypoints, TourConfig())
    return record_drive(simulation, driver, memory, RecordingConfig(image_rate_hz=rate_hz, limit_s=driver.limit_s, truth=truth))


BENDS = np.array([(-4.0, 0.0), (-1.0, 0.0), (-1.0, 2.0), (-2.5, 2.0), (-2.5, 0.5)])


def test_the_driver_stays_on_the_path_and_stops_at_its_end(yard: World) -> None:
    simulation = Simulation(yard, RobotConfig(), 0, Pose2(-4.0, 0.0, 0.0))
    memory = Memory()
    result = drive(simulation, BENDS, memory)
    simulation.close()
    end = memory.poses[-1]
    assert math.dist((end.x, end.y), BENDS[-1]) < 0.2
    for pose in memory.poses[::20]:
        assert min(_distance((pose.x, pose.y), a, b) for a, b in itertools.pairwise(BENDS)) < 0.15
    assert result.length_m == pytest.approx(8.0, abs=0.4)
    assert result.collisions == 0
    assert [(goal.x, goal.y) for goal in memory.goals] == [tuple(BENDS[-1])]
    assert len(memory.imu) == pytest.approx(200 * result.duration_s, abs=3)
    assert len(memory.scans) == pytest.approx(10 * result.duration_s, abs=2)
    assert len(memory.frames) == result.frames == 4 * math.ceil(result.duration_s)
    synchronous = {f.stamp_ns for f in memory.frames}
    assert len(synchronous) * 4 == len(memory.frames)


def test_truth_is_left_out_on_request(yard: World) -> None:
    memory = Memory()
    simulation = Simulation(yard, RobotConfig(), 0)
    drive(simulation, np.array([(0.0, 0.0), (0.5, 0.0)]), memory, truth=False)
    simulation.close()
    assert memory.poses == []
    assert memory.imu


def test_a_blocked_tour_ends_with_an_error_that_says_where(yard: World) -> None:
    simulation = Simulation(yard, RobotConfig(), 0, Pose2(2.0, 0.0, 0.0))
    with pytest.raises(AstraError, match="not finished"):
        drive(simulation, np.array([(2.0, 0.0), (4.5, 0.0)]), Memory(), rate_hz=0.5, truth=False)
    simulation.close()


class Passer:
    """Somebody who stands at a place until a time."""

    def __init__(self, x: float, y: float, until_s: float) -> None:
        self._place, self._until_s = (x, y, 0.25), until_s

    def positions(self, times_s: np.ndarray) -> np.ndarray:
        gone = (99.0, 99.0, 0.25)
        return np.array([[self._place if t < self._until_s else gone] for t in times_s])


@pytest.mark.parametrize(("x", "stops"), [(-2.6, True), (-5.0, False), (0.5, False)])
def test_the_driver_waits_for_whoever_stands_ahead_and_for_nobody_else(x: float, stops: bool) -> None:
    driver = TourDriver(BENDS, TourConfig(), Passer(x, 0.1, until_s=5.0))
    waiting, later = (driver.command(Pose2(-3.6, 0.0, 0.0), (0.0, 0.0), t) for t in (1.0, 6.0))
    assert (waiting == (0.0, 0.0)) == stops
    assert later is not None
    assert later[0] > 0.3


def test_a_drive_ends_when_its_time_is_over(yard: World) -> None:
    memory, simulation = Memory(), Simulation(yard, RobotConfig(), 0, Pose2(-4.0, 0.0, 0.0))
    result = record_drive(simulation, TourDriver(BENDS, TourConfig()), memory, RecordingConfig(image_rate_hz=1.0, seconds=6.0))
    simulation.close()
    assert result.duration_s == pytest.approx(6.0, abs=0.05)
    assert len(memory.poses) == 300
    assert memory.wheel[-1].linear_mps == pytest.approx(0.0, abs=0.01)


def _distance(p: tuple[float, float], a: np.ndarray, b: np.ndarray) -> float:
    t = float(np.clip(np.dot(np.array(p) - a, b - a) / np.dot(b - a, b - a), 0.0, 1.0))
    return math.dist(p, a + t * (b - a))


class Lingerer:
    """Somebody who stands on the path and leaves after a while."""

    def positions(self, times_s: np.ndarray) -> np.ndarray:
        return np.array([[(3.0 if t < 30.0 else 50.0, 0.0, 0.25)] for t in times_s])


def test_whom_nobody_lets_pass_gives_way_and_comes_back() -> None:
    driver = TourDriver(np.array([[0.0, 0.0], [5.0, 0.0]]), TourConfig(), Lingerer())
    pose, track, time_s = Pose2(0.0, 0.0, 0.0), [], 0.0
    while time_s < 120.0 and (command := driver.command(pose, (0.0, 0.0), time_s)) is not None:
        v, w = command
        pose, time_s = Pose2(pose.x + 0.02 * v * math.cos(pose.yaw), pose.y + 0.02 * v * math.sin(pose.yaw), pose.yaw + 0.02 * w), time_s + 0.02
        track.append((time_s, pose.x))
    waiting = max(x for t, x in track if t < 15.0)
    assert 1.0 < waiting < 2.0  # well before the one who stands there
    assert min(x for t, x in track if 15.0 < t < 30.0) < waiting - 0.4
    assert pose.x > 4.85 and abs(pose.y) < 0.05
