"""Every visible topic as raw bytes, read fifty times a second; nothing is decoded on the way."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from astra.core.types import nanoseconds
from astra.ros.polled import NeverReady

IMAGE_KINDS = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
DRAIN_PERIOD_S, DISCOVERY_PERIOD_S = 0.02, 0.5


@dataclass(slots=True)
class Tapped:
    """A topic that is read when its time has come. `period_ns` 0: whenever something is there."""

    kind: str
    latched: bool
    handle: Any
    message: Any
    period_ns: int
    due_ns: int = 0


class TopicTap:
    """Subscribes to what it finds.

    Args:
        node: whose graph is looked at.
        exclude: topics that are left out.
        image_rate_hz: images kept per second and topic; 0 keeps all.
        welcome: decides about a topic by name and type; one that is refused is not looked at again.
        keep: receives topic, ROS time of reading [ns] and the serialized message.
    """

    def __init__(
        self, node: Any, exclude: tuple[str, ...], image_rate_hz: float, welcome: Callable[[str, str], bool], keep: Callable[[str, int, bytes], None]
    ) -> None:
        self._node, self._exclude, self._image_rate_hz = node, exclude, image_rate_hz
        self._welcome, self._keep = welcome, keep
        self._group = NeverReady()
        self._subscriptions: list[Any] = []
        self.topics: dict[str, Tapped | None] = {}

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def discover(self) -> None:
        """Subscribe to topics that have appeared."""
        for topic, kinds in self._node.get_topic_names_and_types():
            if topic in self.topics or topic in self._exclude or "/_" in topic:
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if publishers:  # until there is one, nobody can say whether the topic is latched
                latched = any(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers)
                self.topics[topic] = self._subscribe(topic, kinds[0], latched) if self._welcome(topic, kinds[0]) else None

    def _subscribe(self, topic: str, kind: str, latched: bool) -> Tapped:
        package, _, name = kind.split("/")
        message = getattr(importlib.import_module(f"{package}.msg"), name)
        rate = self._image_rate_hz if kind in IMAGE_KINDS else 0.0
        qos = QoSProfile(
            depth=1 if rate else 20 if kind in IMAGE_KINDS else 100,
            reliability=ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        subscription = self._node.create_subscription(message, topic, lambda _: None, qos, raw=True, callback_group=self._group)
        self._subscriptions.append(subscription)
        return Tapped(kind, latched, subscription.handle, message, nanoseconds(1.0 / rate) if rate else 0)

    def drain(self) -> None:
        """Hand on what has arrived and is due."""
        now = self._node.now_ns()
        for name, topic in self.topics.items():
            if topic is None or topic.due_ns - topic.period_ns <= now < topic.due_ns:
                continue
            with topic.handle:
                while (taken := topic.handle.take_message(topic.message, True)) is not None:
                    self._keep(name, now, taken[0])
                    late_ns = now - topic.due_ns
                    topic.due_ns = now + topic.period_ns - (late_ns if 0 <= late_ns < topic.period_ns else 0)
