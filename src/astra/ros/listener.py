"""A bystander in the ROS graph that hears which nodes are active; for commands that are no nodes themselves."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from astra.ros import qos
from astra.ros.watch import own_name


class Listener:
    """A context manager around a node and a context of its own; nothing happens outside `listen`. It hears the nodes of one namespace."""

    def __init__(self, namespace: str = "") -> None:
        self.active: set[str] = set()
        self._namespace = namespace

    def __enter__(self) -> Listener:
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("astra_listener", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def listen(self, time_s: float) -> None:
        """Hear what arrives within this time."""
        end = time.monotonic() + time_s
        while (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left)

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            name = own_name(status.hardware_id, self._namespace)
            if name is not None and status.name == f"{status.hardware_id}: state":
                (self.active.add if status.level == DiagnosticStatus.OK else self.active.discard)(name)
