"""`astra doctor`: what it prints, what it exits with, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.types import ImuSample, WheelTwist
from astra.datasets import DriveWriter
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A robot whose IMU hangs upside down, and nobody told."""
    with DriveWriter(tmp_path / "drive", CameraRig((RigCamera("front", CameraModel.from_fov(32, 24, 1.5), Pose3()),))) as writer:
        for tick in range(400):
            now = 5_000_000_000 + 10_000_000 * tick
            writer.write_imu(ImuSample(now, np.zeros(3), np.array([0.0, 0.0, -9.81])))
            writer.write_wheel(WheelTwist(now, 0.0, 0.0))
    return tmp_path / "drive"


def test_what_must_be_mended_comes_first_with_advice_and_exit_code_1(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(drive), "--no-machine"]) == 1
    out = capsys.readouterr().out
    assert "imu axes" in out and "→" in out.split("imu axes")[1] and "errors" in out.splitlines()[-1]


def test_json_lists_every_check_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) in (0, 1)  # a busy machine is no failure of the test
    found = {f["check"]: f for f in json.loads(capsys.readouterr().out)}
    assert {"python", "packages", "memory", "disk", "cpu headroom", "shared memory", "speed of the eyes"} <= found.keys()
    assert found["python"]["severity"] == "ok" and set(found["python"]) == {"check", "severity", "what", "advice", "value", "unit"}


@pytest.mark.parametrize("words", [["nowhere"], ["--map", "m"], ["--live", "0"], ["x", "--live", "5"]])
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--no-machine", *words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
