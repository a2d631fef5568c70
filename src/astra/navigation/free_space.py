"""How far the robot may drive straight on in some direction, by one sweep of the lidar: what it did not see is not free."""

from __future__ import annotations

import math

import numpy as np

from astra.core.types import FloatArray, LaserScan
from astra.geometry import Pose2

_UNKNOWN_RAD = math.pi / 4.0  # a beam that says nothing, this near to the way, may hide something at the robot's very front


def free_ways(scan: LaserScan, base_from_lidar: Pose2, headings_rad: FloatArray, half_width_m: float, front_m: float) -> FloatArray:
    """Distance (H,) [m] that a robot of this half width may drive along each heading of base_link before its front touches something.

    A heading is known if beams cover the width of the robot a metre ahead and all beams about it say something (are not NaN).
    """
    angles = np.asarray(scan.angles(), dtype=np.float64)
    silent = np.isnan(scan.ranges)
    ranges = np.where(silent, 0.0, np.minimum(scan.ranges, scan.range_max_m)).astype(np.float64)
    points = base_from_lidar.apply(np.column_stack([ranges * np.cos(angles), ranges * np.sin(angles)]))[~silent]
    beams = angles + base_from_lidar.yaw
    sector = math.atan2(half_width_m, 1.0)
    needed = max(2.0, 0.8 * 2.0 * sector / max(abs(scan.angle_increment_rad), 1e-6))
    ways = np.zeros(len(headings_rad))
    for k, heading in enumerate(np.asarray(headings_rad, dtype=np.float64)):
        off = np.abs((beams - heading + math.pi) % (2.0 * math.pi) - math.pi)
        if np.count_nonzero(off <= sector) < needed or (silent & (off <= _UNKNOWN_RAD)).any():
            continue
        c, s = math.cos(heading), math.sin(heading)
        ahead, aside = points @ np.array([c, s]), points @ np.array([-s, c])
        blocking = (np.abs(aside) <= half_width_m) & (ahead > 0.0)
        ways[k] = max((float(ahead[blocking].min()) if blocking.any() else 0.0) - front_m, 0.0)
    return ways
