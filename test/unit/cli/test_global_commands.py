"""`astra localize`, `astra find` and `astra route` on a made-up room: the contract's records, and one clear line for bad input."""

import importlib.util
import itertools
import json
import math
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from astra.cli.main import main
from astra.geometry import Pose2, Pose3

RECORD = {
    "image", "status", "confidence", "map_from_cam", "covariance", "candidate_nodes", "matched_landmarks", "rejected_landmarks", "inliers", "time_s",
}  # fmt: skip
AT = Pose2(0.4, 0.3, 0.7)


def load_box_world():
    path = Path(__file__).parents[2] / "fixtures" / "box_world.py"
    spec = importlib.util.spec_from_file_location("box_world", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["box_world"] = module
    spec.loader.exec_module(module)
    return module


box = load_box_world()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `room` (map), `here.png` (in the room), `elsewhere.png` (in another), `large.png` (another size), `camera.yaml`."""
    folder = tmp_path_factory.mktemp("commands")
    box.build_map(box.BoxWorld(0), folder / "room", step_m=1.8)
    camera = box.RIG.cameras[0]
    here = box.BoxWorld(0).render(Pose3.from_pose2(AT) @ camera.base_from_cam)
    elsewhere = box.BoxWorld(7, signs=False).render(Pose3.from_pose2(AT) @ camera.base_from_cam)
    for name, rgb in {"here": here, "elsewhere": elsewhere, "large": cv2.resize(here, (448, 320))}.items():
        cv2.imwrite(str(folder / f"{name}.png"), rgb[..., ::-1])
    (folder / "text.png").write_text("no image")
    camera.model.save(folder / "camera.yaml")
    return folder


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_localize_writes_one_record_an_image(folder, tmp_path, capsys):
    out = tmp_path / "where.jsonl"
    images = [str(folder / "here.png"), str(folder / "elsewhere.png")]
    assert main(["localize", str(folder / "room"), *images, "--camera", str(folder / "camera.yaml"), "--out", str(out)]) == 0
    here, elsewhere = records(out)
    assert set(here) >= RECORD and set(elsewhere) >= RECORD and [here["image"], elsewhere["image"]] == images
    assert here["status"] == "localized" and here["confidence"] > 0.9
    truth = Pose3.from_pose2(AT) @ box.RIG.cameras[0].base_from_cam
    found = Pose3.from_quaternion(np.array(here["map_from_cam"]["rotation_xyzw"]), np.array(here["map_from_cam"]["translation_m"]))
    assert np.linalg.norm(found.translation - truth.translation) < 0.05 and found.angle_to(truth) < math.radians(1)
    assert np.all(np.linalg.eigvalsh(np.array(here["covariance"])) > 0)
    assert set(here["time_s"]) == {"coarse", "consistency", "fine", "total"}
    assert elsewhere["status"] == "lost" and elsewhere["map_from_cam"] is None and elsewhere["covariance"] is None
    assert "1 localized, 0 coarse, 1 lost" in capsys.readouterr().out


def test_localize_takes_the_maps_own_camera_for_images_of_its_size(folder, tmp_path):
    out = tmp_path / "where.jsonl"
    assert main(["localize", str(folder / "room"), str(folder / "here.png"), "--out", str(out)]) == 0
    assert records(out)[0]["status"] == "localized"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["large.png"], "448×320"),
        (["large.png", "--camera", "camera.yaml"], "448×320"),
        (["nowhere.png"], "nowhere.png does not exist"),
        (["text.png"], "text.png is not an image"),
        (["room"], "holds no images"),
        (["here.png", "--camera", "text.png"], "text.png"),
    ],
)
def test_localize_refuses_bad_input_with_one_line_and_writes_nothing(folder, tmp_path, capsys, arguments, message):
    out = tmp_path / "where.jsonl"
    given = [a if a.startswith("--") else str(folder / a) for a in arguments]
    assert main(["localize", str(folder / "room"), *given, "--out", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1
    assert not out.exists()


def test_damaged_map_is_refused_by_every_command(folder, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(folder / "room", broken)
    (broken / "graph.json").write_text("[]")
    route = ["route", str(broken), "--start", "0", "0", "0", "--goal", "1", "1", "0"]
    for command in (["localize", str(broken), str(folder / "here.png"), "--out", str(tmp_path / "x")], ["find", str(broken), "kitchen"], route):
        assert main(command) == 2
        assert str(broken) in capsys.readouterr().err


def test_find_answers_with_a_pose_before_the_sign(folder, tmp_path):
    out = tmp_path / "goal.json"
    assert main(["find", str(folder / "room"), "take me to the kitchen", "--near", "0", "0", "--radius", "6", "--out", str(out)]) == 0
    answer = json.loads(out.read_text())
    assert answer["status"] == "found"
    best = answer["candidates"][0]
    assert {"landmark_id", "label", "score", "node_ids", "map_from_goal", "image", "why"} <= set(best)
    assert best["label"] == "KITCHEN" and best["node_ids"] and (folder / "room" / best["image"]).is_file()
    goal = Pose3.from_quaternion(np.array(best["map_from_goal"]["rotation_xyzw"]), np.array(best["map_from_goal"]["translation_m"]))
    sign = box.sign_position(1)
    assert goal.translation[2] == 0.0
    assert 0.3 < np.linalg.norm(goal.translation[:2] - sign[:2]) < 3.0
    assert (goal.inverse().apply(sign[None]) @ [1, 0, 0])[0] > 0.3  # in front of the robot


def test_find_of_what_is_not_there_and_of_an_image(folder, capsys):
    assert main(["find", str(folder / "room"), "find the swimming pool"]) == 0
    assert json.loads(capsys.readouterr().out) | {"reason": ""} == {"status": "not_found", "candidates": [], "reason": ""}
    assert main(["find", str(folder / "room"), "--image", str(folder / "here.png")]) == 0
    answer = json.loads(capsys.readouterr().out)
    x, y, _ = answer["candidates"][0]["map_from_goal"]["translation_m"]
    assert answer["status"] == "found" and math.hypot(x - AT.x, y - AT.y) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either"),
        (["kitchen", "--image", "x.png"], "either"),
        (["  "], "empty"),
        (["kitchen", "--near", "nan", "0"], "not a point"),
        (["kitchen", "--near", "0", "0", "--radius", "-1"], "must be a length"),
        (["kitchen", "--radius", "3"], "needs --near"),
        (["--image", "nowhere.png"], "nowhere.png"),
    ],
)
def test_find_refuses_bad_input(folder, capsys, arguments, message):
    assert main(["find", str(folder / "room"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_route_over_the_graph(folder, capsys):
    start, goal = ["--start", "-2.9", "-1.7", "0"], ["--goal", "2.5", "1.8", "0"]
    assert main(["route", str(folder / "room"), *start, *goal, "--json"]) == 0
    route = json.loads(capsys.readouterr().out)
    assert route["polyline_m"][0] == [-2.9, -1.7] and route["polyline_m"][-1] == [2.5, 1.8]
    straight = math.hypot(5.4, 3.5)
    assert straight <= route["length_m"] < 1.5 * straight + 1.0 and len(route["node_ids"]) >= 3
    a, b = route["node_ids"][:2]
    assert main(["route", str(folder / "room"), *start, *goal, "--block", str(a), str(b), "--json"]) == 0
    other = json.loads(capsys.readouterr().out)["node_ids"]
    assert {a, b} not in [set(pair) for pair in itertools.pairwise(other)]


def test_route_refuses_what_it_cannot_do(folder, capsys):
    assert main(["route", str(folder / "room"), "--start", "0", "0", "0", "--goal", "90", "0", "0"]) == 1
    assert "goal" in capsys.readouterr().err
    assert main(["route", str(folder / "room"), "--start", "nan", "0", "0", "--goal", "1", "0", "0"]) == 2
    assert "--start" in capsys.readouterr().err
    assert main(["route", str(folder / "room"), "--start", "0", "0", "0", "--goal", "1", "0", "0", "--block", "1", "9999"]) == 2
    assert "9999" in capsys.readouterr().err
