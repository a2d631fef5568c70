"""Planners side by side, each as a function from what the robot knows to poses (T, 3) in base_link; None where it has no way and stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from astra.core.types import Float32Array, FloatArray
from astra.evaluation.planning_scenes import FINE_M, PlanScene
from astra.geometry.distance import distance_to_occupied, sample_bilinear
from astra.geometry.se2 import Pose2
from astra.local_model.planning.choice import ChoiceConfig, Situation, costs
from astra.local_model.planning.clearing import Clearing
from astra.local_model.planning.config import PlannerConfig, TrajectoryConfig
from astra.local_model.planning.maps import clearance_maps, distance_of
from astra.local_model.planning.runtime import TrajectorySampler
from astra.navigation.control import ControlConfig, RegulatedPurePursuit
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.polyline import resample
from astra.navigation.protocols import LocalPath, LocalPlanError, LocalScene, Subgoal

Proposer = Callable[[PlanScene], FloatArray | None]
TICK_S = 0.05
MAX_MPS, MAX_RADPS, MAX_MPS2, MAX_RADPS2 = 0.6, 1.2, 0.8, 2.5


def learned(
    sampler: TrajectorySampler, count: int, radius_m: float, steps: int | None = None, *, tracked: bool = False, cleared: bool = False
) -> Proposer:
    """The learned planner: one sample, or the best of several by what the robot knows.

    Args:
        sampler: the network.
        count: of samples.
        radius_m: of the robot.
        steps: of the solver.
        tracked: who is seen goes on as fast as now, as a tracker foretells it; else everybody stays.
        cleared: samples are pushed clear of what the maps show, as on the robot.
    """
    config, trajectory = ChoiceConfig(), sampler.config.trajectory
    clear = Clearing(sampler.config.maps, trajectory.steps, trajectory.step_s)

    def propose(scene: PlanScene) -> FloatArray | None:
        rng = np.random.default_rng([0, *scene.name.encode()])
        maps = scene_maps(scene, radius_m, sampler.config, tracked=tracked)
        poses = sampler.sample(maps, scene.velocity, scene.goal, count, rng, steps=steps)
        if cleared:
            poses = clear(poses, maps)
        if count == 1:
            return np.asarray(poses[0])
        v, w = scene.velocity[0].tolist()
        x, y = scene.goal[:2].tolist()
        situation = Situation(maps, (v, w), (x, y), trajectory.step_s, scene.route)
        cost, _ = costs(poses, situation, config, sampler.config.maps)
        return np.asarray(poses[int(np.argmin(cost))])

    return propose


def scene_maps(scene: PlanScene, radius_m: float, config: PlannerConfig, *, tracked: bool) -> Float32Array:
    """The network's maps; who is seen now stays, or goes on as fast as now."""
    moments, now = np.array(config.maps.moments_s), scene.movers[0][scene.seen]
    discs = np.repeat(now[None], len(moments), axis=0)
    if tracked:
        discs[..., :2] += moments[:, None, None] * (scene.movers[1][scene.seen] - now)[None, :, :2] / config.trajectory.step_s
    return clearance_maps(distance_of(scene.occupied, config.maps), scene.known[::2, ::2], discs, radius_m, config.maps)


def classical(trajectory: TrajectoryConfig) -> Proposer:
    """The fallback's path, followed by the pure pursuit at the path's speeds."""

    def propose(scene: PlanScene) -> FloatArray | None:
        v, w = scene.velocity[0].tolist()
        x, y, yaw, final = scene.goal.tolist()
        try:
            planned = ClassicalPlanner().plan(LocalScene(0, Pose2(), v, w, scene.grid()), Subgoal(Pose2(x, y, yaw), bool(final)))
        except LocalPlanError:
            return None
        return followed(planned.poses, (v, w), trajectory, planned)

    return propose


def pursuit(trajectory: TrajectoryConfig) -> Proposer:
    """Pure pursuit of the route, blind to what stands there."""

    def propose(scene: PlanScene) -> FloatArray | None:
        line = resample(scene.route, 0.1)
        if len(line) < 2:
            return None
        v, w = scene.velocity[0].tolist()
        return followed(np.column_stack([line, np.full(len(line), scene.goal[2])]), (v, w), trajectory)

    return propose


def followed(poses: FloatArray, velocity: tuple[float, float], trajectory: TrajectoryConfig, path: LocalPath | None = None) -> FloatArray:
    """Where the controller would take the robot along a path, (T, 3)."""
    controller = RegulatedPurePursuit(ControlConfig(), 0.15, 0.25)
    controller.set_path(poses)
    here, out, every = Pose2(), [], round(trajectory.step_s / TICK_S)
    for tick in range(trajectory.steps * every):
        limit = math.inf
        if path is not None:
            near = int(np.argmin(np.hypot(path.poses[:, 0] - here.x, path.poses[:, 1] - here.y)))
            limit = max(float(path.speeds_mps[near : near + 8].min()), 0.15)
        command = controller.command(here, velocity, TICK_S, speed_limit_mps=limit)
        velocity = (command.linear_mps, command.angular_radps)
        turned, along = velocity[1] * TICK_S, velocity[0] * TICK_S
        here = here @ Pose2(along * math.cos(0.5 * turned), along * math.sin(0.5 * turned), turned)
        if (tick + 1) % every == 0:
            out.append((here.x, here.y, here.yaw))
    return np.array(out)


def dwa(trajectory: TrajectoryConfig, radius_m: float) -> Proposer:
    """The dynamic window approach (Fox et al., 1997): constant twists that can be reached within a step, held for the whole horizon."""

    def propose(scene: PlanScene) -> FloatArray | None:
        v, w = scene.velocity[0].tolist()
        reach = 2.0 * trajectory.step_s
        speeds = np.linspace(max(v - MAX_MPS2 * reach, 0.0), min(v + MAX_MPS2 * reach, MAX_MPS), 9)
        turns = np.linspace(max(w - MAX_RADPS2 * reach, -MAX_RADPS), min(w + MAX_RADPS2 * reach, MAX_RADPS), 21)
        twists = np.stack(np.meshgrid(speeds, turns, indexing="ij"), axis=-1).reshape(-1, 2)
        poses = _arcs(twists, trajectory)
        room = _room(_known(scene), FINE_M, scene.discs, poses, radius_m)
        judged = room.min(axis=1)
        left = np.hypot(*(poses[:, -1, :2] - scene.goal[:2]).T)
        ends = np.stack([scene.goal[0] - poses[:, -1, 0], scene.goal[1] - poses[:, -1, 1]], axis=1)
        off = np.abs(np.remainder(np.arctan2(ends[:, 1], ends[:, 0]) - poses[:, -1, 2] + math.pi, 2.0 * math.pi) - math.pi)
        cost = left + 0.3 * off * (left > 0.3) - 0.3 * twists[:, 0] + 1.0 * np.clip(0.3 - judged, 0.0, 0.3)
        cost[judged < 0.02] = np.inf
        best = int(np.argmin(cost))
        return poses[best] if math.isfinite(cost[best]) else None

    return propose


def mppi(trajectory: TrajectoryConfig, radius_m: float, *, truth: bool = False, samples: int = 400, rounds: int = 8) -> Proposer:
    """PyPI's pytorch-mppi on what the robot knows, or on the truth with everybody's future."""
    import torch
    from pytorch_mppi import MPPI

    dt = trajectory.step_s

    def propose(scene: PlanScene) -> FloatArray | None:
        known = _known(scene)

        def dynamics(state: Any, action: Any, t: int) -> Any:
            yaw = state[:, 2] + 0.5 * dt * action[:, 1]
            return torch.stack([state[:, 0] + dt * action[:, 0] * yaw.cos(), state[:, 1] + dt * action[:, 0] * yaw.sin(), state[:, 2] + dt * action[:, 1]], 1)

        def cost(state: Any, action: Any, t: int) -> Any:
            poses = state.numpy().astype(np.float64)
            where = (scene.field, 2 * FINE_M, scene.movers[t + 1]) if truth else (known, FINE_M, scene.discs)
            room = _room(where[0], where[1], where[2], poses, radius_m)
            left = np.hypot(*(poses[:, :2] - scene.goal[:2]).T)
            price = 2.0 * left + 4.0 * np.clip(1.0 - room / 0.25, 0.0, 2.0) ** 2 + 300.0 * (room < 0.02)
            return torch.from_numpy(price) + 0.05 * action[:, 1].square()

        torch.manual_seed(0)
        controller = MPPI(
            dynamics, cost, 3, torch.diag(torch.tensor([0.04, 0.25], dtype=torch.float64)), num_samples=samples, horizon=trajectory.steps, lambda_=0.05,
            u_min=torch.tensor([0.0, -MAX_RADPS], dtype=torch.float64), u_max=torch.tensor([MAX_MPS, MAX_RADPS], dtype=torch.float64),
            step_dependent_dynamics=True, u_init=torch.tensor(scene.velocity[0]), U_init=torch.tensor(np.repeat(scene.velocity[:1], trajectory.steps, axis=0)),
        )  # fmt: skip
        state = torch.zeros(3, dtype=torch.float64)
        for _ in range(rounds):
            controller.command(state, shift_nominal_trajectory=False)
        return _unicycle(controller.U.numpy(), trajectory)

    return propose


def _arcs(twists: FloatArray, trajectory: TrajectoryConfig) -> FloatArray:
    """(N, T, 3) poses of constant twists (N, 2)."""
    return np.stack([_unicycle(np.repeat(twist[None], trajectory.steps, axis=0), trajectory) for twist in twists])


def _unicycle(twists: FloatArray, trajectory: TrajectoryConfig) -> FloatArray:
    """(T, 3) poses of twists (T, 2)."""
    turned, along = twists[:, 1] * trajectory.step_s, twists[:, 0] * trajectory.step_s
    yaw = np.cumsum(turned)
    middle = yaw - 0.5 * turned
    return np.stack([np.cumsum(along * np.cos(middle)), np.cumsum(along * np.sin(middle)), yaw], axis=1)


def _room(distance: Float32Array, cell_m: float, discs: FloatArray, poses: FloatArray, radius_m: float) -> FloatArray:
    """Room (...) of poses (..., 3) by a distance field around base_link and discs (D, 3)."""
    room = sample_bilinear(distance, poses[..., :2] / cell_m + 0.5 * len(distance))
    for x, y, radius in discs:
        room = np.minimum(room, np.hypot(poses[..., 0] - x, poses[..., 1] - y) - radius)
    out: FloatArray = room - radius_m
    return out


def _known(scene: PlanScene) -> Float32Array:
    """Distance (2Y, 2X) [m] to the border of what is known to stand there."""
    return distance_to_occupied(scene.occupied, FINE_M, 5.0) - np.float32(0.5 * FINE_M)
