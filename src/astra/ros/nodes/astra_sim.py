"""A robot in MuJoCo behind the topics of a real one. It publishes no map and no odometry frame: those are the stack's to find."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from sensor_msgs.msg import LaserScan as LaserScanMsg
from std_msgs.msg import String, UInt32

from astra.core.config import load_config, require
from astra.core.errors import ConfigError
from astra.core.types import CameraFrame, nanoseconds, seconds
from astra.ros import node, params, qos
from astra.ros.conversions import (
    camera_info_from_model,
    compressed_from_rgb,
    image_from_rgb,
    imu_to_msg,
    pose_from_pose2,
    scan_to_msg,
    stamp_from_ns,
    wheel_to_odometry,
)
from astra.ros.tf import StaticTfBroadcaster
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Instant, Simulation
from astra.sim.starts import start_from_text
from astra.sim.urdf import sensor_frames, urdf_from_robot
from astra.sim.world import load_world

FAST_SENSOR = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
TICK_NS = 10_000_000  # /clock is published once a tick: at most 100 Hz
TRUTH_PERIOD_NS = 20_000_000
LATE_S = 0.1  # a debt to real time beyond this is forgiven: simulated time slows down, nothing is skipped
CHECK_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class SimNodeConfig:
    """Parameters of astra_sim."""

    world: str = field(default="", metadata={"help": "a generated world's folder, or any MuJoCo scene without a robot (.xml)"})
    robot: str = field(default="", metadata={"help": "robot YAML; empty: the built-in differential drive"})
    seed: int = field(default=0, metadata={"help": "of the sensors' errors and of a random start"})
    start: str = field(default="random", metadata={"help": "random, or x,y,yaw in the world frame [m, rad]"})
    rate: float = field(default=1.0, metadata={"help": "simulated seconds per second, at most"})
    lidar: bool = field(default=True, metadata={"help": "publish scan"})
    compressed: bool = field(default=False, metadata={"help": "publish images as JPEG on <camera>/image_raw/compressed"})
    enable_stamped_cmd_vel: bool = field(default=False, metadata={"help": "cmd_vel is a TwistStamped"})
    command_timeout: float = field(default=0.5, metadata={"help": "simulated seconds without cmd_vel after which the robot stops"})

    def __post_init__(self) -> None:
        require(0.05 <= self.rate <= 20.0, "rate", self.rate, "between 0.05 and 20")
        require(0.05 <= self.command_timeout <= 10.0, "command_timeout", self.command_timeout, "between 0.05 and 10 s")


class AstraSim(node.AstraLifecycleNode):
    """One thread owns physics, rendering and publishing; the executor only takes commands in."""

    def __init__(self, name: str = "astra_sim") -> None:
        super().__init__(name)
        self._simulation: Simulation | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._command: tuple[float, float, int] = (0.0, 0.0, -1)  # linear, angular, simulated arrival [ns]
        self._crash: Exception | None = None
        self._shots: deque[tuple[Instant, tuple[str, ...]]] = deque()  # pictures still to be drawn, those of one tick each

    def on_setup(self) -> None:
        """Open the world and put the robot into it."""
        self._config = config = params.declare_config(self, SimNodeConfig)
        if not config.world:
            raise ConfigError("parameter world is empty: give a world's folder or a MuJoCo scene")
        world = load_world(Path(config.world))
        robot = load_config(RobotConfig, Path(config.robot) if config.robot else None)
        start = start_from_text(config.start, world, np.random.default_rng([config.seed, 2]), robot.radius_m)
        self._simulation = Simulation(world, robot, config.seed, start)
        self.get_logger().info(f"world {world.name}, robot {robot.name}, seed {config.seed}")
        self._create_publishers(robot)
        kind, callback = (TwistStamped, self._on_stamped) if config.enable_stamped_cmd_vel else (Twist, self._on_twist)
        self._input = self.create_subscription(kind, "cmd_vel", callback, qos.RELIABLE)
        self._timer = self.create_timer(CHECK_PERIOD_S, self._check, clock=self.steady)

    def on_start(self) -> None:
        """Let time run."""
        self._stop.clear()
        self._shots.clear()
        self._progress = (self.steady_ns(), self._sim.time_ns)
        self._thread = threading.Thread(target=self._live, name="astra-sim", daemon=True)
        self._thread.start()

    def on_stop(self) -> None:
        """Stop time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
            self._thread = None

    def on_teardown(self) -> None:
        """Forget the world."""
        self._simulation = None
        if getattr(self, "_timer", None) is not None:
            self.destroy_timer(self._timer)
            self.destroy_subscription(self._input)
            self._timer = None

    @property
    def _sim(self) -> Simulation:
        assert self._simulation is not None
        return self._simulation

    def _create_publishers(self, robot: RobotConfig) -> None:
        image_kind, suffix = (CompressedImage, "/compressed") if self._config.compressed else (Image, "")
        self._images = {c: self.create_publisher(image_kind, f"{c}/image_raw{suffix}", qos.SENSOR) for c in robot.cameras.names}
        self._infos = {c: self.create_publisher(CameraInfo, f"{c}/camera_info", qos.SENSOR) for c in robot.cameras.names}
        self._clock_out = self.create_publisher(Clock, "/clock", qos.SENSOR)
        self._imu_out = self.create_publisher(Imu, "imu", FAST_SENSOR)
        self._wheel_out = self.create_publisher(Odometry, "wheel/odometry", FAST_SENSOR)
        self._scan_out = self.create_publisher(LaserScanMsg, "scan", qos.SENSOR) if self._config.lidar else None
        self._truth_out = self.create_publisher(Odometry, "ground_truth/odom", FAST_SENSOR)
        self._collisions_out = self.create_publisher(UInt32, "ground_truth/collisions", qos.LATCHED)
        self._description_out = self.create_publisher(String, "robot_description", qos.LATCHED)
        self._static_tf = StaticTfBroadcaster(self)
        for topic in ("/clock", "imu", "wheel/odometry"):
            self.own_topic(topic)
        self._static_tf.send(sensor_frames(robot))
        self._description_out.publish(String(data=urdf_from_robot(robot)))

    def _on_twist(self, message: Any) -> None:
        values = (float(message.linear.x), float(message.angular.z))
        if not np.isfinite(values).all():
            self.report(node.ERROR, "cmd_vel", f"a command that is not finite was refused: {values}")
            return
        self._command = (*values, self._sim.time_ns)

    def _on_stamped(self, message: Any) -> None:
        self._on_twist(message.twist)

    def _live(self) -> None:
        """The simulator's thread: tick by tick, not faster than `rate`."""
        try:
            self._publish_collisions(0)
            schedule = self._schedule()
            due_s = time.monotonic()
            clock_every = max(1, round(self._config.rate))
            ticks = 0
            while not self._stop.is_set():
                self._obey()
                self._sim.advance(TICK_NS * 1e-9)
                ticks += 1
                if ticks % clock_every == 0:
                    self._clock_out.publish(Clock(clock=stamp_from_ns(self._sim.time_ns)))
                self._publish_fast()
                for period_ns, act in schedule:
                    if self._sim.time_ns % period_ns < TICK_NS:
                        act()
                self._publish_images()
                due_s += TICK_NS * 1e-9 / self._config.rate
                ahead_s = due_s - time.monotonic()
                if ahead_s > 0.0:
                    self._stop.wait(ahead_s)
                elif ahead_s < -LATE_S:
                    due_s = time.monotonic()
        except Exception as error:
            self._crash = error
        finally:
            self._sim.close()  # the GL context belongs to this thread

    def _schedule(self) -> list[tuple[int, Callable[[], None]]]:
        robot = self._sim.robot
        schedule: list[tuple[int, Callable[[], None]]] = [(TRUTH_PERIOD_NS, self._publish_truth)]
        if self._scan_out is not None:
            schedule.append((nanoseconds(1.0 / robot.lidar.rate_hz), self._publish_scan))
        schedule.append((nanoseconds(1.0 / robot.cameras.rate_hz), self._expose))
        return schedule

    def _obey(self) -> None:
        linear, angular, arrived_ns = self._command
        fresh = arrived_ns >= 0 and seconds(self._sim.time_ns - arrived_ns) <= self._config.command_timeout
        self._sim.set_command(linear if fresh else 0.0, angular if fresh else 0.0)

    def _publish_fast(self) -> None:
        for sample in self._sim.drain_imu():
            self._imu_out.publish(imu_to_msg(sample, "imu_link"))
        for twist in self._sim.drain_wheel():
            self._wheel_out.publish(wheel_to_odometry(twist))
        if self._sim.collisions() != self._collisions:
            self._publish_collisions(self._sim.collisions())

    def _publish_collisions(self, count: int) -> None:
        self._collisions = count
        self._collisions_out.publish(UInt32(data=count))

    def _publish_scan(self) -> None:
        if self._scan_out is not None:
            self._scan_out.publish(scan_to_msg(self._sim.scan()))

    def _expose(self) -> None:
        """All cameras see this instant. They are drawn in the ticks that follow, for the IMU and the wheels shall not wait for pictures."""
        names = tuple(self._images)
        share = math.ceil(len(names) * TICK_NS * self._sim.robot.cameras.rate_hz * 1e-9)
        instant = self._sim.instant()
        self._shots = deque((instant, names[i : i + share]) for i in range(0, len(names), share))

    def _publish_images(self) -> None:
        """The pictures that are due in this tick."""
        if not self._shots:
            return
        instant, names = self._shots.popleft()
        for name in names:
            frame, model = self._sim.picture(instant, name), self._sim.rig[name].model
            self._images[name].publish(self._image(frame))
            self._infos[name].publish(camera_info_from_model(model, frame.stamp_ns, f"{name}_optical_frame"))

    def _image(self, frame: CameraFrame) -> Any:
        convert = compressed_from_rgb if self._config.compressed else image_from_rgb
        return convert(frame.rgb, frame.stamp_ns, f"{frame.camera}_optical_frame")

    def _publish_truth(self) -> None:
        scene = self._sim.truth()
        message = Odometry(child_frame_id="base_link")
        message.header.stamp, message.header.frame_id = stamp_from_ns(scene.stamp_ns), "world"
        message.pose.pose = pose_from_pose2(self._sim.pose())
        message.twist.twist.linear.x, message.twist.twist.angular.z = scene.linear_mps, scene.angular_radps
        self._truth_out.publish(message)

    def _check(self) -> None:
        """Say how fast time runs; end the process if the simulator's thread died."""
        if self._crash is not None:
            raise self._crash
        if not self.active:
            return
        wall_ns, sim_ns = self.steady_ns(), self._sim.time_ns
        factor = (sim_ns - self._progress[1]) / max(wall_ns - self._progress[0], 1)
        self._progress = (wall_ns, sim_ns)
        level = node.OK if factor > 0.8 * self._config.rate else node.WARN
        self.report(level, "clock", "real time" if level == node.OK else "slower than asked for", factor=f"{factor:.2f}")


def main() -> int:
    """Run the node."""
    return node.run(AstraSim)
