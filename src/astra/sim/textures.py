"""Procedural surfaces without repetition: every wall, floor, poster and sign is painted for its own place.

Repeating textures make structure from motion wrong in a way that its own figures do not show, so nothing here tiles.
"""

from __future__ import annotations

import numpy as np

from astra.core.types import Float32Array, UInt8Array

Colour = tuple[float, float, float]


def fractal(height: int, width: int, rng: np.random.Generator, coarsest_px: float, finest_px: float = 2.0, fall: float = 0.8) -> Float32Array:
    """Zero-mean noise (height, width) with octaves from `coarsest_px` to `finest_px`, unit standard deviation.

    Each octave is added at its own resolution to what the coarser ones left, doubled: the cost is that of the finest alone.
    """
    import cv2

    steps = [coarsest_px]
    while steps[-1] / 2.0 >= finest_px:
        steps.append(steps[-1] / 2.0)
    out, amplitude = np.zeros((2, 2), np.float32), 1.0
    for step in steps:
        shape = max(2, round(height / step) + 1), max(2, round(width / step) + 1)
        out = np.asarray(cv2.resize(out, shape[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)
        out += np.float32(amplitude) * rng.standard_normal(shape, dtype=np.float32)
        amplitude *= fall
    out -= out.mean()
    out /= max(float(out.std()), 1e-6)
    return np.asarray(cv2.resize(out, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def surface(
    width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float, marks_per_m2: float = 30.0, clouds: float = 0.11
) -> UInt8Array:
    """Plaster, carpet or board of one colour: multi-scale shading of strength `clouds`, stains, scuffs and specks; (H, W, 3) RGB."""
    import cv2

    h, w = max(4, round(height_m * px_per_m)), max(4, round(width_m * px_per_m))
    shade = fractal(h, w, rng, px_per_m * 0.8)
    tint = fractal(h, w, rng, px_per_m * 1.5, px_per_m * 0.1)
    channels = [
        cv2.addWeighted(shade, clouds * base, tint, lean * base, base, dtype=cv2.CV_8U)  # rounds and saturates
        for base, lean in zip(colour, (0.03, 0.0, -0.03))
    ]
    image = np.asarray(cv2.merge(channels), dtype=np.uint8)
    _marks(image, rng, round(width_m * height_m * marks_per_m2), px_per_m)
    return image


def lit(image: UInt8Array, gain: Float32Array) -> UInt8Array:
    """A picture (H, W, 3) under light: `gain` (h, w) or (h, w, 3), of any size, 1.0 leaves it as it is."""
    import cv2

    field = gain if gain.ndim == 3 else cv2.merge([gain] * 3)
    if field.shape[:2] != image.shape[:2]:
        field = cv2.resize(field, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, field, dtype=cv2.CV_8U), dtype=np.uint8)


def planks(width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float, marks_per_m2: float = 12.0) -> UInt8Array:
    """A floor of boards of uneven length and tone, with grain and scuffs; (H, W, 3) RGB."""
    image = surface(width_m, height_m, colour, rng, px_per_m, marks_per_m2)
    h, w = image.shape[:2]
    gain = np.ones((h, w), np.float32)
    board = max(3, round(0.16 * px_per_m))
    for y in range(0, h, board):
        x = 0
        while x < w:
            length = max(4, round(float(rng.uniform(0.35, 1.6)) * px_per_m))
            gain[y : y + board, x : x + length] *= float(rng.uniform(0.75, 1.2))
            gain[y : y + board, x : x + 1] *= 0.6
            x += length
        gain[y : y + 1] *= 0.65
    return lit(image, gain)


def tiles(
    width_m: float, height_m: float, colour: Colour, rng: np.random.Generator, px_per_m: float, tile_m: float = 0.6, marks_per_m2: float = 18.0
) -> UInt8Array:
    """Ceiling or floor tiles: the joints are regular, the face of each tile is its own; (H, W, 3) RGB."""
    image = surface(width_m, height_m, colour, rng, px_per_m, marks_per_m2)
    h, w = image.shape[:2]
    step = tile_m * px_per_m
    rows, columns = int(h / step) + 1, int(w / step) + 1
    j, i = (np.minimum(np.arange(n) / step, count - 1).astype(int) for n, count in ((h, rows), (w, columns)))
    gain = rng.uniform(0.85, 1.12, (rows, columns)).astype(np.float32)[np.ix_(j, i)]
    for k in range(rows):
        gain[round(k * step) : round(k * step) + 1] *= 0.75
    for k in range(columns):
        gain[:, round(k * step) : round(k * step) + 1] *= 0.75
    return lit(image, gain)


def poster(width_m: float, height_m: float, rng: np.random.Generator, px_per_m: float) -> UInt8Array:
    """An abstract print: overlapping shapes in strong colours over a fractal sky, framed, no letters; (H, W, 3) RGB."""
    import cv2

    h, w = round(height_m * px_per_m), round(width_m * px_per_m)
    field = fractal(h, w, rng, px_per_m * 0.3)
    low, high = rng.uniform(20, 130, 3), rng.uniform(120, 250, 3)
    image = (low + (high - low) * np.clip(0.5 + 0.25 * field, 0, 1)[..., None]).astype(np.uint8)
    for _ in range(int(rng.integers(35, 60))):
        c = tuple(int(v) for v in rng.integers(0, 255, 3))
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        size = max(2, int(rng.gamma(2.0, 0.03 * min(w, h))))
        kind = int(rng.integers(0, 4))
        if kind == 0:
            cv2.circle(image, (x, y), size, c, -1 if rng.random() < 0.6 else 2, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(image, (x, y), (x + size * 2, y + size), c, -1)
        elif kind == 2:
            corners = (np.array([x, y]) + rng.integers(-2 * size, 2 * size + 1, (3, 2))).astype(np.int32)
            cv2.fillPoly(image, [corners], c, cv2.LINE_AA)
        else:
            cv2.line(image, (x, y), (x + int(rng.integers(-4, 5)) * size, y + int(rng.integers(-4, 5)) * size), c, 2, cv2.LINE_AA)
    frame = max(2, round(0.02 * px_per_m))
    cv2.rectangle(image, (0, 0), (w - 1, h - 1), tuple(int(v) for v in rng.integers(0, 90, 3)), frame)
    return np.asarray(image, dtype=np.uint8)


def colour_name(colour: Colour) -> str:
    """The everyday name of a colour, RGB of 0..255."""
    import colorsys

    hue, lightness, saturation = colorsys.rgb_to_hls(*(v / 255.0 for v in colour))
    if lightness > 0.85:
        return "white"
    if lightness < 0.16:
        return "black"
    if saturation < 0.14:
        return "grey"
    degrees = hue * 360.0
    if 10.0 <= degrees < 50.0 and (lightness < 0.45 or saturation < 0.5):
        return "brown"
    names = ((15.0, "red"), (45.0, "orange"), (70.0, "yellow"), (165.0, "green"), (200.0, "turquoise"), (255.0, "blue"), (290.0, "purple"), (340.0, "pink"))
    return next((name for limit, name in names if degrees < limit), "red")


def sign_width_m(text: str, letter_m: float) -> float:
    """Width of the board for `text` in capitals of height `letter_m`."""
    return float(sign(text, letter_m, 100.0, (0, 0, 0), (0, 0, 0)).shape[1]) / 100.0


def sign(text: str, letter_m: float, px_per_m: float, board: Colour, ink: Colour) -> UInt8Array:
    """A sign whose capitals are `letter_m` high; (H, W, 3) RGB, H = 1.9 letters."""
    from PIL import Image, ImageDraw, ImageFont

    capital = 0.71  # of the em, Aileron
    size = letter_m * px_per_m / capital
    font = ImageFont.load_default(size=size)
    stroke = max(0, round(0.035 * size))
    left, _, right, _ = font.getbbox(text, stroke_width=stroke, anchor="ls")
    height = round(1.9 * letter_m * px_per_m)
    width = round(right - left + 1.0 * letter_m * px_per_m)
    image = Image.new("RGB", (width, height), tuple(int(v) for v in board))
    draw = ImageDraw.Draw(image)
    origin = ((width - (right - left)) / 2 - left, (height + letter_m * px_per_m) / 2)
    draw.text(origin, text, font=font, fill=tuple(int(v) for v in ink), stroke_width=stroke, anchor="ls")
    draw.rectangle((0, 0, width - 1, height - 1), outline=tuple(int(v) for v in ink), width=max(1, round(0.012 * px_per_m)))
    return np.asarray(image, dtype=np.uint8)


def _marks(image: UInt8Array, rng: np.random.Generator, count: int, px_per_m: float) -> None:
    import cv2

    h, w = image.shape[:2]
    x, y = rng.integers(0, w, count), rng.integers(0, h, count)
    gain = np.where(rng.random(count) < 0.5, rng.uniform(0.45, 0.8, count), rng.uniform(1.15, 1.45, count))
    colours = np.clip(image[y, x] * (gain[:, None] * rng.uniform(0.85, 1.15, (count, 3))), 0, 255).tolist()
    sizes = np.maximum(1, np.round(rng.gamma(1.5, 0.013, count) * px_per_m)).astype(int)
    ends = (np.stack([x, y], axis=1) + np.round(rng.uniform(-4, 4, (count, 2)) * sizes[:, None]).astype(int)).tolist()
    widths = np.maximum(1, np.round(sizes * rng.uniform(0.3, 1.0, count))).astype(int).tolist()
    turns, round_mark = rng.uniform(0, 180, count).tolist(), rng.random(count) < 0.6
    for i, (centre, size) in enumerate(zip(zip(x.tolist(), y.tolist()), sizes.tolist())):
        if round_mark[i]:
            cv2.ellipse(image, centre, (size, widths[i]), turns[i], 0, 360, colours[i], -1, cv2.LINE_AA)
        else:
            cv2.line(image, centre, ends[i], colours[i], max(1, size // 4), cv2.LINE_AA)
