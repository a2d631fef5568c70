"""`astra eval soak`: missions in a loop through the real ROS graph, with an eye on everything that may leak."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from astra.core.config import require
from astra.core.errors import AstraError, BadInputError
from astra.evaluation import soak
from astra.ros.environment import activate
from astra.ros.mission import isolate_ros

if TYPE_CHECKING:
    from astra.ros.faults.bench import StackBench


@dataclass(frozen=True, slots=True)
class SoakConfig:
    """Where and how long; slopes are taken after the first `warm_up` of the time."""

    world: Path
    map: Path
    minutes: float = 60.0
    warm_up: float = 0.25
    sample_s: float = 10.0
    config: Path | None = None  # folder of parameter files instead of config/

    def __post_init__(self) -> None:
        require(0.1 <= self.minutes <= 10_000.0, "minutes", self.minutes, "between 0.1 and 10000")
        require(0.0 <= self.warm_up < 0.9, "warm_up", self.warm_up, "in [0, 0.9)")
        require(1.0 <= self.sample_s <= 600.0, "sample_s", self.sample_s, "between 1 and 600 s")


def run(config: SoakConfig, out: Path, say: Callable[[str], None]) -> list[soak.Sample]:
    """Patrol for so long and write what grew; what was sampled stands in `out` even if the run is cut short.

    Raises:
        BadInputError: the world carries no truth, or `out` holds a run already.
        AstraError: the stack did not come up, or a node stayed down.
    """
    isolate_ros()
    activate()
    from astra.ros.faults.bench import StackBench, load_average, patrol_places
    from astra.sim.world import load_world
    from astra.topomap.io import load_map

    truth = load_world(config.world).truth
    if truth is None:
        raise BadInputError(f"{config.world} carries no truth: use a world made by `astra sim world`")
    if (out / soak.SAMPLES).exists():
        raise BadInputError(f"{out} holds a soak run already; a process that ended cannot be soaked on")
    out.mkdir(parents=True, exist_ok=True)
    start, places = truth.tour_start, patrol_places(load_map(config.map))
    samples: list[soak.Sample] = []
    told_to = f"{start.x},{start.y},{start.yaw}"
    with StackBench(config.world, config.map, told_to, places, out, say, record=False, faulty=False, config_dir=config.config) as bench:
        bench.patrol(True)
        began, told = time.monotonic(), 0
        while (passed_s := time.monotonic() - began) < 60.0 * config.minutes:
            bench.spend(config.sample_s)
            samples += _sample(bench, time.monotonic() - began, out)
            told = _note_ends(bench, began, told, out, say)
            del bench.truth[:-100], bench.simulated_s[:-100], bench.commands[:-100]  # the watcher must not be what grows
            if bench.supervisor.failed:
                raise AstraError(f"{', '.join(bench.supervisor.failed)} stayed down after {passed_s / 60.0:.1f} minutes; logs in {out / 'logs'}")
        ends = [soak.MissionEnd(bench.since(when, began), code, words) for when, code, words in bench.ends]
        soak.write(out, samples, ends, bench.collisions, 60.0 * config.minutes * config.warm_up, load_average())
    return samples


def _note_ends(bench: StackBench, began: float, told: int, out: Path, say: Callable[[str], None]) -> int:
    for when, code, words in bench.ends[told:]:
        soak.append(out / soak.MISSIONS, soak.MissionEnd(bench.since(when, began), code, words))
        say(f"{bench.since(when, began) / 60.0:.1f} min: mission {len(bench.ends)} ended with {code} {words}")
    return len(bench.ends)


def _sample(bench: StackBench, time_s: float, out: Path) -> list[soak.Sample]:
    """Look at every process of the stack."""
    found = []
    for name in bench.supervisor.names:
        pid = bench.supervisor.pid(name)
        if pid is None:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            with process.oneshot():
                memory, cpu = process.memory_info(), process.cpu_times()
                segments = sum("/dev/shm/" in line for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines())
                private_mb = (memory.rss - memory.shared) / 1e6
                found.append(soak.Sample(round(time_s, 2), name, pid, private_mb, process.num_threads(), process.num_fds(), segments, cpu.user + cpu.system))
    for sample in found:
        soak.append(out / soak.SAMPLES, sample)
    return found
