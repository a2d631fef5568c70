"""Messages of the running graph → pieces of the page. Each function takes one message and says what the page is shown of it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from astra.core.types import UInt8Array
from astra.geometry import Pose2
from astra.ros.conversions import pose2_from_pose, rgb_from_compressed, rgb_from_image

LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warn", DiagnosticStatus.ERROR: "error", DiagnosticStatus.STALE: "stale"}
STATUSES = ("lost", "coarse", "localized")
PHASES = ("localizing", "looking around", "finding the goal", "planning", "driving", "recovering", "arriving")
MAX_SIDE_PX = 320
JPEG_QUALITY = 70


def map_piece(message: Any) -> tuple[dict[str, Any], bytes]:
    """A nav_msgs/OccupancyGrid as its place and a PNG, north up: free white, occupied black, unknown transparent."""
    info = message.info
    cells = np.asarray(message.data, dtype=np.int8).reshape(info.height, info.width)[::-1]
    shade = np.where(cells < 0, 128, 255 - np.clip(cells, 0, 100) * 2.3).astype(np.uint8)
    alpha = np.where(cells < 0, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".png", np.dstack([shade, shade, shade, alpha]))
    place = {"x": info.origin.position.x, "y": info.origin.position.y, "resolution": info.resolution, "width": info.width, "height": info.height}
    return place, data.tobytes()


def graph_piece(graph: Any) -> dict[str, Any]:
    """An astra_nav/TopoGraph: nodes by id, edges as pairs of ids, landmarks with their labels."""
    return {
        "nodes": {str(n.id): [n.pose.position.x, n.pose.position.y] for n in graph.nodes},
        "edges": [[str(e.a), str(e.b)] for e in graph.edges],
        "landmarks": [{"label": landmark.label[:40], "x": landmark.position.x, "y": landmark.position.y} for landmark in graph.landmarks],
    }


def localization_piece(message: Any) -> dict[str, Any]:
    """An astra_nav/Localization."""
    return {"status": STATUSES[min(int(message.status), 2)], "confidence": float(message.confidence), "reason": message.reason[:200]}


def mission_piece(feedback: Any) -> dict[str, Any]:
    """The feedback of astra_nav/NavigateToTarget."""
    phase = int(feedback.phase)
    return {
        "phase": PHASES[phase] if phase < len(PHASES) else str(phase),
        "why": feedback.why[:200],
        "remaining_m": float(feedback.distance_remaining),
        "recoveries": int(feedback.recoveries),
        "fallbacks": int(feedback.fallbacks),
    }


def pose_piece(map_from_base: Pose2, sigma_m: float) -> dict[str, float]:
    """Where the robot is."""
    return {"x": map_from_base.x, "y": map_from_base.y, "yaw": map_from_base.yaw, "sigma_m": sigma_m}


def sigma_of(covariance: Any) -> float:
    """The larger of the two horizontal sigmas of a 6×6 row-major covariance [m]."""
    c = np.asarray(covariance, dtype=np.float64).reshape(6, 6)[:2, :2]
    return float(math.sqrt(max(float(np.linalg.eigvalsh(c)[-1]), 0.0))) if np.isfinite(c).all() else float("nan")


def path_piece(message: Any, map_from_frame: Pose2) -> list[list[float]]:
    """A nav_msgs/Path as points of the map."""
    points = np.array([(p.pose.position.x, p.pose.position.y) for p in message.poses]).reshape(-1, 2)
    return [[float(x), float(y)] for x, y in map_from_frame.apply(points)]


def samples_piece(message: Any, map_from_frame: Pose2) -> list[list[list[float]]]:
    """A MarkerArray of line strips (the planner's samples) as lines on the map."""
    lines = []
    for marker in message.markers[:40]:
        points = np.array([(p.x, p.y) for p in marker.points]).reshape(-1, 2)
        if len(points) > 1:
            moved = map_from_frame.apply(pose2_from_pose(marker.pose).apply(points))
            lines.append([[float(x), float(y)] for x, y in moved])
    return lines


def picture_of(message: Any) -> bytes:
    """An Image or CompressedImage as a small JPEG.

    Raises:
        BadInputError: it cannot be decoded.
    """
    rgb: UInt8Array = rgb_from_compressed(message) if hasattr(message, "format") else rgb_from_image(message)
    scale = MAX_SIDE_PX / max(rgb.shape[:2])
    if scale < 1.0:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data.tobytes())


def node_rows(statuses: dict[str, Any], ages_s: dict[str, float], stale_s: float) -> list[dict[str, str]]:
    """One row a node from the diagnostics of all: its worst level and what that says; silent ones are stale."""
    rows: dict[str, dict[str, str]] = {}
    for status in sorted(statuses.values(), key=lambda s: (s.hardware_id, s.level)):
        name = status.hardware_id or status.name
        title = status.name.split(": ", 1)[-1]
        message = status.message if title == "state" or title == status.name else f"{title}: {status.message}"
        rows[name] = {"name": name, "level": LEVELS.get(status.level, "stale"), "message": message[:160]}
        if ages_s.get(name, 0.0) > stale_s:
            rows[name] |= {"level": "stale", "message": f"silent for {ages_s[name]:.0f} s"}
    return list(rows.values())
