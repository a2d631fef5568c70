"""Open loop: planners proposed for the same moments of unseen worlds, judged by the truth three seconds ahead (the paper's Figure 9)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.paths import cache_dir
from astra.evaluation import planning_peers as peers
from astra.evaluation.planning_scenes import IN, OUT, PlanScene, judge, scenes
from astra.local_model.planning.config import MapConfig, TrajectoryConfig
from astra.local_model.planning.runtime import TrajectorySampler

EPISODES = "open_loop.jsonl"
GROUPS = (IN, OUT)
PEERS = ("classical", "pure_pursuit", "dwa", "mppi", "mppi_truth")


@dataclass(frozen=True, slots=True)
class PlanningTableConfig:
    """What is compared: exported planners by name, and peers."""

    split: str = "test"
    scenes: int = 400  # of each group
    models: tuple[tuple[str, Path], ...] = ()
    peers: tuple[str, ...] = PEERS
    best_of: int = 10
    steps: tuple[int, ...] = ()  # of the solver, tried with the first model beside its own
    forecast: bool = False  # the models once more, with everybody who is seen going on as fast as now
    radius_m: float = 0.22
    trajectory: TrajectoryConfig = field(default_factory=TrajectoryConfig)

    def __post_init__(self) -> None:
        require(self.scenes >= 1, "scenes", self.scenes, "at least 1")
        require(self.split in ("validate", "test"), "split", self.split, "validate or test")
        for name in self.peers:
            require(name in PEERS, "peers", name, f"of {', '.join(PEERS)}")


def proposers(config: PlanningTableConfig) -> dict[str, Callable[[], peers.Proposer]]:
    """Planners by name; they are made when they are needed."""
    t, radius = config.trajectory, config.radius_m
    out: dict[str, Callable[[], peers.Proposer]] = {}
    for name, folder in config.models:
        for count in (1, config.best_of):
            what = f"{name}, {'one sample' if count == 1 else f'best of {count}'}"
            out[what] = _maker(folder, count, radius)
            out[f"{what}, cleared"] = _maker(folder, count, radius, cleared=True)
            if config.forecast:
                out[f"{what}, cleared, people tracked"] = _maker(folder, count, radius, cleared=True, tracked=True)
    for name, folder in config.models[:1]:
        for steps in config.steps:
            out[f"{name}, best of {config.best_of}, {steps} steps"] = _maker(folder, config.best_of, radius, steps=steps)
    every: dict[str, Callable[[], peers.Proposer]] = {
        "classical": lambda: peers.classical(t),
        "pure_pursuit": lambda: peers.pursuit(t),
        "dwa": lambda: peers.dwa(t, radius),
        "mppi": lambda: peers.mppi(t, radius),
        "mppi_truth": lambda: peers.mppi(t, radius, truth=True),
    }
    return out | {"expert": lambda: _expert} | {name: every[name] for name in config.peers}


def run(config: PlanningTableConfig, out: Path, told: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """Measure what is not measured yet, and write open_loop.jsonl, results.json and report.md; returns all rows."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / EPISODES
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    done, maps = {(row["group"], row["planner"], row["scene"]) for row in rows}, MapConfig()
    for group in GROUPS:
        there = list(scenes(cache_dir() / "planner" / "scenes", group, config.split, config.scenes))
        for name, make in proposers(config).items():
            left = [scene for scene in there if (group, name, scene.name) not in done]
            if not left:
                continue
            propose = make()
            with path.open("a", encoding="utf-8") as file:
                for scene in left:
                    row = {"group": group, "planner": name, "scene": scene.name, **_measured(propose, scene, config, maps)}
                    file.write(json.dumps(row) + "\n")
                    rows.append(row)
            told(f"{group} · {name}: {len(left)} scenes")
    (out / "results.json").write_text(json.dumps(results(rows), indent=1) + "\n", encoding="utf-8")
    (out / "report.md").write_text(report(rows, config), encoding="utf-8")
    return rows


def _measured(propose: peers.Proposer, scene: PlanScene, config: PlanningTableConfig, maps: MapConfig) -> dict[str, Any]:
    began = time.process_time()
    poses = propose(scene)
    spent_ms = 1e3 * (time.process_time() - began)
    stands = np.zeros((config.trajectory.steps, 3))
    judged = judge(stands if poses is None else poses, scene, config.radius_m, config.trajectory.step_s, maps)
    return {"none": poses is None, "cpu_ms": round(spent_ms, 2), **{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(judged).items()}}


def _expert(scene: PlanScene) -> np.ndarray[Any, np.dtype[np.float64]]:
    return scene.plan


def _maker(
    folder: Path, count: int, radius_m: float, *, tracked: bool = False, cleared: bool = False, steps: int | None = None
) -> Callable[[], peers.Proposer]:
    return lambda: peers.learned(TrajectorySampler(folder), count, radius_m, steps, tracked=tracked, cleared=cleared)


def results(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A flat list of name, value, unit, n, ci95."""
    out: list[dict[str, Any]] = []
    for group in GROUPS:
        for name in dict.fromkeys(row["planner"] for row in rows):
            chosen = [row for row in rows if row["group"] == group and row["planner"] == name]
            if not chosen:
                continue
            n = len(chosen)
            touched, still, none = (sum(bool(row[key]) for row in chosen) for key in ("touched", "touched_still", "none"))
            means = {key: float(np.mean([row[key] for row in chosen])) for key in ("room_m", "apart_m", "end_m", "speed_mps", "expert_mps")}
            entries: list[tuple[str, float, str, list[float]]] = [
                ("collision", 100.0 * touched / n, "%", wilson(touched, n)), ("collision_still", 100.0 * still / n, "%", wilson(still, n)),
                ("no_way", 100.0 * none / n, "%", wilson(none, n)),
                ("least_room", means["room_m"], "m", []), ("displacement", means["apart_m"], "m", []), ("end_displacement", means["end_m"], "m", []),
                ("speed", means["speed_mps"], "m/s", []), ("speed_of_expert", means["speed_mps"] / max(means["expert_mps"], 1e-6), "", []),
                ("cpu_median", float(np.median([row["cpu_ms"] for row in chosen])), "ms", []),
            ]  # fmt: skip
            out += [{"name": f"{group}/{name}/{key}", "value": round(value, 4), "unit": unit, "n": n, "ci95": ci} for key, value, unit, ci in entries]
    return out


def wilson(hits: int, n: int) -> list[float]:
    """The 95 % interval of a share, in percent."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return [round(100.0 * max(0.0, (middle - half) / (1 + z * z / n)), 2), round(100.0 * min(1.0, (middle + half) / (1 + z * z / n)), 2)]


def report(rows: list[dict[str, Any]], config: PlanningTableConfig) -> str:
    """The table in Markdown."""
    found = {row["name"]: row for row in results(rows)}
    lines = [f"# Open-loop planning, {config.split} worlds", ""]
    for group in GROUPS:
        head = "| planner | n | collision % [95 %] | with what stands % | no way % | least room m | displacement m | speed / expert's | CPU ms |"
        lines += [f"## {group.replace('_', ' ')}", "", head, "|---|---|---|---|---|---|---|---|---|"]
        for name in dict.fromkeys(row["planner"] for row in rows):
            hit = found.get(f"{group}/{name}/collision")
            if hit is None:
                continue
            digits = {"collision_still": 1, "no_way": 1, "least_room": 3, "displacement": 3, "speed_of_expert": 2, "cpu_median": 1}
            others = [f"{found[f'{group}/{name}/{key}']['value']:.{places}f}" for key, places in digits.items()]
            lines.append(f"| {name} | {hit['n']} | {hit['value']:.1f} [{hit['ci95'][0]:.1f}, {hit['ci95'][1]:.1f}] | {' | '.join(others)} |")
        lines.append("")
    return "\n".join(lines)
