"""Stage 5: metres, gravity and the map frame.

Scale is the robust ratio of odometry's to SfM's displacements over windows of a few metres, in which odometry has not drifted yet; without
odometry the rig's extrinsics give it, and without a rig it stays unknown and is called so. The floor is the plane through the base poses;
the map frame is the first base_link of the tour, put on that floor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import CameraRig, Pose3, Trajectory
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment


@dataclass(frozen=True, slots=True)
class ScaleConfig:
    """Windows over which SfM and odometry are compared, and when their disagreement is worth a warning."""

    window_m: float = 2.5
    min_windows: int = 5
    odometry_sigma: float = 0.008  # relative, that no averaging removes: wheel radius, tyre wear, systematic slip
    max_scale_sigma: float = 0.02  # relative; above it the scale is called uncertain
    max_planarity_m: float = 0.06  # RMS of base positions from the floor plane
    max_inconsistency: float = 0.10  # of a window's length that SfM and odometry may differ by
    max_turn_inconsistency_rad: float = math.radians(6.0)  # over one window

    def __post_init__(self) -> None:
        require(0.2 <= self.window_m <= 50.0, "window_m", self.window_m, "0.2 … 50")
        require(self.min_windows >= 1, "min_windows", self.min_windows, "≥ 1")
        require(0.0 <= self.odometry_sigma < 1.0, "odometry_sigma", self.odometry_sigma, "in [0, 1)")
        require(0.0 < self.max_scale_sigma < 1.0, "max_scale_sigma", self.max_scale_sigma, "in (0, 1)")
        require(self.max_planarity_m > 0.0, "max_planarity_m", self.max_planarity_m, "> 0")
        require(0.0 < self.max_inconsistency < 1.0, "max_inconsistency", self.max_inconsistency, "in (0, 1)")
        require(self.max_turn_inconsistency_rad > 0.0, "max_turn_inconsistency_rad", self.max_turn_inconsistency_rad, "> 0")


@dataclass(frozen=True, slots=True)
class ScaleEstimate:
    """Metres per SfM unit, its relative sigma, and where it came from: "odometry", "rig" or "unknown"."""

    metres_per_unit: float
    sigma: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class MetricFragment:
    """A fragment in the map frame, metres.

    map_from_base: keyframe id → pose. map_from_cam: view id → pose. points_map: (P, 3).
    map_from_sfm: rotation and translation applied after multiplying by scale.metres_per_unit.
    """

    sfm: SfmFragment
    scale: ScaleEstimate
    map_from_sfm: Pose3
    map_from_base: dict[int, Pose3]
    map_from_cam: dict[int, Pose3]
    points_map: FloatArray
    planarity_m: float


@dataclass(frozen=True, slots=True, eq=False)
class _Motions:
    """Motions of the first camera between keyframes i < j about a window apart, in that camera's frame at i.

    odometry: (W, 3) [m], sfm: (W, 3) [units]; turn_error_rad: (W,) angle between the two rotations.
    """

    keyframes: list[tuple[int, int]]
    odometry: FloatArray
    sfm: FloatArray
    turn_error_rad: FloatArray


def estimate_scale(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], config: ScaleConfig | None = None
) -> ScaleEstimate:
    """The fragment's scale from the best source at hand."""
    config = config or ScaleConfig()
    motions = _motions(fragment, keyframes, rigs, config)
    if len(motions.keyframes) >= config.min_windows and np.linalg.norm(motions.odometry, axis=1).max() > 0.2 * config.window_m:
        return _scale_from_odometry(motions, config)
    if math.isfinite(fragment.unit_m):
        return ScaleEstimate(fragment.unit_m, math.nan, "rig")
    # Unknown: units are chosen so that the median point lies two units from the camera that sees it, and the map says so.
    return ScaleEstimate(2.0 / max(_median_depth(fragment), 1e-9), math.nan, "unknown")


def to_metric(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], mounted: bool, config: ScaleConfig | None = None
) -> MetricFragment:
    """Bring a fragment into metres, upright, with its first keyframe's base_link at the origin, heading along x.

    Args:
        rigs: one a tour.
        mounted: whether base_link's tilt is known (a robot's rig); a hand-held camera's is found from its horizon.
    """
    scale = estimate_scale(fragment, keyframes, rigs, config)
    factor = scale.metres_per_unit
    tour_of = {k.id: k.tour for k in keyframes}
    ids = sorted(fragment.sfm_from_ref)
    poses = {k: _scaled(fragment.sfm_from_ref[k], factor) @ rigs[tour_of[k]].cameras[0].base_from_cam.inverse() for k in ids}
    positions = np.array([poses[k].translation for k in ids])
    rotations = np.array([poses[k].rotation for k in ids])
    up = _up(positions, rotations) if mounted else _horizon(rotations)
    planarity = float(np.sqrt(np.mean(((positions - positions.mean(axis=0)) @ up) ** 2))) if mounted else math.nan
    map_from_sfm = _level(poses[ids[0]], up, positions, mounted)
    return MetricFragment(
        fragment,
        scale,
        map_from_sfm,
        {k: map_from_sfm @ poses[k] for k in ids},
        {v: map_from_sfm @ _scaled(p, factor) for v, p in fragment.sfm_from_cam.items()},
        map_from_sfm.apply(fragment.points * factor),
        planarity,
    )


def moved(fragment: MetricFragment, map_from_old: Pose3) -> MetricFragment:
    """The fragment carried into another map frame."""
    return replace(
        fragment,
        map_from_sfm=map_from_old @ fragment.map_from_sfm,
        map_from_base={k: map_from_old @ p for k, p in fragment.map_from_base.items()},
        map_from_cam={v: map_from_old @ p for v, p in fragment.map_from_cam.items()},
        points_map=map_from_old.apply(fragment.points_map),
    )


def place_by_odometry(fragment: MetricFragment, anchor: MetricFragment, keyframes: Sequence[Keyframe]) -> MetricFragment:
    """Put a second fragment where odometry says it lies against `anchor`; it stays a fragment of its own.

    The keyframes nearest in time on both sides are used; without odometry the fragment keeps its own origin.
    """
    with_odometry = {k.id: k for k in keyframes if k.odom_from_base is not None}
    mine = [k for k in fragment.map_from_base if k in with_odometry]
    theirs = [k for k in anchor.map_from_base if k in with_odometry]
    pairs = [(abs(a - b), a, b) for a in mine for b in theirs if with_odometry[a].tour == with_odometry[b].tour]
    if not pairs:
        return fragment
    _, a, b = min(pairs)
    odom_from_a, odom_from_b = with_odometry[a].odom_from_base, with_odometry[b].odom_from_base
    assert odom_from_a is not None and odom_from_b is not None
    map_from_a = anchor.map_from_base[b].pose2() @ (odom_from_b.inverse() @ odom_from_a)
    map_from_old = map_from_a @ fragment.map_from_base[a].pose2().inverse()
    return moved(fragment, Pose3.from_pose2(map_from_old))


def at_tour_start(fragment: MetricFragment, keyframes: Sequence[Keyframe], odometry: Trajectory | None) -> MetricFragment:
    """Move the origin from the first registered keyframe to the first base_link of its tour, along odometry."""
    first = min(fragment.map_from_base)
    pose = next(k for k in keyframes if k.id == first).odom_from_base
    if odometry is None or pose is None or fragment.scale.source == "unknown":
        return fragment
    start = odometry.at(int(odometry.stamps_ns[0]))
    keyframe_from_start = pose.inverse() @ start
    map_from_start = fragment.map_from_base[first].pose2() @ keyframe_from_start
    return moved(fragment, Pose3.from_pose2(map_from_start.inverse()))


def inconsistencies(
    fragment: MetricFragment, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], mounted: bool, config: ScaleConfig | None = None
) -> list[str]:
    """Warnings where the metric SfM and odometry disagree over a window, and where the scale or the floor is doubtful.

    A camera whose mounting is not known can be compared by distance only.
    """
    config = config or ScaleConfig()
    warnings = []
    motions = _motions(fragment.sfm, keyframes, rigs, config)
    if len(motions.keyframes):
        in_odometry = np.linalg.norm(motions.odometry, axis=1)
        in_sfm = motions.sfm * fragment.scale.metres_per_unit
        missed = np.linalg.norm(in_sfm - motions.odometry, axis=1) if mounted else np.abs(np.linalg.norm(in_sfm, axis=1) - in_odometry)
        shift = missed / np.maximum(in_odometry, 0.5)
        turn = motions.turn_error_rad if mounted else np.zeros_like(shift)
        for error, bound, what in (
            (shift, config.max_inconsistency, "distance"),
            (turn, config.max_turn_inconsistency_rad, "heading"),
        ):
            bad = int((error > bound).sum())
            if bad:
                a, b = motions.keyframes[int(np.argmax(error))]
                warnings.append(
                    f"SfM and odometry disagree in {what} over {bad} of {len(error)} stretches, worst between keyframes {a} and {b}"
                )
    if fragment.scale.source == "unknown":
        warnings.append("the scale is unknown: give --odometry; lengths are in arbitrary units")
    elif fragment.scale.source == "odometry" and not fragment.scale.sigma <= config.max_scale_sigma:
        warnings.append(f"the scale is uncertain by {100 * fragment.scale.sigma:.1f} %")
    if fragment.planarity_m > config.max_planarity_m:
        warnings.append(f"base poses leave the floor plane by {100 * fragment.planarity_m:.0f} cm RMS: uneven floor, or a bent map")
    return warnings


def _motions(fragment: SfmFragment, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], config: ScaleConfig) -> _Motions:
    """Windows of about `window_m` of odometry path, one starting at every registered keyframe."""
    known = [
        (k, k.odom_from_base) for k in sorted(keyframes, key=lambda k: k.id) if k.odom_from_base is not None and k.id in fragment.sfm_from_ref
    ]
    pairs, in_odometry, in_sfm, turn_errors = [], [], [], []
    for i, (start, odom_from_start) in enumerate(known):
        path = 0.0
        for (_, before), (end, odom_from_end) in zip(known[i:], known[i + 1 :]):
            if end.tour != start.tour:
                break
            path += before.distance_to(odom_from_end)
            if path < config.window_m:
                continue
            base_from_cam = rigs[start.tour].cameras[0].base_from_cam
            by_odometry = base_from_cam.inverse() @ Pose3.from_pose2(odom_from_start.inverse() @ odom_from_end) @ base_from_cam
            by_sfm = fragment.sfm_from_ref[start.id].inverse() @ fragment.sfm_from_ref[end.id]
            pairs.append((start.id, end.id))
            in_odometry.append(by_odometry.translation)
            in_sfm.append(by_sfm.translation)
            turn_errors.append(by_odometry.angle_to(by_sfm))
            break
    return _Motions(pairs, np.array(in_odometry).reshape(-1, 3), np.array(in_sfm).reshape(-1, 3), np.array(turn_errors))


def _scale_from_odometry(motions: _Motions, config: ScaleConfig) -> ScaleEstimate:
    """Median of the windows' ratios of displacement, weighted by displacement so that turns on the spot do not count."""
    in_odometry = np.linalg.norm(motions.odometry, axis=1)
    in_sfm = np.linalg.norm(motions.sfm, axis=1)
    usable = (in_odometry > 0.3 * in_odometry.max()) & (in_sfm > 1e-9)
    ratio, weight = in_odometry[usable] / in_sfm[usable], in_odometry[usable]
    scale = _weighted_median(ratio, weight)
    for _ in range(10):  # Huber about the median: the mean of the inliers is the finer estimate
        residual = np.abs(ratio - scale)
        bound = 1.5 * max(1.4826 * float(np.median(residual)), 1e-6 * scale)
        robust = weight * np.minimum(1.0, bound / np.maximum(residual, 1e-12))
        scale = float((robust * ratio).sum() / robust.sum())
    spread = 1.4826 * float(np.median(np.abs(ratio - scale))) / scale
    overlap = 4.0  # neighbouring windows share most of their path
    return ScaleEstimate(scale, math.hypot(spread / math.sqrt(max(len(ratio) / overlap, 1.0)), config.odometry_sigma), "odometry")


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _scaled(pose: Pose3, factor: float) -> Pose3:
    return Pose3(pose.rotation, pose.translation * factor)


def _up(positions: FloatArray, rotations: FloatArray) -> FloatArray:
    """The floor's normal (3,): the base frames' z axes and the plane through their positions, each weighed by its noise.

    Minimises Σ (n·(p − p̄))² / σ_p² + Σ |n − z|² / σ_z² over n = z̄ + tangent, three linearised steps.
    """
    position_sigma, axis_sigma, independent = 0.02, math.radians(0.5), 10.0
    up = rotations[:, :, 2].mean(axis=0)
    up /= np.linalg.norm(up)
    prior = up.copy()
    centred = positions - positions.mean(axis=0)
    scatter = centred.T @ centred / position_sigma**2
    trust = min(len(positions), independent) / axis_sigma**2  # the axes' errors are alike, they do not average out
    for _ in range(3):
        basis = np.linalg.svd(up[None])[2][1:]  # (2, 3) tangents
        normal = basis @ scatter @ basis.T + trust * np.eye(2)
        right = -basis @ scatter @ up + trust * basis @ (prior - up)
        up = up + np.linalg.solve(normal, right) @ basis
        up /= np.linalg.norm(up)
    return np.asarray(up, dtype=np.float64)


def _horizon(rotations: FloatArray) -> FloatArray:
    """Up for a hand-held camera: people hold it level, so up is the direction most orthogonal to all its sideways axes."""
    sideways = rotations[:, :, 1]
    _, _, axes = np.linalg.svd(sideways)
    up: FloatArray = axes[-1]
    if float((rotations[:, :, 2] @ up).mean()) < 0:
        up = -up
    return up


def _level(first: Pose3, up: FloatArray, positions: FloatArray, mounted: bool) -> Pose3:
    """map_from_sfm (metric): z along `up`, x along the first base's heading, origin below it on the floor plane."""
    heading = first.rotation[:, 0] - up * float(first.rotation[:, 0] @ up)
    x = heading / max(float(np.linalg.norm(heading)), 1e-9)
    rotation = np.stack([x, np.cross(up, x), up])
    floor = float(np.median(positions @ up)) if mounted else float(first.translation @ up)
    origin = first.translation + up * (floor - float(first.translation @ up))
    return Pose3(rotation, -rotation @ origin)


def _median_depth(fragment: SfmFragment) -> float:
    depths = []
    for view_id, rows in fragment.observations.items():
        seen = rows[rows >= 0]
        if len(seen):
            depths.append(np.median(fragment.sfm_from_cam[view_id].inverse().apply(fragment.points[seen])[:, 2]))
    return float(np.median(depths)) if depths else 1.0
