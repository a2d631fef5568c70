"""The judge of single images: truth fragment by fragment, what counts as right, baselines that find what they were shown, and turns that balance."""

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.errors import BadInputError
from astra.evaluation.localization import report, table
from astra.evaluation.localization.baselines import Baselines, BaselinesConfig, vlad, vocabulary
from astra.evaluation.localization.figures import figures, is_within, reliability, risk_coverage
from astra.evaluation.localization.measure import QueriesConfig, one_camera
from astra.evaluation.localization.table import LocalizationTableConfig, chunks, stranger
from astra.evaluation.localization.truth import Truth
from astra.geometry import Pose2, Pose3, Similarity
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import Query, Status
from astra.sim.robot import RobotConfig

spec = importlib.util.spec_from_file_location("box_room", Path(__file__).parent.parent / "global_model" / "box_room.py")
box_room = importlib.util.module_from_spec(spec)
spec.loader.exec_module(box_room)
WORLD_FROM_MAP = Similarity(1.0, Pose3.from_pose2(Pose2(0.0, 0.0, 0.7)).rotation, np.array([5.0, -2.0, 0.0]))


@pytest.fixture(scope="module")
def loaded():
    return box_room.BoxRoom(1).build_map()


@pytest.fixture(scope="module")
def truth(loaded):
    return Truth(loaded, [SimpleNamespace(fragment=0, node_ids=tuple(loaded.map.nodes), world_from_map=WORLD_FROM_MAP)])


def in_world(pose):
    return WORLD_FROM_MAP.carry(Pose3.from_pose2(pose)).pose2()


def answer(off_m=None, off_deg=0.0, status="localized", confidence=0.9, **more):
    return {"off_m": off_m, "off_deg": off_deg, "status": status, "confidence": confidence, "time_s": {"total": 0.1}} | more


def row(ours, kind="home", near=True, number=0, **more):
    others = {name: answer(0.5, 1.0) for name in ("place", "vlad", "pnp")}
    base = {"map": f"{kind}20000", "kind": kind, "query": number, "near": near, "reverse": False, "centre_m": 3.0, "astra": ours}
    return base | others | more


def test_errors_are_those_of_the_whole_pose(truth):
    pose = Pose2(3.0, 2.0, 0.4)
    off_m, off_rad = truth.error(Pose3.from_pose2(pose), in_world(pose))
    assert off_m == pytest.approx(0.0, abs=1e-9) and off_rad == pytest.approx(0.0, abs=1e-6)
    off_m, off_rad = truth.error(Pose3.from_pose2(pose @ Pose2(0.3, 0.0, 0.1), 0.4), in_world(pose))
    assert off_m == pytest.approx(0.5) and off_rad == pytest.approx(0.1)


def test_a_mapped_view_is_near_and_one_from_far_away_is_not(loaded, truth):
    camera = box_room.rig()["front"]
    node = next(iter(loaded.map.nodes.values()))
    here = in_world(node.map_from_base.pose2())
    assert truth.exposure("front", camera.base_from_cam, here).view_m == pytest.approx(0.0, abs=1e-6)
    far = truth.exposure("front", camera.base_from_cam, Pose2(90.0, 0.0, 0.0))
    assert not far.is_near and far.view_m > 50.0 and not far.is_reverse
    assert truth.distance_m(node.id, here) == pytest.approx(0.0, abs=1e-9)


def test_seen_only_from_behind(loaded):
    views = {k: SimpleNamespace(camera="front") for k in range(2)}
    one_way = SimpleNamespace(
        rows_of_nodes=lambda ids: np.arange(2), view_ids=np.arange(2), index=SimpleNamespace(view=views.__getitem__),
        view_positions=np.array([[0.0, 0.0, 0.9], [1.0, 0.0, 0.9]]), view_axes=np.array([[1.0, 0.0, 0.0]] * 2),
    )  # fmt: skip
    judge = Truth(one_way, [SimpleNamespace(fragment=0, node_ids=(0, 1), world_from_map=Similarity())])
    mount = box_room.rig()["front"].base_from_cam
    assert judge.exposure("front", mount, Pose2(0.5, 0.0, math.pi)).is_reverse
    assert not judge.exposure("front", mount, Pose2(0.5, 0.0, 1.0)).is_reverse
    assert not judge.exposure("left", mount, Pose2(0.5, 0.0, math.pi)).is_reverse


def test_lost_never_counts_and_coarse_for_ten_metres_alone():
    assert is_within(answer(0.2, 1.0), 0.25, 2.0) and not is_within(answer(0.2, 3.0), 0.25, 2.0)
    lost, coarse = answer(status="lost"), answer(status="coarse", coarse_m=4.0)
    assert not is_within(lost, 10.0, 180.0)
    assert is_within(coarse, 10.0, 180.0) and not is_within(coarse, 5.0, 10.0)
    assert not is_within(answer(status="coarse", coarse_m=12.0), 10.0, 180.0)


def test_figures_are_of_their_strata():
    rows = [row(answer(0.1, 0.5)), row(answer(3.0, 40.0), near=False), row(answer(status="lost", confidence=0.0), kind="office", frames=answer(0.4, 1.0))]
    rows[0]["foreign"] = {"status": "localized"}
    found = {r.name: r for r in figures(rows)}
    assert found["all/near/astra/0.25 m/2°"].value == pytest.approx(0.5) and found["all/near/astra/0.25 m/2°"].target
    assert found["home/whole/astra/false accepts"].value == pytest.approx(0.5) and found["home/near/astra/false accepts"].value == 0.0
    assert found["office/near/frames/1 m/5°"].value == 1.0 and found["all/foreign accepts"].value == 1.0
    assert found["all/whole/a constant answer/10 m/180°"].value == 1.0
    assert found["time/astra/total_p95"].value == pytest.approx(0.1)


def test_risk_grows_from_the_surest_on():
    answers = [answer(0.1, confidence=0.99), answer(5.0, confidence=0.6), answer(0.1, confidence=0.9), answer(status="lost", confidence=0.0)]
    coverage, risk = risk_coverage(answers)
    assert coverage.tolist() == [0.25, 0.5, 0.75] and risk.tolist() == [0.0, 0.0, pytest.approx(1 / 3)]
    assert reliability(answers) == [(0.6, 0.0, 1), (pytest.approx(0.945), 1.0, 2)]


def test_retrieval_finds_the_view_itself_and_pnp_its_pose(loaded):
    """A query from between the views: PnP is exact, retrieval as good as the nearest view."""
    baselines = Baselines(loaded, BaselinesConfig(words=8, training_rows=2000, rounds=4))
    room, localizer, camera = box_room.BoxRoom(1), GlobalLocalizer(Path("unused"), loaded=loaded), box_room.rig()["front"]
    pose = Pose2(3.2, 2.3, 0.5)
    frame = SimpleNamespace(camera="front", rgb=room.render(Pose3.from_pose2(pose) @ camera.base_from_cam), stamp_ns=0)
    query = Query.from_frames((frame,), box_room.rig())
    images = localizer.describe(query)
    answers = baselines.answer(query, images)
    assert answers["pnp"].map_from_base.pose2().distance_to(pose) < 0.1 and answers["pnp"].score > 20
    assert all(answers[name].map_from_base.pose2().distance_to(pose) < 2.5 for name in ("place", "vlad"))
    described, afresh = localizer.localize(query, images), localizer.localize(query)
    assert described.status is afresh.status is Status.LOCALIZED and described.inliers == afresh.inliers


def test_vlad_has_length_one_and_ignores_the_order_of_features():
    rng = np.random.default_rng(3)
    units = rng.normal(size=(200, 128)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    words = vocabulary(units, BaselinesConfig(words=4, training_rows=100, rounds=3))
    assert words.shape == (4, 128) and np.linalg.norm(vlad(units, words)) == pytest.approx(1.0, abs=1e-5)
    assert np.allclose(vlad(units, words), vlad(units[::-1], words), atol=1e-5)
    assert not vlad(units[:0], words).any()
    with pytest.raises(BadInputError, match="descriptors"):
        vocabulary(units[:2], BaselinesConfig(words=4))


def maps_in(folder, *names):
    for name in names:
        (folder / name).mkdir()
        (folder / name / "map.yaml").write_text("x", encoding="utf-8")
    return folder


def test_any_prefix_has_seen_every_kind(tmp_path):
    maps = maps_in(tmp_path, "home20000", "home20001", "office20000", "warehouse20000", "home20000-dropped", "home10000")
    config = LocalizationTableConfig(maps, queries=5, chunk=2, each=QueriesConfig(foreign=True))
    folders = config.folders()
    assert [f.name for f in folders] == ["home20000", "office20000", "warehouse20000", "home20001"]
    asked = list(chunks(folders, config, {("office20000", 0), ("office20000", 1), ("home20000", 0)}))
    assert [(c.folder.name, c.numbers) for c in asked[:3]] == [("home20000", (1,)), ("warehouse20000", (0, 1)), ("home20001", (0, 1))]
    assert asked[0].foreign == maps / "home20001" and stranger(folders[1], folders) == folders[2] and stranger(folders[0], folders[:1]) is None
    assert sum(len(c.numbers) for c in asked) == 4 * 5 - 3


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    maps, out, asked = maps_in(tmp_path, "home20000", "office20000"), tmp_path / "out", []

    def measure(folder, foreign, numbers, config):
        if folder.name == "office20000":
            raise BadInputError("office20000: a node is off by more than half a metre")
        for number in numbers:
            asked.append(number)
            yield row(answer(0.1, 0.5), number=number)

    monkeypatch.setattr(table, "measure_chunk", measure)
    table.run(LocalizationTableConfig(maps, queries=2), out)
    table.run(LocalizationTableConfig(maps, queries=4), out)
    assert asked == [0, 1, 2, 3]
    assert "office20000: a node is off" in (out / "report.md").read_text(encoding="utf-8")
    assert {"name", "value", "unit", "n"} <= set(json.loads((out / "results.json").read_text(encoding="utf-8"))[0])
    assert (out / "pictures" / "reliability.png").is_file()


def test_the_report_leaves_out_what_was_not_asked():
    text = report.markdown(figures([row(answer(0.1, 0.5))]), ())
    assert "retrieval + PnP" in text and "changed light |" not in text and "100.0 % (20.7–100.0)" in text


def test_the_robot_keeps_its_front_camera():
    assert one_camera().rig().names == ("front",)
    kept, all_ = one_camera().rig()["front"], RobotConfig().rig()["front"]
    assert np.allclose(kept.base_from_cam.matrix(), all_.base_from_cam.matrix()) and kept.model == all_.model


def test_the_command_says_what_it_needs(tmp_path, capsys):
    assert main(["eval", "localization", "--out", str(tmp_path)]) == 2
    assert "--maps" in capsys.readouterr().err
    assert main(["eval", "localization", "--out", str(tmp_path / "x"), "--maps", str(tmp_path)]) == 2
    assert "no map" in capsys.readouterr().err
