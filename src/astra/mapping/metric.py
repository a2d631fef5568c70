"""A reconstruction in metres and upright: scale and gravity applied, the map frame put at the first base_link of the tour, on the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.types import FloatArray
from astra.geometry import CameraRig, Pose3, Trajectory
from astra.mapping.clues import MetricClues, camera_height_reading, distance_reading
from astra.mapping.gravity import Up, up_of_horizon, up_of_poses
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


@dataclass(frozen=True, slots=True, eq=False)
class MetricFragment:
    """A fragment in the map frame, metres.

    map_from_base: keyframe id → pose. map_from_cam: view id → pose. points_map: (P, 3).
    map_from_sfm: rotation and translation applied after multiplying by scale.metres_per_unit.
    planarity_m: RMS of a robot's base positions from the floor plane. up: gravity as it was found, in the fragment's own frame.
    """

    sfm: SfmFragment
    scale: ScaleEstimate
    map_from_sfm: Pose3
    map_from_base: dict[int, Pose3]
    map_from_cam: dict[int, Pose3]
    points_map: FloatArray
    planarity_m: float
    up: Up | None = None


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
    readings = [
        distance_reading(fragment, keyframes, clues, config),
        odometry_reading(motions(fragment, keyframes, rigs, config), config),
        camera_height_reading(fragment, up, clues, config),
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
    tour_of = {k.id: k.tour for k in keyframes}
    ids = sorted(fragment.sfm_from_ref)
    rotations = np.array([(fragment.sfm_from_ref[k] @ rigs[tour_of[k]].cameras[0].base_from_cam.inverse()).rotation for k in ids])
    first_up = up_of_horizon(rotations) if not mounted else Up(_mean_direction(rotations[:, :, 2]), math.nan, "poses")
    scale = estimate_scale(fragment, keyframes, rigs, first_up.direction, clues, config)
    factor = scale.metres_per_unit
    poses = {k: _scaled(fragment.sfm_from_ref[k], factor) @ rigs[tour_of[k]].cameras[0].base_from_cam.inverse() for k in ids}
    positions = np.array([poses[k].translation for k in ids])
    up = up_of_poses(positions, rotations) if mounted else first_up
    planarity = float(np.sqrt(np.mean(((positions - positions.mean(axis=0)) @ up.direction) ** 2))) if mounted else math.nan
    map_from_sfm = _level(poses[ids[0]], up.direction, positions, mounted)
    return MetricFragment(
        fragment,
        scale,
        map_from_sfm,
        {k: map_from_sfm @ poses[k] for k in ids},
        {v: map_from_sfm @ _scaled(p, factor) for v, p in fragment.sfm_from_cam.items()},
        map_from_sfm.apply(fragment.points * factor),
        planarity,
        up,
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
    compared = motions(fragment.sfm, keyframes, rigs, config)
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
    if fragment.planarity_m > config.max_planarity_m:
        warnings.append(f"base poses leave the floor plane by {100 * fragment.planarity_m:.0f} cm RMS: uneven floor, or a bent map")
    return warnings


def _scaled(pose: Pose3, factor: float) -> Pose3:
    return Pose3(pose.rotation, pose.translation * factor)


def _mean_direction(vectors: FloatArray) -> FloatArray:
    mean = vectors.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _level(first: Pose3, up: FloatArray, positions: FloatArray, mounted: bool) -> Pose3:
    """map_from_sfm (metric): z along `up`, x along the first base's heading, origin below it on the floor plane."""
    heading = first.rotation[:, 0] - up * float(first.rotation[:, 0] @ up)
    x = heading / max(float(np.linalg.norm(heading)), 1e-9)
    rotation = np.stack([x, np.cross(up, x), up])
    floor = float(np.median(positions @ up)) if mounted else float(first.translation @ up)
    origin = first.translation + up * (floor - float(first.translation @ up))
    return Pose3(rotation, -rotation @ origin)
