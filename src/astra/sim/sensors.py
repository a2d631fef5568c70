"""Errors of real sensors on top of the physics: IMU noise and bias walk, encoder ticks and wrong radii, contact episodes."""

from __future__ import annotations

import math

import numpy as np

from astra.core.types import FloatArray, ImuSample, WheelTwist
from astra.sim.robot import ImuConfig, WheelConfig

CONTACT_DEBOUNCE_S = 1.0


class ImuModel:
    """White noise of each sample plus biases that start at random and walk."""

    def __init__(self, config: ImuConfig, rng: np.random.Generator) -> None:
        self._config, self._rng = config, rng
        self.gyro_bias: FloatArray = rng.normal(0.0, config.gyro_bias_radps, 3)
        self.accel_bias: FloatArray = rng.normal(0.0, config.accel_bias_mps2, 3)

    def measure(self, stamp_ns: int, angular_velocity: FloatArray, linear_acceleration: FloatArray) -> ImuSample:
        """A reading from true body rates (3,) [rad/s] and specific force (3,) [m/s²]."""
        c, root = self._config, math.sqrt(1.0 / self._config.rate_hz)
        noise = self._rng.standard_normal((4, 3))
        self.gyro_bias = self.gyro_bias + c.gyro_walk_radps_sqrts * root * noise[0]
        self.accel_bias = self.accel_bias + c.accel_walk_mps2_sqrts * root * noise[1]
        return ImuSample(
            stamp_ns,
            angular_velocity + self.gyro_bias + c.gyro_noise_radps * noise[2],
            linear_acceleration + self.accel_bias + c.accel_noise_mps2 * noise[3],
        )


class EncoderModel:
    """Ticks of both wheels turned into a body twist with nominal radius and track, although the real ones differ slightly."""

    def __init__(self, config: WheelConfig, rng: np.random.Generator) -> None:
        self._config = config
        self.radius_gain: FloatArray = 1.0 + rng.normal(0.0, config.radius_error, 2)
        self.track_gain = 1.0 + float(rng.normal(0.0, config.track_error))
        self._ticks: FloatArray | None = None
        self._stamp_ns = 0

    def measure(self, stamp_ns: int, wheel_angles: FloatArray) -> WheelTwist | None:
        """The mean twist since the last call, from the wheels' angles (2,) left, right [rad]; None on the first call."""
        c = self._config
        ticks = np.floor(np.asarray(wheel_angles) * c.ticks_per_turn / (2.0 * math.pi))
        before, self._ticks = self._ticks, ticks
        elapsed_ns, self._stamp_ns = stamp_ns - self._stamp_ns, stamp_ns
        if before is None or elapsed_ns <= 0:
            return None
        speed = (ticks - before) * (2.0 * math.pi / c.ticks_per_turn) * c.radius_m * self.radius_gain / (elapsed_ns * 1e-9)
        linear, angular = float(speed.mean()), float(speed[1] - speed[0]) / (c.track_m * self.track_gain)
        return WheelTwist(stamp_ns, linear, angular)


class ContactCounter:
    """Counts episodes of contact; touches less than a second apart belong to one episode."""

    def __init__(self) -> None:
        self.episodes = 0
        self._last_ns: int | None = None

    def update(self, stamp_ns: int, in_contact: bool) -> None:
        """Note whether the robot touches anything at this stamp."""
        if not in_contact:
            return
        if self._last_ns is None or stamp_ns - self._last_ns > CONTACT_DEBOUNCE_S * 1e9:
            self.episodes += 1
        self._last_ns = stamp_ns
