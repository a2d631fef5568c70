"""Action servers for a single-threaded executor: goals are worked on by the node's own timers and callbacks.

rclpy runs an execute callback to its end; a blocking one starves the executor, and an `async` one that waits makes it spin at full load. Here a goal is
only *started* by a callback; the node goes on with its ticks and calls `finish` when the goal has ended, so cancels and preemption arrive in between.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.qos import QoSProfile

REQUESTS = 1000  # that may wait while a node is busy with a tick; the default of ten loses goals and cancels of a client in a hurry
RESULT_KEPT_S = 60  # each goal that is kept makes every status message longer


class Outcome(Enum):
    """How a goal ends."""

    SUCCEEDED = "succeed"
    ABORTED = "abort"
    CANCELED = "canceled"


class TickedActionServer(ActionServer):
    """An action server whose goals end when the node says so.

    Args:
        node: the node.
        action_type: e.g. `nav2_msgs.action.FollowPath`.
        name: relative action name.
        on_start: called with the goal handle once it executes; must return at once.
        accept: decides on a request; default accepts all, as Nav2's servers do (bad goals are accepted, then aborted with a code).

    A node polls `handle.is_cancel_requested` in its tick and then calls `finish(handle, Outcome.CANCELED, result)`.
    """

    def __init__(
        self,
        node: Any,
        action_type: Any,
        name: str,
        on_start: Callable[[ServerGoalHandle], None],
        accept: Callable[[Any], bool] = lambda request: True,
    ) -> None:
        self._on_start = on_start
        super().__init__(
            node,
            action_type,
            name,
            execute_callback=lambda handle: None,
            goal_callback=lambda request: GoalResponse.ACCEPT if accept(request) else GoalResponse.REJECT,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            goal_service_qos_profile=QoSProfile(depth=REQUESTS),
            result_service_qos_profile=QoSProfile(depth=REQUESTS),
            cancel_service_qos_profile=QoSProfile(depth=REQUESTS),
            result_timeout=RESULT_KEPT_S,
        )

    def notify_execute(self, goal_handle: ServerGoalHandle, execute_callback: Callable[[ServerGoalHandle], Any] | None) -> None:
        """Called by rclpy when the goal is to run."""
        self._on_start(goal_handle)

    def finish(self, goal_handle: ServerGoalHandle, outcome: Outcome, result: Any) -> None:
        """End a goal and answer whoever waits for its result; a goal that has already ended is left alone."""
        if not goal_handle.is_active:
            return
        if outcome is Outcome.CANCELED and not goal_handle.is_cancel_requested:
            outcome = Outcome.ABORTED  # only a client's request may end in CANCELED
        getattr(goal_handle, outcome.value)()
        super().notify_execute(goal_handle, lambda handle: result)


class ActionCall:
    """One goal sent to another node's action, followed by callbacks alone.

    on_result(status, result): status is `action_msgs/GoalStatus`; called with (STATUS_UNKNOWN, None) if the goal was refused.
    """

    def __init__(
        self, client: ActionClient, goal: Any, on_result: Callable[[int, Any], None], on_feedback: Callable[[Any], None] | None = None
    ) -> None:
        self._on_result = on_result
        self._handle: Any = None
        self._cancelled = False
        self.answered = False
        self.done = False
        feedback = None if on_feedback is None else lambda message: None if self._cancelled else on_feedback(message.feedback)
        client.send_goal_async(goal, feedback_callback=feedback).add_done_callback(self._on_answer)

    def cancel(self, *, silent: bool = False) -> None:
        """Ask for the goal's end; with `silent`, `on_result` is not called any more."""
        self._cancelled = True
        if silent:
            self._on_result = lambda status, result: None
        if self._handle is not None and not self.done:
            self._handle.cancel_goal_async()

    def _on_answer(self, future: Any) -> None:
        self._handle, self.answered = future.result(), True
        if self._handle is None or not self._handle.accepted:
            self.done = True
            self._on_result(0, None)
            return
        self._handle.get_result_async().add_done_callback(self._on_end)
        if self._cancelled:
            self._handle.cancel_goal_async()

    def _on_end(self, future: Any) -> None:
        self.done = True
        answer = future.result()
        self._on_result(int(answer.status) if answer else 0, answer.result if answer else None)
