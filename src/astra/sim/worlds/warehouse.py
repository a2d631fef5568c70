"""Warehouses by rule: parallel aisles between racks that all look alike, a main aisle, areas for goods along one wall, rooms for people at one end.

Drawn as below, then mirrored at random. Service rooms have walls and doors; everything else is one hall.

    ┌─────┬───────────── back aisle ─────────────┐
    │rooms│ side │▓▓│ A1 │▓▓▓▓│ A2 │▓▓▓▓│ A3 │▓▓▓▓│   racks back to back between the aisles; with two blocks a cross aisle
    │ for │ aisle│▓▓│    │▓▓▓▓│    │▓▓▓▓│    │▓▓▓▓│   parts them (A1 … and B1 …)
    │peo- ├──────┴── main aisle ─────────────────┤
    │ple  │ charging · packing · returns · docks │
    └─────┴──────────────────────────────────────┘
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.errors import BadInputError
from astra.sim.worlds.boards import Boards, board_m
from astra.sim.worlds.language import places
from astra.sim.worlds.layout import JAMB_M, divide, doors_of, draw, length_m, on_grid, passage, shared_wall, walls_around
from astra.sim.worlds.placing import Doorway, Keep, footprint
from astra.sim.worlds.plan import EAST, NORTH, SOUTH, WALL_M, WEST, Box, Catalogue, Model, Piece, Plan, Point, Room, SignPlace, Wall
from astra.sim.worlds.rooms import furnish

HEIGHTS_M = (3.6, 4.2)
SIZE_M = ((18.0, 30.0), (14.3, 20.0))  # of the hall along x and y
AISLES = (3, 6)
AISLE_M, MAIN_M, END_M, SERVICE_M, FRONT_M = (1.6, 2.4), (2.6, 3.0), (1.9, 2.2), (3.4, 4.4), (3.4, 4.2)
BACK_M = 0.06  # of each rack from the line between two rows
BETWEEN_M = 0.02  # racks of a row
RACK_WITHIN_M = (1.25, 3.2, 2.5)
BLOCK_MIN_M = 2.5  # length of the rows on either side of a cross aisle
DOOR_M, SHELLS_TRIED, FURNISHED_TRIED = 0.95, 60, 6
AISLE_LETTERS_M = (0.2, 0.18, 0.15)
AISLE_SIGN_Z_M, BAY_SIGN_Z_M, BAY_LETTER_M, BAY_SHARE = 1.35, 1.3, 0.15, 0.3
SERVICE_MIN_M = {"office": 3.0, "break_room": 3.5, "restroom": 2.6, "first_aid": 2.6, "exit": 2.2}
FRONT_MIN_M = {"receiving": 3.6, "packing": 3.4, "returns": 3.2, "charging": 4.2, "dock": 3.4, "cold_storage": 3.0}
LABELS = {
    "office": ("OFFICE", "SHIFT OFFICE"),
    "break_room": ("BREAK ROOM", "CANTEEN"),
    "restroom": ("WC", "RESTROOM"),
    "first_aid": ("FIRST AID",),
    "exit": ("EXIT",),
    "receiving": ("RECEIVING", "GOODS IN"),
    "packing": ("PACKING",),
    "returns": ("RETURNS",),
    "charging": ("CHARGING",),
    "dock": ("DOCK 1", "SHIPPING"),
    "cold_storage": ("COLD STORE", "FREEZER"),
}
CODES = ("{block}{number}", "{block}{number}", "{block}-{number:02d}", "{index:02d}")
CLUTTER = ("crate", "drum", "pallet", "boxes")


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the hall's parts begin and end [m]: `aisles` are x from one line between rows to the next, `blocks` the rows' y."""

    width: float
    depth: float
    service: float
    front: float
    main: float
    side: float
    aisles: tuple[tuple[float, float], ...]
    blocks: tuple[tuple[float, float], ...]
    racks: tuple[int, ...]  # in a row of each block


def plan_warehouse(seed: int, catalogue: Catalogue, clutter: float = 1.0) -> Plan:
    """The plan of one warehouse.

    Args:
        seed: decides everything.
        catalogue: furniture to choose from.
        clutter: scales the number of loose things; 1 is usual.

    Raises:
        BadInputError: the catalogue has no rack that fits.
    """
    rng = np.random.default_rng([seed, 4])
    rack = catalogue.pick("rack", rng, RACK_WITHIN_M)
    if rack is None:
        raise BadInputError(f"this catalogue has no rack up to {RACK_WITHIN_M} m: a warehouse cannot do without")
    grid = _grid(rack, rng)
    aisles = _aisles(grid, rack, rng)
    shell = _shell(grid, aisles, rng)
    racks = _racks(grid, rack, aisles)
    bays = _bay_signs(racks, aisles, rng)
    pieces = list(racks)
    for room in (*shell.service, *shell.front):
        keeps = [*shell.boards.keeps_in(room), *_open_sides(room, shell.hall)]
        pieces += _furnished(room, doors_of(room.name, shell.doors), keeps, catalogue, rng, clutter)
    pieces += _on_pallets(pieces, [keep for board in shell.boards.hung for keep in board.keeps], catalogue, rng)
    pieces += _in_aisles(aisles, grid, rack, bays, catalogue, rng, clutter)
    signs = (*(board.sign for board in shell.boards.hung), *_aisle_signs(aisles, grid, rack), *bays)
    rooms = tuple(dict.fromkeys((*shell.service, *shell.front, *shell.hall)))
    height = on_grid(float(rng.uniform(*HEIGHTS_M)))
    plan = Plan("warehouse", seed, (0.0, 0.0, grid.width, grid.depth), height, rooms, shell.walls, signs, tuple(pieces))
    return mirrored(plan, bool(rng.random() < 0.5), bool(rng.random() < 0.5))


def mirrored(plan: Plan, across_x: bool, across_y: bool) -> Plan:
    """The same building seen in a mirror, in its own outline: `across_x` exchanges west and east, `across_y` south and north."""
    x0, y0, x1, y1 = plan.outline

    def point(p: Point) -> Point:
        return (round(x0 + x1 - p[0], 4) if across_x else p[0]), (round(y0 + y1 - p[1], 4) if across_y else p[1])

    def direction(d: Point) -> Point:
        return (-d[0] if across_x and d[0] else d[0]), (-d[1] if across_y and d[1] else d[1])

    def box(b: Box) -> Box:
        (ax, ay), (bx, by) = point((b[0], b[1])), point((b[2], b[3]))
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def heading(degrees: float) -> float:
        turned = 180.0 - degrees if across_x else degrees
        return ((-turned if across_y else turned) + 180.0) % 360.0 - 180.0

    def piece(p: Piece) -> Piece:
        x, y = point((p.x, p.y))
        return replace(p, x=x, y=y, degrees=heading(p.degrees))

    return replace(
        plan,
        rooms=tuple(replace(room, box=box(room.box)) for room in plan.rooms),
        walls=tuple(replace(wall, a=point(wall.a), b=point(wall.b)) for wall in plan.walls),
        signs=tuple(replace(sign, at=point(sign.at), facing=direction(sign.facing)) for sign in plan.signs),
        pieces=tuple(piece(p) for p in plan.pieces),
    )


def _grid(rack: Model, rng: np.random.Generator) -> Grid:
    """Sizes of everything, so that whole racks fill the rows and the hall is neither too small nor too large."""
    deep, wide = rack.size_m[0] + BACK_M, rack.size_m[1] + BETWEEN_M
    service, front, main, side, back, cross = (draw(*sizes, rng) for sizes in (SERVICE_M, FRONT_M, MAIN_M, END_M, END_M, END_M))
    aisle = draw(*AISLE_M, rng)
    pitch = aisle + 2 * deep
    first = service + side
    fits = [n for n in range(AISLES[0], AISLES[1] + 1) if SIZE_M[0][0] <= first + n * pitch <= SIZE_M[0][1]]
    if not fits:  # even the fewest are too many, or the most too few
        fits = [AISLES[0] if first + AISLES[0] * pitch > SIZE_M[0][1] else AISLES[1]]
    count = int(rng.choice(fits))
    wanted = float(rng.uniform(*SIZE_M[1])) - front - main - back
    rows = max(2, math.floor(wanted / wide))
    parted = rows // 2 * wide >= BLOCK_MIN_M and rng.random() < 0.6 and front + main + rows * wide + cross + back <= SIZE_M[1][1]
    split = (rows // 2, rows - rows // 2) if parted else (rows,)
    start = front + main
    blocks = []
    for number in split:
        blocks.append((start, start + number * wide))
        start += number * wide + cross
    end = blocks[-1][1]
    depth = max(on_grid(end + back), SIZE_M[1][0])
    aisles = tuple((first + k * pitch, first + (k + 1) * pitch) for k in range(count))
    width = aisles[-1][1] + WALL_M / 2 + 0.02
    return Grid(round(width, 4), depth, service, front, main, first, aisles, tuple(blocks), split)


def _service_rooms(grid: Grid, rng: np.random.Generator) -> list[Room]:
    """Rooms for people, one above the other at the hall's west end."""
    names = [str(name) for name in rng.permutation(list(SERVICE_MIN_M))]
    least = [SERVICE_MIN_M[name] for name in names]
    spare = divide(0.0, grid.depth - sum(least), [1.0] * len(names), rng, 0.5)
    rooms, y = [], 0.0
    for name, minimum, (low, high) in zip(names, least, spare):
        top = grid.depth if name == names[-1] else on_grid(y + minimum + high - low)
        floor = {"restroom": "tiles", "exit": "concrete", "first_aid": "tiles"}.get(name, str(rng.choice(["carpet", "planks", "tiles"])))
        rooms.append(Room(name, name, _label(name, rng), (0.0, y, grid.service, top), floor))
        y = top
    return rooms


def _front_areas(grid: Grid, rng: np.random.Generator) -> list[Room]:
    """What is done with goods, side by side along the south wall; the cold store, if there is one, in the corner."""
    names = [str(name) for name in rng.permutation(["receiving", "packing", "returns", "charging"])]
    room_m = grid.width - grid.service - sum(FRONT_MIN_M[name] for name in names)
    if room_m > FRONT_MIN_M["dock"] and rng.random() < 0.8:
        names.insert(int(rng.integers(len(names) + 1)), "dock")
        room_m -= FRONT_MIN_M["dock"]
    if room_m > FRONT_MIN_M["cold_storage"] and rng.random() < 0.5:
        names.append("cold_storage")
    least = [FRONT_MIN_M[name] for name in names]
    spare = divide(0.0, grid.width - grid.service - sum(least), [1.0] * len(names), rng, 0.5)
    rooms, x = [], grid.service
    for name, minimum, (low, high) in zip(names, least, spare):
        end = grid.width if name == names[-1] else on_grid(x + minimum + high - low)
        rooms.append(Room(name, name, _label(name, rng), (x, 0.0, end, grid.front), "tiles" if name == "cold_storage" else "concrete"))
        x = end
    return rooms


def _aisles(grid: Grid, rack: Model, rng: np.random.Generator) -> list[Room]:
    """Each from the line behind its racks to the next such line; their codes fit on the ends of the rows."""
    fitting = [code for code in CODES if board_m(code.format(block="A", number=1, index=1), AISLE_LETTERS_M[-1]) <= rack.size_m[0]]
    code = fitting[int(rng.integers(len(fitting)))] if fitting else CODES[0]
    rooms = []
    for block, (low, high) in enumerate(grid.blocks):
        for number, (west, east) in enumerate(grid.aisles):
            label = code.format(block="AB"[block], number=number + 1, index=block * len(grid.aisles) + number + 1)
            rooms.append(Room(f"aisle_{label.lower()}", "aisle", label, (west, low, grid.width if (west, east) == grid.aisles[-1] else east, high), "concrete"))
    return rooms


def _ways(grid: Grid) -> list[Room]:
    """The hall's floor that is only for passing."""

    def way(name: str, box: Box) -> Room:
        return Room(name, "main_aisle", "", box, "concrete", is_goal=False)

    start, end = grid.blocks[0][0], grid.blocks[-1][1]
    ways = [
        way("main_aisle", (grid.service, grid.front, grid.width, start)),
        way("side_aisle", (grid.service, start, grid.side, end)),
        way("back_aisle", (grid.service, end, grid.width, grid.depth)),
    ]
    if len(grid.blocks) == 2:
        ways.append(way("cross_aisle", (grid.side, grid.blocks[0][1], grid.width, grid.blocks[1][0])))
    return ways


def _label(category: str, rng: np.random.Generator) -> str:
    return str(rng.choice(LABELS[category]))


@dataclass(frozen=True, slots=True)
class _Shell:
    """A hall before anything stands in it; `service` and `front` are those rooms that get furnished."""

    service: list[Room]
    front: list[Room]
    hall: list[Room]
    walls: tuple[Wall, ...]
    doors: list[Doorway]
    boards: Boards


def _shell(grid: Grid, aisles: list[Room], rng: np.random.Generator) -> _Shell:
    """Rooms, doors and walls, drawn until every room has a door and its sign finds a place.

    Raises:
        BadInputError: it never does.
    """
    for _ in range(SHELLS_TRIED):
        service, front = _service_rooms(grid, rng), _front_areas(grid, rng)
        hall = [*(room for room in front if room.category != "cold_storage"), *aisles, *_ways(grid)]
        walled = [*service, *(room for room in front if room not in hall)]
        rooms = (*walled, *hall)
        unwalled = [passage(a, b) for a, b in itertools.combinations(hall, 2) if shared_wall(a.box, b.box)]
        doors = [door for room in walled if (door := _door(room, hall, rng))]
        walls = walls_around(rooms, doors, unwalled)
        boards = Boards(rooms, walls, doors, unwalled)
        told = [boards.beside(door, _named(rooms, door.rooms[1]), _named(rooms, door.rooms[0]).label, door.rooms[0]) for door in doors]
        told += [boards.inside(room, room.label, rng) for room in front if room in hall]
        if all(told) and len(doors) == len(walled):
            return _Shell(service, front, hall, walls, doors, boards)
    raise BadInputError(f"no place for all doors and signs in a hall of {grid.width} m by {grid.depth} m")


def _door(room: Room, hall: Sequence[Room], rng: np.random.Generator) -> Doorway | None:
    """A door into the hall, at one end of a stretch of the room's wall; None if no stretch is long enough."""
    ways = [(other, wall) for other in hall if (wall := shared_wall(room.box, other.box)) is not None and length_m(wall) >= DOOR_M + 2 * JAMB_M + 0.1]
    if not ways:
        return None
    other, (a, b) = ways[int(rng.integers(len(ways)))]
    axis = 0 if a[1] == b[1] else 1
    start = on_grid(a[axis] + JAMB_M + 0.025 if rng.random() < 0.5 else b[axis] - JAMB_M - DOOR_M - 0.025)
    ends = [(v, a[1]) if axis == 0 else (a[0], v) for v in (start, round(start + DOOR_M, 4))]
    return Doorway(ends[0], ends[1], (room.name, other.name))


def _named(rooms: Sequence[Room], name: str) -> Room:
    return next(room for room in rooms if room.name == name)


def _furnished(room: Room, doors: Sequence[Doorway], keeps: Sequence[Keep], catalogue: Catalogue, rng: np.random.Generator, clutter: float) -> list[Piece]:
    """Furniture for a room; of a few tries the one with most of what tells its purpose, of which the first counts most."""
    telling = places("warehouse")[room.category].furniture
    worth = {category: len(telling) - k for k, category in enumerate(telling)}
    best: tuple[int, list[Piece]] = (-1, [])
    for _ in range(FURNISHED_TRIED):
        pieces = furnish(room, doors, catalogue, rng, clutter, "warehouse", keeps)
        told = sum(worth[category] for category in {piece.model.category for piece in pieces} & set(telling))
        if told > best[0]:
            best = told, pieces
        if told == sum(worth.values()):
            break
    return best[1]


def _open_sides(room: Room, hall: Sequence[Room]) -> list[Keep]:
    """The floor along those sides of an area that no wall closes; a robot comes in over the widest."""
    if room not in hall:
        return []
    x0, y0, x1, y1 = room.box
    keeps = [Keep((x0, y1 - 0.5, x1, y1), reach=True)]
    for other in hall:
        side = shared_wall(room.box, other.box)
        if other is not room and side is not None and side[0][0] == side[1][0]:
            x = side[0][0]
            keeps.append(Keep((x - 0.4, y0, x + 0.4, y1)))
    return keeps


def _racks(grid: Grid, rack: Model, aisles: Sequence[Room]) -> list[Piece]:
    """Both sides of every aisle, their fronts towards it."""
    deep, wide, _ = rack.size_m
    pieces = []
    for room in aisles:
        _, y0, _, _ = room.box
        block = next(k for k, (low, _) in enumerate(grid.blocks) if low == y0)
        west, east = next(edges for edges in grid.aisles if edges[0] == room.box[0])
        for k in range(grid.racks[block]):
            y = round(y0 + k * (wide + BETWEEN_M) + wide / 2, 4)
            pieces.append(Piece(rack, round(west + BACK_M + deep / 2, 4), y, 0.0, room.name))
            pieces.append(Piece(rack, round(east - BACK_M - deep / 2, 4), y, 180.0, room.name))
    return pieces


def _aisle_signs(aisles: Sequence[Room], grid: Grid, rack: Model) -> list[SignPlace]:
    """The aisle's code at both its ends, on the end of its eastern row."""
    deep, wide, _ = rack.size_m
    signs = []
    for room in aisles:
        x0, y0, _, _ = room.box
        east = next(edge for start, edge in grid.aisles if start == x0)
        block = next(k for k, (low, _) in enumerate(grid.blocks) if low == y0)
        x, end = east - BACK_M - deep / 2, y0 + grid.racks[block] * (wide + BETWEEN_M) - BETWEEN_M
        letter = next((size for size in AISLE_LETTERS_M if board_m(room.label, size) <= deep), AISLE_LETTERS_M[-1])
        for y, facing in ((y0, SOUTH), (end, NORTH)):
            signs.append(SignPlace(room.label, (round(x, 4), round(y, 4)), facing, letter, AISLE_SIGN_Z_M, room.name))
    return signs


def _bay_signs(racks: Sequence[Piece], aisles: Sequence[Room], rng: np.random.Generator) -> list[SignPlace]:
    """Codes of some bays on the racks' fronts: the aisle's, and a number that counts along it, odd on one side and even on the other."""
    signs = []
    for room in aisles:
        for k, piece in enumerate(p for p in racks if p.room == room.name):
            text = f"{room.label}-{k + 1:02d}"
            if rng.random() > BAY_SHARE or board_m(text, BAY_LETTER_M) > piece.model.size_m[1]:
                continue
            facing = EAST if piece.degrees == 0.0 else WEST
            at = round(piece.x + facing[0] * piece.model.size_m[0] / 2, 4), piece.y
            signs.append(SignPlace(text, at, facing, BAY_LETTER_M, BAY_SIGN_Z_M, room.name))
    return signs


def _on_pallets(pieces: Sequence[Piece], keeps: Sequence[Keep], catalogue: Catalogue, rng: np.random.Generator) -> list[Piece]:
    """Goods on most of the pallets that are bare and do not lie before a sign."""
    goods = []
    for pallet in pieces:
        deep, wide, high = pallet.model.size_m
        x0, y0, x1, y1 = footprint(pallet)
        before_sign = any(keep.box[0] < x1 and x0 < keep.box[2] and keep.box[1] < y1 and y0 < keep.box[3] for keep in keeps)
        if pallet.model.category != "pallet" or high > 0.3 or before_sign or rng.random() < 0.3:
            continue
        model = catalogue.pick(str(rng.choice(["boxes", "crate"])), rng, (deep, wide, 1.2))
        if model is not None:
            goods.append(Piece(model, pallet.x, pallet.y, pallet.degrees, pallet.room, high))
    return goods


def _in_aisles(
    aisles: Sequence[Room], grid: Grid, rack: Model, bays: Sequence[SignPlace], catalogue: Catalogue, rng: np.random.Generator, clutter: float
) -> list[Piece]:
    """Now and then something stands before a rack, where the aisle is wide and no code is hidden; at most one thing in an aisle."""
    pieces = []
    for room in aisles:
        west, east = next(edges for edges in grid.aisles if edges[0] == room.box[0])
        low, high = west + BACK_M + rack.size_m[0], east - BACK_M - rack.size_m[0]
        deepest = min(high - low - 1.1, 0.8)
        if rng.random() > 0.5 * clutter or deepest < 0.5 or room.box[3] - room.box[1] < 2.6:
            continue
        model = catalogue.pick(str(rng.choice(CLUTTER)), rng, (deepest, 1.0, 1.3))
        y = float(rng.uniform(room.box[1] + 1.2, room.box[3] - 1.2))
        hidden = any(sign.room == room.name and abs(sign.at[1] - y) < 1.3 for sign in bays)
        if model is None or hidden:
            continue
        at_west = rng.random() < 0.5
        x = low + 0.03 + model.size_m[0] / 2 if at_west else high - 0.03 - model.size_m[0] / 2
        pieces.append(Piece(model, round(x, 4), round(y, 4), 0.0 if at_west else 180.0, room.name))
    return pieces
