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
from astra.evaluation.mission import STOPPED_MPS, GoalRegion, LocalizationEvent, MissionLog, MissionResult, TruthTrack, judge
from astra.evaluation.mission_report import FloorImage, write_report
from astra.evaluation.shortest import shortest_path_m
from astra.evaluation.video import write_video
from astra.geometry import Pose2
from astra.ros.environment import activate, reserve_domain
from astra.ros.stack import SimOptions, StackOptions, describe
from astra.ros.supervisor import Supervisor
from astra.sim.world import WorldTruth, load_world
from astra.topomap.io import load_map

LOG = logging.getLogger(__name__)
STATUS_NAMES = ("lost", "coarse", "localized")
TIMED_OUT = 10  # NavigateToTarget.Result
ROBOT_RADIUS_M = 0.22
MOSAIC_ORDER = ("front", "right", "left", "back")
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
        from diagnostic_msgs.msg import DiagnosticArray
        from nav_msgs.msg import Odometry
        from rclpy.action import ActionClient
        from std_msgs.msg import UInt32

        from astra.ros import qos

        self.seen = Observation()
        self._say = say
        self._phase = ""
        self.node = rclpy.create_node("astra_mission_observer")
        self.node.create_subscription(Odometry, "/ground_truth/odom", self._on_truth, qos.SENSOR)
        self.node.create_subscription(UInt32, "/ground_truth/collisions", self._on_collisions, qos.LATCHED)
        self.node.create_subscription(Localization, "/astra/localization", self._on_localization, qos.RELIABLE)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE)
        self.active: set[str] = set()
        self._action = NavigateToTarget
        self._client = ActionClient(self.node, NavigateToTarget, "/navigate_to_target")

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
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return True

    def standing(self, duration_s: float) -> bool:
        """Whether the robot has not moved for a while of simulated time."""
        recent = [row for row in self.seen.truth[-500:] if row[0] > self.now_ns - nanoseconds(duration_s)]
        return all(row[4] < STOPPED_MPS for row in recent)

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
        self.node.destroy_node()

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

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            name, _, what = status.name.partition(": ")
            if what == "state":
                (self.active.add if status.level == status.OK else self.active.discard)(name)

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


def run_mission(request: MissionRequest, say: Callable[[str], None]) -> MissionResult:
    """Start the stack in simulation, give the instruction, watch, judge, and leave `result.json`, report, video and recording in `request.out`.

    Raises:
        BadInputError: the world, the map or the start cannot be used; nothing was started then.
        AstraError: the stack did not come up.
    """
    world, topomap = load_world(request.world), load_map(request.map)
    if world.truth is None:
        raise BadInputError(f"{request.world} carries no truth, so nobody could judge a mission in it; use a world made by `astra sim world`")
    truth = world.truth
    answers = right_answers(truth, request.instruction)
    if request.start != "random":
        pose_of(request.start)
    out = fresh_dir(request.out)
    log, feedback = _drive(request, out, say)
    world_from_map = truth.tour_start  # the map's origin is the tour's first base_link
    if answers is None:
        say("the world's truth does not know this sentence: judged is only whether the robot reached the place it chose")
        answers = chosen_goal(log, world_from_map)
    result = judge(log, answers, world_from_map, _shortest(truth, log, answers))
    result.save(out / "result.json")
    floor = FloorImage(np.where(truth.free, 235, 90).astype(np.uint8), truth.resolution_m, truth.origin_xy)
    say("writing the report")
    video = request.video and _video(out, log, floor, world_from_map)
    write_report(
        out / "report.html", log, result, floor=floor, topomap=topomap, world_from_map=world_from_map, right_answers=answers, feedback=feedback,
        video="mission.mp4" if video else None,
    )  # fmt: skip
    return result


def _drive(request: MissionRequest, out: Path, say: Callable[[str], None]) -> tuple[MissionLog, list[tuple[float, str, str]]]:
    """Run the stack from the robot's waking up to the mission's end."""
    isolate_ros()
    activate()
    import rclpy

    sim = SimOptions(request.world, request.start, request.seed)
    nodes = describe(StackOptions(map=request.map, sim=sim, record=out / "mission"))
    with Supervisor(nodes, out / "logs", say=say) as stack:
        rclpy.init(args=[])
        observer = MissionObserver(say)
        try:
            began = time.monotonic()
            if not observer.wait(lambda: set(stack.names) <= observer.active or bool(stack.failed), request.startup_limit_s) or stack.failed:
                missing = ", ".join(sorted(set(stack.names) - observer.active))
                raise AstraError(f"the stack did not come up within {request.startup_limit_s:.0f} s; not active: {missing}; logs in {out / 'logs'}")
            say(f"stack active after {time.monotonic() - began:.1f} s")
            cpu = stack.cpu_seconds()
            sent_ns = observer.now_ns
            result = observer.navigate(request.instruction, request.time_limit_s, lambda: _require_alive(stack, out))
            observer.wait(lambda: observer.now_ns > sent_ns + nanoseconds(1.0) and observer.standing(0.5), 15.0)
            span_s = max((observer.now_ns - sent_ns) / 1e9, 1e-3)
            loads = tuple((name, round((used - cpu[name]) / span_s, 3)) for name, used in stack.cpu_seconds().items())
            log = _mission_log(request, observer.seen, result, stack.restarts, loads)
            return log, observer.seen.feedback
        finally:
            observer.close()
            rclpy.try_shutdown()


def _require_alive(stack: Supervisor, out: Path) -> None:
    if stack.failed:
        raise AstraError(f"{', '.join(stack.failed)} died too often; logs in {out / 'logs'}")


def _mission_log(request: MissionRequest, seen: Observation, result: Any, restarts: int, cpu: tuple[tuple[str, float], ...]) -> MissionLog:
    from astra.ros.conversions import pose2_from_pose

    status = goal_status(result)
    return MissionLog(
        seed=request.seed,
        world=request.world.name,
        instruction=request.instruction,
        started_ns=seen.truth[0][0],
        ended_ns=seen.truth[-1][0],
        truth=truth_track(seen.truth),
        contacts_ns=tuple(seen.contacts_ns),
        localizations=tuple(seen.localizations),
        goal_status=status,
        map_from_goal=pose2_from_pose(result.goal.pose.pose) if status == "found" else None,
        error_code=int(result.error_code) if result is not None else TIMED_OUT,
        error_msg=str(result.error_msg) if result is not None else f"no result within {request.time_limit_s:.0f} s",
        fallbacks=seen.fallbacks,
        restarts=restarts,
        cpu=cpu,
    )


def _shortest(truth: WorldTruth, log: MissionLog, answers: Sequence[GoalRegion]) -> float:
    start = (float(log.truth.poses[0, 0]), float(log.truth.poses[0, 1]))
    lengths = [shortest_path_m(truth.free, truth.resolution_m, truth.origin_xy, start, region.polygon, ROBOT_RADIUS_M) for region in answers]
    return min(lengths, default=math.nan)


def _video(out: Path, log: MissionLog, floor: FloorImage, world_from_map: Pose2) -> bool:
    """The recording also becomes `mission.mcap`, one file with all topics."""
    from astra.datasets import open_drive

    recording = next((out / "mission").glob("*.mcap"), None)
    if recording is None:
        return False
    (out / "mission.mcap").hardlink_to(recording)
    drive = open_drive(out / "mission")
    cameras = [camera.name for camera in drive.topics.cameras]
    order = sorted(cameras, key=lambda name: MOSAIC_ORDER.index(name) if name in MOSAIC_ORDER else len(MOSAIC_ORDER))
    return write_video(out / "mission.mp4", drive.frames(), order, log, floor, world_from_map)


def right_answers(truth: WorldTruth, instruction: str) -> list[GoalRegion] | None:
    """The regions that fulfil an instruction, by the world's truth: empty if nothing does, None if the truth does not know the sentence."""
    for entry in truth.instructions:
        if entry.text.casefold() == instruction.casefold():
            return [GoalRegion(name, truth.area(name).polygon) for name in entry.answers]
    return None


def chosen_goal(log: MissionLog, world_from_map: Pose2) -> list[GoalRegion]:
    """For a sentence that the truth does not know: the place that the stack itself chose, so that at least its driving is judged."""
    if log.map_from_goal is None:
        return []
    goal = world_from_map @ log.map_from_goal
    return [GoalRegion("the stack's own goal", np.array([[goal.x, goal.y]]) + 0.05 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))]


def isolate_ros() -> None:
    """Give this process and its children a ROS domain of their own, unless the user chose one."""
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())


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
