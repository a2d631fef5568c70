"""A test's own end of the ROS graph: a node to listen and speak with, processes started and ended in order, waiting on conditions."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from astra.ros import qos


class Process:
    """A node as a process of its own, its output in a file."""

    def __init__(self, name: str, code: str, parameters: Mapping[str, Any], folder: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}))
        arguments = ["--ros-args", "--params-file", str(file)] if parameters else []
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, number: int = signal.SIGINT, limit_s: float = 15.0) -> int:
        """End it with a signal; returns the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end within {limit_s} s of signal {number}:\n{self.output}") from None


class RosBench:
    """The test's node and executor, and the processes it started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.processes: list[Process] = []
        self._nodes: list[Node] = []
        self.node = self.new_node("bench")
        self.diagnostics: dict[str, tuple[bytes, str]] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics.update({status.name: (status.level, status.message) for status in message.status})

    def new_node(self, name: str, **kwargs: Any) -> Node:
        """Another node of the test's own."""
        return self.adopt(Node(name, context=self.context, **kwargs))

    def adopt(self, node: Any) -> Any:
        """Let a node spin with the test's."""
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def remove(self, node: Any) -> None:
        """As if the node's process had died."""
        self.executor.remove_node(node)
        self._nodes.remove(node)
        node.destroy_node()

    def start(self, name: str, parameters: Mapping[str, Any] | None = None, code: str | None = None) -> Process:
        """Start an executable of the package, or the given code."""
        code = code or f"from astra.cli.main import node_main; node_main({name!r})"
        process = Process(name, code, parameters or {}, self._folder)
        self.processes.append(process)
        return process

    def until(self, condition: Callable[[], Any], limit_s: float, what: str) -> float:
        """Spin until the condition holds; returns how long that took [s]."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > limit_s:
                logs = "\n".join(f"--- {p.name}\n{p.output[-3000:]}" for p in self.processes)
                raise AssertionError(f"waited {limit_s} s in vain for: {what}\n{logs}")
            self.executor.spin_once(timeout_sec=0.02)
        return time.monotonic() - began

    def spend(self, time_s: float) -> None:
        """Spin for a while, where nothing is supposed to happen."""
        end = time.monotonic() + time_s
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def active(self, name: str) -> bool:
        """Whether the node has reported itself active."""
        return self.diagnostics.get(f"{name}: state", (b"", ""))[1] == "active"

    def call(self, service_type: Any, name: str, request: Any, limit_s: float = 15.0) -> Any:
        """Call a service and wait for its answer."""
        client = self.node.create_client(service_type, name)
        try:
            self.until(client.service_is_ready, limit_s, f"service {name}")
            future = client.call_async(request)
            self.until(future.done, limit_s, f"an answer of {name}")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def transition(self, name: str, transition: int) -> bool:
        """Ask a lifecycle node for a transition."""
        return bool(self.call(ChangeState, f"{name}/change_state", ChangeState.Request(transition=Transition(id=transition))).success)

    def state(self, name: str) -> str:
        """The lifecycle state of a node."""
        return str(self.call(GetState, f"{name}/get_state", GetState.Request()).current_state.label)

    def goal(self, client: Any, goal: Any, on_feedback: Callable[[Any], None] | None = None) -> Any:
        """Send a goal; returns its handle once it is accepted."""
        self.until(client.server_is_ready, 20.0, f"an action server of {client._action_name}")
        future = client.send_goal_async(goal, feedback_callback=None if on_feedback is None else lambda m: on_feedback(m.feedback))
        self.until(future.done, 10.0, "acceptance of a goal")
        assert future.result().accepted
        return future.result()

    def result(self, handle: Any, limit_s: float = 30.0) -> tuple[int, Any]:
        """Status and result of a goal."""
        future = handle.get_result_async()
        self.until(future.done, limit_s, "a result")
        return int(future.result().status), future.result().result

    def close(self) -> None:
        """End the processes, last first, then the own nodes."""
        failures = []
        for process in reversed(self.processes):
            try:
                process.end()
            except AssertionError as error:
                failures.append(str(error))
        self.executor.shutdown()
        for node in self._nodes:
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        assert not failures, "\n".join(failures)


@contextlib.contextmanager
def ros_bench() -> Iterator[RosBench]:
    """A bench in the domain that ROS_DOMAIN_ID names."""
    assert "ROS_DOMAIN_ID" in os.environ
    with tempfile.TemporaryDirectory() as folder:
        bench = RosBench(Path(folder))
        try:
            yield bench
        finally:
            bench.close()
