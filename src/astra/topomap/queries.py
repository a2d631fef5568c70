"""Questions about the graph: which nodes are near, which see what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from astra.core.types import FloatArray, IntArray
from astra.geometry import Pose2
from astra.topomap.types import Edge, Landmark, Node, TopoMap, View


class MapIndex:
    """Look-ups over one map, built once: arrays of node positions, and which node owns each view."""

    def __init__(self, topomap: TopoMap) -> None:
        self.map = topomap
        self.node_ids: IntArray = np.array(sorted(topomap.nodes), dtype=np.int64)
        poses = [topomap.nodes[int(i)].map_from_base.pose2() for i in self.node_ids]
        self.poses: FloatArray = np.array([(p.x, p.y, p.yaw) for p in poses], dtype=np.float64).reshape(-1, 3)
        self._tree = cKDTree(self.poses[:, :2])
        self._owner = {view.id: node.id for node in topomap.nodes.values() for view in node.views}
        self._views = {view.id: view for node in topomap.nodes.values() for view in node.views}
        self._neighbours: dict[int, list[Edge]] = defaultdict(list)
        for edge in topomap.edges:
            self._neighbours[edge.a].append(edge)
            self._neighbours[edge.b].append(edge)

    def view(self, view_id: int) -> View:
        """The view with this id; KeyError if there is none."""
        return self._views[view_id]

    def node_of_view(self, view_id: int) -> Node:
        """The node that owns a view; KeyError if there is none."""
        return self.map.nodes[self._owner[view_id]]

    def edges_of(self, node_id: int) -> tuple[Edge, ...]:
        """The edges that end at a node."""
        return tuple(self._neighbours.get(node_id, ()))

    def distances(self, x: float, y: float) -> FloatArray:
        """Distance [m] of every node in `node_ids` to a point of the map."""
        out: FloatArray = np.hypot(self.poses[:, 0] - x, self.poses[:, 1] - y)
        return out

    def nearest_nodes(self, x: float, y: float, count: int = 1) -> tuple[int, ...]:
        """The `count` nodes nearest to a point, nearest first."""
        if len(self.node_ids) == 0 or count < 1:
            return ()
        farthest = np.max(self._tree.query([x, y], min(count, len(self.node_ids)))[0])
        return self.nodes_within(x, y, float(farthest) * (1.0 + 1e-9) + 1e-9)[:count]

    def nodes_within(self, x: float, y: float, radius_m: float) -> tuple[int, ...]:
        """The nodes at most `radius_m` from a point, nearest first."""
        rows = np.array(self._tree.query_ball_point([x, y], radius_m * (1.0 + 1e-9) + 1e-9, return_sorted=True), dtype=np.int64)
        distance = np.hypot(self.poses[rows, 0] - x, self.poses[rows, 1] - y)
        order = np.argsort(distance, kind="stable")
        return tuple(int(i) for i in self.node_ids[rows[order[distance[order] <= radius_m]]])

    def covisible_nodes(self, node_ids: Iterable[int]) -> tuple[int, ...]:
        """Nodes that share a landmark with any of `node_ids`, those with most shared landmarks first; `node_ids` themselves left out."""
        given = set(node_ids)
        seen = {landmark for node_id in given for landmark in self.map.nodes[node_id].landmark_ids}
        counts = {
            node.id: len(seen.intersection(node.landmark_ids))
            for node in self.map.nodes.values()
            if node.id not in given and seen.intersection(node.landmark_ids)
        }
        return tuple(sorted(counts, key=lambda i: (-counts[i], i)))

    def landmarks_within(self, x: float, y: float, radius_m: float) -> tuple[Landmark, ...]:
        """The landmarks at most `radius_m` from a point in the plane, nearest first."""
        near = [(float(np.hypot(m.position_map[0] - x, m.position_map[1] - y)), m.id) for m in self.map.landmarks.values()]
        return tuple(self.map.landmarks[i] for distance, i in sorted(near) if distance <= radius_m)


def node_pose(node: Node) -> Pose2:
    """Where base_link stood at a node."""
    return node.map_from_base.pose2()
