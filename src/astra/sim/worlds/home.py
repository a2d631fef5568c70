"""Homes by rule: a hall or a living room in the middle, rooms around it, few texts; told apart by their furniture. Metres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.errors import AstraError
from astra.sim.worlds.boards import Boards
from astra.sim.worlds.layout import Cell, area_m2, connected, divide, draw, length_m, on_grid, opening, passage, shared_wall, slenderness, turned, walls_around
from astra.sim.worlds.placing import Doorway
from astra.sim.worlds.plan import HEIGHT_M, Box, Catalogue, Plan, Room
from astra.sim.worlds.rooms import furnish_all

TAG = 71  # keeps a home's dice apart from those of other kinds with the same seed
AREA_M2 = (50.0, 120.0)
ATTEMPTS, PATIENCE = 800, 80  # floor plans drawn in all, and of one scheme before another is tried
NAMES = ("EMMA", "NOAH", "MIA", "LEON", "LINA", "PAUL", "ZOE", "FINN", "IDA", "OSCAR", "AVA", "MAX", "ELLA", "HUGO", "NORA", "TOM")
KITCHEN_WORDS = ("COFFEE", "BISTRO", "MENU", "CAFE", "TEA TIME", "SPICES", "PASTA", "BAKERY")
CALENDAR_WORDS = ("JANUARY", "MARCH", "APRIL", "MAY", "JUNE", "AUGUST", "OCTOBER", "MONDAY", "FRIDAY", "2025", "2026")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a room of a category may measure up to the walls' centre lines: usual, least and greatest area, least side."""

    usual_m2: float
    least_m2: float
    most_m2: float
    side_m: float
    slender: float = 2.1


LIMITS: dict[str, Limits] = {
    "living_room": Limits(24.0, 15.0, 42.0, 3.5),
    "kitchen": Limits(11.5, 7.0, 18.0, 2.4),
    "bedroom": Limits(13.5, 9.5, 21.0, 2.8),
    "kids_room": Limits(11.0, 8.5, 17.0, 2.7),
    "bathroom": Limits(6.5, 4.2, 10.5, 1.9, 2.4),
    "toilet": Limits(2.6, 1.8, 4.6, 1.25, 2.4),
    "laundry": Limits(5.5, 3.4, 9.0, 1.7, 2.6),
    "study": Limits(9.5, 6.5, 15.0, 2.4),
    "dining_room": Limits(12.0, 8.5, 20.0, 2.7),
    "entrance": Limits(3.5, 2.0, 9.0, 1.3, 3.0),
    "hallway": Limits(5.0, 1.5, 14.0, 1.2, 12.0),
}
NEEDED = ("living_room", "kitchen", "bedroom", "bathroom", "entrance")
MOST = {"living_room": 1, "kitchen": 1, "dining_room": 1, "study": 1, "laundry": 1, "bathroom": 2}
DOORS_TO: dict[str, tuple[str, ...]] = {  # which neighbour a room opens to, the likeliest first
    "living_room": ("hallway", "entrance"),
    "kitchen": ("hallway", "living_room", "dining_room", "entrance"),
    "dining_room": ("living_room", "kitchen", "hallway", "entrance"),
    "bedroom": ("hallway", "entrance", "living_room", "dining_room"),
    "kids_room": ("hallway", "entrance", "living_room", "dining_room"),
    "bathroom": ("hallway", "entrance", "living_room", "bedroom"),
    "toilet": ("hallway", "entrance", "living_room"),
    "laundry": ("hallway", "kitchen", "bathroom", "entrance"),
    "study": ("hallway", "living_room", "entrance", "bedroom", "dining_room"),
}
OPEN_PAIRS = (("kitchen", "living_room"), ("dining_room", "living_room"), ("dining_room", "kitchen"), ("living_room", "hallway"), ("living_room", "entrance"))
INNER_PAIRS = (("bathroom", "bedroom"), ("study", "living_room"), ("kitchen", "hallway"), ("kids_room", "bedroom"), ("laundry", "bathroom"))
FLOORS: dict[str, tuple[str, ...]] = {
    "kitchen": ("tiles", "planks"),
    "bathroom": ("tiles",),
    "toilet": ("tiles",),
    "laundry": ("tiles",),
    "entrance": ("tiles", "planks"),
    "bedroom": ("planks", "carpet"),
    "kids_room": ("carpet", "planks"),
}


@dataclass(frozen=True, slots=True)
class Band:
    """A strip of floor to be cut into rooms along x (axis 0) or y (axis 1)."""

    box: Box
    axis: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """Rooms that lie fixed and strips yet to fill, in an extent from (0, 0)."""

    size: tuple[float, float]
    cells: tuple[Cell, ...]
    bands: tuple[Band, ...]


def plan_home(seed: int, catalogue: Catalogue, clutter: float = 1.0) -> Plan:
    """The home of a seed.

    Args:
        seed: the same one gives the same home.
        catalogue: furniture to choose from.
        clutter: scales the number of loose things.

    Raises:
        AstraError: no floor plan was found.
    """
    rng = np.random.default_rng([seed, TAG])
    for attempt in range(ATTEMPTS):
        if attempt % PATIENCE == 0:
            draw_scheme = SCHEMES[int(rng.integers(len(SCHEMES)))]
        scheme = draw_scheme(rng)
        cells = _fill(scheme, rng)
        if cells is None or not _livable(cells):
            continue
        cells, size = turned(cells, scheme.size, rng, transpose=True)
        rooms = _named(cells, rng)
        joined = _join(rooms, rng)
        if joined is None:
            continue
        doors, unwalled = joined
        walls = walls_around(rooms, doors, unwalled)
        boards = Boards(rooms, walls, doors, unwalled)
        rooms = _hang(boards, rooms, doors, rng)
        pieces = furnish_all(rooms, [*doors, *unwalled], catalogue, rng, clutter, "home", boards.keeps_in)
        return Plan("home", seed, (0.0, 0.0, *size), HEIGHT_M, tuple(rooms), walls, tuple(board.sign for board in boards.hung), tuple(pieces))
    raise AstraError(f"no floor plan was found for the home of seed {seed}")


# --- schemes: where halls lie and which strips are left for rooms ---


def _central_hall(rng: np.random.Generator) -> Scheme:
    """Living room and kitchen at one end, a hall between two rows of rooms, the entrance at its other end."""
    width, depth, hall = draw(9.0, 11.6, rng), draw(7.4, 10.2, rng), draw(1.35, 1.7, rng)
    social, low = draw(4.2, 5.4, rng), on_grid((depth - hall) * float(rng.uniform(0.42, 0.58)))
    high, door = on_grid(low + hall), on_grid(width - draw(1.7, 2.3, rng))
    names = ["living_room", "kitchen"] if depth < 8.4 or rng.random() < 0.35 else ["living_room", "dining_room", "kitchen"]
    stretches = divide(0.0, depth, [LIMITS[name].usual_m2 for name in names], rng)
    cells = [Cell(name, (0.0, a, social, b)) for name, (a, b) in zip(names, stretches)]
    cells += [Cell("hallway", (social, low, door, high)), Cell("entrance", (door, low, width, high))]
    return Scheme((width, depth), tuple(cells), (Band((social, 0.0, width, low), 0), Band((social, high, width, depth), 0)))


def _spine(rng: np.random.Generator) -> Scheme:
    """A hall all the way through, rooms on both sides."""
    width, depth, hall = draw(9.0, 12.0, rng), draw(7.4, 10.0, rng), draw(1.35, 1.8, rng)
    low = on_grid((depth - hall) * float(rng.uniform(0.42, 0.58)))
    high, door = on_grid(low + hall), draw(1.7, 2.4, rng)
    cells = (Cell("entrance", (0.0, low, door, high)), Cell("hallway", (door, low, width, high)))
    return Scheme((width, depth), cells, (Band((0.0, 0.0, width, low), 0), Band((0.0, high, width, depth), 0)))


def _hub(rng: np.random.Generator) -> Scheme:
    """A living room in the middle with rooms on two sides; entrance and toilet at its foot."""
    left, middle, right, depth = draw(2.9, 3.9, rng), draw(3.7, 5.2, rng), draw(2.5, 3.6, rng), draw(5.4, 9.2, rng)
    foot, width = draw(1.7, 2.1, rng), on_grid(left + middle + right)
    x1, x2 = left, on_grid(left + middle)
    cells = [Cell("living_room", (x1, foot, x2, depth))]
    split = on_grid(x1 + draw(1.3, 1.6, rng))
    if rng.random() < 0.7:
        cells += [Cell("toilet", (x1, 0.0, split, foot)), Cell("entrance", (split, 0.0, x2, foot))]
    else:
        cells += [Cell("entrance", (x1, 0.0, x2, foot))]
    return Scheme((width, depth), tuple(cells), (Band((0.0, 0.0, x1, depth), 1), Band((x2, 0.0, width, depth), 1)))


def _elbow(rng: np.random.Generator) -> Scheme:
    """A hall with a corner, sometimes with a toilet at its end."""
    width, depth, hall = draw(9.6, 11.8, rng), draw(8.2, 10.6, rng), draw(1.4, 1.7, rng)
    south, east, door = draw(3.4, 4.4, rng), draw(3.0, 4.0, rng), draw(1.7, 2.3, rng)
    y1, x2 = on_grid(south + hall), on_grid(width - east)
    x1 = on_grid(x2 - hall)
    top = on_grid(depth - draw(1.7, 2.2, rng)) if rng.random() < 0.6 else depth
    cells = [Cell("entrance", (0.0, south, door, y1)), Cell("hallway", (door, south, x2, y1)), Cell("hallway", (x1, y1, x2, top))]
    if top < depth:
        cells.append(Cell("toilet", (x1, top, x2, depth)))
    bands = (Band((0.0, 0.0, x2, south), 0), Band((0.0, y1, x1, depth), 0), Band((x2, 0.0, width, depth), 1))
    return Scheme((width, depth), tuple(cells), bands)


def _side_hall(rng: np.random.Generator) -> Scheme:
    """A hall along an outer wall with a row of rooms, the living room across the end."""
    width, depth, hall = draw(11.6, 13.6, rng), draw(5.4, 6.6, rng), draw(1.4, 1.8, rng)
    x2, y1, door = on_grid(width - draw(3.8, 4.6, rng)), on_grid(depth - hall), draw(1.7, 2.3, rng)
    cells = [Cell("entrance", (0.0, y1, door, depth)), Cell("hallway", (door, y1, x2, depth)), Cell("living_room", (x2, 0.0, width, depth))]
    return Scheme((width, depth), tuple(cells), (Band((0.0, 0.0, x2, y1), 0),))


SCHEMES: tuple[Callable[[np.random.Generator], Scheme], ...] = (_central_hall, _spine, _hub, _elbow, _side_hall)


# --- from a scheme to rooms ---


def _fill(scheme: Scheme, rng: np.random.Generator) -> list[Cell] | None:
    """Cut the strips into rooms drawn from what a home of this size has; None if they do not work out."""
    area = scheme.size[0] * scheme.size[1]
    if not AREA_M2[0] <= area <= AREA_M2[1]:
        return None
    wished = _programme(area, [cell.category for cell in scheme.cells], rng)
    cells = list(scheme.cells)
    for index in rng.permutation(len(scheme.bands)):
        band = scheme.bands[int(index)]
        length, depth = band.box[2 + band.axis] - band.box[band.axis], band.box[3 - band.axis] - band.box[1 - band.axis]
        taken: list[str] = []
        while wished and sum(LIMITS[c].usual_m2 for c in taken) / depth < 0.85 * length:
            taken.append(wished.pop(0))
        if not taken:
            return None
        taken = [taken[int(i)] for i in rng.permutation(len(taken))]
        for category, (a, b) in zip(taken, divide(band.box[band.axis], band.box[2 + band.axis], [LIMITS[c].usual_m2 for c in taken], rng)):
            box = (a, band.box[1], b, band.box[3]) if band.axis == 0 else (band.box[0], a, band.box[2], b)
            cells.append(Cell(category, box))
    return cells


def _programme(area: float, present: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Rooms still to be found space for: the needed ones early, in random order, then those that are nice to have."""
    needed = [c for c in NEEDED if c not in present]
    sleeping = 0 if area < 62 else 1 if area < 85 else 2
    more = [str(rng.choice(["bedroom", "kids_room", "study"], p=[0.4, 0.4, 0.2])) for _ in range(sleeping)]
    nice = [c for c, chance in (("study", 0.35), ("dining_room", 0.5), ("laundry", 0.4), ("kids_room", 0.2), ("bathroom", 0.1)) if rng.random() < chance]
    small = [str(rng.choice(["laundry", "study", "dining_room"]))] if rng.random() < 0.5 else []
    first, rest = needed + more[:1] + small, more[1:] + nice
    return [first[int(i)] for i in rng.permutation(len(first))] + [rest[int(i)] for i in rng.permutation(len(rest))]


def _livable(cells: Sequence[Cell]) -> bool:
    """Does every room measure what its kind does, and is none missing or one too many?"""
    counts = Counter(cell.category for cell in cells)
    if any(counts[c] == 0 for c in NEEDED) or counts["bedroom"] + counts["kids_room"] > 3 or any(counts[c] > most for c, most in MOST.items()):
        return False
    return all(
        LIMITS[cell.category].least_m2 <= area_m2(cell.box) <= LIMITS[cell.category].most_m2
        and min(cell.size) >= LIMITS[cell.category].side_m
        and slenderness(cell.box) <= LIMITS[cell.category].slender
        for cell in cells
    )


def _named(cells: Sequence[Cell], rng: np.random.Generator) -> list[Room]:
    """Rooms with names of their own, bedroom, bedroom_2 and so on, each with a floor."""
    wood = str(rng.choice(["planks", "carpet"], p=[0.8, 0.2]))
    seen: Counter[str] = Counter()
    rooms = []
    for cell in cells:
        seen[cell.category] += 1
        name = cell.category if seen[cell.category] == 1 else f"{cell.category}_{seen[cell.category]}"
        floor = str(rng.choice(FLOORS[cell.category])) if cell.category in FLOORS else wood
        rooms.append(Room(name, cell.category, "", cell.box, floor, cell.category != "hallway"))
    return rooms


# --- openings ---


def _join(rooms: Sequence[Room], rng: np.random.Generator) -> tuple[list[Doorway], list[Doorway]] | None:
    """Doors and passages, and the stretches left without a wall; None if some room cannot be entered as such rooms are."""
    doors: list[Doorway] = []
    unwalled: list[Doorway] = []
    for a, b in _pairs(rooms, ("hallway", "hallway")) + _pairs(rooms, ("entrance", "hallway")):
        unwalled.append(passage(a, b))
    for kinds in OPEN_PAIRS:
        for a, b in _pairs(rooms, kinds):
            if rng.random() < 0.75:
                _open_up(a, b, doors, unwalled, rng)
    for room in rooms:
        if room.category in DOORS_TO and not any(room.name in door.rooms and _leads_out(room, door, rooms) for door in [*doors, *unwalled]):
            door = _first_door(room, rooms, rng)
            if door is None:
                return None
            doors.append(door)
    if not connected([room.name for room in rooms], [*doors, *unwalled]) or not _has_wall_for_coats(rooms, doors):
        return None
    for kinds in INNER_PAIRS:
        for a, b in _pairs(rooms, kinds):
            if rng.random() < 0.25 and not any({a.name, b.name} == set(door.rooms) for door in doors):
                inner = opening(a, b, _door_width(rng), rng)
                doors += [inner] if inner else []
    return (doors, unwalled) if _washable(rooms, doors) else None


def _pairs(rooms: Sequence[Room], kinds: tuple[str, str]) -> list[tuple[Room, Room]]:
    """Neighbours of two categories."""
    return [
        (a, b)
        for i, a in enumerate(rooms)
        for b in rooms[i + 1 :]
        if (a.category, b.category) in (kinds, kinds[::-1]) and length_m(shared_wall(a.box, b.box)) > 0.8
    ]


def _open_up(a: Room, b: Room, doors: list[Doorway], unwalled: list[Doorway], rng: np.random.Generator) -> None:
    """An open passage between two rooms, or no wall at all between living, dining and cooking."""
    wall = length_m(shared_wall(a.box, b.box))
    halls = {"hallway", "entrance"} & {a.category, b.category}
    if not halls and wall > 2.2 and rng.random() < 0.3:
        unwalled.append(passage(a, b))
        return
    width = on_grid(min(float(rng.uniform(1.1, 2.2)), wall - 0.5))
    door = opening(a, b, width if width >= 0.9 else 0.85, rng, central=bool(rng.random() < 0.5))
    if door:
        doors.append(door)


def _leads_out(room: Room, door: Doorway, rooms: Sequence[Room]) -> bool:
    """Does an opening lead to a kind of room that this one opens to?"""
    other = next(r for r in rooms if r.name in door.rooms and r.name != room.name)
    return other.category in DOORS_TO[room.category]


def _first_door(room: Room, rooms: Sequence[Room], rng: np.random.Generator) -> Doorway | None:
    """A door to the likeliest neighbour that there is."""
    for category in DOORS_TO[room.category]:
        for other in rooms:
            if other.category == category and other is not room:
                door = opening(room, other, _door_width(rng), rng)
                if door:
                    return door
    return None


def _door_width(rng: np.random.Generator) -> float:
    return float(rng.choice([0.8, 0.85, 0.9, 0.95, 1.0]))


def _has_wall_for_coats(rooms: Sequence[Room], doors: Sequence[Doorway]) -> bool:
    """Do at most two doors open into each entrance, and into a small one no more than one?"""
    entrances = [room for room in rooms if room.category == "entrance"]
    return all(sum(room.name in door.rooms for door in doors) <= (1 if area_m2(room.box) < 4.5 else 2) for room in entrances)


def _washable(rooms: Sequence[Room], doors: Sequence[Doorway]) -> bool:
    """Can a bathroom or toilet be reached without going through a bedroom?"""
    public = {room.name for room in rooms if room.category in ("hallway", "entrance", "living_room")}
    wet = {room.name for room in rooms if room.category in ("bathroom", "toilet")}
    return any(set(door.rooms) & wet and set(door.rooms) & public for door in doors)


# --- signs ---


def _hang(boards: Boards, rooms: list[Room], doors: Sequence[Doorway], rng: np.random.Generator) -> list[Room]:
    """The few words of a home: a child's name at the door, a print in the kitchen, a calendar; the rooms that they name carry them."""
    names = iter(rng.permutation(np.array(NAMES)).tolist())
    labels: dict[str, str] = {}
    by_name = {room.name: room for room in rooms}
    for room in rooms:
        if room.category == "kids_room" and rng.random() < 0.65:
            door = next(d for d in doors if room.name in d.rooms)
            hub = by_name[door.rooms[0] if door.rooms[1] == room.name else door.rooms[1]]
            text = str(next(names))
            if boards.beside(door, hub, text, room.name):
                labels[room.name] = text
        if room.category == "kitchen" and rng.random() < 0.45:
            boards.inside(room, str(rng.choice(KITCHEN_WORDS)), rng)
        if room.category in ("study", "dining_room", "laundry") and rng.random() < 0.5:
            boards.inside(room, str(rng.choice(CALENDAR_WORDS)), rng)
    return [Room(r.name, r.category, labels.get(r.name, ""), r.box, r.floor, r.is_goal) for r in rooms]
