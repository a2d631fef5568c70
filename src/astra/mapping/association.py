"""Stage 7b: which detections are the same thing. Rays and depths decide first, texts second, and the majority names the result.

A detection is a ray; SfM points inside its polygon give its depth where there are some. Detections with a depth are clustered, the others
join the cluster that their ray hits, and what is left meets by triangulation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

import numpy as np

from astra.core.types import AnyArray, BoolArray, FloatArray
from astra.mapping.landmarks import LandmarkConfig, LandmarkDetection, ViewEvidence
from astra.perception.text import normalise_text
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
    sightings = [sight(d, view, config) for view in evidence for d in view.detections]
    clusters = _clusters_with_depth([s for s in sightings if math.isfinite(s.depth_m)], config)
    rest = _join_by_ray(clusters, [s for s in sightings if not math.isfinite(s.depth_m)], config)
    clusters += _clusters_of_rays(rest, config)
    landmarks = [m for m in (_landmark(c, config) for c in clusters) if m is not None]
    landmarks = _without_doubles(landmarks, config)
    landmarks.sort(key=lambda m: (m.view_ids[0], m.label))
    return [_renumbered(m, i) for i, m in enumerate(landmarks)]


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


def similarity(a: str, b: str) -> float:
    """How alike two texts are, 0..1, without regard to case, punctuation and blanks; a text that holds the other counts nearly full."""
    return _similarity(normalise_text(a).replace(" ", ""), normalise_text(b).replace(" ", ""))


@lru_cache(maxsize=65536)
def _similarity(p: str, q: str) -> float:
    if not p or not q:
        return float(p == q)
    ratio = SequenceMatcher(None, p, q, autojunk=False).ratio()
    short, long = sorted((p, q), key=len)
    if len(short) >= 4 and short in long:
        ratio = max(ratio, 0.8)
    return ratio


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


def _clusters_of_rays(rays: list[Sighting], config: LandmarkConfig) -> list[list[Sighting]]:
    """Clusters of depthless sightings: the pair of rays that most others agree with opens one, until no pair is left."""
    clusters = []
    pool = list(rays)
    while len(pool) >= 2:
        best: list[Sighting] = []
        for i, a in enumerate(pool):
            for b in pool[i + 1 :]:
                supporters = _supporters(a, b, pool, config)
                if len(supporters) > len(best):
                    best = supporters
        if len(best) < 2:
            break
        clusters.append(best)
        pool = [s for s in pool if not any(s is o for o in best)]
    return clusters


def _supporters(a: Sighting, b: Sighting, pool: Sequence[Sighting], config: LandmarkConfig) -> list[Sighting]:
    if a.node_id == b.node_id or similarity(a.detection.label, b.detection.label) < config.min_similarity or a.detection.is_text != b.detection.is_text:
        return []
    if math.acos(float(np.clip(a.direction @ b.direction, -1.0, 1.0))) < config.min_parallax_rad:
        return []
    point = _ray_point((a, b), np.ones(2))
    return [s for s in pool if similarity(s.detection.label, a.detection.label) >= config.min_similarity and _hits(s, point, config)]


def _hits(s: Sighting, point: FloatArray, config: LandmarkConfig) -> bool:
    along = float((point - s.origin) @ s.direction)
    return 0.1 < along <= config.max_range_m and _miss(s, point) <= min(config.max_ray_miss_m, 0.05 + 3.0 * s.angle_sigma * along)


def _landmark(cluster: Sequence[Sighting], config: LandmarkConfig) -> Landmark | None:
    """One cluster's landmark, or None if it is not sure enough."""
    fix = triangulate(cluster)
    kept = [s for s, miss in zip(cluster, fix.miss_m) if miss <= config.max_ray_miss_m + 3.0 * fix.sigma_m]
    if kept and len(kept) < len(cluster):
        fix = triangulate(kept)
    best = max(kept, key=lambda s: s.detection.score, default=None)
    if best is None or not _is_sure(kept, best, config):
        return None
    label = _majority([(s.detection.label, s.detection.score) for s in kept])
    named = [s.detection for s in kept if normalise_text(s.detection.label) == normalise_text(label)]
    node_ids = tuple(sorted({s.node_id for s in kept}))
    view_ids = tuple(sorted({s.view_id for s in kept}))
    return Landmark(
        id=0, label=label, is_text=best.detection.is_text, attributes=_majority([(d.attributes, d.score) for d in named]),
        function=_majority([(d.function, d.score) for d in named]), position_map=fix.position, position_sigma_m=fix.sigma_m,
        node_ids=node_ids, view_ids=view_ids, normal_map=_normal(kept, fix.position),
    )  # fmt: skip


def _is_sure(kept: Sequence[Sighting], best: Sighting, config: LandmarkConfig) -> bool:
    if len({s.node_id for s in kept}) >= config.min_observations:
        return True
    characters = len(normalise_text(best.detection.label).replace(" ", ""))
    return best.detection.score >= config.sure_score and characters >= config.sure_characters and math.isfinite(best.depth_m)


def _majority(votes: Sequence[tuple[str, float]]) -> str:
    """The text with most score behind it, in its best scored spelling; blanks and case do not divide the votes."""
    total: dict[str, float] = defaultdict(float)
    spelling: dict[str, tuple[float, str]] = {}
    for text, score in votes:
        key = normalise_text(text)
        # Letters missed at an image's border are commoner than letters made up: of equally frequent readings the longer wins.
        total[key] += score * (1.0 + 0.02 * len(key))
        spelling[key] = max(spelling.get(key, (0.0, "")), (score, text))
    return spelling[max(total, key=lambda key: total[key])][1] if total else ""


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
    """Of landmarks that say the like at the like place keep the one that more views saw; its views are joined."""
    kept: list[Landmark] = []
    for m in sorted(landmarks, key=lambda m: -len(m.view_ids)):
        twin = next((k for k in kept if _is_double(k, m, config)), None)
        if twin is None:
            kept.append(m)
            continue
        nodes, views = tuple(sorted({*twin.node_ids, *m.node_ids})), tuple(sorted({*twin.view_ids, *m.view_ids}))
        kept[kept.index(twin)] = _renumbered(twin, twin.id, nodes, views)
    return kept


def _is_double(a: Landmark, b: Landmark, config: LandmarkConfig) -> bool:
    distance = float(np.linalg.norm(a.position_map - b.position_map))
    return a.is_text == b.is_text and distance < 2.0 * config.max_distance_m and similarity(a.label, b.label) >= max(0.75, config.min_similarity)


def _renumbered(m: Landmark, new_id: int, node_ids: tuple[int, ...] | None = None, view_ids: tuple[int, ...] | None = None) -> Landmark:
    return Landmark(
        new_id, m.label, m.is_text, m.attributes, m.function, m.position_map, m.position_sigma_m,
        m.node_ids if node_ids is None else node_ids, m.view_ids if view_ids is None else view_ids, m.normal_map,
    )  # fmt: skip
