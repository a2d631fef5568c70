"""Stage 7c: which landmarks are one thing seen again, in part, or misread. Where they are decides first, what they say second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.types import FloatArray
from astra.mapping.landmarks import LandmarkConfig
from astra.mapping.sightings import Sighting, can_face, do_meet, normal_of, ray_miss, triangulate
from astra.mapping.wording import letters, majority, part_similarity, similarity
from astra.topomap.types import Landmark

MAX_NORMALS_COS = -0.2  # between the normals of what may be one thing
LIKE = 0.75  # of two readings that may be one text
FEW = 3  # sightings by which a position is not yet sure


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A landmark to be, and what it was seen by."""

    landmark: Landmark
    sightings: tuple[Sighting, ...]

    @property
    def strength(self) -> float:
        """How much stands behind its reading: one near look outweighs many far ones."""
        return sum(s.weight for s in self.sightings)


def candidate_of(cluster: Sequence[Sighting], config: LandmarkConfig) -> Candidate | None:
    """One cluster's landmark, or None if it is not sure enough."""
    fix = triangulate(cluster)
    kept = [s for s, miss in zip(cluster, fix.miss_m) if miss <= config.max_ray_miss_m + 3.0 * fix.sigma_m]
    if kept and len(kept) < len(cluster):
        fix = triangulate(kept)
    best = max(kept, key=lambda s: s.detection.score, default=None)
    if best is None or not _is_sure(kept, best, config):
        return None
    if not best.detection.is_text and _size_spread(kept, fix.position) > config.max_size_spread:
        return None
    label = majority([(s.detection.label, s.weight) for s in kept])
    if best.detection.is_text and _evidence(label, kept) < config.min_evidence:
        return None
    named = [s.detection for s in kept if letters(s.detection.label) == letters(label)]
    node_ids = tuple(sorted({s.node_id for s in kept}))
    view_ids = tuple(sorted({s.view_id for s in kept}))
    landmark = Landmark(
        id=0, label=label, is_text=best.detection.is_text, attributes=majority([(d.attributes, d.score) for d in named]),
        function=majority([(d.function, d.score) for d in named]), position_map=fix.position, position_sigma_m=fix.sigma_m,
        node_ids=node_ids, view_ids=view_ids, normal_map=normal_of(kept, fix.position), covariance_map=fix.covariance,
    )  # fmt: skip
    return Candidate(landmark, tuple(kept))


def _evidence(label: str, sightings: Sequence[Sighting]) -> float:
    """How much stands behind a reading: what says the same, and by half what says the like or a part of it."""
    total = 0.0
    for s in sightings:
        read = s.detection.label
        if letters(read) == letters(label):
            total += s.weight
        elif max(similarity(read, label), part_similarity(read, label)) >= LIKE:
            total += 0.5 * s.weight
    return total


def _size_spread(sightings: Sequence[Sighting], position: FloatArray) -> float:
    """Spread of the thing's height as its images give it at their ranges (of its logarithm): what moved lies at wrong ranges, and seems to grow or shrink."""
    heights = [s.height_px * s.angle_sigma * (0.5 if s.near_border else 1.0) * max(float((position - s.origin) @ s.direction), 1e-3) for s in sightings]
    return float(np.std(np.log(np.maximum(heights, 1e-9))))


def _is_sure(kept: Sequence[Sighting], best: Sighting, config: LandmarkConfig) -> bool:
    characters = len(letters(best.detection.label))
    nodes = len({s.node_id for s in kept})
    if best.detection.is_text and characters < config.min_characters:  # short readings are mostly pieces or noise, yet WC is a sign
        clear = {s.node_id for s in kept if s.detection.score >= config.sure_score and s.height_px >= config.clear_px}
        return len(clear) >= max(config.min_observations, 2) or (nodes > config.min_observations and best.detection.score >= config.sure_score)
    if not best.detection.is_text:
        return nodes >= config.min_object_nodes
    if nodes >= config.min_observations:
        return True
    return best.detection.score >= config.sure_score and characters >= config.sure_characters and math.isfinite(best.depth_m)


def without_doubles(candidates: list[Candidate], config: LandmarkConfig) -> list[Landmark]:
    """Of candidates that are one sign, or a piece or misreading of it, keep the one that was read best; their views are joined."""
    kept: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (-c.strength, -len(c.landmark.label), c.landmark.position_sigma_m)):
        twin = next((i for i, k in enumerate(kept) if _is_seen_again(k, c, config)), None)
        if twin is None:
            kept.append(c)
        else:
            kept[twin] = _joined(kept[twin], c, config)
    return [c.landmark for c in kept]


def _joined(strong: Candidate, weak: Candidate, config: LandmarkConfig) -> Candidate:
    """Both as one: seen by all if they say the like, else only listed with the weaker one's views."""
    if similarity(strong.landmark.label, weak.landmark.label) >= 0.75:
        together = candidate_of([*strong.sightings, *weak.sightings], config)
        if together is not None:
            return replace(together, landmark=with_views(together.landmark, strong.landmark.node_ids, strong.landmark.view_ids))
    return replace(strong, landmark=with_views(strong.landmark, weak.landmark.node_ids, weak.landmark.view_ids))


def is_double(strong: Landmark, weak: Landmark, config: LandmarkConfig, *, is_weak: bool | None = None) -> bool:
    """Whether the weaker landmark is the stronger one: what reads alike is one if it is near; what is in the same place is, whatever it reads as.

    What faces the other way, as the two plates on a wall's two faces, is never one. `is_weak`: whether much more stands behind the stronger one; by default
    twice as many views.
    """
    distance = float(np.linalg.norm(strong.position_map - weak.position_map))
    slack = 2.0 * math.hypot(strong.position_sigma_m, weak.position_sigma_m)
    if strong.is_text != weak.is_text or distance > config.max_piece_m + slack:
        return False
    normals = [m.normal_map for m in (strong, weak) if m.normal_map is not None and len(m.node_ids) > 1]
    if len(normals) == 2 and float(normals[0] @ normals[1]) < MAX_NORMALS_COS:
        return False
    alike = similarity(strong.label, weak.label)
    if distance < config.same_place_m + slack or (alike >= 0.75 and distance < config.reach_m(is_text=strong.is_text) + slack):
        return True
    if is_weak is None:
        is_weak = 2 * len(weak.view_ids) <= len(strong.view_ids)
    return is_weak and (_is_piece(strong, weak, config) or (alike >= 0.45 and distance < config.reach_m(is_text=strong.is_text) + slack))


def _is_seen_again(strong: Candidate, weak: Candidate, config: LandmarkConfig) -> bool:
    """`is_double` by what the eyes say too: what was seen apart in one image is two; what is seen on the same lines of sight is one."""
    if not can_face(strong.sightings, weak.sightings):
        return False
    is_weak = 2.0 * weak.strength <= strong.strength
    if {s.view_id for s in strong.sightings} & {s.view_id for s in weak.sightings}:
        return is_weak and _is_piece(strong.landmark, weak.landmark, config)
    if is_double(strong.landmark, weak.landmark, config, is_weak=is_weak):
        return True
    alike = similarity(strong.landmark.label, weak.landmark.label)
    misses = [ray_miss(s, strong.landmark.position_map) for s in weak.sightings]
    if alike < config.min_similarity:
        return False
    if len(weak.landmark.node_ids) == 1:  # its depth may be wrong, and that of a stronger one of few sightings too
        return max(misses) <= config.max_ray_miss_m or (len(strong.sightings) <= FEW and do_meet([*strong.sightings, *weak.sightings], config))
    return (is_weak or alike >= 0.75) and max(misses) <= 0.5 * config.max_ray_miss_m


def _is_piece(strong: Landmark, weak: Landmark, config: LandmarkConfig) -> bool:
    near = float(np.linalg.norm(strong.position_map - weak.position_map)) <= config.max_piece_m
    return near and part_similarity(weak.label, strong.label) >= config.min_piece_similarity


def with_pieces(landmark: Landmark, pieces: Sequence[Sighting], config: LandmarkConfig) -> Landmark:
    """The landmark with the views in which a piece of it was read where it must lie."""
    seen = []
    for s in pieces:
        along = float((landmark.position_map - s.origin) @ s.direction)
        allowed = 0.5 * config.max_piece_m + 2.0 * s.angle_sigma * along
        if s.detection.is_text == landmark.is_text and 0.1 < along <= config.max_range_m and ray_miss(s, landmark.position_map) <= allowed:
            label = s.detection.label
            if max(similarity(label, landmark.label), part_similarity(label, landmark.label)) >= config.min_piece_similarity:
                seen.append(s)
    return with_views(landmark, [s.node_id for s in seen], [s.view_id for s in seen])


def with_views(landmark: Landmark, node_ids: Sequence[int], view_ids: Sequence[int]) -> Landmark:
    """The landmark seen from these nodes and views as well."""
    nodes, views = tuple(sorted({*landmark.node_ids, *node_ids})), tuple(sorted({*landmark.view_ids, *view_ids}))
    return replace(landmark, node_ids=nodes, view_ids=views)
