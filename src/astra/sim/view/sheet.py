"""The view of a world as one picture: facts, the world from above with its marks, and the contact sheet of camera views."""

from __future__ import annotations

from typing import Any

import numpy as np

from astra.core.types import UInt8Array
from astra.sim.view.marks import Mark
from astra.sim.view.pictures import Stop, TopView

GAP, INK, PAPER = 16, (28, 39, 51), (255, 255, 255)
HEAD, SMALL = 34, 20  # text heights [px]
STOPS_A_ROW = 2


def picture(name: str, facts: list[tuple[str, str]], view: TopView, marks: list[Mark], stops: tuple[Stop, ...]) -> UInt8Array:
    """(H, W, 3) RGB."""
    from PIL import Image, ImageDraw

    plan, sheet = Image.fromarray(drawn(view, marks)), Image.fromarray(contact_sheet(stops))
    width = max(plan.width, sheet.width) + 2 * GAP
    head = GAP + HEAD + GAP + len(facts) * (SMALL + 6)
    page = Image.new("RGB", (width, head + plan.height + sheet.height + 3 * GAP), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((GAP, GAP), name, fill=INK, font=_font(HEAD))
    for row, (label, value) in enumerate(facts):
        y = 2 * GAP + HEAD + row * (SMALL + 6)
        pen.text((GAP, y), label, fill=(103, 114, 126), font=_font(SMALL))
        pen.text((GAP + 260, y), value, fill=INK, font=_font(SMALL))
    page.paste(plan, ((width - plan.width) // 2, head + GAP))
    page.paste(sheet, ((width - sheet.width) // 2, head + plan.height + 2 * GAP))
    return np.asarray(page)


def drawn(view: TopView, marks: list[Mark]) -> UInt8Array:
    """The picture from above with the marks on it."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(view.image).convert("RGB")
    pen = ImageDraw.Draw(image, "RGBA")
    for mark in marks:
        _draw(pen, mark, view)
    return np.asarray(image)


def contact_sheet(stops: tuple[Stop, ...]) -> UInt8Array:
    """All cameras of a place side by side under its number, two places a row."""
    from PIL import Image, ImageDraw

    if not stops:
        return np.full((1, 1, 3), 255, np.uint8)
    high, wide = stops[0].images[0].shape[:2]
    cell_w, cell_h = len(stops[0].images) * (wide + 4) - 4, SMALL + 8 + high
    rows = -(-len(stops) // STOPS_A_ROW)
    sheet = Image.new("RGB", (STOPS_A_ROW * (cell_w + GAP) - GAP, rows * (cell_h + GAP) - GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for k, stop in enumerate(stops):
        x, y = (k % STOPS_A_ROW) * (cell_w + GAP), (k // STOPS_A_ROW) * (cell_h + GAP)
        pen.text((x, y), f"{k + 1}   {stop.pose.x:.1f}, {stop.pose.y:.1f}", fill=INK, font=_font(SMALL))
        for column, image in enumerate(stop.images):
            sheet.paste(Image.fromarray(image), (x + column * (wide + 4), y + SMALL + 8))
    return np.asarray(sheet)


def _draw(pen: Any, mark: Mark, view: TopView) -> None:
    from PIL import ImageColor

    scale = view.px_per_m
    points = [((x - view.x0) * scale, (view.y1 - y) * scale) for x, y in mark.points.tolist()]
    red, green, blue = ImageColor.getrgb(mark.colour)[:3]
    line, fill = (red, green, blue, 255), (red, green, blue, round(255 * mark.fill))
    width = max(1, round(mark.width_m * scale))
    if len(points) == 1:
        (x, y), radius = points[0], mark.width_m * scale / 2
        if radius > 0:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        if mark.fill > 0:
            pen.polygon(points, fill=fill)
        pen.line([*points, *(points[:1] if mark.closed else [])], fill=line, width=width, joint="curve")
    if mark.text:
        x, y = np.mean(points, axis=0)
        size = mark.size_m * scale
        if mark.layer == "stops":
            pen.text((x, y), mark.text, fill=PAPER, font=_font(size), anchor="mm")
        else:
            y += mark.width_m * scale / 2 + 0.55 * size if mark.width_m > 0 else 0.0
            _haloed(pen, (x, y), mark.text, line, size)


def _haloed(pen: Any, at: tuple[float, float], text: str, ink: tuple[int, int, int, int], size: float) -> None:
    """Text with a light edge; Pillow's own stroke is not centred on its letters."""
    font, edge = _font(size), max(1.0, size / 11)
    for step in range(8):
        angle = step * np.pi / 4
        pen.text((at[0] + edge * np.cos(angle), at[1] + edge * np.sin(angle)), text, fill=PAPER, font=font, anchor="mm")
    pen.text(at, text, fill=ink, font=font, anchor="mm")


def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=max(size, 6.0))
