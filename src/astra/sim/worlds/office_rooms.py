"""The rooms of an office: what they measure, which of them there are, what their signs say. Metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Limits:
    """What a room of a category may measure up to the walls' centre lines: usual, least and greatest area, least side, greatest slenderness."""

    usual_m2: float
    least_m2: float
    most_m2: float
    side_m: float
    slender: float = 2.0


LIMITS: dict[str, Limits] = {
    "office": Limits(15.0, 10.0, 24.0, 2.9),
    "open_space": Limits(46.0, 32.0, 75.0, 4.0, 3.2),
    "meeting_room": Limits(19.0, 13.0, 32.0, 3.3),
    "kitchen": Limits(15.0, 10.0, 26.0, 2.9),
    "lounge": Limits(18.0, 13.0, 32.0, 3.3),
    "copy_room": Limits(12.0, 8.5, 20.0, 2.7),
    "storage": Limits(12.0, 7.5, 20.0, 2.5),
    "restroom": Limits(11.0, 6.0, 18.0, 2.5),
    "reception": Limits(18.0, 11.0, 30.0, 3.0, 2.2),
    "server_room": Limits(10.5, 7.0, 18.0, 2.5),
    "phone_booth": Limits(5.5, 3.2, 9.0, 1.6, 2.8),
    "exit": Limits(12.0, 7.5, 20.0, 2.5),
    "corridor": Limits(20.0, 3.0, 80.0, 1.6, 40.0),
}
NEEDED = ("office", "meeting_room", "kitchen", "restroom", "exit")
INNER_PAIRS = ({"office"}, {"office", "meeting_room"}, {"kitchen", "lounge"}, {"copy_room", "storage"}, {"copy_room", "office"}, {"reception", "meeting_room"})
WIDE = {"lounge": 0.6, "kitchen": 0.35, "reception": 0.8, "open_space": 0.7, "exit": 0.5}  # chance of a passage instead of a door
FLOORS: dict[str, tuple[str, ...]] = {
    "office": ("carpet", "planks"),
    "open_space": ("carpet", "planks"),
    "meeting_room": ("carpet", "planks"),
    "kitchen": ("tiles",),
    "lounge": ("carpet", "planks"),
    "copy_room": ("tiles", "carpet"),
    "storage": ("concrete", "tiles"),
    "restroom": ("tiles",),
    "reception": ("tiles", "planks"),
    "server_room": ("tiles", "concrete"),
    "phone_booth": ("carpet",),
    "exit": ("tiles",),
    "corridor": ("carpet", "tiles", "planks"),
}
NAMES = {
    "kitchen": ("KITCHEN", "PANTRY", "TEA ROOM"),
    "lounge": ("LOUNGE", "BREAK AREA"),
    "copy_room": ("COPY ROOM", "PRINTER"),
    "storage": ("STORAGE", "SUPPLIES"),
    "restroom": ("RESTROOM", "TOILETS", "WC"),
    "reception": ("RECEPTION",),
    "server_room": ("SERVER ROOM", "IT ROOM"),
    "phone_booth": ("PHONE BOOTH", "PHONE"),
    "exit": ("EXIT",),
    "open_space": ("TEAM AREA", "OPEN SPACE"),
}
MEETING_NAMES = (
    ("OAK", "BIRCH", "CEDAR", "MAPLE", "WILLOW"),
    ("PARIS", "OSLO", "ROME", "LIMA", "TOKYO"),
    ("TURING", "CURIE", "EULER", "GAUSS", "HOPPER"),
    ("MARS", "VENUS", "SATURN", "TITAN", "EUROPA"),
)


def usual_width_m(category: str, depth_m: float) -> float:
    """How much of a strip's length a room takes up."""
    return max(LIMITS[category].usual_m2 / depth_m, LIMITS[category].side_m * 1.1)


def common_rooms(area_m2: float, present: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The rooms besides offices in a building of this size, those that it must have first."""
    needed = [c for c in NEEDED if c != "office" and c not in present]
    chances = {"copy_room": 0.8, "storage": 0.7, "lounge": 0.65, "meeting_room": 0.5, "server_room": 0.3, "reception": 0.3, "phone_booth": 0.3}
    extra = [c for c, chance in chances.items() if rng.random() < chance and (c == "meeting_room" or c not in present)]
    spare = max(1, round(area_m2 / 28.0)) - len(needed)
    return needed + [extra[int(i)] for i in rng.permutation(len(extra))][: max(0, spare)]


@dataclass(frozen=True, slots=True)
class Signage:
    """How one building words its signs."""

    prefix: str  # before the numbers of offices
    meeting_names: tuple[str, ...]  # none: meeting rooms have numbers
    names: dict[str, str]  # of common rooms

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Signage:
        """The wording of a building."""
        theme = MEETING_NAMES[int(rng.integers(len(MEETING_NAMES)))] if rng.random() < 0.4 else ()
        names = {category: str(rng.choice(choice)) for category, choice in NAMES.items()}
        return cls(str(rng.choice(["ROOM ", "OFFICE ", ""], p=[0.55, 0.2, 0.25])), theme, names)

    def label(self, category: str, number: int, copy: int) -> str:
        """What the signs of a room say, the `copy`-th of its category; "" for corridors."""
        if category == "office":
            return f"{self.prefix}{number}"
        if category == "meeting_room":
            return self.meeting_names[copy - 1] if copy <= len(self.meeting_names) else f"MEETING {number}"
        return self.names.get(category, "")
