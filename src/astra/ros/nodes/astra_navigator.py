"""`astra_navigator`: goals in, motions out. The mission itself lives in `astra.navigation.mission`; this node is its ears and hands."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from astra_nav.action import NavigateToTarget
from astra_nav.msg import GoalCandidate
from astra_nav.srv import FindTarget
from geometry_msgs.msg import PoseStamped
from nav2_msgs.action import ComputePathToPose, NavigateToPose
from nav_msgs.msg import Path

from astra.core.config import require
from astra.core.errors import BadInputError, NoPathError
from astra.core.types import seconds
from astra.geometry import Pose2
from astra.navigation import mission as m
from astra.navigation.masks import MaskKind, load_mask
from astra.ros import node, params, qos
from astra.ros.actions import Outcome, TickedActionServer
from astra.ros.conversions import pose_stamped
from astra.ros.global_client import GlobalClient
from astra.ros.motions import Motions, MotionsConfig, route_path
from astra.ros.navigator_goals import PoseRequester, Report, Requester, TargetRequester, TopicRequester, duration
from astra.ros.robot_watch import RobotWatch, WatchConfig
from astra.ros.tf import TransformUnavailableError
from astra.topomap.routes import RouteConfig

DYNAMIC = ("mission.", "feedback_period_s", "subgoal_ahead_m")  # may be changed while the node runs


@dataclass(frozen=True, slots=True)
class NavigatorConfig:
    """Parameters of astra_navigator."""

    serve_navigate_to_pose: bool = field(default=True, metadata={"help": "serve nav2_msgs/NavigateToPose; false beside bt_navigator"})
    serve_compute_path: bool = field(default=True, metadata={"help": "serve nav2_msgs/ComputePathToPose; false beside planner_server"})
    subscribe_goal_pose: bool = field(default=True, metadata={"help": "take goals from RViz's goal_pose; false beside bt_navigator"})
    keepout_mask: str = field(default="", metadata={"help": "a map_server YAML, in the map's frame: routes lead around its occupied cells"})
    keepout_room: float = field(default=0.5, metadata={"help": "what a route needs beside such cells: the robot's width and some air [m]"})
    tick_hz: float = field(default=10.0, metadata={"help": "steps of the mission per second [Hz]"})
    feedback_period_s: float = field(default=0.5, metadata={"help": "between feedback messages and subgoals [s]"})
    subgoal_ahead_m: float = field(default=3.0, metadata={"help": "how far ahead on the route astra/subgoal lies [m]"})
    watch: WatchConfig = field(default_factory=WatchConfig)
    motions: MotionsConfig = field(default_factory=MotionsConfig)
    mission: m.MissionConfig = field(default_factory=m.MissionConfig)
    route: RouteConfig = field(default_factory=RouteConfig)

    def __post_init__(self) -> None:
        require(1.0 <= self.tick_hz <= 50.0, "tick_hz", self.tick_hz, "1 … 50 Hz")
        require(0.0 < self.keepout_room < 10.0, "keepout_room", self.keepout_room, "between 0 and 10 m")
        for name in ("feedback_period_s", "subgoal_ahead_m"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "> 0")


@dataclass(slots=True, eq=False)
class _Session:
    """The mission under way: who asked, for what (a search, or the pose `target`), and what was said last."""

    requester: Requester
    mission: m.Mission
    search: FindTarget.Request | None
    target: PoseStamped | None
    began_ns: int
    driven_from_m: float
    time_s: float = 0.0  # the mission's clock
    told: tuple[object, ...] = ()
    told_ns: int = 0


class AstraNavigator(node.AstraLifecycleNode):
    """One mission at a time; a newer goal preempts."""

    def __init__(self) -> None:
        super().__init__("astra_navigator")
        self._session: _Session | None = None
        self._ends: Counter[str] = Counter()  # missions by code
        self._recoveries = 0
        self._events: deque[tuple[_Session, m.Event]] = deque()
        self._handling = False
        self._timer: Any = None

    def on_setup(self) -> None:
        """Declare parameters, listen, open the doors."""
        self._config = config = params.declare_config(self, NavigatorConfig, dynamic=DYNAMIC, on_change=self._reconfigure)
        self._map_frame = config.watch.map_frame
        self._watch = RobotWatch(self, config.watch)
        self._motions = Motions(self, config.motions, self._watch.heartbeats)
        masks = [load_mask(MaskKind.KEEP_OUT, FilePath(config.keepout_mask))] if config.keepout_mask else []
        self._global = GlobalClient(self, self._watch, config.route, config.mission.search_timeout_s, masks, config.keepout_room)
        self._subgoal = self.create_publisher(PoseStamped, "astra/subgoal", qos.RELIABLE)
        self._route = self.create_publisher(Path, "astra/route", qos.LATCHED)
        self._servers: list[TickedActionServer] = []
        self._target_server = self._serve(NavigateToTarget, "navigate_to_target", self._on_target)
        if config.serve_navigate_to_pose:
            self._pose_server = self._serve(NavigateToPose, "navigate_to_pose", self._on_pose)
        if config.serve_compute_path:
            self._path_server = self._serve(ComputePathToPose, "compute_path_to_pose", self._on_compute_path)
        self._clicks: Any = None
        if config.subscribe_goal_pose:
            self._clicks = self.create_subscription(PoseStamped, "goal_pose", self._on_goal_pose, qos.RELIABLE)
        self._timer = self.create_timer(1.0 / config.tick_hz, self._tick, clock=self.steady)

    def _reconfigure(self, config: NavigatorConfig) -> None:
        """For the next mission, and for feedback at once."""
        self._config = config

    def _serve(self, action_type: Any, name: str, on_start: Any) -> TickedActionServer:
        server = TickedActionServer(self, action_type, name, on_start, lambda _: self.active)
        self._servers.append(server)
        self.own_action(name)
        return server

    def on_stop(self) -> None:
        """End the mission; the robot stops."""
        if self._session is not None:
            self._post(self._session, m.Stop(preempted=True))

    def on_teardown(self) -> None:
        """Take down what `on_setup` built."""
        if self._timer is None:
            return
        self.destroy_timer(self._timer)
        for server in self._servers:
            server.destroy()
        if self._clicks is not None:
            self.destroy_subscription(self._clicks)
        self._motions.close()
        self._global.close()
        self._watch.close()
        self.destroy_publisher(self._subgoal)
        self.destroy_publisher(self._route)
        self._servers, self._timer = [], None

    # --- doors --------------------------------------------------------------------------------------------------------------------

    def _on_target(self, handle: Any) -> None:
        """/navigate_to_target."""
        goal, requester = handle.request, TargetRequester(self._target_server, handle)
        if goal.kind == NavigateToTarget.Goal.KIND_POSE:
            self._begin_pose(requester, goal.pose)
            return
        search = FindTarget.Request(radius=goal.search_radius)
        if goal.kind == NavigateToTarget.Goal.KIND_TEXT and goal.text.strip():
            search.text = goal.text
        elif goal.kind == NavigateToTarget.Goal.KIND_IMAGE and len(goal.image.data):
            search.image, search.camera_info = goal.image, goal.camera_info
        else:
            self._refuse(requester, f"a goal of kind {goal.kind} has neither a text, nor an image, nor a pose")
            return
        if not (math.isfinite(goal.search_radius) and goal.search_radius >= 0.0):
            self._refuse(requester, f"search_radius = {goal.search_radius} is not a finite number ≥ 0")
            return
        self._begin(requester, m.Mission(self._config.mission), search, None)

    def _on_pose(self, handle: Any) -> None:
        """/navigate_to_pose."""
        self._begin_pose(PoseRequester(self._pose_server, handle), handle.request.pose)

    def _on_goal_pose(self, message: PoseStamped) -> None:
        """/goal_pose."""
        if self.active:
            self._begin_pose(TopicRequester(self.get_logger()), message)

    def _on_compute_path(self, handle: Any) -> None:
        """/compute_path_to_pose: a plan without a motion."""
        began_ns, result = self.steady_ns(), ComputePathToPose.Result()
        try:
            goal = self._watch.map_pose(handle.request.goal)
            start = self._watch.map_pose(handle.request.start) if handle.request.use_start else self._watch.pose()
            if start is None:
                raise TransformUnavailableError("the robot is not localized")
            result.path = self._path(self._global.route(start, goal).polyline, goal)
        except NoPathError as error:
            result.error_code, result.error_msg = ComputePathToPose.Result.NO_VALID_PATH, str(error)
        except TransformUnavailableError as error:
            result.error_code, result.error_msg = ComputePathToPose.Result.TF_ERROR, str(error)
        except BadInputError as error:
            result.error_code, result.error_msg = ComputePathToPose.Result.UNKNOWN, str(error)
        result.planning_time = duration(seconds(self.steady_ns() - began_ns))
        self._path_server.finish(handle, Outcome.ABORTED if result.error_code else Outcome.SUCCEEDED, result)

    def _begin_pose(self, requester: Requester, message: PoseStamped) -> None:
        try:
            target = self._watch.map_pose(message)
        except BadInputError as error:
            self._refuse(requester, str(error))
            return
        stamped = pose_stamped(target, self.now_ns(), self._map_frame)
        self._begin(requester, m.Mission(self._config.mission, target), None, stamped)

    def _begin(self, requester: Requester, mission: m.Mission, search: FindTarget.Request | None, target: PoseStamped | None) -> None:
        hurried = self._session is not None
        if self._session is not None:
            self._post(self._session, m.Stop(preempted=True))
        self.get_logger().info(f"new goal: {search.text or 'what an image shows' if search else 'a pose'}")
        session = self._session = _Session(requester, mission, search, target, self.now_ns(), self._watch.driven_m)
        if not hurried:  # one goal of many in a hurry: what the next tick finds is begun, the others cost no route
            self._post(session, self._watch.tick(session.time_s))

    def _refuse(self, requester: Requester, why: str) -> None:
        """A goal that cannot be meant ends at once; a mission under way goes on."""
        report = Report(m.Phase.FINDING_GOAL, why, None, math.nan, 0, 0.0, 0.0, 0.0)
        requester.finish(m.Finish(m.Ending.ABORTED, m.Code.BAD_GOAL, why), report)

    # --- the mission ----------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        step_s, session = self._watch.advance_s(), self._session
        if session is None:
            self._watch.keep_up()
            return
        session.time_s += step_s
        if session.requester.cancel_requested:
            self._post(session, m.Stop())
            return
        self._motions.check()
        self._global.check()
        self._post(session, self._watch.tick(session.time_s))
        if self._session is session:
            self._tell(session)

    def _post(self, session: _Session, event: m.Event) -> None:
        """Give an event to its mission and carry out what it orders; events that arise meanwhile wait their turn."""
        self._events.append((session, event))
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                owner, next_event = self._events.popleft()
                for command in owner.mission.handle(next_event):
                    self._carry_out(owner, command)
        finally:
            self._handling = False

    def _carry_out(self, session: _Session, command: m.Command) -> None:
        match command:
            case m.FetchMap():
                self._global.fetch_map(session.mission.goal, lambda event: self._post(session, event))
            case m.FindGoal(near):
                assert session.search is not None
                self._global.find(session.search, near, self._map_frame, lambda event: self._post(session, event))
            case m.PlanRoute():
                self._post(session, self._global.plan(command, self._config.mission.recovery.blocked_radius_m))
            case m.FollowRoute(polyline, goal):
                path = self._path(polyline, goal)
                self._route.publish(path)
                self._motions.follow(path, lambda how, why, code: self._post(session, m.FollowEnded(how, why, code)))
            case m.Spin(angle_rad):
                self._motions.spin(angle_rad, lambda how, why, _: self._post(session, m.BehaviorEnded(how, why)))
            case m.BackUp(distance_m):
                self._motions.back_up(distance_m, lambda how, why, _: self._post(session, m.BehaviorEnded(how, why)))
            case m.Advance(distance_m):
                self._advance(session, distance_m)
            case m.Halt():
                self._motions.halt()
            case m.Finish():
                self._finish(session, command)

    def _advance(self, session: _Session, distance_m: float) -> None:
        odom_from_base = self._watch.odom_pose()
        if odom_from_base is None:
            self._post(session, m.BehaviorEnded(m.Motion.UNAVAILABLE, "there is no odometry"))
            return
        self._motions.advance(odom_from_base, self._config.watch.odom_frame, distance_m, lambda how, why, _: self._post(session, m.BehaviorEnded(how, why)))

    def _finish(self, session: _Session, finish: m.Finish) -> None:
        report = self._report(session)
        if self._session is session:
            self._session = None
            self._global.forget()
        text = f"{finish.ending}: {finish.message}"
        self._ends[finish.code.name.lower()] += 1
        self._recoveries += session.mission.recoveries
        if finish.ending is m.Ending.SUCCEEDED:
            self.get_logger().info(text)
        else:  # rclpy wants one severity per line of code
            self.get_logger().warning(text)
        counts = {f"ended_{name}": count for name, count in self._ends.items()}
        level = node.WARN if finish.ending is m.Ending.ABORTED else node.OK
        self.report(level, "mission", text, code=finish.code.name, recoveries=self._recoveries, **counts)
        session.requester.finish(finish, report)

    def _path(self, polyline: Any, goal: Pose2) -> Path:
        return route_path(polyline, goal, self.now_ns(), self._map_frame, self._config.motions.route_step_m)

    # --- words ----------------------------------------------------------------------------------------------------------------------

    def _report(self, session: _Session) -> Report:
        mission, pose, candidates = session.mission, self._watch.pose(), self._global.candidates
        goal: GoalCandidate | None = None
        if mission.goal is not None:
            goal = candidates[0] if candidates else GoalCandidate(label="pose", score=1.0, pose=session.target or PoseStamped())
        return Report(
            mission.phase, mission.why, None if pose is None else pose_stamped(pose, self.now_ns(), self._map_frame), mission.remaining_m,
            mission.recoveries, self._watch.driven_m - session.driven_from_m, seconds(max(self.now_ns() - session.began_ns, 0)),
            self._watch.speed_mps, goal, candidates,
        )  # fmt: skip

    def _tell(self, session: _Session) -> None:
        """Feedback on every change of phase or reason, else at its period; the subgoal with it."""
        news, now = (session.mission.phase, session.mission.why), self.steady_ns()
        if news != session.told:
            self.get_logger().info(f"{news[0].name.lower()}: {news[1]}")
        elif seconds(now - session.told_ns) < self._config.feedback_period_s:
            return
        session.told, session.told_ns = news, now
        session.requester.feedback(self._report(session))
        subgoal = session.mission.subgoal(self._config.subgoal_ahead_m)
        if subgoal is not None:
            self._subgoal.publish(pose_stamped(subgoal, self.now_ns(), self._map_frame))


def main() -> int:
    """Entry point of the executable."""
    return node.run(AstraNavigator)
