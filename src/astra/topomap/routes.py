"""Routes over the graph: enter it at the nearest edge, take the shortest way that is not blocked, leave it near the goal."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.errors import NoPathError
from astra.core.types import FloatArray
from astra.geometry import Pose2
from astra.topomap.types import Edge, EdgeKind, TopoMap


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """How far from the graph a route may start and end, and what edges cost."""

    max_access_m: float = 2.5  # from the start or the goal to the graph
    access_cost: float = 1.5  # per metre off the graph, relative to a driven edge
    visible_cost: float = 1.2  # per metre of an edge that nothing has driven yet
    min_width_m: float = 0.0  # of the robot and what it keeps to either side; narrower edges are not taken; unknown widths are
    preferred_width_m: float = 0.0  # edges between min_width_m and this are taken where the way around is longer than …
    narrow_cost: float = 2.0  # … this many times, at the narrowest

    def __post_init__(self) -> None:
        require(self.max_access_m > 0, "max_access_m", self.max_access_m, "> 0")
        require(self.access_cost >= 1.0, "access_cost", self.access_cost, "≥ 1")
        require(self.visible_cost >= 1.0, "visible_cost", self.visible_cost, "≥ 1")
        require(self.min_width_m >= 0.0, "min_width_m", self.min_width_m, "≥ 0")
        require(self.preferred_width_m >= 0.0, "preferred_width_m", self.preferred_width_m, "≥ 0")
        require(self.narrow_cost >= 1.0, "narrow_cost", self.narrow_cost, "≥ 1")

    def cost(self, edge: Edge) -> float:
        """What taking an edge from end to end costs, in metres of a driven edge with room on either side."""
        narrowness = 0.0
        if edge.width_m < self.preferred_width_m:  # false where it is not known
            narrowness = min((self.preferred_width_m - edge.width_m) / max(self.preferred_width_m - self.min_width_m, 1e-9), 1.0)
        kind = self.visible_cost if edge.kind is EdgeKind.VISIBLE else 1.0
        return edge.length_m * kind * (1.0 + (self.narrow_cost - 1.0) * narrowness)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A way over the graph: the nodes passed, the `polyline` (K, 2) [m] from start to goal in the map frame, and its length."""

    node_ids: tuple[int, ...]
    polyline: FloatArray
    length_m: float


@dataclass(frozen=True, slots=True)
class _Access:
    """Where a pose meets the graph: `x`, `y` on the edge a–b (a == b: at a node), `off_m` away from the pose."""

    a: int
    b: int
    x: float
    y: float
    off_m: float


def plan_route(
    topomap: TopoMap,
    start: Pose2,
    goal: Pose2,
    *,
    blocked: frozenset[tuple[int, int]] = frozenset(),
    config: RouteConfig | None = None,
) -> Route:
    """The cheapest route from start to goal that uses no edge in `blocked` (pairs of node ids, either order).

    Raises:
        NoPathError: the start or the goal is too far from the graph, or nothing connects them; the message says which.
    """
    config = config or RouteConfig()
    shut = {(min(pair), max(pair)) for pair in blocked}
    edges = [edge for edge in topomap.edges if (min(edge.a, edge.b), max(edge.a, edge.b)) not in shut and _is_wide_enough(edge, config)]
    positions = {node.id: (float(node.map_from_base.translation[0]), float(node.map_from_base.translation[1])) for node in topomap.nodes.values()}
    entries = _accesses(start, "start", edges, positions, config)
    exits = _accesses(goal, "goal", edges, positions, config)
    direct = _direct(start, goal, entries, exits, config)
    through = _search(entries, exits, edges, positions, config)
    best = min((option for option in (direct, through) if option is not None), default=None, key=lambda option: option[0])
    if best is None:
        why = f" with {len(shut)} edges blocked" if shut else ""
        raise NoPathError(f"the graph connects ({start.x:.2f}, {start.y:.2f}) and ({goal.x:.2f}, {goal.y:.2f}) by no route{why}")
    _, nodes, points = best
    polyline = _without_repeats([(start.x, start.y), *points, (goal.x, goal.y)])
    return Route(nodes, polyline, float(np.linalg.norm(np.diff(polyline, axis=0), axis=1).sum()))


_Option = tuple[float, tuple[int, ...], list[tuple[float, float]]]


def _is_wide_enough(edge: Edge, config: RouteConfig) -> bool:
    return math.isnan(edge.width_m) or edge.width_m >= config.min_width_m


def _accesses(
    pose: Pose2, name: str, edges: list[Edge], positions: dict[int, tuple[float, float]], config: RouteConfig
) -> list[_Access]:
    """Every point of the graph at which a pose may enter it: the foot on each edge in reach, and lone nodes in reach."""
    found = [_Access(i, i, x, y, math.hypot(x - pose.x, y - pose.y)) for i, (x, y) in positions.items()]
    for edge in edges:
        (ax, ay), (bx, by) = positions[edge.a], positions[edge.b]
        dx, dy = bx - ax, by - ay
        squared = dx * dx + dy * dy
        u = ((pose.x - ax) * dx + (pose.y - ay) * dy) / squared if squared > 0 else 0.0
        if 0.0 < u < 1.0:
            x, y = ax + u * dx, ay + u * dy
            found.append(_Access(edge.a, edge.b, x, y, math.hypot(x - pose.x, y - pose.y)))
    if not found:
        raise NoPathError("the map has no nodes")
    nearest = min(access.off_m for access in found)
    if nearest > config.max_access_m:
        raise NoPathError(
            f"the {name} ({pose.x:.2f}, {pose.y:.2f}) is {nearest:.2f} m from the graph, more than max_access_m = {config.max_access_m:g}"
        )
    # Far accesses beside near ones lead through walls: stay close to the nearest.
    reach = min(config.max_access_m, nearest + 0.5)
    return [access for access in found if access.off_m <= reach]


def _direct(start: Pose2, goal: Pose2, entries: list[_Access], exits: list[_Access], config: RouteConfig) -> _Option | None:
    """Along one edge that both poses lie beside."""
    options: list[_Option] = []
    for i, o in itertools.product(entries, exits):
        if i.a != i.b and (i.a, i.b) == (o.a, o.b):
            cost = config.access_cost * (i.off_m + o.off_m) + math.hypot(i.x - o.x, i.y - o.y)
            options.append((cost, (), [(i.x, i.y), (o.x, o.y)]))
    return min(options, default=None, key=lambda option: option[0])


def _search(
    entries: list[_Access], exits: list[_Access], edges: list[Edge], positions: dict[int, tuple[float, float]], config: RouteConfig
) -> _Option | None:
    """Dijkstra from all entries to all exits, at least one node in between."""
    graph: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for edge in edges:
        cost = config.cost(edge)
        graph[edge.a].append((edge.b, cost))
        graph[edge.b].append((edge.a, cost))
    first = _cheapest(entries, positions, config)
    last = _cheapest(exits, positions, config)
    queue = [(cost, node, -1) for node, (cost, _) in first.items()]
    heapq.heapify(queue)
    parent: dict[int, int] = {}
    best_cost, best_node = math.inf, -1
    while queue:
        cost, node, before = heapq.heappop(queue)
        if cost >= best_cost:
            break
        if node in parent:
            continue
        parent[node] = before
        if node in last and cost + last[node][0] < best_cost:
            best_cost, best_node = cost + last[node][0], node
        for neighbour, step in graph[node]:
            if neighbour not in parent:
                heapq.heappush(queue, (cost + step, neighbour, node))
    if best_node < 0:
        return None
    nodes = [best_node]
    while parent[nodes[-1]] >= 0:
        nodes.append(parent[nodes[-1]])
    nodes.reverse()
    entry, leave = first[nodes[0]][1], last[nodes[-1]][1]
    return best_cost, tuple(nodes), [(entry.x, entry.y), *(positions[n] for n in nodes), (leave.x, leave.y)]


def _cheapest(
    accesses: list[_Access], positions: dict[int, tuple[float, float]], config: RouteConfig
) -> dict[int, tuple[float, _Access]]:
    """Per node, the cheapest way between it and the pose through any access."""
    out: dict[int, tuple[float, _Access]] = {}
    for access in accesses:
        for node in {access.a, access.b}:
            x, y = positions[node]
            cost = config.access_cost * access.off_m + math.hypot(x - access.x, y - access.y)
            if node not in out or cost < out[node][0]:
                out[node] = (cost, access)
    return out


def _without_repeats(points: list[tuple[float, float]]) -> FloatArray:
    kept = [points[0]]
    kept.extend(b for a, b in itertools.pairwise(points) if math.hypot(b[0] - a[0], b[1] - a[1]) > 1e-9)
    return np.array(kept if len(kept) > 1 else kept * 2, dtype=np.float64)
