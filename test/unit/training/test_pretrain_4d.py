"""Sequences keep to their ride, targets lie where they should, and the loss falls on a ride that is seen often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from made_up_room import SMALL, room

from astra.datasets.samples import Sample
from astra.local_model.config import ForecasterConfig
from astra.local_model.encoder4d import Forecaster
from astra.training.pretrain_3d import EyesModel
from astra.training.pretrain_4d import Pretrain4dConfig, Sequences, carried, scores, stage_losses
from astra.training.surround import SurroundSamples

CONFIG = Pretrain4dConfig(forecaster=ForecasterConfig(channels=SMALL.channels, width=16, deep=16, blocks=1, heads=2), rays=32, render_steps=16, steps_ahead=2)
WALKER_ROW = 52


class Ride:
    """Two rides of six samples each, half a second apart; somebody walks towards +x, a cell of 0.1 m a tick of 0.1 s."""

    occupancy_step_s = 0.5
    path = Path("ride")

    def __len__(self) -> int:
        return 12

    def locate(self, index: int) -> tuple[int, int]:
        return 0, index

    def __getitem__(self, index: int) -> Sample:
        ride, tick = divmod(int(index), 6)
        base = room()
        occupancy = np.zeros((7, 96, 96), np.uint8)
        for step in range(7):
            x = 50 + 5 * (tick + step) % 20
            occupancy[step, WALKER_ROW : WALKER_ROW + 4, x : x + 4] = 2
        stamp = (ride * 1000 + tick * 5) * 100_000_000
        image = np.roll(base.image, 5 * tick, axis=2)
        shard = replace(base.shard, folder=Path("ride"))
        pose, visible = np.array([0.25 * tick, 0.0, 0.0]), np.ones((96, 96), np.uint8)
        return replace(base, shard=shard, stamp_ns=stamp, image=image, pose=pose, occupancy=occupancy, visible=visible)


def sequences(tmp_path: Path) -> tuple[EyesModel, Sequences]:
    torch.manual_seed(0)
    eyes = EyesModel(SMALL).eval().requires_grad_(False)
    return eyes, Sequences(Ride(), eyes, tmp_path, past=4, ahead=2)


def test_sequences_keep_to_their_ride(tmp_path: Path) -> None:
    eyes, data = sequences(tmp_path)
    assert data.valid.tolist() == [1, 2, 3, 7, 8, 9]  # with a past, and with two steps to come
    assert data.past(1)[3].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert data.past(9)[3].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert data.ahead(7, 2) == 9 and len(data.crowded) == 6
    again = Sequences(Ride(), eyes, tmp_path, past=4, ahead=2)
    torch.testing.assert_close(again.look(3), data.look(3))


def test_rays_of_a_later_frame_start_where_the_robot_will_be() -> None:
    batch = SurroundSamples(Ride(), SMALL, None).batch(np.array([1]))
    moved = carried(batch, [(1.0, 2.0, np.pi / 2)])
    x, y, z = batch.origins[0, 0].tolist()
    torch.testing.assert_close(moved.origins[0, 0], torch.tensor([1.0 - y, 2.0 + x, z]))
    torch.testing.assert_close(moved.directions[0, :, 0], -batch.directions[0, :, 1])
    torch.testing.assert_close(moved.directions[0, :, 2], batch.directions[0, :, 2])


def test_a_ride_is_learned(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    eyes, data = sequences(tmp_path)
    model = Forecaster(SMALL.grid.levels, CONFIG.forecaster)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    config = replace(CONFIG, voxel_weight=0.01, render_weight=0.01, moving_gain=30.0)  # eyes that have learned nothing give no volumes worth reaching

    def loss(seed: int) -> torch.Tensor:
        parts = stage_losses(model, eyes, data, [1, 8], np.random.default_rng(seed), config)
        return torch.stack(list(parts.values())).sum()

    before = loss(99).item()
    for step in range(15):
        optimiser.zero_grad()
        loss(step).backward()
        optimiser.step()
    assert loss(99).item() < 0.95 * before
    result = scores(model, eyes, data, np.array([1, 8]), CONFIG)
    assert result.keys() == {f"{who}{what}_{s}s" for who in ("", "both_", "copy_") for what in ("iou", "moving_iou") for s in ("0", "0.5", "1")}
    assert all(0.0 <= value <= 1.0 for value in result.values())
