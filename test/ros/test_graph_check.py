"""`astra doctor --live`: a graph with typical mistakes is told of them, and what is published can be recorded and examined."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from geometry_msgs.msg import TransformStamped, Twist
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from astra.datasets import open_drive
from astra.doctor.finding import Finding, Severity
from astra.ros.graph_check import examine_graph
from astra.ros.recording import recorded

pytestmark = pytest.mark.ros
LIMIT_S = 20.0


@pytest.fixture
def robot(ros_domain: int) -> Iterator[Node]:
    """A node in a context of its own."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("robot", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def transform(parent: str, child: str) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    return message


def until(condition: Callable[[dict[str, Finding]], bool]) -> dict[str, Finding]:
    """Examine until what is wanted was found; discovery takes its time on busy machines."""
    deadline, found = time.monotonic() + LIMIT_S, {}
    while time.monotonic() < deadline:
        found = {f.check: f for f in examine_graph(1.0)}
        if condition(found):
            break
    return found


def test_deaf_subscriptions_and_two_masters_are_named(robot: Node) -> None:
    volatile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.create_publisher(OccupancyGrid, "/map", volatile)
    robot.create_subscription(OccupancyGrid, "/map", lambda _: None, latched)
    robot.create_publisher(Twist, "/cmd_vel", 1)
    robot.create_publisher(Twist, "/cmd_vel", 1)
    frames = robot.create_publisher(TFMessage, "/tf_static", latched)
    frames.publish(TFMessage(transforms=[transform("base_link", "imu_link"), transform("imu_mount", "imu_link")]))
    found = until(lambda f: "qos of /map" in f and "publishers of /cmd_vel" in f and "tf of imu_link" in f)
    assert "2 parents: base_link, imu_mount" in found["tf of imu_link"].what
    assert found["qos of /map"].severity is Severity.ERROR and "robot cannot hear robot" in found["qos of /map"].what
    assert found["publishers of /cmd_vel"].severity is Severity.ERROR and "2 nodes" in found["publishers of /cmd_vel"].what
    assert found["/imu"].severity is Severity.WARNING and "driver" in found["/imu"].advice


def test_an_empty_graph_says_so(ros_domain: int) -> None:
    (finding,) = examine_graph(0.5)
    assert finding.severity is Severity.ERROR and "ROS_DOMAIN_ID" in finding.advice


def test_what_runs_can_be_recorded_and_read_as_a_drive(robot: Node) -> None:
    publisher = robot.create_publisher(Odometry, "/wheel/odometry", 10)
    executor = SingleThreadedExecutor(context=robot.context)
    executor.add_node(robot)

    def tick() -> None:
        message = Odometry()
        message.header.stamp = robot.get_clock().now().to_msg()
        message.twist.twist.linear.x = 0.3
        publisher.publish(message)

    robot.create_timer(0.02, tick)
    import threading

    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        for seconds in (2.0, 10.0):  # on a busy machine a recorder hears late
            with recorded(seconds) as path:
                wheel = open_drive(path, need_cameras=False).wheel() if any(path.iterdir()) else ()
            assert not path.exists()
            if len(wheel) > 10:
                break
        assert len(wheel) > 10 and wheel[0].linear_mps == pytest.approx(0.3)
    finally:
        executor.shutdown()
        thread.join(5.0)
