"""Does anything grow? Memory, threads, handles and shared memory of each process over hours of missions, as slopes after a warm-up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from astra.core.paths import atomic_write
from astra.core.types import FloatArray
from astra.evaluation.bench_report import Result, write_report

SAMPLES, MISSIONS = "samples.jsonl", "missions.jsonl"
MEMORY_PERCENT_PER_H = 2.0  # the most that memory may grow
LEAST_SPAN_S = 60.0  # of samples after the warm-up, for a slope


@dataclass(frozen=True, slots=True)
class Sample:
    """One process (`node`) at one moment: resident memory without what is shared, threads, open handles, mapped shared-memory segments."""

    time_s: float  # since the start
    node: str
    pid: int
    private_mb: float
    threads: int
    handles: int
    segments: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class MissionEnd:
    """How one mission of the loop ended."""

    time_s: float
    error_code: int
    words: str


def append(path: Path, row: Sample | MissionEnd) -> None:
    """Add one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def load_samples(out: Path) -> list[Sample]:
    """What was sampled; a line that was cut off is left out."""
    rows = []
    for line in (out / SAMPLES).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(Sample(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return rows


def slope_per_h(times_s: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Least-squares slope of values (N,) over times (N,), per hour, with half its 95 % interval."""
    centred = times_s - times_s.mean()
    scale = float((centred**2).sum())
    slope = float((centred * (values - values.mean())).sum()) / scale
    rest = values - values.mean() - slope * centred
    sigma = float(np.sqrt((rest**2).sum() / max(len(values) - 2, 1) / scale))
    return 3600.0 * slope, 3600.0 * 1.96 * sigma


def results(samples: Sequence[Sample], ends: Sequence[MissionEnd], collisions: int, warm_up_s: float) -> list[Result]:
    """Growth of each node and of all together after the warm-up, and how the missions went."""
    out = [
        Result("missions", len(ends), "missions", len(ends)),
        Result("missions_arrived", sum(end.error_code == 0 for end in ends), "missions", len(ends), None, "all"),
        Result("collisions", collisions, "contacts", 1, None, "0"),
    ]
    nodes = list(dict.fromkeys(sample.node for sample in samples))
    for node in nodes:
        rows = [s for s in samples if s.node == node and s.time_s >= warm_up_s]
        if len(rows) < 5 or rows[-1].time_s - rows[0].time_s < LEAST_SPAN_S:
            continue
        times = np.array([s.time_s for s in rows])
        memory = np.array([s.private_mb for s in rows])
        slope, half = slope_per_h(times, memory)
        level = float(memory.mean())
        out.append(Result(f"{node}_memory", level, "MB", len(rows)))
        out.append(Result(f"{node}_memory_growth", 100.0 * slope / level, "%/h", len(rows), 100.0 * half / level, f"≤ {MEMORY_PERCENT_PER_H:g}"))
        for what in ("threads", "handles", "segments"):
            values = [getattr(s, what) for s in rows]
            out.append(Result(f"{node}_{what}_more", values[-1] - values[0], what, len(rows), None, "0"))
        out.append(Result(f"{node}_restarts", len({s.pid for s in samples if s.node == node}) - 1, "restarts", 1, None, "0"))
        out.append(Result(f"{node}_cpu", (rows[-1].cpu_s - rows[0].cpu_s) / (times[-1] - times[0]), "CPU-s/s", len(rows)))
    return out


def write(out: Path, samples: Sequence[Sample], ends: Sequence[MissionEnd], collisions: int, warm_up_s: float, load: float) -> None:
    """results.json, report.md and a summary of the run."""
    span_s = max((s.time_s for s in samples), default=0.0)
    notes = f"{span_s / 60.0:.1f} minutes of missions in a loop, slopes after a warm-up of {warm_up_s / 60.0:.1f} minutes; load average {load:.1f} at the end."
    write_report(results(samples, ends, collisions, warm_up_s), out, "Soak", notes)
    summary = {"minutes": span_s / 60.0, "warm_up_s": warm_up_s, "collisions": collisions, "load": load}
    atomic_write(out / "run.json", json.dumps(summary) + "\n")
