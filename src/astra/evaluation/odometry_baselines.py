"""What odometry is compared with: the wheels alone, and wheels + gyro as textbooks do it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astra.core.types import BoolArray, FloatArray, ImuSample, IntArray, WheelTwist
from astra.geometry import Trajectory

_QUIET_MPS, _QUIET_RADPS = 0.005, 0.02
_BIAS_WALK, _GYRO_NOISE, _BIAS_SIGMA = 1e-4, 4e-4, 0.03  # as in OdometryConfig


def wheels_alone(wheel: Sequence[WheelTwist]) -> Trajectory:
    """The wheels' speed and turn, summed."""
    stamps = np.array([w.stamp_ns for w in wheel], dtype=np.int64)
    told = np.array([(w.linear_mps, w.angular_radps) for w in wheel])
    return _summed(stamps, told[:, 0], told[:, 1])


def wheels_and_gyro(wheel: Sequence[WheelTwist], imu: Sequence[ImuSample]) -> Trajectory:
    """An extended Kalman filter with the wheels' speed and the gyro's turn as inputs and the gyro's bias as its state.

    The bias is measured whenever wheels and gyro have been quiet for 0.3 s, by the readings of up to 0.25 s ago. Heading, position and
    bias are not observable from anything else, so that the filter's mean is the sum of its inputs less the bias known by then.
    """
    stamps = np.array([w.stamp_ns for w in wheel], dtype=np.int64)
    told = np.array([(w.linear_mps, w.angular_radps) for w in wheel])
    start = int(stamps[0])
    at: FloatArray = (stamps - start).astype(np.float64) * 1e-9
    known = (np.array([s.stamp_ns for s in imu], dtype=np.int64) - start) * 1e-9
    gyro = np.array([float(s.angular_velocity[2]) for s in imu])
    angle = np.concatenate([[0.0], np.cumsum(0.5 * (gyro[1:] + gyro[:-1]) * np.diff(known))])
    rate = np.diff(np.interp(at, known, angle), prepend=0.0) / np.diff(at, prepend=at[0] - 1.0)
    bias = _bias(at, rate, _quiet(at, told, rate))
    return _summed(stamps, told[:, 0], np.concatenate([[0.0], (rate - bias)[1:]]))


def _quiet(at_s: FloatArray, told: FloatArray, rate: FloatArray) -> BoolArray:
    """Whether the 0.3 s before and the 0.25 s after each reading are quiet (N,)."""
    loud = (np.abs(told[:, 0]) > _QUIET_MPS) | (np.abs(told[:, 1]) > 4 * _QUIET_RADPS) | (np.abs(rate) > 0.1)
    count = np.concatenate([[0], np.cumsum(loud)])
    first, last = np.searchsorted(at_s, at_s - 0.3), np.searchsorted(at_s, at_s + 0.25, side="right")
    quiet: BoolArray = (count[last] - count[first] == 0) & (at_s >= at_s[0] + 0.3) & (at_s <= at_s[-1] - 0.25)
    return quiet


def _bias(at_s: FloatArray, rate: FloatArray, quiet: BoolArray) -> FloatArray:
    """The Kalman filter of the bias: its value (N,) for each interval."""
    mean, variance, out = 0.0, _BIAS_SIGMA**2, np.zeros(len(at_s))
    for i in range(1, len(at_s)):
        span = float(at_s[i] - at_s[i - 1])
        variance += _BIAS_WALK**2 * span
        if quiet[i]:
            gain = variance / (variance + _GYRO_NOISE**2 / span)
            mean, variance = mean + gain * (float(rate[i]) - mean), (1.0 - gain) * variance
        out[i] = mean
    return out


def _summed(stamps_ns: IntArray, speed: FloatArray, turn: FloatArray) -> Trajectory:
    """Arcs of constant speed and turn, from the origin."""
    dt = np.diff(stamps_ns) * 1e-9
    yaw = np.concatenate([[0.0], np.cumsum(turn[1:] * dt)])
    way, middle = 0.5 * (speed[1:] + speed[:-1]) * dt, 0.5 * (yaw[1:] + yaw[:-1])
    x, y = (np.concatenate([[0.0], np.cumsum(way * f(middle))]) for f in (np.cos, np.sin))
    return Trajectory(stamps_ns, np.stack([x, y, yaw], axis=1))
