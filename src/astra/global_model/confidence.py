"""How far a pose can be trusted: hard refusals first, then a calibrated probability from its geometric support."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    printed sign or a poster may hang in any building, a room's walls stand in one. found: image features that show a map point where the
    pose says; chance: as many as do so where the pose is shifted; shown: map points that should be in the images.
    """

    inliers: int
    matched: int
    cells: int
    views: int
    spread: int
    sigma_position_m: float
    map_distance_m: float  # to the nearest node
    found: int = 0
    chance: float = 0.0
    shown: int = 0

    @property
    def ratio(self) -> float:
        """Share of the matched features that agree."""
        return self.inliers / max(self.matched, 1)

    @property
    def excess(self) -> float:
        """How many more features are found where the pose says than by chance."""
        return max(self.found - self.chance, 0.0)

    @property
    def sure(self) -> float:
        """Share of the features found where the pose says that are not there by chance."""
        return self.excess / max(self.found, 1)


NO_SUPPORT = Support(0, 0, 0, 0, 0, math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class ConfidenceConfig:
    """Bounds of a pose that may be published and the logistic that gives its probability."""

    min_inliers: int = 8
    min_cells: int = 3
    min_spread: int = 7
    spread_cell_m: float = 0.5
    spread_per_cell: int = 6
    max_sigma_m: float = 0.5
    max_map_distance_m: float = 6.0
    max_height_m: float = 0.30  # of base_link over the floor, where it is known to stand there
    max_tilt_rad: float = math.radians(8.0)
    min_confidence: float = 0.82  # less is not called localized
    bias: float = -2.28
    per_log_spread: float = 3.35
    per_ratio: float = 2.1
    per_log_shown: float = -2.69
    per_sure: float = 1.62
    per_log_sigma: float = -1.25
    apart_m: float = 1.0  # poses farther from each other than this exclude one another
    drift_m: float = 3.0  # … and farther than this and turned by more than the next, where they are of different fragments of the map
    drift_rad: float = math.radians(20.0)

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
        require(self.apart_m > 0, "apart_m", self.apart_m, "> 0")
        require(self.drift_m >= self.apart_m, "drift_m", self.drift_m, "≥ apart_m")
        require(0 < self.drift_rad <= math.pi, "drift_rad", self.drift_rad, "in (0, π]")
        require(0 < self.min_confidence < 1, "min_confidence", self.min_confidence, "in (0, 1)")


def spread_of(points_map: FloatArray, cell_m: float, per_cell: int) -> int:
    """How many of points (N, 3) [m] count if each cube of side `cell_m` may contribute at most `per_cell`."""
    if len(points_map) == 0:
        return 0
    _, counts = np.unique(np.floor(points_map / cell_m).astype(np.int64), axis=0, return_counts=True)
    return int(np.minimum(counts, per_cell).sum())


def probability(support: Support, config: ConfidenceConfig) -> float:
    """P(within 1 m and 5°), logistic in the inliers' spread, their share of what matched, how much the map shows from there, which share of what
    was found is no chance, and how well the pose is determined.

    Fitted to the poses tried for 433 single images in validation worlds (one home, one office, one warehouse) and, as negatives, for 900 images of
    eight other worlds of these kinds (docs/results/localization.md).
    """
    z = (
        config.bias
        + config.per_log_spread * math.log1p(support.spread)
        + config.per_ratio * support.ratio
        + config.per_log_shown * math.log(support.shown + 20.0)
        + config.per_sure * support.sure
        + config.per_log_sigma * math.log(max(support.sigma_position_m, 1e-3))
    )
    return 1.0 / (1.0 + math.exp(-max(min(z, 40.0), -40.0)))


def exclusive(probability: float, rivals: Sequence[float]) -> float:
    """P(true) of a pose beside others that exclude it, from what each would be alone: odds add up, for at most one is true."""
    odds = [min(p, 1.0 - 1e-6) / max(1.0 - p, 1e-6) for p in (probability, *rivals)]
    return odds[0] / (1.0 + sum(odds))


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
    return impossible(support, map_from_base, on_floor, config)


def impossible(support: Support, map_from_base: Pose3, on_floor: bool, config: ConfidenceConfig) -> str | None:
    """Why the robot cannot be there, however well the images fit, or none."""
    if support.map_distance_m > config.max_map_distance_m:
        return f"the best pose lies {support.map_distance_m:.1f} m from anything the map has seen"
    if on_floor:
        height = abs(float(map_from_base.translation[2]))
        tilt = math.acos(float(np.clip(map_from_base.rotation[2, 2], -1.0, 1.0)))
        if height > config.max_height_m or tilt > config.max_tilt_rad:
            return f"the best pose would be {height:.2f} m off the floor and tilted by {math.degrees(tilt):.0f}°"
    return None
