"""Routes in, streamed local paths out: `/astra/follow_path` → local grid and planner → `/follow_path` of whichever controller runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, Literal

import numpy as np
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point32, PolygonStamped, PoseStamped
from nav2_msgs.action import FollowPath, Spin
from nav2_msgs.msg import SpeedLimit
from nav_msgs.msg import Odometry, Path
from rclpy.action import ActionClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import seconds
from astra.geometry import Pose2
from astra.navigation.footprint import FootprintConfig
from astra.navigation.gate import Ages
from astra.navigation.grid import GridConfig
from astra.navigation.history import PoseHistory
from astra.navigation.learned import LearnedConfig, LearnedPlanner
from astra.navigation.local_planning import LocalPlanning, PlanJob, PlanOutcome
from astra.navigation.masks import FilterMask, MaskKind, Ruled, Rules, load_mask
from astra.navigation.planner import ClassicalPlanner, PlannerConfig
from astra.navigation.protocols import LocalPath, LocalPlanError, Planner, Subgoal
from astra.navigation.route_driver import Decision, DriveEnd, DriverConfig, Order, RouteDriver
from astra.navigation.shield import Shield, ShieldConfig, ShieldedPlanner
from astra.ros import node, params, qos
from astra.ros.actions import ActionCall, Outcome, TickedActionServer
from astra.ros.conversions import ns_from_stamp, path_from_poses, pose2_from_pose, poses_from_path, scan_from_msg, stamp_from_ns
from astra.ros.local_views import LocalViews
from astra.ros.polled import PolledSubscription
from astra.ros.quiet import Rate
from astra.ros.sight import Sight, SightConfig
from astra.ros.tf import TfBuffer, TransformUnavailableError
from astra.ros.worker import LatestWorker

END_CODES = {DriveEnd.NO_PATH: FollowPath.Result.NO_VALID_CONTROL, DriveEnd.NO_PROGRESS: FollowPath.Result.FAILED_TO_MAKE_PROGRESS}
WATCH_PERIOD_S = 0.1
ODOMETRY = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
WARNING_S = 3.0
DYNAMIC = ("driver.", "scan_timeout", "odometry_timeout", "subgoal_timeout", "stale_allowance", "controller_allowance", "speed_limit_ahead")  # while it runs


@dataclass(frozen=True, slots=True)
class LocalNodeConfig:
    """Parameters of astra_local."""

    base_frame: str = field(default="base_link", metadata={"help": "frame of the robot"})
    controller_id: str = field(default="FollowPath", metadata={"help": "controller_id of the goals sent to /follow_path"})
    goal_checker_id: str = field(default="general_goal_checker", metadata={"help": "goal_checker_id of the goals sent"})
    progress_checker_id: str = field(default="progress_checker", metadata={"help": "progress_checker_id of the goals sent"})
    position_goal_checker: str = field(default="position_goal_checker", metadata={"help": "routes that name this checker end without their heading"})
    scan_timeout: float = field(default=0.5, metadata={"help": "seconds without a scan after which the robot is stopped"})
    odometry_timeout: float = field(default=0.5, metadata={"help": "seconds without odometry after which the robot is stopped"})
    subgoal_timeout: float = field(default=1.5, metadata={"help": "seconds without a subgoal, where some came, until the robot is stopped [s]"})
    stale_allowance: float = field(default=5.0, metadata={"help": "seconds of stale input after which a route is aborted"})
    controller_allowance: float = field(default=5.0, metadata={"help": "seconds to wait for a controller"})
    controller_failures: int = field(default=3, metadata={"help": "failures of the controller in a row that end a route"})
    occupancy_rate: float = field(default=5.0, metadata={"help": "rate of /astra/occupancy and /astra/obstacles [Hz]"})
    speed_limit_ahead: float = field(default=0.6, metadata={"help": "the slowest speed of the path within this many metres becomes the limit"})
    keepout_mask: str = field(default="", metadata={"help": "a map_server YAML whose occupied cells nobody may enter"})
    speed_mask: str = field(default="", metadata={"help": "a map_server YAML (mode: scale) of speed limits in percent of shield.max_linear_vel"})
    mask_frame: str = field(default="map", metadata={"help": "frame of the masks"})
    local_planner: Literal["classical", "learned"] = field(default="classical", metadata={"help": "who plans: classical, or learned behind a shield"})
    footprint: FootprintConfig = field(default_factory=FootprintConfig)
    grid: GridConfig = field(default_factory=GridConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    learned: LearnedConfig = field(default_factory=LearnedConfig)
    shield: ShieldConfig = field(default_factory=ShieldConfig)
    driver: DriverConfig = field(default_factory=DriverConfig)
    sight: SightConfig = field(default_factory=SightConfig)

    def __post_init__(self) -> None:
        for name in ("scan_timeout", "odometry_timeout", "subgoal_timeout", "stale_allowance", "controller_allowance", "occupancy_rate", "speed_limit_ahead"):
            require(0.0 < getattr(self, name) < 1e3, name, getattr(self, name), "> 0")
        require(self.local_planner in ("classical", "learned"), "local_planner", self.local_planner, "classical or learned")
        require(self.local_planner == "classical" or self.learned.model != "", "learned.model", self.learned.model, "the folder of an exported planner")
        require(self.controller_failures >= 1, "controller_failures", self.controller_failures, "≥ 1")


@dataclass(slots=True, eq=False)
class _Route:
    """The route under way: its goal, its driver, the path given to the controller and how that went."""

    handle: Any
    driver: RouteDriver
    frame: str
    route_from_odom: Pose2 = field(default_factory=Pose2)
    id: int = 0
    call: ActionCall | None = None
    spin: ActionCall | None = None
    paths: int = 0  # how many were sent
    failures: int = 0
    code: int = 0
    stale_since_ns: int = 0
    waiting_since_ns: int = 0
    led_ns: int = 0  # when a subgoal last came; 0: whoever gave the route gives none


class AstraLocal(node.AstraLifecycleNode):
    """Plans at every scan on a worker thread; everything else happens in callbacks that return at once."""

    def __init__(self) -> None:
        super().__init__("astra_local")
        self._route: _Route | None = None

    def make_planner(self, config: LocalNodeConfig) -> Planner:
        """The classical planner, or the learned one behind the shield with the classical one as its fallback."""
        footprint = config.footprint.build()
        classical = ClassicalPlanner(config.planner, footprint)
        named = ((MaskKind.KEEP_OUT, config.keepout_mask), (MaskKind.SPEED_PERCENT, config.speed_mask))
        self._masks: tuple[FilterMask, ...] = tuple(load_mask(kind, FilePath(path)) for kind, path in named if path)
        self._map_from_odom: Pose2 | None = None
        self._learned: LearnedPlanner | None = None
        if config.local_planner == "classical":
            return Ruled(classical, self._rules, config.shield.max_linear_vel) if self._masks else classical
        from astra.local_model.planning.runtime import TrajectorySampler

        self._learned = LearnedPlanner(TrajectorySampler(FilePath(config.learned.model)), replace(config.learned, radius_m=footprint.circumscribed_m))
        return ShieldedPlanner(self._learned, classical, Shield(config.shield, footprint), self._ages, rules=self._rules)

    def on_setup(self) -> None:
        """Declare parameters, serve the action, subscribe."""
        self._config = config = params.declare_config(self, LocalNodeConfig, dynamic=DYNAMIC, on_change=self._reconfigure)
        self._history = PoseHistory()
        self._tf = TfBuffer(self, polled=True)
        self._odom_frame = "odom"
        self._velocity = (0.0, 0.0)
        self._odometry_ns = self._scan_ns = self.steady_ns()
        self._forget = False
        self._subgoal: tuple[str, Pose2] | None = None
        self._limit = 0.0
        self._routes = 0
        self._warned: dict[str, int] = {}
        self._rate = Rate()  # of local paths
        self._planner = self.make_planner(config)
        self._worker = LatestWorker(self, LocalPlanning(config.grid, self._planner).process, self._on_outcome, self._on_failure)
        self._path_publisher = self.create_publisher(Path, "astra/local_path", qos.RELIABLE)
        self._views = LocalViews(self, config.occupancy_rate)
        self._limit_publisher = self.create_publisher(SpeedLimit, "speed_limit", qos.RELIABLE)
        self._outline_publisher = self.create_publisher(PolygonStamped, "astra/footprint", qos.LATCHED)
        self._follow = ActionClient(self, FollowPath, "follow_path")
        self._spin = ActionClient(self, Spin, "spin")
        self._server = TickedActionServer(self, FollowPath, "astra/follow_path", self._start, lambda _: self.active)
        self.own_action("astra/follow_path")
        self.own_topic("astra/local_path")
        self._odometry = PolledSubscription(self, Odometry, "odom", ODOMETRY)  # read when a scan or a goal needs it
        self._subscriptions_ = [
            self.create_subscription(LaserScanMsg, "scan", self._on_scan, qos.SENSOR),
            self.create_subscription(PoseStamped, "astra/subgoal", self._on_subgoal, qos.RELIABLE),
        ]
        self._sight = Sight(self, config.sight, config.base_frame) if config.sight.model else None
        self._timer = self.create_timer(WATCH_PERIOD_S, self._watch, clock=self.steady)

    def _reconfigure(self, config: LocalNodeConfig) -> None:
        """Limits hold at once, the driver's from the next route on."""
        self._config = config

    def on_start(self) -> None:
        """Show the robot's outline."""
        outline = PolygonStamped()
        outline.header.frame_id = self._config.base_frame
        outline.polygon.points = [Point32(x=x, y=y) for x, y in self._config.footprint.build().vertices.tolist()]
        self._outline_publisher.publish(outline)

    def on_stop(self) -> None:
        """End the route; the controller stops with it."""
        self._finish(Outcome.ABORTED, FollowPath.Result.UNKNOWN, "astra_local was deactivated")

    def on_teardown(self) -> None:
        """Free everything."""
        if getattr(self, "_worker", None) is not None:
            self._worker.close()
            if self._sight is not None:
                self._sight.close()
            self._server.destroy()
            self._follow.destroy()
            self._spin.destroy()
            self.destroy_timer(self._timer)
            self._odometry.destroy()
            for subscription in self._subscriptions_:
                self.destroy_subscription(subscription)
            self._worker = None  # type: ignore[assignment]

    def _ages(self) -> Ages:
        """How old the newest inputs are; asked from the planner's thread."""
        now = self.steady_ns()
        return Ages(seconds(now - self._scan_ns), seconds(now - self._odometry_ns))

    def _rules(self) -> Rules | None:
        """The masks where the map lies now; asked from the planner's thread."""
        return Rules(self._masks, self._map_from_odom) if self._masks and self._map_from_odom is not None else None

    # --- inputs -------------------------------------------------------------------------------------------------------------------

    def _on_odometry(self, message: Odometry) -> None:
        twist = message.twist.twist
        try:
            pose = pose2_from_pose(message.pose.pose)
        except BadInputError as error:
            self._warn("odometry", str(error))
            return
        if not (math.isfinite(twist.linear.x) and math.isfinite(twist.angular.z)):
            self._warn("odometry", "twist holds a value that is not finite")
            return
        self._odometry_ns, self._odom_frame = self.steady_ns(), message.header.frame_id
        self._velocity = (twist.linear.x, twist.angular.z)
        if not self._history.add(ns_from_stamp(message.header.stamp), pose, *self._velocity):
            self._forget = True
            self._warn("odometry", "the pose or its clock jumped: what was seen before is forgotten")

    def _take_odometry(self) -> None:
        for message in self._odometry.drain():
            self._on_odometry(message)

    def _on_scan(self, message: LaserScanMsg) -> None:
        """Place the scan and hand it to the planner's thread."""
        self._take_odometry()
        if not self.active:
            return
        try:
            scan = scan_from_msg(message)
            base_from_sensor = self._tf.lookup(self._config.base_frame, scan.frame).pose2()
            at_scan = self._history.at(scan.stamp_ns)
        except (BadInputError, TransformUnavailableError) as error:
            self._warn("scan", str(error))
            return
        self._scan_ns = self.steady_ns()
        now = self._history.newest[1]
        route_id = self._route.id if self._route is not None else 0
        job = PlanJob(scan, at_scan, base_from_sensor, now, *self._velocity, self._subgoals(now), self._forget, route_id)
        self._forget = False
        self._worker.submit(job)

    def _on_subgoal(self, message: PoseStamped) -> None:
        """Without a route, a subgoal is planned to and shown, but not driven."""
        try:
            self._subgoal = (message.header.frame_id.lstrip("/"), pose2_from_pose(message.pose))
        except BadInputError as error:
            self._warn("subgoal", str(error))
            return
        if self._route is not None:
            self._route.led_ns = self.steady_ns()

    def _subgoals(self, odom_from_base: Pose2) -> tuple[Subgoal, ...]:
        """Where to plan to, in odom; nowhere while nobody knows where masks lie."""
        try:
            if self._masks:
                self._map_from_odom = self._from_odom(self._config.mask_frame)
            if self._route is not None:
                if self._route.spin is not None:
                    return ()
                self._route.route_from_odom = self._from_odom(self._route.frame)
                return self._route.driver.subgoals(self._route.route_from_odom, odom_from_base)
            if self._subgoal is not None:
                frame, frame_from_goal = self._subgoal
                return (Subgoal(self._from_odom(frame).inverse() @ frame_from_goal),)
        except TransformUnavailableError as error:
            self._warn("tf", str(error))
        return ()

    def _from_odom(self, frame: str) -> Pose2:
        """frame_from_odom."""
        return Pose2() if frame in ("", self._odom_frame) else self._tf.lookup(frame, self._odom_frame).pose2()

    def _warn(self, name: str, text: str) -> None:
        """A warning that `_watch` takes back when it has not come again for a while."""
        self._warned[name] = self.steady_ns()
        self.report(node.WARN, name, text)

    # --- the route ----------------------------------------------------------------------------------------------------------------

    def _start(self, handle: Any) -> None:
        """Take a route; a new one ends the old one with ABORTED and error code 0, and the controller drives on."""
        self._take_odometry()
        goal = handle.request
        old, self._route = self._route, None
        if old is not None:
            self._server.finish(old.handle, Outcome.ABORTED, FollowPath.Result())
            if old.spin is not None:
                old.spin.cancel(silent=True)
        frame = goal.path.header.frame_id.lstrip("/")
        try:
            poses = poses_from_path(goal.path)
            if len(poses) == 0:
                raise BadInputError("the route is empty")
            driver = RouteDriver(self._config.driver, poses, goal.goal_checker_id != self._config.position_goal_checker)
            route_from_odom = self._from_odom(frame)
        except (BadInputError, TransformUnavailableError) as error:
            code = FollowPath.Result.INVALID_PATH if isinstance(error, BadInputError) else FollowPath.Result.TF_ERROR
            if old is not None and old.call is not None:
                old.call.cancel(silent=True)
            self._server.finish(handle, Outcome.ABORTED, FollowPath.Result(error_code=code, error_msg=str(error)))
            self.report(node.WARN, "route", f"refused ({code}): {error}")
            return
        self._routes += 1
        self._route = _Route(handle, driver, frame, route_from_odom, self._routes, call=old.call if old is not None else None)
        self.report(node.OK, "route", "driving", length_m=f"{driver.remaining_m:.1f}")

    def _on_outcome(self, outcome: PlanOutcome) -> None:
        """A plan has come back from the worker; the robot comes first, those who watch it after."""
        self._act_on(outcome)
        self._views.show(outcome.grid, self._learned.samples if self._learned is not None else None, self._odom_frame)

    def _act_on(self, outcome: PlanOutcome) -> None:
        path = outcome.path
        self._tell(outcome)
        if isinstance(path, LocalPath):
            self._rate.happened()
            self._path_publisher.publish(path_from_poses(path.poses, path.stamp_ns, self._odom_frame))
        route = self._route
        if route is None or route.spin is not None or route.stale_since_ns or path is None or outcome.job.route_id != route.id:
            return
        final = outcome.subgoal is not None and outcome.subgoal.final
        decision = route.driver.planned(seconds(self.steady_ns()), path, final, self._history.newest[1])
        self._obey(route, decision)
        if self._route is route and isinstance(path, LocalPath):
            self._publish_speed_limit(path)

    def _obey(self, route: _Route, decision: Decision) -> None:
        """Give the controller its path, let it go on, or stop it."""
        if decision.end is not None:
            code = route.code or END_CODES[decision.end]
            self._finish(Outcome.ABORTED, code, decision.why)
        elif decision.order is Order.SEND and decision.path is not None:
            self._send(route, decision.path)
        elif decision.order is Order.HOLD and route.call is not None:
            route.call.cancel(silent=True)
            route.call = None
            self.report(node.WARN, "route", f"holding: {decision.why}")

    def _send(self, route: _Route, path: LocalPath) -> None:
        """Stream the path: the controller's old goal is preempted."""
        if not self._follow.server_is_ready():
            route.driver.send_again()
            route.waiting_since_ns = route.waiting_since_ns or self.steady_ns()
            if seconds(self.steady_ns() - route.waiting_since_ns) > self._config.controller_allowance:
                self._finish(Outcome.ABORTED, FollowPath.Result.CONTROLLER_TIMED_OUT, "no controller serves /follow_path")
            return
        route.waiting_since_ns = 0
        poses = path.poses.copy()
        if route.driver.sent_final and route.driver.heed_yaw:
            poses[-1, 2] = (route.route_from_odom.inverse() @ route.driver.goal).yaw
        goal = FollowPath.Goal(
            path=path_from_poses(poses, path.stamp_ns, self._odom_frame),
            controller_id=self._config.controller_id,
            goal_checker_id=self._config.goal_checker_id,
            progress_checker_id=self._config.progress_checker_id,
        )
        # The old goal ends by preemption; its end no longer concerns anybody, since the number of the newest path has moved on.
        route.paths += 1
        number = route.paths

        def on_end(status: int, result: Any) -> None:
            self._on_follow_end(route, number, status, result)

        route.call = ActionCall(self._follow, goal, on_end, self._on_feedback)

    def _on_feedback(self, feedback: Any) -> None:
        if self._route is not None:
            remaining = float(self._route.driver.remaining_m)
            self._route.handle.publish_feedback(FollowPath.Feedback(distance_to_goal=remaining, speed=feedback.speed))

    def _on_follow_end(self, route: _Route, number: int, status: int, result: Any) -> None:
        """The controller has ended a path of ours that no newer one replaced."""
        if self._route is not route or route.paths != number:
            return
        route.call = None
        final = route.driver.sent_final
        route.driver.send_again()
        if status == GoalStatus.STATUS_SUCCEEDED:
            route.failures, route.code = 0, 0
            if final and route.driver.arrived(route.route_from_odom, self._history.newest[1]):
                self._turn_to_goal(route)
            return
        code = int(result.error_code) if result is not None else 0
        if code:
            route.failures, route.code = route.failures + 1, code
            self.report(node.WARN, "controller", f"ended a path with {code}: {result.error_msg}")
        if route.failures >= self._config.controller_failures:
            self._finish(Outcome.ABORTED, code, f"the controller failed {route.failures} times: {result.error_msg}")

    def _turn_to_goal(self, route: _Route) -> None:
        """The position is reached; turn to the heading if the route asks for one."""
        error = route.driver.yaw_error(route.route_from_odom, self._history.newest[1])
        if error == 0.0 or not self._spin.server_is_ready():
            self._finish(Outcome.SUCCEEDED, 0, "")
            return
        goal = Spin.Goal(target_yaw=error, time_allowance=Duration(sec=15))

        def on_end(status: int, result: Any) -> None:
            if self._route is not route:
                return
            if status == GoalStatus.STATUS_SUCCEEDED:
                self._finish(Outcome.SUCCEEDED, 0, "")
            else:
                text = result.error_msg if result is not None else "refused"
                self._finish(Outcome.ABORTED, FollowPath.Result.NO_VALID_CONTROL, f"at the goal, but could not turn to its heading: {text}")

        route.spin = ActionCall(self._spin, goal, on_end)

    def _finish(self, outcome: Outcome, code: int, why: str) -> None:
        """End the route and stop whatever the controller does for it."""
        route, self._route = self._route, None
        if route is None:
            return
        for call in (route.call, route.spin):
            if call is not None and not call.done:
                call.cancel(silent=True)
        self._lift_speed_limit()
        self._server.finish(route.handle, outcome, FollowPath.Result(error_code=code, error_msg=why))
        level = node.OK if outcome is not Outcome.ABORTED else node.WARN
        self.report(level, "route", f"{outcome.name.lower()}{f' ({code}): {why}' if code else ''}")

    def _watch(self) -> None:
        """Cancels, and stale inputs: a planner that gets no scan makes no decisions."""
        self._take_odometry()
        route = self._route
        now = self.steady_ns()
        scan_s, odometry_s = seconds(now - self._scan_ns), seconds(now - self._odometry_ns)
        stale = []
        if scan_s > self._config.scan_timeout:
            stale.append(f"no usable scan for {scan_s:.1f} s")
        if odometry_s > self._config.odometry_timeout:
            stale.append(f"no odometry for {odometry_s:.1f} s")
        if route is not None and route.led_ns and seconds(now - route.led_ns) > self._config.subgoal_timeout:
            stale.append(f"who gave the route has been silent for {seconds(now - route.led_ns):.1f} s")
        for name in [name for name, since in self._warned.items() if seconds(now - since) > WARNING_S]:
            del self._warned[name]
            self.report(node.OK, name, "well again")
        self.report(node.ERROR if stale else node.OK, "inputs", "; ".join(stale) or "fresh", scan_age_s=f"{scan_s:.2f}")
        if route is None:
            return
        if route.handle.is_cancel_requested:
            self._finish(Outcome.CANCELED, 0, "cancelled")
            return
        if not stale:
            route.stale_since_ns = 0
            return
        route.stale_since_ns = route.stale_since_ns or now
        if route.call is not None:
            route.call.cancel(silent=True)
            route.call = None
            route.driver.send_again()
        if seconds(now - route.stale_since_ns) > self._config.stale_allowance:
            code = FollowPath.Result.TF_ERROR if odometry_s > self._config.odometry_timeout else FollowPath.Result.NO_VALID_CONTROL
            self._finish(Outcome.ABORTED, code, "; ".join(stale))

    # --- outputs ------------------------------------------------------------------------------------------------------------------

    def _on_failure(self, error: Exception) -> None:
        """The worker failed outright; that is a fault of ours and is said so."""
        self.report(node.ERROR, "planner", f"{type(error).__name__}: {error}")

    def _tell(self, outcome: PlanOutcome) -> None:
        failed = isinstance(outcome.path, LocalPlanError)
        self.report(
            node.WARN if failed else node.OK,
            "planner",
            str(outcome.path) if failed else "planning" if outcome.path is not None else "looking",
            grid_ms=f"{1e3 * outcome.grid_s:.1f}",
            plan_ms=f"{1e3 * outcome.plan_s:.1f}",
            path_hz=f"{self._rate.hz(self.steady_ns()):.1f}",
            scan_age_ms=f"{1e3 * seconds(self.now_ns() - outcome.job.scan.stamp_ns):.0f}",
            dropped_scans=self._worker.dropped,
        )
        if isinstance(self._planner, ShieldedPlanner):
            counts = self._planner.counts
            reasons = {f"fallback_{reason}": count for reason, count in counts.reasons.items()}
            rate = f"{counts.fallback_rate:.3f}"
            self.report(node.OK, "shield", "judging", ticks=counts.ticks, fallbacks=counts.fallbacks, takeovers=counts.takeovers, fallback_rate=rate, **reasons)

    def _publish_speed_limit(self, path: LocalPath) -> None:
        """The slowest speed on the next stretch; sent when it changes noticeably."""
        ahead = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path.poses[:, :2], axis=0).T))]) <= self._config.speed_limit_ahead
        # The braking at a true goal is the controller's own business.
        limit = max(float(path.speeds_mps[ahead].min()), self._config.planner.close_speed_mps)
        if abs(limit - self._limit) > 0.03:
            self._limit = limit
            self._send_limit(limit)

    def _lift_speed_limit(self) -> None:
        if self._limit != 0.0:
            self._limit = 0.0
            self._send_limit(0.0)

    def _send_limit(self, limit_mps: float) -> None:
        message = SpeedLimit(percentage=False, speed_limit=limit_mps)
        message.header.stamp, message.header.frame_id = stamp_from_ns(self.now_ns()), self._config.base_frame
        self._limit_publisher.publish(message)


def main() -> int:
    """Run the node."""
    return node.run(AstraLocal)
