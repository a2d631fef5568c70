"""Records every visible topic to MCAP, images at a reduced rate; the bag is valid whenever the node is told to end."""

from __future__ import annotations

import contextlib
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
from astra.ros.polled import NeverReady

DISCOVERY_PERIOD_S = 0.5
DRAIN_PERIOD_S = 0.02
AGAIN_S = 5.0  # between looks whether the disk takes something again
IMAGE_KINDS = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of the recorder."""

    out: str = field(default="", metadata={"help": "folder of the bag; if it exists, as after a restart, the recording goes into the same name with a number"})
    image_rate_hz: float = field(default=2.5, metadata={"help": "images kept per second and topic; 0 keeps all"})
    exclude: tuple[str, ...] = field(default=("/rosout", "/parameter_events"), metadata={"help": "topics that are not recorded"})

    def __post_init__(self) -> None:
        require(self.image_rate_hz >= 0.0, "image_rate_hz", self.image_rate_hz, "≥ 0")


@dataclass(slots=True)
class _Topic:
    """A subscription that is read when its time has come."""

    handle: Any
    kind: Any
    period_ns: int
    due_ns: int = 0


class Recorder(node.AstraLifecycleNode):
    """Takes raw bytes from all topics fifty times a second; nothing is decoded on the way to the file."""

    def __init__(self) -> None:
        super().__init__("astra_recorder")
        self._bag: BagWriter | None = None

    def on_setup(self) -> None:
        """Open the bag."""
        self._config = params.declare_config(self, RecorderConfig)
        if not self._config.out:
            raise ConfigError("parameter out is empty: give the folder of the bag")
        self._bag = BagWriter(free_name(Path(self._config.out)))
        self._again_ns, self._lost = 0, 0
        self._topics: dict[str, _Topic | None] = {}
        self._kinds: dict[str, str] = {}
        self._subscriptions_kept: list[Any] = []
        self._group = NeverReady()
        self._count = 0
        self._began = False
        self._periodic = [
            self.create_timer(DISCOVERY_PERIOD_S, self._discover, clock=self.steady),
            self.create_timer(DRAIN_PERIOD_S, self._drain, clock=self.steady),
        ]

    def on_start(self) -> None:
        """Begin at once with what is there."""
        self._began = True
        self._discover()

    def on_stop(self) -> None:
        """Take what has arrived, and pause."""
        self._drain()
        self._began = False

    def on_teardown(self) -> None:
        """Close the bag; from then on it is complete."""
        if not getattr(self, "_periodic", []):
            return
        for timer in self._periodic:
            self.destroy_timer(timer)
        for subscription in self._subscriptions_kept:
            self.destroy_subscription(subscription)
        self._periodic = []
        if self._bag is not None:
            self._bag.close()
            self._bag = None

    def _discover(self) -> None:
        if self._bag is None or (not self.active and self._count == 0 and self._topics):
            return
        for topic, kinds in self.get_topic_names_and_types():
            if topic in self._topics or topic in self._config.exclude or "/_" in topic:
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:  # until there is one, nobody can say whether the topic is latched
                latched = any(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers)
                self._topics[topic] = self._subscribe(topic, kinds[0], latched)
        if self._bag is not None:
            self.report(node.OK, "recording", f"{len(self._topics)} topics", messages=self._count, lost=self._lost)

    def _subscribe(self, topic: str, kind: str, latched: bool) -> _Topic | None:
        if self._bag is None:
            return None
        if not self._bag.add_topic(topic, kind):
            self.get_logger().warning(f"{topic} is not recorded: the definition of {kind} is not installed")
            return None
        package, _, name = kind.split("/")
        message = getattr(importlib.import_module(f"{package}.msg"), name)
        rate = self._config.image_rate_hz if kind in IMAGE_KINDS else 0.0
        qos = QoSProfile(
            depth=1 if rate else 20 if kind in IMAGE_KINDS else 100,
            reliability=ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        self._kinds[topic] = kind
        subscription = self.create_subscription(message, topic, lambda _: None, qos, raw=True, callback_group=self._group)
        self._subscriptions_kept.append(subscription)
        return _Topic(subscription.handle, message, nanoseconds(1.0 / rate) if rate else 0)

    def _drain(self) -> None:
        if not self._began:
            return
        if self._bag is None and not self._open_again():
            return
        now = self.now_ns()
        for name, topic in self._topics.items():
            if topic is None or topic.due_ns - topic.period_ns <= now < topic.due_ns:
                continue
            with topic.handle:
                while (taken := topic.handle.take_message(topic.kind, True)) is not None:
                    self._write(name, now, taken[0])
                    late_ns = now - topic.due_ns
                    topic.due_ns = now + topic.period_ns - (late_ns if 0 <= late_ns < topic.period_ns else 0)


    def _write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """A disk that takes nothing more costs the recording, not the node: what is on it stays, and a new bag is tried later."""
        if self._bag is None:
            self._lost += 1
            return
        try:
            self._bag.write(topic, stamp_ns, cdr)
            self._count += 1
        except OSError as error:
            bag, self._bag = self._bag, None
            with contextlib.suppress(OSError, ValueError):
                bag.close()
            self._lost, self._again_ns = self._lost + 1, self.steady_ns() + nanoseconds(AGAIN_S)
            self.report(node.ERROR, "recording", f"the disk refuses: {error.strerror or error}", lost=self._lost)

    def _open_again(self) -> bool:
        """Begin a new bag once the disk has had time to become free."""
        if self.steady_ns() < self._again_ns:
            return False
        try:
            self._bag = BagWriter(free_name(Path(self._config.out)))
            known = {topic: kind for topic, kind in self._kinds.items() if self._topics.get(topic) is not None}
            for topic, kind in known.items():
                self._bag.add_topic(topic, kind)
        except OSError as error:
            self._bag, self._again_ns = None, self.steady_ns() + nanoseconds(AGAIN_S)
            self.report(node.ERROR, "recording", f"the disk refuses: {error.strerror or error}", lost=self._lost)
        return self._bag is not None


def free_name(path: Path) -> Path:
    """The path, or the first of path_2, path_3, … that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}_{number}")
    return free


def main() -> int:
    """Run the node."""
    return node.run(Recorder)
