"""The page and the picture of a world."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from gazebo_hall import build_hall

from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.sim.robot import CameraConfig, RobotConfig
from astra.sim.view import write_view
from astra.sim.view.marks import Mark, colour_of, stop_marks
from astra.sim.view.page import svg
from astra.sim.view.pictures import TopView, poses_along, top_view
from astra.sim.view.sheet import drawn
from astra.sim.world import World

SMALL = RobotConfig(cameras=CameraConfig(width=48, height=32))


class Tags(HTMLParser):
    """Every start tag with its attributes; fails on tags that are not closed in order."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(office: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The office's page with three stops."""
    out = tmp_path_factory.mktemp("view") / "office.html"
    write_view(office, SMALL, out, stops=3)
    return out.read_text(encoding="utf-8")


def test_the_page_is_one_file_that_says_everything_there_is_to_say(office: World, page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    pictures = [a["src"] or "" for tag, a in tags.found if tag == "img"]
    assert len(pictures) == 3 * 4
    links = pictures + [v or "" for _, a in tags.found for name, v in a.items() if name in ("src", "href")]
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (32, 48, 3)
    assert image.std() > 5.0
    truth = office.truth
    assert truth is not None
    text = re.sub(r"&#34;|&quot;", '"', page.replace("&#39;", "'").replace("&amp;", "&"))
    for instruction in truth.instructions:
        assert instruction.text in text
    for area in truth.areas:
        assert area.name in text
    assert {"rooms", "names", "tour", "stops"} <= {(a["class"] or "").split()[1] for _, a in tags.found if (a.get("class") or "").startswith("layer ")}


def test_the_picture_from_above_is_to_scale(yard: World) -> None:
    view = top_view(yard)
    wall = view.image[..., 1].astype(int) > view.image[..., 0].astype(int) + 20  # green: x from 3.0 to 3.2, y from -2 to 2
    rows, columns = np.nonzero(wall)
    assert view.x0 + columns.min() / view.px_per_m == pytest.approx(3.0, abs=0.01)
    assert view.x0 + (columns.max() + 1) / view.px_per_m == pytest.approx(3.2, abs=0.01)
    assert view.y1 - rows.min() / view.px_per_m == pytest.approx(2.0, abs=0.01)
    assert view.y1 - (rows.max() + 1) / view.px_per_m == pytest.approx(-2.0, abs=0.01)


def test_marks_lie_where_they_say_in_pixels_and_in_svg() -> None:
    view = TopView(np.full((400, 600, 3), 255, np.uint8), -1.0, -1.0, 2.0, 1.0)
    square = Mark("rooms", np.array([(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)]), "#00aa00", 0.01, True, 1.0, title="a <b> & c")
    image = drawn(view, [square])
    rows, columns = np.nonzero(image[..., 0] < 100)
    assert view.x0 + columns.min() / view.px_per_m == pytest.approx(0.0, abs=0.02)
    assert view.x0 + columns.max() / view.px_per_m == pytest.approx(0.5, abs=0.02)
    assert view.y1 - rows.max() / view.px_per_m == pytest.approx(0.0, abs=0.02)
    text = svg(view, [square])
    assert 'd="M1.000 1.000L1.500 1.000L1.500 0.500L1.000 0.500Z"' in text
    assert "a &lt;b&gt; &amp; c" in text
    assert [m.text for m in stop_marks(np.zeros((2, 3)))] == ["1", "2"]


def test_stops_are_spread_evenly_and_look_along_the_way() -> None:
    line = np.array([(0.0, 0.0), (4.0, 0.0), (4.0, 0.0), (4.0, 4.0)])
    assert poses_along(line, 4) == [Pose2(1, 0, 0), Pose2(3, 0, 0), Pose2(4, 1, math.pi / 2), Pose2(4, 3, math.pi / 2)]


def test_a_category_has_one_colour() -> None:
    assert colour_of("office") == colour_of("office") != colour_of("kitchen")
    assert re.fullmatch("#[0-9a-f]{6}", colour_of("office"))


def test_scenes_of_others_can_be_looked_at_too(tmp_path: Path) -> None:
    hall = build_hall(tmp_path / "hall")
    write_view(hall, SMALL, tmp_path / "hall.png", stops=2)
    image = cv2.imread(str(tmp_path / "hall.png"))
    assert image is not None
    assert image.std() > 10.0
    with pytest.raises(BadInputError, match=r"hall\.pdf"):
        write_view(hall, SMALL, tmp_path / "hall.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hall", "hall.png"]
