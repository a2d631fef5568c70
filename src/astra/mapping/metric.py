"""A reconstruction in metres and upright: scale and gravity applied, the map frame put at the first base_link of the tour, on the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.types import FloatArray
from astra.geometry import CameraRig, Pose3, Trajectory
from astra.mapping.clues import FloorPlane, MetricClues, camera_height_reading, distance_reading, find_floor
from astra.mapping.gravity import Up, up_of_horizon, up_of_poses
from astra.mapping.inertial import imu_reading, up_of_imu
from astra.mapping.keyframes import Keyframe
from astra.mapping.scale import (
    ScaleConfig,
    ScaleEstimate,
    disagreements,
    fuse_scale,
    motions,
    odometry_reading,
    rig_reading,
    unknown_scale,
)
from astra.mapping.sfm import SfmFragment

MAX_BASE_TILT_RAD = math.radians(3.0)  # of a robot's base_link, and of a floor
MAX_DRIVE_RELIEF_M = 0.15  # RMS; what moved up and down by more did not drive on a floor

@dataclass(frozen=True, slots=True, eq=False)
class MetricFragment:
    """A fragment in the map frame, metres.

    map_from_base: keyframe id → pose. map_from_cam: view id → pose. points_map: (P, 3).
    map_from_sfm: rotation and translation applied after multiplying by scale.metres_per_unit.
    planarity_m: RMS of a robot's base positions from the floor plane. up: as it was found, in the fragment's own frame.
    gravity_sigmas: by how many sigmas that departs from what an IMU felt; NaN without one.
    joined_from: the reconstructions that `bridges` joined to this one, in its frame.
    """

    sfm: SfmFragment
    scale: ScaleEstimate
    map_from_sfm: Pose3
    map_from_base: dict[int, Pose3]
    map_from_cam: dict[int, Pose3]
    points_map: FloatArray
    planarity_m: float
    up: Up | None = None
    gravity_sigmas: float = math.nan
    joined_from: tuple[MetricFragment, ...] = ()


def estimate_scale(
    fragment: SfmFragment,
    keyframes: Sequence[Keyframe],
    rigs: Sequence[CameraRig],
    up: FloatArray,
    clues: MetricClues | None = None,
    config: ScaleConfig | None = None,
) -> ScaleEstimate:
    """The fragment's scale from every source at hand.

    Args:
        up: (3,) against gravity, in the fragment's frame; the floor is looked for along it.
    """
    config, clues = config or ScaleConfig(), clues or MetricClues()
    windows, steps = (motions(fragment, keyframes, rigs, length_m) for length_m in (config.window_m, config.slip_window_m))
    readings = [
        distance_reading(fragment, keyframes, clues, config),
        odometry_reading(windows, steps, config),
        camera_height_reading(fragment, up, clues, config),
        imu_reading(fragment, keyframes, clues.imu),
        rig_reading(fragment, rigs, config),
    ]
    return fuse_scale([r for r in readings if r is not None], config) or unknown_scale(fragment)


def to_metric(
    fragment: SfmFragment,
    keyframes: Sequence[Keyframe],
    rigs: Sequence[CameraRig],
    mounted: bool,
    config: ScaleConfig | None = None,
    clues: MetricClues | None = None,
) -> MetricFragment:
    """Bring a fragment into metres, upright, with its first keyframe's base_link at the origin, heading along x.

    Args:
        rigs: one a tour.
        mounted: whether base_link's tilt is known (a robot's rig); a hand-held camera's is found from its horizon.
        clues: what else is known of lengths and of gravity.
    """
    clues = clues or MetricClues()
    tour_of = {k.id: k.tour for k in keyframes}
    ids = sorted(fragment.sfm_from_ref)
    ref_from_base = {k: rigs[tour_of[k]].cameras[0].base_from_cam.inverse() for k in ids}
    rotations = np.array([(fragment.sfm_from_ref[k] @ ref_from_base[k]).rotation for k in ids])
    inertial = up_of_imu(fragment, keyframes, clues.imu)
    up, floor = _up_of_robot(rotations, inertial), None
    if not mounted:
        up, floor = _up_of_walk(fragment, rotations, inertial)
    scale = estimate_scale(fragment, keyframes, rigs, up.direction, clues, config)
    factor = scale.metres_per_unit
    poses = {k: _scaled(fragment.sfm_from_ref[k], factor) @ ref_from_base[k] for k in ids}
    positions = np.array([poses[k].translation for k in ids])
    if mounted:
        up = _upright(positions, rotations, inertial)
    height = float(np.median(positions @ up.direction)) if mounted else float(positions[0] @ up.direction)
    if floor is not None:
        height -= factor * float(floor.heights(positions[:1] / factor)[0])
    map_from_sfm = _level(poses[ids[0]], up.direction, height)
    return MetricFragment(
        fragment,
        scale,
        map_from_sfm,
        {k: map_from_sfm @ poses[k] for k in ids},
        {v: map_from_sfm @ _scaled(p, factor) for v, p in fragment.sfm_from_cam.items()},
        map_from_sfm.apply(fragment.points * factor),
        _planarity(positions, up) if mounted else math.nan,
        up,
        math.nan if inertial is None else inertial.angle_to(up) / math.hypot(inertial.sigma_rad, up.sigma_rad),
    )


def _up_of_robot(rotations: FloatArray, inertial: Up | None) -> Up:
    """Up before the scale is known: gravity, else the mean of the upright base frames' z axes."""
    if inertial is not None:
        return inertial
    mean = rotations[:, :, 2].mean(axis=0)
    return Up(np.asarray(mean / np.linalg.norm(mean)), MAX_BASE_TILT_RAD, "poses")


def _upright(positions: FloatArray, rotations: FloatArray, inertial: Up | None) -> Up:
    """The floor that the robot drove on, unless it did not drive on one: then gravity, where an IMU felt it."""
    up = up_of_poses(positions, rotations, inertial)
    return inertial if inertial is not None and _planarity(positions, up) > MAX_DRIVE_RELIEF_M else up


def _up_of_walk(fragment: SfmFragment, rotations: FloatArray, inertial: Up | None) -> tuple[Up, FloorPlane | None]:
    """Up of a camera in the hand, and the floor if it is seen: gravity, else the floor's normal, else the horizon."""
    up = inertial or up_of_horizon(rotations)
    positions = np.array([pose.translation for pose in fragment.sfm_from_ref.values()])
    floor = find_floor(fragment.points, positions, up.direction)
    if floor is None or not floor.is_lowest(fragment.points):
        return up, None
    of_floor = Up(floor.normal, floor.tilt_sigma_rad, "floor")
    if inertial is not None or up.angle_to(of_floor) > 3.0 * math.hypot(up.sigma_rad, of_floor.sigma_rad):
        return up, None if up.angle_to(of_floor) > MAX_BASE_TILT_RAD else floor
    return of_floor, floor


def moved(fragment: MetricFragment, map_from_old: Pose3) -> MetricFragment:
    """The fragment carried into another map frame."""
    return replace(
        fragment,
        map_from_sfm=map_from_old @ fragment.map_from_sfm,
        map_from_base={k: map_from_old @ p for k, p in fragment.map_from_base.items()},
        map_from_cam={v: map_from_old @ p for v, p in fragment.map_from_cam.items()},
        points_map=map_from_old.apply(fragment.points_map),
        joined_from=tuple(moved(part, map_from_old) for part in fragment.joined_from),
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
    compared = motions(fragment.sfm, keyframes, rigs, config.window_m)
    if len(compared.keyframes):
        in_odometry = np.linalg.norm(compared.odometry, axis=1)
        in_sfm = compared.sfm * fragment.scale.metres_per_unit
        missed = np.linalg.norm(in_sfm - compared.odometry, axis=1) if mounted else np.abs(np.linalg.norm(in_sfm, axis=1) - in_odometry)
        shift = missed / np.maximum(in_odometry, 0.5)
        turn = compared.turn_error_rad if mounted else np.zeros_like(shift)
        for error, bound, what in (
            (shift, config.max_inconsistency, "distance"),
            (turn, config.max_turn_inconsistency_rad, "heading"),
        ):
            bad = int((error > bound).sum())
            if bad:
                a, b = compared.keyframes[int(np.argmax(error))]
                warnings.append(
                    f"SfM and odometry disagree in {what} over {bad} of {len(error)} stretches, worst between keyframes {a} and {b}"
                )
    if fragment.scale.source == "unknown":
        warnings.append("the scale is unknown: give --odometry, --camera-height or --distance; lengths are in arbitrary units")
    elif not fragment.scale.sigma <= config.max_scale_sigma:
        warnings.append(f"the scale is uncertain by {100 * fragment.scale.sigma:.1f} %")
    warnings += disagreements(fragment.scale)
    if fragment.gravity_sigmas > config.max_disagreement:
        warnings.append("the floor that the robot drove on is not level by the IMU: a ramp, a tilted IMU, or a bent map")
    if fragment.planarity_m > config.max_planarity_m:
        warnings.append(f"base poses leave the floor plane by {100 * fragment.planarity_m:.0f} cm RMS: uneven floor, or a bent map")
    return warnings


def _scaled(pose: Pose3, factor: float) -> Pose3:
    return Pose3(pose.rotation, pose.translation * factor)


def _planarity(positions: FloatArray, up: Up) -> float:
    """RMS [m] of base positions (N, 3) from a level plane."""
    return float(np.sqrt(np.mean(((positions - positions.mean(axis=0)) @ up.direction) ** 2)))


def _level(first: Pose3, up: FloatArray, height: float) -> Pose3:
    """map_from_sfm (metric): z along `up`, x along the first base's heading, origin below it where z is `height`."""
    heading = first.rotation[:, 0] - up * float(first.rotation[:, 0] @ up)
    x = heading / max(float(np.linalg.norm(heading)), 1e-9)
    rotation = np.stack([x, np.cross(up, x), up])
    origin = first.translation + up * (height - float(first.translation @ up))
    return Pose3(rotation, -rotation @ origin)
