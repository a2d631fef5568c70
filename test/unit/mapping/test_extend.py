"""A new tour into an old map: what is known stays, what is new is added where it is proven, and errors change nothing."""

import hashlib
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_maps import Building, tour, write_map

from astra.core.errors import BadInputError, MapError, MappingError
from astra.core.types import CameraFrame
from astra.geometry import Pose2, Trajectory
from astra.mapping import extend
from astra.mapping.build import MappingConfig, build_map
from astra.mapping.extend import extend_map
from astra.topomap.io import damaged_files, load_map

HOUSE = Building((1, 2, 3, 4))


def digest(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


class Named:
    name = "tuesday"


def pretend(monkeypatch, make):
    """Replace the build of the tour: it is tested elsewhere and costs seconds."""
    monkeypatch.setattr(extend, "build_map", lambda tours, out, *rest: make(out))


def test_the_old_map_keeps_its_frame_and_ids(tmp_path, monkeypatch):
    old = write_map(tmp_path / "office", HOUSE, tour(0, 1), seed=1)
    before = load_map(old)
    pretend(monkeypatch, lambda out: write_map(out, HOUSE, tour(1, 2, y=1.4), seed=2))
    merged = extend_map(old, [Named()])
    after = load_map(old)
    assert merged.is_joined and damaged_files(old) == []
    for k, node in before.nodes.items():
        np.testing.assert_allclose(after.nodes[k].map_from_base.matrix(), node.map_from_base.matrix(), atol=1e-6)
    assert len(after.nodes) > len(before.nodes)
    assert after.info.build["sessions"][0]["name"] == "tuesday"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_tour_of_another_place_becomes_a_fragment(tmp_path, monkeypatch):
    old = write_map(tmp_path / "office", HOUSE, tour(0, 1), seed=1)
    pretend(monkeypatch, lambda out: write_map(out, Building((8, 9)), tour(0, 1), seed=2))
    merged = extend_map(old, [Named()])
    assert not merged.is_joined and any("tuesday stays a fragment" in w for w in merged.info.warnings)
    assert {n.fragment for n in load_map(old).nodes.values()} == {0, 1}


def test_errors_leave_the_old_map(tmp_path, monkeypatch):
    old = write_map(tmp_path / "office", HOUSE, tour(0, 0), seed=1)
    before = digest(old)

    def fail(out):
        raise MappingError("the images show next to nothing")

    pretend(monkeypatch, fail)
    with pytest.raises(MappingError, match="next to nothing"):
        extend_map(old, [Named()])
    with pytest.raises(BadInputError, match="at least one"):
        extend_map(old, [])
    with pytest.raises(MapError, match="not a map"):
        extend_map(tmp_path / "nowhere", [Named()])
    assert digest(old) == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["office", "office-nav2"]


def load_box_world():
    if "box_world" not in sys.modules:
        spec = importlib.util.spec_from_file_location("box_world", Path(__file__).parents[2] / "fixtures" / "box_world.py")
        sys.modules["box_world"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["box_world"])
    return sys.modules["box_world"]


class BoxDrive:
    """Part of a drive around the box room, from `start` to `end` [rad], on an ellipse of its own size."""

    name = "drive"

    def __init__(self, start, end, size):
        box = load_box_world()
        self.world, self.rig = box.BoxWorld(), box.RIG
        angles = np.arange(start, end, 0.35)
        self.poses = [Pose2(size * 1.8 * math.cos(a), size * 1.1 * math.sin(a), math.atan2(1.1 * math.cos(a), -1.8 * math.sin(a))) for a in angles]
        self.stamps = [(k + 1) * 10**9 for k in range(len(self.poses))]
        local = [self.poses[0].inverse() @ p for p in self.poses]
        self.odometry = Trajectory(np.array(self.stamps), np.array([(p.x, p.y, p.yaw) for p in local]))

    def frames(self):
        for stamp, pose in zip(self.stamps, self.poses):
            for name, rgb in self.world.look(pose).items():
                yield CameraFrame(stamp, name, rgb)

    def scans(self):
        return []


class Thumbnail:
    """A small place encoder, to keep the test about mapping."""

    def encode(self, images):
        import cv2

        small = np.array([cv2.resize(rgb, (8, 6), interpolation=cv2.INTER_AREA).ravel() for rgb in images], dtype=np.float32)
        small -= small.mean(axis=1, keepdims=True)
        return small / np.linalg.norm(small, axis=1, keepdims=True)


@pytest.mark.slow
def test_two_drives_through_one_rendered_room_meet_within_centimetres(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRA_CACHE", str(tmp_path / "cache"))
    first, second = BoxDrive(0.0, 3.0, 1.0), BoxDrive(1.6, 4.6, 0.8)
    out, config = tmp_path / "room", MappingConfig(threads=1)
    build_map([first], out, config, None, Thumbnail())
    count = len(load_map(out).nodes)
    merged = extend_map(out, [second], config, None, None, Thumbnail())
    assert merged.is_joined, merged.trials[0].objections
    start, error = first.poses[0], []
    for node in load_map(out).nodes.values():
        drive = first if node.id < count else second
        truth = start.inverse() @ drive.poses[drive.stamps.index(node.stamp_ns)]
        error.append(math.hypot(node.map_from_base.translation[0] - truth.x, node.map_from_base.translation[1] - truth.y))
    assert max(error[:count]) < 0.05 and max(error[count:]) < 0.08
