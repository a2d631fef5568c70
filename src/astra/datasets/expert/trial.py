"""One drive of the expert in the real physics, judged: did it arrive, did it touch anything, how fast and how near."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.types import FloatArray, seconds
from astra.datasets.expert.disturbance import Disturber
from astra.datasets.expert.driver import ExpertDriver
from astra.datasets.expert.starts import outline_clearance
from astra.geometry import Pose2
from astra.sim.simulation import Simulation

CONTROL_S = 0.02
FAULT_MPS = 0.05
DEBOUNCE_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What happened. `poses` (N, 3) and `twists` (N, 2) are true, one every `CONTROL_S`.

    `route_m` is the length of the way planned at the start, `contacts` counts episodes, `at_fault` those with the robot in motion.
    """

    arrived: bool
    contacts: int
    at_fault: int
    duration_s: float
    length_m: float
    route_m: float
    clearance_m: float
    mover_gap_m: float
    poses: FloatArray
    twists: FloatArray

    @property
    def mean_mps(self) -> float:
        """Length over duration."""
        return self.length_m / max(self.duration_s, 1e-9)


def drive_to(simulation: Simulation, driver: ExpertDriver, goal: Pose2, limit_s: float, disturber: Disturber | None = None) -> Trial:
    """Let the expert drive from where the robot stands to a goal, for `limit_s` at most or until it reports the way blocked.

    Raises:
        NoPathError: no way there.
    """
    driver.plan(goal)
    began_s = seconds(simulation.time_ns)
    poses: list[tuple[float, float, float]] = []
    twists: list[tuple[float, float]] = []
    gaps = [math.inf]
    contacts, at_fault, last_contact_s, route_m = 0, 0, -math.inf, 0.0
    while not (driver.done or driver.blocked) and seconds(simulation.time_ns) - began_s < limit_s:
        pose, scene, now_s = simulation.pose(), simulation.truth(), seconds(simulation.time_ns)
        command = driver.command(pose, (scene.linear_mps, scene.angular_radps), now_s)
        movers = driver.movers.positions(np.array([now_s]))[0]
        if disturber is not None and not driver.done:
            command = disturber.apply(pose, command, now_s, movers)
        if not poses:
            route = driver.route
            route_m = float(np.hypot(*np.diff(route, axis=0).T).sum())
        poses.append((pose.x, pose.y, pose.yaw))
        twists.append((scene.linear_mps, scene.angular_radps))
        if len(movers):
            gaps.append(float((np.hypot(movers[:, 0] - pose.x, movers[:, 1] - pose.y) - movers[:, 2]).min()) - driver.outline.reach_m)
        if scene.in_contact:
            if now_s - last_contact_s > DEBOUNCE_S:
                contacts += 1
                at_fault += max(abs(t[0]) for t in twists[-4:]) > FAULT_MPS
            last_contact_s = now_s
        simulation.set_command(*command)
        simulation.advance(CONTROL_S)
    track = np.array(poses)
    length_m = float(np.hypot(*np.diff(track[:, :2], axis=0).T).sum())
    clearance_m = float(outline_clearance(driver.floor, driver.outline, track).min())
    duration_s = seconds(simulation.time_ns) - began_s
    return Trial(driver.done, contacts, at_fault, duration_s, length_m, route_m, clearance_m, min(gaps), track, np.array(twists))
