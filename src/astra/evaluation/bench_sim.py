"""`astra bench sim`: what worlds cost to make, to render and to drive through, and whether all of them are good.

Times are CPU time of this process, all its threads: wall time says little on a shared machine.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError, BadInputError
from astra.core.types import FloatArray
from astra.evaluation.bench_report import Result, spread, write_report
from astra.evaluation.world_sfm import reconstruct_walk
from astra.evaluation.world_signs import unread_signs
from astra.geometry import Pose2
from astra.perception.text import TextReader
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.starts import random_start
from astra.sim.world import World
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS, Kind

logger = logging.getLogger(__name__)
SIZES = ((160, 120), (224, 160))
RENDER_TARGET_MS = {(160, 120): 1.5, (224, 160): 2.6}
TRIANGLES = 20_000
CONTROL_S, IMAGE_EVERY = 0.02, 5  # 50 Hz of commands, 10 Hz of images


@dataclass(frozen=True, slots=True)
class BenchSimConfig:
    """How much is measured."""

    worlds: int = 200  # generated in all, kinds in turn
    first_seed: int = 20_000
    poses: int = 60  # rendered in each world that is rendered
    rendered: int = 2  # worlds of each kind
    driven_s: float = 20.0
    sfm: bool = True
    processes: int = 2

    def __post_init__(self) -> None:
        require(self.worlds >= 3, "worlds", self.worlds, "at least 3")
        require(1 <= self.rendered <= self.worlds // 3, "rendered", self.rendered, "between 1 and a third of worlds")
        require(self.poses >= 2, "poses", self.poses, "at least 2")
        require(self.driven_s >= 1.0, "driven_s", self.driven_s, "at least 1")
        require(1 <= self.processes <= 64, "processes", self.processes, "between 1 and 64")


def run(config: BenchSimConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Measure everything and write the report; worlds that were made by an earlier run count and are not made again."""
    out.mkdir(parents=True, exist_ok=True)
    results = generation(config, out / "worlds.jsonl", progress)
    with tempfile.TemporaryDirectory() as scratch:
        for kind in KINDS:
            worlds = [generate(kind, config.first_seed + k, Path(scratch) / f"{kind}{k}") for k in range(config.rendered)]
            progress(f"rendering {kind}s")
            results += rendering(kind, worlds, config)
            results += driving(kind, worlds[0], config)
            read = [unread_signs(world, TextReader()) for world in worlds]
            results.append(Result(f"{kind}/signs_unread", float(sum(len(left) for left, _ in read)), "", sum(n for _, n in read), None, "0"))
            if config.sfm:
                progress(f"structure from motion in a {kind}")
                sfm = reconstruct_walk(worlds[0])
                results.append(Result(f"{kind}/sfm_ate", 100.0 * sfm.ate_m, "cm", sfm.registered, None, "< 5"))
    write_report(results, out, "Worlds", "CPU milliseconds of one process; `astra bench sim`.")
    return results


def generation(config: BenchSimConfig, path: Path, progress: Callable[[str], None]) -> list[Result]:
    """Make many worlds: how many fail, and what each costs. Every world is a line of `path`."""
    done = {(row["kind"], row["seed"]): row for row in _lines(path)}
    wanted = [(KINDS[k % len(KINDS)], config.first_seed + k // len(KINDS)) for k in range(config.worlds)]
    left = [job for job in wanted if job not in done]
    with ProcessPoolExecutor(config.processes) as pool, path.open("a", encoding="utf-8") as file:
        for row in pool.map(_make, *zip(*left), chunksize=1) if left else ():
            file.write(json.dumps(row) + "\n")
            file.flush()
            done[row["kind"], row["seed"]] = row
            progress(f"{len(done)} of {config.worlds} worlds")
    rows = [done[job] for job in wanted]
    failed = [row for row in rows if row["error"]]
    for row in failed:
        logger.warning("%s %d: %s", row["kind"], row["seed"], row["error"])
    results = [Result("worlds/failed", float(len(failed)), "", len(rows), None, "0")]
    for kind in KINDS:
        times = [row["cpu_s"] for row in rows if row["kind"] == kind and not row["error"]]
        if times:
            results += spread(f"{kind}/generation", np.array(times), "s")
    return results


def _make(kind: Kind, seed: int) -> dict[str, object]:
    """Make one world and throw it away."""
    began = time.process_time()
    error = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            generate(kind, seed, Path(folder) / "world")
        except AstraError as problem:
            error = str(problem)
    return {"kind": kind, "seed": seed, "cpu_s": round(time.process_time() - began, 2), "error": error}


def rendering(kind: Kind, worlds: Sequence[World], config: BenchSimConfig) -> list[Result]:
    """CPU time of an image, and triangles submitted for a view, from poses all over the floor."""
    results: list[Result] = []
    triangles: list[int] = []
    for size in SIZES:
        times: list[float] = []
        for number, world in enumerate(worlds):
            simulation = Simulation(world, _with_size(size), 0)
            rng = np.random.default_rng(number)
            simulation.render()  # the context is made, textures are uploaded
            for _ in range(config.poses):
                simulation.place(random_start(world, rng))
                began = time.process_time()
                views = simulation.render()
                times.append(1000.0 * (time.process_time() - began) / len(views))
                triangles += simulation.triangles
            simulation.close()
        width, height = size
        results += spread(f"{kind}/render_{width}x{height}", np.array(times), "ms", f"mean ≤ {RENDER_TARGET_MS[size]}")
    results.append(Result(f"{kind}/triangles_max", float(max(triangles)), "", len(triangles), None, f"≤ {TRIANGLES}"))
    return results


def driving(kind: Kind, world: World, config: BenchSimConfig) -> list[Result]:
    """How many times faster than real time the closed loop runs in process: 4 cameras at 10 Hz, 400 Hz physics, IMU, wheels, lidar, movers."""
    if world.truth is None:
        raise BadInputError(f"{world.scene} has no truth")
    simulation = Simulation(world, _with_size((224, 160)), 0)
    simulation.render()
    path: FloatArray = world.truth.tour
    began, start_ns = time.process_time(), simulation.time_ns
    for tick in range(round(config.driven_s / CONTROL_S)):
        if tick % IMAGE_EVERY == 0:
            simulation.render()
            simulation.scan()
        simulation.set_command(*_towards(simulation.pose(), path))
        simulation.advance(CONTROL_S)
        simulation.drain_imu()
        simulation.drain_wheel()
    spent, simulated = time.process_time() - began, (simulation.time_ns - start_ns) * 1e-9
    simulation.close()
    return [Result(f"{kind}/real_time_factor", simulated / spent, "×", 1, None, "≥ 5")]


def _towards(pose: Pose2, path: FloatArray) -> tuple[float, float]:
    """Roughly along the tour: enough to have something happen."""
    nearest = int(np.argmin(np.linalg.norm(path - [pose.x, pose.y], axis=1)))
    target = path[min(nearest + 3, len(path) - 1)]
    error = math.remainder(math.atan2(target[1] - pose.y, target[0] - pose.x) - pose.yaw, 2.0 * math.pi)
    return (0.4 if abs(error) < 0.6 else 0.0), float(np.clip(1.5 * error, -1.0, 1.0))


def _with_size(size: tuple[int, int]) -> RobotConfig:
    robot = RobotConfig()
    return replace(robot, cameras=replace(robot.cameras, width=size[0], height=size[1]))


def _lines(path: Path) -> list[dict[str, object]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
