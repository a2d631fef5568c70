"""What real tours do wrong: each case ends in one clear error or a warning that names the images, and an older map stays."""

import dataclasses
import errno
import importlib.util
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from astra.core.errors import MappingError
from astra.datasets import open_source
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose2, Pose3
from astra.mapping import build as stages
from astra.mapping.build import MappingConfig, build_map
from astra.mapping.keyframes import KeyframeConfig
from astra.mapping.progress import Quiet
from astra.mapping.sfm import SfmConfig
from astra.topomap.io import damaged_files, load_map

pytestmark = pytest.mark.slow
CAMERA = CameraModel.from_fov(320, 240, 1.3)
PHOTOS = MappingConfig(keyframes=KeyframeConfig(rate_hz=0.0), sfm=SfmConfig(threads=1), threads=1)


def load_box_world():
    path = Path(__file__).parents[2] / "fixtures" / "box_world.py"
    if "box_world" not in sys.modules:
        spec = importlib.util.spec_from_file_location("box_world", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["box_world"] = module
        spec.loader.exec_module(module)
    return sys.modules["box_world"]


box = load_box_world()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def take_photos(folder, poses, world=None):
    """Photos of the room, one a pose (x, y, yaw)."""
    world = world or box.BoxWorld()
    folder.mkdir()
    for k, (x, y, yaw) in enumerate(poses):
        base = Pose3.from_pose2(Pose2(x, y, yaw), 1.2)
        rgb = world.render(base @ Pose3(BODY_FROM_OPTICAL.rotation), CAMERA)
        cv2.imwrite(str(folder / f"IMG_{k}.jpg"), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    CAMERA.save(folder / "camera.yaml")
    return folder


def sideways(count=14):
    """A walk along one wall and its corner, looking at it askew."""
    return [(-1.8 + 0.25 * k, -1.0 + 0.04 * k, 0.35 + 0.03 * k) for k in range(count)]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return take_photos(tmp_path_factory.mktemp("room") / "photos", sideways())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return box.build_map(box.BoxWorld(), tmp_path_factory.mktemp("made") / "map", step_m=3.0)


@pytest.fixture
def old_map(made, tmp_path):
    """A map that must survive."""
    return Path(shutil.copytree(made, tmp_path / "map"))


def copy_of(photos, to):
    to.mkdir()
    for file in photos.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def build(photos, out, config=PHOTOS, camera=None, **more):
    return build_map([open_source(photos, camera or photos / "camera.yaml")], out, config, **more)


def test_a_white_wall_names_the_barest_images(tmp_path, old_map):
    photos = tmp_path / "white"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        cv2.imwrite(str(photos / f"IMG_{k}.jpg"), (200 + k + rng.integers(0, 3, (240, 320, 3))).astype(np.uint8))
    CAMERA.save(photos / "camera.yaml")
    with pytest.raises(MappingError, match=r"next to nothing.*IMG_\d\.jpg"):
        build(photos, old_map)
    assert damaged_files(old_map) == []


def test_three_frames_are_a_small_map_or_an_error_that_says_so(tmp_path, room):
    photos = copy_of(room, tmp_path / "few")
    for file in photos.glob("IMG_*.jpg"):
        if file.stem not in ("IMG_3", "IMG_4"):
            file.unlink()
    with pytest.raises(MappingError, match=r"2 usable frames.*IMG_3\.jpg, IMG_4\.jpg.*at least 3"):
        build(photos, tmp_path / "map")
    copied = (room / "IMG_5.jpg").read_bytes()
    (photos / "IMG_5.jpg").write_bytes(copied)
    try:
        build(photos, tmp_path / "map")
        assert len(load_map(tmp_path / "map").nodes) == 3
    except MappingError as error:
        assert "3" in str(error) or "connected" in str(error)


def test_turning_on_the_spot_gives_no_map(tmp_path, old_map):
    photos = take_photos(tmp_path / "spin", [(0.3, 0.2, 0.12 * k) for k in range(12)])
    with pytest.raises(MappingError, match=r"sideways|connected"):
        build(photos, old_map)
    assert damaged_files(old_map) == []


def test_a_wrong_focal_length_is_noticed(tmp_path, room):
    wrong = dataclasses.replace(CAMERA, fx=1.5 * CAMERA.fx, fy=1.5 * CAMERA.fy)
    wrong.save(tmp_path / "wrong.yaml")
    info = build(room, tmp_path / "map", camera=tmp_path / "wrong.yaml")
    assert any("focal length given for camera camera" in text and f"{wrong.fx:.0f} px" in text for text in info.warnings)


def test_a_photo_of_another_place_is_left_out_by_name_and_a_broken_one_too(tmp_path, room):
    photos = copy_of(room, tmp_path / "mixed")
    other = take_photos(tmp_path / "other", [(0.5, 0.5, 2.0)], box.BoxWorld(seed=9, signs=False))
    (photos / "IMG_100.jpg").write_bytes((other / "IMG_0.jpg").read_bytes())
    (photos / "IMG_101.jpg").write_bytes(b"\xff\xd8 cut off")
    info = build(photos, tmp_path / "map")
    topo = load_map(tmp_path / "map")
    assert len(topo.nodes) == 14 and not any("focal" in text for text in info.warnings)
    assert any("14 of 15 keyframes" in text and "IMG_100.jpg" in text for text in info.warnings)
    assert any("IMG_101.jpg cannot be read" in text for text in info.warnings)


def test_a_full_disk_leaves_the_old_map(tmp_path, room, old_map, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(old_map))

    monkeypatch.setattr(stages, "save_map", full)
    with pytest.raises(MappingError, match=r"disk is full.*map\); .*map stays as it was"):
        build(room, old_map)
    assert damaged_files(old_map) == []
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_disk_with_no_space_left_is_named_before_the_work_begins(tmp_path, room, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 2**20))
    with pytest.raises(MappingError, match="1 MiB are free"):
        build(room, tmp_path / "map")


class Counted(Quiet):
    """Counts the steps of each stage."""

    def __init__(self):
        self.steps = {}

    def start(self, name, total):
        self.steps[name] = 0

        def tick(done):
            self.steps[name] += done

        return tick


def test_a_build_that_was_killed_goes_on_where_it_stood(tmp_path, room, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "match_pairs", killed)
        with pytest.raises(KeyboardInterrupt):
            build(room, tmp_path / "map", progress=Counted())
    assert not (tmp_path / "map").exists()
    again = Counted()
    build(room, tmp_path / "map", progress=again)
    assert again.steps["features"] == 0 and again.steps["matching"] > 0 and "sfm" in again.steps
    third = Counted()
    build(room, tmp_path / "map", progress=third)
    assert third.steps["matching"] == 0 and "sfm" not in third.steps
    assert len(load_map(tmp_path / "map").nodes) == 14
