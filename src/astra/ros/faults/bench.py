"""The running stack under a watcher: a patrol that is always under way between two places, and everything needed to judge it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from astra.core.errors import AstraError
from astra.core.types import FloatArray
from astra.geometry import Pose2
from astra.ros.environment import activate
from astra.ros.stack import NodeSpec, SimOptions, StackOptions, describe
from astra.ros.supervisor import Supervisor, SupervisorConfig
from astra.topomap.types import TopoMap

STARTUP_S = 120.0
DRIVING_MPS, TURNING_RADPS = 0.1, 0.25
SILENT_S = 4.0  # a mission without feedback for so long was lost with its navigator
SIMULATOR, RECORDER = "astra_faulty_sim", "astra_recorder"
MANY_RESTARTS = SupervisorConfig(max_restarts=1000)


class StackBench:
    """A context manager around the stack, the faulty simulator and a watcher of its own.

    Args:
        world: a generated world's folder.
        topomap: its map's folder.
        start: where the robot wakes up, `x,y,yaw` in the world frame.
        places: (two or more, 3) poses on the map between which the robot patrols.
        out: folder for logs and the recording.
        say: receives one line per event.
        record, faulty: with the recorder, and with the simulator that breaks on order.
        listen: is given the watcher's node before the stack's nodes are up, for subscriptions of its own.
    """

    def __init__(
        self, world: Path, topomap: Path, start: str, places: FloatArray, out: Path, say: Callable[[str], None], *, record: bool = True, faulty: bool = True,
        listen: Callable[[Any], None] = lambda node: None, config_dir: Path | None = None,
    ) -> None:  # fmt: skip
        options = StackOptions(map=topomap, sim=SimOptions(world, start, 1), record=out / "recording" if record else None, config_dir=config_dir)
        self.nodes = tuple(_broken(spec) if faulty else spec for spec in describe(options))
        self.supervisor = Supervisor(self.nodes, out / "logs", config=MANY_RESTARTS, say=say)
        self.places, self.say, self.out, self._listen = places, say, out, listen
        self.truth: list[tuple[float, float, float, float, float, float]] = []
        self.simulated_s: list[float] = []  # the simulator's own time of each row
        self.commands: list[tuple[float, float, float]] = []
        self.collisions = 0
        self.heard: dict[str, float] = {}  # node → when it last said that it is active
        self.statuses: dict[str, tuple[int, str]] = {}
        self.ends: list[tuple[float, int, str]] = []  # missions: when, error code, words
        self.patrolling = False
        self._place = 0
        self.mission: Any = None  # an unlike object for each one under way
        self._left_m = 0.0
        self._fed_s = self._sent_s = 0.0

    def __enter__(self) -> StackBench:
        activate()
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import Twist
        from nav2_msgs.action import NavigateToPose
        from nav_msgs.msg import Odometry
        from rclpy.action import ActionClient
        from rclpy.qos import QoSProfile
        from std_msgs.msg import String, UInt32

        from astra.ros import qos
        from astra.ros.actions import REQUESTS

        self.supervisor.start()
        rclpy.init(args=[])
        self.node = rclpy.create_node("astra_fault_watcher")
        self._listen(self.node)
        self.node.create_subscription(Odometry, "/ground_truth/odom", self._on_truth, qos.sensor(200))
        self.node.create_subscription(UInt32, "/ground_truth/collisions", self._on_collisions, qos.LATCHED)
        self.node.create_subscription(Twist, "/cmd_vel", self._on_command, qos.RELIABLE)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE)
        self._orders = self.node.create_publisher(String, "/faults/order", qos.RELIABLE)
        self.obeyed_s = 0.0  # when the simulator last did as it was told
        self.node.create_subscription(String, "/faults/obeyed", self._on_obeyed, qos.RELIABLE)
        self.client = ActionClient(
            self.node, NavigateToPose, "/navigate_to_pose", goal_service_qos_profile=QoSProfile(depth=REQUESTS),
            result_service_qos_profile=QoSProfile(depth=REQUESTS), cancel_service_qos_profile=QoSProfile(depth=REQUESTS),
        )  # fmt: skip
        if not self.until(lambda: set(self.supervisor.names) <= set(self.heard), STARTUP_S):
            missing = ", ".join(sorted(set(self.supervisor.names) - set(self.heard)))
            self.__exit__(None, None, None)
            raise AstraError(f"the stack did not come up within {STARTUP_S:.0f} s; not active: {missing}; logs in {self.out / 'logs'}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import rclpy

        self.client.destroy()
        self.node.destroy_node()
        rclpy.try_shutdown()
        self.supervisor.stop()

    @staticmethod
    def now_s() -> float:
        """The time base of what is written down: when a message was sent counts, not when a busy watcher got to hear it."""
        return time.time()

    @staticmethod
    def since(when: float, began: float) -> float:
        """Time from one steady moment to another [s]."""
        return when - began

    # --- time ---------------------------------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Watch and patrol until the condition holds; False after the limit."""
        import rclpy

        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                return False
            rclpy.spin_once(self.node, timeout_sec=0.02)
            self._patrol()
        return True

    def spend(self, time_s: float) -> None:
        """Watch and patrol for a while."""
        end = time.monotonic() + time_s
        self.until(lambda: time.monotonic() >= end, time_s + 1.0)

    # --- what the robot does --------------------------------------------------------------------------------------------------------

    def speed(self) -> tuple[float, float]:
        """Linear and angular speed by the simulator's truth."""
        return (abs(self.truth[-1][4]), abs(self.truth[-1][5])) if self.truth else (0.0, 0.0)

    def driving(self, since_s: float = 0.0) -> bool:
        """Whether it has driven, or turned, for 0.3 s."""
        now = self.now_s()
        rows = [row for row in self.truth[-60:] if row[0] > max(now - 0.35, since_s)]
        return len(rows) >= 8 and rows[-1][0] - rows[0][0] > 0.2 and all(abs(r[4]) > DRIVING_MPS or abs(r[5]) > TURNING_RADPS for r in rows)

    def fast(self) -> bool:
        """Whether it drives at speed with way ahead, so that a fault finds it in full motion."""
        rows = self.truth[-40:]
        return len(rows) == 40 and all(row[4] > 0.3 for row in rows) and self.mission is not None and self._left_m > 2.0

    def order(self, order: dict[str, Any]) -> float:
        """Tell the simulator what is broken from now on ({} is nothing) and wait until it is so; returns since when."""
        from std_msgs.msg import String

        asked = self.obeyed_s
        self._orders.publish(String(data=json.dumps(order)))
        if not self.until(lambda: self.obeyed_s > asked, 5.0):
            raise AstraError("the simulator does not obey")
        return self.obeyed_s

    def patrol(self, on: bool) -> None:
        """Whether a new mission begins when one has ended."""
        self.patrolling = on

    def send(self, pose: Pose2, frame: str = "map") -> Any:
        """Send a goal; returns the future of its handle."""
        from nav2_msgs.action import NavigateToPose

        from astra.ros.conversions import pose_stamped

        return self.client.send_goal_async(NavigateToPose.Goal(pose=pose_stamped(pose, 0, frame)), feedback_callback=self._on_feedback)

    def _patrol(self) -> None:
        """Send the next goal when there is none, or when nobody has said a word about it for long."""
        now = time.monotonic()
        if self.mission is not None and now - max(self._fed_s, self._sent_s) > SILENT_S:
            self.mission = None
        if not self.patrolling or self.mission is not None or now - self._sent_s < 1.0 or not self.client.server_is_ready():
            return
        self._place = (self._place + 1) % len(self.places)
        self._sent_s, self._left_m = now, 0.0
        token = self.mission = object()

        def answered(future: Any) -> None:
            handle = future.result()
            if handle is None or not handle.accepted:
                self.mission = None if self.mission is token else self.mission
                return
            handle.get_result_async().add_done_callback(lambda f: self._on_end(token, f))

        self.send(Pose2(*self.places[self._place])).add_done_callback(answered)

    def _on_feedback(self, message: Any) -> None:
        self._fed_s = time.monotonic()
        self._left_m = float(message.feedback.distance_remaining)

    def _on_end(self, token: object, future: Any) -> None:
        answer = future.result()
        if answer is not None:
            self.ends.append((time.monotonic(), int(answer.result.error_code), str(answer.result.error_msg)))
        if self.mission is token:
            self.mission = None

    # --- ears -----------------------------------------------------------------------------------------------------------------------

    def _on_obeyed(self, message: Any, info: Any) -> None:
        self.obeyed_s = info["source_timestamp"] * 1e-9

    def _on_truth(self, message: Any, info: Any) -> None:
        from astra.ros.conversions import ns_from_stamp, pose2_from_pose

        pose, twist = pose2_from_pose(message.pose.pose), message.twist.twist
        self.simulated_s.append(ns_from_stamp(message.header.stamp) * 1e-9)
        self.truth.append((info["source_timestamp"] * 1e-9, pose.x, pose.y, pose.yaw, twist.linear.x, twist.angular.z))

    def _on_collisions(self, message: Any) -> None:
        if message.data > self.collisions:
            self.say(f"collision {message.data}")
        self.collisions = message.data

    def _on_command(self, message: Any, info: Any) -> None:
        self.commands.append((info["source_timestamp"] * 1e-9, message.linear.x, message.angular.z))

    def _on_diagnostics(self, message: Any, info: Any) -> None:
        for status in message.status:
            level = int.from_bytes(status.level, "little")
            if status.name == f"{status.hardware_id}: state" and level == 0:
                self.heard[status.hardware_id] = info["source_timestamp"] * 1e-9
            self.statuses[status.name] = (level, status.message)


def _broken(spec: NodeSpec) -> NodeSpec:
    """The simulator becomes the one that breaks on order; the recorder keeps few pictures."""
    if spec.name == "astra_sim":
        return NodeSpec(SIMULATOR, spec.parameters)
    return replace(spec, parameters={**spec.parameters, "image_rate_hz": 0.5}) if spec.name == RECORDER else spec


def patrol_places(topomap: TopoMap) -> FloatArray:
    """The two nodes of the map's largest fragment that lie farthest apart, as goals (2, 3): the way between them crosses the map."""
    nodes = [n for n in topomap.nodes.values() if n.fragment == 0]
    poses = np.array([[p.x, p.y, p.yaw] for p in (n.map_from_base.pose2() for n in nodes)])
    distance = np.linalg.norm(poses[:, None, :2] - poses[None, :, :2], axis=2)
    pair: FloatArray = poses[list(np.unravel_index(int(np.argmax(distance)), distance.shape))]
    return pair


def load_average() -> float:
    """The machine's load over the last minute."""
    return math.nan if not hasattr(os, "getloadavg") else os.getloadavg()[0]
