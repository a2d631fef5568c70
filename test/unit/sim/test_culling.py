"""Leaving out what cannot be seen changes no picture; openings cut a view as geometry says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.sim.culling import Culling
from astra.sim.meshes import COLLISION_GROUP, SceneBuilder
from astra.sim.portals import Way, Wedge, glimpses
from astra.sim.render import Renderer
from astra.sim.robot import ROBOT_GROUP, CameraConfig, RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World, WorldTruth

ROBOT = RobotConfig(cameras=CameraConfig(width=96, height=72))
HIDDEN = (COLLISION_GROUP, ROBOT_GROUP)


def three_rooms(folder: Path) -> World:
    """Rooms a, b, c of 4 m × 4 m in a row along x; a door of 1 m in the middle between a and b, one at the side between b and c."""
    scene, rng = SceneBuilder(), np.random.default_rng(0)
    doors = {4.0: (1.5, 2.5), 8.0: (0.2, 1.2)}
    for k, zone in enumerate("abc"):
        x0, x1 = 4.0 * k, 4.0 * k + 4.0

        def picture() -> int:
            return scene.patch(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))

        floor = np.array([(x0, 0.0, 0.0), (x1, 0.0, 0.0), (x1, 4.0, 0.0), (x0, 4.0, 0.0)])
        scene.quad(floor, picture(), zone=zone)
        scene.quad(floor[::-1] + [0.0, 0.0, 2.5], picture(), zone=zone)
        scene.wall_quad((x1, 0.05), (x0, 0.05), 0.0, 2.5, picture(), zone)
        scene.wall_quad((x0, 3.95), (x1, 3.95), 0.0, 2.5, picture(), zone)
        for x, (left, right) in ((x0 + 0.05, (4.0, 0.0)), (x1 - 0.05, (0.0, 4.0))):
            low, high = doors.get(round(x), (0.0, 0.0))
            parts = [(0.0, low), (high, 4.0)] if high else [(0.0, 4.0)]
            for s, e in parts:
                a, b = (e, s) if left > right else (s, e)
                scene.wall_quad((x, b), (x, a), 0.0, 2.5, picture(), zone)
        scene.mesh(np.array([(x0 + 2, 3, 0), (x0 + 2, 2, 0), (x0 + 2, 2.5, 1.8)]), np.array([(0, 1, 2), (0, 2, 1)]), np.zeros((2, 3, 2)), picture(), zone)
    scene.ways = {
        "a": (Way("b", (4.0, 2.5), (4.0, 1.5)),),
        "b": (Way("a", (4.0, 1.5), (4.0, 2.5)), Way("c", (8.0, 1.2), (8.0, 0.2))),
        "c": (Way("b", (8.0, 0.2), (8.0, 1.2)),),
    }
    folder.mkdir()
    scene.write(folder)
    truth = WorldTruth((), (), np.zeros((1, 2)), Pose2(1.0, 2.0, 0.0), np.ones((80, 240), bool), 0.05, (0.0, 0.0))
    return World("rooms", folder / "scene.xml", truth)


@pytest.fixture
def rooms(tmp_path: Path) -> World:
    return three_rooms(tmp_path / "rooms")


def test_a_culled_picture_is_the_full_picture(rooms: World) -> None:
    simulation = Simulation(rooms, ROBOT, 0)
    simulation.render()
    full = Renderer(simulation._model)
    rng = np.random.default_rng(1)
    drawn: list[int] = []
    for _ in range(25):
        simulation.place(Pose2(float(rng.uniform(0.4, 11.6)), float(rng.uniform(0.4, 3.6)), float(rng.uniform(-math.pi, math.pi))))
        for frame, camera in zip(simulation.render(), range(4)):
            expected, _ = full.camera(simulation._data, simulation._views[camera][0][0], (96, 72), HIDDEN)
            assert (frame.rgb == expected).all()
        drawn += simulation.triangles
    assert np.mean(drawn) < 0.6 * full.triangles
    full.close()
    simulation.close()


def seen(at: tuple[float, float], height_m: float, wedge: Wedge, zone: str, ways: dict[str, tuple[Way, ...]]) -> set[str]:
    return {g.zone for g in glimpses(at, height_m, wedge, (zone,), ways, 3.0)}


def test_an_opening_shows_what_lies_straight_behind_it() -> None:
    ways: dict[str, tuple[Way, ...]] = {"a": (Way("b", (4.0, 2.5), (4.0, 1.5)),), "b": (Way("c", (8.0, 1.2), (8.0, 0.2)), Way("d", (8.0, 2.4), (8.0, 1.8)))}
    ahead = Wedge((1.0, 1.0), (1.0, -1.0))
    # At x = 8 the line of sight from (1, y) through the door's ends has moved on by 7/3 of what it moved up to x = 4.
    assert seen((1.0, 2.0), 0.9, ahead, "a", ways) == {"a", "b", "c", "d"}  # 2 ± 0.5 · 7/3 = 0.83 … 3.17
    assert seen((1.0, 1.2), 0.9, ahead, "a", ways) == {"a", "b", "d"}  # 1.9 … 4.23
    assert seen((1.0, 3.4), 0.9, ahead, "a", ways) == {"a", "b", "c"}  # -1.03 … 1.3
    assert seen((1.0, 2.0), 0.9, Wedge((-1.0, -1.0), (-1.0, 1.0)), "a", ways) == {"a"}


def test_over_a_sill_one_sees_only_near_it() -> None:
    ways: dict[str, tuple[Way, ...]] = {"a": (Way("b", (2.0, 5.0), (2.0, -5.0), 2.0),), "b": (Way("c", (9.0, 5.0), (9.0, -5.0)),)}
    ahead = Wedge((1.0, 0.5), (1.0, -0.5))
    found = glimpses((0.0, 0.0), 0.9, ahead, ("a",), ways, 3.0)
    assert [g.zone for g in found] == ["a", "b"]  # c begins where the line of sight has passed the ceiling
    assert found[1].slope == pytest.approx(1.1 / math.hypot(2.0, 1.0))


def test_a_damaged_zones_file_is_named(rooms: World) -> None:
    simulation = Simulation(rooms, ROBOT, 0)
    path = rooms.scene.parent / "zones.json"
    path.write_text('{"a": {"box": [0, 0], "sees": []}}')
    with pytest.raises(BadInputError, match=r"zones\.json"):
        Culling(simulation._model, simulation._data, path.parent)


def test_zones_that_do_not_exist_are_named(tmp_path: Path) -> None:
    scene = SceneBuilder()
    scene.quad(np.array([(0.0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]), scene.patch(np.zeros((8, 8, 3), np.uint8)), zone="a")
    scene.sees = {"a": ("nowhere",)}
    with pytest.raises(BadInputError, match="nowhere"):
        scene.write(tmp_path)

