"""Builds the office of `office_plan` with the colours, textures, posters and small displacements of one seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, UInt8Array
from astra.sim import office_plan as plan
from astra.sim.furniture import Carpenter
from astra.sim.meshes import CEILING_GROUP, SceneBuilder
from astra.sim.textures import Colour, planks, poster, sign, surface, tiles

WALL_PX_PER_M, FLOOR_PX_PER_M, CEILING_PX_PER_M, SIGN_PX_PER_M, POSTER_PX_PER_M = 130.0, 110.0, 60.0, 220.0, 190.0
WALL_MARKS = 110.0  # for each square metre
DADO_M = 0.95
WALL_LIGHT = {plan.NORTH: 0.86, plan.SOUTH: 1.0, plan.EAST: 0.93, plan.WEST: 0.80}
UPHOLSTERY: tuple[Colour, ...] = ((166.0, 62.0, 54.0), (52.0, 98.0, 140.0), (84.0, 120.0, 70.0), (190.0, 146.0, 60.0), (110.0, 74.0, 120.0))
WOOD: tuple[Colour, ...] = ((158.0, 114.0, 72.0), (120.0, 82.0, 56.0), (196.0, 164.0, 120.0))
UPHOLSTERED = ("sofa", "armchair", "chair")
PAINTS: dict[str, Callable[..., UInt8Array]] = {"planks": planks, "tiles": tiles, "carpet": surface}


@dataclass(frozen=True, slots=True)
class _Board:
    """Something that already hangs on a wall."""

    at: tuple[float, float]
    facing: tuple[float, float]
    half_m: float


class OfficeBuilder:
    """Paints walls, floors and signs, hangs posters and places furniture into a `SceneBuilder`."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.scene = SceneBuilder()
        self._boards: list[_Board] = []
        self._colours = {room.name: self._room_colours() for room in plan.ROOMS}
        self._corridor = self._room_colours()

    def build(self) -> SceneBuilder:
        """The whole office."""
        for place in plan.SIGNS:
            self._sign(place)
        self._exit_door()
        for wall in plan.WALLS:
            self._wall(wall)
        self._floors()
        self._furniture()
        return self.scene

    def _room_colours(self) -> tuple[Colour, Colour]:
        """Upper and lower wall colours."""
        return self._colour(165, 225), self._colour(80, 170)

    def _colour(self, low: float, high: float) -> Colour:
        """A muted colour."""
        drawn = self.rng.uniform(low, high, 3)
        muted = drawn.mean() + 0.55 * (drawn - drawn.mean())
        return float(muted[0]), float(muted[1]), float(muted[2])

    def _colours_at(self, x: float, y: float) -> tuple[Colour, Colour]:
        for room in plan.ROOMS:
            x0, y0, x1, y1 = room.box
            if x0 <= x <= x1 and y0 <= y <= y1:
                return self._colours[room.name]
        return self._corridor

    def _wall(self, wall: plan.Wall) -> None:
        a, b = np.array(wall.a), np.array(wall.b)
        length = float(np.linalg.norm(b - a))
        along = (b - a) / length
        cuts = [0.0, *(v for opening in wall.openings for v in opening), length]
        for start, end in zip(cuts[0::2], cuts[1::2]):
            for s, e in itertools.pairwise([start, *(v for v in self._junctions(wall) if start < v < end), end]):
                self._panel(a + along * s, a + along * e, 0.0, plan.HEIGHT_M)
            centre, size = a + along * (start + end) / 2, np.abs(along) * (end - start) + (1 - np.abs(along)) * plan.WALL_M
            self.scene.solid_box((float(centre[0]), float(centre[1]), plan.HEIGHT_M / 2), (float(size[0]), float(size[1]), plan.HEIGHT_M))
        for start, end in wall.openings:
            self._panel(a + along * start, a + along * end, plan.DOOR_HEIGHT_M, plan.HEIGHT_M)
            self._reveal(a + along * start, along, a + along * end)

    @staticmethod
    def _junctions(wall: plan.Wall) -> list[float]:
        """Where other walls end on this one [m along it]: its faces change rooms there."""
        a, b = np.array(wall.a), np.array(wall.b)
        along = (b - a) / float(np.linalg.norm(b - a))
        found = set()
        for end in (e for other in plan.WALLS if other is not wall for e in (other.a, other.b)):
            offset = np.array(end) - a
            if abs(float(along[0] * offset[1] - along[1] * offset[0])) < 1e-6:
                found.add(float(along @ offset))
        return sorted(found)

    def _panel(self, p: FloatArray, q: FloatArray, low: float, high: float) -> None:
        """Both faces of a straight piece of wall from p to q."""
        along = (q - p) / float(np.linalg.norm(q - p))
        normal = np.array([along[1], -along[0]])
        for side, (left, right) in ((1.0, (p, q)), (-1.0, (q, p))):
            offset = side * normal * plan.WALL_M / 2
            a, b, outwards = left + offset, right + offset, side * normal
            middle = (a + b) / 2 + outwards * 0.2
            if abs(middle[0]) > plan.HALF_X or abs(middle[1]) > plan.HALF_Y:
                continue  # the outside of the building is never seen
            facing = (float(round(outwards[0])), float(round(outwards[1])))
            picture = self._plaster(float(np.linalg.norm(b - a)), low, high, self._colours_at(*middle), WALL_LIGHT[facing])
            self.scene.wall_quad((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), low, high, self.scene.patch(picture))
            if low == 0.0:
                self._posters(a, b, facing)

    def _plaster(self, length_m: float, low: float, high: float, colours: tuple[Colour, Colour], light: float) -> UInt8Array:
        upper, lower = ((c[0] * light, c[1] * light, c[2] * light) for c in colours)
        image = surface(length_m, high - low, upper, self.rng, WALL_PX_PER_M, WALL_MARKS)
        if low < DADO_M:
            rows = round((DADO_M - low) / (high - low) * image.shape[0])
            image[-rows:] = surface(length_m, DADO_M - low, lower, self.rng, WALL_PX_PER_M, WALL_MARKS)[:rows, : image.shape[1]]
            image[-rows - 3 : -rows] = np.array(upper) * 0.55
            image[-10:] = image[-10:] // 2
        return image

    def _reveal(self, start: FloatArray, along: FloatArray, end: FloatArray) -> None:
        """The wall's ends at both sides of an opening and the underside of the lintel."""
        normal = np.array([along[1], -along[0]]) * plan.WALL_M / 2
        colour = (120.0, 92.0, 68.0)
        jamb = self.scene.patch(surface(plan.WALL_M, plan.DOOR_HEIGHT_M, colour, self.rng, WALL_PX_PER_M))
        for point, side in ((start, 1.0), (end, -1.0)):
            a, b = point - side * normal, point + side * normal
            a, b = (b, a) if np.cross(np.append(b - a, 0), [0, 0, 1])[:2] @ along * side < 0 else (a, b)
            self.scene.wall_quad((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), 0.0, plan.DOOR_HEIGHT_M, jamb)
        under = [start - normal, start + normal, end + normal, end - normal]
        corners = np.array([(x, y, plan.DOOR_HEIGHT_M) for x, y in under])
        self.scene.quad(corners if np.cross(corners[1] - corners[0], corners[3] - corners[0])[2] < 0 else corners[::-1], jamb)

    def _hang(self, at: tuple[float, float], facing: tuple[float, float], centre_z: float, size: tuple[float, float], picture: UInt8Array) -> None:
        """A flat picture of `size` (width, height) [m], two centimetres in front of the wall."""
        right = np.array([-facing[1], facing[0]]) * size[0] / 2
        middle = np.array(at) + np.array(facing) * 0.02
        a, b = middle - right, middle + right
        low, high = centre_z - size[1] / 2, centre_z + size[1] / 2
        self.scene.wall_quad((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), low, high, self.scene.patch(picture))
        self._boards.append(_Board(at, facing, size[0] / 2))

    def _sign(self, place: plan.SignPlace) -> None:
        dark, light = self.rng.uniform(5, 50, 3), self.rng.uniform(235, 255, 3)
        board, ink = (light, dark) if self.rng.random() < 0.5 else (dark, light)
        picture = sign(place.text, place.letter_m, SIGN_PX_PER_M, (board[0], board[1], board[2]), (ink[0], ink[1], ink[2]))
        self._hang(place.at, place.facing, place.z_m, (picture.shape[1] / SIGN_PX_PER_M, picture.shape[0] / SIGN_PX_PER_M), picture)

    def _exit_door(self) -> None:
        leaf = planks(0.95, 2.05, (110.0, 150.0, 120.0), self.rng, POSTER_PX_PER_M)
        leaf[:6], leaf[:, :6], leaf[:, -6:] = 60, 60, 60
        self._hang(*plan.EXIT_DOOR, 1.03, (0.95, 2.05), leaf)

    def _posters(self, a: FloatArray, b: FloatArray, facing: tuple[float, float]) -> None:
        length = float(np.linalg.norm(b - a))
        for _ in range(round(length / 0.9)):
            width, height = float(self.rng.uniform(0.4, 0.8)), float(self.rng.uniform(0.5, 0.95))
            if length < width + 0.2:
                continue
            t = float(self.rng.uniform(width / 2 + 0.08, length - width / 2 - 0.08))
            spot = a + (b - a) / length * t
            at = (float(spot[0]), float(spot[1]))
            if any(x.facing == facing and math.dist(x.at, at) < x.half_m + width / 2 + 0.06 for x in self._boards):
                continue
            picture = poster(width, height, self.rng, POSTER_PX_PER_M)
            self._hang(at, facing, float(self.rng.uniform(1.35, 1.7)), (width, height), picture)

    def _floors(self) -> None:
        corridor = (-plan.HALF_X, -plan.CORRIDOR, plan.HALF_X, plan.CORRIDOR)
        for kind, box in [("tiles", corridor), *((room.floor, room.box) for room in plan.ROOMS)]:
            x0, y0, x1, y1 = box
            colour = self._colour(90, 175)
            paint = PAINTS[kind]
            halves = 2 if x1 - x0 > 10 else 1  # a long floor keeps its detail on two patches
            for left, right in itertools.pairwise(np.linspace(x0, x1, halves + 1)):
                picture = paint(right - left, y1 - y0, colour, self.rng, FLOOR_PX_PER_M)
                self.scene.quad(np.array([(left, y0, 0.0), (right, y0, 0.0), (right, y1, 0.0), (left, y1, 0.0)]), self.scene.patch(picture))
                above = tiles(right - left, y1 - y0, (205.0, 205.0, 198.0), self.rng, CEILING_PX_PER_M)
                self._lamps(above)
                corners = np.array([(left, y1, plan.HEIGHT_M), (right, y1, plan.HEIGHT_M), (right, y0, plan.HEIGHT_M), (left, y0, plan.HEIGHT_M)])
                self.scene.quad(corners, self.scene.patch(above), group=CEILING_GROUP)

    def _lamps(self, ceiling: UInt8Array) -> None:
        h, w = ceiling.shape[:2]
        step = 36  # one tile of 0.6 m
        for j in range(1, max(2, h // step), 3):
            for i in range(1 + int(self.rng.integers(0, 2)), w // step, 3):
                ceiling[j * step + 3 : (j + 1) * step - 3, i * step + 3 : (i + 1) * step - 3] = 252

    def _furniture(self) -> None:
        carpenter = Carpenter(self.scene, self.rng)
        cloth = UPHOLSTERY[int(self.rng.integers(0, len(UPHOLSTERY)))]
        wood = WOOD[int(self.rng.integers(0, len(WOOD)))]
        other = UPHOLSTERY[int(self.rng.integers(0, len(UPHOLSTERY)))]
        for piece in plan.FURNITURE:
            colour = (other if piece.kind == "chair" else cloth) if piece.kind in UPHOLSTERED else wood
            dx, dy = self.rng.uniform(-0.05, 0.05, 2)
            turn = float(self.rng.uniform(-180, 180) if piece.kind == "plant" else self.rng.uniform(-10, 10) if piece.kind == "chair" else 0.0)
            carpenter.build(piece.kind, piece.x + float(dx), piece.y + float(dy), math.radians(piece.degrees + turn), colour)
