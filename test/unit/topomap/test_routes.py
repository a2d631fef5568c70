"""Routes and queries on graphs whose answers are known in closed form."""

import dataclasses
import math

import numpy as np
import pytest

from astra.core.errors import ConfigError, NoPathError
from astra.geometry import Pose2, Pose3
from astra.topomap import Edge, EdgeKind, Landmark, MapInfo, Node, TopoMap, View
from astra.topomap.queries import MapIndex
from astra.topomap.routes import RouteConfig, plan_route


def graph(positions, pairs, visible=(), landmarks=None):
    seen = landmarks or {}
    nodes = {
        i: Node(i, i, Pose3.from_pose2(Pose2(x, y)), (View(10 * i, "front", f"{i}.jpg", Pose3()),), tuple(seen.get(i, ())))
        for i, (x, y) in positions.items()
    }
    kinds = [(p, EdgeKind.DRIVEN) for p in pairs] + [(p, EdgeKind.VISIBLE) for p in visible]
    edges = tuple(Edge(a, b, math.dist(positions[a], positions[b]), kind) for (a, b), kind in kinds)
    ids = {k for ks in seen.values() for k in ks}
    marks = {
        k: Landmark(k, f"L{k}", True, "", "", np.array([float(k), 0.0, 1.0]), 0.1, tuple(i for i in nodes if k in seen.get(i, ())), ())
        for k in ids
    }
    return TopoMap(MapInfo("test", "given"), {}, nodes, edges, marks)


SQUARE = {1: (0.0, 0.0), 2: (4.0, 0.0), 3: (4.0, 3.0), 4: (0.0, 3.0)}
RING = [(1, 2), (2, 3), (3, 4), (4, 1)]


def test_shortest_way_around_a_ring():
    route = plan_route(graph(SQUARE, RING), Pose2(0, 0), Pose2(4, 3))
    assert route.length_m == pytest.approx(7.0)
    assert route.node_ids[0] == 1 and route.node_ids[-1] == 3 and len(route.node_ids) == 3
    assert np.allclose(route.polyline[0], [0, 0]) and np.allclose(route.polyline[-1], [4, 3])


@pytest.mark.parametrize("pair", [(1, 2), (2, 1)])
def test_blocked_edge_sends_the_other_way_round(pair):
    route = plan_route(graph(SQUARE, RING), Pose2(0, 0), Pose2(4, 0), blocked=frozenset({pair}))
    assert route.node_ids == (1, 4, 3, 2)
    assert route.length_m == pytest.approx(10.0)


def test_start_and_goal_beside_one_edge_stay_on_it():
    route = plan_route(graph(SQUARE, RING), Pose2(1, 0.2), Pose2(3, -0.2))
    assert route.node_ids == ()
    assert np.allclose(route.polyline, [[1, 0.2], [1, 0], [3, 0], [3, -0.2]])
    assert route.length_m == pytest.approx(2.4)


def test_enters_in_the_middle_of_an_edge_towards_the_nearer_end():
    route = plan_route(graph(SQUARE, RING), Pose2(3.0, 0.0), Pose2(4.0, 2.0))
    assert route.node_ids == (2,)
    assert route.length_m == pytest.approx(3.0)


def test_reversing_start_and_goal_reverses_the_route():
    rng = np.random.default_rng(4)
    positions = {i: tuple(rng.uniform(0, 8, 2)) for i in range(25)}
    pairs = [(i, j) for i in positions for j in positions if i < j and math.dist(positions[i], positions[j]) < 2.6]
    topomap = graph(positions, pairs)
    a, b = Pose2(*positions[0]), Pose2(*positions[17])
    there, back = plan_route(topomap, a, b), plan_route(topomap, b, a)
    assert there.length_m == pytest.approx(back.length_m)
    assert np.allclose(there.polyline, back.polyline[::-1])


def test_visible_edges_cost_more_than_driven_ones():
    positions = {1: (0.0, 0.0), 2: (2.0, 1.0), 3: (4.0, 0.0)}
    topomap = graph(positions, [(1, 2), (2, 3)], visible=[(1, 3)])
    assert plan_route(topomap, Pose2(0, 0), Pose2(4, 0)).node_ids == (1, 2, 3)
    config = RouteConfig(visible_cost=1.0)
    assert plan_route(topomap, Pose2(0, 0), Pose2(4, 0), config=config).length_m == pytest.approx(4.0)


def test_narrow_edges_are_not_taken():
    base = graph(SQUARE, RING)
    narrow = tuple(Edge(e.a, e.b, e.length_m, e.kind, 0.3 if (e.a, e.b) == (1, 2) else math.nan) for e in base.edges)
    topomap = TopoMap(base.info, base.cameras, base.nodes, narrow, base.landmarks)
    route = plan_route(topomap, Pose2(0, 0), Pose2(4, 0), config=RouteConfig(min_width_m=0.5))
    assert route.length_m == pytest.approx(10.0)


@pytest.mark.parametrize(("start", "goal", "named"), [((50, 0), (4, 3), "start"), ((0, 0), (4, 60), "goal")])
def test_outside_the_graph_is_refused_by_name(start, goal, named):
    with pytest.raises(NoPathError, match=f"the {named} .*max_access_m"):
        plan_route(graph(SQUARE, RING), Pose2(*start), Pose2(*goal))


def test_disconnected_parts_have_no_route():
    topomap = graph({1: (0.0, 0.0), 2: (1.0, 0.0), 3: (9.0, 0.0), 4: (10.0, 0.0)}, [(1, 2), (3, 4)])
    with pytest.raises(NoPathError, match="by no route"):
        plan_route(topomap, Pose2(0, 0), Pose2(10, 0))


def test_here_to_here():
    route = plan_route(graph(SQUARE, RING), Pose2(0, 0), Pose2(0, 0))
    assert route.length_m == 0.0 and route.polyline.shape == (2, 2)


def test_queries():
    index = MapIndex(graph(SQUARE, RING, landmarks={1: (5, 6), 2: (6,), 3: (7,), 4: (5, 6)}))
    assert index.nearest_nodes(0.1, 0.1, 2) == (1, 4)
    assert index.nodes_within(0.0, 0.0, 3.5) == (1, 4)
    assert index.covisible_nodes([1]) == (4, 2)
    assert index.node_of_view(30).id == 3 and index.view(30).image == "3.jpg"
    assert {e.b if e.a == 1 else e.a for e in index.edges_of(1)} == {2, 4}
    assert [m.id for m in index.landmarks_within(6.0, 0.0, 1.0)] == [6, 5, 7]


def test_bad_configuration():
    with pytest.raises(ConfigError, match="max_access_m"):
        RouteConfig(max_access_m=0.0)


def with_widths(topomap, widths):
    """The same graph, edges' widths given by their ends."""
    edges = tuple(dataclasses.replace(e, width_m=widths.get((e.a, e.b), math.nan)) for e in topomap.edges)
    return dataclasses.replace(topomap, edges=edges)


@pytest.mark.parametrize(("preferred", "around"), [(0.0, False), (0.9, False), (1.6, True)])
def test_a_narrow_passage_is_avoided_where_the_way_around_is_not_much_longer(preferred, around):
    """Straight on 4 m through a gap of 0.8 m, or round by the other three sides of the ring, 10 m."""
    topomap = with_widths(graph(SQUARE, RING), {(1, 2): 0.8})
    config = RouteConfig(min_width_m=0.7, preferred_width_m=preferred, narrow_cost=4.0)
    route = plan_route(topomap, Pose2(0, 0), Pose2(4, 0), config=config)
    assert (route.node_ids == (1, 4, 3, 2)) is around


def test_the_cost_of_an_edge_grows_as_it_narrows_and_unknown_widths_cost_nothing():
    config = RouteConfig(min_width_m=0.6, preferred_width_m=1.0, narrow_cost=3.0)
    costs = [config.cost(Edge(1, 2, 2.0, EdgeKind.DRIVEN, width)) for width in (0.6, 0.8, 1.0, 5.0, math.nan)]
    np.testing.assert_allclose(costs, [6.0, 4.0, 2.0, 2.0, 2.0])
    with pytest.raises(ConfigError, match="narrow_cost"):
        RouteConfig(narrow_cost=0.5)
