"""astra_odometry, astra_local and astra_controller as processes of their own over DDS, on a kinematic robot in a world of boxes."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Twist
from nav2_msgs.action import BackUp, FollowPath, Spin
from nav2_msgs.msg import SpeedLimit
from nav_msgs.msg import OccupancyGrid, Odometry
from nav_msgs.msg import Path as PathMsg
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Float32, String

from astra.geometry import Pose2
from astra.ros import qos
from astra.ros.conversions import ns_from_stamp, path_from_poses, pose2_from_pose
from astra.ros.tf import TfBuffer

pytestmark = pytest.mark.ros

LOOPBACK = Path(__file__).with_name("loopback_robot.py")


class Bench:
    """A client node, what it has heard, and waiting on conditions with a time limit."""

    def __init__(self, node: Any, executor: SingleThreadedExecutor) -> None:
        self.node, self.executor = node, executor
        self.tf = TfBuffer(node)
        self.truth: list[tuple[float, Pose2, float, float]] = []
        self.odometry: list[Odometry] = []
        self.paths: list[PathMsg] = []
        self.commands: list[tuple[float, Twist]] = []
        self.grids: list[OccupancyGrid] = []
        self.limits: list[float] = []
        self.gaps: list[float] = []
        self.diagnostics: dict[str, tuple[bytes, str]] = {}
        node.create_subscription(Odometry, "ground_truth/odom", self._on_truth, qos.SENSOR)
        node.create_subscription(Odometry, "odom", self.odometry.append, qos.SENSOR)
        node.create_subscription(PathMsg, "astra/local_path", self.paths.append, qos.RELIABLE)
        node.create_subscription(Twist, "cmd_vel", lambda m: self.commands.append((time.monotonic(), m)), qos.RELIABLE)
        node.create_subscription(OccupancyGrid, "astra/occupancy", self.grids.append, qos.RELIABLE)
        node.create_subscription(SpeedLimit, "speed_limit", lambda m: self.limits.append(m.speed_limit), qos.RELIABLE)
        node.create_subscription(Float32, "loopback/gap", lambda m: self.gaps.append(m.data), qos.SENSOR)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE)
        self._orders = node.create_publisher(String, "loopback/order", qos.RELIABLE)
        self.route = ActionClient(node, FollowPath, "astra/follow_path")
        self.follow = ActionClient(node, FollowPath, "follow_path")
        self.spin = ActionClient(node, Spin, "spin")
        self.backup = ActionClient(node, BackUp, "backup")

    def _on_truth(self, message: Odometry) -> None:
        twist = message.twist.twist
        self.truth.append((time.monotonic(), pose2_from_pose(message.pose.pose), twist.linear.x, twist.angular.z))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics.update({status.name: (status.level, status.message) for status in message.status})

    def until(self, condition: Callable[[], bool], limit_s: float, what: str) -> float:
        """Spin until the condition holds; how long that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < limit_s, f"waited {limit_s} s in vain for: {what}"
            self.executor.spin_once(timeout_sec=0.02)
        return time.monotonic() - began

    def spend(self, time_s: float) -> None:
        end = time.monotonic() + time_s
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def order(self, text: str) -> None:
        self._orders.publish(String(data=text))

    def send(self, client: ActionClient, goal: Any, feedback: list[Any] | None = None) -> Any:
        """Send a goal and wait until it is accepted."""
        future = client.send_goal_async(goal, feedback_callback=None if feedback is None else lambda m: feedback.append(m.feedback))
        self.until(future.done, 5.0, "acceptance of a goal")
        assert future.result().accepted
        return future.result()

    def result(self, handle: Any, limit_s: float) -> tuple[int, Any]:
        future = handle.get_result_async()
        self.until(future.done, limit_s, "a result")
        return future.result().status, future.result().result

    def pose(self) -> Pose2:
        return self.truth[-1][1]

    def speed(self) -> float:
        return abs(self.truth[-1][2]) + 0.2 * abs(self.truth[-1][3])

    def odom_pose(self) -> Pose2:
        return pose2_from_pose(self.odometry[-1].pose.pose)

    def path_to(self, *ahead: tuple[float, float]) -> FollowPath.Goal:
        """A path in odom through points given in the robot's frame."""
        here = self.odom_pose()
        line = np.concatenate([[[here.x, here.y]], here.apply(np.array(ahead, dtype=float))])
        dense = np.concatenate([np.linspace(a, b, 30) for a, b in itertools.pairwise(line)])
        yaw = math.atan2(*(dense[-1] - dense[-2])[::-1])
        return FollowPath.Goal(path=path_from_poses([(x, y, yaw) for x, y in dense], 0, "odom"))


def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    code = f"from astra.cli.main import node_main; node_main({name!r})"
    return subprocess.Popen([sys.executable, "-c", code, "--ros-args", *arguments], start_new_session=True)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    patch = pytest.MonkeyPatch()
    patch.setenv("ROS_DOMAIN_ID", str(1 + (os.getpid() + 41) % 100))
    processes = [subprocess.Popen([sys.executable, str(LOOPBACK)], start_new_session=True)]
    processes += [start("astra_odometry"), start("astra_controller"), start("astra_local", "-p", "driver.no_path_allowance:=3.0")]
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("bench", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = Bench(node, executor)
        client.until(lambda: bool(client.truth and client.odometry), 30.0, "odometry")
        for action in (client.route, client.follow, client.spin, client.backup):
            client.until(action.server_is_ready, 30.0, "the actions")
        client.until(lambda: bool(client.grids), 30.0, "the local grid")
        yield client
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
        for process in processes:
            process.send_signal(signal.SIGINT)
        codes = []
        for process in processes:
            try:
                codes.append(process.wait(10.0))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        patch.undo()
    assert codes == [0, 0, 0, 0], "every node ends in order on SIGINT"


@pytest.fixture(autouse=True)
def well(bench: Bench) -> Iterator[None]:
    """Every test starts from a robot that stands, without faults."""
    bench.order("well")
    bench.until(lambda: bench.speed() < 1e-6, 10.0, "the robot to stand")
    bench.spend(0.5)
    yield
    bench.order("well")


def test_odometry_comes_with_every_wheel_reading_with_tf_and_covariance(bench: Bench) -> None:
    first, readings = len(bench.odometry), len(bench.truth)
    bench.until(lambda: len(bench.odometry) >= first + 100, 20.0, "a hundred poses")
    stamps = [ns_from_stamp(m.header.stamp) for m in bench.odometry[first:]]
    assert np.all(np.diff(stamps) > 0)
    assert len(stamps) > 0.8 * (len(bench.truth) - readings)  # one for each wheel reading; the robot's 50 Hz timer gives the truth too
    message = bench.odometry[first + len(stamps) - 1]
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    assert message.pose.covariance[0] > 0.0
    bench.until(lambda: (bench.tf.newest_ns("odom", "base_link") or 0) >= stamps[-1], 10.0, "TF odom → base_link as new as /odom")
    transform = bench.tf.lookup("odom", "base_link", stamps[-1]).pose2()
    assert transform.distance_to(pose2_from_pose(message.pose.pose)) < 0.05


def test_a_route_around_an_obstacle_is_driven_to_its_end_without_contact(bench: Bench) -> None:
    begin, feedback = len(bench.gaps), []
    goal = bench.path_to((4.5, 0.0))
    x, y = goal.path.poses[-1].pose.position.x, goal.path.poses[-1].pose.position.y
    status, result = bench.result(bench.send(bench.route, goal, feedback), 60.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0), result.error_msg
    assert math.hypot(bench.odom_pose().x - x, bench.odom_pose().y - y) <= 0.32
    assert bench.pose().distance_to(Pose2(4.5, 0.0)) <= 0.4  # the truth, with what odometry lost on the way
    assert min(bench.gaps[begin:]) > 0.03
    assert len(feedback) > 20
    assert feedback[-1].distance_to_goal < feedback[0].distance_to_goal
    assert bench.paths[-1].header.frame_id == "odom"
    assert any(0.0 < limit < 0.6 for limit in bench.limits)
    bench.until(lambda: bench.limits[-1] == 0.0, 2.0, "the speed limit to be lifted")
    bench.until(lambda: bench.speed() < 1e-3, 2.0, "the robot to stop")


def test_cancelling_a_route_stops_the_robot_within_half_a_second(bench: Bench) -> None:
    handle = bench.send(bench.route, bench.path_to((-4.0, 0.0)))
    bench.until(lambda: abs(bench.truth[-1][2]) > 0.25, 15.0, "the robot to drive")
    future = handle.cancel_goal_async()
    began = time.monotonic()
    bench.until(lambda: bench.commands[-1][0] > began and bench.commands[-1][1].linear.x == 0.0, 0.5, "a zero command")
    bench.until(lambda: bench.speed() < 0.02, 1.0, "the robot to stand")
    assert bench.result(handle, 5.0)[0] == GoalStatus.STATUS_CANCELED
    assert future.done()


def test_a_new_route_takes_over_and_the_old_one_ends_aborted_without_a_code(bench: Bench) -> None:
    first = bench.send(bench.route, bench.path_to((0.0, 1.6)))
    bench.until(lambda: bench.speed() > 0.1, 10.0, "the robot to move")
    second = bench.send(bench.route, bench.path_to((1.2, 0.0)))
    status, result = bench.result(first, 5.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, 0)
    assert bench.result(second, 40.0)[0] == GoalStatus.STATUS_SUCCEEDED


def test_the_controllers_paths_preempt_each_other_as_nav2s_do(bench: Bench) -> None:
    feedback: list[Any] = []
    first = bench.send(bench.follow, bench.path_to((1.5, 0.0)), feedback)
    bench.until(lambda: len(feedback) >= 10, 3.0, "feedback at 20 Hz")
    speeds_before = bench.truth[-1][2]
    second = bench.send(bench.follow, bench.path_to((1.0, 0.0)))
    status, result = bench.result(first, 2.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, 0)
    assert bench.truth[-1][2] >= speeds_before - 0.1  # no stop in between
    status, result = bench.result(second, 20.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    assert bench.result(bench.send(bench.follow, bench.path_to((0.1, 0.0))), 2.0)[0] == GoalStatus.STATUS_SUCCEEDED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda goal: setattr(goal, "controller_id", "Other"), 101),
        (lambda goal: setattr(goal, "goal_checker_id", "other"), 100),
        (lambda goal: setattr(goal, "progress_checker_id", "other"), 100),
        (lambda goal: goal.path.poses.clear(), 103),
        (lambda goal: setattr(goal.path.poses[3].pose.position, "x", math.nan), 103),
        (lambda goal: setattr(goal.path.header, "frame_id", "moon"), 102),
    ],
)
def test_goals_that_cannot_be_followed_are_accepted_and_aborted_with_nav2s_codes(bench: Bench, change: Any, code: int) -> None:
    goal = bench.path_to((1.0, 0.0))
    change(goal)
    status, result = bench.result(bench.send(bench.follow, goal), 3.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, code)
    assert result.error_msg


def test_routes_that_cannot_be_driven_are_refused_with_a_code(bench: Bench) -> None:
    for change, code in ((lambda g: g.path.poses.clear(), 103), (lambda g: setattr(g.path.header, "frame_id", "moon"), 102)):
        goal = bench.path_to((1.0, 0.0))
        change(goal)
        status, result = bench.result(bench.send(bench.route, goal), 3.0)
        assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, code)


def test_spin_and_backup_do_what_they_say(bench: Bench) -> None:
    yaw, feedback = bench.pose().yaw, []
    status, result = bench.result(bench.send(bench.spin, Spin.Goal(target_yaw=1.2, time_allowance=Duration(sec=10)), feedback), 12.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    bench.until(lambda: bench.speed() < 1e-3, 2.0, "the robot to stop")
    assert math.remainder(bench.pose().yaw - yaw - 1.2, 2 * math.pi) == pytest.approx(0.0, abs=0.4)
    assert feedback[-1].angular_distance_traveled == pytest.approx(1.2, abs=0.4)
    here = bench.pose()
    goal = BackUp.Goal(target=Point(x=0.3), speed=0.15, time_allowance=Duration(sec=10))
    status, result = bench.result(bench.send(bench.backup, goal), 12.0)
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    bench.until(lambda: bench.speed() < 1e-3, 2.0, "the robot to stop")
    assert (here.inverse() @ bench.pose()).x == pytest.approx(-0.3, abs=0.2)  # how exactly: test_motion; here the machine may be busy
    sideways = BackUp.Goal(target=Point(x=0.3, y=0.1), speed=0.15, time_allowance=Duration(sec=10))
    assert bench.result(bench.send(bench.backup, sideways), 3.0)[1].error_code == BackUp.Result.INVALID_INPUT


def test_a_scan_that_stops_coming_stops_the_robot_within_half_a_second_and_is_named(bench: Bench) -> None:
    handle = bench.send(bench.route, bench.path_to((2.0, 0.0)))
    bench.until(lambda: bench.speed() > 0.2, 15.0, "the robot to drive")
    bench.order("no_scan")
    began = time.monotonic()
    bench.until(lambda: bench.commands[-1][0] > began and bench.commands[-1][1].linear.x == 0.0, 0.7, "a zero command")
    bench.until(lambda: bench.speed() < 0.02, 1.0, "the robot to stand")
    bench.until(lambda: b"\x02" in {level for level, _ in bench.diagnostics.values()}, 3.0, "an ERROR in /diagnostics")
    named = [text for level, text in bench.diagnostics.values() if level == b"\x02"]
    assert any("scan" in text for text in named)
    here = bench.pose()
    bench.spend(1.0)
    assert bench.pose().distance_to(here) < 0.01
    bench.order("well")
    bench.until(lambda: bench.speed() > 0.1, 6.0, "the robot to go on")
    handle.cancel_goal_async()
    bench.result(handle, 5.0)


def test_someone_who_steps_in_front_is_not_touched_by_path_or_retreat(bench: Bench) -> None:
    """The path alone would lead through them: the controller's gate must stop the robot, and give the path up in time."""
    handle = bench.send(bench.follow, bench.path_to((-2.5, 0.0)))
    bench.until(lambda: bench.truth[-1][2] > 0.4, 15.0, "the robot to drive at speed")
    begin = len(bench.gaps)
    bench.order("person")
    bench.until(lambda: bench.speed() < 0.01, 5.0, "the robot to stop")
    name = "astra_controller: velocity gate"
    bench.until(lambda: bench.diagnostics.get(name, (b"", ""))[1] == "blocked", 3.0, "the gate's reason")
    status, result = bench.result(handle, 15.0)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code in (FollowPath.Result.PATIENCE_EXCEEDED, FollowPath.Result.FAILED_TO_MAKE_PROGRESS)
    assert 0.0 < min(bench.gaps[begin:]) < 0.2


def test_wheel_odometry_that_is_not_finite_is_counted_and_does_not_spoil_the_pose(bench: Bench) -> None:
    before = bench.odom_pose()
    bench.order("nan_wheel")
    name = "astra_odometry: odometry"
    bench.until(lambda: "not_finite" in bench.diagnostics.get(name, (b"", ""))[1] or "no wheel" in bench.diagnostics[name][1], 5.0, "a word")
    bench.order("well")
    count = len(bench.odometry)
    bench.until(lambda: len(bench.odometry) > count + 20, 3.0, "odometry to go on")
    assert bench.odom_pose().distance_to(before) < 0.05


@pytest.mark.parametrize(("order", "why"), [("no_imu", "no gyro"), ("wheel_twice", "duplicate")])
def test_what_odometry_suffers_from_is_told_and_passes(bench: Bench, order: str, why: str) -> None:
    """Without a gyro the wheels turn the pose, which grows less sure; doubled readings cost nothing."""
    name = "astra_odometry: odometry"
    handle = bench.send(bench.spin, Spin.Goal(target_yaw=6.0, time_allowance=Duration(sec=30)))
    bench.until(lambda: abs(bench.truth[-1][3]) > 0.2, 10.0, "the robot to turn")
    bench.order(order)
    bench.until(lambda: why in bench.diagnostics.get(name, (b"", ""))[1], 5.0, f"{why!r} in /diagnostics")
    handle.cancel_goal_async()
    bench.result(handle, 5.0)
    bench.order("well")
    bench.until(lambda: bench.diagnostics[name][0] == b"\x00", 5.0, "all well again")
    count = len(bench.odometry)
    bench.until(lambda: len(bench.odometry) > count + 20, 3.0, "odometry to go on")


def test_a_blocked_way_ends_the_route_with_a_code_and_the_robot_stands(bench: Bench) -> None:
    """The goal lies behind the outer wall."""
    handle = bench.send(bench.route, bench.path_to((0.0, 8.0)))
    status, result = bench.result(handle, 60.0)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code in (FollowPath.Result.NO_VALID_CONTROL, FollowPath.Result.FAILED_TO_MAKE_PROGRESS)
    assert result.error_msg
    bench.until(lambda: bench.speed() < 1e-3, 2.0, "the robot to stop")
    assert min(bench.gaps) > 0.0  # in none of these tests the robot ever touched anything


def test_without_a_goal_cmd_vel_is_quiet(bench: Bench) -> None:
    bench.spend(1.0)
    count = len(bench.commands)
    bench.spend(0.7)
    assert len(bench.commands) == count
