"""What the odometry believes, and how a stretch of motion changes it: the error-state filter's mathematics, without any bookkeeping.

States, in the order of the covariance (9, 9):

    x, y [m], yaw [rad]        odom_from_base
    bias [rad/s]               the gyro reads the yaw rate plus this
    scale                      the base moves (1 + scale) for each metre that the wheels tell
    skew [rad/m], track        the wheels' yaw is (1 + track) · yaw + skew · distance
    stretch, bend [rad/m]      Δposes tell (1 + stretch) times the way, and turn by bend for each metre too far: what is seen is taken for nearer than
                               it is for a while, or a camera hangs askew, so that Δposes err alike for seconds

Wheels and gyro enter as inputs; what they disagree about (`compare_turns`), rest (`learn_bias`) and Δposes (`fuse_delta`) as measurements.
A clone of an earlier pose (`cross`, its covariance with the states now) lets a Δpose refer to two moments (stochastic cloning;
Roumeliotis & Burdick 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from astra.core.types import FloatArray, seconds
from astra.fusion.odometry_config import OdometryConfig
from astra.geometry.se2 import Pose2, wrap_angle

BIAS, SCALE, SKEW, TRACK, STRETCH, BEND = 3, 4, 5, 6, 7, 8
STATES = 9
_MISFIT_SHARE = 0.1  # of each comparison in `misfit`


@dataclass(frozen=True, slots=True)
class Interval:
    """What the sensors said between two stamps, and what was thought of it.

    `travel_m` by the wheels (or, while they slip, by the accelerometer), `wheel_turn_rad`, `gyro_turn_rad` with the bias in it, None
    where the gyro is missing. `slid_m` is the deviation of a distance that cannot be trusted, `strayed_m` and `strayed_rad` those of a
    motion that nobody saw.
    """

    start_ns: int
    end_ns: int
    travel_m: float
    wheel_turn_rad: float
    gyro_turn_rad: float | None = None
    still: bool = False
    rest: tuple[float, float] | None = None  # duration [s] and gyro turn [rad] of a stretch of rest to learn the bias from
    slipping: bool = False
    slid_m: float = 0.0
    strayed_m: float = 0.0
    strayed_rad: float = 0.0

    @property
    def span_s(self) -> float:
        """Duration [s]."""
        return seconds(self.end_ns - self.start_ns)

    def part(self, start_ns: int, end_ns: int) -> Interval:
        """The part between two stamps inside, motion taken as even."""
        share = (end_ns - start_ns) / max(self.end_ns - self.start_ns, 1)
        root = math.sqrt(share)
        return replace(
            self, start_ns=start_ns, end_ns=end_ns, travel_m=share * self.travel_m, wheel_turn_rad=share * self.wheel_turn_rad,
            gyro_turn_rad=None if self.gyro_turn_rad is None else share * self.gyro_turn_rad, rest=self.rest if end_ns == self.end_ns else None,
            slid_m=share * self.slid_m, strayed_m=root * self.strayed_m, strayed_rad=root * self.strayed_rad,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TurnSum:
    """Sums since wheels and gyro were last compared."""

    span_s: float = 0.0
    travel_m: float = 0.0
    wheel_rad: float = 0.0
    gyro_rad: float = 0.0
    turned_rad: float = 0.0  # unsigned
    swing_radps: float = 0.0  # sum of the unsigned changes of the turn rate
    rate_radps: float = 0.0  # the last


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """Mean and covariance of the states at a stamp; `cross` (3, 9) belongs to the cloned pose `clone`, covariance `clone_covariance` (3, 3)."""

    stamp_ns: int
    pose: Pose2
    bias: float
    scale: float
    skew: float
    track: float
    covariance: FloatArray
    sums: TurnSum = field(default_factory=TurnSum)
    stretch: float = 0.0
    bend: float = 0.0
    misfit: float = 9.0  # how much larger the squared surprises of wheels against gyro are than expected: skid steering, carpets
    clone: Pose2 | None = None
    clone_covariance: FloatArray | None = None
    cross: FloatArray | None = None

    @staticmethod
    def initial(config: OdometryConfig, pose: Pose2) -> Belief:
        """What is believed before the first reading: the pose exactly, the sensors' errors by their deviations."""
        deviations = (
            1e-4, 1e-4, 1e-4,  # never singular
            config.gyro_bias_initial_sigma_radps, config.scale_initial_sigma, config.wheel_skew_initial_sigma, config.wheel_track_initial_sigma,
            config.delta_stretch_sigma, config.delta_bend_sigma,
        )  # fmt: skip
        scale = -config.wheel_creep / (1.0 + config.wheel_creep)
        return Belief(0, pose, 0.0, scale, 0.0, 0.0, np.diag(np.square(deviations)))

    def cloned(self) -> Belief:
        """The same belief with its pose remembered."""
        return replace(self, clone=self.pose, clone_covariance=self.covariance[:3, :3].copy(), cross=self.covariance[:3].copy())

    def forgotten(self) -> Belief:
        """The same belief without a remembered pose."""
        return replace(self, clone=None, clone_covariance=None, cross=None)

    def with_pose(self, pose: Pose2) -> Belief:
        """The same belief at a pose that is known exactly: the start of a new frame."""
        covariance = self.covariance.copy()
        covariance[:3, :] = covariance[:, :3] = 0.0
        covariance[[0, 1, 2], [0, 1, 2]] = 1e-8
        return replace(self, pose=pose, covariance=covariance).forgotten()


def advance(belief: Belief, interval: Interval, config: OdometryConfig) -> Belief:
    """Move a belief along an interval: P ← F P Fᵀ + Q, and compare wheels and gyro where enough has been summed."""
    if interval.still:
        held = replace(belief, stamp_ns=interval.end_ns, sums=TurnSum())
        return held if interval.rest is None else learn_bias(held, *interval.rest, config)
    span_s, gyro = interval.span_s, interval.gyro_turn_rad
    travel = (1.0 + belief.scale) * interval.travel_m
    if gyro is not None:
        turned = gyro - belief.bias * span_s
    else:
        turned = (interval.wheel_turn_rad - belief.skew * interval.travel_m) / (1.0 + belief.track)
    pose = belief.pose @ Pose2.exp(travel, 0.0, turned)
    jacobian = _jacobian(belief, pose, interval, turned)
    covariance = belief.covariance.copy()
    moved = jacobian @ belief.covariance
    covariance[:3, 3:] = moved[:, 3:]
    covariance[3:, :3] = moved[:, 3:].T
    covariance[:3, :3] = moved @ jacobian.T + _noise(belief.pose.yaw + 0.5 * turned, travel, turned, interval, config)
    covariance[BIAS, BIAS] += config.gyro_bias_walk**2 * span_s
    if interval.slid_m > 0.0:
        # A slip lasts many steps and errs one way: its standard deviation, not its variance, adds up.
        grown = interval.slid_m * (interval.slid_m + 2.0 * math.sqrt(covariance[0, 0] + covariance[1, 1]))
        covariance[0, 0] += grown
        covariance[1, 1] += grown
    cross = belief.cross
    if cross is not None:
        cross = np.hstack([cross @ jacobian.T, cross[:, 3:]])
    stays = math.exp(-span_s / config.delta_wander_s)
    covariance[STRETCH:] *= stays
    covariance[:, STRETCH:] *= stays
    covariance[[STRETCH, BEND], [STRETCH, BEND]] += (1.0 - stays**2) * np.square((config.delta_stretch_sigma, config.delta_bend_sigma))
    if cross is not None:
        cross[:, STRETCH:] *= stays
    belief = replace(belief, stretch=stays * belief.stretch, bend=stays * belief.bend)
    after = replace(belief, stamp_ns=interval.end_ns, pose=pose, covariance=covariance, cross=cross)
    return compare_turns(after, interval, config)


def _jacobian(belief: Belief, after: Pose2, interval: Interval, turned: float) -> FloatArray:
    """d(x, y, yaw) / d(states) (3, 9), with the chord as the lever of a heading error."""
    dx, dy = after.x - belief.pose.x, after.y - belief.pose.y
    jacobian = np.zeros((3, STATES))
    jacobian[0, 0] = jacobian[1, 1] = jacobian[2, 2] = 1.0
    jacobian[0, 2], jacobian[1, 2] = -dy, dx
    stretch = 1.0 / (1.0 + belief.scale)
    jacobian[0, SCALE], jacobian[1, SCALE] = stretch * dx, stretch * dy
    if interval.gyro_turn_rad is not None:
        causes = [(BIAS, -interval.span_s)]
    else:
        causes = [(SKEW, -interval.travel_m / (1.0 + belief.track)), (TRACK, -turned / (1.0 + belief.track))]
    for column, yaw in causes:
        # what turns the end of a chord by an angle turns the chord by half of it
        jacobian[0, column], jacobian[1, column], jacobian[2, column] = -0.5 * dy * yaw, 0.5 * dx * yaw, yaw
    return jacobian


def _noise(heading: float, travel: float, turned: float, interval: Interval, config: OdometryConfig) -> FloatArray:
    """White noise (3, 3) of one interval in the odom frame."""
    c, s = math.cos(heading), math.sin(heading)
    along, across = config.distance_sigma**2 * abs(travel), config.lateral_sigma**2 * abs(travel)
    strayed = interval.strayed_m**2
    if interval.gyro_turn_rad is not None:
        yaw = config.gyro_noise**2 * interval.span_s + config.turn_sigma**2 * abs(turned)
    else:
        yaw = config.wheel_turn_sigma**2 * abs(turned) + config.blind_yaw_sigma**2 * abs(travel)
        along += config.blind_distance_sigma**2 * abs(travel)
    noise = np.zeros((3, 3))
    noise[0, 0], noise[1, 1] = c * c * along + s * s * across + strayed, s * s * along + c * c * across + strayed
    noise[0, 1] = noise[1, 0] = c * s * (along - across)
    noise[2, 2] = yaw + interval.strayed_rad**2
    return noise


# --- measurements -----------------------------------------------------------------------------------------------------------------------


def learn_bias(belief: Belief, span_s: float, gyro_rad: float, config: OdometryConfig) -> Belief:
    """Kalman update with "the yaw did not change" over a stretch of rest.

    Schmidt's form: a robot that stands does not move in /odom, so that only the sensors' errors are corrected.
    """
    row = np.zeros(STATES)
    row[BIAS] = 1.0
    walked = belief.covariance.copy()
    walked[BIAS, BIAS] += config.gyro_bias_walk**2 * span_s
    variance = config.gyro_noise**2 / max(span_s, 1e-4)
    return _scalar_update(replace(belief, covariance=walked), row, gyro_rad / span_s - belief.bias, variance, hold_pose=True)


def compare_turns(belief: Belief, interval: Interval, config: OdometryConfig) -> Belief:
    """Kalman update with the wheels' yaw against the gyro's, which tells the wheels' skew and track, and the gyro's bias, apart.

        wheel = (1 + track) · (gyro - bias · t) + skew · distance
    """
    gyro = interval.gyro_turn_rad
    if gyro is None or interval.slipping:
        return replace(belief, sums=TurnSum())
    old = belief.sums
    turned = gyro - belief.bias * interval.span_s
    rate = turned / max(interval.span_s, 1e-6)
    sums = TurnSum(
        old.span_s + interval.span_s, old.travel_m + interval.travel_m, old.wheel_rad + interval.wheel_turn_rad, old.gyro_rad + gyro,
        old.turned_rad + abs(turned), old.swing_radps + (abs(rate - old.rate_radps) if old.span_s > 0.0 else 0.0), rate,
    )  # fmt: skip
    if sums.span_s < config.wheel_check_s:
        return replace(belief, sums=sums)
    turned = sums.gyro_rad - belief.bias * sums.span_s
    row = np.zeros(STATES)
    row[BIAS], row[SKEW], row[TRACK] = -(1.0 + belief.track) * sums.span_s, sums.travel_m, turned
    variance = config.gyro_noise**2 * sums.span_s + config.wheel_yaw_tick_rad**2
    variance += (config.wheel_lag_s * sums.swing_radps) ** 2
    variance += config.wheel_turn_sigma**2 * sums.turned_rad + config.wheel_yaw_distance_sigma**2 * abs(sums.travel_m)
    surprise = sums.wheel_rad - (1.0 + belief.track) * turned - belief.skew * sums.travel_m
    expected = float(row @ belief.covariance @ row)
    unlikely = surprise**2 / (expected + variance)
    fresh = replace(belief, sums=TurnSum(), misfit=belief.misfit + _MISFIT_SHARE * (min(unlikely, 25.0) - belief.misfit))
    if unlikely > 9.0:
        return fresh  # a slip that nobody noticed
    return _scalar_update(fresh, row, surprise, variance * max(fresh.misfit, 1.0) ** 2, hold_pose=True)


def _scalar_update(belief: Belief, row: FloatArray, surprise: float, variance: float, *, hold_pose: bool) -> Belief:
    """Kalman update with one number, in Joseph's form."""
    spread = belief.covariance @ row
    gain = spread / (float(row @ spread) + variance)
    if hold_pose:
        gain[:3] = 0.0
    keep = np.eye(STATES) - np.outer(gain, row)
    covariance = keep @ belief.covariance @ keep.T + variance * np.outer(gain, gain)
    cross = None if belief.cross is None else belief.cross @ keep.T
    return _corrected(replace(belief, covariance=covariance, cross=cross), gain * surprise)


def _corrected(belief: Belief, by: FloatArray) -> Belief:
    x, y, yaw, bias, scale, skew, track, stretch, bend = by.tolist()
    pose = Pose2(belief.pose.x + x, belief.pose.y + y, wrap_angle(belief.pose.yaw + yaw))
    return replace(
        belief, pose=pose, bias=belief.bias + bias, scale=belief.scale + scale, skew=belief.skew + skew, track=belief.track + track,
        stretch=belief.stretch + stretch, bend=belief.bend + bend,
    )  # fmt: skip


def delta_surprise(belief: Belief, delta: Pose2) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A Δpose against the belief and its clone: surprise (3,), its covariance without the Δpose's own (3, 3), and the gain's left part (9, 3).

        Δ = clone⁻¹ @ pose, its way (1 + stretch) times as far and its turn bend · way more
    """
    assert belief.clone is not None and belief.cross is not None and belief.clone_covariance is not None
    expected, longer = belief.clone.inverse() @ belief.pose, 1.0 + belief.stretch
    c, s = math.cos(belief.clone.yaw), math.sin(belief.clone.yaw)
    to_pose = np.array([[longer * c, longer * s, 0.0], [-longer * s, longer * c, 0.0], [0.0, 0.0, 1.0]])
    then = -to_pose
    then[0, 2], then[1, 2] = longer * expected.y, -longer * expected.x
    now = np.zeros((3, STATES))
    now[:, :3] = to_pose
    now[:2, STRETCH], now[2, BEND] = (expected.x, expected.y), expected.x
    joint = np.block([[belief.covariance, belief.cross.T], [belief.cross, belief.clone_covariance]])
    both = np.hstack([now, then])
    spread = belief.covariance @ now.T + belief.cross.T @ then.T
    turn = expected.yaw + belief.bend * expected.x
    surprise = np.array([delta.x - longer * expected.x, delta.y - longer * expected.y, wrap_angle(delta.yaw - turn)])
    return surprise, both @ joint @ both.T, spread


def fuse_delta(belief: Belief, delta: Pose2, covariance: FloatArray) -> Belief:
    """Kalman update with the motion from the clone to now; the clone is forgotten."""
    surprise, expected, spread = delta_surprise(belief, delta)
    total = expected + covariance
    gain = np.linalg.solve(total, spread.T).T
    after = belief.covariance - gain @ total @ gain.T
    symmetric: FloatArray = 0.5 * (after + after.T)
    return _corrected(replace(belief.forgotten(), covariance=symmetric, sums=TurnSum()), gain @ surprise)
