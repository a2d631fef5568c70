"""From accepted joins to one arrangement: which fragments form one, and how each lies in the merged map."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, IntArray
from astra.geometry import Pose3, Similarity
from astra.mapping.bend import Bend, BendConfig, bend
from astra.mapping.contents import MapContents
from astra.mapping.hypotheses import Hypothesis
from astra.mapping.trial import Trial

Key = tuple[int, int]  # (0 for map A, 1 for map B; fragment)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A fragment's place in the merged map: `fragment` there, the rigid `new_from_old`, and the bend that follows (None: stays rigid)."""

    fragment: int
    new_from_old: Similarity
    bend: Bend | None = None

    def pose(self, node_id: int, old: Pose3) -> Pose3:
        """A pose fixed to the node."""
        new = self.new_from_old.carry(old)
        return new if self.bend is None else self.bend.pose(node_id, new)

    def points(self, old: FloatArray, node_ids: IntArray) -> FloatArray:
        """Points (M, 3), each seen from the node of the same row."""
        new = self.new_from_old.apply(old)
        return new if self.bend is None else self.bend.points(new, node_ids)


def arrange(a: MapContents, b: MapContents, trials: Sequence[Trial]) -> tuple[dict[Key, Placed], list[Trial]]:
    """Where every fragment goes, and the joins that were used: the best supported first, none that closes a circle.

    A's first fragment keeps its frame, unless its scale is unknown and B's is not: then all that is joined to it comes into metres.
    """
    keys: list[Key] = [(0, k) for k in a.fragments] + [(1, k) for k in b.fragments]
    group = {key: key for key in keys}
    root_from = {key: Similarity() for key in keys}
    used = []
    for trial in (t for t in trials if t.is_accepted and t.found is not None):
        assert trial.found is not None
        one, two = (0, trial.fragment_a), (1, trial.fragment_b)
        if group[one] == group[two]:
            continue
        kept, moved = min(group[one], group[two]), max(group[one], group[two])
        one_from_two = root_from[one] @ trial.found.a_from_b @ root_from[two].inverse()  # of the groups' roots
        kept_from_moved = one_from_two if kept == group[one] else one_from_two.inverse()
        for key in [k for k in keys if group[k] == moved]:
            group[key], root_from[key] = kept, kept_from_moved @ root_from[key]
        used.append(trial)
    numbers = {root: n for n, root in enumerate(sorted(set(group.values())))}
    frames = {root: _frame(root, root_from, group, a, b) for root in numbers}
    return {key: Placed(numbers[group[key]], frames[group[key]] @ root_from[key]) for key in keys}, used


def _frame(root: Key, root_from: Mapping[Key, Similarity], group: Mapping[Key, Key], a: MapContents, b: MapContents) -> Similarity:
    """What a group's frame becomes: metres if one of its maps has them; beside B's joined first fragment if B's odometry put it there."""
    if root[0] == 0 and not a.is_metric and b.is_metric:
        joined = [key for key in group if group[key] == root and key[0] == 1]
        return Similarity(1.0 / root_from[joined[0]].scale) if joined else Similarity()
    if root[0] == 1 and group[1, min(b.fragments)] != root:
        return root_from[1, min(b.fragments)]
    return Similarity()


def bent(
    placed: Placed, contents: MapContents, old_fragment: int, members: Sequence[Hypothesis], a: Placed, level: bool, config: BendConfig, unit: float
) -> Placed:
    """The fragment of B bent onto the places that its nodes have in A.

    Args:
        members: the answers that joined it. a: where A's fragment lies.
    """
    nodes = contents.fragments[old_fragment]
    poses = {n.id: placed.new_from_old.carry(n.map_from_base) for n in nodes}
    ids = set(poses)
    targets = []
    for member in members:
        wanted = a.new_from_old.carry(member.a_from_cam)
        cam_from_base = placed.new_from_old.carry(member.b_from_cam).inverse() @ poses[member.node_id]
        targets.append((member.node_id, wanted @ cam_from_base))
    links = {(e.a, e.b) for e in contents.topo.edges if e.a in ids and e.b in ids}
    links |= {(p.id, q.id) for p, q in itertools.pairwise(nodes)}
    return Placed(placed.fragment, placed.new_from_old, bend(poses, targets, sorted(links), level, config, unit))


def nearest_bend(placed: Placed, points_xy: FloatArray) -> FloatArray:
    """How far the bend moves points (N, 2) of the merged map's floor, by the node nearest to each: (N, 2)."""
    from scipy.spatial import cKDTree

    if placed.bend is None or len(placed.bend.ids) == 0:
        return np.zeros_like(points_xy)
    _, k = cKDTree(placed.bend.places[:, :2]).query(points_xy)
    lever = points_xy - placed.bend.places[k, :2]
    yaw = placed.bend.turn[k, 2]
    moved: FloatArray = placed.bend.shift[k, :2] + np.stack([-yaw * lever[:, 1], yaw * lever[:, 0]], axis=1)
    return moved
