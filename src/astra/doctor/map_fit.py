"""Does the map fit the building and the robot of this drive? Pictures from all along it are localized, and the ways between them compared with odometry."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from astra.core.types import FloatArray, Observation
from astra.datasets import Drive
from astra.doctor.finding import Finding, Severity, graded
from astra.geometry import Pose2
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import Query, Status

LOOKS = 20
LEVEL_M = 0.15  # base_link of a fix lies on the floor


def examine_map(drive: Drive, map_dir: Path) -> Iterator[Finding]:
    """What the drive's pictures say of a map."""
    localizer, odometry = GlobalLocalizer(map_dir), drive.odometry
    fixes, looks = [], 0
    for observation in _spread(drive):
        looks += 1
        # Cameras that hang higher than told show as a base that floats: nothing is assumed about the floor.
        result = localizer.localize(replace(Query.from_frames(observation.frames, drive.rig), on_floor=False))
        if result.status is Status.LOCALIZED and result.map_from_base is not None:
            fixes.append((observation.stamp_ns, result.map_from_base))
    if not looks:
        yield Finding("map", Severity.UNKNOWN, "the drive has no pictures")
        return
    share = len(fixes) / looks
    what = f"{len(fixes)} of {looks} looks are localized on {map_dir.name}"
    yield graded(
        "map fits the place", share, "share", 0.5, 0.1, what=what, advice="is it the right building? Film what has changed and `astra map extend` the map"
    )
    if len(fixes) < 3:
        return
    heights = np.array([pose.translation[2] for _, pose in fixes])
    off = float(np.median(heights))
    advice = "mend the cameras' height or pitch in your URDF, or the map's scale"
    yield graded("map fits the cameras", abs(off), "m", LEVEL_M, 3 * LEVEL_M, what=f"base_link comes out {off:+.2f} m above the floor", advice=advice)
    if odometry is not None:
        ratio = _scale([(odometry.at(stamp), pose.pose2()) for stamp, pose in fixes])
        if ratio is not None:
            what = f"the map's metres are {ratio:.3f} of the wheels'"
            yield graded(
                "map fits the wheels",
                abs(ratio - 1.0),
                "ratio − 1",
                0.03,
                0.1,
                what=what,
                advice=f"multiply the wheels' radius by {ratio:.3f}, or mend the map's scale",
            )


def _scale(pairs: list[tuple[Pose2, Pose2]]) -> float | None:
    """Metres on the map for a metre of odometry, from one fix to the next; None where the robot hardly moved."""
    ways: FloatArray = np.array([[a[0].distance_to(b[0]), a[1].distance_to(b[1])] for a, b in itertools.pairwise(pairs)])
    long = ways[:, 0] > 0.5
    return float(np.median(ways[long, 1] / ways[long, 0])) if long.sum() >= 3 else None


def _spread(drive: Drive) -> Iterator[Observation]:
    """About `LOOKS` sets of pictures, evenly over the drive."""
    step_ns, due = round(drive.duration_s * 1e9 / LOOKS), 0
    for observation in drive.observations():
        if observation.frames and observation.stamp_ns >= due:
            due = observation.stamp_ns + step_ns
            yield observation
