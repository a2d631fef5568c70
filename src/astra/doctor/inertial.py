"""The IMU's axes, gravity, biases and units, and the wheels' sign and width against its gyro."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astra.core.types import FloatArray
from astra.datasets import Drive
from astra.doctor.finding import Finding, Severity, graded
from astra.fusion.inertial import GRAVITY_MPS2, ImuSeries, resting, upright

MIN_TURN_RADPS = 0.15  # the least turn that tells something
MIN_TURNING_S = 3.0
STEP_S = 0.05


def examine_inertial(drive: Drive) -> Iterator[Finding]:
    """What IMU and wheels say of each other; nothing without an IMU."""
    samples = drive.imu()
    if len(samples) < 20:
        return
    raw = ImuSeries.of(samples)
    placed = drive.base_from_imu
    series = raw if placed is None else raw.turned(placed.rotation)
    rest = resting(raw)
    if rest.sum() < 20:
        yield Finding(
            "imu at rest",
            Severity.UNKNOWN,
            "the robot never stood still: biases and gravity cannot be judged",
            "let it stand for 5 s at the start of the recording",
        )
    else:
        yield from _gravity(series.accel[rest].mean(axis=0), known=placed is not None)
        yield from _bias(series.gyro[rest].mean(axis=0))
    yield from _turning(drive, series if placed is not None else raw.turned(upright(raw)))


def _gravity(felt: FloatArray, *, known: bool) -> Iterator[Finding]:
    size = float(np.linalg.norm(felt))
    if abs(size - 1.0) < 0.1:
        yield Finding(
            "imu gravity", Severity.ERROR, f"it feels {size:.2f} at rest: that is g, not m/s²", "multiply by 9.81 in the driver (REP-145)", size, "m/s²"
        )
        return
    what = f"it feels {size:.2f} m/s² at rest"
    yield graded("imu gravity", abs(size - GRAVITY_MPS2), "m/s²", 0.3, 1.0, what=what, advice="calibrate the accelerometer's scale and bias")
    tilt = float(np.degrees(np.arccos(np.clip(felt[2] / max(size, 1e-9), -1.0, 1.0))))
    if tilt > 120.0:
        advice = "REP-145: at rest z must read +9.81 with the IMU upright; mend its transform (base_link → imu_link) or its sign"
        yield Finding("imu axes", Severity.ERROR, f"gravity points the wrong way ({tilt:.0f}° from up)", advice, tilt, "deg")
    else:
        advice = "mend the rotation of base_link → imu_link" if known else "publish base_link → imu_link with the IMU's real rotation"
        yield graded("imu axes", tilt, "deg", 5.0, 20.0, what=f"up is {tilt:.1f}° from base_link's z", advice=advice)


def _bias(bias: FloatArray) -> Iterator[Finding]:
    size = float(np.linalg.norm(bias))
    what = f"the gyro's bias is {np.degrees(size):.2f} °/s (it is estimated while driving)"
    yield graded("gyro bias", size, "rad/s", 0.05, 0.2, what=what, advice="calibrate the gyro at standstill; check that the driver sends rad/s")


def _turning(drive: Drive, series: ImuSeries) -> Iterator[Finding]:
    wheel = drive.wheel()
    if len(wheel) < 20:
        return
    at = np.array([w.stamp_ns for w in wheel], dtype=np.int64)
    rate = np.array([w.angular_radps for w in wheel])
    grid = np.arange(max(at[0], series.stamps_ns[0]), min(at[-1], series.stamps_ns[-1]), int(STEP_S * 1e9))
    if len(grid) < 20:
        return
    origin = int(grid[0])
    by_wheel = np.interp(grid - origin, at - origin, rate)
    by_gyro = np.interp(grid - origin, series.stamps_ns - origin, series.gyro[:, 2])
    turning = np.abs(by_wheel) > MIN_TURN_RADPS
    if turning.sum() * STEP_S < MIN_TURNING_S:
        yield Finding("wheels against gyro", Severity.UNKNOWN, "too few turns to compare wheels and gyro", "turn on the spot once each way while recording")
        return
    told, felt = by_wheel[turning], by_gyro[turning]
    slope = float(told @ felt / (told @ told))
    agreement = 1.0  # where the wheels turn evenly there is nothing to correlate with
    if told.std() > 1e-6:
        agreement = float(np.corrcoef(told, felt)[0, 1]) if felt.std() > 1e-6 else 0.0
    yield _slope(slope, agreement)


def _slope(slope: float, agreement: float) -> Finding:
    check = "wheels against gyro"
    if slope < -0.3:
        advice = "one of them turns the wrong way: swap the wheels' encoder signs, or mend base_link → imu_link (counter-clockwise is positive)"
        return Finding(check, Severity.ERROR, f"the gyro turns {slope:.2f} rad where the wheels turn +1", advice, slope, "ratio")
    if 45.0 < abs(slope) < 70.0:
        return Finding(check, Severity.ERROR, "the gyro seems to send degrees per second", "send rad/s (REP-145)", slope, "ratio")
    if agreement < 0.6 or slope < 0.3:
        advice = "check the wheels' encoders, slip, and that /imu belongs to this robot"
        return Finding(
            check, Severity.ERROR, f"gyro and wheels do not show the same turns (ratio {slope:.2f}, correlation {agreement:.2f})", advice, slope, "ratio"
        )
    advice = f"multiply the wheel separation by {1.0 / slope:.3f} in your base driver"
    return graded(check, abs(slope - 1.0), "ratio − 1", 0.05, 0.25, what=f"the gyro turns {slope:.3f} rad where the wheels turn 1", advice=advice)
