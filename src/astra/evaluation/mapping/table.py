"""The table: every episode once, a line of episodes.jsonl each, and the figures over all of them against what issue and paper ask for."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError, BadInputError
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.mapping.episodes import FIRST_SEEDS, Episode, episodes, quick
from astra.evaluation.mapping.judge import KEPT, MOST_FRAGMENTS
from astra.evaluation.mapping.material import prepare
from astra.evaluation.mapping.measure import MeasureConfig, measure
from astra.evaluation.mapping.standing import APART_M

logger = logging.getLogger(__name__)
Row = Mapping[str, Any]
NOTES = "Errors are measured against the simulator's truth, each fragment laid over it rigidly, in the map's own metres; `astra eval mapping`."


@dataclass(frozen=True, slots=True)
class TableConfig:
    """Which episodes of which split; `only`: a regular expression that their names match; `again`: whether to
    measure what was measured before, from the artefacts that are left, because the program has changed.
    """

    split: str = "test"
    quick: bool = False
    only: str = ""
    again: bool = False
    processes: int = 1
    measure: MeasureConfig = field(default_factory=MeasureConfig)

    def __post_init__(self) -> None:
        require(self.split in FIRST_SEEDS, "split", self.split, f"one of {', '.join(FIRST_SEEDS)}")
        require(1 <= self.processes <= 64, "processes", self.processes, "between 1 and 64")

    def episodes(self) -> tuple[Episode, ...]:
        """The chosen ones.

        Raises:
            BadInputError: `only` is no regular expression, or matches none.
        """
        wanted = quick(self.split) if self.quick else episodes(self.split)
        try:
            chosen = tuple(e for e in wanted if re.search(self.only, e.name))
        except re.error as error:
            raise BadInputError(f"--only {self.only!r} is no regular expression: {error}") from error
        if not chosen:
            raise BadInputError(f"--only {self.only!r} matches none of {', '.join(e.name for e in wanted)}")
        return chosen


def run(config: TableConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Measure what is not measured yet and write the report; a run that was cut off goes on where it stopped."""
    out.mkdir(parents=True, exist_ok=True)
    path, wanted = out / "episodes.jsonl", config.episodes()
    done = {} if config.again else {row["key"]: row for row in read_rows(path)}
    left = [e for e in wanted if config.measure.key(e) not in done]
    progress(f"{len(wanted) - len(left)} of {len(wanted)} tours were measured before")
    for row in _measured(left, config, out):
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        done[row["key"]] = row
        progress(line(row))
        write_report(figures(list(_of(done, wanted, config))), out, f"Mapping ({config.split})", NOTES)
    results = figures(list(_of(done, wanted, config)))
    write_report(results, out, f"Mapping ({config.split})", NOTES)
    return results


def prepare_all(config: TableConfig, progress: Callable[[str], None] = lambda text: None) -> None:
    """Make the worlds and drives that are not there yet, and nothing else; one that cannot be made is named and left out."""
    for episode in config.episodes():
        try:
            material = prepare(episode)
        except AstraError as error:
            progress(f"{episode.name}: {error}")
            continue
        progress(f"{episode.name}: {material.truth.length_m():.0f} m in {material.drive.duration_s:.0f} s")


def _measured(left: Sequence[Episode], config: TableConfig, out: Path) -> Iterable[dict[str, Any]]:
    """Each episode in a process of its own, so that its memory is its own."""
    if not left:
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(config.processes, mp_context=spawn, max_tasks_per_child=1) as pool:
        for waiting in [pool.submit(measure, episode, config.measure, out) for episode in left]:
            yield waiting.result()


def _of(done: Mapping[str, Row], wanted: Sequence[Episode], config: TableConfig) -> Iterable[Row]:
    return (done[key] for key in map(config.measure.key, wanted) if key in done)


def line(row: Row) -> str:
    """One episode for a person who waits."""
    if row["error"]:
        return f"{row['name']}: no map: {row['error']}"
    parts = ", ".join(f"{f['nodes']} nodes ATE {100 * f['ate_m']:.1f} worst {100 * f['worst_m']:.0f} cm" for f in row["fragments"])
    marks = ["consistent" if row["consistent"] else "doubtful"]
    marks += ["in target"] if row["within_target"] else ["OUT OF TARGET"]
    marks += ["SILENT FAILURE"] if row["silent_failure"] else []
    return f"{row['name']}: {row['length_m']} m, {row['registered']}/{row['keyframes']} kept; {parts}; {', '.join(marks)}; {row['cpu_s']} CPU s"


def figures(rows: Sequence[Row]) -> list[Result]:
    """The figures over all episodes, then over those of each kind of building, then landmarks and costs."""
    maps = [row for row in rows if not row["error"]]
    if not rows:
        return []
    fit = [row for row in maps if row["within_target"]]
    results = [
        Result("tours", float(len(rows)), "", len(rows), None, "≥ 30"),
        Result("silent_failures", float(sum(row["silent_failure"] for row in maps)), "", len(rows), None, "0"),
        Result("tours_without_map", float(len(rows) - len(maps)), "", len(rows)),
        Result("tours_within_target", _share(row["within_target"] for row in maps), "", len(maps)),
        Result("called_consistent_of_those_within_target", _share(row["consistent"] for row in fit), "", len(fit), None, "≥ 0.9"),
        Result("frames_kept_least", min((_kept(row) for row in maps), default=math.nan), "", len(maps), None, f"≥ {KEPT}"),
        Result("fragments_most", float(max((len(row["fragments"]) for row in maps), default=0)), "", len(maps), None, f"≤ {MOST_FRAGMENTS}"),
    ]
    ordinary = [row for row in maps if not row["twist"] and row["kind"] != "ring"]
    for kind in dict.fromkeys(row["kind"] for row in ordinary):
        results += _of_kind(kind, [row for row in ordinary if row["kind"] == kind])
    return results + _adversarial([row for row in maps if row not in ordinary]) + _marks(ordinary) + _costs(maps)


def _of_kind(kind: str, rows: Sequence[Row]) -> list[Result]:
    ates = np.array([max(f["ate_m"] for f in row["fragments"]) for row in rows])
    scales = [abs(f["scale"] - 1.0) for row in rows for f in row["fragments"][:1] if f["scale"] is not None]
    target = "≤ 30, or ≤ 10 in fragments" if kind == "warehouse" else "≤ 10"
    ghosts = [row["standing"]["ghosts"] for row in rows if "standing" in row]
    return [
        Result(f"{kind}/ate_median", 100.0 * float(np.median(ates)), "cm", len(rows), None, target),
        Result(f"{kind}/ate_most", 100.0 * float(ates.max()), "cm", len(rows), None, target),
        Result(f"{kind}/worst_node", 100.0 * max(f["worst_m"] for row in rows for f in row["fragments"]), "cm", len(rows), None, "≤ 50"),
        Result(f"{kind}/ate_sim3_median", 100.0 * float(np.median([row["fragments"][0]["ate_sim3_m"] for row in rows])), "cm", len(rows)),
        Result(f"{kind}/scale_error_most", 100.0 * max(scales, default=math.nan), "%", len(scales), None, "≤ 1"),
        Result(f"{kind}/frames_kept_least", min(_kept(row) for row in rows), "", len(rows), None, f"≥ {KEPT}"),
        Result(f"{kind}/fragments_most", float(max(len(row["fragments"]) for row in rows)), "", len(rows), None, f"≤ {MOST_FRAGMENTS}"),
        Result(f"{kind}/consistent", _share(row["consistent"] for row in rows), "", len(rows)),
        Result(f"{kind}/ghost_cells_most", float(max(ghosts, default=0)), "", len(ghosts), None, f"0 (> {APART_M} m from everything that stands)"),
    ]


def _adversarial(rows: Sequence[Row]) -> list[Result]:
    out = []
    for name in dict.fromkeys(row["twist"] or row["kind"] for row in rows):
        of = [row for row in rows if (row["twist"] or row["kind"]) == name]
        out.append(Result(f"adversarial/{name}/worst_node", 100.0 * max(f["worst_m"] for row in of for f in row["fragments"]), "cm", len(of)))
        out.append(Result(f"adversarial/{name}/consistent", _share(row["consistent"] for row in of), "", len(of)))
        out.append(Result(f"adversarial/{name}/silent_failures", float(sum(row["silent_failure"] for row in of)), "", len(of), None, "0"))
    return out


def _marks(rows: Sequence[Row]) -> list[Result]:
    scores = [row["landmarks"] for row in rows if "landmarks" in row]
    shown, found, marks, right = (sum(score[name] for score in scores) for name in ("shown", "found", "landmarks", "right"))
    errors = np.array([e for score in scores for e in score["errors_m"]])
    if not shown or not marks or not len(errors):
        return []
    return [
        Result("landmarks/recall", found / shown, "", shown, None, "≥ 0.95 of signs shown at ≥ 12 px"),
        Result("landmarks/precision", right / marks, "", marks, None, "≥ 0.97"),
        Result("landmarks/within_0.3_m", float((errors <= 0.3).mean()), "", len(errors), None, "≥ 0.9"),
    ]


def _costs(rows: Sequence[Row]) -> list[Result]:
    if not rows:
        return []
    per_frame = [row["cpu_s"] / max(row["keyframes"], 1) for row in rows]
    return [
        Result("cost/cpu_s_a_keyframe", float(np.median(per_frame)), "s", len(rows)),
        Result("cost/peak_memory", float(max(row["peak_mb"] for row in rows)), "MB", len(rows), None, "≤ 2000"),
    ]


def _kept(row: Row) -> float:
    return float(row["registered"]) / max(int(row["keyframes"]), 1)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return float(np.mean(values)) if values else math.nan


def read_rows(path: Path) -> list[Row]:
    """The lines of an earlier run; one that was cut off in the middle is left out."""
    if not path.is_file():
        return []
    rows = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(text))
        except ValueError:
            logger.warning("%s: a line is cut off and left out", path)
    return rows
