"""The package's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times faster


def read_yaml(name: str) -> Any:
    """The content of a YAML file beside this one."""
    return yaml.load((Path(__file__).parent / name).read_text("utf-8"), Loader=_LOADER)
