"""Scenes of others: what only looks solid becomes solid, and a robot drives in all of them."""

from __future__ import annotations

import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.sim import occupancy
from astra.sim.foreign import completed_spec
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.starts import floor_plan, random_start
from astra.sim.world import World, load_world

LOOKS_ONLY = 'contype="0" conaffinity="0"'


def room_xml(solid: str) -> str:
    """A room of 6 m × 4 m around the origin with a block in it; `solid` is put into every geom."""
    walls = "".join(
        f'<geom type="mesh" mesh="{mesh}" pos="{x} {y} 1" {solid}/>' for mesh, x, y in (("long", 0, 2), ("long", 0, -2), ("short", 3, 0), ("short", -3, 0))
    )
    boxes = {"long": (3.1, 0.1, 1.0), "short": (0.1, 2.1, 1.0), "block": (0.5, 0.3, 0.4)}
    meshes = "".join(f'<mesh name="{name}" vertex="{_corners(size)}"/>' for name, size in boxes.items())
    return f'<mujoco><asset>{meshes}</asset><worldbody><light pos="0 0 3"/>{walls}<geom type="mesh" mesh="block" pos="1 0 0.4" {solid}/></worldbody></mujoco>'


def _corners(half: tuple[float, float, float]) -> str:
    return " ".join(f"{sx * half[0]} {sy * half[1]} {sz * half[2]}" for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1))


@pytest.fixture(params=["", LOOKS_ONLY], ids=["solid", "looks_only"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """The room, once as physics and once as pictures."""
    path = tmp_path / "room.xml"
    path.write_text(room_xml(request.param), "utf-8")
    return load_world(path)


def test_the_measured_floor_is_the_room_less_the_block(room: World) -> None:
    plan = floor_plan(room)
    y, x = ((np.arange(n) + 0.5) * plan.resolution_m + o for n, o in zip(plan.free.shape, plan.origin_xy[::-1]))
    inside = (np.abs(y) < 1.9)[:, None] & (np.abs(x) < 2.9)
    assert plan.free[plan.cell(-1.5, 0.0)] and not plan.free[plan.cell(1.0, 0.0)]
    for axis in (np.array([0.0, 1.0]) * 1.9, np.array([1.0, 0.0]) * 2.9):  # the walls' inner faces
        assert not all(plan.free[plan.cell(*(axis * scale))] for scale in (0.99, 1.01))
    exact, edges = 5.8 * 3.8 - 1.0 * 0.6, 2 * (5.8 + 3.8 + 1.0 + 0.6)
    assert exact - edges * plan.resolution_m <= plan.free[inside].sum() * plan.resolution_m**2 <= exact + 1e-6  # at most a cell too careful
    assert not plan.reachable(plan.clearance_m())[~inside].any()


def test_the_robot_stands_drives_and_collides(room: World) -> None:
    simulation = Simulation(room, RobotConfig(), 0, Pose2(-2.0, 0.0, 0.0))
    simulation.set_command(0.4, 0.0)
    simulation.advance(2.0)
    assert abs(simulation.truth().world_from_base[2, 3]) < 0.02
    assert simulation.pose().x > -1.5 and simulation.collisions() == 0
    simulation.advance(6.0)
    assert simulation.collisions() == 1
    assert simulation.pose().x < 1.0 - 0.5 - 0.15  # the block holds it


def test_the_lidar_sees_the_block_where_it_is(room: World) -> None:
    simulation = Simulation(room, RobotConfig(), 0, Pose2(-1.0, 0.0, 0.0))
    scan = simulation.scan()
    ahead = scan.ranges[int(np.argmin(np.abs(scan.angles())))]
    assert ahead == pytest.approx(1.5, abs=0.08)


def test_random_starts_have_room_and_any_heading(room: World) -> None:
    rng = np.random.default_rng(1)
    starts = [random_start(room, rng) for _ in range(12)]
    for pose in starts:
        assert abs(pose.x) < 2.9 - 0.35 and abs(pose.y) < 1.9 - 0.35
        assert max(abs(pose.x - 1.0) - 0.5, abs(pose.y) - 0.3) > 0.2
    assert np.ptp([pose.yaw for pose in starts]) > math.pi / 2
    assert starts[0] == random_start(room, np.random.default_rng(1))


def test_nothing_there_or_no_scene_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<mujoco><worldbody><geom type='nonsense'/></worldbody></mujoco>", "utf-8")
    with pytest.raises(BadInputError, match=r"broken\.xml"):
        completed_spec(broken)
    empty = tmp_path / "empty.xml"
    empty.write_text("<mujoco><worldbody><geom type='plane' size='1 1 1'/></worldbody></mujoco>", "utf-8")
    with pytest.raises(BadInputError, match="nothing but ground"):
        floor_plan(load_world(empty))


def test_boxes_cover_every_cell_once() -> None:
    occupied = np.random.default_rng(0).random((40, 60)) < 0.4
    count = np.zeros(occupied.shape, int)
    for row, column, rows, columns in occupancy.boxes_from_cells(occupied):
        count[row : row + rows, column : column + columns] += 1
    assert np.array_equal(count, occupied.astype(int))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("ASTRA_REAL_DATA"), reason="ASTRA_REAL_DATA is unset: small_house is not here")
def test_small_house_opens_renders_and_is_driven_in(tmp_path: Path) -> None:
    archive = Path(os.environ["ASTRA_REAL_DATA"]) / "small_house.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not here")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    world = load_world(tmp_path / "small_house")
    start = random_start(world, np.random.default_rng(3))
    simulation = Simulation(world, RobotConfig(), 0, start)
    simulation.advance(1.0)
    frames = simulation.render()
    assert simulation.collisions() == 0 and np.isfinite(simulation.scan().ranges).mean() > 0.5
    assert min(frame.rgb.std() for frame in frames) > 10.0
    simulation.close()
