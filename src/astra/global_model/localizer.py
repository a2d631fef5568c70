"""Astra-Global's "Where am I?" (paper 3.1.2): coarse → consistency → fine → confidence."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, IntArray
from astra.geometry import Pose2, Pose3
from astra.global_model.backends.embedded import EmbeddedBackend
from astra.global_model.backends.protocol import GlobalBackend, PosedImage
from astra.global_model.coarse import CoarseConfig, LandmarkMatch, PlaceRetrieval, PlaceVotes, rank_nodes
from astra.global_model.confidence import NO_SUPPORT, ConfidenceConfig, Support, exclusive, impossible, objection, probability, spread_of
from astra.global_model.consistency import ConsistencyConfig, Place, explain_landmarks, group_places
from astra.global_model.fine import (
    Correspondences,
    FineConfig,
    RigPose,
    correspondences,
    keypoint_cells,
    solve_rig_pose,
    unique_keypoints,
    unique_points,
)
from astra.global_model.floor import FloorConfig, solve_on_floor
from astra.global_model.guided import GuidedConfig, match_guided
from astra.global_model.loaded import LoadedMap
from astra.global_model.testimony import sign_testimony
from astra.global_model.types import Alternative, LocalizationResult, Query, StageTimes, Status
from astra.global_model.voting import with_local_votes
from astra.perception.local import LocalFeatureConfig, LocalFeatureExtractor, LocalFeatures, match_units, unit_descriptors
from astra.perception.place import PlaceEncoder, PlaceEncoderConfig

__all__ = ["GlobalLocalizer", "LoadedMap", "GlobalLocalizerConfig", "QueryImages"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GlobalLocalizerConfig:
    """The stages' configurations, and how many map views each query image is matched with."""

    views_per_image: int = 8  # by likeness, of each place
    voting_views: int = 150  # of the map, the likest at a glance, whose local features are compared with each image's
    refine_views_per_image: int = 6  # by pose, once there is one
    refine_distance_m: float = 2.5
    refine_angle_rad: float = math.radians(50.0)
    neighbour_m: float = 1.2  # nodes this near to a place's own take part in matching
    strong_confidence: float = 0.95  # of the best place: others are not tried
    least_alternative: float = 0.02  # confidence of a pose that is worth a second look
    objected_share: float = 0.3  # of its confidence that a pose keeps whose support is too poor to be published …
    uncertain_share: float = 0.7  # … and one that is merely too uncertain: what errs in one image errs alike in the next
    claim_views: int = 3  # posed views that the backend gets to claim a pose from
    coarse_margin: float = 1.25  # of the score of the best place that landmarks speak for over the next: the place is called known
    coarse_confidence: float = 0.5  # of a pose too uncertain to be published: its place is called known
    read_landmarks: str = "when_needed"  # or "always", "never": reading text takes longer than all the rest
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    fine: FineConfig = field(default_factory=FineConfig)
    floor: FloorConfig = field(default_factory=FloorConfig)
    guided: GuidedConfig = field(default_factory=GuidedConfig)
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    local: LocalFeatureConfig = field(default_factory=LocalFeatureConfig)
    place: PlaceEncoderConfig = field(default_factory=PlaceEncoderConfig)

    def __post_init__(self) -> None:
        require(self.views_per_image >= 1, "views_per_image", self.views_per_image, "≥ 1")
        require(self.voting_views >= 2, "voting_views", self.voting_views, "≥ 2")
        require(self.refine_views_per_image >= 1, "refine_views_per_image", self.refine_views_per_image, "≥ 1")
        require(self.refine_distance_m > 0, "refine_distance_m", self.refine_distance_m, "> 0")
        require(0 < self.refine_angle_rad <= math.pi, "refine_angle_rad", self.refine_angle_rad, "in (0, π]")
        require(self.neighbour_m >= 0, "neighbour_m", self.neighbour_m, "≥ 0")
        require(0 < self.strong_confidence <= 1, "strong_confidence", self.strong_confidence, "in (0, 1]")
        require(0 < self.least_alternative < 1, "least_alternative", self.least_alternative, "in (0, 1)")
        require(0 < self.objected_share <= 1, "objected_share", self.objected_share, "in (0, 1]")
        require(0 < self.uncertain_share <= 1, "uncertain_share", self.uncertain_share, "in (0, 1]")
        require(self.claim_views >= 1, "claim_views", self.claim_views, "≥ 1")
        require(0 < self.coarse_confidence <= 1, "coarse_confidence", self.coarse_confidence, "in (0, 1]")
        require(self.coarse_margin >= 1, "coarse_margin", self.coarse_margin, "≥ 1")
        choices = ("when_needed", "always", "never")
        require(self.read_landmarks in choices, "read_landmarks", self.read_landmarks, f"one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, eq=False)
class QueryImages:
    """What a query's images give: per view local features with unit descriptors (N, 128); `place` (Q, D) descriptors where they were asked for."""

    features: tuple[LocalFeatures, ...]
    units: tuple[Float32Array, ...]
    place: Float32Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """A solved pose with its judgement."""

    pose: RigPose | None
    support: Support
    confidence: float
    objection: str | None
    place: Place | None = None


class GlobalLocalizer:
    """Localizes images on one map; not to be shared between threads."""

    def __init__(
        self, map_dir: Path, config: GlobalLocalizerConfig | None = None, loaded: LoadedMap | None = None, backend: GlobalBackend | None = None
    ) -> None:
        self.config = config or GlobalLocalizerConfig()
        self.loaded = loaded or LoadedMap.load(map_dir)
        self.backend: GlobalBackend = backend or EmbeddedBackend()
        self._extractor = LocalFeatureExtractor(self.config.local)
        self._encoder = PlaceEncoder(self.config.place)
        self._retrieval = PlaceRetrieval(self.loaded.index, self.loaded.features, self.config.coarse)
        self._seen: tuple[Query, PlaceVotes, tuple[LandmarkMatch, ...] | None] | None = None

    def confirm(self, query: Query) -> LocalizationResult | None:
        """The pose, if the images bear out beyond doubt that the robot is where `query.near` believes; the cheapest of all questions."""
        started = time.perf_counter()
        if query.near is None:
            return None
        hinted = self._from_hint(query, self._extract(query))
        if hinted is None:
            return None
        total = time.perf_counter() - started
        return self._localized(query, hinted, (), StageTimes(0.0, 0.0, total, total))

    def describe(self, query: Query) -> QueryImages:
        """All features of a query's images, for callers that ask several methods about them."""
        return replace(self._extract(query), place=self._encoder.encode([view.rgb for view in query.views]))

    def localize(self, query: Query, images: QueryImages | None = None) -> LocalizationResult:
        """Where were these images taken? Lost, coarse or localized, always with the reason. `images`: of this query, if they were described before."""
        started = time.perf_counter()
        self._seen = None
        images = images or self._extract(query)
        hinted = self._from_hint(query, images) if query.near is not None and self.config.read_landmarks != "always" else None
        if hinted is not None:
            total = time.perf_counter() - started
            return self._localized(query, hinted, (), StageTimes(0.0, 0.0, total, total))
        place = self._encoder.encode([view.rgb for view in query.views]) if images.place is None else images.place
        votes = with_local_votes(self.loaded, self._retrieval.vote(place), images.units, self._retrieval.row_of_view, self.config.voting_views)
        matches: tuple[LandmarkMatch, ...] = ()
        read = self.config.read_landmarks == "always"
        if read:
            matches = self._read_landmarks(query)
        times = StageTimes(coarse_s=time.perf_counter() - started)
        attempts, places, times = self._search(query, images, votes, matches, times)
        if not _accepted(attempts) and not read and self.config.read_landmarks == "when_needed":
            reading = time.perf_counter()
            matches = self._read_landmarks(query)
            times = replace(times, coarse_s=times.coarse_s + time.perf_counter() - reading)
            if matches:
                attempts, places, times = self._search(query, images, votes, matches, times)
        elif query.thorough and not read and self.config.read_landmarks == "when_needed" and self._alternatives(query, attempts, None)[1:]:
            matches, read = self._read_landmarks(query), True  # a sign may tell look-alikes apart
        self._seen = query, votes, matches if matches or read else None
        accepted = _accepted(attempts)
        claim = self._claim(query, places, votes) if not accepted else None
        times = replace(times, total_s=time.perf_counter() - started)
        if accepted:
            best = max(accepted, key=lambda a: a.confidence)
            explained = self._explained(query, best) if query.thorough else math.nan
            found = self._localized(query, best, matches, times)
            return replace(found, alternatives=self._alternatives(query, attempts, best), explained=explained)
        found = self._not_localized(query, attempts, places, matches, times)
        return replace(found, claimed_map_from_base=claim, alternatives=self._alternatives(query, attempts, None))

    def likeness(self, poses: FloatArray) -> FloatArray:
        """How alike the images localized last and the map's views from base poses (K, 3) x, y, yaw are: cosine (K,), mean of the cameras,
        and what signs that were read say (`testimony`).

        NaN where the map has no view from near there, and everywhere if the last images were placed without comparing looks.
        """
        if self._seen is None:
            return np.full(len(poses), np.nan)
        query, votes, matches = self._seen
        out = np.full((len(poses), len(query.views)), np.nan)
        for i, (x, y, yaw) in enumerate(np.asarray(poses).tolist()):
            map_from_base = Pose3.from_pose2(Pose2(x, y, yaw))
            for k, view in enumerate(query.views):
                rows = self.loaded.rows_like(map_from_base @ view.base_from_cam, 2, self.config.refine_distance_m, self.config.refine_angle_rad)
                if len(rows):
                    out[i, k] = votes.similarity[k, rows].max()
        known = np.isfinite(out)
        total = np.where(known, out, 0.0).sum(axis=1)
        likeness: FloatArray = np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
        return likeness if matches is None else likeness + sign_testimony(self.loaded, query.views, matches, poses)

    def _extract(self, query: Query) -> QueryImages:
        features = tuple(self._extractor.extract(view.rgb) for view in query.views)
        return QueryImages(features, tuple(unit_descriptors(f.descriptors) for f in features))

    def _read_landmarks(self, query: Query) -> tuple[LandmarkMatch, ...]:
        if not self.loaded.map.landmarks:
            return ()
        landmarks = tuple(self.loaded.map.landmarks.values())
        seen = [(k, sighting) for k, view in enumerate(query.views) for sighting in self.backend.recognise(view.rgb, landmarks, query.near)]
        matches = [LandmarkMatch(s.landmark_id, k, s.detection, s.similarity) for k, s in seen]
        return tuple(sorted(matches, key=lambda m: (-m.similarity, m.landmark_id)))

    def _from_hint(self, query: Query, images: QueryImages) -> _Attempt | None:
        """Where the robot believes to be, if the images bear it out beyond doubt; all cameras look where the hint says."""
        assert query.near is not None
        matches = self._match_by_pose(query, images, Pose3.from_pose2(query.near))
        attempt = self._judge(query, images, matches, solve_rig_pose(query.views, matches, self.config.fine))
        if attempt.pose is None or attempt.objection is not None or attempt.confidence < self.config.strong_confidence:
            return None
        return attempt

    def _search(
        self, query: Query, images: QueryImages, votes: PlaceVotes, matches: Sequence[LandmarkMatch], times: StageTimes
    ) -> tuple[list[_Attempt], tuple[Place, ...], StageTimes]:
        """Try the places in order, until one is beyond doubt."""
        started = time.perf_counter()
        ranked = rank_nodes(self.loaded.index, votes, matches, query.near, query.near_radius_m, self.config.coarse)
        places = group_places(self.loaded.index, ranked, matches, self.config.consistency)
        if matches:
            places = self._consistent(query, votes, places)
        grouped = time.perf_counter()
        attempts: list[_Attempt] = []
        for place in places:
            attempts.append(replace(self._solve_place(query, images, votes, place), place=place))
            if not query.thorough and attempts[-1].objection is None and attempts[-1].confidence >= self.config.strong_confidence:
                break
        for suspect in query.suspects:
            matches_there = self._match_by_pose(query, images, Pose3.from_pose2(suspect))
            attempts.append(self._solve(query, images, matches_there))
        attempts = self._excluding(attempts)
        done = time.perf_counter()
        return attempts, places, replace(times, consistency_s=times.consistency_s + grouped - started, fine_s=times.fine_s + done - grouped)

    def _excluding(self, attempts: Sequence[_Attempt]) -> list[_Attempt]:
        """The attempts with the confidence that each has beside all poses elsewhere: of look-alikes none is sure."""
        config, out = self.config.confidence, []
        for attempt in attempts:
            if attempt.pose is None:
                out.append(attempt)
                continue
            known: list[_Attempt] = [attempt]  # and its rivals, of which none is another's
            for other in sorted(attempts, key=lambda a: -a.confidence):
                if other.pose is not None and all(self._elsewhere(other, one) for one in known):
                    known.append(other)
            confidence, why_not = exclusive(attempt.confidence, [rival.confidence for rival in known[1:]]), attempt.objection
            if why_not is None and confidence < config.min_confidence:
                why_not = "places that look alike fit nearly as well"
            out.append(replace(attempt, confidence=confidence, objection=why_not))
        return out

    def _elsewhere(self, one: _Attempt, other: _Attempt) -> bool:
        """Whether two poses exclude each other. Fragments lie as odometry left them: about one place in two of them both may be right."""
        assert one.pose is not None and other.pose is not None
        config, a, b = self.config.confidence, one.pose.map_from_base, other.pose.map_from_base
        distance = float(np.linalg.norm(a.translation - b.translation))
        if distance <= config.apart_m or self._fragment(one) == self._fragment(other):
            return distance > config.apart_m
        return distance > config.drift_m or a.angle_to(b) > config.drift_rad

    def _fragment(self, attempt: _Attempt) -> int:
        """The fragment whose views the pose rests on."""
        assert attempt.pose is not None
        x, y, _ = attempt.pose.map_from_base.translation.tolist()
        node_id = attempt.place.node_ids[0] if attempt.place is not None else self.loaded.index.nearest_nodes(x, y, 1)[0]
        return self.loaded.map.nodes[node_id].fragment

    def _explained(self, query: Query, attempt: _Attempt) -> float:
        """Inliers per point that the map's nearest views show from there: unlike inliers alone, not larger where the map is denser."""
        assert attempt.pose is not None
        shown = 0
        for view in query.views:
            rows = self.loaded.rows_like(
                attempt.pose.map_from_base @ view.base_from_cam, 1, self.config.refine_distance_m, self.config.refine_angle_rad
            )
            shown += len(self.loaded.view_points(int(rows[0])).units) if len(rows) else 0
        return attempt.support.inliers / shown if shown else math.nan

    def _alternatives(self, query: Query, attempts: Sequence[_Attempt], best: _Attempt | None) -> tuple[Alternative, ...]:
        """The other poses that were found, likeliest first; of those about the same place only the first."""
        kept: list[Alternative] = []
        for attempt in sorted(attempts, key=lambda a: -a.confidence):
            if attempt is best or attempt.pose is None or attempt.confidence < self.config.least_alternative:
                continue
            pose = attempt.pose.map_from_base
            near = [pose_.map_from_base for pose_ in kept] + ([best.pose.map_from_base] if best and best.pose else [])
            if all(float(np.linalg.norm(pose.translation - other.translation)) > 0.5 or pose.angle_to(other) > 0.3 for other in near):
                doubt = self._doubt(query, attempt)
                explained = self._explained(query, attempt) if query.thorough else math.nan
                kept.append(Alternative(pose, attempt.pose.covariance, doubt * attempt.confidence, explained))
        return tuple(kept)

    def _doubt(self, query: Query, attempt: _Attempt) -> float:
        """Share of its confidence by which a pose competes with others."""
        assert attempt.pose is not None
        if attempt.objection is None:
            return 1.0
        barred = objection(attempt.support, attempt.pose.map_from_base, query.on_floor, self.config.confidence) is not None
        return self.config.objected_share if barred else self.config.uncertain_share

    def _consistent(self, query: Query, votes: PlaceVotes, places: tuple[Place, ...]) -> tuple[Place, ...]:
        """Places whose likest view shows the query's scene, as far as the backend judges that (visual-consistency filter, section 3.1.2)."""
        kept = []
        for place in places:
            rows = self.loaded.rows_of_nodes(place.node_ids)
            k, best = np.unravel_index(int(np.argmax(votes.similarity[:, rows])), (len(query.views), len(rows))) if len(rows) else (0, 0)
            reference = self.loaded.image(int(rows[best])) if len(rows) else None
            score = None if reference is None else self.backend.consistency(query.views[int(k)].rgb, reference)
            if score is None or score >= self.config.consistency.min_shared:
                kept.append(place)
        return tuple(kept)

    def _claim(self, query: Query, places: Sequence[Place], votes: PlaceVotes) -> Pose3 | None:
        """map_from_base as the backend claims it from the best place's views; nothing has verified it."""
        rows = self.loaded.rows_of_nodes(places[0].node_ids) if places else np.zeros(0, dtype=np.int64)
        if len(rows) == 0:
            return None
        k = int(np.argmax(votes.similarity[:, rows].max(axis=1)))
        references = []
        for row in rows[np.argsort(-votes.similarity[k][rows], kind="stable")[: self.config.claim_views]]:
            rgb = self.loaded.image(int(row))
            if rgb is not None:
                references.append(PosedImage(rgb, self.loaded.index.view(int(self.loaded.view_ids[row])).map_from_cam))
        map_from_cam = self.backend.estimate_pose(query.views[k].rgb, references)
        return None if map_from_cam is None else map_from_cam @ query.views[k].base_from_cam.inverse()

    def _solve_place(self, query: Query, images: QueryImages, votes: PlaceVotes, place: Place) -> _Attempt:
        rows = self.loaded.rows_of_nodes(self._with_neighbours(place.node_ids))
        parts = []
        for k in range(len(query.views)):
            likeness = votes.likeness[k][rows]
            chosen = rows[np.argsort(-likeness, kind="stable")[: self.config.views_per_image]]
            parts.extend(self._match_rows(images, k, chosen))
        return self._solve(query, images, Correspondences.stack(parts))

    def _solve(self, query: Query, images: QueryImages, matches: Correspondences) -> _Attempt:
        """The best pose that matches agree with: found, matched again where it says, and solved again; on the floor also as one that stands level."""
        first = next((pose for pose in self._poses(query, matches) if pose is not None), None)
        if first is None:
            return self._judge(query, images, matches, None)
        guided = match_guided(self.loaded, query.views, images.features, images.units, first.map_from_base, self.config.guided)
        combined = Correspondences.stack([matches.select(first.inliers), guided.matches])
        poses, matched = [pose for pose in self._poses(query, combined) if pose is not None], unique_keypoints(matches)
        attempts = [self._judge(query, images, combined, pose, matched) for pose in poses] or [self._judge(query, images, matches, first)]
        return max(attempts, key=lambda a: (a.objection is None, a.confidence))

    def _poses(self, query: Query, matches: Correspondences) -> Iterator[RigPose | None]:
        if query.on_floor:
            yield solve_on_floor(query.views, matches, self.config.fine, self.config.floor)
        yield solve_rig_pose(query.views, matches, self.config.fine)

    def _with_neighbours(self, node_ids: tuple[int, ...]) -> tuple[int, ...]:
        out = dict.fromkeys(node_ids)
        for node_id in node_ids:
            position = self.loaded.map.nodes[node_id].map_from_base.translation
            out.update(dict.fromkeys(self.loaded.index.nodes_within(float(position[0]), float(position[1]), self.config.neighbour_m)))
        return tuple(out)

    def _match_by_pose(self, query: Query, images: QueryImages, map_from_base: Pose3) -> Correspondences:
        parts = []
        for k, view in enumerate(query.views):
            rows = self.loaded.rows_like(
                map_from_base @ view.base_from_cam, self.config.refine_views_per_image, self.config.refine_distance_m, self.config.refine_angle_rad
            )
            parts.extend(self._match_rows(images, k, rows))
        return Correspondences.stack(parts)

    def _match_rows(self, images: QueryImages, k: int, rows: IntArray) -> list[Correspondences]:
        out = []
        for row in rows:
            points = self.loaded.view_points(int(row))
            pairs = match_units(images.units[k], points.units, self.config.local)
            out.append(correspondences(k, images.features[k].keypoints, points.points_map, points.point_ids, pairs))
        return out

    def _judge(self, query: Query, images: QueryImages, matches: Correspondences, pose: RigPose | None, matched: int | None = None) -> _Attempt:
        """A solved pose with its support; `matched`: how many image features had matched anything before the pose guided the matching."""
        matched = unique_keypoints(matches) if matched is None else matched
        if pose is None:
            why = f"no pose explains the {matched} features that match the map"
            return _Attempt(None, NO_SUPPORT, 0.0, why)
        agreeing = matches.select(pose.inliers)
        position = pose.map_from_base.translation
        guided = match_guided(self.loaded, query.views, images.features, images.units, pose.map_from_base, self.config.guided)
        inliers = unique_keypoints(agreeing)
        support = Support(
            inliers=inliers,
            matched=max(matched, inliers),
            cells=keypoint_cells(query.views, agreeing),
            views=len(np.unique(agreeing.view)),
            spread=spread_of(unique_points(agreeing), self.config.confidence.spread_cell_m, self.config.confidence.spread_per_cell),
            sigma_position_m=float(np.sqrt(np.linalg.eigvalsh(pose.covariance[:3, :3])[-1])),
            map_distance_m=float(self.loaded.index.distances(float(position[0]), float(position[1])).min()),
            found=guided.found, chance=guided.chance, shown=guided.shown,
        )  # fmt: skip
        confidence = probability(support, self.config.confidence)
        why_not = objection(support, pose.map_from_base, query.on_floor, self.config.confidence)
        if why_not is None and confidence < self.config.confidence.min_confidence:
            why_not = f"{support.inliers} of {support.matched} matched features agree: too likely a coincidence"
        return _Attempt(pose, support, confidence, why_not)

    def _localized(self, query: Query, attempt: _Attempt, matches: Sequence[LandmarkMatch], times: StageTimes) -> LocalizationResult:
        assert attempt.pose is not None
        pose = attempt.pose.map_from_base
        nearest = self.loaded.index.nearest_nodes(float(pose.translation[0]), float(pose.translation[1]), 5)
        here = Place(nearest, 0.0, tuple(m for m in matches if self._sees(nearest, m.landmark_id)))
        matched, rejected = explain_landmarks(self.loaded.index, here, matches)
        support = attempt.support
        reason = f"{support.inliers} of {support.matched} matched features in {support.views} images agree with one pose"
        return LocalizationResult(
            query.stamp_ns, Status.LOCALIZED, attempt.confidence, reason, pose, attempt.pose.covariance, nearest, matched, rejected,
            support.inliers, times,
        )  # fmt: skip

    def _not_localized(
        self, query: Query, attempts: Sequence[_Attempt], places: Sequence[Place], matches: Sequence[LandmarkMatch], times: StageTimes
    ) -> LocalizationResult:
        if not places:
            return LocalizationResult(query.stamp_ns, Status.LOST, 0.0, "nothing on the map looks like this", times=times)
        first = places[0]
        runner_up = places[1].score if len(places) > 1 else 0.0
        known = bool(first.matches) and first.score >= self.config.coarse_margin * runner_up
        matched, rejected = explain_landmarks(self.loaded.index, first, matches)
        nodes = tuple(node_id for place in places for node_id in place.node_ids)
        if known:
            labels = ", ".join(sorted({m.detection.label for m in first.matches}))
            reason = f"landmarks ({labels}) and looks point to one place, but no pose could be verified there"
            return LocalizationResult(
                query.stamp_ns, Status.COARSE, 0.0, reason, None, None, nodes, matched, rejected, 0, times
            )
        likely = self._likely(query, attempts)
        if likely is not None and likely.pose is not None:
            x, y, _ = likely.pose.map_from_base.translation.tolist()
            nodes = tuple(dict.fromkeys([*self.loaded.index.nearest_nodes(x, y, 3), *nodes]))
            reason = f"a pose was found, but {likely.objection}"
            return LocalizationResult(query.stamp_ns, Status.COARSE, likely.confidence, reason, None, None, nodes, (), (), 0, times)
        reason = "no place of the map explains what the images show"
        return LocalizationResult(query.stamp_ns, Status.LOST, 0.0, reason, None, None, nodes, (), (), 0, times)

    def _likely(self, query: Query, attempts: Sequence[_Attempt]) -> _Attempt | None:
        """The best pose, too uncertain to be published and yet likelier right than not; none if there is none."""
        best = max(attempts, key=lambda a: a.confidence, default=None)
        if best is None or best.pose is None or best.confidence < self.config.coarse_confidence:
            return None
        barred = impossible(best.support, best.pose.map_from_base, query.on_floor, self.config.confidence)
        return best if barred is None else None

    def _sees(self, node_ids: Sequence[int], landmark_id: int) -> bool:
        return any(landmark_id in self.loaded.map.nodes[i].landmark_ids for i in node_ids)


def _accepted(attempts: Sequence[_Attempt]) -> list[_Attempt]:
    return [attempt for attempt in attempts if attempt.objection is None]
