"""The last centimetres of a join: one map bends so that its nodes meet their places in the other, and stays stiff between them.

Each node i gets a small correction (rotation ω_i, shift δ_i). Linear least squares, robust in the places:
  Σ_i ρ(‖δ_i − d_i‖² / σ_p² + ‖ω_i − w_i‖² / σ_r²) + Σ_ij ‖δ_j − δ_i − ω_i × (p_j − p_i)‖² / σ_ij² + ‖ω_j − ω_i‖² / τ_ij²
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, IntArray
from astra.geometry import Pose3


@dataclass(frozen=True, slots=True)
class BendConfig:
    """How stiff a map is, and how well a node's place in the other one is known."""

    position_sigma_m: float = 0.02  # of a node's place in the other map
    angle_sigma_rad: float = math.radians(0.4)
    stiff_m: float = 0.002  # between neighbours, plus …
    stiff_share: float = 0.004  # … this much of their distance
    stiff_rad: float = math.radians(0.1)
    max_shift_m: float = 0.5  # a map that must bend further is not bent at all

    def __post_init__(self) -> None:
        require(self.position_sigma_m > 0.0, "position_sigma_m", self.position_sigma_m, "> 0")
        require(self.angle_sigma_rad > 0.0, "angle_sigma_rad", self.angle_sigma_rad, "> 0")
        require(self.stiff_m > 0.0, "stiff_m", self.stiff_m, "> 0")
        require(self.stiff_share >= 0.0, "stiff_share", self.stiff_share, "≥ 0")
        require(self.stiff_rad > 0.0, "stiff_rad", self.stiff_rad, "> 0")
        require(self.max_shift_m > 0.0, "max_shift_m", self.max_shift_m, "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class Bend:
    """Corrections of the nodes `ids` (N,) that stand at `places` (N, 3): `turn` and `shift`, both (N, 3)."""

    ids: IntArray
    places: FloatArray
    turn: FloatArray
    shift: FloatArray

    def pose(self, node_id: int, pose: Pose3) -> Pose3:
        """A pose that is fixed to the node, corrected."""
        from scipy.spatial.transform import Rotation

        k = int(np.searchsorted(self.ids, node_id))
        rotation = Rotation.from_rotvec(self.turn[k]).as_matrix()
        return Pose3(rotation @ pose.rotation, rotation @ (pose.translation - self.places[k]) + self.places[k] + self.shift[k])

    def points(self, points: FloatArray, node_ids: IntArray) -> FloatArray:
        """Points (M, 3), each moved with the node that it belongs to."""
        k = np.searchsorted(self.ids, node_ids)
        moved: FloatArray = points + self.shift[k] + np.cross(self.turn[k], points - self.places[k])
        return moved


def bend(
    poses: Mapping[int, Pose3], targets: Sequence[tuple[int, Pose3]], links: Sequence[tuple[int, int]], level: bool, config: BendConfig, unit: float
) -> Bend:
    """The corrections that bring nodes to their places in the other map.

    Args:
        poses: node id → pose in the other map's frame, after the rigid join.
        targets: (node, pose that the other map gives it).
        links: pairs of nodes whose relative pose is to be kept.
        level: nodes keep their height and tilt.
        unit: a metre in the map's unit.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    ids = np.array(sorted(poses), dtype=np.int64)
    at = {int(k): n for n, k in enumerate(ids)}
    places = np.array([poses[int(k)].translation for k in ids])
    seen = np.array([at[k] for k, _ in targets], dtype=np.int64)
    wanted = np.array([np.concatenate([_turn(poses[k], p), p.translation - poses[k].translation]) for k, p in targets]).reshape(-1, 6)
    sigma = np.array([config.angle_sigma_rad] * 3 + [config.position_sigma_m * unit] * 3)
    stiff = _links(places, np.array([(at[a], at[b]) for a, b in links], dtype=np.int64).reshape(-1, 2), config, unit)
    found = np.zeros((len(ids), 6))
    weight = np.ones(len(seen))
    for _ in range(8):
        rows = (6 * seen[:, None] + np.arange(6)).ravel()
        strength = (weight[:, None] / sigma**2).ravel()
        normal = stiff + coo_matrix((strength, (rows, rows)), shape=(6 * len(ids),) * 2) + coo_matrix(_weak(len(ids)))
        right = np.zeros(6 * len(ids))
        np.add.at(right, rows, strength * wanted.ravel())
        free = np.flatnonzero(~np.tile([level, level, False, False, False, level], len(ids)))
        solution = np.zeros(6 * len(ids))
        solution[free] = spsolve(normal.tocsr()[free][:, free].tocsc(), right[free])
        found = solution.reshape(-1, 6)
        weight = 1.0 / (1.0 + (((found[seen] - wanted) / sigma) ** 2).sum(axis=1) / 9.0)
    if len(ids) and float(np.linalg.norm(found[:, 3:], axis=1).max()) > config.max_shift_m * unit:
        found[:] = 0.0
    return Bend(ids, places, found[:, :3], found[:, 3:])


def _links(places: FloatArray, pairs: IntArray, config: BendConfig, unit: float) -> Any:
    """The sparse normal matrix (6N, 6N) of the links."""
    from scipy.sparse import coo_matrix

    n, m = len(places), len(pairs)
    i, j = pairs[:, 0], pairs[:, 1]
    offset = places[j] - places[i]
    loose = config.stiff_m * unit + config.stiff_share * np.linalg.norm(offset, axis=1)
    blocks = []
    base = 6 * np.arange(m)[:, None]
    axes = np.arange(3)
    blocks.append((base + axes, 6 * j[:, None] + axes, np.full((m, 3), 1.0 / config.stiff_rad)))
    blocks.append((base + axes, 6 * i[:, None] + axes, np.full((m, 3), -1.0 / config.stiff_rad)))
    blocks.append((base + 3 + axes, 6 * j[:, None] + 3 + axes, np.repeat(1.0 / loose[:, None], 3, axis=1)))
    blocks.append((base + 3 + axes, 6 * i[:, None] + 3 + axes, np.repeat(-1.0 / loose[:, None], 3, axis=1)))
    for row, column, axis, sign in ((0, 1, 2, -1.0), (0, 2, 1, 1.0), (1, 0, 2, 1.0), (1, 2, 0, -1.0), (2, 0, 1, -1.0), (2, 1, 0, 1.0)):
        # −ω × o = o × ω, whose matrix is [o]×
        blocks.append((base[:, :1] + 3 + row, 6 * i[:, None] + column, sign * offset[:, axis : axis + 1] / loose[:, None]))
    rows, columns, values = (np.concatenate([block[k].ravel() for block in blocks]) for k in range(3))
    jacobian = coo_matrix((values, (rows, columns)), shape=(6 * m, 6 * n)).tocsr()
    return jacobian.T @ jacobian


def _weak(count: int) -> Any:
    """Holds nodes that nothing else does."""
    from scipy.sparse import identity

    return 1e-6 * identity(6 * count)


def _turn(have: Pose3, want: Pose3) -> FloatArray:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(want.rotation @ have.rotation.T).as_rotvec())
