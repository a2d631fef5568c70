"""Open-loop peers that drive in the closed loop: they propose from what the grid holds, or from the truth, and the stack's controller follows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from astra.core.types import Float32Array, FloatArray
from astra.evaluation import planning_peers as peers
from astra.evaluation.planning_scenes import FINE_M, PlanScene
from astra.geometry.se2 import Pose2
from astra.local_model.planning.config import MapConfig, TrajectoryConfig
from astra.navigation.learned import LearnedConfig, path_of
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Subgoal

NAMES = ("pure_pursuit", "dwa", "mppi", "mppi_truth")
ROUNDS = 3  # of MPPI at a tick; it plans five times a second


class Truth(Protocol):
    """What only the peers on the truth ask: distances of points (N, 2) [world], and who will be where, (T + 1, D, 3) [world], from now on."""

    def distances(self, points: FloatArray) -> Float32Array: ...

    def movers_ahead(self, offsets: FloatArray) -> FloatArray: ...


class PeerPlanner:
    """A peer as `navigation.protocols.Planner`, without a shield; odom is the world.

    Args:
        name: of `NAMES`.
        truth: of the world that is driven through.
        radius_m: of the robot.
    """

    def __init__(self, name: str, truth: Truth, radius_m: float) -> None:
        self._trajectory, self._maps, self._truth = TrajectoryConfig(), MapConfig(), truth
        makers: dict[str, Callable[[], peers.Proposer]] = {
            "pure_pursuit": lambda: peers.pursuit(self._trajectory),
            "dwa": lambda: peers.dwa(self._trajectory, radius_m),
            "mppi": lambda: peers.mppi(self._trajectory, radius_m, rounds=ROUNDS),
            "mppi_truth": lambda: peers.mppi(self._trajectory, radius_m, truth=True, rounds=ROUNDS),
        }
        self._propose, self._config, self._asks_truth = makers[name](), LearnedConfig(), name == "mppi_truth"
        self._fine, self._coarse = self._maps.points(fine=True), self._maps.points()
        self._past: deque[tuple[float, float]] = deque(maxlen=4)

    def reset(self) -> None:
        """Nothing is remembered but velocities."""

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        """The peer's path.

        Raises:
            LocalPlanError: it has none.
        """
        self._past.appendleft((scene.linear_mps, scene.angular_radps))
        poses = self._propose(self._scene(scene, subgoal))
        if poses is None:
            raise LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, "the peer has no way")
        return path_of(poses, scene, 0.0, self._trajectory.step_s, self._config)

    def _scene(self, scene: LocalScene, subgoal: Subgoal) -> PlanScene:
        here, grid, side = scene.odom_from_base, scene.grid, len(self._fine)
        points = here.apply(self._fine.reshape(-1, 2))
        inside = grid.contains(points)
        column, row = np.where(inside[:, None], np.floor(grid.cells(points)).astype(np.int64), 0).T
        known = (inside & grid.known[row, column]).reshape(side, side)
        occupied = (grid.distance_at(points) <= 0.5 * FINE_M).reshape(side, side)
        goal, route = here.inverse() @ subgoal.odom_from_goal, here.inverse().apply(subgoal.route)
        velocity = np.array([*self._past, *[self._past[-1]] * (4 - len(self._past))])
        steps = self._trajectory.steps
        field, movers = np.zeros((self._maps.cells, self._maps.cells), np.float32), np.full((steps + 1, 1, 3), 100.0)
        if self._asks_truth:
            field = self._truth.distances(here.apply(self._coarse.reshape(-1, 2))).reshape(field.shape)
            movers = _seen_from(here, self._truth.movers_ahead(self._trajectory.step_s * np.arange(steps + 1, dtype=np.float64)))
        told = np.array([goal.x, goal.y, goal.yaw, float(subgoal.final)])
        return PlanScene(
            "", occupied, known, np.zeros((0, 3)), velocity, told, route, field, movers, np.zeros(movers.shape[1], bool), np.zeros((steps, 3))
        )  # fmt: skip


def _seen_from(here: Pose2, discs: FloatArray) -> FloatArray:
    out = np.array(discs, np.float64)
    out[..., :2] = here.inverse().apply(discs[..., :2].reshape(-1, 2)).reshape(*discs.shape[:2], 2)
    return out if out.shape[1] else np.full((len(discs), 1, 3), math.inf)
