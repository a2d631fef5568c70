"""Two maps become one where the images prove it, and stay apart where a building repeats itself."""

import math
import shutil

import numpy as np
import pytest
import yaml
from toy_maps import SIZE, Building, tour, write_map

from astra.cli.main import main
from astra.core.errors import BadInputError, MapError
from astra.geometry import Pose3, Similarity
from astra.mapping.bend import BendConfig, bend
from astra.mapping.merge import merge_maps
from astra.topomap.io import damaged_files, load_features, load_map, read_manifest

HOUSE = Building((1, 2, 3, 4))
FRAME = Similarity.between_poses(Pose3(), Pose3.from_pose2(tour(0, 1)[0]))  # of the map whose tour begins in room 0
MARKS = [("KITCHEN", (6.0, 4.0, 1.5)), ("LAB", (1.0, 0.0, 1.5))]


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Rooms 0 … 1 and rooms 1 … 3 of one house, each in the frame of its own tour."""
    base = tmp_path_factory.mktemp("maps")
    first = write_map(base / "first", HOUSE, tour(0, 1), seed=1, marks=MARKS)
    second = write_map(base / "second", HOUSE, tour(1, 3, y=1.4, back=2.9), seed=2, bend=0.0015, marks=[("KITCHEN", (6.0, 4.0, 1.5)), ("WC", (13.0, 4.0, 1.5))])
    return first, second


@pytest.fixture(scope="module")
def merged(maps, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "both"
    return out, merge_maps(*maps, out)


def errors_m(topo, poses, offset):
    """Position errors of the nodes of one tour against the truth in the first map's frame."""
    return np.array(
        [np.linalg.norm(topo.nodes[k + offset].map_from_base.translation - FRAME.apply([p.x, p.y, 0.0])) for k, p in enumerate(poses)]
    )


def test_two_sessions_lie_in_one_frame(merged):
    out, result = merged
    topo = load_map(out)
    assert result.is_joined and damaged_files(out) == []
    assert {n.fragment for n in topo.nodes.values()} == {0}
    first, second = tour(0, 1), tour(1, 3, y=1.4, back=2.9)
    assert errors_m(topo, first, 0).max() < 1e-6  # the first map stays where it was
    assert np.median(errors_m(topo, second, len(first))) < 0.05
    assert topo.info.scale_source == "odometry"
    assert topo.info.build["sessions"][0]["name"] == "second"


def test_what_both_saw_is_one(merged, maps):
    topo, features = load_map(merged[0]), load_features(merged[0])
    assert sorted(m.label for m in topo.landmarks.values()) == ["KITCHEN", "LAB", "WC"]
    kitchen = next(m for m in topo.landmarks.values() if m.label == "KITCHEN")
    first = len(load_map(maps[0]).nodes)
    assert min(kitchen.node_ids) < first <= max(kitchen.node_ids)
    np.testing.assert_allclose(kitchen.position_map, FRAME.apply(np.array(MARKS[0][1])), atol=0.05)
    crossing = [e for e in topo.edges if e.a < first <= e.b]
    assert crossing and all(e.length_m < 1.6 for e in crossing)
    before = len(np.unique(load_features(maps[0]).point_ids)) + len(np.unique(load_features(maps[1]).point_ids))
    assert len(np.unique(features.point_ids)) < before - 50
    by_id = [features.points_map[features.point_ids == k] for k in np.unique(features.point_ids)[:200]]
    assert max(float(np.ptp(points, axis=0).max()) for points in by_id if len(points)) < 0.06


def test_the_grids_are_one(merged):
    from astra.mapping.nav2_map import load_nav2_map

    grid = load_nav2_map(merged[0] / "nav2" / "map.yaml")
    walls = np.column_stack([grid.occupied_points(), np.zeros(int(grid.occupied.sum()))])
    house = FRAME.inverse().apply(walls)[:, :2]
    x, y = house.T
    middle = (y > 0.75) & (y < 3.25)  # beside it stand cupboards
    assert np.quantile(np.min([np.abs(x[middle] - k * SIZE[0]) for k in range(5)], axis=0), 0.95) < 0.15
    assert y.min() > -0.15 and y.max() < SIZE[1] + 0.15
    assert np.ptp(x) > 3.9 * SIZE[0]


def test_the_command_merges_and_says_so(maps, tmp_path, capsys):
    assert main(["map", "merge", str(maps[0]), str(maps[1]), "--out", str(tmp_path / "both"), "--json"]) == 0
    assert '"joined": true' in capsys.readouterr().out
    assert main(["map", "merge", str(maps[0]), str(maps[0]), "--out", str(tmp_path / "same")]) == 2
    assert "itself" in capsys.readouterr().err
    assert main(["map", "merge", str(maps[0]), str(tmp_path / "nothing"), "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_a_house_with_the_same_rooms_elsewhere_is_not_joined(tmp_path):
    """One room of both houses looks alike; everything around it does not."""
    here = write_map(tmp_path / "here", Building((1, 2, 3)), tour(0, 2), seed=1)
    there = write_map(tmp_path / "there", Building((5, 2, 6)), tour(0, 2, y=1.4), seed=2)
    result = merge_maps(here, there, tmp_path / "both")
    assert not result.is_joined
    topo = load_map(tmp_path / "both")
    assert {n.fragment for n in topo.nodes.values()} == {0, 1}
    assert any("fragment of its own" in w for w in topo.info.warnings)
    assert not any(topo.nodes[e.a].fragment != topo.nodes[e.b].fragment for e in topo.edges)


def test_two_rooms_that_look_alike_leave_it_open(tmp_path):
    """The second tour saw a room that the first map has twice: either may be it."""
    here = write_map(tmp_path / "here", Building((7, 2, 3, 7)), tour(0, 3), seed=1)
    there = write_map(tmp_path / "there", Building((7,)), tour(0, 0, y=1.4), seed=2)
    result = merge_maps(here, there, tmp_path / "both")
    assert not result.is_joined


def test_unknown_units_are_brought_into_metres(tmp_path):
    poses, other = tour(0, 1), tour(1, 2, y=1.4)
    metric = write_map(tmp_path / "metric", HOUSE, poses, seed=1)
    turned = Pose3.from_rpy(0.3, -0.2, 1.0, [1.0, 2.0, 0.5])
    loose = write_map(tmp_path / "loose", HOUSE, other, Similarity(0.37, turned.rotation, turned.translation), 2, "unknown")
    for order in ((metric, loose), (loose, metric)):
        result = merge_maps(*order, tmp_path / "both")
        assert result.is_joined and result.info.scale_source == "odometry"
        topo = load_map(tmp_path / "both")
        lengths = [e.length_m for e in topo.edges if e.kind == "driven" and e.b == e.a + 1]
        assert np.median(lengths) == pytest.approx(0.4, abs=0.01)


def test_maps_that_cannot_be_compared_are_refused(maps, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(maps[0], copy)
    place = np.load(copy / "features" / "place.npy")
    np.save(copy / "features" / "place.npy", place[:, :5])
    with pytest.raises(MapError):
        merge_maps(copy, maps[1], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert math.isfinite(read_manifest(maps[0])["scale"]["sigma"])
    with pytest.raises(BadInputError):
        merge_maps(maps[0], maps[0], tmp_path / "out")


def test_a_chain_bends_onto_its_places_and_stays_stiff_between():
    """Dead reckoning drifts to a tenth of a metre; every eighth node knows where it is."""
    truth = {k: Pose3.from_rpy(0, 0, 0.1 * k, [0.4 * k, 0.0, 0.0]) for k in range(41)}
    drifted = {k: Pose3.from_rpy(0, 0, 0.1 * k + 0.0003 * k, [0.4 * k, 0.00006 * k * k, 0.0]) for k in truth}
    links = [(k, k + 1) for k in range(40)]
    found = bend(drifted, [(k, truth[k]) for k in range(0, 41, 8)], links, True, BendConfig(), 1.0)
    before = [np.linalg.norm(drifted[k].translation - truth[k].translation) for k in truth]
    after = [np.linalg.norm(found.pose(k, drifted[k]).translation - truth[k].translation) for k in truth]
    assert max(before) > 0.09 and max(after) < 0.02
    np.testing.assert_allclose(found.shift[:, 2], 0.0)


def test_two_focal_lengths_of_one_camera_are_named(maps, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(maps[1], changed)
    manifest = yaml.safe_load((changed / "map.yaml").read_text())
    for camera in manifest["cameras"].values():
        camera["camera_matrix"]["data"][0] *= 1.03
        if "projection_matrix" in camera:
            camera["projection_matrix"]["data"][0] *= 1.03
    (changed / "map.yaml").write_text(yaml.safe_dump(manifest))
    result = merge_maps(maps[0], changed, tmp_path / "both")
    assert any("focal length" in text for text in result.info.warnings)
    assert set(load_map(tmp_path / "both").cameras) == {"front", "left", "front_1", "left_1"}
