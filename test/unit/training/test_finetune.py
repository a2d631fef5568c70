"""One's own drive teaches the eyes on: by its depth images, or by a monocular model's where there is a lidar."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_room import SMALL
from safetensors.torch import save_file

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, LaserScan, Scene, WheelTwist
from astra.datasets import DriveWriter
from astra.datasets.samples import SampleSet
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.training.finetune import FinetuneConfig, run
from astra.training.loop import LoopConfig, read_weights
from astra.training.mono_depth import AlignConfig
from astra.training.pretrain_3d import EyesModel

WALL_M, MS = 2.0, 1_000_000
CAMERA = CameraModel.from_fov(64, 48, math.pi / 2)
RIG = CameraRig((RigCamera("front", CAMERA, Pose3(translation=np.array([0.0, 0.0, 0.3])) @ BODY_FROM_OPTICAL),))
CONFIG = FinetuneConfig(align=AlignConfig(), loop=LoopConfig(steps=2, batch=1, rate=1e-4, warmup=1, threads=1))


def drive(path: Path, *, depth: bool) -> Path:
    """Six seconds before a wall that stays two metres ahead, and half as far on the left."""
    angles = np.linspace(-math.pi, math.pi, 360, endpoint=False)
    ahead = np.abs(angles) < 1.2
    wall = np.where(angles > 0, WALL_M / 2, WALL_M)
    ranges = np.where(ahead, wall / np.cos(np.where(ahead, angles, 0.0)), np.inf).astype(np.float32)
    with DriveWriter(path, RIG, lidar=Pose3(translation=np.array([0.0, 0.0, 0.2])), truth=True) as writer:
        for tick in range(300):
            now = tick * 20 * MS
            writer.write_wheel(WheelTwist(now, 0.0, 0.0))
            writer.write_truth(Scene(now, Pose3.from_pose2(Pose2()).matrix(), 0.0, 0.0, in_contact=False))
            if tick % 10 == 0:
                writer.write_scan(LaserScan(now, "lidar", ranges, -math.pi, 2 * math.pi / 360, 0.1, 10.0))
                shade = np.random.default_rng(tick).integers(0, 255, (48, 64, 3), dtype=np.uint8)
                writer.write_frame(CameraFrame(now, "front", shade, np.full((48, 64), WALL_M, np.float32) if depth else None))
    return path


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    recipe = {"stage": "pretrain_3d", "config": {"encoder": asdict(SMALL)}}
    save_file(EyesModel(SMALL).state_dict(), tmp_path / "start.safetensors", {"recipe": json.dumps(recipe), "step": "7"})
    return tmp_path / "start.safetensors"


def test_depth_images_teach(tmp_path: Path, start: Path) -> None:
    weights = run(CONFIG, [drive(tmp_path / "drive", depth=True)], start, tmp_path / "out")
    state, recipe = read_weights(weights)
    before, _ = read_weights(start)
    assert recipe["start"]["step"] == 7 and recipe["step"] == 2
    assert state.keys() == before.keys() and any(not torch.equal(state[k], before[k]) for k in state)


def test_without_depth_a_monocular_model_teaches_by_the_lidar(tmp_path: Path, start: Path) -> None:
    path = drive(tmp_path / "drive", depth=False)
    with pytest.raises(BadInputError, match="no depth"):
        run(CONFIG, [path], start, tmp_path / "out")
    samples = SampleSet(tmp_path / "out" / "samples")
    mono = tmp_path / "mono" / "front"
    mono.mkdir(parents=True)
    for i in range(len(samples)):
        picture = np.full((24, 32), 0.9 / WALL_M + 0.05)
        picture[:, :16] = 0.9 / (WALL_M / 2) + 0.05
        np.save(mono / f"{samples[i].stamp_ns}.npy", picture)
    assert run(CONFIG, [path], start, tmp_path / "out", mono=tmp_path / "mono").is_file()
    depth = np.asarray(SampleSet(tmp_path / "out" / "samples")[0].depth, np.float32)[0]
    assert abs(np.median(depth[:, :28]) - WALL_M / 2) < 0.05 and abs(np.median(depth[:, 36:]) - WALL_M) < 0.05
