"""A room of six painted walls, rendered by casting rays: pictures with true geometry and without a simulator."""

from __future__ import annotations

import cv2
import numpy as np

from astra.core.types import FloatArray, UInt8Array
from astra.geometry import CameraModel, Pose3

LOW, HIGH = np.array([-5.0, -3.0, 0.0]), np.array([5.0, 3.0, 2.6])
PIXELS_PER_M = 24


def paint(seed: int = 0) -> list[UInt8Array]:
    """One picture a wall (axis 0, 1, 2; low, high): blobs of several sizes, nothing repeats."""
    rng, size = np.random.default_rng(seed), 10 * PIXELS_PER_M
    walls = []
    for _ in range(6):
        coarse, fine = (cv2.resize(rng.integers(0, 255, (n, n, 3), dtype=np.uint8), (size, size), interpolation=cv2.INTER_CUBIC) for n in (24, 90))
        walls.append((coarse // 2 + fine // 2).astype(np.uint8))
    return walls


def picture(walls: list[UInt8Array], model: CameraModel, world_from_cam: Pose3) -> UInt8Array:
    """What a camera in the room sees (H, W, 3)."""
    u, v = np.meshgrid(np.arange(model.width), np.arange(model.height))
    rays = np.column_stack([model.unproject(np.stack([u.ravel(), v.ravel()], axis=1)), np.ones(u.size)]) @ world_from_cam.rotation.T
    origin = world_from_cam.translation
    with np.errstate(divide="ignore"):
        reach: FloatArray = (np.where(rays > 0, HIGH, LOW) - origin) / rays
    axis = reach.argmin(axis=1)
    hit = origin + rays * reach.min(axis=1)[:, None]
    out = np.zeros((u.size, 3), np.uint8)
    for k in range(3):
        others = [i for i in range(3) if i != k]
        for side in (0, 1):
            mine = (axis == k) & ((rays[:, k] > 0) == bool(side))
            at = ((hit[mine][:, others] - LOW[others]) * PIXELS_PER_M).astype(np.int64)
            wall = walls[2 * k + side]
            out[mine] = wall[np.clip(at[:, 1], 0, len(wall) - 1), np.clip(at[:, 0], 0, len(wall) - 1)]
    return out.reshape(model.height, model.width, 3)
