"""A made-up sample for trainings: a camera that looks ahead at a wall, another that looks left, and the truth of both."""

from __future__ import annotations

import math

import numpy as np

from astra.datasets.samples import Sample, ShardFacts
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, Pose3
from astra.local_model.config import Encoder3dConfig
from astra.local_model.depth import DepthBins

CAMERA = CameraModel.from_fov(64, 48, math.pi / 2)
SMALL = Encoder3dConfig(width=32, depth=1, heads=2, lifted=8, channels=8, neck=32, near_channels=8, bins=DepthBins(count=40))
WALL_M = 1.6


def room() -> Sample:
    """A camera that looks ahead (+x) at a wall, and one that looks left at nothing near; a pillar on the right."""
    poses = []
    for yaw in (0.0, math.pi / 2):
        poses.append((Pose3.from_rpy(0, 0, yaw, np.array([0.0, 0.0, 0.9])) @ BODY_FROM_OPTICAL).matrix())
    intrinsics = np.array([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]] * 2)
    facts = ShardFacts(None, "d", "train", 1, "truth", ("front", "left"), ("plumb_bob",) * 2, intrinsics, np.zeros((2, 5)), np.stack(poses))
    image = np.zeros((2, 48, 64, 3), np.uint8)
    image[0], image[1] = 200, 40
    image[0, :, 40:] = 90  # tells right from left
    depth = np.stack([np.full((48, 64), WALL_M), np.full((48, 64), 6.0)]).astype(np.float16)
    occupancy = np.zeros((7, 96, 96), np.uint8)
    occupancy[:, :, 48 + round(WALL_M / 0.1)] = 1
    visible = np.zeros((96, 96), np.uint8)
    for row in range(96):
        for column in range(48, 48 + round(WALL_M / 0.1) + 1):
            visible[row, column] = abs(row - 48) <= column - 48
    visible[48:, 40:56] = 1
    nowhere = np.zeros(3, np.float32)
    return Sample(
        shard=facts, tick=0, stamp_ns=0, image=image, depth=depth, imu=np.zeros((0, 7)), wheel=np.zeros((0, 3)), scan=None, pose=np.zeros(3),
        velocity=np.zeros(2, np.float32), in_contact=False, disturbed=False, future=np.zeros((30, 3), np.float32), plan=None, goal=nowhere,
        subgoal=nowhere, occupancy=occupancy, visible=visible,
    )  # fmt: skip
