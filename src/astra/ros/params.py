"""ROS parameters declared from configuration dataclasses, so that defaults exist once."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor

from astra.core.config import from_mapping
from astra.core.errors import ConfigError

T = TypeVar("T")


def declare_config(node: Any, cls: type[T], prefix: str = "") -> T:
    """Declare one parameter per field of the dataclass `cls` (nested ones dotted) and build it from their values.

    Descriptions come from `field(metadata={"help": …})`; units and bounds live in the dataclass, whose checks apply.

    Raises:
        ConfigError: a value that the dataclass refuses; the message names it and its bound.
    """
    return from_mapping(cls, _declare(node, cls, prefix), f"parameter {prefix}".strip())


def refuse_unknown(node: Any) -> None:
    """Once everything is declared: a parameter that was given but that nobody knows is a typing error.

    Raises:
        ConfigError: names it, and the known one that looks most like it.
    """
    given = {name for name in node._parameter_overrides if not name.startswith(("qos_overrides.", "ros__"))}
    known = set(node._parameters)
    for name in sorted(given - known):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"parameter {name!r} is not known to {node.get_name()}{hint}")


def _declare(node: Any, cls: Any, prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name, default = f"{prefix}{field.name}", _default(field)
        if dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = _declare(node, hints[field.name], f"{name}.")
            continue
        if not node.has_parameter(name):  # a node may be configured again after a cleanup
            # ROS has no empty-typed list and no null: both keep the default unless the user sets something.
            description = str(field.metadata.get("help", ""))
            descriptor = ParameterDescriptor(description=description, dynamic_typing=True, read_only=True)  # nobody would hear of a change
            node.declare_parameter(name, _ros_value(default), descriptor)
        value = node.get_parameter(name).value
        if value is not None and value != _ros_value(default):
            values[field.name] = list(value) if not isinstance(value, (str, int, float, bool)) else value
        elif default is not None:
            values[field.name] = default
    return values


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def _ros_value(default: Any) -> Any:
    if isinstance(default, tuple):
        return list(default) if all(isinstance(v, (str, int, float, bool)) for v in default) and default else None
    return default if isinstance(default, (str, int, float, bool)) else None if default is None else str(default)
