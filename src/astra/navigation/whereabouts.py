"""Where the robot is, by all localizations and the way between them; the paper (3.1.2) answers each frame by itself.

While the robot does not know where it is, every localization offers its pose and the poses that it could not rule out, and nothing is
committed before one hypothesis stands beyond doubt (`fusion.hypotheses`). Meanwhile the map says which motion would tell most (`looking`).
Once the robot knows, each fix is gated against odometry (`fusion.relocalization`), and of several poses that an image fits the one that
odometry foretells goes before a likelier one that it refutes. Fixes that contradict the belief for long, and not even agree with each other,
end it: the robot is lost and says so.

Two threads may share the work: `consider` and `next_look` touch the hypotheses alone, everything else the estimate alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.fusion.hypotheses import HypothesesConfig, Hypothesis, HypothesisFilter, Likeness, Sighting
from astra.fusion.relocalization import Estimate, FixOutcome, FixReport, MapOdomEstimator, OdometryPoint, PoseFix, RelocalizationConfig, TrackState
from astra.geometry import CameraRig, Pose2
from astra.global_model.loaded import LoadedMap
from astra.global_model.looking import Look, LookingConfig, most_telling
from astra.global_model.types import LocalizationResult, Status

_PLANAR = (0, 1, 5)  # x, y, rz among x y z rx ry rz


@dataclass(frozen=True, slots=True)
class WhereaboutsConfig:
    """When poses compete, and for how long a belief may be contradicted."""

    rival_weight: float = field(default=0.03, metadata={"help": "P(true) from which on a hypothesis is worth telling apart from the likeliest"})
    max_contradictions: int = field(default=8, metadata={"help": "localizations in a row that the belief may contradict before it is given up"})
    sure_confidence: float = field(default=0.9, metadata={"help": "so sure a view of a place never thought of voids what was seen from the same spot"})
    explained_power: float = field(default=3.0, metadata={"help": "how much a place that shows more of what is seen goes before one that shows less"})
    sighting_sigma_m: float = field(default=0.03, metadata={"help": "the map's own error, added to each pose [m]"})
    sighting_sigma_rad: float = field(default=0.01, metadata={"help": "the map's own error, added to each heading [rad]"})
    longest_way_m: float = field(default=3.0, metadata={"help": "of a move where no view tells more than another [m]"})
    shortest_way_m: float = field(default=0.6, metadata={"help": "shorter ones show nothing new [m]"})
    hypotheses: HypothesesConfig = field(default_factory=HypothesesConfig)
    looking: LookingConfig = field(default_factory=LookingConfig)

    def __post_init__(self) -> None:
        require(0.0 < self.rival_weight < 0.5, "rival_weight", self.rival_weight, "in (0, 0.5)")
        require(0.0 < self.sure_confidence <= 1.0, "sure_confidence", self.sure_confidence, "in (0, 1]")
        require(self.max_contradictions >= 3, "max_contradictions", self.max_contradictions, "≥ 3")
        for name in ("explained_power", "sighting_sigma_m", "sighting_sigma_rad", "longest_way_m", "shortest_way_m"):
            value = getattr(self, name)
            require(math.isfinite(value) and value > 0.0, name, value, "a finite number > 0")


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What the hypotheses say after a localization: the one beyond doubt, if any, and all that are worth mentioning, likeliest first."""

    winner: Hypothesis | None
    hypotheses: tuple[Hypothesis, ...]
    unknown: float

    @property
    def is_ambiguous(self) -> bool:
        """Whether several places compete."""
        return self.winner is None and len(self.hypotheses) > 1


class Whereabouts:
    """The belief of one robot on one map; see the module's text."""

    def __init__(self, config: WhereaboutsConfig | None = None, relocalization: RelocalizationConfig | None = None) -> None:
        self.config = config or WhereaboutsConfig()
        self.estimator = MapOdomEstimator(relocalization)
        self._filter = HypothesisFilter(self.config.hypotheses)
        self._stale = False  # the hypotheses belong to a time before the estimate was reset
        self._contradictions = 0

    @property
    def is_sure(self) -> bool:
        """Whether the robot knows where it is and nothing speaks against it."""
        return self.estimator.state is TrackState.TRACKING and self._contradictions == 0

    @property
    def contradictions(self) -> int:
        """Localizations in a row that the belief contradicts."""
        return self._contradictions

    def reset(self) -> None:
        """Anywhere: a new map, or a new clock."""
        self.estimator.reset()
        self._stale, self._contradictions = True, 0

    def set_prior(self, estimate: Estimate, odometry: OdometryPoint) -> None:
        """A person's guess: tentative until a fix agrees."""
        self.estimator.set_prior(estimate, odometry)
        self._stale, self._contradictions = True, 0

    # --- the hypotheses -------------------------------------------------------------------------------------------------------------

    def suspects(self, odometry: OdometryPoint) -> tuple[Pose2, ...]:
        """Where the robot may be at this odometry, likeliest first: what the next localization shall try too, so that all are judged alike."""
        self._carry(odometry)
        likely = [h for h in self._filter.hypotheses if h.weight >= self.config.rival_weight]
        return tuple(h.estimate.map_from_base for h in likely[: self.config.looking.hypotheses])

    def lone_suspect(self, odometry: OdometryPoint) -> Pose2 | None:
        """The only place that fits what was seen from this spot, if so: to look again, it is enough to confirm it."""
        suspects = self.suspects(odometry)
        lone = len(suspects) == 1 and self._filter.unknown < 0.5 and self._filter.repeats(odometry)
        return suspects[0] if lone else None

    def consider(self, result: LocalizationResult, odometry: OdometryPoint, rig: CameraRig, likeness: Likeness | None = None) -> Verdict:
        """Weigh all hypotheses by a localization at this odometry, from the images of this rig; to be called while the robot is not sure."""
        self._carry(odometry)
        sightings = self._sightings(result)
        if self._is_changed(result, sightings, odometry):
            self._filter.reset()
            self._filter.advance(odometry)
        self._filter.observe(sightings, likeness, turning_shows=not sees_all_around(rig))
        all_ = self._filter.hypotheses
        kept = tuple(h for h in all_ if h.weight >= self.config.rival_weight)
        return Verdict(self._filter.winner, kept, self._filter.unknown)

    def next_look(self, loaded: LoadedMap, rig: CameraRig, free_m: FloatArray | None = None) -> Look | None:
        """The motion that would tell the hypotheses apart best.

        None if there is nothing to tell apart, or if nothing tells: then turning will show more, unless the cameras see all around; to
        them only another place does, and the look leads to where there is most room, rather ahead than back. So it does if they recognise
        nothing at all; a single likely place is waited for.
        """
        rivals = [(h.estimate.map_from_base, h.weight) for h in self._filter.hypotheses if h.weight >= self.config.rival_weight]
        look = most_telling(loaded, rig, rivals, free_m, self.config.looking)
        likely = len(rivals) == 1 and rivals[0][1] >= self._filter.unknown
        if look is not None or likely or free_m is None or not sees_all_around(rig):
            return look
        angles = np.remainder(2.0 * math.pi * np.arange(len(free_m)) / len(free_m) + math.pi, 2.0 * math.pi) - math.pi
        best = int(np.argmax(np.minimum(free_m, self.config.longest_way_m) * (1.0 - np.abs(angles) / (1.5 * math.pi))))
        ahead_m = min(float(free_m[best]), self.config.longest_way_m)
        return Look(float(angles[best]), ahead_m, 0.0) if ahead_m >= self.config.shortest_way_m else None

    def _is_changed(self, result: LocalizationResult, sightings: list[Sighting], odometry: OdometryPoint) -> bool:
        """Whether a robot that stands suddenly sees a place for sure that it had not thought of: what it saw from there before is void."""
        surely = result.status is Status.LOCALIZED and result.confidence >= self.config.sure_confidence
        return surely and self._filter.repeats(odometry) and not self._filter.explains(sightings[0])

    def _carry(self, odometry: OdometryPoint) -> None:
        if self._stale:
            self._filter.reset()
            self._stale = False
        self._filter.advance(odometry)

    # --- the estimate ---------------------------------------------------------------------------------------------------------------

    def settle(self, result: LocalizationResult, odometry: OdometryPoint, verdict: Verdict | None = None) -> FixReport | None:
        """Fuse a localization; None if it says nothing that may count.

        While lost only a verdict's winner counts; `odometry` is that of the localization.
        """
        if self.estimator.state is TrackState.LOST:
            if verdict is None or verdict.winner is None:
                return None if result.status is not Status.LOCALIZED else FixReport(FixOutcome.PENDING)
            winner = verdict.winner
            report = self.estimator.add_fix(PoseFix(odometry, winner.estimate.map_from_base, winner.estimate.covariance, winner.weight))
        else:
            fix = self._foretold(result, odometry)
            if fix is None:
                return None
            report = self.estimator.add_fix(fix)
        self._count(report)
        return report

    def _foretold(self, result: LocalizationResult, odometry: OdometryPoint) -> PoseFix | None:
        """The localization's pose, or one of its alternatives if that fits the belief and the pose does not."""
        fixes = [PoseFix(odometry, s.map_from_base, s.covariance, s.probability) for s in _offers(result)]
        fits = [fix for fix in fixes if self.estimator.fits(fix)]
        if fits:
            return fits[0]
        return fixes[0] if fixes and result.status is Status.LOCALIZED else None

    def _count(self, report: FixReport) -> None:
        if report.outcome.is_used:
            self._contradictions, self._stale = 0, True
        elif report.outcome is FixOutcome.OUTLIER:
            self._contradictions += 1
            if self._contradictions >= self.config.max_contradictions:
                self.estimator.give_up()
                self._contradictions = 0

    def _sightings(self, result: LocalizationResult) -> list[Sighting]:
        floor = np.diag([self.config.sighting_sigma_m**2, self.config.sighting_sigma_m**2, self.config.sighting_sigma_rad**2])
        offers = _offers(result)
        explained = np.array([result.explained] * (len(offers) - len(result.alternatives)) + [a.explained for a in result.alternatives])
        share = np.ones(len(offers))
        known = np.isfinite(explained) & (explained > 0.0)
        if known.sum() > 1:
            share[known] = (explained[known] / explained[known].max()) ** self.config.explained_power
        return [Sighting(s.map_from_base, s.covariance + floor, float(k) * s.probability) for s, k in zip(offers, share)]


def planar_covariance(covariance: FloatArray) -> FloatArray:
    """(3, 3) of x, y, yaw from (6, 6) of x y z rx ry rz."""
    planar: FloatArray = np.asarray(covariance, dtype=np.float64)[np.ix_(_PLANAR, _PLANAR)]
    return planar


def _offers(result: LocalizationResult) -> list[Sighting]:
    """Every pose of a localization, its own first."""
    offers = []
    if result.status is Status.LOCALIZED and result.map_from_base is not None and result.covariance is not None:
        offers.append(Sighting(result.map_from_base.pose2(), planar_covariance(result.covariance), result.confidence))
    offers += [Sighting(a.map_from_base.pose2(), planar_covariance(a.covariance), a.confidence) for a in result.alternatives]
    return offers


def sees_all_around(rig: CameraRig) -> bool:
    """Whether the cameras leave no direction out, so that a turn on the spot shows nothing new."""
    seen = sum(2.0 * math.atan(camera.model.width / (2.0 * camera.model.fx)) for camera in rig.cameras)
    return seen > 0.9 * 2.0 * math.pi


def look_pose(odom_from_base: Pose2, look: Look) -> Pose2:
    """Where a look leads: the pose, in odom, to see from next."""
    return odom_from_base @ Pose2(0.0, 0.0, look.turn_rad) @ Pose2(look.ahead_m, 0.0, 0.0)
