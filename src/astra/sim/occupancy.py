"""Where nothing stands: free floor found by moving a probe through the physics, and solids for meshes that have none."""

from __future__ import annotations

from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.sim import engine

RESOLUTION_M = 0.05
FLOOR_M = 0.04  # what is lower can be driven over
ROBOT_M = 1.0  # what is higher can be driven under
MAX_SPAN_M = 80.0


def probe_free(spec: Any, low: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """Free cells (Y, X): those in which a column from `FLOOR_M` to `ROBOT_M` touches nothing that collides.

    Args:
        spec: a mujoco.MjSpec without a robot; it gains a body.
        low: (2,) lower-left corner of the grid [m].
        shape: (Y, X) cells of `RESOLUTION_M`.
    """
    mujoco = engine.mujoco()
    body = spec.worldbody.add_body(name="astra_probe")
    body.add_freejoint()
    half = RESOLUTION_M / 2 - 1e-4
    body.add_geom(
        name="astra_probe", type=mujoco.mjtGeom.mjGEOM_BOX, size=[half, half, (ROBOT_M - FLOOR_M) / 2], mass=1.0, contype=0x7FFFFFFF, conaffinity=0x7FFFFFFF
    )
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    probe = model.geom("astra_probe").id
    start = int(model.jnt_qposadr[model.body("astra_probe").jntadr[0]])
    data.qpos[start + 2 : start + 7] = [(ROBOT_M + FLOOR_M) / 2, 1.0, 0.0, 0.0, 0.0]
    free = np.ones(shape, bool)
    for row in range(shape[0]):
        data.qpos[start + 1] = low[1] + (row + 0.5) * RESOLUTION_M
        for column in range(shape[1]):
            data.qpos[start] = low[0] + (column + 0.5) * RESOLUTION_M
            mujoco.mj_kinematics(model, data)
            mujoco.mj_collision(model, data)
            if data.ncon:
                free[row, column] = not (data.contact.geom == probe).any()
    return free


def mesh_surface(model: Any, spacing_m: float = 0.04, *, level_only: bool = False) -> FloatArray:
    """Points (N, 3) on all triangles, or all level ones, of all mesh geoms below robot height, at most `spacing_m` apart [m, world]."""
    mujoco = engine.mujoco()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    pieces: list[FloatArray] = []
    for geom in np.nonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)[0]:
        mesh = int(model.geom_dataid[geom])
        vertices = model.mesh_vert[model.mesh_vertadr[mesh] : model.mesh_vertadr[mesh] + model.mesh_vertnum[mesh]]
        faces = model.mesh_face[model.mesh_faceadr[mesh] : model.mesh_faceadr[mesh] + model.mesh_facenum[mesh]]
        placed = vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        triangles = np.asarray(placed[faces], dtype=np.float64)
        near = (triangles[..., 2].min(axis=1) < ROBOT_M) & (triangles[..., 2].max(axis=1) > -FLOOR_M)
        if level_only:
            near &= np.ptp(triangles[..., 2], axis=1) < FLOOR_M / 2
        pieces.append(_sample(triangles[near], spacing_m))
    return np.concatenate(pieces) if pieces else np.zeros((0, 3))


def boxes_from_cells(occupied: BoolArray) -> list[tuple[int, int, int, int]]:
    """Cover the occupied cells of (Y, X) by few rectangles (row, column, rows, columns) that do not overlap."""
    left = occupied.copy()
    boxes: list[tuple[int, int, int, int]] = []
    rows, columns = left.shape
    for row in range(rows):
        column = 0
        while column < columns:
            if not left[row, column]:
                column += 1
                continue
            end = column
            while end < columns and left[row, end]:
                end += 1
            bottom = row + 1
            while bottom < rows and left[bottom, column:end].all():
                bottom += 1
            left[row:bottom, column:end] = False
            boxes.append((row, column, bottom - row, end - column))
            column = end
    return boxes


def grid_shape(low: FloatArray, high: FloatArray, where: str) -> tuple[int, int]:
    """(Y, X) of the grid between two corners.

    Raises:
        BadInputError: nothing there, or larger than any building this program is made for.
    """
    span = np.asarray(high)[:2] - np.asarray(low)[:2]
    if not np.isfinite(span).all() or (span < 1.0).any() or (span > MAX_SPAN_M).any():
        raise BadInputError(f"{where} spans {span[0]:.1f} m × {span[1]:.1f} m; between 1 m and {MAX_SPAN_M:.0f} m is supported (are its units metres?)")
    columns, rows = (int(n) for n in np.ceil(span / RESOLUTION_M))
    return rows, columns


def _sample(triangles: FloatArray, spacing_m: float) -> FloatArray:
    """Points on triangles (T, 3, 3) by a barycentric lattice as fine as the longest edge asks for."""
    if len(triangles) == 0:
        return np.zeros((0, 3))
    edges = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
    counts = np.maximum(1, np.ceil(edges / spacing_m)).astype(np.int64)
    pieces = []
    for n in np.unique(counts):
        i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        keep = i + j <= n
        weights = np.stack([i[keep], j[keep], n - i[keep] - j[keep]], axis=1) / n
        points = np.einsum("wk,tkd->twd", weights, triangles[counts == n]).reshape(-1, 3)
        pieces.append(points[(points[:, 2] > -FLOOR_M) & (points[:, 2] < ROBOT_M)])
    return np.concatenate(pieces)
