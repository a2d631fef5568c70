"""MuJoCo, imported with headless rendering chosen first: it reads these variables only once."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from astra.core.errors import MissingDependencyError


def mujoco() -> ModuleType:
    """The module `mujoco`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("LP_NUM_THREADS", "0")  # software rendering: no helper threads beside the stack
    os.environ.setdefault("LP_PERF", "no_mip_linear")  # no blending between mipmap levels: a quarter of its time for a grey level or less
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise MissingDependencyError("the simulator needs MuJoCo: pip install mujoco") from error
