"""Views that observe a landmark's surroundings see it; those behind the wall, turned away or far off do not."""

import math

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose3
from astra.mapping.covisibility import CovisibilityConfig, extend_covisibility, landmark_ids_by_node
from astra.mapping.landmarks import ViewEvidence
from astra.topomap import Landmark

CAMERA = CameraModel.from_fov(224, 160, math.radians(90.0))
AROUND = np.array([3.0, 0.0, 1.2]) + np.array([[0, y, z] for y in (-0.3, -0.1, 0.1, 0.3) for z in (-0.1, 0.1)])
BEHIND = AROUND + np.array([0.15, 0.0, 0.0])  # the same wall seen from the next room


def _landmark(view_ids=(0,), node_ids=(0,)):
    return Landmark(7, "EXIT", True, "", "", np.array([3.0, 0.0, 1.2]), 0.05, node_ids, view_ids, np.array([-1.0, 0.0, 0.0]))


def _view(view_id, x, yaw, points):
    pose = Pose3.from_rpy(0.0, 0.0, yaw, (x, 0.0, 0.9)) @ BODY_FROM_OPTICAL
    return ViewEvidence(view_id, view_id // 2, CAMERA, pose, np.zeros((len(points), 2), np.float32), points)


def test_views_of_the_surroundings_are_added():
    with_unknown = np.vstack([np.full((2, 3), np.nan), AROUND])
    views = [
        _view(0, 0.0, 0.0, AROUND),
        _view(2, 1.0, 0.0, with_unknown),
        _view(4, 1.0, math.pi, AROUND),  # looks away
        _view(6, 5.0, math.pi, BEHIND),  # behind the wall
        _view(8, 1.0, 0.0, np.zeros((0, 3))),  # observes nothing
        _view(10, -7.0, 0.0, AROUND),  # too far
        _view(12, 1.0, 0.0, BEHIND),  # impossible through the wall: only points behind the surface
    ]
    (landmark,) = extend_covisibility([_landmark()], views)
    assert landmark.view_ids == (0, 2)
    assert landmark.node_ids == (0, 1)


def test_detections_are_kept_even_without_points():
    (landmark,) = extend_covisibility([_landmark((3,), (1,))], [_view(3, 0.0, math.pi, np.zeros((0, 3)))])
    assert landmark.view_ids == (3,) and landmark.node_ids == (1,)
    assert extend_covisibility([], []) == []


def test_few_points_prove_nothing():
    views = [_view(2, 1.0, 0.0, AROUND[:3])]
    assert extend_covisibility([_landmark()], views)[0].view_ids == (0,)
    assert extend_covisibility([_landmark()], views, CovisibilityConfig(min_points=3))[0].view_ids == (0, 2)


def test_landmarks_are_listed_by_node():
    a, b = _landmark((0,), (0, 2)), Landmark(9, "WC", True, "", "", np.zeros(3), 0.1, (2,), (4,))
    assert landmark_ids_by_node([b, a]) == {0: (7,), 2: (7, 9)}
