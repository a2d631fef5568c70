"""Who walks where: loops between things people stand at, over floor that has room for them, timed so that nobody walks through anybody."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import BoolArray, FloatArray
from astra.sim.movers.bodies import DISCS, radius_m
from astra.sim.movers.mover import Looks, Mover, MoverKind
from astra.sim.movers.ways import Ways
from astra.sim.worlds.plan import Kind, Plan

PERIOD_S = 150.0  # of every loop, so that what is true of one period is true for ever
SPEED_MPS: dict[MoverKind, tuple[float, float]] = {"person": (0.6, 1.3), "cart": (0.6, 1.0), "pallet_jack": (0.5, 0.9)}
TURN_RADPS: dict[MoverKind, float] = {"person": 2.0, "cart": 1.0, "pallet_jack": 0.8}
STOP_S, LINGER_S = (2.0, 20.0), 20.0
APART_M = 0.1  # between two movers that pass each other
LOOPS_TRIED = 4
STAND_AT = frozenset({
    "desk", "counter", "table", "stove", "fridge", "sink", "washbasin", "tv", "shelf", "bookcase", "cabinet", "wardrobe", "copier", "whiteboard",
    "vending_machine", "reception_desk", "water_dispenser", "server_rack", "packing_table", "rack", "charging_station", "first_aid_box", "pallet", "boxes",
    "roll_cage",
})  # fmt: skip
PASSAGES = frozenset({"hallway", "corridor", "aisle", "main_aisle", "open_space"})
SKINS = ((236, 196, 168), (222, 172, 136), (190, 136, 98), (140, 94, 66), (92, 62, 46))
HAIRS = ((38, 30, 26), (72, 48, 32), (128, 88, 48), (196, 164, 104), (148, 146, 144))
TOPS = ((188, 48, 48), (44, 92, 160), (236, 236, 230), (62, 130, 84), (228, 180, 56), (92, 66, 120), (70, 74, 82), (214, 120, 60), (120, 190, 200))
VESTS = ((238, 120, 26), (214, 226, 48))
TROUSERS = ((44, 52, 78), (38, 38, 42), (122, 104, 80), (86, 92, 96), (66, 82, 60))
LOADS = ((184, 140, 92), (70, 110, 160), (168, 60, 50), (90, 130, 90))


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to stop at, where one looks then, and for how long at least and at most."""

    x: float
    y: float
    yaw_rad: float
    stop_s: tuple[float, float] = STOP_S


def plan_movers(plan: Plan, free: BoolArray, origin_xy: tuple[float, float], resolution_m: float, rng: np.random.Generator) -> tuple[Mover, ...]:
    """Everyone who moves in a world, the widest first.

    Args:
        plan: what stands where.
        free: (Y, X) free floor, cell (0, 0) with its lower-left corner at `origin_xy`.
        origin_xy: [m].
        resolution_m: size of a cell [m].
        rng: what everything is drawn from.
    """
    movers: list[Mover] = []
    ways: dict[MoverKind, Ways] = {}
    for kind in _cast(plan.kind, rng):
        if kind not in ways:
            ways[kind] = Ways(free, origin_xy, resolution_m, radius_m(kind))
        mover = _placed(kind, f"{kind}{len(movers)}", plan, ways[kind], movers, rng)
        if mover is not None:
            movers.append(mover)
    return tuple(movers)


def _cast(kind: Kind, rng: np.random.Generator) -> list[MoverKind]:
    """Who is there, the widest first."""
    least, most = {"home": (1, 2), "office": (2, 5), "warehouse": (2, 4)}[kind]
    people: list[MoverKind] = ["person"] * int(rng.integers(least, most + 1))
    if kind == "home":
        return people
    cart: list[MoverKind] = ["cart"] if rng.random() < (0.5 if kind == "office" else 0.8) else []
    jack: list[MoverKind] = ["pallet_jack"] if kind == "warehouse" else []
    return [*jack, *cart, *people]


def _placed(kind: MoverKind, name: str, plan: Plan, ways: Ways, others: list[Mover], rng: np.random.Generator) -> Mover | None:
    """A mover that meets no other at any time; None if no loop was found."""
    if len(ways.points) == 0:
        return None
    looks = _looks(plan.kind, rng)
    height = round(float(rng.uniform(1.6, 1.9)), 2)
    for _ in range(LOOPS_TRIED):
        knots = _loop(kind, plan, ways, rng)
        if knots is None:
            continue
        draft = Mover(name, kind, radius_m(kind), height, looks, 0.0, knots)
        phase = _free_phase(draft, others, rng)
        if phase is not None:
            return Mover(name, kind, draft.radius_m, height, looks, phase, knots)
    return None


def _looks(kind: Kind, rng: np.random.Generator) -> Looks:
    tops = VESTS if kind == "warehouse" and rng.random() < 0.7 else TOPS

    def one_of(colours: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
        return colours[int(rng.integers(len(colours)))]

    return Looks(one_of(SKINS), one_of(HAIRS), one_of(tops), one_of(TROUSERS), (40, 36, 34), one_of(LOADS))


def _free_phase(draft: Mover, others: list[Mover], rng: np.random.Generator) -> float | None:
    """A start within the loop from which it never comes too near to another, drawn from all that there are."""
    times = np.arange(0.0, PERIOD_S, 0.25)
    later = (np.arange(0, len(times), 4)[:, None] + np.arange(len(times))) % len(times)  # (phase, time) → own time
    good = np.ones(len(later), bool)
    for other in others:
        for own_xy, own_m in _discs(draft, times):
            for other_xy, other_m in _discs(other, times):
                squared = np.square(own_xy).sum(axis=1)[:, None] + np.square(other_xy).sum(axis=1) - 2.0 * own_xy @ other_xy.T
                meets = squared < (own_m + other_m + APART_M) ** 2  # own time, other's time
                good &= ~meets[later, np.arange(len(times))].any(axis=1)
    return float(rng.choice(times[::4][good])) if good.any() else None


def _discs(mover: Mover, times: FloatArray) -> list[tuple[FloatArray, float]]:
    """Centres (T, 2) and radius of the discs that cover a mover."""
    poses = mover.poses(times)
    heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    return [(poses[:, :2] + along * heading, radius) for along, radius in DISCS[mover.kind]]


def _loop(kind: MoverKind, plan: Plan, ways: Ways, rng: np.random.Generator) -> FloatArray | None:
    """Knots (K, 4) of a loop of `PERIOD_S` between spots drawn at random; None if fewer than two can be reached."""
    spots = _spots(kind, plan, ways, rng)
    if len(spots) < 2:
        return None
    low, high = SPEED_MPS[kind]
    speed, turn = float(rng.uniform(low, high)), TURN_RADPS[kind]
    legs: dict[tuple[int, int], FloatArray] = {}
    for a in range(len(spots)):
        for b, way in ways.ways_from((spots[a].x, spots[a].y), [(s.x, s.y) for s in spots]).items():
            if a != b:
                legs[a, b] = _walk(way, spots[a].yaw_rad, spots[b].yaw_rad, speed, turn)
    stay = [float(rng.uniform(*spot.stop_s)) for spot in spots]
    order = _order(len(spots), {pair: float(leg[-1, 0]) for pair, leg in legs.items()}, stay, rng)
    if len(order) < 2:
        return None
    return _timed([legs[a, b] for a, b in itertools.pairwise([*order, order[0]])], [stay[k] for k in order], speed / low)


def _order(count: int, leg_s: dict[tuple[int, int], float], stay_s: list[float], rng: np.random.Generator) -> list[int]:
    """Spots one after another from spot 0, as many as leave time to go back to it within `PERIOD_S`."""
    order, spent = [0], stay_s[0]
    while True:
        here = order[-1]
        fitting = [
            k for k in range(1, count)
            if (here, k) in leg_s and (k, 0) in leg_s and spent + leg_s[here, k] + stay_s[k] + leg_s[k, 0] <= PERIOD_S
        ]  # fmt: skip
        if not fitting:
            return order
        new = [k for k in fitting if k not in order] or fitting
        order.append(int(rng.choice(new)))
        spent += leg_s[here, order[-1]] + stay_s[order[-1]]


def _walk(way: FloatArray, yaw_from: float, yaw_to: float, speed_mps: float, turn_radps: float) -> FloatArray:
    """Rows (N, 4) time, x, y, yaw: turn to the way's start, walk along it, turn to what one came for."""
    tangent = np.gradient(way, axis=0)
    yaw = np.concatenate([[yaw_from], np.arctan2(tangent[:, 1], tangent[:, 0]), [yaw_to]])
    yaw = np.unwrap(yaw)
    points = np.concatenate([way[:1], way, way[-1:]])
    lengths = np.hypot(*np.diff(points, axis=0).T)
    steps = np.maximum(np.maximum(lengths / speed_mps, np.abs(np.diff(yaw)) / turn_radps), 0.02)
    return np.column_stack([np.concatenate([[0.0], np.cumsum(steps)]), points, yaw])


def _timed(legs: list[FloatArray], stay_s: list[float], slower: float) -> FloatArray:
    """One loop of stops and legs that lasts `PERIOD_S`: what time is left goes into a slower walk, up to `slower` times, then into the stops."""
    walking = sum(float(leg[-1, 0]) for leg in legs)
    stretch = min(max((PERIOD_S - sum(stay_s)) / walking, 1.0), slower)
    longer = (PERIOD_S - sum(stay_s) - stretch * walking) / len(stay_s)
    rows = [np.array([[0.0, *legs[0][0, 1:]]])]
    for leg, stay in zip(legs, stay_s):
        here = rows[-1][-1]
        turns = 2 * math.pi * round((here[3] - leg[0, 3]) / (2 * math.pi))
        rows.append(np.column_stack([here[0] + stay + longer + stretch * leg[:, 0], leg[:, 1:3], leg[:, 3] + turns]))
    knots = np.round(_simplified(np.concatenate(rows)), 4)
    knots[-1, :3] = PERIOD_S, knots[0, 1], knots[0, 2]
    return knots


def _simplified(rows: FloatArray, tolerance_m: float = 0.01) -> FloatArray:
    """The rows (N, 4) without those that straight lines between the others come near enough to (Douglas and Peucker)."""
    kept = np.zeros(len(rows), bool)
    kept[[0, -1]] = True
    spans = [(0, len(rows) - 1)]
    scale = np.array([1.0, 1.0, 0.2])  # a radian counts like 0.2 m
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        inner = rows[first + 1 : last]
        part = (inner[:, :1] - rows[first, 0]) / (rows[last, 0] - rows[first, 0])
        off = np.linalg.norm((inner[:, 1:] - rows[first, 1:] - part * (rows[last, 1:] - rows[first, 1:])) * scale, axis=1)
        worst = int(off.argmax())
        if off[worst] > tolerance_m:
            middle = first + 1 + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return rows[kept]


def _spots(kind: MoverKind, plan: Plan, ways: Ways, rng: np.random.Generator) -> list[Spot]:
    """A handful of places to stop at that this kind of mover can reach, drawn from the plan."""
    found: list[Spot] = []
    things = [piece for piece in plan.pieces if piece.model.category in STAND_AT and piece.z_m == 0.0]
    for k in rng.permutation(len(things))[: 40]:
        piece = things[int(k)]
        heading = math.radians(piece.degrees)
        reach = piece.model.size_m[0] / 2 + ways.radius_m + 0.15
        at = ways.nearest((piece.x + reach * math.cos(heading), piece.y + reach * math.sin(heading)), 0.8)
        if at is not None and all(math.dist(at, (s.x, s.y)) > 1.0 for s in found):
            found.append(Spot(*at, math.atan2(piece.y - at[1], piece.x - at[0])))
        if len(found) == 5:
            break
    middles = [((r.box[0] + r.box[2]) / 2, (r.box[1] + r.box[3]) / 2) for r in plan.rooms if r.category in PASSAGES] or [_middle(plan)]
    between = _doorways(plan) if kind == "person" and rng.random() < 0.5 else middles
    for k in rng.permutation(len(between)):
        at = ways.nearest(between[int(k)], 0.4 if kind == "person" else 3.0)
        if at is not None:
            found.append(Spot(*at, float(rng.uniform(-math.pi, math.pi)), (LINGER_S, LINGER_S) if kind == "person" else STOP_S))
            break
    while len(found) < 4:
        x, y = ways.random(rng)
        found.append(Spot(x, y, float(rng.uniform(-math.pi, math.pi))))
    return found


def _middle(plan: Plan) -> tuple[float, float]:
    x0, y0, x1, y1 = plan.outline
    return (x0 + x1) / 2, (y0 + y1) / 2


def _doorways(plan: Plan) -> list[tuple[float, float]]:
    """The middle of every opening."""
    doors = []
    for wall in plan.walls:
        length = math.dist(wall.a, wall.b)
        ux, uy = (wall.b[0] - wall.a[0]) / length, (wall.b[1] - wall.a[1]) / length
        doors += [(wall.a[0] + ux * (low + high) / 2, wall.a[1] + uy * (low + high) / 2) for low, high in wall.openings]
    return doors
