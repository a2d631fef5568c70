"""Each common mistake with an IMU or with wheels is named, and a robot without mistakes is left in peace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ailing_robot import Record

from astra.core.types import ImuSample
from astra.doctor.finding import Severity, worst
from astra.doctor.inertial import examine_inertial

Imu = Callable[[ImuSample], ImuSample]


def changed(gyro: float = 1.0, accel: float = 1.0, bias: float = 0.0) -> Imu:
    """An IMU whose readings are multiplied, or shifted."""
    return lambda s: ImuSample(s.stamp_ns, gyro * s.angular_velocity + bias, accel * s.linear_acceleration)


def rolled(sample: ImuSample) -> ImuSample:
    """Mounted on its side, and nobody said so."""
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return ImuSample(sample.stamp_ns, turn @ sample.angular_velocity, turn @ sample.linear_acceleration)


def test_a_healthy_robot_has_nothing_to_mend(record: Record) -> None:
    assert worst(examine_inertial(record())) is Severity.OK


@pytest.mark.parametrize(
    ("imu", "wheels", "check", "says"),
    [
        (changed(accel=1 / 9.81), {}, "imu gravity", "m/s²"),
        (changed(accel=-1.0), {}, "imu axes", "wrong way"),
        (rolled, {}, "imu axes", "90"),
        (changed(gyro=57.3), {}, "wheels against gyro", "degrees"),
        (changed(gyro=-1.0), {}, "wheels against gyro", "-1.00"),
        (changed(), {"turn": -1.0}, "wheels against gyro", "-1.00"),
        (changed(), {"turn": 1.5}, "wheels against gyro", "0.667"),
        (changed(bias=0.14), {}, "gyro bias", "bias"),
    ],
)
def test_each_mistake_is_named(record: Record, imu: Imu, wheels: dict[str, float], check: str, says: str) -> None:
    findings = {f.check: f for f in examine_inertial(record(imu=imu, **wheels))}
    assert findings[check].severity is Severity.ERROR and says in findings[check].what and findings[check].advice


def test_the_wheel_separation_to_set_is_told(record: Record) -> None:
    finding = next(f for f in examine_inertial(record(turn=1.1)) if f.check == "wheels against gyro")
    assert finding.severity is Severity.WARNING and "1.100" in finding.advice
