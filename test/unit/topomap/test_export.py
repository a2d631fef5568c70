"""Exports hold the map's poses, graph and landmarks as other tools read them."""

import csv
import json

import numpy as np
import pytest

from astra.core.errors import MapError
from astra.geometry import Pose3, Trajectory
from astra.topomap.export import export_map


@pytest.fixture
def exported(small_map, tmp_path):
    """The folder that `export_map` writes."""
    files = export_map(small_map, tmp_path / "out")
    assert {f.name for f in files} == {"poses.txt", "trajectory.tum", "landmarks.csv", "graph.geojson", "map.yaml", "map.pgm"}
    return tmp_path / "out"


def test_poses_are_map_from_cam_by_fragment(exported, small_topomap):
    lines = (exported / "poses.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("# fragment")] == ["# fragment 0", "# fragment 1"]
    rows = {line.split()[0]: np.array(line.split()[1:], dtype=float) for line in lines if not line.startswith("#")}
    assert len(rows) == 8
    for view in (view for node in small_topomap.nodes.values() for view in node.views):
        row = rows[view.image.removeprefix("images/")]
        pose = Pose3.from_quaternion(row[3:], row[:3])
        np.testing.assert_allclose(pose.matrix(), view.map_from_cam.matrix(), atol=1e-5)
    assert lines.index("# fragment 1") == len(lines) - 3  # the lone node's two images come last


def test_the_trajectory_is_readable_tum(exported):
    track = Trajectory.load_tum(exported / "trajectory.tum")
    assert track.stamps_ns[0] == 10**9 + 5
    np.testing.assert_allclose(track.poses[2], [2.0, 1.0, 0.3], atol=1e-6)


def test_the_route_graph_has_unique_ids_and_both_directions(exported):
    document = json.loads((exported / "graph.geojson").read_text())
    ids = [f["properties"]["id"] for f in document["features"]]
    assert len(ids) == len(set(ids)) == 4 + 2 * 2
    points = {f["properties"]["id"]: f["geometry"]["coordinates"] for f in document["features"] if f["geometry"]["type"] == "Point"}
    lines = [f for f in document["features"] if f["geometry"]["type"] == "MultiLineString"]
    assert {(f["properties"]["startid"], f["properties"]["endid"]) for f in lines} == {(0, 1), (1, 0), (1, 2), (2, 1)}
    for f in lines:
        assert f["geometry"]["coordinates"] == [[points[f["properties"]["startid"]], points[f["properties"]["endid"]]]]
        assert f["properties"]["cost"] > 0


def test_landmarks_are_a_table_without_formulas(exported):
    with (exported / "landmarks.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["label"] == "LOUNGE" and rows[0]["nodes"] == "0 1" and float(rows[0]["x_m"]) == 2.0
    assert rows[1]["label"].startswith("'=") and rows[1]["sigma_m"] == ""


def test_an_earlier_export_is_replaced_and_nothing_else(small_map, exported, tmp_path):
    export_map(small_map, exported)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(MapError, match="not an earlier export"):
        export_map(small_map, mine)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_no_map_no_export(tmp_path):
    with pytest.raises(MapError):
        export_map(tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()
