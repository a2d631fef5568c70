"""What a map says stands somewhere, against what does: marks that people and carts have left in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.geometry import Similarity
from astra.sim.world import WorldTruth

APART_M = 0.3  # an occupied cell farther than this from every obstacle marks nothing that stands there
OCCUPIED_BELOW = 50  # grey values of Nav2's trinary image


@dataclass(frozen=True, slots=True)
class Standing:
    """Cells of a map's occupancy: all occupied ones, those with nothing near them, and those of them where somebody had walked."""

    occupied: int
    ghosts: int
    ghosts_of_movers: int
    worst_m: float


def occupied_points(nav2: Path) -> FloatArray:
    """Centres (N, 2) of the occupied cells [m, map] of a Nav2 map's YAML file.

    Raises:
        BadInputError: it cannot be read.
    """
    import cv2

    about = yaml.safe_load(nav2.read_text(encoding="utf-8"))
    image = cv2.imread(str(nav2.parent / about["image"]), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise BadInputError(f"cannot read {nav2.parent / about['image']}")
    rows, columns = np.nonzero(image[::-1] < OCCUPIED_BELOW)
    cells: FloatArray = np.stack([columns, rows], axis=1).astype(np.float64) + 0.5
    return np.asarray(cells * float(about["resolution"]) + np.array(about["origin"][:2], dtype=np.float64))


def distance_to_obstacles(points: FloatArray, free: BoolArray, origin_xy: tuple[float, float], resolution_m: float) -> FloatArray:
    """Distances (N,) from points (N, 2) to the nearest cell that is not free; the world ends in walls."""
    from scipy.ndimage import distance_transform_edt

    clearance = np.pad(distance_transform_edt(np.pad(free, 1))[1:-1, 1:-1] * resolution_m, 1)
    cells = np.floor((points - np.array(origin_xy)) / resolution_m).astype(np.int64) + 1
    x, y = np.clip(cells[:, 0], 0, clearance.shape[1] - 1), np.clip(cells[:, 1], 0, clearance.shape[0] - 1)
    distances: FloatArray = np.asarray(clearance[y, x], dtype=np.float64)
    return distances


def is_walked(points: FloatArray, places: FloatArray, margin_m: float = APART_M) -> BoolArray:
    """Whether somebody has been at each of the points (N, 2); `places` (T, M, 3) are discs x, y, radius."""
    from scipy.spatial import cKDTree

    discs = places.reshape(-1, 3)
    if not len(discs) or not len(points):
        return np.zeros(len(points), bool)
    near, _ = cKDTree(discs[:, :2]).query(points)
    walked: BoolArray = np.asarray(near <= float(discs[:, 2].max()) + margin_m)
    return walked


def judge_standing(points_map: FloatArray, world_from_map: Similarity, truth: WorldTruth, movers: FloatArray) -> Standing:
    """Compare occupied points (N, 2) [m, map] with the true floor.

    Args:
        movers: (T, M, 3) where everybody was over time: x, y, radius [m, world].
    """
    if not len(points_map):
        return Standing(0, 0, 0, 0.0)
    in_world = world_from_map.apply(np.concatenate([points_map, np.zeros((len(points_map), 1))], axis=1))[:, :2]
    distances = distance_to_obstacles(in_world, truth.free, truth.origin_xy, truth.resolution_m)
    ghosts = distances > APART_M
    return Standing(len(in_world), int(ghosts.sum()), int(is_walked(in_world[ghosts], movers).sum()), float(distances.max()))
