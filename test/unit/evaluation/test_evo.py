"""The odometry table's metrics against evo's, where `make evo` has installed it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from astra.evaluation.odometry_metrics import ate_m, pair_tracks, stretch_errors
from astra.geometry import Trajectory

ROOT = Path(__file__).parents[3]
EVO = Path(sys.prefix) / "evo" / "bin" / "python"


@pytest.mark.skipif(not EVO.is_file(), reason="evo is not installed: `make evo`")
def test_evo_measures_the_same(tmp_path: Path) -> None:
    stamps = np.arange(3000) * 20_000_000 + 20_000_000
    yaw = 0.4 * np.sin(np.arange(3000) * 0.004)
    drifted = yaw + 2e-5 * np.arange(3000)
    truth, told = (
        Trajectory(stamps, np.column_stack([np.cumsum(0.01 * k * np.cos(a)), np.cumsum(0.01 * k * np.sin(a)), a])) for k, a in ((1.0, yaw), (1.02, drifted))
    )
    pair = pair_tracks(truth, told)
    rte = float(stretch_errors(pair, 10.0).rte_percent.mean())
    (tmp_path / "tum").mkdir()
    truth.save_tum(tmp_path / "tum" / "run-truth.tum")
    told.save_tum(tmp_path / "tum" / "run-told.tum")
    row = {"key": "run-1", "methods": {"told": {"ate_m": ate_m(pair), "stretches": {"10": [rte, 0.0, 0.0]}}}}
    (tmp_path / "seen.jsonl").write_text(json.dumps(row) + "\n")
    done = subprocess.run([str(EVO), str(ROOT / "tools" / "evo_check.py"), str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    told_by_evo = json.loads((tmp_path / "evo.json").read_text())[0]
    assert told_by_evo["evo_ate_m"] == pytest.approx(ate_m(pair), rel=0.02)
    assert told_by_evo["evo_rte_percent"] == pytest.approx(rte, rel=0.05)
