"""Cross-checks the odometry table with evo: the same trajectories, somebody else's metrics.

    make evo EVAL=eval/odometry          # or: python tools/evo_check.py eval/odometry, where evo is installed

Reads `seen.jsonl` and `tum/` of `astra eval odometry --drives …`, and writes `evo.json` and `evo.md` beside them. evo is GPL and therefore
neither imported by the project nor installed by it: this script runs in an environment of its own and imports nothing of ours.

What is compared, for every method and drive: ATE (evo's APE of the translation, aligned at the start, no scale, on poses 5 cm of the true
way apart) and RTE over ten metres (evo's RPE of the translation, all pairs).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from evo.core import filters, metrics, sync, trajectory
from evo.tools import file_interface

SAMPLE_M = 0.05
STRETCH_M = 10.0
MAX_DIFF_S = 0.015  # between a stamp of the estimate and the truth's nearest
LOST_PERCENT = 20.0  # a method that errs more is lost, and what a stretch of it costs hangs on where it begins
AGREE_M, AGREE_PERCENT = 0.01, 0.25  # evo takes the truth's nearest pose where we interpolate, and begins a stretch at every pose where we begin one a metre


def main() -> int:
    """0 if evo agrees, 1 if it does not, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path, nargs="+", help="folders written by `astra eval odometry --drives`")
    parser.add_argument("--out", type=Path, help="folder of evo.json and evo.md (default: the first evaluation)")
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for folder in args.evaluation:
        rows = folder / "seen.jsonl"
        if not rows.is_file():
            print(f"evo_check: {rows} does not exist", file=sys.stderr)
            return 2
        for row in map(json.loads, rows.read_text(encoding="utf-8").splitlines()):
            for name, ours in row["methods"].items():
                found.setdefault(name, []).append(compared(folder / "tum", row["key"].rpartition("-")[0], name, ours))
    lines = ["| method | drives | ATE, m: ours | evo | RTE over 10 m, %: ours | evo |", "|---|---|---|---|---|---|"]
    results, agree = [], True
    for name, values in found.items():
        ate, evo_ate, rte, evo_rte = np.nanmean(np.array(values), axis=0).tolist()
        agree &= abs(ate - evo_ate) <= max(AGREE_M, 0.05 * ate) and (rte > LOST_PERCENT or not abs(rte - evo_rte) > max(AGREE_PERCENT, 0.1 * rte))
        lines.append(f"| {name} | {len(values)} | {ate:.3f} | {evo_ate:.3f} | {rte:.2f} | {evo_rte:.2f} |")
        results.append({"name": name, "n": len(values), "ate_m": ate, "evo_ate_m": evo_ate, "rte_percent": rte, "evo_rte_percent": evo_rte})
    out = args.out or args.evaluation[0]
    (out / "evo.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "evo.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print("evo agrees" if agree else "evo does not agree")
    return 0 if agree else 1


def compared(folder: Path, label: str, method: str, ours: dict) -> tuple[float, float, float, float]:
    """ATE [m] by us and by evo, RTE [%] by us and by evo; NaN for a drive of less than ten metres."""
    truth = file_interface.read_tum_trajectory_file(str(folder / f"{label}-truth.tum"))
    told = file_interface.read_tum_trajectory_file(str(folder / f"{label}-{method.replace(' ', '_').replace(',', '')}.tum"))
    truth, told = sync.associate_trajectories(truth, told, max_diff=MAX_DIFF_S)
    kept = thinned(truth)
    truth.reduce_to_ids(kept)
    told.reduce_to_ids(kept)
    told.align_origin(truth)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((truth, told))
    rte = ours["stretches"].get(f"{STRETCH_M:g}", [float("nan")])[0]
    return ours["ate_m"], float(ape.get_statistic(metrics.StatisticsType.rmse)), rte, rpe_percent(truth, told)


def thinned(truth: trajectory.PoseTrajectory3D) -> list[int]:
    """The poses at which the way has grown by another `SAMPLE_M`."""
    path = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(truth.positions_xyz[:, :2], axis=0), axis=1))])
    return np.flatnonzero(np.concatenate([[True], np.diff(np.floor(path / SAMPLE_M)) > 0])).tolist()


def rpe_percent(truth: trajectory.PoseTrajectory3D, told: trajectory.PoseTrajectory3D) -> float:
    """evo's RPE over ten metres, in per cent of them."""
    rpe = metrics.RPE(metrics.PoseRelation.translation_part, delta=STRETCH_M, delta_unit=metrics.Unit.meters, all_pairs=True)
    try:
        rpe.process_data((truth, told))
    except filters.FilterException:
        return float("nan")
    return 100.0 / STRETCH_M * float(rpe.get_statistic(metrics.StatisticsType.mean))


if __name__ == "__main__":
    raise SystemExit(main())
