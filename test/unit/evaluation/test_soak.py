"""Growth is a slope after the warm-up, whatever the start did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from astra.evaluation import soak


def test_a_slope_and_its_interval() -> None:
    times = np.arange(0.0, 600.0, 10.0)
    slope, half = soak.slope_per_h(times, 100.0 + times / 3600.0)
    assert slope == pytest.approx(1.0)
    assert half == pytest.approx(0.0, abs=1e-6)
    noise = np.random.default_rng(0).normal(0.0, 0.01, len(times))
    slope, half = soak.slope_per_h(times, 100.0 + times / 3600.0 + noise)
    assert abs(slope - 1.0) <= 2.0 * half


def test_what_grows_is_named_and_the_start_does_not_count(tmp_path: Path) -> None:
    for t in range(0, 1200, 10):
        leak = 200.0 if t < 300 else 100.0 + 5.0 * (t - 300) / 3600.0
        soak.append(tmp_path / soak.SAMPLES, soak.Sample(float(t), "astra_local", 7, leak, 5, 30 + t // 600, 12, 0.1 * t))
    ends = [soak.MissionEnd(60.0, 0, ""), soak.MissionEnd(120.0, 7, "blocked")]
    samples = soak.load_samples(tmp_path)
    soak.write(tmp_path, samples, ends, 0, 300.0, 1.0)
    found = {r.name: r.value for r in soak.results(samples, ends, 0, 300.0)}
    assert found["astra_local_memory_growth"] == pytest.approx(5.0, rel=0.02)
    assert (found["astra_local_threads_more"], found["astra_local_handles_more"], found["astra_local_restarts"]) == (0, 1, 0)
    assert found["missions_arrived"] == 1
    assert found["astra_local_cpu"] == pytest.approx(0.1)
    assert "astra_local_memory_growth" in (tmp_path / "report.md").read_text()
