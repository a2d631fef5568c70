"""What a step between two frames consists of, the same in training and on the robot: cropped features and rows of IMU and wheel readings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astra.core.types import AnyArray, Float32Array, ImuSample, WheelTwist, seconds
from astra.local_model.odometry.config import IMU_COLUMNS, WHEEL_COLUMNS, OdometryHeadConfig

GRAVITY = np.array([0.0, 0.0, 9.81])


def central(features: AnyArray, cells: int) -> AnyArray:
    """The middle (…, cells, cells) of features (…, Y, X)."""
    first = (features.shape[-1] - cells) // 2
    return features[..., first : first + cells, first : first + cells]


def imu_rows(samples: Sequence[ImuSample], from_ns: int, to_ns: int, config: OdometryHeadConfig) -> Float32Array:
    """(imu_rows, 8) of the readings (from_ns, to_ns] in base_link's axes, the latest last, zeros before the first.

    Columns: 1 for a reading; its time before the step's end [s]; turn rates [rad/s]; accelerations less gravity [m/s²], a tenth of them. A reading
    that is not finite is left out; an accelerometer whose axes are unknown reads 0.
    """
    rows = []
    for s in samples:
        if from_ns < s.stamp_ns <= to_ns and bool(np.isfinite(s.angular_velocity).all()):
            pull = 0.1 * (np.asarray(s.linear_acceleration) - GRAVITY)
            rows.append((1.0, seconds(to_ns - s.stamp_ns), *s.angular_velocity, *(pull if np.isfinite(pull).all() else np.zeros(3))))
    return _filled(rows, config.imu_rows, IMU_COLUMNS)


def wheel_rows(twists: Sequence[WheelTwist], from_ns: int, to_ns: int, config: OdometryHeadConfig) -> Float32Array:
    """(wheel_rows, 4) likewise: 1 for a reading; its time before the end [s]; speed [m/s]; turn rate [rad/s]."""
    rows = [
        (1.0, seconds(to_ns - w.stamp_ns), w.linear_mps, w.angular_radps)
        for w in twists if from_ns < w.stamp_ns <= to_ns and bool(np.isfinite((w.linear_mps, w.angular_radps)).all())
    ]  # fmt: skip
    return _filled(rows, config.wheel_rows, WHEEL_COLUMNS)


def _filled(rows: Sequence[Sequence[float]], count: int, columns: int) -> Float32Array:
    out = np.zeros((count, columns), np.float32)
    kept = rows[-count:]
    if kept:
        out[count - len(kept) :] = kept
    return out
