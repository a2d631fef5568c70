"""What a generator decides before anything is painted: rooms, walls, signs, furniture. Metres, z up, axis-aligned boxes.

One `Plan` is the seam between the rules of a kind (`home`, `office`, `warehouse`) and everything that follows: `fitout` paints it,
`tour` drives through it, `build` writes it with its truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Kind = Literal["home", "office", "warehouse"]
KINDS: tuple[Kind, ...] = ("home", "office", "warehouse")
Split = Literal["train", "validate", "test"]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Point = tuple[float, float]

NORTH, SOUTH, EAST, WEST = (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)
WALL_M, HEIGHT_M, DOOR_HEIGHT_M = 0.12, 2.5, 2.1


@dataclass(frozen=True, slots=True)
class Wall:
    """A straight wall along x or y from `a` to `b` (centre line); `openings` are (from, to) along it [m]."""

    a: Point
    b: Point
    openings: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """An area: its rectangle up to the walls' centre lines, what it is, and the floor it has.

    `category` is a key of `language.FUNCTIONS`; `label` is what its sign says, "" if none names it. Corridors and aisles that nobody
    would be sent to have `is_goal` False.
    """

    name: str
    category: str
    label: str
    box: Box
    floor: str  # planks, tiles, carpet, concrete
    is_goal: bool = True


@dataclass(frozen=True, slots=True)
class SignPlace:
    """A sign board: centre on the wall's (or rack's) surface, the direction it faces, the height of its letters and of its centre."""

    text: str
    at: Point
    facing: Point
    letter_m: float
    z_m: float
    room: str  # the area that it names


@dataclass(frozen=True, slots=True)
class Model:
    """A piece of furniture in a catalogue. `size_m`: depth (along its front, +x), width (y), height, of what it fills."""

    name: str
    category: str
    size_m: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """A model at a place; its front faces `degrees`, its footprint is centred on (x, y)."""

    model: Model
    x: float
    y: float
    degrees: float
    room: str
    z_m: float = 0.0  # what it stands on, for example a table


@dataclass(frozen=True, slots=True)
class Plan:
    """A building to be. `outline` is the outer walls' centre line; every wall of it is in `walls`."""

    kind: Kind
    seed: int
    outline: Box
    height_m: float
    rooms: tuple[Room, ...]
    walls: tuple[Wall, ...]
    signs: tuple[SignPlace, ...]
    pieces: tuple[Piece, ...]


class Catalogue(Protocol):
    """Furniture to choose from; `furniture.library.Library` and the plain set are two."""

    def pick(self, category: str, rng: np.random.Generator, within: tuple[float, float, float] = (9.0, 9.0, 9.0)) -> Model | None:
        """A model of a category no larger than `within` (depth, width, height) [m]; None if there is none."""
        ...


CATEGORIES = (
    # sitting and sleeping
    "bed", "child_bed", "sofa", "armchair", "chair", "office_chair", "stool", "bench",
    # tables
    "table", "low_table", "desk", "bedside_table", "workbench",
    # keeping things
    "shelf", "bookcase", "cabinet", "wardrobe", "chest_of_drawers", "shoe_rack", "locker", "filing_cabinet",
    # kitchen and water
    "counter", "fridge", "stove", "sink", "dishwasher", "toilet", "bathtub", "shower", "washing_machine", "washbasin", "water_dispenser",
    # things that show what a room is for
    "tv", "lamp", "plant", "piano", "copier", "whiteboard", "vending_machine", "server_rack", "reception_desk", "toy", "bicycle", "first_aid_box",
    # warehouse
    "rack", "pallet", "boxes", "crate", "drum", "charging_station", "forklift", "packing_table", "roll_cage",
)  # fmt: skip


def split_from_seed(seed: int) -> Split:
    """Seeds below 10000 train, those from 20000 on test, those between validate."""
    return "train" if seed < 10_000 else "validate" if seed < 20_000 else "test"
