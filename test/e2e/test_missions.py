"""Whole missions: simulator, stack and observer as processes over DDS."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import rclpy
import ros_graph

from astra.ros.mission import MissionObserver, MissionRequest, run_mission
from astra.ros.stack import SimOptions, StackOptions, describe
from astra.ros.supervisor import Supervisor

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.ros, pytest.mark.e2e, pytest.mark.slow]


@contextlib.contextmanager
def running(place: Any, tmp_path: Path, *, seed: int, start: str = "random") -> Iterator[tuple[Supervisor, MissionObserver]]:
    """The stack up and active, and an observer."""
    nodes = describe(StackOptions(map=place.map, sim=SimOptions(place.world, start, seed)))
    with Supervisor(nodes, tmp_path / "logs") as stack:
        rclpy.init(args=[])
        observer = MissionObserver(lambda text: None)
        try:
            assert observer.wait(lambda: set(stack.names) <= observer.active, 90.0), f"not active: {set(stack.names) - observer.active}"
            yield stack, observer
        finally:
            observer.close()
            rclpy.try_shutdown()


def test_the_robot_wakes_up_somewhere_and_finds_the_resting_area(office: Any, tmp_path: Path, ros_domain: int) -> None:
    request = MissionRequest(office.world, office.map, "find the resting area", tmp_path / "out", seed=1, video=True)
    result = run_mission(request, print)
    assert result.success, result
    assert result.goal_status == "found"
    assert result.collisions == 0
    assert result.localization_error_m < 0.5
    for name in ("result.json", "report.html", "mission.mcap", "mission.mp4"):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_what_is_nowhere_is_not_found_and_nothing_moves(office: Any, tmp_path: Path, ros_domain: int) -> None:
    request = MissionRequest(office.world, office.map, "find the swimming pool", tmp_path / "out", seed=2, video=False)
    result = run_mission(request, print)
    assert result.goal_status == "not_found"
    assert result.success, result
    assert result.distance_m < 0.1


def test_no_node_of_the_stack_listens_to_truth(office: Any, tmp_path: Path, ros_domain: int) -> None:
    """The stack offers and needs what docs/INTERFACES.md says, and does as well when the world's folder is gone, since only the simulator has read it."""
    hidden = tmp_path / "world"
    shutil.copytree(office.world, hidden)
    place = type(office)(hidden, office.tour, office.map)
    with running(place, tmp_path, seed=3) as (stack, observer):
        shutil.rmtree(hidden)
        promised = ros_graph.documented(ROOT / "docs" / "INTERFACES.md")
        for name in stack.names:
            interfaces = ros_graph.running(observer.node, name)
            read_once = {i for i in promised[name] if i[0] == "subscribes" and i[1].endswith("/camera_info")}
            assert interfaces | read_once == promised[name], name
            listens = {topic for role, topic, _ in interfaces if role == "subscribes"}
            assert listens
            assert not any("ground_truth" in topic for topic in listens), name
        localized = lambda: any(event.status == "localized" for event in observer.seen.localizations)  # noqa: E731
        assert observer.wait(localized, 60.0)
        result = observer.navigate("find the resting area", 240.0, lambda: None)
        assert result is not None
        assert result.error_code == 0, result.error_msg


def test_killing_astra_global_in_mid_mission_does_not_end_it(office: Any, tmp_path: Path, ros_domain: int) -> None:
    with running(office, tmp_path, seed=4) as (stack, observer):
        killed: list[int] = []

        def kill_once_driving() -> None:
            moved = observer.seen.truth and max(row[4] for row in observer.seen.truth[-50:]) > 0.15
            pid = stack.pid("astra_global")
            if moved and not killed and pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        result = observer.navigate("find the resting area", 300.0, kill_once_driving)
        assert killed
        assert stack.restarts == 1
        assert stack.pid("astra_global") not in (None, *killed)
        assert result is not None
        assert result.error_code == 0, result.error_msg
        assert observer.seen.contact_count == 0


def test_another_office_is_never_this_one(office: Any, tmp_path: Path) -> None:
    """Views of an office with other walls: `lost`, and where it hangs out the same sign, at most `coarse`."""
    from astra.sim.robot import RobotConfig
    from astra.sim.simulation import Simulation
    from astra.sim.world import build_office

    other = build_office(tmp_path / "other", 7)
    assert other.truth is not None
    simulation = Simulation(other, RobotConfig(), seed=0, start=other.truth.tour_start)
    views = {frame.camera: frame.rgb for frame in simulation.render()}
    simulation.rig["front"].model.save(tmp_path / "camera.yaml")
    simulation.close()
    for camera, rgb in views.items():
        cv2.imwrite(str(tmp_path / f"{camera}.png"), rgb[..., ::-1])
    out = tmp_path / "where.jsonl"
    command = [Path(sys.executable).with_name("astra"), "localize", office.map, *(tmp_path / f"{camera}.png" for camera in views)]
    command += ["--camera", tmp_path / "camera.yaml", "--out", out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    records = {Path(r["image"]).stem: r for r in map(json.loads, out.read_text().splitlines())}
    assert set(records) == set(views)
    assert all(record["status"] != "localized" and record["map_from_cam"] is None for record in records.values())
    assert {camera for camera, record in records.items() if record["status"] == "lost"} >= {"right", "back"}  # no sign in sight


@pytest.mark.skipif("ASTRA_REAL_DATA" not in os.environ, reason="ASTRA_REAL_DATA is not set: photos of a real kitchen are needed")
def test_a_real_kitchen_is_lost_on_the_offices_map(office: Any, tmp_path: Path) -> None:
    kitchen = Path(os.environ["ASTRA_REAL_DATA"]) / "kitchen"
    photos = sorted((kitchen / "images").glob("*.jpg"))[::25]
    out = tmp_path / "where.jsonl"
    command = [Path(sys.executable).with_name("astra"), "localize", office.map, *photos, "--camera", kitchen / "camera.yaml", "--out", out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["status"] for line in out.read_text().splitlines()] == ["lost"] * len(photos)
