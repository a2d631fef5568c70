"""Everything around the navigator, as little as it takes: a localizer, motion servers, and a robot that goes where it is told.

The robot knows where it really is; what the navigator hears is TF, odometry and a scan, as from the real nodes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astra_nav.msg import GoalCandidate, TopoEdge, TopoGraph, TopoNode
from astra_nav.srv import FindTarget, GetGraph
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav2_msgs.action import BackUp, FollowPath, Spin
from nav_msgs.msg import Odometry
from ros_bench import RosBench
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.types import LaserScan
from astra.geometry import Pose2, Pose3
from astra.ros import qos
from astra.ros.actions import Outcome, TickedActionServer
from astra.ros.conversions import pose_from_pose2, pose_stamped, poses_from_path, scan_to_msg, stamp_from_ns
from astra.ros.tf import TfBroadcaster

MAP_FROM_ODOM = Pose2(1.0, -2.0, 0.7)  # neither frame is the other
# Two ways from the lobby (0) to the sofa (3): straight on, or round the corner.
NODES = {0: (0.0, 0.0), 1: (2.0, 0.0), 2: (2.0, 2.0), 3: (6.0, 0.0), 4: (6.0, 2.0)}
EDGES = ((0, 1), (1, 3), (1, 2), (2, 4), (4, 3))
SOFA = Pose2(6.0, 0.0, 0.0)
SPEED_MPS = 4.0
TICK_S = 0.05


def heartbeat(publisher: Any, name: str) -> None:
    publisher.publish(DiagnosticArray(status=[DiagnosticStatus(level=DiagnosticStatus.OK, name=f"{name}: state", message="active", hardware_id=name)]))


class Robot:
    """Odometry, TF odom→base_link and a scan that shows a gap to the left."""

    def __init__(self, bench: RosBench) -> None:
        self.map_from_base, self.silent, self.scan_silent = Pose2(), False, False
        self.node = bench.new_node("robot")
        self.odom = self.node.create_publisher(Odometry, "odom", qos.SENSOR)
        self.scan = self.node.create_publisher(LaserScanMsg, "scan", qos.SENSOR)
        self.tf = TfBroadcaster(self.node)
        self.node.create_timer(TICK_S, self.tick)

    def tick(self) -> None:
        now = self.node.get_clock().now().nanoseconds
        if not self.silent:
            odom_from_base = MAP_FROM_ODOM.inverse() @ self.map_from_base
            message = Odometry()
            message.header.stamp, message.header.frame_id, message.child_frame_id = stamp_from_ns(now), "odom", "base_link"
            message.pose.pose = pose_from_pose2(odom_from_base)
            self.odom.publish(message)
            self.tf.send("odom", "base_link", Pose3.from_pose2(odom_from_base), now)
        if not self.scan_silent:
            ranges = np.full(360, 0.6, np.float32)
            ranges[240:300] = 3.0  # 60° to 120°, to the left
            self.scan.publish(scan_to_msg(LaserScan(now, "base_link", ranges, -math.pi, math.pi / 180.0, 0.1, 10.0)))


class Localizer:
    """astra_global: TF map→odom while it is `sure`, the graph, and answers to goal searches."""

    def __init__(self, bench: RosBench) -> None:
        self.bench = bench
        self.sure, self.alive = True, True
        self.answers: dict[str, tuple[int, list[GoalCandidate]]] = {}
        self.searches: list[FindTarget.Request] = []
        self.start()

    def start(self) -> None:
        self.node = self.bench.new_node("astra_global")
        self.tf = TfBroadcaster(self.node)
        self.diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        self.node.create_service(FindTarget, "astra/find_target", self.find)
        self.node.create_service(GetGraph, "astra/get_graph", self.graph)
        self.node.create_timer(TICK_S, self.tick)
        self.node.create_timer(0.5, lambda: heartbeat(self.diagnostics, "astra_global"))
        self.alive = True

    def die(self) -> None:
        self.alive = False
        self.bench.remove(self.node)

    def tick(self) -> None:
        if self.sure:
            self.tf.send("map", "odom", Pose3.from_pose2(MAP_FROM_ODOM), self.node.get_clock().now().nanoseconds)

    def find(self, request: FindTarget.Request, response: FindTarget.Response) -> FindTarget.Response:
        self.searches.append(request)
        response.status, response.candidates = self.answers.get(request.text, (FindTarget.Response.STATUS_NOT_FOUND, []))
        return response

    def graph(self, request: GetGraph.Request, response: GetGraph.Response) -> GetGraph.Response:
        response.graph = TopoGraph(name="corner", format_version=1, scale_source="given")
        response.graph.nodes = [TopoNode(id=i, pose=pose_from_pose2(Pose2(x, y, 0.0))) for i, (x, y) in NODES.items()]
        response.graph.edges = [
            TopoEdge(a=a, b=b, kind=TopoEdge.KIND_DRIVEN, length=math.dist(NODES[a], NODES[b]), width=math.nan) for a, b in EDGES
        ]
        return response


def candidate(label: str, pose: Pose2, score: float = 0.9) -> GoalCandidate:
    return GoalCandidate(landmark_id=7, label=label, score=score, pose=pose_stamped(pose, 0, "map"), why="the sign says so")


class Follower:
    """astra_local: drives the robot along the route at once; `block` and `freeze` make it fail in two ways."""

    def __init__(self, bench: RosBench, robot: Robot) -> None:
        self.bench, self.robot = bench, robot
        self.routes: list[np.ndarray] = []
        self.cancels = 0
        self.block: Any = None  # (x, y) that the robot cannot pass
        self.frozen = False
        self.start()

    def start(self) -> None:
        self.node = self.bench.new_node("astra_local")
        self.server = TickedActionServer(self.node, FollowPath, "astra/follow_path", self.accept)
        self.diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        self.node.create_timer(TICK_S, self.tick)
        self.node.create_timer(0.5, lambda: heartbeat(self.diagnostics, "astra_local"))
        self.handle: Any = None

    def die(self) -> None:
        self.handle = None
        self.server.destroy()
        self.bench.remove(self.node)

    def accept(self, handle: Any) -> None:
        if self.handle is not None:
            self.server.finish(self.handle, Outcome.ABORTED, FollowPath.Result())
        assert handle.request.path.header.frame_id == "map"
        self.handle, self.poses, self.arc = handle, poses_from_path(handle.request.path), 0.0
        self.routes.append(self.poses)

    def tick(self) -> None:
        if self.handle is None:
            return
        if self.handle.is_cancel_requested:
            self.cancels += 1
            self.end(Outcome.CANCELED, FollowPath.Result())
            return
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.poses[:, :2], axis=0).T))])
        ahead = min(self.arc + (0.0 if self.frozen else SPEED_MPS * TICK_S), along[-1])
        x, y = (float(np.interp(ahead, along, self.poses[:, k])) for k in range(2))
        if self.block is not None and math.dist((x, y), self.block) < 0.6:
            self.end(Outcome.ABORTED, FollowPath.Result(error_code=FollowPath.Result.PATIENCE_EXCEEDED, error_msg="no local path"))
            return
        step = (x - self.robot.map_from_base.x, y - self.robot.map_from_base.y)
        yaw = math.atan2(step[1], step[0]) if math.hypot(*step) > 1e-3 else self.robot.map_from_base.yaw
        self.arc, self.robot.map_from_base = ahead, Pose2(x, y, yaw)
        self.handle.publish_feedback(FollowPath.Feedback(distance_to_goal=float(along[-1] - ahead)))
        if ahead >= along[-1] - 1e-6:
            self.end(Outcome.SUCCEEDED, FollowPath.Result())

    def end(self, outcome: Outcome, result: Any) -> None:
        handle, self.handle = self.handle, None
        self.server.finish(handle, outcome, result)


class Behaviors:
    """astra_controller's /spin and /backup, done at once; `on_spin` lets a test react."""

    def __init__(self, bench: RosBench, robot: Robot) -> None:
        self.robot = robot
        self.node = bench.new_node("astra_controller")
        self.spins: list[float] = []
        self.backups: list[float] = []
        self.on_spin: Any = lambda count: None
        self.diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        self.node.create_timer(0.5, lambda: heartbeat(self.diagnostics, "astra_controller"))
        self.spin = TickedActionServer(self.node, Spin, "spin", self.do_spin)
        self.backup = TickedActionServer(self.node, BackUp, "backup", self.do_backup)

    def do_spin(self, handle: Any) -> None:
        angle = float(handle.request.target_yaw)
        self.spins.append(angle)
        self.robot.map_from_base = self.robot.map_from_base @ Pose2(0.0, 0.0, angle)
        self.on_spin(len(self.spins))
        self.spin.finish(handle, Outcome.SUCCEEDED, Spin.Result())

    def do_backup(self, handle: Any) -> None:
        assert handle.request.speed > 0.0
        self.backups.append(float(handle.request.target.x))
        self.robot.map_from_base = self.robot.map_from_base @ Pose2(-self.backups[-1], 0.0, 0.0)
        self.backup.finish(handle, Outcome.SUCCEEDED, BackUp.Result())
