"""What is drawn over the picture of a world from above, as plain shapes in world coordinates: for SVG and for pixels alike."""

from __future__ import annotations

import colorsys
import itertools
import math
import zlib
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray
from astra.sim.movers import Mover
from astra.sim.worlds.truth import Instance, WorldTruth

TOUR, SIGN, MOVER, START, STOP = "#1565c0", "#ad1457", "#e65100", "#2e7d32", "#1565c0"
ARROW_EVERY_M, ARROW_M = 3.0, 0.35
SPACING_M = 0.04  # of a mover's path as drawn


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A polyline or polygon `points` (N, 2), or with one point a dot of `width_m`; `text` is written at its middle, `title` shown on hovering."""

    layer: str
    points: FloatArray
    colour: str
    width_m: float = 0.04
    closed: bool = False
    fill: float = 0.0  # opacity of what it encloses
    text: str = ""
    size_m: float = 0.25  # of the text
    title: str = ""


def colour_of(name: str) -> str:
    """A colour of its own for every category, the same in every world."""
    code = zlib.crc32(name.encode())
    red, green, blue = colorsys.hls_to_rgb((code % 997) / 997, 0.42 + 0.16 * (code // 997 % 5) / 4, 0.65)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def world_marks(truth: WorldTruth, movers: tuple[Mover, ...], stops: FloatArray) -> list[Mark]:
    """Every mark of a world, what lies below first; `stops` (S, 3) are the numbered places of the contact sheet."""
    areas = _areas(truth)
    marks = [m for m in areas if not m.text] + [_instance(thing) for thing in truth.instances] + [m for m in areas if m.text]
    for mover in movers:
        marks += _mover(mover)
    return marks + _tour(truth.tour) + _signs(truth) + stop_marks(stops)


def stop_marks(stops: FloatArray) -> list[Mark]:
    """A numbered dot for each pose (S, 3)."""
    return [
        Mark("stops", pose[None, :2], STOP, 0.4, fill=1.0, text=str(number), size_m=0.25, title=f"camera views {number}")
        for number, pose in enumerate(stops, start=1)
    ]


def _areas(truth: WorldTruth) -> list[Mark]:
    marks = []
    for area in truth.areas:
        name = area.label or area.name.replace("_", " ")
        title = f"{area.name}: {area.category}{', a goal' if area.is_goal else ''}; {', '.join(area.functions)}"
        colour = colour_of(area.category)
        marks.append(Mark("rooms", area.polygon, colour, 0.06, True, 0.16 if area.is_goal else 0.05, title=title))
        width = float(np.ptp(area.polygon[:, 0]))
        size = float(np.clip(1.5 * width / max(len(name), 4), 0.16, 0.36))
        at = np.array([[area.polygon[:, 0].mean(), area.polygon[:, 1].min() + 0.7 * size + 0.05]])
        marks.append(Mark("names", at, colour, 0.0, text=name, size_m=size, title=title))
    return marks


def _instance(thing: Instance) -> Mark:
    c, s = math.cos(thing.yaw_rad), math.sin(thing.yaw_rad)
    depth, width = thing.size[0] / 2, thing.size[1] / 2
    corners = np.array([(depth, width), (-depth, width), (-depth, -width), (depth, -width)]) @ np.array([[c, s], [-s, c]])
    title = f"{thing.id}: {thing.colour} {thing.category.replace('_', ' ')} in {thing.room}, {thing.size[2]:.2f} m high"
    return Mark("instances", corners + thing.centre[:2], colour_of(thing.category), 0.03, True, 0.25, title=title)


def _signs(truth: WorldTruth) -> list[Mark]:
    return [
        Mark("signs", np.array([mark.position[:2]]), SIGN, 0.16, fill=1.0, text=mark.text, size_m=0.2, title=f"sign {mark.text!r} of {mark.area}")
        for mark in truth.landmarks
        if mark.text
    ]


def _mover(mover: Mover) -> list[Mark]:
    path = mover.knots[:, 1:3]
    kept = [0]
    for k in range(1, len(path)):
        if np.hypot(*(path[k] - path[kept[-1]])) > SPACING_M:
            kept.append(k)
    name = mover.kind.replace("_", " ")
    title = f"{mover.name}: {name}, round in {mover.period_s:.0f} s"
    start = np.array([mover.pose(0.0)[:2]])
    return [
        Mark("movers", path[kept], MOVER, 0.03, True, title=title),
        Mark("movers", start, MOVER, 2 * mover.radius_m, fill=0.5, text=name, size_m=0.18, title=title),
    ]


def _tour(tour: FloatArray) -> list[Mark]:
    if len(tour) == 0:
        return []
    marks = [Mark("tour", tour, TOUR, 0.05, title="tour"), Mark("tour", tour[:1], START, 0.3, fill=1.0, title="the tour's start")]
    along, due = 0.0, ARROW_EVERY_M
    for a, b in itertools.pairwise(tour):
        step = b - a
        along += float(np.hypot(*step))
        if along >= due and np.any(step):
            due += ARROW_EVERY_M
            ahead = step / np.hypot(*step)
            side = np.array([-ahead[1], ahead[0]])
            head = np.array([b, b + ARROW_M * (0.4 * side - ahead), b - ARROW_M * (0.4 * side + ahead)])
            marks.append(Mark("tour", head, TOUR, 0.01, True, 1.0))
    return marks
