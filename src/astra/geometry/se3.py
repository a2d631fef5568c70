"""Rigid transforms in space. Quaternions are xyzw, as in ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from astra.core.types import AnyArray, FloatArray
from astra.geometry.se2 import Pose2


@dataclass(frozen=True, slots=True, eq=False)
class Pose3:
    """A rigid transform `a_from_b`: `rotation` (3, 3), `translation` (3,) [m]."""

    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    translation: FloatArray = field(default_factory=lambda: np.zeros(3))

    def __matmul__(self, other: Pose3) -> Pose3:
        """a_from_c = a_from_b @ b_from_c."""
        return Pose3(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation)

    def inverse(self) -> Pose3:
        """b_from_a."""
        return Pose3(self.rotation.T, -self.rotation.T @ self.translation)

    def apply(self, points: AnyArray) -> FloatArray:
        """Transform points (..., 3) from frame b to frame a."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def matrix(self) -> FloatArray:
        """The homogeneous matrix (4, 4)."""
        out = np.eye(4)
        out[:3, :3], out[:3, 3] = self.rotation, self.translation
        return out

    def quaternion_xyzw(self) -> FloatArray:
        """The unit quaternion (4,), xyzw, w ≥ 0."""
        m = self.rotation
        # Shepperd's method: divide by the largest component, so that no case is ill-conditioned.
        candidates = np.array([m[0, 0], m[1, 1], m[2, 2], np.trace(m)])
        k = int(np.argmax(candidates))
        q = np.empty(4)
        if k == 3:
            q[:] = [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1.0 + candidates[3]]
        else:
            i, j, l = k, (k + 1) % 3, (k + 2) % 3  # noqa: E741
            q[i] = 1.0 + m[i, i] - m[j, j] - m[l, l]
            q[j] = m[j, i] + m[i, j]
            q[l] = m[l, i] + m[i, l]
            q[3] = m[l, j] - m[j, l]
        q /= np.linalg.norm(q)
        return q if q[3] >= 0 else -q

    def pose2(self) -> Pose2:
        """The planar part: x, y and the heading of frame b's x axis."""
        return Pose2(float(self.translation[0]), float(self.translation[1]), math.atan2(self.rotation[1, 0], self.rotation[0, 0]))

    def angle_to(self, other: Pose3) -> float:
        """The rotation angle between the two orientations [rad]."""
        cosine = (np.trace(self.rotation.T @ other.rotation) - 1.0) / 2.0
        return math.acos(float(np.clip(cosine, -1.0, 1.0)))

    @staticmethod
    def from_matrix(matrix: AnyArray) -> Pose3:
        """From a homogeneous matrix (4, 4) or (3, 4)."""
        matrix = np.asarray(matrix, dtype=np.float64)
        return Pose3(matrix[:3, :3].copy(), matrix[:3, 3].copy())

    @staticmethod
    def from_quaternion(xyzw: AnyArray, translation: AnyArray) -> Pose3:
        """From a quaternion (4,), xyzw, of any non-zero length, and a translation (3,)."""
        q = np.asarray(xyzw, dtype=np.float64)
        x, y, z, w = q / np.linalg.norm(q)
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return Pose3(rotation, np.asarray(translation, dtype=np.float64).copy())

    @staticmethod
    def from_pose2(pose: Pose2, z: float = 0.0) -> Pose3:
        """The planar pose lifted to height `z` [m]."""
        c, s = math.cos(pose.yaw), math.sin(pose.yaw)
        return Pose3(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), np.array([pose.x, pose.y, z]))

    @staticmethod
    def from_rpy(roll: float, pitch: float, yaw: float, translation: AnyArray = (0.0, 0.0, 0.0)) -> Pose3:  # type: ignore[assignment]
        """From fixed-axis roll, pitch, yaw [rad] (REP-103) and a translation (3,)."""
        cr, sr, cp, sp, cy, sy = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
        rotation = np.array(
            [
                [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
                [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
                [-sp, cp * sr, cp * cr],
            ]
        )
        return Pose3(rotation, np.asarray(translation, dtype=np.float64).copy())


# Axes of an optical frame (x right, y down, z forward) seen from a body frame (x forward, y left, z up); REP-103.
BODY_FROM_OPTICAL = Pose3(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))
