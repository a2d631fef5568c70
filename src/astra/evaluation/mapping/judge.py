"""A map against the truth: how far its nodes are off, fragment by fragment, and whether the map had said so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.evaluation.alignment import similarity_between
from astra.geometry import Pose3, Similarity, Trajectory
from astra.topomap import Node, TopoMap
from astra.topomap.audit import Verdict

SILENT_M = 0.5  # a map that calls itself consistent has no node that is off by more
ATE_M = 0.10  # of every fragment
ATE_WHOLE_HALL_M = 0.30  # of a warehouse that is one fragment
KEPT, MOST_FRAGMENTS = 0.9, 3


@dataclass(frozen=True, slots=True, eq=False)
class FragmentErrors:
    """One fragment, laid over the truth with its own metres (`world_from_map`) and with any scale.

    `errors_m` (N,) belong to `node_ids`; `scale` is the true length of what the map calls a metre.
    """

    fragment: int
    node_ids: tuple[int, ...]
    errors_m: FloatArray
    ate_sim3_m: float
    scale: float
    world_from_map: Similarity

    @property
    def ate_m(self) -> float:
        """Absolute trajectory error after rigid alignment, RMS."""
        return float(np.sqrt((self.errors_m**2).mean()))

    @property
    def worst_m(self) -> float:
        """The error of the node that is off most."""
        return float(self.errors_m.max())

    @property
    def worst_node(self) -> int:
        """Its id."""
        return self.node_ids[int(self.errors_m.argmax())]


def fragment_errors(nodes: Sequence[Node], truth: Trajectory, metric: bool = True) -> FragmentErrors:
    """Compare the nodes of one fragment with where the robot was.

    Args:
        nodes: at least one.
        truth: world_from_base over the tour.
        metric: False for a map that says that its scale is unknown; its errors are then those after a similarity.
    """
    ids = tuple(node.id for node in nodes)
    in_map = np.array([node.map_from_base.translation for node in nodes])
    poses = [truth.at(node.stamp_ns) for node in nodes]
    in_world = np.array([(pose.x, pose.y, 0.0) for pose in poses])
    if len(nodes) < 3:  # too few for a fit: the first node's pose lays them over each other
        placed = Pose3.from_pose2(poses[0]) @ nodes[0].map_from_base.inverse()
        rigid = Similarity(1.0, placed.rotation, placed.translation)
        errors = np.linalg.norm(rigid.apply(in_map) - in_world, axis=1)
        return FragmentErrors(nodes[0].fragment, ids, errors, 0.0, math.nan, rigid)
    rigid = similarity_between(in_map, in_world, with_scale=not metric)
    similar = similarity_between(in_map, in_world)
    errors = np.linalg.norm(rigid.apply(in_map) - in_world, axis=1)
    of_similar = np.linalg.norm(similar.apply(in_map) - in_world, axis=1)
    return FragmentErrors(nodes[0].fragment, ids, errors, float(np.sqrt((of_similar**2).mean())), similar.scale, rigid)


def map_errors(topo: TopoMap, truth: Trajectory) -> tuple[FragmentErrors, ...]:
    """Every fragment of a map against the truth, fragment 0 first."""
    metric = topo.info.scale_source != "unknown"
    fragments = sorted({node.fragment for node in topo.nodes.values()})
    return tuple(fragment_errors([n for n in topo.nodes.values() if n.fragment == k], truth, metric) for k in fragments)


def is_within_target(fragments: Sequence[FragmentErrors], kind: str) -> bool:
    """Whether a map is as exact as maps of this kind of building have to be."""
    if kind == "warehouse" and len(fragments) == 1:
        return fragments[0].ate_m <= ATE_WHOLE_HALL_M
    return all(fragment.ate_m <= ATE_M for fragment in fragments)


def is_silent_failure(topo: TopoMap, fragments: Sequence[FragmentErrors]) -> bool:
    """Whether the map, or one of its fragments, is called consistent and has a node that is off by more than half a metre."""
    audit = topo.info.audit
    for number, fragment in enumerate(fragments):
        if fragment.worst_m <= SILENT_M:
            continue
        if audit is None or audit.verdict == Verdict.CONSISTENT:
            return True
        if number < len(audit.fragments) and audit.fragments[number].verdict == Verdict.CONSISTENT:
            return True
    return False


def is_consistent(topo: TopoMap) -> bool:
    """What the map says of itself; one without an audit says nothing against itself."""
    return topo.info.audit is None or topo.info.audit.verdict == Verdict.CONSISTENT
