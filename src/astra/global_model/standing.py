"""Where a robot can stand: in front of a landmark, facing it, on floor that the map knows to be free and the graph reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.config import load_yaml, require
from astra.core.errors import MapError
from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray
from astra.geometry import Pose2
from astra.geometry.distance import distance_to_occupied
from astra.global_model.loaded import LoadedMap
from astra.perception.text import landmark_name
from astra.topomap.types import Landmark


@dataclass(frozen=True, slots=True)
class StandingConfig:
    """Distances to keep."""

    preferred_m: float = 1.0  # from the landmark, in the plane
    min_m: float = 0.5
    max_m: float = 2.5
    clearance_m: float = 0.35  # from base_link to the nearest obstacle
    passage_m: float = 0.26  # clearance that the way from the graph must have
    max_obliquity_rad: float = math.radians(70.0)  # off the landmark's normal, where that is known
    search_m: float = 1.0  # how far a pose may be moved to find room

    def __post_init__(self) -> None:
        require(0 < self.min_m <= self.preferred_m <= self.max_m, "preferred_m", self.preferred_m, "between min_m > 0 and max_m")
        require(self.clearance_m >= 0, "clearance_m", self.clearance_m, "≥ 0")
        require(0 <= self.passage_m <= self.clearance_m, "passage_m", self.passage_m, "in 0..clearance_m")
        require(0 < self.max_obliquity_rad <= math.pi, "max_obliquity_rad", self.max_obliquity_rad, "in (0, π]")
        require(self.search_m >= 0, "search_m", self.search_m, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class FloorPlan:
    """free, occupied: (H, W) bool, row 0 at the smallest y; the corner of cell (0, 0) lies at `origin` (2,) [m, map]."""

    free: BoolArray
    occupied: BoolArray
    origin: FloatArray
    resolution_m: float

    @staticmethod
    def load(folder: Path) -> FloorPlan | None:
        """Read `nav2/map.yaml` and its image in a map folder; none if the map has none.

        Raises:
            MapError: it is there but cannot be used.
        """
        import cv2

        path = folder / "nav2" / "map.yaml"
        if not path.is_file():
            return None
        info = load_yaml(path)
        try:
            image = cv2.imread(str(path.parent / str(info["image"])), cv2.IMREAD_GRAYSCALE)
            origin, resolution = [float(v) for v in info["origin"]], float(info["resolution"])
            negate, occupied_at, free_at = int(info["negate"]), float(info["occupied_thresh"]), float(info["free_thresh"])
        except (KeyError, TypeError, ValueError) as error:
            raise MapError(f"{path} is not a Nav2 map: {error}") from error
        if image is None or len(origin) < 2 or not resolution > 0:
            raise MapError(f"{path}: its image, origin or resolution is unusable")
        darkness = image[::-1].astype(np.float32) / 255.0
        darkness = darkness if negate else 1.0 - darkness
        return FloorPlan(darkness < free_at, darkness > occupied_at, np.array(origin[:2]), resolution)

    def centres(self, rows: AnyArray, columns: AnyArray) -> FloatArray:
        """Cell centres (..., 2) [m, map]."""
        out: FloatArray = self.origin + (np.stack([columns, rows], axis=-1) + 0.5) * self.resolution_m
        return out

    def lookup(self, grid: BoolArray, points: FloatArray) -> BoolArray:
        """Values of a grid at points (..., 2) [m, map]; False outside."""
        cells = np.floor((points - self.origin) / self.resolution_m).astype(np.int64)
        column, row = cells[..., 0], cells[..., 1]
        inside = (row >= 0) & (column >= 0) & (row < grid.shape[0]) & (column < grid.shape[1])
        values: BoolArray = grid[np.where(inside, row, 0), np.where(inside, column, 0)] & inside
        return values


class StandingRoom:
    """Finds poses to stand at; falls back to where the tour drove if the map has no floor plan."""

    def __init__(self, loaded: LoadedMap, config: StandingConfig | None = None, plan: FloorPlan | None = None) -> None:
        self.config = config or StandingConfig()
        self.loaded = loaded
        self.plan = plan or (FloorPlan.load(loaded.path) if loaded.path is not None else None)
        self._room: BoolArray | None = None
        self._clearance: Float32Array | None = None
        if self.plan is not None:
            self._room, self._clearance = self._standing_room(self.plan)

    def before(self, landmark: Landmark) -> Pose2 | None:
        """A pose in front of the landmark, looking at it; none if there is no room and no node sees it."""
        position = np.asarray(landmark.position_map[:2], dtype=np.float64)
        spot = self._spot_on_plan(position, landmark)
        if spot is None:
            spot = self._spot_on_graph(position, landmark)
        if spot is None:
            return None
        return Pose2(float(spot[0]), float(spot[1]), math.atan2(position[1] - spot[1], position[0] - spot[0]))

    def foreign_names(self, spot: Pose2, own: str, radius_m: float) -> int:
        """How many other names than `own` (a `landmark_name`) are in sight: a corridor shows many, the inside of a place its own."""
        if self.plan is None:
            node = self.loaded.map.nodes[self.loaded.index.nearest_nodes(spot.x, spot.y)[0]]
            near = [self.loaded.map.landmarks[i] for i in node.landmark_ids]
        else:
            near = [m for m in self.loaded.index.landmarks_within(spot.x, spot.y, radius_m) if m.is_text]
            here = np.array([[spot.x, spot.y]])
            near = [m for m in near if bool(self._in_sight(here, np.asarray(m.position_map[:2], dtype=np.float64))[0])]
        return len({landmark_name(m.label) for m in near if m.is_text} - {own})

    def at(self, pose: Pose2) -> Pose2 | None:
        """The nearest pose with room to stand, with the same heading; none if there is none within `search_m`."""
        here = np.array([pose.x, pose.y])
        if self.plan is None or self._room is None:
            distance = self.loaded.index.distances(pose.x, pose.y)
            row = int(np.argmin(distance))
            if distance[row] > self.config.search_m:
                return None
            return Pose2(float(self.loaded.index.poses[row, 0]), float(self.loaded.index.poses[row, 1]), pose.yaw)
        if bool(self.plan.lookup(self._room, here)):
            return pose
        rows, columns = np.nonzero(self._room)
        centres = self.plan.centres(rows, columns)
        distance = np.linalg.norm(centres - here, axis=1)
        if len(distance) == 0 or float(distance.min()) > self.config.search_m:
            return None
        x, y = centres[int(np.argmin(distance))]
        return Pose2(float(x), float(y), pose.yaw)

    def _spot_on_plan(self, position: FloatArray, landmark: Landmark) -> FloatArray | None:
        plan, room, config = self.plan, self._room, self.config
        if plan is None or room is None or self._clearance is None:
            return None
        rows, columns = np.nonzero(room)
        points = plan.centres(rows, columns)
        offset = points - position
        distance = np.linalg.norm(offset, axis=1)
        chosen = (distance >= config.min_m) & (distance <= config.max_m)
        direction = self._facing(position, landmark)
        obliquity = np.zeros(len(points))
        if direction is not None:
            obliquity = np.arccos(np.clip(offset @ direction / np.maximum(distance, 1e-9), -1.0, 1.0))
            chosen &= obliquity <= config.max_obliquity_rad
        candidates = np.flatnonzero(chosen)
        candidates = candidates[self._in_sight(points[candidates], position)]
        if len(candidates) == 0:
            return None
        open_floor = np.minimum(self._clearance[rows[candidates], columns[candidates]], 0.8)
        cost = np.abs(distance[candidates] - config.preferred_m) + 0.3 * obliquity[candidates] - 0.5 * open_floor
        best: FloatArray = points[candidates[int(np.argmin(cost))]]
        return best

    def _in_sight(self, points: FloatArray, position: FloatArray) -> BoolArray:
        """Whether nothing stands between points (N, 2) and the landmark; its own wall, the last quarter metre, is let pass."""
        assert self.plan is not None
        distance = np.linalg.norm(points - position, axis=1)
        reach = np.maximum(distance - 0.25, 0.0) / np.maximum(distance, 1e-9)
        steps = 2 + math.ceil(float(distance.max(initial=0.0)) / (0.7 * self.plan.resolution_m))  # no wall is thinner than a cell
        u = np.linspace(0.0, 1.0, steps)[None, :, None] * reach[:, None, None]
        line = points[:, None] + u * (position - points[:, None])
        clear: BoolArray = np.asarray(~self.plan.lookup(self.plan.occupied, line).any(axis=1))
        return clear

    def _spot_on_graph(self, position: FloatArray, landmark: Landmark) -> FloatArray | None:
        """The node that sees the landmark and stands nearest to the preferred distance."""
        spots = [self.loaded.map.nodes[i].map_from_base.translation[:2] for i in landmark.node_ids]
        if not spots:
            return None
        return min(spots, key=lambda spot: abs(float(np.linalg.norm(spot - position)) - self.config.preferred_m))

    def _facing(self, position: FloatArray, landmark: Landmark) -> FloatArray | None:
        """Unit direction (2,) from the landmark towards its viewers: its normal, else the mean of where it was seen from."""
        if landmark.normal_map is not None:
            direction = np.asarray(landmark.normal_map[:2], dtype=np.float64)
        else:
            seers = [self.loaded.map.nodes[i].map_from_base.translation[:2] - position for i in landmark.node_ids]
            direction = np.sum([s / max(float(np.linalg.norm(s)), 1e-6) for s in seers], axis=0) if seers else np.zeros(2)
        length = float(np.linalg.norm(direction))
        return direction / length if length > 0.2 else None

    def _standing_room(self, plan: FloorPlan) -> tuple[BoolArray, Float32Array]:
        """Cells with clearance that are connected to the graph."""
        from scipy.ndimage import label

        clearance = distance_to_occupied(~plan.free, plan.resolution_m)
        passable: BoolArray = plan.free & (clearance >= self.config.passage_m)
        parts, _ = label(passable)
        cells = np.floor((self.loaded.index.poses[:, :2] - plan.origin) / plan.resolution_m).astype(np.int64)
        inside = ((cells >= 0) & (cells < np.array(passable.shape[::-1]))).all(axis=1)
        reached = np.unique(parts[cells[inside, 1], cells[inside, 0]])
        connected = np.isin(parts, reached[reached > 0])
        return connected & (clearance >= self.config.clearance_m), clearance
