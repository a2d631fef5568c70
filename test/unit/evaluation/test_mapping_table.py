"""The table of maps: enough tours, resumable lines, figures that count what they should; the ring is four times the same corridor."""

import json
import math

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.errors import BadInputError
from astra.evaluation.mapping import table
from astra.evaluation.mapping.episodes import episodes
from astra.evaluation.mapping.ring import INNER_M, OUTER_M, build_ring
from astra.evaluation.mapping.table import TableConfig, figures, read_rows
from astra.geometry import Pose2
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation


def row(name="home20000", *, kind="home", twist="", ate=0.05, worst=0.2, consistent=True, kept=50, parts=1, **more):
    fragment = {"nodes": kept // parts, "verdict": "", "ate_m": ate, "ate_sim3_m": ate / 2, "worst_m": worst, "scale": 1.004, "worst_node": 3}
    return {
        "name": name, "key": name, "kind": kind, "seed": 20000, "twist": twist, "movers": True, "error": "", "length_m": 70.0, "cpu_s": 100.0, "peak_mb": 900,
        "consistent": consistent, "keyframes": 50, "registered": kept, "fragments": [fragment] * parts, "within_target": ate <= 0.1,
        "silent_failure": consistent and worst > 0.5, "standing": {"occupied": 9, "ghosts": 0, "ghosts_of_movers": 0, "worst_m": 0.1}, **more,
    }  # fmt: skip


def values(rows):
    return {r.name: r.value for r in figures(rows)}


def test_every_split_has_its_own_tours_with_everything_that_can_go_wrong():
    test, validate = episodes("test"), episodes("validate")
    for chosen in (test, validate):
        assert len({e.name for e in chosen}) == len(chosen) >= 30
        assert {e.twist for e in chosen} == {"", "dropped", "exposure", "frozen", "frozen_front", "false_loop"}
        assert all(sum(e.kind == kind and not e.twist for e in chosen) == 10 for kind in ("home", "office", "warehouse"))
        assert sum(e.kind == "ring" for e in chosen) == 2
    assert all(e.seed >= 20_000 for e in test) and all(10_000 <= e.seed < 20_000 for e in validate)


def test_a_split_or_an_expression_that_is_none_is_named():
    with pytest.raises(BadInputError, match="train"):
        episodes("train")
    with pytest.raises(BadInputError, match="castle"):
        TableConfig(only="castle").episodes()
    with pytest.raises(BadInputError, match="regular expression"):
        TableConfig(only="(").episodes()
    assert {e.name for e in TableConfig(only="^office20001").episodes()} == {"office20001", "office20001-false_loop", "office20001-exposure"}


def test_figures_count_what_they_should():
    rows = [
        row("home20000"), row("home20001", ate=0.3, worst=0.9), row("home20002", consistent=False), row("home20003", parts=2, kept=44),
        row("home20000-frozen", twist="frozen", worst=2.0, ate=0.8, consistent=False), {**row("home20009"), "error": "MappingError: nothing"},
    ]  # fmt: skip
    found = values(rows)
    assert found["tours"] == 6 and found["tours_without_map"] == 1 and found["silent_failures"] == 1
    assert found["tours_within_target"] == pytest.approx(3 / 5) and found["called_consistent_of_those_within_target"] == pytest.approx(2 / 3)
    assert found["frames_kept_least"] == pytest.approx(0.88) and found["fragments_most"] == 2
    assert found["home/ate_most"] == pytest.approx(30.0) and found["home/scale_error_most"] == pytest.approx(0.4)
    assert found["adversarial/frozen/worst_node"] == pytest.approx(200.0) and found["adversarial/frozen/silent_failures"] == 0
    assert found["cost/cpu_s_a_keyframe"] == pytest.approx(2.0)


def test_landmarks_are_pooled():
    score = {"shown": 10, "found": 9, "landmarks": 8, "right": 8, "errors_m": [0.1] * 7 + [0.5], "missed": [], "wrong": []}
    found = values([row("a", landmarks=score), row("b", landmarks={**score, "found": 10})])
    assert found["landmarks/recall"] == pytest.approx(0.95) and found["landmarks/precision"] == 1.0
    assert found["landmarks/within_0.3_m"] == pytest.approx(7 / 8)


def test_nothing_measured_is_no_figure():
    assert figures([]) == []
    assert math.isnan(values([{**row(), "error": "MappingError: nothing"}])["tours_within_target"])


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch, capsys):
    asked = []

    def measured(left, config, out):
        asked.append([e.name for e in left])
        for episode in left:
            yield {**row(episode.name, kind=episode.kind, twist=episode.twist), "key": config.measure.key(episode)}

    monkeypatch.setattr(table, "_measured", measured)
    out = tmp_path / "eval"
    assert main(["eval", "mapping", "--out", str(out), "--only", "^home2000[01]$"]) == 0
    with (out / "episodes.jsonl").open("a") as file:
        file.write('{"key": "cut o')
    (out / "episodes.jsonl").write_text((out / "episodes.jsonl").read_text() + "\n")
    assert main(["eval", "mapping", "--out", str(out), "--only", "^home2000[012]$"]) == 0
    assert asked == [["home20000", "home20001"], ["home20002"]]
    assert main(["eval", "mapping", "--out", str(out), "--only", "^home20001$", "--again"]) == 0
    assert asked[-1] == ["home20001"]
    assert main(["eval", "mapping", "--out", str(out), "--only", "^home2000[012]$"]) == 0
    results = json.loads((out / "results.json").read_text())
    assert {"name": "tours", "value": 3.0, "unit": "", "n": 3, "ci95": None, "target": "≥ 30"} in results
    assert "silent_failures" in (out / "report.md").read_text() and len(read_rows(out / "episodes.jsonl")) == 4
    assert "home20002" in capsys.readouterr().err


def test_the_ring_looks_the_same_on_all_four_sides(tmp_path):
    world = build_ring(tmp_path / "ring", 7)
    half = (OUTER_M + INNER_M) / 2
    simulation = Simulation(world, RobotConfig(), 0)
    try:
        views = []
        for quarter in range(4):
            turned = Pose2(0.0, 0.0, quarter * math.pi / 2) @ Pose2(half, -2.0, math.pi / 2)
            simulation.place(turned)
            views.append(np.concatenate([frame.rgb for frame in simulation.render()], axis=1).astype(np.int64))
    finally:
        simulation.close()
    assert all(np.abs(view - views[0]).mean() < 1.0 for view in views[1:])
    assert views[0].std() > 20.0  # and there is something to see
    assert world.truth is not None and np.linalg.norm(np.diff(world.truth.tour, axis=0), axis=1).sum() > 60.0
