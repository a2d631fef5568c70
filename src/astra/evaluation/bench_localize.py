"""What "where am I?" and "where am I going?" cost on maps of a thousand to a hundred thousand nodes: time by stage, and memory."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.paths import atomic_write
from astra.core.types import UInt8Array
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.tiled_map import read_tiled_features, tiled_graph, write_tiled_features
from astra.geometry import Pose3
from astra.global_model.goal import GoalFinder
from astra.global_model.loaded import LoadedMap
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import Query, QueryView
from astra.topomap.io import load_features, load_map, save_map
from astra.topomap.types import TopoMap

QUERY_S, GROWTH, FIND_S, MEMORY_MB = 1.0, 1.5, 0.1, 1200.0
SMALL, MIDDLE = 1000, 10_000  # nodes that a limit is for
KINDS = ("one image", "all cameras")
SENTENCES = ("somewhere to rest", "I need to print something", "where can I make coffee", "take me to the way out", "a meeting room", "the toilet please")
NOTES = (
    "Maps of copies of one that was built, each a little different (`evaluation/tiled_map.py`). Queries are the original's own pictures, dimmed, blurred and "
    "with noise, of one camera and of all; nothing is known before. One thread; `cpu` is the process's own time, `wall` that of the clock on this machine. "
    "`astra bench localize`."
)


@dataclass(frozen=True, slots=True)
class BenchLocalizeConfig:
    """`map_dir` is copied to maps of `nodes` nodes; those up to `saved_nodes` are written as a map folder and read whole, the features of larger
    ones are mapped into memory, their graph is made there."""

    map_dir: Path
    nodes: tuple[int, ...] = (1000, 10_000, 100_000)
    queries: int = 40
    sentences: int = 20
    saved_nodes: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        require((self.map_dir / "map.yaml").is_file(), "map", self.map_dir, "a map folder")
        require(len(self.nodes) > 0 and min(self.nodes) >= 10, "nodes", self.nodes, "at least one, each ≥ 10")
        require(self.queries >= 2, "queries", self.queries, "≥ 2")
        require(self.sentences >= 1, "sentences", self.sentences, "≥ 1")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query: its kind, what came of it, and its times [s]."""

    kind: str
    status: str
    right: bool
    wall_s: float
    cpu_s: float
    coarse_s: float
    fine_s: float


@dataclass(frozen=True, slots=True)
class LocalizeCost:
    """One size of map: queries, the times of sentences [s], and memory of the process [MB]: at most, and at the end, `own` without mapped files."""

    nodes: int
    views: int
    landmarks: int
    load_s: float
    asked: tuple[Asked, ...]
    find_wall_s: tuple[float, ...]
    find_cpu_s: tuple[float, ...]
    peak_mb: float
    end_mb: float
    own_mb: float


def run(config: BenchLocalizeConfig, out: Path, told: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Measure each size in a process of its own and write the report; maps are made in OUT/maps and removed when they were measured."""
    out.mkdir(parents=True, exist_ok=True)
    costs = []
    for nodes in config.nodes:
        folder = out / "maps" / str(nodes)
        told(f"{nodes} nodes: making the map")
        try:
            for step in (make_material, measure):
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    cost = pool.submit(step, config, nodes, folder).result()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        assert isinstance(cost, LocalizeCost)
        costs.append(cost)
        atomic_write(out / f"cost_{nodes}.json", json.dumps(asdict(cost), indent=1) + "\n")
        told(f"{nodes} nodes: query p95 {_p95(cost, KINDS[0], 'cpu_s'):.2f} s CPU, {_p95(cost, KINDS[0], 'wall_s'):.2f} s wall; {cost.peak_mb:.0f} MB at most")
    results = [figure for cost in costs for figure in figures(cost)] + growth(costs)
    write_report(results, out, "What localization costs", NOTES)
    return results


def make_material(config: BenchLocalizeConfig, nodes: int, folder: Path) -> None:
    """The map of so many nodes: a map folder, or only its features."""
    shutil.rmtree(folder, ignore_errors=True)
    base = load_map(config.map_dir)
    features = folder.with_name(f"{folder.name}.part") if nodes <= config.saved_nodes else folder / "features"
    write_tiled_features(base, load_features(config.map_dir), nodes, features, config.seed)
    if nodes > config.saved_nodes:
        return
    images = {view.image: config.map_dir / view.image for node in base.nodes.values() for view in node.views}
    save_map(tiled_graph(base, nodes), read_tiled_features(features), images, folder)
    shutil.rmtree(features)


def measure(config: BenchLocalizeConfig, nodes: int, folder: Path) -> LocalizeCost:
    """Load the map and ask."""
    base = load_map(config.map_dir)
    queries = [_query(config, base, k) for k in range(config.queries)]
    began = time.perf_counter()
    if (folder / "map.yaml").is_file():
        loaded = LoadedMap.load(folder)
    else:
        loaded = LoadedMap(tiled_graph(base, nodes), read_tiled_features(folder / "features"))
    localizer = GlobalLocalizer(folder, loaded=loaded)
    load_s = time.perf_counter() - began
    warm, _, _ = queries[0]
    localizer.localize(warm)
    localizer.backend.recognise(warm.views[0].rgb, tuple(loaded.map.landmarks.values()))  # loads the reader of signs
    asked = tuple(_ask(localizer, query, kind, truth) for query, kind, truth in queries)
    finder = GoalFinder(folder, loaded=loaded, backend=localizer.backend, localizer=localizer)
    finder.prepare()
    finder.find_text("the way")
    found = [_find(finder, text) for text in _sentences(base, config)]
    memory = _memory_mb()
    return LocalizeCost(
        nodes, len(loaded.view_ids), len(loaded.map.landmarks), load_s, asked, tuple(w for w, _ in found), tuple(c for _, c in found),
        memory["VmHWM"], memory["VmRSS"], memory["RssAnon"],
    )  # fmt: skip


def _ask(localizer: GlobalLocalizer, query: Query, kind: str, truth: Pose3) -> Asked:
    wall, cpu = time.perf_counter(), time.process_time()
    found = localizer.localize(query)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    pose = found.map_from_base
    right = pose is not None and float(np.linalg.norm(pose.translation - truth.translation)) <= 1.0
    return Asked(kind, found.status.value, right, wall, cpu, found.times.coarse_s, found.times.fine_s)


def _find(finder: GoalFinder, text: str) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    finder.find_text(text)
    return time.perf_counter() - wall, time.process_time() - cpu


def _query(config: BenchLocalizeConfig, base: TopoMap, k: int) -> tuple[Query, str, Pose3]:
    """Every fifth asks with all cameras of a node, the others with one; and where that is."""
    rng = np.random.default_rng([config.seed, k])
    node = base.nodes[sorted(base.nodes)[int(rng.integers(min(len(base.nodes), min(config.nodes))))]]
    chosen = node.views if k % 5 == 4 else (node.views[int(rng.integers(len(node.views)))],)
    base_from_map = node.map_from_base.inverse()
    views = tuple(
        QueryView(view.camera, _worn(config.map_dir / view.image, rng), base.cameras[view.camera], base_from_map @ view.map_from_cam) for view in chosen
    )
    return Query(0, views, on_floor=True), KINDS[int(len(chosen) > 1)], node.map_from_base


def _worn(path: Path, rng: np.random.Generator) -> UInt8Array:
    import cv2

    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise BadInputError(f"{path} is not an image that can be read")
    dim = cv2.GaussianBlur(bgr[..., ::-1].astype(np.float32), (0, 0), 0.6) * rng.uniform(0.75, 1.0)
    worn: UInt8Array = np.clip(dim + rng.normal(0.0, 3.0, dim.shape), 0, 255).astype(np.uint8)
    return worn


def _sentences(base: TopoMap, config: BenchLocalizeConfig) -> list[str]:
    """Different ones, half of them with a name that is on the map."""
    rng = np.random.default_rng(config.seed)
    labels = sorted({mark.label for mark in base.landmarks.values()}) or ["ROOM 1"]
    named = [f"{('go to', 'bring me to', 'where is', 'I want to see')[k % 4]} {labels[int(rng.integers(len(labels)))]}, number {k}" for k in range(100)]
    return [SENTENCES[k // 2 % len(SENTENCES)] + " now" * (k // 12) if k % 2 else named[k].partition(", number")[0] for k in range(config.sentences)]


def _memory_mb() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {name: float(line.split()[1]) / 1024 for line in lines for name in ("VmHWM", "VmRSS", "RssAnon") if line.startswith(f"{name}:")}


def _p95(cost: LocalizeCost, kind: str, what: str) -> float:
    return float(np.percentile([getattr(q, what) for q in cost.asked if q.kind == kind], 95))


def figures(cost: LocalizeCost) -> list[Result]:
    """One size's times and memory."""
    name, results = f"{cost.nodes}_nodes", []
    for kind in KINDS:
        mine = [q for q in cost.asked if q.kind == kind]
        if not mine:
            continue
        label, limit = f"{name}/{kind.replace(' ', '_')}", f"≤ {QUERY_S:g}" if cost.nodes == SMALL and kind == KINDS[0] else ""
        for what in ("wall", "cpu", "coarse", "fine"):
            values = np.array([getattr(q, f"{what}_s") for q in mine])
            target = limit if what == "wall" else ""
            results += [Result(f"{label}/{what}_p{q}", float(np.percentile(values, q)), "s", len(mine), None, target if q == 95 else "") for q in (50, 95)]
        results.append(Result(f"{label}/right", float(np.mean([q.right for q in mine])), "", len(mine)))
    results += [
        Result(f"{name}/find_wall_p95", float(np.percentile(cost.find_wall_s, 95)), "s", len(cost.find_wall_s), None, f"≤ {FIND_S:g}"),
        Result(f"{name}/find_cpu_p95", float(np.percentile(cost.find_cpu_s, 95)), "s", len(cost.find_cpu_s)),
        Result(f"{name}/load", cost.load_s, "s"),
        Result(f"{name}/memory_peak", cost.peak_mb, "MB", 1, None, f"≤ {MEMORY_MB:g}" if cost.nodes == MIDDLE else ""),
        Result(f"{name}/memory_end", cost.end_mb, "MB"),
        Result(f"{name}/memory_own", cost.own_mb, "MB"),
    ]
    return results


def growth(costs: Sequence[LocalizeCost]) -> list[Result]:
    """How a query's 95th percentile grows from the smallest to the largest map."""
    few, many = costs[0], costs[-1]
    if few.nodes == many.nodes:
        return []
    return [
        Result(f"query_growth_{what}", _p95(many, KINDS[0], f"{what}_s") / _p95(few, KINDS[0], f"{what}_s"), "×", len(many.asked), None, f"≤ {GROWTH:g}")
        for what in ("cpu", "wall")
    ]


def quick(config: BenchLocalizeConfig) -> BenchLocalizeConfig:
    """A tenth of it."""
    return replace(config, nodes=(1000, 10_000), queries=10, sentences=8)
