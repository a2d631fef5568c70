"""The table of odometry on runs whose truth and errors are made by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.types import ImuSample, WheelTwist
from astra.evaluation import odometry
from astra.evaluation.odometry import ASTRA, OdometryTableConfig, figures, measure, relative_nees
from astra.evaluation.odometry_baselines import wheels_alone, wheels_and_gyro
from astra.evaluation.odometry_metrics import ate_m, pair_tracks
from astra.evaluation.odometry_runs import OdometryRun, RunSpec, events, run_specs
from astra.geometry import Trajectory

STEP_NS = 20_000_000


def made_run(*, scale: float = 1.0, bias: float = 0.01, slip: bool = True, seed: int = 0, seconds: float = 60.0) -> OdometryRun:
    """Two seconds of rest, then a figure of eight at up to 0.5 m/s; wheels too large by `scale`, one slip of 0.6 s, a gyro with a bias."""
    rng = np.random.default_rng(seed)
    t = np.arange(0.0, seconds, 0.005)
    v = np.clip(0.5 * (t - 2.0), 0.0, 0.5)
    w = np.where(t > 3.0, 0.4 * np.sin(0.2 * (t - 3.0)), 0.0)
    yaw = np.concatenate([[0.0], np.cumsum(w[1:] * 0.005)])
    x, y = (np.concatenate([[0.0], np.cumsum((v * f(yaw))[1:] * 0.005)]) for f in (np.cos, np.sin))
    stamps = (t * 1e9).astype(np.int64)
    accel = np.gradient(v, 0.005) + 0.03 * rng.standard_normal(len(t))
    gyro = w + bias + 0.003 * rng.standard_normal(len(t))
    imu = [ImuSample(int(s), np.array([0.0, 0.0, g]), np.array([a, 0.0, 9.81])) for s, g, a in zip(stamps, gyro, accel)]
    spun = np.where((t > 20.0) & (t < 20.6) & slip, 1.4, 1.0) * scale
    wheel = [WheelTwist(int(stamps[i]), float(v[i] * spun[i]), float(w[i])) for i in range(0, len(t), 4)]
    truth = Trajectory(stamps[::4], np.stack([x, y, yaw], axis=1)[::4])
    return OdometryRun(f"made{seed}", wheel, imu, truth, np.stack([v, w], axis=1)[::4])


def test_events_are_found_by_the_truth() -> None:
    happened = events(made_run())
    assert len(happened["slip"]) == 1
    assert happened["slip"][0] * 1e-9 == pytest.approx([20.0, 20.6], abs=0.05)
    assert len(happened["standstill"]) == 1
    assert len(happened["spin"]) == 0


def test_baselines_are_exact_where_nothing_is_wrong() -> None:
    run = made_run(bias=0.0, slip=False)
    assert ate_m(pair_tracks(run.truth, wheels_alone(run.wheel))) < 0.02
    assert ate_m(pair_tracks(run.truth, wheels_and_gyro(run.wheel, run.imu))) < 0.05


def test_the_gyros_bias_is_taken_out_of_the_baseline() -> None:
    run = made_run(bias=0.02, slip=False)
    assert ate_m(pair_tracks(run.truth, wheels_and_gyro(run.wheel, run.imu))) < 0.3  # 0.02 rad/s for a minute would be metres


def test_a_run_is_measured_by_method_event_and_consistency() -> None:
    row = json.loads(json.dumps(measure(made_run())))
    assert set(row["methods"]) == {"wheels alone", "wheels + gyro EKF", "wheel", ASTRA}
    ours, plain = row["methods"][ASTRA], row["methods"]["wheels + gyro EKF"]
    assert ours["events"]["slip"][0] < 0.5 * plain["events"]["slip"][0]  # the accelerometer rides out the slip
    assert set(ours["stretches"]) == {"5", "10", "20"}
    assert max(row["standstill_mm_per_min"]) <= 1.0
    assert len(row["nees"][ASTRA]) == 2


def test_a_wheel_that_is_too_large_shows_in_the_nees() -> None:
    honest, wrong = (np.mean(relative_nees(run, run.imu)) for run in (made_run(slip=False), made_run(scale=1.1, slip=False)))
    assert honest < 7.8  # 95 % of χ² with three degrees of freedom
    assert wrong > 30.0


def test_figures_are_means_over_runs() -> None:
    rows = [measure(made_run(seed=seed, seconds=30.0)) for seed in range(2)]
    results = {r.name: r for r in figures(rows)}
    mean = np.mean([row["methods"][ASTRA]["ate_m"] for row in rows])
    assert results[f"{ASTRA}: ATE of the run"].value == pytest.approx(mean)
    assert results["runs"].value == 2
    assert math.isfinite(results[f"{ASTRA}: NEES over 10 m, one a run"].value)


def test_a_table_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def simulated(spec: RunSpec) -> OdometryRun:
        asked.append(spec.name)
        return made_run(seconds=30.0)

    monkeypatch.setattr(odometry, "simulated_run", simulated)
    odometry.run(OdometryTableConfig(count=1), tmp_path)
    odometry.run(OdometryTableConfig(count=2), tmp_path)
    assert asked == [spec.name for spec in run_specs("test", 2)]
    assert len((tmp_path / "episodes.jsonl").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "results.json").read_text())
    assert list(tmp_path.glob("*.png"))


def test_runs_are_of_their_split_and_each_has_a_robot_of_its_own() -> None:
    specs = run_specs("test", 60)
    assert len({spec.seed for spec in specs}) == 60
    assert all(spec.world_seed >= 20000 and spec.seed >= 20000 for spec in specs)
    assert {spec.kind for spec in specs} == {"home", "office", "warehouse"}
    assert all(10000 <= spec.world_seed < 20000 for spec in run_specs("validate", 6))
