"""Which rooms can be seen from which: straight lines through the openings between rectangular rooms, exactly.

A line of sight from room to room crosses one portal after the other, each in its own direction. One exists if a line keeps every
portal's left end on its left and every right end on its right (a stabbing line); if any does, one that touches a left and a right end does.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.sim.worlds.plan import Piece, Plan, Point, Room, Wall

TOUCH_M = 0.02
NARROWEST_M = 0.05  # slits below this let nothing be seen
DEEPEST = 8  # portals in a row
RACK_M, BESIDE_M = 1.8, 0.15  # racks this high hide what is low behind them; they stand this close to each other and to the line between two aisles


@dataclass(frozen=True, slots=True)
class Portal:
    """A way from a room into a neighbour: crossed along `ahead`, with its ends on the left and on the right.

    `shut`: racks stand along it, which belong to either room: one sees them, but not past them.
    """

    into: str
    left: Point
    right: Point
    ahead: Point
    shut: bool = False


def portals(plan: Plan) -> dict[str, tuple[Portal, ...]]:
    """The ways out of every room: openings in walls, and boundaries without a wall."""
    return {room.name: tuple(p for other in plan.rooms if other is not room for p in _between(room, other, plan)) for room in plan.rooms}


def seen_from(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For every room the rooms that can be seen from somewhere in it, itself first; symmetric."""
    ways = portals(plan)
    seen = {room.name: {room.name} for room in plan.rooms}
    for room in plan.rooms:
        _look(room.name, (), (room.name,), ways, seen[room.name])
    for name, others in seen.items():
        for other in others:
            seen[other].add(name)
    return {name: (name, *sorted(others - {name})) for name, others in seen.items()}


def _look(room: str, crossed: tuple[Portal, ...], path: tuple[str, ...], ways: dict[str, tuple[Portal, ...]], seen: set[str]) -> None:
    if len(crossed) == DEEPEST:
        return
    for portal in ways[room]:
        if portal.into not in path and _stabbed(line := (*crossed, portal)):
            seen.add(portal.into)
            if not portal.shut:
                _look(portal.into, line, (*path, portal.into), ways, seen)


def _stabbed(line: tuple[Portal, ...]) -> bool:
    """Whether a straight line crosses all of these portals in their directions."""
    if len(line) == 1:
        return True
    left, right, ahead = (np.array([getattr(p, name) for p in line]) for name in ("left", "right", "ahead"))
    if (ahead @ ahead.T < -0.5).any():
        return False  # no straight line turns back; one that grazes a wall would seem to
    through = (right[None, :] - left[:, None]).reshape(-1, 2)
    start = np.repeat(left, len(line), axis=0)
    through *= np.sign((through @ ahead.T).sum(axis=1))[:, None]
    onwards = (through @ ahead.T > -1e-9).all(axis=1)
    keeps_left = (_side(start, through, left) > -1e-9).all(axis=1)
    keeps_right = (_side(start, through, right) < 1e-9).all(axis=1)
    return bool((onwards & keeps_left & keeps_right & (np.abs(through).sum(axis=1) > 1e-9)).any())


def _side(start: FloatArray, direction: FloatArray, points: FloatArray) -> FloatArray:
    """(lines, points): positive where a point lies to the left of a line."""
    offset = points[None] - start[:, None]
    out: FloatArray = direction[:, None, 0] * offset[..., 1] - direction[:, None, 1] * offset[..., 0]
    return out


def _between(room: Room, other: Room, plan: Plan) -> list[Portal]:
    """The ways from one room into another."""
    found = []
    for axis in (0, 1):  # the axis that is crossed
        across = 1 - axis
        for side, sign in ((axis + 2, 1.0), (axis, -1.0)):
            if abs(room.box[side] - other.box[(side + 2) % 4]) > TOUCH_M:
                continue
            low, high = max(room.box[across], other.box[across]), min(room.box[across + 2], other.box[across + 2])
            at = room.box[side]
            walls = _blocked(plan.walls, axis, at)
            clear = _gaps(low, high, [*walls, *_shelved(plan.pieces, axis, at)])
            shelved = _gaps(low, high, [*walls, *clear])
            for (start, end), shut in itertools.chain(zip(clear, itertools.repeat(False)), zip(shelved, itertools.repeat(True))):
                ahead = (sign, 0.0) if axis == 0 else (0.0, sign)
                ends = [(at, v) if axis == 0 else (v, at) for v in (start, end)]
                # The left of +x is +y, the left of +y is -x.
                left, right = (ends[1], ends[0]) if (axis == 0) == (sign > 0) else (ends[0], ends[1])
                found.append(Portal(other.name, left, right, ahead, shut))
    return found


def _blocked(walls: tuple[Wall, ...], axis: int, at: float) -> list[tuple[float, float]]:
    """The stretches of a line across `axis` that are wall."""
    stretches = []
    across = 1 - axis
    for wall in walls:
        if abs(wall.a[axis] - at) > TOUCH_M or abs(wall.b[axis] - at) > TOUCH_M:
            continue
        sign = 1.0 if wall.b[across] > wall.a[across] else -1.0
        length = abs(wall.b[across] - wall.a[across])
        ends = [0.0, *(v for opening in sorted(wall.openings) for v in opening), length]
        for s, e in zip(ends[0::2], ends[1::2]):
            p, q = wall.a[across] + sign * s, wall.a[across] + sign * e
            stretches.append((min(p, q), max(p, q)))
    return stretches


def _shelved(pieces: tuple[Piece, ...], axis: int, at: float) -> list[tuple[float, float]]:
    """The stretches of a line across `axis` along which racks with closed backs stand."""
    stretches = []
    for piece in pieces:
        depth, width, height = piece.model.size_m
        quarter = round(piece.degrees / 90.0)
        facing = 0 if quarter % 2 == 0 else 1  # the axis along which its front looks
        centre = (piece.x, piece.y)
        if piece.model.category == "rack" and height >= RACK_M and facing == axis and abs(centre[axis] - at) < depth / 2 + BESIDE_M:
            stretches.append((centre[1 - axis] - width / 2 - BESIDE_M, centre[1 - axis] + width / 2 + BESIDE_M))
    return stretches


def _gaps(low: float, high: float, blocked: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of low … high without the blocked stretches."""
    gaps, at = [], low
    for start, end in sorted(blocked):
        if start - at > NARROWEST_M and min(start, high) > at:
            gaps.append((at, min(start, high)))
        at = max(at, end)
    if high - at > NARROWEST_M:
        gaps.append((at, high))
    return [(s, e) for s, e in gaps if e - s > NARROWEST_M]
