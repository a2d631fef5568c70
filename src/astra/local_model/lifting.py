"""Where the rays of a rig end: geometry alone, computed once for a rig, or for each training sample whose cameras were moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraRig
from astra.local_model.depth import DepthBins
from astra.local_model.grid import VoxelGrid

STRIDE = 8  # of the features that are lifted
PARTS = 2  # points of a depth bin that are splatted: far bins are wider than voxels


@dataclass(frozen=True, slots=True, eq=False)
class SplatPlan:
    """The geometry of one rig.

    voxel: (V, D·PARTS, h, w) int64, the flat voxel of each feature pixel at each part of each depth bin, `grid.count` (waste) outside.
    rays: (V, 6, h, w) float32, each pixel's unit viewing direction and its camera's position, base_link [m].
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
        rays.append(np.concatenate([unit.T, np.repeat(position[:, None], len(unit), axis=1)]).reshape(6, h, w))
    return SplatPlan(np.stack(voxels), np.stack(rays).astype(np.float32))
