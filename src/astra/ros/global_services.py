"""The services of astra_global: requests are checked at once, worked on by the worker, and answered when done."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from astra_nav.srv import FindTarget, GetGraph, LoadMap, Localize

from astra.core.errors import BadInputError, MapError, NewerMapError
from astra.geometry import BODY_FROM_OPTICAL, Pose2
from astra.global_model.types import FindResult, LocalizationResult, Query, QueryView
from astra.ros.conversions import frame_from_image, model_from_camera_info, ns_from_stamp, pose2_from_pose
from astra.ros.deferred import DeferredService, SerialWorker
from astra.ros.global_engine import Engine, GlobalNodeConfig
from astra.ros.global_inputs import GlobalInputs
from astra.ros.global_messages import goal_messages, goal_status, graph_message, localization_message
from astra.ros.node import AstraLifecycleNode
from astra.topomap.io import FORMAT_VERSION

Reply = Callable[[Any], None]
BUSY = "too many requests are waiting"
MAX_TEXT = 1000  # characters of an instruction


class Host(Protocol):
    """What the services need of the node."""

    config: GlobalNodeConfig
    engine: Engine | None
    inputs: GlobalInputs
    worker: SerialWorker
    roots: list[Path]

    def localize_now(self, on_done: Callable[[LocalizationResult], None], on_failed: Callable[[Exception], None]) -> bool | None:
        """Localize with the newest images; None if there are none, False if too much waits."""
        ...

    def adopt(self, engine: Engine) -> None:
        """Replace the loaded map."""
        ...


class GlobalServices:
    """/astra/localize, /astra/find_target, /astra/load_map and /astra/get_graph."""

    def __init__(self, node: AstraLifecycleNode, host: Host) -> None:
        self._node, self._host = node, host
        self._deferred = [
            DeferredService(node, Localize, "astra/localize", self._localize),
            DeferredService(node, FindTarget, "astra/find_target", self._find),
            DeferredService(node, LoadMap, "astra/load_map", self._load),
        ]
        self._graph_service = node.create_service(GetGraph, "astra/get_graph", self._graph)

    def close(self) -> None:
        """End the services."""
        for service in self._deferred:
            service.close()
        self._node.destroy_service(self._graph_service)

    # --- /astra/localize ------------------------------------------------------------------------------------------------------------

    def _localize(self, request: Any, reply: Reply) -> None:
        host, response = self._host, Localize.Response()
        engine = host.engine
        if engine is None:
            _refuse(reply, response, Localize.Response.NO_MAP, "no map is loaded")
            return

        def answer(result: LocalizationResult) -> None:
            response.localization = localization_message(result, host.config.map_frame)
            reply(response)

        if not request.images:
            started = host.localize_now(answer, lambda error: _refuse(reply, response, Localize.Response.BAD_IMAGE, str(error)))
            if started is None:
                _refuse(reply, response, Localize.Response.NO_IMAGES, "no camera delivers fresh, calibrated images")
            elif not started:
                _refuse(reply, response, Localize.Response.UNKNOWN, BUSY)
            return
        try:
            query = self._query_from(request.images, request.camera_infos)
        except BadInputError as error:
            _refuse(reply, response, Localize.Response.BAD_IMAGE, str(error))
            return
        self._submit(lambda: engine.localizer.localize(query), answer, reply, response)

    # --- /astra/find_target ---------------------------------------------------------------------------------------------------------

    def _find(self, request: Any, reply: Reply) -> None:
        host, response, kind = self._host, FindTarget.Response(), FindTarget.Response
        if host.engine is None:
            _refuse(reply, response, kind.NO_MAP, "no map is loaded")
            return
        finder = host.engine.finder
        try:
            near, radius_m = self._search_area(request)
            text = request.text.strip()
            if len(text) > MAX_TEXT:
                raise BadInputError(f"an instruction has at most {MAX_TEXT} characters, not {len(text)}")
            if not text and not request.image.data:
                raise BadInputError("neither text nor image is given")
            query = None if text else self._query_from([request.image], [request.camera_info])
        except BadInputError as error:
            _refuse(reply, response, kind.BAD_REQUEST, str(error))
            return

        def work() -> FindResult:
            result: FindResult = finder.find_text(text, near, radius_m) if query is None else finder.find_image(query, near, radius_m)
            return result

        def answer(result: FindResult) -> None:
            response.status = goal_status(result, kind)
            response.candidates = goal_messages(result, host.config.map_frame, self._node.now_ns())
            response.error_msg = "" if result.candidates else result.reason
            reply(response)

        self._submit(work, answer, reply, response)

    def _search_area(self, request: Any) -> tuple[Pose2 | None, float | None]:
        radius_m = float(request.radius)
        if not (math.isfinite(radius_m) and radius_m >= 0.0):
            raise BadInputError(f"radius = {radius_m} is not a length")
        if not request.near_valid:
            return None, radius_m or None
        frame, wanted = request.near.header.frame_id.lstrip("/"), self._host.config.map_frame
        if frame != wanted:
            raise BadInputError(f"`near` is in frame {frame!r}, not {wanted!r}")
        return pose2_from_pose(request.near.pose), radius_m or None

    # --- /astra/load_map, /astra/get_graph ------------------------------------------------------------------------------------------

    def _load(self, request: Any, reply: Reply) -> None:
        host, response, kind = self._host, LoadMap.Response(), LoadMap.Response
        folder = None if "\0" in request.path or not request.path else Path(request.path).resolve()
        if folder is None or not any(folder.is_relative_to(root) for root in host.roots):
            _refuse(reply, response, kind.OUTSIDE_ROOTS, f"{request.path!r} lies outside map_roots ({', '.join(map(str, host.roots))})")
            return

        def answer(engine: Engine) -> None:
            host.adopt(engine)
            response.name = engine.loaded.map.info.name
            reply(response)

        def failed(error: Exception) -> None:
            code = kind.NEWER_FORMAT if isinstance(error, NewerMapError) else kind.DAMAGED if isinstance(error, MapError) else kind.UNKNOWN
            if not (folder / "map.yaml").is_file():
                code = kind.NOT_A_MAP
            _refuse(reply, response, code, str(error))

        backend = host.engine.localizer.backend if host.engine is not None else None
        if not host.worker.submit(lambda: Engine.load(folder, host.config, backend), answer, failed):
            _refuse(reply, response, kind.UNKNOWN, BUSY)

    def _graph(self, request: Any, response: Any) -> Any:
        engine = self._host.engine
        if engine is None:
            response.error_code, response.error_msg = GetGraph.Response.NO_MAP, "no map is loaded"
        else:
            response.graph = graph_message(engine.loaded.map, FORMAT_VERSION, self._host.config.map_frame, self._node.now_ns())
        return response

    # --- shared ---------------------------------------------------------------------------------------------------------------------

    def _query_from(self, images: Any, infos: Any) -> Query:
        """Images of a request. One image may come from any camera; of several, TF must know where they sit on the robot."""
        if len(images) != len(infos):
            raise BadInputError(f"{len(images)} images came with {len(infos)} camera_infos")
        views, on_floor = [], True
        for image, info in zip(images, infos):
            base_from_cam = self._host.inputs.base_from_frame(image.header.frame_id) if image.header.frame_id else None
            if base_from_cam is None and len(images) > 1:
                raise BadInputError(f"no transform from {self._host.config.inputs.base_frame} to {image.header.frame_id!r}")
            on_floor = on_floor and base_from_cam is not None
            name = image.header.frame_id or "image"
            rgb = frame_from_image(image, name).rgb
            views.append(QueryView(name, rgb, model_from_camera_info(info), base_from_cam or BODY_FROM_OPTICAL))
        return Query(ns_from_stamp(images[0].header.stamp), tuple(views), on_floor=on_floor)

    def _submit(self, work: Callable[[], Any], answer: Callable[[Any], None], reply: Reply, response: Any) -> None:
        unknown = type(response).UNKNOWN
        failed = lambda error: _refuse(reply, response, unknown, f"{type(error).__name__}: {error}")  # noqa: E731
        if not self._host.worker.submit(work, answer, failed):
            _refuse(reply, response, unknown, BUSY)


def _refuse(reply: Reply, response: Any, code: int, why: str) -> None:
    response.error_code, response.error_msg = code, why
    reply(response)
