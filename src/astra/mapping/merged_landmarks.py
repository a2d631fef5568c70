"""The landmarks of two maps as one: what both maps read at one place is one thing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from astra.core.types import FloatArray
from astra.mapping.arrange import Key, Placed
from astra.mapping.contents import MapContents
from astra.mapping.landmarks import LandmarkConfig
from astra.mapping.wording import part_similarity, similarity
from astra.topomap import Landmark

MIN_SIMILARITY = 0.7  # of two maps' readings of one text
MIN_FACING = -0.3  # cosine between the directions that one thing's surface faces in the two maps


def merge_landmarks(
    a: MapContents, b: MapContents, placed: Mapping[Key, Placed], mark_offset: int, node_offset: int, view_offset: int, config: LandmarkConfig
) -> list[Landmark]:
    """A's landmarks under their ids, each with the views of B's that are the same thing; then B's others, ids counted on."""
    kept = [_moved(mark, a, placed, 0) for mark in a.topo.landmarks.values()]
    groups = [_group(mark, a, placed, 0) for mark in a.topo.landmarks.values()]
    for mark in b.topo.landmarks.values():
        group, new = _group(mark, b, placed, 1), _moved(mark, b, placed, 1)
        nodes, views = [k + node_offset for k in mark.node_ids], [k + view_offset for k in mark.view_ids]
        new = dataclasses.replace(new, id=mark.id + mark_offset, node_ids=tuple(nodes), view_ids=tuple(views))
        twins = [k for k, other in enumerate(kept) if groups[k] == group and _is_same(other, new, config)]
        if not twins:
            kept.append(new)
            groups.append(group)
            continue
        best = min(twins, key=lambda k: float(np.linalg.norm(kept[k].position_map - new.position_map)))
        kept[best] = _fused(kept[best], new)
    return kept


def _is_same(one: Landmark, two: Landmark, config: LandmarkConfig) -> bool:
    """Whether two maps' landmarks are one thing: they say the like, lie at one spot and face one way; or the less seen one is a piece of the other."""
    slack = 2.0 * math.hypot(one.position_sigma_m, two.position_sigma_m)
    distance = float(np.linalg.norm(one.position_map - two.position_map))
    if one.is_text != two.is_text or not distance <= config.max_piece_m + slack:
        return False
    if one.normal_map is not None and two.normal_map is not None and float(one.normal_map @ two.normal_map) < MIN_FACING:
        return False  # two plates on a wall's two faces
    if similarity(one.label, two.label) >= MIN_SIMILARITY:
        return distance <= config.max_distance_m + slack
    strong, weak = (one, two) if len(one.view_ids) >= len(two.view_ids) else (two, one)
    is_weak = 2 * len(weak.view_ids) <= len(strong.view_ids)
    return is_weak and part_similarity(weak.label, strong.label) >= config.min_piece_similarity


def _fused(one: Landmark, two: Landmark) -> Landmark:
    """One thing known from both: the better seen one gives the text, both give the position by their certainty."""
    weights = np.array([1.0 / max(m.position_sigma_m, 1e-3) ** 2 if np.isfinite(m.position_sigma_m) else 1e-6 for m in (one, two)])
    position = (weights[0] * one.position_map + weights[1] * two.position_map) / weights.sum()
    named = one if len(one.view_ids) >= len(two.view_ids) else two
    sigma, normal = float(1.0 / np.sqrt(weights.sum())), two.normal_map if one.normal_map is None else one.normal_map
    fused = dataclasses.replace(named, id=one.id, position_map=position, position_sigma_m=sigma, normal_map=normal, covariance_map=None)
    nodes, views = {*one.node_ids, *two.node_ids}, {*one.view_ids, *two.view_ids}
    return dataclasses.replace(fused, node_ids=tuple(sorted(nodes)), view_ids=tuple(sorted(views)))


def _group(mark: Landmark, contents: MapContents, placed: Mapping[Key, Placed], which: int) -> int:
    return placed[which, contents.topo.nodes[mark.node_ids[0]].fragment].fragment


def _moved(mark: Landmark, contents: MapContents, placed: Mapping[Key, Placed], which: int) -> Landmark:
    """The landmark in the merged frame, moved with the nodes of its fragment that see it."""
    spot = placed[which, contents.topo.nodes[mark.node_ids[0]].fragment]
    fragment = contents.topo.nodes[mark.node_ids[0]].fragment
    near = np.array([k for k in mark.node_ids if contents.topo.nodes[k].fragment == fragment], dtype=np.int64)
    position: FloatArray = spot.points(np.repeat(mark.position_map[None], len(near), axis=0), near).mean(axis=0)
    normal = None if mark.normal_map is None else spot.new_from_old.rotation @ mark.normal_map
    sigma = mark.position_sigma_m * spot.new_from_old.scale
    covariance = mark.turned_covariance(spot.new_from_old.rotation, spot.new_from_old.scale)
    return dataclasses.replace(mark, position_map=position, normal_map=normal, position_sigma_m=sigma, covariance_map=covariance)
