"""A lidar that hangs is noticed, one that stands still is not blamed."""

from __future__ import annotations

import numpy as np

from astra.core.types import LaserScan
from astra.geometry import Pose2
from astra.navigation.repeats import RepeatWatch


def scan(metres: float) -> LaserScan:
    return LaserScan(0, "lidar", np.array([metres, np.inf, np.nan], dtype=np.float32), 0.0, 0.1, 0.1, 10.0)


def test_a_scan_that_stays_while_the_robot_moves_is_not_believed_until_another_comes() -> None:
    watch = RepeatWatch()
    assert not watch.repeats(scan(1.0), Pose2())
    assert not watch.repeats(scan(1.0), Pose2(0.03, 0.0, 0.0))
    assert watch.repeats(scan(1.0), Pose2(0.05, 0.0, 0.0))
    assert watch.repeats(scan(1.0), Pose2(0.05, 0.0, 0.0))  # standing does not make it true
    assert not watch.repeats(scan(1.01), Pose2(0.05, 0.0, 0.0))
    assert watch.repeats(scan(1.01), Pose2(0.05, 0.0, 0.1))


def test_a_robot_that_stands_may_see_the_same_for_ever_and_an_empty_hall_tells_nothing() -> None:
    watch = RepeatWatch()
    assert not any(watch.repeats(scan(2.0), Pose2(1.0, 0.0, 0.0)) for _ in range(5))
    assert not any(watch.repeats(scan(np.inf), Pose2(float(x), 0.0, 0.0)) for x in range(5))
