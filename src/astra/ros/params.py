"""ROS parameters declared from configuration dataclasses, so that defaults, words, units and bounds exist once."""

from __future__ import annotations

import dataclasses
import difflib
import sys
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult

from astra.core.config import from_mapping
from astra.core.errors import BadInputError, ConfigError
from astra.ros.bounds import bound_of, descriptions, limits_of

T = TypeVar("T")


def declare_config(node: Any, cls: type[T], prefix: str = "", *, dynamic: tuple[str, ...] = (), on_change: Callable[[T], None] | None = None) -> T:
    """Declare one parameter per field of the dataclass `cls` (nested ones dotted) and build it from their values.

    Args:
        dynamic: beginnings of names that may be changed while the node runs; all others are read-only, for nobody would hear of a change.
        on_change: receives the whole new configuration after such a change, which the dataclass has accepted.

    Raises:
        ConfigError: a value that the dataclass refuses; the message names it and its bound.
    """
    where = f"parameter {prefix}".strip()
    config = from_mapping(cls, _values(node, cls, prefix, {}), where)
    _declare(node, config, prefix, dynamic)
    if dynamic and on_change is not None:
        _listen(node, cls, prefix, where, on_change)
    return config


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


def _values(node: Any, cls: Any, prefix: str, changed: dict[str, Any]) -> dict[str, Any]:
    """What was given for the fields: by a change under way, by a parameter that is declared already, or from outside."""
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name, default = f"{prefix}{field.name}", _default(field)
        if dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = _values(node, hints[field.name], f"{name}.", changed)
            continue
        if name in changed:
            value = changed[name]
        elif node.has_parameter(name):  # a node may be configured again after a cleanup
            value = node.get_parameter(name).value
        else:
            override = node._parameter_overrides.get(name)
            value = None if override is None else override.value
        if value is not None and value != _ros_value(default):
            values[field.name] = list(value) if not isinstance(value, (str, int, float, bool)) else value
        elif default is not None:
            values[field.name] = default
    return values


def _declare(node: Any, config: Any, prefix: str, dynamic: tuple[str, ...]) -> None:
    kind: Any = type(config)  # mypy takes no class for Hashable
    words = descriptions(kind)
    for field in dataclasses.fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            _declare(node, value, f"{name}.", dynamic)
        elif not node.has_parameter(name):
            # ROS has no empty-typed list and no null: both keep the default unless the user sets something.
            descriptor = ParameterDescriptor(description=words[field.name], read_only=not name.startswith(dynamic) if dynamic else True)
            ros_value = _ros_value(value)
            descriptor.dynamic_typing = ros_value is None or isinstance(ros_value, list)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                descriptor.additional_constraints = bound = bound_of(config, field.name)
                _limit(descriptor, limits_of(config, field.name, bound), isinstance(value, int))
            node.declare_parameter(name, ros_value, descriptor, ignore_override=True)


def _limit(descriptor: ParameterDescriptor, limits: tuple[float, float] | None, whole: bool) -> None:
    """Write a bound down in numbers where it has some."""
    if limits is None:
        return
    if whole:
        first, last = (int(min(max(limit, -(2**62)), 2**62)) for limit in limits)
        descriptor.integer_range = [IntegerRange(from_value=first, to_value=last)]
    else:
        low, high = (min(max(limit, -sys.float_info.max), sys.float_info.max) for limit in limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]


def _listen(node: Any, cls: type[T], prefix: str, where: str, on_change: Callable[[T], None]) -> None:
    """Changes are judged by the dataclass as a whole, then handed on as a whole; once for each node and prefix."""
    heard: dict[str, Callable[[T], None]] | None = getattr(node, "_config_listeners", None)
    if heard is None:
        heard = node._config_listeners = {}
    if prefix in heard:
        heard[prefix] = on_change
        return
    heard[prefix] = on_change

    def judge(parameters: list[Any]) -> SetParametersResult:
        changed = {p.name: p.value for p in parameters}
        try:
            from_mapping(cls, _values(node, cls, prefix, changed), where)
        except (BadInputError, ConfigError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def tell(parameters: list[Any]) -> None:
        if any(p.name.startswith(prefix) and node.has_parameter(p.name) for p in parameters):
            heard[prefix](from_mapping(cls, _values(node, cls, prefix, {}), where))

    node.add_on_set_parameters_callback(judge)
    node.add_post_set_parameters_callback(tell)


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def _ros_value(default: Any) -> Any:
    if isinstance(default, tuple):
        return list(default) if all(isinstance(v, (str, int, float, bool)) for v in default) and default else None
    return default if isinstance(default, (str, int, float, bool)) else None if default is None else str(default)
