"""One tick of local navigation: scan into the grid, path out of it. Runs on a worker's thread; owns the grid."""

from __future__ import annotations

import time
from dataclasses import dataclass

from astra.core.types import LaserScan
from astra.geometry.se2 import Pose2
from astra.navigation.grid import GridConfig, LocalGrid, RollingGrid
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Planner, Subgoal


@dataclass(frozen=True, slots=True, eq=False)
class PlanJob:
    """A scan, where the robot was when it was taken and is now, and where it could go; no subgoals: only look."""

    scan: LaserScan
    odom_from_base_at_scan: Pose2
    base_from_sensor: Pose2
    odom_from_base: Pose2
    linear_mps: float
    angular_radps: float
    subgoals: tuple[Subgoal, ...] = ()
    forget: bool = False  # the odometry jumped: what was seen before lies elsewhere
    route_id: int = 0  # another one than before: the planner forgets its last path


@dataclass(frozen=True, slots=True, eq=False)
class PlanOutcome:
    """The grid seen, the path or why there is none (None: nothing was asked for), the subgoal it leads to, and the time it took."""

    job: PlanJob
    grid: LocalGrid
    path: LocalPath | LocalPlanError | None
    subgoal: Subgoal | None
    grid_s: float
    plan_s: float


class LocalPlanning:
    """Grid and planner together."""

    def __init__(self, grid: GridConfig, planner: Planner) -> None:
        self._grid = RollingGrid(grid)
        self._planner = planner
        self._route_id = 0

    def process(self, job: PlanJob) -> PlanOutcome:
        """Look, then plan to the first subgoal that can be reached; prefers any that is reached over a stand-in beside it."""
        began = time.perf_counter()
        if job.forget:
            self._grid.clear()
        if job.forget or job.route_id != self._route_id:
            self._planner.reset()
        self._route_id = job.route_id
        self._grid.add_scan(job.scan, job.odom_from_base_at_scan, job.base_from_sensor)
        grid = self._grid.snapshot()
        looked = time.perf_counter()
        scene = LocalScene(job.scan.stamp_ns, job.odom_from_base, job.linear_mps, job.angular_radps, grid)
        path, subgoal = self._plan(scene, job.subgoals)
        return PlanOutcome(job, grid, path, subgoal, looked - began, time.perf_counter() - looked)

    def _plan(self, scene: LocalScene, subgoals: tuple[Subgoal, ...]) -> tuple[LocalPath | LocalPlanError | None, Subgoal | None]:
        stand_in: tuple[LocalPath, Subgoal] | None = None
        failure: LocalPlanError | None = None
        for subgoal in subgoals:
            try:
                path = self._planner.plan(scene, subgoal)
            except LocalPlanError as error:
                failure = failure or error
                if error.reason in (NoLocalPath.START_BLOCKED, NoLocalPath.NOT_FINITE):
                    break
                continue
            if path.reaches_subgoal:
                return path, subgoal
            stand_in = stand_in or (path, subgoal)
        return stand_in or (failure, None)
