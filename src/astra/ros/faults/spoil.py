"""Ways in which a sensor's messages go bad between the driver and the stack."""

from __future__ import annotations

import array
import copy
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from astra.core.errors import BadInputError
from astra.core.types import nanoseconds
from astra.ros.conversions import ns_from_stamp, stamp_from_ns

Spoiler = Callable[[Any], tuple[Any, ...]]  # a message in, the messages that are published instead
FLOATS = ("float", "double")


def missing(message: Any) -> tuple[Any, ...]:
    """Nothing comes."""
    return ()


def black(message: Any) -> tuple[Any, ...]:
    """A picture without light; other messages pass."""
    if not hasattr(message, "encoding"):
        return (message,)
    message.data = array.array("B", bytes(len(message.data)))
    return (message,)


def poisoned(message: Any) -> tuple[Any, ...]:
    """Every number that can be NaN is NaN."""
    return (with_every_float(message, math.nan),)


class Frozen:
    """The first message's content for ever, with fresh stamps, as a driver does whose buffer hangs."""

    def __init__(self) -> None:
        self._first: dict[type, Any] = {}

    def __call__(self, message: Any) -> tuple[Any, ...]:
        first = self._first.setdefault(type(message), message)
        out = copy.copy(first)
        out.header = message.header
        return (out,)


class Late:
    """Everything comes `delay` messages later, with its true stamp."""

    def __init__(self, delay: int) -> None:
        self._delay, self._waiting = delay, deque[Any]()

    def __call__(self, message: Any) -> tuple[Any, ...]:
        self._waiting.append(message)
        return (self._waiting.popleft(),) if len(self._waiting) > self._delay else ()


class Scaled:
    """Wheel odometry whose speeds are off by a factor."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def __call__(self, message: Any) -> tuple[Any, ...]:
        message.twist.twist.linear.x *= self._factor
        message.twist.twist.angular.z *= self._factor
        return (message,)


class Shifted:
    """The clock has jumped: all stamps are off by so much."""

    def __init__(self, offset_s: float) -> None:
        self._offset_ns = nanoseconds(offset_s)

    def __call__(self, message: Any) -> tuple[Any, ...]:
        if hasattr(message, "clock"):
            message.clock = self._moved(message.clock)
        elif hasattr(message, "header"):
            message.header.stamp = self._moved(message.header.stamp)
        return (message,)

    def _moved(self, stamp: Any) -> Any:
        return stamp_from_ns(max(ns_from_stamp(stamp) + self._offset_ns, 0))


def spoiler(name: str, value: float = 0.0) -> Spoiler:
    """By name: missing, black, frozen, late (value: messages), scaled (value: factor), shifted (value: seconds), poisoned.

    Raises:
        BadInputError: there is no such way.
    """
    made: dict[str, Callable[[], Spoiler]] = {
        "missing": lambda: missing, "black": lambda: black, "poisoned": lambda: poisoned, "frozen": Frozen,
        "late": lambda: Late(int(value)), "scaled": lambda: Scaled(value), "shifted": lambda: Shifted(value),
    }  # fmt: skip
    if name not in made:
        raise BadInputError(f"a message cannot be {name!r}; known: {', '.join(made)}")
    return made[name]()


def with_every_float(message: Any, value: float) -> Any:
    """The same message with every floating-point field, however deep, set to a value; lists keep their length."""
    for name, kind in message.get_fields_and_field_types().items():
        setattr(message, name, _filled(getattr(message, name), kind, value))
    return message


def _filled(content: Any, kind: str, value: float) -> Any:
    base = kind.removeprefix("sequence<").split("[")[0].split(",")[0].removesuffix(">")
    if base in FLOATS:
        if not hasattr(content, "__len__"):
            return value
        return type(content)(content.typecode, [value] * len(content)) if isinstance(content, array.array) else [value] * len(content)
    if hasattr(content, "get_fields_and_field_types"):
        return with_every_float(content, value)
    if isinstance(content, list) and content and hasattr(content[0], "get_fields_and_field_types"):
        return [with_every_float(item, value) for item in content]
    return content
