import json
import math
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.types import ImuSample, WheelTwist
from astra.datasets import DriveWriter
from astra.geometry import CameraRig, Trajectory


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """Ten seconds round a circle of one metre; the wheels' own turn rate is 20 % too high."""
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i in range(2001):
            stamp = 10**9 + i * 5_000_000
            writer.write_imu(ImuSample(stamp, np.array([0.0, 0.0, 0.5]), np.array([0.0, 0.0, 9.81])))
            if i % 4 == 0:
                writer.write_wheel(WheelTwist(stamp, 0.5, 0.6))
    return tmp_path / "drive"


def test_a_drive_becomes_a_trajectory(circle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "traj.tum"
    assert main(["odometry", str(circle), "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["length_m"] == pytest.approx(5.0, abs=0.01)
    assert summary["sensors"] == ["imu", "wheel"]
    trajectory = Trajectory.load_tum(out)
    assert len(trajectory.stamps_ns) == summary["poses"] == 501
    assert np.allclose(trajectory.poses[-1, :2], [math.sin(5.0), 1.0 - math.cos(5.0)], atol=0.01)
    assert [p.name for p in out.parent.iterdir()] == ["traj.tum"]


def test_sensors_can_be_left_out(circle: Path, tmp_path: Path) -> None:
    out = tmp_path / "wheel.tum"
    assert main(["odometry", str(circle), "--out", str(out), "--sensors", "wheel"]) == 0
    assert math.cos(Trajectory.load_tum(out).poses[-1, 2]) == pytest.approx(math.cos(6.0), abs=0.01)


def test_settings_come_from_a_file(circle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "odometry.yaml"
    config.write_text("gyro_noise: -1\n")
    assert main(["odometry", str(circle), "--out", str(tmp_path / "t.tum"), "--config", str(config)]) == 2
    assert "gyro_noise" in capsys.readouterr().err


@pytest.mark.parametrize(("sensors", "word"), [("radar", "radar"), ("vision,wheel", "camera"), ("imu", "wheels"), ("", "choose")])
def test_sensors_that_cannot_be_used_are_named(circle: Path, tmp_path: Path, sensors: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.tum"
    assert main(["odometry", str(circle), "--out", str(out), "--sensors", sensors]) == 2
    assert word in capsys.readouterr().err
    assert not out.exists()


def test_a_drive_that_does_not_exist_or_has_no_wheels_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["odometry", str(tmp_path / "nothing"), "--out", str(tmp_path / "t.tum")]) == 2
    assert "nothing" in capsys.readouterr().err
    with DriveWriter(tmp_path / "bare", CameraRig(())) as writer:
        writer.write_imu(ImuSample(10**9, np.zeros(3), np.zeros(3)))
    assert main(["odometry", str(tmp_path / "bare"), "--out", str(tmp_path / "t.tum")]) == 2
    assert "wheel" in capsys.readouterr().err
