"""Visual consistency (paper 3.1.2): candidates that agree on one place stand together, landmarks that cannot be seen from there fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from astra.core.config import require
from astra.global_model.coarse import LandmarkMatch
from astra.global_model.types import Evidence
from astra.topomap.queries import MapIndex


@dataclass(frozen=True, slots=True)
class ConsistencyConfig:
    """What counts as one place."""

    link_m: float = 2.0  # candidates nearer to each other than this support the same place
    best_nodes: int = 4  # of a place, whose scores count
    landmark_bonus: float = 0.5  # per matched landmark that the place sees
    max_places: int = 6  # that go on to the fine stage
    min_shared: float = 0.3  # of the scene that the query and a place's likest view must show in common, where the backend judges it

    def __post_init__(self) -> None:
        require(self.link_m > 0.0, "link_m", self.link_m, "> 0")
        require(self.best_nodes >= 1, "best_nodes", self.best_nodes, "≥ 1")
        require(self.landmark_bonus >= 0.0, "landmark_bonus", self.landmark_bonus, "≥ 0")
        require(0.0 <= self.min_shared <= 1.0, "min_shared", self.min_shared, "in [0, 1]")
        require(self.max_places >= 1, "max_places", self.max_places, "≥ 1")


@dataclass(frozen=True, slots=True)
class Place:
    """Candidate nodes, best first, that lie together, with the landmark matches they support."""

    node_ids: tuple[int, ...]
    score: float
    matches: tuple[LandmarkMatch, ...]


def group_places(
    index: MapIndex, candidates: Sequence[tuple[int, float]], matches: Sequence[LandmarkMatch], config: ConsistencyConfig
) -> tuple[Place, ...]:
    """Cut the candidates into places, best first.

    The best unassigned candidate founds a place and gathers everything within `link_m` of it: chains are not followed, so that a
    corridor full of weak candidates does not outweigh a room with a few good ones.
    """
    places: list[Place] = []
    left = list(candidates)
    poses = {node_id: index.map.nodes[node_id].map_from_base.pose2() for node_id, _ in candidates}
    while left:
        seed = left[0][0]
        members = [(i, s) for i, s in left if poses[i].distance_to(poses[seed]) <= config.link_m]
        left = [item for item in left if item not in members]
        node_ids = tuple(i for i, _ in members)
        supported = _supported(index, node_ids, matches)
        score = sum(s for _, s in members[: config.best_nodes]) / config.best_nodes
        score += config.landmark_bonus * len({m.landmark_id for m in supported})
        places.append(Place(node_ids, score, supported))
    return tuple(sorted(places, key=lambda place: -place.score)[: config.max_places])


def explain_landmarks(index: MapIndex, place: Place, matches: Sequence[LandmarkMatch]) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """Evidence for and against the place: landmarks matched, and landmarks rejected with the reason."""
    kept = {(m.landmark_id, m.view, m.detection.label) for m in place.matches}
    matched = tuple(m.evidence(f"reads like it ({m.similarity:.0%}) and is seen from the chosen place") for m in place.matches)
    rejected = []
    for match in matches:
        if (match.landmark_id, match.view, match.detection.label) in kept:
            continue
        sees = any(match.landmark_id in index.map.nodes[i].landmark_ids for i in place.node_ids)
        why = "another landmark of the place reads more like it" if sees else "not visible from the place that the other evidence agrees on"
        rejected.append(match.evidence(why))
    return matched, tuple(rejected)


def _supported(index: MapIndex, node_ids: Sequence[int], matches: Sequence[LandmarkMatch]) -> tuple[LandmarkMatch, ...]:
    """The matches a place can explain: it sees the landmark, and each detection means one landmark, the most alike."""
    visible = {landmark_id for i in node_ids for landmark_id in index.map.nodes[i].landmark_ids}
    chosen: dict[tuple[int, str], LandmarkMatch] = {}
    for match in matches:  # best first
        if match.landmark_id in visible:
            chosen.setdefault((match.view, match.detection.label), match)
    return tuple(chosen.values())
