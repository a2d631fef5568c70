"""Wheel + IMU odometry: an error-state Kalman filter whose pose knows its error, and which takes learned Δposes as they come (3.2.3).

Between two wheel readings the pose moves along the gyro's yaw rate and the wheels' distance; the wheels' own yaw stands in where the
gyro is missing, the accelerometer where the wheels slip (`slip`). At standstill the pose is held and the gyro reads its bias (`signals`).
The states and their mathematics are in `belief`, late Δposes in `history`.
Axes of IMU samples must be those of base_link (x forward, z up); callers rotate samples of an IMU that is mounted otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, ImuSample, Observation, WheelTwist, nanoseconds, seconds
from astra.fusion.belief import BIAS, Belief, Interval, advance
from astra.fusion.history import DeltaOutcome, DeltaPose, History
from astra.fusion.odometry_config import OdometryConfig
from astra.fusion.signals import Signal, Standstill
from astra.fusion.slip import SpeedMonitor, TurnMonitor
from astra.geometry.se2 import Pose2
from astra.geometry.trajectory import Trajectory

__all__ = ["DeltaOutcome", "DeltaPose", "OdometryConfig", "OdometryState", "Rejection", "Trouble", "WheelImuOdometry", "YawSource", "integrate"]

_TOLD_NS = 2_000_000_000  # for so long after a silence it is told of
_STEP_NS = 25_000_000  # intervals between slow wheel readings are driven in steps of at most this


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


class Trouble(StrEnum):
    """What makes the pose less certain than it would be."""

    SLIP_TURN = "wheels and gyro disagree about the turn: slip"
    SLIP_SPEED = "wheels and accelerometer disagree about the speed: slip"
    DISTRUST = "wheels and accelerometer have parted: stuck or lifted wheels"
    NO_GYRO = "no gyro: the heading comes from the wheels alone"
    NO_WHEELS = "no wheels: the pose stays"
    GAP = "the wheels have been silent for a while: the motion meanwhile is a guess"
    VISION = "vision contradicts wheels and gyro"


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
    troubles: tuple[Trouble, ...] = ()


class WheelImuOdometry:
    """Feeds on readings in arrival order and keeps `state` at the newest wheel stamp.

    IMU samples wait for the wheel reading that covers them, so that it does not matter which topic is the faster one.
    `add_imu` and `add_wheel` return why a reading was refused or how it was special, else None; `count` tells how often that happened.
    """

    def __init__(self, config: OdometryConfig | None = None, odom_from_base: Pose2 | None = None) -> None:
        self.config = config or OdometryConfig()
        self._history = History(self.config, Belief.initial(self.config, odom_from_base or Pose2()))
        self._counts: Counter[Rejection] = Counter()
        self._gyro, self._accel = Signal(self.config.imu_timeout_s), Signal(self.config.imu_timeout_s)
        self._standstill, self._speeds, self._turns = Standstill(self.config), SpeedMonitor(self.config), TurnMonitor(self.config)
        self._correction, self._corrected_ns = Pose2(), 0
        self._reset_time()

    def _reset_time(self) -> None:
        self._gyro.clear()
        self._accel.clear()
        self._standstill.reset()
        self._speeds.reset()
        self._turns.reset()
        self._newest_imu_ns: int | None = None
        self._wheel: WheelTwist | None = None
        self._stationary = False
        self._troubles: tuple[Trouble, ...] = ()
        self._yaw_source = YawSource.WHEEL
        self._speed_mps = self._turn_radps = 0.0
        self._doubt: DeltaOutcome | None = None
        self._silent_ns: int | None = None  # when the last silence of the wheels ended

    @property
    def started(self) -> bool:
        """Whether a wheel reading has arrived, so that `state` has a stamp."""
        return self._wheel is not None

    @property
    def state(self) -> OdometryState:
        """The state at the newest wheel reading (before the first one: the start pose at stamp 0)."""
        return self._state(self._history.newest, self._speed_mps, self._turn_radps)

    @property
    def wheel_scale(self) -> float:
        """By how much the base moves farther than the wheels tell, as learned from Δposes."""
        return self._history.newest.scale

    def count(self, reason: Rejection) -> int:
        """How many readings met `reason` so far."""
        return self._counts[reason]

    def count_delta(self, outcome: DeltaOutcome) -> int:
        """How many Δposes met `outcome` so far."""
        return self._history.outcomes[outcome]

    def observe(self, observation: Observation) -> None:
        """Add all wheel and IMU readings of an observation (`navigation.protocols.OdometrySource`)."""
        for sample in observation.imu:
            self.add_imu(sample)
        for twist in observation.wheel:
            self.add_wheel(twist)

    def add_imu(self, sample: ImuSample) -> Rejection | None:
        """Take one IMU reading with base_link's axes; an accelerometer that gives no number is done without."""
        rate, accel = float(sample.angular_velocity[2]), float(sample.linear_acceleration[0])
        reason = self._check(sample.stamp_ns, self._newest_imu_ns, (rate,), abs(rate) > self.config.max_turn_radps)
        if reason in (None, Rejection.GAP, Rejection.CLOCK_JUMP_BACK):
            self._newest_imu_ns = sample.stamp_ns
            self._gyro.add(sample.stamp_ns, rate)
            if math.isfinite(accel):
                self._accel.add(sample.stamp_ns, accel)
            self._standstill.add_gyro(sample.stamp_ns, rate)
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
            self._history.restart(replace(self._history.newest, stamp_ns=twist.stamp_ns))
            self._speed_mps = twist.linear_mps
        elif reason is Rejection.GAP:
            self._history.append(self._unseen(self._wheel.stamp_ns, twist.stamp_ns))
            self._standstill.forget_wheels()
            self._speeds.reset()
            self._silent_ns = twist.stamp_ns
        self._standstill.add_wheel(twist)
        if self._wheel is not None and reason is None:
            self._step(self._wheel, twist)
        self._wheel = twist
        self._gyro.forget(twist.stamp_ns)
        self._accel.forget(twist.stamp_ns)
        self._absorb(self._history.retry)
        return reason

    def add_delta(self, delta: DeltaPose) -> DeltaOutcome:
        """Take a measured motion between two stamps, up to `delta_memory_s` late; one that is ahead of the wheels waits for them."""
        (outcome,) = self._absorb(lambda: [self._history.add(delta)])
        if outcome in (DeltaOutcome.FUSED, DeltaOutcome.OUTLIER, DeltaOutcome.REVOLT):
            span_s = seconds(delta.to_ns - delta.from_ns)
            self._speeds.seen(delta.motion.x / span_s, self._history.travelled_m(delta.from_ns, delta.to_ns) / span_s, span_s)
        return outcome

    def start_frame(self, odom_from_base: Pose2) -> None:
        """Begin a new odom frame here: the pose is exact, what is known of the sensors' errors stays."""
        self._history.restart(self._history.newest.with_pose(odom_from_base))
        self._correction = Pose2()

    def predicted(self) -> OdometryState:
        """The state carried on to the newest IMU stamp: what to publish when wheel readings are slow or missing.

        The last speed is held for `wheel_timeout_s`; after that the position stays and its covariance grows.
        """
        belief, newest_ns = self._history.newest, self._newest_imu_ns
        if self._wheel is None or newest_ns is None or newest_ns <= belief.stamp_ns:
            return self.state
        if seconds(newest_ns - belief.stamp_ns) > self.config.max_gap_s:
            return self.state  # another clock, or wheels long gone: nothing to predict from
        held_ns = min(newest_ns, self._wheel.stamp_ns + nanoseconds(self.config.wheel_timeout_s))
        if self._stationary and held_ns == newest_ns and not self._standstill.turning(belief.bias, self._bias_sigma):
            return self._state(replace(belief, stamp_ns=newest_ns), 0.0, 0.0)
        speed, turn, troubles = self._speed_mps, self._turn_radps, self._troubles
        if held_ns > belief.stamp_ns:
            span_s = seconds(held_ns - belief.stamp_ns)
            belief = self._driven(belief, self._interval(belief.stamp_ns, held_ns, speed * span_s, self._wheel.angular_radps * span_s))
        if newest_ns > held_ns:
            belief = self._driven(belief, self._unseen(held_ns, newest_ns))
            speed, turn, troubles = 0.0, 0.0, (*troubles, Trouble.NO_WHEELS)
        return self._state(belief, speed, turn, troubles)

    # --- one step -----------------------------------------------------------------------------------------------------------------

    def _step(self, before: WheelTwist, now: WheelTwist) -> None:
        """From one wheel reading to the next: held if the robot stands, driven if not."""
        span_s = seconds(now.stamp_ns - before.stamp_ns)
        gyro, gain = self._gyro.integral(before.stamp_ns, now.stamp_ns), self._accel.integral(before.stamp_ns, now.stamp_ns)
        self._yaw_source = YawSource.WHEEL if gyro is None else YawSource.GYRO
        doubtful = self._speeds.slipping or self._speeds.distrusted
        self._stationary = not doubtful and self._standstill.stands(self._history.newest.bias, self._bias_sigma)
        if self._stationary:
            self._rest(before.stamp_ns, now.stamp_ns, gyro, gain)
            return
        self._standstill.moved()
        verdict = self._speeds.judge(now.linear_mps, gain, span_s)
        turn_radps = now.angular_radps if gyro is None else gyro / span_s - self._history.newest.bias
        slips_in_turn = gyro is not None and self._turns.judge(now.angular_radps, turn_radps, span_s)
        speed_before, silence_s = self._speed_mps, span_s - self.config.wheel_timeout_s
        self._speed_mps, self._turn_radps = verdict.speed_mps, turn_radps
        interval = self._interval(
            before.stamp_ns, now.stamp_ns, 0.5 * (speed_before + verdict.speed_mps) * span_s, now.angular_radps * span_s
        )  # fmt: skip
        slid_mps = verdict.sigma_mps
        if slips_in_turn and gain is None:
            slid_mps = max(slid_mps, self.config.slip_speed_sigma * abs(now.linear_mps))
        strayed_m = self.config.gap_speed_mps * silence_s if silence_s > 0.0 else 0.0
        if silence_s > 0.0:
            self._silent_ns = now.stamp_ns
        slipping = slips_in_turn or verdict.slipping
        self._append(replace(interval, slipping=slipping or self._speeds.distrusted, slid_m=slid_mps * span_s, strayed_m=strayed_m))
        found = (
            (slips_in_turn, Trouble.SLIP_TURN), (verdict.slipping, Trouble.SLIP_SPEED), (self._speeds.distrusted, Trouble.DISTRUST),
            (gyro is None, Trouble.NO_GYRO),
        )  # fmt: skip
        self._troubles = tuple(trouble for is_so, trouble in found if is_so)

    def _rest(self, start_ns: int, end_ns: int, gyro: float | None, gain: float | None) -> None:
        """Hold the pose, and learn what the sensors say at rest."""
        span_s = seconds(end_ns - start_ns)
        rest = self._standstill.rested(end_ns, span_s, gyro, self._history.newest.bias, self._bias_sigma)
        self._speeds.rest(gain, span_s)
        self._turns.reset()
        self._speed_mps = self._turn_radps = 0.0
        self._troubles = ()
        self._history.append(Interval(start_ns, end_ns, 0.0, 0.0, gyro, still=True, rest=rest))

    def _interval(self, start_ns: int, end_ns: int, travel_m: float, wheel_turn_rad: float) -> Interval:
        return Interval(start_ns, end_ns, travel_m, wheel_turn_rad, self._gyro.integral(start_ns, end_ns))

    def _pieces(self, interval: Interval) -> list[Interval]:
        """An interval in steps short enough to be arcs; each has the gyro's turn of its own."""
        count = -(-(interval.end_ns - interval.start_ns) // _STEP_NS)
        if count <= 1:
            return [interval]
        stamps = [interval.start_ns + (interval.end_ns - interval.start_ns) * i // count for i in range(count + 1)]
        parts = [interval.part(a, b) for a, b in itertools.pairwise(stamps)]
        if interval.gyro_turn_rad is None:
            return parts
        return [replace(part, gyro_turn_rad=self._gyro.integral(part.start_ns, part.end_ns)) for part in parts]

    def _append(self, interval: Interval) -> None:
        for piece in self._pieces(interval):
            self._history.append(piece)

    def _driven(self, belief: Belief, interval: Interval) -> Belief:
        for piece in self._pieces(interval):
            belief = advance(belief, piece, self.config)
        return belief

    def _unseen(self, start_ns: int, end_ns: int) -> Interval:
        """A silence of the wheels: the position is kept, and it is admitted how far the robot may have gone; a gyro that spoke still turns it."""
        silence_s, gyro = seconds(end_ns - start_ns), self._gyro.integral(start_ns, end_ns)
        strayed_rad = 0.0 if gyro is not None else math.pi * min(silence_s, 1.0)
        strayed_m = self.config.gap_speed_mps * min(silence_s, 3600.0)
        return Interval(start_ns, end_ns, 0.0, 0.0, gyro, slipping=True, strayed_m=strayed_m, strayed_rad=strayed_rad)

    # --- housekeeping -------------------------------------------------------------------------------------------------------------

    @property
    def _bias_sigma(self) -> float:
        return math.sqrt(float(self._history.newest.covariance[BIAS, BIAS]))

    def _absorb(self, fuse: Callable[[], list[DeltaOutcome]]) -> list[DeltaOutcome]:
        """Let Δposes correct the past, and keep the pose that is told continuous."""
        before = self._history.newest
        shown = before.pose @ self._offset(before.stamp_ns)
        outcomes = fuse()
        if any(outcome.is_used for outcome in outcomes):
            self._correction, self._corrected_ns = self._history.newest.pose.inverse() @ shown, before.stamp_ns
        if outcomes and outcomes[-1] is not DeltaOutcome.WAITING:
            self._doubt = outcomes[-1] if outcomes[-1] in (DeltaOutcome.OUTLIER, DeltaOutcome.REVOLT) else None
        return outcomes

    def _offset(self, stamp_ns: int) -> Pose2:
        """What is left of the last correction, in the base frame."""
        c = self._correction
        if c.x == 0.0 and c.y == 0.0 and c.yaw == 0.0:
            return c
        left = math.exp(-max(seconds(stamp_ns - self._corrected_ns), 0.0) / self.config.correction_s)
        if left < 1e-4:
            self._correction = Pose2()
            return self._correction
        return Pose2(left * c.x, left * c.y, left * c.yaw)

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

    def _state(self, belief: Belief, speed: float, turn: float, troubles: tuple[Trouble, ...] | None = None) -> OdometryState:
        troubles = self._troubles if troubles is None else troubles
        if self._silent_ns is not None and belief.stamp_ns - self._silent_ns < _TOLD_NS:
            troubles = (*troubles, Trouble.GAP)
        if self._doubt is not None:
            troubles = (*troubles, Trouble.VISION)
        slipping = Trouble.SLIP_TURN in troubles or Trouble.SLIP_SPEED in troubles
        pose = belief.pose @ self._offset(belief.stamp_ns)
        return OdometryState(
            belief.stamp_ns, pose, speed, turn, belief.covariance[:3, :3].copy(), belief.bias, self._stationary, slipping, self._yaw_source, troubles
        )  # fmt: skip


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
