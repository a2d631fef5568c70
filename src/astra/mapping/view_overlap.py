"""How much of what one camera sees another sees too, by their poses alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraModel, Pose3, RigCamera

BLOCK = 2048  # pairs at once


@dataclass(frozen=True, slots=True, eq=False)
class Viewpoints:
    """Cameras placed in one frame. rotations: (V, 3, 3), positions: (V, 3) of frame_from_cam; kind: (V,) int64, row of `cameras`."""

    rotations: FloatArray
    positions: FloatArray
    kind: IntArray
    cameras: tuple[RigCamera, ...]

    @staticmethod
    def of(poses: Sequence[Pose3], kind: IntArray, cameras: tuple[RigCamera, ...]) -> Viewpoints:
        """From frame_from_cam poses."""
        rotations = np.array([p.rotation for p in poses]).reshape(-1, 3, 3)
        return Viewpoints(rotations, np.array([p.translation for p in poses]).reshape(-1, 3), kind, cameras)

    def axes(self) -> FloatArray:
        """Viewing directions (V, 3)."""
        return self.rotations[:, :, 2]

    def overlaps(self, a: IntArray, b: IntArray) -> FloatArray:
        """(P,) shares of view a[k]'s volume that view b[k] sees, averaged with the reverse."""
        return 0.5 * (self._seen(a, b) + self._seen(b, a))

    def _seen(self, of: IntArray, by: IntArray) -> FloatArray:
        """(P,) share of the points that fill the views `of` which the views `by` see."""
        volumes = np.array([_volume(camera.model) for camera in self.cameras])
        out = np.zeros(len(of))
        for lo in range(0, len(of), BLOCK):
            i, j = of[lo : lo + BLOCK], by[lo : lo + BLOCK]
            world = np.einsum("pij,pnj->pni", self.rotations[i], volumes[self.kind[i]]) + self.positions[i][:, None]
            local = np.einsum("pji,pnj->pni", self.rotations[j], world - self.positions[j][:, None])
            for kind in np.unique(self.kind[j]):
                mine = np.flatnonzero(self.kind[j] == kind)
                _, visible = self.cameras[kind].model.project(local[mine].reshape(-1, 3))
                out[lo + mine] = visible.reshape(len(mine), -1).mean(axis=1)
        return out


def _volume(model: CameraModel) -> FloatArray:
    """Points (36, 3) [m, camera] that fill the camera's view between 1 and 4 m."""
    u = np.linspace(0.1, 0.9, 4) * model.width
    v = np.linspace(0.2, 0.8, 3) * model.height
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    rays = np.column_stack([model.unproject(grid), np.ones(len(grid))])
    return np.concatenate([rays * depth for depth in (1.0, 2.0, 4.0)])
