"""The truth: what cells are free, what pixels show, and what comes back from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.geometry.camera import CameraModel
from astra.geometry.se3 import Pose3
from astra.sim.meshes import SceneBuilder
from astra.sim.worlds.language import Instruction
from astra.sim.worlds.truth import Area, Instance, Landmark, WorldTruth, free_space, instance_grid, instance_image, load_truth, save_truth

OUTLINE = (-1.0, -2.0, 3.0, 2.0)


def cell(x: float, y: float) -> tuple[int, int]:
    return int((y + 2.0) / 0.05), int((x + 1.0) / 0.05)


def truth_with(*things: Instance) -> WorldTruth:
    square = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    area = Area("kitchen", "KITCHEN", "kitchen", ("food", "coffee"), square, ("KITCHEN",))
    hall = Area("hall", "", "hallway", (), square + 1.0, (), is_goal=False)
    free = np.ones((80, 80), bool)
    free[:3] = False
    mark = Landmark(1, "sign", "KITCHEN", "white", ("food",), (0.5, 1.0, 1.5), "kitchen")
    said = (Instruction("somewhere to eat", ("kitchen",), "implied"), Instruction("find the pool", (), "unanswerable"))
    return WorldTruth((area, hall), said, np.array([[0.0, 0.0], [1.0, 0.5]]), Pose2(0.0, 0.0, 0.3), free, 0.05, OUTLINE[:2], "home", 12, (mark,), things)


def test_free_cells_are_those_in_no_solid_of_the_robots_height() -> None:
    scene = SceneBuilder()
    scene.solid_box((1.0, 0.0, 0.5), (1.0, 0.4, 1.0), np.pi / 4)
    scene.solid_cylinder((2.0, 1.0, 0.2), 0.3, 0.4)
    scene.solid_box((0.0, 1.5, 2.3), (0.5, 0.5, 0.4))  # hangs above the mast
    free = free_space(scene.solids, OUTLINE)
    assert free.shape == (80, 80)
    assert not free[cell(1.3, 0.3)] and free[cell(1.3, -0.3)]  # turned by 45°
    assert not free[cell(2.2, 1.0)] and free[cell(2.25, 1.25)]
    assert free[cell(0.0, 1.5)]
    assert (~free).sum() * 0.05**2 == pytest.approx(0.4 + np.pi * 0.09, abs=0.03)
    high = free_space(scene.solids, OUTLINE, 0.8, 2.5)
    assert not high[cell(1.3, 0.3)] and high[cell(2.0, 1.0)] and not high[cell(0.0, 1.5)]


def test_pixels_bear_the_instance_that_they_show() -> None:
    """A camera 1 m high looks along +x at a box, with a smaller one on it, before a wall 3 m away."""
    table = Instance(1, "table", "hall", (2.0, 0.0, 0.4), (0.6, 1.0, 0.8), 0.0, "brown")
    lamp = Instance(2, "lamp", "hall", (1.8, 0.0, 1.0), (0.2, 0.2, 0.4), np.pi / 2, "white")
    camera = CameraModel.from_fov(64, 48, np.pi / 2)
    world_from_cam = Pose3(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([0.0, 0.0, 1.0]))
    v, u = np.indices((48, 64))
    rays = camera.unproject(np.stack([u.ravel(), v.ravel()], axis=1)).reshape(48, 64, 2)
    depth = np.full((48, 64), 3.0)
    down = rays[..., 1] > 1e-6
    depth[down] = np.minimum(3.0, 1.0 / rays[..., 1][down])  # floor
    front = 1.7
    y, z = -rays[..., 0] * front, 1.0 - rays[..., 1] * front
    shows_table = (np.abs(y) < 0.5) & (z < 0.8) & (z > 0.0)
    shows_lamp = (np.abs(y) < 0.1) & (z > 0.8) & (z < 1.2)
    depth[shows_table | shows_lamp] = front
    depth[0, 0] = np.inf
    ids = instance_image(depth, camera, world_from_cam, truth_with(table, lamp))
    assert ids[0, 0] == -1
    inner = shows_table & (z < 0.75) & (z > 0.05)
    assert (ids[inner] == 1).all()
    assert (ids[shows_lamp & (z > 0.85)] == 2).all()
    assert (ids[~shows_table & ~shows_lamp & (np.abs(y) > 0.6)][1:] == 0).all()
    with pytest.raises(BadInputError, match="depth image"):
        instance_image(depth[:10], camera, world_from_cam, truth_with())


def test_the_grid_names_what_stands_lowest() -> None:
    table = Instance(1, "table", "hall", (1.0, 0.0, 0.4), (0.6, 1.0, 0.8), 0.0, "brown")
    lamp = Instance(2, "lamp", "hall", (1.0, 0.0, 1.0), (0.2, 0.2, 0.4), 0.0, "white")
    grid = instance_grid((table, lamp), OUTLINE, (80, 80))
    assert grid[cell(1.0, 0.0)] == 1 and grid[cell(1.0, 0.7)] == 0
    assert (grid == 1).sum() * 0.05**2 == pytest.approx(0.6, abs=0.08)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    thing = Instance(1, "sofa", "hall", (0.5, 1.0, 0.4), (0.9, 2.0, 0.8), 0.25, "red")
    truth = truth_with(thing)
    save_truth(truth, tmp_path, sub_seed=3)
    again = load_truth(tmp_path)
    assert (again.kind, again.seed, again.instances, again.landmarks, again.instructions) == ("home", 12, (thing,), truth.landmarks, truth.instructions)
    assert (again.free == truth.free).all() and (again.tour == truth.tour).all() and again.tour_start == truth.tour_start
    assert [(a.name, a.functions, a.signs, a.is_goal) for a in again.areas] == [(a.name, a.functions, a.signs, a.is_goal) for a in truth.areas]
    assert [a.name for a in again.goals] == ["kitchen"]
    with pytest.raises(BadInputError, match="no area 'pool'"):
        again.area("pool")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [("format_version: 2", "format_version: 1", "format_version 1"), ("kind: home", "kind: barn", "barn"), ("kind: implied", "kind: rude", "rude")],
)
def test_damaged_truth_is_refused(tmp_path: Path, old: str, new: str, named: str) -> None:
    save_truth(truth_with(), tmp_path)
    path = tmp_path / "truth.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BadInputError, match=named):
        load_truth(tmp_path)
