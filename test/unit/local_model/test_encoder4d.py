"""Alignment undoes ego motion; an untrained forecast says that nothing moves; the buffer encodes each frame once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from astra.geometry import Pose2
from astra.local_model.encoder4d import Forecaster, ForecasterConfig, warp_volume
from astra.local_model.grid import VoxelGrid
from astra.local_model.history import VolumeHistory, moved
from astra.local_model.occupancy import cells_between

GRID = VoxelGrid()
SMALL = ForecasterConfig(channels=4, slim=4, width=8, deep=16, sharp=8, hidden=16, blocks=1, heads=2)


def block_at(x: float, y: float) -> torch.Tensor:
    """A volume with one occupied column, blurred so that moving it by parts of a cell is smooth."""
    centres = torch.from_numpy(GRID.centres()).float()
    near = torch.exp(-((centres[..., 0] - x) ** 2 + (centres[..., 1] - y) ** 2) / (2 * 0.4**2))
    return near.expand(1, 2, *GRID.shape).clone()


def test_a_thing_that_stands_still_stays_where_it_is_in_the_world() -> None:
    past, now = Pose2(1.0, -0.5, 0.3), Pose2(1.8, 0.1, 1.1)
    past_from_now = past.inverse() @ now
    thing = Pose2(2.6, 1.0, 0.0)
    then, here = past.inverse() @ thing, now.inverse() @ thing
    moved = warp_volume(block_at(then.x, then.y), torch.tensor([[past_from_now.x, past_from_now.y, past_from_now.yaw]]), GRID)
    expected = block_at(here.x, here.y)
    assert (moved - expected).abs().max() < 0.05


def test_no_motion_changes_nothing_and_a_turn_is_exact() -> None:
    volume = torch.rand(1, 3, *GRID.shape)
    torch.testing.assert_close(warp_volume(volume, torch.zeros(1, 3), GRID), volume, atol=1e-5, rtol=0)
    turned = warp_volume(volume, torch.tensor([[0.0, 0.0, math.pi / 2]]), GRID)
    torch.testing.assert_close(turned, torch.rot90(volume, -1, dims=(4, 3)), atol=1e-4, rtol=0)


def test_the_buffer_moves_volumes_as_training_does() -> None:
    volume, motion = torch.rand(1, 3, *GRID.shape), Pose2(0.43, -0.71, 0.6)
    expected = warp_volume(volume, torch.tensor([[motion.x, motion.y, motion.yaw]]), GRID)[0]
    np.testing.assert_allclose(moved(volume[0].numpy(), motion, GRID), expected.numpy(), atol=1e-4)


def test_before_training_nothing_moves() -> None:
    model = Forecaster(6, SMALL).eval()
    volumes = torch.rand(2, 4, 4, 6, 16, 16)
    maps, moments = (torch.rand(2, 1, 16, 16) * 0.9 + 0.05).expand(2, 4, 16, 16), torch.tensor([[0.5, 1.0, 2.0]] * 2)
    past = model.take_in(model.slimmed(volumes), maps, maps[:, 0], torch.ones(2, 4))
    ahead, out = model.volumes_ahead(past, volumes[:, 0], moments), model.maps_ahead(past, moments)
    assert ahead.shape == (2, 3, 4, 6, 16, 16) and out.maps.shape == out.movers.shape == (2, 3, 16, 16)
    torch.testing.assert_close(ahead, volumes[:, :1].expand_as(ahead))
    torch.testing.assert_close(out.maps.sigmoid(), maps[:, :1].expand_as(out.maps))
    assert out.movers.sigmoid().max() < 0.05


def test_a_forecast_learns_to_move_what_moved() -> None:
    torch.manual_seed(0)
    model = Forecaster(2, SMALL)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    blob = block_at(0.0, 0.0)[:, :1, :2, 12:36, 12:36].expand(1, 4, 2, 24, 24)
    volumes = torch.stack([torch.roll(blob, -2 * step, dims=4) for step in range(4)], 1)
    target = torch.stack([torch.roll(blob, 2 * step, dims=4) for step in (1, 2)], 1)
    moments, maps, goal = torch.tensor([[0.5, 1.0]]), volumes.amax((2, 3)), target.amax((2, 3))
    first = last = 0.0
    for step in range(120):
        past = model.take_in(model.slimmed(volumes), maps, maps[:, 0], torch.ones(1, 4))
        ahead, out = model.volumes_ahead(past, volumes[:, 0], moments), model.maps_ahead(past, moments)
        loss = (ahead - target).square().mean() + sum((logits.sigmoid() - goal).square().mean() for logits in (out.maps, out.movers))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.2 * first


def test_the_buffer_gives_each_moment_its_volume() -> None:
    history = VolumeHistory(GRID, steps=3, step_s=0.5)
    for i in range(12):
        history.push(i * 100_000_000, Pose2(0.1 * i, 0.0, 0.0), np.full((48 * 48, 2), float(i), np.float32))
    volumes, known = history.aligned()
    centre = volumes[0, :, 24 * 48 + 24, 0]
    np.testing.assert_allclose(centre, [11.0, 6.0, 1.0], rtol=1e-5)
    assert known.tolist() == [[1.0, 1.0, 1.0]]


def test_a_young_or_broken_past_is_said_to_be_unknown() -> None:
    history = VolumeHistory(GRID, steps=3, step_s=0.5)
    history.push(0, Pose2(), np.zeros((48 * 48, 1), np.float32))
    history.push(500_000_000, Pose2(), np.ones((48 * 48, 1), np.float32))
    assert history.aligned()[1].tolist() == [[1.0, 1.0, 0.0]]
    history.push(100_000_000, Pose2(), np.ones((48 * 48, 1), np.float32))  # the clock stepped back
    assert history.aligned()[1].tolist() == [[1.0, 0.0, 0.0]]


def test_a_coarse_cell_is_occupied_if_any_part_of_it_is() -> None:
    fine = torch.zeros(1, 96, 96)
    fine[0, 48, 49] = 1.0
    wide = cells_between(fine, 9.6, 0.1, 9.6, 0.2)
    assert wide.shape == (1, 48, 48) and wide.sum() == 1.0 and wide[0, 24, 24] == 1.0
    near = cells_between(fine, 9.6, 0.1, 4.0, 0.1)
    assert near.shape == (1, 40, 40) and near[0, 20, 21] == 1.0


@pytest.mark.parametrize("bad", [{"past": 0}, {"heads": 5}, {"blocks": 0}])
def test_settings_are_checked(bad: dict) -> None:
    with pytest.raises(Exception, match=next(iter(bad))):
        ForecasterConfig(**bad)
