"""What a map costs against the number of its frames: CPU time of every stage, pairs, matches, memory, and whether the map is still right."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.paths import atomic_write, cache_dir, recipe_hash
from astra.core.types import UInt8Array
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.mapping.judge import is_consistent, map_errors
from astra.evaluation.mapping.long_tour import LongTour, long_tour
from astra.evaluation.mapping.measure import code_hash
from astra.mapping.build import MappingConfig, build_map
from astra.mapping.landmarks import LandmarkDetection
from astra.mapping.progress import Tick
from astra.mapping.text_landmarks import TextLandmarkExtractor
from astra.perception.place import PlaceEncoder
from astra.sim.world import load_world
from astra.sim.worlds.build import generate
from astra.topomap.io import load_map

MOST_GROWTH = 2.0  # of the time a frame between the smallest and the largest tour
MOST_MB = 2000.0
NOTES = (
    "One camera of 640×480 on a robot with wheel odometry, pictures where keyframes are due (0.4 m or 25° apart); each lap of the tour lies a little "
    "aside of the last. CPU seconds of one thread; `astra bench map`."
)
STAGES = ("keyframes", "features", "matching", "verifying", "sfm", "focal", "audit", "reading", "landmarks", "writing", "rest")


@dataclass(frozen=True, slots=True)
class BenchMapConfig:
    """Tours of `frames` pictures of one camera; `landmarks`: whether signs are read."""

    frames: tuple[int, ...] = (100, 300, 1000)
    seed: int = 10000  # of the office
    width: int = 640
    height: int = 480
    landmarks: bool = True
    mapping: MappingConfig = field(default_factory=lambda: MappingConfig(threads=1))

    def __post_init__(self) -> None:
        require(len(self.frames) > 0 and min(self.frames) >= 10, "frames", self.frames, "at least one, each ≥ 10")
        require(list(self.frames) == sorted(set(self.frames)), "frames", self.frames, "rising")

    def every_frame(self) -> MappingConfig:
        """The mapping's settings with every picture of the tour a keyframe; they were taken where keyframes are due."""
        kept = replace(self.mapping.keyframes, distance_m=0.05, turn_rad=0.05, max_keyframes=10**6, blur_ratio=0.0)
        sfm = replace(self.mapping.sfm, threads=self.mapping.threads)
        return replace(self.mapping, keyframes=kept, sfm=sfm)


@dataclass(frozen=True, slots=True)
class MapCost:
    """One tour's map. `cpu_s`: stage → CPU seconds; `peak_mb` is of the whole process."""

    frames: int
    key: str
    cpu_s: dict[str, float]
    wall_s: float
    peak_mb: float
    pairs: int
    matched: int
    registered: int
    fragments: int
    consistent: bool
    ate_m: float
    worst_m: float

    @property
    def total_s(self) -> float:
        """CPU seconds of everything."""
        return sum(self.cpu_s.values())


def run(config: BenchMapConfig, out: Path, told: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Measure every size in a process of its own and write the report; sizes that were measured before are taken from the last run."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / "costs.jsonl"
    done = {cost.key: cost for cost in read_costs(record)}
    costs = []
    for frames in config.frames:
        key = recipe_hash({"code": code_hash(), "config": asdict(replace(config, frames=(frames,)))})
        if key not in done:
            material(config, frames)  # rendering is no part of mapping
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                done[key] = pool.submit(measure, config, frames, key, out).result()
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(done[key])) + "\n")
        costs.append(done[key])
        told(f"{frames} frames: {done[key].total_s:.0f} CPU s, {1e3 * done[key].total_s / frames:.0f} ms a frame, {done[key].peak_mb:.0f} MB")
    results = figures(costs)
    write_report(results, out, "What a map costs", NOTES)
    atomic_write(out / "report.md", (out / "report.md").read_text(encoding="utf-8") + "\n" + table(costs))
    draw(costs, out / "mapping_cost.png")
    return results


def material(config: BenchMapConfig, frames: int) -> LongTour:
    """The tour's pictures; world and pictures are made once and kept in the cache."""
    root = cache_dir() / "bench"
    folder = root / "worlds" / f"office{config.seed}"
    world = load_world(folder) if folder.is_dir() else generate("office", config.seed, folder)
    return long_tour(world, root / "tours" / f"office{config.seed}-{config.width}x{config.height}", frames, max(config.frames), (config.width, config.height))


class CpuClock:
    """Keeps what each stage costs this process, except for what runs beside it; satisfies `mapping.progress.Progress`."""

    def __init__(self, beside: TimedExtractor | None) -> None:
        self.cpu_s: dict[str, float] = {}
        self._beside = beside
        self._began: dict[str, float] = {}

    def start(self, name: str, total: int | None) -> Tick:
        """A stage begins."""
        self._began[name] = self._now()
        return lambda done: None

    def finish(self, name: str) -> None:
        """It is done."""
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + self._now() - self._began[name]

    def _now(self) -> float:
        return time.process_time() - (self._beside.cpu_s if self._beside is not None else 0.0)


class TimedExtractor:
    """Reads text and keeps what that costs; satisfies `LandmarkExtractor`. The reader has one thread, the one that calls it."""

    name = "text"

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._extractor = TextLandmarkExtractor()

    def extract(self, rgb: UInt8Array) -> tuple[LandmarkDetection, ...]:
        """The text in an image (H, W, 3)."""
        began = time.thread_time()
        found = self._extractor.extract(rgb)
        self.cpu_s += time.thread_time() - began
        return found


def measure(config: BenchMapConfig, frames: int, key: str, out: Path) -> MapCost:
    """Build one tour's map from nothing in this process."""
    tour = material(config, frames)
    path, work = out / "maps" / str(frames), out / "work" / str(frames)
    os.environ["ASTRA_CACHE"] = str(work)
    shutil.rmtree(work, ignore_errors=True)
    extractor = TimedExtractor() if config.landmarks else None
    clock = CpuClock(extractor)
    began, began_wall = time.process_time(), time.perf_counter()
    info = build_map([tour], path, config.every_frame(), extractor, PlaceEncoder(), clock)
    cpu, wall = time.process_time() - began, time.perf_counter() - began_wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stages = {**clock.cpu_s, "reading": extractor.cpu_s if extractor is not None else 0.0}
    stages["rest"] = max(cpu - sum(stages.values()), 0.0)
    record: dict[str, Any] = dict(info.build)
    topo = load_map(path)
    errors = map_errors(topo, tour.truth)
    return MapCost(
        frames,
        key,
        {name: round(seconds, 2) for name, seconds in stages.items()},
        round(wall, 1),
        round(peak),
        int(record["pairs"]["compared"]),
        int(record["pairs"]["matched"]),
        len(topo.nodes),
        len(errors),
        is_consistent(topo),
        max(e.ate_m for e in errors),
        max(e.worst_m for e in errors),
    )


def figures(costs: Sequence[MapCost]) -> list[Result]:
    """Each size, and how cost grows from the smallest to the largest; the exponent is that of frames."""
    results = []
    for cost in costs:
        name = f"{cost.frames}_frames"
        results += [
            Result(f"{name}/cpu_a_frame", 1e3 * cost.total_s / cost.frames, "ms", cost.frames),
            Result(f"{name}/pairs", float(cost.pairs), "", cost.frames),
            Result(f"{name}/peak_memory", cost.peak_mb, "MB", 1, None, f"≤ {MOST_MB:g}"),
            Result(f"{name}/registered", cost.registered / cost.frames, "", cost.frames),
            Result(f"{name}/ate", 100.0 * cost.ate_m, "cm", cost.registered),
        ]
    few, many = costs[0], costs[-1]
    if few.frames == many.frames:
        return results
    ratio = many.frames / few.frames
    growth = {"all": many.total_s / few.total_s, "pairs": many.pairs / few.pairs, "matching": many.cpu_s["matching"] / max(few.cpu_s["matching"], 1e-3)}
    results.append(Result("time_a_frame_growth", growth["all"] / ratio, "×", ratio_n(costs), None, f"≤ {MOST_GROWTH:g}"))
    return results + [Result(f"{name}_exponent", math.log(value) / math.log(ratio), "", ratio_n(costs), None, "< 2") for name, value in growth.items()]


def ratio_n(costs: Sequence[MapCost]) -> int:
    """How many sizes a growth is told from."""
    return len(costs)


def table(costs: Sequence[MapCost]) -> str:
    """CPU milliseconds a frame of every stage, one column a size, as Markdown."""
    lines = ["| | " + " | ".join(f"{c.frames} frames" for c in costs) + " |", "|---|" + "---|" * len(costs)]
    shown = [stage for stage in STAGES if any(c.cpu_s.get(stage, 0.0) >= 0.05 for c in costs)]
    lines += [f"| {stage} | " + " | ".join(f"{1e3 * c.cpu_s.get(stage, 0.0) / c.frames:.0f} ms" for c in costs) + " |" for stage in shown]
    lines.append("| **a frame** | " + " | ".join(f"**{1e3 * c.total_s / c.frames:.0f} ms**" for c in costs) + " |")
    lines.append("| all, CPU | " + " | ".join(f"{c.total_s:.0f} s" for c in costs) + " |")
    lines.append("| pairs compared (a frame) | " + " | ".join(f"{c.pairs} ({c.pairs / c.frames:.1f})" for c in costs) + " |")
    lines.append("| pairs with matches | " + " | ".join(f"{c.matched}" for c in costs) + " |")
    lines.append("| peak memory | " + " | ".join(f"{c.peak_mb:.0f} MB" for c in costs) + " |")
    lines.append("| frames in the map, fragments | " + " | ".join(f"{c.registered}, {c.fragments}" for c in costs) + " |")
    lines.append("| ATE, worst node | " + " | ".join(f"{100 * c.ate_m:.1f}, {100 * c.worst_m:.0f} cm" for c in costs) + " |")
    lines.append("| called | " + " | ".join("consistent" if c.consistent else "doubtful" for c in costs) + " |")
    return "\n".join(lines) + "\n"


def draw(costs: Sequence[MapCost], out: Path) -> None:
    """CPU time a frame by stage, and memory, against the number of frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2.0, 1.0))
    names, below = [str(c.frames) for c in costs], np.zeros(len(costs))
    for stage in STAGES:
        height = np.array([1e3 * c.cpu_s.get(stage, 0.0) / c.frames for c in costs])
        if height.max() >= 1.0:
            left.bar(names, height, 0.6, bottom=below, label=stage)
            below += height
    left.axhline(MOST_GROWTH * 1e3 * costs[0].total_s / costs[0].frames, color="grey", linestyle="--", linewidth=0.8)
    left.set(xlabel="frames", ylabel="CPU ms a frame", title="time (dashed: twice that of the smallest)")
    left.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    right.plot([c.frames for c in costs], [c.peak_mb for c in costs], "o-")
    right.axhline(MOST_MB, color="grey", linestyle="--", linewidth=0.8)
    right.set(xlabel="frames", ylabel="MB", title="peak memory", ylim=(0.0, 1.1 * MOST_MB), xscale="log")
    figure.savefig(out, dpi=110)


def read_costs(path: Path) -> list[MapCost]:
    """What earlier runs measured; a line that was cut off is left out."""
    if not path.is_file():
        return []
    found = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(MapCost(**json.loads(text)))
        except (ValueError, TypeError):
            continue
    return found
