"""Right answers on one map: its fragments laid rigidly over the world, and how near a pose is to what the map has seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.evaluation.mapping.judge import FragmentErrors
from astra.geometry import Pose2, Pose3
from astra.global_model.loaded import LoadedMap

NEAR_M, NEAR_RAD = 2.0, math.radians(30.0)  # of a mapped view: the stratum that the targets are for
REVERSE_RAD = math.radians(120.0)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the map has seen of a query's place.

    view_m: distance [m] to the nearest mapped view, of any camera, that looks within 30° of it; infinite: none.
    is_reverse: the same camera has been within 2 m, and only ever looked more than 120° another way.
    """

    view_m: float
    is_reverse: bool

    @property
    def is_near(self) -> bool:
        """Whether the query belongs to the stratum that the targets are for."""
        return self.view_m <= NEAR_M


class Truth:
    """Judges poses on one map."""

    def __init__(self, loaded: LoadedMap, fragments: Sequence[FragmentErrors]) -> None:
        self._loaded, self._fragments = loaded, tuple(fragments)
        self._rows = [loaded.rows_of_nodes(fragment.node_ids) for fragment in fragments]
        self._cameras = np.array([loaded.index.view(int(i)).camera for i in loaded.view_ids])

    def error(self, map_from_base: Pose3, world_from_base: Pose2) -> tuple[float, float]:
        """Off by [m], [rad], in the fragment that the pose fits best: a place that two fragments show has two right poses."""
        trues = self._in_map(Pose3.from_pose2(world_from_base))
        true = min(trues, key=lambda pose: float(np.linalg.norm(pose.translation - map_from_base.translation)))
        return float(np.linalg.norm(true.translation - map_from_base.translation)), map_from_base.angle_to(true)

    def distance_m(self, node_id: int, world_from_base: Pose2) -> float:
        """How far a node is from the true place, in the plane."""
        node = self._loaded.map.nodes[node_id].map_from_base.pose2()
        return min(node.distance_to(true.pose2()) for true in self._in_map(Pose3.from_pose2(world_from_base)))

    def exposure(self, camera: str, base_from_cam: Pose3, world_from_base: Pose2) -> Exposure:
        """What the map has seen near a camera."""
        view_m, reverse, alike = math.inf, False, False
        for rows, true in zip(self._rows, self._in_map(Pose3.from_pose2(world_from_base) @ base_from_cam)):
            distance = np.linalg.norm(self._loaded.view_positions[rows] - true.translation, axis=1)
            angle = np.arccos(np.clip(self._loaded.view_axes[rows] @ true.rotation[:, 2], -1.0, 1.0))
            view_m = min(view_m, float(distance[angle <= NEAR_RAD].min(initial=math.inf)))
            same = (distance <= NEAR_M) & (self._cameras[rows] == camera)
            reverse |= bool((same & (angle >= REVERSE_RAD)).any())
            alike |= bool((same & (angle < REVERSE_RAD)).any())
        return Exposure(view_m, reverse and not alike)

    def centre(self) -> FloatArray:
        """(2,) mean of all nodes, in the world: the best guess of who has not looked."""
        places = [f.world_from_map.apply(np.array([self._loaded.map.nodes[k].map_from_base.translation for k in f.node_ids])) for f in self._fragments]
        centre: FloatArray = np.concatenate(places)[:, :2].mean(axis=0)
        return centre

    def _in_map(self, world_from_x: Pose3) -> list[Pose3]:
        return [fragment.world_from_map.inverse().carry(world_from_x) for fragment in self._fragments]
