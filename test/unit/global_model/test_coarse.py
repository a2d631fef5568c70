"""Votes, landmark matches and places on a small made-up map."""

import numpy as np
import pytest

from astra.geometry import Pose2, Pose3
from astra.global_model.backends.protocol import DetectedLandmark
from astra.global_model.coarse import CoarseConfig, PlaceRetrieval, Sketch, match_landmarks, rank_nodes, text_similarity
from astra.global_model.consistency import ConsistencyConfig, explain_landmarks, group_places
from astra.topomap import Landmark, MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures, give_back
from astra.topomap.queries import MapIndex

ROOMS = {0: (0.0, 0.0), 1: (1.0, 0.0), 2: (10.0, 0.0), 3: (11.0, 0.0), 4: (20.0, 0.0)}
SIGNS = {7: ("KITCHEN", (0, 1)), 8: ("Room 204", (2, 3)), 9: ("Room 205", (4,)), 10: ("KITCHEN", (4,))}


def world(dimension=32):
    rng = np.random.default_rng(0)
    place = rng.normal(size=(len(ROOMS), dimension)).astype(np.float32)
    place[1] = place[0] + 0.3 * place[1]
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    nodes = {
        i: Node(i, i, Pose3.from_pose2(Pose2(x, y)), (View(100 + i, "front", f"{i}.jpg", Pose3()),), tuple(k for k, (_, n) in SIGNS.items() if i in n))
        for i, (x, y) in ROOMS.items()
    }
    marks = {k: Landmark(k, label, True, "", "", np.zeros(3), 0.1, n, ()) for k, (label, n) in SIGNS.items()}
    empty = np.zeros(0, np.int64)
    features = MapFeatures(
        np.array([100 + i for i in ROOMS]), np.zeros(len(ROOMS) + 1, np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8),
        np.zeros((0, 3), np.float32), empty, place,
    )  # fmt: skip
    return MapIndex(TopoMap(MapInfo("m", "given"), {}, nodes, (), marks)), features


def seen(text, score=0.9):
    return DetectedLandmark(text, True, score, np.zeros((4, 2)))


def test_a_view_votes_for_its_own_node_most():
    index, features = world()
    votes = PlaceRetrieval(index, features, CoarseConfig()).vote(features.place[[2]])
    assert int(np.argmax(votes.node_scores)) == 2
    assert votes.node_scores[2] == pytest.approx(1.0, abs=1e-5)


def test_text_similarity():
    assert text_similarity("room 204", "room204") == 1.0
    assert text_similarity("room 204", "room 205") == 0.0
    assert text_similarity("kitchfn", "kitchen") > 0.8
    assert text_similarity("", "kitchen") == 0.0


def test_landmarks_add_votes_and_the_hint_adds_nodes():
    index, features = world()
    config = CoarseConfig(candidates=2)
    votes = PlaceRetrieval(index, features, config).vote(np.zeros((1, 32), np.float32))
    matches = match_landmarks([[seen("ROOM 205")]], index.map.landmarks.values(), 0.8)
    assert [m.landmark_id for m in matches] == [9]
    ranked = rank_nodes(index, votes, matches, None, 3.0, config)
    assert ranked[0][0] == 4
    assert 2 in [i for i, _ in rank_nodes(index, votes, matches, Pose2(10, 0), 0.5, config)]


def test_consistency_keeps_the_kitchen_that_the_other_evidence_supports():
    index, features = world()
    config = CoarseConfig()
    votes = PlaceRetrieval(index, features, config).vote(features.place[[0]])
    matches = match_landmarks([[seen("KITCHEN")], [seen("Room 204")]], index.map.landmarks.values(), 0.8)
    places = group_places(index, rank_nodes(index, votes, matches, None, 3.0, config), matches, ConsistencyConfig())
    assert set(places[0].node_ids) == {0, 1}
    matched, rejected = explain_landmarks(index, places[0], matches)
    assert [e.landmark_id for e in matched] == [7]
    assert {e.landmark_id for e in rejected} == {8, 10}
    assert all("not visible" in e.why for e in rejected)


def test_every_candidate_belongs_to_one_place():
    index, _ = world()
    candidates = [(i, 1.0 / (i + 1)) for i in ROOMS]
    places = group_places(index, candidates, (), ConsistencyConfig(max_places=10))
    members = [i for place in places for i in place.node_ids]
    assert sorted(members) == sorted(ROOMS) and len(places) == 3


def test_a_huge_map_is_searched_by_sketches_first():
    """Views in clusters, as of places: what the sketches find and compare exactly is what comparing everything finds."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(150, 96))
    raw = (places[:, None] + 0.6 * rng.normal(size=(150, 20, 96))).reshape(-1, 96) + 2.0
    place = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    query = raw[[5, 1234, 2999]] + 0.5 * rng.normal(size=(3, 96))
    query = (query / np.linalg.norm(query, axis=1, keepdims=True)).astype(np.float32)
    sketch = Sketch.of(place, 32)
    exact, rough = query @ place.T, sketch.similarity(query)
    assert sketch.coefficients.shape == (3000, 32)
    for k in range(3):
        best = np.argsort(-exact[k])[:10]
        assert set(best) <= set(np.argsort(-rough[k])[:300])
    assert np.allclose(Sketch.of(place, 96).similarity(query), exact, atol=1e-4)


def test_mapped_files_are_given_back_and_read_again(tmp_path):
    values = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.array_equal(np.asarray(mapped, dtype=np.float32), values)
    give_back(np.asarray(mapped))
    assert np.array_equal(mapped, values)
    give_back(values)  # no file: nothing to give back
    assert values[0, 0] == mapped[0, 0]
