"""astra_global as a process of its own over DDS, on a made-up room whose images and poses are exact."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rclpy
from astra_nav.msg import Localization
from astra_nav.srv import FindTarget, GetGraph, LoadMap, Localize
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from astra.geometry import Pose2, wrap_angle
from astra.ros import qos
from astra.ros.conversions import camera_info_from_model, image_from_rgb, ns_from_stamp, pose2_from_pose, pose3_from_transform, pose_from_pose2, stamp_from_ns
from astra.ros.graph import topomap_from_graph
from astra.ros.tf import StaticTfBroadcaster

pytestmark = [pytest.mark.ros, pytest.mark.slow]

FIRST = Pose2(0.6, -0.4, 0.5)


def load_box_world() -> ModuleType:
    path = Path(__file__).parents[1] / "fixtures" / "box_world.py"
    spec = importlib.util.spec_from_file_location("box_world", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["box_world"] = module
    spec.loader.exec_module(module)
    return module


box = load_box_world()


class Robot:
    """Publishes what a robot's drivers and odometry would, with faults on demand, and keeps what astra_global answers."""

    def __init__(self, node: Any, executor: SingleThreadedExecutor) -> None:
        self.node, self.executor = node, executor
        self.world = box.BoxWorld(7, signs=False)  # at first, another building
        self.truth, self.odom = FIRST, Pose2(5.0, 1.0, -2.0)
        self.encoding, self.with_info, self.with_odometry, self.late_s, self.odom_shift_s = "rgb8", True, True, 0.0, 0.0
        self.mute: tuple[str, ...] = ()
        self.localizations: list[Localization] = []
        self.transforms: list[tuple[float, int, Pose2]] = []
        self.poses: list[PoseWithCovarianceStamped] = []
        self.markers: list[MarkerArray] = []
        self.maps: list[OccupancyGrid] = []
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        self._rendered: tuple[Any, dict[str, np.ndarray]] | None = None
        frames = {name: f"{name}_optical_frame" for name in box.NAMES}
        self.frames = frames
        StaticTfBroadcaster(node).send({("base_link", frames[c.name]): c.base_from_cam for c in box.RIG.cameras})
        self._images = {name: node.create_publisher(Image, f"{name}/image_raw", qos.SENSOR) for name in box.NAMES}
        self._infos = {name: node.create_publisher(CameraInfo, f"{name}/camera_info", qos.SENSOR) for name in box.NAMES}
        self._odometry = node.create_publisher(Odometry, "odom", qos.RELIABLE)
        self.guesses = node.create_publisher(PoseWithCovarianceStamped, "initialpose", qos.RELIABLE)
        node.create_subscription(Localization, "astra/localization", self.localizations.append, qos.RELIABLE)
        node.create_subscription(PoseWithCovarianceStamped, "astra/pose", self.poses.append, qos.RELIABLE)
        node.create_subscription(MarkerArray, "astra/graph_markers", self.markers.append, qos.LATCHED)
        node.create_subscription(OccupancyGrid, "map", self.maps.append, qos.LATCHED)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE)
        node.create_subscription(TFMessage, "tf", self._on_tf, qos.RELIABLE)
        self.localize = node.create_client(Localize, "astra/localize")
        self.find = node.create_client(FindTarget, "astra/find_target")
        self.graph = node.create_client(GetGraph, "astra/get_graph")
        self.load = node.create_client(LoadMap, "astra/load_map")
        node.create_timer(0.2, self._look)
        node.create_timer(0.04, self._tell_odometry)

    def images(self) -> dict[str, np.ndarray]:
        key = (self.world, self.truth)
        if self._rendered is None or self._rendered[0] != key:
            self._rendered = (key, self.world.look(self.truth))
        return self._rendered[1]

    def _now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def _look(self) -> None:
        images, stamp_ns = self.images(), self._now_ns() - round(self.late_s * 1e9)
        for name, rgb in images.items():
            if name in self.mute:
                continue
            message = image_from_rgb(rgb, stamp_ns, self.frames[name])
            message.encoding = self.encoding if name == "front" else "rgb8"
            self._images[name].publish(message)
            if self.with_info:
                self._infos[name].publish(camera_info_from_model(box.CAMERA, stamp_ns, self.frames[name]))

    def _tell_odometry(self) -> None:
        if not self.with_odometry:
            return
        message = Odometry(child_frame_id="base_link")
        message.header.stamp, message.header.frame_id = stamp_from_ns(self._now_ns() + round(self.odom_shift_s * 1e9)), "odom"
        message.pose.pose = pose_from_pose2(self.odom)
        self._odometry.publish(message)

    def _on_tf(self, message: TFMessage) -> None:
        for t in message.transforms:
            if (t.header.frame_id, t.child_frame_id) == ("map", "odom"):
                self.transforms.append((time.monotonic(), ns_from_stamp(t.header.stamp), pose3_from_transform(t.transform).pose2()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics.update({status.name.removeprefix("astra_global: "): status for status in message.status})

    def until(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, f"waited {limit_s} s in vain for: {what}; {self.diagnosis()}"
            self.executor.spin_once(timeout_sec=0.02)

    def spend(self, time_s: float) -> None:
        end = time.monotonic() + time_s
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, client: Any, request: Any, limit_s: float = 20.0) -> Any:
        future = client.call_async(request)
        self.until(future.done, limit_s, f"an answer of {client.srv_name}")
        return future.result()

    def diagnosis(self) -> str:
        return "; ".join(f"{name}: {status.message}" for name, status in self.diagnostics.items())

    def says(self, name: str, text: str, level: bytes | None = None) -> bool:
        status = self.diagnostics.get(name)
        return status is not None and text in status.message and (level is None or status.level == level)

    def value(self, name: str, key: str) -> int:
        status = self.diagnostics.get(name)
        return int(next((v.value for v in status.values if v.key == key), 0)) if status is not None else 0

    def error_m(self) -> float:
        """Of the newest TF, at the robot."""
        if not self.transforms:
            return math.inf
        believed = self.transforms[-1][2] @ self.odom
        return believed.distance_to(self.truth) + abs(wrap_angle(believed.yaw - self.truth.yaw))

    def is_right(self) -> bool:
        return bool(self.transforms) and time.monotonic() - self.transforms[-1][0] < 0.5 and self.error_m() < 0.05

    def drive(self, step: Pose2, slip: Pose2 | None = None) -> None:
        self.truth, self.odom = self.truth @ step, self.odom @ (slip or step)

    def request_images(self, names: tuple[str, ...], framed: bool = True) -> Localize.Request:
        stamp_ns, images = self._now_ns(), self.images()
        return Localize.Request(
            images=[image_from_rgb(images[n], stamp_ns, self.frames[n] if framed else "") for n in names],
            camera_infos=[camera_info_from_model(box.CAMERA, stamp_ns, self.frames[n]) for n in names],
        )


def start(*arguments: str, **options: Any) -> subprocess.Popen[Any]:
    code = "from astra.cli.main import node_main; node_main('astra_global')"
    return subprocess.Popen([sys.executable, "-c", code, "--ros-args", *arguments], start_new_session=True, **options)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the map `room`."""
    folder = tmp_path_factory.mktemp("maps")
    box.build_map(box.BoxWorld(0), folder / "room", step_m=1.5)
    return folder


@pytest.fixture(scope="module")
def robot(maps: Path) -> Iterator[Robot]:
    patch = pytest.MonkeyPatch()
    patch.setenv("ROS_DOMAIN_ID", str(1 + (os.getpid() + 67) % 100))
    patch.setenv("OMP_NUM_THREADS", "1")
    process = start("-p", f"map:={maps / 'room'}", "-p", f"map_roots:=['{maps}']", "-p", "standing_period_s:=2.0", "-p", "tracking_period_s:=1.0")
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("robot", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = Robot(node, executor)
        client.until(client.localize.service_is_ready, 60.0, "the node")
        yield client
        assert process.poll() is None, "the node lives to the end"
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(15.0)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        patch.undo()
    assert code == 0, "the node ends in order on SIGINT"


def settle(robot: Robot) -> None:
    """The robot at its first pose in the mapped room, without faults, found."""
    robot.world = box.BoxWorld(0) if robot.world.seed != 0 else robot.world
    robot.encoding, robot.with_info, robot.with_odometry, robot.late_s, robot.odom_shift_s, robot.mute = "rgb8", True, True, 0.0, 0.0, ()
    robot.until(robot.is_right, 40.0, "the robot to be found")


def test_images_of_another_building_are_lost_and_nothing_is_published_as_a_pose(robot: Robot) -> None:
    robot.until(lambda: len(robot.localizations) >= 2, 40.0, "two answers")
    assert {m.status for m in robot.localizations} == {Localization.STATUS_LOST}
    assert not robot.transforms and not robot.poses
    assert all(m.reason for m in robot.localizations)


def test_unknown_start_is_found_and_told(robot: Robot) -> None:
    settle(robot)
    robot.until(lambda: bool(robot.localizations) and robot.localizations[-1].status == Localization.STATUS_LOCALIZED, 20.0, "a localization")
    found = robot.localizations[-1]
    assert found.header.frame_id == "map" and found.confidence > 0.9 and found.inliers > 50
    assert pose2_from_pose(found.pose.pose).distance_to(robot.truth) < 0.05
    covariance = np.array(found.pose.covariance).reshape(6, 6)
    assert np.all(np.linalg.eigvalsh(covariance) > 0.0)
    first, began = len(robot.transforms), time.monotonic()
    robot.spend(2.0)
    fresh = robot.transforms[first:]
    assert len(fresh) / (time.monotonic() - began) >= 18.0  # 25 Hz on a machine that may be busy
    assert np.median([stamp - time.time_ns() for _, stamp, _ in fresh[-1:]]) > -1e8
    assert robot.poses and pose2_from_pose(robot.poses[-1].pose.pose).distance_to(robot.truth) < 0.05
    robot.until(lambda: robot.says("localization", "tracking", DiagnosticStatus.OK), 5.0, "the diagnostics to say so")


def test_graph_markers_and_map_are_latched(robot: Robot) -> None:
    robot.until(lambda: bool(robot.markers and robot.maps), 10.0, "latched topics")
    assert {"KITCHEN", "LOUNGE"} <= {m.text for m in robot.markers[-1].markers}
    grid = robot.maps[-1]
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    column = int((0.0 - grid.info.origin.position.x) / grid.info.resolution)
    row = int((0.0 - grid.info.origin.position.y) / grid.info.resolution)
    assert cells[row, column] == 0 and cells[0, 0] == -1 and 100 in cells
    answer = robot.call(robot.graph, GetGraph.Request())
    topomap = topomap_from_graph(answer.graph)
    assert answer.error_code == GetGraph.Response.NONE and len(topomap.nodes) == 15 and len(topomap.edges) > 15
    assert {m.label for m in topomap.landmarks.values()} == {"KITCHEN", "LOUNGE"}


def test_drifting_odometry_is_corrected_on_the_way(robot: Robot) -> None:
    settle(robot)
    errors = []
    for _ in range(30):
        robot.drive(Pose2.exp(-0.06, 0.0, 0.02), Pose2.exp(-0.06, 0.0, 0.024))
        robot.spend(0.2)
        errors.append(robot.error_m())
    assert max(errors) < 0.25
    settle(robot)


def test_carried_away_robot_is_found_again(robot: Robot) -> None:
    settle(robot)
    robot.truth = Pose2(robot.truth.x - 1.5 if robot.truth.x > 0 else robot.truth.x + 1.5, -robot.truth.y, wrap_angle(robot.truth.yaw + 2.0))
    robot.until(lambda: robot.error_m() > 1.0, 2.0, "the belief to be wrong")
    robot.until(robot.is_right, 30.0, "the robot to be found")
    robot.until(lambda: robot.value("localization", "kidnapped") >= 1, 5.0, "the diagnostics to count it")


def test_guess_is_published_at_once_and_a_broken_one_refused(robot: Robot) -> None:
    settle(robot)
    message = PoseWithCovarianceStamped()
    message.header.frame_id = "map"
    message.pose.pose = pose_from_pose2(Pose2(math.nan, 0.0, 0.0))
    robot.guesses.publish(message)
    robot.until(lambda: robot.value("localization", "initial_poses_refused") >= 1, 5.0, "the refusal")
    assert robot.is_right()
    message.pose.pose = pose_from_pose2(robot.truth @ Pose2(0.4, 0.1, 0.1))
    robot.guesses.publish(message)
    robot.until(lambda: robot.error_m() > 0.2, 3.0, "the guess to take effect")
    robot.until(robot.is_right, 20.0, "a fix to correct it")


def test_localize_service(robot: Robot) -> None:
    settle(robot)
    own = robot.call(robot.localize, Localize.Request())
    assert own.error_code == Localize.Response.NONE and own.localization.status == Localization.STATUS_LOCALIZED
    given = robot.call(robot.localize, robot.request_images(box.NAMES))
    assert pose2_from_pose(given.localization.pose.pose).distance_to(robot.truth) < 0.05
    single = robot.call(robot.localize, robot.request_images(("left",), framed=False))
    assert single.localization.status == Localization.STATUS_LOCALIZED
    camera = robot.truth @ Pose2(0.0, 0.08, 0.0)
    assert pose2_from_pose(single.localization.pose.pose).distance_to(camera) < 0.1


def test_broken_localize_requests_are_answered_with_the_reason(robot: Robot) -> None:
    request = robot.request_images(("front",))
    request.images[0].encoding = "yuv999"
    answer = robot.call(robot.localize, request)
    assert answer.error_code == Localize.Response.BAD_IMAGE and "yuv999" in answer.error_msg
    request = robot.request_images(("front",))
    request.camera_infos = []
    assert "0 camera_infos" in robot.call(robot.localize, request).error_msg
    request = robot.request_images(("front",))
    request.camera_infos[0].k = [0.0] * 9
    assert robot.call(robot.localize, request).error_code == Localize.Response.BAD_IMAGE
    request = robot.request_images(("front",))
    request.images[0].data = request.images[0].data[:100]
    assert robot.call(robot.localize, request).error_code == Localize.Response.BAD_IMAGE


def test_find_target(robot: Robot) -> None:
    settle(robot)
    found = robot.call(robot.find, FindTarget.Request(text="go to the kitchen"))
    assert found.status == FindTarget.Response.STATUS_FOUND and found.candidates[0].label == "KITCHEN" and found.candidates[0].why
    goal = pose2_from_pose(found.candidates[0].pose.pose)
    sign = box.sign_position(1)
    assert 0.3 < math.hypot(goal.x - sign[0], goal.y - sign[1]) < 3.0
    assert abs(wrap_angle(math.atan2(sign[1] - goal.y, sign[0] - goal.x) - goal.yaw)) < 0.5
    unknown = robot.call(robot.find, FindTarget.Request(text="find the swimming pool"))
    assert unknown.status == FindTarget.Response.STATUS_NOT_FOUND and not unknown.candidates and unknown.error_code == FindTarget.Response.NONE
    request = robot.request_images(("front",), framed=False)
    image = robot.call(robot.find, FindTarget.Request(image=request.images[0], camera_info=request.camera_infos[0]))
    assert image.status == FindTarget.Response.STATUS_FOUND
    assert pose2_from_pose(image.candidates[0].pose.pose).distance_to(robot.truth) < 0.5
    near = FindTarget.Request(text="kitchen", near_valid=True)
    near.near.header.frame_id = "odom"
    for bad in (FindTarget.Request(), FindTarget.Request(text="kitchen", radius=math.nan), FindTarget.Request(text="x" * 5000), near):
        answer = robot.call(robot.find, bad)
        assert answer.error_code == FindTarget.Response.BAD_REQUEST and answer.error_msg


def test_load_map_keeps_to_its_roots_and_keeps_the_old_map_when_refused(robot: Robot, maps: Path, tmp_path: Path) -> None:
    settle(robot)
    kind = LoadMap.Response
    shutil.copytree(maps / "room", maps / "damaged")
    (maps / "damaged" / "graph.json").write_text("{")
    shutil.copytree(maps / "room", maps / "newer")
    text = (maps / "newer" / "map.yaml").read_text()
    (maps / "newer" / "map.yaml").write_text(text.replace("format_version: 1", "format_version: 999"))
    (maps / "empty").mkdir()
    shutil.copytree(maps / "room", tmp_path / "outside")
    (maps / "link").symlink_to(tmp_path / "outside")
    refusals = {
        str(tmp_path / "outside"): kind.OUTSIDE_ROOTS, f"{maps}/../{tmp_path.name}/outside": kind.OUTSIDE_ROOTS, str(maps / "link"): kind.OUTSIDE_ROOTS,
        "": kind.OUTSIDE_ROOTS, str(maps / "damaged"): kind.DAMAGED, str(maps / "newer"): kind.NEWER_FORMAT, str(maps / "empty"): kind.NOT_A_MAP,
    }  # fmt: skip
    for path, code in refusals.items():
        answer = robot.call(robot.load, LoadMap.Request(path=path))
        assert (path, answer.error_code) == (path, code), answer.error_msg
        assert answer.error_msg
    assert robot.is_right()
    answer = robot.call(robot.load, LoadMap.Request(path=str(maps / "room")))
    assert answer.error_code == kind.NONE and answer.name == "box 0"
    robot.transforms.clear()
    settle(robot)


def test_camera_with_a_wrong_encoding_is_named_and_the_others_go_on(robot: Robot) -> None:
    settle(robot)
    robot.encoding = "bayer_of_mars8"
    robot.until(lambda: robot.says("cameras", "bayer_of_mars8", DiagnosticStatus.WARN), 20.0, "the diagnosis")
    assert robot.call(robot.localize, Localize.Request()).localization.status == Localization.STATUS_LOCALIZED
    robot.encoding = "rgb8"
    robot.until(lambda: robot.says("cameras", "4 of 4", DiagnosticStatus.OK), 20.0, "all to be well")


def test_silent_and_late_cameras_are_named_and_not_used(robot: Robot) -> None:
    settle(robot)
    robot.mute = ("left",)
    robot.until(lambda: robot.says("cameras", "silent: left", DiagnosticStatus.WARN), 10.0, "the diagnosis")
    robot.mute, robot.late_s = (), 3.0
    robot.until(lambda: robot.says("cameras", "silent: front, left, back, right", DiagnosticStatus.ERROR), 10.0, "the diagnosis")
    answer = robot.call(robot.localize, Localize.Request())
    assert answer.error_code == Localize.Response.NO_IMAGES
    assert robot.value("cameras", "refused_too_old") > 0


def test_odometry_with_nan_and_silence_is_told_and_not_believed(robot: Robot) -> None:
    settle(robot)
    good, robot.odom = robot.odom, Pose2(math.nan, 0.0, 0.0)
    robot.until(lambda: robot.says("odometry", "stale", DiagnosticStatus.WARN), 10.0, "the diagnosis")
    assert robot.value("odometry", "not_finite") > 0
    robot.odom = good
    robot.until(lambda: robot.says("odometry", "ok", DiagnosticStatus.OK), 10.0, "all to be well")
    assert robot.is_right()


def test_clock_that_jumps_back_starts_anew(robot: Robot) -> None:
    settle(robot)
    robot.odom_shift_s = -30.0
    robot.until(lambda: robot.value("odometry", "jumps_back") >= 1, 10.0, "the jump to be seen")
    robot.transforms.clear()
    robot.spend(1.0)
    assert not robot.transforms  # odometry of another time places no image
    robot.odom_shift_s = 0.0
    settle(robot)


def test_restarted_odometry_keeps_the_place_as_a_guess(robot: Robot) -> None:
    settle(robot)
    robot.odom = Pose2(-30.0, 4.0, 1.0)
    robot.transforms.clear()
    robot.until(lambda: bool(robot.transforms), 10.0, "a transform")
    settle(robot)
    robot.until(lambda: robot.value("odometry", "restarts") >= 1, 5.0, "the diagnostics to count it")


@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_unusable_map_at_the_start_ends_with_one_clear_line(maps: Path, tmp_path: Path, fault: str, ros_domain: int) -> None:
    path = tmp_path / "map"
    if fault == "damaged":
        shutil.copytree(maps / "room", path)
        (path / "features" / "points_map.npy").write_bytes(b"nothing")
    process = start("-p", f"map:={path}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output, _ = process.communicate(timeout=60.0)
    assert process.returncode == 2
    assert str(path) in output and "Traceback" not in output
