"""A map folder comes back as it was written, and anything else is refused with a reason."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from astra.core.errors import MapError, NewerMapError
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.topomap import Edge, EdgeKind, Landmark, MapInfo, Node, ScaleWitness, TopoMap, View
from astra.topomap.features import MapFeatures
from astra.topomap.io import damaged_files, load_features, load_map, save_map
from astra.topomap.types import UNKNOWN
from astra.topomap.validate import check_map, summarise

CAMERA = CameraModel(224, 160, 112.0, 112.0, 111.5, 79.5)


def topo():
    nodes = {}
    for k in range(4):
        pose = Pose3.from_pose2(Pose2(0.5 * k, 0.1 * k, 0.2 * k))
        view = View(k, "front", f"images/{k}.jpg", pose @ BODY_FROM_OPTICAL)
        nodes[k] = Node(k, 10**18 + k, pose, (view,), (7,) if k < 2 else (), 0 if k < 3 else 1, 0.02 if k else float("nan"))
    edges = (Edge(0, 1, 0.51, EdgeKind.DRIVEN, 1.2), Edge(1, 2, 0.51, EdgeKind.VISIBLE))
    mark = Landmark(7, "LOUNGE <b>", True, "white on blue", "a place to rest", np.array([1.0, 2.0, 1.5]), 0.03, (0, 1), (0, 1), np.array([0, -1.0, 0]))
    info = MapInfo("house", "odometry", 0.01, ("the scale is uncertain",), {"versions": {"x": "1"}, "n": 3})
    return TopoMap(info, {"front": CAMERA}, nodes, edges, {7: mark})


def features():
    rng = np.random.default_rng(0)
    offsets = np.array([0, 50, 120, 120, 200], dtype=np.int64)
    points = rng.normal(size=(200, 3)).astype(np.float32)
    points[::3] = np.nan
    return MapFeatures(
        np.arange(4), offsets, rng.uniform(0, 200, (200, 2)).astype(np.float32), rng.integers(0, 256, (200, 128), dtype=np.uint8),
        points, np.where(np.isnan(points[:, 0]), -1, np.arange(200)), np.eye(4, 16, dtype=np.float32),
    )  # fmt: skip


def write(tmp_path, name="house", topo_map=None):
    images = {}
    for k in range(4):
        source = tmp_path / f"source{k}.jpg"
        source.write_bytes(bytes([k]) * 100)
        images[f"images/{k}.jpg"] = source
    save_map(topo_map or topo(), features(), images, tmp_path / name)
    return tmp_path / name


def test_what_is_loaded_is_what_was_saved(tmp_path):
    path, before = write(tmp_path), topo()
    after = load_map(path)
    assert after.info == before.info and after.cameras == before.cameras and list(after.nodes) == list(before.nodes)
    for k, node in before.nodes.items():
        other = after.nodes[k]
        assert (other.stamp_ns, other.landmark_ids, other.fragment) == (node.stamp_ns, node.landmark_ids, node.fragment)
        np.testing.assert_allclose(other.map_from_base.matrix(), node.map_from_base.matrix(), atol=1e-6)
        np.testing.assert_allclose(other.views[0].map_from_cam.matrix(), node.views[0].map_from_cam.matrix(), atol=1e-6)
        np.testing.assert_allclose(other.position_sigma_m, node.position_sigma_m)
    assert [(e.a, e.b, e.kind, e.length_m) for e in after.edges] == [(e.a, e.b, e.kind, e.length_m) for e in before.edges]
    assert after.edges[0].width_m == 1.2 and np.isnan(after.edges[1].width_m)
    mark = after.landmarks[7]
    assert (mark.label, mark.attributes, mark.function, mark.node_ids) == ("LOUNGE <b>", "white on blue", "a place to rest", (0, 1))
    np.testing.assert_allclose(mark.normal_map, [0, -1, 0])
    assert (path / "images" / "2.jpg").read_bytes() == bytes([2]) * 100


def test_where_metres_and_up_come_from_is_kept_and_older_maps_know_less(tmp_path):
    witnesses = (ScaleWitness("odometry", 1.0012, 0.008, True), ScaleWitness("camera_height", 1.15, 0.02, False))
    info = dataclasses.replace(topo().info, scale_witnesses=witnesses, up_source="imu", up_sigma_rad=0.004)
    path = write(tmp_path, topo_map=dataclasses.replace(topo(), info=info))
    assert load_map(path).info == info
    text = "\n".join(summarise(load_map(path)).lines())
    assert "odometry: +0.12 % ± 0.80 %" in text and "camera height: +15.00 % ± 2.00 %, not used" in text and "up from imu ± 0.23°" in text
    manifest = yaml.safe_load((path / "map.yaml").read_text())
    del manifest["up"], manifest["scale"]["witnesses"]
    (path / "map.yaml").write_text(yaml.safe_dump(manifest))
    assert load_map(path).info == dataclasses.replace(info, scale_witnesses=(), up_source="unknown", up_sigma_rad=UNKNOWN)


def test_a_landmarks_covariance_is_kept_and_maps_without_one_are_read(tmp_path):
    given = topo()
    covariance = np.array([[0.04, 0.01, 0.0], [0.01, 0.02, 0.0], [0.0, 0.0, 0.01]])
    mark = dataclasses.replace(given.landmarks[7], covariance_map=covariance)
    with_it = load_map(write(tmp_path, "with", dataclasses.replace(given, landmarks={7: mark})))
    np.testing.assert_allclose(with_it.landmarks[7].covariance_map, covariance)
    assert load_map(write(tmp_path, "without", given)).landmarks[7].covariance_map is None


def test_features_come_back_memory_mapped(tmp_path):
    found, given = load_features(write(tmp_path)), features()
    assert isinstance(found.descriptors, np.memmap) and not found.descriptors.flags.writeable
    for name in ("view_ids", "offsets", "keypoints", "descriptors", "points_map", "point_ids", "place"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    assert len(found.view(2).keypoints) == 0 and len(found.view(3).keypoints) == 80


@pytest.mark.parametrize("name", ["graph.json", "landmarks.json", "features/descriptors.npy"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    path = write(tmp_path)
    file = path / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flip" else data[:-1])
    with pytest.raises(MapError, match=name):
        load_features(path) if name.startswith("features") else load_map(path)
    assert any(name in problem for problem in check_map(path))


def test_a_damaged_image_is_found_by_the_check(tmp_path):
    path = write(tmp_path)
    assert damaged_files(path) == []
    (path / "images" / "1.jpg").write_bytes(b"x" * 100)
    assert len(damaged_files(path)) == 1 and "images/1.jpg" in damaged_files(path)[0]


def test_a_newer_format_is_refused_as_newer(tmp_path):
    path = write(tmp_path)
    manifest = yaml.safe_load((path / "map.yaml").read_text())
    manifest["format_version"] = 99
    (path / "map.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(NewerMapError, match="99"):
        load_map(path)
    with pytest.raises(NewerMapError, match="99"):
        load_features(path)


@pytest.mark.parametrize("content", ["image: map.pgm\nresolution: 0.05\n", "- a\n- b\n", ": : :", "", "format: astra-map\nformat_version: x\n"])
def test_foreign_manifests_are_refused(tmp_path, content):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "map.yaml").write_text(content)
    with pytest.raises(MapError):
        load_map(tmp_path / "m")


def test_a_folder_that_is_no_map_is_refused(tmp_path):
    with pytest.raises(MapError, match=r"no map\.yaml"):
        load_map(tmp_path)


def consistent(path, name, document):
    """Rewrite a file of the map together with its checksum, as an attacker or a foreign tool would."""
    import hashlib

    data = json.dumps(document).encode()
    (path / name).write_bytes(data)
    manifest = yaml.safe_load((path / "map.yaml").read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path / "map.yaml").write_text(yaml.safe_dump(manifest))


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda g: g["edges"][0].update(b=99), "edge"),
        (lambda g: g["nodes"][0].update(landmark_ids=[5]), "landmark"),
        (lambda g: g["nodes"].append(g["nodes"][0]), "twice"),
        (lambda g: g["nodes"][0]["views"][0].update(image="../../etc/passwd"), "inside"),
        (lambda g: g["nodes"][0]["views"][0].update(camera="rear"), "camera"),
        (lambda g: g["nodes"][0]["map_from_base"].update(rotation_xyzw=[0, 0, 0, 0]), "quaternion"),
        (lambda g: g["nodes"][0].pop("stamp_ns"), "stamp_ns"),
    ],
)
def test_wrong_contents_are_refused_even_with_a_right_checksum(tmp_path, change, reason):
    path = write(tmp_path)
    graph = json.loads((path / "graph.json").read_text())
    change(graph)
    consistent(path, "graph.json", graph)
    with pytest.raises(MapError, match=reason):
        load_map(path)


def test_features_cannot_smuggle_a_pickle(tmp_path):
    path = write(tmp_path)
    np.save(path / "features" / "place.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    import hashlib

    data = (path / "features" / "place.npy").read_bytes()
    manifest = yaml.safe_load((path / "map.yaml").read_text())
    manifest["files"]["features/place.npy"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path / "map.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(MapError, match="place"):
        load_features(path)


def test_a_failed_write_leaves_the_old_map_and_nothing_else(tmp_path):
    path = write(tmp_path)
    before = (path / "map.yaml").read_bytes()
    images = {f"images/{k}.jpg": tmp_path / "not there.jpg" for k in range(4)}
    with pytest.raises(OSError):
        save_map(topo(), features(), images, path)
    assert (path / "map.yaml").read_bytes() == before and damaged_files(path) == []
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "thesis.txt").write_text("mine")
    with pytest.raises(MapError, match="not a map"):
        write(tmp_path)
    assert (tmp_path / "house" / "thesis.txt").read_text() == "mine"


def test_the_summary_counts_fragments_and_islands(tmp_path):
    summary = summarise(load_map(write(tmp_path)))
    assert summary.fragments == (3, 1) and summary.islands == 1
    assert (summary.nodes, summary.edges_driven, summary.edges_visible, summary.landmarks) == (4, 1, 1, 1)
    assert summary.driven_m == pytest.approx(0.51) and summary.extent_m == pytest.approx((1.0, 0.2))
    json.dumps(summary.to_json(), allow_nan=False)
