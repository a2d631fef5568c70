"""Many processes give what one gives, an error names its tour, and a missing package is named."""

import os
import pickle
import sys
import types
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from astra.core.errors import BadInputError, MappingError, MissingDependencyError
from astra.datasets.images import ImageTour
from astra.mapping.detections import detect_landmarks
from astra.mapping.features import extract_features
from astra.mapping.keyframes import KeyframeConfig, KeyView, write_image
from astra.mapping.landmarks import CombinedExtractor, LandmarkDetection, PortableExtractor
from astra.mapping.pairs import match_pairs
from astra.mapping.parallel import Shared, Workers, open_workers
from astra.mapping.text_landmarks import TextLandmarkExtractor
from astra.mapping.tours import read_tours
from astra.perception.local import LocalFeatureConfig

PHOTOS = KeyframeConfig(rate_hz=0.0)
LOCAL = LocalFeatureConfig(max_features=120)


class Elsewhere(Executor):
    """Runs what arrives at once, after a journey by pickle, as another process would."""

    def __init__(self):
        self.calls = 0

    def submit(self, fn, /, *args, **kwargs):
        self.calls += 1
        future = Future()
        try:
            packed_fn, packed_args = pickle.loads(pickle.dumps((fn, args)))
            future.set_result(pickle.loads(pickle.dumps(packed_fn(*packed_args, **kwargs))))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def workers():
    return Workers(Elsewhere(), 2)


class Shades:
    """A place descriptor that is no more than the mean colour."""

    def encode(self, images):
        return np.array([rgb.mean(axis=(0, 1)) for rgb in images], np.float32)


class Bright:
    """Sees a thing in bright images; each process may have one."""

    name, portable = "bright", True

    def extract(self, rgb):
        return (LandmarkDetection(f"LAMP {rgb.mean():.0f}", False, 0.9, np.array([[1.0, 1], [9, 1], [9, 5], [1, 5]])),) if rgb.mean() > 128 else ()


def photos(folder, count=40, seed=0):
    """A pan over one random wall, getting brighter and darker."""
    rng = np.random.default_rng(seed)
    wall = np.kron(rng.integers(0, 160, (12, 60, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    folder.mkdir(parents=True)
    for k in range(count):
        write_image(folder / f"IMG_{k:03d}.jpg", wall[:, 8 * k : 8 * k + 128] + np.uint8(90 if k % 7 < 3 else 0), 95)
    return folder


@pytest.fixture(scope="module")
def tours(tmp_path_factory):
    root = tmp_path_factory.mktemp("tours")
    (photos(root / "second", 30, 1) / "IMG_005b.jpg").write_bytes(b"no image")
    return [ImageTour(photos(root / "first")), ImageTour(root / "second")]


def read(tours, folder, workers=None):
    folder.mkdir()
    counted, notes = [], []
    keyframes = read_tours(tours, folder, PHOTOS, counted.append, notes.append, workers)
    plain = [(k.id, k.tour, k.stamp_ns, [(v.id, v.camera, v.image) for v in k.views]) for k in keyframes]
    return keyframes, plain, {path.name: path.read_bytes() for path in folder.iterdir()}, sum(counted), notes


def test_tours_are_numbered_as_if_read_one_after_the_other(tours, tmp_path, workers):
    _, alone, files, frames, notes = read(tours, tmp_path / "a")
    _, together, same_files, same_frames, same_notes = read(tours, tmp_path / "b", workers)
    assert together == alone and same_files == files and same_frames == frames
    assert same_notes == notes and "IMG_005b.jpg" in notes[0]
    assert workers.executor.calls == 2


def test_pictures_without_names_of_their_own_are_renumbered(tours, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(ImageTour, "image_name", lambda self, frame: "")
    _, alone, files, _, _ = read(tours, tmp_path / "a")
    _, together, same_files, _, _ = read(tours, tmp_path / "b", workers)
    assert together == alone and same_files == files and "00040_camera.jpg" in files


def test_features_matches_and_landmarks_are_the_same(tours, tmp_path, workers):
    keyframes, *_ = read(tours[:1], tmp_path / "images")
    views = [view for keyframe in keyframes for view in keyframe.views]
    folder, ticks = tmp_path / "images", []
    alone = extract_features(views, folder, LOCAL, Shades())
    together = extract_features(views, folder, LOCAL, Shades(), tick=ticks.append, workers=workers)
    for name in alone.__slots__:
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
    assert sum(ticks) == len(views)

    pairs = [(a, b) for a in range(len(views)) for b in range(a + 1, min(a + 6, len(views)))]
    one, many = match_pairs(pairs, alone, LOCAL), match_pairs(pairs, together, LOCAL, workers=workers)
    assert len(one) > 30 and [(m.a, m.b) for m in many] == [(m.a, m.b) for m in one]
    for a, b in zip(one, many):
        np.testing.assert_array_equal(a.rows, b.rows)

    for most in (100, 25):
        seen, also = (detect_landmarks(keyframes, folder, Bright(), most, workers=w) for w in (None, workers))
        assert list(also) == list(seen) and [[d.label for d in f] for f in also.values()] == [[d.label for d in f] for f in seen.values()]


def test_an_extractor_that_is_not_portable_stays_in_its_process(tours, tmp_path, workers):
    keyframes, *_ = read(tours[:1], tmp_path / "images")

    class Heavy(Bright):
        portable = False

    assert detect_landmarks(keyframes, tmp_path / "images", Heavy(), 10, workers=workers)  # a local class could not even travel
    assert workers.executor.calls == 0
    assert isinstance(TextLandmarkExtractor(), PortableExtractor)
    assert CombinedExtractor([Bright(), TextLandmarkExtractor()]).portable and not CombinedExtractor([Bright(), Heavy()]).portable


def test_an_error_names_the_tour(tours, tmp_path, workers):
    short = ImageTour(photos(tmp_path / "too_short", 2))
    for given in (None, workers):
        with pytest.raises(MappingError, match="too_short"):
            read_tours([tours[0], short], tmp_path, PHOTOS, lambda done: None, lambda text: None, given)


def test_processes_of_a_pool(tours, tmp_path):
    _, alone, files, *_ = read(tours, tmp_path / "a")
    with open_workers(2) as workers:
        _, together, same_files, *_ = read(tours, tmp_path / "b", workers)
        assert together == alone and same_files == files
        with pytest.raises(MappingError, match=r"gone\.jpg"):
            extract_features([KeyView(0, "camera", "gone.jpg")], tmp_path, LOCAL, None, workers=workers)
        with pytest.raises(MappingError, match="fewer --workers"):
            list(workers.in_order(os._exit, [3]))


def test_one_process_is_this_one_and_a_number_is_checked():
    with open_workers() as workers:
        assert workers is None
    for processes, address, words in ((0, None, "--workers 0"), (1000, None, "--workers 1000"), (2, "auto", "exclude")):
        with pytest.raises(BadInputError, match=words), open_workers(processes, address):
            pass


def test_only_a_few_pieces_are_under_way(workers):
    taken = []
    results = workers.in_order(abs, (taken.append(k) or -k for k in range(100)))
    assert next(results) == 0 and len(taken) < 10
    assert list(results) == list(range(1, 100))


def test_a_shared_value_is_unpacked_once():
    shared = pickle.loads(pickle.dumps(Shared.of(Bright())))
    assert shared.get() is pickle.loads(pickle.dumps(shared)).get()


def fake_ray(monkeypatch, at="here:6379"):
    """As much of Ray as the adapter needs, without a cluster."""
    ray, elsewhere = types.ModuleType("ray"), Elsewhere()
    state = {"up": False}

    def init(address, **_):
        if address != at:
            raise ConnectionError(f"Could not find any running Ray instance at {address}\nand more")
        state["up"] = True

    def remote(call):
        return types.SimpleNamespace(remote=lambda *args: types.SimpleNamespace(future=lambda: elsewhere.submit(call, *args)))

    ray.init, ray.remote, ray.shutdown = init, remote, lambda: state.update(up=False)
    ray.cluster_resources = lambda: {"CPU": 3.0}
    monkeypatch.setitem(sys.modules, "ray", ray)
    return state


def test_a_ray_cluster_takes_the_work_by_one_option(monkeypatch, tours, tmp_path):
    state = fake_ray(monkeypatch)
    _, alone, *_ = read(tours, tmp_path / "a")
    with open_workers(ray_address="here:6379") as workers:
        assert state["up"] and workers.count == 3
        assert read(tours, tmp_path / "b", workers)[1] == alone
        with pytest.raises(MappingError, match=r"gone\.jpg"):
            extract_features([KeyView(0, "camera", "gone.jpg")], tmp_path, LOCAL, None, workers=workers)
    assert not state["up"]
    with pytest.raises(BadInputError, match=r"--ray there: no Ray cluster.*Could not find") as caught, open_workers(ray_address="there"):
        pass
    assert "\n" not in str(caught.value)


def test_without_ray_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="pip install"), open_workers(ray_address="auto"):
        pass


def test_a_dead_pool_is_an_error_that_says_so(workers):
    class Dead(Executor):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.set_exception(BrokenProcessPool("gone"))
            return future

    with pytest.raises(MappingError, match="ended before its time"):
        list(Workers(Dead(), 1).in_order(abs, [1]))
