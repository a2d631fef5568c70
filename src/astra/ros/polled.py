"""Subscriptions that are read when somebody needs them, instead of waking the executor for every message.

rclpy builds its wait set anew at every wake-up, about a millisecond of a small robot's CPU; an IMU at 200 Hz alone would cost a fifth of a core.
A polled subscription never wakes the executor: its messages wait in the middleware's queue until `drain` takes them.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle


class NeverReady(CallbackGroup):
    """A group whose members the executor leaves out of its wait set."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


class PolledSubscription:
    """A subscription of `node`; with a queue of `profile.depth` messages, older ones are lost."""

    def __init__(self, node: Any, message_type: Any, topic: str, profile: Any) -> None:
        self._node, self._type = node, message_type
        self._subscription = node.create_subscription(message_type, topic, lambda message: None, profile, callback_group=NeverReady())

    def drain(self) -> list[Any]:
        """Every message that has arrived since the last call, oldest first."""
        messages = []
        try:
            with self._subscription.handle:
                while (taken := self._subscription.handle.take_message(self._type, False)) is not None:
                    messages.append(taken[0])
        except InvalidHandle:  # destroyed meanwhile
            pass
        return messages

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)
