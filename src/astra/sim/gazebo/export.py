"""A world's folder as a folder for Gazebo: world.sdf, the building's and the robot's models, the bridge's topics and the URDF."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.geometry import Pose2, Pose3
from astra.sim import engine
from astra.sim.foreign import compiled, completed_spec, read_spec
from astra.sim.gazebo.bridge import bridge_yaml
from astra.sim.gazebo.elements import Element, add, add_plugin, add_pose, root, safe_name, write, write_config
from astra.sim.gazebo.robot import robot_model
from astra.sim.gazebo.shapes import Shapes
from astra.sim.robot import RobotConfig
from astra.sim.simulation import STEP_S
from astra.sim.urdf import urdf_from_robot
from astra.sim.world import World

ATTRIBUTION = "ATTRIBUTION.txt"  # of the furniture's meshes; goes where they go
START_Z_M = 0.001  # the robot is let down, as in our own simulator


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: meshes and textures in files, visuals, collisions, and the movers that were left out."""

    meshes: int
    textures: int
    visuals: int
    collisions: int
    left_out: int


def export_sdf(world: World, robot: RobotConfig, out: Path, start: Pose2 | None = None) -> Exported:
    """Write `world` and `robot` for Gazebo into the folder `out`, which must not exist or be empty.

    Raises:
        BadInputError: `out` holds something, or the scene or the robot has what SDF cannot say.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(f"{out} already exists and is not an empty folder")
    start = start or (world.truth.tour_start if world.truth is not None else Pose2())
    name, robot_name = safe_name(world.name), safe_name(robot.name)
    if name == robot_name:
        name += "_world"
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as draft:
        folder = Path(draft) / "export"
        building, machine = folder / "models" / name, folder / "models" / robot_name
        building.mkdir(parents=True)
        machine.mkdir()
        exported = _write_building(world, name, building)
        write(robot_model(robot, machine), machine / "model.sdf")
        write_config(machine, robot_name, "The robot of astra_nav: differential drive, cameras on a mast, IMU, lidar.")
        write(_world(name, robot_name, start), folder / "world.sdf")
        (folder / "bridge.yaml").write_text(bridge_yaml(robot), "utf-8")
        (folder / "robot.urdf").write_text(urdf_from_robot(robot), "utf-8")
        if out.exists():
            out.rmdir()
        shutil.move(str(folder), str(out))
    return exported


def _write_building(world: World, name: str, folder: Path) -> Exported:
    """All that stands still, as one static model. Bodies that move (people, carts) would need Gazebo's own scripts: they are left out."""
    spec = read_spec(world.scene) if world.truth is not None else completed_spec(world.scene)
    model = compiled(spec, world.scene)
    data = engine.mujoco().MjData(model)
    engine.mujoco().mj_forward(model, data)
    document = root()
    sdf = add(document, "model", name=name)
    add(sdf, "static", True)
    link = add(sdf, "link", name="building")
    shapes = Shapes(model, folder, unlit=_is_painted(model))
    still = model.body_weldid[model.geom_bodyid] == 0
    still &= model.body_mocapid[model.body_rootid[model.geom_bodyid]] < 0
    for geom in np.nonzero(still)[0]:
        pose = Pose3(np.array(data.geom_xmat[geom]).reshape(3, 3), np.array(data.geom_xpos[geom]))
        if shapes.is_drawn(int(geom)):
            shapes.visual(link, int(geom), pose)
        if shapes.is_solid(int(geom)):
            shapes.collision(link, int(geom), pose)
    write(document, folder / "model.sdf")
    write_config(folder, name, f"The world {world.name}, made by astra_nav.")
    attribution = world.scene.parent / ATTRIBUTION
    if attribution.is_file():
        shutil.copy(attribution, folder / ATTRIBUTION)
    pictures = list(folder.rglob("*.png"))
    moving = len({model.body(b).name.rpartition("/")[0] or b for b in model.body_rootid[model.geom_bodyid[~still]].tolist()})
    return Exported(len(list(folder.rglob("*.obj"))), len(pictures), len(link.findall("visual")), len(link.findall("collision")), moving)


def _is_painted(model: Any) -> bool:
    """Whether the scene is lit by nothing but full ambient light: its textures hold the light already."""
    headlight = model.vis.headlight
    return bool(np.all(headlight.ambient >= 0.99) and not np.any(headlight.diffuse) and not model.nlight)


def _world(name: str, robot_name: str, start: Pose2) -> Element:
    document = root()
    sdf = add(document, "world", name=name)
    physics = add(sdf, "physics", name="default", type="dart")
    add(physics, "max_step_size", STEP_S)
    add(physics, "real_time_factor", 1.0)
    add(physics, "real_time_update_rate", 1.0 / STEP_S)
    add_plugin(sdf, "physics", "Physics")
    add_plugin(sdf, "user-commands", "UserCommands")
    add_plugin(sdf, "scene-broadcaster", "SceneBroadcaster")
    add_plugin(sdf, "sensors", "Sensors", render_engine="ogre2")
    add_plugin(sdf, "imu", "Imu")
    add(sdf, "gravity", (0.0, 0.0, -9.81))
    scene = add(sdf, "scene")
    add(scene, "ambient", (1.0, 1.0, 1.0, 1.0))
    add(scene, "background", (0.7, 0.8, 0.9, 1.0))
    add(scene, "shadows", False)
    add(scene, "grid", False)
    _sun(sdf)
    _include(sdf, name, name, Pose3())
    _include(sdf, robot_name, "robot", Pose3.from_pose2(start, START_Z_M))
    return document


def _sun(sdf: Element) -> None:
    """Light for what is not painted with its own: the robot, and whatever a user puts in."""
    light = add(sdf, "light", name="sun", type="directional")
    add_pose(light, Pose3(translation=np.array([0.0, 0.0, 10.0])))
    add(light, "cast_shadows", False)
    add(light, "diffuse", (0.6, 0.6, 0.6, 1.0))
    add(light, "specular", (0.1, 0.1, 0.1, 1.0))
    add(light, "direction", (-0.4, 0.2, -0.9))


def _include(sdf: Element, model: str, name: str, pose: Pose3) -> None:
    include = add(sdf, "include")
    add(include, "uri", f"model://{model}")
    add(include, "name", name)
    add_pose(include, pose)
