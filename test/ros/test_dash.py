"""The live page over DDS: what the graph says is on the page, and a command becomes a goal."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from astra_nav.action import NavigateToTarget
from astra_nav.msg import Localization
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.action import ActionServer
from ros_bench import RosBench, ros_bench
from sensor_msgs.msg import Image

from astra.geometry import Pose2, Pose3
from astra.ros import qos
from astra.ros.conversions import grid_message, image_from_rgb, path_from_poses
from astra.ros.tf import TfBroadcaster

pytestmark = pytest.mark.ros
TOKEN, LIMIT_S = "a long secret", 30.0


@pytest.fixture
def bench(ros_domain: int) -> Iterator[RosBench]:
    with ros_bench() as running:
        yield running


def state(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}state", timeout=10.0) as answer:
        return dict(json.load(answer))


def test_what_the_graph_says_is_on_the_page_and_a_command_is_a_goal(bench: RosBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_DASH_TOKEN", TOKEN)
    robot = bench.new_node("robot")
    goals: list[str] = []

    def drive(handle: Any) -> Any:
        goals.append(handle.request.text)
        handle.publish_feedback(NavigateToTarget.Feedback(phase=NavigateToTarget.Feedback.PHASE_DRIVING, why="on the way", distance_remaining=3.0))
        handle.succeed()
        return NavigateToTarget.Result()

    server = ActionServer(robot, NavigateToTarget, "navigate_to_target", drive)
    grid = robot.create_publisher(OccupancyGrid, "map", qos.LATCHED)
    grid.publish(grid_message(np.zeros((4, 6), np.int8), 0.5, Pose2(-1.0, -2.0, 0.0), 0, "map"))
    image = robot.create_publisher(Image, "front/image_raw", qos.SENSOR)
    path = robot.create_publisher(Path, "astra/local_path", qos.RELIABLE)
    fix = robot.create_publisher(Localization, "astra/localization", qos.RELIABLE)
    health = robot.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
    transforms = TfBroadcaster(robot)

    def tick() -> None:
        now = robot.get_clock().now().nanoseconds
        transforms.send("map", "odom", Pose3(translation=np.array([1.0, 0.0, 0.0])), now)
        transforms.send("odom", "base_link", Pose3(translation=np.array([0.5, 0.25, 0.0])), now)
        image.publish(image_from_rgb(np.full((48, 64, 3), 99, np.uint8), now, "front"))
        path.publish(path_from_poses(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), now, "odom"))
        fix.publish(Localization(status=Localization.STATUS_LOCALIZED, confidence=0.9))
        status = DiagnosticStatus(level=DiagnosticStatus.ERROR, name="astra_local: scan", message="no scan", hardware_id="astra_local")
        health.publish(DiagnosticArray(status=[status]))

    robot.create_timer(0.1, tick)
    dash = bench.start("astra_dash", {"server.port": 0, "image_rate_hz": 5.0})
    bench.until(lambda: "the page is at" in dash.output, LIMIT_S, "the page")
    page = re.findall(r"the page is at (http://\S+)", dash.output)[0].rstrip(",")
    wanted, seen = {"map", "pose", "path", "localization", "nodes"}, {}

    def shown() -> bool:
        seen.update(state(page))
        return wanted <= {name for name, value in seen.items() if value} and {"map", "front"} <= seen["pictures"].keys()

    bench.until(shown, LIMIT_S, "everything on the page")
    assert seen["map"] == {"x": -1.0, "y": -2.0, "resolution": 0.5, "width": 6, "height": 4}
    assert seen["pose"]["x"] == pytest.approx(1.5) and seen["path"][1] == pytest.approx([2.0, 0.0])
    assert seen["localization"]["status"] == "localized"
    bench.until(lambda: {"name": "astra_local", "level": "error", "message": "scan: no scan"} in state(page)["nodes"], LIMIT_S, "the sick node")
    order = urllib.request.Request(f"{page}command", json.dumps({"do": "go", "text": "find room 7"}).encode(), {"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(order, timeout=10.0) as answer:
        assert json.load(answer)["answer"] == "sent: find room 7"
    bench.until(lambda: "find room 7" in goals, LIMIT_S, "the goal")
    bench.until(lambda: (state(page).get("mission") or {}).get("phase") == "driving", LIMIT_S, "the mission on the page")
    server.destroy()
