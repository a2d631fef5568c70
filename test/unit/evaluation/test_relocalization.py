"""The judge of relocalization: truth fragment by fragment, and shares that add up."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from astra.cli.main import main
from astra.evaluation.relocalization import Judge, figures
from astra.geometry import Pose2, Similarity


def turned(yaw, x, y):
    c, s = math.cos(yaw), math.sin(yaw)
    return Similarity(1.0, np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), np.array([x, y, 0.0]))


def test_a_pose_is_judged_in_the_fragment_that_it_fits():
    views = np.array([[0.0, 0.0, 0.9], [1.0, 0.0, 0.9]])
    loaded = SimpleNamespace(view_positions=views, view_axes=np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]), rows_of_nodes=lambda ids: np.array(ids))
    fragments = [
        SimpleNamespace(fragment=0, node_ids=(0,), world_from_map=turned(0.0, 5.0, 0.0)),
        SimpleNamespace(fragment=1, node_ids=(1,), world_from_map=turned(1.0, 0.0, 9.0)),
    ]
    judge = Judge(SimpleNamespace(loaded=loaded), fragments)
    truth = Pose2(7.0, 1.0, 0.4)
    off_m, off_rad = judge.error(Pose2(2.0, 1.0, 0.4), truth)
    assert off_m == pytest.approx(0.0, abs=1e-9) and off_rad == pytest.approx(0.0, abs=1e-9)
    in_second = Pose2(0.0, 9.0, 1.0).inverse() @ truth
    off_m, off_rad = judge.error(in_second @ Pose2(0.3, 0.0, 0.1), truth)
    assert off_m == pytest.approx(0.3) and off_rad == pytest.approx(0.1)
    assert judge.view_m(Pose2(7.0, 1.0, 0.0)) == pytest.approx(math.hypot(2.0, 1.0))


def row(outcome, mode="active", place="home1", driven=0.0):
    return {"map": place, "cameras": 4, "mode": mode, "outcome": outcome, "looks": 2, "driven_m": driven, "nearest_m": 0.4}


def test_shares_of_right_wrong_and_lost_add_up():
    rows = [row("right"), row("right", driven=1.0), row("lost", place="office2"), row("wrong", "one")]
    shares = {r.name: r for r in figures(rows)}
    assert shares["4 cameras/all/active/right"].value == pytest.approx(2 / 3) and shares["4 cameras/all/active/lost"].n == 3
    assert shares["4 cameras/home/active/right"].value == 1.0 and shares["4 cameras/all/one/wrong"].value == 1.0
    assert sum(shares[f"4 cameras/all/active/{o}"].value for o in ("right", "wrong", "lost")) == pytest.approx(1.0)
    assert shares["4 cameras/all/active/nearest obstacle when moving"].value == 0.4


def test_the_command_says_what_it_needs(tmp_path, capsys):
    assert main(["eval", "relocalization", "--out", str(tmp_path)]) == 2
    assert "--maps" in capsys.readouterr().err
