"""Stage 7b: which detections are the same thing. Rays and depths decide first, texts second, and the majority names the result.

A detection is a ray; SfM points inside its polygon give its depth where there are some. Detections with a depth are clustered, the others
join the cluster that their ray hits, and what is left meets by triangulation. Signs cut by the image's border or hidden in part read as
pieces: they add views to the whole sign and never become landmarks of their own beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.types import AnyArray, BoolArray, FloatArray, IntArray
from astra.mapping.landmarks import LandmarkConfig, LandmarkDetection, ViewEvidence
from astra.mapping.wording import letters, majority, part_similarity, similarity
from astra.topomap.types import Landmark


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A detection in space: the ray `origin` + t · `direction` (3,) [m, map], its `depth_m` along the ray or NaN, and the depth's sigma.

    left, right: (3,) unit rays [map] through the middle of the polygon's two sides. angle_sigma: of the ray [rad].
    """

    detection: LandmarkDetection
    view_id: int
    node_id: int
    origin: FloatArray
    direction: FloatArray
    left: FloatArray
    right: FloatArray
    depth_m: float
    depth_sigma_m: float
    angle_sigma: float

    @property
    def position(self) -> FloatArray:
        """Where it is (3,) [m, map], by its own depth."""
        return self.origin + self.depth_m * self.direction


@dataclass(frozen=True, slots=True, eq=False)
class _Fix:
    """A triangulated position (3,) [m], its sigma, and each sighting's distance from it."""

    position: FloatArray
    sigma_m: float
    miss_m: FloatArray


def associate(evidence: Sequence[ViewEvidence], config: LandmarkConfig | None = None) -> list[Landmark]:
    """Landmarks from all views' detections, ids from 0 in the order of their first view; they list the views that detected them."""
    config = config or LandmarkConfig()
    whole = [sight(d, view, config) for view in evidence for d in view.detections if not is_cut(d, view)]
    pieces = [sight(d, view, config) for view in evidence for d in view.detections if is_cut(d, view)]
    clusters = _clusters_with_depth([s for s in whole if math.isfinite(s.depth_m)], config)
    rest = _join_by_ray(clusters, [s for s in whole if not math.isfinite(s.depth_m)], config)
    clusters += _clusters_of_rays(rest, config)
    landmarks = [m for m in (_landmark(c, config) for c in clusters) if m is not None]
    landmarks = _without_doubles(landmarks, config)
    landmarks = [_with_pieces(m, pieces, config) for m in landmarks]
    landmarks.sort(key=lambda m: (m.view_ids[0], m.label))
    return [_renumbered(m, i) for i, m in enumerate(landmarks)]


def is_cut(detection: LandmarkDetection, view: ViewEvidence) -> bool:
    """Whether the image's border may hide a part of the thing."""
    low, high = np.asarray(detection.polygon).min(axis=0), np.asarray(detection.polygon).max(axis=0)
    margin = max(2.0, 0.3 * float(high[1] - low[1]))
    return bool(low.min() < margin or high[0] > view.camera.width - 1 - margin or high[1] > view.camera.height - 1 - margin)


def sight(detection: LandmarkDetection, view: ViewEvidence, config: LandmarkConfig) -> Sighting:
    """The detection's ray in the map, and its depth by the SfM points that lie inside its polygon or close around it."""
    polygon = np.asarray(detection.polygon, dtype=np.float64)
    spots = np.array([polygon.mean(axis=0), (polygon[0] + polygon[3]) / 2.0, (polygon[1] + polygon[2]) / 2.0])
    rays = np.column_stack([view.camera.unproject(spots), np.ones(3)])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    depth, sigma = _depth(polygon, rays[0], view)
    in_map = rays @ view.map_from_cam.rotation.T
    if not 0.1 < depth <= config.max_range_m:
        depth = sigma = math.nan
    angle_sigma = config.pixel_sigma / view.camera.fx
    return Sighting(detection, view.view_id, view.node_id, view.map_from_cam.translation, in_map[0], in_map[1], in_map[2], depth, sigma, angle_sigma)


def triangulate(sightings: Sequence[Sighting]) -> _Fix:
    """The point (3,) nearest to all rays, each weighed by its noise at that range, with known depths as further equations."""
    known = [s.position for s in sightings if math.isfinite(s.depth_m)]
    point: FloatArray = np.asarray(np.median(known, axis=0), dtype=np.float64) if known else _ray_point(sightings, np.ones(len(sightings)))
    information = np.eye(3)
    for _ in range(8):
        information, right = 1e-9 * np.eye(3), np.zeros(3)
        for s in sightings:
            along = float((point - s.origin) @ s.direction)
            across = (np.eye(3) - np.outer(s.direction, s.direction)) / max(s.angle_sigma * abs(along), 0.01) ** 2
            miss = float(np.linalg.norm(point - s.origin - along * s.direction))
            robust = 1.0 / max(1.0, miss / (3.0 * max(s.angle_sigma * abs(along), 0.02)))
            information += robust * across
            right += robust * across @ s.origin
            if math.isfinite(s.depth_m):
                depth = robust * np.outer(s.direction, s.direction) / s.depth_sigma_m**2
                information += depth
                right += depth @ s.position
        point = np.asarray(np.linalg.solve(information, right), dtype=np.float64)
    miss_m = np.array([_miss(s, point) for s in sightings])
    sigma = math.sqrt(float(np.trace(np.linalg.inv(information))) / 3.0)
    scatter = float(np.sqrt(np.mean(miss_m**2))) / math.sqrt(max(len(sightings), 1))
    return _Fix(point, max(sigma, scatter, 0.01), miss_m)


def _depth(polygon: FloatArray, ray: FloatArray, view: ViewEvidence) -> tuple[float, float]:
    """Depth along the ray and its sigma [m]: median over the points in the polygon, which is widened until it holds a few."""
    known = np.isfinite(view.points_map[:, 0])
    if not known.any():
        return math.nan, math.nan
    pixels, points = view.keypoints[known], view.points_map[known]
    for widen, needed in ((1.15, 2), (1.6, 3)):
        inside = _inside(polygon, widen, pixels)
        if int(inside.sum()) < needed:
            continue
        in_cam = view.map_from_cam.inverse().apply(points[inside])
        depths = in_cam[:, 2] / ray[2]
        depth = float(np.median(depths))
        spread = 1.4826 * float(np.median(np.abs(depths - depth)))
        if spread < 0.15 * depth:
            return depth, max(spread / math.sqrt(len(depths)), 0.02 * depth, 0.02)
    return math.nan, math.nan


def _inside(polygon: FloatArray, widen: float, pixels: AnyArray) -> BoolArray:
    """Which pixels lie in the polygon scaled about its centre, and at least four pixels high."""
    centre = polygon.mean(axis=0)
    across = (polygon[1] - polygon[0] + polygon[2] - polygon[3]) / 2.0
    down = (polygon[3] - polygon[0] + polygon[2] - polygon[1]) / 2.0
    width, height = max(float(np.linalg.norm(across)), 1e-6), max(float(np.linalg.norm(down)), 1e-6)
    offset = pixels - centre
    margin = max(height, 4.0) * (widen - 1.0) / 2.0
    inside: BoolArray = (np.abs(offset @ across) / width <= width / 2.0 + margin) & (np.abs(offset @ down) / height <= height / 2.0 + margin)
    return inside


def _clusters_with_depth(sightings: list[Sighting], config: LandmarkConfig) -> list[list[Sighting]]:
    """Greedy clusters: the most certain sighting opens one, and takes those near it that say the like."""
    clusters: list[list[Sighting]] = []
    for s in sorted(sightings, key=lambda s: (-s.detection.score * len(s.detection.label), s.view_id)):
        best, best_cost = None, math.inf
        for cluster in clusters:
            centre = np.median([o.position for o in cluster], axis=0)
            allowed = config.max_distance_m + 2.0 * math.hypot(s.depth_sigma_m, s.angle_sigma * s.depth_m)
            distance = float(np.linalg.norm(s.position - centre))
            alike = max(similarity(s.detection.label, o.detection.label) for o in cluster[:5])
            if distance <= allowed and _is_alike(s, cluster, alike, distance, config) and distance / allowed - alike < best_cost:
                best, best_cost = cluster, distance / allowed - alike
        if best is None:
            clusters.append([s])
        else:
            best.append(s)
    return clusters


def _is_alike(s: Sighting, cluster: Sequence[Sighting], alike: float, distance_m: float, config: LandmarkConfig) -> bool:
    """Whether the texts allow it to be one thing; a misreading at the very same spot counts, two words in one image never do."""
    if s.detection.is_text != cluster[0].detection.is_text:
        return False
    if any(o.view_id == s.view_id for o in cluster) and alike < 0.9:
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
            if 0.1 < along <= config.max_range_m and _miss(s, centre) <= allowed and alike >= config.min_similarity:
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
    alike &= np.equal.outer([s.detection.is_text for s in rays], [s.detection.is_text for s in rays])
    origins, directions = np.array([s.origin for s in rays]), np.array([s.direction for s in rays])
    nodes = np.array([s.node_id for s in rays])
    first, second = _promising_pairs(origins, directions, alike & np.not_equal.outer(nodes, nodes), config)
    points = _midpoints(origins[first], directions[first], origins[second], directions[second])
    sigma = np.array([s.angle_sigma for s in rays])
    support = np.zeros((len(first), len(rays)), dtype=bool)
    for lo in range(0, len(first), 1000):
        chunk = slice(lo, lo + 1000)
        support[chunk] = _hits(points[chunk], origins, directions, sigma, config) & alike[first[chunk]]
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


def _landmark(cluster: Sequence[Sighting], config: LandmarkConfig) -> Landmark | None:
    """One cluster's landmark, or None if it is not sure enough."""
    fix = triangulate(cluster)
    kept = [s for s, miss in zip(cluster, fix.miss_m) if miss <= config.max_ray_miss_m + 3.0 * fix.sigma_m]
    if kept and len(kept) < len(cluster):
        fix = triangulate(kept)
    best = max(kept, key=lambda s: s.detection.score, default=None)
    if best is None or not _is_sure(kept, best, config):
        return None
    label = majority([(s.detection.label, s.detection.score) for s in kept])
    named = [s.detection for s in kept if letters(s.detection.label) == letters(label)]
    node_ids = tuple(sorted({s.node_id for s in kept}))
    view_ids = tuple(sorted({s.view_id for s in kept}))
    return Landmark(
        id=0, label=label, is_text=best.detection.is_text, attributes=majority([(d.attributes, d.score) for d in named]),
        function=majority([(d.function, d.score) for d in named]), position_map=fix.position, position_sigma_m=fix.sigma_m,
        node_ids=node_ids, view_ids=view_ids, normal_map=_normal(kept, fix.position),
    )  # fmt: skip


def _is_sure(kept: Sequence[Sighting], best: Sighting, config: LandmarkConfig) -> bool:
    characters = len(letters(best.detection.label))
    nodes = len({s.node_id for s in kept})
    if best.detection.is_text and characters < config.min_characters:  # short readings are mostly pieces or noise, yet WC is a sign
        return nodes > config.min_observations and best.detection.score >= config.sure_score
    if nodes >= config.min_observations:
        return True
    return best.detection.score >= config.sure_score and characters >= config.sure_characters and math.isfinite(best.depth_m)


def _normal(sightings: Sequence[Sighting], position: FloatArray) -> FloatArray | None:
    """The horizontal direction (3,) out of the surface: text reads from left to right, so its two ends tell which way it faces."""
    ends = [_ray_point(sightings, np.ones(len(sightings)), side) for side in ("left", "right")] if _parallax(sightings) > 0.15 else None
    if ends is None:
        ends = [np.median([_at_depth(s, side, position) for s in sightings], axis=0) for side in ("left", "right")]
    along = (ends[1] - ends[0])[:2]
    length = float(np.linalg.norm(along))
    towards = np.mean([s.origin - position for s in sightings], axis=0)[:2]
    if length < 0.02:
        return None
    normal = np.array([along[1], -along[0]]) / length
    if float(normal @ towards) < 0.1 * float(np.linalg.norm(towards)):
        return None
    return np.array([normal[0], normal[1], 0.0])


def _at_depth(s: Sighting, side: str, position: FloatArray) -> FloatArray:
    ray = s.left if side == "left" else s.right
    return np.asarray(s.origin + ray * float(np.linalg.norm(position - s.origin)))


def _parallax(sightings: Sequence[Sighting]) -> float:
    directions = np.array([s.direction for s in sightings])
    return math.acos(float(np.clip((directions @ directions.T).min(), -1.0, 1.0)))


def _ray_point(sightings: Sequence[Sighting], weights: FloatArray, which: str = "direction") -> FloatArray:
    """The point (3,) nearest to all rays."""
    information, right = 1e-9 * np.eye(3), np.zeros(3)
    for s, weight in zip(sightings, weights):
        direction = getattr(s, which)
        across = weight * (np.eye(3) - np.outer(direction, direction))
        information += across
        right += across @ s.origin
    return np.asarray(np.linalg.solve(information, right))


def _miss(s: Sighting, point: FloatArray) -> float:
    """Distance of the ray from a point [m]."""
    offset = point - s.origin
    return float(np.linalg.norm(offset - max(float(offset @ s.direction), 0.0) * s.direction))


def _without_doubles(landmarks: list[Landmark], config: LandmarkConfig) -> list[Landmark]:
    """Of landmarks that read as one sign, or as a piece of it, keep the one that more views saw; its views are joined."""
    kept: list[Landmark] = []
    for m in sorted(landmarks, key=lambda m: (-len(m.view_ids), -len(m.label))):
        twin = next((i for i, k in enumerate(kept) if is_double(k, m, config)), None)
        if twin is None:
            kept.append(m)
        else:
            kept[twin] = with_views(kept[twin], m.node_ids, m.view_ids)
    return kept


def is_double(strong: Landmark, weak: Landmark, config: LandmarkConfig) -> bool:
    """Whether two landmarks are one thing, or the weak one a piece of the strong one; `strong` is the one that more views saw."""
    distance = float(np.linalg.norm(strong.position_map - weak.position_map))
    slack = 2.0 * math.hypot(strong.position_sigma_m, weak.position_sigma_m)
    if strong.is_text != weak.is_text or distance > config.max_piece_m + slack:
        return False
    alike = similarity(strong.label, weak.label)
    if alike >= 0.75 and distance < 2.0 * config.max_distance_m + slack:
        return True
    is_weak = 2 * len(weak.view_ids) <= len(strong.view_ids)
    is_piece = part_similarity(weak.label, strong.label) >= config.min_piece_similarity
    return is_weak and (is_piece or (alike >= 0.45 and distance < config.max_distance_m + slack))


def _with_pieces(landmark: Landmark, pieces: Sequence[Sighting], config: LandmarkConfig) -> Landmark:
    """The landmark with the views in which a piece of it was read where it must lie."""
    seen = []
    for s in pieces:
        along = float((landmark.position_map - s.origin) @ s.direction)
        allowed = 0.5 * config.max_piece_m + 2.0 * s.angle_sigma * along
        if s.detection.is_text == landmark.is_text and 0.1 < along <= config.max_range_m and _miss(s, landmark.position_map) <= allowed:
            label = s.detection.label
            if max(similarity(label, landmark.label), part_similarity(label, landmark.label)) >= config.min_piece_similarity:
                seen.append(s)
    return with_views(landmark, [s.node_id for s in seen], [s.view_id for s in seen])


def with_views(landmark: Landmark, node_ids: Sequence[int], view_ids: Sequence[int]) -> Landmark:
    """The landmark seen from these nodes and views as well."""
    nodes, views = tuple(sorted({*landmark.node_ids, *node_ids})), tuple(sorted({*landmark.view_ids, *view_ids}))
    return replace(landmark, node_ids=nodes, view_ids=views)


def _renumbered(landmark: Landmark, new_id: int) -> Landmark:
    return replace(landmark, id=new_id)
