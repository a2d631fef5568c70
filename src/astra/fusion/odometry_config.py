"""Noise and limits of wheel + IMU odometry."""

from __future__ import annotations

import math
from dataclasses import dataclass

from astra.core.config import require


@dataclass(frozen=True, slots=True)
class OdometryConfig:
    """Noise and limits of `WheelImuOdometry`; variances grow per metre driven, per radian turned and per second.

    Errors that last a whole drive (a wheel's radius, the track, creep of the tyres, the gyro's bias) are states of the filter, with the
    deviations called `…_initial_sigma`; the others are white.
    """

    distance_sigma: float = 0.002  # along the path, m per √m
    lateral_sigma: float = 0.006  # across the path, m per √m
    turn_sigma: float = 0.001  # gyro yaw, rad per √rad turned
    gyro_noise: float = 4e-4  # rad/s/√Hz
    gyro_bias_walk: float = 1e-4  # rad/s/√s
    gyro_bias_initial_sigma_radps: float = 0.008
    wheel_creep: float = 0.0  # how much farther than the base the wheels turn, as far as it is known beforehand: tyres creep by up to 2 %
    scale_initial_sigma: float = 0.009  # of the wheels' travel: radius and creep
    wheel_skew_initial_sigma: float = 0.03  # how much the wheels' yaw is off for each metre driven, rad/m: radii that differ
    wheel_track_initial_sigma: float = 0.02  # and for each radian turned: track and creep
    wheel_turn_sigma: float = 0.008  # wheel yaw besides, rad per √rad turned
    wheel_yaw_distance_sigma: float = 0.003  # rad per √m
    blind_yaw_sigma: float = 0.06  # wheel yaw while no gyro would notice a slip, rad per √m
    blind_distance_sigma: float = 0.03  # and their distance while no accelerometer would, m per √m
    wheel_yaw_tick_rad: float = 0.002  # what a tick of an encoder turns the odometry by
    wheel_lag_s: float = 0.01  # by how much the stamps of wheels and IMU may be apart
    wheel_check_s: float = 0.5  # how long the yaw of wheels and gyro is summed before they are compared
    slip_rate_radps: float = 0.20  # wheels and gyro disagree by more than this …
    slip_ratio: float = 0.20  # … plus this share of the turn rate, both smoothed over slip_window_s: slip is suspected
    slip_window_s: float = 0.10
    slip_speed_mps: float = 0.05  # the wheels' speed departs from the accelerometer's by more than this …
    slip_gate: float = 5.0  # … and by more than so many standard deviations: slip is suspected
    slip_speed_sigma: float = 0.5  # without an accelerometer, speed is uncertain by this share while slip is suspected
    slip_hold_s: float = 1.0  # how long the accelerometer may carry the speed in one go …
    slip_share: float = 0.1  # … and which part of all time: one that asks for more is shaken, tilted or mounted askew
    slip_doubt_s: float = 5.0  # wheels that stuck are believed again once they have been at rest for so long
    wheel_speed_noise_mps: float = 0.005
    accel_noise: float = 0.02  # m/s²/√Hz, while it carries the speed
    accel_model_noise: float = 0.05  # while it follows the wheels: as much as lets it follow on to a ramp, and not into a slip
    accel_bias_walk: float = 0.03  # m/s²/√s
    accel_bias_initial_sigma_mps2: float = 0.3
    standstill_window_s: float = 0.30
    standstill_speed_mps: float = 0.005  # of the window's mean; single readings may be four times as large
    standstill_turn_radps: float = 0.02
    standstill_gyro_std_radps: float = 0.05
    standstill_margin_s: float = 0.25  # the gyro's bias is read from what lies so far before the newest reading: the robot may be starting …
    standstill_learn_s: float = 0.5  # … once the rest has lasted so long: a robot that changes its mind about a turn stands still for less …
    standstill_sure_s: float = 2.0  # … and, if the bias were not what it is believed to be (beyond 4 deviations), so long
    imu_timeout_s: float = 0.10
    wheel_timeout_s: float = 0.20
    max_gap_s: float = 1.0
    gap_speed_mps: float = 0.6  # how fast the robot may have moved during a gap: grows the covariance
    reorder_limit_s: float = 0.5  # a stamp older than the newest by less is a late message, by more a clock that jumped back
    max_speed_mps: float = 5.0
    max_turn_radps: float = 12.0
    delta_memory_s: float = 2.0  # how late a Δpose may come
    delta_stretch_sigma: float = 0.04  # Δposes of vision err alike for seconds: in their length …
    delta_bend_sigma: float = 0.006  # … and in their turn, rad for each metre …
    delta_wander_s: float = 6.0  # … for about so long
    delta_gate: float = 16.27  # χ² with 3 degrees of freedom: one true Δpose in a thousand is refused
    delta_revolt: int = 3  # so many refused in a row, and it is the wheels that are wrong
    correction_s: float = 0.3  # a correction by a Δpose is let into /odom over this time, so that it stays continuous

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name != "wheel_creep":
                require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")
        require(0.0 <= self.wheel_creep <= 0.2, "wheel_creep", self.wheel_creep, "in [0, 0.2]")
        require(self.wheel_timeout_s <= self.max_gap_s, "wheel_timeout_s", self.wheel_timeout_s, "at most max_gap_s")
