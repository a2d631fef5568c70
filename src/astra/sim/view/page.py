"""Writes the page (HTML, one file) or the picture (PNG) of a world."""

from __future__ import annotations

import base64
import math
from collections import Counter
from html import escape
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.paths import atomic_write
from astra.core.types import FloatArray, UInt8Array
from astra.sim.movers import Mover, load_movers
from astra.sim.robot import RobotConfig
from astra.sim.view.marks import Mark, stop_marks, world_marks
from astra.sim.view.pictures import Stop, TopView, top_view, tour_stops
from astra.sim.view.sheet import picture
from astra.sim.world import World
from astra.sim.worlds.plan import split_from_seed
from astra.sim.worlds.truth import WorldTruth

STOPS = 8
JPEG_QUALITY = 88


def write_view(world: World, robot: RobotConfig, out: Path, stops: int = STOPS) -> None:
    """Write what there is to see of a world to `out`, a .html or .png file; camera views from `stops` places.

    Raises:
        BadInputError: another kind of file, or the scene cannot be read.
    """
    if out.suffix not in (".html", ".png"):
        raise BadInputError(f"{out}: the view of a world is an .html or a .png file")
    movers = load_movers(world.scene.parent) if world.truth is not None else ()
    view, seen = top_view(world), tour_stops(world, robot, stops)
    at = np.array([(s.pose.x, s.pose.y, s.pose.yaw) for s in seen]).reshape(-1, 3)
    marks = stop_marks(at) if world.truth is None else world_marks(world.truth, movers, at)
    rows = facts(world, movers)
    if out.suffix == ".png":
        atomic_write(out, _encoded(picture(world.name, rows, view, marks, seen), ".png"))
    else:
        atomic_write(out, _html(world, robot, rows, view, marks, seen))


def facts(world: World, movers: tuple[Mover, ...]) -> list[tuple[str, str]]:
    """What a world is made of, by name."""
    truth = world.truth
    if truth is None:
        return [("scene", world.scene.name)]
    size = np.array(truth.free.shape[::-1]) * truth.resolution_m
    signs = [mark for mark in truth.landmarks if mark.text]
    tour_m = float(np.hypot(*np.diff(truth.tour, axis=0).T).sum()) if len(truth.tour) > 1 else 0.0
    return [
        ("kind, seed", f"{truth.kind}, {truth.seed} ({split_from_seed(truth.seed)})"),
        ("size", f"{size[0]:.1f} m by {size[1]:.1f} m, {truth.free.sum() * truth.resolution_m**2:.0f} square metres of free floor"),
        ("rooms", f"{len(truth.areas)}, {len(truth.goals)} of them goals"),
        ("signs, other landmarks", f"{len(signs)}, {len(truth.landmarks) - len(signs)}"),
        ("instances", f"{len(truth.instances)} of {len({i.category for i in truth.instances})} categories"),
        ("movers", _counted(Counter(m.kind for m in movers)) or "none"),
        ("tour", f"{tour_m:.0f} m"),
        ("instructions", _counted(Counter(i.kind for i in truth.instructions))),
        ("triangles", f"{_triangles(world.scene.parent):,}"),
    ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counter.most_common())


def _triangles(folder: Path) -> int:
    return sum(line.startswith("f ") for path in folder.glob("meshes/*.obj") for line in path.read_text("utf-8").splitlines())


def _html(world: World, robot: RobotConfig, rows: list[tuple[str, str]], view: TopView, marks: list[Mark], stops: tuple[Stop, ...]) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(loader=jinja2.PackageLoader("astra.sim.view", "."), autoescape=True)
    truth = world.truth
    page: str = environment.get_template("view.html").render(
        name=world.name,
        facts=rows,
        plan=Markup(svg(view, marks)),
        layers=list(dict.fromkeys(m.layer for m in marks)),
        cameras=robot.rig().names,
        stops=[(number, s.pose, [_uri(image) for image in s.images]) for number, s in enumerate(stops, start=1)],
        yaws=[math.degrees(s.pose.yaw) for s in stops],
        instructions=truth.instructions if truth is not None else (),
        areas=truth.areas if truth is not None else (),
        categories=_categories(truth),
    )
    return page


def _categories(truth: WorldTruth | None) -> list[tuple[str, int, str]]:
    """Category, how many things of it, and in which rooms."""
    if truth is None:
        return []
    things = Counter(i.category for i in truth.instances)
    return [(name, count, ", ".join(sorted({i.room for i in truth.instances if i.category == name}))) for name, count in things.most_common()]


def svg(view: TopView, marks: list[Mark]) -> str:
    """The picture from above with everything marked on it; one group a layer. All text is escaped."""
    parts = [
        f'<svg viewBox="0 0 {view.x1 - view.x0:.3f} {view.y1 - view.y0:.3f}" xmlns="http://www.w3.org/2000/svg">',
        f'<image width="{view.x1 - view.x0:.3f}" height="{view.y1 - view.y0:.3f}" href="{_uri(view.image)}"/>',
    ]
    for layer in dict.fromkeys(m.layer for m in marks):
        parts.append(f'<g class="layer {escape(layer)}">')
        parts += [_svg_mark(m, view) for m in marks if m.layer == layer]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def _svg_mark(mark: Mark, view: TopView) -> str:
    points = np.stack([mark.points[:, 0] - view.x0, view.y1 - mark.points[:, 1]], axis=1)
    title = f"<title>{escape(mark.title)}</title>" if mark.title else ""
    (x, y), shape = points.mean(axis=0), ""
    if len(points) == 1 and mark.width_m > 0:
        shape = f'<circle cx="{x:.3f}" cy="{y:.3f}" r="{mark.width_m / 2:.3f}" fill="{mark.colour}" fill-opacity="{mark.fill:g}"/>'
    elif len(points) > 1:
        path = _path(points) + ("Z" if mark.closed else "")
        fill = f'fill="{mark.colour}" fill-opacity="{mark.fill:g}"' if mark.fill else 'fill="none"'
        shape = f'<path d="{path}" {fill} stroke="{mark.colour}" stroke-width="{mark.width_m:g}" stroke-linejoin="round"/>'
    text = ""
    if mark.text:
        inside = mark.layer == "stops"
        down = 0.0 if inside or mark.width_m == 0 else mark.width_m / 2 + 0.55 * mark.size_m
        style = 'class="in"' if inside else f'fill="{mark.colour}"'
        text = f'<text x="{x:.3f}" y="{y + down:.3f}" font-size="{mark.size_m:.3f}" {style}>{escape(mark.text)}</text>'
    return f"<g>{title}{shape}{text}</g>"


def _path(points: FloatArray) -> str:
    return "M" + "L".join(f"{x:.3f} {y:.3f}" for x, y in points)


def _uri(image: UInt8Array) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_encoded(image, ".jpg")).decode()


def _encoded(image: UInt8Array, suffix: str) -> bytes:
    import cv2

    ok, data = cv2.imencode(suffix, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else [])
    assert ok
    return bytes(data.tobytes())
