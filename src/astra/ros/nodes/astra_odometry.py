"""Wheel + IMU → /odom and TF odom→base_link. Light and never starved: numpy alone, no torch, no ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import ImuSample, nanoseconds, seconds
from astra.fusion.deltas import DeltaReader
from astra.fusion.odometry import DeltaOutcome, OdometryConfig, OdometryState, Rejection, Trouble, WheelImuOdometry
from astra.geometry import Pose3
from astra.ros import node, params, qos
from astra.ros.conversions import imu_from_msg, ns_from_stamp, pose2_from_pose, pose_from_pose2, stamp_from_ns, wheel_from_odometry
from astra.ros.polled import PolledSubscription
from astra.ros.quiet import Rate
from astra.ros.tf import TfBroadcaster, TfBuffer, TransformUnavailableError

FAST_SENSOR = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)  # 200 Hz must survive a moment of neglect
CHECK_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class OdometryNodeConfig:
    """Parameters of astra_odometry."""

    odom_frame: str = field(default="odom", metadata={"help": "frame of the pose"})
    base_frame: str = field(default="base_link", metadata={"help": "frame of the robot"})
    publish_odom_tf: bool = field(default=True, metadata={"help": "publish TF odom→base_link; false where another node owns it"})
    publish_rate: float = field(default=50.0, metadata={"help": "least rate of /odom [Hz]; slower wheels are bridged by the IMU"})
    wheel_timeout: float = field(default=0.5, metadata={"help": "seconds without usable wheel odometry after which /odom falls silent [s]"})
    fuse_vision: bool = field(default=True, metadata={"help": "let astra/visual_odometry correct the pose, where somebody publishes it"})
    imu_timeout: float = field(default=0.5, metadata={"help": "seconds without IMU that are a warning"})
    filter: OdometryConfig = field(default_factory=OdometryConfig)

    def __post_init__(self) -> None:
        require(1.0 <= self.publish_rate <= 1000.0, "publish_rate", self.publish_rate, "1 … 1000 Hz")
        require(self.wheel_timeout > 0.0, "wheel_timeout", self.wheel_timeout, "> 0")
        require(self.imu_timeout > 0.0, "imu_timeout", self.imu_timeout, "> 0")


class AstraOdometry(node.AstraLifecycleNode):
    """Feeds the filter and publishes its state at every wheel reading, or at the IMU's where the wheels are slow."""

    def __init__(self) -> None:
        super().__init__("astra_odometry")

    def on_setup(self) -> None:
        """Declare parameters and subscribe."""
        self._config = config = params.declare_config(self, OdometryNodeConfig)
        self._odometry = WheelImuOdometry(config.filter)
        self._published_ns = -1
        self._wheel_count, self._checked_ns = 0, self.now_ns()
        self._wheel_ns = self._imu_ns = self.steady_ns()
        self._rate = Rate()
        self._seen = dict.fromkeys(Rejection, 0)
        self._imu_rotation: dict[str, Any] = {}
        self._publisher = self.create_publisher(Odometry, "odom", qos.RELIABLE)
        self._broadcaster = TfBroadcaster(self) if config.publish_odom_tf else None
        self._tf = TfBuffer(self, static_only=True)
        self.own_topic("odom")
        self._message = self._empty_message()
        self._imu = PolledSubscription(self, Imu, "imu", FAST_SENSOR)
        self._sight, self._deltas = PolledSubscription(self, Odometry, "astra/visual_odometry", qos.sensor(10)), DeltaReader()
        self._wheel = self.create_subscription(Odometry, "wheel/odometry", self._on_wheel, FAST_SENSOR)
        # Runs only while the wheels are slow or silent.
        self._bridge = self.create_timer(1.0 / config.publish_rate, self._on_silence, clock=self.steady)
        self._timer = self.create_timer(CHECK_PERIOD_S, self._check, clock=self.steady)

    def on_teardown(self) -> None:
        """Unsubscribe."""
        if getattr(self, "_imu", None) is None:
            return
        self._imu.destroy()
        self._sight.destroy()
        self.destroy_subscription(self._wheel)
        self.destroy_timer(self._bridge)
        self.destroy_timer(self._timer)
        self._imu = None  # type: ignore[assignment]

    def _on_wheel(self, message: Odometry) -> None:
        """First what the IMU has said meanwhile, then the wheels: one wake-up for both."""
        if not self.active:
            return
        self._wheel_count += 1
        self._take_imu()
        self._take_sight()
        reason = self._odometry.add_wheel(wheel_from_odometry(message))
        if reason is Rejection.CLOCK_JUMP_BACK:
            self._published_ns = -1
        if reason in (None, Rejection.GAP, Rejection.CLOCK_JUMP_BACK):
            self._wheel_ns = self.steady_ns()
            self._publish(self._odometry.state)

    def _on_silence(self) -> None:
        """The wheels are slow or gone: carry on by the IMU for a moment; then silence, so that nobody drives on by a guess."""
        if self.active:
            self._take_imu()
            if self._odometry.started and seconds(self.steady_ns() - self._wheel_ns) <= self._config.wheel_timeout:
                self._publish(self._odometry.predicted())

    def _take_imu(self) -> None:
        messages = self._imu.drain()
        if messages:
            self._imu_ns = self.steady_ns()
        for message in messages:
            sample = imu_from_msg(message)
            rotation = self._rotation(message.header.frame_id)
            if rotation is not None:
                sample = ImuSample(sample.stamp_ns, rotation @ sample.angular_velocity, rotation @ sample.linear_acceleration)
            self._odometry.add_imu(sample)

    def _take_sight(self) -> None:
        """Δposes of vision, each once; the filter goes back to the moments that they are about."""
        for message in self._sight.drain() if self._config.fuse_vision else ():
            try:
                pose = pose2_from_pose(message.pose.pose)
            except BadInputError:
                continue
            delta = self._deltas.push(ns_from_stamp(message.header.stamp), pose, message.pose.covariance)
            if delta is not None:
                self._odometry.add_delta(delta)

    def _rotation(self, frame: str) -> Any:
        """base_from_imu's rotation (3, 3) from TF, or None where the axes agree or nothing is known of the mounting."""
        if not frame or frame == self._config.base_frame:
            return None
        if frame not in self._imu_rotation:
            try:
                base_from_imu = self._tf.lookup(self._config.base_frame, frame)
            except TransformUnavailableError:
                return None
            aligned = base_from_imu.angle_to(Pose3()) < 1e-6
            self._imu_rotation[frame] = None if aligned else base_from_imu.rotation
        return self._imu_rotation[frame]

    def _publish(self, state: OdometryState) -> None:
        if state.stamp_ns <= self._published_ns and self._published_ns - state.stamp_ns < nanoseconds(1.0):
            return  # already told, as a prediction
        self._published_ns = state.stamp_ns
        message = self._message
        message.header.stamp = stamp_from_ns(state.stamp_ns)
        message.pose.pose = pose_from_pose2(state.odom_from_base)
        covariance = message.pose.covariance
        for row, i in enumerate((0, 1, 5)):
            for column, j in enumerate((0, 1, 5)):
                covariance[6 * i + j] = float(state.covariance[row, column])
        message.twist.twist.linear.x, message.twist.twist.angular.z = state.linear_mps, state.angular_radps
        self._publisher.publish(message)
        self._rate.happened()
        if self._broadcaster is not None:
            pose = Pose3.from_pose2(state.odom_from_base)
            self._broadcaster.send(self._config.odom_frame, self._config.base_frame, pose, state.stamp_ns)

    def _empty_message(self) -> Odometry:
        """A message with what never changes: frames, and tight covariances where a planar robot cannot move."""
        message = Odometry(child_frame_id=self._config.base_frame)
        message.header.frame_id = self._config.odom_frame
        for i in (2, 3, 4):
            message.pose.covariance[7 * i] = 1e-6
        message.twist.covariance = np.diag([4e-4, 1e-6, 1e-6, 1e-6, 1e-6, 1e-4]).ravel().tolist()
        return message

    def _check(self) -> None:
        """Bridge wheels that are slower than /odom shall be; say what is missing, refused or suspected."""
        now = self.steady_ns()
        ros_ns = self.now_ns()  # a simulator that runs slowly has slow wheels only by the wall's clock
        slow = self._wheel_count < 0.9 * seconds(ros_ns - self._checked_ns) * self._config.publish_rate
        self._wheel_count, self._checked_ns = 0, ros_ns
        if slow and self._bridge.is_canceled():
            self._bridge.reset()
        elif not slow:
            self._bridge.cancel()
        wheel_s, imu_s = seconds(now - self._wheel_ns), seconds(now - self._imu_ns)
        counts = {reason: self._odometry.count(reason) for reason in Rejection}
        fresh = [f"{reason} ({counts[reason]})" for reason in Rejection if counts[reason] > self._seen[reason]]
        self._seen = counts
        state = self._odometry.state
        level, text = node.OK, "standing" if state.stationary else "moving"
        if state.troubles:
            level, text = node.WARN, "; ".join(state.troubles)
        elif imu_s > self._config.imu_timeout:
            level, text = node.WARN, str(Trouble.NO_GYRO)
        if fresh:
            level, text = node.WARN, f"readings refused or out of order: {', '.join(fresh)}"
        if wheel_s > self._config.wheel_timeout:
            level, text = node.ERROR, f"no wheel odometry for {wheel_s:.1f} s: the pose is stale"
        sigma = np.sqrt(np.diag(state.covariance))
        seen, unlike = (self._odometry.count_delta(outcome) for outcome in (DeltaOutcome.FUSED, DeltaOutcome.OUTLIER))
        self.report(
            level, "odometry", text, rate_hz=f"{self._rate.hz(now):.1f}",
            wheel_age_s=f"{wheel_s:.2f}", imu_age_s=f"{imu_s:.2f}",
            gyro_bias_radps=f"{state.gyro_bias:.5f}", seen=seen, unlike_seen=unlike,
            sigma_m=f"{max(sigma[0], sigma[1]):.4f}", sigma_yaw_rad=f"{sigma[2]:.5f}", **{str(k): v for k, v in counts.items()},
        )  # fmt: skip


def main() -> int:
    """Run the node."""
    return node.run(AstraOdometry)
