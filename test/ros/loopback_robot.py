"""A kinematic robot in a world of boxes, for tests: integrates /cmd_vel, publishes what the robot's drivers would. Run as a process of its own.

`loopback/order` (std_msgs/String) takes faults: "no_scan", "nan_wheel", "person" (a box appears ahead of the robot), and "well" again.
`loopback/gap` (std_msgs/Float32) is the true distance between the robot's outline and the nearest box [m].
"""

from __future__ import annotations

import math
import sys

import numpy as np

from astra.ros.environment import activate

activate()

import rclpy  # noqa: E402
from geometry_msgs.msg import Twist  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.executors import ExternalShutdownException  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import Imu  # noqa: E402
from sensor_msgs.msg import LaserScan as LaserScanMsg  # noqa: E402
from std_msgs.msg import Float32, String  # noqa: E402

from astra.core.types import ImuSample, LaserScan, WheelTwist  # noqa: E402
from astra.geometry import Pose2, Pose3  # noqa: E402
from astra.navigation.control import ramp  # noqa: E402
from astra.ros import qos  # noqa: E402
from astra.ros.conversions import imu_to_msg, pose_from_pose2, scan_to_msg, stamp_from_ns, wheel_to_odometry  # noqa: E402
from astra.ros.tf import StaticTfBroadcaster  # noqa: E402

BOXES = ((-2.0, -3.0, 9.0, 3.0), (2.5, -0.6, 3.0, 0.5), (5.0, 0.8, 5.3, 3.0))
RADIUS_M = 0.22
BASE_FROM_LIDAR = Pose2(0.05, 0.0, math.pi)  # mounted backwards, as some are


def edges(boxes: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    corners = np.array([[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in boxes], dtype=float)
    return np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2, 2)


def gap(segments: np.ndarray, pose: Pose2) -> float:
    """Distance of the disc-shaped robot to the nearest edge."""
    begin, edge = segments[:, 0], segments[:, 1] - segments[:, 0]
    here = np.array([pose.x, pose.y])
    along = np.clip(np.sum((here - begin) * edge, axis=1) / np.sum(edge**2, axis=1), 0.0, 1.0)
    return float(np.linalg.norm(here - begin - along[:, None] * edge, axis=1).min()) - RADIUS_M


def cast(segments: np.ndarray, pose: Pose2, beams: int = 360) -> np.ndarray:
    """Ranges of a planar lidar; beam i at -π + i · 2π/beams."""
    angles = np.arange(beams) * 2 * math.pi / beams - math.pi + pose.yaw
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    edge, offset = segments[:, 1] - segments[:, 0], segments[:, 0] - np.array([pose.x, pose.y])
    with np.errstate(all="ignore"):
        across = rays[:, None, 0] * edge[None, :, 1] - rays[:, None, 1] * edge[None, :, 0]
        t = (offset[:, 0] * edge[:, 1] - offset[:, 1] * edge[:, 0])[None] / across
        u = (offset[None, :, 0] * rays[:, None, 1] - offset[None, :, 1] * rays[:, None, 0]) / across
    return np.where((u >= 0) & (u <= 1) & (t > 0), t, np.inf).min(axis=1)


class Loopback(Node):
    def __init__(self) -> None:
        super().__init__("loopback_robot")
        self.pose, self.actual, self.wanted, self.wanted_ns = Pose2(), (0.0, 0.0), (0.0, 0.0), 0
        self.boxes, self.orders = BOXES, set()
        self.rng = np.random.default_rng(0)
        self.wheel = self.create_publisher(Odometry, "wheel/odometry", qos.SENSOR)
        self.imu = self.create_publisher(Imu, "imu", qos.SENSOR)
        self.scan = self.create_publisher(LaserScanMsg, "scan", qos.SENSOR)
        self.gap = self.create_publisher(Float32, "loopback/gap", qos.SENSOR)
        self.truth = self.create_publisher(Odometry, "ground_truth/odom", qos.SENSOR)
        self.create_subscription(Twist, "cmd_vel", self.on_command, qos.RELIABLE)
        self.create_subscription(String, "loopback/order", self.on_order, qos.RELIABLE)
        StaticTfBroadcaster(self).send({("base_link", "lidar"): Pose3.from_pose2(BASE_FROM_LIDAR, 0.2), ("base_link", "imu_link"): Pose3()})
        self.last_ns = self.get_clock().now().nanoseconds
        self.create_timer(0.02, self.step)
        self.create_timer(0.1, self.look)

    def on_command(self, message: Twist) -> None:
        self.wanted = (message.linear.x, message.angular.z)
        self.wanted_ns = self.get_clock().now().nanoseconds

    def on_order(self, message: String) -> None:
        if message.data == "well":
            self.orders, self.boxes = set(), BOXES
        elif message.data == "person":
            x, y = (self.pose @ Pose2(0.9, 0.0, 0.0)).apply(np.zeros(2)).tolist()
            self.boxes = (*BOXES, (x - 0.15, y - 0.3, x + 0.15, y + 0.3))
        else:
            self.orders.add(message.data)

    def step(self) -> None:
        now = self.get_clock().now().nanoseconds
        dt = (now - self.last_ns) * 1e-9
        wanted = self.wanted if now - self.wanted_ns < 500_000_000 else (0.0, 0.0)  # a driver's own watchdog
        self.actual = (ramp(self.actual[0], wanted[0], 0.8 * dt, 1.2 * dt), ramp(self.actual[1], wanted[1], 2.5 * dt, 4.0 * dt))
        v, w = self.actual
        before, self.pose = self.last_ns, self.pose @ Pose2.exp(v * dt, 0.0, w * dt)
        self.last_ns = now
        for i in () if "no_imu" in self.orders else range(1, 5):
            rate = w + 0.01 + 0.003 * float(self.rng.standard_normal())
            stamp = before + (now - before) * i // 4
            self.imu.publish(imu_to_msg(ImuSample(stamp, np.array([0.0, 0.0, rate]), np.array([0.0, 0.0, 9.81])), "imu_link"))
        for _ in range(2 if "wheel_twice" in self.orders else 1):
            self.wheel.publish(wheel_to_odometry(WheelTwist(now, math.nan if "nan_wheel" in self.orders else v, w)))
        self.gap.publish(Float32(data=gap(edges(self.boxes), self.pose)))
        message = Odometry(child_frame_id="base_link")
        message.header.stamp, message.header.frame_id = stamp_from_ns(now), "world"
        message.pose.pose = pose_from_pose2(self.pose)
        message.twist.twist.linear.x, message.twist.twist.angular.z = self.actual
        self.truth.publish(message)

    def look(self) -> None:
        if "no_scan" in self.orders:
            return
        ranges = cast(edges(self.boxes), self.pose @ BASE_FROM_LIDAR) + 0.008 * self.rng.standard_normal(360)
        ranges[ranges > 10.0] = np.inf
        scan = LaserScan(self.last_ns, "lidar", ranges.astype(np.float32), -math.pi, 2 * math.pi / 360, 0.1, 10.0)
        self.scan.publish(scan_to_msg(scan))


def main() -> None:
    rclpy.init(args=sys.argv)
    robot = Loopback()
    try:
        rclpy.spin(robot)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        robot.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
