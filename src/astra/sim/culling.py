"""What a camera cannot see need not be drawn: rooms that no opening shows, and boxes outside the view's pyramid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.sim import engine
from astra.sim.meshes import CEILING_GROUP, VISUAL_GROUP, ZONE_PREFIX, ZONES_FILE
from astra.sim.portals import Point, Way, Wedge, glimpses

AT_DOOR_M = 0.2  # a camera so near to a zone counts as inside: doorways lie between two
_AT_DOOR = np.array([AT_DOOR_M])
HIDDEN_GROUP = 5  # MuJoCo geom group of what this view leaves out
BEHIND_SILL_M = 1.5  # a rack is as deep as this at most
STEEP = 0.2  # a corner of the picture that hardly looks ahead: such a view has no wedge


@dataclass(frozen=True, slots=True, eq=False)
class _Zones:
    names: tuple[str, ...]
    boxes: FloatArray  # (Z, 6)
    sees: BoolArray  # (Z, Z)
    ways: dict[str, tuple[Way, ...]]  # {} if not known
    top_m: float


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """K parts of a view: `zones` (K,), `slopes` (K,) of their lowest lines of sight, and unit normals (3, 5 + 2 K) that point inwards:
    five of the pyramid, then K of the wedges' left and K of their right borders; zeros for no border.
    """

    zones: list[int]
    slopes: FloatArray
    normals: FloatArray

    def seen(self, reach: BoolArray, in_zone: BoolArray) -> BoolArray:
        """(N,) from what reaches the inner side of each border (N, 5 + 2 K) and lies in each zone (N, Z)."""
        k = len(self.zones)
        shown: BoolArray = reach[:, 5 : 5 + k] & reach[:, 5 + k :] & in_zone[:, self.zones]
        return np.asarray(reach[:, :5].all(axis=1) & shown.any(axis=1), dtype=np.bool_)


class Culling:
    """Decides for each drawn geom of a generated world whether a camera could see it, and hides the others by their group.

    Geoms of the building stand still and belong to a zone; those on mocap bodies (people, carts) count as spheres that move.

    Args:
        model: the compiled MjModel; its `geom_group` is changed by `hide` and restored by `show`.
        data: an MjData of it after forward kinematics.
        folder: the world's folder with zones.json.
    """

    def __init__(self, model: Any, data: Any, folder: Path) -> None:
        self._model, self._zones = model, _load_zones(folder / ZONES_FILE)
        self._number = {name: k for k, name in enumerate(self._zones.names)}
        drawn = np.nonzero(np.isin(model.geom_group, (VISUAL_GROUP, CEILING_GROUP)))[0]
        zone_of = np.array([self._number.get(_zone_name(model.geom(int(g)).name), -1) for g in drawn], dtype=np.int64)
        still = (zone_of >= 0) & (model.geom_bodyid[drawn] == 0)
        moves = ~still & (model.body_mocapid[model.geom_bodyid[drawn]] >= 0)
        self._still, self._moving = drawn[still], drawn[moves]
        self._in_zone = np.eye(len(self._zones.names), dtype=bool)[zone_of[still]]
        boxes = np.array([_world_box(model, data, int(g)) for g in self._still]).reshape(-1, 6)
        self._centres, self._halves = (boxes[:, :3] + boxes[:, 3:]) / 2, (boxes[:, 3:] - boxes[:, :3]) / 2
        self._radii = np.asarray(model.geom_rbound[self._moving], dtype=np.float64)
        self._group = model.geom_group.copy()

    def hide(self, data: Any, position: FloatArray, rotation: FloatArray, half_tangents: tuple[float, float]) -> None:
        """Leave for this view only what it could see.

        Args:
            position: of the camera (3,), world.
            rotation: (3, 3) world_from_camera; a MuJoCo camera looks along -z with +y up.
            half_tangents: tan of half the horizontal and half the vertical field of view.
        """
        groups, offsets = self._model.geom_group, self._centres - position
        parts = self._parts(position, rotation, half_tangents)
        reach: BoolArray = offsets @ parts.normals + self._halves @ np.abs(parts.normals) >= 0.0
        if (parts.slopes > 0.0).any():
            reach[:, 5 : 5 + len(parts.zones)] &= _boxes_above(offsets, self._halves, parts.slopes)
        groups[self._still] = np.where(parts.seen(reach, self._in_zone), self._group[self._still], HIDDEN_GROUP)
        if len(self._moving):
            at = data.geom_xpos[self._moving]
            inside = _inside(self._zones.boxes, at, self._radii)
            reach = (at - position) @ parts.normals >= -self._radii[:, None]
            seen = parts.seen(reach, inside) | (reach[:, :5].all(axis=1) & ~inside.any(axis=1))
            groups[self._moving] = np.where(seen, self._group[self._moving], HIDDEN_GROUP)

    def show(self) -> None:
        """Show everything again."""
        self._model.geom_group[:] = self._group

    def _parts(self, position: FloatArray, rotation: FloatArray, half_tangents: tuple[float, float]) -> _Parts:
        """What a view shows; without openings to look through, or from outside of all zones, each zone in sight is one part."""
        zones, wedge = self._zones, _wedge(rotation, half_tangents)
        inside = _inside(zones.boxes, position[None], _AT_DOOR)[0]
        sides = _inward_normals(rotation, half_tangents)
        if wedge is None or not zones.ways or not inside.any():
            whole = np.nonzero(zones.sees[inside].any(axis=0) if inside.any() else np.ones(len(inside), bool))[0].tolist()
            return _Parts(whole, np.zeros(len(whole)), np.concatenate([sides, np.zeros((3, 2 * len(whole)))], axis=1))
        x, y, z = position.tolist()
        found = glimpses((x, y), z, wedge, [zones.names[k] for k in np.nonzero(inside)[0]], zones.ways, zones.top_m)
        borders = np.array([(ly, -lx, 0.0) for _, ((lx, ly), _), _ in found] + [(-ry, rx, 0.0) for _, (_, (rx, ry)), _ in found])
        normals = np.concatenate([sides, _unit(borders.T)], axis=1)
        return _Parts([self._number[g.zone] for g in found], np.array([g.slope for g in found]), normals)


def _load_zones(path: Path) -> _Zones:
    """Read zones.json.

    Raises:
        BadInputError: it is damaged.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        names = {name: k for k, name in enumerate(document)}
        boxes = np.array([zone["box"] for zone in document.values()], dtype=np.float64).reshape(len(names), 6)
        sees = np.eye(len(names), dtype=bool)
        ways: dict[str, tuple[Way, ...]] = {}
        for name, zone in document.items():
            sees[names[name], [names[other] for other in zone["sees"]]] = True
            if "ways" in zone:
                ways[name] = tuple(Way(w["into"], tuple(w["left"]), tuple(w["right"]), float(w.get("sill_m", 0.0))).wider() for w in zone["ways"])
        return _Zones(tuple(names), boxes, sees, ways, float(boxes[:, 5].max(initial=0.0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
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
    """Unit normals (3, 5) of left, right, lower, upper side and back of the view's pyramid, pointing inwards, world axes."""
    x, y = half_tangents
    return np.asarray(rotation) @ _unit(np.array([(1.0, -1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, -1.0, 0.0), (-x, -x, -y, -y, -1.0)]))


def _wedge(rotation: FloatArray, half_tangents: tuple[float, float]) -> Wedge | None:
    """What the picture's corners span seen from above; None if one of them hardly looks ahead."""
    (rx, ux, bx), (ry, uy, by), _ = rotation.tolist()
    corners = [(u * half_tangents[1] * ux + r * half_tangents[0] * rx - bx, u * half_tangents[1] * uy + r * half_tangents[0] * ry - by)
               for r in (-1.0, 1.0) for u in (-1.0, 1.0)]  # fmt: skip
    if min(-bx * x - by * y for x, y in corners) < STEEP:
        return None

    def sideways(corner: Point) -> float:
        return float((-bx * corner[1] + by * corner[0]) / (-bx * corner[0] - by * corner[1]))

    return Wedge(max(corners, key=sideways), min(corners, key=sideways))


def _unit(columns: FloatArray) -> FloatArray:
    """Columns (3, N) of length one."""
    scaled: FloatArray = columns / np.maximum(np.sqrt((columns * columns).sum(axis=0)), 1e-12)
    return scaled


def _boxes_above(centres: FloatArray, halves: FloatArray, slopes: FloatArray) -> BoolArray:
    """(N, K) whether boxes, relative to the camera, reach above lines of sight that rise by `slopes` (K,); what stands close behind a sill does."""
    gaps = np.maximum(np.abs(centres[:, :2]) - halves[:, :2], 0.0)
    nearest = np.maximum(np.hypot(gaps[:, 0], gaps[:, 1]) - BEHIND_SILL_M, 0.0)
    rise = np.where(slopes > 0.0, np.multiply.outer(nearest, np.maximum(slopes, 0.0)), -np.inf)
    above: BoolArray = (centres[:, 2] + halves[:, 2])[:, None] >= rise
    return above


def _inside(boxes: FloatArray, points: FloatArray, margins: FloatArray) -> BoolArray:
    """(N, Z) whether points (N, 3) lie above boxes (Z, 6), or within a margin (N,) of them."""
    x, y, m = points[:, :1], points[:, 1:2], margins[:, None]
    x0, y0, _, x1, y1, _ = boxes.T
    inside: BoolArray = (x + m >= x0) & (x - m <= x1) & (y + m >= y0) & (y - m <= y1)
    return inside
