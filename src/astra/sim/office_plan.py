"""The floor plan of the simulated office: walls with openings, rooms, signs, furniture, instructions and the tour. Metres, z up.

A corridor runs along the x axis; rooms lie north and south of it. 201–202 and copy room–storage are also joined by inner doors,
so that routes have alternatives.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

NORTH, SOUTH, EAST, WEST = (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)
HALF_X, HALF_Y, CORRIDOR = 8.0, 5.0, 0.9
WALL_M, HEIGHT_M, DOOR_HEIGHT_M = 0.12, 2.5, 2.1
CORRIDOR_LETTER_M, ROOM_LETTER_M = 0.15, 0.18
CORRIDOR_SIGN_Z_M, ROOM_SIGN_Z_M = 1.25, 1.5  # lower in the narrow corridor: cameras pass at 0.8 m and see 35° upwards


@dataclass(frozen=True, slots=True)
class Wall:
    """A straight wall from `a` to `b`; `openings` are (from, to) along it [m]."""

    a: tuple[float, float]
    b: tuple[float, float]
    openings: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """A named area: its rectangle x0, y0, x1, y1, what it is for, and the floor it has."""

    name: str
    label: str
    function: str
    box: tuple[float, float, float, float]
    floor: str
    instructions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignPlace:
    """A sign board: centre on the wall's surface, the direction it faces, the height of its letters and of its centre."""

    text: str
    at: tuple[float, float]
    facing: tuple[float, float]
    letter_m: float
    z_m: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of furniture; its front faces `degrees`."""

    kind: str
    x: float
    y: float
    degrees: float


def _wall_along_x(y: float, x0: float, x1: float, *doors: tuple[float, float]) -> Wall:
    return Wall((x0, y), (x1, y), tuple((a - x0, b - x0) for a, b in doors))


def _wall_along_y(x: float, y0: float, y1: float, *doors: tuple[float, float]) -> Wall:
    return Wall((x, y0), (x, y1), tuple((a - y0, b - y0) for a, b in doors))


WALLS = (
    _wall_along_x(-HALF_Y, -HALF_X, HALF_X),
    _wall_along_x(HALF_Y, -HALF_X, HALF_X),
    _wall_along_y(-HALF_X, -HALF_Y, HALF_Y),
    _wall_along_y(HALF_X, -HALF_Y, HALF_Y),
    _wall_along_x(CORRIDOR, -HALF_X, HALF_X, (-7.2, -4.4), (-2.25, -1.15), (1.55, 2.65), (5.0, 6.2)),
    _wall_along_x(-CORRIDOR, -HALF_X, HALF_X, (-4.75, -3.65), (-1.25, -0.15), (2.35, 3.45), (5.0, 7.4)),
    _wall_along_y(-3.6, CORRIDOR, HALF_Y),
    _wall_along_y(0.2, CORRIDOR, HALF_Y, (2.75, 3.85)),
    _wall_along_y(4.0, CORRIDOR, HALF_Y),
    _wall_along_y(-2.6, -HALF_Y, -CORRIDOR),
    _wall_along_y(1.2, -HALF_Y, -CORRIDOR, (-3.75, -2.65)),
    _wall_along_y(4.6, -HALF_Y, -CORRIDOR),
)

ROOMS = (
    Room("lounge", "LOUNGE", "resting on sofas", (-8.0, 0.9, -3.6, 5.0), "carpet",
         ("find the resting area", "somewhere to sit down and relax", "take me to the sofas")),
    Room("room_201", "ROOM 201", "office work", (-3.6, 0.9, 0.2, 5.0), "planks", ("go to room 201", "I have an appointment in office 201")),
    Room("room_202", "ROOM 202", "office work", (0.2, 0.9, 4.0, 5.0), "planks", ("go to room 202", "bring me to number 202")),
    Room("kitchen", "KITCHEN", "coffee, food and water", (4.0, 0.9, 8.0, 5.0), "tiles",
         ("where can I get a coffee", "I am hungry", "where is the fridge")),
    Room("meeting_203", "MEETING 203", "meetings", (-8.0, -5.0, -2.6, -0.9), "carpet",
         ("take me to meeting 203", "where is the conference in 203 held")),
    Room("copy_room", "COPY ROOM", "printing, copying and scanning", (-2.6, -5.0, 1.2, -0.9), "tiles",
         ("I need to print something", "where can I scan a document")),
    Room("storage", "STORAGE", "supplies, boxes and cleaning things", (1.2, -5.0, 4.6, -0.9), "planks",
         ("the place with cleaning supplies", "where are spare boxes kept")),
    Room("exit", "EXIT", "the way out of the building", (4.6, -5.0, 8.0, -0.9), "tiles", ("how do I get out of here", "I want to leave the building")),
)  # fmt: skip

UNANSWERABLE = ("find the swimming pool", "go to room 417", "take me to the helicopter")

_N, _S = CORRIDOR - WALL_M / 2, -CORRIDOR + WALL_M / 2  # the corridor's wall surfaces
_TOP, _LOW, _RIGHT = HALF_Y - WALL_M / 2, -HALF_Y + WALL_M / 2, HALF_X - WALL_M / 2

SIGNS = (
    SignPlace("LOUNGE", (-3.75, _N), SOUTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("ROOM 201", (-0.4, _N), SOUTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("ROOM 202", (3.4, _N), SOUTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("KITCHEN", (6.9, _N), SOUTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("MEETING 203", (-2.75, _S), NORTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("COPY ROOM", (0.65, _S), NORTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("STORAGE", (4.2, _S), NORTH, CORRIDOR_LETTER_M, CORRIDOR_SIGN_Z_M),
    SignPlace("EXIT", (_RIGHT, 0.0), WEST, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("LOUNGE", (-5.4, _TOP), SOUTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("ROOM 201", (-2.3, _TOP), SOUTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("ROOM 202", (2.7, _TOP), SOUTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("KITCHEN", (6.5, _TOP), SOUTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("MEETING 203", (-4.2, _LOW), NORTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("COPY ROOM", (-0.6, _LOW), NORTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("STORAGE", (2.2, _LOW), NORTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
    SignPlace("EXIT", (5.9, _LOW), NORTH, ROOM_LETTER_M, ROOM_SIGN_Z_M),
)

FURNITURE = (
    Piece("sofa", -7.47, 3.0, 0), Piece("sofa", -6.3, 4.48, -90), Piece("low_table", -6.5, 2.9, 0), Piece("armchair", -4.2, 4.35, -135),
    Piece("plant", -7.6, 4.6, 0), Piece("shelf", -3.85, 2.4, 180), Piece("plant", -7.6, 1.35, 0),
    Piece("desk", -3.15, 3.7, 0), Piece("chair", -2.5, 3.7, 180), Piece("desk", -3.15, 2.0, 0), Piece("chair", -2.5, 2.0, 180),
    Piece("shelf", -0.9, 4.75, -90), Piece("cabinet", -0.12, 1.6, 180),
    Piece("desk", 3.55, 3.8, 180), Piece("chair", 2.9, 3.8, 0), Piece("desk", 3.55, 1.95, 180), Piece("chair", 2.9, 1.95, 0),
    Piece("shelf", 1.2, 4.75, -90), Piece("cabinet", 0.52, 1.6, 0),
    Piece("counter", 7.58, 3.4, 180), Piece("fridge", 7.55, 1.6, 180), Piece("table", 4.85, 3.9, 0), Piece("chair", 5.62, 3.5, 180),
    Piece("chair", 5.62, 4.35, 180), Piece("plant", 4.45, 1.4, 0),
    Piece("table", -5.7, -3.1, 90), Piece("chair", -6.15, -2.35, -90), Piece("chair", -5.2, -2.35, -90), Piece("chair", -6.15, -3.85, 90),
    Piece("chair", -5.2, -3.85, 90), Piece("cabinet", -7.68, -3.0, 0), Piece("plant", -7.55, -4.55, 0), Piece("shelf", -2.87, -4.1, 180),
    Piece("copier", -2.15, -2.3, 0), Piece("copier", -2.15, -3.5, 0), Piece("table", 0.15, -4.45, 90), Piece("cabinet", 0.88, -1.6, 180),
    Piece("plant", -2.2, -4.6, 0),
    Piece("shelf", 4.35, -2.2, 180), Piece("shelf", 4.35, -3.75, 180), Piece("crate", 1.65, -1.45, 0), Piece("crate", 1.75, -4.55, 90),
    Piece("shelf", 3.45, -4.75, 90),
    Piece("plant", 5.0, -4.6, 0), Piece("armchair", 7.45, -2.2, 180), Piece("cabinet", 4.92, -3.1, 0), Piece("plant", 7.6, -1.35, 0),
)  # fmt: skip

EXIT_DOOR = ((7.2, _LOW), NORTH)  # painted on the outer wall

TOUR = (
    (-5.8, 0.0), (4.6, 0.0), (5.6, -0.3), (6.2, -1.4), (6.5, -2.7), (6.1, -3.4), (5.75, -2.4), (5.8, -1.2), (5.6, 0.3),
    (5.6, 1.5), (6.5, 2.4), (6.6, 3.3), (6.0, 2.2), (5.6, 1.2), (5.2, 0.1), (2.6, 0.0), (2.1, 0.5), (2.1, 2.5), (1.4, 3.3),
    (-0.9, 3.3), (-1.6, 2.4), (-1.7, 0.5), (-2.4, 0.05), (-4.6, 0.05), (-5.0, 0.5), (-5.0, 3.0), (-5.3, 3.3), (-5.6, 1.9), (-5.5, 0.3),
    (-4.7, -0.1), (-4.2, -0.8), (-4.2, -1.5), (-3.9, -2.6), (-3.75, -3.5), (-4.1, -2.2), (-4.2, -0.8), (-3.6, 0.0), (-1.4, 0.0),
    (-0.7, -0.6), (-0.7, -2.4), (0.0, -3.15), (2.3, -3.2), (2.9, -2.4), (2.9, -0.6), (2.3, 0.0), (-2.5, 0.0),
)  # fmt: skip

TOUR_START = (-5.8, 0.0, 0.0)


def tour_length_m() -> float:
    """Length of the tour's polyline."""
    return sum(math.dist(a, b) for a, b in itertools.pairwise(TOUR))
