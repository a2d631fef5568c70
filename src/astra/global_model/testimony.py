"""What signs say about a pose: those that were read and hang there speak for it, those that should be seen from there and were not speak against it.

Two rooms alike in everything but a sign differ in nothing that local or place features would notice; the sign is read, as a person would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray
from astra.geometry import Pose2, Pose3
from astra.global_model.coarse import LandmarkMatch
from astra.global_model.loaded import LoadedMap
from astra.global_model.types import QueryView
from astra.perception.text import normalise_text


@dataclass(frozen=True, slots=True)
class SignsConfig:
    """When a sign should be seen, and what it is worth in units of likeness (cosine)."""

    seen: float = 0.15  # for each sign that was read and hangs there
    missed: float = 0.08  # against, for each that should have been read
    stray: float = 0.08  # against, for each that was read and does not hang there
    reach_m: float = 2.5  # a sign nearer than this is read …
    far_m: float = 6.0  # … and one farther than this is not
    node_m: float = 2.0  # of a node that saw the sign, for nothing to stand between
    margin: float = 0.1  # of the picture's sides, where a sign may be cut off

    def __post_init__(self) -> None:
        for name in ("seen", "missed", "stray", "reach_m", "far_m", "node_m"):
            require(getattr(self, name) > 0.0, name, getattr(self, name), "> 0")
        require(0.0 <= self.margin < 0.5, "margin", self.margin, "in [0, 0.5)")


def sign_testimony(
    loaded: LoadedMap, views: Sequence[QueryView], matches: Sequence[LandmarkMatch], poses: FloatArray, config: SignsConfig | None = None
) -> FloatArray:
    """What the signs that were read in these views say for each base pose (K, 3) x, y, yaw: (K,), 0 where they say nothing."""
    config = config or SignsConfig()
    signs = [mark for mark in loaded.map.landmarks.values() if mark.is_text and np.isfinite(mark.position_map).all()]
    out = np.zeros(len(poses))
    if not signs:
        return out
    labels = [normalise_text(mark.label) for mark in signs]
    read = {normalise_text(loaded.map.landmarks[m.landmark_id].label) for m in matches if m.landmark_id in loaded.map.landmarks}
    positions = np.array([mark.position_map for mark in signs])
    for k, (x, y, yaw) in enumerate(np.asarray(poses, dtype=np.float64).tolist()):
        near, surely = _in_view(views, positions, Pose2(x, y, yaw), config)
        for i in np.flatnonzero(near):
            seers = [loaded.map.nodes[n].map_from_base.translation[:2] for n in signs[i].node_ids if n in loaded.map.nodes]
            close = min((math.dist((x, y), seer.tolist()) for seer in seers), default=math.inf) <= config.node_m
            near[i], surely[i] = close, close and surely[i]
        there = {labels[i] for i in np.flatnonzero(near)}
        missed = {labels[i] for i in np.flatnonzero(surely)} - read
        out[k] = config.seen * len(read & there) - config.missed * len(missed) - config.stray * len(read - there)
    return out


def _in_view(
    views: Sequence[QueryView], positions: FloatArray, map_from_base: Pose2, config: SignsConfig
) -> tuple[BoolArray, BoolArray]:
    """Which positions (N, 3) lie in any of the pictures within reach of reading, and which so near that they would surely be read: (N,) each."""
    may, surely = np.zeros(len(positions), dtype=bool), np.zeros(len(positions), dtype=bool)
    for view in views:
        map_from_cam = Pose3.from_pose2(map_from_base) @ view.base_from_cam
        points = (positions - map_from_cam.translation) @ map_from_cam.rotation
        pixels, inside = view.model.project(points)
        distance = np.linalg.norm(points, axis=1)
        size = np.array([view.model.width, view.model.height])
        whole = inside & ((pixels >= config.margin * size) & (pixels < (1.0 - config.margin) * size)).all(axis=1)
        may |= inside & (distance <= config.far_m)
        surely |= whole & (distance <= config.reach_m)
    return may, surely
