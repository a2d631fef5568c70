"""From images to a map: a rendered room whose poses, walls and signs are known, a real kitchen, and tours that cannot become maps."""

import importlib.util
import json
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.errors import BadInputError, MappingError
from astra.core.types import CameraFrame, LaserScan
from astra.geometry import Pose2, Pose3, Trajectory
from astra.mapping.build import MappingConfig, build_map, forget_old_workspaces
from astra.mapping.clues import MeasuredDistance, MetricClues
from astra.mapping.colmap import colmap_camera, model_from_colmap
from astra.mapping.keyframes import KeyframeConfig
from astra.mapping.nav2_map import load_nav2_map
from astra.mapping.parallel import Workers
from astra.topomap import EdgeKind
from astra.topomap.io import damaged_files, load_features, load_map

pytestmark = pytest.mark.slow


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
def cache(tmp_path_factory, monkeypatch):
    """One cache for this module, so that resuming can be tested, and never the user's."""
    folder = tmp_path_factory.getbasetemp() / "astra_cache"
    monkeypatch.setenv("ASTRA_CACHE", str(folder))
    return folder


def drive(laps=1.15, step_rad=0.3):
    """An ellipse in the room, a bit more than once around, so that a loop closes."""
    angles = np.arange(0.0, laps * 2 * math.pi, step_rad).tolist()
    return [Pose2(1.8 * math.cos(a), 1.1 * math.sin(a), math.atan2(1.1 * math.cos(a), -1.8 * math.sin(a))) for a in angles]


def drifting(truth, scale=1.004, bend=0.002):
    odometry, pose = [], Pose2()
    for a, b in zip(truth, truth[1:] + truth[-1:]):
        odometry.append(pose)
        step = a.inverse() @ b
        pose = pose @ Pose2(scale * step.x, step.y, step.yaw + bend)
    return odometry


@lru_cache(maxsize=64)
def seen(world, pose):
    """What the cameras see: most tests drive the same way again."""
    return world.look(pose)


class BoxTour:
    """A drive through the box room."""

    name = "box"

    def __init__(self, world, poses, rig=box.RIG, with_odometry=True):
        self.world, self.poses, self.rig = world, poses, rig
        self.stamps = [(k + 1) * 10**9 for k in range(len(poses))]
        self.odometry = None
        if with_odometry:
            self.odometry = Trajectory(np.array(self.stamps), np.array([(p.x, p.y, p.yaw) for p in drifting(poses)]))

    def frames(self):
        for stamp, pose in zip(self.stamps, self.poses):
            for name, rgb in seen(self.world, pose).items():
                if name in self.rig.names:
                    yield CameraFrame(stamp, name, rgb)

    def scans(self):
        scans = []
        for stamp, pose in zip(self.stamps, self.poses):
            angles = np.radians(np.arange(-180.0, 180.0))
            world = angles + pose.yaw
            rays = np.stack([np.cos(world), np.sin(world), np.zeros_like(world)], axis=1)
            points, _ = self.world.hits(np.array([pose.x, pose.y, 0.2]), rays)
            ranges = np.hypot(points[:, 0] - pose.x, points[:, 1] - pose.y).astype(np.float32)
            scans.append(LaserScan(stamp, "lidar", ranges, -math.pi, math.radians(1.0), 0.1, 10.0))
        return scans


@pytest.fixture(scope="module")
def tour():
    return BoxTour(box.BoxWorld(), drive())


@pytest.fixture(scope="module")
def built(tour, tmp_path_factory):
    """The map of the box room, made once: with the real reader of signs and a plain thumbnail as place descriptor."""
    from astra.mapping.text_landmarks import TextLandmarkExtractor

    base = tmp_path_factory.getbasetemp()
    before = os.environ.get("ASTRA_CACHE")
    os.environ["ASTRA_CACHE"] = str(base / "astra_cache")
    try:
        out = base / "box_map"
        info = build_map([tour], out, MappingConfig(max_read_images=50), TextLandmarkExtractor(), Thumbnail())
    finally:
        os.environ.pop("ASTRA_CACHE") if before is None else os.environ.update(ASTRA_CACHE=before)
    return out, info


class Thumbnail:
    """A small place encoder, to keep the test about mapping."""

    def encode(self, images):
        import cv2

        small = np.array([cv2.resize(rgb, (8, 6), interpolation=cv2.INTER_AREA).ravel() for rgb in images], dtype=np.float32)
        small -= small.mean(axis=1, keepdims=True)
        return small / np.linalg.norm(small, axis=1, keepdims=True)


def errors_against(topo, tour):
    """Position errors [m] in the map frame, whose origin is the tour's first base_link; no alignment."""
    start = tour.poses[0]
    out = []
    for node in topo.nodes.values():
        truth = start.inverse() @ tour.poses[tour.stamps.index(node.stamp_ns)]
        out.append(math.hypot(node.map_from_base.translation[0] - truth.x, node.map_from_base.translation[1] - truth.y))
    return np.array(out)


def test_the_room_is_mapped_in_metres(built, tour):
    out, info = built
    topo = load_map(out)
    assert damaged_files(out) == []
    assert len(topo.nodes) == info.build["keyframes"] >= 18
    assert {n.fragment for n in topo.nodes.values()} == {0}
    assert info.scale_source == "odometry" and info.warnings == ()
    error = errors_against(topo, tour)
    assert np.sqrt(np.mean(error**2)) < 0.03 and error.max() < 0.06  # odometry alone, scaled 0.4 % and bent, is off by more
    np.testing.assert_allclose([n.map_from_base.translation[2] for n in topo.nodes.values()], 0.0, atol=0.01)


def test_its_points_lie_on_the_walls(built, tour):
    features = load_features(built[0])
    points = features.points_map[~np.isnan(features.points_map[:, 0])].astype(np.float64)
    assert len(points) > 1500
    world = Pose3.from_pose2(tour.poses[0]).apply(points)
    x, y, z = world.T
    to_planes = np.stack([np.abs(np.abs(x) - box.HALF[0]), np.abs(np.abs(y) - box.HALF[1]), np.abs(z), np.abs(z - box.HEIGHT)])
    assert np.median(to_planes.min(axis=0)) < 0.03
    assert np.isnan(features.points_map[:, 0]).tolist() == (features.point_ids < 0).tolist()


def test_its_signs_are_landmarks_where_they_hang(built, tour):
    topo = load_map(built[0])
    for landmark_id, (label, _, _) in box.SIGNS.items():
        expected = Pose3.from_pose2(tour.poses[0]).inverse().apply(box.sign_position(landmark_id))
        found = [m for m in topo.landmarks.values() if m.label.upper() == label]
        assert len(found) == 1
        assert np.linalg.norm(found[0].position_map - expected) < 0.2
        assert found[0].function and len(found[0].node_ids) >= 3
        assert all(found[0].id in topo.nodes[k].landmark_ids for k in found[0].node_ids)


def test_its_graph_closes_the_loop_and_its_grid_is_the_room(built, tour):
    topo = load_map(built[0])
    last = max(topo.nodes)
    assert any(e.kind is EdgeKind.VISIBLE and e.b - e.a > 10 for e in topo.edges)
    assert sum(e.kind is EdgeKind.DRIVEN for e in topo.edges) == last
    header = (built[0] / "nav2" / "map.pgm").read_bytes().split(b"\n", 2)[1]
    width, height = (0.05 * int(v) for v in header.split())
    assert 8.0 < max(width, height) < 14.0


def test_a_second_build_resumes_and_is_the_same(built, tour, tmp_path):
    with ThreadPoolExecutor(2) as pool:  # what one process left, many take up
        info = build_map([tour], tmp_path / "again", MappingConfig(), None, Thumbnail(), workers=Workers(pool, 2))
    assert info.build["stage_seconds"].get("sfm") is None  # read back, not made again
    a, b = load_map(built[0]), load_map(tmp_path / "again")
    for k, node in a.nodes.items():
        np.testing.assert_allclose(b.nodes[k].map_from_base.matrix(), node.map_from_base.matrix(), atol=1e-6)
    assert b.landmarks == {}


def test_what_a_person_measured_joins_in(built, tour, tmp_path):
    """Odometry is 0.4 % long; a distance measured with a tape agrees within its sigma, one read off wrongly is told."""
    a, b = tour.poses[0], tour.poses[8]
    ends = [Pose3.from_pose2(p) @ box.RIG.cameras[0].base_from_cam for p in (a, b)]
    metres = float(np.linalg.norm(ends[0].translation - ends[1].translation))
    first, last = (next(n.id for n in load_map(built[0]).nodes.values() if n.stamp_ns == tour.stamps[k]) for k in (0, 8))
    told = MetricClues(distances=(MeasuredDistance(str(first), str(last), metres),))
    info = build_map([tour], tmp_path / "measured", MappingConfig(), None, Thumbnail(), clues=told)
    used = {w.source for w in info.scale_witnesses if w.used}
    assert {"distance", "odometry"} <= used and info.warnings == ()
    assert [w.source for w in load_map(tmp_path / "measured").info.scale_witnesses] == [w.source for w in info.scale_witnesses]
    wrong = MetricClues(distances=(MeasuredDistance(str(first), str(last), 1.3 * metres),))
    info = build_map([tour], tmp_path / "wrong", MappingConfig(), None, Thumbnail(), clues=wrong)
    assert info.scale_source == "distance" and any("odometry says -2" in text for text in info.warnings)
    with pytest.raises(BadInputError, match="no keyframe is called attic"):
        build_map([tour], tmp_path / "nowhere", MappingConfig(), None, Thumbnail(), clues=MetricClues(distances=(MeasuredDistance("attic", "3", 1.0),)))


def test_without_a_lidar_the_grid_comes_from_points_and_the_drive(built, tour, tmp_path):
    blind = BoxTour(tour.world, tour.poses)
    blind.scans = list
    build_map([blind], tmp_path / "blind", MappingConfig(), None, Thumbnail())
    grid, full = (load_nav2_map(folder / "nav2" / "map.yaml").occupancy() for folder in (tmp_path / "blind", built[0]))
    inner = np.argwhere(grid.occupied) * 0.05 + grid.origin[::-1]  # y, x
    walls = np.argwhere(full.occupied) * 0.05 + full.origin[::-1]
    gap = np.linalg.norm(inner[:, None] - walls[None], axis=2).min(axis=1)
    assert len(inner) > 60 and np.mean(gap < 0.2) > 0.9  # obstacles stand where the lidar has them
    cells = grid.cells(np.array([node.map_from_base.translation[:2] for node in load_map(tmp_path / "blind").nodes.values()]))
    assert grid.free[cells[:, 0], cells[:, 1]].all() and grid.free.sum() > 500


def test_the_command_line_speaks_about_it(built, tmp_path, capsys):
    assert main(["map", "inspect", str(built[0]), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["fragments"] == [summary["nodes"]] and summary["problems"] == [] and summary["scale_source"] == "odometry"
    assert main(["map", "export", str(built[0]), "--out", str(tmp_path / "export")]) == 0
    poses = [line for line in (tmp_path / "export" / "poses.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(poses) == summary["views"]
    assert main(["map", "view", str(built[0]), "--out", str(tmp_path / "page.html")]) == 0
    assert "KITCHEN" in (tmp_path / "page.html").read_text()


def test_a_damaged_map_is_an_error_of_the_command(built, tmp_path, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(built[0], copy)
    image = next((copy / "images").iterdir())
    image.write_bytes(b"x" * image.stat().st_size)
    assert main(["map", "inspect", str(copy)]) == 1 and image.name in capsys.readouterr().out
    (copy / "graph.json").write_text("{}")
    assert main(["map", "inspect", str(copy)]) == 2 and "graph.json" in capsys.readouterr().err


class BlankWorld(box.BoxWorld):
    """The room with bare walls; every image differs by a hair, as real sensors do."""

    def look(self, pose):
        rng = np.random.default_rng(int(1e6 * (pose.x + 10)))
        return {name: (120 + rng.integers(0, 4, (160, 224, 3))).astype(np.uint8) for name in box.NAMES}


def test_bare_walls_give_an_error_and_leave_the_old_map(built, tmp_path):
    import shutil

    shutil.copytree(built[0], tmp_path / "map")
    with pytest.raises(MappingError, match=r"feature|connected|same thing"):
        build_map([BoxTour(BlankWorld(), drive())], tmp_path / "map", place_encoder=Thumbnail())
    assert damaged_files(tmp_path / "map") == []
    assert [p.name for p in tmp_path.iterdir()] == ["map"]


def test_three_frames_of_nothing_and_foreign_folders_are_refused(tmp_path):
    short = BoxTour(box.BoxWorld(), drive()[:2])
    with pytest.raises(MappingError, match="2 usable frames"):
        build_map([short], tmp_path / "map")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(BadInputError, match="not a map"):
        build_map([short], tmp_path / "mine")
    with pytest.raises(BadInputError, match="at least one"):
        build_map([], tmp_path / "map")


def test_only_the_latest_workspaces_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTRA_CACHE", str(tmp_path))
    for k in range(5):
        folder = tmp_path / "mapping" / f"w{k}"
        folder.mkdir(parents=True)
        os.utime(folder, (k, k))
    forget_old_workspaces(keep=2)
    assert sorted(p.name for p in (tmp_path / "mapping").iterdir()) == ["w3", "w4"]


def test_colmap_cameras_keep_their_pixels():
    """A point projects to the same pixel in both models, half a pixel apart by convention."""
    from astra.geometry import CameraModel

    point = np.array([[0.3, -0.2, 1.5]])
    for model in (
        CameraModel(640, 480, 585.0, 580.0, 320.0, 240.0),
        CameraModel(640, 480, 500.0, 500.0, 330.0, 236.0, "plumb_bob", (-0.2, 0.05, 0.001, -0.002, 0.01)),
        CameraModel(640, 480, 300.0, 300.0, 320.0, 240.0, "equidistant", (0.02, -0.01, 0.003, 0.0)),
    ):
        camera = colmap_camera(model, 1, calibrated=True)
        np.testing.assert_allclose(camera.img_from_cam(point)[0] - 0.5, model.project(point)[0][0], atol=1e-6)
        assert model_from_colmap(camera, model) == model
    guessed = colmap_camera(model, 1, calibrated=False)
    assert guessed.model.name == "SIMPLE_RADIAL" and model_from_colmap(guessed, model).cx == model.cx


@pytest.mark.skipif(not os.environ.get("ASTRA_REAL_DATA"), reason="ASTRA_REAL_DATA is not set: the real kitchen is not at hand")
def test_a_real_kitchen_is_mapped_within_centimetres(tmp_path):
    from astra.datasets import open_source

    data = Path(os.environ["ASTRA_REAL_DATA"]) / "kitchen"
    subset = tmp_path / "photos"
    subset.mkdir()
    for file in sorted((data / "images").iterdir())[:25]:
        (subset / file.name).symlink_to(file)
    source = open_source(subset, data / "camera.yaml")
    info = build_map([source], tmp_path / "map", MappingConfig(keyframes=KeyframeConfig(rate_hz=0.0)), place_encoder=Thumbnail())
    assert info.scale_source == "unknown" and any("scale" in w for w in info.warnings)
    topo = load_map(tmp_path / "map")
    truth = {}
    for line in (data / "poses.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, *values = line.split()
            truth[name] = np.array(values[:3], dtype=float)
    views = [v for n in topo.nodes.values() for v in n.views]
    assert len(views) == 25
    found = np.array([v.map_from_cam.translation for v in views])
    wanted = np.array([truth[Path(v.image).name] for v in views])
    assert ate(found, wanted) < 0.04


def ate(found, wanted):
    """Root mean square position error after the best similarity (Umeyama)."""
    f, w = found - found.mean(axis=0), wanted - wanted.mean(axis=0)
    u, s, vt = np.linalg.svd(w.T @ f)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ flip @ vt
    scale = np.trace(np.diag(s) @ flip) / (f**2).sum()
    return float(np.sqrt(np.mean(((scale * f @ rotation.T - w) ** 2).sum(axis=1))))
