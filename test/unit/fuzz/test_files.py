"""Files from elsewhere are untrusted: whatever is in them, they are read, or refused by one error that names them."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from toy_maps import Building, tour, write_map

from astra.core.errors import BadInputError
from astra.core.types import WheelTwist
from astra.datasets import DriveWriter, TopicMap, open_drive
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera, Trajectory
from astra.mapping.nav2_map import load_nav2_map
from astra.navigation.masks import MaskKind, load_mask
from astra.topomap.io import load_features, load_map

FEW = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8)
CAMERA = CameraModel.from_fov(32, 24, 1.5)


def refused_or_read(read: Callable[[Path], object], content: bytes, name: str) -> None:
    """Read a file of this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            read(path)
        except BadInputError as error:
            assert name in str(error) and len(str(error)) < 2000


def changed(document: dict[str, Any], keys: list[int], value: Any) -> dict[str, Any]:
    """The document with one entry, found by walking down `keys`, replaced."""
    document = yaml.safe_load(yaml.safe_dump(document))
    here, path = document, []
    for key in keys:
        entries = list(here) if isinstance(here, dict) else list(range(len(here))) if isinstance(here, list) and here else []
        if not entries:
            break
        path.append((here, entries[key % len(entries)]))
        here = here[entries[key % len(entries)]]
    if path:
        path[-1][0][path[-1][1]] = value
    return document


WALK = st.lists(st.integers(0, 20), min_size=1, max_size=5)


@FEW
@given(WALK, VALUES)
@example([0], float("nan"))
@example([0], 10**400)
def test_camera_yaml(keys: list[int], value: Any) -> None:
    document = changed(CAMERA.to_camera_info(), keys, value)
    refused_or_read(CameraModel.load, yaml.safe_dump(document).encode(), "camera.yaml")


CLOCKS = {"/imu": {"offset_s": 0.1, "stamps": "receive"}}
TOPICS = {"cameras": {"front": {"image": "/i", "info": "/c", "depth": "/d"}}, "imu": "/imu", "wheel": "/w", "clocks": CLOCKS}


@FEW
@given(WALK, VALUES)
def test_topic_map(keys: list[int], value: Any) -> None:
    refused_or_read(TopicMap.load, yaml.safe_dump(changed(TOPICS, keys, value)).encode(), "topics.yaml")


@FEW
@given(st.binary(max_size=200))
@example(b"!!python/object/apply:os.system ['true']")
@example(b"a: &a [*a]")
@example(b"\xff\xfe\x00")
def test_any_bytes_as_yaml(content: bytes) -> None:
    for read in (CameraModel.load, TopicMap.load, load_nav2_map, functools.partial(load_mask, MaskKind.KEEP_OUT)):
        refused_or_read(read, content, "file.yaml")


def lines(rows: list[list[float]]) -> str:
    return "\n".join(" ".join(map(str, row)) for row in rows)


@FEW
@given(st.text(max_size=200) | st.lists(st.lists(st.floats() | st.integers(), max_size=9), max_size=4).map(lines))
def test_tum_trajectory(text: str) -> None:
    refused_or_read(Trajectory.load_tum, text.encode(errors="replace"), "path.tum")


@functools.cache
def toy_map() -> Path:
    folder = Path(tempfile.mkdtemp()) / "map"
    return write_map(folder, Building((1,)), tour(0, 0, step=1.2), marks=(("ROOM 1", (1.0, 1.0, 1.5)),))


@FEW
@given(WALK, VALUES)
def test_the_manifest_of_a_map(keys: list[int], value: Any) -> None:
    manifest = yaml.safe_load((toy_map() / "map.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map"
        shutil.copytree(toy_map(), path)
        (path / "map.yaml").write_text(yaml.safe_dump(changed(manifest, keys, value)))
        try:
            load_map(path)
            load_features(path)
        except BadInputError as error:
            assert str(path) in str(error)


@FEW
@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=20), st.booleans())
def test_damaged_files_of_a_map_are_noticed(which: int, where: float, content: bytes, cut: bool) -> None:
    files = sorted(p.relative_to(toy_map()) for p in toy_map().rglob("*") if p.suffix in (".json", ".npy"))
    name = files[which % len(files)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map"
        shutil.copytree(toy_map(), path)
        data = (path / name).read_bytes()
        at = int(where * len(data))
        new = data[:at] if cut else data[:at] + content + data[at + len(content) :]
        (path / name).write_bytes(new)
        try:
            load_map(path)
            load_features(path)
        except BadInputError as error:
            assert str(path) in str(error)
        else:
            assert new == data, "a changed file was not noticed"


@functools.cache
def toy_bag() -> bytes:
    folder = Path(tempfile.mkdtemp())
    with DriveWriter(folder / "drive", CameraRig((RigCamera("front", CAMERA, Pose3()),))) as writer:
        for tick in range(20):
            writer.write_wheel(WheelTwist(5_000_000_000 + tick * 20_000_000, 0.1, 0.0))
    return next((folder / "drive").glob("*.mcap")).read_bytes()


def read_bag(path: Path) -> object:
    drive = open_drive(path, need_cameras=False)
    return drive.wheel(), drive.report()


@FEW
@given(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=12), st.booleans())
def test_a_damaged_bag(where: float, content: bytes, cut: bool) -> None:
    data = toy_bag()
    at = int(where * len(data))
    refused_or_read(read_bag, data[:at] if cut else data[:at] + content + data[at + len(content) :], "drive.mcap")


@pytest.mark.parametrize("suffix", ["mcap", "db3", "bag"])
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=100))
def test_no_bag_at_all(suffix: str, content: bytes) -> None:
    refused_or_read(read_bag, content, f"x.{suffix}")


MASK = {"image": "m.pgm", "mode": "scale", "resolution": 0.05, "origin": [0.0, 0.0, 0.0], "negate": 0, "occupied_thresh": 0.65, "free_thresh": 0.25}


@FEW
@given(WALK, VALUES)
@example([6], float("inf"))
@example([5], [0.0, float("nan"), 0.0])
@example([1], "../../../../dev/zero")
@example([1], "\0")
@example([5], [0.0, 0.0, 10**400])
def test_the_mask_of_a_costmap_filter(keys: list[int], value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "m.pgm").write_bytes(b"P5\n3 2\n255\n" + bytes(range(6)))
        path = Path(folder) / "mask.yaml"
        path.write_text(yaml.safe_dump(changed(MASK, keys, value)))
        try:
            mask = load_mask(MaskKind.SPEED_PERCENT, path)
        except BadInputError as error:
            assert len(str(error)) < 2000
        else:
            assert mask.values.shape == (2, 3)
            assert np.isfinite([mask.resolution_m, mask.map_from_corner.x, mask.map_from_corner.y, mask.map_from_corner.yaw]).all()


@FEW
@given(st.sampled_from([b"P5", b"P2", b"P6"]), st.integers(-5, 10**9), st.integers(-5, 10**9), st.binary(max_size=40))
def test_an_occupancy_map_that_lies_about_its_size(kind: bytes, width: int, height: int, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "m.pgm").write_bytes(kind + f"\n{width} {height}\n255\n".encode() + content)
        document = {"image": "m.pgm", "resolution": 0.05, "origin": [0.0, 0.0, 0.0], "negate": 0, "occupied_thresh": 0.65, "free_thresh": 0.25}
        (Path(folder) / "m.yaml").write_text(yaml.safe_dump(document))
        try:
            found = load_nav2_map(Path(folder) / "m.yaml")
        except BadInputError as error:
            assert "m." in str(error)
        else:
            assert np.prod(found.occupied.shape) <= 40
