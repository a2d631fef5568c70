"""Action servers on a single-threaded executor: goals end by ticks, cancels arrive meanwhile, nobody spins at full load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from nav2_msgs.action import Wait
from rclpy.action import ActionClient
from ros_bench import RosBench, ros_bench

from astra.ros.actions import ActionCall, Outcome, TickedActionServer

pytestmark = pytest.mark.ros
WAITING = object()


class WaitServer:
    """Serves nav2_msgs/Wait: counts ticks down; a new goal preempts the old one."""

    def __init__(self, bench: RosBench, accept: Any = lambda request: True) -> None:
        self.node = bench.new_node("server")
        self.server = TickedActionServer(self.node, Wait, "wait", self.start, accept)
        self.handle: Any = None
        self.ticks_left = 0
        self.node.create_timer(0.02, self.tick)

    def start(self, handle: Any) -> None:
        if self.handle is not None:
            self.server.finish(self.handle, Outcome.ABORTED, Wait.Result(error_msg="preempted"))
        self.handle, self.ticks_left = handle, handle.request.time.sec

    def tick(self) -> None:
        if self.handle is None:
            return
        self.ticks_left -= 1
        if self.handle.is_cancel_requested:
            self.end(Outcome.CANCELED, "cancelled")
        elif self.ticks_left <= 0:
            self.end(Outcome.SUCCEEDED, "done")
        else:
            self.handle.publish_feedback(Wait.Feedback())

    def end(self, outcome: Outcome, why: str) -> None:
        handle, self.handle = self.handle, None
        self.server.finish(handle, outcome, Wait.Result(error_msg=why))
        self.server.finish(handle, Outcome.ABORTED, Wait.Result(error_msg="twice"))  # must not matter


@pytest.fixture
def bench(ros_domain: int) -> Iterator[RosBench]:
    with ros_bench() as bench:
        yield bench


def goal(ticks: int) -> Wait.Goal:
    message = Wait.Goal()
    message.time.sec = ticks
    return message


def test_success_cancel_and_preemption(bench: RosBench) -> None:
    WaitServer(bench)
    client = ActionClient(bench.node, Wait, "wait")
    seen: list[Any] = []
    status, result = bench.result(bench.goal(client, goal(5), seen.append), 5.0)
    assert (status, result.error_msg) == (GoalStatus.STATUS_SUCCEEDED, "done")
    assert len(seen) >= 3
    handle = bench.goal(client, goal(1000))
    cancel = handle.cancel_goal_async()
    bench.until(cancel.done, 5.0, "the answer to a cancel")
    status, result = bench.result(handle, 5.0)
    assert (status, result.error_msg) == (GoalStatus.STATUS_CANCELED, "cancelled")
    first, second = bench.goal(client, goal(1000)), bench.goal(client, goal(3))
    assert bench.result(first, 5.0) == (GoalStatus.STATUS_ABORTED, Wait.Result(error_msg="preempted"))
    assert bench.result(second, 5.0)[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_waiting_goal_costs_next_to_nothing(bench: RosBench) -> None:
    WaitServer(bench)
    handle = bench.goal(ActionClient(bench.node, Wait, "wait"), goal(10_000))
    bench.spend(0.2)
    began = time.process_time()
    bench.spend(1.5)
    assert time.process_time() - began < 0.75  # an awaiting execute callback takes all of it
    bench.until(handle.cancel_goal_async().done, 5.0, "the cancel")


def test_calls_end_with_one_word_each_and_silent_cancels_with_none(bench: RosBench) -> None:
    server = WaitServer(bench, lambda request: request.time.sec != 13)
    client = ActionClient(bench.node, Wait, "wait")
    bench.until(client.server_is_ready, 10.0, "the server")
    ends: list[tuple[str, int, str]] = []

    def call(name: str, ticks: int) -> ActionCall:
        return ActionCall(client, goal(ticks), lambda status, result: ends.append((name, status, result.error_msg if result else "")))

    call("short", 2)
    bench.until(lambda: ends, 5.0, "an end")
    call("refused", 13)
    bench.until(lambda: len(ends) == 2, 5.0, "a refusal")
    long = call("long", 1000)
    long.cancel()  # before it was even accepted
    bench.until(lambda: len(ends) == 3, 5.0, "the cancel")
    assert ends == [("short", GoalStatus.STATUS_SUCCEEDED, "done"), ("refused", 0, ""), ("long", GoalStatus.STATUS_CANCELED, "cancelled")]
    silent = call("silent", 1000)
    bench.until(lambda: silent.answered and server.handle is not None, 5.0, "acceptance")
    silent.cancel(silent=True)
    bench.until(lambda: server.handle is None, 5.0, "the server's end of it")
    bench.spend(0.3)
    assert len(ends) == 3
