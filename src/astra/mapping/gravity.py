"""Which way is up in a reconstruction: from the IMU, from a robot's upright poses and its flat floor, or from how people hold a camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Up:
    """The direction against gravity, `direction` (3,) unit, its sigma, and where it came from.

    source: "imu", "poses" (a robot's base_link and the plane it drove on), "floor" (the floor's points) or "horizon" (how people hold a camera).
    """

    direction: FloatArray
    sigma_rad: float
    source: str

    def angle_to(self, other: Up) -> float:
        """Angle [rad] between two answers."""
        return math.acos(min(max(float(self.direction @ other.direction), -1.0), 1.0))


def up_of_poses(positions: FloatArray, rotations: FloatArray, inertial: Up | None = None) -> Up:
    """The floor's normal: the base frames' z axes and the plane through their positions, each weighed by its noise.

    Minimises Σ (n·(p − p̄))² / σ_p² + Σ |n − z|² / σ_z² over n = z̄ + tangent, three linearised steps.

    Args:
        positions: (N, 3) [m]. rotations: (N, 3, 3) of base_link.
        inertial: what the IMU says, a third witness.
    """
    position_sigma, axis_sigma, independent = 0.02, math.radians(0.5), 10.0
    up = rotations[:, :, 2].mean(axis=0)
    up /= np.linalg.norm(up)
    trust = min(len(positions), independent) / axis_sigma**2  # the axes' errors are alike, they do not average out
    prior = trust * up
    if inertial is not None:
        trust, prior = trust + 1.0 / inertial.sigma_rad**2, prior + inertial.direction / inertial.sigma_rad**2
    centred = positions - positions.mean(axis=0)
    scatter = centred.T @ centred / position_sigma**2
    for _ in range(3):
        basis = np.linalg.svd(up[None])[2][1:]  # (2, 3) tangents
        normal = basis @ scatter @ basis.T + trust * np.eye(2)
        right = -basis @ scatter @ up + basis @ (prior - trust * up)
        up = up + np.linalg.solve(normal, right) @ basis
        up /= np.linalg.norm(up)
    sigma = math.sqrt(float(np.trace(np.linalg.inv(normal))) / 2.0)
    return Up(up, sigma, "poses")


def up_of_horizon(rotations: FloatArray) -> Up:
    """Up for a hand-held camera: people hold it level, so up is the direction most orthogonal to all its sideways axes.

    Args:
        rotations: (N, 3, 3) of the camera's body frame (x forward, y left, z up).
    """
    _, spread, axes = np.linalg.svd(rotations[:, :, 1])
    up: FloatArray = axes[-1]
    if float((rotations[:, :, 2] @ up).mean()) < 0:
        up = -up
    count = len(rotations)
    roll = float(spread[-1]) / math.sqrt(count)  # RMS by which the sideways axes leave the horizon
    turned = max(float(spread[-2]) / math.sqrt(count), 1e-3)  # how far the camera turned: without turning, tilt is not seen
    return Up(up, min(max(roll, math.radians(1.0)) / turned, math.pi / 2), "horizon")
