"""IMU readings of a drive in the base's axes, however the IMU is mounted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, ImuSample
from astra.datasets.drive import Drive
from astra.fusion.inertial import ImuSeries, upright

TILTED_RAD = 0.35  # an IMU that leans more is mounted so, and not merely on a slope


@dataclass(frozen=True, slots=True, eq=False)
class MountedImu:
    """`samples` in base_link's axes; `how` says in words where the mounting is known from.

    Where only gravity tells it, the heading is unknown: the accelerometer's horizontal axes mean nothing and are NaN.
    """

    samples: Sequence[ImuSample]
    how: str


def imu_on_base(drive: Drive) -> MountedImu:
    """The drive's IMU by /tf_static; without it, as it is if it stands upright, else turned upright by gravity."""
    samples = drive.imu()
    if not samples:
        return MountedImu((), "no IMU")
    if drive.base_from_imu is not None:
        rotation = drive.base_from_imu.rotation
        return MountedImu(samples if np.allclose(rotation, np.eye(3)) else _turned(samples, rotation), "known from /tf_static")
    rotation = upright(ImuSeries.of(samples))
    if float(np.arccos(np.clip(rotation[2, 2], -1.0, 1.0))) < TILTED_RAD:
        return MountedImu(samples, "unknown, taken for that of the base")
    blind = [ImuSample(s.stamp_ns, s.angular_velocity, np.array([np.nan, np.nan, s.linear_acceleration[2]])) for s in _turned(samples, rotation)]
    return MountedImu(blind, "turned upright by gravity")


def _turned(samples: Sequence[ImuSample], rotation: FloatArray) -> Sequence[ImuSample]:
    return [ImuSample(s.stamp_ns, rotation @ s.angular_velocity, rotation @ s.linear_acceleration) for s in samples]

