"""`astra sim world` and `astra sim record` as a user runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from astra.cli.main import main
from astra.datasets import open_drive
from astra.geometry import Pose2
from astra.sim.world import build_office, load_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's office, its tour cut down to the first turn and back."""
    out = tmp_path_factory.mktemp("cli") / "office"
    build_office(out, 3)
    document = yaml.safe_load((out / "truth.yaml").read_text())
    document["tour"]["waypoints"] = [[-5.8, 0.0], [-3.8, 0.0], [-3.8, 0.3], [-5.0, 0.3]]
    (out / "truth.yaml").write_text(yaml.safe_dump(document))
    return out


def test_a_recorded_drive_holds_every_sensor_and_its_odometry_follows_the_truth(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "drive"
    assert main(["sim", "record", str(world), "--out", str(out), "--size", "96x64", "--rate", "2"]) == 0
    assert "0 collisions" in capsys.readouterr().out
    drive = open_drive(out)
    assert set(drive.rig.names) == {"front", "left", "back", "right"}
    assert (drive.rig["left"].model.width, drive.rig["left"].model.height) == (96, 64)
    frames = list(drive.frames())
    assert len(frames) == pytest.approx(4 * 2 * drive.duration_s, abs=8)
    assert frames[0].rgb.shape == (64, 96, 3)
    assert len(drive.imu()) == pytest.approx(200 * drive.duration_s, abs=5)
    assert len(list(drive.scans())) == pytest.approx(10 * drive.duration_s, abs=3)
    odometry, truth = drive.odometry, drive.truth()
    assert odometry is not None
    assert truth is not None
    went = Pose2(*truth.poses[0]).inverse() @ Pose2(*truth.poses[-1])
    assert odometry.poses[-1] == pytest.approx([went.x, went.y, went.yaw], abs=0.15)
    assert odometry.length_m() == pytest.approx(truth.length_m(), rel=0.05)


def test_depth_raw_images_and_a_time_limit_can_be_asked_for(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "drive"
    arguments = ["sim", "record", str(world), "--out", str(out), "--size", "48x32", "--rate", "2", "--seconds", "4", "--depth", "--raw", "--seed", "5"]
    assert main(arguments) == 0
    drive = open_drive(out)
    assert drive.duration_s == pytest.approx(4.0, abs=0.05)
    observations = list(drive.observations(depth=True))
    assert [len(o.frames) for o in observations] == [4] * 8
    scan = observations[-1].scan
    right = next(f for f in observations[-1].frames if f.camera == "right")
    assert scan is not None
    assert right.depth_m is not None
    beside = scan.ranges[len(scan.ranges) // 4]  # −90°: the corridor's wall, for the lidar and for the camera 8 cm nearer to it
    assert right.depth_m[16, 24] == pytest.approx(beside - 0.08, abs=0.06)
    assert drive.origin is not None
    assert (drive.origin.world_seed, drive.origin.split, drive.origin.seed, drive.origin.driver) == (3, "train", 5, "tour")
    assert main(["drive", "inspect", str(out)]) == 0
    assert "every message is, byte for byte, what was recorded" in capsys.readouterr().out


def test_the_seed_changes_the_errors_but_not_the_way(world: Path, tmp_path: Path) -> None:
    speeds = []
    for seed in ("0", "0", "1"):
        out = tmp_path / f"d{len(speeds)}"
        assert main(["sim", "record", str(world), "--out", str(out), "--size", "32x24", "--rate", "0.5", "--no-truth", "--seed", seed]) == 0
        speeds.append([w.linear_mps for w in open_drive(out).wheel()])
    assert speeds[0] == speeds[1]
    assert speeds[0] != speeds[2]
    assert np.sum(speeds[0]) == pytest.approx(np.sum(speeds[2]), rel=0.03)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--size", "big"], "--size 'big'"),
        (["--rate", "0"], "image_rate_hz"),
        (["--robot", "none.yaml"], "none.yaml"),
        (["--seconds", "1"], "seconds = 1.0"),
    ],
)
def test_wrong_arguments_end_with_two_and_leave_nothing(
    world: Path, tmp_path: Path, extra: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "record", str(world), "--out", str(tmp_path / "d"), *extra]) == 2
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_world_without_a_tour_cannot_be_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.xml").write_text("<mujoco><worldbody><geom type='plane' size='0 0 1'/></worldbody></mujoco>")
    assert load_world(tmp_path / "empty.xml").truth is None
    assert main(["sim", "record", str(tmp_path / "empty.xml"), "--out", str(tmp_path / "d")]) == 2
    assert "has no tour" in capsys.readouterr().err


def test_neither_worlds_nor_drives_are_overwritten(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "world", "--out", str(world)]) == 2
    (tmp_path / "d").mkdir()
    assert main(["sim", "record", str(world), "--out", str(tmp_path / "d")]) == 2
    assert "never overwritten" in capsys.readouterr().err
