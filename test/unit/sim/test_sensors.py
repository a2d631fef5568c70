"""Sensor errors in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from astra.sim.robot import ImuConfig, WheelConfig
from astra.sim.sensors import ContactCounter, EncoderModel, ImuModel


def test_encoders_without_errors_give_the_twist_of_the_wheels() -> None:
    config = WheelConfig(radius_error=0.0, track_error=0.0, ticks_per_turn=10_000_000)
    encoders = EncoderModel(config, np.random.default_rng(0))
    assert encoders.measure(0, np.array([0.0, 0.0])) is None
    twist = encoders.measure(100_000_000, np.array([0.5, 0.7]))
    assert twist is not None
    assert twist.linear_mps == pytest.approx(0.08 * 6.0, abs=1e-4)
    assert twist.angular_radps == pytest.approx(0.08 * 2.0 / 0.34, abs=1e-3)


def test_encoders_lose_no_rotation_between_ticks() -> None:
    config = WheelConfig(radius_error=0.0, track_error=0.0, ticks_per_turn=64)
    encoders = EncoderModel(config, np.random.default_rng(0))
    angles = np.linspace(0.0, 50.0, 1001)
    travelled = 0.0
    for i, angle in enumerate(angles):
        twist = encoders.measure(i * 20_000_000, np.array([angle, angle]))
        travelled += 0.0 if twist is None else twist.linear_mps * 0.02
    assert travelled == pytest.approx(50.0 * 0.08, abs=0.08 * 2 * math.pi / 64)


def test_a_larger_wheel_makes_a_straight_drive_look_curved() -> None:
    encoders = EncoderModel(WheelConfig(radius_error=0.02, track_error=0.0), np.random.default_rng(3))
    encoders.measure(0, np.zeros(2))
    twist = encoders.measure(1_000_000_000, np.full(2, 10.0))
    assert twist is not None
    gain = encoders.radius_gain
    assert twist.angular_radps == pytest.approx(0.8 * (gain[1] - gain[0]) / 0.34, abs=0.005)
    assert abs(twist.angular_radps) > 0.005


def test_imu_noise_has_the_stated_size_about_a_constant_bias() -> None:
    config = ImuConfig(gyro_walk_radps_sqrts=0.0, accel_walk_mps2_sqrts=0.0)
    imu = ImuModel(config, np.random.default_rng(1))
    samples = [imu.measure(i, np.zeros(3), np.array([0.0, 0.0, 9.81])) for i in range(4000)]
    gyro = np.array([s.angular_velocity for s in samples])
    accel = np.array([s.linear_acceleration for s in samples])
    assert gyro.std(axis=0) == pytest.approx(np.full(3, config.gyro_noise_radps), rel=0.06)
    assert gyro.mean(axis=0) == pytest.approx(imu.gyro_bias, abs=4 * config.gyro_noise_radps / math.sqrt(4000))
    assert accel.mean(axis=0) - imu.accel_bias == pytest.approx([0.0, 0.0, 9.81], abs=4 * config.accel_noise_mps2 / math.sqrt(4000))


def test_bias_walk_grows_with_the_square_root_of_time() -> None:
    config = ImuConfig(gyro_bias_radps=0.0, gyro_walk_radps_sqrts=1e-3)
    ends = []
    for seed in range(200):
        imu = ImuModel(config, np.random.default_rng(seed))
        for i in range(200):
            imu.measure(i, np.zeros(3), np.zeros(3))
        ends.append(imu.gyro_bias)
    assert float(np.std(ends)) == pytest.approx(1e-3, rel=0.12)  # one second


def test_touches_within_a_second_are_one_episode() -> None:
    counter = ContactCounter()
    for stamp_s, touching in [(0.0, False), (1.0, True), (1.5, False), (1.9, True), (2.8, True), (3.7, False), (3.9, True), (4.0, True)]:
        counter.update(round(stamp_s * 1e9), touching)
    assert counter.episodes == 2
