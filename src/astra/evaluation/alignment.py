"""Trajectories compared with truth: the similarity that fits best, and what error remains."""

from __future__ import annotations

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.geometry import Similarity


def similarity_between(source: FloatArray, target: FloatArray, *, with_scale: bool = True) -> Similarity:
    """The least-squares similarity from source (N, 3) to target (N, 3) (Umeyama, 1991).

    Raises:
        BadInputError: fewer than three pairs.
    """
    if len(source) < 3 or len(source) != len(target):
        raise BadInputError(f"an alignment needs three pairs of points at least, found {len(source)} and {len(target)}")
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    u, d, vt = np.linalg.svd((target - mean_t).T @ (source - mean_s) / len(source))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation: FloatArray = u @ flip @ vt
    variance = float(((source - mean_s) ** 2).sum(axis=1).mean())
    scale = float(np.trace(np.diag(d) @ flip)) / variance if with_scale and variance > 0.0 else 1.0
    return Similarity(scale, rotation, mean_t - scale * rotation @ mean_s)


def trajectory_error_m(source: FloatArray, target: FloatArray, *, with_scale: bool = True) -> FloatArray:
    """Distances (N,) between target and the aligned source; their root mean square is the absolute trajectory error."""
    fit = similarity_between(source, target, with_scale=with_scale)
    return np.asarray(np.linalg.norm(fit.apply(source) - target, axis=1))
