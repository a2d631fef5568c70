"""Randomized robots: what follows from a seed, what stays nominal, and that every error is of the size that is asked for."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from astra.core.errors import AstraError
from astra.core.types import UInt8Array
from astra.sim.randomize import Arrivals, ImagePipeline, RandomizationConfig, WheelSlip, randomized
from astra.sim.robot import RobotConfig

RIG = RobotConfig().rig()
NONE = RandomizationConfig.none()


def flat(level: int) -> UInt8Array:
    return np.full((160, 224, 3), level, np.uint8)


def pictures(seed: int = 1, **changes: object) -> ImagePipeline:
    return ImagePipeline(dataclasses.replace(NONE, **changes), RIG, seed)  # type: ignore[arg-type]


def test_without_errors_everything_is_as_it_was() -> None:
    real = randomized(RobotConfig(), 5, NONE)
    assert real.robot == RobotConfig()
    for true, nominal in zip(real.true_rig.cameras, RIG.cameras):
        assert np.allclose(true.base_from_cam.matrix(), nominal.base_from_cam.matrix(), atol=1e-12)
    noise = np.random.default_rng(0).integers(0, 256, (160, 224, 3), np.uint8)
    assert np.array_equal(real.pictures.apply(noise, "left", 3.0, 1.0), noise)
    assert np.array_equal(real.slip.gains(12.0), [1.0, 1.0])
    assert real.arrivals.received_ns("front", 70) == 70


def test_a_seed_decides_everything_and_order_nothing() -> None:
    picture = flat(120)
    first, again, other = (randomized(RobotConfig(), seed) for seed in (7, 7, 8))
    assert first.robot == again.robot and first.robot != other.robot
    again.pictures.apply(picture, "back", 9.0, 0.0)
    assert np.array_equal(first.pictures.apply(picture, "left", 2.0, 0.4), again.pictures.apply(picture, "left", 2.0, 0.4))
    assert not np.array_equal(first.pictures.apply(picture, "left", 2.0, 0.4), other.pictures.apply(picture, "left", 2.0, 0.4))
    again.arrivals.received_ns("front", 10**9)
    assert [first.arrivals.received_ns("left", i * 10**8) for i in range(50)] == [again.arrivals.received_ns("left", i * 10**8) for i in range(50)]
    assert np.array_equal(first.slip.gains(33.0), again.slip.gains(33.0))


def test_cameras_are_askew_by_what_is_asked_and_the_published_rig_is_nominal() -> None:
    config = dataclasses.replace(NONE, camera_shift_m=0.01, camera_turn_deg=1.0)
    robots = [randomized(RobotConfig(), seed, config) for seed in range(60)]
    pairs = [pair for real in robots for pair in zip(real.true_rig.cameras, real.robot.rig().cameras)]
    shifts = np.array([true.base_from_cam.translation - nominal.base_from_cam.translation for true, nominal in pairs])
    turns = np.array([true.base_from_cam.angle_to(nominal.base_from_cam) for true, nominal in pairs])
    assert shifts.std() == pytest.approx(0.01, rel=0.1) and abs(shifts.mean()) < 0.002
    assert math.sqrt((turns**2).mean() / 3.0) == pytest.approx(math.radians(1.0), rel=0.1)
    assert robots[0].robot.cameras == RobotConfig().cameras


def test_exposure_scales_light_and_drifts_slowly() -> None:
    bright = pictures(exposure=(1.5, 1.5)).apply(flat(100), "front", 0.0, 0.0)
    assert int(bright[0, 0, 0]) == pytest.approx(100 * 1.5 ** (1 / 2.2), abs=1.0)
    assert pictures(exposure=(4.0, 4.0)).apply(flat(250), "front", 0.0, 0.0).max() == 255
    drifting = pictures(exposure_drift=0.3, drift_period_s=(20.0, 20.0))
    levels = np.array([float(drifting.apply(flat(128), "front", t, 0.0).mean()) for t in np.arange(0.0, 60.0, 0.1)])
    assert levels.max() - levels.min() > 15 and np.abs(np.diff(levels)).max() <= 2.0


def test_colours_gamma_and_cameras_differ() -> None:
    tinted = pictures(white_balance=(1.2, 1.2)).apply(flat(100), "front", 0.0, 0.0)[0, 0]
    assert tinted[0] > 105 and tinted[1] == 100 and tinted[2] > 105
    assert pictures(gamma=(1.2, 1.2)).apply(flat(100), "front", 0.0, 0.0).max() < 90
    uneven = pictures(camera_spread=0.1)
    assert len({uneven.apply(flat(100), name, 0.0, 0.0)[0, 0].tobytes() for name in RIG.names}) > 1


def test_noise_has_the_size_asked_for_and_is_new_in_each_picture() -> None:
    noisy = pictures(read_noise=(3.0, 3.0))
    one, two = (noisy.apply(flat(120), "front", t, 0.0).astype(float) for t in (0.0, 0.1))
    assert one.std() == pytest.approx(3.0, rel=0.05) and one.mean() == pytest.approx(120.0, abs=0.1)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.05
    shot = pictures(shot_noise=(0.2, 0.2))
    assert shot.apply(flat(180), "front", 0.0, 0.0).std() == pytest.approx(6.0, rel=0.05)
    assert shot.apply(flat(20), "front", 0.0, 0.0).std() == pytest.approx(2.0, rel=0.07)


@pytest.mark.parametrize("length_px", [2.0, 3.5, 7.0])
def test_a_turn_smears_along_the_row_as_far_as_it_turns(length_px: float) -> None:
    """A bright column becomes a box of that length: the same light, spread with the variance of a box."""
    focal = RIG["front"].model.fx
    picture = flat(0)
    picture[:, 112] = 250
    line = pictures(exposure_time_s=(0.02, 0.02)).apply(picture, "front", 0.0, -length_px / (focal * 0.02))[80, :, 0].astype(float)
    columns = np.arange(224.0)
    assert line.sum() == pytest.approx(250.0, rel=0.03)
    assert (line * columns).sum() / line.sum() == pytest.approx(112.0, abs=0.05)
    assert (line > 0).sum() >= length_px
    assert line.max() == pytest.approx(250.0 / length_px, rel=0.05)


def test_sensor_errors_are_scaled() -> None:
    real = randomized(RobotConfig(), 0, dataclasses.replace(NONE, sensor_scale=(2.0, 2.0))).robot
    assert real.imu.gyro_bias_radps == 2.0 * RobotConfig().imu.gyro_bias_radps
    assert real.wheels.track_error == 2.0 * RobotConfig().wheels.track_error
    assert (real.imu.rate_hz, real.wheels.radius_m, real.wheels.track_m) == (200.0, 0.08, 0.34)


def test_wheels_slip_always_a_little_and_sometimes_a_lot() -> None:
    config = dataclasses.replace(NONE, slip=(0.01, 0.01), slip_events_per_min=(2.0, 2.0), slip_event=(0.3, 0.3), slip_event_s=(0.5, 0.5))
    slip = WheelSlip(config, 4)
    times = np.arange(0.0, 1200.0, 0.1)
    gains = np.array([slip.gains(float(t)) for t in times])
    quiet = gains.max(axis=1) < 1.1
    assert gains.min() >= 1.0 and np.ptp(gains[quiet], axis=0).max() == 0.0
    assert gains[quiet].min() >= 1.007 and gains[quiet].max() <= 1.013
    events = int((np.diff(quiet.astype(int)) == -1).sum())
    assert 25 <= events <= 55  # 2 a minute for 20 minutes
    assert (~quiet).sum() * 0.1 / events == pytest.approx(0.5, abs=0.06)
    assert 1.3 < gains.max() < 1.32


def test_images_come_late_in_order_and_some_never() -> None:
    config = dataclasses.replace(NONE, latency_s=(0.05, 0.05), jitter_s=(0.02, 0.02), drop_rate=(0.1, 0.1))
    stamps = np.arange(2000) * 100_000_000
    received = [Arrivals(config, RIG, 2).received_ns("left", int(stamp)) for stamp in stamps]
    late_s = np.array([(got - stamp) * 1e-9 for got, stamp in zip(received, stamps) if got is not None])
    assert received.count(None) == pytest.approx(200, abs=45)
    assert late_s.min() >= 0.05 and late_s.max() <= 0.07 and late_s.mean() == pytest.approx(0.06, abs=0.001)


def test_bad_ranges_are_named() -> None:
    with pytest.raises(AstraError, match="gamma"):
        RandomizationConfig(gamma=(1.2, 0.8))
    with pytest.raises(AstraError, match="drop_rate"):
        RandomizationConfig(drop_rate=(0.0, 1.0))
    with pytest.raises(AstraError, match="camera_shift_m"):
        RandomizationConfig(camera_shift_m=-1.0)
    with pytest.raises(AstraError, match="randomize"):
        randomized(RobotConfig(), -1)
