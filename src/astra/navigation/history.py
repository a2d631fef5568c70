"""The robot's recent poses in odom, so that a scan can be placed where the robot was when it was taken."""

from __future__ import annotations

import bisect

from astra.core.errors import BadInputError
from astra.core.types import seconds
from astra.geometry.se2 import Pose2, wrap_angle

MAX_SPEED_MPS = 5.0


class PoseHistory:
    """Poses over the last seconds; a stamp that goes back starts a new history."""

    def __init__(self, keep_s: float = 3.0, ahead_s: float = 0.15) -> None:
        self._keep_s, self._ahead_s = keep_s, ahead_s
        self._stamps: list[int] = []
        self._poses: list[Pose2] = []
        self._twist = (0.0, 0.0)

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, stamp_ns: int, odom_from_base: Pose2, linear_mps: float, angular_radps: float) -> bool:
        """Take the newest pose; False if its stamp went back or the pose leapt, and older poses were dropped."""
        broken = bool(self._stamps) and (stamp_ns < self._stamps[-1] or self._leapt(stamp_ns, odom_from_base))
        if broken:
            self._stamps, self._poses = [], []
        if not self._stamps or stamp_ns > self._stamps[-1]:
            self._stamps.append(stamp_ns)
            self._poses.append(odom_from_base)
            self._twist = (linear_mps, angular_radps)
        if seconds(stamp_ns - self._stamps[0]) > 1.25 * self._keep_s:
            cut = bisect.bisect_left(self._stamps, stamp_ns - round(self._keep_s * 1e9))
            del self._stamps[:cut], self._poses[:cut]
        return not broken

    def _leapt(self, stamp_ns: int, odom_from_base: Pose2) -> bool:
        """Whether no robot could have come here since the last pose: another odometry has begun."""
        elapsed_s = seconds(stamp_ns - self._stamps[-1])
        return odom_from_base.distance_to(self._poses[-1]) > 0.3 + MAX_SPEED_MPS * elapsed_s

    @property
    def newest(self) -> tuple[int, Pose2]:
        """The newest stamp and pose.

        Raises:
            BadInputError: nothing has arrived yet.
        """
        if not self._stamps:
            raise BadInputError("no odometry yet")
        return self._stamps[-1], self._poses[-1]

    def at(self, stamp_ns: int) -> Pose2:
        """The pose at a stamp: interpolated, or carried on by the last twist for a moment.

        Raises:
            BadInputError: the stamp lies before the history or too far after it.
        """
        newest_ns, newest = self.newest
        if stamp_ns >= newest_ns:
            ahead_s = seconds(stamp_ns - newest_ns)
            if ahead_s > self._ahead_s:
                raise BadInputError(f"odometry ends {ahead_s:.3f} s before the stamp asked for")
            return newest @ Pose2.exp(self._twist[0] * ahead_s, 0.0, self._twist[1] * ahead_s)
        i = bisect.bisect_right(self._stamps, stamp_ns)
        if i == 0:
            raise BadInputError(f"odometry begins {seconds(self._stamps[0] - stamp_ns):.3f} s after the stamp asked for")
        before, after = self._poses[i - 1], self._poses[i]
        u = (stamp_ns - self._stamps[i - 1]) / (self._stamps[i] - self._stamps[i - 1])
        yaw = wrap_angle(before.yaw + u * wrap_angle(after.yaw - before.yaw))
        return Pose2(before.x + u * (after.x - before.x), before.y + u * (after.y - before.y), yaw)
