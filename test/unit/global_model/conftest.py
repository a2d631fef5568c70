"""A made-up building: two rooms and a corridor with signs, its graph, its floor plan, and visual points on the walls."""

import math

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.global_model.loaded import LoadedMap
from astra.global_model.standing import FloorPlan
from astra.topomap import Edge, Landmark, MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures

CAMERA = CameraModel.from_fov(224, 160, math.pi / 2)
# Label, position, node ids that see it.
SIGNS = {
    1: ("KITCHEN", (1.0, 3.0, 1.5)),
    2: ("LOUNGE", (9.0, 3.0, 1.5)),
    3: ("Room 204", (5.0, 0.0, 1.5)),
    4: ("KITCHEN", (9.0, -3.0, 1.5)),
}


def nodes_of_corridor():
    return {i: Pose2(float(i), 1.5, 0.0) for i in range(11)}


def floor_plan():
    """x −0.5…10.5, y −3.5…3.5; walls around, a table near the lounge sign."""
    resolution = 0.05
    occupied = np.zeros((140, 220), bool)
    occupied[:4], occupied[-4:], occupied[:, :4], occupied[:, -4:] = True, True, True, True
    plan = FloorPlan(~occupied, occupied, np.array([-0.5, -3.5]), resolution)
    occupied[int((1.2 + 3.5) / resolution) : int((2.2 + 3.5) / resolution), int((8.6 + 0.5) / resolution) : int((9.4 + 0.5) / resolution)] = True
    return FloorPlan(~occupied, occupied, plan.origin, resolution)


@pytest.fixture
def plan():
    return floor_plan()


@pytest.fixture
def building():
    poses = nodes_of_corridor()
    sees = {k: tuple(i for i, p in poses.items() if math.hypot(p.x - at[0], p.y - at[1]) < 4.0) for k, (_, at) in SIGNS.items()}
    nodes = {}
    for i, pose in poses.items():
        base = Pose3.from_pose2(pose)
        views = tuple(
            View(10 * i + k, name, f"images/{i}_{name}.jpg", base @ Pose3.from_rpy(0, 0, k * math.pi / 2, np.array([0, 0, 0.9])) @ BODY_FROM_OPTICAL)
            for k, name in enumerate(("front", "left", "back", "right"))
        )
        nodes[i] = Node(i, i, base, views, tuple(k for k in SIGNS if i in sees[k]))
    edges = tuple(Edge(i, i + 1, 1.0) for i in range(10))
    marks = {
        k: Landmark(k, label, True, "", "", np.array(at), 0.05, sees[k], tuple(10 * i + 1 for i in sees[k])) for k, (label, at) in SIGNS.items()
    }
    view_ids = np.array([v.id for n in nodes.values() for v in n.views])
    count = len(view_ids)
    place = np.random.default_rng(0).normal(size=(count, 960)).astype(np.float32)
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    features = MapFeatures(
        view_ids, np.zeros(count + 1, np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), np.zeros((0, 3), np.float32),
        np.zeros(0, np.int64), place,
    )  # fmt: skip
    return LoadedMap(TopoMap(MapInfo("building", "given"), {"front": CAMERA}, nodes, edges, marks), features)
