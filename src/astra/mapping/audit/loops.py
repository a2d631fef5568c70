"""Loops: pairs of keyframes far apart in the tour that were matched as one place. Which of them does the map contradict, which hold a break?"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import BoolArray, IntArray
from astra.geometry import Pose3
from astra.mapping.audit.evidence import Agreement, VerifiedPairs
from astra.mapping.audit.findings import Break, LoopFinding
from astra.mapping.audit.posegraph import PlanarEdge, PoseGraphConfig, switch_loops
from astra.mapping.keyframes import Keyframe


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """When a loop is a loop, and when the map contradicts it."""

    window: int = 5  # keyframes apart up to which a pair is sequential
    cluster: int = 4  # keyframes that the ends of two loops of one cluster may lie apart
    min_matches: int = 25  # of a cluster that is worth a word
    max_explained: float = 0.3  # share of a cluster's matches that the map explains, up to which it contradicts it
    min_explained: float = 0.6  # and from which it agrees

    def __post_init__(self) -> None:
        require(self.window >= 1, "window", self.window, "≥ 1")
        require(self.cluster >= 0, "cluster", self.cluster, "≥ 0")
        require(self.min_matches >= 1, "min_matches", self.min_matches, "≥ 1")
        require(0.0 <= self.max_explained <= self.min_explained <= 1.0, "max_explained", self.max_explained, "in [0, min_explained]")


@dataclass(frozen=True, slots=True, eq=False)
class LoopCluster:
    """Loops whose ends are neighbours: one revisit. `rows`: of the verified pairs; a, b: the keyframes of the pair with the most matches."""

    rows: IntArray
    a: int
    b: int
    matches: int

    def explained(self, found: Agreement, inliers: IntArray) -> float:
        """Share of the matches that the map explains; NaN where part of the cluster lies outside of it."""
        return float((found.share[self.rows] * inliers[self.rows]).sum() / max(inliers[self.rows].sum(), 1))


def is_loop(pairs: VerifiedPairs, keyframes: Sequence[Keyframe], window: int) -> BoolArray:
    """(E,) whether a pair reaches further than a window, or from one tour to another."""
    tour = {k.id: k.tour for k in keyframes}
    across = np.array([tour[int(a)] != tour[int(b)] for a, b in zip(pairs.frame_a, pairs.frame_b)], dtype=bool)
    return np.asarray(across | (pairs.frame_b - pairs.frame_a > window))


def loop_clusters(pairs: VerifiedPairs, rows: IntArray, cluster: int) -> list[LoopCluster]:
    """Group loops (rows of the pairs) whose two ends lie at most `cluster` keyframes from those of another of the group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    if len(rows) == 0:
        return []
    ends = np.stack([pairs.frame_a[rows], pairs.frame_b[rows]], axis=1).astype(np.float64)
    near = cKDTree(ends).query_pairs(cluster + 0.5, p=np.inf, output_type="ndarray")
    graph = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(rows), len(rows)))
    count, label = connected_components(graph, directed=False)
    out = []
    for number in range(count):
        mine = rows[label == number]
        best = mine[int(np.argmax(pairs.inliers[mine]))]
        out.append(LoopCluster(mine, int(pairs.frame_a[best]), int(pairs.frame_b[best]), int(pairs.inliers[mine].sum())))
    return sorted(out, key=lambda c: (-c.matches, c.a, c.b))


def contradicted_loops(pairs: VerifiedPairs, clusters: Sequence[LoopCluster], found: Agreement, config: LoopConfig) -> list[LoopFinding]:
    """Revisits that images speak for and the map against: look-alikes, if the map is right."""
    out = []
    for cluster in clusters:
        share = cluster.explained(found, pairs.inliers)
        if cluster.matches >= config.min_matches and share < config.max_explained:
            text = f"{cluster.matches} matches look like a revisit, the map explains {100 * share:.0f} % of them"
            out.append(LoopFinding(cluster.a, cluster.b, text))
    return out


def holding(pairs: VerifiedPairs, loops: IntArray, breaks: Collection[Break]) -> IntArray:
    """Of the loops (rows), those that close a way round over a contradicted break: they or the steps there are wrong."""
    held = np.zeros(len(loops), dtype=bool)
    for gap in breaks:
        if gap.contradicted:
            held |= (pairs.frame_a[loops] <= gap.before) & (pairs.frame_b[loops] >= gap.after)
    return loops[held]


def switched_off(
    clusters: Sequence[LoopCluster], keyframes: Sequence[Keyframe], map_from_base: Mapping[int, Pose3], config: PoseGraphConfig
) -> list[LoopCluster]:
    """Revisits, as the map has them, that cannot be true together with odometry and the other revisits.

    Args:
        keyframes: of the map, of one tour and with odometry.
    """
    mine = sorted(keyframes, key=lambda k: k.id)
    row = {k.id: i for i, k in enumerate(mine)}
    steps = []
    for i, (a, b) in enumerate(itertools.pairwise(mine)):
        assert a.odom_from_base is not None and b.odom_from_base is not None
        steps.append(PlanarEdge(i, i + 1, a.odom_from_base.inverse() @ b.odom_from_base))
    inside = [c for c in clusters if c.a in row and c.b in row and row[c.b] > row[c.a] + 1]
    loops = [PlanarEdge(row[c.a], row[c.b], (map_from_base[c.a].inverse() @ map_from_base[c.b]).pose2()) for c in inside]
    weights = switch_loops(steps, loops, len(mine), config)
    return [cluster for cluster, weight in zip(inside, weights) if weight < 0.5]
