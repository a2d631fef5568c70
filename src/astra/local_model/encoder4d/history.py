"""The volumes of the last seconds: each frame is encoded once and kept with the odometry pose that it was seen from."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from astra.core.types import NANOSECONDS
from astra.geometry import Pose2
from astra.local_model.encoder4d.warp import warp_volume
from astra.local_model.grid import VoxelGrid


class VolumeHistory:
    """A ring buffer of volumes (C, Z, Y, X).

    Args:
        grid: of the volumes.
        steps: how many are asked for, the current one included.
        step_s: time between them [s].
        tolerance_s: how far from its moment a volume may lie.
    """

    def __init__(self, grid: VoxelGrid, steps: int, step_s: float, tolerance_s: float = 0.15) -> None:
        self._grid, self._steps, self._step_ns, self._tolerance_ns = grid, steps, step_s * NANOSECONDS, tolerance_s * NANOSECONDS
        self._kept: deque[tuple[int, Pose2, Tensor]] = deque()

    def push(self, stamp_ns: int, odom_from_base: Pose2, volume: Tensor) -> None:
        """Add the newest volume. A clock that steps back clears the past."""
        if self._kept and stamp_ns <= self._kept[-1][0]:
            self._kept.clear()
        self._kept.append((stamp_ns, odom_from_base, volume))
        oldest = stamp_ns - (self._steps - 1) * self._step_ns - self._tolerance_ns
        while self._kept[0][0] < oldest:
            self._kept.popleft()

    def aligned(self) -> tuple[Tensor, Tensor]:
        """The volumes (1, P, C, Z, Y, X) around the current pose, newest first, and (1, P) whether each was there.

        A moment of which nothing is kept is filled with the current volume: nothing is known to have moved.
        """
        stamp, pose, current = self._kept[-1]
        volumes, known = [current[None]], [1.0]
        for step in range(1, self._steps):
            wanted = stamp - step * self._step_ns
            found = min(self._kept, key=lambda kept: abs(kept[0] - wanted))
            if abs(found[0] - wanted) > self._tolerance_ns:
                volumes.append(current[None])
                known.append(0.0)
                continue
            past_from_now = found[1].inverse() @ pose
            motion = torch.tensor([[past_from_now.x, past_from_now.y, past_from_now.yaw]], dtype=current.dtype)
            volumes.append(warp_volume(found[2][None], motion, self._grid))
            known.append(1.0)
        return torch.stack(volumes, 1), torch.tensor([known], dtype=current.dtype)
