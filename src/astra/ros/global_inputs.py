"""What astra_global listens to: images, calibrations, transforms and odometry, judged before anything uses them."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sensor_msgs.msg import LaserScan as LaserScanMsg

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import FloatArray, seconds
from astra.fusion.relocalization import OdometryPoint, OdometryTrack
from astra.geometry import CameraModel, Pose3, wrap_angle
from astra.global_model.types import QueryView
from astra.navigation.free_space import free_ways
from astra.ros import qos
from astra.ros.camera_sync import CameraSync, CameraSyncConfig, ImageRefusal
from astra.ros.conversions import frame_from_image, model_from_camera_info, ns_from_stamp, pose2_from_pose, scan_from_msg
from astra.ros.node import ERROR, OK, WARN, AstraLifecycleNode
from astra.ros.polled import PolledSubscription
from astra.ros.tf import TfBuffer, TransformUnavailableError

ODOMETRY_DEPTH = 50  # messages: a second of it
IMAGE_DEPTH = 3  # of each camera: enough to find a set of one moment


@dataclass(frozen=True, slots=True)
class InputsConfig:
    """Cameras, frames and the limits beyond which an input is not used."""

    camera_names: tuple[str, ...] = field(
        default=("front", "left", "back", "right"), metadata={"help": "cameras; topics are <name>/image_raw and <name>/camera_info"}
    )
    compressed: bool = field(default=False, metadata={"help": "subscribe <name>/image_raw/compressed instead of <name>/image_raw"})
    base_frame: str = field(default="base_link", metadata={"help": "the robot's frame, on the floor"})
    odometry_timeout_s: float = field(default=0.5, metadata={"help": "odometry silent for longer is stale [s]"})
    camera_check_s: float = field(default=1.0, metadata={"help": "between looks at the cameras while nothing needs their images [s]"})
    clock_jump_s: float = field(default=0.5, metadata={"help": "a clock going back by more empties all buffers [s]"})
    restart_m: float = field(default=0.5, metadata={"help": "odometry that leaps by more beyond what a robot can drive has restarted [m]"})
    restart_speed_mps: float = field(default=3.0, metadata={"help": "what a robot can drive [m/s]"})
    sync: CameraSyncConfig = field(default_factory=CameraSyncConfig)

    def __post_init__(self) -> None:
        require(len(self.camera_names) > 0, "camera_names", self.camera_names, "at least one name")
        for name in ("odometry_timeout_s", "camera_check_s", "clock_jump_s", "restart_m", "restart_speed_mps"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")


@dataclass(frozen=True, slots=True, eq=False)
class RawView:
    """An image as it came, with its calibration; decoded where there is time for it."""

    camera: str
    message: Any
    model: CameraModel
    base_from_cam: Pose3


class GlobalInputs:
    """Subscriptions and buffers.

    Args:
        node: the node, for subscriptions and diagnostics.
        config: names and limits.
        on_jump: called after the clock went back and everything was forgotten.
        on_restart: called with the last point before and the first after odometry restarted elsewhere.
        scan: whether there is a lidar to read.
    """

    def __init__(
        self,
        node: AstraLifecycleNode,
        config: InputsConfig,
        on_jump: Callable[[], None],
        on_restart: Callable[[OdometryPoint, OdometryPoint], None],
        *,
        scan: bool = False,
    ) -> None:
        self._node, self.config = node, config
        self._on_jump, self._on_restart = on_jump, on_restart
        self.sync = CameraSync(config.camera_names, config.sync)
        self.track = OdometryTrack()
        self.tf = TfBuffer(node, static_only=True)
        self.counts: Counter[str] = Counter()
        self._models: dict[str, CameraModel] = {}
        self._bad_info: dict[str, str] = {}
        self._info_subscriptions: dict[str, Any] = {}
        self._bad_image: dict[str, str] = {}
        self._unplaced: set[str] = set()  # cameras whose last image had no transform
        self._newest_clock_ns = 0
        self._jumps = self._restarts = self._broken = 0
        self._cameras_ns = -(10**18)
        # Read when they are needed: images and odometry arrive far more often.
        self._odometries = PolledSubscription(node, Odometry, "odom", qos.sensor(ODOMETRY_DEPTH))
        self._scans = PolledSubscription(node, LaserScanMsg, "scan", qos.sensor(1)) if scan else None
        kind, suffix = (CompressedImage, "image_raw/compressed") if config.compressed else (Image, "image_raw")
        self._images = {name: PolledSubscription(node, kind, f"{name}/{suffix}", qos.sensor(IMAGE_DEPTH)) for name in config.camera_names}
        for name in config.camera_names:
            self._ask_for_info(name)

    def close(self) -> None:
        """End all subscriptions."""
        for polled in [self._odometries, *self._images.values(), *([self._scans] if self._scans is not None else [])]:
            polled.destroy()
        for subscription in self._info_subscriptions.values():
            self._node.destroy_subscription(subscription)

    def forget(self) -> None:
        """Empty all buffers; where the cameras sit on the robot stays known."""
        self.sync.clear()
        self.track.clear()

    def raw_views(self) -> tuple[int, tuple[RawView, ...]] | None:
        """The newest usable images of one moment with their stamp, or None; what is missing stands in the diagnostics."""
        self.read_odometry()
        self._read_images()
        now_ns = self._node.now_ns()
        found = self.sync.newest(now_ns)
        if found is None:
            return None
        views = []
        for name, message in found.messages.items():
            model = self._models.get(name)
            if model is None:
                self.counts["images without camera_info"] += 1
                continue
            base_from_cam = self.base_from_frame(message.header.frame_id)
            if base_from_cam is None:
                self.counts["images without transform"] += 1
                self._unplaced.add(name)
                continue
            self._unplaced.discard(name)
            views.append(RawView(name, message, model, base_from_cam))
        return (found.stamp_ns, tuple(views)) if len(views) >= self.config.sync.min_cameras else None

    def free_ways(self, directions: int, half_width_m: float) -> FloatArray | None:
        """How far the robot may drive in each of so many directions, the first straight ahead, counter-clockwise [m]; None without a fresh scan."""
        messages = self._scans.drain() if self._scans is not None else []
        if not messages or abs(seconds(self._node.now_ns() - ns_from_stamp(messages[-1].header.stamp))) > self.config.sync.max_age_s:
            return None
        try:
            scan = scan_from_msg(messages[-1])
        except BadInputError:
            return None
        base_from_lidar = self.base_from_frame(scan.frame)
        if base_from_lidar is None:
            return None
        headings = 2.0 * math.pi * np.arange(directions) / directions
        return free_ways(scan, base_from_lidar.pose2(), headings, half_width_m, half_width_m)

    def base_from_frame(self, frame_id: str) -> Pose3 | None:
        """base_from_cam by the image's frame; None if no transform is known."""
        try:
            return self.tf.lookup(self.config.base_frame, frame_id.lstrip("/"))
        except TransformUnavailableError:
            return None

    def decode(self, raw: tuple[RawView, ...]) -> tuple[QueryView, ...]:
        """Decode images, leaving out those that cannot be; thread-safe.

        Raises:
            BadInputError: none is left; says what was wrong with the last.
        """
        views, why = [], "no images"
        for view in raw:
            try:
                frame = frame_from_image(view.message, view.camera)
                views.append(QueryView(view.camera, frame.rgb, view.model, view.base_from_cam))
            except BadInputError as error:
                why = str(error)
                self._bad_image[view.camera] = why
                self.counts["images of no use"] += 1
            else:
                self._bad_image.pop(view.camera, None)
        if len(views) < self.config.sync.min_cameras:
            raise BadInputError(why)
        return tuple(views)

    def check(self) -> None:
        """Read odometry, look at clocks and silences, and put what is wrong into the diagnostics; called by a timer."""
        self.read_odometry()
        now_ns = self._node.now_ns()
        for name in tuple(self._bad_image):
            self._ask_for_info(name)
        if now_ns < self._newest_clock_ns - round(self.config.clock_jump_s * 1e9):
            self._jump(f"ROS time went back by {seconds(self._newest_clock_ns - now_ns):.2f} s")
        self._newest_clock_ns = now_ns
        steady_ns = self._node.steady_ns()
        if seconds(steady_ns - self._cameras_ns) >= self.config.camera_check_s:
            self._cameras_ns = steady_ns
            self._read_images()
            self._report_cameras(now_ns)
        newest = self.track.newest
        stale = newest is None or seconds(now_ns - newest.stamp_ns) > self.config.odometry_timeout_s
        text = "no odometry" if newest is None else "stale" if stale else "ok"
        level = WARN if stale else OK
        self._node.report(level, "odometry", text, not_finite=self._broken, jumps_back=self._jumps, restarts=self._restarts)

    def _report_cameras(self, now_ns: int) -> None:
        silent = self.sync.silent(now_ns)
        uncalibrated = [n for n in self.sync.names if n not in self._models and n not in silent]
        problems = [f"silent: {', '.join(silent)}"] if silent else []
        problems += [f"no camera_info: {', '.join(uncalibrated)}"] if uncalibrated else []
        problems += [f"{name}: {why}" for name, why in sorted((self._bad_info | self._bad_image).items())]
        unplaced = ", ".join(sorted(self._unplaced))  # those of the newest images: one that came before its transform is forgiven
        problems += [f"no transform from {self.config.base_frame} to a camera's frame: {unplaced}"] if unplaced and not problems else []
        usable = len(self.sync.names) - len(set(silent) | set(uncalibrated) | set(self._bad_info) | set(self._bad_image))
        level = OK if not problems else WARN if usable >= self.config.sync.min_cameras else ERROR
        counts = {f"refused_{reason.value}": self.sync.refused[reason] for reason in ImageRefusal}
        counts |= {name.replace(" ", "_"): count for name, count in self.counts.items()}
        self._node.report(level, "cameras", "; ".join(problems) or f"{usable} of {len(self.sync.names)} cameras", **counts)

    def _jump(self, why: str) -> None:
        self._jumps += 1
        self._node.get_logger().warning(f"{why}: everything remembered is dropped")
        self.forget()
        self._on_jump()

    def read_odometry(self) -> None:
        """Take in what odometry has said since the last time."""
        for message in self._odometries.drain():
            self._odometry(message)

    def _read_images(self) -> None:
        now_ns = self._node.now_ns()
        for name, images in self._images.items():
            for message in images.drain():
                self.sync.add(name, ns_from_stamp(message.header.stamp), message, now_ns)

    def _ask_for_info(self, name: str) -> None:
        """Listen for a calibration; it comes with every image and changes with none, so that one is enough until an image does not fit it."""
        if name not in self._info_subscriptions:
            topic = f"{name}/camera_info"
            self._info_subscriptions[name] = self._node.create_subscription(CameraInfo, topic, functools.partial(self._info, name), qos.SENSOR)

    def _info(self, name: str, message: Any) -> None:
        try:
            self._models[name] = model_from_camera_info(message)
        except BadInputError as error:
            self._bad_info[name] = str(error)
            self.counts["camera_info of no use"] += 1
            return
        self._bad_info.pop(name, None)
        subscription = self._info_subscriptions.pop(name, None)
        if subscription is not None:
            self._node.destroy_subscription(subscription)

    def _odometry(self, message: Any) -> None:
        stamp_ns, newest = ns_from_stamp(message.header.stamp), self.track.newest
        try:
            pose = pose2_from_pose(message.pose.pose)
        except BadInputError:
            self._broken += 1
            return
        if newest is not None and stamp_ns < newest.stamp_ns - round(self.config.clock_jump_s * 1e9):
            self._jump(f"odometry's clock went back by {seconds(newest.stamp_ns - stamp_ns):.2f} s")
            newest = None
        leaps = newest is not None and self._leaps(newest, stamp_ns, pose)
        if leaps:
            self.track.clear()
        point = self.track.add(stamp_ns, pose)
        if leaps and newest is not None and point is not None:
            self._restarts += 1
            self._on_restart(newest, point)

    def _leaps(self, newest: OdometryPoint, stamp_ns: int, pose: Any) -> bool:
        gap_s = max(seconds(stamp_ns - newest.stamp_ns), 0.0)
        reach_m = self.config.restart_m + self.config.restart_speed_mps * gap_s
        turn = abs(wrap_angle(pose.yaw - newest.odom_from_base.yaw))
        return newest.odom_from_base.distance_to(pose) > reach_m or (gap_s < 0.2 and turn > 1.5)
