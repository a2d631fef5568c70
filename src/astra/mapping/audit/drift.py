"""How uncertain a node's position becomes with its way from the rest: the map as a network of wires, its loops as short cuts.

A step of length l drifts by a share of it. What counts for a node is not the length of the tour up to it but how it hangs on the core: the
effective resistance between them, if every step is a wire of resistance l and every loop a short one. Parallel ways halve the doubt, a dead
end adds to it, as the variances of a linear pose graph do (Barooah and Hespanha, 2007).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry import Pose3
from astra.mapping.keyframes import Keyframe


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """What a way costs. `share`: of a step's length that the map may be off by after it, if nothing else holds it."""

    share: float = 0.03
    share_with_rig: float = 0.012  # whose cameras see all round and fix the unit of length
    share_with_odometry: float = 0.004
    loop_m: float = 0.3  # resistance of a loop of `loop_matches`; more matches conduct more
    loop_matches: float = 30.0
    least_m: float = 0.02  # resistance of a step on the spot
    doubt_m: float = 0.35  # of sigma from which on a map must not be called consistent

    def __post_init__(self) -> None:
        for name in ("share", "share_with_rig", "share_with_odometry", "loop_m", "loop_matches", "least_m", "doubt_m"):
            require(getattr(self, name) > 0.0, name, getattr(self, name), "> 0")


def drift_sigmas(
    map_from_base: Mapping[int, Pose3],
    keyframes: Sequence[Keyframe],
    loops: Mapping[tuple[int, int], float],
    rigid_unit: bool,
    config: DriftConfig | None = None,
) -> dict[int, float]:
    """Keyframe id → sigma [the map's metres] of its position against the core, the node that the others hang on best.

    Args:
        loops: pairs of keyframes far apart in the tour → matches that became points of the map.
        rigid_unit: the cameras' known distances fix the unit of length everywhere.
    """
    config = config or DriftConfig()
    mine = sorted((k for k in keyframes if k.id in map_from_base), key=lambda k: (k.tour, k.id))
    if len(mine) < 2:
        return {k.id: 0.0 for k in mine}
    row = {k.id: i for i, k in enumerate(mine)}
    share = config.share_with_rig if rigid_unit else config.share
    if all(k.odom_from_base is not None for k in mine):
        share = config.share_with_odometry
    laplacian = np.zeros((len(mine), len(mine)))
    for a, b in itertools.pairwise(mine):
        length = float(np.linalg.norm(map_from_base[a.id].translation - map_from_base[b.id].translation))
        if a.tour == b.tour:
            _wire(laplacian, row[a.id], row[b.id], 1.0 / max(length, config.least_m))
    for (a_id, b_id), matches in loops.items():
        if a_id in row and b_id in row and a_id != b_id:
            _wire(laplacian, row[a_id], row[b_id], matches / config.loop_matches / config.loop_m)
    return {k.id: float(share * r) for k, r in zip(mine, _resistance_to_core(laplacian))}


def _wire(laplacian: FloatArray, i: int, j: int, conductance: float) -> None:
    laplacian[i, i] += conductance
    laplacian[j, j] += conductance
    laplacian[i, j] -= conductance
    laplacian[j, i] -= conductance


def _resistance_to_core(laplacian: FloatArray) -> FloatArray:
    """(K,) effective resistance of every node to the one with the least sum of them: R_ij = L⁺_ii + L⁺_jj − 2 L⁺_ij.

    Unconnected parts are tied by a wire so thin that they count as far away.
    """
    count = len(laplacian)
    tied = laplacian + 1e-4 * (np.eye(count) * count - np.ones((count, count))) / count
    inverse = np.linalg.inv(tied + np.ones((count, count)) / count)
    diagonal = np.diag(inverse)
    core = int(np.argmin(diagonal))
    return np.asarray(np.maximum(diagonal + diagonal[core] - 2.0 * inverse[core], 0.0))
