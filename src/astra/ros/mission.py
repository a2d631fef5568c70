"""Run one mission through the real ROS graph in simulation, watch it from outside, and judge it.

The observer in this module is the only process beside the simulator that reads `/ground_truth/*`; it tells the stack nothing but the instruction.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import AstraError, BadInputError
from astra.core.types import nanoseconds
from astra.evaluation.mission import GoalRegion, LocalizationEvent, MissionResult, TruthTrack
from astra.geometry import Pose2

LOG = logging.getLogger(__name__)
STATUS_NAMES = ("lost", "coarse", "localized")
GOAL_STATUS = {3: "not_found", 4: "ambiguous"}  # NavigateToTarget error codes


@dataclass(frozen=True, slots=True)
class MissionRequest:
    """One mission. `start` is "random" or "x,y,yaw" in the world frame [m, rad]."""

    world: Path
    map: Path
    instruction: str
    out: Path
    start: str = "random"
    seed: int = 0
    time_limit_s: float = 300.0
    startup_limit_s: float = 90.0
    video: bool = True


@dataclass(slots=True)
class Observation:
    """What the observer has collected so far."""

    truth: list[tuple[int, float, float, float, float]] = field(default_factory=list)  # stamp, x, y, yaw, speed
    contacts_ns: list[int] = field(default_factory=list)
    contact_count: int = 0
    localizations: list[LocalizationEvent] = field(default_factory=list)
    feedback: list[tuple[float, str, str]] = field(default_factory=list)
    fallbacks: int = 0


class MissionObserver:
    """A ROS node of its own that gives the instruction and records what happens."""

    def __init__(self, say: Callable[[str], None]) -> None:
        import rclpy
        from astra_nav.action import NavigateToTarget
        from astra_nav.msg import Localization
        from nav_msgs.msg import Odometry
        from rclpy.action import ActionClient
        from std_msgs.msg import UInt32

        from astra.ros import qos

        self.seen = Observation()
        self._say = say
        self._phase = ""
        self._node = rclpy.create_node("astra_mission_observer")
        self._node.create_subscription(Odometry, "/ground_truth/odom", self._on_truth, qos.SENSOR)
        self._node.create_subscription(UInt32, "/ground_truth/collisions", self._on_collisions, qos.LATCHED)
        self._node.create_subscription(Localization, "/astra/localization", self._on_localization, qos.RELIABLE)
        self._action = NavigateToTarget
        self._client = ActionClient(self._node, NavigateToTarget, "/navigate_to_target")

    @property
    def now_ns(self) -> int:
        """The simulator's newest stamp."""
        return self.seen.truth[-1][0] if self.seen.truth else 0

    def wait(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Spin until `condition` holds; False after `limit_s` of wall time."""
        import rclpy

        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            rclpy.spin_once(self._node, timeout_sec=0.05)
        return True

    def navigate(self, instruction: str, limit_s: float, alive: Callable[[], None]) -> Any:
        """Send the instruction and wait for the result.

        Args:
            instruction: the sentence.
            limit_s: limit of simulated time.
            alive: called while waiting; raises if the mission cannot go on.

        Returns:
            The action's result, or None if the limit passed (the goal is cancelled then).
        """
        if not self.wait(self._client.server_is_ready, 30.0):
            raise AstraError("/navigate_to_target is not served: is astra_navigator running?")
        goal = self._action.Goal(kind=self._action.Goal.KIND_TEXT, text=instruction)
        sent = self._client.send_goal_async(goal, feedback_callback=self._on_feedback)
        if not self.wait(sent.done, 20.0):
            raise AstraError("astra_navigator did not answer the goal within 20 s")
        handle = sent.result()
        if not handle.accepted:
            raise AstraError(f"astra_navigator refused the goal {instruction!r}")
        result = handle.get_result_async()
        end_ns = self.now_ns + nanoseconds(limit_s)

        def ended() -> bool:
            alive()
            return bool(result.done()) or self.now_ns > end_ns

        self.wait(ended, limit_s * 5.0)
        if not result.done():
            cancelled = handle.cancel_goal_async()
            self.wait(cancelled.done, 5.0)
            return None
        return result.result().result

    def close(self) -> None:
        """Destroy the node."""
        self._client.destroy()
        self._node.destroy_node()

    def _on_truth(self, message: Any) -> None:
        from astra.ros.conversions import ns_from_stamp, pose2_from_pose

        pose, twist = pose2_from_pose(message.pose.pose), message.twist.twist
        stamp = ns_from_stamp(message.header.stamp)
        if not self.seen.truth or stamp > self.seen.truth[-1][0]:
            self.seen.truth.append((stamp, pose.x, pose.y, pose.yaw, math.hypot(twist.linear.x, twist.linear.y)))

    def _on_collisions(self, message: Any) -> None:
        if message.data > self.seen.contact_count:
            self.seen.contacts_ns += [self.now_ns] * (message.data - self.seen.contact_count)
            self._say(f"collision {message.data}")
        self.seen.contact_count = message.data

    def _on_localization(self, message: Any) -> None:
        from astra.ros.conversions import ns_from_stamp, pose2_from_pose

        status = STATUS_NAMES[message.status]
        pose = pose2_from_pose(message.pose.pose) if status == "localized" else None
        self.seen.localizations.append(LocalizationEvent(ns_from_stamp(message.header.stamp), status, float(message.confidence), pose))

    def _on_feedback(self, message: Any) -> None:
        feedback = message.feedback
        names = {getattr(self._action.Feedback, n): n[6:].replace("_", " ").lower() for n in dir(self._action.Feedback) if n.startswith("PHASE_")}
        phase = names.get(feedback.phase, "?")
        self.seen.fallbacks = int(feedback.fallbacks)
        if f"{phase} {feedback.why}" != self._phase:
            self._phase = f"{phase} {feedback.why}"
            self.seen.feedback.append(((self.now_ns - self.seen.truth[0][0]) / 1e9 if self.seen.truth else 0.0, phase, feedback.why))
            self._say(f"{phase}: {feedback.why}")


def right_answers(world: Any, instruction: str) -> list[GoalRegion]:
    """The regions that fulfil an instruction, by the world's truth; empty if none does.

    Raises:
        BadInputError: the world's truth does not know the instruction, so that nobody could judge the mission.
    """
    for entry in world.truth.instructions:
        if entry.text.casefold() == instruction.casefold():
            areas = {area.name: area for area in world.truth.areas}
            return [GoalRegion(name, np.asarray(areas[name].polygon, dtype=np.float64)) for name in entry.answers]
    raise BadInputError(f"the world's truth holds no answer to {instruction!r}; it knows: {'; '.join(e.text for e in world.truth.instructions)}")


def isolate_ros() -> None:
    """Give this process and its children a ROS domain of their own, unless the user chose one."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))


def truth_track(rows: Sequence[tuple[int, float, float, float, float]]) -> TruthTrack:
    """The observer's rows as arrays."""
    table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 4)
    return TruthTrack(np.array([row[0] for row in rows], dtype=np.int64), table[:, :3], table[:, 3])


def goal_status(result: Any) -> str:
    """found, ambiguous, not_found or unknown, from the action's result."""
    if result is None:
        return "unknown"
    if result.error_code in GOAL_STATUS:
        return GOAL_STATUS[result.error_code]
    return "found" if result.goal.pose.header.frame_id else "unknown"


def fresh_dir(path: Path) -> Path:
    """An empty folder at `path`; refuses to empty one that holds anything but an earlier mission."""
    if path.exists() and not path.is_dir():
        raise BadInputError(f"{path} is not a folder")
    if path.exists() and any(path.iterdir()) and not any((path / name).exists() for name in ("result.json", "mission", "logs")):
        raise BadInputError(f"{path} holds other files; give an empty or new folder with --out")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def save_result(result: MissionResult, out: Path) -> None:
    """Write `result.json`."""
    result.save(out / "result.json")


def pose_of(text: str) -> Pose2:
    """Parse "x,y,yaw".

    Raises:
        BadInputError: not three finite numbers.
    """
    try:
        x, y, yaw = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(f"--start must be 'random' or x,y,yaw, found {text!r}") from error
    pose = Pose2(x, y, yaw)
    if not pose.is_finite():
        raise BadInputError(f"--start must be finite, found {text!r}")
    return pose
