"""Every fragment of one map against every fragment of the other: which of them may be joined, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.geometry import Similarity
from astra.mapping.contents import MapContents
from astra.mapping.counter_evidence import CounterConfig, CounterEvidence, missing_features, wall_conflicts
from astra.mapping.hypotheses import Hypothesis, HypothesisConfig, Tick, hypotheses
from astra.mapping.join import Consensus, Frames, JoinConfig, consensus, objections
from astra.mapping.nav2_map import load_nav2_map
from astra.mapping.occupancy import Occupancy
from astra.perception.local import LocalFeatureConfig


@dataclass(frozen=True, slots=True)
class TrialConfig:
    """How two maps are compared."""

    hypotheses: HypothesisConfig = field(default_factory=HypothesisConfig)
    local: LocalFeatureConfig = field(default_factory=LocalFeatureConfig)
    join: JoinConfig = field(default_factory=JoinConfig)
    counter: CounterConfig = field(default_factory=CounterConfig)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One pair of fragments: what agrees, what speaks against it, and why they stay apart if they do."""

    fragment_a: int
    fragment_b: int
    found: Consensus | None
    against: CounterEvidence
    objections: tuple[str, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether the fragments may be joined."""
        return self.found is not None and not self.objections

    @property
    def support(self) -> int:
        """Image features that agree."""
        return 0 if self.found is None else sum(m.inliers for m in self.found.members)

    def record(self) -> dict[str, object]:
        """For the map's build record."""
        out: dict[str, object] = {"fragments": [self.fragment_a, self.fragment_b], "joined": self.is_accepted, "objections": list(self.objections)}
        if self.found is not None:
            out |= {
                "places": self.found.places,
                "features": self.support,
                "extent": round(self.found.extent, 3),
                "scale": round(self.found.a_from_b.scale, 5),
                "median_residual": round(float(np.median(self.found.residual_m)), 4),
                "contradicting_places": self.found.contradicting,
                "rival": round(self.found.rival, 3),
                "image_pairs": [self.against.pairs, self.against.empty],
                "walls": [self.against.walls, self.against.conflicts],
            }
        return out


def frames_of(a: MapContents, b: MapContents, config: JoinConfig) -> Frames:
    """What the two maps say about their units and uprightness."""
    sigmas = [s if math.isfinite(s) else config.scale_sigma for s in (a.topo.info.scale_sigma, b.topo.info.scale_sigma)]
    return Frames(a.is_metric and b.is_metric, math.hypot(*sigmas), a.is_level() and b.is_level())


def grid_of(contents: MapContents) -> Occupancy | None:
    """The map's occupancy grid, if it has one."""
    file = contents.path / "nav2" / "map.yaml"
    return load_nav2_map(file).occupancy() if file.is_file() else None


def check_comparable(contents: MapContents) -> None:
    """Raise BadInputError for a map that was built without place descriptors: it cannot be compared by sight."""
    if contents.features.place.shape[1] == 0:
        raise BadInputError(f"{contents.path} has no place descriptors: build it again with a place encoder")


def try_joins(a: MapContents, b: MapContents, config: TrialConfig, tick: Tick = lambda done: None) -> list[Trial]:
    """One trial for every pair of fragments that shows at least two answers alike, best supported first.

    Raises:
        BadInputError: one of the maps cannot be compared by sight.
    """
    for contents in (a, b):
        check_comparable(contents)
    if a.features.place.shape[1] != b.features.place.shape[1]:
        raise BadInputError(f"{a.path} and {b.path} were built with different place encoders")
    frames = frames_of(a, b, config.join)
    trials = []
    for fragment_b, nodes in b.fragments.items():
        answers = hypotheses(a, b, nodes, config.hypotheses, config.local, tick)
        for fragment_a in a.fragments:
            mine = [h for h in answers if h.fragment_a == fragment_a]
            trials.append(_trial(a, b, fragment_a, fragment_b, mine, frames, config))
    return sorted(trials, key=lambda t: (-t.support, t.fragment_a, t.fragment_b))


def _trial(
    a: MapContents, b: MapContents, fragment_a: int, fragment_b: int, answers: Sequence[Hypothesis], frames: Frames, config: TrialConfig
) -> Trial:
    found = consensus(answers, frames, config.join)
    nothing = CounterEvidence(0, 0, 0, 0)
    if found is None:
        return Trial(fragment_a, fragment_b, None, nothing, ("no images of the two show the same thing",))
    texts = objections(found, frames, config.join)
    if texts:
        return Trial(fragment_a, fragment_b, found, nothing, tuple(texts))
    against = _against(a, b, fragment_a, fragment_b, found.a_from_b, frames, config.counter)
    return Trial(fragment_a, fragment_b, found, against, tuple(against.objections(config.counter)))


def _against(
    a: MapContents, b: MapContents, fragment_a: int, fragment_b: int, a_from_b: Similarity, frames: Frames, config: CounterConfig
) -> CounterEvidence:
    poses = {v.id: a_from_b.carry(v.map_from_cam) for node in b.fragments[fragment_b] for v in node.views}
    pairs, empty = missing_features(a, b, fragment_a, poses, frames.unit, config)
    walls = conflicts = 0
    if frames.level and fragment_a == fragment_b == 0:
        grid_a, grid_b = grid_of(a), grid_of(b)
        if grid_a is not None and grid_b is not None:
            first = wall_conflicts(a_from_b.apply(_walls(grid_b))[:, :2], grid_a, config.wall_slack_m)
            second = wall_conflicts(a_from_b.inverse().apply(_walls(grid_a))[:, :2], grid_b, config.wall_slack_m)
            walls, conflicts = first[0] + second[0], first[1] + second[1]
    return CounterEvidence(pairs, empty, walls, conflicts)


def _walls(grid: Occupancy) -> FloatArray:
    """Centres (N, 3) [m] of the occupied cells, at the floor."""
    rows, columns = np.nonzero(grid.occupied)
    xy = grid.origin + (np.stack([columns, rows], axis=1) + 0.5) * grid.config.resolution_m
    return np.column_stack([xy, np.zeros(len(xy))])
