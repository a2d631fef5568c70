"""A live page about the robot on its own address; read-only unless ASTRA_DASH_TOKEN is set."""

from __future__ import annotations

import os
import queue
from dataclasses import dataclass, field
from typing import Any

from action_msgs.srv import CancelGoal
from astra_nav.action import NavigateToTarget
from astra_nav.msg import Localization
from astra_nav.srv import GetGraph
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.action import ActionClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.dash.board import Board
from astra.dash.server import DashServer, ServerConfig
from astra.geometry import Pose2
from astra.ros import dash_feed, node, params, qos
from astra.ros.polled import PolledSubscription
from astra.ros.tf import TfBuffer, TransformUnavailableError

TOKEN_VARIABLE = "ASTRA_DASH_TOKEN"
LAST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
IMAGES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
COLOUR_ENDINGS = ("/image_raw", "/image_raw/compressed", "/image_rect", "/image_rect/compressed", "/image", "/image/compressed")
PATIENCE_S = 5.0  # after which a silent node, or an old piece, is said to be stale


@dataclass(frozen=True, slots=True)
class DashConfig:
    """Parameters of astra_dash."""

    server: ServerConfig = field(default_factory=ServerConfig)
    map_frame: str = field(default="map", metadata={"help": "frame of the page"})
    base_frame: str = field(default="base_link", metadata={"help": "frame of the robot"})
    rate_hz: float = field(default=5.0, metadata={"help": "how often poses and paths are looked at [Hz]"})
    image_rate_hz: float = field(default=1.0, metadata={"help": "pictures per second and camera; 0 shows none [Hz]"})
    max_cameras: int = field(default=6, metadata={"help": "cameras shown at most"})

    def __post_init__(self) -> None:
        require(0.5 <= self.rate_hz <= 20.0, "rate_hz", self.rate_hz, "0.5 … 20")
        require(0.0 <= self.image_rate_hz <= 10.0, "image_rate_hz", self.image_rate_hz, "0 … 10")
        require(0 <= self.max_cameras <= 16, "max_cameras", self.max_cameras, "0 … 16")


class AstraDash(node.AstraLifecycleNode):
    """Fills the board from the graph; its server's thread only reads the board and hands commands over by a queue."""

    def __init__(self) -> None:
        super().__init__("astra_dash")

    def on_setup(self) -> None:
        """Subscribe and serve."""
        config = self._config = params.declare_config(self, DashConfig)
        self._board, self._orders = Board(), queue.Queue[tuple[str, str]](maxsize=8)
        self._tf = TfBuffer(self, polled=True)
        self._statuses_heard: dict[str, Any] = {}
        self._heard_ns: dict[str, int] = {}
        self._sigma_m, self._graph_wanted = float("nan"), True
        self._graph_call: Any = None
        self._cameras: dict[str, PolledSubscription] = {}
        self._path = PolledSubscription(self, Path, "astra/local_path", LAST)
        self._samples = PolledSubscription(self, MarkerArray, "astra/samples", LAST)
        feedback = NavigateToTarget.Impl.FeedbackMessage
        self._heard = [
            self.create_subscription(OccupancyGrid, "map", self._on_map, qos.LATCHED),
            self.create_subscription(Localization, "astra/localization", lambda m: self._board.put("localization", dash_feed.localization_piece(m)), 5),
            self.create_subscription(PoseWithCovarianceStamped, "astra/pose", self._on_pose, 5),
            self.create_subscription(feedback, "navigate_to_target/_action/feedback", self._on_feedback, 5),
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50),
        ]
        self._graph = self.create_client(GetGraph, "astra/get_graph")
        self._go = ActionClient(self, NavigateToTarget, "navigate_to_target")
        self._cancel = self.create_client(CancelGoal, "navigate_to_target/_action/cancel_goal")
        token = os.environ.get(TOKEN_VARIABLE, "")
        self._server = DashServer(self._board, self._command, config.server, token)
        self._board.put("commands", bool(token))
        self._server.__enter__()
        self.get_logger().info(f"the page is at {self._server.url}" + ("" if token else f", read-only ({TOKEN_VARIABLE} is not set)"))
        self._timers_kept = [self.create_timer(1.0 / config.rate_hz, self._tick, clock=self.steady), self.create_timer(1.0, self._slow_tick, clock=self.steady)]
        if config.image_rate_hz > 0.0:
            self._timers_kept.append(self.create_timer(1.0 / config.image_rate_hz, self._take_pictures, clock=self.steady))

    def on_teardown(self) -> None:
        """Close the page."""
        self._server.__exit__(None, None, None)
        for timer in self._timers_kept:
            self.destroy_timer(timer)
        for subscription in self._heard:
            self.destroy_subscription(subscription)
        for polled in (self._path, self._samples, *self._cameras.values()):
            polled.destroy()
        self._tf.destroy()
        self._go.destroy()
        for client in (self._graph, self._cancel):
            self.destroy_client(client)

    def _command(self, do: str, text: str) -> str:
        """Called in the server's thread: only puts the order into the queue."""
        if do not in ("go", "stop"):
            raise BadInputError("there are two commands: go and stop")
        if do == "go" and not 0 < len(text.strip()) <= 500:
            raise BadInputError("say where to, in at most 500 characters")
        try:
            self._orders.put_nowait((do, text.strip()))
        except queue.Full as error:
            raise BadInputError("too many commands at once") from error
        return "stopping" if do == "stop" else f"sent: {text.strip()}"

    def _on_map(self, message: Any) -> None:
        place, data = dash_feed.map_piece(message)
        self._board.put_picture("map", data, "image/png")
        self._board.put("map", place)
        self._graph_wanted = True

    def _on_pose(self, message: Any) -> None:
        self._sigma_m = dash_feed.sigma_of(message.pose.covariance)

    def _on_feedback(self, message: Any) -> None:
        self._heard_ns["mission"] = self.steady_ns()
        self._board.put("mission", dash_feed.mission_piece(message.feedback))

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            self._statuses_heard[status.name] = status
            self._heard_ns[status.hardware_id or status.name] = self.steady_ns()

    def _tick(self) -> None:
        while not self._orders.empty():
            self._obey(*self._orders.get_nowait())
        pose = self._map_from(self._config.base_frame)
        self._board.put("pose", None if pose is None else dash_feed.pose_piece(pose, self._sigma_m))
        for name, polled, piece in (("path", self._path, dash_feed.path_piece), ("samples", self._samples, dash_feed.samples_piece)):
            for message in polled.drain()[-1:]:
                header = message.header if name == "path" else (message.markers[0].header if message.markers else None)
                frame = None if header is None else self._map_from(header.frame_id)
                self._board.put(name, [] if frame is None else piece(message, frame))
                self._heard_ns[name] = self.steady_ns()

    def _slow_tick(self) -> None:
        now = self.steady_ns()
        ages = {name: (now - heard) * 1e-9 for name, heard in self._heard_ns.items()}
        self._board.put("nodes", dash_feed.node_rows(self._statuses_heard, ages, PATIENCE_S))
        for name, nothing in (("path", []), ("samples", []), ("mission", None)):
            if ages.get(name, 0.0) > PATIENCE_S:
                self._board.put(name, nothing)
        self._find_cameras()
        if self._graph_wanted and self._graph_call is None and self._graph.service_is_ready():
            call = self._graph_call = self._graph.call_async(GetGraph.Request())
            call.add_done_callback(self._on_graph)
        self.report(node.OK, "page", self._server.url)

    def _on_graph(self, future: Any) -> None:
        answer, self._graph_call = future.result(), None
        if answer is not None and answer.error_code == GetGraph.Response.NONE:
            self._graph_wanted = False
            self._board.put("graph", dash_feed.graph_piece(answer.graph))

    def _find_cameras(self) -> None:
        if self._config.image_rate_hz <= 0.0:
            return
        for topic, kinds in self.get_topic_names_and_types():
            name = topic.strip("/").split("/")[0]
            wanted = kinds[0] in IMAGES and topic.endswith(COLOUR_ENDINGS) and name not in self._cameras and len(self._cameras) < self._config.max_cameras
            if wanted and self.get_publishers_info_by_topic(topic):
                self._cameras[name] = PolledSubscription(self, IMAGES[kinds[0]], topic, LAST)

    def _take_pictures(self) -> None:
        for name, polled in self._cameras.items():
            for message in polled.drain()[-1:]:
                try:
                    self._board.put_picture(name, dash_feed.picture_of(message), "image/jpeg")
                except BadInputError as error:
                    self.report(node.WARN, f"camera {name}", str(error))

    def _map_from(self, frame: str) -> Pose2 | None:
        try:
            return self._tf.lookup(self._config.map_frame, frame).pose2()
        except TransformUnavailableError:
            return None

    def _obey(self, do: str, text: str) -> None:
        if do == "stop":
            self._cancel.call_async(CancelGoal.Request())  # an empty id at time zero: every goal
        elif self._go.server_is_ready():
            self._go.send_goal_async(NavigateToTarget.Goal(kind=NavigateToTarget.Goal.KIND_TEXT, text=text))
        else:
            self._board.put("mission", {"phase": "refused", "why": "the navigator does not answer", "remaining_m": None})
            self._heard_ns["mission"] = self.steady_ns()


def main() -> int:
    """Entry point."""
    return node.run(AstraDash)
