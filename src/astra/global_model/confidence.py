"""How far a pose can be trusted: hard refusals first, then a calibrated probability from its geometric support."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose3


@dataclass(frozen=True, slots=True)
class Support:
    """What speaks for a pose.

    inliers, matched: image features that agree with it, and all that matched anything. cells, views: parts of the images, and images,
    that the inliers fall in. spread: the inliers again, but no piece of the world half a metre wide counts for more than a few: a
    printed sign or a poster may hang in any building, a room's walls stand in one.
    """

    inliers: int
    matched: int
    cells: int
    views: int
    spread: int
    sigma_position_m: float
    map_distance_m: float  # to the nearest node

    @property
    def ratio(self) -> float:
        """Share of the matched features that agree."""
        return self.inliers / max(self.matched, 1)


@dataclass(frozen=True, slots=True)
class ConfidenceConfig:
    """Bounds of a pose that may be published and the logistic that gives its probability."""

    min_inliers: int = 14
    min_cells: int = 4
    min_spread: int = 12
    spread_cell_m: float = 0.5
    spread_per_cell: int = 6
    max_sigma_m: float = 0.5
    max_map_distance_m: float = 4.0
    max_height_m: float = 0.30  # of base_link over the floor, where it is known to stand there
    max_tilt_rad: float = math.radians(8.0)
    min_confidence: float = 0.5  # less is not called localized
    bias: float = -15.5
    per_log_spread: float = 2.4
    per_ratio: float = 10.0
    per_log_cell: float = 0.6

    def __post_init__(self) -> None:
        require(self.min_inliers >= 4, "min_inliers", self.min_inliers, "≥ 4")
        require(self.min_cells >= 1, "min_cells", self.min_cells, "≥ 1")
        require(self.min_spread >= 1, "min_spread", self.min_spread, "≥ 1")
        require(self.spread_cell_m > 0, "spread_cell_m", self.spread_cell_m, "> 0")
        require(self.spread_per_cell >= 1, "spread_per_cell", self.spread_per_cell, "≥ 1")
        require(self.max_sigma_m > 0, "max_sigma_m", self.max_sigma_m, "> 0")
        require(self.max_map_distance_m > 0, "max_map_distance_m", self.max_map_distance_m, "> 0")
        require(self.max_height_m > 0, "max_height_m", self.max_height_m, "> 0")
        require(0 < self.max_tilt_rad <= math.pi, "max_tilt_rad", self.max_tilt_rad, "in (0, π]")
        require(0 < self.min_confidence < 1, "min_confidence", self.min_confidence, "in (0, 1)")


def spread_of(points_map: FloatArray, cell_m: float, per_cell: int) -> int:
    """How many of points (N, 3) [m] count if each cube of side `cell_m` may contribute at most `per_cell`."""
    if len(points_map) == 0:
        return 0
    _, counts = np.unique(np.floor(points_map / cell_m).astype(np.int64), axis=0, return_counts=True)
    return int(np.minimum(counts, per_cell).sum())


def probability(support: Support, config: ConfidenceConfig) -> float:
    """P(within 1 m and 5°), logistic in the inliers' spread, their share and the parts of the images they cover.

    Set on free poses of one office and, as the negative, of a twin with the same plan, furniture and signs but other surfaces.
    """
    z = (
        config.bias
        + config.per_log_spread * math.log(max(support.spread, 1))
        + config.per_ratio * support.ratio
        + config.per_log_cell * math.log(max(support.cells, 1))
    )
    return 1.0 / (1.0 + math.exp(-max(min(z, 40.0), -40.0)))


def objection(support: Support, map_from_base: Pose3, on_floor: bool, config: ConfidenceConfig) -> str | None:
    """Why this pose must not be published, or none."""
    if support.inliers < config.min_inliers:
        return f"{support.inliers} features agree with the best pose, {config.min_inliers} are needed"
    if support.cells < config.min_cells:
        return f"the features that agree crowd into {support.cells} parts of the images, {config.min_cells} are needed"
    if support.spread < config.min_spread:
        return "all features that agree lie on one thing, which may hang elsewhere too"
    if support.sigma_position_m > config.max_sigma_m:
        return f"the pose is uncertain by {support.sigma_position_m:.2f} m"
    if support.map_distance_m > config.max_map_distance_m:
        return f"the best pose lies {support.map_distance_m:.1f} m from anything the map has seen"
    if on_floor:
        height = abs(float(map_from_base.translation[2]))
        tilt = math.acos(float(np.clip(map_from_base.rotation[2, 2], -1.0, 1.0)))
        if height > config.max_height_m or tilt > config.max_tilt_rad:
            return f"the best pose would be {height:.2f} m off the floor and tilted by {math.degrees(tilt):.0f}°"
    return None
