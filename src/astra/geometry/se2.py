"""Planar poses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray


def wrap_angle(angle_rad: float) -> float:
    """The same angle in (-π, π]."""
    wrapped = math.remainder(angle_rad, 2.0 * math.pi)
    return math.pi if wrapped == -math.pi else wrapped


@dataclass(frozen=True, slots=True)
class Pose2:
    """A planar pose `a_from_b`: position [m] and heading [rad] of frame b in frame a."""

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0

    def __matmul__(self, other: Pose2) -> Pose2:
        """a_from_c = a_from_b @ b_from_c."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return Pose2(self.x + c * other.x - s * other.y, self.y + s * other.x + c * other.y, wrap_angle(self.yaw + other.yaw))

    def inverse(self) -> Pose2:
        """b_from_a."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return Pose2(-c * self.x - s * self.y, s * self.x - c * self.y, wrap_angle(-self.yaw))

    def apply(self, points: FloatArray) -> FloatArray:
        """Transform points (..., 2) from frame b to frame a."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        rotation = np.array([[c, -s], [s, c]])
        moved: FloatArray = np.asarray(points, dtype=np.float64) @ rotation.T + np.array([self.x, self.y])
        return moved

    def distance_to(self, other: Pose2) -> float:
        """Euclidean distance between the two positions [m]."""
        return math.hypot(other.x - self.x, other.y - self.y)

    def is_finite(self) -> bool:
        """Whether every component is finite."""
        return math.isfinite(self.x) and math.isfinite(self.y) and math.isfinite(self.yaw)

    @staticmethod
    def exp(dx: float, dy: float, dyaw: float) -> Pose2:
        """The pose reached by moving for one unit of time with constant body twist (dx, dy, dyaw)."""
        if abs(dyaw) < 1e-9:
            return Pose2(dx, dy, dyaw)
        half = math.sin(0.5 * dyaw)
        s, c = math.sin(dyaw) / dyaw, 2.0 * half * half / dyaw  # 1 − cos would lose the digits of small turns
        return Pose2(s * dx - c * dy, c * dx + s * dy, wrap_angle(dyaw))
