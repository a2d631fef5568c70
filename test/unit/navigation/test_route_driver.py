"""Driving a route by local paths: with the real grid, planner, pursuit and gate in closed loop with an ideal unicycle."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.geometry import Pose2
from astra.navigation.control import ControlConfig
from astra.navigation.gate import Ages, VelocityGate
from astra.navigation.grid import GridConfig
from astra.navigation.local_planning import LocalPlanning, PlanJob
from astra.navigation.motion import FollowPathMotion, MotionConfig, MotionEnd, MotionInput
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.protocols import LocalPath, LocalPlanError, NoLocalPath
from astra.navigation.route_driver import Decision, DriveEnd, DriverConfig, Order, RouteDriver

FRESH = Ages(0.05, 0.02, 0.1)


def simulate(
    lab,
    walls: Callable[[float], np.ndarray],
    route: np.ndarray,
    start: Pose2 = Pose2(),  # noqa: B008
    limit_s: float = 60.0,
    route_from_odom: Pose2 = Pose2(),  # noqa: B008
    config: DriverConfig | None = None,
) -> tuple[RouteDriver, DriveEnd | None, list[Pose2], float]:
    """Plan at 10 Hz, control at 20 Hz; returns the driver, how it ended, the track in odom and the least true clearance."""
    driver = RouteDriver(config or DriverConfig(), route)
    planning, gate = LocalPlanning(GridConfig(), ClassicalPlanner()), VelocityGate()
    pose, velocity, motion = start, (0.0, 0.0), None
    track, clearance = [pose], math.inf
    for step in range(round(limit_s * 20)):
        time_s = step * 0.05
        if step % 2 == 0:
            scan = lab.cast(walls(time_s), pose, round(time_s * 1e9), noise_m=0.01, seed=step)
            gate.see(scan, Pose2())
            job = PlanJob(scan, pose, Pose2(), pose, *velocity, driver.subgoals(route_from_odom, pose))
            outcome = planning.process(job)
            final = outcome.subgoal is not None and outcome.subgoal.final
            decision = driver.planned(time_s, outcome.path, final, pose)
            if decision.end is not None:
                return driver, decision.end, track, clearance
            if decision.order is Order.SEND:
                fresh = FollowPathMotion(decision.path.poses, ControlConfig(), MotionConfig())
                if motion is not None:
                    fresh.take_over(motion)
                motion = fresh
            elif decision.order is Order.HOLD:
                motion, velocity = None, (0.0, 0.0)
        if motion is not None:
            command = motion.command(MotionInput(time_s, 0.05, pose, gate.clearance_m()), velocity)
            if command is MotionEnd.SUCCEEDED:
                if driver.sent_final and driver.arrived(route_from_odom, pose):
                    return driver, DriveEnd.ARRIVED, track, clearance
                driver.send_again()
                motion, velocity = None, (0.0, 0.0)
                continue
            passed = gate.limit(command.linear_mps, command.angular_radps, FRESH)
            velocity = (passed.linear_mps, passed.angular_radps)
            pose = pose @ Pose2.exp(velocity[0] * 0.05, 0.0, velocity[1] * 0.05)
            track.append(pose)
            clearance = min(clearance, float(lab.distance(walls(time_s), np.array([[pose.x, pose.y]]))[0]) - 0.22)
    return driver, None, track, clearance


def straight(length_m: float, yaw: float = 0.0) -> np.ndarray:
    return np.array([[0.0, 0.0, 0.0], [length_m, 0.0, yaw]])


def hall(lab) -> np.ndarray:
    return lab.box(-2.0, -2.0, 12.0, 2.0)


def test_a_free_route_is_driven_to_its_end(lab) -> None:
    _, end, track, clearance = simulate(lab, lambda t: hall(lab), straight(6.0))
    assert end is DriveEnd.ARRIVED
    assert math.hypot(track[-1].x - 6.0, track[-1].y) <= 0.30
    assert clearance > 0.5


def test_a_route_with_an_obstacle_on_it_is_driven_around_it(lab) -> None:
    blocked = np.concatenate([hall(lab), lab.box(2.5, -0.6, 3.0, 0.5)])
    _, end, track, clearance = simulate(lab, lambda t: blocked, straight(6.0))
    assert end is DriveEnd.ARRIVED
    assert clearance > 0.03
    assert max(abs(p.y) for p in track) > 0.6


def test_a_route_in_another_frame_is_followed_there(lab) -> None:
    route_from_odom = Pose2(3.0, -1.0, 0.4)
    goal = route_from_odom @ Pose2(5.0, 0.0, 0.0)
    route = np.array([[3.0, -1.0, 0.0], [goal.x, goal.y, goal.yaw]])
    _, end, track, _ = simulate(lab, lambda t: hall(lab), route, route_from_odom=route_from_odom)
    assert end is DriveEnd.ARRIVED
    assert math.hypot(track[-1].x - 5.0, track[-1].y) <= 0.30


def test_a_door_ten_centimetres_wider_than_the_robot_is_driven_through_without_touching(lab) -> None:
    walls = lab.door(0.54)
    _, end, _, clearance = simulate(lab, lambda t: walls, straight(3.0), Pose2(-1.0, 0.6, 0.5))
    assert end is DriveEnd.ARRIVED
    assert clearance > 0.0


def test_a_person_in_a_corridor_who_leaves_is_waited_for(lab) -> None:
    corridor = np.concatenate([lab.box(-1.0, 0.5, 9, 0.7), lab.box(-1.0, -0.7, 9, -0.5), lab.box(-1.2, -0.7, -1.0, 0.7)])
    person = np.concatenate([corridor, lab.box(2.4, -0.25, 2.7, 0.25)])
    patient = DriverConfig(no_path_allowance=25.0)
    _, end, _, clearance = simulate(lab, lambda t: person if t < 14.0 else corridor, straight(5.0), config=patient)
    assert end is DriveEnd.ARRIVED
    assert clearance > 0.0


def test_a_walled_up_corridor_ends_with_no_path(lab) -> None:
    closed = np.concatenate([lab.box(-1.0, 0.5, 9, 0.7), lab.box(-1.0, -0.7, 9, -0.5), lab.box(-1.2, -0.7, -1.0, 0.7), lab.box(2.4, -0.6, 2.6, 0.6)])
    driver, end, track, clearance = simulate(lab, lambda t: closed, straight(6.0))
    assert end is DriveEnd.NO_PATH
    assert clearance > 0.0
    assert track[-1].x < 2.2
    assert driver.remaining_m > 3.0


def test_a_corner_of_a_corridor_is_driven_round(lab) -> None:
    outer, inner = lab.box(-2.0, -1.0, 5.0, 6.0), lab.box(-1.9, 1.0, 3.0, 5.9)
    walls = np.concatenate([outer, inner])
    route = np.array([[0, 0, 0], [4.0, 0.0, 0.0], [4.0, 4.5, math.pi / 2]])
    _, end, track, clearance = simulate(lab, lambda t: walls, route)
    assert end is DriveEnd.ARRIVED
    assert math.hypot(track[-1].x - 4.0, track[-1].y - 4.5) <= 0.30
    assert clearance > 0.2


def path_to(x: float, reaches: bool = True) -> LocalPath:
    line = np.linspace(0, x, 30)
    return LocalPath(0, np.stack([line, 0 * line, 0 * line], axis=1), np.full(30, 0.5), reaches)


def test_paths_are_streamed_by_period_and_at_once_when_the_way_changes() -> None:
    driver = RouteDriver(DriverConfig(), straight(6.0))
    orders = [driver.planned(0.1 * i, path_to(2.5), False, Pose2()).order for i in range(12)]
    sent = [i for i, order in enumerate(orders) if order is Order.SEND]
    assert sent[0] == 0
    assert all(3 <= b - a <= 4 for a, b in itertools.pairwise(sent))
    bent = path_to(2.5)
    bent.poses[:, 1] = 0.3 * np.sin(bent.poses[:, 0])
    last_s = 0.1 * sent[-1]
    assert driver.planned(last_s + 0.12, bent, False, Pose2()).order is Order.SEND


def test_a_short_stand_in_is_not_driven_but_waited_on_and_given_up() -> None:
    driver, ends = RouteDriver(DriverConfig(), straight(6.0)), []
    for i in range(100):
        decision = driver.planned(0.1 * i, path_to(0.2, reaches=False), False, Pose2())
        assert decision.order is not Order.SEND
        ends.append(decision.end)
        if decision.end:
            break
    assert ends[-1] is DriveEnd.NO_PATH
    assert 0.1 * i == pytest.approx(6.1, abs=0.15)


def test_one_missing_plan_does_not_stop_the_robot_but_a_second_of_them_does() -> None:
    driver = RouteDriver(DriverConfig(), straight(6.0))
    driver.planned(0.0, path_to(2.5), False, Pose2())
    missing = LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, "nothing")
    decisions = [driver.planned(0.1 * i, missing, False, Pose2()) for i in range(1, 15)]
    assert decisions[0].order is Order.KEEP
    assert decisions[-1].order is Order.HOLD
    assert "subgoal_unreachable" in decisions[-1].why
    assert driver.planned(1.6, path_to(2.5), False, Pose2()).order is Order.SEND


def test_a_robot_that_never_moves_ends_without_progress() -> None:
    driver = RouteDriver(DriverConfig(), straight(6.0))
    decision = Decision(Order.KEEP)
    for i in range(200):
        decision = driver.planned(0.1 * i, path_to(2.5), False, Pose2())
        if decision.end:
            break
    assert decision.end is DriveEnd.NO_PROGRESS
    assert "not moved" in decision.why


def test_a_route_that_goes_into_a_dead_end_and_back_does_not_hold_the_robot(lab) -> None:
    there_and_back = np.array([[0, 0, 0], [3.0, 0, 0], [3.0, 1.2, 0], [3.0, 0, 0], [6.0, 0.0, 0]], dtype=float)
    _, end, track, _ = simulate(lab, lambda t: hall(lab), there_and_back)
    assert end is DriveEnd.ARRIVED
    assert math.hypot(track[-1].x - 6.0, track[-1].y) <= 0.30


def test_going_in_circles_is_not_progress() -> None:
    driver = RouteDriver(DriverConfig(), straight(6.0))
    for i in range(700):
        pose = Pose2(0.5 * math.sin(0.05 * i), 0.5 - 0.5 * math.cos(0.05 * i), 0.0)
        driver.subgoals(Pose2(), pose)
        decision = driver.planned(0.1 * i, path_to(2.5), False, pose)
        if decision.end:
            break
    assert decision.end is DriveEnd.NO_PROGRESS
    assert "no shorter" in decision.why


def test_the_last_subgoal_is_the_routes_end_with_its_heading() -> None:
    driver = RouteDriver(DriverConfig(), straight(6.0, yaw=1.0))
    far = driver.subgoals(Pose2(), Pose2(0.5, 0.1, 0.0))
    assert [s.final for s in far] == [False] * 4
    assert far[0].odom_from_goal.x == pytest.approx(3.0)
    near = driver.subgoals(Pose2(), Pose2(4.0, 0.1, 0.0))
    assert near[0].final
    assert near[0].odom_from_goal == Pose2(6.0, 0.0, 1.0)
    assert sum(s.final for s in near) == 1


def test_the_goals_heading_is_asked_for_only_where_it_matters() -> None:
    driver = RouteDriver(DriverConfig(), straight(6.0, yaw=1.0))
    assert driver.yaw_error(Pose2(), Pose2(6.0, 0.0, 0.2)) == pytest.approx(0.8)
    assert driver.yaw_error(Pose2(), Pose2(6.0, 0.0, 0.95)) == 0.0
    assert RouteDriver(DriverConfig(), straight(6.0, yaw=1.0), heed_yaw=False).yaw_error(Pose2(), Pose2(6.0, 0.0, 0.2)) == 0.0


def test_passing_the_goal_on_the_way_is_not_arriving() -> None:
    loop = np.array([[0, 0, 0], [3, 0, 0], [3, 3, 0], [0.1, 3, 0], [0.1, 0.1, 0]], dtype=float)
    driver = RouteDriver(DriverConfig(), loop)
    assert not driver.arrived(Pose2(), Pose2(0.1, 0.05, 0.0))


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="other_lookaheads"):
        DriverConfig(other_lookaheads=(0.0,))
