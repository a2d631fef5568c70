"""Puts furniture on a room's floor so that nothing overlaps, doors stay clear and a robot gets through. Metres, world frame.

Footprints are the axis-aligned boxes around turned pieces, so every check errs on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from astra.core.types import BoolArray, FloatArray, IntArray
from astra.sim.worlds.plan import WALL_M, Box, Model, Piece, Point, Room

GAP_M = 0.04  # between pieces, and between a piece and a wall
PASSAGE_M = 0.76  # width of the ways that stay free
APPROACH_M = 0.75  # depth of the floor kept free on both sides of an opening
MEETING_M = 0.35  # the same where two rooms meet without a wall
APPROACH_WIDTH_M = 0.9
SPOT_M = 1.0  # side of the square that stays free somewhere in each room, reachable from every door; less in narrow ones
LEAST_M2 = 0.35  # where the middle of a robot as wide as the passages can be
INWARDS_DEG = (0.0, 180.0, 90.0, -90.0)  # facing into the room from its west, east, south and north wall


@dataclass(frozen=True, slots=True)
class Doorway:
    """An opening in a wall: its two ends on the wall's centre line, and the rooms that it joins; or where two rooms meet without a wall."""

    a: Point
    b: Point
    rooms: tuple[str, str] = ("", "")
    walled: bool = True

    @property
    def width_m(self) -> float:
        """Clear width."""
        return math.dist(self.a, self.b)

    @property
    def centre(self) -> Point:
        """The middle of the threshold."""
        return (self.a[0] + self.b[0]) / 2, (self.a[1] + self.b[1]) / 2


@dataclass(frozen=True, slots=True)
class Keep:
    """Floor where nothing higher than `below_m` may stand; with `reach`, a robot must be able to come to its middle."""

    box: Box
    below_m: float = 0.0
    reach: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a group: centre and heading in the group's frame, +x into the room; `front_m` of floor before it stays free."""

    model: Model
    x: float
    y: float
    degrees: float = 0.0
    front_m: float = 0.0
    z_m: float = 0.0


Group = Sequence[Member]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a group's origin comes to lie and which way its +x faces."""

    x: float
    y: float
    degrees: float


class Floor:
    """The floor of one room while furniture is put on it."""

    def __init__(self, room: Room, doors: Sequence[Doorway], keeps: Sequence[Keep] = ()) -> None:
        self.room = room.name
        self.inner: Box = shrunk(room.box, WALL_M / 2)
        self.pieces: list[Piece] = []
        self._standing: list[Box] = []
        self._keeps = [*keeps, *(Keep(approach(door, self.inner)) for door in doors)]
        x0, y0, x1, y1 = self.inner
        self._robot_m = min(PASSAGE_M, min(x1 - x0, y1 - y0) - 0.04)
        self._spot_m = min(SPOT_M, max(self._robot_m, 0.6 * min(x1 - x0, y1 - y0)))
        self._least_m2 = min(LEAST_M2, 0.35 * (x1 - x0 - self._robot_m) * (y1 - y0 - self._robot_m))
        self._ports = [self._port(door.centre) for door in doors]
        self._ports += [self._port(((keep.box[0] + keep.box[2]) / 2, (keep.box[1] + keep.box[3]) / 2)) for keep in keeps if keep.reach]

    def _port(self, at: Point) -> Point:
        """The nearest place where a robot of the passage's width stands in the room."""
        x0, y0, x1, y1 = shrunk(self.inner, self._robot_m / 2 + 0.01)
        return min(max(at[0], x0), x1), min(max(at[1], y0), y1)

    @property
    def size(self) -> tuple[float, float]:
        """Clear extent along x and y [m]."""
        return self.inner[2] - self.inner[0], self.inner[3] - self.inner[1]

    def put_at_first(self, group: Group, poses: Iterable[Pose]) -> bool:
        """Put a group at the first pose where it fits and leaves the ways open; False if there is none."""
        return any(self.put(group, pose) for pose in poses)

    def put(self, group: Group, pose: Pose) -> bool:
        """Put a group at a pose if it fits and leaves the ways open."""
        placed = [_piece(member, pose, self.room) for member in group]
        boxes = [footprint(piece) for piece in placed]
        below = [box for box, piece in zip(boxes, placed) if piece.z_m == 0.0]
        on_floor = [box for box, piece in zip(boxes, placed) if piece.z_m == 0.0 or not any(_inside(box, other, -0.01) for other in below)]
        if not all(_inside(box, self.inner, GAP_M - 1e-6) for box in on_floor):
            return False
        if any(_overlap(box, grown(other, GAP_M - 1e-6)) for box in on_floor for other in self._standing):
            return False
        if any(_overlap(box, keep.box) and piece.model.size_m[2] > keep.below_m for box, piece in zip(boxes, placed) for keep in self._keeps):
            return False
        fronts = [_front(member, piece) for member, piece in zip(group, placed) if member.front_m > 0.0]
        if any(_overlap(front, box) for front in fronts for box in self._standing) or not all(_inside(front, self.inner, -1e-6) for front in fronts):
            return False
        if not self._ways_open([*self._standing, *on_floor]):
            return False
        self.pieces += placed
        self._standing += on_floor
        self._keeps += [Keep(front) for front in fronts]
        return True

    def _ways_open(self, standing: list[Box]) -> bool:
        """Are all doors joined by ways of the passage's width, with a free square of `SPOT_M` on them?"""
        xs, ys, parts = free_parts(self.inner, standing, self._robot_m / 2)
        numbers = {_part(xs, ys, parts, port) for port in self._ports}
        if 0 in numbers or len(numbers) > 1:
            return False
        wide_x, wide_y, wide = free_parts(self.inner, standing, self._spot_m / 2)
        rows, columns = np.nonzero(wide)
        if not numbers:
            return len(rows) > 0
        (number,) = numbers
        if _area_m2(xs, ys, parts == number) < self._least_m2:
            return False
        middles = zip((wide_x[columns] + wide_x[columns + 1]) / 2, (wide_y[rows] + wide_y[rows + 1]) / 2)
        return any(_part(xs, ys, parts, (float(x), float(y))) == number for x, y in middles)

    def at_wall(self, group: Group, where: str, rng: np.random.Generator, sides: Sequence[int] = (0, 1, 2, 3)) -> list[Pose]:
        """Poses with the group's origin on a wall, facing into the room, best first.

        Args:
            group: its +y runs along the wall.
            where: `corner` (at a wall's ends), `centre` (of a wall), `snug` (at an end or beside what stands there), `any`.
            rng: order among equals.
            sides: walls to use: 0 west, 1 east, 2 south, 3 north.
        """
        low, high = span(group)
        poses = []
        for side in rng.permutation(np.array(sides)):
            along = [low_along + GAP_M - low for low_along in self._starts(int(side), where)]
            along += [high_along - GAP_M - high for high_along in self._ends(int(side), where)]
            first, last = self._extent(int(side))
            first, last = first + GAP_M - low, last - GAP_M - high
            if last < first:
                continue
            if where == "centre":
                along = [(first + last) / 2 + float(d) * (last - first) for d in (0.0, -0.15, 0.15, -0.3, 0.3)]
            elif where == "any":
                along += [float(v) for v in rng.uniform(first, last, 6)]
            poses += [self._wall_pose(int(side), v) for v in along if first - 1e-9 <= v <= last + 1e-9]
        if where in ("any", "corner", "snug"):
            poses = [poses[int(i)] for i in rng.permutation(len(poses))]
        return poses

    def _extent(self, side: int) -> tuple[float, float]:
        """A wall's ends in the coordinate along it, in the direction of the +y of a group that stands there."""
        x0, y0, x1, y1 = self.inner
        return ((y0, y1), (-y1, -y0), (-x1, -x0), (x0, x1))[side]

    def _starts(self, side: int, where: str) -> list[float]:
        """Where along a wall a group may begin: at its end, or past what stands there."""
        return [self._extent(side)[0], *(span_[1] for span_ in self._taken(side) if where == "snug")]

    def _ends(self, side: int, where: str) -> list[float]:
        return [self._extent(side)[1], *(span_[0] for span_ in self._taken(side) if where == "snug")]

    def _taken(self, side: int) -> list[tuple[float, float]]:
        """What stands along a wall, as spans in the coordinate along it."""
        x0, y0, x1, y1 = self.inner
        found = []
        for a, b, c, d in self._standing:
            near = (a - x0, x1 - c, b - y0, y1 - d)[side] < 0.15
            if near:
                found.append(((b, d), (-d, -b), (-c, -a), (a, c))[side])
        return found

    def _wall_pose(self, side: int, along: float) -> Pose:
        x0, y0, x1, y1 = self.inner
        x, y = ((x0 + GAP_M, along), (x1 - GAP_M, -along), (-along, y0 + GAP_M), (along, y1 - GAP_M))[side]
        return Pose(x, y, INWARDS_DEG[side])

    def opposite(self, group: Group, rng: np.random.Generator) -> list[Pose]:
        """Poses at the wall that the first piece faces, straight before it first, then at any other wall."""
        if not self.pieces:
            return self.at_wall(group, "any", rng)
        first = self.pieces[0]
        quarter = round(first.degrees / 90.0) % 4  # 0 east, 1 north, 2 west, 3 south
        side = (1, 3, 0, 2)[quarter]
        along = (first.y, -first.y, -first.x, first.x)[side]
        low, high = span(group)
        begin, end = self._extent(side)
        begin, end = begin + GAP_M - low, end - GAP_M - high
        straight = [self._wall_pose(side, min(max(along + d, begin), end)) for d in (0.0, -0.3, 0.3, -0.7, 0.7) if end >= begin]
        return [*straight, *self.at_wall(group, "any", rng, (side,)), *self.at_wall(group, "any", rng)]

    def in_middle(self, rng: np.random.Generator, degrees: Sequence[float] = (0.0, 90.0)) -> list[Pose]:
        """Poses about the middle of the room, the most central first."""
        x0, y0, x1, y1 = self.inner
        shares = (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
        shifts = sorted(((float(a), float(b)) for a in shares for b in shares), key=lambda s: math.hypot(*s))
        turns = [float(d) for d in rng.permutation(np.array(degrees))]
        return [Pose((x0 + x1) / 2 + a * (x1 - x0), (y0 + y1) / 2 + b * (y1 - y0), turn) for a, b in shifts for turn in turns]


def shrunk(box: Box, by: float) -> Box:
    """A box less a margin on all sides."""
    return grown(box, -by)


def grown(box: Box, by: float) -> Box:
    """A box with a margin on all sides."""
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def footprint(piece: Piece) -> Box:
    """The axis-aligned box around a piece's base."""
    depth, width, _ = piece.model.size_m
    c, s = abs(math.cos(math.radians(piece.degrees))), abs(math.sin(math.radians(piece.degrees)))
    a, b = (depth * c + width * s) / 2, (depth * s + width * c) / 2
    return piece.x - a, piece.y - b, piece.x + a, piece.y + b


def span(group: Group) -> tuple[float, float]:
    """Least and greatest y of a group in its own frame."""
    boxes = [footprint(Piece(m.model, m.x, m.y, m.degrees, "")) for m in group]
    return min(b[1] for b in boxes), max(b[3] for b in boxes)


def approach(door: Doorway, inner: Box) -> Box:
    """The floor before an opening, on the side of the room that `inner` bounds."""
    x, y = door.centre
    half, deep = max(door.width_m, APPROACH_WIDTH_M) / 2, APPROACH_M if door.walled else MEETING_M
    if abs(door.a[0] - door.b[0]) < 1e-9:
        near = inner[0] if abs(x - inner[0]) < abs(x - inner[2]) else inner[2]
        far = near + math.copysign(deep, (inner[0] + inner[2]) / 2 - near)
        return min(near, far), y - half, max(near, far), y + half
    near = inner[1] if abs(y - inner[1]) < abs(y - inner[3]) else inner[3]
    far = near + math.copysign(deep, (inner[1] + inner[3]) / 2 - near)
    return x - half, min(near, far), x + half, max(near, far)


def free_parts(inner: Box, standing: Sequence[Box], reach_m: float) -> tuple[FloatArray, FloatArray, IntArray]:
    """The places where the centre of a square of half side `reach_m` may be, cut along the edges of everything that stands there.

    Returns:
        x edges (nx + 1,), y edges (ny + 1,), and the number (ny, nx) of the connected part that each cell belongs to, 0 where blocked.
    """
    x0, y0, x1, y1 = shrunk(inner, reach_m)
    if x1 <= x0 or y1 <= y0:
        return np.zeros(1), np.zeros(1), np.zeros((0, 0), np.int64)
    boxes = np.array([grown(box, reach_m) for box in standing], dtype=float).reshape(-1, 4)
    xs = np.unique(np.concatenate([[x0, x1], np.clip(boxes[:, [0, 2]].ravel(), x0, x1)]))
    ys = np.unique(np.concatenate([[y0, y1], np.clip(boxes[:, [1, 3]].ravel(), y0, y1)]))
    free = np.ones((len(ys) - 1, len(xs) - 1), bool)
    columns = np.searchsorted(xs, np.clip(boxes[:, [0, 2]], x0, x1))
    rows = np.searchsorted(ys, np.clip(boxes[:, [1, 3]], y0, y1))
    for (c0, c1), (r0, r1) in zip(columns, rows):
        free[r0:r1, c0:c1] = False
    parts, _ = ndimage.label(free)
    return xs, ys, parts.astype(np.int64)


def _area_m2(xs: FloatArray, ys: FloatArray, cells: BoolArray) -> float:
    """Area of some cells (ny, nx) of a grid with these edges."""
    return float(np.diff(ys) @ cells @ np.diff(xs))


def _part(xs: FloatArray, ys: FloatArray, parts: IntArray, at: Point) -> int:
    """The number of the part that a point lies in, 0 if blocked."""
    if parts.size == 0 or not (xs[0] <= at[0] <= xs[-1] and ys[0] <= at[1] <= ys[-1]):
        return 0
    column = min(int(np.searchsorted(xs, at[0], side="right")) - 1, parts.shape[1] - 1)
    row = min(int(np.searchsorted(ys, at[1], side="right")) - 1, parts.shape[0] - 1)
    return int(parts[row, column])


def _piece(member: Member, pose: Pose, room: str) -> Piece:
    c, s = math.cos(math.radians(pose.degrees)), math.sin(math.radians(pose.degrees))
    x, y = pose.x + c * member.x - s * member.y, pose.y + s * member.x + c * member.y
    degrees = (pose.degrees + member.degrees + 180.0) % 360.0 - 180.0
    return Piece(member.model, x, y, degrees, room, member.z_m)


def _front(member: Member, piece: Piece) -> Box:
    """The floor before a piece, as wide as the piece."""
    depth, width, height = piece.model.size_m
    c, s = math.cos(math.radians(piece.degrees)), math.sin(math.radians(piece.degrees))
    ahead = (depth + member.front_m) / 2
    zone = replace(piece.model, size_m=(member.front_m, width, height))
    return footprint(replace(piece, model=zone, x=piece.x + c * ahead, y=piece.y + s * ahead))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(a: Box, b: Box, margin: float) -> bool:
    return a[0] >= b[0] + margin and a[1] >= b[1] + margin and a[2] <= b[2] - margin and a[3] <= b[3] - margin
