"""Watchdogs on steady arrival time: is this input still coming, is that node still alive?"""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from astra.core.types import seconds


class Freshness:
    """Remembers when something last arrived, on the steady clock."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._arrived_ns: int | None = None

    def arrived(self, steady_ns: int) -> None:
        """It arrived now."""
        self._arrived_ns = steady_ns

    @property
    def arrived_ns(self) -> int | None:
        """When it last arrived."""
        return self._arrived_ns

    def age_s(self, steady_ns: int) -> float:
        """Time since the last arrival, infinite if there was none [s]."""
        return float("inf") if self._arrived_ns is None else seconds(steady_ns - self._arrived_ns)

    def is_fresh(self, steady_ns: int) -> bool:
        """Whether it arrived within the limit."""
        return self.age_s(steady_ns) <= self.limit_s


def own_name(hardware_id: str, namespace: str) -> str | None:
    """The node's name if it belongs to the robot of this namespace; None for those of other robots, which speak on the same /diagnostics."""
    robot, _, name = hardware_id.rpartition("/")
    return name if robot == namespace.strip("/") else None


class Heartbeats:
    """Hears the 1 Hz diagnostics of the stack's nodes: whether each is alive and active, and what its worst status is.

    DDS notices a killed process only when its lease ends, after 20 s; the heartbeat is missed sooner.
    """

    def __init__(self, node: Any, limit_s: float = 5.0) -> None:
        self._node, self._limit_s = node, limit_s
        self._alive: dict[str, Freshness] = {}
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
        self._subscription = node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos)

    def destroy(self) -> None:
        """Cease to listen."""
        self._node.destroy_subscription(self._subscription)

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            name = own_name(status.hardware_id, self._node.get_namespace())
            if name is not None and status.name == f"{status.hardware_id}: state" and status.level == DiagnosticStatus.OK:
                self._alive.setdefault(name, Freshness(self._limit_s)).arrived(self._node.steady_ns())

    def known(self, name: str) -> bool:
        """Whether the node was ever heard."""
        return name in self._alive

    def is_active(self, name: str) -> bool:
        """Whether the node reported itself active within the limit."""
        heard = self._alive.get(name)
        return heard is not None and heard.is_fresh(self._node.steady_ns())

    def heard_ns(self, name: str) -> int | None:
        """When the node last reported itself active, on the steady clock."""
        heard = self._alive.get(name)
        return None if heard is None else heard.arrived_ns

    def is_silent(self, name: str) -> bool:
        """Whether a node that was heard before has fallen silent; Nav2's servers, never heard, are not judged."""
        return self.known(name) and not self.is_active(name)
