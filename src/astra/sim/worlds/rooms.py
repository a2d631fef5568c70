"""Furnishes a room by what it is for: telling things first, then what makes it lived in. See `recipes` for the lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from astra.core.errors import BadInputError
from astra.sim.worlds.placing import GAP_M, Doorway, Floor, Group, Keep, Member, Pose, footprint
from astra.sim.worlds.plan import Catalogue, Kind, Model, Piece, Room
from astra.sim.worlds.recipes import RECIPES, Rule

SEAT_M = 0.62  # of a table's edge for each chair
TURNED_DEG = 7.0  # standard deviation of how chairs stand askew
ATTEMPTS = 3


def furnish(
    room: Room,
    doors: Sequence[Doorway],
    catalogue: Catalogue,
    rng: np.random.Generator,
    clutter: float = 1.0,
    kind: Kind = "home",
    keeps: Sequence[Keep] = (),
) -> list[Piece]:
    """Furniture for a room: inside it, apart from each other, clear of its doors, with ways open between them and to a free square.

    Args:
        room: its category chooses the recipe of this kind of world.
        doors: every opening in its walls.
        catalogue: what there is to choose from.
        rng: decides everything.
        clutter: scales the number of loose things; 1 is usual.
        kind: home, office or warehouse.
        keeps: further floor to keep clear, for example before signs.

    Raises:
        BadInputError: no recipe for that category.
    """
    if room.category not in RECIPES[kind]:
        raise BadInputError(f"room {room.name}: no furniture is known for category '{room.category}' of kind '{kind}'")
    rules = RECIPES[kind][room.category]
    best: tuple[int, list[Piece]] = (-1, [])
    for _ in range(ATTEMPTS):
        floor, kept = Floor(room, doors, keeps), 0
        for rule in rules:
            placed = _follow(rule, floor, catalogue, rng, clutter)
            kept += placed > 0 and not rule.loose
        telling = sum(rule.chance == 1.0 and not rule.loose and rule.count[0] > 0 for rule in rules)
        if kept > best[0]:
            best = (kept, floor.pieces)
        if kept >= telling:
            break
    return best[1]


def furnish_all(
    rooms: Sequence[Room],
    doors: Sequence[Doorway],
    catalogue: Catalogue,
    rng: np.random.Generator,
    clutter: float,
    kind: Kind,
    keeps_in: Callable[[Room], list[Keep]],
) -> list[Piece]:
    """Furniture for all rooms of a plan; `keeps_in` gives the floor that stays clear in each."""
    pieces: list[Piece] = []
    for room in rooms:
        own = [door for door in doors if room.name in door.rooms]
        pieces += furnish(room, own, catalogue, rng, clutter, kind, keeps_in(room))
    return pieces


def _follow(rule: Rule, floor: Floor, catalogue: Catalogue, rng: np.random.Generator, clutter: float) -> int:
    """Put what a rule asks for, as far as it fits; how many were put."""
    level = clutter if rule.loose else 1.0
    if rng.random() > rule.chance * (level if rule.chance < 1.0 else 1.0):
        return 0
    wanted = int(rng.integers(rule.count[0], rule.count[1] + 1))
    if rule.loose:
        wanted = math.floor(wanted * level + float(rng.random())) if level != 1.0 else wanted
    builder = GROUPS.get(rule.what, _single)
    done = 0
    for _ in range(wanted):
        groups = [group for within in _sizes(rule) if (group := builder(rule, within, catalogue, rng))]
        if not any(floor.put_at_first(group, _poses(group, rule, floor, rng)) for group in groups):
            break
        done += 1
    singles = (replace(rule, what=category, where="any", count=(1, 1), instead=()) for category in rule.instead)
    return done or sum(_follow(single, floor, catalogue, rng, clutter) for single in singles)


def _sizes(rule: Rule) -> list[tuple[float, float, float]]:
    """Largest sizes to try: as given, then smaller where a piece may be too large for the room."""
    d, w, h = rule.within
    return [(d, w, h)] if rule.loose else [(d, w, h), (0.85 * d, 0.75 * w, h), (0.7 * d, 0.55 * w, h)]


def _poses(group: Group, rule: Rule, floor: Floor, rng: np.random.Generator) -> list[Pose]:
    if rule.where == "middle":
        return floor.in_middle(rng)
    if rule.where == "opposite":
        return floor.opposite(group, rng)
    first = floor.at_wall(group, rule.where, rng)
    return first if rule.where == "any" else first + floor.at_wall(group, "any", rng)


# --- groups: (rule, within, catalogue, rng) -> members in the group's frame, backs at x = 0, or None ---


def _single(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    model = catalogue.pick(rule.what, rng, within)
    return [_backed(model, rule.front_m)] if model else None


def _backed(model: Model, front_m: float = 0.0, y: float = 0.0) -> Member:
    """A model with its back at the group's origin."""
    return Member(model, model.size_m[0] / 2, y, 0.0, front_m)


def _bath(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A bathtub or a shower, whichever there is."""
    for category in rng.permutation(["bathtub", "shower"]):
        model = catalogue.pick(str(category), rng, within)
        if model:
            return [_backed(model, rule.front_m)]
    return None


def _desk_and_chair(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A desk at the wall and its chair before it, or the other way round, as a manager sits."""
    desk, chair = catalogue.pick("desk", rng, within), catalogue.pick("office_chair", rng, (0.9, 0.9, 1.4)) or catalogue.pick("chair", rng, (0.8, 0.8, 1.2))
    if desk is None or chair is None:
        return [_backed(desk)] if desk else None
    askew, aside = float(rng.normal(0.0, TURNED_DEG)), float(rng.uniform(-0.1, 0.1))
    reach = _reach(chair, askew)
    if rng.random() < 0.75:
        return [_backed(desk), Member(chair, desk.size_m[0] + GAP_M + reach, aside, 180.0 + askew)]
    room_m = 2 * reach + 0.2
    return [Member(chair, 0.1 + reach, aside, askew), Member(desk, room_m + GAP_M + desk.size_m[0] / 2, 0.0, 180.0)]


def _reach(model: Model, degrees: float) -> float:
    """Half the depth of the box around a model that stands askew."""
    box = footprint(Piece(model, 0.0, 0.0, degrees, ""))
    return box[2]


def _desk_pair(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """Two desks back to back with a chair each, centred on the origin."""
    desk, chair = catalogue.pick("desk", rng, within), catalogue.pick("office_chair", rng, (0.9, 0.9, 1.4))
    if desk is None or chair is None:
        return None
    middle = GAP_M / 2 + desk.size_m[0] / 2
    seat = GAP_M * 1.5 + desk.size_m[0]
    group = [Member(desk, middle, 0.0, 0.0), Member(desk, -middle, 0.0, 180.0)]
    for side in (1.0, -1.0):
        askew = float(rng.normal(0.0, TURNED_DEG))
        group.append(Member(chair, side * (seat + _reach(chair, askew)), 0.0, (180.0 if side > 0 else 0.0) + askew))
    return group


def _table_and_chairs(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A table centred on the origin with chairs along its long sides, and at its ends if there are few."""
    table, chair = catalogue.pick("table", rng, within), catalogue.pick("chair", rng, (0.8, 0.7, 1.2))
    if table is None or chair is None:
        return [Member(table, 0.0, 0.0)] if table else None
    depth, width, _ = table.size_m
    turn = 0.0 if width >= depth else 90.0  # chairs stand along the longer sides
    long_m, short_m = max(depth, width), min(depth, width)
    seats = max(1, math.floor(long_m / max(SEAT_M, chair.size_m[1] + 2 * GAP_M)))
    group = [Member(table, 0.0, 0.0, turn)]
    for side in (1.0, -1.0):
        for k in range(seats):
            if seats > 1 and rng.random() < 0.12:
                continue
            askew = float(rng.normal(0.0, TURNED_DEG)) if chair.size_m[1] + 2 * GAP_M + 0.1 < long_m / seats else 0.0
            y = (k - (seats - 1) / 2) * long_m / seats
            group.append(Member(chair, side * (short_m / 2 + GAP_M + _reach(chair, askew)), y, (180.0 if side > 0 else 0.0) + askew))
    return group


def _bed_and_tables(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A bed, its head at the wall, with a bedside table on one side or both."""
    bed, table = catalogue.pick("bed", rng, within), catalogue.pick("bedside_table", rng, (0.6, 0.7, 0.9))
    if bed is None:
        return None
    group = [_backed(bed)]
    sides = [(1.0, -1.0), (1.0,), (-1.0,)][int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    if table is not None and within == rule.within:
        group += [_backed(table, 0.0, side * (bed.size_m[1] / 2 + GAP_M + table.size_m[1] / 2)) for side in sides]
    return group


def _sofa_corner(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A sofa at the wall with a low table before it, and perhaps an armchair at the table's end."""
    sofa, table = catalogue.pick("sofa", rng, within), catalogue.pick("low_table", rng, (0.9, 1.3, 0.6))
    if sofa is None:
        return None
    group = [_backed(sofa)]
    if table is None:
        return group
    turn = 0.0 if table.size_m[1] >= table.size_m[0] else 90.0
    long_m, short_m = max(table.size_m[:2]), min(table.size_m[:2])
    middle = sofa.size_m[0] + 0.35 + short_m / 2
    group.append(Member(table, middle, 0.0, turn))
    chair = catalogue.pick("armchair", rng, (1.0, 1.0, 1.3))
    if chair is not None and within == rule.within and rng.random() < 0.5:
        side = float(rng.choice([-1.0, 1.0]))
        deep = sofa.size_m[0] + GAP_M + chair.size_m[1] / 2
        group.append(Member(chair, max(middle, deep), side * (long_m / 2 + 0.3 + chair.size_m[0] / 2), -90.0 * side))
    return group


def _tv_stand(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A television on a low cabinet, or alone."""
    tv = catalogue.pick("tv", rng, (0.6, 1.6, 1.3))
    if tv is None:
        return None
    for category in rng.permutation(["cabinet", "chest_of_drawers", "low_table"]):
        stand = catalogue.pick(str(category), rng, (within[0], within[1], 0.85))
        if stand is not None and stand.size_m[0] >= tv.size_m[0] and stand.size_m[1] >= 0.75 * tv.size_m[1]:
            return [_backed(stand), Member(tv, stand.size_m[0] / 2, 0.0, z_m=stand.size_m[2])]
    return [_backed(tv)]


def _kitchen_row(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """Fridge, counters, sink and stove side by side; in a narrow kitchen without the counters."""
    narrow = within[1] < 0.6 * rule.within[1]
    order = ["fridge", "counter", "sink", "counter", "stove"]
    if within != rule.within:
        order = ["fridge", "stove", "sink"] if narrow else ["fridge", "counter", "sink", "stove"]
    if rng.random() < 0.5:
        order.reverse()
    return _row(order, (rule.within[0], 0.95 if narrow else rule.within[1], rule.within[2]), catalogue, rng)


def _kitchen_rest(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """Another short row."""
    return _row([str(c) for c in rng.permutation(["dishwasher", "counter"])], within, catalogue, rng)


def _row(categories: Sequence[str], within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    models = [model for category in categories if (model := catalogue.pick(category, rng, within))]
    if not models:
        return None
    total = sum(model.size_m[1] for model in models) + GAP_M * (len(models) - 1)
    group, y = [], -total / 2
    for model in models:
        group.append(_backed(model, 0.55, y + model.size_m[1] / 2))
        y += model.size_m[1] + GAP_M
    return group


def _reception_counter(rule: Rule, within: tuple[float, float, float], catalogue: Catalogue, rng: np.random.Generator) -> Group | None:
    """A reception desk, its front to the visitors, with a chair between it and the wall."""
    desk, chair = catalogue.pick("reception_desk", rng, within) or catalogue.pick("desk", rng, within), catalogue.pick("office_chair", rng, (0.9, 0.9, 1.4))
    if desk is None:
        return None
    if chair is None:
        return [_backed(desk)]
    reach = _reach(chair, 0.0)
    behind = 2 * reach + 0.3
    return [Member(chair, 0.2 + reach, 0.0), Member(desk, behind + GAP_M + desk.size_m[0] / 2, 0.0)]


Builder = Callable[[Rule, tuple[float, float, float], Catalogue, np.random.Generator], "Group | None"]
GROUPS: dict[str, Builder] = {
    "bath": _bath,
    "desk_and_chair": _desk_and_chair,
    "desk_pair": _desk_pair,
    "table_and_chairs": _table_and_chairs,
    "bed_and_tables": _bed_and_tables,
    "sofa_corner": _sofa_corner,
    "tv_stand": _tv_stand,
    "kitchen_row": _kitchen_row,
    "kitchen_rest": _kitchen_rest,
    "reception_counter": _reception_counter,
}
