"""Evaluate launch files where the `launch` package is not installed.

Stand-ins for the few names our launch files use are put into `sys.modules`; a name that is not among them fails the import, so nothing passes unseen.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOREIGN = "share of "  # how paths into other packages begin


@dataclass
class Context:
    values: dict[str, str]
    processes: list[list[str]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    foreign: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # launch files of other packages with their arguments


class Substitution:
    def perform(self, context: Context) -> str:
        raise NotImplementedError


class LaunchConfiguration(Substitution):
    def __init__(self, name: str) -> None:
        self.name = name

    def perform(self, context: Context) -> str:
        return context.values[self.name]


class FindPackagePrefix(Substitution):
    def __init__(self, package: str) -> None:
        self.package = package

    def perform(self, context: Context) -> str:
        from ament_index_python.packages import get_package_prefix

        return str(get_package_prefix(self.package))


class FindPackageShare(Substitution):
    """The share folder of a package, installed or not: nothing in it is read."""

    def __init__(self, package: str) -> None:
        self.package = package

    def perform(self, context: Context) -> str:
        return f"{FOREIGN}{self.package}"


class PathJoinSubstitution(Substitution):
    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts

    def perform(self, context: Context) -> str:
        return "/".join(text(part, context) for part in self.parts)


def text(value: Any, context: Context) -> str:
    if isinstance(value, (list, tuple)):
        return "".join(text(part, context) for part in value)
    return value.perform(context) if isinstance(value, Substitution) else str(value)


class AppendEnvironmentVariable:
    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def visit(self, context: Context) -> None:
        context.environment[self.name] = text(self.value, context)


class DeclareLaunchArgument:
    def __init__(self, name: str, *, default_value: str | None = None, description: str = "") -> None:
        self.name, self.default = name, default_value

    def visit(self, context: Context) -> None:
        if self.name not in context.values:
            assert self.default is not None, f"launch argument {self.name} is required"
            context.values[self.name] = self.default


class OpaqueFunction:
    def __init__(self, *, function: Any) -> None:
        self.function = function

    def visit(self, context: Context) -> None:
        for action in self.function(context) or []:
            action.visit(context)


class Node:
    def __init__(self, *, package: str, executable: str, name: str, namespace: Any, parameters: list[Any], **rest: Any) -> None:
        assert set(rest) <= {"output", "respawn", "respawn_delay", "remappings", "arguments"}, rest
        self.namespace, self.parameters = namespace, parameters
        self.values = {"package": package, "executable": executable, "name": name, **{key: rest.get(key, []) for key in ("remappings", "arguments")}}

    def visit(self, context: Context) -> None:
        parameters = [
            {key: text(value, context) if isinstance(value, Substitution) else value for key, value in entry.items()} if isinstance(entry, dict) else entry
            for entry in self.parameters
        ]
        context.nodes.append({**self.values, "namespace": text(self.namespace, context), "parameters": parameters})


class ExecuteProcess:
    def __init__(self, *, cmd: list[Any], output: str) -> None:
        self.cmd = cmd

    def visit(self, context: Context) -> None:
        context.processes.append([text(part, context) for part in self.cmd])


class PythonLaunchDescriptionSource:
    def __init__(self, path: Any) -> None:
        self.path = path


class IncludeLaunchDescription:
    def __init__(self, source: PythonLaunchDescriptionSource, *, launch_arguments: list[tuple[str, Any]]) -> None:
        self.source, self.arguments = source, launch_arguments

    def visit(self, context: Context) -> None:
        path, arguments = text(self.source.path, context), {name: text(value, context) for name, value in self.arguments}
        if path.startswith(FOREIGN):
            context.foreign.append((path.removeprefix(FOREIGN), arguments))
            return
        inner = evaluate(Path(path), {**context.values, **arguments})  # arguments are inherited, as in launch itself
        context.nodes += inner.nodes
        context.processes += inner.processes


class LaunchDescription:
    def __init__(self, actions: list[Any]) -> None:
        self.actions = actions


STAND_INS: dict[str, dict[str, Any]] = {
    "launch": {"LaunchDescription": LaunchDescription},
    "launch.actions": {
        "DeclareLaunchArgument": DeclareLaunchArgument, "OpaqueFunction": OpaqueFunction, "ExecuteProcess": ExecuteProcess,
        "IncludeLaunchDescription": IncludeLaunchDescription, "AppendEnvironmentVariable": AppendEnvironmentVariable,
    },
    "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration, "PathJoinSubstitution": PathJoinSubstitution},
    "launch.launch_description_sources": {"PythonLaunchDescriptionSource": PythonLaunchDescriptionSource},
    "launch_ros": {},
    "launch_ros.actions": {"Node": Node},
    "launch_ros.substitutions": {"FindPackagePrefix": FindPackagePrefix, "FindPackageShare": FindPackageShare},
}  # fmt: skip


@contextmanager
def stand_ins() -> Iterator[None]:
    before = {name: sys.modules.get(name) for name in STAND_INS}
    for name, content in STAND_INS.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        module.__path__ = []
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = old


def evaluate(path: Path, arguments: dict[str, str]) -> Context:
    """What the launch file would start with these arguments."""
    with stand_ins():
        spec = importlib.util.spec_from_file_location("launch_file", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        context = Context(dict(arguments))
        for action in module.generate_launch_description().actions:
            action.visit(context)
    return context
