"""A lidar that hangs repeats its last scan with fresh stamps: no two true scans of a moving robot are alike to the last bit."""

from __future__ import annotations

import numpy as np

from astra.core.types import LaserScan
from astra.geometry.se2 import Pose2, wrap_angle

MOVED_M, MOVED_RAD = 0.04, 0.06


class RepeatWatch:
    """Tells scans that repeat while the robot moves. A scan that was repeated stays disbelieved until another one comes."""

    def __init__(self) -> None:
        self._first: tuple[LaserScan, Pose2] | None = None

    def repeats(self, scan: LaserScan, odom_from_base: Pose2) -> bool:
        """Whether this scan is the one that was first seen from somewhere else.

        Args:
            odom_from_base: where the robot is now by odometry.
        """
        if self._first is None or not np.array_equal(self._first[0].ranges, scan.ranges, equal_nan=True) or not np.isfinite(scan.ranges).any():
            self._first = (scan, odom_from_base)
            return False
        there = self._first[1]
        return there.distance_to(odom_from_base) > MOVED_M or abs(wrap_angle(odom_from_base.yaw - there.yaw)) > MOVED_RAD
