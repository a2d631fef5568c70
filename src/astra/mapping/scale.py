"""Stage 5: metres. Every source that knows lengths gives a reading with its sigma; readings that agree are averaged, and one that does not is told.

Odometry is compared with SfM over windows of a few metres, in which it has not drifted yet. Without any source the scale is unknown and called so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, IntArray
from astra.geometry import CameraRig, Pose3
from astra.mapping.keyframes import Keyframe
from astra.mapping.sfm import SfmFragment

UNKNOWN_SOURCE = "unknown"
UNKNOWN_UNIT = 0.3  # what counts as a metre then: the unit is half the median distance of what is seen
# Where sources contradict each other, the first of these is believed: what a person measured, then what was driven, …
PRIORITY = ("distance", "odometry", "camera_height", "imu", "rig")


@dataclass(frozen=True, slots=True)
class ScaleConfig:
    """Windows over which SfM and odometry are compared, what each source is worth, and when a disagreement is worth a warning."""

    window_m: float = 2.5
    slip_window_m: float = 0.8
    min_slip: float = 0.1  # of a short window's length that odometry may be off by before the window counts as slipped
    min_windows: int = 5
    odometry_sigma: float = 0.008  # relative, that no averaging removes: wheel radius, tyre wear, systematic slip
    rig_baseline_sigma_m: float = 0.003  # of the distance between two cameras, as measured or drawn
    rig_sigma: float = 0.02  # relative, that the reconstruction adds where the cameras' views hardly overlap
    distance_sigma_m: float = 0.01  # of a distance measured with a tape between two cameras …
    distance_sigma: float = 0.005  # … and relative, of the map over it
    camera_height_sigma_m: float = 0.01  # of the height that the user gives
    max_scale_sigma: float = 0.02  # relative; above it the scale is called uncertain
    max_usable_sigma: float = 0.15  # relative; a reading worse than this says nothing
    max_disagreement: float = 3.0  # sigmas between two sources
    max_planarity_m: float = 0.06  # RMS of base positions from the floor plane
    max_inconsistency: float = 0.10  # of a window's length that SfM and odometry may differ by
    max_turn_inconsistency_rad: float = math.radians(6.0)  # over one window

    def __post_init__(self) -> None:
        require(0.2 <= self.window_m <= 50.0, "window_m", self.window_m, "0.2 … 50")
        require(0.1 <= self.slip_window_m <= self.window_m, "slip_window_m", self.slip_window_m, "0.1 … window_m")
        require(0.0 < self.min_slip < 1.0, "min_slip", self.min_slip, "in (0, 1)")
        require(self.min_windows >= 1, "min_windows", self.min_windows, "≥ 1")
        for name in ("odometry_sigma", "rig_sigma", "distance_sigma"):
            require(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "in [0, 1)")
        for name in ("rig_baseline_sigma_m", "distance_sigma_m", "camera_height_sigma_m"):
            require(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "in [0, 1) m")
        require(0.0 < self.max_scale_sigma < 1.0, "max_scale_sigma", self.max_scale_sigma, "in (0, 1)")
        require(0.0 < self.max_usable_sigma < 1.0, "max_usable_sigma", self.max_usable_sigma, "in (0, 1)")
        require(self.max_disagreement > 0.0, "max_disagreement", self.max_disagreement, "> 0")
        require(self.max_planarity_m > 0.0, "max_planarity_m", self.max_planarity_m, "> 0")
        require(0.0 < self.max_inconsistency < 1.0, "max_inconsistency", self.max_inconsistency, "in (0, 1)")
        require(self.max_turn_inconsistency_rad > 0.0, "max_turn_inconsistency_rad", self.max_turn_inconsistency_rad, "> 0")


@dataclass(frozen=True, slots=True)
class ScaleReading:
    """What one source says: metres per SfM unit and its relative sigma."""

    source: str
    metres_per_unit: float
    sigma: float


@dataclass(frozen=True, slots=True)
class ScaleEstimate:
    """Metres per SfM unit, its relative sigma, and the source that says most about it, or "unknown".

    readings: all usable sources, whose mean it is. refused: those of them that contradict the others.
    """

    metres_per_unit: float
    sigma: float
    source: str
    readings: tuple[ScaleReading, ...] = ()
    refused: tuple[ScaleReading, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Motions:
    """Motions of the first camera between keyframes i < j about a window apart, in that camera's frame at i.

    odometry: (W, 3) [m], sfm: (W, 3) [units]; turn_error_rad: (W,) angle between the two rotations.
    """

    keyframes: list[tuple[int, int]]
    odometry: FloatArray
    sfm: FloatArray
    turn_error_rad: FloatArray


def fuse_scale(readings: Sequence[ScaleReading], config: ScaleConfig) -> ScaleEstimate | None:
    """The weighted mean of the logarithms of all readings that agree; None without a usable reading.

    Sources are taken in the order of `PRIORITY`. One that is further than `max_disagreement` sigmas from those before it is refused,
    and sigma then grows to a third of the contradiction: somebody is wrong, and it may be the one that was believed.
    """
    usable = [r for r in readings if math.isfinite(r.metres_per_unit) and r.metres_per_unit > 0.0 and r.sigma <= config.max_usable_sigma]
    if not usable:
        return None
    usable.sort(key=lambda r: PRIORITY.index(r.source))
    agreed, refused, widen = [usable[0]], [], 0.0
    for reading in usable[1:]:
        mean, sigma = _log_mean(agreed)
        apart = abs(math.log(reading.metres_per_unit) - mean)
        if apart > config.max_disagreement * math.hypot(sigma, reading.sigma):
            refused.append(reading)
            widen = max(widen, apart / 3.0)
        else:
            agreed.append(reading)
    mean, sigma = _log_mean(agreed)
    best = min(agreed, key=lambda r: r.sigma)
    return ScaleEstimate(math.exp(mean), max(sigma, widen), best.source, tuple(usable), tuple(refused))


def odometry_reading(windows: Motions, steps: Motions, config: ScaleConfig) -> ScaleReading | None:
    """The ratio of odometry's to SfM's displacements, over the windows in which no step slipped.

    Args:
        windows: about `window_m` long. steps: as short as `slip_window_m`: a slip stands out in a step, and hides in a window.
    """
    in_odometry = np.linalg.norm(windows.odometry, axis=1)
    if len(in_odometry) < config.min_windows or in_odometry.max() <= 0.2 * config.window_m:
        return None
    ratio, weight, kept = _ratios(windows)
    short, short_weight, short_kept = _ratios(steps)
    if not len(ratio) or not len(short):
        return None
    usual = _biweight(short, short_weight)
    off = np.abs(short / usual - 1.0)
    slipped = [steps.keyframes[k] for k in short_kept[off > max(4.0 * 1.4826 * float(np.median(off)), config.min_slip)]]
    sound = np.array([not any(a < end and start < b for start, end in slipped) for a, b in (windows.keyframes[k] for k in kept)])
    if sound.sum() < config.min_windows:  # it slips all the time: the steps are all there is
        ratio, weight, sound, overlap = short, short_weight, np.ones(len(short), dtype=bool), 1.0
    else:
        overlap = 4.0  # neighbouring windows share most of their path
    ratio, weight = ratio[sound], weight[sound]
    scale = _biweight(ratio, weight)
    spread = 1.4826 * float(np.median(np.abs(ratio - scale))) / scale
    return ScaleReading("odometry", scale, math.hypot(spread / math.sqrt(max(len(ratio) / overlap, 1.0)), config.odometry_sigma))


def rig_reading(fragment: SfmFragment, rigs: Sequence[CameraRig], config: ScaleConfig) -> ScaleReading | None:
    """The cameras' known distances; None for a single camera."""
    if not math.isfinite(fragment.unit_m):
        return None
    baselines = [
        float(np.linalg.norm(camera.base_from_cam.translation - rig.cameras[0].base_from_cam.translation)) for rig in rigs for camera in rig.cameras[1:]
    ]
    sigma = config.rig_baseline_sigma_m / max([*baselines, 1e-3])
    return ScaleReading("rig", fragment.unit_m, math.hypot(sigma, config.rig_sigma))


def unknown_scale(fragment: SfmFragment) -> ScaleEstimate:
    """Units chosen so that the median point lies two units from the camera that sees it; the map says that they are no metres."""
    return ScaleEstimate(2.0 / max(_median_depth(fragment), 1e-9), math.nan, UNKNOWN_SOURCE)


def disagreements(estimate: ScaleEstimate) -> list[str]:
    """One sentence for every source that was refused."""
    return [
        f"scale: {r.source.replace('_', ' ')} says {100 * (r.metres_per_unit / estimate.metres_per_unit - 1):+.1f} % (± {100 * r.sigma:.1f} %) "
        f"against {estimate.source.replace('_', ' ')}, which is used"
        for r in estimate.refused
    ]


def motions(fragment: SfmFragment, keyframes: Sequence[Keyframe], rigs: Sequence[CameraRig], window_m: float) -> Motions:
    """Windows of about `window_m` of odometry path, one starting at every registered keyframe."""
    known = [
        (k, k.odom_from_base) for k in sorted(keyframes, key=lambda k: k.id) if k.odom_from_base is not None and k.id in fragment.sfm_from_ref
    ]
    pairs, in_odometry, in_sfm, turn_errors = [], [], [], []
    for i, (start, odom_from_start) in enumerate(known):
        path = 0.0
        for (_, before), (end, odom_from_end) in zip(known[i:], known[i + 1 :]):
            if end.tour != start.tour:
                break
            path += before.distance_to(odom_from_end)
            if path < window_m:
                continue
            base_from_cam = rigs[start.tour].cameras[0].base_from_cam
            by_odometry = base_from_cam.inverse() @ Pose3.from_pose2(odom_from_start.inverse() @ odom_from_end) @ base_from_cam
            by_sfm = fragment.sfm_from_ref[start.id].inverse() @ fragment.sfm_from_ref[end.id]
            pairs.append((start.id, end.id))
            in_odometry.append(by_odometry.translation)
            in_sfm.append(by_sfm.translation)
            turn_errors.append(by_odometry.angle_to(by_sfm))
            break
    return Motions(pairs, np.array(in_odometry).reshape(-1, 3), np.array(in_sfm).reshape(-1, 3), np.array(turn_errors))


def _log_mean(readings: Sequence[ScaleReading]) -> tuple[float, float]:
    """Mean of the logarithms and its sigma, weighted by 1/σ²."""
    weights = np.array([1.0 / max(r.sigma, 1e-4) ** 2 for r in readings])
    logs = np.array([math.log(r.metres_per_unit) for r in readings])
    return float((weights * logs).sum() / weights.sum()), float(1.0 / math.sqrt(weights.sum()))


def _ratios(motions: Motions) -> tuple[FloatArray, FloatArray, IntArray]:
    """Ratios of displacement (K,), their weights, which are the displacements, so that turns on the spot do not count, and their rows (K,)."""
    in_odometry, in_sfm = np.linalg.norm(motions.odometry, axis=1), np.linalg.norm(motions.sfm, axis=1)
    if not len(in_odometry):
        return np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero((in_odometry > 0.3 * in_odometry.max()) & (in_sfm > 1e-9))
    return in_odometry[rows] / in_sfm[rows], in_odometry[rows], rows


def _biweight(values: FloatArray, weights: FloatArray) -> float:
    """Tukey's biweight mean about the weighted median: what is far off has no say at all."""
    centre = _weighted_median(values, weights)
    for _ in range(20):
        residual = np.abs(values - centre)
        bound = 4.7 * max(1.4826 * float(np.median(residual)), 1e-6 * centre)
        robust = weights * np.square(np.clip(1.0 - np.square(residual / bound), 0.0, None))
        centre = float((robust * values).sum() / robust.sum())
    return centre


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _median_depth(fragment: SfmFragment) -> float:
    depths = []
    for view_id, rows in fragment.observations.items():
        seen = rows[rows >= 0]
        if len(seen):
            depths.append(np.median(fragment.sfm_from_cam[view_id].inverse().apply(fragment.points[seen])[:, 2]))
    return float(np.median(depths)) if depths else 1.0
