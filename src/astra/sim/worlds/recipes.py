"""What stands in each category of room, the telling things first. `rooms.furnish` reads these lists from top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from astra.sim.worlds.plan import Kind

Where = Literal["any", "corner", "centre", "snug", "middle", "opposite"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Some pieces of a category, or groups of a kind that `rooms.GROUPS` knows, and where they stand.

    Args:
        what: category of furniture or name of a group.
        where: at a wall (`any`, in a `corner`, `centre`, `snug` beside others, `opposite` the first piece), or in the `middle`.
        count: fewest and most.
        chance: that there are any at all.
        front_m: floor that stays free before each.
        within: largest depth, width, height [m].
        loose: clutter, whose number grows and shrinks with the clutter level.
        instead: categories to put one by one along the walls where the group does not fit.
    """

    what: str
    where: Where = "any"
    count: tuple[int, int] = (1, 1)
    chance: float = 1.0
    front_m: float = 0.0
    within: tuple[float, float, float] = (1.2, 2.4, 2.3)
    loose: bool = False
    instead: tuple[str, ...] = ()


def _loose(what: str, count: tuple[int, int], where: Where = "any", chance: float = 1.0, within: tuple[float, float, float] = (0.8, 1.4, 2.2)) -> Rule:
    return Rule(what, where, count, chance, 0.0, within, True)


_PLANTS = _loose("plant", (0, 2), "corner", within=(0.7, 0.7, 2.2))
_LAMP = _loose("lamp", (0, 1), "corner", within=(0.6, 0.6, 2.2))
_KEEPING = _loose("chest_of_drawers", (0, 1))

_BATHROOM = (
    Rule("bath", "corner", within=(1.0, 1.9, 2.3), front_m=0.45),
    Rule("toilet", "any", front_m=0.5),
    Rule("washbasin", "any", front_m=0.5, within=(0.8, 1.4, 2.3)),
    Rule("washing_machine", "snug", chance=0.25, front_m=0.5),
    _loose("cabinet", (0, 1), "snug", within=(0.5, 0.8, 2.2)),
)
_RESTROOM = (
    Rule("toilet", "any", (1, 3), front_m=0.5),
    Rule("washbasin", "any", (1, 2), front_m=0.5, within=(0.8, 1.6, 2.3)),
    _loose("cabinet", (0, 1), "snug", within=(0.5, 0.8, 2.2)),
)
_OFFICE = (
    Rule("desk_and_chair", "any", within=(1.0, 2.0, 1.5)),
    Rule("desk_and_chair", "snug", (0, 2), within=(1.0, 1.8, 1.5)),
    Rule("bookcase", "any", (0, 1), front_m=0.3, within=(0.6, 1.5, 2.3)),
    Rule("filing_cabinet", "snug", (0, 2), front_m=0.3),
    Rule("whiteboard", "any", chance=0.15),
    _loose("cabinet", (0, 2), "snug", within=(0.6, 1.4, 2.2)),
    _loose("chair", (0, 2), within=(0.8, 0.8, 1.2)),
    _PLANTS,
    _LAMP,
)

RECIPES: dict[Kind, dict[str, tuple[Rule, ...]]] = {
    "home": {
        "living_room": (
            Rule("sofa_corner", "centre", within=(1.2, 2.6, 1.3), instead=("sofa",)),
            Rule("tv_stand", "opposite", within=(0.7, 2.0, 0.9)),
            Rule("bookcase", "snug", (0, 2), within=(0.6, 1.6, 2.3)),
            Rule("piano", "any", chance=0.12, front_m=0.6, within=(1.0, 1.8, 1.6)),
            _loose("armchair", (0, 1), "corner", within=(1.1, 1.1, 1.3)),
            _loose("chest_of_drawers", (0, 1), "snug"),
            _PLANTS,
            _LAMP,
            _loose("cabinet", (0, 1), "snug", within=(0.6, 1.6, 2.2)),
        ),
        "kitchen": (
            Rule("kitchen_row", "snug", within=(0.85, 1.3, 2.3), instead=("fridge", "stove", "counter")),
            Rule("kitchen_rest", "snug", chance=0.5, within=(0.85, 1.3, 2.3)),
            Rule("table_and_chairs", "middle", chance=0.55, within=(1.0, 1.4, 1.0)),
            _loose("shelf", (0, 1), within=(0.5, 1.2, 2.3)),
            _loose("stool", (0, 2), within=(0.6, 0.6, 1.0)),
            _loose("plant", (0, 1), "corner", within=(0.6, 0.6, 2.0)),
        ),
        "bathroom": _BATHROOM,
        "bedroom": (
            Rule("bed_and_tables", "centre", within=(2.4, 2.2, 1.6), instead=("bed",)),
            Rule("wardrobe", "snug", (1, 2), front_m=0.5, within=(0.8, 2.2, 2.4)),
            Rule("chest_of_drawers", "any", (0, 1), front_m=0.4),
            Rule("desk_and_chair", "any", chance=0.2, within=(0.9, 1.4, 1.5)),
            _loose("armchair", (0, 1), "corner", within=(1.0, 1.0, 1.3)),
            _LAMP,
            _loose("plant", (0, 1), "corner", within=(0.6, 0.6, 2.0)),
        ),
        "kids_room": (
            Rule("child_bed", "corner", within=(2.1, 2.1, 2.0), front_m=0.4),
            Rule("toy", "any", (1, 3), within=(0.9, 0.9, 1.2)),
            Rule("desk_and_chair", "any", chance=0.5, within=(0.9, 1.4, 1.5)),
            Rule("wardrobe", "snug", front_m=0.4, within=(0.8, 1.6, 2.3)),
            _loose("toy", (0, 3), within=(0.8, 0.8, 1.2)),
            _loose("shelf", (0, 1), within=(0.5, 1.2, 2.3)),
            _KEEPING,
        ),
        "study": (
            Rule("desk_and_chair", "any", within=(1.0, 2.0, 1.5)),
            Rule("bookcase", "snug", (1, 3), front_m=0.3, within=(0.6, 1.5, 2.3)),
            Rule("armchair", "corner", chance=0.4, within=(1.1, 1.1, 1.3)),
            _loose("filing_cabinet", (0, 1), "snug"),
            _PLANTS,
            _LAMP,
        ),
        "dining_room": (
            Rule("table_and_chairs", "middle", within=(1.2, 2.2, 1.0)),
            Rule("cabinet", "any", (0, 1), front_m=0.3, within=(0.6, 1.8, 2.3)),
            _loose("chest_of_drawers", (0, 1), "snug"),
            _PLANTS,
            _LAMP,
        ),
        "laundry": (
            Rule("washing_machine", "snug", (1, 2), front_m=0.5),
            Rule("sink", "snug", front_m=0.4, within=(0.8, 1.3, 2.0)),
            Rule("shelf", "any", (0, 1), within=(0.5, 1.2, 2.3)),
            _loose("boxes", (0, 2), "corner", within=(0.6, 0.6, 1.2)),
        ),
        "toilet": (Rule("toilet", "centre", front_m=0.4), Rule("washbasin", "any", front_m=0.3, within=(0.5, 0.7, 2.3))),
        "entrance": (
            Rule("shoe_rack", "snug", within=(0.5, 1.2, 1.6)),
            _loose("cabinet", (0, 1), "snug", chance=0.6, within=(0.45, 1.0, 2.2)),
            _loose("bench", (0, 1), chance=0.3, within=(0.45, 1.0, 1.0)),
            _loose("bicycle", (0, 1), chance=0.08, within=(0.7, 1.9, 1.3)),
            _loose("plant", (0, 1), "corner", chance=0.6, within=(0.5, 0.5, 2.0)),
        ),
        "hallway": (
            _loose("chest_of_drawers", (0, 1), chance=0.4, within=(0.42, 1.0, 1.2)),
            _loose("plant", (0, 1), "corner", chance=0.5, within=(0.5, 0.5, 2.0)),
            _loose("bookcase", (0, 1), chance=0.25, within=(0.4, 1.0, 2.3)),
        ),
    },
    "office": {
        "office": _OFFICE,
        "open_space": (
            Rule("desk_pair", "middle", (1, 6), within=(0.9, 1.8, 1.5)),
            Rule("desk_and_chair", "any", (1, 4), within=(0.9, 1.8, 1.5)),
            Rule("filing_cabinet", "snug", (1, 3), front_m=0.3),
            Rule("whiteboard", "any", chance=0.3),
            _loose("cabinet", (0, 2), "snug", within=(0.6, 1.4, 2.2)),
            _loose("plant", (1, 3), "corner", within=(0.8, 0.8, 2.2)),
        ),
        "meeting_room": (
            Rule("whiteboard", "centre", within=(0.8, 2.4, 2.3)),
            Rule("table_and_chairs", "middle", within=(1.6, 3.0, 1.0)),
            Rule("tv_stand", "any", chance=0.35, within=(0.6, 1.6, 0.9)),
            _loose("cabinet", (0, 1), within=(0.6, 1.6, 1.3)),
            _loose("chair", (0, 3), "snug", within=(0.8, 0.8, 1.2)),
            _PLANTS,
        ),
        "kitchen": (
            Rule("kitchen_row", "snug", within=(0.85, 1.3, 2.3), instead=("fridge", "stove", "counter")),
            Rule("table_and_chairs", "middle", chance=0.7, within=(1.0, 1.5, 1.0)),
            Rule("vending_machine", "snug", chance=0.35, front_m=0.5, within=(1.0, 1.3, 2.3)),
            Rule("water_dispenser", "snug", chance=0.4, front_m=0.4),
            _loose("stool", (0, 2), within=(0.6, 0.6, 1.0)),
            _PLANTS,
        ),
        "lounge": (
            Rule("sofa_corner", "centre", within=(1.2, 2.6, 1.3), instead=("sofa",)),
            Rule("sofa", "any", chance=0.5, within=(1.2, 2.4, 1.3), front_m=0.4),
            Rule("armchair", "corner", (1, 2), within=(1.1, 1.1, 1.3)),
            Rule("bookcase", "any", chance=0.4, within=(0.6, 1.4, 2.3)),
            Rule("water_dispenser", "snug", chance=0.2, front_m=0.4),
            _loose("plant", (1, 3), "corner", within=(0.8, 0.8, 2.2)),
            _LAMP,
        ),
        "copy_room": (
            Rule("copier", "any", (1, 2), front_m=0.6, within=(1.1, 1.8, 1.7)),
            Rule("shelf", "any", (1, 2), front_m=0.3, within=(0.6, 1.4, 2.3)),
            Rule("table", "any", chance=0.6, within=(0.9, 1.6, 1.0)),
            _loose("boxes", (0, 2), "corner", within=(0.7, 0.7, 1.3)),
            _loose("cabinet", (0, 1), "snug", within=(0.6, 1.2, 2.2)),
            _loose("plant", (0, 1), "corner", within=(0.6, 0.6, 2.0)),
        ),
        "storage": (
            Rule("shelf", "snug", (2, 5), within=(0.7, 1.8, 2.4)),
            Rule("boxes", "corner", (1, 3), within=(0.9, 0.9, 1.6)),
            _loose("crate", (0, 3), "snug", within=(0.8, 0.9, 1.2)),
            _loose("locker", (0, 2), "snug", within=(0.6, 1.0, 2.2)),
            _loose("boxes", (0, 3), "snug", within=(0.8, 0.8, 1.5)),
        ),
        "restroom": _RESTROOM,
        "reception": (
            Rule("reception_counter", "centre", within=(1.2, 2.6, 1.4), instead=("reception_desk",)),
            Rule("armchair", "corner", (1, 2), within=(1.0, 1.0, 1.3)),
            Rule("sofa", "any", chance=0.4, front_m=0.4, within=(1.1, 2.2, 1.3)),
            _loose("plant", (1, 3), "corner", within=(0.8, 0.8, 2.2)),
            _loose("cabinet", (0, 1), "snug", within=(0.6, 1.4, 2.2)),
        ),
        "server_room": (
            Rule("server_rack", "snug", (2, 5), front_m=0.5, within=(1.2, 1.2, 2.3)),
            _loose("filing_cabinet", (0, 1), "snug"),
            _loose("boxes", (0, 1), "corner", within=(0.7, 0.7, 1.2)),
        ),
        "phone_booth": (Rule("stool", "corner", within=(0.6, 0.6, 1.2)), Rule("table", "any", chance=0.6, within=(0.6, 0.8, 1.2))),
        "exit": (
            Rule("plant", "corner", (1, 2), within=(0.7, 0.7, 2.2)),
            _loose("armchair", (0, 1), "corner", within=(1.0, 1.0, 1.3)),
            _loose("cabinet", (0, 1), "any", within=(0.6, 1.2, 1.4)),
            _loose("bench", (0, 1), "any", within=(0.6, 1.6, 1.0)),
        ),
        "corridor": (
            _loose("plant", (0, 2), "any", within=(0.45, 0.45, 2.0)),
            _loose("water_dispenser", (0, 1), "any", chance=0.3, within=(0.45, 0.5, 1.6)),
            _loose("bench", (0, 1), "any", chance=0.25, within=(0.45, 1.4, 1.0)),
        ),
    },
    "warehouse": {
        "office": _OFFICE,
        "break_room": (
            Rule("vending_machine", "any", (1, 2), front_m=0.5, within=(1.0, 1.3, 2.3)),
            Rule("table_and_chairs", "middle", within=(1.0, 1.8, 1.0)),
            Rule("counter", "any", chance=0.6, front_m=0.5, within=(0.8, 1.6, 2.3)),
            Rule("water_dispenser", "snug", chance=0.5, front_m=0.4),
            Rule("sofa", "any", chance=0.4, front_m=0.4, within=(1.1, 2.2, 1.3)),
            _loose("locker", (0, 2), "snug", within=(0.6, 1.2, 2.2)),
            _loose("plant", (0, 1), "corner", within=(0.6, 0.6, 2.0)),
        ),
        "restroom": _RESTROOM,
        "first_aid": (
            Rule("first_aid_box", "any", front_m=0.4),
            Rule("bed", "corner", chance=0.6, within=(2.2, 1.2, 1.3)),
            Rule("cabinet", "any", (1, 2), within=(0.6, 1.2, 2.2)),
            Rule("chair", "any", (1, 2), within=(0.8, 0.8, 1.2)),
        ),
        "exit": (Rule("plant", "corner", (1, 2), within=(0.7, 0.7, 2.2)), _loose("crate", (0, 1), "corner", within=(0.7, 0.7, 1.2))),
        "receiving": (
            Rule("pallet", "any", (2, 3), within=(1.1, 1.4, 1.6)),
            Rule("pallet", "middle", (1, 2), chance=0.8, within=(1.1, 1.4, 1.6)),
            _loose("pallet", (0, 3), "snug", within=(1.1, 1.4, 1.6)),
            _loose("drum", (0, 1), "corner", within=(0.8, 0.8, 1.3)),
        ),
        "dock": (
            Rule("roll_cage", "any", (2, 3), within=(1.0, 1.2, 2.0)),
            Rule("roll_cage", "middle", (1, 2), chance=0.6, within=(1.0, 1.2, 2.0)),
            _loose("roll_cage", (0, 3), "snug", within=(1.0, 1.2, 2.0)),
            _loose("pallet", (0, 2), "any", within=(1.1, 1.4, 1.6)),
        ),
        "packing": (
            Rule("packing_table", "any", front_m=0.5, within=(1.1, 2.2, 2.0)),
            Rule("packing_table", "middle", chance=0.7, within=(1.1, 2.2, 2.0)),
            Rule("packing_table", "snug", (0, 1), front_m=0.5, within=(1.1, 2.2, 2.0)),
            _loose("crate", (1, 3), "snug", within=(0.8, 0.9, 1.3)),
        ),
        "returns": (
            Rule("boxes", "any", (2, 3), within=(1.1, 1.4, 1.6)),
            Rule("workbench", "any", front_m=0.5, within=(1.0, 2.0, 1.6)),
            Rule("shelf", "snug", chance=0.5, within=(0.6, 1.5, 2.3)),
            Rule("boxes", "middle", chance=0.6, within=(1.0, 1.2, 1.6)),
            _loose("boxes", (1, 3), "any", within=(1.0, 1.2, 1.6)),
        ),
        "charging": (
            Rule("forklift", "corner", chance=0.8, within=(2.6, 1.4, 2.4)),
            Rule("charging_station", "any", (1, 2), front_m=0.6, within=(1.0, 1.2, 2.2)),
            Rule("charging_station", "snug", (0, 1), front_m=0.6, within=(1.0, 1.2, 2.2)),
            _loose("drum", (0, 1), "corner", within=(0.8, 0.8, 1.3)),
        ),
        "cold_storage": (
            Rule("crate", "any", (2, 4), within=(1.0, 1.3, 1.6)),
            Rule("fridge", "any", chance=0.5, front_m=0.4, within=(1.0, 1.4, 2.3)),
            _loose("crate", (0, 3), "snug", within=(1.0, 1.3, 1.6)),
        ),
    },
}
