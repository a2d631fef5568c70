"""Where the rays of a rig end: geometry alone, computed once for a rig, or for each training sample whose cameras were moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraRig
from astra.local_model.depth import DepthBins
from astra.local_model.grid import VoxelGrid

STRIDE = 8  # of the features that are lifted
RAY_CHANNELS = 7
PARTS = 2  # points of a depth bin that are splatted: far bins are wider than voxels


@dataclass(frozen=True, slots=True, eq=False)
class SplatPlan:
    """The geometry of one rig.

    voxel: (V, D·PARTS, h, w) int64, the flat voxel of each feature pixel at each part of each depth bin, `grid.count` (waste) outside.
    rays: (V, RAY_CHANNELS, h, w) float32: each pixel's unit viewing direction, its camera's position [m, base_link], and the depth at which
    its lower edge would meet the floor, as a fraction of the bins; −1 where it would not.
    """

    voxel: IntArray
    rays: FloatArray


def plan_splat(rig: CameraRig, stride: int, bins: DepthBins, grid: VoxelGrid) -> SplatPlan:
    """The plan of a rig whose features are `stride` times smaller than its images."""
    voxels, rays = [], []
    for camera in rig.cameras:
        h, w = camera.model.height // stride, camera.model.width // stride
        v, u = np.meshgrid((np.arange(h) + 0.5) * stride - 0.5, (np.arange(w) + 0.5) * stride - 0.5, indexing="ij")
        plane = camera.model.unproject(np.stack([u.ravel(), v.ravel()], axis=1))
        directions = np.hstack([plane, np.ones((len(plane), 1))]) @ camera.base_from_cam.rotation.T  # per metre of depth
        position = camera.base_from_cam.translation
        points = position + bins.centres(PARTS)[:, None, None] * directions
        voxel = grid.index(points)
        voxels.append(np.where(voxel < 0, grid.count, voxel).reshape(bins.count * PARTS, h, w))
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        lower = camera.model.unproject(np.stack([u.ravel(), v.ravel() + stride / 2.0 - 0.5], axis=1))
        floor = _floor_fraction(np.hstack([lower, np.ones((len(lower), 1))]) @ camera.base_from_cam.rotation.T, float(position[2]), bins)
        rays.append(np.concatenate([unit.T, np.repeat(position[:, None], len(unit), axis=1), floor[None]]).reshape(RAY_CHANNELS, h, w))
    return SplatPlan(np.stack(voxels), np.stack(rays).astype(np.float32))


def _floor_fraction(directions: FloatArray, height_m: float, bins: DepthBins) -> FloatArray:
    """(N,) 0..1 over the bins, −1 for looks (N, 3) per metre of depth that do not meet the floor within them."""
    down = -directions[:, 2]
    depth = height_m / np.maximum(down, 1e-6)
    fraction: FloatArray = np.log(depth / bins.near_m) / np.log(bins.far_m / bins.near_m)
    return np.where((down > 0.0) & (fraction >= 0.0) & (fraction < 1.0), fraction, -1.0)
