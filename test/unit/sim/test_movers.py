"""Movers: reproducible, clear of everything and of each other, continuous; in the physics where they say, and never into the robot."""

from __future__ import annotations

import itertools
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_floor import CELL_M, free_floor
from scipy import ndimage
from toy_catalogue import ToyCatalogue

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.sim import engine
from astra.sim.movers import Looks, Mover, MoverSet, load_movers, movers_xml, plan_movers, save_movers
from astra.sim.movers.bodies import DISCS
from astra.sim.movers.schedule import SPEED_MPS, TURN_RADPS
from astra.sim.worlds.home import plan_home
from astra.sim.worlds.office import plan_office
from astra.sim.worlds.plan import Kind, Plan
from astra.sim.worlds.warehouse import plan_warehouse

PLANNERS = {"home": plan_home, "office": plan_office, "warehouse": plan_warehouse}
WORLDS: tuple[tuple[Kind, int], ...] = (("home", 0), ("office", 0), ("warehouse", 0), ("warehouse", 3))
LOOKS = Looks((200, 160, 130), (40, 30, 30), (200, 40, 40), (40, 40, 70), (30, 30, 30), (180, 140, 90))
STEP_S = 0.05


@cache
def plan(kind: Kind, seed: int) -> Plan:
    return PLANNERS[kind](seed, ToyCatalogue())


@cache
def movers(kind: Kind, seed: int) -> tuple[Mover, ...]:
    p = plan(kind, seed)
    return plan_movers(p, free_floor(p), (p.outline[0], p.outline[1]), CELL_M, np.random.default_rng(seed))


def discs(mover: Mover, times: FloatArray) -> list[tuple[FloatArray, float]]:
    """What a mover covers: centres (T, 2) and radius."""
    poses = mover.poses(times)
    heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    return [(poses[:, :2] + along * heading, radius) for along, radius in DISCS[mover.kind]]


def walker() -> Mover:
    """Five metres along x at 1 m/s, a turn on the spot, and back."""
    knots = np.array([(0, 0, 0, 0), (5, 5, 0, 0), (7, 5, 0, math.pi), (12, 0, 0, math.pi), (14, 0, 0, 2 * math.pi)], dtype=np.float64)
    return Mover("ann", "person", 0.25, 1.7, LOOKS, 0.0, knots)


def compiled(crowd: tuple[Mover, ...], folder: Path) -> tuple[Any, Any]:
    mujoco = engine.mujoco()
    assets, bodies = movers_xml(crowd, folder)
    (folder / "scene.xml").write_text(f"<mujoco><asset>{assets}</asset><worldbody><geom type='plane' size='0 0 1'/>{bodies}</worldbody></mujoco>", "utf-8")
    model = mujoco.MjModel.from_xml_path(str(folder / "scene.xml"))
    return model, mujoco.MjData(model)


@pytest.mark.parametrize(("kind", "seed"), WORLDS)
def test_they_walk_where_there_is_room(kind: Kind, seed: int) -> None:
    clearance = ndimage.distance_transform_edt(np.pad(free_floor(plan(kind, seed)), 1))[1:-1, 1:-1] * CELL_M
    assert len(movers(kind, seed)) >= {"home": 1, "office": 2, "warehouse": 3}[kind]
    for mover in movers(kind, seed):
        assert len(mover.knots) > 10 and np.ptp(mover.knots[:, 1:3], axis=0).max() > 1.0, "somebody who never goes anywhere"
        for centres, radius in discs(mover, np.arange(0.0, mover.period_s, STEP_S)):
            columns, rows = (centres // CELL_M).astype(int).T
            assert clearance[rows, columns].min() > radius - 0.04, mover.name


@pytest.mark.parametrize(("kind", "seed"), WORLDS)
def test_they_never_walk_through_each_other(kind: Kind, seed: int) -> None:
    times = np.arange(0.0, 150.0, STEP_S)
    for one, other in itertools.combinations(movers(kind, seed), 2):
        for (a, ra), (b, rb) in itertools.product(discs(one, times), discs(other, times)):
            assert np.linalg.norm(a - b, axis=1).min() > ra + rb - 0.05, (one.name, other.name)


@pytest.mark.parametrize(("kind", "seed"), WORLDS)
def test_they_move_without_leaps_and_repeat(kind: Kind, seed: int) -> None:
    for mover in movers(kind, seed):
        times = np.arange(0.0, 2.0 * mover.period_s, 0.02)
        poses = mover.poses(times)
        speed = np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1) / 0.02
        turning = np.abs(np.angle(np.exp(1j * np.diff(poses[:, 2])))) / 0.02
        assert speed.max() <= SPEED_MPS[mover.kind][1] + 0.05 and turning.max() <= TURN_RADPS[mover.kind] + 0.1
        assert mover.top_speed_mps <= SPEED_MPS[mover.kind][1] + 0.05
        assert (speed < 0.01).mean() > 0.02, "nobody stops"
        assert mover.pose(3.0 + mover.period_s) == pytest.approx(mover.pose(3.0))


def test_a_warehouse_has_a_pallet_jack() -> None:
    assert movers("warehouse", 0)[0].kind == "pallet_jack"


def test_the_seed_decides() -> None:
    p = plan("home", 0)
    again = plan_movers(p, free_floor(p), (0.0, 0.0), CELL_M, np.random.default_rng(0))
    assert [(m.name, m.pose(31.4)) for m in again] == [(m.name, m.pose(31.4)) for m in movers("home", 0)]
    other = plan_movers(p, free_floor(p), (0.0, 0.0), CELL_M, np.random.default_rng(1))
    assert [m.pose(31.4) for m in other] != [m.pose(31.4) for m in again]


def test_velocity_is_the_change_of_the_pose() -> None:
    mover = movers("warehouse", 0)[0]
    for time_s in np.linspace(0.3, 140.0, 60):
        before, after = mover.poses(np.array([time_s - 1e-5, time_s + 1e-5]))
        if np.abs(mover.knots[:, 0] - (time_s + mover.phase_s) % mover.period_s).min() > 1e-4:
            assert mover.velocity(time_s) == pytest.approx((after - before) / 2e-5, abs=1e-4)


def test_saved_and_loaded_they_are_the_same(tmp_path: Path) -> None:
    crowd = movers("office", 0)
    save_movers(crowd, tmp_path)
    back = load_movers(tmp_path)
    assert [(m.name, m.kind, m.radius_m, m.height_m, m.looks, m.phase_s) for m in back] == [
        (m.name, m.kind, m.radius_m, m.height_m, m.looks, m.phase_s) for m in crowd
    ]
    assert all((a.knots == b.knots).all() for a, b in zip(back, crowd))
    assert load_movers(tmp_path / "nowhere") == ()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "movers.yaml"
    save_movers((walker(),), tmp_path)
    text = path.read_text("utf-8")
    for old, new in (("format_version: 1", "format_version: 9"), ("kind: person", "kind: ghost"), ("radius_m", "radius"), ("- [0.0", "- [3.0")):
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
        with pytest.raises(BadInputError, match=r"movers\.yaml|ann"):
            load_movers(tmp_path)
    with pytest.raises(BadInputError, match="closed"):
        Mover("bob", "person", 0.25, 1.7, LOOKS, 0.0, np.array([(0.0, 0, 0, 0), (1.0, 1, 0, 0)]))


def test_the_bodies_are_where_the_poses_are(tmp_path: Path) -> None:
    mujoco = engine.mujoco()
    crowd = movers("warehouse", 0)
    model, data = compiled(crowd, tmp_path)
    stage = MoverSet(model, crowd)
    for time_s in (0.0, 0.5, 17.3, 80.0, 149.9, 400.0):
        stage.apply(data, time_s)
        mujoco.mj_forward(model, data)
        for mover in crowd:
            body = data.body(f"mover/{mover.name}/body")
            x, y, yaw = mover.pose(time_s)
            assert body.xpos == pytest.approx((x, y, 0.0), abs=1e-6)
            assert body.xmat.reshape(3, 3)[:2, 0] == pytest.approx((math.cos(yaw), math.sin(yaw)), abs=1e-6)
            hips = [data.body(f"mover/{mover.name}/{side}").xpos for side in ("left", "right")]
            assert np.linalg.norm(hips[0] - hips[1]) == pytest.approx(0.18) and hips[0][2] == pytest.approx(0.48 * mover.height_m)


def test_people_are_cheap_to_draw_and_solid(tmp_path: Path) -> None:
    mujoco = engine.mujoco()
    crowd = movers("warehouse", 0)
    model, data = compiled(crowd, tmp_path)
    for mover in crowd:
        triangles = sum(int(model.mesh_facenum[model.mesh(f"mover/{mover.name}/{part}").id]) for part in ("body", "left", "right"))
        assert triangles <= (300 if mover.kind == "person" else 450)
        assert model.geom(f"mover/{mover.name}/body").contype == 0
    MoverSet(model, crowd).apply(data, 5.0)
    mujoco.mj_forward(model, data)
    hit = np.zeros(1, np.int32)
    for mover in crowd:
        x, y, yaw = mover.pose(5.0)
        aside = np.array([x - 2.0 * math.sin(yaw), y + 2.0 * math.cos(yaw), 0.2])  # the lidar's height
        groups = np.array([0, 0, 0, 1, 0, 0], np.uint8)
        distance = mujoco.mj_ray(model, data, aside, np.array([math.sin(yaw), -math.cos(yaw), 0.0]), groups, 1, -1, hit)
        assert 1.4 < distance < 2.0, mover.name


def test_legs_swing_while_walking_and_stand_together_at_stops(tmp_path: Path) -> None:
    model, data = compiled((walker(),), tmp_path)
    stage = MoverSet(model, (walker(),))
    left, right = (int(model.body(f"mover/ann/{side}").mocapid[0]) for side in ("left", "right"))
    opened = []
    for time_s in np.arange(0.0, 14.0, 0.1):
        stage.apply(data, float(time_s))
        opened.append(abs(float(data.mocap_quat[left] @ data.mocap_quat[right])))
    assert min(opened[:50]) < 0.95, "no step is taken"
    assert opened[60] == pytest.approx(1.0) and opened[130] == pytest.approx(1.0)


def test_who_meets_the_robot_waits(tmp_path: Path) -> None:
    model, data = compiled((walker(),), tmp_path)
    stage = MoverSet(model, (walker(),))
    for time_s in np.arange(0.0, 8.0, 0.02):
        stage.apply(data, float(time_s), (3.0, 0.1))
        assert stage.states(float(time_s))[0, 0] < 3.0 - 0.25 - 0.3
    assert stage.states(8.0)[0, 3:] == pytest.approx(0.0)
    assert stage.predict(np.array([8.0]))[0, 0, 0] > 1.8, "stopped long before it had to"
    stage.apply(data, 9.0, (3.0, 3.0))
    assert stage.states(9.0)[0, 3] == pytest.approx(1.0), "goes on once the robot has left"
    assert stage.predict(np.array([9.0, 10.0]))[0, 1, 0] - stage.predict(np.array([9.0]))[0, 0, 0] == pytest.approx(1.0)


def test_the_robot_beside_or_behind_stops_nobody(tmp_path: Path) -> None:
    model, data = compiled((walker(),), tmp_path)
    for robot in ((2.0, 0.9), (-0.5, 0.0)):
        stage = MoverSet(model, (walker(),))
        for time_s in np.arange(0.0, 4.0, 0.02):
            stage.apply(data, float(time_s), robot)
        assert stage.predict(np.array([4.0]))[0, 0, :2] == pytest.approx((3.98, 0.0), abs=0.05)


def test_who_waits_too_long_steps_back(tmp_path: Path) -> None:
    model, data = compiled((walker(),), tmp_path)
    stage = MoverSet(model, (walker(),))
    track = []
    for time_s in np.arange(0.0, 30.0, 0.02):
        stage.apply(data, float(time_s), (3.0, 0.0))
        track.append(float(data.mocap_pos[0, 0]))
    assert max(track) < 2.45 and np.abs(np.diff(track)).max() < 0.03
    assert min(track[int(12 / 0.02) :]) < 0.5, "two who meet in a narrow aisle would stand for ever"


def test_a_robot_put_among_people_meets_nobody(tmp_path: Path) -> None:
    crowd = movers("warehouse", 0)
    model, data = compiled(crowd, tmp_path)
    stage = MoverSet(model, crowd)
    x, y, _ = crowd[1].pose(12.0)
    stage.reset(12.0, (x, y))
    stage.apply(data, 12.0, (x, y))
    for mover in crowd:
        at = data.mocap_pos[int(model.body(f"mover/{mover.name}/body").mocapid[0]), :2]
        assert math.dist(at, (x, y)) > mover.radius_m + 0.3


def test_predictions_are_what_happens(tmp_path: Path) -> None:
    crowd = movers("warehouse", 3)
    model, data = compiled(crowd, tmp_path)
    stage = MoverSet(model, crowd)
    stage.apply(data, 40.0)
    ahead = stage.predict(np.array([40.0, 43.0]))
    covered = stage.positions(np.array([40.0, 43.0]))
    assert covered.shape == (2, sum(len(DISCS[m.kind]) for m in crowd), 3)
    assert np.allclose([m.poses(np.array(43.0)) for m in crowd], ahead[:, 1])
    assert np.allclose(covered[1, -1, :2], ahead[-1, 1, :2]) and crowd[-1].kind == "person"


def test_an_empty_crowd_is_no_trouble(tmp_path: Path) -> None:
    model, data = compiled((), tmp_path)
    stage = MoverSet(model, ())
    stage.reset(1.0, (0.0, 0.0))
    stage.apply(data, 2.0, (0.0, 0.0))
    times = np.array([2.0, 3.0])
    assert stage.predict(times).shape == (0, 2, 3) and stage.positions(times).shape == (2, 0, 3) and stage.states(2.0).shape == (0, 6)


def test_a_scene_without_them_is_refused(tmp_path: Path) -> None:
    model, _ = compiled((), tmp_path)
    with pytest.raises(BadInputError, match="mover/ann/body"):
        MoverSet(model, (walker(),))


def test_nobody_walks_where_there_is_no_floor() -> None:
    with pytest.raises(BadInputError, match="free"):
        plan_movers(plan("home", 0), np.zeros((40, 40), bool), (0.0, 0.0), CELL_M, np.random.default_rng(0))
    closet = np.zeros((40, 40), bool)
    closet[10:16, 10:16] = True
    assert plan_movers(plan("home", 0), closet, (0.0, 0.0), CELL_M, np.random.default_rng(0)) == ()
