"""What every benchmark writes: results.json, a flat list, beside report.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from astra.core.paths import atomic_write
from astra.core.types import AnyArray


@dataclass(frozen=True, slots=True)
class Result:
    """One figure; `ci95` is half the width of its 95 % interval where it is a mean, `target` what it should be, in words."""

    name: str
    value: float
    unit: str
    n: int = 1
    ci95: float | None = None
    target: str = ""


def spread(name: str, values: AnyArray, unit: str, target: str = "") -> list[Result]:
    """Mean with its interval, and the 50th, 95th and 99th percentiles of values (N,)."""
    data = np.asarray(values, dtype=np.float64)
    half = 1.96 * float(data.std(ddof=1)) / float(np.sqrt(len(data))) if len(data) > 1 else None
    rest = [Result(f"{name}_p{q}", float(np.percentile(data, q)), unit, len(data)) for q in (50, 95, 99)]
    return [Result(f"{name}_mean", float(data.mean()), unit, len(data), half, target), *rest]


def write_report(results: Sequence[Result], out: Path, title: str, notes: str) -> None:
    """Write DIR/results.json and DIR/report.md."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [{k: v for k, v in asdict(r).items() if k != "target" or v} for r in results]
    atomic_write(out / "results.json", json.dumps(rows, indent=1) + "\n")
    lines = [f"# {title}", "", notes, "", "| what | value | n | target |", "|---|---|---|---|"]
    for r in results:
        about = f" ± {r.ci95:.2g}" if r.ci95 is not None else ""
        lines.append(f"| {r.name} | {r.value:.4g}{about} {r.unit} | {r.n} | {r.target} |")
    atomic_write(out / "report.md", "\n".join(lines) + "\n")
