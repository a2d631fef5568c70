"""The truth around the robot, as a learned head is to predict it: what is occupied now, and where everybody will be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray, IntArray, UInt8Array
from astra.geometry import Pose2
from astra.sim.world import WorldTruth

FREE, STATIC, MOVER, OUTSIDE = 0, 1, 2, 255
STIRRED = 0.1  # of somebody's cells must change for him to count as moving
PARTS = 2  # each cell is looked up at PARTS × PARTS points, so that nothing as thin as half a cell is lost


@dataclass(frozen=True, slots=True)
class Window:
    """A square around base_link. Grids are (Y, X): row 0 is the rightmost (−y), column 0 the rearmost (−x)."""

    size_m: float = 9.6
    resolution_m: float = 0.1

    def __post_init__(self) -> None:
        require(0.01 <= self.resolution_m <= self.size_m <= 40.0, "resolution_m", self.resolution_m, "between 0.01 and size_m ≤ 40")
        cells = self.size_m / self.resolution_m
        require(abs(cells - round(cells)) < 1e-6, "size_m", self.size_m, "a multiple of resolution_m")

    @property
    def cells(self) -> int:
        """Cells along one side."""
        return round(self.size_m / self.resolution_m)

    def points(self, parts: int = 1) -> FloatArray:
        """Points (Y, X, parts², 2) [m, base_link] spread over each cell; the centres for parts = 1."""
        fine = (np.arange(self.cells * parts) + 0.5) * self.resolution_m / parts - self.size_m / 2.0
        y, x = np.meshgrid(fine, fine, indexing="ij")
        tiles = np.stack([x, y], axis=-1).reshape(self.cells, parts, self.cells, parts, 2)
        return tiles.swapaxes(1, 2).reshape(self.cells, self.cells, parts * parts, 2)


def stirring(now: UInt8Array, then: UInt8Array) -> BoolArray:
    """(Y, X): cells of somebody now or then who is not where he was; who stands still is furniture to a forecast."""
    before, after = now == MOVER, then == MOVER
    count, labels = cv2.connectedComponents((before | after).astype(np.uint8))
    size, changed = (np.bincount(labels[cells], minlength=count) for cells in (before | after, before != after))
    moves = changed > STIRRED * np.maximum(size, 1)
    moves[0] = False
    return np.asarray(moves[labels], bool)


class LocalTruth:
    """Occupancy around poses in one world.

    Args:
        truth: the world; what moves is not in its floor.
        window: what to look at.
    """

    def __init__(self, truth: WorldTruth, window: Window) -> None:
        self._truth = truth
        self._centres, self._points = window.points()[:, :, 0], window.points(PARTS)

    def static(self, pose: Pose2) -> UInt8Array:
        """(Y, X) of FREE, STATIC and, beyond the world's grid, OUTSIDE, seen from a true pose."""
        t = self._truth
        cells: IntArray = np.floor((pose.apply(self._points) - np.array(t.origin_xy)) / t.resolution_m).astype(np.int64)
        columns, rows = cells[..., 0], cells[..., 1]
        inside = (rows >= 0) & (rows < t.free.shape[0]) & (columns >= 0) & (columns < t.free.shape[1])
        free = t.free[np.where(inside, rows, 0), np.where(inside, columns, 0)]
        grid = np.where((inside & ~free).any(axis=-1), STATIC, FREE).astype(np.uint8)
        grid[~inside.any(axis=-1)] = OUTSIDE
        return grid

    def over_time(self, pose: Pose2, movers: FloatArray) -> UInt8Array:
        """(T, Y, X): `static`, with MOVER where somebody will be; all seen from where the robot is now.

        Args:
            pose: true pose of base_link now.
            movers: discs x, y, radius (T, M, 3) [m, world].
        """
        grid = np.repeat(self.static(pose)[None], len(movers), axis=0)
        if movers.shape[1] == 0:
            return grid
        local = pose.inverse().apply(movers[..., :2])
        for t in range(len(movers)):
            for (x, y), radius in zip(local[t].tolist(), movers[t, :, 2].tolist()):
                near = (np.abs(self._centres - (x, y)) <= radius).all(axis=-1)
                near[near] = ((self._centres[near] - (x, y)) ** 2).sum(axis=-1) <= radius**2
                grid[t][near] = MOVER
        return grid
