"""Fine localization (paper 3.1.2): match local features with the map's points and solve the rig's pose from all cameras at once.

With correspondences (uᵢ, pᵢ) in camera c(i) the pose minimises Σ ρ(‖π(cam_from_base · base_from_map · pᵢ) − uᵢ‖²).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray
from astra.geometry import Pose3
from astra.global_model.colmap import import_pycolmap
from astra.global_model.types import QueryView


@dataclass(frozen=True, slots=True)
class FineConfig:
    """RANSAC and the covariance."""

    max_error_px: float = 3.0  # of an inlier …
    max_error_rad: float = 0.004  # … or this, whichever is larger in the camera
    min_matches: int = 8
    min_trials: int = 200
    max_trials: int = 5000
    seed: int = 0
    sigma_floor_px: float = 0.5  # residuals claim no more accuracy than this
    covariance_scale: float = 4.0  # on variances: errors of neighbouring map points go together, the residuals do not show it
    map_sigma_m: float = 0.02  # how far the map itself may be bent around any place: no number of features removes that
    map_sigma_rad: float = 0.002

    def __post_init__(self) -> None:
        require(self.max_error_px > 0.0, "max_error_px", self.max_error_px, "> 0")
        require(self.max_error_rad >= 0.0, "max_error_rad", self.max_error_rad, "≥ 0")
        require(self.min_matches >= 4, "min_matches", self.min_matches, "≥ 4")
        require(1 <= self.min_trials <= self.max_trials, "min_trials", self.min_trials, "in 1..max_trials")
        require(self.sigma_floor_px > 0.0, "sigma_floor_px", self.sigma_floor_px, "> 0")
        require(self.map_sigma_m >= 0.0, "map_sigma_m", self.map_sigma_m, "≥ 0")
        require(self.map_sigma_rad >= 0.0, "map_sigma_rad", self.map_sigma_rad, "≥ 0")
        require(self.covariance_scale > 0.0, "covariance_scale", self.covariance_scale, "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class Correspondences:
    """M matches of image features with map points.

    view: (M,) int64, row of the query's views. keypoint: (M,) int64, row of that view's features. pixels: (M, 2) float64 [px] as found.
    points_map: (M, 3) float64 [m]. point_ids: (M,) int64.
    """

    view: IntArray
    keypoint: IntArray
    pixels: FloatArray
    points_map: FloatArray
    point_ids: IntArray

    def __len__(self) -> int:
        return len(self.view)

    @staticmethod
    def stack(parts: Sequence[Correspondences]) -> Correspondences:
        """All parts together, each pair of a feature and a point once."""
        if not parts:
            empty = np.zeros(0, dtype=np.int64)
            return Correspondences(empty, empty, np.zeros((0, 2)), np.zeros((0, 3)), empty)
        view = np.concatenate([p.view for p in parts])
        keypoint = np.concatenate([p.keypoint for p in parts])
        point_ids = np.concatenate([p.point_ids for p in parts])
        _, rows = np.unique(np.stack([view, keypoint, point_ids]), axis=1, return_index=True)
        rows = np.sort(rows)
        pixels, points = np.concatenate([p.pixels for p in parts]), np.concatenate([p.points_map for p in parts])
        return Correspondences(view[rows], keypoint[rows], pixels[rows], points[rows], point_ids[rows])

    def select(self, mask: BoolArray | IntArray) -> Correspondences:
        """The chosen rows."""
        return Correspondences(self.view[mask], self.keypoint[mask], self.pixels[mask], self.points_map[mask], self.point_ids[mask])


@dataclass(frozen=True, slots=True, eq=False)
class RigPose:
    """A pose with its support: `inliers` (M,) bool over the correspondences, `covariance` (6, 6) x y z rx ry rz in the map frame."""

    map_from_base: Pose3
    inliers: BoolArray
    covariance: FloatArray
    sigma_px: float


def solve_rig_pose(views: Sequence[QueryView], matches: Correspondences, config: FineConfig) -> RigPose | None:
    """The rig's pose by LO-RANSAC and refinement over all cameras; none if too few matches agree."""
    if len(matches) < config.min_matches:
        return None
    ideal = _ideal_pixels(views, matches)
    finite: BoolArray = np.asarray(np.isfinite(ideal).all(axis=1))
    if int(finite.sum()) < config.min_matches:
        return None
    found = _ransac(views, matches.select(finite), ideal[finite], config)
    if found is None:
        return None
    inliers = np.zeros(len(matches), dtype=bool)
    inliers[np.flatnonzero(finite)] = found[1]
    if int(inliers.sum()) < config.min_matches:
        return None
    covariance, sigma_px = pose_covariance(views, matches.select(inliers), found[0], config)
    return None if covariance is None else RigPose(found[0], inliers, covariance, sigma_px)


def reprojection_errors(views: Sequence[QueryView], matches: Correspondences, map_from_base: Pose3) -> FloatArray:
    """Errors (M,) [px of the undistorted camera]; +inf behind a camera."""
    ideal = _ideal_pixels(views, matches)
    out = np.full(len(matches), np.inf)
    for row, view in enumerate(views):
        chosen = np.flatnonzero(matches.view == row)
        points = (map_from_base @ view.base_from_cam).inverse().apply(matches.points_map[chosen])
        front = points[:, 2] > 1e-3
        pixels = points[front, :2] / points[front, 2:] * [view.model.fx, view.model.fy] + [view.model.cx, view.model.cy]
        out[chosen[front]] = np.linalg.norm(pixels - ideal[chosen[front]], axis=1)
    return out


def max_error_px(views: Sequence[QueryView], config: FineConfig) -> float:
    """The largest error of an inlier, in pixels of the coarsest of the query's cameras."""
    return max(config.max_error_px, config.max_error_rad * min(view.model.fx for view in views))


def pose_covariance(
    views: Sequence[QueryView], matches: Correspondences, map_from_base: Pose3, config: FineConfig
) -> tuple[FloatArray | None, float]:
    """Covariance (6, 6) from the curvature of the reprojection error, σ² (JᵀJ)⁻¹ scaled, plus the map's own; and σ [px].

    None if the pose is not determined.

    Perturbation: t ← t + d, R ← exp(r) R, both in the map frame.
    """
    jacobians = []
    for row, view in enumerate(views):
        points = matches.points_map[matches.view == row]
        if len(points) == 0:
            continue
        map_from_cam = map_from_base @ view.base_from_cam
        p = map_from_cam.inverse().apply(points)
        z = np.maximum(p[:, 2], 1e-3)
        projection = np.zeros((len(p), 2, 3))
        projection[:, 0, 0], projection[:, 0, 2] = view.model.fx / z, -view.model.fx * p[:, 0] / z**2
        projection[:, 1, 1], projection[:, 1, 2] = view.model.fy / z, -view.model.fy * p[:, 1] / z**2
        lever = points - map_from_base.translation
        rotation_t = map_from_cam.rotation.T
        motion = np.concatenate([np.broadcast_to(-rotation_t, (len(p), 3, 3)), rotation_t @ _cross_matrices(lever)], axis=2)
        jacobians.append((projection @ motion).reshape(-1, 6))
    j = np.concatenate(jacobians)
    errors = reprojection_errors(views, matches, map_from_base)
    # For two normal components the median radius is 1.177 σ.
    sigma = max(float(np.median(errors)) / 1.177, config.sigma_floor_px)
    information = j.T @ j / (sigma**2 * config.covariance_scale)
    scale = np.sqrt(np.maximum(np.diag(information), 1e-12))
    normalised = information / np.outer(scale, scale)
    if np.linalg.cond(normalised) > 1e10:
        return None, sigma
    covariance: FloatArray = np.linalg.inv(normalised) / np.outer(scale, scale)
    floor = np.diag([config.map_sigma_m**2] * 3 + [config.map_sigma_rad**2] * 3)
    return (covariance + covariance.T) / 2.0 + floor, sigma


def _cross_matrices(v: FloatArray) -> FloatArray:
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = v[:, 2], -v[:, 1], v[:, 0]
    return out


def _ideal_pixels(views: Sequence[QueryView], matches: Correspondences) -> FloatArray:
    """Pixels (M, 2) as an ideal pinhole with the same focal length would see them; NaN where the lens model has no inverse."""
    ideal = np.full((len(matches), 2), np.nan)
    for row, view in enumerate(views):
        chosen = matches.view == row
        if chosen.any():
            rays = view.model.unproject(matches.pixels[chosen])
            ideal[chosen] = rays * [view.model.fx, view.model.fy] + [view.model.cx, view.model.cy]
    ideal[np.abs(ideal).max(axis=1, initial=0.0) > 1e5] = np.nan
    return ideal


def _ransac(views: Sequence[QueryView], matches: Correspondences, ideal: FloatArray, config: FineConfig) -> tuple[Pose3, BoolArray] | None:
    pycolmap = import_pycolmap()
    used = np.unique(matches.view)
    cameras = [_colmap_camera(views[int(i)]) for i in used]
    options = pycolmap.RANSACOptions()
    options.max_error = max_error_px(views, config)
    options.min_num_trials, options.max_num_trials = config.min_trials, config.max_trials
    options.confidence, options.min_inlier_ratio = 0.9999, 0.02
    options.random_seed, options.num_threads = config.seed, 1
    points2d, points3d = ideal + 0.5, matches.points_map  # COLMAP's pixel centres lie at halves
    if len(used) == 1:
        estimation = pycolmap.AbsolutePoseEstimationOptions()
        estimation.ransac = options
        found: Any = pycolmap.estimate_and_refine_absolute_pose(points2d, points3d, cameras[0], estimation)
        cam_from_map = None if found is None else _pose3(found["cam_from_world"])
        map_from_base = None if cam_from_map is None else cam_from_map.inverse() @ views[int(used[0])].base_from_cam.inverse()
    else:
        cams_from_base = [_rigid3d(pycolmap, views[int(i)].base_from_cam.inverse()) for i in used]
        rows = np.searchsorted(used, matches.view).tolist()
        found = pycolmap.estimate_and_refine_generalized_absolute_pose(points2d, points3d, rows, cams_from_base, cameras, options)
        map_from_base = None if found is None else _pose3(found["rig_from_world"]).inverse()
    if found is None or map_from_base is None or not np.isfinite(map_from_base.matrix()).all():
        return None
    inliers = reprojection_errors(views, matches, map_from_base) <= options.max_error
    return map_from_base, inliers


def _colmap_camera(view: QueryView) -> Any:
    m = view.model
    return import_pycolmap().Camera(model="PINHOLE", width=m.width, height=m.height, params=[m.fx, m.fy, m.cx + 0.5, m.cy + 0.5])


def _rigid3d(pycolmap: Any, pose: Pose3) -> Any:
    return pycolmap.Rigid3d(pose.matrix()[:3])


def _pose3(rigid: Any) -> Pose3:
    return Pose3.from_matrix(rigid.matrix())


def keypoint_cells(views: Sequence[QueryView], matches: Correspondences, columns: int = 4, rows: int = 3) -> int:
    """How many cells of a coarse grid over all images hold a match: support spread widely is worth more than a cluster."""
    size = np.array([[view.model.width, view.model.height] for view in views], dtype=np.float64)[matches.view]
    cell = np.clip(((matches.pixels + 0.5) / size * [columns, rows]).astype(np.int64), 0, [columns - 1, rows - 1])
    return len(np.unique(np.stack([matches.view, cell[:, 0], cell[:, 1]]), axis=1).T)


def unique_keypoints(matches: Correspondences) -> int:
    """How many different image features take part: one that matches a point in several map views counts once."""
    return len(np.unique(np.stack([matches.view, matches.keypoint]), axis=1).T)


def unique_points(matches: Correspondences) -> FloatArray:
    """One map point (N, 3) [m] for each image feature that takes part."""
    _, rows = np.unique(np.stack([matches.view, matches.keypoint]), axis=1, return_index=True)
    points: FloatArray = matches.points_map[rows]
    return points


def correspondences(row: int, keypoints: Float32Array, points_map: Float32Array, point_ids: IntArray, pairs: IntArray) -> Correspondences:
    """Correspondences of query view `row` from `pairs` (K, 2) of its features and one map view's triangulated features."""
    return Correspondences(
        np.full(len(pairs), row, dtype=np.int64),
        pairs[:, 0],
        keypoints[pairs[:, 0]].astype(np.float64),
        points_map[pairs[:, 1]].astype(np.float64),
        point_ids[pairs[:, 1]].astype(np.int64),
    )
