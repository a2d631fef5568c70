"""Images are compared where they can overlap, and nowhere else."""

import math

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.mapping.features import ViewSet, load_views, save_views
from astra.mapping.keyframes import Keyframe, KeyView
from astra.mapping.pairs import PairConfig, choose_pairs, load_matches, match_pairs, save_matches
from astra.perception.local import LocalFeatureConfig

MODEL = CameraModel.from_fov(224, 160, math.pi / 2)
RIG = CameraRig(tuple(RigCamera(n, MODEL, Pose3.from_rpy(0, 0, k * math.pi / 2) @ BODY_FROM_OPTICAL) for k, n in enumerate(("front", "left", "back", "right"))))
FRONT = CameraRig(RIG.cameras[:1])


def keyframes_of(poses, rig, tour=lambda k: 0):
    n = len(rig.cameras)
    return [
        Keyframe(k, tour(k), k * 10**9, pose, tuple(KeyView(n * k + c, name, f"{k}{name}.jpg") for c, name in enumerate(rig.names)))
        for k, pose in enumerate(poses)
    ]


def views_of(count, place=None):
    place = np.eye(count, dtype=np.float32) if place is None else place
    rng = np.random.default_rng(0)
    offsets = np.arange(count + 1) * 40
    descriptors = rng.integers(0, 256, (40 * count, 128), dtype=np.uint8)
    return ViewSet(np.arange(count), offsets, np.zeros((40 * count, 2), np.float32), descriptors, np.ones(40 * count, np.float32), place)


def test_a_view_meets_those_ahead_that_look_the_same_way():
    poses = [Pose2(0.5 * k, 0.0, 0.0) for k in range(8)]
    pairs = choose_pairs(keyframes_of(poses, RIG), [RIG], views_of(32), PairConfig(loops=0))
    assert (0, 4) in pairs and (1, 5) in pairs  # front with front, left with left
    assert not any(a % 4 == 0 and b % 4 == 2 for a, b in pairs)  # front never with back: they share nothing
    assert all(a < b and b // 4 - a // 4 <= 5 for a, b in pairs)


def test_turning_on_the_spot_hands_over_from_camera_to_camera():
    poses = [Pose2(0.0, 0.0, k * math.pi / 6) for k in range(6)]
    pairs = choose_pairs(keyframes_of(poses, RIG), [RIG], views_of(24), PairConfig(loops=0))
    assert (1, 4 * 3 + 0) in pairs  # after 90° the front camera looks where the left one did
    assert (0, 4 * 3 + 0) not in pairs


def test_lookalikes_far_away_by_odometry_never_meet():
    poses = [Pose2(1.0 * k, 0.0, 0.0) for k in range(40)]
    place = np.eye(40, dtype=np.float32)
    place[35] = place[3]  # another corridor that looks the same, 32 m on
    pairs = choose_pairs(keyframes_of(poses, FRONT), [FRONT], views_of(40, place), PairConfig())
    assert (3, 35) not in pairs
    silent = [Keyframe(k.id, 0, k.stamp_ns, None, k.views) for k in keyframes_of(poses, FRONT)]
    assert (3, 35) in choose_pairs(silent, [FRONT], views_of(40, place), PairConfig(exhaustive_below=10))


def test_coming_back_is_compared_with_what_looks_alike():
    out = [Pose2(0.5 * k, 0.0, 0.0) for k in range(10)]
    back = [Pose2(4.5 - 0.5 * k, 0.6, math.pi) for k in range(10)]
    again = [Pose2(0.5 * k, 0.2, 0.0) for k in range(10)]
    place = np.random.default_rng(1).normal(size=(30, 64)).astype(np.float32)
    place[20:] = place[:10] + 0.1 * place[10:20]
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    pairs = choose_pairs(keyframes_of(out + back + again, FRONT), [FRONT], views_of(30, place), PairConfig(loops=2))
    assert all((k, 20 + k) in pairs for k in range(10))


def test_a_few_photos_are_all_compared_and_many_grow_linearly():
    silent = [Keyframe(k, 0, k, None, (KeyView(k, "front", ""),)) for k in range(300)]
    assert len(choose_pairs(silent[:20], [FRONT], views_of(20), PairConfig())) == 190
    counts = [len(choose_pairs(silent[:n], [FRONT], views_of(n), PairConfig())) for n in (100, 200, 300)]
    assert counts[2] - counts[1] < 1.1 * (counts[1] - counts[0])


def test_tours_meet_by_sight_alone():
    poses = [Pose2(1.0 * (k % 10), 0.0, 0.0) for k in range(20)]
    place = np.vstack([np.eye(10, 20), np.eye(10, 20)[::-1]]).astype(np.float32)
    pairs = choose_pairs(keyframes_of(poses, FRONT, lambda k: k // 10), [FRONT, FRONT], views_of(20, place), PairConfig(loops=1))
    assert all((k, 19 - k) in pairs for k in range(10))
    assert not any(abs(a - b) <= 5 for a, b in pairs if (a < 10) != (b < 10) and a + b != 19)


def test_matches_name_rows_of_their_views_and_survive_the_disk(tmp_path):
    views = views_of(3)
    views.descriptors[40:80] = views.descriptors[np.r_[39:-1:-1]]  # view 1 is view 0 backwards
    matches = match_pairs([(0, 1), (0, 2)], views, LocalFeatureConfig())
    assert [(m.a, m.b) for m in matches] == [(0, 1)]
    np.testing.assert_array_equal(matches[0].rows, np.stack([np.arange(40), np.arange(39, -1, -1)], axis=1))
    save_matches(tmp_path / "m.npz", matches)
    loaded = load_matches(tmp_path / "m.npz")
    assert (loaded[0].a, loaded[0].b) == (0, 1) and loaded[0].rows.dtype == np.int64
    np.testing.assert_array_equal(loaded[0].rows, matches[0].rows)
    save_views(tmp_path / "v.npz", views)
    np.testing.assert_array_equal(load_views(tmp_path / "v.npz").descriptors, views.descriptors)


def test_a_long_tours_pairs_grow_linearly_with_its_length():
    """Laps of a building: what an image is compared with does not grow with what was driven before."""

    def count(n):
        poses = [Pose2(10.0 * math.cos(0.045 * k), 10.0 * math.sin(0.045 * k), 0.045 * k + math.pi / 2) for k in range(n)]
        place = np.random.default_rng(0).normal(size=(n, 16)).astype(np.float32)
        place /= np.linalg.norm(place, axis=1, keepdims=True)
        return len(choose_pairs(keyframes_of(poses, FRONT), [FRONT], views_of(n, place), PairConfig()))

    counts = [count(n) for n in (300, 500, 700)]
    assert abs((counts[2] - counts[1]) - (counts[1] - counts[0])) < 0.1 * (counts[1] - counts[0])


def test_the_most_alike_are_found_without_a_table_of_all(monkeypatch):
    from astra.mapping import place_index

    rng = np.random.default_rng(4)
    places = rng.normal(size=(900, 24)).astype(np.float32)
    places[450:] = places[:450] + 0.3 * places[450:]
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    expected = np.argsort(-(places @ places.T), axis=1, kind="stable")[:, :8]
    rows, cosines = place_index.most_alike(places, places, 8)
    assert (rows == expected).mean() > 0.999 and (np.diff(cosines, axis=1) <= 1e-6).all()
    monkeypatch.setattr(place_index, "EXACT_BELOW", 100)
    fast, values = place_index.most_alike(places, places, 8)
    assert np.mean([len(set(a) & set(b)) / 8 for a, b in zip(fast, expected)]) > 0.97
    np.testing.assert_allclose(values[:, 0], 1.0, atol=1e-4)
    assert (place_index.most_alike(places, places, 8)[0] == fast).all()
    assert place_index.most_alike(places[:, :0], places[:, :0], 8)[0].shape == (900, 0)
