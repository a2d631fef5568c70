"""How a robot really moved: by the simulator's truth, or by odometry for a real drive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, Float32Array, FloatArray, IntArray
from astra.datasets.drive import Drive
from astra.geometry import Pose3


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Poses x, y, yaw (N, 3) [world, or odom], yaw unwrapped, and v, w (N, 2) at stamps (N,); `source` is truth or odometry."""

    stamps_ns: IntArray
    poses: FloatArray
    velocities: FloatArray
    in_contact: BoolArray
    source: str

    def at(self, stamps_ns: IntArray) -> FloatArray:
        """Poses (K, 3) at stamps (K,), linearly interpolated, yaw unwrapped."""
        return self._interpolated(stamps_ns, self.poses)

    def velocity_at(self, stamp_ns: int) -> Float32Array:
        """v [m/s], w [rad/s] (2,) float32."""
        velocity: Float32Array = self._interpolated(np.array([stamp_ns]), self.velocities)[0].astype(np.float32)
        return velocity

    def in_contact_at(self, stamp_ns: int) -> bool:
        """Whether the robot touches anything."""
        return bool(self.in_contact[max(int(np.searchsorted(self.stamps_ns, stamp_ns, side="right")) - 1, 0)])

    def along(self, stamp_ns: int, distance_m: float) -> FloatArray:
        """The pose (3,) at which the robot will have driven so far from a stamp on; the last if it never will."""
        first = int(np.searchsorted(self.stamps_ns, stamp_ns))
        steps = np.linalg.norm(np.diff(self.poses[first:, :2], axis=0), axis=1)
        ahead = int(np.searchsorted(np.cumsum(steps), distance_m)) + 1
        pose: FloatArray = self.poses[min(first + ahead, len(self.poses) - 1)]
        return pose

    def _interpolated(self, stamps_ns: IntArray, values: FloatArray) -> FloatArray:
        start = int(self.stamps_ns[0])
        known, wanted = (self.stamps_ns - start).astype(np.float64), (np.asarray(stamps_ns) - start).astype(np.float64)
        return np.stack([np.interp(wanted, known, column) for column in values.T], axis=1)


def motion_of(drive: Drive) -> Motion:
    """The drive's truth where it has one, else its odometry.

    Raises:
        BadInputError: it has neither.
    """
    scenes = list(drive.scenes())
    if scenes:
        planar = [Pose3.from_matrix(s.world_from_base).pose2() for s in scenes]
        poses, stamps = np.array([(p.x, p.y, p.yaw) for p in planar]), np.array([s.stamp_ns for s in scenes], dtype=np.int64)
        velocities, contact = np.array([(s.linear_mps, s.angular_radps) for s in scenes]), np.array([s.in_contact for s in scenes])
        source = "truth"
    else:
        odometry = drive.odometry
        if odometry is None:
            raise BadInputError(f"{drive.path} has neither truth nor wheel odometry: nobody knows where its images were taken")
        wheel = drive.wheel()
        stamps, poses, source = odometry.stamps_ns, odometry.poses.copy(), "odometry"
        times = np.array([w.stamp_ns for w in wheel], dtype=np.int64) - int(stamps[0])
        told = np.array([(w.linear_mps, w.angular_radps) for w in wheel])
        velocities = np.stack([np.interp(stamps - int(stamps[0]), times, column) for column in told.T], axis=1)
        contact = np.zeros(len(stamps), bool)
    poses[:, 2] = np.unwrap(poses[:, 2])
    return Motion(stamps, poses, velocities, contact, source)


def in_ego_frame(pose: FloatArray, others: FloatArray) -> FloatArray:
    """Poses (K, 3) as seen from a pose (3,): x forward, y left, relative heading wrapped to (-π, π]."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    delta = others[:, :2] - pose[:2]
    yaw = others[:, 2] - pose[2]
    wrapped = np.pi - (np.pi - yaw) % (2.0 * np.pi)
    return np.column_stack([c * delta[:, 0] + s * delta[:, 1], c * delta[:, 1] - s * delta[:, 0], wrapped])
