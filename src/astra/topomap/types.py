"""What a map is made of. A node is one keyframe of the tour: a place of the robot with one view per camera."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from astra.core.types import FloatArray
from astra.geometry import CameraModel, Pose3
from astra.topomap.audit import MapAudit

UNKNOWN = float("nan")


class EdgeKind(StrEnum):
    """Why two nodes are connected."""

    DRIVEN = "driven"
    VISIBLE = "visible"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One image of a node. `image` is the path inside the map folder; `map_from_cam` has optical axes (x right, y down, z forward)."""

    id: int
    camera: str
    image: str
    map_from_cam: Pose3


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A keyframe: where base_link stood (`map_from_base`, z = 0 on the floor) and what the cameras saw there."""

    id: int
    stamp_ns: int
    map_from_base: Pose3
    views: tuple[View, ...]
    landmark_ids: tuple[int, ...] = ()
    fragment: int = 0
    position_sigma_m: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class Edge:
    """An undirected, passable connection between nodes `a` and `b`."""

    a: int
    b: int
    length_m: float
    kind: EdgeKind = EdgeKind.DRIVEN
    width_m: float = UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class Landmark:
    """A semantic landmark. All text is data read from the world or derived from it; it is never an instruction.

    `label` is the category or, if `is_text`, the text itself; `attributes` its look; `function` what the place is for.
    `position_map` (3,) [m]; `node_ids` and `view_ids` list everything that sees it (co-visibility).
    """

    id: int
    label: str
    is_text: bool
    attributes: str
    function: str
    position_map: FloatArray
    position_sigma_m: float
    node_ids: tuple[int, ...]
    view_ids: tuple[int, ...]
    normal_map: FloatArray | None = None  # (3,) unit, pointing out of the surface towards the viewers, where known
    covariance_map: FloatArray | None = None  # (3, 3) of the position [m²], where known; its mean variance is that of `position_sigma_m`

    def turned_covariance(self, rotation: FloatArray, scale: float = 1.0) -> FloatArray | None:
        """The covariance in a frame that is turned by `rotation` (3, 3) and scaled."""
        return None if self.covariance_map is None else scale**2 * rotation @ self.covariance_map @ rotation.T


@dataclass(frozen=True, slots=True)
class ScaleWitness:
    """One source of the map's metres: `ratio` of its metres to the map's, its relative sigma, and whether it agreed and was used."""

    source: str
    ratio: float
    sigma: float
    used: bool


@dataclass(frozen=True, slots=True)
class MapInfo:
    """How the map came to be and how far its metres can be trusted."""

    name: str
    scale_source: str  # "odometry", "distance", "camera_height", "imu", "rig" or "unknown": the strongest of its witnesses
    scale_sigma: float = UNKNOWN  # relative, one sigma
    warnings: tuple[str, ...] = ()
    build: dict[str, object] = field(default_factory=dict)  # config, versions, counts, times: for the record
    audit: MapAudit | None = None  # None: a map from before there was an audit
    scale_witnesses: tuple[ScaleWitness, ...] = ()
    up_source: str = "unknown"  # "imu", "poses", "floor" or "horizon"
    up_sigma_rad: float = UNKNOWN


@dataclass(frozen=True, slots=True, eq=False)
class TopoMap:
    """The whole graph in memory. `cameras` maps a camera's name to its model; ids index nothing: look them up."""

    info: MapInfo
    cameras: dict[str, CameraModel]
    nodes: dict[int, Node]
    edges: tuple[Edge, ...]
    landmarks: dict[int, Landmark]
