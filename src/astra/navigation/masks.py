"""Speed limits and keep-out zones as Nav2's costmap filters have them: a mask of the map, and what its values mean.

A value v of 0 … 100 stands for `base + multiplier · v`; −1 (unknown) and what lies beyond the mask says nothing. Keep-out masks forbid cells
from `LETHAL` on; of speed masks, 0 is "no limit".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.geometry.distance import distance_to_occupied
from astra.geometry.se2 import Pose2
from astra.navigation.grid import LocalGrid, border_points
from astra.navigation.protocols import LocalPath, LocalScene, Planner, Subgoal
from astra.topomap.types import TopoMap

LETHAL = 100.0


class MaskKind(IntEnum):
    """`type` of nav2_msgs/CostmapFilterInfo."""

    KEEP_OUT = 0
    SPEED_PERCENT = 1
    SPEED_ABSOLUTE = 2


@dataclass(frozen=True, slots=True, eq=False)
class FilterMask:
    """One mask: `values` (H, W) −1 … 100, rows are y; `map_from_corner` is the pose of cell (0, 0)'s corner.

    Raises:
        BadInputError: values out of range, not finite, or no cells.
    """

    kind: MaskKind
    values: FloatArray
    resolution_m: float
    map_from_corner: Pose2
    base: float = 0.0
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim != 2 or values.size == 0 or not np.all((values >= -1) & (values <= 100)):
            raise BadInputError("a filter mask needs rows of values between -1 and 100")
        if not (self.resolution_m > 0.0 and math.isfinite(self.base) and math.isfinite(self.multiplier)):
            raise BadInputError(f"a filter mask's resolution {self.resolution_m}, base {self.base} or multiplier {self.multiplier} makes no sense")

    def at(self, points_map: FloatArray) -> FloatArray:
        """Meaning (...) of positions (..., 2) in the map; NaN where the mask says nothing."""
        cells = np.floor(self.map_from_corner.inverse().apply(points_map.reshape(-1, 2)) / self.resolution_m).astype(np.int64)
        height, width = self.values.shape
        inside = np.all((cells >= 0) & (cells < (width, height)), axis=1)
        column, row = np.where(inside[:, None], cells, 0).T
        raw = np.asarray(self.values)[row, column].astype(np.float64)
        meaning = np.where(inside & (raw >= 0.0), self.base + self.multiplier * raw, np.nan)
        if self.kind is not MaskKind.KEEP_OUT:
            meaning[raw == 0.0] = np.nan
        return meaning.reshape(points_map.shape[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The masks in force and where the map lies: what holds for every planner."""

    masks: tuple[FilterMask, ...]
    map_from_odom: Pose2

    def speed_limits(self, points_odom: FloatArray, full_speed_mps: float) -> FloatArray:
        """The lowest limit (...) [m/s] at positions (..., 2); +inf where there is none. A limit beyond what can be meant is none, as in Nav2."""
        points = self.map_from_odom.apply(points_odom.reshape(-1, 2))
        limit = np.full(len(points), np.inf)
        for mask in self.masks:
            if mask.kind is MaskKind.KEEP_OUT:
                continue
            value = mask.at(points)
            percent = mask.kind is MaskKind.SPEED_PERCENT
            meant = (value > 0.0) & (value <= 100.0) if percent else value > 0.0
            limit = np.where(meant, np.minimum(limit, np.where(meant, value, np.inf) * (full_speed_mps / 100.0 if percent else 1.0)), limit)
        return limit.reshape(points_odom.shape[:-1])

    def forbidden(self, grid: LocalGrid) -> BoolArray:
        """Cells (H, W) of the grid whose centre lies in a keep-out zone."""
        height, width = grid.occupied.shape
        out = np.zeros((height, width), dtype=bool)
        masks = [mask for mask in self.masks if mask.kind is MaskKind.KEEP_OUT]
        if masks:
            rows, columns = np.indices((height, width))
            centres = np.stack([columns + 0.5, rows + 0.5], axis=-1) * grid.resolution_m + np.array([grid.origin_x, grid.origin_y])
            points = self.map_from_odom.apply(centres.reshape(-1, 2))
            for mask in masks:
                out |= (mask.at(points) >= LETHAL).reshape(height, width)
        return out

    def applied(self, grid: LocalGrid) -> LocalGrid:
        """The grid with keep-out zones as obstacles, so that whoever plans on it keeps out."""
        zone = self.forbidden(grid)
        if not zone.any():
            return grid
        border = border_points(zone) * grid.resolution_m + np.array([grid.origin_x, grid.origin_y])
        half_diagonal = np.float32(grid.resolution_m * math.sqrt(0.5))
        near = np.maximum(distance_to_occupied(zone, grid.resolution_m) - half_diagonal, np.float32(0.0))
        return replace(grid, occupied=grid.occupied | zone, distance=np.minimum(grid.distance, near), points=np.concatenate([grid.points, border]))


def forbidden(x: float, y: float, masks: Sequence[FilterMask]) -> bool:
    """Whether a position [m], in the masks' frame, lies in a keep-out zone."""
    point = np.array([[x, y]])
    return any(mask.kind is MaskKind.KEEP_OUT and bool(mask.at(point)[0] >= LETHAL) for mask in masks)


def closed_edges(topomap: TopoMap, masks: Sequence[FilterMask], room_m: float) -> frozenset[tuple[int, int]]:
    """The edges (pairs of node ids) that keep-out zones close: somewhere along them, no lane of `room_m` is left between zones and sides.

    Args:
        topomap: in the masks' frame.
        masks: those of other kinds are left out.
        room_m: the robot's width and what it keeps to either side; an edge of unknown or smaller width is taken to be as wide as that.
    """
    zones = [mask for mask in masks if mask.kind is MaskKind.KEEP_OUT]
    step_m = 0.5 * min((mask.resolution_m for mask in zones), default=1.0)
    closed: set[tuple[int, int]] = set()
    for edge in topomap.edges if zones else ():
        a, b = (topomap.nodes[node].map_from_base.translation[:2] for node in (edge.a, edge.b))
        along = b - a
        length_m = float(np.linalg.norm(along))
        left = np.array([-along[1], along[0]]) / max(length_m, 1e-9)
        half_m = 0.5 * max(room_m, edge.width_m if math.isfinite(edge.width_m) else 0.0)
        ways, sides = (np.linspace(low, high, math.ceil(size / step_m) + 1) for low, high, size in ((0.0, 1.0, length_m), (-half_m, half_m, 2.0 * half_m)))
        points = a + ways[:, None, None] * along + sides[:, None] * left
        shut = np.any([mask.at(points) >= LETHAL for mask in zones], axis=0)
        lane = min(math.ceil(room_m / step_m) + 1, len(sides))
        lanes: BoolArray = np.lib.stride_tricks.sliding_window_view(shut, lane, axis=1)  # (along, aside, lane)
        if bool(np.any(np.all(np.any(lanes, axis=2), axis=1))):
            closed.add((edge.a, edge.b))
    return frozenset(closed)


def load_mask(kind: MaskKind, path: Path, base: float = 0.0, multiplier: float = 1.0) -> FilterMask:
    """A mask as Nav2's map_server keeps it: a YAML file that names an image, with `mode: scale` for speed limits.

    Raises:
        BadInputError: it cannot be read, or its values make no sense.
    """
    import cv2
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        x, y, yaw = (float(value) for value in told["origin"])
        resolution, name = float(told["resolution"]), str(told["image"])
        negate, free, taken = bool(int(told.get("negate", 0))), float(told.get("free_thresh", 0.25)), float(told.get("occupied_thresh", 0.65))
        mode = str(told.get("mode", "trinary"))
    except (OSError, UnicodeError, yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadInputError(f"cannot read the mask {path}: {error!s:.200}") from error
    if not np.isfinite([x, y, yaw, resolution, free, taken]).all():
        raise BadInputError(f"the mask {path} holds a number that is not finite")
    image = cv2.imread(str(path.parent / name), cv2.IMREAD_GRAYSCALE) if (path.parent / name).is_file() else None
    if image is None:
        raise BadInputError(f"cannot read the mask's image {path.parent / name}")
    if mode not in ("trinary", "scale") or not free < taken:
        raise BadInputError(f"{path}: mode {mode!r} must be trinary or scale, free_thresh {free} below occupied_thresh {taken}")
    share = np.asarray(image, np.float64)[::-1] / 255.0
    share = share if negate else 1.0 - share
    between = np.full(share.shape, -1.0) if mode == "trinary" else 100.0 * (share - free) / (taken - free)
    values = np.where(share >= taken, 100.0, np.where(share <= free, 0.0, np.round(between)))
    return FilterMask(kind, values, resolution, Pose2(x, y, yaw), base, multiplier)


class Ruled:
    """A planner whose grid holds the keep-out zones and whose paths keep the speed limits (`navigation.protocols.Planner`).

    Args:
        planner: that knows of no masks.
        rules: those in force now.
        full_speed_mps: what a limit in percent is of.
    """

    def __init__(self, planner: Planner, rules: Callable[[], Rules | None], full_speed_mps: float) -> None:
        self._planner, self._rules, self._full_speed_mps = planner, rules, full_speed_mps

    def reset(self) -> None:
        """Forget the last path."""
        self._planner.reset()

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        """The planner's path, no faster than the masks allow.

        Raises:
            LocalPlanError: there is none.
        """
        rules = self._rules()
        if rules is None:
            return self._planner.plan(scene, subgoal)
        path = self._planner.plan(replace(scene, grid=rules.applied(scene.grid)), subgoal)
        return replace(path, speeds_mps=np.minimum(path.speeds_mps, rules.speed_limits(path.poses[:, :2], self._full_speed_mps)))
