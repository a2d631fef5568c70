"""The pose of a robot that stands level on the floor: three unknowns instead of six, so that few matches suffice and fewer fit by chance.

A map point at a known height fixes how far along its ray it lies, so that one match tells where the robot is but for a turn about the point;
the bearing of a second match tells the turn. All pairs drawn are tried at once, the best are refined on their inliers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose2, Pose3
from astra.global_model.fine import Correspondences, FineConfig, RigPose, max_error_px, pose_covariance, reprojection_errors
from astra.global_model.types import QueryView


@dataclass(frozen=True, slots=True)
class FloorConfig:
    """How a pose on the floor is looked for."""

    pairs: int = 600  # of matches that propose poses
    refined: int = 4  # proposals that are refined
    iterations: int = 4
    min_slope: float = 0.06  # of a ray against the level, for its length to be told by the point's height
    max_range_m: float = 15.0
    min_inliers: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.pairs >= 1, "pairs", self.pairs, "≥ 1")
        require(self.refined >= 1, "refined", self.refined, "≥ 1")
        require(self.iterations >= 1, "iterations", self.iterations, "≥ 1")
        require(0 < self.min_slope < 1, "min_slope", self.min_slope, "in (0, 1)")
        require(self.max_range_m > 0, "max_range_m", self.max_range_m, "> 0")
        require(self.min_inliers >= 3, "min_inliers", self.min_inliers, "≥ 3")


@dataclass(frozen=True, slots=True, eq=False)
class _Rays:
    """Matches as rays in the base frame: `origin`, `direction` (M, 3), and the map points (M, 3)."""

    origin: FloatArray
    direction: FloatArray
    points: FloatArray


def solve_on_floor(views: Sequence[QueryView], matches: Correspondences, fine: FineConfig, config: FloorConfig) -> RigPose | None:
    """The level pose at height 0 that most matches agree with; none if too few do."""
    if len(matches) < config.min_inliers:
        return None
    rays = _rays(views, matches)
    poses = _proposals(rays, config)
    if len(poses) == 0:
        return None
    tolerance = max_error_px(views, fine) / min(view.model.fx for view in views)  # of a ray, as the tangent of an angle
    support = (_errors(rays, poses) <= tolerance).sum(axis=1)
    best: tuple[int, FloatArray] | None = None
    for k in np.argsort(-support, kind="stable")[: config.refined]:
        pose, count = _refined(rays, poses[k], tolerance, config)
        if best is None or count > best[0]:
            best = count, pose
    assert best is not None
    if best[0] < config.min_inliers:
        return None
    map_from_base = Pose3.from_pose2(Pose2(*(float(v) for v in best[1])))
    inliers = reprojection_errors(views, matches, map_from_base) <= max_error_px(views, fine)
    if int(inliers.sum()) < config.min_inliers:
        return None
    covariance, sigma_px = pose_covariance(views, matches.select(inliers), map_from_base, fine)
    return None if covariance is None else RigPose(map_from_base, inliers, covariance, sigma_px)


def _rays(views: Sequence[QueryView], matches: Correspondences) -> _Rays:
    origin, direction = np.zeros((len(matches), 3)), np.full((len(matches), 3), np.nan)
    for row, view in enumerate(views):
        chosen = matches.view == row
        if chosen.any():
            flat = view.model.unproject(matches.pixels[chosen])
            rays = np.column_stack([flat, np.ones(len(flat))]) @ view.base_from_cam.rotation.T
            direction[chosen] = rays / np.linalg.norm(rays, axis=1, keepdims=True)
            origin[chosen] = view.base_from_cam.translation
    direction[~np.isfinite(direction).all(axis=1)] = [0.0, 0.0, 1.0]  # agrees with nothing
    return _Rays(origin, direction, matches.points_map)


def _proposals(rays: _Rays, config: FloorConfig) -> FloatArray:
    """Poses (K, 3) x, y, yaw from pairs of matches: the first's place, the second's bearing."""
    slope = rays.direction[:, 2]
    safe = np.where(np.abs(slope) >= config.min_slope, slope, np.nan)
    length = (rays.points[:, 2] - rays.origin[:, 2]) / safe
    sure = np.flatnonzero(np.isfinite(length) & (length > 0.2) & (length < config.max_range_m))
    if len(sure) == 0:
        return np.zeros((0, 3))
    rng = np.random.default_rng(config.seed)
    i, j = sure[rng.integers(len(sure), size=config.pairs)], rng.integers(len(slope), size=config.pairs)
    near = (rays.origin[i] + length[i, None] * rays.direction[i])[:, :2]  # the first point in the base frame
    across = rays.points[j, :2] - rays.points[i, :2]
    gap = np.linalg.norm(across, axis=1)
    bearing = np.arctan2(rays.direction[j, 1], rays.direction[j, 0])
    towards = np.column_stack([np.cos(bearing), np.sin(bearing)])
    offset = near - rays.origin[j, :2]
    sine = -(towards[:, 0] * offset[:, 1] - towards[:, 1] * offset[:, 0]) / np.maximum(gap, 1e-9)
    usable = (gap > 0.1) & (np.abs(sine) <= 1.0)
    turn = np.arcsin(np.clip(sine, -1.0, 1.0))
    out = []
    for beta in (bearing + turn, bearing + np.pi - turn):  # direction from the first point to the second in the base frame
        ahead = (offset * towards).sum(axis=1) + gap * np.cos(beta - bearing) > 0.0
        yaw = np.arctan2(across[:, 1], across[:, 0]) - beta
        cos, sin = np.cos(yaw), np.sin(yaw)
        x = rays.points[i, 0] - (cos * near[:, 0] - sin * near[:, 1])
        y = rays.points[i, 1] - (sin * near[:, 0] + cos * near[:, 1])
        out.append(np.column_stack([x, y, yaw])[usable & ahead])
    return np.concatenate(out)


def _in_base(rays: _Rays, poses: FloatArray) -> FloatArray:
    """The map points as seen from the rays' origins, in the base frames of poses (K, 3): (K, M, 3)."""
    cos, sin = np.cos(poses[:, 2])[:, None], np.sin(poses[:, 2])[:, None]
    dx, dy = rays.points[None, :, 0] - poses[:, :1], rays.points[None, :, 1] - poses[:, 1:2]
    z = np.broadcast_to(rays.points[:, 2], dx.shape)
    return np.stack([cos * dx + sin * dy, cos * dy - sin * dx, z], axis=2) - rays.origin


def _errors(rays: _Rays, poses: FloatArray) -> FloatArray:
    """Tangents (K, M) of the angles between rays and points; infinite behind a camera."""
    seen = _in_base(rays, poses)
    along = np.einsum("kmi,mi->km", seen, rays.direction)
    across = np.sqrt(np.maximum((seen**2).sum(axis=2) - along**2, 0.0))
    errors: FloatArray = np.where(along > 0.1, across / np.maximum(along, 1e-9), np.inf)
    return errors


def _refined(rays: _Rays, pose: FloatArray, tolerance: float, config: FloorConfig) -> tuple[FloatArray, int]:
    """Gauss-Newton on the inliers, which are chosen anew each time; the pose (3,) and how many agree with it."""
    best, count = pose, 0
    for _ in range(config.iterations):
        inliers = _errors(rays, pose[None])[0] <= tolerance
        if int(inliers.sum()) > count:
            best, count = pose, int(inliers.sum())
        if int(inliers.sum()) < 3:
            break
        chosen = _Rays(rays.origin[inliers], rays.direction[inliers], rays.points[inliers])
        residual = _residuals(chosen, pose)
        jacobian = np.column_stack([(_residuals(chosen, pose + step) - residual) / 1e-5 for step in 1e-5 * np.eye(3)])
        pose = pose - np.linalg.lstsq(jacobian, residual, rcond=None)[0]
    final = int((_errors(rays, pose[None])[0] <= tolerance).sum())
    return (pose, final) if final >= count else (best, count)


def _residuals(rays: _Rays, pose: FloatArray) -> FloatArray:
    """Directions to the points less the rays', (3M,)."""
    seen = _in_base(rays, pose[None])[0]
    residuals: FloatArray = (seen / np.linalg.norm(seen, axis=1, keepdims=True) - rays.direction).ravel()
    return residuals
