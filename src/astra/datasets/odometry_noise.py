"""What befalls wheels and IMU besides the simulator's recipe (`sim.randomize`): carpets, bumps, lifted and stuck wheels, a bias that walks.

Frozen before the first head was trained; its hash and the simulator's are in every checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import BoolArray, FloatArray, ImuSample, IntArray, WheelTwist

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SensorNoise:
    """Ranges are drawn from evenly; `…_share` is the part of all rides, or of a ride's time, that it befalls."""

    carpet_share: float = 0.3  # of a ride's time, in stretches
    carpet_s: Range = (2.0, 8.0)
    carpet_slip: Range = (0.0, 0.03)  # the wheels turn farther than the base moves
    carpet_turn: Range = (0.0, 0.08)  # and the base turns less than they say
    bumps_per_min: Range = (0.0, 12.0)
    bump_s: Range = (0.04, 0.12)
    bump_mps2: float = 4.0  # deviation of the accelerometer, all axes
    bump_radps: float = 0.15  # of roll and pitch rate
    lifted_share: float = 0.3  # of rides: wheels spin in a standstill
    lifted_mps: Range = (0.05, 0.5)
    stuck_share: float = 0.3  # of rides: the encoders read nought for a while
    stuck_s: Range = (0.4, 2.0)
    gyro_walk_radps_sqrts: Range = (0.0, 2e-4)
    accel_walk_mps2_sqrts: Range = (0.0, 5e-3)


def disturbed(
    wheel: Sequence[WheelTwist], imu: Sequence[ImuSample], still: BoolArray, seed: Sequence[int], noise: SensorNoise
) -> tuple[list[WheelTwist], list[ImuSample]]:
    """The readings as they would have been; `still` (W,): whether the robot stood at each wheel reading."""
    rng = np.random.default_rng([*seed, 77])
    wheel_ns, imu_ns = (np.array([r.stamp_ns for r in readings], dtype=np.int64) for readings in (wheel, imu))
    told = np.array([(w.linear_mps, w.angular_radps) for w in wheel]).reshape(-1, 2)
    felt = np.array([[*s.angular_velocity, *s.linear_acceleration] for s in imu]).reshape(-1, 6)
    if len(wheel):
        told = _rolled(told, (wheel_ns - wheel_ns[0]) * 1e-9, still, rng, noise)
    if len(imu):
        felt = _shaken(felt, (imu_ns - imu_ns[0]) * 1e-9, rng, noise)
    twists = [WheelTwist(t, v, w) for t, (v, w) in zip(wheel_ns.tolist(), told.tolist())]
    return twists, [ImuSample(t, row[:3], row[3:]) for t, row in zip(imu_ns.tolist(), felt)]


def _rolled(told: FloatArray, at_s: FloatArray, still: BoolArray, rng: np.random.Generator, noise: SensorNoise) -> FloatArray:
    out, length_s = told.copy(), float(at_s[-1])
    mean_s = sum(noise.carpet_s) / 2.0
    for _ in range(rng.poisson(noise.carpet_share * length_s / mean_s)):
        on = _span(at_s, rng.uniform(0.0, length_s), rng.uniform(*noise.carpet_s))
        out[on] *= (1.0 + rng.uniform(*noise.carpet_slip), 1.0 + rng.uniform(*noise.carpet_turn))
    if rng.random() < noise.lifted_share and still.any():
        begin = at_s[rng.choice(np.flatnonzero(still))]
        out[still & _span(at_s, float(begin), 1.0)] = (rng.uniform(*noise.lifted_mps), rng.uniform(-0.5, 0.5))
    if rng.random() < noise.stuck_share:
        out[_span(at_s, rng.uniform(0.0, length_s), rng.uniform(*noise.stuck_s))] = 0.0
    return out


def _shaken(felt: FloatArray, at_s: FloatArray, rng: np.random.Generator, noise: SensorNoise) -> FloatArray:
    out, length_s = felt.copy(), float(at_s[-1])
    for _ in range(rng.poisson(rng.uniform(*noise.bumps_per_min) * length_s / 60.0)):
        on = _span(at_s, rng.uniform(0.0, length_s), rng.uniform(*noise.bump_s))
        out[on, 3:] += noise.bump_mps2 * rng.standard_normal((int(on.sum()), 3))
        out[on, :2] += noise.bump_radps * rng.standard_normal((int(on.sum()), 2))
    root = np.sqrt(np.diff(at_s, prepend=at_s[0]))[:, None]
    for columns, walk in ((slice(0, 3), noise.gyro_walk_radps_sqrts), (slice(3, 6), noise.accel_walk_mps2_sqrts)):
        out[:, columns] += np.cumsum(rng.uniform(*walk) * root * rng.standard_normal((len(out), 3)), axis=0)
    return out


def _span(at_s: FloatArray, begin_s: float, length_s: float) -> BoolArray:
    inside: BoolArray = (at_s >= begin_s) & (at_s < begin_s + length_s)
    return inside


def standing(stamps_ns: IntArray, truth_ns: IntArray, truth: FloatArray) -> BoolArray:
    """Whether the true poses (M, ≥ 3) stay within a millimetre for a fifth of a second around each stamp (N,)."""
    start = int(stamps_ns[0])
    at, known = (stamps_ns - start) * 1e-9, (truth_ns - start) * 1e-9
    ends = [np.stack([np.interp(at + shift, known, column) for column in truth[:, :2].T]) for shift in (-0.1, 0.1)]
    quiet: BoolArray = np.linalg.norm(ends[1] - ends[0], axis=0) < 1e-3
    return quiet
