"""How the buildings of a kind look."""

from __future__ import annotations

from dataclasses import dataclass, field

from astra.sim.worlds.plan import Kind


@dataclass(frozen=True, slots=True)
class Style:
    """Resolutions [px/m], lamps [m], finishes and pictures.

    `finishes`: by category of room, "" for all others, each with what to choose from. `dado`, `windows`: how often, 0 to 1.
    `outer_doors`: categories of room in which one is painted. `open_above`: one sees far over what stands there.
    """

    wall_px: float
    floor_px: float
    ceiling_px: float
    poster_px: float
    posters_per_m: float
    lamp_spacing_m: float
    lamp_size_m: tuple[float, float]
    ceiling: str
    finishes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dado: float = 0.0
    windows: float = 0.0
    outer_doors: tuple[str, ...] = ("entrance", "exit", "reception")
    open_above: bool = False

    def finishes_of(self, category: str) -> tuple[str, ...]:
        """What the walls of such a room may be made of."""
        return self.finishes.get(category, self.finishes.get("", ("plaster",)))


WET = ("tile", "tile", "plaster")
STYLES: dict[Kind, Style] = {
    "home": Style(
        100.0, 90.0, 45.0, 150.0, 0.4, 3.2, (0.45, 0.45), "plaster",
        {"": ("plaster", "plaster", "paper", "paper", "panel", "brick"), "bathroom": WET, "toilet": WET, "kitchen": WET, "laundry": WET}, windows=0.75,
    ),
    "office": Style(
        100.0, 80.0, 40.0, 150.0, 0.5, 2.6, (0.6, 1.2), "tiles",
        {"": ("plaster",) * 5 + ("paper", "panel", "concrete", "brick"), "restroom": WET, "kitchen": WET}, dado=0.5, windows=0.5,
    ),
    "warehouse": Style(
        80.0, 55.0, 25.0, 130.0, 0.3, 4.2, (0.3, 2.0), "concrete",
        {"": ("concrete", "brick"), "office": ("plaster",), "break_room": ("plaster", "paper"), "restroom": WET, "first_aid": WET},
        outer_doors=("exit", "dock"), open_above=True,
    ),
}  # fmt: skip
