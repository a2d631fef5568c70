"""How good a relative trajectory is: errors over stretches of given length, of the whole run, and whether its covariance says so.

A stretch begins every `stride_m` of the true path and ends where the path is `length_m` longer. With a the pose at its start and b at its end,

    error = (truth_a⁻¹ @ truth_b)⁻¹ @ (estimate_a⁻¹ @ estimate_b)

RTE is the error's distance over the stretch's length (per cent), RRE its angle over the length (degrees for ten metres), ATE the root mean
square distance along the stretch when estimate and truth are laid on each other at its start: no scale, no least-squares fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.geometry import Trajectory

LENGTHS_M = (5.0, 10.0, 20.0, 40.0)
STRIDE_M = 1.0
SAMPLE_M = 0.05  # the true path is looked at this often along the way


@dataclass(frozen=True, slots=True, eq=False)
class TrackPair:
    """Truth and estimate at the same stamps (N,): poses (N, 3) of x [m], y [m], yaw [rad], and the true path length (N,) [m] since the start."""

    stamps_ns: IntArray
    truth: FloatArray
    estimate: FloatArray
    path_m: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class StretchErrors:
    """Errors of all stretches of one length; `begins`, `ends` (K,) index the pair's stamps."""

    length_m: float
    begins: IntArray
    ends: IntArray
    rte_percent: FloatArray
    rre_deg_per_10m: FloatArray
    ate_m: FloatArray


def relative(a: FloatArray, b: FloatArray) -> FloatArray:
    """a⁻¹ @ b for planar poses (..., 3), yaw wrapped to [-π, π)."""
    c, s = np.cos(a[..., 2]), np.sin(a[..., 2])
    dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    yaw = (b[..., 2] - a[..., 2] + math.pi) % (2.0 * math.pi) - math.pi
    return np.stack([c * dx + s * dy, c * dy - s * dx, yaw], axis=-1)


def pair_tracks(truth: Trajectory, estimate: Trajectory) -> TrackPair:
    """Truth and estimate where both have something to say, `SAMPLE_M` apart or wherever the estimate has a pose, whichever is rarer.

    Raises:
        BadInputError: they do not overlap in time.
    """
    first, last = max(truth.stamps_ns[0], estimate.stamps_ns[0]), min(truth.stamps_ns[-1], estimate.stamps_ns[-1])
    stamps = estimate.stamps_ns[(estimate.stamps_ns >= first) & (estimate.stamps_ns <= last)]
    if len(stamps) < 2:
        raise BadInputError("truth and estimate do not overlap in time")
    true = poses_at(truth, stamps)
    steps = np.linalg.norm(np.diff(true[:, :2], axis=0), axis=1)
    path = np.concatenate([[0.0], np.cumsum(steps)])
    keep = np.concatenate([[True], np.diff(np.floor(path / SAMPLE_M)) > 0])
    keep[-1] = True
    return TrackPair(stamps[keep], true[keep], poses_at(estimate, stamps[keep]), path[keep])


def poses_at(trajectory: Trajectory, stamps_ns: IntArray) -> FloatArray:
    """Poses (K, 3) at stamps (K,), linearly interpolated, yaw unwrapped."""
    start = int(trajectory.stamps_ns[0])
    known, wanted = (trajectory.stamps_ns - start).astype(np.float64), (stamps_ns - start).astype(np.float64)
    columns = [trajectory.poses[:, 0], trajectory.poses[:, 1], np.unwrap(trajectory.poses[:, 2])]
    return np.stack([np.interp(wanted, known, column) for column in columns], axis=1)


def stretches(path_m: FloatArray, length_m: float, stride_m: float = STRIDE_M) -> tuple[IntArray, IntArray]:
    """Indices of begin and end (K,) of every stretch; none if the path is too short."""
    starts = np.arange(0.0, float(path_m[-1]) - length_m + 1e-9, stride_m)
    begins, ends = np.searchsorted(path_m, starts), np.searchsorted(path_m, starts + length_m)
    inside = ends < len(path_m)
    return begins[inside].astype(np.int64), ends[inside].astype(np.int64)


def stretch_errors(pair: TrackPair, length_m: float, stride_m: float = STRIDE_M) -> StretchErrors:
    """RTE, RRE and ATE (K,) of the stretches of one length."""
    begins, ends = stretches(pair.path_m, length_m, stride_m)
    truth = relative(pair.truth[begins], pair.truth[ends])
    error = relative(truth, relative(pair.estimate[begins], pair.estimate[ends]))
    lengths = pair.path_m[ends] - pair.path_m[begins]
    rte = 100.0 * np.hypot(error[:, 0], error[:, 1]) / lengths
    rre = np.degrees(np.abs(error[:, 2])) / lengths * 10.0
    ate = np.array([ate_m(pair, int(a), int(b) + 1) for a, b in zip(begins, ends)])
    return StretchErrors(length_m, begins, ends, rte, rre, ate.reshape(-1))


def ate_m(pair: TrackPair, begin: int = 0, end: int | None = None) -> float:
    """Root mean square distance [m] from index `begin` to before `end`, aligned at the begin."""
    part = slice(begin, end)
    truth, estimate = relative(pair.truth[begin], pair.truth[part]), relative(pair.estimate[begin], pair.estimate[part])
    return float(np.sqrt(np.mean(np.sum((truth[:, :2] - estimate[:, :2]) ** 2, axis=1))))


def touching(errors: StretchErrors, stamps_ns: IntArray, spans_ns: IntArray) -> BoolArray:
    """Which stretches (K,) meet any of the spans (M, 2) of time."""
    begins, ends = stamps_ns[errors.begins], stamps_ns[errors.ends]
    if len(spans_ns) == 0:
        return np.zeros(len(begins), dtype=np.bool_)
    meets: BoolArray = np.any((begins[:, None] <= spans_ns[None, :, 1]) & (ends[:, None] >= spans_ns[None, :, 0]), axis=1)
    return meets


def nees(error: FloatArray, covariance: FloatArray) -> FloatArray:
    """Normalised estimation error squared (K,) of errors (K, 3) with covariances (K, 3, 3): χ² with three degrees of freedom if honest."""
    solved = np.linalg.solve(covariance, error[..., None])[..., 0]
    return np.asarray(np.sum(error * solved, axis=-1))


def nees_bounds(count: int, share: float = 0.95) -> tuple[float, float]:
    """Between which values the mean NEES of `count` independent stretches lies with the given probability."""
    from scipy.stats import chi2

    tail = (1.0 - share) / 2.0
    low, high = chi2.ppf([tail, 1.0 - tail], 3 * count) / count
    return float(low), float(high)
