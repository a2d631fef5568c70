"""A building of four identical corridors around a block: nothing but its first corner tells them apart.

Structure from motion sees one corridor; whoever counts the turns knows that there are four.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.geometry import Pose2
from astra.sim.meshes import CEILING_GROUP, SceneBuilder, rotate
from astra.sim.textures import poster, surface, tiles
from astra.sim.world import World
from astra.sim.worlds.truth import RESOLUTION_M, WorldTruth, free_space, save_truth

OUTER_M, INNER_M, HEIGHT_M = 9.0, 7.0, 2.5  # half sides of the walls
WALL_PX_PER_M = 90.0
PICTURES = 6  # on each inner and outer wall


def build_ring(out: Path, seed: int) -> World:
    """Write the world into the folder `out`, which must not exist; its tour goes round once and a bit further."""
    rng = np.random.default_rng([seed, 4])
    scene = SceneBuilder()
    side = _Side(scene, rng)
    for quarter in range(4):
        side.build(quarter * math.pi / 2)
    _mark(scene, rng)
    half = (OUTER_M + INNER_M) / 2
    corners = [(half, -half), (half, half), (-half, half), (-half, -half), (half, -half), (half, half / 2)]
    tour = np.array([(half - 3.0, -half), *corners])
    outline = (-OUTER_M, -OUTER_M, OUTER_M, OUTER_M)
    free = free_space(scene.solids, outline)
    truth = WorldTruth((), (), tour, Pose2(float(tour[0, 0]), float(tour[0, 1]), 0.0), free, RESOLUTION_M, outline[:2], seed=seed)
    out.mkdir(parents=True)
    scene.write(out)
    save_truth(truth, out)
    return World(out.name, out / "scene.xml", truth)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A poster: its centre, which way along x it faces, (width, height) [m], and its patch."""

    at: tuple[float, float, float]
    facing: float
    size: tuple[float, float]
    patch: int


class _Side:
    """One corridor, east of the block; its pictures are painted once and used four times."""

    def __init__(self, scene: SceneBuilder, rng: np.random.Generator) -> None:
        self._scene = scene
        red, green, blue = (float(v) for v in rng.uniform(170.0, 220.0, 3))
        self._outer, self._inner = (scene.patch(surface(2 * half, HEIGHT_M, (red, green, blue), rng, WALL_PX_PER_M, 90.0)) for half in (OUTER_M, INNER_M))
        width, length = OUTER_M - INNER_M, OUTER_M + INNER_M
        self._floor = scene.patch(tiles(length, width, (150.0, 140.0, 128.0), rng, WALL_PX_PER_M))
        self._ceiling = scene.patch(tiles(length, width, (206.0, 206.0, 200.0), rng, 60.0))
        self._pictures: list[_Picture] = []
        for x, facing in ((OUTER_M, -1.0), (INNER_M, 1.0)):
            for y in np.linspace(1.5 - INNER_M, INNER_M - 1.5, PICTURES):
                size = (float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.6, 1.1)))
                at = (x + 0.02 * facing, float(y + rng.uniform(-0.4, 0.4)), float(rng.uniform(1.2, 1.6)))
                self._pictures.append(_Picture(at, facing, size, scene.patch(poster(*size, rng, 150.0))))

    def build(self, yaw_rad: float) -> None:
        """Put up the corridor, turned about the middle of the block; four of them tile the ring like a pinwheel."""
        o, i = OUTER_M, INNER_M
        self._wall((o, o), (o, -o), 0.0, HEIGHT_M, self._outer, yaw_rad)
        self._wall((i, -i), (i, i), 0.0, HEIGHT_M, self._inner, yaw_rad)
        for picture in self._pictures:
            (x, y, z), (width, height) = picture.at, picture.size
            half = picture.facing * width / 2
            self._wall((x, y - half), (x, y + half), z - height / 2, z + height / 2, picture.patch, yaw_rad)
        floor = np.array([(o, -o, 0.0), (o, i, 0.0), (i, i, 0.0), (i, -o, 0.0)])
        self._scene.quad(rotate(floor, yaw_rad, (0.0, 0.0)), self._floor)
        self._scene.quad(rotate((floor + np.array([0.0, 0.0, HEIGHT_M]))[::-1], yaw_rad, (0.0, 0.0)), self._ceiling, group=CEILING_GROUP)
        for x, half in ((o + 0.06, o), (i - 0.06, i)):
            centre = rotate(np.array([(x, 0.0, HEIGHT_M / 2)]), yaw_rad, (0.0, 0.0))[0]
            self._scene.solid_box((float(centre[0]), float(centre[1]), HEIGHT_M / 2), (0.12, 2 * half, HEIGHT_M), yaw_rad)

    def _wall(self, a: tuple[float, float], b: tuple[float, float], low: float, high: float, patch: int, yaw_rad: float) -> None:
        ends = rotate(np.array([(*a, 0.0), (*b, 0.0)]), yaw_rad, (0.0, 0.0))
        self._scene.wall_quad((float(ends[0, 0]), float(ends[0, 1])), (float(ends[1, 0]), float(ends[1, 1])), low, high, patch)


def _mark(scene: SceneBuilder, rng: np.random.Generator) -> None:
    """Two pictures at the tour's beginning that hang nowhere else."""
    for x in (4.0, 6.2):
        picture = scene.patch(poster(0.9, 0.6, rng, 150.0))
        scene.wall_quad((x + 0.9, 0.03 - OUTER_M), (x, 0.03 - OUTER_M), 0.2, 0.8, picture)
