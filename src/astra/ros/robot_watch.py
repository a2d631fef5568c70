"""What the navigator knows of the robot: where it is, how well it knows, what has gone silent, how time passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astra_nav.msg import Localization
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import LaserScan, nanoseconds, seconds
from astra.geometry import Pose2
from astra.navigation.free_space import free_ways
from astra.navigation.mission import Fix, Tick
from astra.navigation.recovery import widest_gap
from astra.ros import qos
from astra.ros.conversions import ns_from_stamp, pose2_from_pose, scan_from_msg
from astra.ros.node import OK, WARN, AstraLifecycleNode
from astra.ros.polled import PolledSubscription
from astra.ros.tf import TfBuffer, TransformUnavailableError
from astra.ros.watch import Freshness, Heartbeats


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """Frames, and the ages (steady time) at which an input counts as silent."""

    map_frame: str = field(default="map", metadata={"help": "fixed frame of the map"})
    odom_frame: str = field(default="odom", metadata={"help": "frame of the odometry"})
    base_frame: str = field(default="base_link", metadata={"help": "frame of the robot"})
    localizer: str = field(default="astra_global", metadata={"help": "node whose heartbeat stands for map→odom"})
    half_width_m: float = field(default=0.30, metadata={"help": "of the robot with a margin, for moves without a map [m]"})
    look_limit_s: float = field(default=8.0, metadata={"help": "age at which the localizer's wish to look from elsewhere is forgotten [s]"})
    scan: bool = field(default=True, metadata={"help": "stand while the lidar is silent; false for robots without one"})
    stale_limit_s: float = field(default=2.0, metadata={"help": "age at which odometry or scan count as stale [s]"})
    map_odom_limit_s: float = field(default=2.0, metadata={"help": "age at which map→odom counts as no longer kept up [s]"})
    heartbeat_limit_s: float = field(default=5.0, metadata={"help": "silence after which a node counts as dead; they report once a second [s]"})

    def __post_init__(self) -> None:
        for name in ("stale_limit_s", "map_odom_limit_s", "heartbeat_limit_s", "half_width_m", "look_limit_s"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "> 0")


class RobotWatch:
    """Listens to odometry, scan, transforms and heartbeats; `tick` sums them up for the mission."""

    def __init__(self, node: AstraLifecycleNode, config: WatchConfig) -> None:
        self._node, self._config = node, config
        self._tf = TfBuffer(node, polled=True)
        self.heartbeats = Heartbeats(node, config.heartbeat_limit_s)
        self._odom_seen, self._scan_seen = Freshness(config.stale_limit_s), Freshness(config.stale_limit_s)
        self._map_odom_seen, self._map_odom_ns = Freshness(config.map_odom_limit_s), 0
        self._scan: LaserScan | None = None
        self._odom: tuple[float, float] | None = None
        self._troubles: set[str] = set()
        self.driven_m = 0.0
        self.speed_mps = 0.0
        self._clock_ns, self._steady_ns = node.now_ns(), node.steady_ns()
        # Read at each tick of the mission: they arrive far more often than it decides.
        self._odometry = PolledSubscription(node, Odometry, "odom", qos.SENSOR)
        self._scans = PolledSubscription(node, LaserScanMsg, "scan", qos.SENSOR) if config.scan else None
        self._look: Pose2 | None = None  # in odom
        self._look_seen = Freshness(config.look_limit_s)
        self._answered_ns: int | None = None  # stamp of the images that the localizer judged last
        self._heard = [
            node.create_subscription(PoseStamped, "astra/look", self._on_look, qos.RELIABLE),
            node.create_subscription(Localization, "astra/localization", self._on_localization, qos.RELIABLE),
        ]

    def close(self) -> None:
        """Stop listening."""
        self._tf.destroy()
        self.heartbeats.destroy()
        self._odometry.destroy()
        for subscription in self._heard:
            self._node.destroy_subscription(subscription)
        if self._scans is not None:
            self._scans.destroy()

    def tick(self, mission_s: float) -> Tick:
        """The state of affairs at `mission_s` on the mission's clock."""
        fix, steady = self.keep_up(), self._node.steady_ns()
        watched = [("odometry", self._odom_seen)] + ([("scan", self._scan_seen)] if self._config.scan else [])
        stale = tuple(name for name, seen in watched if not seen.is_fresh(steady))
        alive = self.heartbeats.is_active(self._config.localizer)
        if fix is Fix.GOOD:
            return Tick(mission_s, self.pose(), fix, alive, stale, self._gap(), self.driven_m)
        return Tick(mission_s, self.pose(), fix, alive, stale, self._gap(), self.driven_m, self._wish(), self._room_ahead_m(), self._answered_s())

    def keep_up(self) -> Fix:
        """Read what has arrived; to be called regularly, since ages count from when something was read."""
        for odometry in self._odometry.drain():
            self._on_odometry(odometry)
        for scan in self._scans.drain()[-1:] if self._scans is not None else ():
            self._on_scan(scan)
        return self._fix()

    def advance_s(self) -> float:
        """Time since the last call for the mission's clock [s].

        It follows ROS time, so that a slow simulation loses nothing. Where that stands still and the odometry is silent, steady time
        counts instead: a mission must end even if the simulator died.
        """
        clock_ns, steady_ns = self._node.now_ns(), self._node.steady_ns()
        step_s, steady_s = seconds(clock_ns - self._clock_ns), seconds(steady_ns - self._steady_ns)
        self._clock_ns, self._steady_ns = clock_ns, steady_ns
        if step_s < -0.5:
            self._node.report(WARN, "clock", f"jumped back by {-step_s:.2f} s; transforms are forgotten")
            self._tf.clear()
        if step_s <= 0.0 and not self._odom_seen.is_fresh(steady_ns):
            step_s = steady_s
        return min(max(step_s, 0.0), 1.0)

    def pose(self) -> Pose2 | None:
        """map_from_base by the newest of both transforms: an old map→odom is carried on by odometry. None if one is missing."""
        config = self._config
        try:
            map_from_odom = self._tf.lookup(config.map_frame, config.odom_frame)
            return (map_from_odom @ self._tf.lookup(config.odom_frame, config.base_frame)).pose2()
        except TransformUnavailableError:
            return None

    def odom_pose(self) -> Pose2 | None:
        """odom_from_base; None if it is missing."""
        try:
            return self._tf.lookup(self._config.odom_frame, self._config.base_frame).pose2()
        except TransformUnavailableError:
            return None

    def map_pose(self, message: Any) -> Pose2:
        """A geometry_msgs/PoseStamped of any known frame, in the map frame; an empty frame means the map.

        Raises:
            BadInputError: not finite, or a frame that is not connected to the map.
        """
        pose, frame = pose2_from_pose(message.pose), message.header.frame_id
        if frame in ("", self._config.map_frame):
            return pose
        try:
            return self._tf.lookup(self._config.map_frame, frame).pose2() @ pose
        except TransformUnavailableError as error:
            raise BadInputError(f"a pose in frame {frame!r} cannot be placed on the map: {error}") from error

    def _fix(self) -> Fix:
        """GOOD while map→odom is kept up. Where it is not: a localizer that goes on reporting has withdrawn it, a silent one has died."""
        newest, steady = self._tf.newest_ns(self._config.map_frame, self._config.odom_frame), self._node.steady_ns()
        if newest is None:
            return Fix.LOST
        if newest != self._map_odom_ns:
            self._map_odom_ns = newest
            self._map_odom_seen.arrived(steady)
        if self._map_odom_seen.is_fresh(steady):
            return Fix.GOOD
        kept_ns, heard_ns = self._map_odom_seen.arrived_ns or 0, self.heartbeats.heard_ns(self._config.localizer)
        withdrawn = heard_ns is not None and heard_ns - kept_ns > nanoseconds(0.5 * self._config.map_odom_limit_s)
        return Fix.LOST if withdrawn else Fix.AGEING

    def _gap(self) -> float | None:
        if self._scan is None or not self._scan_seen.is_fresh(self._node.steady_ns()):
            return None
        try:
            base_from_lidar = self._tf.lookup(self._config.base_frame, self._scan.frame).pose2()
        except TransformUnavailableError:
            base_from_lidar = Pose2()
        return widest_gap(self._scan, base_from_lidar.yaw)

    def _wish(self) -> Pose2 | None:
        """From where the localizer would like to look, in base_link."""
        odom_from_base = self.odom_pose()
        if self._look is None or odom_from_base is None or not self._look_seen.is_fresh(self._node.steady_ns()):
            return None
        return odom_from_base.inverse() @ self._look

    def _room_ahead_m(self) -> float:
        """How far the robot may drive straight on; nothing without a fresh scan."""
        if self._scan is None or not self._scan_seen.is_fresh(self._node.steady_ns()):
            return 0.0
        try:
            base_from_lidar = self._tf.lookup(self._config.base_frame, self._scan.frame).pose2()
        except TransformUnavailableError:
            return 0.0
        width = self._config.half_width_m
        return float(free_ways(self._scan, base_from_lidar, np.zeros(1), width, width)[0])

    def _answered_s(self) -> float:
        """How old what the localizer judged last is [s]; 0 where it never tells."""
        return 0.0 if self._answered_ns is None else seconds(self._node.now_ns() - self._answered_ns)

    def _on_localization(self, message: Localization) -> None:
        self._answered_ns = ns_from_stamp(message.header.stamp)

    def _on_look(self, message: PoseStamped) -> None:
        try:
            look = pose2_from_pose(message.pose)
            if message.header.frame_id.lstrip("/") != self._config.odom_frame:
                raise BadInputError(f"a look in frame {message.header.frame_id!r} instead of {self._config.odom_frame!r}")
        except BadInputError as error:
            self._trouble("look", str(error))
            return
        self._well("look")
        self._look = look
        self._look_seen.arrived(self._node.steady_ns())

    def _on_odometry(self, message: Odometry) -> None:
        x, y = message.pose.pose.position.x, message.pose.pose.position.y
        if not (math.isfinite(x) and math.isfinite(y)):
            self._trouble("odometry", "a pose that is not finite was ignored")
            return
        self._well("odometry")
        if self._odom is not None:
            step_m = math.hypot(x - self._odom[0], y - self._odom[1])
            self.driven_m += step_m if step_m < 1.0 else 0.0  # a reset is no way driven
        self._odom, self.speed_mps = (x, y), abs(message.twist.twist.linear.x)
        self._odom_seen.arrived(self._node.steady_ns())

    def _on_scan(self, message: LaserScanMsg) -> None:
        try:
            self._scan = scan_from_msg(message)
        except BadInputError as error:
            self._trouble("scan", str(error))
            return
        self._well("scan")
        self._scan_seen.arrived(self._node.steady_ns())

    def _trouble(self, name: str, text: str) -> None:
        self._troubles.add(name)
        self._node.report(WARN, name, text)

    def _well(self, name: str) -> None:
        if name in self._troubles:
            self._troubles.remove(name)
            self._node.report(OK, name, "well again")
