"""Records every visible topic to MCAP, images at a reduced rate; the bag is valid whenever the node is told to end."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from astra.core.config import require
from astra.core.errors import ConfigError
from astra.core.types import nanoseconds
from astra.ros import node, params
from astra.ros.bag import BagWriter

DISCOVERY_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of the recorder."""

    out: str = field(default="", metadata={"help": "folder of the bag; must not exist"})
    image_rate_hz: float = field(default=2.5, metadata={"help": "images kept per second and topic; 0 keeps all"})
    exclude: tuple[str, ...] = field(default=("/rosout", "/parameter_events"), metadata={"help": "topics that are not recorded"})

    def __post_init__(self) -> None:
        require(self.image_rate_hz >= 0.0, "image_rate_hz", self.image_rate_hz, "≥ 0")


class Recorder(node.AstraLifecycleNode):
    """Subscribes to raw bytes, so that nothing is decoded on the way to the file."""

    def __init__(self) -> None:
        super().__init__("astra_recorder")
        self._bag: BagWriter | None = None

    def on_setup(self) -> None:
        """Open the bag."""
        self._config = params.declare_config(self, RecorderConfig)
        if not self._config.out:
            raise ConfigError("parameter out is empty: give the folder of the bag")
        self._bag = BagWriter(Path(self._config.out))
        self._topics: dict[str, Any] = {}
        self._due_ns: dict[str, int] = {}
        self._count = 0
        self._timer = self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=self.steady)

    def on_start(self) -> None:
        """Begin at once with what is there."""
        self._discover()

    def on_teardown(self) -> None:
        """Close the bag; from then on it is complete."""
        if self._bag is not None:
            self._bag.close()
            self._bag = None

    def _discover(self) -> None:
        if not self.active and self._count == 0 and self._topics:
            return
        for topic, kinds in self.get_topic_names_and_types():
            if topic in self._topics or topic in self._config.exclude or "/_" in topic:
                continue
            self._topics[topic] = self._subscribe(topic, kinds[0])
        self.report(node.OK, "recording", f"{len(self._topics)} topics", messages=self._count)

    def _subscribe(self, topic: str, kind: str) -> Any:
        assert self._bag is not None
        if not self._bag.add_topic(topic, kind):
            self.get_logger().warning(f"{topic} is not recorded: the definition of {kind} is not installed")
            return None
        package, _, name = kind.split("/")
        message = getattr(importlib.import_module(f"{package}.msg"), name)
        latched = any(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in self.get_publishers_info_by_topic(topic))
        qos = QoSProfile(
            depth=20,
            reliability=ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        period_ns = nanoseconds(1.0 / self._config.image_rate_hz) if self._config.image_rate_hz and kind == "sensor_msgs/msg/Image" else 0
        return self.create_subscription(message, topic, lambda raw: self._write(topic, raw, period_ns), qos, raw=True)

    def _write(self, topic: str, raw: bytes, period_ns: int) -> None:
        if self._bag is None or not self.active:
            return
        now = self.now_ns()
        if period_ns:
            due = self._due_ns.get(topic, 0)
            if due - period_ns <= now < due:
                return
            self._due_ns[topic] = now + period_ns
        self._count += 1
        self._bag.write(topic, now, raw)


def main() -> int:
    """Run the node."""
    return node.run(Recorder)
