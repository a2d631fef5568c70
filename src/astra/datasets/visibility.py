"""Which cells around the robot its cameras see at a moment, by their depth images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from astra.core.types import AnyArray, Float32Array, UInt8Array
from astra.datasets.local_truth import Window
from astra.geometry import CameraRig

TOP_M = 1.0  # what is higher does not stand in the robot's way, and a look that passes higher tells nothing of the cell
ROW_STEP = 4  # rows of pixels between two that are followed; columns are all followed
INTO_M = 0.03  # a look ends this far inside what it meets


class VisibleCells:
    """Follows pixels' rays from the cameras to what they meet.

    Args:
        rig: the cameras.
        window: cells (Y, X) around base_link.
    """

    def __init__(self, rig: CameraRig, window: Window) -> None:
        self._window = window
        self._rays: dict[str, tuple[AnyArray, Float32Array, Float32Array]] = {}
        for camera in rig.cameras:
            rows, columns = np.meshgrid(np.arange(0, camera.model.height, ROW_STEP), np.arange(camera.model.width), indexing="ij")
            flat = camera.model.unproject(np.column_stack([columns.ravel(), rows.ravel()]))
            rays = np.column_stack([flat, np.ones(len(flat))]) @ camera.base_from_cam.rotation.T
            pixels = rows.ravel() * camera.model.width + columns.ravel()
            self._rays[camera.name] = pixels, rays.astype(np.float32), camera.base_from_cam.translation.astype(np.float32)
        reach = window.size_m / math.sqrt(2.0)
        self._along = np.arange(0.0, reach, window.resolution_m * 0.7, dtype=np.float32)

    def __call__(self, depths: Mapping[str, AnyArray]) -> UInt8Array:
        """(Y, X) uint8, 1 where some camera's look passes or ends no higher than `TOP_M`.

        Args:
            depths: camera → depth along its axis (H, W) [m], 0 where nothing was measured.
        """
        cells = self._window.cells
        seen = np.zeros(cells * cells, np.uint8)
        for name, depth in depths.items():
            pixels, rays, origin = self._rays[name]
            scale = depth.ravel()[pixels].astype(np.float32)
            rays, scale = rays[scale > 0.0], scale[scale > 0.0]
            # Steps of equal length on the floor: metres on the floor for one metre of depth.
            on_floor = np.linalg.norm(rays[:, :2], axis=1)
            part = np.minimum(self._along / np.maximum(on_floor, 1e-6)[:, None], (scale + INTO_M)[:, None])
            x, y, z = (origin[k] + part * rays[:, k, None] for k in range(3))
            column, row = (np.floor((v + self._window.size_m / 2.0) / self._window.resolution_m).astype(np.int32) for v in (x, y))
            inside = (z <= TOP_M) & (column >= 0) & (column < cells) & (row >= 0) & (row < cells)
            seen[(row * cells + column)[inside]] = 1
        return seen.reshape(cells, cells)
