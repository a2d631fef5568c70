"""Fits a plan out: furniture and what is solid first, then walls with doors, floors, ceilings with lamps, signs, windows and posters.

Everything is drawn in the zone of its room. What stands in the way is known before anything is painted, so that plans are checked cheaply.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from astra.core.types import Float32Array, FloatArray, UInt8Array
from astra.sim.meshes import CEILING_GROUP, SceneBuilder
from astra.sim.portals import Way
from astra.sim.textures import Colour, lit, poster, sign, surface
from astra.sim.worlds import finishes
from astra.sim.worlds.lighting import Lamp, RoomLight, lattice, light_room
from astra.sim.worlds.plan import DOOR_HEIGHT_M, WALL_M, Box, Catalogue, Model, Piece, Plan, Point, Room, SignPlace, Wall
from astra.sim.worlds.sight import RACK_M, Portal, portals, seen_from
from astra.sim.worlds.style import Style

SIGN_PX_PER_M = 220.0
DADO_M, SKIRTING_M = 0.95, 0.08
EYE_LEVEL_M = 3.0  # walls above this are painted coarsely
BOARD_M = 0.02  # how far pictures and signs stand out of the wall
SEEN_M = 0.2  # in front of a wall lies the room that it belongs to
FRAME: Colour = (120.0, 92.0, 68.0)
LONGEST_M = 8.0  # of a piece of wall or floor with a picture of its own
DOOR_LEAF_M, DOOR_ROOM_M = (0.95, 2.05), 0.6
WINDOW_Z_M = (0.95, 2.05)


class Furnisher(Catalogue, Protocol):
    """A catalogue that also builds what it lists."""

    def build(
        self, scene: SceneBuilder, model: Model, x: float, y: float, yaw_rad: float, z_m: float, rng: np.random.Generator, zone: str
    ) -> Colour:
        """Draw a model with its solids; returns its main colour, 0..255."""
        ...


@dataclass(frozen=True, slots=True)
class Board:
    """Something that hangs on a wall: its centre, where it faces, its full size (width, height) [m] and its main colour."""

    at: Point
    facing: Point
    z_m: float
    size: tuple[float, float]
    colour: Colour


@dataclass(frozen=True, slots=True)
class _Paint:
    """How a room is painted."""

    finish: str
    upper: Colour
    lower: Colour
    dado: bool


class Fitter:
    """Fits one plan out; `scene` holds the result, `colours` the main colour of each piece, `boards` the signs as they hang, in the plan's order."""

    def __init__(self, plan: Plan, furnisher: Furnisher, style: Style, seed: tuple[int, ...]) -> None:
        self.plan, self.scene = plan, SceneBuilder()
        self.colours: list[Colour] = []
        self.boards: list[Board] = []
        self.posters: list[Board] = []
        self._furnisher, self._style = furnisher, style
        self._furniture_rng, self._rng = np.random.default_rng((*seed, 1)), np.random.default_rng((*seed, 2))
        self._hung: list[Board] = []
        mood = self._rng.uniform(0.15, 0.85, 2)
        self._light = {r.name: light_room(r, plan.height_m, mood, self._rng, style.lamp_spacing_m, style.lamp_size_m) for r in plan.rooms}
        self._paint = {r.name: self._paint_of(r) for r in plan.rooms}

    def furnish(self) -> None:
        """Furniture, and all that is solid."""
        for piece in self.plan.pieces:
            zone = self._zone_at(piece.x, piece.y) or piece.room
            place = (piece.x, piece.y, math.radians(piece.degrees), piece.z_m)
            self.colours.append(self._furnisher.build(self.scene, piece.model, *place, self._furniture_rng, zone))
        for wall in self.plan.walls:
            for start, end in _solid_parts(wall):
                a, b = _along(wall, start), _along(wall, end)
                size = np.abs(b - a) + WALL_M * (np.abs(b - a) < 1e-9)
                centre = (float((a[0] + b[0]) / 2), float((a[1] + b[1]) / 2), self.plan.height_m / 2)
                self.scene.solid_box(centre, (float(size[0]), float(size[1]), self.plan.height_m))

    def paint(self) -> None:
        """Everything else."""
        for place in self.plan.signs:
            self._sign(place)
        for room in self.plan.rooms:
            if room.category in self._style.outer_doors:
                self._outer_door(room)
        for wall in self.plan.walls:
            self._wall(wall)
        for room in self.plan.rooms:
            self._floor(room)
        drawn = set(self.scene.zones)
        self.scene.sees = {a: tuple(b for b in seen if b in drawn) for a, seen in seen_from(self.plan).items() if a in drawn}
        ways = portals(self.plan)
        if self.plan.kind != "warehouse":  # over low racks nearly all is seen from everywhere: looking from opening to opening costs more than it saves
            self.scene.ways = {room: tuple(_way(p) for p in ways[room] if p.into in drawn) for room in ways if room in drawn}

    def _paint_of(self, room: Room) -> _Paint:
        finish = str(self._rng.choice(self._style.finishes_of(room.category)))
        dado = finish == "plaster" and self._rng.random() < self._style.dado
        return _Paint(finish, self._colour(165, 225), self._colour(80, 170), dado)

    def _colour(self, low: float, high: float) -> Colour:
        """A muted colour."""
        drawn = self._rng.uniform(low, high, 3)
        muted = drawn.mean() + 0.55 * (drawn - drawn.mean())
        return float(muted[0]), float(muted[1]), float(muted[2])

    def _zone_at(self, x: float, y: float) -> str:
        for room in self.plan.rooms:
            x0, y0, x1, y1 = room.box
            if x0 <= x <= x1 and y0 <= y <= y1:
                return room.name
        return ""

    def _zone(self, room: str, high_m: float = 0.0) -> str:
        """The zone that a surface is drawn in; above racks one sees far, so high surfaces of halls are always drawn."""
        return "" if self._style.open_above and high_m > EYE_LEVEL_M - 0.01 else room

    def _wall(self, wall: Wall) -> None:
        for start, end in _solid_parts(wall):
            for s, e in itertools.pairwise(_divided([start, *(v for v in self._changes(wall) if start + 0.02 < v < end - 0.02), end])):
                self._panel(_along(wall, s), _along(wall, e), 0.0)
        for start, end in wall.openings:
            self._panel(_along(wall, start), _along(wall, end), DOOR_HEIGHT_M)
            self._frame(_along(wall, start), _along(wall, end))

    def _changes(self, wall: Wall) -> list[float]:
        """Where the rooms on either side of a wall change [m along it]."""
        a, along = np.array(wall.a), _direction(wall)
        found = set()
        for room in self.plan.rooms:
            x0, y0, x1, y1 = room.box
            for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
                offset = np.array(corner) - a
                if abs(float(along[0] * offset[1] - along[1] * offset[0])) < WALL_M:
                    found.add(round(float(along @ offset), 3))
        return sorted(found)

    def _panel(self, p: FloatArray, q: FloatArray, low: float) -> None:
        """Both faces of a straight piece of wall from p to q; those that no room lies in front of are not drawn."""
        along = (q - p) / float(np.linalg.norm(q - p))
        normal = np.array([along[1], -along[0]])
        top = self.plan.height_m
        for side, (left, right) in ((1.0, (p, q)), (-1.0, (q, p))):
            outwards = side * normal
            a, b = left + outwards * WALL_M / 2, right + outwards * WALL_M / 2
            middle = (a + b) / 2 + outwards * SEEN_M
            room = self._zone_at(float(middle[0]), float(middle[1]))
            if not room:
                continue
            facing = (float(round(outwards[0])), float(round(outwards[1])))
            for z0, z1 in ((low, top),) if top <= EYE_LEVEL_M + 0.5 else ((low, EYE_LEVEL_M), (EYE_LEVEL_M, top)):
                picture = self._plaster(a, b, z0, z1, room, facing)
                self.scene.wall_quad(_point(a), _point(b), z0, z1, self.scene.patch(picture), self._zone(room, z0))
            if low == 0.0:
                back = (p + q) / 2 - outwards * SEEN_M
                if not self._zone_at(float(back[0]), float(back[1])):
                    self._window(a, b, facing, room)
                self._posters(a, b, facing, room)

    def _plaster(self, a: FloatArray, b: FloatArray, low: float, high: float, room: str, facing: Point) -> UInt8Array:
        style, paint, length = self._style, self._paint[room], float(np.linalg.norm(b - a))
        px = style.wall_px if low < EYE_LEVEL_M - 0.01 else style.ceiling_px
        image = self._finish(paint.finish, length, high - low, paint.upper, px)
        edge = image.shape[0]
        if paint.dado and low < DADO_M:
            rows = round((DADO_M - low) / (high - low) * edge)
            image[edge - rows :] = self._finish(paint.finish, length, DADO_M - low, paint.lower, px)[:rows, : image.shape[1]]
            image[edge - rows - 3 : edge - rows] = np.array(paint.upper) * 0.55
        if low == 0.0:
            skirting = round(SKIRTING_M * px)
            image[-skirting:] = image[-skirting:] // 2
        return self._lit(image, room, np.array([*a, high]), np.array([*(b - a), 0.0]), np.array([0.0, 0.0, low - high]), (*facing, 0.0))

    def _finish(self, finish: str, width_m: float, height_m: float, colour: Colour, px_per_m: float) -> UInt8Array:
        return finishes.wall(finish, width_m, height_m, colour, self._rng, px_per_m)

    def _lit(
        self, image: UInt8Array, room: str, origin: FloatArray, right: FloatArray, down: FloatArray, normal: tuple[float, float, float]
    ) -> UInt8Array:
        """A surface's picture under the lamps of its room."""
        light = self._light[room]
        return lit(image, _tinted(light, light.gain(lattice(origin, right, down), normal)))

    def _frame(self, start: FloatArray, end: FloatArray) -> None:
        """The wall's ends at both sides of an opening and the underside of the lintel."""
        along = (end - start) / float(np.linalg.norm(end - start))
        normal = np.array([along[1], -along[0]]) * WALL_M / 2
        middle = _point((start + end) / 2)
        zone = next((z for z in (self._zone_at(*middle), *(self._zone_at(middle[0] + s * normal[0], middle[1] + s * normal[1]) for s in (2, -2))) if z), "")
        wood = self.scene.patch(surface(WALL_M, DOOR_HEIGHT_M, FRAME, self._rng, self._style.wall_px))
        for a, b in ((start + normal, start - normal), (end - normal, end + normal)):
            self.scene.wall_quad(_point(a), _point(b), 0.0, DOOR_HEIGHT_M, wood, zone)
        corners = np.array([(*p, DOOR_HEIGHT_M) for p in (start - normal, start + normal, end + normal, end - normal)])
        faces_down = np.cross(corners[1] - corners[0], corners[3] - corners[0])[2] < 0
        self.scene.quad(corners if faces_down else corners[::-1], wood, zone=zone)

    def _hang(self, at: Point, facing: Point, z_m: float, size: tuple[float, float], picture: UInt8Array, zone: str) -> Board:
        """A flat picture of `size` (width, height) [m] just in front of the wall."""
        right = np.array([-facing[1], facing[0]]) * size[0] / 2
        middle = np.array(at) + np.array(facing) * BOARD_M
        self.scene.wall_quad(_point(middle - right), _point(middle + right), z_m - size[1] / 2, z_m + size[1] / 2, self.scene.patch(picture), zone)
        mean = picture.reshape(-1, 3).mean(axis=0)
        board = Board(at, facing, z_m, size, (float(mean[0]), float(mean[1]), float(mean[2])))
        self._hung.append(board)
        return board

    def _room_for(self, at: Point, facing: Point, width: float) -> bool:
        """Whether nothing hangs there yet."""
        return not any(x.facing == facing and math.dist(x.at, at) < (x.size[0] + width) / 2 + 0.06 for x in self._hung)

    def _sign(self, place: SignPlace) -> None:
        dark, light = self._rng.uniform(5, 50, 3), self._rng.uniform(235, 255, 3)
        board, ink = (light, dark) if self._rng.random() < 0.5 else (dark, light)
        paint: Colour = (float(board[0]), float(board[1]), float(board[2]))
        picture = sign(place.text, place.letter_m, SIGN_PX_PER_M, paint, (ink[0], ink[1], ink[2]))
        front = np.array(place.at) + np.array(place.facing) * SEEN_M
        zone = self._zone_at(float(front[0]), float(front[1])) or place.room
        size = (picture.shape[1] / SIGN_PX_PER_M, picture.shape[0] / SIGN_PX_PER_M)
        self._hang(place.at, place.facing, place.z_m, size, picture, self._zone(zone, place.z_m))
        self.boards.append(Board(place.at, place.facing, place.z_m, size, paint))

    def _outer_door(self, room: Room) -> None:
        """A door painted on an outer wall of a room, where nothing stands or hangs before it; none if there is no such place."""
        width, height = DOOR_LEAF_M
        x0, y0, x1, y1 = room.box
        half, spots = WALL_M / 2, []
        for k, facing in enumerate(((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))):
            if abs(room.box[k] - self.plan.outline[k]) > 1e-6:
                continue
            low, high = ((y0, y1), (x0, x1))[k % 2]
            for t in np.arange(low + half + width / 2 + 0.1, high - half - width / 2 - 0.1, 0.1):
                surface_at = room.box[k] + half * (facing[0] + facing[1])
                spots.append(((surface_at, float(t)) if k % 2 == 0 else (float(t), surface_at), facing))
        free = [(at, facing) for at, facing in spots if self._room_for(at, facing, width) and not self._stands_before(at, facing, width)]
        if free:
            at, facing = free[int(self._rng.integers(len(free)))]
            leaf = finishes.door_leaf(width, height, self._colour(70, 170), self._rng, self._style.poster_px)
            self._hang(at, facing, height / 2 + 0.01, DOOR_LEAF_M, leaf, room.name)

    def _stands_before(self, at: Point, facing: Point, width: float) -> bool:
        """Whether any furniture stands right before a spot on a wall."""
        x, y = at[0] + facing[0] * DOOR_ROOM_M / 2, at[1] + facing[1] * DOOR_ROOM_M / 2
        return any(math.hypot(p.x - x, p.y - y) < (width + _reach(p)) / 2 for p in self.plan.pieces)

    def _window(self, a: FloatArray, b: FloatArray, facing: Point, room: str) -> None:
        length = float(np.linalg.norm(b - a))
        width, high = float(self._rng.uniform(0.9, 1.6)), self._rng.random()
        if length < width + 0.5 or high > self._style.windows:
            return
        t = float(self._rng.uniform(width / 2 + 0.2, length - width / 2 - 0.2))
        at = _point(a + (b - a) / length * t)
        if self._room_for(at, facing, width):
            low, top = WINDOW_Z_M
            self._hang(at, facing, (low + top) / 2, (width, top - low), finishes.window(width, top - low, self._rng, self._style.poster_px), room)

    def _posters(self, a: FloatArray, b: FloatArray, facing: Point, room: str) -> None:
        length = float(np.linalg.norm(b - a))
        for _ in range(round(length * self._style.posters_per_m)):
            width, height = float(self._rng.uniform(0.4, 0.8)), float(self._rng.uniform(0.5, 0.95))
            if length < width + 0.2:
                continue
            at = _point(a + (b - a) / length * float(self._rng.uniform(width / 2 + 0.08, length - width / 2 - 0.08)))
            if self._room_for(at, facing, width):
                picture = poster(width, height, self._rng, self._style.poster_px)
                picture = lit(picture, _tinted(self._light[room], np.ones((2, 2), np.float32)))
                self.posters.append(self._hang(at, facing, float(self._rng.uniform(1.35, 1.7)), (width, height), picture, room))

    def _floor(self, room: Room) -> None:
        """Floor and ceiling of a room, large ones in pieces to keep their detail."""
        style, colour = self._style, self._colour(90, 175)
        top, light = self.plan.height_m, self._light[room.name]
        for left, low, right, high in _pieces(room.box):
            width, depth = right - left, high - low
            picture = finishes.floor(room.floor, width, depth, colour, self._rng, style.floor_px)
            lie = (np.array([left, high, 0.0]), np.array([width, 0.0, 0.0]), np.array([0.0, -depth, 0.0]))
            picture = self._lit(picture, room.name, *lie, (0.0, 0.0, 1.0))
            self.scene.quad(np.array([(left, low, 0.0), (right, low, 0.0), (right, high, 0.0), (left, high, 0.0)]), self.scene.patch(picture), zone=room.name)
            above = finishes.ceiling(style.ceiling, width, depth, self._rng, style.ceiling_px)
            above = lit(above, _tinted(light, np.ones((2, 2), np.float32)))
            _draw_lamps(above, light.lamps, (left, low, right, high))
            corners = np.array([(left, high, top), (right, high, top), (right, low, top), (left, low, top)])
            self.scene.quad(corners, self.scene.patch(above), group=CEILING_GROUP, zone=self._zone(room.name, top))


def _tinted(light: RoomLight, gain: Float32Array) -> Float32Array:
    return np.ascontiguousarray(gain[..., None] * np.array(light.tint), dtype=np.float32)


def _point(p: FloatArray) -> Point:
    return float(p[0]), float(p[1])


def _direction(wall: Wall) -> FloatArray:
    difference = np.array(wall.b) - np.array(wall.a)
    return np.asarray(difference / float(np.linalg.norm(difference)), dtype=np.float64)


def _along(wall: Wall, distance: float) -> FloatArray:
    return np.asarray(np.array(wall.a) + _direction(wall) * distance, dtype=np.float64)


def _solid_parts(wall: Wall) -> list[tuple[float, float]]:
    """Stretches of a wall between its openings [m along it]. Walls end on centre lines: half a wall more leaves no notch at a corner."""
    length = math.dist(wall.a, wall.b)
    cuts = [-WALL_M / 2, *(v for opening in sorted(wall.openings) for v in opening), length + WALL_M / 2]
    return [(start, end) for start, end in zip(cuts[0::2], cuts[1::2]) if end - start > 1e-6]


def _divided(cuts: list[float]) -> list[float]:
    """Cuts with more of them where they lie too far apart."""
    out = [cuts[0]]
    for start, end in itertools.pairwise(cuts):
        out += np.linspace(start, end, math.ceil((end - start) / LONGEST_M) + 1)[1:].tolist()
    return out


def _pieces(box: Box) -> list[Box]:
    x0, y0, x1, y1 = box
    columns, rows = (math.ceil(span / LONGEST_M) for span in (x1 - x0, y1 - y0))
    xs, ys = np.linspace(x0, x1, columns + 1).tolist(), np.linspace(y0, y1, rows + 1).tolist()
    return [(xs[i], ys[j], xs[i + 1], ys[j + 1]) for i in range(columns) for j in range(rows)]


def _reach(piece: Piece) -> float:
    return max(piece.model.size_m[:2])


def _draw_lamps(ceiling: UInt8Array, lamps: tuple[Lamp, ...], box: Box) -> None:
    """Bright rectangles where lamps hang; the picture's first row is at the box's low y, as the ceiling is seen from below."""
    h, w = ceiling.shape[:2]
    x0, y0, x1, y1 = box
    for lamp in lamps:
        columns = [round((lamp.x + s * lamp.size[0] / 2 - x0) / (x1 - x0) * w) for s in (-1, 1)]
        rows = [round((lamp.y + s * lamp.size[1] / 2 - y0) / (y1 - y0) * h) for s in (-1, 1)]
        ceiling[max(rows[0], 0) : max(rows[1], 0), max(columns[0], 0) : max(columns[1], 0)] = 252


def _way(portal: Portal) -> Way:
    return Way(portal.into, portal.left, portal.right, RACK_M if portal.shut else 0.0)
