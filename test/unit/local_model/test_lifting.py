"""What geometry says before anything is learned: where the floor is."""

from __future__ import annotations

import math

import numpy as np

from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose3, RigCamera
from astra.local_model.depth import DepthBins
from astra.local_model.grid import VoxelGrid
from astra.local_model.lifting import plan_splat


def test_the_floor_lies_where_a_level_camera_meets_it() -> None:
    bins, height = DepthBins(), 0.9
    camera = CameraModel.from_fov(160, 112, math.pi / 2)
    pose = Pose3.from_rpy(0, 0, 0.7, np.array([0.1, 0.0, height])) @ BODY_FROM_OPTICAL
    floor = plan_splat(CameraRig((RigCamera("c", camera, pose),)), 8, bins, VoxelGrid()).rays[0, 6]
    assert (floor[:7] == -1).all()  # at and above the horizon
    for row in (8, 10, 13):
        depth = bins.near_m * (bins.far_m / bins.near_m) ** float(floor[row, 5])
        below = (row * 8 + 7 - camera.cy) / camera.fy  # the lowest pixels of the row's patches
        assert abs(depth - height / below) < 1e-6 * depth + 1e-4
