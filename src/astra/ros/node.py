"""The base of every node: lifecycle with autostart, diagnostics, logging, and an orderly end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from astra.core.errors import AstraError
from astra.ros import qos
from astra.ros.environment import PARENT_VARIABLE
from astra.ros.params import refuse_unknown
from astra.ros.polled import NeverReady
from astra.ros.quiet import Quiet

OK, WARN, ERROR, STALE = (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)
DIAGNOSTICS_PERIOD_S = 1.0
FAREWELL_S = 0.5
ORPHAN_CHECK_S = 1.0
QUIET_S = 5.0  # between two lines that say the same


class AstraLifecycleNode(LifecycleNode):
    """A lifecycle node whose subclass fills four hooks; `autostart` (parameter) brings it up to active by itself.

    on_setup: declare parameters, load models, create everything (configure). May raise `AstraError`.
    on_start / on_stop: begin and end acting (activate, deactivate).
    on_teardown: free what a completed `on_setup` created (cleanup, shutdown, the process's end).
    """

    _time: Any = None  # the subscription to /clock, if there is one

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        logging.getLogger("astra").addHandler(_RosLogHandler(self.get_logger(), time.monotonic_ns))
        logging.getLogger("astra").setLevel(logging.INFO)
        self.called = self.get_fully_qualified_name().lstrip("/")  # in diagnostics, where several robots speak on one topic
        self.declare_parameter("autostart", True)
        self.active = False
        self.steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self.failure: Exception | None = None  # why the last transition failed
        self._ready = False
        self._owned: list[str] = []
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._quiet = Quiet(QUIET_S)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=self.steady)

    def on_setup(self) -> None:
        """Create what the node needs."""

    def on_start(self) -> None:
        """Begin to act."""

    def on_stop(self) -> None:
        """Cease to act."""

    def on_teardown(self) -> None:
        """Free what `on_setup` created."""

    def create_subscription(self, msg_type: Any, topic: str, callback: Callable[[Any], None], qos_profile: Any, **kwargs: Any) -> Any:
        """As rclpy's, but /clock is read when somebody asks for the time: a hundred wake-ups a second cost a light node more than its work."""
        if msg_type is not Clock or kwargs.get("raw"):  # a recorder's bytes are nobody's time
            return super().create_subscription(msg_type, topic, callback, qos_profile, **kwargs)
        self._time = super().create_subscription(msg_type, topic, callback, qos_profile, **{**kwargs, "callback_group": NeverReady()})
        return self._time

    def get_clock(self) -> Any:
        """The node's clock, brought up to date. Timers of nodes run on the `steady` clock."""
        time = self._time
        if time is not None:
            with contextlib.suppress(InvalidHandle), time.handle:
                taken = time.handle.take_message(Clock, False)
                if taken is not None:
                    time.callback(taken[0])
        return super().get_clock()

    def now_ns(self) -> int:
        """ROS time in nanoseconds (simulated where `use_sim_time` is set)."""
        return int(self.get_clock().now().nanoseconds)

    def steady_ns(self) -> int:
        """Steady time in nanoseconds, for watchdogs."""
        return int(self.steady.now().nanoseconds)

    def report(self, level: bytes, name: str, message: str, **values: object) -> None:
        """Set one diagnostic; a change of level or message is also logged once."""
        old = self._statuses.get(name)
        status = DiagnosticStatus(level=level, name=f"{self.called}: {name}", message=message, hardware_id=self.called)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._statuses[name] = status
        if old is None or old.level != level:
            self._say_change(level, name, message)

    def _say_change(self, level: bytes, name: str, message: str) -> None:
        """One line an event; a status that flutters is told of every `QUIET_S`, with how often it changed meanwhile."""
        told = self._quiet.ask(f"{name} {level!r}", self.steady_ns())
        if told is None:
            return
        text = f"{name}: {message}" + (f" ({told} times since it was last said)" if told > 1 else "")
        if level == OK:
            self.get_logger().info(text)
        elif level == ERROR:
            self.get_logger().error(text)
        else:
            self.get_logger().warning(text)

    def own_topic(self, name: str) -> None:
        """Declare that this node alone publishes `name`; a second publisher becomes a diagnostic ERROR."""
        self._owned.append(self.resolve_topic_name(name))

    def own_action(self, name: str) -> None:
        """Declare that this node alone serves the action `name`; a second server becomes a diagnostic ERROR."""
        self.own_topic(f"{name}/_action/status")

    def autostart(self) -> None:
        """Bring the node up to active if the `autostart` parameter says so.

        Raises:
            AstraError: a transition failed, so that the process can end with a clear word instead of waiting for nobody.
        """
        if not self.get_parameter("autostart").value:
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise self.failure if isinstance(self.failure, AstraError) else AstraError(f"could not start: {self.failure}")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: configure."""
        return self._attempt("configuration", self._set_up)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: activate."""
        super().on_activate(state)
        if self._attempt("activation", self.on_start) != TransitionCallbackReturn.SUCCESS:
            return TransitionCallbackReturn.FAILURE
        self.active = True
        self._publish_diagnostics()  # whoever waits for this node need not wait for the next second
        self.get_logger().info("active")
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: deactivate."""
        self.active = False
        self.on_stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: cleanup."""
        self._wind_down()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: shutdown."""
        self._wind_down()
        return TransitionCallbackReturn.SUCCESS

    def _attempt(self, name: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        """Run a hook; rclpy would swallow its exception."""
        try:
            hook()
        except Exception as error:
            self.failure = error
            if not isinstance(error, AstraError):
                self.get_logger().error(traceback.format_exc())
            self.report(ERROR, name, str(error) or type(error).__name__)
            return TransitionCallbackReturn.FAILURE
        self.failure = None
        return TransitionCallbackReturn.SUCCESS

    def _set_up(self) -> None:
        self._owned.clear()
        self.on_setup()
        self._ready = True
        refuse_unknown(self)

    def _wind_down(self) -> None:
        """Stop acting, then free what a completed `on_setup` created."""
        if self.active:
            self.active = False
            self.on_stop()
        if self._ready:
            self._ready = False
            self.on_teardown()

    def _check_ownership(self) -> None:
        for topic in self._owned:
            owners = self.get_publishers_info_by_topic(topic)
            name = f"owner of {topic}"
            if len(owners) > 1:
                others = sorted({f"{o.node_namespace.rstrip('/')}/{o.node_name}" for o in owners})
                self.report(ERROR, name, f"{len(owners)} publishers where one is allowed: {', '.join(others)}")
            elif name in self._statuses:
                self.report(OK, name, "alone again")

    def _publish_diagnostics(self) -> None:
        self._check_ownership()
        level = OK if self.active else WARN
        state = DiagnosticStatus(level=level, name=f"{self.called}: state", message="active" if self.active else "not active")
        state.hardware_id = self.called
        message = DiagnosticArray(status=[state, *self._statuses.values()])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


@contextlib.contextmanager
def _stop_on_signals(executor: SingleThreadedExecutor) -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, waking the executor; so does the death of the supervisor that started this process.

    rclpy's own handlers would shut the context down at once, so that a node could not publish its last word (a zero velocity).
    Python runs a handler only when the main thread leaves rclpy's wait; the wake-up socket is read by a thread that need not wait for that.
    """
    stop = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    reader.settimeout(ORPHAN_CHECK_S)

    parent = os.environ.get(PARENT_VARIABLE)

    def watch() -> None:
        while True:
            try:
                if reader.recv(1) in (b"", b"\0"):
                    return
            except TimeoutError:
                if parent is None or parent == str(os.getppid()):
                    continue
            stop.set()
            executor.create_task(lambda: None)  # spin_once returns only after work

    old = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    old_fd = signal.set_wakeup_fd(writer.fileno())
    thread = threading.Thread(target=watch, name="astra-signals", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in old.items():
            signal.signal(number, handler)
        writer.send(b"\0")
        thread.join()
        reader.close()
        writer.close()


def run(factory: Callable[[], AstraLifecycleNode]) -> int:
    """Spin the node until SIGINT or SIGTERM on a single-threaded executor, then end it in order.

    Returns:
        The process's exit code: 0 after a signal, 2 if a parameter or file was refused, 1 if the node could not start otherwise.
    """
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    node: AstraLifecycleNode | None = None
    executor = SingleThreadedExecutor()
    try:
        with _stop_on_signals(executor) as stop:
            node = factory()
            executor.add_node(node)
            node.autostart()
            while not stop.is_set():
                executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except AstraError as error:
        print(f"{node.get_name() if node else 'node'}: error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if node is not None:
            _finish(node, executor)
        rclpy.try_shutdown()
    return 0


def _finish(node: AstraLifecycleNode, executor: SingleThreadedExecutor) -> None:
    """Stop acting before anything is destroyed; a robot must not keep its last command."""
    try:
        node._wind_down()
        _deliver(node)
    except Exception:
        node.get_logger().error(traceback.format_exc())
    finally:
        executor.remove_node(node)
        node.destroy_node()


def _deliver(node: AstraLifecycleNode) -> None:
    """Wait until every listener has the last words (a zero velocity!): what is still on its way dies with the process."""
    deadline = time.monotonic() + FAREWELL_S
    for publisher in node.publishers:
        if publisher.get_subscription_count():
            publisher.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))


class _RosLogHandler(logging.Handler):
    """Forwards Python's log records of `astra` to the node's logger; the same line of code speaks at most every `QUIET_S`."""

    def __init__(self, logger: Any, steady_ns: Callable[[], int]) -> None:
        super().__init__()
        self._logger, self._steady_ns, self._quiet = logger, steady_ns, Quiet(QUIET_S)

    def emit(self, record: logging.LogRecord) -> None:
        told = self._quiet.ask(f"{record.pathname}:{record.lineno} {record.levelno}", self._steady_ns())
        if told is None:
            return
        text = self.format(record) + (f" ({told} times since it was last said)" if told > 1 else "")
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
