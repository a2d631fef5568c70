"""Where training drives begin: anywhere, and in places that a robot gets into by mistake."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray
from astra.datasets.expert.outline import Outline
from astra.datasets.expert.route import Floor
from astra.geometry import Pose2

ROOM_M = 0.15  # clearance of a start that is no mistake
NEAR_M = (0.05, 0.15)  # clearance of one that is
CORNER_SLOPE = (0.45, 0.85)  # |∇ distance| where two walls are equally near and meet at about a right angle
TRIES = 200


class StartKind(StrEnum):
    """How the robot stands at the beginning."""

    FREE = "free"
    FACING_WALL = "facing_wall"
    CORNER = "corner"
    TIGHT = "tight"  # too close to something, any way round


def draw_start(floor: Floor, outline: Outline, kind: StartKind, rng: np.random.Generator, home_xy: tuple[float, float] | None = None) -> Pose2:
    """A pose of a kind, uniformly over the floor that is connected to `home_xy` (or to most of the floor).

    Raises:
        BadInputError: this world has no such place.
    """
    connected = connected_floor(floor, home_xy)
    clearance = floor.distance - np.float32(floor.radius_m)
    slope_y, slope_x = (np.asarray(slope) for slope in np.gradient(floor.distance, floor.resolution_m))
    if kind is StartKind.FREE:
        suits = connected & (clearance >= ROOM_M + outline.reach_m - outline.radius_m)
    else:
        longer = outline.reach_m - outline.radius_m
        suits = _beside(connected, floor) & (clearance >= NEAR_M[0]) & (clearance <= NEAR_M[1] + longer)
        slope = np.hypot(slope_x, slope_y)
        if kind is StartKind.CORNER:
            suits &= (slope > CORNER_SLOPE[0]) & (slope < CORNER_SLOPE[1])
        elif kind is StartKind.FACING_WALL:
            suits &= slope > 0.9
    rows, columns = np.nonzero(suits)
    for _ in range(TRIES if len(rows) else 0):
        k = int(rng.integers(len(rows)))
        row, column = int(rows[k]), int(columns[k])
        towards = math.atan2(-float(slope_y[row, column]), -float(slope_x[row, column]))
        spread = {StartKind.FACING_WALL: 0.3, StartKind.CORNER: 0.6}.get(kind, math.pi)
        yaw = math.remainder(towards + float(rng.uniform(-spread, spread)), 2.0 * math.pi)
        x, y = (floor.centres(rows[k : k + 1], columns[k : k + 1])[0] + rng.uniform(-0.4, 0.4, 2) * floor.resolution_m).tolist()
        pose = Pose2(x, y, yaw)
        room_m = outline_clearance(floor, outline, np.array([[x, y, yaw]]))[0]
        if room_m >= 0.8 * NEAR_M[0] and (kind is StartKind.FREE or room_m <= 1.2 * NEAR_M[1]):
            return pose
    raise BadInputError(f"this floor has no place to start of kind {kind.value!r} for a robot of radius {floor.radius_m} m")


def outline_clearance(floor: Floor, outline: Outline, poses: FloatArray) -> FloatArray:
    """Room (N,) between the outline at poses (N, 3) and the nearest solid [m]."""
    ahead, aside, radius = np.array(outline.discs).T
    cos, sin = np.cos(poses[:, 2, None]), np.sin(poses[:, 2, None])
    x, y = poses[:, 0, None] + ahead * cos - aside * sin, poses[:, 1, None] + ahead * sin + aside * cos
    distance = floor.distance_at(x.astype(np.float32), y.astype(np.float32))
    room: FloatArray = (distance.astype(np.float64) - radius).min(axis=1)
    return room


def connected_floor(floor: Floor, home_xy: tuple[float, float] | None) -> BoolArray:
    """Cells (Y, X) on ways to home; without a home, or with one where the robot does not fit, the largest connected part."""
    from scipy.ndimage import label

    parts, count = label(floor.passable, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros(floor.passable.shape, bool)
    number = int(parts[floor.cell(*home_xy)]) if home_xy else 0
    if number == 0:
        number = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    mask: BoolArray = parts == number
    return mask


def _beside(connected: BoolArray, floor: Floor) -> BoolArray:
    """The connected cells and those a hand's breadth around them."""
    from scipy.ndimage import binary_dilation

    mask: BoolArray = binary_dilation(connected, iterations=max(1, round(0.1 / floor.resolution_m)))
    return mask
