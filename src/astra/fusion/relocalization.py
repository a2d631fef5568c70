"""map→odom from sparse fixes and smooth odometry: the last step of the paper's main loop, p_i ← fuse(odometry, fixes).

The belief is anchored at the newest accepted fix: map_from_base there, and the odometry at that stamp. In between, odometry carries it:

    map_from_base(t) = map_from_odom @ odom_from_base(t),  P(t) = F P Fᵀ + Q(metres driven, radians turned)

A fix is believed only if its Mahalanobis distance to this prediction passes a χ² gate. Fixes that contradict the belief but agree with each
other mean that the robot was carried away ("kidnapped"): the belief starts anew from them. A first fix needs confirmation in the same way.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, nanoseconds
from astra.geometry.se2 import Pose2, wrap_angle


@dataclass(frozen=True, slots=True)
class RelocalizationConfig:
    """Gates and noise of `MapOdomEstimator`; drift is that of the odometry, floors are what a fix can honestly promise."""

    gate: float = 16.27  # χ² with 3 degrees of freedom: one true fix in a thousand is refused
    sure_confidence: float = 0.97  # one such fix starts the estimate alone
    min_confidence: float = 0.5  # fixes below are not used
    confirmations: int = 2  # agreeing fixes that start it otherwise, if the robot moved in between …
    standing_confirmations: int = 3  # … or this many at standstill, where the same image repeats the same mistake
    confirm_driven_m: float = 0.10
    confirm_turned_rad: float = 0.15
    kidnap_fixes: int = 3  # agreeing outliers in a row that overturn an established estimate
    fix_sigma_m: float = 0.03  # added to a fix's own covariance: the map's error, which its residuals do not show
    fix_sigma_rad: float = 0.01
    max_fix_sigma_m: float = 0.75  # vaguer fixes are not used
    drift_sigma_m: float = 0.03  # odometry, per √m driven
    drift_sigma_rad_per_m: float = 0.012  # per √m driven
    drift_sigma_rad_per_rad: float = 0.02  # per √rad turned
    floor_sigma_m: float = 0.02  # the estimate never claims better
    floor_sigma_rad: float = 0.005
    lost_sigma_m: float = 1.0  # drifted so far since the last fix that the estimate is worth nothing
    max_fix_age_s: float = 10.0  # against the newest odometry

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0, name, value, "a finite number > 0")
        require(self.sure_confidence <= 1.0, "sure_confidence", self.sure_confidence, "at most 1")
        require(self.min_confidence <= self.sure_confidence, "min_confidence", self.min_confidence, "at most sure_confidence")
        require(self.standing_confirmations >= self.confirmations, "standing_confirmations", self.standing_confirmations, "≥ confirmations")


class TrackState(StrEnum):
    """How far map→odom can be trusted."""

    LOST = "lost"  # nothing known, or drifted away since the last fix
    TENTATIVE = "tentative"  # a person's guess (RViz) that no fix has confirmed yet
    TRACKING = "tracking"


class FixOutcome(StrEnum):
    """What became of a fix."""

    STARTED = "started"  # first estimate
    RECOVERED = "recovered"  # first estimate after having been lost
    CONFIRMED = "confirmed"  # agreed with a person's guess
    ACCEPTED = "accepted"
    PENDING = "pending"  # waits for another one that agrees
    OUTLIER = "outlier"  # contradicts the estimate
    KIDNAPPED = "kidnapped"  # several agreeing outliers: the estimate started anew
    NOT_FINITE = "not_finite"
    TOO_VAGUE = "too_vague"
    TOO_OLD = "too_old"

    @property
    def is_used(self) -> bool:
        """Whether the fix changed the estimate."""
        return self in (FixOutcome.STARTED, FixOutcome.RECOVERED, FixOutcome.CONFIRMED, FixOutcome.ACCEPTED, FixOutcome.KIDNAPPED)


@dataclass(frozen=True, slots=True)
class OdometryPoint:
    """The odometry at one stamp, with the way driven [m] and the angle turned [rad], both unsigned sums since the start."""

    stamp_ns: int
    odom_from_base: Pose2
    driven_m: float = 0.0
    turned_rad: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PoseFix:
    """A localization: `map_from_base` at the odometry point's stamp, `covariance` (3, 3) of x [m], y [m], yaw [rad] in the map frame."""

    odometry: OdometryPoint
    map_from_base: Pose2
    covariance: FloatArray
    confidence: float


@dataclass(frozen=True, slots=True)
class FixReport:
    """What a fix did: its outcome, its χ² against the prediction (NaN without one), and by how much map_from_base jumped."""

    outcome: FixOutcome
    chi_squared: float = math.nan
    jump_m: float = 0.0
    jump_rad: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """map_from_base with its covariance (3, 3) of x [m], y [m], yaw [rad] in the map frame."""

    map_from_base: Pose2
    covariance: FloatArray

    @property
    def position_sigma_m(self) -> float:
        """The larger of the two standard deviations of the position [m]."""
        return math.sqrt(max(float(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Belief:
    odometry: OdometryPoint
    estimate: Estimate


class MapOdomEstimator:
    """Holds map_from_odom; see the module's text."""

    def __init__(self, config: RelocalizationConfig | None = None) -> None:
        self.config = config or RelocalizationConfig()
        self._newest: OdometryPoint | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new map, a new clock, or the start."""
        self._belief: _Belief | None = None
        self._tentative = False
        self._was_tracking = False
        self._rivals: list[PoseFix] = []
        self._newest = None
        self._state: TrackState | None = None  # as judged last; none: something changed since

    @property
    def map_from_odom(self) -> Pose2 | None:
        """The transform to publish; None while there is nothing to say."""
        if self._belief is None:
            return None
        return self._belief.estimate.map_from_base @ self._belief.odometry.odom_from_base.inverse()

    @property
    def state(self) -> TrackState:
        """Lost, tentative or tracking, at the newest odometry told by `advance`."""
        if self._state is None:
            self._state = self._judge()
        return self._state

    def _judge(self) -> TrackState:
        if self._belief is None:
            return TrackState.LOST
        newest = self._newest or self._belief.odometry
        if self._carried(self._belief, newest).position_sigma_m > self.config.lost_sigma_m and not self._tentative:
            return TrackState.LOST
        return TrackState.TENTATIVE if self._tentative else TrackState.TRACKING

    @property
    def outliers_in_a_row(self) -> int:
        """Fixes since the last accepted one that contradicted the estimate and agree with each other."""
        return len(self._rivals) if self._belief is not None else 0

    def advance(self, odometry: OdometryPoint) -> None:
        """Tell the newest odometry, which `state` and the age of fixes are judged by."""
        self._newest, self._state = odometry, None

    def estimate_at(self, odometry: OdometryPoint) -> Estimate | None:
        """map_from_base at an odometry point; None while there is no estimate."""
        return None if self._belief is None else self._carried(self._belief, odometry)

    def set_prior(self, estimate: Estimate, odometry: OdometryPoint) -> None:
        """Take a person's guess: published as it is, but tentative until a fix agrees."""
        self._belief, self._state = _Belief(odometry, estimate), None
        self._tentative = True
        self._rivals = []

    def give_up(self) -> None:
        """Withdraw the estimate: too much speaks against it. The next one counts as recovered."""
        self._belief, self._state, self._tentative, self._rivals = None, None, False, []

    def fits(self, fix: PoseFix) -> bool:
        """Whether a fix would pass the gate."""
        if self._belief is None or self.state is TrackState.LOST or self._refusal(fix) is not None:
            return False
        return _chi_squared(self._carried(self._belief, fix.odometry), self._widened(fix)) <= self.config.gate

    def add_fix(self, fix: PoseFix) -> FixReport:
        """Judge a fix and, if it holds, correct the estimate with it."""
        refusal = self._refusal(fix)
        if refusal is not None:
            return FixReport(refusal)
        config = self.config
        fix = self._widened(fix)
        lost = self.state is TrackState.LOST
        if self._belief is not None and not lost:
            predicted = self._carried(self._belief, fix.odometry)
            chi_squared = _chi_squared(predicted, fix)
            if chi_squared <= config.gate:
                outcome = FixOutcome.CONFIRMED if self._tentative else FixOutcome.ACCEPTED
                return self._adopt([fix], predicted, outcome, chi_squared)
        else:
            predicted, chi_squared = None, math.nan
        return self._consider_rival(fix, predicted, chi_squared, lost)

    # --- inside ---------------------------------------------------------------------------------------------------------------------

    def _widened(self, fix: PoseFix) -> PoseFix:
        config = self.config
        floor = np.diag([config.fix_sigma_m**2, config.fix_sigma_m**2, config.fix_sigma_rad**2])
        return PoseFix(fix.odometry, fix.map_from_base, fix.covariance + floor, fix.confidence)

    def _refusal(self, fix: PoseFix) -> FixOutcome | None:
        covariance = np.asarray(fix.covariance)
        if not (fix.map_from_base.is_finite() and fix.odometry.odom_from_base.is_finite() and np.all(np.isfinite(covariance))):
            return FixOutcome.NOT_FINITE
        if covariance.shape != (3, 3) or np.linalg.eigvalsh(covariance)[0] < -1e-9:
            return FixOutcome.NOT_FINITE
        vague = math.sqrt(max(float(np.linalg.eigvalsh(covariance[:2, :2])[-1]), 0.0)) > self.config.max_fix_sigma_m
        if vague or not fix.confidence >= self.config.min_confidence:
            return FixOutcome.TOO_VAGUE
        age_ns = 0 if self._newest is None else self._newest.stamp_ns - fix.odometry.stamp_ns
        older_than_belief = self._belief is not None and fix.odometry.stamp_ns < self._belief.odometry.stamp_ns
        if older_than_belief or age_ns > nanoseconds(self.config.max_fix_age_s):
            return FixOutcome.TOO_OLD
        return None

    def _consider_rival(self, fix: PoseFix, predicted: Estimate | None, chi_squared: float, lost: bool) -> FixReport:
        """Keep a fix that nothing supports yet; adopt it with those it agrees with once they are enough."""
        agrees = bool(self._rivals) and _chi_squared(self._carried(_as_belief(self._rivals[-1]), fix.odometry), fix) <= self.config.gate
        self._rivals = [*self._rivals, fix] if agrees else [fix]
        tracked = not lost and not self._tentative
        enough = len(self._rivals) >= self.config.kidnap_fixes if tracked else self._is_start(self._rivals)
        if not enough:
            return FixReport(FixOutcome.PENDING if predicted is None else FixOutcome.OUTLIER, chi_squared)
        if tracked:
            outcome = FixOutcome.KIDNAPPED
        else:
            outcome = FixOutcome.RECOVERED if self._was_tracking else FixOutcome.STARTED
        before = predicted or self.estimate_at(fix.odometry)
        return self._adopt(self._rivals, None, outcome, chi_squared, before)

    def _is_start(self, fixes: list[PoseFix]) -> bool:
        config = self.config
        if fixes[-1].confidence >= config.sure_confidence or len(fixes) >= config.standing_confirmations:
            return True
        first, last = fixes[0].odometry, fixes[-1].odometry
        moved = last.driven_m - first.driven_m >= config.confirm_driven_m or last.turned_rad - first.turned_rad >= config.confirm_turned_rad
        return len(fixes) >= config.confirmations and moved

    def _adopt(
        self, fixes: list[PoseFix], prior: Estimate | None, outcome: FixOutcome, chi_squared: float, before: Estimate | None = None
    ) -> FixReport:
        """Fuse fixes, in order, into the prior (or into the first of them) and anchor the belief at the last."""
        before = before or prior
        belief = _as_belief(fixes[0]) if prior is None else _Belief(fixes[0].odometry, _corrected(prior, fixes[0]))
        for fix in fixes[1:]:
            belief = _Belief(fix.odometry, _corrected(self._carried(belief, fix.odometry), fix))
        self._belief, self._state = _Belief(belief.odometry, self._floored(belief.estimate)), None
        self._rivals, self._tentative, self._was_tracking = [], False, True
        after = self._belief.estimate.map_from_base
        if before is None:
            return FixReport(outcome, chi_squared)
        turn = abs(wrap_angle(after.yaw - before.map_from_base.yaw))
        return FixReport(outcome, chi_squared, after.distance_to(before.map_from_base), turn)

    def _carried(self, belief: _Belief, odometry: OdometryPoint) -> Estimate:
        """The belief moved along the odometry: P ← F P Fᵀ + Q, a heading error acting on the chord."""
        config = self.config
        step = belief.odometry.odom_from_base.inverse() @ odometry.odom_from_base
        start = belief.estimate.map_from_base
        moved = start @ step
        across = np.array([-(moved.y - start.y), moved.x - start.x])
        jacobian = np.eye(3)
        jacobian[:2, 2] = across
        driven = abs(odometry.driven_m - belief.odometry.driven_m)
        turned = abs(odometry.turned_rad - belief.odometry.turned_rad)
        position = config.drift_sigma_m**2 * driven
        heading = config.drift_sigma_rad_per_m**2 * driven + config.drift_sigma_rad_per_rad**2 * turned
        # A heading that walks at random over the way bends the path: its integral has a third of the variance that the end heading gives.
        noise = np.diag([position, position, heading])
        noise[:2, :2] += heading / 3.0 * np.outer(across, across)
        noise[:2, 2] += heading / 2.0 * across
        noise[2, :2] = noise[:2, 2]
        return Estimate(moved, jacobian @ belief.estimate.covariance @ jacobian.T + noise)

    def _floored(self, estimate: Estimate) -> Estimate:
        floor = np.array([self.config.floor_sigma_m**2, self.config.floor_sigma_m**2, self.config.floor_sigma_rad**2])
        return Estimate(estimate.map_from_base, estimate.covariance + np.diag(np.maximum(floor - np.diag(estimate.covariance), 0.0)))


def _as_belief(fix: PoseFix) -> _Belief:
    return _Belief(fix.odometry, Estimate(fix.map_from_base, fix.covariance))


def _difference(fix: PoseFix, predicted: Estimate) -> FloatArray:
    a, b = fix.map_from_base, predicted.map_from_base
    return np.array([a.x - b.x, a.y - b.y, wrap_angle(a.yaw - b.yaw)])


def _chi_squared(predicted: Estimate, fix: PoseFix) -> float:
    innovation = _difference(fix, predicted)
    return float(innovation @ np.linalg.solve(predicted.covariance + fix.covariance, innovation))


def _corrected(predicted: Estimate, fix: PoseFix) -> Estimate:
    """Kalman update with the whole pose measured, in Joseph's form."""
    gain = np.linalg.solve(predicted.covariance + fix.covariance, predicted.covariance).T
    dx, dy, dyaw = gain @ _difference(fix, predicted)
    pose = predicted.map_from_base
    keep = np.eye(3) - gain
    covariance = keep @ predicted.covariance @ keep.T + gain @ fix.covariance @ gain.T
    return Estimate(Pose2(pose.x + dx, pose.y + dy, wrap_angle(pose.yaw + dyaw)), 0.5 * (covariance + covariance.T))


@dataclass(slots=True)
class OdometryTrack:
    """The last seconds of odometry, to look up where odom_from_base was when an image was taken."""

    length_s: float = 30.0
    _stamps: list[int] = field(default_factory=list)
    _points: list[OdometryPoint] = field(default_factory=list)

    @property
    def newest(self) -> OdometryPoint | None:
        """The newest point."""
        return self._points[-1] if self._points else None

    def clear(self) -> None:
        """Forget all points: the clock jumped, or the odometry restarted."""
        self._stamps.clear()
        self._points.clear()

    def add(self, stamp_ns: int, odom_from_base: Pose2) -> OdometryPoint | None:
        """Append a pose; None (and nothing kept) if it is not finite or not newer than the newest."""
        if not odom_from_base.is_finite() or (self._stamps and stamp_ns <= self._stamps[-1]):
            return None
        driven, turned = 0.0, 0.0
        if self._points:
            last = self._points[-1]
            driven = last.driven_m + last.odom_from_base.distance_to(odom_from_base)
            turned = last.turned_rad + abs(wrap_angle(odom_from_base.yaw - last.odom_from_base.yaw))
        point = OdometryPoint(stamp_ns, odom_from_base, driven, turned)
        self._stamps.append(stamp_ns)
        self._points.append(point)
        oldest = stamp_ns - nanoseconds(self.length_s)
        if self._stamps[0] < oldest - nanoseconds(self.length_s / 4):
            cut = bisect.bisect_left(self._stamps, oldest)
            del self._stamps[:cut], self._points[:cut]
        return point

    def at(self, stamp_ns: int, tolerance_s: float = 0.1) -> OdometryPoint | None:
        """The odometry at a stamp, interpolated; None outside the track by more than the tolerance."""
        if not self._points:
            return None
        i = bisect.bisect_left(self._stamps, stamp_ns)
        if i == len(self._stamps):
            return self._points[-1] if stamp_ns - self._stamps[-1] <= nanoseconds(tolerance_s) else None
        if i == 0:
            return self._points[0] if self._stamps[0] - stamp_ns <= nanoseconds(tolerance_s) else None
        a, b = itertools.islice(self._points, i - 1, i + 1)
        u = (stamp_ns - a.stamp_ns) / (b.stamp_ns - a.stamp_ns)
        p, q = a.odom_from_base, b.odom_from_base
        yaw = wrap_angle(p.yaw + u * wrap_angle(q.yaw - p.yaw))
        pose = Pose2(p.x + u * (q.x - p.x), p.y + u * (q.y - p.y), yaw)
        return OdometryPoint(stamp_ns, pose, a.driven_m + u * (b.driven_m - a.driven_m), a.turned_rad + u * (b.turned_rad - a.turned_rad))
