"""The way a person would drive through a world to film it: into every goal room and past every sign, with room to spare."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry import Pose2
from astra.sim.worlds.plan import Box, Plan, Point, SignPlace

COARSE_M = 0.1  # ways are planned on cells of this size
ROBOT_M = 0.27  # the narrowest half width that a tour takes
EASY_M = 0.55  # clearance beyond which a way costs no more
LETTERS = 9.0  # a sign is read from up to so many heights of its letters
CAMERA_M, HALF_VIEW_RAD = 0.9, math.radians(34.0)  # height of the cameras and half their vertical view
SIDE_RAD = math.radians(40.0)  # off a sign's normal


@dataclass(frozen=True, slots=True, eq=False)
class Tour:
    """Waypoints (K, 2) [m] and the pose at which the tour begins; `missed` names what it could not pass."""

    waypoints: FloatArray
    start: Pose2
    missed: tuple[str, ...]


class Floor:
    """The free floor as a graph of cells 10 cm wide; steps near obstacles cost more.

    Args:
        free: (Y, X) of 5 cm cells.
        outline: of the grid [m].
    """

    def __init__(self, free: BoolArray, outline: Box, resolution_m: float = 0.05) -> None:
        from scipy.ndimage import distance_transform_edt, label

        part = round(COARSE_M / resolution_m)
        rows, columns = free.shape[0] // part, free.shape[1] // part
        padded = np.pad(free, 1)
        clearance = distance_transform_edt(padded)[1:-1, 1:-1] * resolution_m - resolution_m / 2
        middle = clearance[part // 2 :: part, part // 2 :: part][:rows, :columns]
        self.origin = (outline[0], outline[1])
        self.clearance: FloatArray = np.asarray(middle, dtype=np.float64)
        self.passable: BoolArray = middle >= ROBOT_M
        parts, _ = label(self.passable, structure=np.ones((3, 3)))
        self.part: IntArray = parts
        self._graph = _grid_graph(self.passable, self.clearance)

    def cell(self, point: Point) -> tuple[int, int]:
        """(row, column) of a point, clipped to the grid."""
        column, row = (math.floor((v - o) / COARSE_M) for v, o in zip(point, self.origin))
        return min(max(row, 0), self.passable.shape[0] - 1), min(max(column, 0), self.passable.shape[1] - 1)

    def point(self, cell: int) -> Point:
        """The middle of a flat cell."""
        row, column = divmod(cell, self.passable.shape[1])
        return self.origin[0] + (column + 0.5) * COARSE_M, self.origin[1] + (row + 0.5) * COARSE_M

    def flat(self, cell: tuple[int, int]) -> int:
        """The flat index of (row, column)."""
        return cell[0] * self.passable.shape[1] + cell[1]

    def points(self) -> FloatArray:
        """The middles (Y, X, 2) of all cells."""
        y, x = np.meshgrid(*((np.arange(n) + 0.5) * COARSE_M + o for n, o in zip(self.passable.shape, self.origin[::-1])), indexing="ij")
        return np.stack([x, y], axis=-1)

    def ways(self, cells: list[int]) -> tuple[FloatArray, IntArray]:
        """Costs (K, K) between cells, and for each the predecessor of every cell of the floor (K, N)."""
        from scipy.sparse.csgraph import dijkstra

        cost, before = dijkstra(self._graph, directed=False, indices=cells, return_predecessors=True)
        return np.asarray(cost[:, cells]), before.astype(np.int64)


def plan_tour(plan: Plan, free: BoolArray, start: Point | None = None) -> Tour:
    """A tour that begins where one enters, visits the middle of every goal room and passes all signs legibly, in a short order.

    Args:
        plan: the building.
        free: (Y, X) of 5 cm cells over the plan's outline.
        start: where to begin; default: the entrance, exit, reception or corridor.
    """
    floor = Floor(free, plan.outline)
    home = _start_cell(plan, floor, start)
    here = floor.part[divmod(home, floor.passable.shape[1])]
    reached = floor.part == here
    stops, missed = [home], []
    for room in plan.rooms:
        if room.is_goal or room.category in ("hallway", "corridor", "main_aisle", "aisle"):
            cell = _middle(floor, reached, room.box)
            stops, missed = ([*stops, cell], missed) if cell is not None else (stops, [*missed, room.name])
    taken = [floor.point(stop) for stop in stops]
    for sign in plan.signs:
        cell = _reading_place(floor, reached, free, plan.outline, sign, taken)
        if cell is None:
            missed.append(sign.text)
        else:
            stops.append(cell)
            taken.append(floor.point(cell))
    stops = list(dict.fromkeys(stops))
    cost, before = floor.ways(stops)
    order = _short_order(cost)
    cells: list[int] = []
    for a, b in itertools.pairwise(order):
        cells += _way(before[a], stops[a], stops[b])
    path = _eased(np.array([floor.point(c) for c in cells] or [floor.point(home)]), floor)
    ahead = path[min(8, len(path) - 1)] - path[0]
    return Tour(path, Pose2(float(path[0, 0]), float(path[0, 1]), math.atan2(ahead[1], ahead[0])), tuple(missed))


def _start_cell(plan: Plan, floor: Floor, start: Point | None) -> int:
    if start is not None:
        return floor.flat(floor.cell(start))
    for category in ("entrance", "reception", "exit", "corridor", "main_aisle", "hallway", "living_room"):
        for room in plan.rooms:
            cell = _middle(floor, floor.passable, room.box) if room.category == category else None
            if cell is not None:
                return cell
    return int(np.argmax(floor.clearance))


def _middle(floor: Floor, reached: BoolArray, box: Box) -> int | None:
    """The cell of a box with the most room around it, near its middle where there is a choice."""
    low, high = floor.cell((box[0] + 0.05, box[1] + 0.05)), floor.cell((box[2] - 0.05, box[3] - 0.05))
    window = slice(low[0], high[0] + 1), slice(low[1], high[1] + 1)
    inside = reached[window]
    if not inside.any():
        return None
    rows, columns = np.indices(inside.shape)
    off = np.hypot(rows - inside.shape[0] / 2, columns - inside.shape[1] / 2) * COARSE_M
    score = np.where(inside, np.minimum(floor.clearance[window], 0.8) - 0.08 * off, -np.inf)
    row, column = divmod(int(np.argmax(score)), inside.shape[1])
    return floor.flat((low[0] + row, low[1] + column))


def _reading_place(floor: Floor, reached: BoolArray, free: BoolArray, outline: Box, sign: SignPlace, taken: list[Point]) -> int | None:
    """A cell from which a sign can be read, one already on the way if there is one."""
    nearest = max((abs(sign.z_m - CAMERA_M) + sign.letter_m) / math.tan(HALF_VIEW_RAD), 0.5)
    farthest = LETTERS * sign.letter_m
    offset = floor.points() - np.array(sign.at)
    ahead = offset @ np.array(sign.facing)
    distance = np.linalg.norm(offset, axis=-1)
    legible = reached & (ahead > nearest) & (distance < farthest) & (ahead > np.cos(SIDE_RAD) * distance)
    order = np.argsort(np.where(legible, np.abs(distance - 0.75 * farthest) - 0.5 * np.minimum(floor.clearance, 0.6), np.inf), axis=None, kind="stable")
    candidates = [int(c) for c in order[: int(legible.sum())]]
    for point in taken:
        cell = floor.flat(floor.cell(point))
        if cell in candidates and _clear(free, outline, point, sign):
            return cell
    return next((c for c in candidates[:200] if _clear(free, outline, floor.point(c), sign)), None)


def _clear(free: BoolArray, outline: Box, eye: Point, sign: SignPlace, resolution_m: float = 0.05) -> bool:
    """Whether nothing as high as the mast stands between an eye and a spot just before a sign."""
    target = np.array(sign.at) + 0.15 * np.array(sign.facing)
    points = np.linspace(eye, target, max(2, math.ceil(math.dist(eye, target) / (resolution_m / 2))))
    columns, rows = (np.floor((points - np.array(outline[:2])) / resolution_m).astype(int)).T
    inside = (rows >= 0) & (rows < free.shape[0]) & (columns >= 0) & (columns < free.shape[1])
    return bool(inside.all() and free[rows, columns].all())


def _short_order(cost: FloatArray) -> list[int]:
    """An order of all stops from the first: nearest neighbour, then 2-opt; those out of reach are left out."""
    left = [k for k in range(1, len(cost)) if np.isfinite(cost[0, k])]
    order = [0]
    while left:
        nearest = min(left, key=lambda k: cost[order[-1], k])
        left.remove(nearest)
        order.append(nearest)
    improved = True
    while improved:
        improved = False
        for i in range(1, len(order) - 1):
            for j in range(i + 1, len(order)):
                after = cost[order[j], order[j + 1]] if j + 1 < len(order) else 0.0
                new_after = cost[order[i], order[j + 1]] if j + 1 < len(order) else 0.0
                if cost[order[i - 1], order[j]] + new_after + 1e-9 < cost[order[i - 1], order[i]] + after:
                    order[i : j + 1] = order[i : j + 1][::-1]
                    improved = True
    return order


def _way(before: IntArray, start: int, end: int) -> list[int]:
    cells = [end]
    while cells[-1] != start:
        cells.append(int(before[cells[-1]]))
    return cells[::-1]


def _eased(path: FloatArray, floor: Floor, passes: int = 12) -> FloatArray:
    """Corners rounded where there is room."""
    eased = path.copy()
    for _ in range(passes):
        moved = eased.copy()
        moved[1:-1] = 0.5 * eased[1:-1] + 0.25 * (eased[:-2] + eased[2:])
        fits = np.array([floor.passable[floor.cell((float(x), float(y)))] for x, y in moved])
        eased = np.where(fits[:, None], moved, eased)
    return eased[np.r_[0 : len(eased) - 1 : 2, len(eased) - 1]]


def _grid_graph(passable: BoolArray, clearance: FloatArray) -> object:
    from scipy.sparse import coo_matrix

    number = np.arange(passable.size).reshape(passable.shape)
    effort = 1.0 + 4.0 * np.clip(1.0 - clearance / EASY_M, 0.0, 1.0)
    rows, columns, costs = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = (slice(0, passable.shape[0] - dy), slice(max(0, -dx), passable.shape[1] - max(0, dx)))
        b = (slice(dy, passable.shape[0]), slice(max(0, dx), passable.shape[1] - max(0, -dx)))
        both = passable[a] & passable[b]
        rows.append(number[a][both])
        columns.append(number[b][both])
        costs.append(COARSE_M * math.hypot(dy, dx) * 0.5 * (effort[a] + effort[b])[both])
    entries = (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns)))
    return coo_matrix(entries, shape=(passable.size, passable.size)).tocsr()
