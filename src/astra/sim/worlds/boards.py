"""Finds places for signs: on a wall's surface, beside doors, never over an opening, with floor to read them from. Metres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from astra.sim.textures import sign_width_m
from astra.sim.worlds.layout import along, on_line
from astra.sim.worlds.placing import SPOT_M, Doorway, Keep, shrunk
from astra.sim.worlds.plan import EAST, NORTH, SOUTH, WALL_M, WEST, Box, Point, Room, SignPlace, Wall

LETTERS_M = (0.15, 0.13)  # beside doors; the smaller where the wall is short
INNER_LETTERS_M = (0.17, 0.15)
DOOR_Z_M, INNER_Z_M = 1.25, 1.4  # lower where one passes close by: cameras at 0.9 m see 35° upwards
BESIDE_M = 0.08  # of wall between a door and its sign
APART_M = 0.12  # between two signs
LOW_M = 0.8  # furniture below this does not hide a sign
READING_M = (1.1, 1.3, 1.45)  # from where signs in rooms are read
FACING = (EAST, WEST, NORTH, SOUTH)  # of boards on a room's west, east, south and north wall


@cache
def board_m(text: str, letter_m: float) -> float:
    """Width of a sign's board."""
    return sign_width_m(text, letter_m)


@dataclass(frozen=True, slots=True)
class Board:
    """A sign and the floor before it that stays clear."""

    sign: SignPlace
    keeps: tuple[Keep, ...]


class Boards:
    """The signs of a floor while they are hung."""

    def __init__(self, rooms: Sequence[Room], walls: Sequence[Wall], doors: Sequence[Doorway], unwalled: Sequence[Doorway]) -> None:
        self._walls, self._doors = walls, doors
        boxes = {room.name: room.box for room in rooms}
        self._floor = {name: [box, *(boxes[other] for way in unwalled if name in way.rooms for other in way.rooms)] for name, box in boxes.items()}
        self.hung: list[Board] = []

    def beside(self, door: Doorway, hub: Room, text: str, names: str, z_m: float = DOOR_Z_M) -> bool:
        """Hang a sign in `hub` beside a door, on whichever side there is wall; False if there is none."""
        for letter_m in LETTERS_M:
            half = board_m(text, letter_m) / 2
            for side, axis, at in _sides(hub.box):
                if not on_line(door, axis, at):
                    continue
                start, end = along(door, axis)
                for middle in (end + BESIDE_M + half, start - BESIDE_M - half):
                    if self._free(hub, side, middle, half):
                        self._hang(hub, side, middle, half, SignPlace(text, _on_face(hub.box, side, middle), FACING[side], letter_m, z_m, names))
                        return True
        return False

    def inside(self, room: Room, text: str, rng: np.random.Generator, z_m: float = INNER_Z_M) -> bool:
        """Hang a sign in a room, where one reads it soon after coming in, and keep the floor to read it from; False if the room is too small."""
        ports = [door.centre for door in self._doors if room.name in door.rooms]
        best: tuple[float, int, float, float, float] | None = None
        for letter_m in INNER_LETTERS_M:
            half = board_m(text, letter_m) / 2
            for side, axis, at in _sides(room.box):
                own = any(on_line(door, axis, at) for door in self._doors if room.name in door.rooms)
                low, high = (room.box[0], room.box[2]) if axis == 0 else (room.box[1], room.box[3])
                for middle in np.linspace(low + 0.15 + half, high - 0.15 - half, 7) if high - low > 2 * half + 0.3 else ():
                    if not self._free(room, side, float(middle), half):
                        continue
                    for distance in READING_M:
                        spot = _spot(room.box, side, float(middle), distance)
                        if spot is None:
                            continue
                        x, y = (spot[0] + spot[2]) / 2, (spot[1] + spot[3]) / 2
                        cost = min((math.dist((x, y), port) for port in ports), default=0.0) + 1.0 * own + float(rng.uniform(0.0, 0.8))
                        if best is None or cost < best[0]:
                            best = cost, side, float(middle), distance, letter_m
            if best is not None:
                break
        if best is None:
            return False
        _, side, middle, distance, letter_m = best
        half = board_m(text, letter_m) / 2
        spot = _spot(room.box, side, middle, distance)
        assert spot is not None
        sign = SignPlace(text, _on_face(room.box, side, middle), FACING[side], letter_m, z_m, room.name)
        self._hang(room, side, middle, half, sign, Keep(spot, reach=True))
        return True

    def at_end(self, corridor: Room, side: int, text: str, names: str) -> bool:
        """Hang a sign on the wall at a corridor's end; False if an opening is there."""
        _, axis, _ = _sides(corridor.box)[side]
        middle = (corridor.box[0] + corridor.box[2]) / 2 if axis == 0 else (corridor.box[1] + corridor.box[3]) / 2
        for letter_m in LETTERS_M:
            half = board_m(text, letter_m) / 2
            if self._free(corridor, side, middle, half):
                self._hang(corridor, side, middle, half, SignPlace(text, _on_face(corridor.box, side, middle), FACING[side], letter_m, DOOR_Z_M, names))
                return True
        return False

    def keeps_in(self, room: Room) -> list[Keep]:
        """The floor that stays clear in a room for signs to be read."""
        x0, y0, x1, y1 = shrunk(room.box, WALL_M / 2 + 1e-3)
        return [keep for board in self.hung for keep in board.keeps if keep.box[0] < x1 and keep.box[2] > x0 and keep.box[1] < y1 and keep.box[3] > y0]

    def _hang(self, room: Room, side: int, middle: float, half: float, sign: SignPlace, spot: Keep | None = None) -> None:
        strip = Keep(_before(room.box, side, middle, half + 0.06, 0.75), LOW_M if spot else 0.0)
        self.hung.append(Board(sign, (strip, spot) if spot else (strip,)))

    def _free(self, room: Room, side: int, middle: float, half: float) -> bool:
        """Is this stretch of a room's wall whole, and no sign on it?"""
        _, axis, at = _sides(room.box)[side]
        ends = [_on_face(room.box, side, middle + way * (half + 0.03 + WALL_M / 2)) for way in (-1.0, 1.0)]
        if not all(any(_within(end, box) for box in self._floor[room.name]) for end in ends):
            return False
        if not any(_covers(wall, axis, at, middle - half, middle + half) for wall in self._walls):
            return False
        if any(on_line(d, axis, at) and along(d, axis)[0] < middle + half + 0.04 and along(d, axis)[1] > middle - half - 0.04 for d in self._doors):
            return False
        face = _on_face(room.box, side, middle)
        return not any(
            board.sign.facing == FACING[side]
            and abs(board.sign.at[1 - axis] - face[1 - axis]) < 1e-6
            and abs(board.sign.at[axis] - middle) < half + board_m(board.sign.text, board.sign.letter_m) / 2 + APART_M
            for board in self.hung
        )


def _sides(box: Box) -> tuple[tuple[int, int, float], ...]:
    """West, east, south, north: number, axis along the wall (0 x, 1 y), and where the wall lies on the other axis."""
    return (0, 1, box[0]), (1, 1, box[2]), (2, 0, box[1]), (3, 0, box[3])


def _on_face(box: Box, side: int, middle: float) -> Point:
    """The point on a room's wall surface at a coordinate along it."""
    x0, y0, x1, y1 = shrunk(box, WALL_M / 2)
    return ((x0, middle), (x1, middle), (middle, y0), (middle, y1))[side]


def _before(box: Box, side: int, middle: float, half: float, deep: float) -> Box:
    """The floor before a stretch of a room's wall."""
    x0, y0, x1, y1 = shrunk(box, WALL_M / 2)
    low, high = middle - half, middle + half
    return ((x0, low, x0 + deep, high), (x1 - deep, low, x1, high), (low, y0, high, y0 + deep), (low, y1 - deep, high, y1))[side]


def _spot(box: Box, side: int, middle: float, distance: float) -> Box | None:
    """A square to stand on at a distance before a place on a wall, shifted along it to lie in the room; None if the room is too small."""
    half = SPOT_M / 2
    inner = shrunk(box, WALL_M / 2)
    low, high = (inner[1], inner[3]) if side < 2 else (inner[0], inner[2])
    if high - low < SPOT_M:
        return None
    shifted = min(max(middle, low + half), high - half)
    x, y = _on_face(box, side, shifted)
    x, y = x + FACING[side][0] * distance, y + FACING[side][1] * distance
    spot = x - half, y - half, x + half, y + half
    inside = spot[0] >= inner[0] - 1e-9 and spot[1] >= inner[1] - 1e-9 and spot[2] <= inner[2] + 1e-9 and spot[3] <= inner[3] + 1e-9
    return spot if inside and abs(shifted - middle) < 0.5 else None


def _within(at: Point, box: Box) -> bool:
    return box[0] <= at[0] <= box[2] and box[1] <= at[1] <= box[3]


def _covers(wall: Wall, axis: int, at: float, low: float, high: float) -> bool:
    return (
        abs(wall.a[1 - axis] - at) < 1e-6
        and abs(wall.b[1 - axis] - at) < 1e-6
        and min(wall.a[axis], wall.b[axis]) <= low
        and max(wall.a[axis], wall.b[axis]) >= high
    )
