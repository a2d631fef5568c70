"""Keep-out zones and routes: which edges of the graph a zone closes."""

import numpy as np
import pytest

from astra.core.errors import NoPathError
from astra.geometry import Pose2, Pose3
from astra.navigation.masks import FilterMask, MaskKind, closed_edges, forbidden
from astra.topomap.routes import plan_route
from astra.topomap.types import Edge, MapInfo, Node, TopoMap

ROBOT_M = 0.5


def square(width_m: float = float("nan")) -> TopoMap:
    """Four nodes at the corners of a square of 4 m, edges around it, each `width_m` wide."""
    corners = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]
    nodes = {i: Node(i, 0, Pose3(np.eye(3), np.array([x, y, 0.0])), ()) for i, (x, y) in enumerate(corners)}
    edges = tuple(Edge(i, (i + 1) % 4, 4.0, width_m=width_m) for i in range(4))
    return TopoMap(MapInfo("square", "given"), {}, nodes, edges, {})


def zone(x: float, y: float, width_m: float, height_m: float, kind: MaskKind = MaskKind.KEEP_OUT, value: float = 100.0) -> FilterMask:
    """A rectangle whose corner nearest to the origin is (x, y)."""
    return FilterMask(kind, np.full((round(height_m / 0.05), round(width_m / 0.05)), value), 0.05, Pose2(x, y, 0.0))


def test_a_route_leads_around_a_zone_that_lies_across_an_edge() -> None:
    topomap, start, goal = square(), Pose2(0.0, 0.0, 0.0), Pose2(4.0, 0.0, 0.0)
    assert plan_route(topomap, start, goal).length_m == pytest.approx(4.0)
    closed = closed_edges(topomap, [zone(1.9, -0.5, 0.1, 1.0)], ROBOT_M)
    assert closed == {(0, 1)}
    assert plan_route(topomap, start, goal, blocked=closed).length_m == pytest.approx(12.0)
    closed |= closed_edges(topomap, [zone(1.9, 3.5, 0.1, 1.0)], ROBOT_M)
    with pytest.raises(NoPathError, match="2 edges blocked"):
        plan_route(topomap, start, goal, blocked=closed)


@pytest.mark.parametrize(("width_m", "shut"), [(2.0, False), (1.5, True), (1.0, True), (float("nan"), True)])
def test_a_zone_that_leaves_room_beside_it_closes_no_edge(width_m: float, shut: bool) -> None:
    """The zone reaches 0.4 m to the left of the edge and far to its right: 0.5 m pass where the edge reaches 1 m there, not where 0.75 m."""
    assert ((0, 1) in closed_edges(square(width_m), [zone(1.5, -2.0, 1.0, 2.4)], ROBOT_M)) is shut


def test_two_zones_close_together_what_neither_closes_alone() -> None:
    left, right = zone(1.5, 0.0, 1.0, 2.0), zone(1.5, -2.0, 1.0, 2.0)
    assert not closed_edges(square(2.0), [left], ROBOT_M) and not closed_edges(square(2.0), [right], ROBOT_M)
    assert closed_edges(square(2.0), [left, right], ROBOT_M) == {(0, 1)}


@pytest.mark.parametrize(("kind", "value"), [(MaskKind.SPEED_PERCENT, 100.0), (MaskKind.SPEED_ABSOLUTE, 100.0), (MaskKind.KEEP_OUT, 99.0)])
def test_only_lethal_cells_of_keep_out_masks_close(kind: MaskKind, value: float) -> None:
    mask = zone(1.9, -0.5, 0.1, 1.0, kind, value)
    assert not closed_edges(square(), [mask], ROBOT_M)
    assert not forbidden(1.95, 0.0, [mask])


def test_a_goal_in_a_zone_is_forbidden_and_one_beside_it_is_not() -> None:
    masks = [zone(1.0, 1.0, 1.0, 1.0)]
    assert forbidden(1.5, 1.5, masks)
    assert not forbidden(2.1, 1.5, masks) and not forbidden(1.5, 1.5, [])
