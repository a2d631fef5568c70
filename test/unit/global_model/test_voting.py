"""Votes of local features: what views share with an image, less what all of them share."""

import math

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.global_model.coarse import PlaceVotes
from astra.global_model.loaded import LoadedMap
from astra.global_model.voting import BLOCK_ROWS, local_votes, with_local_votes
from astra.perception.local import unit_descriptors
from astra.topomap import MapInfo, Node, TopoMap, View
from astra.topomap.features import MapFeatures

EACH = 12  # descriptors of a view


def codes(count, seed):
    """Descriptors (count, 128) uint8, no two alike: few of the bins are filled."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((count, 128)) < 0.2, rng.integers(60, 255, (count, 128)), 0).astype(np.uint8)


def map_of(views):
    """A map of views that are known by their descriptors alone."""
    nodes = {k: Node(k, k, Pose3.from_pose2(Pose2(0.0, 0.0, 0.0)), (View(k, "front", f"images/{k}.png", BODY_FROM_OPTICAL),)) for k in range(len(views))}
    descriptors = np.concatenate(views)
    features = MapFeatures(
        np.arange(len(views)), np.concatenate([[0], np.cumsum([len(v) for v in views])]), np.zeros((len(descriptors), 2), np.float32), descriptors,
        np.zeros((len(descriptors), 3), np.float32), np.arange(len(descriptors)), np.eye(len(views), 960, dtype=np.float32),
    )  # fmt: skip
    return LoadedMap(TopoMap(MapInfo("toy", "given"), {"front": CameraModel.from_fov(224, 160, math.pi / 2)}, nodes, (), {}), features)


VIEWS = [codes(EACH, k) for k in range(30)]


def votes(loaded, descriptors, rows, **config):
    return local_votes(loaded, unit_descriptors(descriptors), np.asarray(rows, dtype=np.int64), **config)


def test_the_view_that_shows_the_same_things_wins_in_any_order():
    loaded, image = map_of(VIEWS), np.concatenate([VIEWS[7], codes(20, 99)])
    rows = np.random.default_rng(0).permutation(30)
    found = votes(loaded, image, rows)
    assert rows[np.argmax(found)] == 7
    assert np.isclose(found.max(), EACH * 0.2, atol=1e-3)  # each feature: cosine 1 against the least one, 0.8
    assert np.sort(found)[-2] < 0.1 * found.max()


def test_what_every_view_shows_says_nothing():
    common, own = codes(EACH, 50), codes(2, 51)
    views = [np.concatenate([common, VIEWS[k]]) for k in range(30)]
    views[3] = np.concatenate([views[3], own])
    found = votes(map_of(views), np.concatenate([common, own]), np.arange(30))
    assert np.argmax(found) == 3 and np.isclose(found[3], 2 * 0.2, atol=1e-3) and np.delete(found, 3).max() < 0.05


def test_blocks_make_no_difference():
    loaded, image = map_of(VIEWS), np.concatenate(VIEWS[:8])
    assert len(image) > BLOCK_ROWS
    together = votes(loaded, image, np.arange(30))
    apart = sum(votes(loaded, image[k : k + 5], np.arange(30)) for k in range(0, len(image), 5))
    assert np.allclose(together, apart, atol=1e-4)


def test_views_without_points_and_images_without_features_get_no_votes():
    views = [VIEWS[0], np.zeros((0, 128), np.uint8), VIEWS[2], VIEWS[3]]
    found = votes(map_of(views), VIEWS[2], [1, 2, 0, 3])
    assert found[0] == 0.0 and np.argmax(found) == 1
    assert not votes(map_of(views), np.zeros((0, 128), np.uint8), [0, 1, 2]).any()
    assert votes(map_of(views), VIEWS[0], []).shape == (0,)


def test_local_features_lift_a_view_that_looks_common_at_a_glance_if_it_is_on_the_shortlist():
    loaded, image = map_of(VIEWS), unit_descriptors(VIEWS[7])
    similarity = np.linspace(0.9, 0.3, 30, dtype=np.float32)[None]
    glance = PlaceVotes(similarity, np.maximum(similarity[0] - 0.5, 0.0).astype(np.float64), similarity)
    joined = with_local_votes(loaded, glance, [image], np.arange(30), views=10)
    assert np.argmax(joined.likeness[0]) == np.argmax(joined.node_scores) == 7
    assert np.isclose(joined.node_scores[7], glance.node_scores[7] + 1.0)  # one image's full vote
    assert joined.similarity is similarity and np.array_equal(glance.likeness, similarity)
    beyond = with_local_votes(loaded, glance, [image], np.arange(30), views=5)  # view 7 is not among the five likest
    assert np.argmax(beyond.likeness[0]) == 0 and np.isclose(beyond.likeness[0, 7], similarity[0, 7])
    everything = with_local_votes(loaded, glance, [image], np.arange(30), views=500)
    assert np.argmax(everything.node_scores) == 7
