"""What astra_global says, as messages: localizations, goals, the graph, markers, the occupancy. `astra.ros.graph` reads the graph back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from astra_nav.msg import GoalCandidate as GoalCandidateMsg
from astra_nav.msg import Landmark as LandmarkMsg
from astra_nav.msg import LandmarkMatch, Localization, TopoEdge, TopoGraph, TopoNode
from geometry_msgs.msg import Point, PoseWithCovarianceStamped
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from astra.core.errors import BadInputError, MapError
from astra.core.types import FloatArray
from astra.fusion.relocalization import Estimate
from astra.geometry import Pose2
from astra.global_model.types import Evidence, FindResult, GoalStatus, LocalizationResult, Status
from astra.navigation.whereabouts import Verdict, planar_covariance
from astra.ros.conversions import grid_message, pose2_from_pose, pose_from_pose2, pose_from_pose3, pose_stamped, stamp_from_ns
from astra.topomap.types import EdgeKind, Landmark, Node, TopoMap

_STATUS = {Status.LOST: Localization.STATUS_LOST, Status.COARSE: Localization.STATUS_COARSE, Status.LOCALIZED: Localization.STATUS_LOCALIZED}
_KIND = {EdgeKind.DRIVEN: TopoEdge.KIND_DRIVEN, EdgeKind.VISIBLE: TopoEdge.KIND_VISIBLE}
_PLANAR = (0, 1, 5)  # x, y, rz among x y z rx ry rz


def localization_message(result: LocalizationResult, frame_id: str) -> Localization:
    """astra_nav/Localization; the pose is meaningful only if localized, as the interface says."""
    message = Localization(status=_STATUS[result.status], confidence=float(result.confidence), reason=result.reason)
    message.header.stamp, message.header.frame_id = stamp_from_ns(result.stamp_ns), frame_id
    if result.map_from_base is not None and result.covariance is not None:
        message.pose.pose = pose_from_pose3(result.map_from_base)
        message.pose.covariance = np.asarray(result.covariance, dtype=np.float64).ravel()
    message.candidate_nodes = [int(i) for i in result.candidate_nodes]
    message.matched_landmarks = [_match(evidence) for evidence in result.matched_landmarks]
    message.rejected_landmarks = [_match(evidence) for evidence in result.rejected_landmarks]
    message.inliers = int(result.inliers)
    message.coarse_s, message.consistency_s, message.fine_s = (
        float(t) for t in (result.times.coarse_s, result.times.consistency_s, result.times.fine_s)
    )
    return message


def pose_message(estimate: Estimate, stamp_ns: int, frame_id: str) -> PoseWithCovarianceStamped:
    """The fused pose as geometry_msgs/PoseWithCovarianceStamped."""
    message = PoseWithCovarianceStamped()
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    message.pose.pose = pose_from_pose2(estimate.map_from_base)
    covariance = np.zeros((6, 6))
    covariance[np.ix_(_PLANAR, _PLANAR)] = estimate.covariance
    message.pose.covariance = covariance.ravel()
    return message


def estimate_from_pose_message(message: Any, min_sigma_m: float, min_sigma_rad: float) -> Estimate:
    """A person's guess, as RViz's /initialpose gives it; sigmas below the minima are raised to them.

    Raises:
        BadInputError: a value is not finite, or the covariance has a negative variance.
    """
    pose = pose2_from_pose(message.pose.pose)
    covariance = planar_covariance(np.array(message.pose.covariance, dtype=np.float64).reshape(6, 6))
    covariance = 0.5 * (covariance + covariance.T)
    if not np.all(np.isfinite(covariance)) or float(np.linalg.eigvalsh(covariance)[0]) < -1e-9:
        raise BadInputError("the covariance of the initial pose is not finite and positive")
    floor = np.array([min_sigma_m**2, min_sigma_m**2, min_sigma_rad**2])
    return Estimate(pose, covariance + np.diag(np.maximum(floor - np.diag(covariance), 0.0)))


def goal_messages(result: FindResult, frame_id: str, stamp_ns: int) -> list[GoalCandidateMsg]:
    """The candidates of a goal, best first."""
    out = []
    for candidate in result.candidates:
        message = GoalCandidateMsg(
            landmark_id=0 if candidate.landmark_id is None else int(candidate.landmark_id), label=candidate.label, score=float(candidate.score)
        )
        message.node_ids = [int(i) for i in candidate.node_ids]
        message.pose = pose_stamped(candidate.map_from_goal, stamp_ns, frame_id)
        message.image, message.why = candidate.image, candidate.why
        out.append(message)
    return out


def goal_status(result: FindResult, response_type: Any) -> int:
    """The status constant of srv/FindTarget."""
    names = {GoalStatus.NOT_FOUND: "STATUS_NOT_FOUND", GoalStatus.AMBIGUOUS: "STATUS_AMBIGUOUS", GoalStatus.FOUND: "STATUS_FOUND"}
    return int(getattr(response_type, names[result.status]))


def graph_message(topomap: TopoMap, format_version: int, frame_id: str, stamp_ns: int) -> TopoGraph:
    """The whole graph as astra_nav/TopoGraph."""
    message = TopoGraph(name=topomap.info.name, format_version=format_version, scale_source=topomap.info.scale_source)
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), frame_id
    message.nodes = [_node(node) for node in topomap.nodes.values()]
    message.edges = [
        TopoEdge(a=edge.a, b=edge.b, kind=_KIND[edge.kind], length=float(edge.length_m), width=float(edge.width_m)) for edge in topomap.edges
    ]
    message.landmarks = [_landmark(landmark) for landmark in topomap.landmarks.values()]
    return message


def graph_markers(topomap: TopoMap, frame_id: str) -> MarkerArray:
    """The graph for RViz: nodes, edges, and landmarks with their labels."""
    nodes = _marker(frame_id, "nodes", 0, Marker.SPHERE_LIST, 0.12, (0.15, 0.45, 0.85, 0.9))
    nodes.points = [_point(node.map_from_base.translation, 0.05) for node in topomap.nodes.values()]
    edges = _marker(frame_id, "edges", 0, Marker.LINE_LIST, 0.04, (0.15, 0.45, 0.85, 0.5))
    for edge in topomap.edges:
        edges.points.extend(_point(topomap.nodes[i].map_from_base.translation, 0.05) for i in (edge.a, edge.b))
    signs = _marker(frame_id, "landmarks", 0, Marker.CUBE_LIST, 0.15, (0.9, 0.55, 0.1, 0.9))
    signs.points = [_point(landmark.position_map) for landmark in topomap.landmarks.values() if _is_placed(landmark)]
    clear = Marker(action=Marker.DELETEALL)
    clear.header.frame_id = frame_id
    labels = [_label(frame_id, landmark) for landmark in topomap.landmarks.values() if _is_placed(landmark)]
    return MarkerArray(markers=[clear, *(m for m in (nodes, edges, signs) if m.points), *labels])


def hypothesis_markers(verdict: Verdict | None, frame_id: str) -> MarkerArray:
    """Where the robot may be, for RViz: arrows as dense as they are likely; none once it knows."""
    clear = Marker(action=Marker.DELETEALL)
    clear.header.frame_id = frame_id
    arrows = []
    for k, hypothesis in enumerate(() if verdict is None else verdict.hypotheses):
        arrow = _marker(frame_id, "hypotheses", k, Marker.ARROW, 0.1, (0.85, 0.2, 0.2, 0.2 + 0.8 * hypothesis.weight))
        arrow.scale.x = 0.6
        arrow.pose = pose_from_pose2(hypothesis.estimate.map_from_base)
        arrows.append(arrow)
    return MarkerArray(markers=[clear, *arrows])


def occupancy_message(folder: Path, frame_id: str, stamp_ns: int) -> Any | None:
    """nav_msgs/OccupancyGrid from `nav2/map.yaml` in a map folder; none if it has none.

    Raises:
        MapError: the file is there and cannot be read.
    """
    import cv2

    from astra.core.config import load_yaml

    path = folder / "nav2" / "map.yaml"
    if not path.is_file():
        return None
    info = load_yaml(path)
    try:
        image = cv2.imread(str((path.parent / str(info["image"])).resolve()), cv2.IMREAD_GRAYSCALE)
        resolution, (x, y, yaw) = float(info["resolution"]), [float(v) for v in info["origin"]]
        occupied, free = float(info["occupied_thresh"]), float(info["free_thresh"])
    except (KeyError, TypeError, ValueError) as error:
        raise MapError(f"{path}: {error!r} is missing or unusable") from error
    if image is None or not (resolution > 0.0 and math.isfinite(resolution)):
        raise MapError(f"{path}: its image or its resolution is unusable")
    darkness = image / 255.0 if info.get("negate") else 1.0 - image / 255.0
    cells = np.where(darkness > occupied, 100, np.where(darkness < free, 0, -1)).astype(np.int8)
    return grid_message(cells[::-1], resolution, Pose2(x, y, yaw), stamp_ns, frame_id)


def _match(evidence: Evidence) -> LandmarkMatch:
    return LandmarkMatch(landmark_id=int(evidence.landmark_id), detected=evidence.detected, why=evidence.why)


def _node(node: Node) -> TopoNode:
    message = TopoNode(id=node.id, pose=pose_from_pose3(node.map_from_base), position_sigma=float(node.position_sigma_m), fragment=node.fragment)
    message.stamp = stamp_from_ns(max(node.stamp_ns, 0))
    message.cameras = [view.camera for view in node.views]
    message.landmark_ids = [int(i) for i in node.landmark_ids]
    return message


def _landmark(landmark: Landmark) -> LandmarkMsg:
    message = LandmarkMsg(id=landmark.id, label=landmark.label, is_text=landmark.is_text, attributes=landmark.attributes, function=landmark.function)
    message.position, message.position_sigma = _point(landmark.position_map), float(landmark.position_sigma_m)
    message.node_ids = [int(i) for i in landmark.node_ids]
    return message


def _point(xyz: FloatArray, lift_m: float = 0.0) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]) + lift_m)


def _is_placed(landmark: Landmark) -> bool:
    return bool(np.all(np.isfinite(landmark.position_map)))


def _marker(frame_id: str, namespace: str, marker_id: int, kind: int, size_m: float, rgba: tuple[float, float, float, float]) -> Marker:
    marker = Marker(ns=namespace, id=marker_id, type=kind, action=Marker.ADD)
    marker.header.frame_id = frame_id
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size_m
    marker.color = ColorRGBA(r=rgba[0], g=rgba[1], b=rgba[2], a=rgba[3])
    return marker


def _label(frame_id: str, landmark: Landmark) -> Marker:
    marker = _marker(frame_id, "labels", landmark.id, Marker.TEXT_VIEW_FACING, 0.22, (0.1, 0.1, 0.1, 1.0))
    marker.pose.position = _point(landmark.position_map, 0.25)
    marker.text = landmark.label[:40]
    return marker
