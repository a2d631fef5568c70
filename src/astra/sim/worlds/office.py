"""Offices by rule: corridors with numbered rooms on both sides, named common rooms, signs at every door and a second one inside. Metres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.errors import AstraError
from astra.sim.worlds.boards import Boards
from astra.sim.worlds.layout import (
    Cell,
    area_m2,
    connected,
    divide,
    draw,
    length_m,
    on_grid,
    opening,
    passage,
    shared_wall,
    slenderness,
    turned,
    walls_around,
)
from astra.sim.worlds.office_rooms import FLOORS, INNER_PAIRS, LIMITS, NEEDED, WIDE, Signage, common_rooms, usual_width_m
from astra.sim.worlds.placing import Doorway
from astra.sim.worlds.plan import HEIGHT_M, Box, Catalogue, Plan, Room
from astra.sim.worlds.rooms import furnish_all

TAG = 73  # keeps an office's dice apart from those of other kinds with the same seed
HALLS = ("reception", "open_space")  # rooms that others open to as they do to a corridor; no sign may fit outside them
OUTER = ("exit", "reception", "open_space")
ATTEMPTS, PATIENCE = 2000, 100  # floor plans drawn in all, and of one scheme before another is tried
Scheme = tuple[tuple[float, float], list[Cell], list["Band"]]  # extent, rooms that lie fixed, strips


@dataclass(frozen=True, slots=True)
class Band:
    """A strip of floor to be cut into rooms along x (axis 0) or y (axis 1), or to be a single one."""

    box: Box
    axis: int
    single: bool = False


def plan_office(seed: int, catalogue: Catalogue, clutter: float = 1.0) -> Plan:
    """The office of a seed.

    Args:
        seed: the same one gives the same office.
        catalogue: furniture to choose from.
        clutter: scales the number of loose things.

    Raises:
        AstraError: no floor plan was found.
    """
    rng = np.random.default_rng([seed, TAG])
    for attempt in range(ATTEMPTS):
        if attempt % PATIENCE == 0:
            draw_scheme = SCHEMES[int(rng.integers(len(SCHEMES)))]
        size, fixed, bands = draw_scheme(rng)
        cells = _fill(size, fixed, bands, rng)
        if not _usable(cells, size):
            continue
        cells, size = turned(cells, size, rng, transpose=False)
        rooms = _named(cells, size, rng)
        joined = _join(rooms, rng)
        if joined is None:
            continue
        doors, unwalled = joined
        walls = walls_around(rooms, doors, unwalled)
        boards = Boards(rooms, walls, doors, unwalled)
        if not _hang(boards, rooms, doors, rng):
            continue
        pieces = furnish_all(rooms, [*doors, *unwalled], catalogue, rng, clutter, "office", boards.keeps_in)
        return Plan("office", seed, (0.0, 0.0, *size), HEIGHT_M, tuple(rooms), walls, tuple(board.sign for board in boards.hung), tuple(pieces))
    raise AstraError(f"no floor plan was found for the office of seed {seed}")


# --- schemes: where corridors lie and which strips are left for rooms ---


def _straight(rng: np.random.Generator) -> Scheme:
    """One corridor from end to end, rooms on both sides."""
    width, depth, aisle = draw(12.5, 22.0, rng), draw(10.0, 12.4, rng), draw(1.6, 2.2, rng)
    low = on_grid((depth - aisle) * float(rng.uniform(0.44, 0.56)))
    high = on_grid(low + aisle)
    return (width, depth), [Cell("corridor", (0.0, low, width, high))], [Band((0.0, 0.0, width, low), 0), Band((0.0, high, width, depth), 0)]


def _headed(rng: np.random.Generator) -> Scheme:
    """One corridor that begins at a reception or an open space across the building's head."""
    width, depth, aisle = draw(14.0, 24.0, rng), draw(10.0, 12.4, rng), draw(1.6, 2.2, rng)
    low = on_grid((depth - aisle) * float(rng.uniform(0.44, 0.56)))
    high, head = on_grid(low + aisle), draw(4.2, 5.8, rng)
    bands = [Band((head, 0.0, width, low), 0), Band((head, high, width, depth), 0)]
    cells = [Cell("corridor", (head, low, width, high))]
    if rng.random() < 0.6:
        return (width, depth), [*cells, Cell("open_space", (0.0, 0.0, head, depth))], bands
    y0, y1 = on_grid(low - draw(0.6, 1.2, rng)), on_grid(high + draw(0.6, 1.2, rng))
    hall = Cell("reception", (0.0, y0, head, y1))
    return (width, depth), [*cells, hall], [*bands, Band((0.0, 0.0, head, y0), 0, True), Band((0.0, y1, head, depth), 0, True)]


def _elbow(rng: np.random.Generator) -> Scheme:
    """A corridor with a corner."""
    width, aisle, south, north, east = draw(13.0, 20.0, rng), draw(1.6, 2.1, rng), draw(4.0, 4.8, rng), draw(4.4, 5.6, rng), draw(3.6, 4.8, rng)
    y1, x2 = on_grid(south + aisle), on_grid(width - east)
    x1, depth, corner = on_grid(x2 - aisle), on_grid(y1 + north), on_grid(y1 + draw(0.2, 0.8, rng))
    cells = [Cell("corridor", (0.0, south, x2, y1)), Cell("corridor", (x1, y1, x2, depth))]
    low, high = Band((x2, 0.0, width, corner), 1, True), Band((x2, corner, width, depth), 1)
    return (width, depth), cells, [Band((0.0, 0.0, x2, south), 0), Band((0.0, y1, x1, depth), 0), low, high]


def _ring(rng: np.random.Generator) -> Scheme:
    """A corridor all the way round a core."""
    width, depth, aisle = draw(15.0, 23.0, rng), draw(13.4, 16.0, rng), draw(1.6, 2.0, rng)
    south, north = draw(3.8, 4.6, rng), draw(3.8, 4.6, rng)
    west = 0.0 if rng.random() < 0.5 else draw(3.4, 4.4, rng)
    y0, y3, x0 = south, on_grid(depth - north), west
    y1, y2, x1, x3 = on_grid(y0 + aisle), on_grid(y3 - aisle), on_grid(x0 + aisle), width
    x2 = on_grid(width - aisle)
    cells = [Cell("corridor", box) for box in ((x0, y0, x3, y1), (x0, y2, x3, y3), (x0, y1, x1, y2), (x2, y1, x3, y2))]
    bands = [Band((0.0, 0.0, width, y0), 0), Band((0.0, y3, width, depth), 0), Band((x1, y1, x2, y2), 0)]
    if west > 0.0:
        bands.append(Band((0.0, y0, x0, y3), 1))
    return (width, depth), cells, bands


SCHEMES: tuple[Callable[[np.random.Generator], Scheme], ...] = (_straight, _headed, _elbow, _ring)


# --- from a scheme to rooms ---


def _fill(size: tuple[float, float], fixed: Sequence[Cell], bands: Sequence[Band], rng: np.random.Generator) -> list[Cell]:
    """Cut the strips into the rooms that such an office has, offices in what is left."""
    wished = common_rooms(size[0] * size[1], [cell.category for cell in fixed], rng)
    slots: list[list[str]] = []
    for band in bands:
        length, depth = _extent(band)
        slots.append(["office"] * (1 if band.single else max(1, round(length / (1.06 * usual_width_m("office", depth))))))
    order = [(row, slot) for row, names in enumerate(slots) for slot in range(len(names))]
    places = [order[int(i)] for i in rng.permutation(len(order))]
    for (row, slot), category in zip(places[2:], wished):  # two offices at least
        slots[row][slot] = category
    cells = list(fixed)
    for band, names in zip(bands, slots):
        _, depth = _extent(band)
        x0, y0, x1, y1 = band.box
        stretches = divide(band.box[band.axis], band.box[2 + band.axis], [usual_width_m(name, depth) for name in names], rng)
        cells += [Cell(name, (a, y0, b, y1) if band.axis == 0 else (x0, a, x1, b)) for name, (a, b) in zip(names, stretches)]
    return cells


def _extent(band: Band) -> tuple[float, float]:
    """A strip's length and depth."""
    x0, y0, x1, y1 = band.box
    return (x1 - x0, y1 - y0) if band.axis == 0 else (y1 - y0, x1 - x0)


def _usable(cells: Sequence[Cell], size: tuple[float, float]) -> bool:
    """Does every room measure what its kind does, is none missing, and does the way out lie at an outer wall?"""
    counts = Counter(cell.category for cell in cells)
    if any(cell.category in OUTER and not _at_outline(cell.box, size) for cell in cells):
        return False
    return all(counts[c] > 0 for c in NEEDED) and all(
        LIMITS[cell.category].least_m2 <= area_m2(cell.box) <= LIMITS[cell.category].most_m2
        and min(cell.size) >= LIMITS[cell.category].side_m
        and slenderness(cell.box) <= LIMITS[cell.category].slender
        for cell in cells
    )


def _at_outline(box: Box, size: tuple[float, float]) -> bool:
    return min(box[0], box[1], size[0] - box[2], size[1] - box[3]) < 1e-6


def _named(cells: Sequence[Cell], size: tuple[float, float], rng: np.random.Generator) -> list[Room]:
    """Rooms with numbers by floor and side, labels as their signs say, and floors."""
    numbers = _numbers(cells, size, rng)
    signage = Signage.draw(rng)
    floors = {category: str(rng.choice(choice)) for category, choice in FLOORS.items()}
    seen: Counter[str] = Counter()
    rooms = []
    for cell, number in zip(cells, numbers):
        seen[cell.category] += 1
        label = signage.label(cell.category, number, seen[cell.category])
        numbered = cell.category in ("office", "meeting_room")
        name = f"{cell.category}_{number}" if numbered else cell.category if seen[cell.category] == 1 else f"{cell.category}_{seen[cell.category]}"
        rooms.append(Room(name, cell.category, label, cell.box, floors[cell.category], cell.category != "corridor"))
    return rooms


def _numbers(cells: Sequence[Cell], size: tuple[float, float], rng: np.random.Generator) -> list[int]:
    """A number for each cell: odd on one side and even on the other, or on and on around the building."""
    floor = 100 * int(rng.integers(1, 7))
    first = int(rng.choice([1, 1, 1, 10, 20]))
    middle = [((c.box[0] + c.box[2]) / 2, (c.box[1] + c.box[3]) / 2) for c in cells]
    goals = [k for k, cell in enumerate(cells) if cell.category != "corridor"]
    numbers = [0] * len(cells)
    upper = sorted((k for k in goals if middle[k][1] > size[1] / 2), key=lambda k: middle[k])
    lower = sorted((k for k in goals if middle[k][1] <= size[1] / 2), key=lambda k: middle[k])
    if rng.random() < 0.5:
        for side, start in ((upper, 0), (lower, 1)):
            for place, k in enumerate(side):
                numbers[k] = floor + first + start + 2 * place
    else:
        for place, k in enumerate([*upper, *reversed(lower)]):
            numbers[k] = floor + first + place
    return numbers


# --- openings ---


def _join(rooms: Sequence[Room], rng: np.random.Generator) -> tuple[list[Doorway], list[Doorway]] | None:
    """Doors and passages, and the joints of corridors, which have no wall; None if a room has no way in."""
    corridors = [room for room in rooms if room.category == "corridor"]
    hubs = [*corridors, *(room for room in rooms if room.category in HALLS)]
    unwalled = [passage(a, b) for i, a in enumerate(corridors) for b in corridors[i + 1 :] if shared_wall(a.box, b.box)]
    doors: list[Doorway] = []
    for room in rooms:
        if room.category == "corridor":
            continue
        door = _way_in(room, [hub for hub in hubs if hub is not room and not (room in hubs and hub not in corridors)], rng)
        if door is None:
            return None
        doors.append(door)
        doors += _second_way(room, [c for c in corridors if c.name not in door.rooms], rng)
    doors += _inner_doors(rooms, rng)
    return (doors, unwalled) if connected([room.name for room in rooms], [*doors, *unwalled]) else None


def _way_in(room: Room, hubs: Sequence[Room], rng: np.random.Generator) -> Doorway | None:
    """A door or a wide passage from the first hub that has enough wall in common."""
    for hub in hubs:
        wall = length_m(shared_wall(room.box, hub.box))
        if room.category in WIDE and rng.random() < WIDE[room.category]:
            wide = opening(room, hub, on_grid(min(float(rng.uniform(1.3, 2.4)), max(0.9, wall - 1.9))), rng)
            if wide:
                return wide
        door = opening(room, hub, _door_width(rng), rng)
        if door:
            return door
    return None


def _second_way(room: Room, corridors: Sequence[Room], rng: np.random.Generator) -> list[Doorway]:
    """Rooms between two corridors sometimes open to both."""
    chance = 0.5 if room.category in ("lounge", "kitchen", "copy_room", "open_space", "reception") else 0.0
    for corridor in corridors:
        if length_m(shared_wall(room.box, corridor.box)) > 1.6 and rng.random() < chance:
            door = opening(room, corridor, _door_width(rng), rng)
            return [door] if door else []
    return []


def _inner_doors(rooms: Sequence[Room], rng: np.random.Generator) -> list[Doorway]:
    """Doors between neighbours, one at least if any pair lends itself, so that routes have alternatives."""
    pairs = [
        (a, b)
        for i, a in enumerate(rooms)
        for b in rooms[i + 1 :]
        if {a.category, b.category} in INNER_PAIRS and length_m(shared_wall(a.box, b.box)) > 1.8
    ]
    doors: list[Doorway] = []
    for index in rng.permutation(len(pairs)):
        a, b = pairs[int(index)]
        if not doors or rng.random() < 0.2:
            door = opening(a, b, _door_width(rng), rng)
            doors += [door] if door else []
    return doors


def _door_width(rng: np.random.Generator) -> float:
    return float(rng.choice([0.9, 0.95, 1.0, 1.05, 1.1]))


# --- signs ---


def _hang(boards: Boards, rooms: Sequence[Room], doors: Sequence[Doorway], rng: np.random.Generator) -> bool:
    """A sign at every door that leads to a corridor or hall, a second one inside, EXIT at a corridor's end by the exit; False if a room has none."""
    by_name = {room.name: room for room in rooms}
    for room in rooms:
        if not room.label:
            continue
        entrances = [door for door in doors if room.name in door.rooms]
        entrances.sort(key=lambda door: not any(by_name[name].category == "corridor" for name in door.rooms))
        shown = False
        for door in entrances[:2]:
            hub = by_name[door.rooms[0] if door.rooms[1] == room.name else door.rooms[1]]
            if hub.category in ("corridor", *HALLS):
                shown = boards.beside(door, hub, room.label, room.name) or shown
        if not shown and room.category not in HALLS:
            return False
    for room in rooms:
        if room.label and room.category != "phone_booth" and not boards.inside(room, room.label, rng) and room.category in HALLS:
            return False
    for way_out in (room for room in rooms if room.category == "exit"):
        _point_out(boards, rooms, way_out)
    return True


def _point_out(boards: Boards, rooms: Sequence[Room], way_out: Room) -> None:
    """EXIT on the wall at the end of a corridor that ends beside the exit."""
    for corridor in (room for room in rooms if room.category == "corridor" and shared_wall(room.box, way_out.box)):
        x0, y0, x1, y1 = corridor.box
        lengthwise = (0, 1) if x1 - x0 > y1 - y0 else (2, 3)
        for side in lengthwise:
            end = corridor.box[(0, 2, 1, 3)[side]]
            near = way_out.box[(0, 2, 1, 3)[side]]
            if abs(end - near) < 0.5:
                boards.at_end(corridor, side, way_out.label, way_out.name)
