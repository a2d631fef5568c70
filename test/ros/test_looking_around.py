"""A robot wakes up in one of two rooms that differ in one wall: astra_global and astra_navigator as processes over DDS find out which by turning."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from astra_nav.action import NavigateToTarget
from diagnostic_msgs.msg import DiagnosticArray
from nav2_msgs.action import FollowPath, Spin
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from ros_bench import RosBench, ros_bench
from sensor_msgs.msg import CameraInfo, Image
from sensor_msgs.msg import LaserScan as LaserScanMsg
from tf2_msgs.msg import TFMessage

from astra.core.types import LaserScan
from astra.geometry import Pose2, Pose3
from astra.ros import qos
from astra.ros.actions import Outcome, TickedActionServer
from astra.ros.conversions import camera_info_from_model, image_from_rgb, pose3_from_transform, pose_from_pose2, pose_stamped, scan_to_msg, stamp_from_ns
from astra.ros.tf import StaticTfBroadcaster, TfBroadcaster

pytestmark = [pytest.mark.ros, pytest.mark.slow]
SECOND = np.array([12.0, 0.0, 0.0])  # the middle of the second room on the map
START = Pose2(0.0, 0.6, math.pi / 2)  # in either room, before a wall that both have


def load_box_world() -> ModuleType:
    path = Path(__file__).parents[1] / "fixtures" / "box_world.py"
    spec = importlib.util.spec_from_file_location("box_world", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["box_world"] = module
    spec.loader.exec_module(module)
    return module


box = load_box_world()


def other_room() -> Any:
    """The first room with a wall of its own."""
    room, stranger = box.BoxWorld(0, signs=False), box.BoxWorld(9, signs=False)
    room.textures[0][:] = stranger.textures[0]
    return room


class Robot:
    """One camera ahead, odometry, a lidar in a wide hall, and motion servers that do at once what they are told."""

    def __init__(self, bench: RosBench, room: Any) -> None:
        self.room, self.pose, self.odom = room, START, Pose2(2.0, 1.0, -0.4)
        self.node = node = bench.new_node("robot")
        self.driver = bench.new_node("astra_controller")
        self.local = bench.new_node("astra_local")
        self.spins: list[float] = []
        self.routes: list[Any] = []
        self.map_from_odom: Pose2 | None = None
        self.advancing: tuple[Any, float] | None = None
        camera = box.RIG.cameras[0]
        self.frame = "front_optical_frame"
        StaticTfBroadcaster(node).send({("base_link", self.frame): camera.base_from_cam, ("base_link", "lidar"): Pose3()})
        self.image = node.create_publisher(Image, "front/image_raw", qos.SENSOR)
        self.info = node.create_publisher(CameraInfo, "front/camera_info", qos.SENSOR)
        self.odometry = node.create_publisher(Odometry, "odom", qos.SENSOR)
        self.scan = node.create_publisher(LaserScanMsg, "scan", qos.SENSOR)
        self.tf = TfBroadcaster(node)
        node.create_subscription(TFMessage, "tf", self.on_tf, qos.RELIABLE)
        self.spin_server = TickedActionServer(self.driver, Spin, "spin", self.spin)
        self.follow_server = TickedActionServer(self.local, FollowPath, "astra/follow_path", self.follow)
        for name, owner in (("astra_controller", self.driver), ("astra_local", self.local)):
            self.beat(name, owner)
        node.create_timer(0.05, self.tell)
        node.create_timer(0.2, self.look)
        self.rendered: tuple[Pose2, np.ndarray] | None = None

    def beat(self, name: str, owner: Any) -> None:
        from fake_peers import heartbeat

        publisher = owner.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        owner.create_timer(0.5, lambda: heartbeat(publisher, name))

    def now(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def advance(self) -> None:
        if self.advancing is None:
            return
        handle, left_m = self.advancing
        step_m = min(left_m, 0.05)
        self.move(Pose2(step_m, 0.0, 0.0))
        self.advancing = (handle, left_m - step_m)
        if left_m - step_m <= 0.0:
            self.advancing = None
            self.follow_server.finish(handle, Outcome.SUCCEEDED, FollowPath.Result())

    def tell(self) -> None:
        self.advance()
        now = self.now()
        message = Odometry(child_frame_id="base_link")
        message.header.stamp, message.header.frame_id = stamp_from_ns(now), "odom"
        message.pose.pose = pose_from_pose2(self.odom)
        self.odometry.publish(message)
        self.tf.send("odom", "base_link", Pose3.from_pose2(self.odom), now)
        self.scan.publish(scan_to_msg(LaserScan(now, "lidar", np.full(360, 2.0, np.float32), -math.pi, math.pi / 180.0, 0.1, 10.0)))

    def look(self) -> None:
        if self.rendered is None or self.rendered[0] != self.pose:
            camera = box.RIG.cameras[0]
            self.rendered = self.pose, self.room.render(Pose3.from_pose2(self.pose) @ camera.base_from_cam)
        now = self.now()
        self.image.publish(image_from_rgb(self.rendered[1], now, self.frame))
        self.info.publish(camera_info_from_model(box.CAMERA, now, self.frame))

    def spin(self, handle: Any) -> None:
        angle = float(handle.request.target_yaw)
        self.spins.append(angle)
        self.move(Pose2(0.0, 0.0, angle))
        self.spin_server.finish(handle, Outcome.SUCCEEDED, Spin.Result())

    def follow(self, handle: Any) -> None:
        path = handle.request.path
        self.routes.append(path)
        if path.header.frame_id == "odom":
            end = path.poses[-1].pose.position
            self.advancing = (handle, math.dist((end.x, end.y), (self.odom.x, self.odom.y)))
        else:
            self.follow_server.finish(handle, Outcome.ABORTED, FollowPath.Result(error_code=FollowPath.Result.UNKNOWN))

    def move(self, step: Pose2) -> None:
        self.pose, self.odom = self.pose @ step, self.odom @ step

    def on_tf(self, message: TFMessage) -> None:
        for t in message.transforms:
            if (t.header.frame_id, t.child_frame_id) == ("map", "odom"):
                self.map_from_odom = pose3_from_transform(t.transform).pose2()


@pytest.fixture(scope="module")
def bench(ros_domain_of_module: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RosBench]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    room = tmp_path_factory.mktemp("maps") / "rooms"
    box.build_map(box.BoxWorld(0, signs=False), room, 1.5, ((other_room(), SECOND),))
    with ros_bench() as bench:
        bench.start("astra_global", {"map": str(room), "inputs.camera_names": ["front"]})
        bench.start("astra_navigator", {"mission.look_after_s": 1.0, "mission.look_pause_s": 2.0, "watch.heartbeat_limit_s": 10.0})
        yield bench


def test_a_look_around_tells_the_rooms_apart_and_nothing_is_committed_before(bench: RosBench) -> None:
    robot = Robot(bench, other_room())
    client = ActionClient(bench.node, NavigateToTarget, "navigate_to_target")
    bench.until(lambda: bench.active("astra_global") and bench.active("astra_navigator"), 60.0, "the nodes")
    ambiguous = lambda: "places fit" in bench.diagnostics.get("astra_global: localization", (b"", ""))[1]  # noqa: E731
    bench.until(ambiguous, 60.0, "the localizer to see that two places fit")
    assert robot.map_from_odom is None and robot.spins == []
    goal = NavigateToTarget.Goal(kind=NavigateToTarget.Goal.KIND_POSE, pose=pose_stamped(Pose2(13.5, 0.0, 0.0), 0, "map"))
    feedback: list[Any] = []
    bench.goal(client, goal, feedback.append)
    bench.until(lambda: bool(robot.spins), 60.0, "a look around")
    bench.until(lambda: robot.map_from_odom is not None, 90.0, "one room to win")
    believed, true = robot.map_from_odom @ robot.odom, robot.pose
    assert believed.distance_to(Pose2(true.x + SECOND[0], true.y, true.yaw)) < 0.1
    assert len(robot.spins) <= 6
    bench.until(lambda: any(r.header.frame_id == "map" for r in robot.routes), 30.0, "the mission to drive on")
    assert NavigateToTarget.Feedback.PHASE_LOOKING_AROUND in {f.phase for f in feedback}
