"""Exports hold the map's poses, graph and landmarks as other tools read them."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.errors import MapError
from astra.geometry import Pose3, Trajectory
from astra.topomap.export import export_map, trajectory_text


@pytest.fixture
def exported(small_map, tmp_path):
    """The folder that `export_map` writes."""
    files = export_map(small_map, tmp_path / "out")
    names = {"poses.txt", "trajectory.tum", "trajectory_1.tum", "landmarks.csv", "graph.geojson", "map.yaml", "map.pgm"}
    assert {f.name for f in files} == names  # the second fragment is a lone node: no route leads there
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


def test_a_trajectory_is_what_other_tools_take(small_topomap):
    """Eight columns, stamps that rise, unit quaternions – also where two tours of one map began at the same stamp."""
    nodes = {k: dataclasses.replace(node, stamp_ns=10**9 * (k // 2)) for k, node in small_topomap.nodes.items()}
    rows = np.array([line.split() for line in trajectory_text(dataclasses.replace(small_topomap, nodes=nodes)).splitlines()], dtype=float)
    assert rows.shape == (3, 8) and (np.diff(rows[:, 0]) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(rows[:, 4:], axis=1), 1.0, atol=1e-8)


def load_as_route_server(path):
    """The graph as nav2_route's GeoJsonGraphFileLoader reads it: what it requires, and no more; (id → x, y), (id → start, end, cost)."""
    features = json.loads(path.read_text())["features"]
    points = [f for f in features if f["geometry"]["type"] == "Point"]
    lines = [f for f in features if f["geometry"]["type"] in ("MultiLineString", "LineString")]
    assert points and lines, "it refuses a graph without nodes or edges"
    for feature in features:
        for value in feature["properties"].get("metadata", {}).values():
            assert all(isinstance(v, (bool, int, float, str)) for v in (value if isinstance(value, list) else [value]))
        identity = feature["properties"]["id"]
        assert isinstance(identity, int) and 0 <= identity < 2**32
    nodes = {f["properties"]["id"]: tuple(f["geometry"]["coordinates"]) for f in points}
    edges = {}
    for f in lines:
        given = f["properties"]
        assert given["startid"] in nodes and given["endid"] in nodes and isinstance(given["overridable"], bool)
        assert f["geometry"]["coordinates"] == [[list(nodes[given["startid"]]), list(nodes[given["endid"]])]]
        edges[given["id"]] = (given["startid"], given["endid"], float(given["cost"]))
    assert all(f["properties"]["frame"] == "map" for f in points)
    return nodes, edges


def test_the_route_graph_is_what_the_route_server_loads(exported):
    nodes, edges = load_as_route_server(exported / "graph.geojson")
    assert set(nodes) == {0, 1, 2} and not set(nodes) & set(edges)
    assert {edge[:2] for edge in edges.values()} == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert all(cost == pytest.approx(1.118) for _, _, cost in edges.values())
    metadata = {(f["properties"]["startid"], f["properties"]["endid"]): f["properties"]["metadata"] for f in json.loads(
        (exported / "graph.geojson").read_text())["features"] if "startid" in f["properties"]}
    assert metadata[0, 1] == {"kind": "driven", "width_m": 0.9}
    assert metadata[1, 2] == {"kind": "visible", "penalty": pytest.approx(0.2236)}


def test_a_wide_robot_has_no_narrow_edges(small_map, tmp_path, capsys):
    export_map(small_map, tmp_path / "wide", min_width_m=1.0)
    _, edges = load_as_route_server(tmp_path / "wide" / "graph.geojson")
    assert {edge[:2] for edge in edges.values()} == {(1, 2), (2, 1)}  # unknown widths stay
    assert main(["map", "export", str(small_map), "--out", str(tmp_path / "no"), "--min-width", "-1"]) == 2
    assert "--min-width" in capsys.readouterr().err


def test_the_grid_is_what_map_server_loads(exported):
    from astra.mapping.nav2_map import load_nav2_map

    grid = load_nav2_map(exported / "map.yaml").occupancy()
    assert grid.occupied.sum() == 3 and grid.free.sum() == 6
    assert (exported / "map.pgm").read_bytes().startswith(b"P5\n")


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
