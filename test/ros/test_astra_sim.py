"""astra_sim and astra_recorder as processes of their own: rates, stamps, frames, commands, watchdog, truth apart, a valid bag."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, LaserScan
from std_msgs.msg import String, UInt32

from astra.datasets import open_drive
from astra.geometry import Pose2
from astra.ros import qos
from astra.ros.conversions import model_from_camera_info, ns_from_stamp, pose2_from_pose, rgb_from_compressed, rgb_from_image
from astra.ros.tf import TfBuffer
from astra.sim.robot import RobotConfig

pytestmark = pytest.mark.ros

FAST = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
CAMERAS = ("front", "left", "back", "right")
HALL = """<mujoco><worldbody><geom type="plane" size="0 0 1" rgba=".4 .5 .4 1"/><light pos="0 0 3"/>
<geom type="box" size="5 .1 1" pos="0 3 1" rgba=".8 .3 .3 1"/><geom type="box" size="5 .1 1" pos="0 -3 1" rgba=".3 .3 .8 1"/>
<geom type="box" size=".1 3 1" pos="5 0 1" rgba=".8 .8 .3 1"/><geom type="box" size=".1 3 1" pos="-5 0 1" rgba=".3 .8 .3 1"/>
</worldbody></mujoco>"""  # 9.8 m × 5.8 m inside


class Listener:
    """A client that keeps all it hears."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.tf = TfBuffer(self.node)
        self.heard: dict[str, list[Any]] = defaultdict(list)

    def listen(self, topic: str, kind: Any, profile: QoSProfile = FAST) -> None:
        self.node.create_subscription(kind, topic, self.heard[topic].append, profile)

    def until(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {limit_s} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.02)

    def sim_ns(self) -> int:
        return ns_from_stamp(self.heard["/clock"][-1].clock) if self.heard["/clock"] else 0

    def simulate(self, time_s: float) -> None:
        end = self.sim_ns() + time_s * 1e9
        self.until(lambda: self.sim_ns() >= end, 30.0 * time_s + 10.0, f"{time_s} s of simulated time")

    def pose(self) -> Pose2:
        self.until(lambda: bool(self.heard["/ground_truth/odom"]), 30.0, "the truth")
        return pose2_from_pose(self.heard["/ground_truth/odom"][-1].pose.pose)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def start(name: str, **parameters: object) -> subprocess.Popen[str]:
    code = f"from astra.cli.main import node_main; node_main({name!r})"
    arguments = [item for key, value in parameters.items() for item in ("-p", f"{key}:={value}")]
    command = [sys.executable, "-c", code, "--ros-args", *arguments]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str], number: int = signal.SIGINT) -> int:
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.communicate(timeout=20.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode


@pytest.fixture
def listener(ros_domain: int) -> Iterator[Listener]:
    client = Listener()
    client.listen("/clock", Clock)
    client.listen("/ground_truth/odom", Odometry)
    client.listen("/ground_truth/collisions", UInt32, qos.LATCHED)
    yield client
    client.close()


@pytest.fixture
def hall(tmp_path: Path) -> Path:
    path = tmp_path / "hall.xml"
    path.write_text(HALL, "utf-8")
    return path


def test_sensors_come_at_their_rates_with_stamps_and_frames(listener: Listener, hall: Path) -> None:
    for camera in CAMERAS:
        listener.listen(f"/{camera}/image_raw", Image)
        listener.listen(f"/{camera}/camera_info", CameraInfo)
    for topic, kind in (("/imu", Imu), ("/wheel/odometry", Odometry), ("/scan", LaserScan)):
        listener.listen(topic, kind)
    listener.listen("/robot_description", String, qos.LATCHED)
    process = start("astra_sim", world=hall, start="1.0,0.5,0.5")
    try:
        listener.until(lambda: bool(listener.heard["/front/image_raw"]), 60.0, "the first image")
        listener.simulate(0.5)
        for messages in listener.heard.values():
            del messages[:-1]
        listener.simulate(3.0)
    finally:
        assert end(process) == 0
    rates = {"/imu": 200, "/wheel/odometry": 50, "/scan": 10, "/clock": 100, **{f"/{c}/image_raw": 10 for c in CAMERAS}}
    for topic, rate in rates.items():
        messages = listener.heard[topic]
        stamps = np.array([ns_from_stamp(m.clock if topic == "/clock" else m.header.stamp) for m in messages])
        assert np.allclose(np.diff(stamps), 1e9 / rate), topic  # nothing lost, nothing late
        assert len(stamps) >= 2.8 * rate, topic
    stamps = [{ns_from_stamp(m.header.stamp) for m in listener.heard[f"/{c}/image_raw"]} for c in CAMERAS]
    assert len(set.union(*stamps) - set.intersection(*stamps)) <= 2  # synchronous but for the ends
    rig = RobotConfig().rig()
    for camera in CAMERAS:
        image, info = listener.heard[f"/{camera}/image_raw"][-1], listener.heard[f"/{camera}/camera_info"][-1]
        assert image.header.frame_id == info.header.frame_id == f"{camera}_optical_frame"
        assert rgb_from_image(image).std() > 5.0 and model_from_camera_info(info) == rig[camera].model
        assert listener.tf.lookup("base_link", image.header.frame_id).angle_to(rig[camera].base_from_cam) < 1e-6
    assert listener.tf.lookup("base_link", "lidar").translation[2] == pytest.approx(RobotConfig().lidar.z_m)
    assert all(m.pose.pose.position.x == 0.0 for m in listener.heard["/wheel/odometry"])
    assert ElementTree.fromstring(listener.heard["/robot_description"][-1].data).tag == "robot"
    # The scan is the hall, seen from where the truth says the robot stands.
    scan, here = listener.heard["/scan"][-1], listener.pose()
    angle = here.yaw + scan.angle_min + scan.angle_increment * int(np.argmin(scan.ranges))
    assert min(scan.ranges) == pytest.approx(2.9 - 0.5, abs=0.05) and math.sin(angle) == pytest.approx(1.0, abs=0.01)
    frames = {t for m in listener.node.get_topic_names_and_types() for t in m[:1]}
    assert "/tf" not in frames or not listener.node.get_publishers_info_by_topic("/tf")  # neither map nor odom comes from here


def test_it_obeys_then_stops_when_commands_cease(listener: Listener, hall: Path) -> None:
    process = start("astra_sim", world=hall, start="-2.0,0.0,0.0", rate=2.0, lidar="false")
    commands = listener.node.create_publisher(Twist, "/cmd_vel", 10)
    try:
        listener.until(lambda: bool(listener.heard["/ground_truth/odom"]) and commands.get_subscription_count() > 0, 60.0, "the robot")
        for _ in range(20):
            commands.publish(Twist())
            commands.publish(_forward(0.4))
            listener.simulate(0.1)
        twist = listener.heard["/ground_truth/odom"][-1].twist.twist
        assert twist.linear.x == pytest.approx(0.4, abs=0.03)
        commands.publish(_forward(math.nan))  # refused; the watchdog runs on from the last good one
        listener.simulate(1.5)
        stopped = listener.pose()
        assert abs(listener.heard["/ground_truth/odom"][-1].twist.twist.linear.x) < 0.01
        listener.simulate(1.0)
        assert stopped.distance_to(listener.pose()) < 0.01
        assert stopped.x > -1.6 and abs(stopped.y) < 0.1
        assert [m.data for m in listener.heard["/ground_truth/collisions"]] == [0]
        assert not listener.node.get_publishers_info_by_topic("/scan")
        listener.until(lambda: _drive(listener, commands, 0.6) and listener.heard["/ground_truth/collisions"][-1].data > 0, 60.0, "the wall")
        listener.simulate(1.5)
        assert listener.heard["/ground_truth/collisions"][-1].data == 1 and listener.pose().x == pytest.approx(4.9 - 0.22, abs=0.05)
    finally:
        assert end(process, signal.SIGTERM) == 0


def test_compressed_images_stamped_commands_and_a_random_start(listener: Listener, hall: Path) -> None:
    listener.listen("/front/image_raw/compressed", CompressedImage)
    process = start("astra_sim", world=hall, seed=5, compressed="true", enable_stamped_cmd_vel="true")
    commands = listener.node.create_publisher(TwistStamped, "/cmd_vel", 10)
    try:
        heard = listener.heard
        listener.until(lambda: bool(heard["/front/image_raw/compressed"] and heard["/ground_truth/odom"]), 60.0, "an image and the truth")
        listener.until(lambda: commands.get_subscription_count() > 0, 60.0, "a listener to commands")
        assert rgb_from_compressed(listener.heard["/front/image_raw/compressed"][-1]).shape == (160, 224, 3)
        first = listener.pose()
        assert abs(first.x) < 4.9 - 0.4 and abs(first.y) < 2.9 - 0.4
        for _ in range(10):
            message = TwistStamped()
            message.twist.angular.z = 1.0
            commands.publish(message)
            listener.simulate(0.1)
        assert listener.heard["/ground_truth/odom"][-1].twist.twist.angular.z == pytest.approx(1.0, abs=0.1)
        assert listener.pose().distance_to(first) < 0.03
    finally:
        assert end(process) == 0


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({}, "world is empty"),
        ({"world": "nowhere.xml"}, "nowhere.xml"),
        ({"world": "HALL", "start": "4.9,0,0"}, "no room"),
        ({"world": "HALL", "start": "there"}, "there"),
        ({"world": "HALL", "rate": 0.0}, "rate"),
    ],
)
def test_bad_parameters_are_named_and_end_the_process(ros_domain: int, hall: Path, parameters: dict[str, object], word: str) -> None:
    given = {key: hall if value == "HALL" else value for key, value in parameters.items()}
    process = start("astra_sim", **given)
    _, said = process.communicate(timeout=60.0)
    assert process.returncode == 2
    assert word in said.splitlines()[-1] and "Traceback" not in said


def test_the_recorder_writes_a_bag_that_opens_as_a_drive(listener: Listener, hall: Path, tmp_path: Path) -> None:
    out = tmp_path / "bag"
    recorder = start("astra_recorder", out=out, image_rate_hz=5.0, use_sim_time="true")
    process = start("astra_sim", world=hall, start="0,0,0")
    try:
        listener.until(lambda: bool(listener.heard["/clock"]), 60.0, "the clock")
        listener.until(lambda: listener.node.count_subscribers("/front/image_raw") > 0, 30.0, "the recorder")
        listener.simulate(4.0)
    finally:
        codes = (end(recorder, signal.SIGTERM), end(process))
    assert codes == (0, 0)
    drive = open_drive(out)
    frames = list(drive.frames())
    assert {frame.camera for frame in frames} == set(CAMERAS)
    for camera in CAMERAS:
        stamps = np.array([frame.stamp_ns for frame in frames if frame.camera == camera]) * 1e-9
        assert np.median(np.diff(stamps)) == pytest.approx(0.2) and len(stamps) > 12  # every other image was kept
    assert len(drive.imu()) > 500 and len(drive.wheel()) > 120 and len(drive.scans()) > 25
    truth = drive.truth()
    assert truth is not None and truth.length_m() < 0.05
    assert drive.rig["left"].base_from_cam.angle_to(RobotConfig().rig()["left"].base_from_cam) < 1e-6


def _forward(linear_mps: float) -> Twist:
    message = Twist()
    message.linear.x = linear_mps
    return message


def _drive(listener: Listener, commands: Any, linear_mps: float) -> bool:
    commands.publish(_forward(linear_mps))
    listener.simulate(0.1)
    return True
