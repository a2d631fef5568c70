"""/follow_path, /spin and /backup behind Nav2's own actions, and the velocity gate as the last hop to /cmd_vel.

Stands in for Nav2's controller_server and behavior_server; either can take its place without a change elsewhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Twist, TwistStamped
from nav2_msgs.action import BackUp, FollowPath, Spin
from nav2_msgs.msg import SpeedLimit
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import FloatArray, nanoseconds, seconds
from astra.geometry import Pose2
from astra.navigation.control import ControlConfig
from astra.navigation.footprint import FootprintConfig
from astra.navigation.gate import Ages, GateConfig, GateDecision, GateReason, VelocityGate
from astra.navigation.history import PoseHistory
from astra.navigation.motion import BackUpMotion, FollowPathMotion, Motion, MotionConfig, MotionEnd, MotionInput, SpinMotion
from astra.navigation.repeats import RepeatWatch
from astra.ros import node, params, qos
from astra.ros.actions import Outcome, TickedActionServer
from astra.ros.conversions import ns_from_stamp, pose2_from_pose, poses_from_path, scan_from_msg
from astra.ros.polled import PolledSubscription
from astra.ros.quiet import Rate
from astra.ros.tf import TfBuffer, TransformUnavailableError

FOLLOW_CODES = {
    MotionEnd.PATIENCE_EXCEEDED: FollowPath.Result.PATIENCE_EXCEEDED,
    MotionEnd.NO_PROGRESS: FollowPath.Result.FAILED_TO_MAKE_PROGRESS,
    MotionEnd.ODOMETRY_LOST: FollowPath.Result.TF_ERROR,
}
SPIN_CODES = {
    MotionEnd.TIMEOUT: Spin.Result.TIMEOUT,
    MotionEnd.ODOMETRY_LOST: Spin.Result.TF_ERROR,
    MotionEnd.COLLISION_AHEAD: Spin.Result.COLLISION_AHEAD,
}
BACKUP_CODES = {
    MotionEnd.TIMEOUT: BackUp.Result.TIMEOUT,
    MotionEnd.ODOMETRY_LOST: BackUp.Result.TF_ERROR,
    MotionEnd.COLLISION_AHEAD: BackUp.Result.COLLISION_AHEAD,
}
WARNING_S = 3.0
ZEROS_AFTER_STOP = 10  # ticks of zero velocity before the topic goes quiet
STREAM = 2  # paths that replace one another so often are a stream, and a stream that stops is stale; one that a Nav2 client sent, or changed once, is not


@dataclass(frozen=True, slots=True)
class ControllerNodeConfig:
    """Parameters of astra_controller; the plugin ids are the names that Nav2's stock configuration gives them."""

    controller_frequency: float = field(default=20.0, metadata={"help": "commands per second [Hz]"})
    controller_id: str = field(default="FollowPath", metadata={"help": "id that FollowPath goals may name; empty ids are accepted"})
    goal_checker_ids: tuple[str, ...] = field(default=("general_goal_checker", "position_goal_checker"), metadata={"help": "accepted ids"})
    progress_checker_id: str = field(default="progress_checker", metadata={"help": "accepted id"})
    base_frame: str = field(default="base_link", metadata={"help": "frame of the robot"})
    enable_stamped_cmd_vel: bool = field(default=False, metadata={"help": "publish TwistStamped (Nav2's default from Kilted on) instead of Twist"})
    footprint: FootprintConfig = field(default_factory=FootprintConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        require(5.0 <= self.controller_frequency <= 100.0, "controller_frequency", self.controller_frequency, "5 … 100 Hz")


@dataclass(slots=True, eq=False)
class _Job:
    """The one goal under way. `result(code, text)` and `feedback(speed)` build its action's messages."""

    server: TickedActionServer
    handle: Any
    motion: Motion
    result: Callable[[int, str], Any]
    feedback: Callable[[float], Any]
    codes: dict[MotionEnd, int]
    frame: str = ""  # frame of the path; empty: odom
    accepted_ns: int = 0
    renewed: int = 0  # how many paths in a row have replaced one another quickly
    stamp_ns: int = 0  # of the path: of the image or scan it was planned from
    here: Pose2 = field(default_factory=Pose2)  # the robot in `frame`


class AstraController(node.AstraLifecycleNode):
    """One motion at a time; a new goal of any kind ends the old one with ABORTED and error code 0, as Nav2's preemption does."""

    def __init__(self) -> None:
        super().__init__("astra_controller")
        self._job: _Job | None = None
        self._publisher: Any = None

    def on_setup(self) -> None:
        """Declare parameters, serve the actions, subscribe."""
        self._config = config = params.declare_config(self, ControllerNodeConfig, dynamic=("control.", "motion.", "gate."), on_change=self._reconfigure)
        self._gate = VelocityGate(config.gate, config.footprint.build())
        self._history, self._repeats = PoseHistory(), RepeatWatch()
        self._tf = TfBuffer(self, polled=True)
        self._odom_frame = "odom"
        self._odometry_ns = self._scan_ns = 0  # steady time of arrival; 0: never
        self._scan_stamp_ns = 0
        self._measured = self._velocity = (0.0, 0.0)
        self._speed_limit = math.inf
        self._tick_ns = self.now_ns()
        self._zeros = 0
        self._warned: dict[str, int] = {}
        self._rate, self._stops = Rate(), Counter[GateReason]()
        self._held: GateReason | None = None
        kind = TwistStamped if config.enable_stamped_cmd_vel else Twist
        self._publisher = self.create_publisher(kind, "cmd_vel", qos.RELIABLE)
        self._servers = [
            TickedActionServer(self, FollowPath, "follow_path", self._start_follow, lambda _: self.active),
            TickedActionServer(self, Spin, "spin", self._start_spin, lambda _: self.active),
            TickedActionServer(self, BackUp, "backup", self._start_backup, lambda _: self.active),
        ]
        for name in ("follow_path", "spin", "backup"):
            self.own_action(name)
        self.own_topic("cmd_vel")
        # Read at each tick: they arrive more often than commands leave.
        self._polled = [PolledSubscription(self, Odometry, "odom", qos.SENSOR), PolledSubscription(self, LaserScanMsg, "scan", qos.SENSOR)]
        self._subscriptions_ = [
            self.create_subscription(SpeedLimit, "speed_limit", self._on_speed_limit, qos.RELIABLE),
        ]
        # Steady time: if a simulator's clock stands still, the robot must still be stopped.
        self._timer = self.create_timer(1.0 / config.controller_frequency, self._tick, clock=self.steady)

    def _reconfigure(self, config: ControllerNodeConfig) -> None:
        """Limits hold at once, the rest from the next goal on."""
        self._config = config
        self._gate.config = config.gate

    def on_stop(self) -> None:
        """End the goal and stop the robot."""
        self._end(MotionEnd.TIMEOUT, "the controller was deactivated")
        if self._publisher is not None:
            self._send(0.0, 0.0)

    def on_teardown(self) -> None:
        """Take the servers and subscriptions away."""
        for server in getattr(self, "_servers", []):
            server.destroy()
        for subscription in getattr(self, "_subscriptions_", []):
            self.destroy_subscription(subscription)
        for polled in getattr(self, "_polled", []):
            polled.destroy()
        self._polled = []
        if getattr(self, "_timer", None) is not None:
            self.destroy_timer(self._timer)
        self._servers, self._subscriptions_, self._timer = [], [], None

    # --- inputs -------------------------------------------------------------------------------------------------------------------

    def _on_odometry(self, message: Odometry) -> None:
        try:
            pose = pose2_from_pose(message.pose.pose)
        except BadInputError as error:
            self._warn("odometry", str(error))
            return
        twist = message.twist.twist
        if not (math.isfinite(twist.linear.x) and math.isfinite(twist.angular.z)):
            self._warn("odometry", "twist holds a value that is not finite")
            return
        self._odometry_ns = self.steady_ns()
        self._odom_frame = message.header.frame_id
        self._measured = (twist.linear.x, twist.angular.z)
        self._history.add(ns_from_stamp(message.header.stamp), pose, *self._measured)

    def _on_scan(self, message: LaserScanMsg) -> None:
        try:
            scan = scan_from_msg(message)
            base_from_sensor = self._tf.lookup(self._config.base_frame, scan.frame).pose2()
        except (BadInputError, TransformUnavailableError) as error:
            self._warn("scan", str(error))
            return
        if len(self._history) and self._repeats.repeats(scan, self._history.newest[1]):
            self._warn("scan", "the same scan again and again while the robot moves: the lidar hangs")
            return
        self._gate.see(scan, base_from_sensor)
        self._scan_ns, self._scan_stamp_ns = self.steady_ns(), scan.stamp_ns

    def _on_speed_limit(self, message: SpeedLimit) -> None:
        """Nav2's convention: 0 lifts the limit."""
        value = float(message.speed_limit)
        if not math.isfinite(value) or value <= 0.0:
            self._speed_limit = math.inf
        else:
            self._speed_limit = value / 100.0 * self._config.control.desired_linear_vel if message.percentage else value

    def _warn(self, name: str, text: str) -> None:
        """A warning that `_tick` takes back when it has not come again for a while."""
        self._warned[name] = self.steady_ns()
        self.report(node.WARN, name, text)

    # --- goals --------------------------------------------------------------------------------------------------------------------

    def _start_follow(self, handle: Any) -> None:
        """Accept, then abort with Nav2's code if the goal cannot be followed; else take over from whatever was running."""
        goal = handle.request
        code, text, poses = self._judge_path(goal)
        if poses is None:
            self._preempt()
            self._servers[0].finish(handle, Outcome.ABORTED, _follow_result(code, text))
            self.report(node.WARN, "goal", f"follow_path refused ({code}): {text}")
            return
        motion = FollowPathMotion(poses, self._config.control, self._config.motion)
        old, renewed = self._job, 0
        if old is not None and isinstance(old.motion, FollowPathMotion):
            motion.take_over(old.motion)
            quick = seconds(self.steady_ns() - old.accepted_ns) <= self._config.gate.path_timeout
            renewed = old.renewed + 1 if quick else 0
        self._preempt(keep_rolling=True)

        def feedback(speed: float) -> Any:
            return FollowPath.Feedback(distance_to_goal=float(min(motion.remaining_m, 1e6)), speed=speed)

        frame, stamp = goal.path.header.frame_id.lstrip("/"), ns_from_stamp(goal.path.header.stamp)
        self._job = _Job(self._servers[0], handle, motion, _follow_result, feedback, FOLLOW_CODES, frame, self.steady_ns(), renewed, stamp)

    def _judge_path(self, goal: Any) -> tuple[int, str, FloatArray | None]:
        """Nav2's checks in Nav2's order: (error code, why, None), or (0, "", poses)."""
        codes = FollowPath.Result
        if goal.controller_id not in ("", self._config.controller_id):
            return codes.INVALID_CONTROLLER, f"controller_id {goal.controller_id!r} is not {self._config.controller_id!r}", None
        if goal.goal_checker_id not in ("", *self._config.goal_checker_ids):
            return codes.UNKNOWN, f"goal_checker_id {goal.goal_checker_id!r} is not one of {', '.join(self._config.goal_checker_ids)}", None
        if goal.progress_checker_id not in ("", self._config.progress_checker_id):
            return codes.UNKNOWN, f"progress_checker_id {goal.progress_checker_id!r} is not {self._config.progress_checker_id!r}", None
        try:
            poses = poses_from_path(goal.path)
        except BadInputError as error:
            return codes.INVALID_PATH, str(error), None
        if len(poses) == 0:
            return codes.INVALID_PATH, "the path is empty", None
        try:
            self._here(goal.path.header.frame_id.lstrip("/"))
        except (BadInputError, TransformUnavailableError) as error:
            return codes.TF_ERROR, str(error), None
        return codes.NONE, "", poses

    def _start_spin(self, handle: Any) -> None:
        goal = handle.request
        config = self._config

        def result(code: int, text: str) -> Any:
            return Spin.Result(error_code=code, error_msg=text, total_elapsed_time=self._elapsed())

        def feedback(speed: float) -> Any:
            return Spin.Feedback(angular_distance_traveled=float(motion.turned_rad))

        if not math.isfinite(goal.target_yaw):
            self._preempt()
            self._servers[1].finish(handle, Outcome.ABORTED, result(Spin.Result.UNKNOWN, f"target_yaw {goal.target_yaw} is not finite"))
            return
        motion = SpinMotion(float(goal.target_yaw), _duration_s(goal.time_allowance), config.control, config.motion)
        self._preempt()
        self._job = _Job(self._servers[1], handle, motion, result, feedback, SPIN_CODES, accepted_ns=self.steady_ns())

    def _start_backup(self, handle: Any) -> None:
        """Nav2 takes the distance with either sign and refuses sideways targets."""
        goal = handle.request
        config = self._config

        def result(code: int, text: str) -> Any:
            return BackUp.Result(error_code=code, error_msg=text, total_elapsed_time=self._elapsed())

        def feedback(speed: float) -> Any:
            return BackUp.Feedback(distance_traveled=float(motion.driven_m))

        values = (goal.target.x, goal.target.y, goal.target.z, goal.speed)
        if not all(map(math.isfinite, values)) or goal.target.y != 0.0 or goal.target.z != 0.0 or goal.speed == 0.0:
            self._preempt()
            text = "backing up is along x only, with a finite distance and a speed other than zero"
            self._servers[2].finish(handle, Outcome.ABORTED, result(BackUp.Result.INVALID_INPUT, text))
            return
        motion = BackUpMotion(float(goal.target.x), float(goal.speed), _duration_s(goal.time_allowance), config.control, config.motion)
        self._preempt()
        self._job = _Job(self._servers[2], handle, motion, result, feedback, BACKUP_CODES, accepted_ns=self.steady_ns())

    def _preempt(self, *, keep_rolling: bool = False) -> None:
        """End the old goal as Nav2 does when a new one arrives."""
        if (old := self._job) is None:
            return
        result, self._job = old.result(0, ""), None
        old.server.finish(old.handle, Outcome.ABORTED, result)
        if not keep_rolling or not isinstance(old.motion, FollowPathMotion):
            self._stop()

    def _elapsed(self) -> Duration:
        ns = self.steady_ns() - self._job.accepted_ns if self._job else 0
        return Duration(sec=ns // 10**9, nanosec=ns % 10**9)

    def _end(self, end: MotionEnd, why: str = "") -> None:
        """Stop and answer the goal."""
        if (job := self._job) is None:
            return
        code = 0 if end is MotionEnd.SUCCEEDED else job.codes.get(end, 0)
        text = why or ("" if end is MotionEnd.SUCCEEDED else str(end))
        result = job.result(code, text)
        self._job = None
        self._stop()
        job.server.finish(job.handle, Outcome.SUCCEEDED if end is MotionEnd.SUCCEEDED else Outcome.ABORTED, result)
        if end is not MotionEnd.SUCCEEDED:
            self.get_logger().warning(f"goal ended: {text} ({code})")

    # --- control ------------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """One command: inputs → motion → gate → wheels."""
        for message in self._polled[0].drain():
            self._on_odometry(message)
        for message in self._polled[1].drain()[-1:]:
            self._on_scan(message)
        now_ns = self.now_ns()
        dt_s = min(max(seconds(now_ns - self._tick_ns), 0.0), 0.2)
        self._tick_ns = now_ns
        for name in [name for name, since in self._warned.items() if seconds(self.steady_ns() - since) > WARNING_S]:
            del self._warned[name]
            self.report(node.OK, name, "well again")
        job = self._job
        if job is None or not self.active:
            self._zeros = max(self._zeros - 1, 0)
            if self._zeros and self.active:
                self._send(0.0, 0.0)
            return
        if job.handle.is_cancel_requested:
            result, self._job = job.result(0, "cancelled"), None
            self._stop()
            job.server.finish(job.handle, Outcome.CANCELED, result)
            return
        ages = self._ages(job)
        now = MotionInput(seconds(now_ns), dt_s, self._pose(job), self._gate.clearance_m(), self._speed_limit)
        if ages.odometry_s > self._config.gate.odometry_timeout:
            decision = GateDecision(0.0, 0.0, GateReason.STALE_ODOMETRY, 0.0)
        else:
            command = job.motion.command(now, self._velocity)
            if isinstance(command, MotionEnd):
                self._end(command)
                return
            decision = self._gate.limit(command.linear_mps, command.angular_radps, ages, self._scan_motion())
        self._velocity = (decision.linear_mps, decision.angular_radps)
        self._send(*self._velocity)
        self._tell(decision, ages)
        job.handle.publish_feedback(job.feedback(float(self._measured[0])))
        end = job.motion.gated(now, decision)
        if end is not None:
            self._end(end, f"{end}: {decision.reason}")

    def _pose(self, job: _Job) -> Pose2:
        """The robot in the frame of the job's path; the last known one while TF is missing."""
        try:
            job.here = self._here(job.frame)
        except (BadInputError, TransformUnavailableError) as error:
            self._warn("tf", str(error))
        return job.here

    def _here(self, frame: str) -> Pose2:
        """The robot in `frame` (empty: odom).

        Raises:
            BadInputError, TransformUnavailableError: there is no odometry, or the frames are not connected.
        """
        _, odom_from_base = self._history.newest
        if frame in ("", self._odom_frame):
            return odom_from_base
        return self._tf.lookup(frame, self._odom_frame).pose2() @ odom_from_base

    def _ages(self, job: _Job) -> Ages:
        now = self.steady_ns()
        path_s = seconds(now - job.accepted_ns) if job.renewed >= STREAM else 0.0
        return Ages(_age_s(now, self._scan_ns), _age_s(now, self._odometry_ns), path_s)

    def _scan_motion(self) -> Pose2 | None:
        """base_at_scan_from_base_now."""
        try:
            return self._history.at(self._scan_stamp_ns).inverse() @ self._history.newest[1]
        except BadInputError:
            return None

    def _tell(self, decision: GateDecision, ages: Ages) -> None:
        stale = decision.reason in (GateReason.STALE_SCAN, GateReason.STALE_ODOMETRY, GateReason.STALE_PATH, GateReason.NOT_FINITE)
        level = node.ERROR if stale else node.WARN if decision.stopped else node.OK
        held = decision.reason if decision.stopped else None
        if held is not None and held is not self._held:
            self._stops[held] += 1
        self._held = held
        self._rate.happened()
        counts: dict[str, str | int] = {f"stops_{reason}": count for reason, count in self._stops.items()}
        if self._job is not None and self._job.stamp_ns:
            counts["image_to_command_ms"] = f"{1e3 * seconds(self.now_ns() - self._job.stamp_ns):.0f}"
        self.report(level, "velocity gate", str(decision.reason), share=f"{decision.share:.2f}", scan_age_s=f"{ages.scan_s:.2f}",
                    odometry_age_s=f"{ages.odometry_s:.2f}", path_age_s=f"{ages.path_s:.2f}",
                    rate_hz=f"{self._rate.hz(self.steady_ns()):.1f}", **counts)  # fmt: skip

    def _stop(self) -> None:
        """Zero now, and a few times more in case a message is lost; then silence, so that others may drive."""
        self._velocity = (0.0, 0.0)
        self._zeros = ZEROS_AFTER_STOP
        self._send(0.0, 0.0)

    def _send(self, linear_mps: float, angular_radps: float) -> None:
        stamped = self._config.enable_stamped_cmd_vel
        message = TwistStamped() if stamped else Twist()
        twist = message.twist if stamped else message
        twist.linear.x, twist.angular.z = float(linear_mps), float(angular_radps)
        if stamped:
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = self._config.base_frame
        self._publisher.publish(message)


def _follow_result(code: int, text: str) -> Any:
    return FollowPath.Result(error_code=code, error_msg=text)


def _age_s(now_ns: int, arrived_ns: int) -> float:
    return seconds(now_ns - arrived_ns) if arrived_ns else math.inf


def _duration_s(duration: Any) -> float:
    return float(duration.sec) + float(duration.nanosec) / nanoseconds(1.0)


def main() -> int:
    """Run the node."""
    return node.run(AstraController)
