"""Lifting is exact against the slow way, follows the rig's geometry, and needs no particular set of cameras."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose3, RigCamera
from astra.local_model.depth import DepthBins
from astra.local_model.encoder3d import Encoder3d, Encoder3dConfig
from astra.local_model.encoder3d.splat import evidence, splat, spread
from astra.local_model.grid import VoxelGrid
from astra.local_model.lifting import PARTS, STRIDE, plan_splat
from astra.local_model.pooling import Pooling

CAMERA = CameraModel.from_fov(64, 48, math.pi / 2)
SMALL = Encoder3dConfig(width=32, depth=1, heads=2, lifted=8, channels=8, neck=24, near_channels=8, bins=DepthBins(count=12))


def rig(*yaws_deg: float) -> CameraRig:
    cameras = []
    for i, degrees in enumerate(yaws_deg):
        yaw = math.radians(degrees)
        at = np.array([0.08 * math.cos(yaw), 0.08 * math.sin(yaw), 0.9])
        cameras.append(RigCamera(f"c{i}", CAMERA, Pose3.from_rpy(0, 0, yaw, at) @ BODY_FROM_OPTICAL))
    return CameraRig(tuple(cameras))


def tensors(cameras: CameraRig, config: Encoder3dConfig, seed: int = 0):
    coarse, near = (plan_splat(cameras, STRIDE, config.bins, grid) for grid in (config.grid, config.near))
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, len(cameras.cameras), 3, CAMERA.height, CAMERA.width, generator=generator)
    works = torch.ones(1, len(cameras.cameras))
    return images, torch.from_numpy(coarse.rays)[None], torch.from_numpy(coarse.voxel)[None], torch.from_numpy(near.voxel)[None], works


def test_a_wall_ahead_lands_where_it_stands() -> None:
    bins, grid = DepthBins(), VoxelGrid()
    plan = plan_splat(rig(0.0), STRIDE, bins, grid)
    h, w = plan.voxel.shape[2:]
    depth = 3.0
    part = PARTS * int(bins.index(depth))
    voxel = plan.voxel[0, part, h // 2, w // 2]
    x, y, z = grid.centres().reshape(-1, 3)[voxel]
    centre = bins.centres(PARTS)[part] + 0.08
    assert abs(x - centre) <= 0.1 + 1e-9 and abs(y) <= 0.35 and abs(z - 0.9) <= 0.5


def test_splat_equals_the_slow_way() -> None:
    config = SMALL
    cameras = rig(0.0, 120.0, 240.0)
    _, _, voxel, _, _ = tensors(cameras, config)
    generator = torch.Generator().manual_seed(1)
    _, v, d, h, w = voxel.shape
    features, weights = torch.rand(1, v, 5, h, w, generator=generator), torch.rand(1, v, d, h, w, generator=generator)
    fast = splat(features, weights, voxel, config.grid.count)[0].numpy()
    slow = np.zeros((5, config.grid.count))
    for camera in range(v):
        for k in range(d):
            for i in range(h):
                for j in range(w):
                    target = int(voxel[0, camera, k, i, j])
                    if target < config.grid.count:
                        slow[:, target] += float(weights[0, camera, k, i, j]) * features[0, camera, :, i, j].numpy()
    np.testing.assert_allclose(fast, slow, atol=1e-4)


def test_rays_end_once_and_pass_through_what_lies_before() -> None:
    depth = torch.zeros(1, 1, 4, 1, 1)
    depth[0, 0, 2] = 1.0
    voxel = torch.tensor([10, 11, 12, 13]).view(1, 1, 4, 1, 1)
    ended, passed = evidence(depth, voxel, 20)[0]
    assert ended[12] == 1.0 and ended.sum() == 1.0
    assert passed[10] == passed[11] == 1.0 and passed[12] == passed[13] == 0.0


def test_turning_the_rig_turns_the_volume() -> None:
    config = SMALL
    model = Encoder3d(config).eval()
    images, rays, *_ = tensors(rig(0.0), config)
    with torch.no_grad():
        features, logits = model.look(images, rays)
        ahead = splat(features, spread(logits.softmax(2)), tensors(rig(0.0), config)[2], config.grid.count).view(8, *config.grid.shape)
        left = splat(features, spread(logits.softmax(2)), tensors(rig(90.0), config)[2], config.grid.count).view(8, *config.grid.shape)
    turned = torch.rot90(ahead, 1, dims=(3, 2))  # x → y
    assert (left - turned).abs().sum() <= 0.02 * ahead.abs().sum()  # a few rays graze a boundary between voxels


def test_any_number_of_cameras_and_a_missing_one_is_as_if_it_were_not_there() -> None:
    config = SMALL
    model = Encoder3d(config).eval()
    for yaws in ((0.0, 120.0, 240.0), (0.0, 90.0, 180.0, 270.0), (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)):
        images, rays, voxel, near, works = tensors(rig(*yaws), config)
        works[0, -1] = 0.0
        with torch.no_grad():
            dropped = model(images, rays, voxel, near, works)
            fewer = model(images[:, :-1], rays[:, :-1], voxel[:, :-1], near[:, :-1], works[:, :-1])
        torch.testing.assert_close(dropped.voxels, fewer.voxels)
        torch.testing.assert_close(dropped.seen, fewer.seen)
        assert dropped.voxels.shape == (1, 8, 6, 48, 48) and dropped.near.shape == (1, 8, 40, 40)


def test_cells_that_only_a_dead_camera_saw_are_unseen() -> None:
    config = SMALL
    model = Encoder3d(config).eval()
    images, rays, voxel, near, works = tensors(rig(0.0, 180.0), config)
    works[0, 1] = 0.0
    with torch.no_grad():
        seen = model(images, rays, voxel, near, works).seen[0].sum(0)
    assert seen[:, :20].sum() == 0.0 and seen[:, 28:].sum() > 0.0


def test_depth_bins() -> None:
    bins = DepthBins(0.25, 7.2, 36)
    assert np.array_equal(bins.index(bins.centres()), np.arange(36))
    assert list(bins.index(np.array([0.1, 50.0, 0.0, -1.0, np.nan]))) == [0, 35, -1, -1, -1]
    assert (np.diff(bins.edges()) > 0).all() and np.array_equal(np.sort(bins.index(bins.centres(3))), np.repeat(np.arange(36), 3))


def test_grid_indices_are_those_of_the_centres() -> None:
    grid = VoxelGrid()
    centres = grid.centres()
    assert np.array_equal(grid.index(centres).ravel(), np.arange(grid.count))
    assert grid.index(np.array([4.81, 0.0, 0.1])) == -1 and grid.index(np.array([0.0, 0.0, -0.01])) == -1
    with pytest.raises(Exception, match="size_m"):
        VoxelGrid(size_m=9.55)


def test_gradients_reach_every_weight() -> None:
    model = Encoder3d(SMALL)
    out = model(*tensors(rig(0.0, 90.0), SMALL))
    (out.voxels.square().mean() + out.near.square().mean() + out.depth_logits.square().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_pooling_on_the_robot_equals_that_of_training() -> None:
    config = SMALL
    cameras = rig(0.0, 90.0, 200.0)
    _, _, voxel, near_voxel, _ = tensors(cameras, config)
    generator = torch.Generator().manual_seed(2)
    _, v, _, h, w = voxel.shape
    features = torch.randn(1, v, 5, h, w, generator=generator)
    depth = torch.randn(1, v, config.bins.count, h, w, generator=generator).softmax(2)
    depth[:, 1] = 0.0  # a camera that is not believed
    for plan, grid in ((voxel, config.grid), (near_voxel, config.near)):
        rays = evidence(spread(depth), plan, grid.count)
        expected = torch.cat([splat(features, spread(depth), plan, grid.count) / (1.0 + rays[:, :1]), torch.log1p(rays)], 1)[0]
        pooled = Pooling(plan[0].numpy(), grid.count)(features[0].numpy(), depth[0].numpy())
        np.testing.assert_allclose(pooled.cells, expected.numpy(), atol=2e-5)
        np.testing.assert_allclose(pooled.seen, rays[0].sum(0).numpy(), atol=2e-5)
