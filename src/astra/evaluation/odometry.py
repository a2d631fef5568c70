"""The table of odometry: every run once, a line of episodes.jsonl each, and the figures over all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import ImuSample, IntArray, seconds
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.odometry_baselines import wheels_alone, wheels_and_gyro
from astra.evaluation.odometry_metrics import LENGTHS_M, ate_m, nees, nees_bounds, pair_tracks, poses_at, relative, stretch_errors, touching
from astra.evaluation.odometry_runs import FIRST_SEEDS, OdometryRun, events, run_specs, simulated_run
from astra.fusion.odometry import WheelImuOdometry, integrate
from astra.geometry import Pose2, Trajectory

Row = dict[str, Any]
ASTRA = "imu+wheel"
NEES_M = 10.0
MEASURE = 3  # raised when what is measured changes
NOTES = (
    "Errors over stretches of the true way, aligned at their start, no scale; every metre begins a stretch. Each run is a robot of its own, "
    "drawn by the recipe of `astra.sim.randomize`. `astra eval odometry`."
)


@dataclass(frozen=True, slots=True)
class OdometryTableConfig:
    """Which runs: `count` simulated ones of a split."""

    split: str = "test"
    count: int = 60
    again: bool = False

    def __post_init__(self) -> None:
        require(self.split in FIRST_SEEDS, "split", self.split, f"one of {', '.join(FIRST_SEEDS)}")
        require(1 <= self.count <= 1000, "count", self.count, "between 1 and 1000")


def run(config: OdometryTableConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Measure what is not measured yet and write the report; a run that was cut off goes on where it stopped."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "episodes.jsonl"
    done: dict[str, Row] = {}
    if path.is_file() and not config.again:
        done = {row["key"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    rows = []
    for number, spec in enumerate(run_specs(config.split, config.count)):
        key = f"{spec.name}-{spec.key()}-{MEASURE}"
        if key not in done:
            taken = simulated_run(spec)
            done[key] = {"key": key, **measure(taken)}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[key]) + "\n")
            if number < 6:
                draw_run(out / f"{spec.name}.png", taken)
        rows.append(done[key])
        progress(f"{number + 1}/{config.count} {spec.name}: " + ", ".join(f"{name} ATE {row['ate_m']:.3f} m" for name, row in rows[-1]["methods"].items()))
    results = figures(rows)
    write_report(results, out, f"Odometry ({config.split})", NOTES)
    return results


def estimates(taken: OdometryRun) -> dict[str, Trajectory]:
    """The run by every method."""
    return {
        "wheels alone": wheels_alone(taken.wheel),
        "wheels + gyro EKF": wheels_and_gyro(taken.wheel, taken.imu),
        "wheel": integrate(taken.wheel, ()),
        ASTRA: integrate(taken.wheel, taken.imu),
    }


def measure(taken: OdometryRun) -> Row:
    """Everything about one run that a figure needs."""
    happened, driven = events(taken), estimates(taken)
    methods = {name: track_errors(taken, estimate, happened) for name, estimate in driven.items()}
    return {
        "name": taken.name, "length_m": taken.truth.length_m(), "events": {name: len(spans) for name, spans in happened.items()}, "methods": methods,
        "nees": {"wheel": relative_nees(taken, ()), ASTRA: relative_nees(taken, taken.imu)},
        "standstill_mm_per_min": standstill_drift(happened["standstill"], driven[ASTRA]),
    }  # fmt: skip


def track_errors(taken: OdometryRun, estimate: Trajectory, happened: Mapping[str, IntArray]) -> Row:
    """ATE of the run, and errors by length of stretch and by event."""
    pair = pair_tracks(taken.truth, estimate)
    row: Row = {"ate_m": ate_m(pair), "stretches": {}, "events": {}}
    for length in LENGTHS_M:
        errors = stretch_errors(pair, length)
        if len(errors.rte_percent):
            row["stretches"][f"{length:g}"] = [float(v.mean()) for v in (errors.rte_percent, errors.rre_deg_per_10m, errors.ate_m)]
    errors = stretch_errors(pair, LENGTHS_M[0])
    hits = {name: touching(errors, pair.stamps_ns, spans) for name, spans in happened.items()}
    hits["none"] = ~np.any(list(hits.values()), axis=0)
    for name, hit in hits.items():
        if hit.any():
            row["events"][name] = [float(errors.rte_percent[hit].mean()), float(errors.rre_deg_per_10m[hit].mean()), int(hit.sum())]
    return row


def relative_nees(taken: OdometryRun, imu: Sequence[ImuSample]) -> list[float]:
    """NEES of the motion over each ten metres of the run: the frame begins anew where the ten before end."""
    odometry, out = WheelImuOdometry(), list[float]()
    true = poses_at(taken.truth, np.array([w.stamp_ns for w in taken.wheel], dtype=np.int64))
    path = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(true[:, :2], axis=0), axis=1))])
    begin, fed = 0, 0
    for i, twist in enumerate(taken.wheel):
        while fed < len(imu) and imu[fed].stamp_ns <= twist.stamp_ns:
            odometry.add_imu(imu[fed])
            fed += 1
        odometry.add_wheel(twist)
        if path[i] - path[begin] >= NEES_M:
            state, truth = odometry.state, relative(true[begin], true[i])
            pose = state.odom_from_base
            error = np.array([pose.x - truth[0], pose.y - truth[1], (pose.yaw - truth[2] + math.pi) % (2.0 * math.pi) - math.pi])
            out.append(float(nees(error[None], state.covariance[None])[0]))
            begin = i
            odometry.start_frame(Pose2())
    return out


def standstill_drift(spans_ns: IntArray, estimate: Trajectory) -> list[float]:
    """How far the pose moves [mm/min] in each standstill of a second and more, after the first half second in which it is noticed."""
    out = []
    for begin, end in spans_ns.tolist():
        if seconds(end - begin) >= 1.0:
            a, b = (estimate.at(stamp) for stamp in (begin + 500_000_000, end))
            out.append(1000.0 * a.distance_to(b) / (seconds(end - begin) - 0.5) * 60.0)
    return out


def figures(rows: Sequence[Row]) -> list[Result]:
    """The figures over all runs, method by method, then by event, then consistency."""
    gain = 1.0 - _mean([r["methods"][ASTRA]["ate_m"] for r in rows]) / _mean([r["methods"]["wheels + gyro EKF"]["ate_m"] for r in rows])
    results = method_figures(rows)
    results.append(Result(f"{ASTRA}: lower ATE than wheels + gyro EKF", 100.0 * gain, "%", len(rows)))
    return results + _consistency(rows)


def method_figures(rows: Sequence[Row]) -> list[Result]:
    """RTE, RRE and ATE by method, length of stretch and event."""
    results = [Result("runs", float(len(rows)), "", len(rows)), Result("length_mean", _mean([r["length_m"] for r in rows]), "m", len(rows))]
    for name in rows[0]["methods"]:
        mine = [row["methods"][name] for row in rows]
        results.append(_figure(f"{name}: ATE of the run", [m["ate_m"] for m in mine], "m"))
        for length in LENGTHS_M:
            have = [m["stretches"][f"{length:g}"] for m in mine if f"{length:g}" in m["stretches"]]
            for column, (what, unit) in enumerate((("RTE", "%"), ("RRE", "°/10 m"), ("ATE", "m"))):
                if have:
                    results.append(_figure(f"{name}: {what} over {length:g} m", [h[column] for h in have], unit))
        for event in ("none", "slip", "spin", "standstill", "featureless"):
            have = [m["events"][event] for m in mine if event in m["events"]]
            weights = [h[2] for h in have]
            for column, (what, unit) in enumerate((("RTE", "%"), ("RRE", "°/10 m"))):
                if have:
                    value = float(np.average([h[column] for h in have], weights=weights))
                    results.append(Result(f"{name}: {what} over 5 m, {event}", value, unit, sum(weights)))
    return results


def _consistency(rows: Sequence[Row]) -> list[Result]:
    """NEES of one stretch of each run (its second where it has one: runs are independent, stretches of one run are not), and of all."""
    results = []
    for name in ("wheel", ASTRA):
        values = [row["nees"][name] for row in rows if row["nees"][name]]
        one = [v[min(1, len(v) - 1)] for v in values]
        low, high = nees_bounds(len(one)) if one else (math.nan, math.nan)
        results.append(Result(f"{name}: NEES over 10 m, one a run", _mean(one), "", len(one), None, f"{low:.2f} … {high:.2f}"))
        results.append(Result(f"{name}: NEES over 10 m, all", _mean([x for v in values for x in v]), "", sum(map(len, values))))
    drift = [d for row in rows for d in row["standstill_mm_per_min"]]
    return [*results, Result(f"{ASTRA}: drift at standstill, worst", max(drift, default=math.nan), "mm/min", len(drift), None, "≤ 1")]


def _figure(name: str, values: Sequence[float], unit: str) -> Result:
    half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Result(name, _mean(values), unit, len(values), half)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def draw_run(out: Path, taken: OdometryRun, driven: Mapping[str, Trajectory] | None = None) -> None:
    """Truth and every method's trajectory from above, laid on each other at the start."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    pairs = {name: pair_tracks(taken.truth, estimate) for name, estimate in (driven or estimates(taken)).items()}
    truth = next(iter(pairs.values())).truth
    own = relative(truth[0], truth)
    axes.plot(own[:, 0], own[:, 1], color="black", linewidth=2.5, label="truth")
    for name, pair in pairs.items():
        moved = relative(pair.estimate[0], pair.estimate)
        axes.plot(moved[:, 0], moved[:, 1], linewidth=1.2, label=f"{name} (ATE {ate_m(pair):.2f} m)")
    axes.set(title=f"{taken.name}, {taken.truth.length_m():.0f} m", xlabel="x [m]", ylabel="y [m]", aspect="equal")
    axes.legend(fontsize="small")
    figure.savefig(out, dpi=90)
