"""Paints a plan: walls with doors, floors, ceilings with lamps, posters, signs and furniture, each drawn in the zone of its room."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from astra.core.types import FloatArray, UInt8Array
from astra.sim.meshes import CEILING_GROUP, SceneBuilder
from astra.sim.textures import Colour, lit, planks, poster, sign, surface, tiles
from astra.sim.worlds.lighting import Lamp, RoomLight, lattice, light_room
from astra.sim.worlds.plan import DOOR_HEIGHT_M, EAST, NORTH, SOUTH, WALL_M, WEST, Box, Catalogue, Kind, Model, Piece, Plan, Room, SignPlace, Wall
from astra.sim.worlds.sight import seen_from

WALL_PX_PER_M, FLOOR_PX_PER_M, CEILING_PX_PER_M, SIGN_PX_PER_M, POSTER_PX_PER_M = 100.0, 80.0, 40.0, 220.0, 150.0
WALL_MARKS = 60.0  # for each square metre
DADO_M = 0.95
BOARD_M = 0.02  # how far pictures and signs stand out of the wall
SEEN_M = 0.2  # in front of a wall lies the room that it belongs to
FACING = {NORTH: (0.0, 1.0, 0.0), SOUTH: (0.0, -1.0, 0.0), EAST: (1.0, 0.0, 0.0), WEST: (-1.0, 0.0, 0.0)}


class Furnisher(Catalogue, Protocol):
    """A catalogue that also builds what it lists."""

    def build(
        self, scene: SceneBuilder, model: Model, x: float, y: float, yaw_rad: float, z_m: float, rng: np.random.Generator, zone: str
    ) -> Colour:
        """Draw a model with its solids; returns its main colour, 0..255."""
        ...


@dataclass(frozen=True, slots=True)
class Style:
    """How buildings of a kind look: lamps, posters for each metre of wall, whether walls have a dado."""

    lamp_spacing_m: float
    lamp_size_m: tuple[float, float]
    posters_per_m: float
    dado: bool
    ceiling: str


STYLES: dict[Kind, Style] = {
    "home": Style(3.2, (0.45, 0.45), 0.45, False, "surface"),
    "office": Style(2.6, (0.6, 1.2), 0.6, True, "tiles"),
    "warehouse": Style(4.2, (0.3, 2.0), 0.35, True, "surface"),
}


@dataclass(frozen=True, slots=True)
class _Board:
    """Something that hangs on a wall."""

    at: tuple[float, float]
    facing: tuple[float, float]
    half_m: float


class Fitter:
    """Fits one plan out; `scene` holds the result, `colours` the main colour of each piece, `boards` those of each sign."""

    def __init__(self, plan: Plan, furnisher: Furnisher, rng: np.random.Generator) -> None:
        self.plan, self.scene = plan, SceneBuilder()
        self.colours: list[Colour] = []
        self.boards: list[Colour] = []
        self._furnisher, self._rng, self._style = furnisher, rng, STYLES[plan.kind]
        self._hung: list[_Board] = []
        mood = rng.uniform(0.15, 0.85, 2)
        self._light = {r.name: light_room(r, plan.height_m, mood, rng, self._style.lamp_spacing_m, self._style.lamp_size_m) for r in plan.rooms}
        self._paint = {r.name: (self._colour(165, 225), self._colour(80, 170)) for r in plan.rooms}

    def build(self) -> SceneBuilder:
        """The whole building."""
        for piece in self.plan.pieces:
            self._furnish(piece)
        for place in self.plan.signs:
            self._sign(place)
        for wall in self.plan.walls:
            self._wall(wall)
        for room in self.plan.rooms:
            self._floor(room)
        drawn = set(self.scene.zones)
        self.scene.sees = {a: tuple(b for b in seen if b in drawn) for a, seen in seen_from(self.plan).items() if a in drawn}
        return self.scene

    def _furnish(self, piece: Piece) -> None:
        colour = self._furnisher.build(
            self.scene, piece.model, piece.x, piece.y, math.radians(piece.degrees), piece.z_m, self._rng, self._zone_at(piece.x, piece.y) or piece.room
        )
        self.colours.append(colour)

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

    def _wall(self, wall: Wall) -> None:
        a, b = np.array(wall.a), np.array(wall.b)
        length = float(np.linalg.norm(b - a))
        along = (b - a) / length
        cuts = [0.0, *(v for opening in wall.openings for v in opening), length]
        for start, end in zip(cuts[0::2], cuts[1::2]):
            if end - start < 1e-6:
                continue
            # Walls end on centre lines: half a wall more on both sides leaves no notch at a corner.
            s0, e0 = (start - WALL_M / 2 if start == 0.0 else start), (end + WALL_M / 2 if end == length else end)
            for s, e in itertools.pairwise([s0, *(v for v in self._changes(wall, along) if s0 + 0.02 < v < e0 - 0.02), e0]):
                self._panel(a + along * s, a + along * e, 0.0, self.plan.height_m)
            self._ends(a, along, s0, e0, start != 0.0, end != length)
            centre, size = a + along * (s0 + e0) / 2, np.abs(along) * (e0 - s0) + (1 - np.abs(along)) * WALL_M
            self.scene.solid_box((float(centre[0]), float(centre[1]), self.plan.height_m / 2), (float(size[0]), float(size[1]), self.plan.height_m))
        for start, end in wall.openings:
            self._panel(a + along * start, a + along * end, DOOR_HEIGHT_M, self.plan.height_m)
            self._lintel(a + along * start, a + along * end)

    def _changes(self, wall: Wall, along: FloatArray) -> list[float]:
        """Where the rooms on either side of a wall change [m along it]."""
        a = np.array(wall.a)
        found = set()
        for room in self.plan.rooms:
            x0, y0, x1, y1 = room.box
            for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
                offset = np.array(corner) - a
                if abs(float(along[0] * offset[1] - along[1] * offset[0])) < WALL_M:
                    found.add(round(float(along @ offset), 3))
        return sorted(found)

    def _panel(self, p: FloatArray, q: FloatArray, low: float, high: float) -> None:
        """Both faces of a straight piece of wall from p to q; those that no room lies in front of are not drawn."""
        along = (q - p) / float(np.linalg.norm(q - p))
        normal = np.array([along[1], -along[0]])
        for side, (left, right) in ((1.0, (p, q)), (-1.0, (q, p))):
            a, b, outwards = left + side * normal * WALL_M / 2, right + side * normal * WALL_M / 2, side * normal
            middle = (a + b) / 2 + outwards * SEEN_M
            zone = self._zone_at(float(middle[0]), float(middle[1]))
            if not zone:
                continue
            facing = (float(round(outwards[0])), float(round(outwards[1])))
            picture = self._plaster(a, b, low, high, zone, facing)
            self.scene.wall_quad((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), low, high, self.scene.patch(picture), zone)
            if low == 0.0:
                self._posters(a, b, facing, zone)

    def _plaster(self, a: FloatArray, b: FloatArray, low: float, high: float, zone: str, facing: tuple[float, float]) -> UInt8Array:
        length = float(np.linalg.norm(b - a))
        upper, lower = self._paint[zone]
        image = surface(length, high - low, upper, self._rng, WALL_PX_PER_M, WALL_MARKS)
        if low < DADO_M:
            edge = image.shape[0]
            if self._style.dado:
                rows = min(round((DADO_M - low) / (high - low) * edge), edge)
                band = surface(length, DADO_M - low, lower, self._rng, WALL_PX_PER_M, WALL_MARKS)
                image[edge - rows :] = band[:rows, : image.shape[1]]
                image[max(edge - rows - 3, 0) : edge - rows] = np.array(upper) * 0.55
            image[-8:] = image[-8:] // 2
        light = self._light[zone]
        points = lattice(np.array([*a, high]), np.array([*(b - a), 0.0]), np.array([0.0, 0.0, low - high]))
        return self._shine(image, light, points, FACING[facing])

    def _shine(self, image: UInt8Array, light: RoomLight, points: FloatArray, normal: tuple[float, float, float]) -> UInt8Array:
        gain = light.gain(points, normal)[..., None] * np.array(light.tint, np.float32)
        return lit(image, np.ascontiguousarray(gain, dtype=np.float32))

    def _ends(self, a: FloatArray, along: FloatArray, start: float, end: float, opens_before: bool, opens_after: bool) -> None:
        """The faces of a wall's ends at openings."""
        normal = np.array([along[1], -along[0]]) * WALL_M / 2
        for at, side, is_open in ((start, -1.0, opens_before), (end, 1.0, opens_after)):
            if not is_open:
                continue
            point = a + along * at
            left, right = (point + normal, point - normal) if side > 0 else (point - normal, point + normal)
            middle = point + along * side * SEEN_M
            zone = self._zone_at(float(middle[0]), float(middle[1]))
            jamb = self.scene.patch(surface(WALL_M, DOOR_HEIGHT_M, self._paint[zone][1] if zone else (120.0, 92.0, 68.0), self._rng, WALL_PX_PER_M))
            self.scene.wall_quad((float(left[0]), float(left[1])), (float(right[0]), float(right[1])), 0.0, DOOR_HEIGHT_M, jamb, zone)

    def _lintel(self, start: FloatArray, end: FloatArray) -> None:
        along = (end - start) / float(np.linalg.norm(end - start))
        normal = np.array([along[1], -along[0]]) * WALL_M / 2
        middle = (start + end) / 2
        zone = self._zone_at(float(middle[0]), float(middle[1]))
        corners = np.array([(*p, DOOR_HEIGHT_M) for p in (start - normal, start + normal, end + normal, end - normal)])
        faces_down = np.cross(corners[1] - corners[0], corners[3] - corners[0])[2] < 0
        picture = self.scene.patch(surface(WALL_M, float(np.linalg.norm(end - start)), (120.0, 92.0, 68.0), self._rng, WALL_PX_PER_M))
        self.scene.quad(corners if faces_down else corners[::-1], picture, zone=zone)

    def _hang(self, at: tuple[float, float], facing: tuple[float, float], z_m: float, size: tuple[float, float], picture: UInt8Array, zone: str) -> None:
        """A flat picture of `size` (width, height) [m] just in front of the wall."""
        right = np.array([-facing[1], facing[0]]) * size[0] / 2
        middle = np.array(at) + np.array(facing) * BOARD_M
        a, b = middle - right, middle + right
        low, high = z_m - size[1] / 2, z_m + size[1] / 2
        self.scene.wall_quad((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), low, high, self.scene.patch(picture), zone)
        self._hung.append(_Board(at, facing, size[0] / 2))

    def _sign(self, place: SignPlace) -> None:
        dark, light = self._rng.uniform(5, 50, 3), self._rng.uniform(235, 255, 3)
        board, ink = (light, dark) if self._rng.random() < 0.5 else (dark, light)
        picture = sign(place.text, place.letter_m, SIGN_PX_PER_M, (board[0], board[1], board[2]), (ink[0], ink[1], ink[2]))
        front = np.array(place.at) + np.array(place.facing) * SEEN_M
        zone = self._zone_at(float(front[0]), float(front[1])) or place.room
        self._hang(place.at, place.facing, place.z_m, (picture.shape[1] / SIGN_PX_PER_M, picture.shape[0] / SIGN_PX_PER_M), picture, zone)
        self.boards.append((float(board[0]), float(board[1]), float(board[2])))

    def _posters(self, a: FloatArray, b: FloatArray, facing: tuple[float, float], zone: str) -> None:
        length = float(np.linalg.norm(b - a))
        for _ in range(round(length * self._style.posters_per_m)):
            width, height = float(self._rng.uniform(0.4, 0.8)), float(self._rng.uniform(0.5, 0.95))
            if length < width + 0.2:
                continue
            t = float(self._rng.uniform(width / 2 + 0.08, length - width / 2 - 0.08))
            spot = a + (b - a) / length * t
            at = (float(spot[0]), float(spot[1]))
            if any(x.facing == facing and math.dist(x.at, at) < x.half_m + width / 2 + 0.06 for x in self._hung):
                continue
            picture = poster(width, height, self._rng, POSTER_PX_PER_M)
            tint = np.array(self._light[zone].tint, np.float32)[None, None].repeat(2, 0).repeat(2, 1)
            self._hang(at, facing, float(self._rng.uniform(1.35, 1.7)), (width, height), lit(picture, tint), zone)

    def _floor(self, room: Room) -> None:
        """Floor and ceiling of a room, long ones in two pieces to keep their detail."""
        colour, above = self._colour(90, 175), self._colour(195, 215)
        paint = {"planks": planks, "tiles": tiles, "carpet": surface, "concrete": surface}[room.floor]
        light = self._light[room.name]
        for box in _halves(room.box):
            left, low, right, high = box
            width, depth = right - left, high - low
            lie = np.array([0.0, low - high, 0.0])
            picture = paint(width, depth, colour, self._rng, FLOOR_PX_PER_M)
            picture = self._shine(picture, light, lattice(np.array([left, high, 0.0]), np.array([width, 0.0, 0.0]), lie), (0.0, 0.0, 1.0))
            corners = np.array([(left, low, 0.0), (right, low, 0.0), (right, high, 0.0), (left, high, 0.0)])
            self.scene.quad(corners, self.scene.patch(picture), zone=room.name)
            ceiling = (tiles if self._style.ceiling == "tiles" else surface)(width, depth, above, self._rng, CEILING_PX_PER_M)
            _draw_lamps(ceiling, light.lamps, box)
            top = self.plan.height_m
            corners = np.array([(left, high, top), (right, high, top), (right, low, top), (left, low, top)])
            self.scene.quad(corners, self.scene.patch(ceiling), group=CEILING_GROUP, zone=room.name)


def _halves(box: Box) -> list[Box]:
    x0, y0, x1, y1 = box
    columns, rows = (math.ceil(span / 10.0) for span in (x1 - x0, y1 - y0))
    xs, ys = np.linspace(x0, x1, columns + 1).tolist(), np.linspace(y0, y1, rows + 1).tolist()
    return [(xs[i], ys[j], xs[i + 1], ys[j + 1]) for i in range(columns) for j in range(rows)]


def _draw_lamps(ceiling: UInt8Array, lamps: tuple[Lamp, ...], box: Box) -> None:
    """Bright rectangles where lamps hang; the picture's first row is at the box's low y, as the ceiling is seen from below."""
    h, w = ceiling.shape[:2]
    x0, y0, x1, y1 = box
    for lamp in lamps:
        columns = [round((lamp.x + s * lamp.size[0] / 2 - x0) / (x1 - x0) * w) for s in (-1, 1)]
        rows = [round((lamp.y + s * lamp.size[1] / 2 - y0) / (y1 - y0) * h) for s in (-1, 1)]
        ceiling[max(rows[0], 0) : max(rows[1], 0), max(columns[0], 0) : max(columns[1], 0)] = 252
