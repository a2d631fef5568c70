"""Detections of many views become landmarks at the right place, with the right words."""

import math
from dataclasses import replace

import numpy as np
import pytest

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose3
from astra.mapping.association import associate, whole_and_pieces
from astra.mapping.landmarks import LandmarkConfig, LandmarkDetection, ViewEvidence
from astra.mapping.sightings import is_cut
from astra.mapping.wording import majority, part_similarity, similarity

CAMERA = CameraModel.from_fov(1280, 960, math.radians(90.0))
COARSE = CameraModel.from_fov(224, 160, math.radians(90.0))
SIGN = np.array([3.0, 0.4, 1.4])  # faces -x; 0.4 m wide, 0.1 m high
CORNERS = SIGN + np.array([[0, 0.2, 0.05], [0, -0.2, 0.05], [0, -0.2, -0.05], [0, 0.2, -0.05]])


def _view(view_id, x, y, detections, points=None, corners=CORNERS):
    """A camera at (x, y, 0.9) that looks at +x; `detections` are (label, score) at `corners`."""
    pose = Pose3(np.eye(3), np.array([x, y, 0.9])) @ BODY_FROM_OPTICAL
    polygon, _ = CAMERA.project(pose.inverse().apply(corners))
    points = np.zeros((0, 3)) if points is None else points
    keypoints, _ = CAMERA.project(pose.inverse().apply(points)) if len(points) else (np.zeros((0, 2)), None)
    found = tuple(LandmarkDetection(label, True, score, polygon, "white text on blue", "") for label, score in detections)
    return ViewEvidence(view_id, view_id // 4, CAMERA, pose, keypoints.astype(np.float32), points, found)


def test_rays_alone_triangulate_the_sign_and_its_normal():
    views = [_view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("LOUNGE", 0.9)]) for i in range(4)]
    (landmark,) = associate(views)
    assert landmark.label == "LOUNGE" and landmark.is_text and landmark.attributes == "white text on blue"
    np.testing.assert_allclose(landmark.position_map, SIGN, atol=0.02)
    np.testing.assert_allclose(landmark.normal_map, [-1.0, 0.0, 0.0], atol=0.1)
    assert landmark.node_ids == (0, 1, 2, 3) and landmark.view_ids == (0, 4, 8, 12)
    assert 0.0 < landmark.position_sigma_m < 0.2


def test_points_inside_the_polygon_give_the_depth_without_parallax():
    wall = SIGN + np.array([[0, y, z] for y in (-0.15, -0.05, 0.05, 0.15) for z in (-0.03, 0.03)])
    views = [_view(0, 0.0, 0.4, [("LOUNGE", 0.9)], wall), _view(4, 0.4, 0.4, [("LOUNGE", 0.9)], wall)]
    (landmark,) = associate(views)
    np.testing.assert_allclose(landmark.position_map, SIGN, atol=0.03)


def test_the_majority_outvotes_misreadings():
    readings = ["LOUNGE", "LOUNGE", "L0UNGE", "LOUNG", "LOUNGE"]
    views = [_view(4 * i, 0.1 * i, -0.8 + 0.4 * i, [(text, 0.8)]) for i, text in enumerate(readings)]
    (landmark,) = associate(views)
    assert landmark.label == "LOUNGE" and len(landmark.view_ids) == 5


def test_equal_texts_at_different_places_stay_apart():
    other = CORNERS + np.array([0.0, 2.0, 0.0])
    near = [_view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("EXIT", 0.9)]) for i in range(3)]
    far = [_view(20 + 4 * i, 0.2 * i, 1.5 + 0.5 * i, [("EXIT", 0.9)], corners=other) for i in range(3)]
    landmarks = associate(near + far)
    assert len(landmarks) == 2
    ys = sorted(float(m.position_map[1]) for m in landmarks)
    assert ys == pytest.approx([0.4, 2.4], abs=0.05)


def test_different_texts_side_by_side_stay_apart():
    other = CORNERS + np.array([0.0, 0.45, 0.0])
    views = []
    for i in range(4):
        a = _view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("KITCHEN", 0.9)])
        b = _view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("PRINTER", 0.9)], corners=other)
        views.append(ViewEvidence(a.view_id, a.node_id, CAMERA, a.map_from_cam, a.keypoints, a.points_map, a.detections + b.detections))
    assert sorted(m.label for m in associate(views)) == ["KITCHEN", "PRINTER"]


def test_one_doubtful_sighting_is_no_landmark():
    assert associate([_view(0, 0.0, 0.4, [("LOUNGE", 0.7)])]) == []
    assert associate([]) == []


def test_no_landmark_where_rays_do_not_meet():
    views = [_view(0, 0.0, 0.4, [("LOUNGE", 0.9)]), _view(4, 0.0, 0.4, [("LOUNGE", 0.9)])]  # the same spot twice: no parallax, no depth
    assert associate(views) == []


def test_signs_cut_by_the_border_add_views_and_no_landmarks():
    whole = [_view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("STORAGE", 0.9)]) for i in range(3)]
    left_part = CORNERS.copy()
    left_part[1:3, 1] = 0.0  # the right half lies outside the image
    cut = []
    for i, x in enumerate((1.9, 2.1, 2.3)):
        pose = Pose3.from_rpy(0.0, 0.0, 0.7, (x, -0.3, 1.2)) @ BODY_FROM_OPTICAL
        polygon, _ = CAMERA.project(pose.inverse().apply(left_part))
        polygon[1:3, 0] = CAMERA.width - 1.5
        found = (LandmarkDetection("STOR", True, 0.95, polygon),)
        cut.append(ViewEvidence(40 + 4 * i, 10 + i, CAMERA, pose, np.zeros((0, 2), np.float32), np.zeros((0, 3)), found))
    assert all(is_cut(v.detections[0], v) for v in cut) and not any(is_cut(v.detections[0], v) for v in whole)
    assert associate(cut) == []
    (landmark,) = associate(whole + cut)
    assert landmark.label == "STORAGE"
    np.testing.assert_allclose(landmark.position_map, SIGN, atol=0.02)


def test_a_half_hidden_sign_is_a_piece_of_the_whole_one():
    half = CORNERS.copy()
    half[1:3, 1] = 0.4  # only its left half shows past a door frame
    whole = [_view(4 * i, 0.15 * i, -1.2 + 0.4 * i, [("COPY ROOM", 0.9)]) for i in range(6)]
    hidden = [_view(40 + 4 * i, 0.3 * i, 1.0 + 0.4 * i, [("COPY", 0.95)], corners=half) for i in range(3)]
    (landmark,) = associate(whole + hidden)
    assert landmark.label == "COPY ROOM" and set(landmark.view_ids) >= {40, 44, 48}


def test_two_letters_need_more_evidence():
    assert associate([_view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("ME", 0.9)]) for i in range(4)]) == []
    (landmark,) = associate([_view(4 * i, 0.2 * i, -0.8 + 0.5 * i, [("WC", 0.97)]) for i in range(4)])
    assert landmark.label == "WC"


def test_many_detections_take_little_time():
    import time

    views = [_view(4 * i, 0.01 * i, -0.8 + 0.012 * i, [(f"SIGN {'ABCDEFGHIJ'[i % 10]}", 0.8)]) for i in range(120)]
    start = time.process_time()
    associate(views)
    assert time.process_time() - start < 10.0


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [("Lounge", "LOUNGE!", 1.0, 1.0), ("EXIT", "KITCHEN", 0.0, 0.5), ("ROOM 201", "ROOM 202", 0.0, 0.55), ("KITCHEN", "KITCHAN", 0.8, 0.99)],
)
def test_similarity_ignores_case_and_knows_numbers(a, b, low, high):
    assert low <= similarity(a, b) <= high
    assert similarity(a, b) == similarity(b, a)


def test_pieces_are_known_by_their_wholes():
    assert part_similarity("YROOM", "COPY ROOM") == 1.0 and part_similarity("KITO", "KITCHEN") >= 0.75
    assert part_similarity("EXIT", "KITCHEN") < 0.6 and part_similarity("LOUNGE", "LOUNGE") == 0.0


def test_majority_takes_the_best_spelling():
    assert majority([("COPYROOM", 0.8), ("COPY ROOM", 0.8), ("COPY ROCM", 0.9), ("OPYROOM", 0.7)]) == "COPY ROOM"
    assert majority([("COPYROOM", 0.8), ("COPYROOM", 0.8), ("COPYROOM", 0.8), ("COPY ROOM", 0.6), ("COPY ROOM", 0.7)]) == "COPY ROOM"
    assert majority([("[EXIT]", 0.8), ("EXIT", 0.8), ("EXIT", 0.7)]) == "EXIT"
    assert majority([]) == ""


def test_parts_speak_for_the_whole_unless_it_was_hardly_read():
    assert majority([("20", 0.8), ("20", 0.8), ("20", 0.5), ("2025", 0.7), ("2025", 0.7)]) == "2025"
    assert majority([("LOUNGE", 0.9)] * 5 + [("LOUNGEE", 0.9)]) == "LOUNGE"


def _looking(view_id, eye, target, corners, label, score=0.95, with_depth=False):
    """A camera at `eye` that looks at `target` and reads `label` at `corners`; `with_depth`: SfM found points there."""
    yaw = math.atan2(target[1] - eye[1], target[0] - eye[0])
    pose = Pose3.from_rpy(0.0, 0.0, yaw, (eye[0], eye[1], 0.9)) @ BODY_FROM_OPTICAL
    polygon, inside = CAMERA.project(pose.inverse().apply(corners))
    assert inside.all()
    found = (LandmarkDetection(label, True, score, polygon),)
    points = np.vstack([corners, corners.mean(axis=0)]) if with_depth else np.zeros((0, 3))
    keypoints = CAMERA.project(pose.inverse().apply(points))[0] if with_depth else np.zeros((0, 2))
    return ViewEvidence(view_id, view_id, CAMERA, pose, keypoints.astype(np.float32), points, found)


def test_plates_of_one_text_on_a_walls_two_faces_are_two():
    behind = CORNERS[[1, 0, 3, 2]] + np.array([0.12, 0.0, 0.0])
    front = [_looking(i, (1.2 + 0.2 * i, -0.6 + 0.5 * i), SIGN, CORNERS, "TURING", with_depth=True) for i in range(4)]
    back = [_looking(10 + i, (4.9 - 0.2 * i, -0.6 + 0.5 * i), SIGN, behind, "TURING", with_depth=True) for i in range(4)]
    marks = associate(front + back)
    assert [m.label for m in marks] == ["TURING", "TURING"]
    assert float(marks[0].normal_map @ marks[1].normal_map) < -0.9
    assert {frozenset(m.node_ids) for m in marks} == {frozenset(range(4)), frozenset(range(10, 14))}


def test_one_plate_of_two_tours_and_both_sides_of_its_front_is_one():
    eyes = [(1.5, -1.6), (1.2, -0.8), (1.0, 0.4), (1.3, 1.5), (1.6, 2.3)]
    marks = associate([_looking(i, eye, SIGN, CORNERS, "TURING" if i % 2 else "TURlNG") for i, eye in enumerate(eyes * 2)])
    assert len(marks) == 1 and len(marks[0].node_ids) == 10


def test_a_number_misread_is_no_second_sign():
    eyes = [(1.2 + 0.1 * i, -0.9 + 0.4 * i) for i in range(6)]
    readings = ["506", "500", "506", "506", "500", "506"]
    (mark,) = associate([_looking(i, eye, SIGN, CORNERS, text) for i, (eye, text) in enumerate(zip(eyes, readings))])
    assert mark.label == "506"


def test_a_text_that_touches_the_border_counts_if_it_was_read_elsewhere():
    views = [_looking(i, (1.6 - 0.1 * i, 0.2 + 0.6 * i), SIGN, CORNERS, "WC" if i else "05") for i in range(3)]
    other = _looking(5, (1.5, -0.9), SIGN, CORNERS, "05")
    polygon = np.array(other.detections[0].polygon)
    polygon[:, 0] = np.maximum(polygon[:, 0] - polygon[:, 0].min() - 0.5, 0.0)
    touching = replace(other, detections=(LandmarkDetection("05", True, 0.99, polygon),))
    assert is_cut(touching.detections[0], touching)
    whole, pieces = whole_and_pieces([views[0], touching], LandmarkConfig())
    assert len(whole) == 2 and pieces == []
    assert len(whole_and_pieces([*views[1:], touching], LandmarkConfig())[1]) == 1


def _seen(view_id, eye, centre, label, size=0.3):
    """A camera at `eye` that sees a thing around `centre`, whatever its sides look like."""
    yaw = math.atan2(centre[1] - eye[1], centre[0] - eye[0])
    pose = Pose3.from_rpy(0.0, 0.0, yaw, (eye[0], eye[1], 0.9)) @ BODY_FROM_OPTICAL
    pixel, _ = COARSE.project(pose.inverse().apply(np.asarray(centre)[None]))
    half = COARSE.fx * size / 2 / math.dist(eye, centre[:2])
    polygon = pixel + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    found = (LandmarkDetection(label, False, 0.8, polygon, "grey", "a place to sit"),)
    return ViewEvidence(view_id, view_id, COARSE, pose, np.zeros((0, 2), np.float32), np.zeros((0, 3)), found)


def test_a_thing_is_one_from_all_around_and_keeps_its_words():
    eyes = [(2.0 * math.cos(a), 2.0 * math.sin(a)) for a in np.linspace(0.0, 5.5, 8)]
    (mark,) = associate([_seen(i, eye, (0.0, 0.0, 0.5), "sofa") for i, eye in enumerate(eyes)])
    assert (mark.label, mark.is_text, mark.attributes, mark.function) == ("sofa", False, "grey", "a place to sit")
    np.testing.assert_allclose(mark.position_map, [0.0, 0.0, 0.5], atol=0.05)


@pytest.mark.parametrize("speed", [0.3, 0.6, 1.2])
def test_what_moves_while_it_is_seen_leaves_no_landmark(speed):
    views = [_seen(i, (0.45 * i, 0.0), (2.0, -3.0 + speed * i, 0.9), "figure") for i in range(8)]
    assert associate(views) == []


def test_two_things_of_one_category_in_one_image_stay_two():
    eyes = [(-0.5 + 0.4 * i, -2.0) for i in range(5)]
    views = []
    for i, eye in enumerate(eyes):
        a, b = (_seen(i, eye, centre, "chair") for centre in ((0.0, 0.5, 0.5), (0.9, 0.5, 0.5)))
        (other,) = b.detections
        pixel, _ = COARSE.project(a.map_from_cam.inverse().apply(np.array([[0.9, 0.5, 0.5]])))
        moved = np.asarray(other.polygon) - np.asarray(other.polygon).mean(axis=0) + pixel
        views.append(replace(a, detections=(a.detections[0], LandmarkDetection("chair", False, 0.8, moved))))
    xs = sorted(float(m.position_map[0]) for m in associate(views))
    assert xs == pytest.approx([0.0, 0.9], abs=0.1)


def test_one_near_look_outweighs_many_far_ones():
    far = [_view(4 * i, -5.0, -0.2 + 0.1 * i, [("ROOM 803", 0.88)]) for i in range(4)]  # letters of 8 px
    near = [_view(40 + 4 * i, 0.2 * i, -0.2 + 0.3 * i, [("ROOM 603", 0.96)]) for i in range(3)]
    (mark,) = associate([*far, *near])
    assert mark.label == "ROOM 603"


def test_a_reading_that_little_stands_behind_is_no_sign():
    views = [_view(4 * i, -5.0, 0.8 * i, [("ROOM 803", 0.8)]) for i in range(2)]
    assert associate(views) == []
    assert len(associate(views, LandmarkConfig(min_evidence=0.0))) == 1


def test_a_position_is_least_sure_along_the_looks_that_fix_it():
    views = [_view(4 * i, 0.0, 0.1 * i, [("LOUNGE", 0.9)]) for i in range(4)]  # all look along +x, 3 m away
    (mark,) = associate(views)
    values, vectors = np.linalg.eigh(mark.covariance_map)
    assert values[2] > 10 * values[1] > 0.0 and abs(vectors[0, 2]) > 0.95
    assert np.trace(mark.covariance_map) / 3.0 == pytest.approx(mark.position_sigma_m**2)
    turned = mark.turned_covariance(Pose3.from_rpy(0.0, 0.0, math.pi / 2).rotation, 2.0)
    assert turned[1, 1] == pytest.approx(4.0 * mark.covariance_map[0, 0])
