"""Stage 8: who sees what. A view sees a landmark if the extractor found it there, or if it observes the very surface around it.

The second is what makes co-visibility useful: text is read from a few metres, yet the wall it hangs on is recognised from further away
and in images where the text was missed. Points that the view itself observes are the proof that nothing stands in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray
from astra.mapping.landmarks import ViewEvidence
from astra.topomap.types import Landmark


@dataclass(frozen=True, slots=True)
class CovisibilityConfig:
    """When a view counts as seeing a landmark that was not detected in it."""

    radius_m: float = 0.5  # around the landmark, in which points are its surroundings
    min_points: int = 4  # of them that the view observes
    max_range_m: float = 8.0
    min_facing: float = 0.25  # cosine between the landmark's normal and the direction to the camera
    behind_m: float = 0.08  # how far behind the landmark's surface a point may lie

    def __post_init__(self) -> None:
        require(self.radius_m > 0.0, "radius_m", self.radius_m, "> 0")
        require(self.min_points >= 1, "min_points", self.min_points, "≥ 1")
        require(self.max_range_m > 0.0, "max_range_m", self.max_range_m, "> 0")
        require(-1.0 <= self.min_facing <= 1.0, "min_facing", self.min_facing, "in -1..1")
        require(self.behind_m >= 0.0, "behind_m", self.behind_m, "≥ 0")


def extend_covisibility(landmarks: Sequence[Landmark], evidence: Sequence[ViewEvidence], config: CovisibilityConfig | None = None) -> list[Landmark]:
    """The landmarks with every view, and its node, that sees their place added to those that detected them."""
    config = config or CovisibilityConfig()
    seen: dict[int, set[int]] = defaultdict(set)
    for view in evidence:
        known = np.asarray(view.points_map, dtype=np.float64)
        known = known[np.isfinite(known[:, 0])] if len(known) else np.zeros((0, 3))
        for landmark in landmarks:
            if _is_in_view(landmark, view, config) and int(_surroundings(landmark, known, config).sum()) >= config.min_points:
                seen[landmark.id].add(view.view_id)
    node_of = {view.view_id: view.node_id for view in evidence}
    out = []
    for landmark in landmarks:
        views = seen[landmark.id].union(landmark.view_ids)
        nodes = {node_of[v] for v in views if v in node_of}.union(landmark.node_ids)
        out.append(replace(landmark, view_ids=tuple(sorted(views)), node_ids=tuple(sorted(nodes))))
    return out


def landmark_ids_by_node(landmarks: Sequence[Landmark]) -> dict[int, tuple[int, ...]]:
    """Node id → ids of the landmarks that it sees."""
    found: dict[int, set[int]] = defaultdict(set)
    for landmark in landmarks:
        for node_id in landmark.node_ids:
            found[node_id].add(landmark.id)
    return {node_id: tuple(sorted(ids)) for node_id, ids in sorted(found.items())}


def _is_in_view(landmark: Landmark, view: ViewEvidence, config: CovisibilityConfig) -> bool:
    offset = view.map_from_cam.translation - landmark.position_map
    distance = float(np.linalg.norm(offset))
    if not 0.1 < distance <= config.max_range_m:
        return False
    if landmark.normal_map is not None and float(landmark.normal_map @ offset) < config.min_facing * distance:
        return False
    _, inside = view.camera.project(view.map_from_cam.inverse().apply(landmark.position_map[None]))
    return bool(inside[0])


def _surroundings(landmark: Landmark, points: FloatArray, config: CovisibilityConfig) -> BoolArray:
    """Which points (N, 3) lie on or before the landmark's surface, close to it; a thin wall's other side does not count."""
    offset = points - landmark.position_map
    near: BoolArray = (offset**2).sum(axis=1) <= config.radius_m**2
    if landmark.normal_map is not None:
        near &= offset @ landmark.normal_map >= -config.behind_m
    return near
