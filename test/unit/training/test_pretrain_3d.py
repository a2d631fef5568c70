"""One batch of a made-up room is overfitted: depth, rendering and occupancy all fall; mirroring keeps truth and images together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_room import SMALL, room

from astra.core.errors import BadInputError
from astra.datasets.samples import Sample, require_training
from astra.geometry import CameraModel
from astra.local_model.depth import DepthBins
from astra.training.pretrain_3d import EyesModel, Pretrain3dConfig, depth_loss, scores, stage_losses
from astra.training.surround import AugmentConfig, SurroundSamples

CONFIG = Pretrain3dConfig(encoder=SMALL, rays=64, render_steps=32)


class One:
    """A sample set of one sample."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return room()


def test_one_batch_is_overfitted() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    batch = SurroundSamples(One(), SMALL, None).batch(np.array([0, 0]))
    model = EyesModel(SMALL)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    rng = np.random.default_rng(0)
    history = []
    for _ in range(80):
        losses = stage_losses(model, batch, torch.ones(2), CONFIG, rng)
        total = sum(losses.values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append({k: float(v) for k, v in losses.items()})
    for name in ("depth", "render", "wide", "near"):
        assert np.mean([h[name] for h in history[-5:]]) < 0.5 * history[0][name], name
    with torch.no_grad():
        result = scores(model.train(), [batch], CONFIG)
    assert result["near_recall"] > 0.9 and result["abs_rel"] < 0.2


def test_a_mirrored_sample_is_the_mirror_image() -> None:
    plain = AugmentConfig(0, 0, 0, 0, mirror=0.0, drop_camera=0.0, tilt_rad=0.0, shift_m=0.0)
    mirrored = AugmentConfig(0, 0, 0, 0, mirror=1.0, drop_camera=0.0, tilt_rad=0.0, shift_m=0.0)
    one = SurroundSamples(One(), SMALL, plain).batch(np.array([0]))
    other = SurroundSamples(One(), SMALL, mirrored).batch(np.array([0]))
    torch.testing.assert_close(other.images, one.images.flip(-1))
    torch.testing.assert_close(other.occupied, one.occupied.flip(1))
    turned = one.directions.flip(-1) * torch.tensor([1.0, -1.0, 1.0]).view(1, 1, 3, 1, 1)
    torch.testing.assert_close(other.directions, turned, atol=1e-5, rtol=0)


def test_depth_of_a_patch_is_its_nearest() -> None:
    bins = DepthBins(count=40)
    depth = torch.full((1, 1, 48, 64), 6.0)
    depth[0, 0, 3, 5] = 1.0  # a thin thing in front
    logits = torch.full((1, 1, 40, 6, 8), -10.0)
    far, near = (int(bins.index(v)) for v in (6.0, 1.0))
    logits[0, 0, far] = 10.0
    logits[0, 0, :, 0, 0] = -10.0
    logits[0, 0, near, 0, 0] = 10.0
    assert depth_loss(logits, depth, torch.ones(1, 1), bins).item() < 1e-3


def test_samples_of_test_worlds_are_refused() -> None:
    with pytest.raises(BadInputError, match="test"):
        require_training("test")


def test_real_drives_teach_without_labels_and_in_any_size() -> None:
    base = room()
    tall = np.zeros((2, 150, 200, 3), np.uint8)
    tall[:, 75:, 100:] = 255
    depth = np.full((2, 150, 200), 2.0, np.float16)
    camera = CameraModel.from_fov(200, 150, np.pi / 2)
    shard = replace(base.shard, intrinsics=np.array([[camera.fx, camera.fy, camera.cx, camera.cy]] * 2))
    real = replace(base, shard=shard, image=tall, depth=depth, occupancy=None, visible=None)

    class Real(One):
        def __getitem__(self, index: int) -> Sample:
            return real

    batch = SurroundSamples(Real(), SMALL, None).batch(np.array([0]))
    assert batch.images.shape == (1, 2, 3, 112, 160) and batch.depth.shape == (1, 2, 112, 160)
    assert batch.counted.sum() == 0.0 and batch.depth.min() == 2.0
    assert batch.images[0, 0, 0, 60, 90] == 1.0 and batch.images[0, 0, 0, 50, 90] == 0.0
    assert abs(float(batch.directions[0, 0, 2, 55:57, 80].mean())) < 0.02  # the middle row looks level
    losses = stage_losses(EyesModel(SMALL), batch, torch.ones(1), CONFIG, np.random.default_rng(0))
    assert losses["wide"] == 0.0 and losses["depth"] > 0.0 and losses["render"] > 0.0
