"""The long tour is where it should be, and costs are told as they were measured."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from astra.core.errors import ConfigError
from astra.evaluation import bench_map
from astra.evaluation.bench_map import BenchMapConfig, MapCost, figures, read_costs, table
from astra.evaluation.mapping.long_tour import ASIDE_M, STEP_M, STEP_RAD, drifting, stations

PATH = np.array([[0.0, 0.0], [6.0, 0.0], [6.0, 4.0]])


def cost(frames, sfm_s, key="k"):
    return MapCost(frames, key, {"matching": 0.01 * frames, "sfm": sfm_s}, 1.0, 900.0, 7 * frames, 6 * frames, frames, 1, True, 0.02, 0.05)


def test_stations_are_a_keyframe_apart_and_laps_a_little_aside():
    poses = stations(PATH, 200)
    assert poses.shape == (200, 3)
    way = np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1) / STEP_M
    turn = np.abs([math.remainder(d, 2 * math.pi) for d in np.diff(poses[:, 2])]) / STEP_RAD
    assert ((way + turn) > 0.99).all() and (way + turn).max() < 1.6
    ahead = poses[(np.abs(poses[:, 0] - 3.0) < 0.3) & (np.abs(np.cos(poses[:, 2])) > 0.99)]
    assert np.ptp(ahead[:, 1]) == pytest.approx(2 * ASIDE_M, abs=0.02)  # three ways along one corridor
    assert {round(v) for v in np.cos(ahead[:, 2])} == {-1, 1}  # there and back
    np.testing.assert_array_equal(stations(PATH, 50), poses[:50])  # a shorter tour is the beginning of a longer one


def test_odometry_drifts_a_little():
    poses = stations(PATH, 120)
    odometry = drifting(poses, 0)
    np.testing.assert_array_equal(odometry[0], poses[0])
    assert 0.01 < np.linalg.norm(odometry[-1, :2] - poses[-1, :2]) < 3.0
    np.testing.assert_array_equal(drifting(poses, 0), odometry)


def test_growth_is_told_from_the_smallest_to_the_largest():
    found = {r.name: r.value for r in figures([cost(100, 10.0), cost(1000, 300.0)])}
    assert found["100_frames/cpu_a_frame"] == pytest.approx(110.0)
    assert found["time_a_frame_growth"] == pytest.approx(310.0 / 110.0)
    assert found["pairs_exponent"] == pytest.approx(1.0) and found["all_exponent"] == pytest.approx(math.log10(310.0 / 11.0))
    assert "| sfm | 100 ms | 300 ms |" in table([cost(100, 10.0), cost(1000, 300.0)])
    assert [r.name for r in figures([cost(100, 10.0)]) if "exponent" in r.name] == []


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    config, asked = BenchMapConfig(frames=(10, 20)), []
    monkeypatch.setattr(bench_map, "material", lambda config, frames: asked.append(frames))
    monkeypatch.setattr(bench_map, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(bench_map, "measure", lambda config, frames, key, out: cost(frames, 0.1 * frames, key))
    first = bench_map.run(config, tmp_path)
    assert asked == [10, 20] and (tmp_path / "mapping_cost.png").is_file() and "| sfm |" in (tmp_path / "report.md").read_text()
    with (tmp_path / "costs.jsonl").open("a") as file:
        file.write('{"frames": 5')  # a run that was cut off
    assert bench_map.run(config, tmp_path) == first and asked == [10, 20]
    assert len(json.loads((tmp_path / "results.json").read_text())) == len(first)
    again = read_costs(tmp_path / "costs.jsonl")
    assert [asdict(c) for c in again] == [asdict(cost(n, 0.1 * n, c.key)) for n, c in zip((10, 20), again)]


def test_sizes_must_rise():
    with pytest.raises(ConfigError, match="frames"):
        BenchMapConfig(frames=(300, 100))


class InThisProcess:
    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, task, *args):
        value = task(*args)
        return type("Done", (), {"result": lambda self: value})()
