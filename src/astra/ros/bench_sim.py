"""The simulator as a ROS node in real time: does simulated time keep up with the wall, and does every image arrive?"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from astra.core.errors import AstraError
from astra.evaluation.bench_report import Result
from astra.ros.environment import activate
from astra.ros.mission import isolate_ros
from astra.ros.stack import SimOptions, StackOptions, describe
from astra.ros.supervisor import Supervisor
from astra.sim.worlds.build import generate

CAMERAS, RATE_HZ = ("front", "left", "back", "right"), 10.0
WARM_UP_S = 3.0


def through_ros(duration_s: float = 20.0, kind: str = "office", seed: int = 20_000) -> list[Result]:
    """Run astra_sim with four cameras and listen to it as any client would.

    Raises:
        AstraError: the node did not start, or nothing came.
    """
    isolate_ros()
    activate()
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    from astra.ros.conversions import ns_from_stamp

    with tempfile.TemporaryDirectory() as scratch:
        world = generate(kind, seed, Path(scratch) / "world")  # type: ignore[arg-type]
        options = StackOptions(sim=SimOptions(world.scene.parent))
        context = rclpy.Context()
        rclpy.init(context=context)
        node = rclpy.create_node("bench_sim", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        heard: dict[str, list[tuple[int, float]]] = defaultdict(list)
        keen = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        for camera in CAMERAS:
            node.create_subscription(
                Image, f"/{camera}/image_raw", lambda m, c=camera: heard[c].append((ns_from_stamp(m.header.stamp), time.monotonic())), keen
            )
        try:
            with Supervisor(describe(options), Path(scratch) / "logs") as stack:
                _spin(executor, lambda: all(len(heard[c]) > WARM_UP_S * RATE_HZ for c in CAMERAS), 60.0)
                if any(len(heard[c]) == 0 for c in CAMERAS):
                    raise AstraError(f"astra_sim published no images; its log: {stack.log('astra_sim')}")
                heard.clear()
                began = time.monotonic()
                _spin(executor, lambda: time.monotonic() - began >= duration_s, duration_s + 5.0)
        finally:
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown(context=context)
    return _judged(heard)


def _spin(executor: object, done: object, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not done() and time.monotonic() < deadline:  # type: ignore[operator]
        executor.spin_once(timeout_sec=0.05)  # type: ignore[attr-defined]


def _judged(heard: dict[str, list[tuple[int, float]]]) -> list[Result]:
    """Frames that are missing between the first and the last stamp, and simulated over wall time."""
    missing, received, factors = 0, 0, []
    for rows in heard.values():
        stamps, walls = np.array([s for s, _ in rows]) * 1e-9, np.array([w for _, w in rows])
        expected = round((stamps[-1] - stamps[0]) * RATE_HZ) + 1
        missing += expected - len(rows)
        received += len(rows)
        factors.append((stamps[-1] - stamps[0]) / (walls[-1] - walls[0]))
    factor = float(np.mean(factors))
    return [
        Result("ros/frames_dropped", float(missing), "", received + missing, None, "0"),
        Result("ros/real_time_factor", factor, "×", len(factors), None, "1.00"),
    ]
