"""Generated worlds of every kind: complete, reproducible, drivable, legible; and never half written."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.errors import AstraError, BadInputError
from astra.geometry import Pose2, Pose3
from astra.perception.text import TextReader, normalise_text
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World, load_world
from astra.sim.worlds import build
from astra.sim.worlds.build import generate
from astra.sim.worlds.checks import triangles_in_view
from astra.sim.worlds.fitout import Fitter
from astra.sim.worlds.plan import KINDS, Kind, Plan
from astra.sim.worlds.truth import Landmark, WorldTruth, instance_image


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, World]:
    """One plain world of every kind, of a validation seed."""
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: generate(kind, 10_007, folder / kind, plain=True) for kind in KINDS}


def truth_of(world: World) -> WorldTruth:
    assert world.truth is not None
    return world.truth


@pytest.mark.parametrize("kind", KINDS)
def test_a_world_is_complete_and_comes_back_from_disk(worlds: dict[Kind, World], kind: Kind) -> None:
    truth = truth_of(load_world(worlds[kind].scene.parent))
    assert (truth.kind, truth.seed) == (kind, 10_007)
    assert {i.category for i in truth.instances} > {"poster"}
    assert len(truth.goals) >= 4
    asked = {name for i in truth.instructions for name in i.answers}
    assert asked <= {a.name for a in truth.goals}
    assert {i.kind for i in truth.instructions} >= {"explicit", "implied", "unanswerable"}
    assert all(i.answers == () for i in truth.instructions if i.kind == "unanswerable")
    ids = [i.id for i in truth.instances]
    assert ids == list(range(1, len(ids) + 1))
    assert {m.id for m in truth.landmarks} <= set(ids)
    assert all(len(m.functions) >= 2 for m in truth.landmarks if truth.area(m.area).is_goal)
    named = {m.text for m in truth.landmarks if m.text}
    assert named == {text for area in truth.areas for text in area.signs}


@pytest.mark.parametrize("kind", KINDS)
def test_the_tour_enters_every_goal_and_leaves_room(worlds: dict[Kind, World], kind: Kind) -> None:
    from astra.sim.starts import floor_plan

    truth = truth_of(worlds[kind])
    for area in truth.goals:
        assert any(area.contains(*p) for p in truth.tour), area.name
    clearance = floor_plan(worlds[kind]).clearance_m()
    columns, rows = np.floor((truth.tour - truth.origin_xy) / truth.resolution_m).astype(int).T
    assert clearance[rows, columns].min() >= 0.25
    start = truth.tour_start
    assert (start.x, start.y) == pytest.approx(tuple(truth.tour[0]))


def views_of(truth: WorldTruth, mark: Landmark, count: int = 8) -> list[Pose2]:
    """Poses on the tour, as it is driven, from which a sign may be read; the best first."""
    thing = truth.instances[mark.id - 1]
    letter = thing.size[2] / 1.9
    heading = np.arctan2(*np.gradient(truth.tour, axis=0).T[::-1])
    offset = truth.tour - np.array(mark.position[:2])
    ahead, distance = offset @ [math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)], np.linalg.norm(offset, axis=1)
    near = np.nonzero((ahead > 0.5) & (distance < 9.5 * letter) & (ahead > 0.7 * distance))[0]
    best = near[np.argsort(np.abs(distance[near] - 7.0 * letter))]
    return [Pose2(*truth.tour[k], float(heading[k])) for k in best[:: max(1, len(best) // count)]]


def plain(text: str) -> str:
    return normalise_text(text).replace(" ", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_sign_is_read_from_some_place_of_the_tour(worlds: dict[Kind, World], kind: Kind) -> None:
    truth, reader = truth_of(worlds[kind]), TextReader()
    simulation = Simulation(worlds[kind], RobotConfig(), 0, movers=False)
    unread = []
    for mark in (m for m in truth.landmarks if m.text):
        for pose in views_of(truth, mark):
            simulation.place(pose)
            point = pose.inverse().apply(np.array([mark.position[:2]]))[0]
            at = np.array([[*point, mark.position[2]]])
            shown = [f for f in simulation.render() if simulation.rig[f.camera].model.project(simulation.rig[f.camera].base_from_cam.inverse().apply(at))[1][0]]
            if any(plain(mark.text) in {plain(d.text) for d in reader.read(f.rgb)} for f in shown):
                break
        else:
            unread.append(mark.text)
    simulation.close()
    assert unread == []


def test_depth_and_boxes_agree_on_what_is_seen(worlds: dict[Kind, World]) -> None:
    """On the tour nearly all furniture is seen by its label."""
    truth = truth_of(worlds["home"])
    simulation = Simulation(worlds["home"], RobotConfig(), 0, movers=False)
    seen: set[int] = set()
    for x, y in truth.tour[:: max(1, len(truth.tour) // 12)]:
        pose = Pose2(float(x), float(y), 0.0)
        simulation.place(pose)
        for frame in simulation.render(depth=True):
            assert frame.depth_m is not None
            camera = simulation.rig[frame.camera]
            ids = instance_image(frame.depth_m, camera.model, Pose3.from_matrix(simulation.truth().world_from_base) @ camera.base_from_cam, truth)
            assert (ids >= 0).mean() > 0.99
            seen |= set(np.unique(ids[ids > 0]).tolist())
    simulation.close()
    furniture = {i.id for i in truth.instances if i.category not in ("poster", "sign")}
    assert len(seen & furniture) > 0.8 * len(furniture)


def test_a_seed_fixes_the_world_and_another_changes_it(worlds: dict[Kind, World], tmp_path: Path) -> None:
    def digest(world: World) -> str:
        every = hashlib.sha256()
        for file in sorted(p for p in world.scene.parent.rglob("*") if p.is_file()):
            every.update(file.name.encode() + file.read_bytes())
        return every.hexdigest()

    same = generate("home", 10_007, tmp_path / "same", plain=True)
    assert digest(same) == digest(worlds["home"])
    assert digest(generate("home", 10_008, tmp_path / "other", plain=True)) != digest(same)


def test_a_plan_that_fails_is_planned_again_from_another_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[int] = []
    plan_home = build.PLANNERS["home"]

    def plan(seed: int, catalogue: build.Catalogue, clutter: float) -> Plan:
        tried.append(seed)
        return plan_home(seed, catalogue, clutter)

    monkeypatch.setitem(build.PLANNERS, "home", plan)
    monkeypatch.setattr(build, "faults", lambda plan, free: ["the roof leaks"] if len(tried) < 3 else [])
    assert truth_of(generate("home", 5, tmp_path / "w", plain=True)).seed == 5
    assert tried[0] == 5 and len(set(tried)) == 3
    monkeypatch.setattr(build, "faults", lambda plan, free: ["the roof leaks"])
    monkeypatch.setattr(Fitter, "furnish", lambda self: None)
    with pytest.raises(AstraError, match="no home of seed 5 passed .* the roof leaks"):
        generate("home", 5, tmp_path / "never", plain=True)
    assert not (tmp_path / "never").exists()


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="'barn' is not one of home, office, warehouse"):
        generate("barn", 0, tmp_path / "w")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="seed -1"):
        generate("home", -1, tmp_path / "w")
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(BadInputError, match="not an empty folder"):
        generate("home", 0, tmp_path)


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "world", "--kind", "home", "--seed", "20001", "--plain", "--json", "--out", str(tmp_path / "w")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["seed"], facts["split"]) == ("home", 20001, "test")
    assert facts["goals"] >= 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_worlds_of_each_kind_pass_at_once(kind: Kind) -> None:
    """Plan, furniture, checks and tour of seeds of all splits, without painting; nearly all at the first attempt."""
    failed = []
    for seed in (*range(8), *range(10_000, 10_006), *range(20_000, 20_006)):
        library = build.open_catalogue(build.split_from_seed(seed), plain=True)
        draft = build.Draft(build.PLANNERS[kind](seed, library, 1.0), library, build.STYLES[kind], (seed,))
        if draft.problems():
            failed.append((seed, draft.problems()))
        assert triangles_in_view(draft.fitter.scene, draft.tour.waypoints[::20]).max() < 20_000
    assert len(failed) <= 1, failed
