"""Messages that go bad on order, and a table whose injections exist."""

from __future__ import annotations

import math
from pathlib import Path as FolderPath

import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, LaserScan

from astra.core.errors import BadInputError
from astra.evaluation.faults.table import FAULTS
from astra.ros.faults.injections import INJECTIONS
from astra.ros.faults.spoil import spoiler, with_every_float

pytestmark = pytest.mark.ros


def scan(second: int, metres: float) -> LaserScan:
    message = LaserScan(ranges=[metres] * 3)
    message.header.stamp.sec = second
    return message


def test_every_number_becomes_nan_and_lengths_stay() -> None:
    message = with_every_float(scan(1, 2.0), math.nan)
    assert len(message.ranges) == 3
    assert all(map(math.isnan, [*message.ranges, message.range_max, message.angle_increment]))
    path = with_every_float(Path(poses=[PoseStamped()]), math.nan)
    assert math.isnan(path.poses[0].pose.orientation.w)
    odometry = with_every_float(Odometry(), math.nan)
    assert len(odometry.pose.covariance) == 36
    assert all(math.isnan(value) for value in odometry.pose.covariance)


def test_a_frozen_sensor_repeats_itself_with_fresh_stamps_and_a_late_one_keeps_its_stamps() -> None:
    frozen, late = spoiler("frozen"), spoiler("late", 1)
    assert [(m.header.stamp.sec, m.ranges[0]) for i in (1, 2) for m in frozen(scan(i, float(i)))] == [(1, 1.0), (2, 1.0)]
    assert [m.header.stamp.sec for i in (1, 2, 3) for m in late(scan(i, 1.0))] == [1, 2]


def test_black_missing_scaled_and_shifted() -> None:
    image = Image(encoding="rgb8", data=bytes([9] * 6))
    assert bytes(spoiler("black")(image)[0].data) == bytes(6)
    assert spoiler("missing")(image) == ()
    odometry = Odometry()
    odometry.twist.twist.linear.x = 1.0
    assert spoiler("scaled", 1.3)(odometry)[0].twist.twist.linear.x == pytest.approx(1.3)
    assert spoiler("shifted", -3.0)(Clock(clock=Time(sec=10)))[0].clock.sec == 7
    assert spoiler("shifted", -3.0)(scan(1, 1.0))[0].header.stamp.sec == 0  # time does not begin before it begins
    with pytest.raises(BadInputError, match="cannot be 'tired'"):
        spoiler("tired")


def test_every_fault_of_the_table_can_be_brought_about() -> None:
    assert {fault.how for fault in FAULTS} <= {"mllm", *INJECTIONS}
    for fault in FAULTS:
        for text in fault.what if fault.how == "sensors" else ():
            stream, way, *value = text.split(":")
            if stream != "wheels":
                spoiler(way, *map(float, value))


def test_a_recording_that_is_taken_up_again_goes_beside_the_old_one(tmp_path: FolderPath) -> None:
    from astra.ros.nodes.astra_recorder import free_name

    assert free_name(tmp_path / "bag") == tmp_path / "bag"
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag_2").mkdir()
    assert free_name(tmp_path / "bag") == tmp_path / "bag_3"
