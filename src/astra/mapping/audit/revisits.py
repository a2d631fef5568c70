"""Counter-evidence: where the map says that two passes of the tour stood at one spot and looked one way, they must have seen the same things.

Look-alikes match in what they have in common, and structure from motion sees only matches. What they do not have in common is what tells
them apart: points of one pass that must show in the other's image, at a known pixel, and do not (cf. Cai et al., Doppelgangers, 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraModel
from astra.mapping.audit.findings import LoopFinding
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment
from astra.perception.local import unit_descriptors


@dataclass(frozen=True, slots=True)
class RevisitConfig:
    """Which views must share what they see, and how much of it must be missing to deny a revisit."""

    apart: int = 15  # keyframes between two passes
    near: float = 0.15  # distance of two cameras against that of what they see …
    near_rad: float = math.radians(20.0)  # … and between their viewing directions
    min_expected: int = 30  # points that should be seen again; fewer say nothing
    radius_px: float = 8.0  # at 224 pixels' width, around where a point should be
    max_distance: float = 0.75  # between unit descriptors of one point
    min_found: float = 0.25  # share of the points that must be found; true revisits show two thirds and more
    min_pairs: int = 3  # of views that deny a revisit
    max_denied: float = 0.5  # share of a revisit's pairs of views that may lack what they should show
    max_pairs: int = 200  # of views that are compared

    def __post_init__(self) -> None:
        require(self.apart >= 1, "apart", self.apart, "≥ 1")
        require(0.0 < self.near < 1.0, "near", self.near, "in (0, 1)")
        require(0.0 < self.near_rad < math.pi / 2, "near_rad", self.near_rad, "in (0, π/2)")
        require(self.min_expected >= 1, "min_expected", self.min_expected, "≥ 1")
        require(self.radius_px > 0.0, "radius_px", self.radius_px, "> 0")
        require(self.max_distance > 0.0, "max_distance", self.max_distance, "> 0")
        require(0.0 <= self.min_found < 1.0, "min_found", self.min_found, "in [0, 1)")
        require(self.min_pairs >= 1, "min_pairs", self.min_pairs, "≥ 1")
        require(0.0 <= self.max_denied < 1.0, "max_denied", self.max_denied, "in [0, 1)")
        require(self.max_pairs >= 1, "max_pairs", self.max_pairs, "≥ 1")


@dataclass(frozen=True, slots=True, eq=False)
class Revisits:
    """Pairs of views, R of them, that by the map stood at one spot at different times.

    frame_a, frame_b, view_a, view_b: (R,) ids. expected: (R,) points of a that b must show, found: (R,) the share that it does.
    """

    frame_a: IntArray
    frame_b: IntArray
    view_a: IntArray
    view_b: IntArray
    expected: IntArray
    found: FloatArray


def find_revisits(
    fragment: SfmFragment,
    keyframes: Sequence[Keyframe],
    views: ViewSet,
    models: Mapping[tuple[int, str], CameraModel],
    config: RevisitConfig | None = None,
) -> Revisits:
    """Compare what the passes of the tour saw from the spots that the map gives them in common."""
    config = config or RevisitConfig()
    frame_of = {view.id: (keyframe, models[keyframe.tour, view.camera]) for keyframe in keyframes for view in keyframe.views}
    row_of = {int(view_id): k for k, view_id in enumerate(views.ids)}
    rows = []
    for a, b in _same_spot(fragment, frame_of, config):
        result = _found_again(fragment, views, (row_of[a], row_of[b]), (a, b), frame_of[b][1], config)
        if result is not None:
            rows.append((frame_of[a][0].id, frame_of[b][0].id, a, b, *result))
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    ids = table[:, :5].astype(np.int64)
    return Revisits(ids[:, 0], ids[:, 1], ids[:, 2], ids[:, 3], ids[:, 4], table[:, 5])


def denied_revisits(revisits: Revisits, config: RevisitConfig | None = None) -> list[tuple[LoopFinding, IntArray]]:
    """Revisits that the images deny: the finding, and the rows of `revisits` behind it."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    config = config or RevisitConfig()
    if len(revisits.frame_a) == 0:
        return []
    ends = np.stack([revisits.frame_a, revisits.frame_b], axis=1).astype(np.float64)
    near = cKDTree(ends).query_pairs(5.5, p=np.inf, output_type="ndarray")
    graph = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(ends), len(ends)))
    count, label = connected_components(graph, directed=False)
    out = []
    for number in range(count):
        rows = np.flatnonzero(label == number)
        denied = rows[revisits.found[rows] < config.min_found]
        if len(denied) >= config.min_pairs and len(denied) > config.max_denied * len(rows):
            worst = denied[int(np.argmin(revisits.found[denied]))]
            text = f"{len(denied)} of {len(rows)} pairs of images from one spot do not show the same things"
            out.append((LoopFinding(int(revisits.frame_a[worst]), int(revisits.frame_b[worst]), text), rows))
    return out


def _same_spot(
    fragment: SfmFragment, frame_of: Mapping[int, tuple[Keyframe, CameraModel]], config: RevisitConfig
) -> list[tuple[int, int]]:
    """Pairs of views (a, b) of different passes that stood nearest to one another; of too many, an even choice."""
    from scipy.spatial import cKDTree

    ids = [v for v in sorted(fragment.sfm_from_cam) if (fragment.observations[v] >= 0).sum() >= config.min_expected]
    if not ids:
        return []
    centre = np.array([fragment.sfm_from_cam[v].translation for v in ids])
    axis = np.array([fragment.sfm_from_cam[v].rotation[:, 2] for v in ids])
    depth = np.array([np.median(np.linalg.norm(fragment.points[(rows := fragment.observations[v])[rows >= 0]] - c, axis=1)) for v, c in zip(ids, centre)])
    frame, tour = np.array([frame_of[v][0].id for v in ids]), np.array([frame_of[v][0].tour for v in ids])
    tree, pairs = cKDTree(centre), []
    for k in range(len(ids)):
        others = np.array(tree.query_ball_point(centre[k], config.near * depth[k]), dtype=np.int64)
        far = (np.abs(frame[others] - frame[k]) > config.apart) | (tour[others] != tour[k])
        others = others[far & (axis[others] @ axis[k] > math.cos(config.near_rad))]
        if len(others):
            nearest = others[int(np.argmin(np.linalg.norm(centre[others] - centre[k], axis=1)))]
            pairs.append((ids[k], ids[int(nearest)]))
    return pairs[:: 1 + len(pairs) // config.max_pairs]


def _found_again(
    fragment: SfmFragment, views: ViewSet, rows: tuple[int, int], ids: tuple[int, int], model: CameraModel, config: RevisitConfig
) -> tuple[int, float] | None:
    """How many points of view a must show in view b, and the share that does; None if too few must."""
    from scipy.spatial import cKDTree

    seen = np.flatnonzero(fragment.observations[ids[0]] >= 0)
    pixels, inside = model.project(fragment.sfm_from_cam[ids[1]].inverse().apply(fragment.points[fragment.observations[ids[0]][seen]]))
    seen, pixels = seen[inside], pixels[inside]
    keypoints = views.keypoints[views.rows(rows[1])]
    if len(seen) < config.min_expected or len(keypoints) == 0:
        return None
    wanted = unit_descriptors(views.descriptors[views.rows(rows[0])][seen])
    given = unit_descriptors(views.descriptors[views.rows(rows[1])])
    around = cKDTree(keypoints).query_ball_point(pixels, config.radius_px * model.width / 224.0)
    cosine = 1.0 - 0.5 * config.max_distance**2
    found = [len(near) > 0 and float((given[near] @ wanted[k]).max()) > cosine for k, near in enumerate(around)]
    return len(seen), float(np.mean(found))
