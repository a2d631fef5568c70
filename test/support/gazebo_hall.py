"""A hall with pictures on its walls, a box and a column, and the folder that Gazebo gets of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astra.geometry import Pose2
from astra.sim.gazebo import Exported
from astra.sim.meshes import SceneBuilder
from astra.sim.robot import RobotConfig
from astra.sim.world import World

START = Pose2(-1.0, 0.5, 0.0)
WALL_X_M = 3.0  # the face of the wall ahead


@dataclass(frozen=True)
class Export:
    """The world, what was said of it, and where it lies."""

    world: World
    folder: Path
    done: Exported
    robot: RobotConfig

    @property
    def documents(self) -> list[Path]:
        """Every SDF file."""
        return [self.folder / "world.sdf", *sorted(self.folder.glob("models/*/model.sdf"))]


def build_hall(folder: Path) -> World:
    """Seven metres of hall, written into `folder`."""
    rng, scene = np.random.default_rng(0), SceneBuilder()
    for a, b in (((WALL_X_M, 4.0), (WALL_X_M, -4.0)), ((-4.0, 4.0), (WALL_X_M, 4.0))):
        picture = scene.patch(rng.integers(0, 255, (48, 96, 3), dtype=np.uint8))
        scene.quad(np.array([(*a, 0.0), (*b, 0.0), (*b, 2.5), (*a, 2.5)]), picture)
    scene.solid_box((WALL_X_M + 0.06, 0.0, 1.25), (0.12, 8.0, 2.5))
    scene.solid_box((0.0, -2.0, 0.4), (0.8, 1.2, 0.8), 0.6)
    scene.solid_cylinder((-2.0, -2.0, 0.5), 0.3, 1.0)
    folder.mkdir()
    scene.write(folder, extra_bodies='<body name="mover/ann/body" mocap="true" pos="1 1 1"><geom type="box" size="0.1 0.1 0.5" group="1"/></body>')
    return World(folder.name, folder / "scene.xml")
