"""A detection in space: its ray, the depth that SfM's points give it, and where several of them meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.types import AnyArray, BoolArray, FloatArray
from astra.mapping.landmarks import LandmarkConfig, LandmarkDetection, ViewEvidence

MIN_SIGMA_M = 0.01
TOUCH_PX = 1.5  # what comes so close to the image's border is cut by it
CLEAR_SCORE = 0.9  # of a text that is read although the border takes some of its letters' height
FULL_PX = 32.0  # of height; larger letters are not read better
MAX_SIDES_COS = math.cos(math.radians(160.0))  # of a flat thing: between two looks at it


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A detection in space: the ray `origin` + t · `direction` (3,) [m, map], its `depth_m` along the ray or NaN, and the depth's sigma.

    left, right: (3,) unit rays [map] through the middle of the polygon's two sides. angle_sigma: of the ray [rad].
    near_border: a part of it may lie outside of the image.
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
    near_border: bool = False

    @property
    def position(self) -> FloatArray:
        """Where it is (3,) [m, map], by its own depth."""
        return self.origin + self.depth_m * self.direction

    @property
    def height_px(self) -> float:
        """Of the thing in its image."""
        p = np.asarray(self.detection.polygon)
        return float(np.linalg.norm(p[3] - p[0]) + np.linalg.norm(p[2] - p[1])) / 2.0

    @property
    def weight(self) -> float:
        """How much its reading counts: its score as log-odds, and its size, since small letters are read wrongly with confidence (6 as 8 or 0)."""
        score = min(max(self.detection.score, 0.52), 0.995)
        return (0.5 if self.near_border else 1.0) * math.log(score / (1.0 - score)) * min(max(self.height_px, 4.0), FULL_PX) / FULL_PX


@dataclass(frozen=True, slots=True, eq=False)
class Fix:
    """A triangulated position (3,) [m], its sigma, each sighting's distance from it, and the position's covariance (3, 3)."""

    position: FloatArray
    sigma_m: float
    miss_m: FloatArray
    covariance: FloatArray


def is_cut(detection: LandmarkDetection, view: ViewEvidence) -> bool:
    """Whether the image's border hides a part of the thing: a text's ends, of what else any side."""
    low, high = np.asarray(detection.polygon).min(axis=0), np.asarray(detection.polygon).max(axis=0)
    across = low[0] < TOUCH_PX or high[0] > view.camera.width - 1 - TOUCH_PX
    above = low[1] < TOUCH_PX or high[1] > view.camera.height - 1 - TOUCH_PX
    return bool(across or (above and (not detection.is_text or detection.score < CLEAR_SCORE)))


def is_near_border(detection: LandmarkDetection, view: ViewEvidence) -> bool:
    """Whether a letter more might have stood there, or the letters' tops are missing."""
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
    near_border = is_near_border(detection, view)
    angle_sigma = (2.0 if near_border else 1.0) * config.pixel_sigma / view.camera.fx
    eye = view.map_from_cam.translation
    return Sighting(detection, view.view_id, view.node_id, eye, in_map[0], in_map[1], in_map[2], depth, sigma, angle_sigma, near_border)


def triangulate(sightings: Sequence[Sighting]) -> Fix:
    """The point (3,) nearest to all rays, each weighed by its noise at that range, with known depths as further equations."""
    known = [s.position for s in sightings if math.isfinite(s.depth_m)]
    point: FloatArray = np.asarray(np.median(known, axis=0), dtype=np.float64) if known else ray_point(sightings, np.ones(len(sightings)))
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
    miss_m = np.array([ray_miss(s, point) for s in sightings])
    covariance: FloatArray = np.asarray(np.linalg.inv(information), dtype=np.float64)
    sigma = math.sqrt(float(np.trace(covariance)) / 3.0)
    scatter = float(np.sqrt(np.mean(miss_m**2))) / math.sqrt(max(len(sightings), 1))
    whole = max(sigma, scatter, MIN_SIGMA_M)
    return Fix(point, whole, miss_m, np.asarray((whole / sigma) ** 2 * covariance, dtype=np.float64))


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


def can_face(some: Sequence[Sighting], others: Sequence[Sighting]) -> bool:
    """Whether one thing can be seen from all these sides: the two plates on a wall's two faces cannot be one, a table can."""
    if not some[0].detection.is_text:
        return True
    a, b = (np.array([s.direction for s in group]) for group in (some, others))
    return bool(sides(a, b).all())


def sides(a: FloatArray, b: FloatArray) -> BoolArray:
    """(N, M) whether two looks (N, 3) and (M, 3), seen from above, may be at the same side of a flat upright thing."""
    across = np.outer(np.linalg.norm(a[:, :2], axis=1), np.linalg.norm(b[:, :2], axis=1))
    same: BoolArray = a[:, :2] @ b[:, :2].T > MAX_SIDES_COS * across
    return same


def do_overlap(a: Sighting, b: Sighting) -> bool:
    """Whether two detections in one image cover each other for the greater part, so that they may be one."""
    p, q = np.asarray(a.detection.polygon), np.asarray(b.detection.polygon)
    common = np.maximum(np.minimum(p.max(axis=0), q.max(axis=0)) - np.maximum(p.min(axis=0), q.min(axis=0)), 0.0)
    smaller = min(float(np.prod(np.ptp(p, axis=0))), float(np.prod(np.ptp(q, axis=0))))
    return float(np.prod(common)) > 0.5 * smaller


def do_meet(sightings: Sequence[Sighting], config: LandmarkConfig) -> bool:
    """Whether the rays alone, whatever their depths, meet in one point before all eyes and at an angle that tells."""
    if _parallax(sightings) < config.min_parallax_rad:
        return False
    fix = triangulate([replace(s, depth_m=math.nan) for s in sightings])
    along = [float((fix.position - s.origin) @ s.direction) for s in sightings]
    return bool(min(along) > 0.1 and max(along) <= config.max_range_m and fix.miss_m.max() <= 0.5 * config.max_ray_miss_m)


def normal_of(sightings: Sequence[Sighting], position: FloatArray) -> FloatArray | None:
    """The horizontal direction (3,) out of the surface: text reads from left to right, so its two ends tell which way it faces."""
    ends = [ray_point(sightings, np.ones(len(sightings)), side) for side in ("left", "right")] if _parallax(sightings) > 0.15 else None
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


def ray_point(sightings: Sequence[Sighting], weights: FloatArray, which: str = "direction") -> FloatArray:
    """The point (3,) nearest to all rays."""
    information, right = 1e-9 * np.eye(3), np.zeros(3)
    for s, weight in zip(sightings, weights):
        direction = getattr(s, which)
        across = weight * (np.eye(3) - np.outer(direction, direction))
        information += across
        right += across @ s.origin
    return np.asarray(np.linalg.solve(information, right))


def ray_miss(s: Sighting, point: FloatArray) -> float:
    """Distance of the ray from a point [m]."""
    offset = point - s.origin
    return float(np.linalg.norm(offset - max(float(offset @ s.direction), 0.0) * s.direction))
