"""Looking on purpose: the motion after which two possible places would look most different."""

import math

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.global_model.loaded import LoadedMap
from astra.global_model.looking import LookingConfig, most_telling
from astra.topomap import Edge, MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures

CAMERA = CameraModel.from_fov(160, 120, math.pi / 2)
FRONT = CameraRig((RigCamera("front", CAMERA, BODY_FROM_OPTICAL),))


def aisles(different):
    """Two parallel aisles whose views are alike in pairs, but for those (x, heading) in `different`."""
    rng = np.random.default_rng(3)
    nodes, place, view_id = {}, [], 0
    alike = {(x, turn): rng.normal(size=64) for x in range(5) for turn in range(8)}
    for aisle, y in enumerate((0.0, 6.0)):
        for x in range(5):
            base = Pose3.from_pose2(Pose2(float(x), y, 0.0))
            views = []
            for turn in range(8):
                look = base @ Pose3.from_rpy(0, 0, turn * math.pi / 4) @ BODY_FROM_OPTICAL
                views.append(View(view_id, "front", f"images/{view_id}.jpg", look))
                view_id += 1
                place.append(rng.normal(size=64) if (x, turn) in different else alike[x, turn])
            nodes[10 * aisle + x] = Node(10 * aisle + x, 10 * aisle + x, base, tuple(views), ())
    vectors = np.array(place, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.arange(view_id)
    features = MapFeatures(
        ids, np.zeros(view_id + 1, np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), np.zeros((0, 3), np.float32),
        np.zeros(0, np.int64), vectors,
    )  # fmt: skip
    edges = tuple(Edge(10 * a + x, 10 * a + x + 1, 1.0) for a in range(2) for x in range(4))
    return LoadedMap(TopoMap(MapInfo("aisles", "given"), {"front": CAMERA}, nodes, edges, {}), features)


EIGHT = LookingConfig(turns=8)
BOTH = ((Pose2(2.0, 0.0, 0.0), 0.5), (Pose2(2.0, 6.0, 0.0), 0.5))


def test_the_robot_turns_to_where_the_places_differ():
    look = most_telling(aisles({(2, 2)}), FRONT, BOTH)
    assert look is not None
    assert look.turn_rad == pytest.approx(math.pi / 2) and look.ahead_m == 0.0


def test_a_short_move_is_worth_it_where_no_turn_tells_anything():
    loaded = aisles({(3, 0)})
    look = most_telling(loaded, FRONT, BOTH, np.full(8, 3.0), EIGHT)
    assert look is not None
    assert (look.turn_rad, look.ahead_m) == (0.0, 1.0)
    blocked = most_telling(loaded, FRONT, BOTH, np.zeros(8), EIGHT)
    assert blocked is None or blocked.ahead_m == 0.0


def test_places_that_look_the_same_everywhere_make_no_motion_worth_it():
    assert most_telling(aisles(set()), FRONT, BOTH, np.full(8, 3.0), EIGHT) is None


def test_one_place_needs_no_second_look():
    assert most_telling(aisles({(2, 2)}), FRONT, BOTH[:1]) is None
