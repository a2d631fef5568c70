"""Astra-Global as a node: "Where am I?" at a low rate, map→odom at a high one, "Where am I going?" on request."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from astra_nav.msg import Localization
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid
from visualization_msgs.msg import MarkerArray

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, seconds
from astra.fusion.relocalization import Estimate, FixOutcome, FixReport, OdometryPoint, TrackState
from astra.fusion.smoothing import JumpSmoother
from astra.geometry import CameraRig, Pose2, Pose3, RigCamera
from astra.global_model.looking import Look
from astra.global_model.types import LocalizationResult, Query, Status
from astra.navigation.whereabouts import Verdict, Whereabouts, look_pose
from astra.ros import params, qos
from astra.ros.conversions import pose_stamped
from astra.ros.deferred import SerialWorker
from astra.ros.global_engine import Engine, GlobalNodeConfig
from astra.ros.global_inputs import GlobalInputs, RawView
from astra.ros.global_messages import (
    estimate_from_pose_message,
    graph_markers,
    hypothesis_markers,
    localization_message,
    occupancy_message,
    pose_message,
)
from astra.ros.global_services import GlobalServices
from astra.ros.node import ERROR, OK, WARN, AstraLifecycleNode, run
from astra.ros.quiet import Rate
from astra.ros.tf import TfBroadcaster

CHECK_PERIOD_S = 0.1
STANDSTILL_M, STANDSTILL_RAD = 0.02, 0.03
DYNAMIC = ("lost_period_s", "tracking_period_s", "standing_period_s", "max_cpu_share", "max_lost_cpu_share")  # may be changed while the node runs
AT_ONCE = -(10**18)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a localization starts from. `odometry` at the images' stamp; `sure`: the robot knows where it is; `free_m`: see `most_telling`."""

    stamp_ns: int
    raw: tuple[RawView, ...]
    odometry: OdometryPoint | None
    sure: bool
    near: Pose2 | None
    free_m: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A localization, what the hypotheses say to it, the look that would tell most, and the processor time it took."""

    result: LocalizationResult
    cpu_s: float
    verdict: Verdict | None = None
    look: Look | None = None


class AstraGlobal(AstraLifecycleNode):
    """Callbacks convert in, hand to the worker or to the estimator, and convert out."""

    worker: SerialWorker
    inputs: GlobalInputs

    def __init__(self) -> None:
        super().__init__("astra_global")
        self._clocks: list[Any] = []
        self._is_set_up = False

    # --- lifecycle ------------------------------------------------------------------------------------------------------------------

    def on_setup(self) -> None:
        """Declare parameters, load the map, create everything."""
        self.config = config = params.declare_config(self, GlobalNodeConfig, dynamic=DYNAMIC, on_change=self._reconfigure)
        step_back(config.niceness)
        self.engine: Engine | None = Engine.load(Path(config.map), config) if config.map else None
        self.roots = [Path(root).resolve() for root in config.map_roots] or ([Path(config.map).resolve().parent] if config.map else [])
        self._belief = Whereabouts(config.whereabouts, config.relocalization)
        self._estimator = self._belief.estimator
        self._smoother, self._shown_ns = JumpSmoother(config.smoothing), 0
        self._verdict: Verdict | None = None
        self._pending, self._started_ns, self._cpu_s = False, AT_ONCE, 0.0
        self._last_fix: OdometryPoint | None = None
        self._last_status = Status.LOST
        self._counts: Counter[str] = Counter()
        self._rate = Rate()
        self._turn = 0  # of the cameras that confirm
        self._localizations = self.create_publisher(Localization, "astra/localization", qos.RELIABLE)
        self._poses = self.create_publisher(PoseWithCovarianceStamped, "astra/pose", qos.RELIABLE)
        self._looks = self.create_publisher(PoseStamped, "astra/look", qos.RELIABLE)
        self._hypotheses = self.create_publisher(MarkerArray, "astra/hypotheses", qos.LATCHED)
        self._markers = self.create_publisher(MarkerArray, "astra/graph_markers", qos.LATCHED)
        self._maps = self.create_publisher(OccupancyGrid, "map", qos.LATCHED) if config.publish_map else None
        for topic in ("astra/localization", "astra/pose", *(["map"] if config.publish_map else [])):
            self.own_topic(topic)
        self._tf = TfBroadcaster(self)
        self.worker = SerialWorker(self)
        self.inputs = GlobalInputs(self, config.inputs, self._forget, self._odometry_restarted, scan=config.scan)
        self._guesses = self.create_subscription(PoseWithCovarianceStamped, "initialpose", self._on_guess, qos.RELIABLE)
        self._requests = GlobalServices(self, self)
        self._is_set_up = True
        self._show_map()

    def _reconfigure(self, config: GlobalNodeConfig) -> None:
        """How often to localize, from now on."""
        self.config = config

    def on_start(self) -> None:
        """Begin to localize and to publish."""
        self._clocks = [
            self.create_timer(CHECK_PERIOD_S, self._tick, clock=self.steady),
            self.create_timer(1.0 / self.config.pose_rate_hz, self._publish_pose),
        ]
        if self.config.publish_tf:
            self._clocks.append(self.create_timer(1.0 / self.config.tf_rate_hz, self._publish_transform))

    def on_stop(self) -> None:
        """Cease to localize and to publish."""
        for timer in self._clocks:
            self.destroy_timer(timer)
        self._clocks = []

    def on_teardown(self) -> None:
        """Free everything."""
        if not self._is_set_up:
            return
        self._is_set_up = False
        self.worker.close()
        self._requests.close()
        self.inputs.close()
        self.destroy_subscription(self._guesses)
        for publisher in (self._localizations, self._poses, self._looks, self._hypotheses, self._markers, self._maps):
            if publisher is not None:
                self.destroy_publisher(publisher)
        self.engine = None

    # --- where am I? ----------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Watch the inputs and start a localization when one is due."""
        self.inputs.check()
        if self.inputs.track.newest is not None:
            self._estimator.advance(self.inputs.track.newest)
        self._report()
        if self.engine is None or self._pending or 0 <= self.now_ns() - self._started_ns < self._period_s() * 1e9:
            return
        self.localize_now(lambda result: None, lambda error: None)

    def _period_s(self) -> float:
        """2 Hz while lost or in doubt, 1 Hz once localized, half of that at standstill, and never beyond the share of the processor."""
        config = self.config
        if not self._belief.is_sure:
            return max(config.lost_period_s, self._cpu_s / config.max_lost_cpu_share)
        now, then = self.inputs.track.newest, self._last_fix
        stands = False
        if now is not None and then is not None:
            stands = now.driven_m - then.driven_m < STANDSTILL_M and now.turned_rad - then.turned_rad < STANDSTILL_RAD
        return max(config.standing_period_s if stands else config.tracking_period_s, self._cpu_s / config.max_cpu_share)

    def localize_now(self, on_done: Callable[[LocalizationResult], None], on_failed: Callable[[Exception], None]) -> bool | None:
        """Queue a localization of the newest images; its fix is fused, its outcome published. None: no images; False: too much waits."""
        found = self.inputs.raw_views() if self.active else None
        engine = self.engine
        if found is None or engine is None:
            return None
        stamp_ns, raw = found
        sure = self._belief.is_sure
        odometry = self.inputs.track.at(stamp_ns)
        free_m = None if sure else self.inputs.free_ways(self.config.whereabouts.looking.turns, self.config.half_width_m)
        task = Task(stamp_ns, raw, odometry, sure, self._believed_at(odometry), free_m)
        self._started_ns = self.now_ns()

        def done(answer: Answer) -> None:
            self._pending = False
            blend = 0.3 if self._cpu_s and sure else 1.0
            self._cpu_s += blend * (answer.cpu_s - self._cpu_s)
            if engine is self.engine:  # else the map was replaced meanwhile
                self._take(answer)
            on_done(answer.result)

        def failed(error: Exception) -> None:
            self._pending = False
            self._counts["localizations failed"] += 1
            self.report(ERROR, "localizer", f"{type(error).__name__}: {error}")
            on_failed(error)

        self._pending = self.worker.submit(lambda: self._localize(engine, task), done, failed)
        return self._pending

    def _localize(self, engine: Engine, task: Task) -> Answer:
        """On the worker's thread, which owns the hypotheses."""
        started = time.thread_time()
        views = self.inputs.decode(task.raw)
        query = Query(task.stamp_ns, views, task.near, self.config.near_radius_m, on_floor=True)
        if task.sure or task.odometry is None:
            return Answer(self._confirm(engine, query), time.thread_time() - started)
        lone = self._belief.lone_suspect(task.odometry)
        result = engine.localizer.confirm(replace(query, near=lone)) if lone is not None else None
        if result is None:
            result = engine.localizer.localize(replace(query, thorough=True, suspects=self._belief.suspects(task.odometry)))
        rig = CameraRig(tuple(RigCamera(view.camera, view.model, view.base_from_cam) for view in views))
        verdict = self._belief.consider(result, task.odometry, rig, engine.localizer.likeness)
        look = None
        if verdict.winner is None:
            look = self._belief.next_look(engine.loaded, rig, task.free_m)
        return Answer(result, time.thread_time() - started, verdict, look)

    def _confirm(self, engine: Engine, query: Query) -> LocalizationResult:
        """Every other camera is enough to confirm what is known, in turns; where it is not, all are asked."""
        if query.near is not None and len(query.views) >= 2 * self.config.confirm_cameras:
            self._turn += 1
            step = len(query.views) // self.config.confirm_cameras
            some = replace(query, views=query.views[self._turn % step :: step])
            hinted = engine.localizer.confirm(some)
            if hinted is not None:
                return hinted
        return engine.localizer.localize(query)

    def _take(self, answer: Answer) -> None:
        """Publish a localization, fuse what it is worth, and say what to look at if that is not enough."""
        result, verdict = answer.result, answer.verdict
        self.report(OK, "localizer", result.reason, cpu_s=f"{self._cpu_s:.2f}", period_s=f"{self._period_s():.1f}",
                    latency_s=f"{seconds(self.now_ns() - result.stamp_ns):.2f}")  # fmt: skip
        self._rate.happened()
        self._counts[f"said {result.status.value}"] += 1
        self._last_status = result.status
        self._localizations.publish(localization_message(result, self.config.map_frame))
        odometry = self.inputs.track.at(result.stamp_ns)
        if odometry is None:
            self._counts["no odometry at the image's stamp"] += 1
            return
        report = self._belief.settle(result, odometry, verdict)
        if report is not None:
            self._counts[report.outcome.value] += 1
            self._log(report)
            if report.outcome.is_used:
                self._last_fix, verdict = odometry, None
                if report.outcome is not FixOutcome.ACCEPTED:
                    self._cpu_s = 0.0  # from here on a question costs less
                self._publish_transform()
        if answer.look is not None and not self._belief.is_sure:
            view = look_pose(odometry.odom_from_base, answer.look)
            self._looks.publish(pose_stamped(view, result.stamp_ns, self.config.odom_frame))
        if verdict is not None or self._verdict is not None:
            self._hypotheses.publish(hypothesis_markers(verdict, self.config.map_frame))
        self._verdict = verdict

    def _log(self, report: FixReport) -> None:
        jump = f"{report.jump_m:.2f} m, {math.degrees(report.jump_rad):.1f}°"
        if report.outcome is FixOutcome.KIDNAPPED:
            self.get_logger().warning(f"the robot was carried away, or was never where it believed to be: jumped by {jump}")
        elif report.outcome in (FixOutcome.STARTED, FixOutcome.RECOVERED, FixOutcome.CONFIRMED):
            self.get_logger().info(f"localization {report.outcome.value}, jump {jump}")
        elif report.outcome is FixOutcome.OUTLIER:
            self.get_logger().info(f"a fix contradicts the estimate (χ² {report.chi_squared:.0f}); waiting for others")

    def _believed_at(self, odometry: OdometryPoint | None) -> Pose2 | None:
        if odometry is None or self._estimator.state is TrackState.LOST or self._belief.contradictions > 0:
            return None
        estimate = self._estimator.estimate_at(odometry)
        return None if estimate is None else estimate.map_from_base

    def _on_guess(self, message: Any) -> None:
        """RViz's "2D Pose Estimate": published at once, believed only when a fix agrees."""
        newest = self.inputs.track.newest
        try:
            if message.header.frame_id.lstrip("/") != self.config.map_frame:
                raise BadInputError(f"frame is {message.header.frame_id!r}, not {self.config.map_frame!r}")
            estimate = estimate_from_pose_message(message, self.config.prior_sigma_m, self.config.prior_sigma_rad)
            if newest is None:
                raise BadInputError("there is no odometry yet")
        except BadInputError as error:
            self._counts["initial poses refused"] += 1
            self.get_logger().warning(f"initial pose refused: {error}")
            return
        self._belief.set_prior(estimate, newest)
        self._started_ns = AT_ONCE

    def _forget(self) -> None:
        self._belief.reset()
        self._smoother.reset()
        self._last_fix, self._started_ns = None, AT_ONCE

    def _odometry_restarted(self, before: OdometryPoint, after: OdometryPoint) -> None:
        """Odometry began anew elsewhere: where the robot was a moment ago is a guess that a fix shall confirm."""
        estimate = self._estimator.estimate_at(before) if self._estimator.state is not TrackState.LOST else None
        self._forget()
        self.get_logger().warning("odometry restarted elsewhere")
        if estimate is not None:
            spread = estimate.covariance.copy()
            for i, sigma in enumerate((self.config.prior_sigma_m, self.config.prior_sigma_m, self.config.prior_sigma_rad)):
                spread[i, i] += sigma**2
            self._belief.set_prior(Estimate(estimate.map_from_base, spread), after)

    def adopt(self, engine: Engine) -> None:
        """Replace the loaded map; where the robot is on it has to be found anew."""
        self.engine = engine
        self._forget()
        self._show_map()

    # --- what goes out --------------------------------------------------------------------------------------------------------------

    def _publish_transform(self) -> None:
        map_from_odom = self._estimator.map_from_odom
        newest = self.inputs.track.newest
        if map_from_odom is None or newest is None or not self.active or not self.config.publish_tf or self._estimator.state is TrackState.LOST:
            self._smoother.reset()
            return
        now_ns = self.now_ns()
        map_from_odom = self._smoother.follow(map_from_odom, newest.odom_from_base, seconds(now_ns - self._shown_ns))
        self._shown_ns = now_ns
        stamp_ns = now_ns + round(self.config.transform_tolerance_s * 1e9)
        self._tf.send(self.config.map_frame, self.config.odom_frame, Pose3.from_pose2(map_from_odom), stamp_ns)

    def _publish_pose(self) -> None:
        newest = self.inputs.track.newest
        estimate = None if newest is None or self._estimator.state is TrackState.LOST else self._estimator.estimate_at(newest)
        if newest is not None and estimate is not None:
            self._poses.publish(pose_message(estimate, newest.stamp_ns, self.config.map_frame))

    def _show_map(self) -> None:
        """Publish what is latched: the graph's markers and the occupancy."""
        if self.engine is None:
            self.report(WARN, "map", "no map loaded", roots=", ".join(map(str, self.roots)))
            return
        topomap = self.engine.loaded.map
        self.report(OK, "map", topomap.info.name, nodes=len(topomap.nodes), landmarks=len(topomap.landmarks), folder=self.engine.folder)
        self._markers.publish(graph_markers(topomap, self.config.map_frame))
        try:
            occupancy = occupancy_message(self.engine.folder, self.config.map_frame, self.now_ns())
        except BadInputError as error:
            self.report(WARN, "occupancy", str(error))
            return
        self.report(OK, "occupancy", "none in the map" if occupancy is None else "published")
        if occupancy is not None and self._maps is not None:
            self._maps.publish(occupancy)

    def _report(self) -> None:
        state, newest = self._estimator.state, self.inputs.track.newest
        estimate = None if newest is None else self._estimator.estimate_at(newest)
        sigma = "" if estimate is None else f"{estimate.position_sigma_m:.3f}"
        doubts, verdict = self._belief.contradictions, self._verdict
        text = f"{state.value}, {doubts} fixes disagree" if doubts else state.value
        if verdict is not None and verdict.is_ambiguous:
            text = f"{text}, {len(verdict.hypotheses)} places fit"
        counts = {name.replace(" ", "_"): count for name, count in self._counts.items()}
        rate = f"{self._rate.hz(self.steady_ns()):.2f}"
        self.report(OK if state is TrackState.TRACKING else WARN, "localization", text, sigma_m=sigma, newest=self._last_status.value, rate_hz=rate, **counts)


def step_back(niceness: int) -> None:
    """Let others go first on a busy machine: this thread, and those it starts from here on, which do the work; DDS keeps its pace."""
    with contextlib.suppress(OSError):  # nicer already, and not allowed back
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def main() -> int:
    """Run the node."""
    return run(AstraGlobal)
