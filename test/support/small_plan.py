"""A corridor with three rooms to the north and a hall to the south, whose answers can be worked out on paper."""

from __future__ import annotations

from dataclasses import replace

from astra.sim.worlds.plan import SOUTH, WALL_M, Model, Piece, Plan, Room, SignPlace, Wall

HALF = WALL_M / 2


def small_plan(*, pieces: tuple[Piece, ...] = (), signs: tuple[SignPlace, ...] | None = None) -> Plan:
    """x 0 … 12; hall y -4 … 0, corridor 0 … 2, rooms 2 … 6. Doors 1 m wide: rooms at x 1.5, 5.5, 9.5, the hall at x 1 … 2."""
    rooms = (
        Room("corridor", "corridor", "", (0.0, 0.0, 12.0, 2.0), "tiles", is_goal=False),
        *(Room(f"room_{k}", "office", f"ROOM {k}", (4.0 * k, 2.0, 4.0 * k + 4.0, 6.0), "planks") for k in range(3)),
        Room("lounge", "lounge", "LOUNGE", (0.0, -4.0, 12.0, 0.0), "carpet"),
    )
    walls = (
        Wall((0.0, 2.0), (12.0, 2.0), ((1.5, 2.5), (5.5, 6.5), (9.5, 10.5))), Wall((0.0, 0.0), (12.0, 0.0), ((1.0, 2.0),)),
        Wall((4.0, 2.0), (4.0, 6.0)), Wall((8.0, 2.0), (8.0, 6.0)),
        Wall((0.0, -4.0), (12.0, -4.0)), Wall((0.0, 6.0), (12.0, 6.0)), Wall((0.0, -4.0), (0.0, 6.0)), Wall((12.0, -4.0), (12.0, 6.0)),
    )  # fmt: skip
    if signs is None:
        signs = tuple(SignPlace(f"ROOM {k}", (4.0 * k + 3.2, 2.0 - HALF), SOUTH, 0.15, 1.25, f"room_{k}") for k in range(3))
    return Plan("office", 0, (0.0, -4.0, 12.0, 6.0), 2.5, rooms, walls, signs, pieces)


def block(x: float, y: float, size: tuple[float, float, float] = (1.0, 1.0, 1.0), degrees: float = 0.0, room: str = "lounge", z_m: float = 0.0) -> Piece:
    """A piece of furniture."""
    return Piece(Model("block", "crate", size), x, y, degrees, room, z_m)


def without_opening(plan: Plan, wall: int) -> Plan:
    """The same with one wall closed."""
    return replace(plan, walls=tuple(replace(w, openings=()) if k == wall else w for k, w in enumerate(plan.walls)))
