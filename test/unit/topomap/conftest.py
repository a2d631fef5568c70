"""A small map folder to read, export and look at."""

import math

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.topomap import Edge, EdgeKind, Landmark, MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures


def _jpeg(shade):
    cv2 = pytest.importorskip("cv2")
    ok, data = cv2.imencode(".jpg", np.full((16, 24, 3), shade, np.uint8))
    assert ok
    return data.tobytes()


@pytest.fixture
def small_topomap():
    """Four nodes with two cameras each, the last in a fragment of its own, and two landmarks."""
    cameras = {"front": CameraModel.from_fov(24, 16, 1.5), "back": CameraModel.from_fov(24, 16, 1.5)}
    base_from_cam = {"front": BODY_FROM_OPTICAL, "back": Pose3.from_rpy(0, 0, math.pi, (0, 0, 0)) @ BODY_FROM_OPTICAL}
    nodes = {}
    for i in range(4):
        pose = Pose3.from_pose2(Pose2(float(i), 0.5 * i, 0.3))
        views = tuple(View(2 * i + k, name, f"images/{i:05d}_{name}.jpg", pose @ base_from_cam[name]) for k, name in enumerate(cameras))
        nodes[i] = Node(i, 10**9 * (i + 1) + 5, pose, views, (0, 1) if i < 2 else (), 0 if i < 3 else 1, 0.05)
    edges = (Edge(0, 1, 1.118, EdgeKind.DRIVEN, 0.9), Edge(1, 2, 1.118, EdgeKind.VISIBLE))
    landmarks = {
        0: Landmark(0, "LOUNGE", True, "white text on blue", "a place to rest", np.array([2.0, 1.0, 1.4]), 0.04, (0, 1), (0, 2), np.array([-1.0, 0.0, 0.0])),
        1: Landmark(1, '=SUM(A1)</script><b>"x', True, "", "", np.array([0.0, 1.0, 1.0]), math.nan, (0, 1), (1,)),
    }
    return TopoMap(MapInfo("small", "odometry", 0.004, ("one warning",), {"seconds": {"sfm": 1.0}}), cameras, nodes, edges, landmarks)


@pytest.fixture
def small_features():
    """Three features in each of the eight views of `small_topomap`."""
    rng = np.random.default_rng(5)
    place = rng.normal(size=(8, 6)).astype(np.float32)
    return MapFeatures(
        np.arange(8), np.arange(0, 25, 3), rng.uniform(0, 16, (24, 2)).astype(np.float32), rng.integers(0, 255, (24, 128), dtype=np.uint8),
        rng.normal(size=(24, 3)).astype(np.float32), np.arange(24), place / np.linalg.norm(place, axis=1, keepdims=True),
    )  # fmt: skip


@pytest.fixture
def small_map(tmp_path, small_topomap, small_features):
    """The map above as a folder, with an occupancy grid."""
    from astra.topomap.io import save_map

    source = tmp_path / "source"
    (source / "nav2").mkdir(parents=True)
    images = {}
    for view in (view for node in small_topomap.nodes.values() for view in node.views):
        file = source / f"{view.id}.jpg"
        file.write_bytes(_jpeg(30 * view.id))
        images[view.image] = file
    (source / "nav2" / "map.pgm").write_bytes(b"P5\n4 3\n255\n" + bytes([0, 254, 254, 205] * 3))
    (source / "nav2" / "map.yaml").write_text(
        "image: map.pgm\nresolution: 0.5\norigin: [-1.0, -0.5, 0.0]\nnegate: 0\noccupied_thresh: 0.65\nfree_thresh: 0.196\n"
    )
    save_map(small_topomap, small_features, images, tmp_path / "map", {"nav2": source / "nav2"})
    return tmp_path / "map"
