"""A mission as a page to look at: the verdict, the path over the map, the video, what it cost."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import jinja2
import numpy as np
from markupsafe import Markup, escape

from astra.core.paths import atomic_write
from astra.core.types import FloatArray, UInt8Array
from astra.evaluation.mission import GoalRegion, MissionLog, MissionResult
from astra.geometry import Pose2
from astra.topomap import TopoMap


@dataclass(frozen=True, slots=True, eq=False)
class FloorImage:
    """A grey top view of the world: `image` (Y, X) uint8, row 0 at the lowest y; its lower-left corner at `origin_xy` [m]."""

    image: UInt8Array
    resolution_m: float
    origin_xy: tuple[float, float]


def summary_rows(result: MissionResult) -> list[tuple[str, str]]:
    """The rows of the table that ends a mission, on the page and in the terminal."""
    return [
        ("instruction", result.instruction),
        ("localized after", _unit(result.localized_after_s, "s", 1)),
        ("pose error (median)", f"{_unit(result.localization_error_m, 'm', 2)}, {_unit(result.localization_error_deg, '°', 1)}"),
        ("goal", result.goal_status.replace("_", " ")),
        ("arrived", f"{'yes' if result.arrived else 'no'}, {_unit(result.goal_error_m, 'm', 2)} from the goal's region"),
        ("distance driven", f"{_unit(result.distance_m, 'm', 1)} (shortest possible {_unit(result.shortest_m, 'm', 1)})"),
        ("collisions", str(result.collisions)),
        ("fallbacks, restarts", f"{result.fallbacks}, {result.restarts}"),
        ("time", _unit(result.duration_s, "s", 1)),
    ]


def write_report(
    path: Path,
    log: MissionLog,
    result: MissionResult,
    *,
    floor: FloorImage,
    topomap: TopoMap,
    world_from_map: Pose2,
    right_answers: Sequence[GoalRegion],
    feedback: Sequence[tuple[float, str, str]],
    video: str | None,
) -> None:
    """Write the self-contained page (the video stays a file beside it)."""
    environment = jinja2.Environment(loader=jinja2.PackageLoader("astra.evaluation", "."), autoescape=True)
    page = environment.get_template("mission_report.html").render(
        result=result,
        rows=[*summary_rows(result), *(("error", error) for error in result.errors)],
        verdict=_verdict(result, bool(right_answers)),
        plan=_floor_plan(log, floor, topomap, world_from_map, right_answers),
        video=video,
        feedback=feedback,
    )
    atomic_write(path, page)


def _verdict(result: MissionResult, answerable: bool) -> str:
    if not answerable:
        return "refused, rightly" if result.success else "should have been refused"
    return "arrived" if result.success else "failed"


def _floor_plan(log: MissionLog, floor: FloorImage, topomap: TopoMap, world_from_map: Pose2, right_answers: Sequence[GoalRegion]) -> Markup:
    height, width = floor.image.shape
    size = (width * floor.resolution_m, height * floor.resolution_m)
    ok, png = cv2.imencode(".png", floor.image[::-1])
    assert ok
    data = base64.b64encode(png.tobytes()).decode()
    parts = [
        f'<svg viewBox="0 0 {size[0]:.2f} {size[1]:.2f}" width="{size[0] * 55:.0f}">',
        f'<image width="{size[0]:.2f}" height="{size[1]:.2f}" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>',
        # From here on in world metres, y up.
        f'<g transform="translate({-floor.origin_xy[0]:.3f} {size[1] + floor.origin_xy[1]:.3f}) scale(1 -1)">',
    ]
    parts += [_line(region.polygon, "#2a9d5c", fill="#2a9d5c44", closed=True) for region in right_answers]
    positions = {i: world_from_map @ node.map_from_base.pose2() for i, node in topomap.nodes.items()}
    for edge in topomap.edges:
        a, b = positions[edge.a], positions[edge.b]
        parts.append(f'<path d="M{a.x:.2f} {a.y:.2f}L{b.x:.2f} {b.y:.2f}" stroke="#9aa" stroke-width=".02"/>')
    for landmark in topomap.landmarks.values():
        x, y = world_from_map.apply(landmark.position_map[:2])
        parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r=".06" fill="#a5a"/><g transform="translate({x + 0.1:.2f} {y:.2f}) scale(1 -1)">')
        parts.append(f'<text fill="#a5a">{escape(landmark.label)}</text></g>')
    parts.append(_line(log.truth.poses[:: max(len(log.truth.poses) // 2000, 1), :2], "#2f6fde"))
    for event in log.localizations:
        if event.status == "localized" and event.map_from_base is not None:
            p = world_from_map @ event.map_from_base
            tip = (p.x + 0.25 * math.cos(p.yaw), p.y + 0.25 * math.sin(p.yaw))
            parts.append(f'<circle cx="{p.x:.2f}" cy="{p.y:.2f}" r=".06" fill="#e07a1f"/>')
            parts.append(f'<path d="M{p.x:.2f} {p.y:.2f}L{tip[0]:.2f} {tip[1]:.2f}" stroke="#e07a1f" stroke-width=".04"/>')
    start = log.truth.poses[0]
    parts.append(f'<circle cx="{start[0]:.2f}" cy="{start[1]:.2f}" r=".15" fill="none" stroke="#2f6fde" stroke-width=".05"/>')
    parts.append("</g></svg>")
    return Markup("".join(parts))  # every foreign text in it was escaped above


def _line(points: FloatArray, colour: str, *, fill: str = "none", closed: bool = False) -> str:
    path = "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in np.asarray(points)[:, :2]) + ("Z" if closed else "")
    return f'<path d="{path}" fill="{fill}" stroke="{colour}" stroke-width=".05" stroke-linejoin="round"/>'


def _unit(value: float, unit: str, digits: int) -> str:
    return f"{value:.{digits}f} {unit}" if math.isfinite(value) else "–"
