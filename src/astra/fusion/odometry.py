"""Wheel + IMU odometry: an extended Kalman filter whose pose knows its error (the paper's 3.2.3 replaces its input, not its output).

State (x, y, yaw, gyro bias) with the wheel speed v as input. Between two wheel readings the pose moves along the gyro's yaw rate,
sampled at the IMU's rate; the wheels' own yaw rate stands in where the IMU is missing. At standstill the pose is held and the gyro
reads its bias.
Axes of IMU samples must be those of base_link (x forward, z up); callers rotate samples of an IMU that is mounted otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import FloatArray, ImuSample, Observation, WheelTwist, nanoseconds, seconds
from astra.geometry.se2 import Pose2
from astra.geometry.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class OdometryConfig:
    """Noise and limits of `WheelImuOdometry`; variances grow per metre driven, per radian turned and per second."""

    distance_sigma: float = 0.015  # along the path, m per √m
    lateral_sigma: float = 0.008  # across the path, m per √m
    turn_sigma: float = 0.004  # gyro yaw, rad per √rad turned
    gyro_noise: float = 5e-4  # rad/s/√Hz
    gyro_bias_walk: float = 1e-4  # rad/s/√s
    gyro_bias_initial_sigma_radps: float = 0.03
    wheel_turn_sigma: float = 0.06  # wheel yaw, rad per √rad turned, while the gyro is missing
    wheel_yaw_distance_sigma: float = 0.02  # wheel yaw, rad per √m, while the gyro is missing
    slip_rate_radps: float = 0.20  # wheels and gyro disagree by more than this …
    slip_ratio: float = 0.20  # … plus this share of the turn rate, both smoothed over slip_window_s: slip is suspected
    slip_window_s: float = 0.10
    slip_speed_sigma: float = 0.5  # speed is uncertain by this share while slip is suspected
    standstill_window_s: float = 0.30
    standstill_speed_mps: float = 0.005  # of the window's mean; single readings may be four times as large
    standstill_turn_radps: float = 0.02
    standstill_gyro_std_radps: float = 0.05
    imu_timeout_s: float = 0.10
    wheel_timeout_s: float = 0.20
    max_gap_s: float = 1.0
    gap_speed_mps: float = 0.6  # how fast the robot may have moved during a gap: grows the covariance
    reorder_limit_s: float = 0.5  # a stamp older than the newest by less is a late message, by more a clock that jumped back
    max_speed_mps: float = 5.0
    max_turn_radps: float = 12.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")
        require(self.wheel_timeout_s <= self.max_gap_s, "wheel_timeout_s", self.wheel_timeout_s, "at most max_gap_s")


class Rejection(StrEnum):
    """Why a reading was not used as it came."""

    NOT_FINITE = "not_finite"
    IMPLAUSIBLE = "implausible"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    CLOCK_JUMP_BACK = "clock_jump_back"
    GAP = "gap"


class YawSource(StrEnum):
    """What the heading was integrated from."""

    GYRO = "gyro"
    WHEEL = "wheel"


@dataclass(frozen=True, slots=True, eq=False)
class OdometryState:
    """The odometry at one stamp; `covariance` (3, 3) of x [m], y [m], yaw [rad] in the odom frame."""

    stamp_ns: int
    odom_from_base: Pose2
    linear_mps: float
    angular_radps: float
    covariance: FloatArray
    gyro_bias: float
    stationary: bool
    slipping: bool = False
    yaw_source: YawSource = YawSource.WHEEL


@dataclass(frozen=True, slots=True, eq=False)
class _Belief:
    """Mean and covariance (4, 4) of (x, y, yaw, gyro bias)."""

    stamp_ns: int
    pose: Pose2 = field(default_factory=Pose2)
    bias: float = 0.0
    covariance: FloatArray = field(default_factory=lambda: np.zeros((4, 4)))


class WheelImuOdometry:
    """Feeds on readings in arrival order and keeps `state` at the newest wheel stamp.

    IMU samples wait for the wheel reading that covers them, so that it does not matter which topic is the faster one.
    `add_imu` and `add_wheel` return why a reading was refused or how it was special, else None; `count` tells how often that happened.
    """

    def __init__(self, config: OdometryConfig | None = None, odom_from_base: Pose2 | None = None) -> None:
        self.config = config or OdometryConfig()
        covariance = np.diag([1e-8, 1e-8, 1e-8, 0.0])  # never singular
        covariance[3, 3] = self.config.gyro_bias_initial_sigma_radps**2
        self._belief = _Belief(0, odom_from_base or Pose2(), 0.0, covariance)
        self._counts: Counter[Rejection] = Counter()
        self._reset_time()
        self._slip_radps = 0.0

    def _reset_time(self) -> None:
        self._gyro: deque[tuple[int, float]] = deque(maxlen=4000)
        self._newest_imu_ns: int | None = None
        self._wheel: WheelTwist | None = None
        self._window: deque[WheelTwist] = deque(maxlen=1000)
        self._still_gyro: deque[tuple[int, float]] = deque(maxlen=2000)
        self._stationary = False
        self._slipping = False
        self._yaw_source = YawSource.WHEEL
        self._turn_radps = 0.0

    @property
    def started(self) -> bool:
        """Whether a wheel reading has arrived, so that `state` has a stamp."""
        return self._wheel is not None

    @property
    def state(self) -> OdometryState:
        """The state at the newest wheel reading (before the first one: the start pose at stamp 0)."""
        return self._state(self._belief, self._wheel.linear_mps if self._wheel else 0.0, self._turn_radps)

    def count(self, reason: Rejection) -> int:
        """How many readings met `reason` so far."""
        return self._counts[reason]

    def observe(self, observation: Observation) -> None:
        """Add all wheel and IMU readings of an observation (`navigation.protocols.OdometrySource`)."""
        for sample in observation.imu:
            self.add_imu(sample)
        for twist in observation.wheel:
            self.add_wheel(twist)

    def add_imu(self, sample: ImuSample) -> Rejection | None:
        """Take one IMU reading with base_link's axes."""
        rate = float(sample.angular_velocity[2])
        reason = self._check(sample.stamp_ns, self._newest_imu_ns, (rate,), abs(rate) > self.config.max_turn_radps)
        if reason in (None, Rejection.GAP, Rejection.CLOCK_JUMP_BACK):
            self._newest_imu_ns = sample.stamp_ns
            self._gyro.append((sample.stamp_ns, rate))
            self._still_gyro.append((sample.stamp_ns, rate))
        return reason

    def add_wheel(self, twist: WheelTwist) -> Rejection | None:
        """Take one wheel reading and move the state to its stamp."""
        previous_ns = self._wheel.stamp_ns if self._wheel else None
        values = (twist.linear_mps, twist.angular_radps)
        wild = abs(twist.linear_mps) > self.config.max_speed_mps or abs(twist.angular_radps) > self.config.max_turn_radps
        reason = self._check(twist.stamp_ns, previous_ns, values, wild)
        if reason not in (None, Rejection.GAP, Rejection.CLOCK_JUMP_BACK):
            return reason
        if self._wheel is None:
            self._belief = replace(self._belief, stamp_ns=twist.stamp_ns)
        elif reason is Rejection.GAP:
            self._belief = self._bridge_gap(self._belief, twist.stamp_ns)
            self._window.clear()
        else:
            self._step(self._wheel, twist)
        self._wheel = twist
        self._window.append(twist)
        self._forget(twist.stamp_ns)
        return reason

    def predicted(self) -> OdometryState:
        """The state carried on to the newest IMU stamp: what to publish when wheel readings are slow or missing.

        The last speed is held for `wheel_timeout_s`; after that the position stays and its covariance grows.
        """
        if self._wheel is None or self._newest_imu_ns is None or self._newest_imu_ns <= self._belief.stamp_ns:
            return self.state
        if seconds(self._newest_imu_ns - self._belief.stamp_ns) > self.config.max_gap_s:
            return self.state  # another clock, or wheels long gone: nothing to predict from
        held_ns = min(self._newest_imu_ns, self._wheel.stamp_ns + nanoseconds(self.config.wheel_timeout_s))
        belief, turn, speed = self._belief, self._turn_radps, self._wheel.linear_mps
        if self._stationary and held_ns == self._newest_imu_ns and not self._turning():
            return self._state(replace(belief, stamp_ns=self._newest_imu_ns), 0.0, 0.0)
        if held_ns > belief.stamp_ns:
            belief, turn, _ = self._advance(belief, replace(self._wheel, stamp_ns=held_ns), speed)
        if self._newest_imu_ns > held_ns:
            elapsed_s = seconds(self._newest_imu_ns - held_ns)
            belief, turn, _ = self._advance(belief, WheelTwist(self._newest_imu_ns, 0.0, 0.0), 0.0)
            belief = _inflate(belief, (self.config.gap_speed_mps * elapsed_s) ** 2, 0.0)
            speed = 0.0
        return self._state(belief, speed, turn)

    # --- one step -----------------------------------------------------------------------------------------------------------------

    def _step(self, before: WheelTwist, now: WheelTwist) -> None:
        """Propagate from one wheel reading to the next, then hold the pose if the robot stands."""
        self._window.append(now)
        self._stationary = self._stands(now.stamp_ns)
        self._window.pop()
        if self._stationary:
            self._belief = self._zero_velocity(self._belief, now.stamp_ns)
            self._turn_radps, self._slip_radps, self._slipping = 0.0, 0.0, False
            return
        belief, turn, source = self._advance(self._belief, now, before.linear_mps)
        self._turn_radps, self._yaw_source = turn, source
        self._suspect_slip(before, now, turn)
        if self._slipping:
            slid_m = self.config.slip_speed_sigma * abs(now.linear_mps) * seconds(now.stamp_ns - before.stamp_ns)
            # A slip lasts many steps and errs one way: its standard deviation, not its variance, adds up.
            along = math.sqrt(belief.covariance[0, 0] + belief.covariance[1, 1])
            belief = _inflate(belief, slid_m * (slid_m + 2.0 * along), 0.0)
        silence_s = seconds(now.stamp_ns - before.stamp_ns) - self.config.wheel_timeout_s
        if silence_s > 0.0:
            belief = _inflate(belief, (self.config.gap_speed_mps * silence_s) ** 2, 0.0)
        self._belief = belief

    def _advance(self, belief: _Belief, to: WheelTwist, speed_before: float) -> tuple[_Belief, float, YawSource]:
        """Move a belief to the stamp of `to`; returns it with the mean turn rate at the end and its source."""
        start_ns, end_ns = belief.stamp_ns, to.stamp_ns
        span_s = seconds(end_ns - start_ns)
        knots, rates, source = self._yaw_rates(start_ns, end_ns, belief.bias, to.angular_radps)
        pose, distance = belief.pose, 0.0
        for i in range(len(knots) - 1):
            dt = seconds(knots[i + 1] - knots[i])
            middle = 0.5 * (knots[i] + knots[i + 1] - 2 * start_ns) / max(end_ns - start_ns, 1)
            ds = (speed_before + (to.linear_mps - speed_before) * middle) * dt
            pose = pose @ Pose2.exp(ds, 0.0, 0.5 * (rates[i] + rates[i + 1]) * dt)
            distance += ds
        turned = sum(0.5 * (rates[i] + rates[i + 1]) * seconds(knots[i + 1] - knots[i]) for i in range(len(knots) - 1))
        covariance = self._propagate_covariance(belief, pose, distance, turned, span_s, source)
        return _Belief(end_ns, pose, belief.bias, covariance), rates[-1], source

    def _yaw_rates(self, start_ns: int, end_ns: int, bias: float, wheel_radps: float) -> tuple[list[int], list[float], YawSource]:
        """Yaw rates at knots from `start_ns` to `end_ns`: the gyro's, bias removed, or the wheels' where the gyro is missing."""
        limit_ns = nanoseconds(self.config.imu_timeout_s)
        near = [(t, rate) for t, rate in self._gyro if start_ns - limit_ns <= t <= end_ns + limit_ns]
        inside = [t for t, _ in near if start_ns < t < end_ns]
        knots = [start_ns, *inside, end_ns]
        stamps = [t for t, _ in near]
        holes = not near or stamps[0] > start_ns + limit_ns or stamps[-1] < end_ns - limit_ns
        if holes or any(b - a > limit_ns for a, b in itertools.pairwise(stamps)):
            return [start_ns, end_ns], [wheel_radps, wheel_radps], YawSource.WHEEL
        rates = np.interp(np.array(knots) - start_ns, np.array(stamps) - start_ns, [rate - bias for _, rate in near])
        return knots, rates.tolist(), YawSource.GYRO

    def _propagate_covariance(
        self, belief: _Belief, after: Pose2, distance: float, turned: float, span_s: float, source: YawSource
    ) -> FloatArray:
        """P ← F P Fᵀ + Q with the chord as the lever of a heading error."""
        config = self.config
        dx, dy = after.x - belief.pose.x, after.y - belief.pose.y
        jacobian = np.eye(4)
        jacobian[0, 2], jacobian[1, 2] = -dy, dx
        if source is YawSource.GYRO:
            # yaw falls behind by bias · t, and the position by half of that over the chord
            jacobian[2, 3], jacobian[0, 3], jacobian[1, 3] = -span_s, 0.5 * dy * span_s, -0.5 * dx * span_s
            yaw_variance = config.gyro_noise**2 * span_s + config.turn_sigma**2 * abs(turned)
        else:
            yaw_variance = config.wheel_turn_sigma**2 * abs(turned) + config.wheel_yaw_distance_sigma**2 * abs(distance)
        heading = belief.pose.yaw + 0.5 * turned
        c, s = math.cos(heading), math.sin(heading)
        along, across = config.distance_sigma**2 * abs(distance), config.lateral_sigma**2 * abs(distance)
        noise = np.zeros((4, 4))
        noise[0, 0], noise[1, 1] = c * c * along + s * s * across, s * s * along + c * c * across
        noise[0, 1] = noise[1, 0] = c * s * (along - across)
        noise[2, 2], noise[3, 3] = yaw_variance, config.gyro_bias_walk**2 * span_s
        covariance = jacobian @ belief.covariance @ jacobian.T + noise
        symmetric: FloatArray = 0.5 * (covariance + covariance.T)
        return symmetric

    # --- standstill, slip, gaps ---------------------------------------------------------------------------------------------------

    def _stands(self, now_ns: int) -> bool:
        """Whether wheels and gyro have been quiet for the whole window."""
        config = self.config
        since_ns = now_ns - nanoseconds(config.standstill_window_s)
        recent = [w for w in self._window if w.stamp_ns >= since_ns]
        if len(recent) < 3 or self._window[0].stamp_ns > since_ns + nanoseconds(0.3 * config.standstill_window_s):
            return False
        speeds, turns = [w.linear_mps for w in recent], [w.angular_radps for w in recent]
        if max(map(abs, speeds)) > 4.0 * config.standstill_speed_mps or abs(sum(speeds)) > len(speeds) * config.standstill_speed_mps:
            return False
        if max(map(abs, turns)) > 4.0 * config.standstill_turn_radps or abs(sum(turns)) > len(turns) * config.standstill_turn_radps:
            return False
        return not self._turning()

    def _turning(self) -> bool:
        """Whether the gyro sees a rotation that its bias does not explain (pushed, lifted or carried)."""
        if self._newest_imu_ns is None:
            return False
        since_ns = self._newest_imu_ns - nanoseconds(self.config.standstill_window_s)
        rates = [rate for stamp, rate in self._still_gyro if stamp >= since_ns]
        if len(rates) < 3:
            return False
        mean = sum(rates) / len(rates)
        std = math.sqrt(sum((r - mean) ** 2 for r in rates) / len(rates))
        tolerance = self.config.standstill_turn_radps / 2.0 + 3.0 * math.sqrt(float(self._belief.covariance[3, 3]))
        return std > self.config.standstill_gyro_std_radps or abs(mean - self._belief.bias) > tolerance

    def _zero_velocity(self, belief: _Belief, stamp_ns: int) -> _Belief:
        """Kalman update with "the yaw rate is zero": the gyro readings since the last step measure the bias.

        Schmidt's form: a robot that stands does not move in /odom, so that only the bias is corrected, with the covariance of that gain.
        """
        rates = [rate for stamp, rate in self._gyro if belief.stamp_ns < stamp <= stamp_ns]
        held = replace(belief, stamp_ns=stamp_ns)
        if not rates:
            return held
        span_s = max(seconds(stamp_ns - belief.stamp_ns), 1e-4)
        variance = self.config.gyro_noise**2 / span_s  # white noise averaged over the step
        walked = belief.covariance.copy()
        walked[3, 3] += self.config.gyro_bias_walk**2 * span_s
        gain = walked[3, 3] / (walked[3, 3] + variance)
        keep = np.diag([1.0, 1.0, 1.0, 1.0 - gain])
        covariance = keep @ walked @ keep
        covariance[3, 3] += gain**2 * variance
        return replace(held, bias=belief.bias + gain * (sum(rates) / len(rates) - belief.bias), covariance=covariance)

    def _suspect_slip(self, before: WheelTwist, now: WheelTwist, turn_radps: float) -> None:
        """Compare the wheels' turn rate with the gyro's, low-passed over `slip_window_s`."""
        if self._yaw_source is YawSource.WHEEL:
            self._slip_radps, self._slipping = 0.0, False
            return
        share = min(seconds(now.stamp_ns - before.stamp_ns) / self.config.slip_window_s, 1.0)
        self._slip_radps += share * (now.angular_radps - turn_radps - self._slip_radps)
        limit = self.config.slip_rate_radps + self.config.slip_ratio * max(abs(now.angular_radps), abs(turn_radps))
        self._slipping = abs(self._slip_radps) > limit

    def _bridge_gap(self, belief: _Belief, stamp_ns: int) -> _Belief:
        """Keep the position over a silence of the wheels and admit how far the robot may have gone; a gyro that spoke still turns it."""
        silence_s = seconds(stamp_ns - belief.stamp_ns)
        after, _, source = self._advance(belief, WheelTwist(stamp_ns, 0.0, 0.0), 0.0)
        reach_m = self.config.gap_speed_mps * min(silence_s, 3600.0)
        turned_rad = 0.0 if source is YawSource.GYRO else math.pi * min(silence_s, 1.0)
        return _inflate(after, reach_m**2, turned_rad**2)

    # --- housekeeping -------------------------------------------------------------------------------------------------------------

    def _check(self, stamp_ns: int, newest_ns: int | None, values: tuple[float, ...], wild: bool) -> Rejection | None:
        """Judge a reading by its values and its stamp; counts what it finds."""
        reason: Rejection | None = None
        if not all(map(math.isfinite, values)):
            reason = Rejection.NOT_FINITE
        elif wild:
            reason = Rejection.IMPLAUSIBLE
        elif newest_ns is not None:
            step_s = seconds(stamp_ns - newest_ns)
            if step_s < -self.config.reorder_limit_s:
                reason = Rejection.CLOCK_JUMP_BACK
                self._reset_time()
            elif step_s == 0.0:
                reason = Rejection.DUPLICATE
            elif step_s < 0.0:
                reason = Rejection.OUT_OF_ORDER
            elif step_s > self.config.max_gap_s:
                reason = Rejection.GAP
        if reason is not None:
            self._counts[reason] += 1
        return reason

    def _forget(self, now_ns: int) -> None:
        """Drop readings that no later step needs."""
        while len(self._gyro) > 1 and self._gyro[1][0] <= now_ns:
            self._gyro.popleft()
        oldest_ns = now_ns - 2 * nanoseconds(self.config.standstill_window_s)
        while self._still_gyro and self._still_gyro[0][0] < oldest_ns:
            self._still_gyro.popleft()
        while self._window and self._window[0].stamp_ns < oldest_ns:
            self._window.popleft()

    def _state(self, belief: _Belief, speed: float, turn: float) -> OdometryState:
        if self._stationary:
            speed = 0.0
        covariance = belief.covariance[:3, :3].copy()
        return OdometryState(
            belief.stamp_ns, belief.pose, speed, turn, covariance, belief.bias, self._stationary, self._slipping, self._yaw_source
        )


def _inflate(belief: _Belief, position_m2: float, yaw_rad2: float) -> _Belief:
    return replace(belief, covariance=belief.covariance + np.diag([position_m2, position_m2, yaw_rad2, 0.0]))


def integrate(wheel: Sequence[WheelTwist], imu: Sequence[ImuSample], config: OdometryConfig | None = None) -> Trajectory:
    """The odometry of a whole drive, odom_from_base at every wheel stamp, starting at the origin.

    Raises:
        BadInputError: there is no usable wheel reading.
    """
    odometry = WheelImuOdometry(config)
    merged: list[tuple[int, int, ImuSample | WheelTwist]] = [(s.stamp_ns, 0, s) for s in imu]
    merged += [(w.stamp_ns, 1, w) for w in wheel]
    stamps: list[int] = []
    poses: list[tuple[float, float, float]] = []
    for _, _, reading in sorted(merged, key=lambda entry: entry[:2]):
        if isinstance(reading, ImuSample):
            odometry.add_imu(reading)
        elif odometry.add_wheel(reading) in (None, Rejection.GAP):
            pose = odometry.state.odom_from_base
            stamps.append(reading.stamp_ns)
            poses.append((pose.x, pose.y, pose.yaw))
    if not stamps:
        raise BadInputError(f"no usable wheel odometry among {len(wheel)} readings")
    return Trajectory(np.array(stamps, dtype=np.int64), np.array(poses))
