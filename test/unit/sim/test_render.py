"""Pictures and depth against closed forms, MuJoCo's own renderer, and themselves without culling."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from astra.geometry import Pose2, Pose3
from astra.sim import engine
from astra.sim.culling import Culling
from astra.sim.render import Renderer
from astra.sim.robot import ROBOT_GROUP, CameraConfig, RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import Kind

ROBOT = RobotConfig(cameras=CameraConfig(width=48, height=36))


def places(world: World, count: int) -> list[Pose2]:
    """Random poses on free floor, some of them in doorways."""
    truth = world.truth
    assert truth is not None
    rng = np.random.default_rng(5)
    cells = np.argwhere(ndimage.distance_transform_edt(truth.free) * truth.resolution_m > 0.3)
    chosen = cells[rng.integers(0, len(cells), count)]
    xy = np.array(truth.origin_xy) + (chosen[:, ::-1] + 0.5) * truth.resolution_m
    return [Pose2(float(x), float(y), float(rng.uniform(-math.pi, math.pi))) for x, y in xy]


def test_depth_is_measured_along_the_optical_axis(yard: World) -> None:
    start = Pose2(0.6, 0.0, 0.25)
    simulation = Simulation(yard, ROBOT, 0, start)
    frame = simulation.render(depth=True)[0]
    simulation.close()
    assert frame.depth_m is not None and frame.depth_m.dtype == np.float32 and frame.depth_m.shape == (36, 48)
    front = simulation.rig["front"]
    rows, columns = np.indices((36, 48))
    rays = front.model.unproject(np.stack([columns.ravel(), rows.ravel()], axis=1))
    world_from_cam = Pose3.from_pose2(start) @ front.base_from_cam
    eye, world = world_from_cam.translation, world_from_cam.rotation @ np.append(rays, np.ones((len(rays), 1)), axis=1).T
    to_wall = (3.0 - eye[0]) / np.where(world[0] > 0, world[0], np.nan)
    hit = eye[:, None] + to_wall * world
    to_floor = eye[2] / np.where(world[2] < 0, -world[2], np.nan)
    on_wall = (np.abs(hit[1]) < 1.9) & (hit[2] > 0.05) & (hit[2] < 1.95) & (frame.rgb.reshape(-1, 3)[:, 1] > 80)
    on_floor = (to_floor < 0.97 * to_wall) | (np.isnan(to_wall) & ~np.isnan(to_floor) & (to_floor < 20.0))
    depth = frame.depth_m.ravel()
    assert on_wall.sum() > 300 and on_floor.sum() > 300
    assert np.abs(depth[on_wall] - to_wall[on_wall]).max() < 0.005
    assert np.abs(depth[on_floor] / to_floor[on_floor] - 1.0).max() < 0.005
    sky = (world[2] > 0) & ((hit[2] > 2.05) | (np.abs(hit[1]) > 2.05))
    assert sky.sum() > 100 and (depth[sky] == 0.0).all()


def test_pictures_are_those_of_mujocos_own_renderer(yard: World) -> None:
    mujoco = engine.mujoco()
    simulation = Simulation(yard, ROBOT, 0, Pose2(0.6, 0.0, 0.25))
    frames = simulation.render(depth=True)
    model, data = simulation._model, simulation._data
    simulation.close()
    option = mujoco.MjvOption()
    option.geomgroup[:] = 1
    option.geomgroup[[3, ROBOT_GROUP]] = 0
    option.sitegroup[:] = 0
    with mujoco.Renderer(model, 36, 48) as other:
        for frame in frames:
            other.update_scene(data, "robot/" + frame.camera, option)
            for flag in ("SHADOW", "REFLECTION", "HAZE", "FOG"):
                other.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
            assert np.abs(other.render().astype(int) - frame.rgb).max() <= 1
            other.enable_depth_rendering()
            metres = other.render()
            other.disable_depth_rendering()
            assert frame.depth_m is not None
            drawn = frame.depth_m > 0.0
            assert np.abs(metres[drawn] / frame.depth_m[drawn] - 1.0).max() < 0.002


@pytest.mark.parametrize("kind", ["home", "office", "warehouse"])
def test_what_is_left_out_could_not_be_seen(kind: Kind, tmp_path: Path) -> None:
    world = generate(kind, 1, tmp_path / kind, plain=True)
    simulation = Simulation(world, ROBOT, 0)
    model, data = simulation._model, simulation._data
    hidden, size = (3, ROBOT_GROUP), (48, 36)
    renderer = Renderer(model, Culling(model, data, world.scene.parent))
    triangles = np.zeros((2, 0), np.int64)
    different = 0
    for pose in places(world, 15):
        simulation.place(pose)
        for camera in range(len(ROBOT.cameras.names)):
            number = model.camera("robot/" + ROBOT.cameras.names[camera]).id
            culled = renderer.camera(data, number, size, hidden)[0]
            some = renderer.triangles
            view = mujoco_camera(number)
            whole = renderer.overview(data, view, size, hidden)
            triangles = np.append(triangles, [[some], [renderer.triangles]], axis=1)
            different += int((culled != whole).any(axis=2).sum())
    renderer.close()
    assert different == 0
    assert triangles[0].mean() < 0.6 * triangles[1].mean()


def mujoco_camera(number: int) -> Any:
    """A camera of the model as the renderer's free camera."""
    mujoco = engine.mujoco()
    view = mujoco.MjvCamera()
    view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, number
    return view
