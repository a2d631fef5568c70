"""What a camera cannot see need not be drawn: zones out of sight, and boxes outside the view's pyramid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.sim import engine
from astra.sim.meshes import CEILING_GROUP, VISUAL_GROUP, ZONE_PREFIX, ZONES_FILE

AT_DOOR_M = 0.2  # a camera so near to a zone counts as inside: doorways lie between two
HIDDEN_GROUP = 5  # MuJoCo geom group of what this view leaves out


class Culling:
    """Decides for each drawn geom of a generated world whether a camera could see it, and hides the others by their group.

    Geoms of the building stand still and belong to a zone; all others (people, carts) count as spheres that move.

    Args:
        model: the compiled MjModel; its `geom_group` is changed by `hide` and restored by `show`.
        data: an MjData of it after forward kinematics.
        folder: the world's folder with zones.json.
    """

    def __init__(self, model: Any, data: Any, folder: Path) -> None:
        self._model = model
        self._zone_boxes, self._sees, names = _load_zones(folder / ZONES_FILE)
        drawn = np.nonzero(np.isin(model.geom_group, (VISUAL_GROUP, CEILING_GROUP)))[0]
        zone_of = np.array([names.get(_zone_name(model.geom(int(g)).name), -1) for g in drawn], dtype=np.int64)
        still = (zone_of >= 0) & (model.geom_bodyid[drawn] == 0)
        moves = ~still & (model.body_mocapid[model.geom_bodyid[drawn]] >= 0)
        self._still, self._moving = drawn[still], drawn[moves]
        self._zone = zone_of[still]
        self._boxes = np.array([_world_box(model, data, int(g)) for g in self._still]).reshape(-1, 6)
        self._centres, self._halves = (self._boxes[:, :3] + self._boxes[:, 3:]) / 2, (self._boxes[:, 3:] - self._boxes[:, :3]) / 2
        self._radii = np.asarray(model.geom_rbound[self._moving], dtype=np.float64)
        self._group = model.geom_group.copy()

    def hide(self, data: Any, position: FloatArray, rotation: FloatArray, half_tangents: tuple[float, float]) -> None:
        """Leave for this view only what it could see.

        Args:
            position: of the camera (3,), world.
            rotation: (3, 3) world_from_camera; a MuJoCo camera looks along -z with +y up.
            half_tangents: tan of half the horizontal and half the vertical field of view.
        """
        groups = self._model.geom_group
        sides = _inward_normals(rotation, half_tangents)
        zones = self._zones_in_sight(position)
        seen = zones[self._zone] & _boxes_in_view(self._centres - position, self._halves, sides)
        groups[self._still] = np.where(seen, self._group[self._still], HIDDEN_GROUP)
        if len(self._moving):
            at = data.geom_xpos[self._moving]
            seen = (((at - position) @ sides.T) > -self._radii[:, None]).all(axis=1) & self._in_zones(at, zones)
            groups[self._moving] = np.where(seen, self._group[self._moving], HIDDEN_GROUP)

    def show(self) -> None:
        """Show everything again."""
        self._model.geom_group[:] = self._group

    def _zones_in_sight(self, position: FloatArray) -> BoolArray:
        """(Z,) zones seen from a camera's zone, or from any of several; all of them from outside of all."""
        inside = _inside(self._zone_boxes, position[None], np.array([AT_DOOR_M]))[0]
        seen: BoolArray = self._sees[inside].any(axis=0) if inside.any() else np.ones(len(inside), bool)
        return seen

    def _in_zones(self, at: FloatArray, zones: BoolArray) -> BoolArray:
        """(N,) whether spheres at (N, 3) reach into one of the `zones` (Z,), or into none at all."""
        inside = _inside(self._zone_boxes, at, self._radii)
        reached: BoolArray = inside[:, zones].any(axis=1) | ~inside.any(axis=1)
        return reached


def _load_zones(path: Path) -> tuple[FloatArray, BoolArray, dict[str, int]]:
    """Boxes (Z, 6), sees (Z, Z) and name → index.

    Raises:
        BadInputError: the file is damaged.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        names = {name: k for k, name in enumerate(document)}
        boxes = np.array([zone["box"] for zone in document.values()], dtype=np.float64).reshape(len(names), 6)
        sees = np.eye(len(names), dtype=bool)
        for name, zone in document.items():
            sees[names[name], [names[other] for other in zone["sees"]]] = True
        return boxes, sees, names
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path}: {type(error).__name__} {error}") from error


def _zone_name(geom: str) -> str:
    """The zone of a geom `zone/<zone>/<page>`; "" for any other."""
    return geom[len(ZONE_PREFIX) :].rpartition("/")[0] if geom.startswith(ZONE_PREFIX) else ""


def _world_box(model: Any, data: Any, geom: int) -> FloatArray:
    """Lowest and highest corner (6,) of a geom, of its vertices where it is a mesh."""
    rotation, position = data.geom_xmat[geom].reshape(3, 3), data.geom_xpos[geom]
    if model.geom_type[geom] == engine.mujoco().mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        points = model.mesh_vert[start : start + model.mesh_vertnum[mesh]] @ rotation.T + position
    else:
        reach = float(model.geom_rbound[geom])
        points = np.array([position - reach, position + reach])
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _inward_normals(rotation: FloatArray, half_tangents: tuple[float, float]) -> FloatArray:
    """Unit normals (5, 3) of left, right, lower, upper side and back of the view's pyramid, pointing inwards, world axes."""
    x, y = half_tangents
    sides = np.array([(1.0, 0.0, -x), (-1.0, 0.0, -x), (0.0, 1.0, -y), (0.0, -1.0, -y), (0.0, 0.0, -1.0)])
    normals: FloatArray = (sides / np.linalg.norm(sides, axis=1, keepdims=True)) @ np.asarray(rotation).T
    return normals


def _boxes_in_view(centres: FloatArray, halves: FloatArray, normals: FloatArray) -> BoolArray:
    """(N,) whether boxes, relative to the camera, lie on the inner side of all planes with at least one corner."""
    inside: BoolArray = (centres @ normals.T + halves @ np.abs(normals).T >= 0.0).all(axis=1)
    return inside


def _inside(boxes: FloatArray, points: FloatArray, margins: FloatArray) -> BoolArray:
    """(N, Z) whether points (N, 3) lie above boxes (Z, 6), or within a margin (N,) of them."""
    low, high = boxes[None, :, :2] - margins[:, None, None], boxes[None, :, 3:5] + margins[:, None, None]
    inside: BoolArray = ((points[:, None, :2] >= low) & (points[:, None, :2] <= high)).all(axis=2)
    return inside
