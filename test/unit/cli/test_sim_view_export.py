"""`astra sim view` and `astra sim export` as a user runs them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from gazebo_hall import build_hall

from astra.cli.main import main


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scene without truth."""
    return build_hall(tmp_path_factory.mktemp("cli") / "hall").scene


def test_export_says_what_it_wrote_and_what_not(hall: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "export", str(hall), "--format", "sdf", "--out", str(tmp_path / "sdf"), "--start=-1,1,0.5"]) == 0
    said = capsys.readouterr().out
    assert "4 collision shapes" in said
    assert "left out: 1 that move" in said
    (robot,) = [i for i in ElementTree.parse(tmp_path / "sdf" / "world.sdf").iter("include") if i.findtext("name") == "robot"]
    assert [float(v) for v in (robot.findtext("pose") or "").split()] == pytest.approx([-1, 1, 0.001, 0, 0, 0.5])


def test_export_takes_another_robot(hall: Path, tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text("name: small one\ncameras: {names: [nose], yaws_deg: [0], width: 64, height: 48}\n")
    assert main(["sim", "export", str(hall), "--out", str(tmp_path / "sdf"), "--robot", str(tmp_path / "robot.yaml")]) == 0
    model = ElementTree.parse(tmp_path / "sdf/models/small_one/model.sdf").getroot()
    assert [s.findtext("topic") for s in model.iter("sensor")] == ["/nose/image_raw", "/imu", "/scan"]
    assert "nose/image_raw" in (tmp_path / "sdf" / "bridge.yaml").read_text()


@pytest.mark.parametrize(
    ("extra", "named"), [(["--start", "here"], "'here'"), (["--start", "2.99,0,0"], "no room"), (["--robot", "none.yaml"], "none.yaml")]
)
def test_wrong_arguments_end_with_two_and_leave_nothing(
    hall: Path, tmp_path: Path, extra: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "export", str(hall), "--out", str(tmp_path / "sdf"), *extra]) == 2
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_view_writes_a_page_or_a_picture(hall: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "view", str(hall), "--out", str(tmp_path / "hall.html"), "--stops", "1"]) == 0
    assert "<svg" in (tmp_path / "hall.html").read_text()
    assert main(["sim", "view", str(hall), "--out", str(tmp_path / "hall.txt")]) == 2
    assert main(["sim", "view", str(hall), "--out", str(tmp_path / "hall.png"), "--stops", "0"]) == 2
    assert "--stops 0" in capsys.readouterr().err
