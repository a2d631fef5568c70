"""The graph as the navigator receives it: `astra_nav/TopoGraph` → `TopoMap`. Images, features and intrinsics stay in the map folder."""

from __future__ import annotations

from typing import Any

import numpy as np
from astra_nav.msg import TopoEdge

from astra.core.errors import BadInputError
from astra.geometry import Pose3
from astra.ros.conversions import ns_from_stamp, pose3_from_pose
from astra.topomap.types import Edge, EdgeKind, Landmark, MapInfo, Node, TopoMap, View

_KINDS = {TopoEdge.KIND_DRIVEN: EdgeKind.DRIVEN, TopoEdge.KIND_VISIBLE: EdgeKind.VISIBLE}


def topomap_from_graph(message: Any) -> TopoMap:
    """The graph of a message, as far as the wire carries it: views know their camera only, there are no intrinsics.

    Raises:
        BadInputError: a pose that is not finite, an edge to a node that is not there, an unknown kind of edge.
    """
    nodes = {node.id: node for node in map(_node, message.nodes)}
    landmarks = {landmark.id: landmark for landmark in map(_landmark, message.landmarks)}
    edges = tuple(_edge(edge, nodes) for edge in message.edges)
    return TopoMap(MapInfo(message.name, message.scale_source), {}, nodes, edges, landmarks)


def _edge(message: Any, nodes: dict[int, Node]) -> Edge:
    if message.kind not in _KINDS or message.a not in nodes or message.b not in nodes:
        raise BadInputError(f"edge {message.a}–{message.b} of kind {message.kind} does not fit the graph")
    return Edge(int(message.a), int(message.b), float(message.length), _KINDS[message.kind], float(message.width))


def _node(message: Any) -> Node:
    views = tuple(View(-1 - i, camera, "", Pose3()) for i, camera in enumerate(message.cameras))
    return Node(
        int(message.id), ns_from_stamp(message.stamp), pose3_from_pose(message.pose), views,
        tuple(int(i) for i in message.landmark_ids), int(message.fragment), float(message.position_sigma),
    )  # fmt: skip


def _landmark(message: Any) -> Landmark:
    position = np.array([message.position.x, message.position.y, message.position.z])
    return Landmark(
        int(message.id), message.label, bool(message.is_text), message.attributes, message.function, position,
        float(message.position_sigma), tuple(int(i) for i in message.node_ids), (),
    )  # fmt: skip
