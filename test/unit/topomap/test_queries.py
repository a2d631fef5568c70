"""Neighbours are found through a tree; they are those that measuring every distance finds, in the same order."""

import numpy as np
import pytest

from astra.geometry import Pose2, Pose3
from astra.topomap import MapInfo, Node, TopoMap
from astra.topomap.queries import MapIndex


@pytest.fixture(scope="module")
def index():
    rng = np.random.default_rng(0)
    places = np.round(rng.uniform(-20, 20, (400, 2)), 0)  # on a grid: many lie equally far
    nodes = {2 * i: Node(2 * i, i, Pose3.from_pose2(Pose2(float(x), float(y))), ()) for i, (x, y) in enumerate(places)}
    return MapIndex(TopoMap(MapInfo("m", "given"), {}, nodes, (), {}))


@pytest.mark.parametrize("spot", [(0.0, 0.0), (3.0, -7.0), (100.0, 5.5)])
def test_the_tree_finds_what_measuring_finds(index, spot):
    distance = index.distances(*spot)
    order = np.argsort(distance, kind="stable")
    for count in (1, 7, 400, 900):
        assert index.nearest_nodes(*spot, count) == tuple(int(i) for i in index.node_ids[order[:count]])
    for radius in (0.0, 1.0, 6.5, 200.0):
        assert index.nodes_within(*spot, radius) == tuple(int(i) for i in index.node_ids[order[distance[order] <= radius]])


def test_a_map_without_nodes_has_no_neighbours():
    empty = MapIndex(TopoMap(MapInfo("m", "given"), {}, {}, (), {}))
    assert empty.nearest_nodes(0.0, 0.0, 3) == () and empty.nodes_within(0.0, 0.0, 5.0) == ()
