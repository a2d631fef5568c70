"""What the driver of a recorded drive wanted: where to, how, and when it was kept from it."""

from __future__ import annotations

import numpy as np

from astra.core.types import FloatArray, IntArray, nanoseconds
from astra.datasets.drive import Drive
from astra.datasets.motion import Motion
from astra.sim.driver import PLAN_STEP_S

STALE_NS = nanoseconds(0.15)  # a plan older than this is no longer what the driver means to do


class Intentions:
    """The driver's goals, plans and disturbances over one drive."""

    def __init__(self, drive: Drive, motion: Motion) -> None:
        goals, plans = drive.goals(), drive.plans()
        self._goal_ns: IntArray = np.array([stamp for stamp, _ in goals], dtype=np.int64)
        self._goals = [np.array([p.x, p.y, p.yaw]) for _, p in goals] or [motion.poses[-1]]
        self._plan_ns: IntArray = np.array([stamp for stamp, _ in plans], dtype=np.int64)
        self._plans = [poses for _, poses in plans]
        self._disturbed: IntArray = np.array(drive.disturbances(), dtype=np.int64).reshape(-1, 2)

    def goal(self, stamp_ns: int) -> FloatArray:
        """Where to at a moment, x, y, yaw (3,) [world]; where the drive ends, for drives that do not say."""
        return self._goals[max(int(np.searchsorted(self._goal_ns, stamp_ns, side="right")) - 1, 0)]

    def plan(self, stamp_ns: int, after_ns: IntArray) -> FloatArray:
        """Where the driver then meant to be at times (T,) after a moment: x, y, yaw (T, 3) [world], NaN where it did not plan so far."""
        k = int(np.searchsorted(self._plan_ns, stamp_ns, side="right")) - 1
        if k < 0 or stamp_ns - int(self._plan_ns[k]) > STALE_NS:
            return np.full((len(after_ns), 3), np.nan)
        poses = self._plans[k].copy()
        poses[:, 2] = np.unwrap(poses[:, 2])
        known = np.arange(len(poses)) * PLAN_STEP_S
        wanted = (stamp_ns + after_ns - int(self._plan_ns[k])) * 1e-9
        # A plan that is one step old ends one step early: its end goes on as it ended.
        reach = known[-1] + 1.5 * PLAN_STEP_S
        if len(poses) > 1:
            known, poses = np.append(known, known[-1] + 2.0 * PLAN_STEP_S), np.vstack([poses, 3.0 * poses[-1] - 2.0 * poses[-2]])
        at = np.stack([np.interp(wanted, known, column) for column in poses.T], axis=1)
        at[wanted > reach] = np.nan
        return at

    def is_disturbed(self, stamp_ns: int, horizon_ns: int) -> bool:
        """Whether the driver is kept from its plans at any time from a moment on, up to a horizon."""
        begin, end = self._disturbed.T
        return bool(((begin <= stamp_ns + horizon_ns) & (end >= stamp_ns)).any())
