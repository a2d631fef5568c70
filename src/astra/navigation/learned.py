"""The learned planner as `navigation.protocols.Planner`: maps out of the grid, samples out of the network, the best of them as a path.

It checks nothing for good: that is the shield's task.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray, seconds
from astra.geometry.se2 import Pose2
from astra.local_model.planning.choice import ChoiceConfig, Situation, clearance_along, costs
from astra.local_model.planning.clearing import Clearing, ClearingConfig
from astra.local_model.planning.config import PlannerConfig
from astra.local_model.planning.maps import clearance_maps
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, NoLocalPath, Subgoal

REMEMBERED = 40  # velocities


class Sampler(Protocol):
    """`local_model.planning.runtime.TrajectorySampler`, or whatever draws trajectories like it."""

    config: PlannerConfig

    def sample(
        self, maps: Float32Array, velocity: FloatArray, goal: FloatArray, count: int, rng: np.random.Generator, *, steps: int | None = None, spread: float = 1.0
    ) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class LearnedConfig:
    """How many samples, and of what robot."""

    model: str = ""  # folder of the exported planner
    samples: int = 10
    steps: int = 0  # of the solver; 0: as the model says
    second_spread: float = 1.5  # of the noise, where no sample is free; 0: no second try
    radius_m: float = 0.22  # of the disc that the maps are made for
    shortest_m: float = 0.12  # a shorter trajectory stands or turns
    turn_rad: float = 0.35  # a standing trajectory that turns farther is a turn on the spot
    turn_path_m: float = 0.35  # the path that asks the controller for it
    brisk_mps: float = 0.5  # a path's speed at least where there is room: who learned by imitation that slow goes on slow never speeds up; 0: as drawn
    brisk_room_m: float = 0.5  # … and less so where there is less
    seed: int = 0
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    clearing: ClearingConfig = field(default_factory=ClearingConfig)

    def __post_init__(self) -> None:
        require(1 <= self.samples <= 200, "samples", self.samples, "between 1 and 200")
        require(0 <= self.steps <= 100, "steps", self.steps, "between 0 and 100")
        for name in ("second_spread", "radius_m", "shortest_m", "turn_rad", "turn_path_m", "brisk_mps"):
            require(0.0 <= getattr(self, name) < 10.0, name, getattr(self, name), "between 0 and 10")
        require(0.0 < self.brisk_room_m < 10.0, "brisk_room_m", self.brisk_room_m, "between 0 and 10")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What was drawn for one plan: poses (K, T, 3) in odom, what each costs (K,), and which are free (K,) of what the maps hold."""

    stamp_ns: int
    odom_poses: FloatArray
    costs: FloatArray
    free: BoolArray


class LearnedPlanner:
    """Draws trajectories and proposes the best; remembers it, so that the next choice agrees with it.

    Args:
        sampler: the network.
        config: samples and choice.
        discs: who will be where: (M, D, 3) x, y, radius [m, base_link] at the maps' moments. Default: nobody but what the grid holds.
    """

    def __init__(self, sampler: Sampler, config: LearnedConfig | None = None, discs: Callable[[LocalScene], AnyArray] | None = None) -> None:
        self.config, self._sampler, self._discs = config or LearnedConfig(), sampler, discs
        self._moments = sampler.config.maps.moments_s
        self._points = sampler.config.maps.points()
        trajectory = sampler.config.trajectory
        self._clear = Clearing(sampler.config.maps, trajectory.steps, trajectory.step_s, self.config.clearing)
        self._past: deque[tuple[int, float, float]] = deque(maxlen=REMEMBERED)
        self.reset()

    def reset(self) -> None:
        """Forget the last choice; draw the same noise again."""
        self._rng = np.random.default_rng(self.config.seed)
        self._last: tuple[int, FloatArray] | None = None
        self.samples: Samples | None = None  # of the last plan

    def plan(self, scene: LocalScene, subgoal: Subgoal) -> LocalPath:
        """The best of the samples.

        Raises:
            LocalPlanError: no sample is free of what the grid holds, or none leads anywhere.
        """
        config, here = self.config, scene.odom_from_base
        if not (here.is_finite() and subgoal.odom_from_goal.is_finite()):
            raise LocalPlanError(NoLocalPath.NOT_FINITE, f"start {here}, subgoal {subgoal.odom_from_goal}")
        maps, velocity = self.maps(scene), self._velocities(scene)
        goal = here.inverse() @ subgoal.odom_from_goal
        told = np.array([goal.x, goal.y, goal.yaw, float(subgoal.final)])
        step_s = self._sampler.config.trajectory.step_s
        route = here.inverse().apply(subgoal.route) if len(subgoal.route) else subgoal.route
        situation = Situation(maps, (scene.linear_mps, scene.angular_radps), (goal.x, goal.y), step_s, route, self._left(scene, step_s))
        for spread in (1.0, config.second_spread):
            if spread == 0.0:
                break
            poses = self._sampler.sample(maps, velocity, told, config.samples, self._rng, steps=config.steps or None, spread=spread)
            poses = self._clear(poses, maps)
            cost, free = costs(poses, situation, config.choice, self._sampler.config.maps)
            self.samples = Samples(scene.stamp_ns, np.stack([_placed(line, here) for line in poses]), cost, free)
            best = int(np.argmin(np.where(free & np.isfinite(cost), cost, np.inf)))
            if free[best] and np.isfinite(cost[best]):
                self._last = (scene.stamp_ns, _placed(poses[best], here))
                room = clearance_along(maps, poses[best : best + 1], step_s, self._sampler.config.maps)[0, 1::2]
                least = config.brisk_mps * np.clip(room / config.brisk_room_m, 0.0, 1.0)
                return path_of(poses[best], scene, float(cost[best]), step_s, config, least)
        self._last = None
        raise LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, f"none of {config.samples} samples is free")

    def maps(self, scene: LocalScene) -> Float32Array:
        """What the network reads (M + 1, Y, X), out of the grid."""
        grid, config = scene.grid, self._sampler.config.maps
        points = scene.odom_from_base.apply(self._points.reshape(-1, 2))
        inside = grid.contains(points)
        column, row = np.where(inside[:, None], np.floor(grid.cells(points)).astype(np.int64), 0).T
        known = (inside & grid.known[row, column]).reshape(self._points.shape[:2])
        distance = grid.distance_at(points).reshape(self._points.shape[:2])
        discs = np.full((len(self._moments), 0, 3), 0.0) if self._discs is None else self._discs(scene)
        return clearance_maps(distance, known, discs, self.config.radius_m, config)

    def _velocities(self, scene: LocalScene) -> FloatArray:
        """(H, 2): v, w now and one trajectory's step back each; what is not remembered is as the oldest known."""
        if self._past and scene.stamp_ns < self._past[-1][0]:
            self._past.clear()
        self._past.append((scene.stamp_ns, scene.linear_mps, scene.angular_radps))
        past = np.array([(seconds(stamp - scene.stamp_ns), v, w) for stamp, v, w in self._past])
        at = -self._sampler.config.trajectory.step_s * np.arange(self._sampler.config.history)
        return np.stack([np.interp(at, past[:, 0], past[:, k]) for k in (1, 2)], axis=1)

    def _left(self, scene: LocalScene, step_s: float) -> FloatArray | None:
        """What is left of the last choice (T, 3), in base_link, at the times of a new one."""
        if self._last is None:
            return None
        stamp_ns, poses = self._last
        since_s = seconds(scene.stamp_ns - stamp_ns)
        count = len(poses)
        if not 0.0 <= since_s < step_s * count:
            return None
        known, wanted = step_s * np.arange(1, count + 1), since_s + step_s * np.arange(1, count + 1)
        yaw = np.unwrap(poses[:, 2])
        left = np.stack([np.interp(wanted, known, column, right=np.nan) for column in (poses[:, 0], poses[:, 1], yaw)], axis=1)
        left[:, :2] = scene.odom_from_base.inverse().apply(left[:, :2])
        left[:, 2] -= scene.odom_from_base.yaw
        return left


def path_of(poses: FloatArray, scene: LocalScene, cost: float, step_s: float, config: LearnedConfig, least_mps: FloatArray | None = None) -> LocalPath:
    """A trajectory (T, 3) in base_link as a path in odom; one that turns on the spot becomes a short line in the new direction.

    `least_mps` (T,): what the speeds are raised to.

    Raises:
        LocalPlanError: it stands still, or backs out.
    """
    here = scene.odom_from_base
    lengths = np.hypot(*np.diff(poses[:, :2], axis=0, prepend=np.zeros((1, 2))).T)
    if lengths.sum() < config.shortest_m:
        turn = float(poses[np.argmax(np.abs(poses[:, 2])), 2])
        if abs(turn) < config.turn_rad:
            raise LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, "the best sample stands still")
        line = Pose2(0.0, 0.0, turn).apply(np.array([[0.0, 0.0], [0.5 * config.turn_path_m, 0.0], [config.turn_path_m, 0.0]]))
        turned = np.column_stack([line, np.full(3, turn)])
        return LocalPath(scene.stamp_ns, _placed(turned, here), np.array([0.0, 0.1, 0.1]), True, cost)
    if poses[min(1, len(poses) - 1), 0] < -0.04:
        raise LocalPlanError(NoLocalPath.SUBGOAL_UNREACHABLE, "the best sample backs out, which the controller's paths cannot")
    moves = lengths > 0.005
    last = int(np.flatnonzero(moves)[-1]) + 1
    way = np.concatenate([np.zeros((1, 3)), poses[:last]])
    speeds = np.concatenate([lengths[:1], lengths[:last]]) / step_s
    # Where the robot speeds up at first, the path's speed is what it speeds up to: how fast is the controller's business.
    peak = int(np.argmax(np.append(np.diff(speeds) < 0.0, True)))
    speeds[:peak] = speeds[peak]
    if least_mps is not None:
        speeds = np.maximum(speeds, np.concatenate([least_mps[:1], least_mps[:last]]))
    return LocalPath(scene.stamp_ns, _placed(way, here), speeds, True, cost)


def _placed(poses: FloatArray, odom_from_base: Pose2) -> FloatArray:
    """Poses (T, 3) of base_link in odom."""
    out = np.array(poses, np.float64)
    out[:, :2] = odom_from_base.apply(poses[:, :2])
    out[:, 2] = np.remainder(poses[:, 2] + odom_from_base.yaw + math.pi, 2.0 * math.pi) - math.pi
    return out
