"""Where the robot may be, while that is not clear: several weighted poses, carried by odometry, until one of them wins.

One image often fits several places (aisles, look-alike rooms); the paper answers from that one image. Here each observation offers poses with
probabilities, and every hypothesis is judged by all of them. With w_h the weights, w_0 the belief that the robot is somewhere not yet thought
of, f(z, h) how well a pose fits a hypothesis (1 within its 95 %, then falling like a Gaussian) and G = `max_gain`, an observation
{(z_c, R_c, p_c)} multiplies

    w_h  by  (1 − Σ p_c) + G Σ p_c f(z_c, h),      w_0  by  1 − Σ p_c,

and each z_c becomes a hypothesis of weight w_0 p_c. How near a pose lies within a hypothesis' own spread is not counted: that would favour
whichever of two look-alikes claims to be more exact. No hypothesis gains on another by more than G. Two images from one spot repeat the same
mistake, so a factor counts in full only after the robot has moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, FloatArray
from astra.fusion.relocalization import Estimate, OdometryPoint
from astra.geometry.se2 import Pose2, wrap_angle

Likeness = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class HypothesesConfig:
    """Noise of the odometry, and how much an observation may say."""

    max_hypotheses: int = 60
    max_gain: float = 30.0  # by which one observation may favour a hypothesis
    independent_m: float = 0.5  # driven between two observations, for the second to count in full …
    independent_rad: float = math.radians(30.0)  # … or turned
    least_share: float = 0.15  # of the second observation from the same spot …
    repeat_share: float = 0.6  # … and by how much each further one counts less: a mistake repeated for ever is still a mistake
    stronger: float = 0.2  # by which an observation from the same spot must be more probable to count as new
    max_probability: float = 0.9  # of all that one observation offers: images can always deceive
    likeness_sharpness: float = 12.0  # of the looks: e-folds of weight per unit of cosine
    merge_m: float = 0.35
    merge_rad: float = math.radians(12.0)
    sure_weight: float = 0.97  # of one hypothesis, to win
    least_weight: float = 1e-4
    drift_sigma_m: float = 0.03  # odometry, per √m driven
    drift_sigma_rad_per_m: float = 0.012  # per √m driven
    drift_sigma_rad_per_rad: float = 0.02  # per √rad turned

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0, name, value, "a finite number > 0")
        require(self.max_gain > 1.0, "max_gain", self.max_gain, "> 1")
        for name in ("least_share", "repeat_share", "max_probability", "sure_weight", "least_weight"):
            require(getattr(self, name) < 1.0, name, getattr(self, name), "< 1")


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A pose that an observation offers: `covariance` (3, 3) of x [m], y [m], yaw [rad] in the map frame, and P(it is the true one)."""

    map_from_base: Pose2
    covariance: FloatArray
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """A pose where the robot may be now, and P(it is there)."""

    estimate: Estimate
    weight: float


class HypothesisFilter:
    """Holds the hypotheses; see the module's text. Not to be shared between threads."""

    def __init__(self, config: HypothesesConfig | None = None) -> None:
        self.config = config or HypothesesConfig()
        self.reset()

    def reset(self) -> None:
        """Anywhere: a new map, or the robot was carried away."""
        self._poses = np.zeros((0, 3))
        self._covariances = np.zeros((0, 3, 3))
        self._weights = np.zeros(0)
        self._unknown = 1.0
        self._odometry: OdometryPoint | None = None
        self._observed_at: OdometryPoint | None = None
        self._repeats = 0  # observations from the same spot after the first
        self._strength = 0.0  # of the best of them

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """All of them, likeliest first."""
        return tuple(
            Hypothesis(Estimate(Pose2(*self._poses[k]), self._covariances[k]), float(self._weights[k])) for k in np.argsort(-self._weights, kind="stable")
        )

    @property
    def unknown(self) -> float:
        """P(the robot is at none of the hypotheses)."""
        return self._unknown

    @property
    def winner(self) -> Hypothesis | None:
        """The hypothesis that is beyond doubt; None while several are possible, or none."""
        best = self.hypotheses[:1]
        return best[0] if best and best[0].weight >= self.config.sure_weight else None

    def advance(self, odometry: OdometryPoint) -> None:
        """Carry every hypothesis along the odometry: P ← F P Fᵀ + Q."""
        last, self._odometry = self._odometry, odometry
        if last is None or len(self._poses) == 0:
            return
        config = self.config
        step = last.odom_from_base.inverse() @ odometry.odom_from_base
        cos, sin = np.cos(self._poses[:, 2]), np.sin(self._poses[:, 2])
        moved = np.column_stack([cos * step.x - sin * step.y, sin * step.x + cos * step.y])
        self._poses[:, :2] += moved
        self._poses[:, 2] = _wrapped(self._poses[:, 2] + step.yaw)
        jacobian = np.broadcast_to(np.eye(3), (len(moved), 3, 3)).copy()
        jacobian[:, 0, 2], jacobian[:, 1, 2] = -moved[:, 1], moved[:, 0]
        driven, turned = odometry.driven_m - last.driven_m, odometry.turned_rad - last.turned_rad
        position = config.drift_sigma_m**2 * driven
        heading = config.drift_sigma_rad_per_m**2 * driven + config.drift_sigma_rad_per_rad**2 * turned
        self._covariances = jacobian @ self._covariances @ jacobian.transpose(0, 2, 1) + np.diag([position, position, heading])

    def observe(self, sightings: Sequence[Sighting], likeness: Likeness | None = None, *, turning_shows: bool = True) -> None:
        """Weigh all hypotheses by an observation at the odometry told last.

        Args:
            sightings: the poses that it offers; none say nothing.
            likeness: how alike the images and what the map shows from poses (K, 3) x, y, yaw are: cosine (K,), NaN where the map has no
                view to compare, which says nothing.
            turning_shows: whether a turn on the spot shows anything new; not to cameras that look all around.
        """
        usable = [s for s in sightings if s.map_from_base.is_finite() and _is_covariance(s.covariance) and s.probability > 0.0]
        share = self._share(turning_shows, max((s.probability for s in usable), default=0.0))
        if usable:
            self._weigh(usable, share)
        if likeness is not None and len(self._poses) > 1:
            self._prefer(likeness(self._poses.copy()), share)

    def repeats(self, odometry: OdometryPoint) -> bool:
        """Whether an observation there would come from the same spot as the last."""
        last = self._observed_at
        return last is not None and (odometry.driven_m - last.driven_m) / self.config.independent_m < self.config.least_share

    # --- inside ---------------------------------------------------------------------------------------------------------------------

    def _weigh(self, sightings: Sequence[Sighting], share: float) -> None:
        total = sum(s.probability for s in sightings)
        scale = min(1.0, self.config.max_probability / total)
        missed = 1.0 - scale * total
        gain = np.full(len(self._weights), missed)
        explained = np.zeros(len(sightings), dtype=bool)
        for k, sighting in enumerate(sightings):
            fit, close = self._fit(sighting)
            gain += scale * sighting.probability * self.config.max_gain * fit
            explained[k] = close.any()
        if len(gain):
            gain = np.maximum(gain, gain.max() / self.config.max_gain)
        before = self._unknown
        self._weights *= gain**share
        self._unknown *= missed**share
        self._correct(sightings)
        for sighting, known in zip(sightings, explained):
            if not known:
                self._add(sighting, before * (1.0 - missed**share) * sighting.probability / total)
        self._normalise()

    def _prefer(self, likeness: FloatArray, share: float) -> None:
        known = np.isfinite(likeness)
        if known.sum() < 2:
            return
        off = np.where(known, likeness - np.max(likeness[known]), 0.0)
        self._weights *= np.exp(np.maximum(share * self.config.likeness_sharpness * off, -math.log(self.config.max_gain)))
        self._normalise()

    def explains(self, sighting: Sighting) -> bool:
        """Whether a sighting fits any hypothesis."""
        return bool(self._fit(sighting)[1].any())

    def _share(self, turning_shows: bool, strength: float) -> float:
        """How independent an observation is of those before it, at most 1; remembers where it was made.

        A view that suddenly tells much more than before from the same spot (`strength`: its best probability) has changed, and counts anew.
        """
        here, last = self._odometry, self._observed_at
        self._observed_at = here
        if here is None or last is None:
            self._strength = strength
            return 1.0
        moved = (here.driven_m - last.driven_m) / self.config.independent_m
        if turning_shows:
            moved += (here.turned_rad - last.turned_rad) / self.config.independent_rad
        if moved >= self.config.least_share:
            self._repeats, self._strength = 0, strength
        elif strength > self._strength + self.config.stronger:
            self._repeats, self._strength, moved = 0, strength, 1.0
        else:
            self._repeats += 1
        least = self.config.least_share * self.config.repeat_share ** max(self._repeats - 1, 0)
        return float(np.clip(moved, least, 1.0))

    def _fit(self, sighting: Sighting) -> tuple[FloatArray, BoolArray]:
        """How well (K,) the sighting fits each hypothesis, 1 within 95 % of it, and which are so close that it is theirs (χ², 99.9 %)."""
        if len(self._poses) == 0:
            return np.zeros(0), np.zeros(0, dtype=bool)
        off = self._off(sighting.map_from_base)
        joint = self._covariances + sighting.covariance
        squared = np.einsum("ki,ki->k", off, np.linalg.solve(joint, off[..., None])[..., 0])
        return np.exp(-0.5 * np.clip(squared - 7.81, 0.0, 700.0)), squared < 16.27

    def _off(self, pose: Pose2) -> FloatArray:
        off = np.array([pose.x, pose.y, pose.yaw]) - self._poses
        off[:, 2] = _wrapped(off[:, 2])
        return off

    def _correct(self, sightings: Sequence[Sighting]) -> None:
        """Kalman update of each hypothesis with the sighting that fits it best, if one is its own."""
        if len(self._poses) == 0:
            return
        fits = [self._fit(s) for s in sightings]
        best = np.argmax(np.array([density for density, _ in fits]), axis=0)
        for k in range(len(self._poses)):
            if not fits[best[k]][1][k]:
                continue
            sighting = sightings[best[k]]
            gain = self._covariances[k] @ np.linalg.inv(self._covariances[k] + sighting.covariance)
            self._poses[k] += gain @ self._off(sighting.map_from_base)[k]
            self._poses[k, 2] = wrap_angle(float(self._poses[k, 2]))
            keep = np.eye(3) - gain
            after = keep @ self._covariances[k] @ keep.T + gain @ sighting.covariance @ gain.T
            self._covariances[k] = 0.5 * (after + after.T)

    def _add(self, sighting: Sighting, weight: float) -> None:
        pose = sighting.map_from_base
        self._poses = np.vstack([self._poses, [pose.x, pose.y, pose.yaw]])
        self._covariances = np.concatenate([self._covariances, sighting.covariance[None]])
        self._weights = np.append(self._weights, weight)

    def _normalise(self) -> None:
        """Join hypotheses that have become one, drop the unlikely ones, and let all weights and the unknown sum to 1."""
        order = np.argsort(-self._weights, kind="stable")
        kept: list[int] = []
        for k in order:
            off = np.abs(self._poses[kept] - self._poses[k]) if kept else np.zeros((0, 3))
            turn = np.abs(_wrapped(off[:, 2]))
            same = (np.hypot(off[:, 0], off[:, 1]) < self.config.merge_m) & (turn < self.config.merge_rad)
            if same.any():
                self._weights[kept[int(np.argmax(same))]] += self._weights[k]
            elif len(kept) < self.config.max_hypotheses:
                kept.append(int(k))
        total = float(self._weights[kept].sum()) + self._unknown
        kept = [k for k in kept if self._weights[k] >= self.config.least_weight * total]
        self._poses, self._covariances, self._weights = self._poses[kept], self._covariances[kept], self._weights[kept]
        total = float(self._weights.sum()) + self._unknown
        self._weights, self._unknown = self._weights / total, self._unknown / total


def _is_covariance(matrix: FloatArray) -> bool:
    """Finite and positive definite, by enough for a density."""
    return bool(np.isfinite(matrix).all()) and float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]) > 1e-12


def _wrapped(angles: FloatArray) -> FloatArray:
    """Angles in [−π, π)."""
    wrapped: FloatArray = (angles + math.pi) % (2.0 * math.pi) - math.pi
    return wrapped
