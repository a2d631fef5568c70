"""What is known of a tour beside its images and odometry, and what it says of the scale.

The distance between two images' cameras, the camera's height over the floor, which the points show, and the IMU's readings (`inertial`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import FloatArray
from astra.mapping.inertial import ImuTrack
from astra.mapping.keyframes import Keyframe
from astra.mapping.scale import ScaleConfig, ScaleReading
from astra.mapping.sfm import SfmFragment

MAX_FLOOR_TILT_RAD = math.radians(15.0)  # of the floor from what is taken for level before it is found
LEVEL_SIGMA_RAD = math.radians(1.0)  # of floors themselves, and of a reconstruction that bends
SEED = 0


@dataclass(frozen=True, slots=True)
class MeasuredDistance:
    """Metres between the cameras of two images, each named by its file, or by its node's number in the map."""

    image_a: str
    image_b: str
    metres: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.metres) and self.metres > 0.0):
            raise BadInputError(f"the distance between {self.image_a} and {self.image_b} is {self.metres:g} m, it must be more than 0")
        if self.image_a == self.image_b:
            raise BadInputError(f"a distance needs two different images, {self.image_a} is given twice")


@dataclass(frozen=True, slots=True, eq=False)
class MetricClues:
    """camera_height_m: of a tour's first camera over the floor, NaN if nobody said. distances: between cameras. imu: tour → its readings."""

    camera_height_m: float = math.nan
    distances: tuple[MeasuredDistance, ...] = ()
    imu: Mapping[int, ImuTrack] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(not self.camera_height_m <= 0.0, "camera_height_m", self.camera_height_m, "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class FloorPlane:
    """The floor under the cameras, in the fragment's frame and units: n·p = offset with `normal` (3,) up; `sigma` of its height,
    how many points lie on it within `tolerance`."""

    normal: FloatArray
    offset: float
    sigma: float
    points: int
    tilt_sigma_rad: float
    tolerance: float

    def heights(self, positions: FloatArray) -> FloatArray:
        """(N,) heights of positions (N, 3) over the floor."""
        return np.asarray(positions @ self.normal - self.offset)

    def is_lowest(self, points: FloatArray) -> bool:
        """Whether next to nothing of points (P, 3) lies below: a table's top has the floor below it."""
        return int((self.heights(points) < -3.0 * self.tolerance).sum()) <= 0.1 * self.points + 0.02 * len(points)


def check_distances(clues: MetricClues, keyframes: Sequence[Keyframe]) -> None:
    """Raises BadInputError where a measured distance names an image that is no keyframe."""
    for distance in clues.distances:
        for name in (distance.image_a, distance.image_b):
            _keyframe_of(name, keyframes)


def distance_reading(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], clues: MetricClues, config: ScaleConfig
) -> ScaleReading | None:
    """The ratio of what was measured to what SfM has, over the distances that lie in this fragment, weighted by their sigmas."""
    ratios, sigmas = [], []
    for distance in clues.distances:
        ends = [_position(fragment, name, keyframes) for name in (distance.image_a, distance.image_b)]
        if ends[0] is None or ends[1] is None:
            continue
        units = float(np.linalg.norm(ends[0] - ends[1]))
        if units > 1e-9:
            ratios.append(math.log(distance.metres / units))
            sigmas.append(math.hypot(config.distance_sigma_m / distance.metres, config.distance_sigma))
    if not ratios:
        return None
    weights = 1.0 / np.array(sigmas) ** 2
    mean = float((weights * ratios).sum() / weights.sum())
    chi2 = float((weights * (np.array(ratios) - mean) ** 2).sum()) / max(len(ratios) - 1, 1)
    return ScaleReading("distance", math.exp(mean), math.sqrt(max(chi2, 1.0) / float(weights.sum())))  # Birge: sigma grows where they disagree


def camera_height_reading(fragment: SfmFragment, up: FloatArray, clues: MetricClues, config: ScaleConfig) -> ScaleReading | None:
    """The given height over the height that the floor's points show; None if no floor is seen.

    A camera in the hand goes up and down: the given height is then only as good as that.
    """
    if not math.isfinite(clues.camera_height_m):
        return None
    positions = np.array([pose.translation for pose in fragment.sfm_from_ref.values()])
    floor = find_floor(fragment.points, positions, up)
    if floor is None:
        return None
    heights = floor.heights(positions)
    height = float(np.median(heights))
    spread = 1.4826 * float(np.median(np.abs(heights - height)))
    sigma = math.hypot(math.hypot(floor.sigma, spread) / height, config.camera_height_sigma_m / clues.camera_height_m)
    return ScaleReading("camera_height", clues.camera_height_m / height, sigma)


def find_floor(points: FloatArray, positions: FloatArray, up: FloatArray, min_points: int = 60) -> FloorPlane | None:
    """The lowest well supported plane below the cameras, by RANSAC; None where there is none.

    A table or a shelf has points too, but the floor lies below it: among the planes with a good share of the best one's points the lowest wins.

    Args:
        points: (P, 3), positions: (N, 3) of the cameras, in any unit. up: (3,) unit, right within `MAX_FLOOR_TILT_RAD`.
    """
    near = _below(points, positions, up)
    if len(near) < min_points:
        return None
    rng = np.random.default_rng(SEED)
    drop = float(np.median((positions @ up).mean() - near @ up))  # how far points lie below the cameras: the unit of length here
    tolerance = 0.02 * drop
    sample = near if len(near) <= 3000 else near[rng.choice(len(near), 3000, replace=False)]
    normals, offsets = _hypotheses(sample, up, rng)
    if not len(normals):
        return None
    votes = (np.abs(sample @ normals.T - offsets) < tolerance).sum(axis=0)
    strong = np.flatnonzero(votes >= max(0.3 * votes.max(), 0.03 * len(sample), 12))
    if not len(strong):
        return None
    height = (positions.mean(axis=0) @ normals.T - offsets)[strong]
    lowest = strong[height >= height.max() - 2.0 * tolerance]
    best = int(lowest[np.argmax(votes[lowest])])
    return _refined(near, normals[best], float(offsets[best]), tolerance, min_points)


def _below(points: FloatArray, positions: FloatArray, up: FloatArray) -> FloatArray:
    """Points (Q, 3) that lie below the camera nearest to them and not far beside it."""
    from scipy.spatial import cKDTree

    flat = np.linalg.svd(up[None])[2][1:].T  # (3, 2)
    gap, nearest = cKDTree(positions @ flat).query(points @ flat)
    drop = (positions[nearest] - points) @ up
    below = drop > 0.0
    if not below.any():
        return points[:0]
    typical = float(np.percentile(drop[below & (gap <= np.percentile(gap[below], 75))], 80))
    return np.asarray(points[below & (drop > 0.15 * typical) & (drop < 3.0 * typical) & (gap < 4.0 * typical)])


def _hypotheses(points: FloatArray, up: FloatArray, rng: np.random.Generator, count: int = 1500) -> tuple[FloatArray, FloatArray]:
    """Planes through three random points that are nearly level: normals (H, 3) up, offsets (H,)."""
    a, b, c = (points[rng.integers(len(points), size=count)] for _ in range(3))
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    normals = normals[lengths > 1e-12] / lengths[lengths > 1e-12, None]
    a = a[lengths > 1e-12]
    normals *= np.sign(normals @ up)[:, None]
    level = normals @ up > math.cos(MAX_FLOOR_TILT_RAD)
    return normals[level], np.einsum("ij,ij->i", normals[level], a[level])


def _refined(points: FloatArray, normal: FloatArray, offset: float, tolerance: float, min_points: int) -> FloorPlane | None:
    """Least squares over the inliers, with a tolerance that shrinks to their noise."""
    for _ in range(6):
        residual = points @ normal - offset
        inliers = points[np.abs(residual) < tolerance]
        if len(inliers) < min_points:
            return None
        centre = inliers.mean(axis=0)
        fitted = np.linalg.svd(inliers - centre, full_matrices=False)[2][2]
        normal = np.asarray(fitted * math.copysign(1.0, float(fitted @ normal)))
        offset = float(centre @ normal)
        noise = 1.4826 * float(np.median(np.abs(inliers @ normal - offset)))
        tolerance = min(tolerance, max(3.0 * noise, 0.1 * tolerance))
    independent = max(len(inliers) / 10.0, 1.0)  # neighbouring points share their errors
    reach = float(np.linalg.svd((inliers - centre) / math.sqrt(len(inliers)), compute_uv=False)[1])  # how wide the floor is seen, RMS
    sigma = noise / math.sqrt(independent)
    return FloorPlane(normal, offset, sigma, len(inliers), math.hypot(sigma / max(reach, 1e-12), LEVEL_SIGMA_RAD), tolerance)


def _keyframe_of(name: str, keyframes: Sequence[Keyframe]) -> Keyframe:
    """The keyframe that an image's file name, with or without suffix, or a node's number names."""
    for keyframe in keyframes:
        if any(name in (view.image, view.image.rpartition(".")[0]) for view in keyframe.views):
            return keyframe
    number = next((k for k in keyframes if name.isdecimal() and k.id == int(name)), None)
    if number is not None:
        return number
    known = [view.image for keyframe in keyframes for view in keyframe.views]
    raise BadInputError(f"--distance: no keyframe is called {name}; there are {len(known)} from {known[0]} to {known[-1]}, or give a node's number")


def _position(fragment: SfmFragment, name: str, keyframes: Sequence[Keyframe]) -> FloatArray | None:
    """Where the camera of the named image stands in the fragment; the first camera's, if a node is named. None if it is not there."""
    keyframe = _keyframe_of(name, keyframes)
    view = next((v for v in keyframe.views if name in (v.image, v.image.rpartition(".")[0])), None)
    pose = fragment.sfm_from_ref.get(keyframe.id) if view is None else fragment.sfm_from_cam.get(view.id)
    return None if pose is None else np.asarray(pose.translation)
