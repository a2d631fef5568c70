"""The way a person would drive through a world to film it: into every goal room and past every sign, with room to spare."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry import Pose2
from astra.sim.textures import sign_width_m
from astra.sim.worlds.plan import Box, Plan, Point, SignPlace

COARSE_M = 0.1  # ways are planned on cells of this size
ROBOT_M = 0.27  # the narrowest half width that a tour takes
EASY_M = 0.55  # clearance beyond which a way costs no more
LETTERS = 9.0  # a sign is read from up to so many heights of its letters
CAMERA_M, HALF_VIEW_RAD = 0.9, math.radians(34.0)  # height of the cameras and half their vertical view
SIDE_RAD = math.radians(40.0)  # off a sign's normal
FINE_M, BEFORE_M = 0.05, 0.15  # cells of the sight; sight ends just before the board
APPROACH_M, VIEW_RAD = 0.3, math.radians(41.0)
ROUNDS, VIEWS = 4, 2  # of planning; waypoints from which each sign is read
AGAIN, NEW_FLOOR = 1.6, 0.5  # driving twice over the same floor costs more; a way back is worth it if so much of it is new


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
        self._from: dict[int, FloatArray] = {}  # the cost from a cell to every other

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
        return int(cell[0] * self.passable.shape[1] + cell[1])

    def points(self) -> FloatArray:
        """The middles (Y, X, 2) of all cells."""
        y, x = np.meshgrid(*((np.arange(n) + 0.5) * COARSE_M + o for n, o in zip(self.passable.shape, self.origin[::-1])), indexing="ij")
        return np.stack([x, y], axis=-1)

    def costs(self, cells: list[int]) -> FloatArray:
        """Costs (K, K) of the ways between cells, infinite where there is none."""
        from scipy.sparse.csgraph import dijkstra

        new = [c for c in dict.fromkeys(cells) if c not in self._from]
        if new:
            self._from.update(zip(new, np.asarray(dijkstra(self._graph, directed=False, indices=new), dtype=np.float64)))
        return np.stack([self._from[c][cells] for c in cells])

    def from_all(self, cells: list[int]) -> FloatArray:
        """Cost (N,) of the way from the nearest of some cells to every cell."""
        from scipy.sparse.csgraph import dijkstra

        return np.asarray(dijkstra(self._graph, directed=False, indices=list(dict.fromkeys(cells)), min_only=True), dtype=np.float64)

    def way(self, start: int, end: int, used: BoolArray, cost: float) -> list[int]:
        """The cheapest way between two cells if `used` (N,) ones cost more; `cost` is that of the way if none were."""
        from scipy.sparse.csgraph import dijkstra

        graph = self._graph.copy()
        graph.data *= 1.0 + (AGAIN - 1.0) * used[graph.indices]
        _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True, limit=AGAIN * cost + 1.0)
        cells = [end]
        while cells[-1] != start:
            cells.append(int(before[cells[-1]]))
        return cells[::-1]

    def beside(self, cells: list[int]) -> IntArray:
        """Cells and their neighbours up to 30 cm away, flat."""
        rows, columns = np.divmod(np.array(cells), self.passable.shape[1])
        steps = np.arange(-3, 4)
        r = np.clip(rows[:, None, None] + steps[:, None], 0, self.passable.shape[0] - 1)
        c = np.clip(columns[:, None, None] + steps[None, :], 0, self.passable.shape[1] - 1)
        return np.unique(r * self.passable.shape[1] + c)


def plan_tour(plan: Plan, free: BoolArray, sight: BoolArray, start: Point | None = None) -> Tour:
    """A tour that begins where one enters, visits every room and passes all signs legibly, in a short order.

    Args:
        plan: the building.
        free: (Y, X) of 5 cm cells over the plan's outline, on which one may drive.
        sight: (Y, X) likewise, over which one sees a sign.
        start: where to begin; default: the entrance, exit, reception or corridor.
    """
    floor = Floor(free, plan.outline)
    home = _start_cell(plan, floor, start)
    reached = floor.part == floor.part[divmod(home, floor.passable.shape[1])]
    legible = {k: mask for k, s in enumerate(plan.signs) if (mask := legible_from(floor, reached, sight, plan.outline, s)).any()}
    missed = [sign.text for k, sign in enumerate(plan.signs) if k not in legible]
    stops = [home]
    worth = np.minimum(sum((mask.astype(np.float64) for mask in legible.values()), np.zeros(reached.shape)), 2.0)
    for room in plan.rooms:
        cell = _middle(floor, reached, room.box, worth)
        if cell is not None:
            stops.append(cell)
        elif room.is_goal:
            missed.append(room.name)
    rooms = len(stops)
    for _ in range(ROUNDS):  # a stop more may lead the way past a sign elsewhere
        way = _round_trip(floor, stops)
        path = _eased(way, floor, stops[rooms:])
        extra = _unread(floor, reached, path, {plan.signs[k]: mask for k, mask in legible.items()})
        if not extra:
            break
        stops += extra
    ahead = path[min(8, len(path) - 1)] - path[0]
    return Tour(path, Pose2(float(path[0, 0]), float(path[0, 1]), math.atan2(ahead[1], ahead[0])), tuple(missed))


def legible_from(floor: Floor, reached: BoolArray, sight: BoolArray, outline: Box, sign: SignPlace) -> BoolArray:
    """The reached cells (Y, X) from which a camera at `CAMERA_M` can read a sign: near enough, not too oblique, nothing between."""
    from scipy.ndimage import binary_erosion

    nearest = max((abs(sign.z_m - CAMERA_M) + 0.95 * sign.letter_m) / math.tan(HALF_VIEW_RAD), 0.5)
    offset = floor.points() - np.array(sign.at)
    ahead = offset @ np.array(sign.facing)
    distance = np.linalg.norm(offset, axis=-1)
    mask: BoolArray = reached & (ahead > nearest) & (distance < LETTERS * sign.letter_m) & (ahead > math.cos(SIDE_RAD) * distance)
    rows, columns = np.nonzero(mask)
    eyes, target = floor.points()[rows, columns], np.array(sign.at) + BEFORE_M * np.array(sign.facing)
    steps = np.linspace(0.0, 1.0, math.ceil(LETTERS * sign.letter_m / (FINE_M / 2)))
    points = eyes[:, None] + steps[None, :, None] * (target - eyes)[:, None]
    x, y = (np.floor((points - np.array(outline[:2])) / FINE_M).astype(int)[..., k] for k in (0, 1))
    inside = (y >= 0) & (y < sight.shape[0]) & (x >= 0) & (x < sight.shape[1])
    mask[rows, columns] = (inside & sight[np.clip(y, 0, sight.shape[0] - 1), np.clip(x, 0, sight.shape[1] - 1)]).all(axis=1)
    inner: BoolArray = binary_erosion(mask)  # not from the very edge, where there is a choice
    return inner if inner.any() else mask


def _start_cell(plan: Plan, floor: Floor, start: Point | None) -> int:
    if start is not None:
        return floor.flat(floor.cell(start))
    for category in ("entrance", "reception", "exit", "corridor", "main_aisle", "hallway", "living_room"):
        for room in plan.rooms:
            cell = _middle(floor, floor.passable, room.box) if room.category == category else None
            if cell is not None:
                return cell
    return int(np.argmax(floor.clearance))


def _middle(floor: Floor, reached: BoolArray, box: Box, worth: FloatArray | None = None) -> int | None:
    """The cell of a box with the most room around it, near its middle and of great `worth` where there is a choice."""
    low, high = floor.cell((box[0] + 0.05, box[1] + 0.05)), floor.cell((box[2] - 0.05, box[3] - 0.05))
    window = slice(low[0], high[0] + 1), slice(low[1], high[1] + 1)
    inside = reached[window]
    if not inside.any():
        return None
    rows, columns = np.indices(inside.shape)
    off = np.hypot(rows - inside.shape[0] / 2, columns - inside.shape[1] / 2) * COARSE_M
    score = np.minimum(floor.clearance[window], 0.8) - 0.08 * off + (0.0 if worth is None else 0.3 * worth[window])
    row, column = divmod(int(np.argmax(np.where(inside, score, -np.inf))), inside.shape[1])
    return floor.flat((low[0] + row, low[1] + column))


def _unread(floor: Floor, reached: BoolArray, path: FloatArray, legible: dict[SignPlace, BoolArray]) -> list[int]:
    """Cells near a path, two for each sign that cannot be read on it: from one to the other one drives straight towards or away from the sign."""
    cells = [floor.flat(floor.cell((float(x), float(y)))) for x, y in path]
    detour = floor.from_all(cells) - 2.0 * np.minimum(floor.clearance.ravel(), 0.5)
    driven = np.zeros(reached.size, bool)
    extra: list[int] = []
    for sign, mask in legible.items():
        flat = mask.ravel()
        if int((flat[cells] & _in_one_view(path, sign)).sum()) >= VIEWS:
            continue
        offset = floor.points().reshape(-1, 2) - np.array(sign.at)
        aside = np.abs(offset @ np.array([-sign.facing[1], sign.facing[0]]))
        cell = int(np.argmin(np.where(flat & ~driven, detour + 2.0 * aside, np.inf)))
        steps = [floor.flat(floor.cell((x + s * sign.facing[0], y + s * sign.facing[1]))) for s in (APPROACH_M, -APPROACH_M) for x, y in [floor.point(cell)]]
        extra += [cell, *[step for step in steps if reached.ravel()[step]][:1]]
        driven[extra[-2:]] = True
    return extra


def _in_one_view(path: FloatArray, sign: SignPlace) -> BoolArray:
    """Waypoints (K,) at which one of four cameras (ahead, left, right, behind, 90° wide) has the whole of a sign in view."""
    ahead = np.gradient(path, axis=0)
    half = sign_width_m(sign.text, sign.letter_m) / 2
    whole = np.ones(len(path), bool)
    ends = [np.array(sign.at) + side * half * np.array([-sign.facing[1], sign.facing[0]]) for side in (-1.0, 1.0)]
    bearings = [np.arctan2(*(end - path).T[::-1]) - np.arctan2(*ahead.T[::-1]) for end in ends]
    camera = np.round((bearings[0] + _wrapped(bearings[1] - bearings[0]) / 2) / (math.pi / 2)) * (math.pi / 2)
    for bearing in bearings:
        whole &= np.abs(_wrapped(bearing - camera)) < VIEW_RAD
    return whole


def _wrapped(angle: FloatArray) -> FloatArray:
    return np.asarray((angle + math.pi) % (2 * math.pi) - math.pi, dtype=np.float64)


def _round_trip(floor: Floor, stops: list[int]) -> list[int]:
    """Cells of a way from the first stop past all that can be reached; back to the first if most of that leads over new floor."""
    stops = list(dict.fromkeys(stops))
    cost = floor.costs(stops)
    order = _short_order(cost)
    used = np.zeros(floor.passable.size, bool)
    way = [stops[0]]
    for a, b in itertools.pairwise(order):
        way += floor.way(stops[a], stops[b], used, cost[a, b])[1:]
        used[floor.beside(way)] = True
    back = floor.way(way[-1], stops[0], used, cost[order[-1], 0])
    fresh = ~used[back]
    return way + back[1:] if fresh.mean() > NEW_FLOOR else way


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


def _eased(way: list[int], floor: Floor, pinned: list[int], passes: int = 12) -> FloatArray:
    """A way's points, its corners rounded where there is room; pinned cells stay where they are."""
    eased = np.array([floor.point(c) for c in way])
    kept = np.isin(way, pinned)
    for _ in range(passes):
        moved = eased.copy()
        moved[1:-1] = 0.5 * eased[1:-1] + 0.25 * (eased[:-2] + eased[2:])
        fits = np.array([floor.passable[floor.cell((float(x), float(y)))] for x, y in moved])
        eased = np.where((fits & ~kept)[:, None], moved, eased)
    kept[::2] = True
    kept[-1] = True
    return eased[kept]


def _grid_graph(passable: BoolArray, clearance: FloatArray) -> Any:
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
