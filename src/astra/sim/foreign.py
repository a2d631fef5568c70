"""Scenes that others made: meshes that were only made to be looked at get solids to bump into, and a floor where none is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.sim import engine, occupancy
from astra.sim.meshes import COLLISION_GROUP

FRICTION = (1.0, 0.005, 0.0001)


def read_spec(path: Path) -> Any:
    """Parse a MuJoCo scene.

    Raises:
        BadInputError: it cannot be read, or MuJoCo refuses it.
    """
    mujoco = engine.mujoco()
    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, OSError) as error:
        raise BadInputError(f"{path}: MuJoCo refuses this scene: {error}") from error


def completed_spec(path: Path) -> Any:
    """A scene whose floor lies at z = 0 as a mujoco.MjSpec with everything that a robot needs to drive in it.

    A scene in which nothing but the floor collides gets boxes (invisible, in the collision group) under all that its meshes show between
    the floor and robot height; one without a plane or height field gets a floor.

    Raises:
        BadInputError: MuJoCo refuses it, or it holds nothing.
    """
    mujoco = engine.mujoco()
    spec = read_spec(path)
    model = compiled(spec, path)
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    ground = is_ground(model)
    if not (collides & ~ground).any():
        low, high = bounds(model, path)
        for centre, half in _solids(occupancy.mesh_surface(model), low, occupancy.grid_shape(low, high, str(path))):
            spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=centre, size=half, group=COLLISION_GROUP)
    if not (collides & ground).any():
        spec.worldbody.add_geom(name="astra_floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1], group=COLLISION_GROUP, friction=FRICTION)
    return spec


def compiled(spec: Any, path: Path) -> Any:
    """The model of a spec.

    Raises:
        BadInputError: MuJoCo refuses it.
    """
    try:
        return spec.compile()
    except ValueError as error:
        raise BadInputError(f"{path}: MuJoCo refuses this scene: {error}") from error


def is_ground(model: Any) -> BoolArray:
    """Which geoms are planes or height fields."""
    mujoco = engine.mujoco()
    mask: BoolArray = np.isin(model.geom_type, [int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_HFIELD)])
    return mask


def bounds(model: Any, path: Path) -> tuple[FloatArray, FloatArray]:
    """Corners (2,) of the box around all bounded geoms that reach down to robot height; the lower one on a cell's corner.

    Raises:
        BadInputError: there is nothing but ground.
    """
    mujoco = engine.mujoco()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    signs = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3)
    corners: list[FloatArray] = []
    for geom in np.nonzero(~is_ground(model))[0]:
        centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
        placed = (centre + signs * half) @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        if placed[:, 2].min() < occupancy.ROBOT_M:
            corners.append(placed[:, :2])
    if not corners:
        raise BadInputError(f"{path} holds nothing but ground")
    points = np.concatenate(corners)
    low: FloatArray = np.floor(points.min(axis=0) / occupancy.RESOLUTION_M) * occupancy.RESOLUTION_M
    high: FloatArray = points.max(axis=0)
    return low, high


def drawn_floor(model: Any, low: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """Cells (Y, X) in which the scene's meshes show something level at the height of the floor."""
    points = occupancy.mesh_surface(model, level_only=True)
    cells, inside = _cells(points, low, shape)
    floor = np.zeros(shape, bool)
    at = inside & (points[:, 2] <= occupancy.FLOOR_M)
    floor[cells[at, 1], cells[at, 0]] = True
    return floor


def _solids(points: FloatArray, low: FloatArray, shape: tuple[int, int]) -> list[tuple[FloatArray, FloatArray]]:
    """Boxes (centre, half sizes) over all cells in which a surface rises above the floor."""
    cells, inside = _cells(points, low, shape)
    occupied = np.zeros(shape, bool)
    at = inside & (points[:, 2] > occupancy.FLOOR_M)
    occupied[cells[at, 1], cells[at, 0]] = True
    step = occupancy.RESOLUTION_M
    boxes = []
    for row, column, rows, columns in occupancy.boxes_from_cells(occupied):
        corner = np.array([low[0] + column * step, low[1] + row * step, occupancy.FLOOR_M / 2])
        size = np.array([columns * step, rows * step, occupancy.ROBOT_M - occupancy.FLOOR_M / 2])
        boxes.append((corner + size / 2, size / 2))
    return boxes


def _cells(points: FloatArray, low: FloatArray, shape: tuple[int, int]) -> tuple[IntArray, BoolArray]:
    cells = np.floor((points[:, :2] - low) / occupancy.RESOLUTION_M).astype(np.int64)
    inside = np.asarray(((cells >= 0) & (cells < np.array(shape[::-1]))).all(axis=1), dtype=bool)
    return cells, inside
