"""Outcomes as lines that resume, figures and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from astra.core.paths import atomic_write
from astra.evaluation.bench_report import Result
from astra.evaluation.faults.fault import Fault, Outcome

EPISODES = "episodes.jsonl"


def load(out: Path) -> dict[str, Outcome]:
    """The last outcome of each fault that was run into this folder; a line that was cut off is left out."""
    found: dict[str, Outcome] = {}
    path = out / EPISODES
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        values: dict[str, Any] = {key: math.nan if value is None else math.inf if value == "inf" else value for key, value in row.items()}
        found[str(row["name"])] = Outcome(**values)
    return found


def append(out: Path, outcome: Outcome) -> None:
    """Add one line."""
    row = {key: _jsonable(value) for key, value in asdict(outcome).items()}
    with (out / EPISODES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write(out: Path, faults: Sequence[Fault], outcomes: dict[str, Outcome]) -> None:
    """results.json and report.md of what has been run so far."""
    done = [(fault, outcomes[fault.name]) for fault in faults if fault.name in outcomes]
    results = [
        Result("faults_run", len(done), "faults", len(faults)),
        Result("faults_as_expected", sum(o.passed for _, o in done), "faults", len(done), None, "all"),
        Result("collisions", sum(o.collisions for _, o in done), "contacts", len(done), None, "0"),
    ]
    results += [Result(f"recovery_{f.name}", o.recovered_s, "s", 1, None, f"≤ {f.recover_s:g}") for f, o in done if math.isfinite(o.recovered_s)]
    results += [Result(f"back_{f.name}", o.back_s, "s", 1, None, f"≤ {f.back_s:g}") for f, o in done if math.isfinite(o.back_s)]
    atomic_write(out / "results.json", json.dumps([asdict(r) for r in results], indent=1) + "\n")
    atomic_write(out / "report.md", "\n".join(["# Faults", "", f"{len(done)} of {len(faults)} were run.", "", *table(done)]) + "\n")


def table(done: Sequence[tuple[Fault, Outcome]]) -> list[str]:
    """The rows of docs/RELIABILITY.md."""
    lines = ["| fault | what breaks | what must happen | who acts | stop commanded | stood | goes on | node back | as expected | load |", "|" + "---|" * 10]
    for fault, seen in done:
        verdict = "yes" if seen.passed else f"**no**: {seen.why}"
        lines.append(
            f"| `{fault.name}` | {fault.breaks} | {fault.expect}: {fault.expected} | {fault.acts} | {_s(seen.command_zero_s)} | {_s(seen.stopped_s)} "
            f"| {_s(seen.recovered_s)} | {_s(seen.back_s)} | {verdict} | {seen.load:.1f} |"
        )
    return lines


def _s(value: float) -> str:
    return f"{value:.2f} s" if math.isfinite(value) else "–"


def _jsonable(value: object) -> object:
    if isinstance(value, float):
        return None if math.isnan(value) else "inf" if math.isinf(value) else round(value, 3)
    return value
