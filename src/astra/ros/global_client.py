"""The navigator's questions to astra_global: the graph, and where a goal is. Answers arrive as the mission's events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from astra_nav.msg import GoalCandidate
from astra_nav.srv import FindTarget, GetGraph

from astra.core.errors import BadInputError, NoPathError
from astra.core.types import seconds
from astra.geometry import Pose2
from astra.navigation.masks import FilterMask, closed_edges, forbidden
from astra.navigation.mission import Event, GoalSearched, MapMissing, MapReady, NoRoute, PlanRoute, RouteReady, Search
from astra.navigation.protocols import GoalPlace
from astra.navigation.recovery import edges_near
from astra.ros.conversions import pose_stamped
from astra.ros.graph import topomap_from_graph
from astra.ros.node import AstraLifecycleNode
from astra.ros.robot_watch import RobotWatch
from astra.topomap.queries import MapIndex, node_pose
from astra.topomap.routes import Route, RouteConfig, plan_route
from astra.topomap.types import TopoMap

Post = Callable[[Event], None]
_OUTCOMES = {FindTarget.Response.STATUS_FOUND: Search.FOUND, FindTarget.Response.STATUS_AMBIGUOUS: Search.AMBIGUOUS}


class GlobalClient:
    """One question at a time; a service that dies while asked counts as no answer. The graph stays known when its server dies.

    Args:
        node: that asks.
        watch: of the robot.
        routes: what they cost.
        timeout_s: for an answer.
        masks: of the map; routes lead around their keep-out zones.
        room_m: what a route needs between a zone and whatever is on its other side.
    """

    def __init__(
        self, node: AstraLifecycleNode, watch: RobotWatch, routes: RouteConfig, timeout_s: float, masks: Sequence[FilterMask] = (), room_m: float = 0.0
    ) -> None:
        self._node, self._watch, self._routes, self._timeout_s = node, watch, routes, timeout_s
        self._masks, self._room_m = tuple(masks), max(room_m, routes.min_width_m)
        self._closed: frozenset[tuple[int, int]] = frozenset()  # edges in keep-out zones
        self._find = node.create_client(FindTarget, "astra/find_target")
        self._graph = node.create_client(GetGraph, "astra/get_graph")
        self._pending: tuple[Any, int, Callable[[], None]] | None = None  # the call that counts, since when, what its silence means
        self.topomap: TopoMap | None = None
        self.candidates: tuple[GoalCandidate, ...] = ()  # of the last search that found something

    def fetch_map(self, goal: Pose2 | None, post: Post) -> None:
        """Get the graph; with a `goal` pose, check that it lies within reach of the graph before anything moves."""

        def silence() -> None:
            post(MapMissing("astra/get_graph does not answer"))

        def answered(answer: Any) -> None:
            if answer.error_code != GetGraph.Response.NONE:
                post(MapMissing(answer.error_msg or "no map is loaded", final=True))
                return
            try:
                self.topomap = topomap_from_graph(answer.graph)
            except BadInputError as error:
                post(MapMissing(str(error), final=True))
                return
            self._closed = closed_edges(self.topomap, self._masks, self._room_m)
            post(self._check(goal))

        if self._graph.service_is_ready():
            self._call(self._graph, GetGraph.Request(), answered, silence)
        else:
            post(self._check(goal) if self.topomap is not None else MapMissing("astra/get_graph is not served yet"))

    def find(self, request: FindTarget.Request, near: Pose2 | None, frame_id: str, post: Post) -> None:
        """Look a goal up, outwards from `near` if given."""
        if not self._find.service_is_ready():
            post(GoalSearched(Search.UNAVAILABLE, message="astra/find_target is not served"))
            return
        request.near_valid = near is not None
        if near is not None:
            request.near = pose_stamped(near, self._node.now_ns(), frame_id)

        def silence() -> None:
            post(GoalSearched(Search.UNAVAILABLE, message="astra/find_target does not answer"))

        self._call(self._find, request, lambda answer: post(self._searched(answer)), silence)

    def plan(self, command: PlanRoute, blocked_radius_m: float) -> Event:
        """A route around what is blocked, as an event."""
        assert self.topomap is not None
        blocked = edges_near(self.topomap, np.array(command.blocked).reshape(-1, 2), blocked_radius_m)
        try:
            return RouteReady(self._planned(self.topomap, command.start, command.goal, blocked).polyline)
        except NoPathError as error:
            return NoRoute(str(error))

    def route(self, start: Pose2, goal: Pose2) -> Route:
        """A route over the whole graph.

        Raises:
            BadInputError: there is no graph yet. NoPathError: there is no route.
        """
        if self.topomap is None:
            raise BadInputError("there is no map yet")
        return self._planned(self.topomap, start, goal)

    def _planned(self, topomap: TopoMap, start: Pose2, goal: Pose2, blocked: frozenset[tuple[int, int]] = frozenset()) -> Route:
        if forbidden(goal.x, goal.y, self._masks):
            raise NoPathError(f"the goal ({goal.x:.2f}, {goal.y:.2f}) lies in a keep-out zone")
        return plan_route(topomap, start, goal, blocked=blocked | self._closed, config=self._routes)

    def close(self) -> None:
        """Destroy the clients."""
        self.forget()
        for client in (self._find, self._graph):
            self._node.destroy_client(client)

    def forget(self) -> None:
        """The mission ended: answers to its questions do not count any more."""
        self._pending, self.candidates = None, ()

    def check(self) -> None:
        """Notice a service that does not answer."""
        if self._pending is not None and seconds(self._node.steady_ns() - self._pending[1]) > self._timeout_s:
            silence, self._pending = self._pending[2], None
            silence()

    def _check(self, goal: Pose2 | None) -> Event:
        assert self.topomap is not None
        if not self.topomap.nodes:
            return MapMissing("the map has no nodes", final=True)
        if goal is not None:
            nearest = MapIndex(self.topomap).nearest_nodes(goal.x, goal.y)[0]
            try:
                self._planned(self.topomap, node_pose(self.topomap.nodes[nearest]), goal)
            except NoPathError as error:
                return NoRoute(str(error))
        return MapReady()

    def _searched(self, answer: Any) -> GoalSearched:
        if answer.error_code != FindTarget.Response.NONE:
            refused = answer.error_code == FindTarget.Response.BAD_REQUEST
            return GoalSearched(Search.REFUSED if refused else Search.UNAVAILABLE, message=answer.error_msg or f"error {answer.error_code}")
        outcome = _OUTCOMES.get(answer.status, Search.NOT_FOUND)
        if outcome is Search.NOT_FOUND:
            return GoalSearched(outcome, message=answer.error_msg)
        try:
            places = tuple(GoalPlace(c.landmark_id, c.label, c.score, self._watch.map_pose(c.pose), c.why) for c in answer.candidates)
        except BadInputError as error:
            return GoalSearched(Search.REFUSED, message=f"an unusable candidate: {error}")
        self.candidates = tuple(answer.candidates)
        return GoalSearched(outcome, places, answer.error_msg)

    def _call(self, client: Any, request: Any, on_answer: Callable[[Any], None], on_silence: Callable[[], None]) -> None:
        call = client.call_async(request)
        self._pending = (call, self._node.steady_ns(), on_silence)

        def answered(future: Any) -> None:
            if self._pending is not None and self._pending[0] is call:
                self._pending = None
                on_answer(future.result())

        call.add_done_callback(answered)
