"""Missing sensors, slow ones, and transforms that nobody published."""

from __future__ import annotations

import numpy as np
from ailing_robot import MS, Record, camera

from astra.core.types import ImuSample, WheelTwist
from astra.datasets import DriveWriter, open_drive
from astra.doctor.finding import Severity, graded
from astra.doctor.sensors import examine_sensors, examine_transforms
from astra.geometry import CameraRig


def test_a_complete_robot_is_well(record: Record) -> None:
    drive = record(true=camera())
    wrong = [f for f in (*examine_sensors(drive), *examine_transforms(drive)) if f.severity is Severity.ERROR]
    assert not wrong, wrong


def test_missing_slow_and_holed_sensors_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with DriveWriter(tmp_path / "drive", CameraRig((camera(),))) as writer:
        for tick in np.delete(np.arange(100), slice(40, 70)):  # wheels at 5 Hz, with a hole of 6 s
            now = 5_000 * MS + int(tick) * 200 * MS
            writer.write_wheel(WheelTwist(now, 0.3, 0.0), now)
    findings = {f.check: f for f in examine_sensors(open_drive(tmp_path / "drive", need_cameras=False))}
    assert findings["imu"].severity is Severity.WARNING and "record the IMU" in findings["imu"].advice
    assert findings["rate of /wheel/odometry"].severity is Severity.ERROR and "5.0 Hz" in findings["rate of /wheel/odometry"].what
    assert findings["gaps of /wheel/odometry"].severity is Severity.ERROR and "6.2" in findings["gaps of /wheel/odometry"].what


def test_figures_are_graded_either_way() -> None:
    def grade(value: float, warn: float, fail: float) -> Severity:
        return graded("x", value, "m", warn, fail, what="", advice="").severity

    assert [grade(v, 1.0, 2.0) for v in (0.5, 1.0, 2.0)] == [Severity.OK, Severity.WARNING, Severity.ERROR]
    assert [grade(v, 2.0, 1.0) for v in (2.5, 2.0, 1.0)] == [Severity.OK, Severity.WARNING, Severity.ERROR]


def test_stamps_of_another_clock_and_stamps_that_step_back_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with DriveWriter(tmp_path / "drive", CameraRig((camera(),))) as writer:
        for tick in range(100):
            now = 5_000 * MS + tick * 20 * MS
            writer.write_wheel(WheelTwist(now - 3_000 * MS, 0.3, 0.0), now)  # a computer whose clock is 3 s behind
            writer.write_imu(ImuSample(now - 500 * MS * (tick >= 50), np.zeros(3), np.array([0.0, 0.0, 9.81])), now)
    findings = {f.check: f for f in examine_sensors(open_drive(tmp_path / "drive", need_cameras=False))}
    assert findings["clock of /wheel/odometry"].severity is Severity.ERROR and "chrony" in findings["clock of /wheel/odometry"].advice
    assert findings["clock of /imu"].severity is Severity.ERROR and "step back 1 times" in findings["clock of /imu"].what
