"""Do the wheels say what the body does? Their turn against the gyro's, their speed against the accelerometer's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from astra.fusion.odometry_config import OdometryConfig

_RESPONSE_MPS = 0.1  # wheels and accelerometer that agree about such a change of speed are right about each other …
_RESPONSE_S = 0.5  # … if it takes less than this
_ROUGH_S = 2.0  # time over which the roughness of the ground is learned
_SEEN_SHARE = 0.1  # vision's speed may be off by so much of it …
_SEEN_S = 2.0  # … and wheels that it has borne out for so long are believed again


@dataclass(frozen=True, slots=True)
class SpeedVerdict:
    """The speed to drive by, how far it is to be trusted [m/s, deviation], and whether the wheels are thought to slip."""

    speed_mps: float
    sigma_mps: float = 0.0
    slipping: bool = False


class SpeedMonitor:
    """A small Kalman filter of speed and accelerometer bias that the wheels correct as long as they are plausible.

    A wheel that begins to spin, or that stops, changes its speed at once; a body does not. While the wheels are not plausible the
    accelerometer carries the speed on, ever less certain, until the wheels are within what it can tell, or its time is up. If they still
    differ then, nobody knows who was right: the difference is taken as the speed's deviation until both agree about a change of speed,
    or until a witness has seen the wheels' speed for a while.
    What the two differ by on ordinary ground widens the gate: on a rough one, or by a poor mounting, less is noticed.
    """

    def __init__(self, config: OdometryConfig) -> None:
        self._config = config
        self._speed: float | None = None
        self._rough = config.wheel_speed_noise_mps**2  # mean square of surprises that were plausible
        self._budget_s = 2.0 * config.slip_hold_s
        self.reset()

    def reset(self) -> None:
        """Begin anew: the next speed is believed."""
        self._speed, self._bias = None, 0.0
        self._pvv, self._pvb, self._pbb = self._config.wheel_speed_noise_mps**2, 0.0, self._config.accel_bias_initial_sigma_mps2**2
        self._distrust_mps = 0.0
        self._mark, self._mark_age_s, self._idle_s, self._borne_out_s = 0.0, 0.0, 0.0, 0.0
        self.slipping, self._held_s = False, 0.0

    @property
    def distrusted(self) -> bool:
        """Whether wheels and accelerometer have parted and never come together again."""
        return self._distrust_mps > 0.0

    def rest(self, gain_mps: float | None, span_s: float) -> None:
        """The body stands: the accelerometer reads its bias."""
        self._speed, self.slipping = 0.0, False
        self._pvv, self._pvb = self._config.wheel_speed_noise_mps**2, 0.0
        if gain_mps is not None and span_s > 0.0:
            self._pbb += self._config.accel_bias_walk**2 * span_s
            share = self._pbb / (self._pbb + self._config.accel_noise**2 / span_s)
            self._bias += share * (gain_mps / span_s - self._bias)
            self._pbb *= 1.0 - share

    def judge(self, wheel_mps: float, gain_mps: float | None, span_s: float) -> SpeedVerdict:
        """Judge a wheel speed by the accelerometer's gain of speed over the interval before it; None: no accelerometer."""
        if self._speed is None or gain_mps is None:
            distrust = self._distrust_mps
            self.reset()
            self._speed, self._mark, self._distrust_mps = wheel_mps, wheel_mps, distrust
            return SpeedVerdict(wheel_mps, self._distrust_mps)
        self._predict(gain_mps, span_s)
        surprise = wheel_mps - self._speed
        spread = self._pvv + self._config.wheel_speed_noise_mps**2
        plausible = abs(surprise) <= max(self._config.slip_speed_mps, self._config.slip_gate * math.sqrt(max(spread, self._rough)))
        if not plausible and not self.distrusted and self._may_hold(span_s):
            self.slipping = True
            return SpeedVerdict(self._speed, math.sqrt(self._pvv), slipping=True)
        if self.slipping and abs(surprise) > self._config.slip_speed_mps:
            self._distrust_mps = abs(surprise)
        self.slipping, self._held_s = False, 0.0
        self._budget_s = min(self._budget_s + self._config.slip_share * span_s, 2.0 * self._config.slip_hold_s)
        if not plausible:
            self._speed, self._pvv, self._pvb = wheel_mps, spread, 0.0
            self._distrust_mps = max(self._distrust_mps, abs(surprise))
        else:
            self._rough += min(span_s / _ROUGH_S, 1.0) * (surprise**2 - self._rough)
            self._correct(surprise, spread)
        self._regain(wheel_mps, plausible and abs(surprise) < self._config.slip_speed_mps, span_s)
        return SpeedVerdict(wheel_mps, self._distrust_mps, slipping=False)

    def seen(self, seen_mps: float, wheel_mps: float, span_s: float) -> None:
        """A witness: what somebody who saw the ground or the walls says of the speed over a span in which the wheels told theirs."""
        if abs(wheel_mps) < self._config.slip_speed_mps:
            return  # wheels at rest are like wheels that stick
        alike = abs(seen_mps - wheel_mps) <= self._config.slip_speed_mps + _SEEN_SHARE * abs(wheel_mps)
        self._borne_out_s = self._borne_out_s + span_s if alike else 0.0
        if self._borne_out_s >= _SEEN_S:
            self._distrust_mps = 0.0

    def _may_hold(self, span_s: float) -> bool:
        """Whether the accelerometer may carry the speed over another interval."""
        self._held_s += span_s
        self._budget_s -= span_s
        return self._held_s <= self._config.slip_hold_s and self._budget_s > 0.0

    def _predict(self, gain_mps: float, span_s: float) -> None:
        c = self._config
        assert self._speed is not None
        self._speed += gain_mps - self._bias * span_s
        noise = c.accel_noise if self.slipping else c.accel_model_noise
        self._pvv += span_s * (span_s * self._pbb - 2.0 * self._pvb) + noise**2 * span_s
        self._pvb -= span_s * self._pbb
        self._pbb += c.accel_bias_walk**2 * span_s

    def _correct(self, surprise: float, spread: float) -> None:
        assert self._speed is not None
        of_speed, of_bias = self._pvv / spread, self._pvb / spread
        self._speed += of_speed * surprise
        self._bias += of_bias * surprise
        self._pbb -= of_bias * self._pvb
        self._pvb *= 1.0 - of_speed
        self._pvv *= 1.0 - of_speed

    def _regain(self, wheel_mps: float, agree: bool, span_s: float) -> None:
        """Trust returns when both tell of the same change of speed, or after a long rest."""
        self._mark_age_s += span_s
        self._idle_s = self._idle_s + span_s if abs(wheel_mps) < self._config.standstill_speed_mps else 0.0
        if self._idle_s > self._config.slip_doubt_s:
            self._distrust_mps = 0.0
        if not agree or self._mark_age_s > _RESPONSE_S:
            self._mark, self._mark_age_s = wheel_mps, 0.0
        elif abs(wheel_mps - self._mark) > _RESPONSE_MPS:
            self._distrust_mps = 0.0


class TurnMonitor:
    """The wheels' turn rate less the gyro's, low-passed over `slip_window_s`."""

    def __init__(self, config: OdometryConfig) -> None:
        self._config = config
        self._difference = 0.0

    def reset(self) -> None:
        """Nothing suspected."""
        self._difference = 0.0

    def judge(self, wheel_radps: float, gyro_radps: float, span_s: float) -> bool:
        """Whether slip is suspected."""
        c = self._config
        self._difference += min(span_s / c.slip_window_s, 1.0) * (wheel_radps - gyro_radps - self._difference)
        return abs(self._difference) > c.slip_rate_radps + c.slip_ratio * max(abs(wheel_radps), abs(gyro_radps))
