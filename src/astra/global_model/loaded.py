"""A map as the global model uses it: graph, index, and each view's triangulated features ready to be matched."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray, UInt8Array
from astra.geometry import Pose3
from astra.perception.local import unit_descriptors
from astra.topomap.features import MapFeatures, give_back
from astra.topomap.queries import MapIndex
from astra.topomap.types import TopoMap


@dataclass(frozen=True, slots=True, eq=False)
class ViewPoints:
    """The triangulated features of one map view.

    units: (N, 128) float32 unit descriptors. points_map: (N, 3) float32 [m]. point_ids: (N,) int64.
    """

    units: Float32Array
    points_map: Float32Array
    point_ids: IntArray


class LoadedMap:
    """One map in memory; may be shared by everything that runs on one thread."""

    def __init__(self, topomap: TopoMap, features: MapFeatures, path: Path | None = None, cached_views: int = 400) -> None:
        self.map = topomap
        self.features = features
        self.path = path
        self.index = MapIndex(topomap)
        self.view_ids: IntArray = np.asarray(features.view_ids, dtype=np.int64)
        self.row_of_view = {int(view_id): row for row, view_id in enumerate(self.view_ids)}
        poses = [self.index.view(int(i)).map_from_cam for i in self.view_ids]
        self.view_positions: FloatArray = np.array([p.translation for p in poses]).reshape(-1, 3)
        self.view_axes: FloatArray = np.array([p.rotation[:, 2] for p in poses]).reshape(-1, 3)
        self._tree = cKDTree(self.view_positions)
        self._cached_views = cached_views
        self._read = 0
        self._cache: OrderedDict[int, ViewPoints] = OrderedDict()

    @staticmethod
    def load(map_dir: Path) -> LoadedMap:
        """Read a map folder.

        Raises:
            MapError: it is missing, damaged, foreign or newer.
        """
        from astra.topomap.io import load_features, load_map

        return LoadedMap(load_map(map_dir), load_features(map_dir), map_dir)

    def rows_of_nodes(self, node_ids: tuple[int, ...]) -> IntArray:
        """Rows of all views of these nodes."""
        rows = [self.row_of_view[v.id] for i in node_ids for v in self.map.nodes[i].views if v.id in self.row_of_view]
        return np.array(rows, dtype=np.int64)

    def view_points(self, row: int) -> ViewPoints:
        """The triangulated features of the view in this row; the latest used are kept."""
        if row in self._cache:
            self._cache.move_to_end(row)
            return self._cache[row]
        lo, hi = int(self.features.offsets[row]), int(self.features.offsets[row + 1])
        known: BoolArray = np.asarray(self.features.point_ids[lo:hi]) >= 0
        points = ViewPoints(
            unit_descriptors(np.asarray(self.features.descriptors[lo:hi])[known]),
            np.asarray(self.features.points_map[lo:hi])[known],
            np.asarray(self.features.point_ids[lo:hi])[known],
        )
        self._cache[row] = points
        self._read += 1
        if self._read % self._cached_views == 0:  # what was read stays in the system's cache, not in this process
            for array in (self.features.descriptors, self.features.points_map, self.features.point_ids):
                give_back(array)
        if len(self._cache) > self._cached_views:
            self._cache.popitem(last=False)
        return points

    def image(self, row: int) -> UInt8Array | None:
        """The picture of the view in this row, (H, W, 3) uint8 RGB; None where the map has no files or this one is gone."""
        import cv2

        if self.path is None:
            return None
        bgr = cv2.imread(str(self.path / self.index.view(int(self.view_ids[row])).image), cv2.IMREAD_COLOR)
        return None if bgr is None else np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)

    def rows_like(self, map_from_cam: Pose3, count: int, max_distance_m: float, max_angle_rad: float) -> IntArray:
        """Rows of the views that look most like a camera at this pose would, best first."""
        reach = max_distance_m * (1.0 + 1e-9) + 1e-9
        near: IntArray = np.array(self._tree.query_ball_point(map_from_cam.translation, reach, return_sorted=True), dtype=np.int64)
        distance = np.linalg.norm(self.view_positions[near] - map_from_cam.translation, axis=1)
        angle = np.arccos(np.clip(self.view_axes[near] @ map_from_cam.rotation[:, 2], -1.0, 1.0))
        allowed = (distance <= max_distance_m) & (angle <= max_angle_rad)
        near, cost = near[allowed], (distance / max_distance_m + angle / max_angle_rad)[allowed]
        chosen: IntArray = near[np.argsort(cost, kind="stable")[:count]]
        return chosen
