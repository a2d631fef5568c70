"""`astra drive` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.types import ImuSample, WheelTwist
from astra.datasets import DriveWriter
from astra.geometry import CameraRig

MS = 1_000_000


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Ten seconds of wheels and IMU, with a hole of half a second in the IMU."""
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i in range(1000):
            now, rate = i * 10 * MS, float(np.sin(i / 70))
            if not 300 <= i < 350:
                writer.write_imu(ImuSample(now, np.array([0.0, 0.0, rate]), np.array([0.0, 0.0, 9.81])))
            if i % 2 == 0:
                writer.write_wheel(WheelTwist(now, 0.3, rate))
    return tmp_path / "drive"


def test_inspect_tells_rates_gaps_and_warnings(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drive", "inspect", str(drive), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    imu = next(t for t in report["topics"] if t["topic"] == "/imu")
    assert (imu["role"], imu["rate_hz"], imu["dropped"]) == ("imu", 100.0, 50)
    assert imu["longest_gap_s"] == pytest.approx(0.51)
    assert main(["drive", "inspect", str(drive)]) == 0
    text = capsys.readouterr().out
    assert "warning: /imu: about 50 messages are missing; the longest gap is 0.51 s, 3.0 s into the drive" in text


def test_a_topic_map_can_be_written_edited_and_used(drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topics = tmp_path / "topics.yaml"
    assert main(["drive", "inspect", str(drive), "--write-topics", str(topics)]) == 0
    assert main(["odometry", str(drive), "--out", str(tmp_path / "a.tum"), "--topics", str(topics)]) == 0
    topics.write_text(topics.read_text().replace("imu: /imu", "imu: /imu/data"))
    assert main(["odometry", str(drive), "--out", str(tmp_path / "b.tum"), "--topics", str(topics)]) == 2
    error = capsys.readouterr().err
    assert str(drive) in error
    assert "no topic /imu/data" in error


def test_a_truncated_bag_ends_with_two_and_one_line(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(drive.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-200])
    assert main(["drive", "inspect", str(drive)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(drive) in error
