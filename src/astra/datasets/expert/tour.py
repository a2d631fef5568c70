"""A training drive: the expert goes from goal to goal, with a mistake now and then to recover from."""

from __future__ import annotations

import math

import numpy as np

from astra.core.errors import BadInputError, NoPathError
from astra.core.types import BoolArray, FloatArray
from astra.datasets.expert.disturbance import DisturbanceConfig, Disturber
from astra.datasets.expert.driver import ExpertDriver
from astra.datasets.expert.starts import StartKind, connected_floor, draw_start
from astra.geometry import Pose2
from astra.sim.world import WorldTruth

AWKWARD_SHARE = 0.15  # of the goals lie where it takes a manoeuvre to get away again
NEAREST_M = 1.5  # between two goals
ROOM_M = 0.12
PAUSE_S = 0.6
TRIES = 40


class ExpertTour:
    """Drives for `duration_s`, from one random goal to the next; areas are chosen alike, whatever their size (`sim.recording.Driver`).

    Args:
        driver: the expert.
        rng: draws goals and disturbances.
        duration_s: for how long.
        truth: whose areas are visited; None: anywhere on the floor.
        disturbances: how the robot is disturbed; None: not at all.
    """

    def __init__(
        self,
        driver: ExpertDriver,
        rng: np.random.Generator,
        duration_s: float,
        truth: WorldTruth | None = None,
        disturbances: DisturbanceConfig | None = None,
    ) -> None:
        self.driver = driver
        self._rng, self._duration_s = rng, duration_s
        self._disturber = Disturber(driver.floor, driver.outline, driver.robot, rng, disturbances) if disturbances else None
        self._polygons = [area.polygon for area in truth.areas] if truth else []
        self._began_s: float | None = None
        self._now_s = 0.0
        self._reachable: BoolArray | None = None
        self._arrived_s = -math.inf
        self.goals_reached = self.goals_given_up = 0

    @property
    def progress(self) -> float:
        """The part of the time that is over, 0 to 1."""
        return 0.0 if self._began_s is None else min((self._now_s - self._began_s) / self._duration_s, 1.0)

    @property
    def goal(self) -> Pose2 | None:
        """Where the expert is going."""
        return self.driver.goal

    @property
    def plan(self) -> tuple[float, FloatArray] | None:
        """When the expert last planned [s], and the poses (T, 3) that it then meant to drive through, 0.1 s apart; None before the first plan."""
        return (self.driver.planned_at_s, self.driver.planned) if math.isfinite(self.driver.planned_at_s) else None

    @property
    def disturbed(self) -> bool:
        """Whether the last command was not the expert's own."""
        return self._disturber is not None and self._disturber.active

    def command(self, pose: Pose2, velocity: tuple[float, float], time_s: float) -> tuple[float, float] | None:
        """The twist to drive with now; None once the time is over and the robot stands."""
        if self._began_s is None:
            self._began_s = time_s
        self._now_s = time_s
        if time_s - self._began_s >= self._duration_s:
            return None
        if self.driver.goal is None or self.driver.done or self.driver.blocked:
            self._next(pose, time_s)
        command = self.driver.command(pose, velocity, time_s)
        if self._disturber is None:
            return command
        return self._disturber.apply(pose, command, time_s, self.driver.movers.positions(np.array([time_s]))[0])

    def _next(self, pose: Pose2, time_s: float) -> None:
        """Set out for another goal, after a moment's rest."""
        if self.driver.goal is not None:
            if self._arrived_s < 0.0:
                self._arrived_s = time_s
                self.goals_reached += self.driver.done
                self.goals_given_up += not self.driver.done
            if time_s - self._arrived_s < PAUSE_S:
                return
        self._arrived_s = -math.inf
        if self._reachable is None:
            self._reachable = connected_floor(self.driver.floor, (pose.x, pose.y))
        for _ in range(TRIES):
            goal = self._draw(self._reachable)
            if goal is not None and goal.distance_to(pose) >= NEAREST_M:
                self.driver.plan(goal)
                return
        raise NoPathError(f"no goal at least {NEAREST_M} m away can be reached from ({pose.x:.2f}, {pose.y:.2f})")

    def _draw(self, reachable: BoolArray) -> Pose2 | None:
        floor, rng = self.driver.floor, self._rng
        if rng.random() < AWKWARD_SHARE:
            kind = (StartKind.FACING_WALL, StartKind.CORNER, StartKind.TIGHT)[int(rng.integers(3))]
            rows, columns = np.nonzero(reachable)
            x, y = floor.centres(rows[:1], columns[:1])[0].tolist()
            try:
                return draw_start(floor, self.driver.outline, kind, rng, (x, y))
            except BadInputError:
                return None
        suits = reachable & (floor.distance >= self.driver.outline.reach_m + ROOM_M)
        if self._polygons:
            suits &= _inside(floor.distance.shape, self._polygons[int(rng.integers(len(self._polygons)))], floor.origin, floor.resolution_m)
        rows, columns = np.nonzero(suits)
        if len(rows) == 0:
            return None
        k = int(rng.integers(len(rows)))
        x, y = floor.centres(rows[k : k + 1], columns[k : k + 1])[0].tolist()
        return Pose2(x, y, float(rng.uniform(-math.pi, math.pi)))


def _inside(shape: tuple[int, ...], polygon: FloatArray, origin: FloatArray, resolution_m: float) -> BoolArray:
    """Cells (Y, X) whose centres lie in a convex counter-clockwise polygon (K, 2)."""
    x = origin[0] + (np.arange(shape[1]) + 0.5) * resolution_m
    y = origin[1] + (np.arange(shape[0]) + 0.5) * resolution_m
    inside = np.ones(shape, bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0)):
        inside &= (b[0] - a[0]) * (y[:, None] - a[1]) - (b[1] - a[1]) * (x[None, :] - a[0]) >= 0.0
    return inside
