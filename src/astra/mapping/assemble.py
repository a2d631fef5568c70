"""What SfM and odometry give together, and what the map's parts read from it: cameras, evidence for landmarks, features.

`build` fills a `Reconstruction` stage by stage; merging two maps makes one too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import Float32Array
from astra.geometry import CameraModel, CameraRig
from astra.mapping.detections import Detections
from astra.mapping.features import ViewSet
from astra.mapping.keyframes import Keyframe
from astra.mapping.landmarks import ViewEvidence
from astra.mapping.metric import MetricFragment
from astra.mapping.occupancy import Occupancy
from astra.topomap import Node
from astra.topomap.features import MapFeatures


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """Keyframes placed in the map frame.

    rigs: one a tour. views: the keyframes' features. fragments: the first is the map's own frame, the others lie where odometry put them.
    occupancy: of the first fragment; None without scans.
    """

    rigs: Sequence[CameraRig]
    keyframes: Sequence[Keyframe]
    views: ViewSet
    fragments: Sequence[MetricFragment]
    occupancy: Occupancy | None

    def camera_names(self) -> dict[tuple[int, str], str]:
        """(tour, camera) → name in the map; tours that share a camera's name and model share it, else the tour's number is added."""
        names: dict[tuple[int, str], str] = {}
        given: dict[str, CameraModel] = {}
        for tour, rig in enumerate(self.rigs):
            for camera in rig.cameras:
                model = self.model(tour, camera.name)
                name = camera.name if given.get(camera.name, model) == model else f"{camera.name}_{tour}"
                given[name] = model
                names[tour, camera.name] = name
        return names

    def cameras(self) -> dict[str, CameraModel]:
        return {name: self.model(*key) for key, name in self.camera_names().items()}

    def model(self, tour: int, camera: str) -> CameraModel:
        """The camera's intrinsics, as the largest fragment refined them."""
        found = next((f.sfm.models[tour, camera] for f in self.fragments if (tour, camera) in f.sfm.models), None)
        return found or self.rigs[tour][camera].model

    def focal_px(self) -> float:
        return float(np.median([model.fx for model in self.cameras().values()]))

    def view_points(self) -> dict[int, Float32Array]:
        """View id → (N, 3) float32 [m, map] point of each feature, NaN where not triangulated."""
        out = {}
        for fragment in self.fragments:
            for view_id, rows in fragment.sfm.observations.items():
                points = np.full((len(rows), 3), np.nan, dtype=np.float32)
                points[rows >= 0] = fragment.points_map[rows[rows >= 0]]
                out[view_id] = points
        return out

    def evidence(self, detections: Detections) -> list[ViewEvidence]:
        """What every registered view contributes to the landmarks."""
        row_of = {int(view_id): k for k, view_id in enumerate(self.views.ids)}
        points = self.view_points()
        poses = {view_id: pose for fragment in self.fragments for view_id, pose in fragment.map_from_cam.items()}
        return [
            ViewEvidence(
                view.id,
                keyframe.id,
                self.model(keyframe.tour, view.camera),
                poses[view.id],
                self.views.keypoints[self.views.rows(row_of[view.id])],
                points[view.id],
                tuple(detections.get(view.id, ())),
            )
            for keyframe in self.keyframes
            for view in keyframe.views
            if view.id in poses
        ]

    def seen_points(self, nodes: Mapping[int, Node]) -> dict[int, frozenset[int]]:
        seen = {}
        for node in nodes.values():
            observations = self.fragments[node.fragment].sfm.observations
            rows = np.concatenate([observations[view.id] for view in node.views])
            seen[node.id] = frozenset(rows[rows >= 0].tolist())
        return seen

    def map_features(self, nodes: Mapping[int, Node]) -> MapFeatures:
        """Features of the registered views, points numbered over all fragments."""
        first_point = np.cumsum([0] + [len(fragment.points_map) for fragment in self.fragments])
        fragment_of = {view.id: node.fragment for node in nodes.values() for view in node.views}
        kept = [k for k, view_id in enumerate(self.views.ids) if int(view_id) in fragment_of]
        points = self.view_points()
        rows = np.concatenate([np.arange(self.views.rows(k).start, self.views.rows(k).stop) for k in kept])
        ids = []
        for k in kept:
            view_id = int(self.views.ids[k])
            observed = self.fragments[fragment_of[view_id]].sfm.observations[view_id]
            ids.append(np.where(observed >= 0, observed + first_point[fragment_of[view_id]], -1))
        counts = [self.views.rows(k).stop - self.views.rows(k).start for k in kept]
        return MapFeatures(
            self.views.ids[kept],
            np.cumsum([0, *counts]).astype(np.int64),
            self.views.keypoints[rows],
            self.views.descriptors[rows],
            np.concatenate([points[int(self.views.ids[k])] for k in kept]),
            np.concatenate(ids).astype(np.int64),
            self.views.place[kept],
        )
