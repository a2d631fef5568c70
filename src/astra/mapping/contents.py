"""A finished map taken up again: what merging and aligning read of a map folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.core.types import Float32Array
from astra.geometry import CameraModel, Pose3
from astra.perception.local import unit_descriptors
from astra.topomap import Node, TopoMap, View
from astra.topomap.features import MapFeatures
from astra.topomap.io import load_features, load_map


@dataclass(frozen=True, slots=True, eq=False)
class MapContents:
    """A map folder in memory; the features stay memory-mapped.

    rows: view id → row of `features.view_ids`. node_of: view id → node id.
    """

    path: Path
    topo: TopoMap
    features: MapFeatures
    rows: dict[int, int]
    node_of: dict[int, int]
    views: dict[int, View]

    @property
    def is_metric(self) -> bool:
        """Whether its lengths are metres."""
        return self.topo.info.scale_source != "unknown"

    @property
    def fragments(self) -> dict[int, list[Node]]:
        """Fragment number → its nodes, in order of their ids."""
        out: dict[int, list[Node]] = {}
        for node in sorted(self.topo.nodes.values(), key=lambda n: n.id):
            out.setdefault(node.fragment, []).append(node)
        return dict(sorted(out.items()))

    def slice(self, view_id: int) -> slice:
        """Rows of the feature arrays that belong to a view."""
        row = self.rows[view_id]
        return slice(int(self.features.offsets[row]), int(self.features.offsets[row + 1]))

    def unit_descriptors(self, view_id: int) -> Float32Array:
        """(N, 128) float32 of unit length."""
        return unit_descriptors(np.asarray(self.features.descriptors[self.slice(view_id)]))

    def camera(self, view_id: int) -> CameraModel:
        """The intrinsics of a view."""
        return self.topo.cameras[self.views[view_id].camera]

    def base_from_cam(self, view_id: int) -> Pose3:
        """Where the view's camera sits on the robot, as the map has it."""
        return self.topo.nodes[self.node_of[view_id]].map_from_base.inverse() @ self.views[view_id].map_from_cam

    def is_level(self, max_tilt_rad: float = math.radians(1.5), max_height_m: float = 0.15) -> bool:
        """Whether the bases stand upright on z = 0, as a robot's do: two such maps differ by a planar motion only."""
        poses = [node.map_from_base for node in self.topo.nodes.values()]
        upright = np.median([p.rotation[2, 2] for p in poses]) > math.cos(max_tilt_rad)
        return bool(upright and np.median([abs(p.translation[2]) for p in poses]) < max_height_m and self.is_metric)


def load_contents(path: Path) -> MapContents:
    """Read a map folder.

    Raises:
        MapError: not a map folder, or a damaged one.
    """
    topo, features = load_map(path), load_features(path)
    views = {view.id: view for node in topo.nodes.values() for view in node.views}
    return MapContents(
        path,
        topo,
        features,
        {int(v): k for k, v in enumerate(features.view_ids)},
        {view.id: node.id for node in topo.nodes.values() for view in node.views},
        views,
    )
