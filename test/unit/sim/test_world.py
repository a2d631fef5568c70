"""The office: complete, drivable, reproducible; its pictures and its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.geometry.distance import distance_to_occupied
from astra.sim import office_plan as plan
from astra.sim.office import OfficeBuilder
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.tour import TourConfig, TourDriver
from astra.sim.world import World, WorldTruth, build_office, load_world


def truth_of(world: World) -> WorldTruth:
    assert world.truth is not None
    return world.truth


def cells(truth: WorldTruth, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    xy = np.floor((points - np.array(truth.origin_xy)) / truth.resolution_m).astype(int)
    return xy[:, 1], xy[:, 0]


def test_every_area_is_named_by_a_sign_and_asked_for_by_an_instruction(office: World) -> None:
    truth = truth_of(office)
    asked = {name for i in truth.instructions for name in i.answers}
    assert asked == {a.name for a in truth.areas}
    assert {s.text for s in plan.SIGNS} == {t for a in truth.areas for t in a.signs}
    assert sum(not i.answers for i in truth.instructions) >= 2
    assert len({i.text for i in truth.instructions}) == len(truth.instructions)


def test_the_tour_keeps_clear_of_furniture_and_visits_every_area(office: World) -> None:
    truth = truth_of(office)
    path = TourDriver(truth.tour, TourConfig())._points
    clearance = distance_to_occupied(~truth.free, truth.resolution_m)[cells(truth, path)]
    assert clearance.min() > 0.32
    for area in truth.areas:
        assert any(area.contains(*p) for p in path), area.name
    start = truth.tour_start
    assert start.distance_to(Pose2(*truth.tour[0], 0.0)) < 1e-9
    assert 45.0 < plan.tour_length_m() < 75.0


def test_a_robot_reaches_every_area_from_the_tour(office: World) -> None:
    from scipy.ndimage import label

    truth = truth_of(office)
    wide = distance_to_occupied(~truth.free, truth.resolution_m) > 0.30
    parts, _ = label(wide)
    start = parts[cells(truth, truth.tour[:1])]
    assert start[0] > 0
    for area in truth.areas:
        inside = np.zeros_like(wide)
        rows, columns = cells(truth, area.polygon)
        inside[rows.min() : rows.max(), columns.min() : columns.max()] = True
        assert (parts[inside] == start[0]).sum() * truth.resolution_m**2 > 1.0, area.name


def test_what_the_lidar_sees_is_what_the_truth_calls_occupied(office: World) -> None:
    truth = truth_of(office)
    occupied_distance = distance_to_occupied(~truth.free, truth.resolution_m)
    simulation = Simulation(office, RobotConfig(), 0)
    for pose in (Pose2(-4.9, 2.0, 0.3), Pose2(2.1, 2.0, 1.0), Pose2(2.9, -2.4, 2.0), Pose2(5.6, 1.2, -1.0)):
        simulation.place(pose)
        scan = simulation.scan()
        hit = np.isfinite(scan.ranges)
        assert hit.mean() > 0.95
        angles, ranges = scan.angles()[hit], scan.ranges[hit]
        points = pose.apply(np.stack([ranges * np.cos(angles), ranges * np.sin(angles)], axis=1))
        inside = (np.abs(points[:, 0]) < plan.HALF_X - 0.03) & (np.abs(points[:, 1]) < plan.HALF_Y - 0.03)
        assert np.percentile(occupied_distance[cells(truth, points[inside])], 95) < 0.08


def test_images_are_rich_and_no_two_places_look_the_same(office: World) -> None:
    sift = cv2.SIFT_create()
    simulation = Simulation(office, RobotConfig(), 0)
    counts, views = [], []
    for x, y, yaw in [(-5.8, 0.0, 0.0), (-2.4, 0.0, 0.3), (2.1, 2.5, 2.0), (5.6, 1.5, 0.8), (-3.9, -2.6, -1.6), (-0.7, -2.4, -1.5), (2.9, -2.4, 0.0)]:
        simulation.place(Pose2(x, y, yaw))
        for frame in simulation.render():
            counts.append(len(sift.detect(frame.rgb, None)))
            views.append(cv2.resize(frame.rgb, (28, 20), interpolation=cv2.INTER_AREA).astype(float).ravel())
    simulation.close()
    assert np.median(counts) > 200
    assert np.mean(np.array(counts) > 150) > 0.9
    normalised = np.array([(v - v.mean()) / v.std() for v in views])
    similarity = normalised @ normalised.T / normalised.shape[1] - 2 * np.eye(len(views))
    assert similarity.max() < 0.95


def test_a_sign_is_painted_where_the_plan_says(office: World) -> None:
    """Seen from two metres, the board's contrast fills the projected rectangle and its text is not mirrored."""
    simulation = Simulation(office, RobotConfig(), 0)
    place = next(s for s in plan.SIGNS if s.text == "KITCHEN" and s.letter_m == plan.ROOM_LETTER_M)
    simulation.place(Pose2(place.at[0], place.at[1] - 1.4, np.pi / 2))
    frame = simulation.render()[0]
    front, pose = simulation.rig["front"], simulation.pose()
    simulation.close()
    from astra.sim.textures import sign

    board = sign(place.text, place.letter_m, 220.0, (0, 0, 0), (255, 255, 255))
    half_w, half_h = board.shape[1] / 440.0, board.shape[0] / 440.0
    corners = np.array([(place.at[0] + dx * half_w, place.at[1] - 0.02, place.z_m + dz * half_h) for dx, dz in ((-1, 1), (1, 1), (1, -1), (-1, -1))])
    base = np.concatenate([pose.inverse().apply(corners[:, :2]), corners[:, 2:]], axis=1)
    pixels, seen = front.model.project(front.base_from_cam.inverse().apply(base))
    assert seen.all()
    left, top, right, bottom = *pixels.min(axis=0).round().astype(int), *pixels.max(axis=0).round().astype(int)
    shown = cv2.cvtColor(frame.rgb[top : bottom + 1, left : right + 1], cv2.COLOR_RGB2GRAY)
    expected = cv2.resize(cv2.cvtColor(board, cv2.COLOR_RGB2GRAY), shown.shape[::-1], interpolation=cv2.INTER_AREA)
    straight = abs(np.corrcoef(shown.ravel(), expected.ravel())[0, 1])
    mirrored = abs(np.corrcoef(shown.ravel(), expected[:, ::-1].ravel())[0, 1])
    assert straight > 0.6
    assert straight > mirrored + 0.2


def test_the_drawn_scene_stays_light(office: World) -> None:
    faces = sum(p.read_text().count("\nf ") for p in (office.scene.parent / "meshes").glob("*.obj"))
    assert 3000 < faces < 20_000


def test_loading_gives_back_what_was_built(office: World) -> None:
    again = truth_of(load_world(office.scene.parent))
    truth = truth_of(office)
    assert (again.free == truth.free).all()
    assert np.allclose(again.tour, truth.tour)
    assert again.instructions == truth.instructions
    assert [a.name for a in again.areas] == [a.name for a in truth.areas]
    assert again.tour_start == truth.tour_start
    assert again.origin_xy == truth.origin_xy


def test_a_seed_fixes_the_office_and_another_seed_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FURNITURE", plan.FURNITURE[:3])

    def solids(seed: int) -> list[tuple[float, ...]]:
        builder = OfficeBuilder(seed)
        builder._furniture()
        return [s.centre for s in builder.scene.solids]

    assert solids(1) == solids(1)
    assert solids(1) != solids(2)


@pytest.mark.slow
def test_another_seed_keeps_the_tour_clear(tmp_path: Path) -> None:
    truth = truth_of(build_office(tmp_path / "w", 1))
    path = TourDriver(truth.tour, TourConfig())._points
    assert distance_to_occupied(~truth.free, truth.resolution_m)[cells(truth, path)].min() > 0.32


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(BadInputError, match="not an empty folder"):
        build_office(tmp_path, 0)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_damaged_and_foreign_worlds_are_named(office: World, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is no world"):
        load_world(tmp_path / "nothing")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("scene.xml", "truth.yaml", "occupancy.png"):
        shutil.copy(office.scene.parent / name, copy / name)
    document = yaml.safe_load((copy / "truth.yaml").read_text())
    (copy / "truth.yaml").write_text(yaml.safe_dump({**document, "format_version": 99}))
    with pytest.raises(BadInputError, match="format_version 99"):
        load_world(copy)
    del document["tour"]
    (copy / "truth.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(BadInputError, match="tour"):
        load_world(copy)
