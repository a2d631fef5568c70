"""What looking costs: one tick of the eyes, in wall and CPU time, part by part, and the memory of the process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.paths import share_dir
from astra.core.types import NANOSECONDS, FloatArray, UInt8Array
from astra.evaluation.bench_report import Result, spread, write_report
from astra.geometry import Pose2
from astra.local_model.runtime import Eyes, EyesConfig
from astra.sim.robot import RobotConfig


@dataclass(frozen=True, slots=True)
class BenchLocalConfig:
    """What is run; images have noise in them, since cost does not depend on what is seen."""

    eyes: Path = Path("models/eyes")
    ticks: int = 200
    warm_up: int = 25  # ticks before the clock starts, so that the past is full
    threads: int = 1

    def __post_init__(self) -> None:
        require(self.ticks >= 10, "ticks", self.ticks, "at least 10")
        require(self.warm_up >= 1, "warm_up", self.warm_up, "at least 1")


def run(config: BenchLocalConfig, out: Path, told: Callable[[str], None]) -> list[Result]:
    """Measure and write the report.

    Raises:
        BadInputError: no exported eyes.
    """
    folder = config.eyes if config.eyes.is_absolute() or config.eyes.is_dir() else share_dir() / config.eyes
    before = _resident_mb()
    rig = RobotConfig().rig()
    eyes = Eyes(folder, rig, EyesConfig(threads=config.threads))
    wall, cpu = measure(eyes, config)
    told(f"{config.ticks} ticks")
    camera = rig.cameras[0].model
    results = [
        *spread("eyes_wall", wall * 1e3, "ms", "p95 ≤ 50 ms"), *spread("eyes_cpu", cpu * 1e3, "ms", "≤ 90 ms"),
        Result("memory_added", _resident_mb() - before, "MB", target="≤ 600 MB for the process"), Result("memory", _resident_mb(), "MB"),
    ]  # fmt: skip
    kind = "with forecast" if eyes.forecaster is not None else "without forecast"
    notes = (
        f"{len(rig.cameras)} cameras of {camera.width}×{camera.height}, {config.threads} thread(s), {kind}. CPU time is of the process; wall time "
        "suffers from whatever else runs."
    )
    write_report(results, out, "What looking costs", notes)
    return results


def measure(eyes: Eyes, config: BenchLocalConfig) -> tuple[FloatArray, FloatArray]:
    """Wall and CPU time of each tick (N,) [s], at ten ticks a second of a robot that drives."""
    rng, size = np.random.default_rng(0), (eyes.rig.cameras[0].model.height, eyes.rig.cameras[0].model.width, 3)
    pictures: list[dict[str, UInt8Array]] = [{n: rng.integers(0, 255, size, dtype=np.uint8) for n in eyes.rig.names} for _ in range(4)]
    wall, cpu = [], []
    for tick in range(config.warm_up + config.ticks):
        pose = Pose2(0.05 * tick, 0.0, math.remainder(0.02 * tick, 2.0 * math.pi))
        began, began_cpu = time.perf_counter(), time.process_time()
        eyes.see(dict(pictures[tick % 4]), round(tick * 0.1 * NANOSECONDS), pose)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return np.array(wall[config.warm_up :]), np.array(cpu[config.warm_up :])


def _resident_mb() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6
