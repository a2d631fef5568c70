"""The table as people read it: one row for each method and stratum, then trust, time, and the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from astra.core.paths import atomic_write
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.goals_table import wilson
from astra.evaluation.localization.figures import BOUNDS, METHODS, Row, figures, reliability, risk_coverage

TITLES = {
    "astra": "Astra, one image", "light": "… changed light", "frames": "… in motion", "place": "nearest place feature", "vlad": "SIFT-VLAD",
    "pnp": "retrieval + PnP", "a constant answer": "a constant answer",
}  # fmt: skip
STRATA = {"near": "within 2 m/30° of a mapped view", "whole": "whole", "far": "farther", "reverse": "seen only from behind"}
NOTES = (
    "Single images of the front camera at places drawn uniformly over the reachable floor, 0.3 m and more from everything, any heading, nobody about. "
    "Right answers: the map laid rigidly over the truth, fragment by fragment. `lost` is a miss, `coarse` counts for 10 m alone; a false accept is a "
    "pose that is off by more than 1 m. In brackets Wilson's 95 %. Seen only from behind: the front camera had been within 2 m and never looked less than "
    "120° away; the tour's other cameras may have looked this way. Changed light: exposure, gamma and white balance; lamps stay where they were. "
    "In motion: odometry that errs by 2 %. Retrieval always answers, so that its false accepts are its misses. "
    "Times are wall times with one thread, `cpu` the processor time of the same query; where other work shares the machine only the latter says much."
)


def write(rows: Sequence[Row], out: Path, skipped: Sequence[str] = ()) -> list[Result]:
    """Write results.json, report.md and pictures/."""
    results = figures(rows)
    write_report(results, out, "Localization", NOTES)
    if rows:
        atomic_write(out / "report.md", markdown(results, skipped))
        _draw(rows, out / "pictures")
    return results


def markdown(results: Sequence[Result], skipped: Sequence[str]) -> str:
    """The report."""
    found = {r.name: r for r in results}
    kinds = list(dict.fromkeys(name.split("/")[0] for name in found if name.endswith("/whole/astra/lost")))
    lines = ["# Localization", "", NOTES, ""]
    for kind in kinds:
        lines += [f"## {kind}", "", "| queries | method | n | " + " | ".join(b for b, _, _ in BOUNDS) + " | false accepts | lost |"]
        lines.append("|---" * (len(BOUNDS) + 5) + "|")
        for stratum, about in STRATA.items():
            lines += [line for arm in TITLES if (line := _line(found, kind, stratum, arm, about))]
        foreign = found.get(f"{kind}/foreign accepts")
        lines += ["", f"Images of other worlds that were accepted: {_cell(foreign)}." if foreign else "", ""]
    lines += ["## Trust and time", "", "| what | value | n |", "|---|---|---|"]
    rest = [r for r in results if r.name.split("/")[0] in (*METHODS, "time")]
    lines += [f"| {r.name} | {r.value:.4g} {r.unit} | {r.n} |" for r in rest]
    lines += ["", "![risk and coverage](pictures/risk_coverage.png) ![reliability](pictures/reliability.png)"]
    lines += ["", *(f"- Not measured: {text}" for text in skipped)] if skipped else []
    return "\n".join(lines) + "\n"


def _line(found: dict[str, Result], kind: str, stratum: str, arm: str, about: str) -> str:
    cells = [found.get(f"{kind}/{stratum}/{arm}/{what}") for what in (*(b for b, _, _ in BOUNDS), "false accepts", "lost")]
    n = next((cell.n for cell in cells if cell is not None), 0)
    return f"| {about} | {TITLES[arm]} | {n} | " + " | ".join(_cell(cell) for cell in cells) + " |" if n else ""


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    low, high = wilson(round(result.value * result.n), result.n)
    return f"{100 * result.value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def _draw(rows: Sequence[Row], folder: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="coverage: share of all queries answered", ylabel="risk: share of these off by > 1 m", ylim=(-0.02, 1.0), xlim=(0.0, 1.0))
    for arm in METHODS:
        coverage, risk = risk_coverage([row[arm] for row in rows])
        axes.plot(coverage, risk, label=TITLES[arm])
    axes.legend(loc="upper left", fontsize=8)
    figure.savefig(folder / "risk_coverage.png", dpi=80)
    figure = Figure(figsize=(4.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="confidence", ylabel="share within 1 m and 5°", ylim=(-0.02, 1.05), xlim=(0.0, 1.02))
    axes.plot([0.0, 1.0], [0.0, 1.0], color="gray", linewidth=0.8)
    for said, right, n in reliability([row["astra"] for row in rows]):
        low, high = wilson(round(right * n), n)
        axes.plot([said, said], [low, high], color="tab:blue", linewidth=1.0)
        axes.plot([said], [right], "o", color="tab:blue")
        axes.annotate(str(n), (said, right), fontsize=7, xytext=(3, -9), textcoords="offset points")
    figure.savefig(folder / "reliability.png", dpi=80)
