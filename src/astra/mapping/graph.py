"""Stage 6: nodes and edges (paper 3.1.1): a node is a keyframe; edges are what was driven, or what is near, mutually visible and free."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose3
from astra.mapping.keyframes import Keyframe
from astra.mapping.metric import MetricFragment
from astra.mapping.occupancy import Occupancy
from astra.mapping.passage import FreeSpace, PassageConfig, driven_places
from astra.topomap import Edge, EdgeKind, Node, View
from astra.topomap.types import UNKNOWN


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """Which nodes count as connected."""

    visible_radius_m: float = 1.5
    min_shared_points: int = 25
    max_driven_gap_m: float = 2.5  # consecutive nodes further apart are joined only if the way between is known to be free
    passage: PassageConfig = field(default_factory=PassageConfig)

    def __post_init__(self) -> None:
        require(0.0 < self.visible_radius_m <= 20.0, "visible_radius_m", self.visible_radius_m, "in (0, 20]")
        require(self.min_shared_points >= 1, "min_shared_points", self.min_shared_points, "≥ 1")
        require(self.max_driven_gap_m > 0.0, "max_driven_gap_m", self.max_driven_gap_m, "> 0")


def build_nodes(
    fragments: Sequence[MetricFragment], keyframes: Sequence[Keyframe], camera_names: Mapping[tuple[int, str], str], sigmas: Mapping[int, float]
) -> dict[int, Node]:
    """One node for every registered keyframe.

    Args:
        camera_names: (tour, camera) → the camera's name in the map.
        sigmas: keyframe id → position sigma [m].
    """
    nodes = {}
    by_id = {keyframe.id: keyframe for keyframe in keyframes}
    for number, fragment in enumerate(fragments):
        for keyframe_id in sorted(fragment.map_from_base):
            keyframe = by_id[keyframe_id]
            views = tuple(
                View(view.id, camera_names[keyframe.tour, view.camera], f"images/{view.image}", fragment.map_from_cam[view.id])
                for view in keyframe.views
            )
            pose = fragment.map_from_base[keyframe_id]
            nodes[keyframe_id] = Node(keyframe_id, keyframe.stamp_ns, pose, views, (), number, sigmas.get(keyframe_id, UNKNOWN))
    return dict(sorted(nodes.items()))


def build_edges(
    nodes: Mapping[int, Node],
    keyframes: Sequence[Keyframe],
    seen_points: Mapping[int, frozenset[int]],
    occupancy: Occupancy | None,
    config: GraphConfig | None = None,
    points: Mapping[int, FloatArray] | None = None,
    metre: float = 1.0,
) -> tuple[Edge, ...]:
    """Driven edges between consecutive nodes, visible edges between near ones with a free way between them.

    Args:
        seen_points: node id → the triangulated points its views observe, numbered per fragment.
        occupancy: the scans' grid of fragment 0, or None.
        points: fragment → its triangulated points (P, 3) in the map frame: what stands in the way.
        metre: how many of the map's units are a metre; 1 unless the scale is unknown.
    """
    config = config or GraphConfig()
    followed = consecutive(nodes, keyframes)
    spaces = {}
    for number in sorted({node.fragment for node in nodes.values()}):
        mine = {k: node for k, node in nodes.items() if node.fragment == number}
        driven = driven_places({k: _place(node) for k, node in mine.items()}, followed, config.max_driven_gap_m * metre, 0.1 * metre)
        spaces[number] = _space(mine, driven, occupancy if number == 0 else None, (points or {}).get(number), config.passage, metre)
    edges: dict[tuple[int, int], Edge] = {}
    for a, b in followed:
        length, space = _distance(nodes[a].map_from_base, nodes[b].map_from_base), spaces[nodes[a].fragment]
        if length <= config.max_driven_gap_m * metre or space.is_passable(_place(nodes[a]), _place(nodes[b])):
            edges[a, b] = Edge(a, b, length, EdgeKind.DRIVEN, space.width_m(_place(nodes[a]), _place(nodes[b])))
    for a, b in _near(nodes, config.visible_radius_m * metre):
        if (a, b) in edges or len(seen_points[a] & seen_points[b]) < config.min_shared_points:
            continue
        space = spaces[nodes[a].fragment]
        if space.is_passable(_place(nodes[a]), _place(nodes[b])):
            length = _distance(nodes[a].map_from_base, nodes[b].map_from_base)
            edges[a, b] = Edge(a, b, length, EdgeKind.VISIBLE, space.width_m(_place(nodes[a]), _place(nodes[b])))
    return tuple(edges[key] for key in sorted(edges))


def position_sigmas(fragment: MetricFragment, keyframes: Sequence[Keyframe], focal_px: float) -> dict[int, float]:
    """One sigma [m] of every node's position: how well its points fix it, and the scale's uncertainty times its distance from the origin.

    The first is the inverse information of the reprojections Σ JᵀJ / σ_px² over position and rotation of the keyframe's cameras.
    """
    noise_px = max(float(np.median(fragment.sfm.point_errors)) if len(fragment.sfm.point_errors) else 1.0, 0.3)
    scale_sigma = fragment.scale.sigma if math.isfinite(fragment.scale.sigma) else 0.0
    out = {}
    for keyframe in keyframes:
        pose = fragment.map_from_base.get(keyframe.id)
        if pose is None:
            continue
        information = np.zeros((6, 6))
        for view in keyframe.views:
            rows = fragment.sfm.observations[view.id]
            information += _information(fragment.map_from_cam[view.id], pose, fragment.points_map[rows[rows >= 0]], focal_px / noise_px)
        covariance = np.linalg.inv(information + 1e-6 * np.eye(6))
        local = float(np.trace(covariance[:3, :3])) / 3.0
        out[keyframe.id] = math.sqrt(local + (scale_sigma * float(np.linalg.norm(pose.translation[:2]))) ** 2)
    return out


def _information(map_from_cam: Pose3, map_from_base: Pose3, points_map: FloatArray, precision: float) -> FloatArray:
    """Σ JᵀJ · precision² (6, 6) for a small motion (translation, rotation about base_link) of the base in map axes."""
    cam = map_from_cam.inverse().apply(points_map)
    cam, points_map = cam[cam[:, 2] > 0.1], points_map[cam[:, 2] > 0.1]
    if len(cam) == 0:
        return np.zeros((6, 6))
    z = cam[:, 2]
    project = np.zeros((len(cam), 2, 3))
    project[:, 0, 0] = project[:, 1, 1] = 1.0 / z
    project[:, 0, 2], project[:, 1, 2] = -cam[:, 0] / z**2, -cam[:, 1] / z**2
    arm = points_map - map_from_base.translation
    skew = np.zeros((len(cam), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -arm[:, 2], arm[:, 1], -arm[:, 0]
    skew[:, 1, 0], skew[:, 2, 0], skew[:, 2, 1] = arm[:, 2], -arm[:, 1], arm[:, 0]
    moved = np.concatenate([np.broadcast_to(-np.eye(3), skew.shape), skew], axis=2)  # how a point moves against the base
    jacobian = project @ map_from_cam.rotation.T @ moved
    information: FloatArray = precision**2 * np.einsum("nij,nik->jk", jacobian, jacobian)
    return information


def _space(
    nodes: Mapping[int, Node], driven: FloatArray, occupancy: Occupancy | None, points: FloatArray | None, config: PassageConfig, metre: float
) -> FreeSpace:
    """What is known of a fragment's free space. Cameras at z = 0 mean that nobody knows where the floor is: points then tell nothing."""
    heights = [float(view.map_from_cam.translation[2]) for node in nodes.values() for view in node.views]
    height = max(heights) if heights and float(np.median(heights)) > config.min_height_m * metre else math.nan
    return FreeSpace.of(driven, occupancy, np.zeros((0, 3)) if points is None else points, height, config, metre)


def consecutive(nodes: Mapping[int, Node], keyframes: Sequence[Keyframe]) -> list[tuple[int, int]]:
    """Nodes that follow one another in a tour and lie in the same fragment; a keyframe that was not registered is skipped over."""
    registered = [k for k in sorted(keyframes, key=lambda k: k.id) if k.id in nodes]
    return [
        (p.id, q.id) for p, q in itertools.pairwise(registered) if p.tour == q.tour and nodes[p.id].fragment == nodes[q.id].fragment
    ]


def _near(nodes: Mapping[int, Node], radius_m: float) -> list[tuple[int, int]]:
    from scipy.spatial import cKDTree

    ids = np.array(sorted(nodes))
    positions = np.array([nodes[int(i)].map_from_base.translation for i in ids])
    pairs = cKDTree(positions).query_pairs(radius_m, output_type="ndarray")
    return sorted((int(ids[i]), int(ids[j])) for i, j in np.sort(pairs, axis=1) if nodes[int(ids[i])].fragment == nodes[int(ids[j])].fragment)


def _distance(a: Pose3, b: Pose3) -> float:
    return float(np.linalg.norm(a.translation - b.translation))


def _place(node: Node) -> FloatArray:
    return np.asarray(node.map_from_base.translation[:2])
