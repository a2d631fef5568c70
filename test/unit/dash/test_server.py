"""The page shows; who may command, and from where, is decided by the server."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from astra.core.errors import AstraError, BadInputError, ConfigError
from astra.dash.board import Board
from astra.dash.server import DashServer, ServerConfig

TOKEN = "correct horse"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


def filled() -> Board:
    """A robot in a room of 6 × 4 m."""
    board = Board()
    room = np.full((80, 120), 255, np.uint8)
    room[[0, 1, -2, -1], :] = room[:, [0, 1, -2, -1]] = 0
    board.put_picture("map", cv2.imencode(".png", room)[1].tobytes(), "image/png")
    board.put("map", {"x": -3.0, "y": -2.0, "resolution": 0.05, "width": 120, "height": 80})
    board.put("graph", {"nodes": {"1": [-2, 0], "2": [0, 0.5]}, "edges": [["1", "2"]], "landmarks": [{"label": "<b>ROOM</b> 7", "x": 1.5, "y": 1.0}]})
    board.put("pose", {"x": 0.5, "y": 0.2, "yaw": 0.7, "sigma_m": 0.08})
    board.put("path", [[0.5, 0.2], [1.0, 0.6], [1.6, 0.7]])
    board.put("localization", {"status": "localized", "confidence": 0.97, "reason": "97 inliers"})
    board.put("nodes", [{"name": "astra_global", "level": "ok", "message": "active"}, {"name": "astra_local", "level": "error", "message": "<img src=x>"}])
    board.put("commands", True)
    return board


@pytest.fixture
def orders() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def server(orders: list[tuple[str, str]]) -> Iterator[DashServer]:
    def obey(do: str, text: str) -> str:
        if do not in ("go", "stop"):
            raise BadInputError("there are two commands")
        orders.append((do, text))
        return f"sent: {text}"

    with DashServer(filled(), obey, ServerConfig(port=0), TOKEN) as running:
        yield running


def ask(server: DashServer, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10.0)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace"), answer.headers


def test_the_page_needs_nothing_from_elsewhere(server: DashServer) -> None:
    status, text, headers = ask(server, "GET", "/")
    assert status == 200 and "http://" not in text and "https://" not in text
    assert "default-src 'self'" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"


def test_the_state_and_its_pictures_are_served(server: DashServer) -> None:
    state = json.loads(ask(server, "GET", "/state")[1])
    assert state["pose"]["x"] == 0.5 and "map" in state["pictures"]
    assert ask(server, "GET", "/picture/map")[2]["Content-Type"] == "image/png"
    assert ask(server, "GET", "/picture/..%2f..%2fetc")[0] == 404


def test_a_command_needs_the_token(server: DashServer, orders: list[tuple[str, str]]) -> None:
    body = json.dumps({"do": "go", "text": "find room 7"})
    assert ask(server, "POST", "/command", body)[0] == 401
    assert ask(server, "POST", "/command", body, Authorization="Bearer wrong")[0] == 401
    assert orders == []
    status, text, _ = ask(server, "POST", "/command", body, Authorization=f"Bearer {TOKEN}")
    assert (status, json.loads(text)) == (200, {"answer": "sent: find room 7"}) and orders == [("go", "find room 7")]


@pytest.mark.parametrize("body", ["", "[]", '"go"', '{"text": "x"}', '{"do": 3}', '{"do": "go", "text": ["x"]}', '{"do": "reboot"}', "{" * 3000])
def test_a_strange_command_is_refused(server: DashServer, orders: list[tuple[str, str]], body: str) -> None:
    assert ask(server, "POST", "/command", body, Authorization=f"Bearer {TOKEN}")[0] == 400
    assert orders == []


def test_a_huge_command_is_refused(server: DashServer) -> None:
    assert ask(server, "POST", "/command", "x" * 10_000, Authorization=f"Bearer {TOKEN}")[0] == 413


def test_other_pages_cannot_speak_through_a_browser(server: DashServer, orders: list[tuple[str, str]]) -> None:
    body, key = json.dumps({"do": "stop"}), f"Bearer {TOKEN}"
    assert ask(server, "POST", "/command", body, Authorization=key, Origin="http://evil.example")[0] == 403
    assert ask(server, "GET", "/state", Host="rebound.evil.example")[0] == 403
    assert ask(server, "GET", "/live", Origin="http://evil.example", Upgrade="websocket", Connection="Upgrade")[0] == 403
    assert orders == []


def test_without_a_token_nobody_commands(orders: list[tuple[str, str]]) -> None:
    with DashServer(Board(), lambda do, text: "", ServerConfig(port=0)) as readonly:
        status, text, _ = ask(readonly, "POST", "/command", '{"do": "stop"}', Authorization="Bearer ")
        assert status == 403 and "ASTRA_DASH_TOKEN" in text


def test_bad_settings_are_refused_by_name(server: DashServer) -> None:
    with pytest.raises(BadInputError, match="3 characters"):
        DashServer(Board(), lambda do, text: "", token="abc")
    with pytest.raises(ConfigError, match="host"):
        ServerConfig(host="robot.example")
    with pytest.raises(AstraError, match=str(server.port)), DashServer(Board(), lambda do, text: "", ServerConfig(port=server.port)):
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_draws_map_robot_and_nodes_and_runs_no_text_of_the_world(server: DashServer, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    common = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1000,700", f"--user-data-dir={tmp_path / 'b'}"]
    subprocess.run([*common, "--virtual-time-budget=4000", f"--screenshot={shot}", server.url], check=True, timeout=90, capture_output=True)
    page = cv2.imread(str(shot))
    blue = (page[..., 0] > 200) & (page[..., 2] < 60) & (page[..., 1] < 140)
    green = (page[..., 1] > 110) & (page[..., 0] < 120) & (page[..., 2] < 60)
    assert blue.sum() > 300 and green.sum() > 100, "the path and the robot are drawn"
    dom = subprocess.run([*common, "--virtual-time-budget=4000", "--dump-dom", server.url], check=True, timeout=90, capture_output=True, text=True).stdout
    assert "localized (97 %)" in dom and "astra_global" in dom and "&lt;img src=x&gt;" in dom and "<img src=\"x\"" not in dom
