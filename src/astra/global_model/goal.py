"""Astra-Global's "Where am I going?" (paper 3.1.2): a sentence or an image becomes a pose to stand at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.geometry import Pose2
from astra.global_model.backends.embedded import EmbeddedBackend
from astra.global_model.backends.protocol import GlobalBackend, Meaning
from astra.global_model.loaded import LoadedMap
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.standing import StandingConfig, StandingRoom
from astra.global_model.types import FindResult, GoalCandidate, GoalStatus, Query, Status
from astra.perception.text import landmark_name
from astra.topomap.types import Landmark, Node


@dataclass(frozen=True, slots=True)
class GoalConfig:
    """How sure a goal must be, and how the search widens."""

    default_radius_m: float = 8.0  # of the first search around `near`
    radius_growth: float = 2.0
    min_score: float = 0.55
    ambiguous_margin: float = 0.04  # another meaning elsewhere whose score is nearer to the best than this leaves the choice to the asker
    same_place_m: float = 1.0  # landmarks nearer than this to each other are one goal
    same_name_m: float = 8.0  # landmarks of the same name nearer than this are signs of one place; the one with fewest other names around is it
    sight_m: float = 6.0  # how far other names are looked for
    image_rival: float = 0.8  # a place that fits an image this much as well as the best does leaves the choice to the asker
    max_candidates: int = 5
    standing: StandingConfig = field(default_factory=StandingConfig)

    def __post_init__(self) -> None:
        require(self.default_radius_m > 0, "default_radius_m", self.default_radius_m, "> 0")
        require(self.radius_growth > 1, "radius_growth", self.radius_growth, "> 1")
        require(0 < self.min_score <= 1, "min_score", self.min_score, "in (0, 1]")
        require(self.ambiguous_margin >= 0, "ambiguous_margin", self.ambiguous_margin, "≥ 0")
        require(self.same_place_m >= 0, "same_place_m", self.same_place_m, "≥ 0")
        require(self.same_name_m >= 0, "same_name_m", self.same_name_m, "≥ 0")
        require(self.sight_m >= 0, "sight_m", self.sight_m, "≥ 0")
        require(0 < self.image_rival <= 1, "image_rival", self.image_rival, "in (0, 1]")
        require(self.max_candidates >= 1, "max_candidates", self.max_candidates, "≥ 1")


class GoalFinder:
    """Finds goals on one map; not to be shared between threads."""

    def __init__(
        self,
        map_dir: Path,
        config: GoalConfig | None = None,
        loaded: LoadedMap | None = None,
        backend: GlobalBackend | None = None,
        localizer: GlobalLocalizer | None = None,
    ) -> None:
        self.config = config or GoalConfig()
        self.loaded = loaded or LoadedMap.load(map_dir)
        self.backend: GlobalBackend = backend or EmbeddedBackend()
        self._localizer = localizer
        self._standing = StandingRoom(self.loaded, self.config.standing)

    def prepare(self) -> None:
        """Load the language model and embed the map's landmarks, so that the first goal is as quick as the next."""
        self.backend.prepare(tuple(self.loaded.map.landmarks.values()))

    def find_text(self, text: str, near: Pose2 | None = None, radius_m: float | None = None) -> FindResult:
        """Resolve a sentence; with `near`, the search widens from `radius_m` around it and takes the nearest of equal meanings.

        Raises:
            BadInputError: the text is empty, or the radius is not positive.
        """
        if not text.strip():
            raise BadInputError("the instruction is empty")
        landmarks = tuple(self.loaded.map.landmarks.values())
        meanings = [m for m in self.backend.resolve_goal(text, landmarks, near) if m.score >= self.config.min_score]
        if not meanings:
            return FindResult(GoalStatus.NOT_FOUND, (), f"nothing on the map fits “{text.strip()}”")
        chosen = self._within(meanings, near, radius_m)
        candidates = self._candidates(chosen, near)
        if not candidates:
            return FindResult(GoalStatus.NOT_FOUND, (), "the map shows no place to stand near what was asked for")
        return self._decide(candidates, near)

    def find_image(self, query: Query, near: Pose2 | None = None, radius_m: float | None = None) -> FindResult:
        """Resolve an image: the goal is to stand where it was taken, looking the same way; several such places are ambiguous."""
        del near, radius_m  # an image that localizes names one place
        if self._localizer is None:
            self._localizer = GlobalLocalizer(self.loaded.path or Path(), loaded=self.loaded, backend=self.backend)
        result = self._localizer.localize(replace(query, thorough=True))
        if result.status is not Status.LOCALIZED or result.map_from_base is None:
            return FindResult(GoalStatus.NOT_FOUND, (), f"the image could not be placed on the map: {result.reason}")
        rivals = [a for a in result.alternatives if a.confidence >= self.config.image_rival * result.confidence]
        rivals = [a for a in rivals if not a.explained < self.config.image_rival * result.explained]  # NaN: nothing is known against it
        seen = [(result.map_from_base.pose2(), result.confidence), *((a.map_from_base.pose2(), a.confidence) for a in rivals)]
        candidates = [c for pose, score in seen if (c := self._image_candidate(pose, score, result.reason)) is not None]
        if not candidates:
            return FindResult(GoalStatus.NOT_FOUND, (), "there is no room to stand where the image was taken")
        if len(candidates) > 1:
            return FindResult(GoalStatus.AMBIGUOUS, tuple(candidates[: self.config.max_candidates]), f"the image fits {len(candidates)} places")
        return FindResult(GoalStatus.FOUND, tuple(candidates), result.reason)

    def _image_candidate(self, seen: Pose2, score: float, why: str) -> GoalCandidate | None:
        """Where to stand to see what an image taken from there shows."""
        stand = self._standing.at(seen)
        if stand is None:
            return None
        nodes = self.loaded.index.nearest_nodes(seen.x, seen.y, 5)
        landmark = self._named_by(nodes, seen)
        image = self._image_towards(self.loaded.map.nodes[nodes[0]], seen)
        return GoalCandidate(landmark.id if landmark else None, landmark.label if landmark else "image", score, nodes, stand, image, why)

    def _within(self, meanings: Sequence[Meaning], near: Pose2 | None, radius_m: float | None) -> list[Meaning]:
        """Search outwards: the meanings inside the first circle that holds one as good as the best, or all if there is no `near`."""
        radius = self.config.default_radius_m if radius_m is None or radius_m == 0.0 else radius_m
        if not math.isfinite(radius) or radius < 0.0:
            raise BadInputError(f"search radius {radius} m is not positive")
        best = meanings[0].score
        if near is None:
            return list(meanings)
        distance = {m.landmark_id: self._distance(m.landmark_id, near) for m in meanings}
        farthest = max(distance.values())
        while True:
            inside = [m for m in meanings if distance[m.landmark_id] <= radius]
            if radius >= farthest or any(m.score >= best - self.config.ambiguous_margin for m in inside):
                # The circle may cut between a sign at the door and the one inside: what belongs together comes along.
                return [m for m in meanings if m in inside or any(self._same_place(m, other) for other in inside)]
            radius *= self.config.radius_growth

    def _candidates(self, meanings: Sequence[Meaning], near: Pose2 | None) -> list[GoalCandidate]:
        """One candidate per place, best first; of equal meanings the nearest comes first."""
        best = meanings[0].score
        places = []
        for group in self._places(meanings):
            standing = [(meaning, stand) for meaning in group if (stand := self._standing.before(self._landmark(meaning))) is not None]
            if standing:
                places.append(self._best_of_place(standing))
            if near is None and len(places) == self.config.max_candidates:
                break  # the rest would be left out
        if near is not None:
            places.sort(key=lambda pair: (pair[0].score < best - self.config.ambiguous_margin, pair[1].distance_to(near), -pair[0].score))
        return [self._candidate(meaning, stand) for meaning, stand in places[: self.config.max_candidates]]

    def _places(self, meanings: Sequence[Meaning]) -> list[list[Meaning]]:
        """Landmarks that are one goal: those close together, and those of one name a room's length apart, such as a sign at the door and
        one inside. The best of each group comes first."""
        groups: list[list[Meaning]] = []
        by_place: dict[int, list[Meaning]] = {}
        loose: list[list[Meaning]] = []  # groups whose first stands on its own
        for meaning in meanings:
            near = groups if meaning.place < 0 else loose
            found = by_place.get(meaning.place) or next((group for group in near if self._same_place(meaning, group[0])), None)
            if found is not None:
                found.append(meaning)
                continue
            groups.append([meaning])
            if meaning.place < 0:
                loose.append(groups[-1])
            else:
                by_place[meaning.place] = groups[-1]
        return groups

    def _best_of_place(self, standing: Sequence[tuple[Meaning, Pose2]]) -> tuple[Meaning, Pose2]:
        """Of about equally fitting landmarks of one place, the one with the fewest other names around; it takes the best score."""
        best = max(meaning.score for meaning, _ in standing)
        fitting = [pair for pair in standing if pair[0].score >= best - self.config.ambiguous_margin]
        if len(fitting) == 1:
            return replace(fitting[0][0], score=best), fitting[0][1]
        meaning, stand = min(fitting, key=lambda pair: (self._foreign_names(*pair), -pair[0].score, pair[0].landmark_id))
        return replace(meaning, score=best), stand

    def _same_place(self, one: Meaning, other: Meaning) -> bool:
        if one.place >= 0 and other.place >= 0:
            return one.place == other.place
        a, b = self._landmark(one), self._landmark(other)
        reach = self.config.same_name_m if _name(a) == _name(b) else self.config.same_place_m
        return bool(np.linalg.norm(a.position_map[:2] - b.position_map[:2]) <= reach)

    def _candidate(self, meaning: Meaning, stand: Pose2) -> GoalCandidate:
        landmark = self._landmark(meaning)
        nodes = tuple(sorted(landmark.node_ids, key=lambda i: self._node_distance(i, landmark)))
        return GoalCandidate(landmark.id, landmark.label, meaning.score, nodes, stand, self._image_of(landmark), meaning.why)

    def _foreign_names(self, meaning: Meaning, stand: Pose2) -> int:
        return self._standing.foreign_names(stand, _name(self._landmark(meaning)), self.config.sight_m)

    def _landmark(self, meaning: Meaning) -> Landmark:
        return self.loaded.map.landmarks[meaning.landmark_id]

    def _decide(self, candidates: Sequence[GoalCandidate], near: Pose2 | None) -> FindResult:
        best = candidates[0]
        equals = [c for c in candidates if c.score >= best.score - self.config.ambiguous_margin]
        if near is not None:  # the nearest of several landmarks with one label is meant; different labels still need asking
            equals = [c for c in equals if c is best or landmark_name(c.label) != landmark_name(best.label)]
        if len(equals) > 1:
            names = ", ".join(f"“{c.label}” at ({c.map_from_goal.x:.1f}, {c.map_from_goal.y:.1f})" for c in equals)
            return FindResult(GoalStatus.AMBIGUOUS, tuple(candidates), f"several places fit equally: {names}")
        return FindResult(GoalStatus.FOUND, tuple(candidates), best.why)

    def _distance(self, landmark_id: int, near: Pose2) -> float:
        position = self.loaded.map.landmarks[landmark_id].position_map
        return math.hypot(float(position[0]) - near.x, float(position[1]) - near.y)

    def _node_distance(self, node_id: int, landmark: Landmark) -> float:
        return float(np.linalg.norm(self.loaded.map.nodes[node_id].map_from_base.translation[:2] - landmark.position_map[:2]))

    def _image_of(self, landmark: Landmark) -> str:
        """The view that sees the landmark from nearest."""
        views = [self.loaded.index.view(i) for i in landmark.view_ids]
        if not views:
            return ""
        return min(views, key=lambda v: float(np.linalg.norm(v.map_from_cam.translation - landmark.position_map))).image

    def _image_towards(self, node: Node, seen: Pose2) -> str:
        heading = np.array([math.cos(seen.yaw), math.sin(seen.yaw), 0.0])
        best = max(node.views, key=lambda v: float(v.map_from_cam.rotation[:, 2] @ heading), default=None)
        return best.image if best else ""

    def _named_by(self, node_ids: Sequence[int], seen: Pose2) -> Landmark | None:
        """The landmark in front of the pose, seen from its nodes, nearest to where it looks."""
        best: tuple[float, Landmark] | None = None
        for landmark_id in {k for i in node_ids for k in self.loaded.map.nodes[i].landmark_ids}:
            landmark = self.loaded.map.landmarks[landmark_id]
            dx, dy = float(landmark.position_map[0]) - seen.x, float(landmark.position_map[1]) - seen.y
            off = abs(math.remainder(math.atan2(dy, dx) - seen.yaw, 2 * math.pi))
            if off < math.radians(50) and (best is None or off < best[0]):
                best = (off, landmark)
        return best[1] if best else None


def _name(landmark: Landmark) -> str:
    return landmark_name(landmark.label)
