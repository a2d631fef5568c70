"""Stage 7b: which detections are the same thing. Rays and depths decide first, texts second, and the majority names the result.

A detection is a ray; SfM points inside its polygon give its depth where there are some. Detections with a depth are clustered, the others
join the cluster that their ray hits, and what is left meets by triangulation. Signs cut by the image's border or hidden in part read as
pieces: they add views to the whole sign and never become landmarks of their own beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.mapping.doubles import candidate_of, with_pieces, without_doubles
from astra.mapping.landmarks import LandmarkConfig, ViewEvidence
from astra.mapping.sightings import Sighting, can_face, do_overlap, is_cut, ray_miss, sides, sight, triangulate
from astra.mapping.wording import letters, similarity
from astra.topomap.types import Landmark


def associate(evidence: Sequence[ViewEvidence], config: LandmarkConfig | None = None) -> list[Landmark]:
    """Landmarks from all views' detections, ids from 0 in the order of their first view; they list the views that detected them."""
    config = config or LandmarkConfig()
    whole, pieces = whole_and_pieces(evidence, config)
    clusters = _clusters_with_depth([s for s in whole if math.isfinite(s.depth_m)], config)
    rest = _join_by_ray(clusters, [s for s in whole if not math.isfinite(s.depth_m)], config)
    clusters += _clusters_of_rays(rest, config)
    candidates = [c for c in (candidate_of(c, config) for c in clusters) if c is not None]
    landmarks = without_doubles(candidates, config)
    landmarks = [with_pieces(m, pieces, config) for m in landmarks]
    landmarks.sort(key=lambda m: (m.view_ids[0], m.label))
    return [_renumbered(m, i) for i, m in enumerate(landmarks)]


def whole_and_pieces(evidence: Sequence[ViewEvidence], config: LandmarkConfig) -> tuple[list[Sighting], list[Sighting]]:
    """All sightings, parted; what touches the border yet reads as what was read elsewhere is whole too."""
    all_of_them = [(sight(d, view, config), is_cut(d, view)) for view in evidence for d in view.detections]
    known = {letters(s.detection.label) for s, cut in all_of_them if s.detection.is_text and not cut}
    whole = [s for s, cut in all_of_them if not cut or (s.detection.is_text and letters(s.detection.label) in known)]
    return whole, [s for s, cut in all_of_them if cut and not (s.detection.is_text and letters(s.detection.label) in known)]


def _clusters_with_depth(sightings: list[Sighting], config: LandmarkConfig) -> list[list[Sighting]]:
    """Greedy clusters: the most certain sighting opens one, and takes those near it that say the like."""
    clusters: list[list[Sighting]] = []
    for s in sorted(sightings, key=lambda s: (-s.detection.score * len(s.detection.label), s.view_id)):
        best, best_cost = None, math.inf
        for cluster in clusters:
            centre = np.median([o.position for o in cluster], axis=0)
            allowed = config.reach_m(is_text=s.detection.is_text) + 2.0 * math.hypot(s.depth_sigma_m, s.angle_sigma * s.depth_m)
            distance = float(np.linalg.norm(s.position - centre))
            alike = max(similarity(s.detection.label, o.detection.label) for o in cluster[:5])
            if distance <= allowed and can_face([s], cluster) and _is_alike(s, cluster, alike, distance, config) and distance / allowed - alike < best_cost:
                best, best_cost = cluster, distance / allowed - alike
        if best is None:
            clusters.append([s])
        else:
            best.append(s)
    return clusters


def _is_alike(s: Sighting, cluster: Sequence[Sighting], alike: float, distance_m: float, config: LandmarkConfig) -> bool:
    """Whether the texts allow it to be one thing; a misreading at the very same spot counts, two things in one image never do."""
    if s.detection.is_text != cluster[0].detection.is_text:
        return False
    if any(o.view_id == s.view_id and (alike < 0.9 or not do_overlap(s, o)) for o in cluster):
        return False
    return alike >= config.min_similarity or (alike >= 0.3 and distance_m < 0.12)


def _join_by_ray(clusters: list[list[Sighting]], rays: list[Sighting], config: LandmarkConfig) -> list[Sighting]:
    """Give each ray to the cluster it hits whose text is most alike; returns the rays that hit none."""
    centres = [triangulate(cluster).position for cluster in clusters]
    left = []
    for s in rays:
        options = []
        for cluster, centre in zip(clusters, centres):
            along = float((centre - s.origin) @ s.direction)
            alike = max(similarity(s.detection.label, o.detection.label) for o in cluster[:5])
            allowed = config.max_ray_miss_m + 2.0 * s.angle_sigma * along
            near = 0.1 < along <= config.max_range_m and ray_miss(s, centre) <= allowed
            apart = any(o.view_id == s.view_id and not do_overlap(s, o) for o in cluster)
            if near and not apart and alike >= config.min_similarity and can_face([s], cluster):
                options.append((alike, cluster))
        if options:
            max(options, key=lambda option: option[0])[1].append(s)
        else:
            left.append(s)
    return left


def _clusters_of_rays(rays: Sequence[Sighting], config: LandmarkConfig) -> list[list[Sighting]]:
    """Clusters of depthless sightings: the pair of rays that most others agree with opens one, until no pair is left."""
    if len(rays) < 2:
        return []
    alike = np.array([[similarity(a.detection.label, b.detection.label) for b in rays] for a in rays]) >= config.min_similarity
    is_text = np.array([s.detection.is_text for s in rays])
    alike &= np.equal.outer(is_text, is_text)
    origins, directions = np.array([s.origin for s in rays]), np.array([s.direction for s in rays])
    nodes = np.array([s.node_id for s in rays])
    faces = sides(directions, directions) | ~is_text
    first, second = _promising_pairs(origins, directions, alike & faces & np.not_equal.outer(nodes, nodes), config)
    points = _midpoints(origins[first], directions[first], origins[second], directions[second])
    sigma = np.array([s.angle_sigma for s in rays])
    support = np.zeros((len(first), len(rays)), dtype=bool)
    for lo in range(0, len(first), 1000):
        chunk = slice(lo, lo + 1000)
        support[chunk] = _hits(points[chunk], origins, directions, sigma, config) & (alike & faces)[first[chunk]] & faces[second[chunk]]
    clusters = []
    while len(support) and int(support.sum(axis=1).max()) >= 2:
        members = support[int(support.sum(axis=1).argmax())].copy()
        clusters.append([s for s, taken in zip(rays, members) if taken])
        support[members[first] | members[second]] = False
        support[:, members] = False
    return clusters


def _promising_pairs(origins: FloatArray, directions: FloatArray, allowed: BoolArray, config: LandmarkConfig) -> tuple[IntArray, IntArray]:
    """Pairs of rays, rows of the arguments (N, 3), that meet in front of both under a sufficient angle; `max_pairs` of them at most."""
    parallax = np.arccos(np.clip(directions @ directions.T, -1.0, 1.0)) >= config.min_parallax_rad
    first, second = np.nonzero(np.triu(allowed & parallax))
    p, u, q, v = origins[first], directions[first], origins[second], directions[second]
    points = _midpoints(p, u, q, v)
    ranges = np.stack([((points - p) * u).sum(axis=1), ((points - q) * v).sum(axis=1)])
    miss = np.linalg.norm(points - p - ranges[0][:, None] * u, axis=1)
    kept = np.flatnonzero((ranges > 0.1).all(axis=0) & (ranges <= config.max_range_m).all(axis=0) & (miss <= config.max_ray_miss_m))
    kept = kept[:: 1 + len(kept) // config.max_pairs]
    return first[kept], second[kept]


def _hits(points: FloatArray, origins: FloatArray, directions: FloatArray, sigma: FloatArray, config: LandmarkConfig) -> BoolArray:
    """(P, N) whether the rays (N, 3) with angular noise (N) pass the points (P, 3) closely enough."""
    offset = points[:, None] - origins
    along = np.einsum("pnk,nk->pn", offset, directions)
    miss = np.sqrt(np.maximum((offset**2).sum(axis=2) - along**2, 0.0))
    allowed = np.minimum(config.max_ray_miss_m, 0.05 + 3.0 * sigma * along)
    hits: BoolArray = (along > 0.1) & (along <= config.max_range_m) & (miss <= allowed)
    return hits


def _midpoints(p: FloatArray, u: FloatArray, q: FloatArray, v: FloatArray) -> FloatArray:
    """The points (P, 3) midway between the closest points of the lines p + s·u and q + t·v; all (P, 3), u and v of unit length."""
    offset, cosine = q - p, (u * v).sum(axis=1)
    determinant = np.maximum(1.0 - cosine**2, 1e-12)
    along_u, along_v = (offset * u).sum(axis=1), (offset * v).sum(axis=1)
    s, t = (along_u - cosine * along_v) / determinant, (cosine * along_u - along_v) / determinant
    middle: FloatArray = 0.5 * (p + s[:, None] * u + q + t[:, None] * v)
    return middle


def _renumbered(landmark: Landmark, new_id: int) -> Landmark:
    return replace(landmark, id=new_id)
