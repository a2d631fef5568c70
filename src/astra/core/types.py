"""What sensors deliver and what the simulator knows: the two sides that must never mix.

Everything used at run time accepts an `Observation`; only targets, metrics and the simulator see a `Scene`.
Stamps are integer nanoseconds of the source's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
AnyArray = NDArray[Any]

NANOSECONDS = 1_000_000_000


def seconds(stamp_ns: int) -> float:
    """Convert a stamp or a duration from nanoseconds to seconds."""
    return stamp_ns / NANOSECONDS


def nanoseconds(time_s: float) -> int:
    """Convert seconds to integer nanoseconds."""
    return round(time_s * NANOSECONDS)


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One image of one camera: `rgb` (H, W, 3) uint8, RGB; `depth_m` (H, W) float32 along the optical axis, 0 where nothing was measured."""

    stamp_ns: int
    camera: str
    rgb: UInt8Array
    depth_m: Float32Array | None = None


@dataclass(frozen=True, slots=True)
class ImuSample:
    """One IMU reading in the IMU frame: `angular_velocity` (3,) [rad/s], `linear_acceleration` (3,) [m/s², gravity included]."""

    stamp_ns: int
    angular_velocity: FloatArray
    linear_acceleration: FloatArray


@dataclass(frozen=True, slots=True)
class WheelTwist:
    """Body velocity from the wheel encoders, base_link frame."""

    stamp_ns: int
    linear_mps: float
    angular_radps: float


@dataclass(frozen=True, slots=True)
class LaserScan:
    """A planar scan: `ranges` (N,) float32 [m]; beam i points at angle_min_rad + i · angle_increment_rad; misses are +inf."""

    stamp_ns: int
    frame: str
    ranges: Float32Array
    angle_min_rad: float
    angle_increment_rad: float
    range_min_m: float
    range_max_m: float

    def angles(self) -> Float32Array:
        """Beam angles (N,) [rad] in the sensor frame."""
        return (self.angle_min_rad + self.angle_increment_rad * np.arange(len(self.ranges))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a robot senses at one tick: synchronised frames and everything else since the last tick."""

    stamp_ns: int
    frames: tuple[CameraFrame, ...]
    imu: tuple[ImuSample, ...] = ()
    wheel: tuple[WheelTwist, ...] = ()
    scan: LaserScan | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What only the simulator knows; targets and metrics may read it, nothing at run time may."""

    stamp_ns: int
    world_from_base: FloatArray  # (4, 4)
    linear_mps: float
    angular_radps: float
    in_contact: bool
