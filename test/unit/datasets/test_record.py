"""Drives recorded from a world: the same seed makes the same drive, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.datasets import Drive
from astra.datasets.packing import PackConfig, pack_drive
from astra.datasets.payloads import KEY
from astra.datasets.record import RecordRequest, record_world
from astra.datasets.samples import SampleSet
from astra.sim.recording import RecordingConfig
from astra.sim.robot import CameraConfig, RobotConfig
from astra.sim.world import World, build_office

ROBOT = RobotConfig(cameras=CameraConfig(width=32, height=24))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The demo's office."""
    return build_office(tmp_path_factory.mktemp("worlds") / "office", 1)


def expert(world: World, out: Path, seed: int, seconds: float = 5.0) -> RecordRequest:
    return RecordRequest(world, out, ROBOT, seed, "expert", recording=RecordingConfig(5.0, seconds=seconds, depth=True))


def test_an_experts_drive_shows_what_it_wants_and_can_be_packed(world: World, tmp_path: Path) -> None:
    result = record_world(expert(world, tmp_path / "drive", 7, seconds=8.0))
    assert result.duration_s == pytest.approx(8.0, abs=0.05)
    assert result.collisions == 0
    drive = Drive(tmp_path / "drive")
    assert drive.origin is not None
    assert (drive.origin.driver, drive.origin.world_seed, drive.origin.split) == ("expert", 1, "train")
    assert len(drive.goals()) >= 1
    plans = drive.plans()
    assert len(plans) == pytest.approx(60, abs=5)
    truth = drive.truth()
    assert truth is not None
    for stamp, poses in plans:  # a plan begins where the robot is
        here = truth.at(stamp)
        np.testing.assert_allclose(poses[0, :2], [here.x, here.y], atol=0.03)
    pack_drive(drive, tmp_path / "set", PackConfig(rate_hz=5.0))
    samples = SampleSet(tmp_path / "set")
    assert all(samples[i].plan is not None for i in range(1, len(samples) - 1))
    undisturbed = [samples[i] for i in range(len(samples)) if not samples[i].disturbed]
    for sample in undisturbed:  # what is planned is what is driven, for a second at least
        assert sample.plan is not None
        np.testing.assert_allclose(sample.plan[9, :2], sample.future[9, :2], atol=0.12)


def test_the_same_seed_makes_the_same_drive_byte_for_byte(world: World, tmp_path: Path) -> None:
    prints = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        record_world(expert(world, tmp_path / name, seed, seconds=3.0))
        prints.append(Drive(tmp_path / name).bag.custom[KEY])
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_a_drive_that_fails_leaves_nothing(world: World, tmp_path: Path) -> None:
    def give_up(part: float) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        record_world(expert(world, tmp_path / "drive", 0), give_up)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "drive").mkdir()
    with pytest.raises(BadInputError, match="never overwritten"):
        record_world(expert(world, tmp_path / "drive", 0))
    with pytest.raises(BadInputError, match="driver = 'autopilot'"):
        replace(expert(world, tmp_path / "other", 0), driver="autopilot")
