"""Configuration: one frozen dataclass per component, overridden by YAML, unknown keys refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from astra.core.errors import BadInputError, ConfigError

T = TypeVar("T")
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times faster


def require(condition: bool, name: str, value: object, bound: str) -> None:
    """Raise `ConfigError` naming the value and its bound unless `condition` holds; for use in `__post_init__`."""
    if not condition:
        raise ConfigError(f"{name} = {value!r} is out of bounds: must be {bound}")


def parse_yaml(text: str) -> Any:
    """Plain YAML, quickly.

    Raises:
        yaml.YAMLError: it is not.
    """
    return yaml.load(text, Loader=_LOADER)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from `path`.

    Raises:
        ConfigError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must hold a mapping, found {type(document).__name__}")
    return document


def from_mapping(cls: type[T], values: dict[str, Any], where: str = "configuration") -> T:
    """Build the dataclass `cls` from a mapping; nested dataclasses from nested mappings.

    Raises:
        ConfigError: an unknown key, a value of the wrong type, or one that `__post_init__` refuses.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(fields))}")
    converted = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**converted)
    except BadInputError as error:
        if str(where) in str(error):
            raise
        raise type(error)(f"{where}: {error}") from error


def load_config(cls: type[T], path: Path | None) -> T:
    """The defaults of `cls`, with the overrides in the YAML file at `path` if one is given."""
    return cls() if path is None else from_mapping(cls, load_yaml(path), str(path))


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a mapping, found {value!r}")
        return from_mapping(hint, value, where)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in typing.get_args(hint):
            return None
        return _convert(next(arg for arg in typing.get_args(hint) if arg is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, found {value!r}")
        args = typing.get_args(hint)
        inner = [args[0]] * len(value) if args[-1:] == (Ellipsis,) else list(args)
        if len(inner) != len(value):
            raise ConfigError(f"{where} must have {len(inner)} entries, found {len(value)}")
        return tuple(_convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(inner, value)))
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool)):
        raise ConfigError(f"{where} must be of type {hint.__name__}, found {value!r}")
    return value
