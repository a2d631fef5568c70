"""The expert in floors whose answers are known: a kinematic robot that follows commands as the simulator's does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from astra.core.errors import BadInputError, NoPathError
from astra.core.types import BoolArray, FloatArray
from astra.datasets.expert import DisturbanceConfig, Disturber, ExpertDriver, ExpertTour, MoverForecast, StartKind, draw_start
from astra.datasets.expert.driver import floor_for
from astra.datasets.expert.outline import Outline
from astra.datasets.expert.route import Floor
from astra.datasets.expert.starts import outline_clearance
from astra.geometry import Pose2
from astra.sim.robot import RobotConfig
from astra.sim.worlds.truth import WorldTruth

ROBOT = RobotConfig()
CELL_M = 0.05


def world_of(free: BoolArray) -> WorldTruth:
    return WorldTruth(areas=(), instructions=(), tour=np.zeros((0, 2)), tour_start=Pose2(1.0, 1.0), free=free, resolution_m=CELL_M, origin_xy=(0.0, 0.0))


def room(length_m: float, width_m: float) -> BoolArray:
    """An empty rectangle with its corner at the origin and walls of 0.1 m inside it."""
    free = np.ones((round(width_m / CELL_M), round(length_m / CELL_M)), bool)
    free[:2] = free[-2:] = False
    free[:, :2] = free[:, -2:] = False
    return free


def wall(free: BoolArray, x_m: float, gap_m: tuple[float, float] | None = None) -> BoolArray:
    """A wall 0.1 m thick across a room, with a gap from … to along y."""
    column = round(x_m / CELL_M)
    free[:, column : column + 2] = False
    if gap_m:
        free[round(gap_m[0] / CELL_M) : round(gap_m[1] / CELL_M), column : column + 2] = True
    return free


@dataclass
class Ride:
    """What a drive looked like, every 0.05 s."""

    poses: list[tuple[float, float, float]] = field(default_factory=list)
    twists: list[tuple[float, float]] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    clearances: list[float] = field(default_factory=list)

    @property
    def track(self) -> FloatArray:
        return np.array(self.poses)

    @property
    def v(self) -> FloatArray:
        return np.array(self.twists)[:, 0]


def ride(driver: ExpertDriver, start: Pose2, limit_s: float = 40.0, twist: tuple[float, float] = (0.0, 0.0)) -> Ride:
    """Drive to the driver's goal with the limits of the robot on acceleration."""
    log, pose, (v, w), dt = Ride(), start, twist, 0.05
    for k in range(round(limit_s / dt)):
        wanted_v, wanted_w = driver.command(pose, (v, w), k * dt)
        if driver.done or driver.blocked:
            break
        v += float(np.clip(wanted_v - v, -ROBOT.max_linear_mps2 * dt, ROBOT.max_linear_mps2 * dt))
        w += float(np.clip(wanted_w - w, -ROBOT.max_angular_radps2 * dt, ROBOT.max_angular_radps2 * dt))
        pose = pose @ Pose2.exp(v * dt, 0.0, w * dt)
        log.poses.append((pose.x, pose.y, pose.yaw))
        log.twists.append((v, w))
        movers = driver.movers.positions(np.array([(k + 1) * dt]))[0]
        log.gaps += [float(math.hypot(x - pose.x, y - pose.y) - r - ROBOT.radius_m) for x, y, r in movers]
    log.clearances = outline_clearance(driver.floor, driver.outline, log.track).tolist()
    return log


def expert(free: BoolArray, seed: int = 0, movers: MoverForecast | None = None) -> ExpertDriver:
    return ExpertDriver(world_of(free), ROBOT, np.random.default_rng(seed), movers)


class Walker:
    """One person who walks a straight line at an even pace."""

    def __init__(self, start: tuple[float, float], velocity: tuple[float, float], radius_m: float = 0.25) -> None:
        self.start, self.velocity, self.radius_m = np.array(start), np.array(velocity), radius_m

    def positions(self, times_s: FloatArray) -> FloatArray:
        xy = self.start + np.asarray(times_s)[:, None] * self.velocity
        return np.concatenate([xy, np.full((len(xy), 1), self.radius_m)], axis=1)[:, None, :]


def test_distances_are_positive_in_the_open_and_negative_in_a_wall() -> None:
    floor = Floor(room(4.0, 2.0), CELL_M, (0.0, 0.0), 0.22, 0.6)
    at = np.array([[2.0, 1.0], [2.0, 0.35], [2.0, 0.05]], np.float32)
    assert floor.distance_at(at[:, 0], at[:, 1]) == pytest.approx([0.9, 0.25, -0.05], abs=0.03)


def test_the_time_to_a_goal_in_the_open_is_distance_over_speed_and_points_at_it() -> None:
    floor = Floor(room(12.0, 8.0), CELL_M, (0.0, 0.0), 0.22, 0.6)
    field = floor.time_to(Pose2(9.0, 5.0))
    for x, y in ((3.0, 5.0), (4.0, 2.5), (5.0, 6.3)):
        cell = floor.cell(x, y)
        distance = math.hypot(9.0 - x, 5.0 - y)
        assert field.time_s[cell] * 0.6 == pytest.approx(distance, rel=0.015)
        assert field.direction[cell] @ [(9.0 - x) / distance, (5.0 - y) / distance] > math.cos(0.35)


def test_a_free_corridor_is_driven_straight_and_at_nearly_full_speed() -> None:
    driver = expert(room(9.0, 2.4))
    driver.plan(Pose2(8.0, 1.2, 0.0))
    log = ride(driver, Pose2(1.0, 1.2, 0.0))
    assert driver.done
    assert np.abs(log.track[:, 1] - 1.2).max() < 0.10
    middle = (log.track[:, 0] > 2.0) & (log.track[:, 0] < 6.5)
    assert log.v[middle].min() > 0.9 * ROBOT.max_linear_mps
    assert len(log.v) * 0.05 < 7.0 / ROBOT.max_linear_mps + 3.5
    assert np.abs(np.diff(log.v)).max() / 0.05 < 0.85  # m/s²


def test_a_doorway_is_passed_slowly_and_in_its_middle() -> None:
    driver = expert(wall(room(8.0, 4.0), 4.0, (1.6, 2.4)))
    driver.plan(Pose2(6.5, 2.0, 0.0))
    log = ride(driver, Pose2(1.0, 2.0, 0.0))
    assert driver.done
    assert min(log.clearances) > 0.12
    inside = np.abs(log.track[:, 0] - 4.05) < 0.1
    before = (log.track[:, 0] > 2.0) & (log.track[:, 0] < 2.8)
    assert log.v[inside].max() < 0.8 * log.v[before].max()


def test_no_way_is_an_error_and_so_is_a_goal_in_a_wall() -> None:
    driver = expert(wall(room(6.0, 3.0), 3.0))
    driver.plan(Pose2(5.0, 1.5))
    with pytest.raises(NoPathError, match="no way"):
        driver.command(Pose2(1.0, 1.5), (0.0, 0.0), 0.0)
    with pytest.raises(NoPathError, match="no room"):
        expert(wall(room(6.0, 3.0), 3.0)).plan(Pose2(3.05, 1.5))


def test_a_way_that_somebody_stands_in_is_left_for_another() -> None:
    free = wall(room(6.0, 5.0), 3.0, (0.6, 1.5))
    free[70:90, 60:62] = True  # a second door, farther away
    driver = expert(free, movers=Walker((3.05, 1.05), (0.0, 0.0)))
    driver.plan(Pose2(4.5, 1.0, 0.0))
    log = ride(driver, Pose2(1.5, 1.0, 0.0), 60.0)
    assert driver.done
    assert log.track[:, 1].max() > 3.0
    assert min(log.gaps) > 0.05


def test_who_cannot_pass_waits_and_says_so() -> None:
    driver = expert(wall(room(6.0, 3.0), 3.0, (1.0, 2.0)), movers=Walker((3.05, 1.5), (0.0, 0.0)))
    driver.plan(Pose2(5.0, 1.5, 0.0))
    log = ride(driver, Pose2(1.5, 1.5, 0.0), 60.0)
    assert driver.blocked
    assert not driver.done
    assert min(log.gaps) > 0.05
    assert np.abs(log.v[-200:]).max() < 0.15


@pytest.mark.parametrize("walk", [(0.0, 0.9), (0.0, 0.6), (-0.8, 0.0)])
def test_a_person_who_crosses_or_comes_towards_is_let_pass(walk: tuple[float, float]) -> None:
    start = (3.5 - 3.3 * walk[0], 2.0 - 4.2 * walk[1])  # on the robot's line when the robot would be there
    driver = expert(room(8.0, 6.0)[10:90], movers=Walker(start, walk))
    driver.plan(Pose2(7.0, 2.0, 0.0))
    log = ride(driver, Pose2(1.0, 2.0, 0.0))
    assert driver.done
    assert min(log.gaps) > 0.15
    assert min(log.clearances) > 0.05


def test_a_person_across_a_narrow_door_is_waited_for() -> None:
    driver = expert(wall(room(8.0, 4.0), 4.0, (1.5, 2.5)), movers=Walker((6.6, 2.0), (-0.7, 0.0)))
    driver.plan(Pose2(7.0, 2.0, 0.0))
    log = ride(driver, Pose2(1.8, 2.0, 0.0))
    assert driver.done
    assert min(log.gaps) > 0.05
    assert min(log.clearances) > 0.03


def test_who_is_walked_at_in_a_dead_end_does_not_flee_into_the_wall() -> None:
    driver = expert(room(6.0, 1.4), movers=Walker((7.5, 0.7), (-0.7, 0.0)))
    driver.plan(Pose2(5.0, 0.7, 0.0))
    log = ride(driver, Pose2(0.8, 0.7, 0.0), 12.0)
    assert min(log.clearances) > 0.01
    squeezed = np.array(log.gaps) < 0.05
    assert squeezed.any()  # this one does not wait, as a real one would
    assert np.abs(log.v[squeezed]).max() < 0.4


def test_facing_a_wall_the_robot_turns_away_and_goes() -> None:
    driver = expert(room(6.0, 4.0))
    driver.plan(Pose2(1.0, 2.0, math.pi))
    log = ride(driver, Pose2(5.9 - ROBOT.radius_m - 0.06, 2.0, 0.0))
    assert driver.done
    assert min(log.clearances) > 0.04
    assert len(log.v) * 0.05 < 15.0


def test_out_of_a_corner_without_touching() -> None:
    driver = expert(room(5.0, 5.0))
    driver.plan(Pose2(4.0, 4.0, 0.8))
    nook = 0.1 + ROBOT.radius_m + 0.05
    log = ride(driver, Pose2(nook, nook, -2.4))
    assert driver.done
    assert min(log.clearances) > 0.03


def test_a_push_is_recovered_from() -> None:
    driver = expert(room(6.0, 4.0))
    driver.plan(Pose2(5.0, 2.0, 0.0))
    log = ride(driver, Pose2(2.0, 0.75, -1.0), twist=(0.4, -0.8))  # on its way into the wall
    assert driver.done
    assert min(log.clearances) > 0.0


def test_the_same_seed_drives_the_same_way() -> None:
    def track(seed: int) -> FloatArray:
        driver = expert(wall(room(6.0, 4.0), 3.0, (0.5, 1.5)), seed)
        driver.plan(Pose2(5.0, 3.0, 1.0))
        return ride(driver, Pose2(1.0, 3.0, 2.0), 4.0).track

    assert np.array_equal(track(3), track(3))
    assert not np.array_equal(track(3), track(4))


def test_the_plan_begins_at_the_robot_and_is_kept() -> None:
    driver = expert(room(8.0, 3.0))
    driver.plan(Pose2(7.0, 1.5, 0.0))
    driver.command(Pose2(1.0, 1.5, 0.1), (0.3, 0.0), 0.0)
    planned = driver.planned
    assert planned.shape == (31, 3)
    assert planned[0] == pytest.approx([1.0, 1.5, 0.1])
    assert np.hypot(*np.diff(planned[:, :2], axis=0).T).max() < 0.1 * ROBOT.max_linear_mps + 1e-3
    assert planned[-1, 0] > 2.0
    assert np.hypot(*(driver.route[-1] - [7.0, 1.5])) < 1e-6


@pytest.mark.parametrize("kind", list(StartKind))
def test_starts_are_what_they_are_called(kind: StartKind) -> None:
    floor, outline = floor_for(world_of(wall(room(6.0, 4.0), 3.0, (0.5, 1.6))), ROBOT), Outline.disc(ROBOT.radius_m)
    rng = np.random.default_rng(1)
    for _ in range(8):
        pose = draw_start(floor, outline, kind, rng)
        room_m = float(outline_clearance(floor, outline, np.array([[pose.x, pose.y, pose.yaw]]))[0])
        assert room_m > 0.03
        assert (room_m > 0.1) if kind is StartKind.FREE else (room_m < 0.2)
        if kind is StartKind.FACING_WALL:
            nose = np.array([[pose.x + 0.1 * math.cos(pose.yaw), pose.y + 0.1 * math.sin(pose.yaw), 0.0]])
            assert outline_clearance(floor, outline, nose)[0] < room_m - 0.05


def test_a_floor_without_corners_to_start_in_says_so() -> None:
    floor = floor_for(world_of(np.zeros((40, 40), bool)), ROBOT)
    with pytest.raises(BadInputError, match="corner"):
        draw_start(floor, Outline.disc(ROBOT.radius_m), StartKind.CORNER, np.random.default_rng(0))


def test_a_rectangle_is_covered_by_its_discs() -> None:
    outline = Outline.rectangle(0.35, 0.25)
    edge = np.linspace(-1.0, 1.0, 41)
    rim = np.concatenate([[(0.35 * t, s * 0.25) for t in edge for s in (-1, 1)], [(s * 0.35, 0.25 * t) for t in edge for s in (-1, 1)]])
    discs = np.array(outline.discs)
    beyond = (np.hypot(rim[:, None, 0] - discs[:, 0], rim[:, None, 1] - discs[:, 1]) - discs[:, 2]).min(axis=1)
    assert beyond.max() < 0.05
    assert (np.abs(discs[:, 0]) + discs[:, 2]).max() <= 0.36 + 1e-9
    assert (np.abs(discs[:, 1]) + discs[:, 2]).max() <= 0.26 + 1e-9
    assert outline.reach_m == pytest.approx(math.hypot(0.35, 0.25), abs=0.02)


def test_a_long_robot_gets_out_of_a_corner_and_through_a_door() -> None:
    robot = RobotConfig(name="box", length_m=0.7, width_m=0.5, radius_m=math.hypot(0.35, 0.25))
    driver = ExpertDriver(world_of(wall(room(6.0, 4.0), 3.0, (1.5, 2.5))), robot, np.random.default_rng(0))
    assert not driver.outline.is_round
    driver.plan(Pose2(5.0, 2.0, 1.5))
    log = ride(driver, Pose2(0.1 + 0.45, 0.1 + 0.35, math.pi))
    assert driver.done
    assert min(log.clearances) > 0.0


def test_disturbances_change_commands_only_where_there_is_room() -> None:
    floor, outline = floor_for(world_of(room(6.0, 6.0)), ROBOT), Outline.disc(ROBOT.radius_m)
    config = DisturbanceConfig(every_s=0.5)

    def changed(pose: Pose2) -> int:
        disturber = Disturber(floor, outline, ROBOT, np.random.default_rng(0), config)
        commands = [disturber.apply(pose, (0.5, 0.0), 0.02 * k, np.zeros((0, 3))) for k in range(500)]
        return sum(command != (0.5, 0.0) for command in commands)

    assert changed(Pose2(3.0, 3.0)) > 100
    assert changed(Pose2(5.9 - ROBOT.radius_m - 0.1, 3.0, 0.0)) == 0


def test_a_tour_goes_from_goal_to_goal_until_its_time_is_over() -> None:
    driver = expert(wall(room(6.0, 4.0), 3.0, (0.5, 1.6)))
    tour = ExpertTour(driver, np.random.default_rng(2), 40.0, disturbances=DisturbanceConfig(every_s=7.0))
    pose, v, w, dt, goals = Pose2(1.5, 3.0), 0.0, 0.0, 0.05, set()
    for k in range(1000):
        command = tour.command(pose, (v, w), k * dt)
        if command is None:
            break
        v += float(np.clip(command[0] - v, -0.8 * dt, 0.8 * dt))
        w += float(np.clip(command[1] - w, -2.5 * dt, 2.5 * dt))
        pose = pose @ Pose2.exp(v * dt, 0.0, w * dt)
        goals.add(tour.goal)
        assert outline_clearance(driver.floor, driver.outline, np.array([[pose.x, pose.y, pose.yaw]]))[0] > 0.0
    assert tour.command(pose, (v, w), 40.0) is None
    assert tour.progress == 1.0
    assert len(goals) >= 3
    assert tour.goals_reached >= 2
