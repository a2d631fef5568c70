"""What an IMU alone can tell: which way is up, when it rests, and how it moved for a few seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray, ImuSample, IntArray
from astra.geometry.trajectory import Trajectory

GRAVITY_MPS2 = 9.81
_BIAS_S = 0.5  # over which biases are read at rest
_PUSH_MPS2 = 0.3  # a greater acceleration is no bias
_SPEED_MPS, _SPEED_DRIFT_MPS2 = 0.1, 0.05  # what the summed speed may be at a true rest, and how that grows


@dataclass(frozen=True, slots=True)
class RestConfig:
    """An IMU rests while its readings scatter less than this around their mean over the window."""

    window_s: float = 0.5
    gyro_std_radps: float = 0.03
    accel_std_mps2: float = 0.25
    gyro_mean_radps: float = 0.15  # more is a turn and no bias

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")


@dataclass(frozen=True, slots=True, eq=False)
class ImuSeries:
    """Samples as arrays: `stamps_ns` (N,), `gyro` (N, 3) [rad/s], `accel` (N, 3) [m/s², gravity included]."""

    stamps_ns: IntArray
    gyro: FloatArray
    accel: FloatArray

    @staticmethod
    def of(samples: Sequence[ImuSample]) -> ImuSeries:
        """Finite samples with increasing stamps; others are left out.

        Raises:
            BadInputError: fewer than two are left.
        """
        stamps = np.array([s.stamp_ns for s in samples], dtype=np.int64)
        values = np.array([[*s.angular_velocity, *s.linear_acceleration] for s in samples], dtype=np.float64).reshape(-1, 6)
        good = np.isfinite(values).all(axis=1)
        stamps, values = stamps[good], values[good]
        newer = np.concatenate([[True], stamps[1:] > np.maximum.accumulate(stamps)[:-1]])[: len(stamps)]
        if newer.sum() < 2:
            raise BadInputError(f"no usable IMU readings among {len(samples)}")
        return ImuSeries(stamps[newer], values[newer, :3], values[newer, 3:])

    @property
    def times_s(self) -> FloatArray:
        """Seconds since the first sample (N,)."""
        times: FloatArray = (self.stamps_ns - self.stamps_ns[0]) * 1e-9
        return times

    def between(self, start_ns: int, end_ns: int) -> ImuSeries:
        """The samples from one stamp to another."""
        part = slice(int(np.searchsorted(self.stamps_ns, start_ns)), int(np.searchsorted(self.stamps_ns, end_ns, side="right")))
        return ImuSeries(self.stamps_ns[part], self.gyro[part], self.accel[part])

    def turned(self, rotation: FloatArray) -> ImuSeries:
        """The same readings in axes turned by a_from_b (3, 3)."""
        return ImuSeries(self.stamps_ns, self.gyro @ rotation.T, self.accel @ rotation.T)


def resting(series: ImuSeries, config: RestConfig | None = None) -> BoolArray:
    """Whether the IMU rested over the window that ends at each sample (N,)."""
    config = config or RestConfig()
    times = series.times_s
    first = np.searchsorted(times, times - config.window_s)
    count = np.arange(1, len(times) + 1) - first
    full = (times >= config.window_s) & (count >= 5)
    quiet = full.copy()
    for values, limit in ((series.gyro, config.gyro_std_radps), (series.accel, config.accel_std_mps2)):
        centred = values - values.mean(axis=0)  # against cancellation
        sums, squares = (np.concatenate([np.zeros((1, 3)), np.cumsum(centred**power, axis=0)]) for power in (1, 2))
        mean = (sums[1:] - sums[first]) / count[:, None]
        variance = (squares[1:] - squares[first]) / count[:, None] - mean**2
        quiet &= (variance <= limit**2).all(axis=1)
        if values is series.gyro:
            quiet &= (np.abs(mean + values.mean(axis=0)) <= config.gyro_mean_radps).all(axis=1)
    return quiet


def upright(series: ImuSeries) -> FloatArray:
    """The smallest rotation level_from_imu (3, 3) that turns what the accelerometer feels, at rest or else at the median, to z up."""
    rest = resting(series)
    felt = series.accel[rest].mean(axis=0) if rest.any() else np.median(series.accel, axis=0)
    up = felt / max(float(np.linalg.norm(felt)), 1e-9)
    axis, cosine = np.cross(up, [0.0, 0.0, 1.0]), float(up[2])
    if cosine < -1.0 + 1e-9:
        upside_down: FloatArray = np.diag([1.0, -1.0, -1.0])
        return upside_down
    skew = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    rotation: FloatArray = np.eye(3) + skew + skew @ skew / (1.0 + cosine)
    return rotation


@dataclass(frozen=True, slots=True, eq=False)
class Preintegration:
    """The motion between two stamps apart from gravity and the start's speed: `rotation` (3, 3) start_from_end, `velocity`, `position` (3,).

    With R₀, v₀, p₀ at the start, in a frame whose gravity is g (Forster et al. 2017):

        R = R₀ · rotation,   v = v₀ + g t + R₀ · velocity,   p = p₀ + v₀ t + g t²/2 + R₀ · position
    """

    span_s: float
    rotation: FloatArray
    velocity: FloatArray
    position: FloatArray


def preintegrate(series: ImuSeries, gyro_bias: FloatArray, accel_bias: FloatArray) -> Preintegration:
    """Sum the samples of a series, each interval with the mean of its two ends."""
    steps = np.diff(series.times_s)
    turns = (0.5 * (series.gyro[1:] + series.gyro[:-1]) - gyro_bias) * steps[:, None]
    accel = series.accel - accel_bias
    rotation, velocity, position = np.eye(3), np.zeros(3), np.zeros(3)
    for dt, turn, a, b in zip(steps.tolist(), turns, accel[:-1], accel[1:]):
        after = rotation @ rotation_of(turn)
        felt = 0.5 * (rotation @ a + after @ b)
        position = position + velocity * dt + 0.5 * felt * dt * dt
        velocity, rotation = velocity + felt * dt, after
    return Preintegration(float(steps.sum()), rotation, velocity, position)


def rotation_of(turn: FloatArray) -> FloatArray:
    """Rodrigues' formula: the rotation (3, 3) of a vector (3,) [rad]."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn.tolist()
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = (math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle**2) if angle > 1e-8 else (1.0, 0.5)
    rotation: FloatArray = np.eye(3) + sine * skew + cosine * skew @ skew
    return rotation


def integrate_imu(samples: Sequence[ImuSample], config: RestConfig | None = None) -> Trajectory:
    """Planar odometry from an IMU with base_link's axes alone, at its own stamps: good for seconds after a rest, and no longer.

    Speed is the forward acceleration summed since the last rest, biases are those that were read there. Quiet readings are a rest only
    where the speed by then may be nought: a smooth drive straight on is as quiet.

    Raises:
        BadInputError: no usable readings, or the IMU never rests, so that nobody knows its speed.
    """
    series = ImuSeries.of(samples)
    rest = resting(series, config)
    if not rest.any():
        raise BadInputError("the IMU never rests for half a second: its speed cannot be known without wheels")
    times = series.times_s
    steps = np.diff(times, prepend=0.0)
    first = int(np.argmax(rest))
    turn_bias, push_bias = float(series.gyro[: first + 1, 2].mean()), float(series.accel[: first + 1, 0].mean())
    speed, yaw, x, y, rested_s = 0.0, 0.0, 0.0, 0.0, float(times[first])
    poses = np.zeros((len(steps), 3))
    for i, (t, dt, w, a) in enumerate(zip(times.tolist(), steps.tolist(), series.gyro[:, 2].tolist(), series.accel[:, 0].tolist())):
        quiet = rest[i] and abs(a - push_bias) < _PUSH_MPS2 and abs(speed) < _SPEED_MPS + _SPEED_DRIFT_MPS2 * max(t - rested_s, 0.0)
        if quiet or i < first:
            share = min(dt / _BIAS_S, 1.0)
            turn_bias, push_bias = turn_bias + share * (w - turn_bias), push_bias + share * (a - push_bias)
            speed, rested_s = 0.0, t
        else:
            turn, faster = (w - turn_bias) * dt, (a - push_bias) * dt
            way, middle = (speed + 0.5 * faster) * dt, yaw + 0.5 * turn
            x, y, yaw, speed = x + way * math.cos(middle), y + way * math.sin(middle), yaw + turn, speed + faster
        poses[i] = x, y, yaw
    return Trajectory(series.stamps_ns, poses)
