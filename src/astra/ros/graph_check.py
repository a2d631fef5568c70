"""What a running ROS graph says of itself: subscriptions that can never hear, topics with two masters, transforms that are missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from astra.doctor.finding import Finding, Severity
from astra.doctor.frames import examine_frames

ONE_MASTER = ("/map", "/odom", "/cmd_vel", "/astra/local_path", "/clock")  # two publishers of these drive a robot mad
NEEDED = {"/wheel/odometry": "the wheels' driver", "/imu": "the IMU's driver", "/tf_static": "robot_state_publisher"}
DISCOVERY_S = 3.0


def examine_graph(wait_s: float = DISCOVERY_S) -> list[Finding]:
    """Look at the graph of this ROS domain for a while, then judge it.

    Raises:
        MissingDependencyError: there is no ROS here.
    """
    from astra.ros.environment import activate

    activate()
    import rclpy
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from tf2_msgs.msg import TFMessage

    from astra.ros import qos

    parents: dict[str, set[str]] = {}

    def hear(message: TFMessage) -> None:
        for transform in message.transforms:
            parents.setdefault(transform.child_frame_id.lstrip("/"), set()).add(transform.header.frame_id.lstrip("/"))

    rclpy.init()
    try:
        node = rclpy.create_node("astra_doctor")
        try:
            node.create_subscription(TFMessage, "tf", hear, qos.SENSOR)
            latched = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # of several publishers
            node.create_subscription(TFMessage, "tf_static", hear, latched)
            end = time.monotonic() + wait_s
            while time.monotonic() < end:
                rclpy.spin_once(node, timeout_sec=0.1)
            found = list(_judge(node))
            return found if found[0].severity is Severity.ERROR else [*found, *examine_frames(parents)]
        finally:
            node.destroy_node()
    finally:
        rclpy.shutdown()


def _judge(node: Any) -> Iterator[Finding]:
    topics = {name: kinds for name, kinds in node.get_topic_names_and_types() if not name.endswith(("/rosout", "/parameter_events"))}
    others = [name for name in node.get_node_names() if name != node.get_name()]
    if not others:
        yield Finding(
            "ros graph", Severity.ERROR, "no other node is heard", "start the drivers; compare ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE on both sides"
        )
        return
    yield Finding("ros graph", Severity.OK, f"{len(others)} nodes, {len(topics)} topics", value=len(others), unit="nodes")
    twice = sorted({name for name in others if others.count(name) > 1})
    if twice:
        yield Finding("node names", Severity.ERROR, f"names used twice: {', '.join(twice)}", "end the stale one, or give a namespace")
    for name, kinds in sorted(topics.items()):
        if len(kinds) > 1:
            yield Finding(
                f"type of {name}", Severity.ERROR, f"it is used with two types: {', '.join(kinds)}", "compare Twist and TwistStamped (enable_stamped_cmd_vel)"
            )
        yield from _topic(node, name)
    for name, who in NEEDED.items():
        if not node.get_publishers_info_by_topic(name):
            yield Finding(f"{name}", Severity.WARNING, f"nobody publishes {name}", f"start {who}, or remap its topic")


def _topic(node: Any, name: str) -> Iterator[Finding]:
    from rclpy.qos import QoSCompatibility, qos_check_compatible

    publishers, subscriptions = node.get_publishers_info_by_topic(name), node.get_subscriptions_info_by_topic(name)
    if name in ONE_MASTER and len(publishers) > 1:
        who = ", ".join(sorted(p.node_name for p in publishers))
        yield Finding(
            f"publishers of {name}",
            Severity.ERROR,
            f"{len(publishers)} nodes publish it: {who}",
            "let one of them (parameters publish_map, publish_odom_tf; docs/INTERFACES.md)",
        )
    for subscription in subscriptions:
        for publisher in publishers:
            compatible, reason = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
            if compatible == QoSCompatibility.ERROR:
                what = f"{subscription.node_name} cannot hear {publisher.node_name}: {str(reason).strip().rstrip(';').lower()}"
                yield Finding(
                    f"qos of {name}",
                    Severity.ERROR,
                    what,
                    "sensors are published reliable or best-effort and heard best-effort; maps and /tf_static are latched on both sides",
                )
