"""Similarities: a rotation, a translation and a change of unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from astra.core.types import AnyArray, FloatArray
from astra.geometry.se3 import Pose3


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """A similarity `a_from_b`: p_a = scale · rotation @ p_b + translation; `rotation` (3, 3), `translation` (3,)."""

    scale: float = 1.0
    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    translation: FloatArray = field(default_factory=lambda: np.zeros(3))

    def __matmul__(self, other: Similarity) -> Similarity:
        """a_from_c = a_from_b @ b_from_c."""
        return Similarity(self.scale * other.scale, self.rotation @ other.rotation, self.apply(other.translation))

    def inverse(self) -> Similarity:
        """b_from_a."""
        return Similarity(1.0 / self.scale, self.rotation.T, -self.rotation.T @ self.translation / self.scale)

    def apply(self, points: AnyArray) -> FloatArray:
        """Transform points (..., 3) from frame b to frame a."""
        return self.scale * np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def carry(self, b_from_c: Pose3) -> Pose3:
        """The pose a_from_c, in a's unit, of something that stands at b_from_c."""
        return Pose3(self.rotation @ b_from_c.rotation, self.apply(b_from_c.translation))

    def angle_to(self, other: Similarity) -> float:
        """The rotation angle between the two [rad]."""
        return Pose3(self.rotation).angle_to(Pose3(other.rotation))

    def tilt_rad(self) -> float:
        """The angle between the two frames' z axes."""
        return math.acos(float(np.clip(self.rotation[2, 2], -1.0, 1.0)))

    @staticmethod
    def between_poses(a_from_c: Pose3, b_from_c: Pose3, scale: float = 1.0) -> Similarity:
        """The similarity a_from_b of the given scale that carries b_from_c to a_from_c."""
        rotation = a_from_c.rotation @ b_from_c.rotation.T
        return Similarity(scale, rotation, a_from_c.translation - scale * rotation @ b_from_c.translation)
