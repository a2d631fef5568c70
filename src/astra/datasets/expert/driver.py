"""The expert: drives to a goal with full knowledge of the floor and of everything that moves on it. For training drives, never on a robot."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError, NoPathError
from astra.core.types import FloatArray
from astra.datasets.expert.forecast import MoverForecast, NoMovers, WatchedMovers
from astra.datasets.expert.mppi import DriveState, Mppi, MppiConfig, Plan
from astra.datasets.expert.outline import Outline
from astra.datasets.expert.route import Floor, SpeedConfig, TimeField
from astra.datasets.expert.starts import outline_clearance
from astra.geometry import Pose2, wrap_angle
from astra.sim.robot import RobotConfig
from astra.sim.world import WorldTruth

ALONE_M = 2.0  # nobody nearer: it is not a person that one waits for
BACKING_OUT = 0.2  # of the dislike of driving backwards is left then


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """When a goal is reached, when a way is taken to be blocked, and the parts' own settings."""

    mppi: MppiConfig = field(default_factory=MppiConfig)
    speeds: SpeedConfig = field(default_factory=SpeedConfig)
    arrive_m: float = 0.12
    arrive_rad: float = 0.12
    hesitate_s: float = 1.5  # without progress for so long, the robot rather backs out, for `back_out_s`
    back_out_s: float = 4.0
    stuck_s: float = 6.0  # without progress for so long, the way is searched anew around what stands in it
    blocked_s: float = 30.0  # without progress for so long, the driver reports `blocked`
    movers_within_m: float = 5.0

    def __post_init__(self) -> None:
        require(0.02 <= self.arrive_m <= 0.5, "arrive_m", self.arrive_m, "between 0.02 and 0.5")
        require(0.02 <= self.arrive_rad <= 3.2, "arrive_rad", self.arrive_rad, "between 0.02 and 3.2")
        require(self.hesitate_s > 0.0, "hesitate_s", self.hesitate_s, "positive")
        require(0.0 < self.stuck_s < self.blocked_s, "stuck_s", self.stuck_s, "positive, below blocked_s")


class Phase(StrEnum):
    """What the driver is doing."""

    IDLE = "idle"
    DRIVING = "driving"
    TURNING = "turning"  # at the goal, into its heading
    DONE = "done"


class ExpertDriver:
    """Drives one robot through one world; replans at 10 Hz, answers at any rate. Deterministic for the generator it is given.

    Args:
        truth: the world.
        robot: its limits and outline.
        rng: draws the planner's samples.
        movers: what else moves.
        config: settings.
        floor: a `Floor` made before for the same world and robot, which is costly to make.
    """

    def __init__(
        self,
        truth: WorldTruth,
        robot: RobotConfig,
        rng: np.random.Generator,
        movers: MoverForecast | None = None,
        config: ExpertConfig | None = None,
        floor: Floor | None = None,
    ) -> None:
        self.config = config or ExpertConfig()
        self.robot, self.outline = robot, outline_of(robot)
        self.floor = floor or floor_for(truth, robot, self.config.speeds)
        self.movers = movers or NoMovers()
        self._watched = WatchedMovers(self.movers)
        self._mppi = Mppi(self.floor, robot, self.outline, rng, self.config.mppi)
        self.phase = Phase.IDLE
        self._field: TimeField | None = None
        self._goal: Pose2 | None = None
        self._keep_yaw = False
        self._plan: Plan | None = None
        self._planned_at_s = -math.inf
        self._best_time_s, self._best_at_s, self._replanned_at_s = math.inf, -math.inf, -math.inf
        self._backs_out_until_s = -math.inf
        self._blocked = False

    @property
    def goal(self) -> Pose2 | None:
        """Where to; None before the first."""
        return self._goal

    @property
    def done(self) -> bool:
        """Whether the goal is reached."""
        return self.phase is Phase.DONE

    @property
    def blocked(self) -> bool:
        """Whether there has been no progress for long; the goal had better be given up."""
        return self._blocked

    @property
    def route(self) -> FloatArray:
        """The way (N, 2) from the robot to the goal, as of the last plan."""
        if self._field is None or self._plan is None:
            return np.zeros((0, 2))
        x, y, _ = self._plan.poses[0].tolist()
        return self.floor.route(self._field, x, y)

    @property
    def time_left_s(self) -> float:
        """Driving time to the goal, as of the last plan; infinite before the first."""
        if self._field is None or self._plan is None:
            return math.inf
        return self._time_at(self._field, float(self._plan.poses[0, 0]), float(self._plan.poses[0, 1]))

    @property
    def plan_ahead(self) -> Plan:
        """What the driver means to do next, with speeds.

        Raises:
            AstraError: before the first command.
        """
        if self._plan is None:
            raise AstraError("the expert has not planned yet")
        return self._plan

    @property
    def planned(self) -> FloatArray:
        """Poses (T, 3) x, y, yaw in the world frame at steps of 0.1 s from the last plan's instant on: what imitation should copy."""
        return self.plan_ahead.poses

    @property
    def planned_at_s(self) -> float:
        """When the last plan was made, on the simulated clock; −inf before the first."""
        return self._planned_at_s

    def plan(self, goal: Pose2, keep_yaw: bool = True) -> None:
        """Set out for a goal; its heading counts only if `keep_yaw`.

        Raises:
            NoPathError: there is no room at the goal.
        """
        self._field, self._goal, self._keep_yaw = self.floor.time_to(goal), goal, keep_yaw
        self.phase, self._blocked = Phase.DRIVING, False
        self._best_time_s, self._best_at_s, self._replanned_at_s = math.inf, -math.inf, -math.inf
        self._backs_out_until_s = -math.inf
        self._planned_at_s = -math.inf

    def command(self, pose: Pose2, velocity: tuple[float, float], time_s: float) -> tuple[float, float]:
        """The twist (v, w) to drive with now.

        Args:
            pose: true pose of base_link in the world.
            velocity: true (v, w).
            time_s: simulated time, the clock of the movers.

        Raises:
            NoPathError: the goal cannot be reached from where the robot is when it sets out.
        """
        if self._field is None or self._goal is None or self.phase in (Phase.IDLE, Phase.DONE):
            return 0.0, 0.0
        step = self.config.mppi.step_s
        if time_s >= self._planned_at_s + step - 1e-6:
            self._arrive(pose, self._goal)
            if not self.done:
                self._replan(pose, velocity, time_s, self._field)
        if self._plan is None or self.done:
            return 0.0, 0.0
        share = min(max((time_s - self._planned_at_s) / step + 0.2, 0.0), 1.0)
        v, w = self._plan.twists[0] + share * (self._plan.twists[1] - self._plan.twists[0])
        return float(v), float(w)

    # --- stages -------------------------------------------------------------------------------------------------------------------

    def _arrive(self, pose: Pose2, goal: Pose2) -> None:
        if self.phase is Phase.DRIVING and pose.distance_to(goal) < self.config.arrive_m:
            self.phase = Phase.TURNING if self._keep_yaw else Phase.DONE
        if self.phase is Phase.TURNING:
            if pose.distance_to(goal) > 1.6 * self.config.arrive_m:
                self.phase = Phase.DRIVING  # pushed away, or slid
            elif abs(wrap_angle(goal.yaw - pose.yaw)) < self.config.arrive_rad:
                self.phase = Phase.DONE

    def _replan(self, pose: Pose2, velocity: tuple[float, float], time_s: float, towards: TimeField) -> None:
        state = self._state(pose, velocity)
        if self.phase is Phase.TURNING and self._goal is not None:
            self._plan = self._turn(state, self._goal.yaw)
            if self._plan is None:
                self.phase = Phase.DONE
        else:
            movers = self._movers_near(pose, time_s)
            self._watch(pose, time_s, movers)
            final = self._goal.yaw if self._keep_yaw and self._goal is not None else None
            self._plan = self._mppi.plan(state, self._field or towards, movers, final, BACKING_OUT if time_s < self._backs_out_until_s else 1.0)
        self._planned_at_s = time_s

    def _turn(self, state: DriveState, yaw: float) -> Plan | None:
        """A turn on the spot to a heading, the short way or else the long one; None if a long outline has no room for either."""
        for long_way in (False, True):
            plan = turn_plan(state, yaw, self.robot, self.config.mppi, long_way)
            if self.outline.is_round or outline_clearance(self.floor, self.outline, plan.poses).min() > self.config.mppi.touch_m:
                return plan
        return None

    def _state(self, pose: Pose2, velocity: tuple[float, float]) -> DriveState:
        """The robot's state: as last planned where the wheels follow, as measured after a push."""
        v, w = velocity
        a = alpha = 0.0
        if self._plan is not None:
            meant_v, meant_w = self._plan.twists[1].tolist()
            if abs(meant_v - v) < 0.08 and abs(meant_w - w) < 0.25:
                v, w = meant_v, meant_w
                a, alpha = self._plan.accelerations[1].tolist()
        return DriveState(pose.x, pose.y, pose.yaw, v, w, a, alpha)

    def _movers_near(self, pose: Pose2, time_s: float) -> FloatArray:
        """Movers (T+1, M, 3) that could matter within the horizon."""
        c = self.config.mppi
        times: FloatArray = time_s + c.step_s * np.arange(c.steps + 1, dtype=np.float64)
        ahead = self._watched.ahead(times)
        if ahead.shape[1] == 0:
            return ahead
        away = np.hypot(ahead[..., 0] - pose.x, ahead[..., 1] - pose.y).min(axis=0)
        return ahead[:, away < self.config.movers_within_m]

    def _watch(self, pose: Pose2, time_s: float, movers: FloatArray) -> None:
        """Notice a lack of progress; search a way around what stands in it."""
        assert self._field is not None and self._goal is not None
        left = self._time_at(self._field, pose.x, pose.y)
        if not math.isfinite(self._best_at_s):
            self.floor.route(self._field, pose.x, pose.y)
        if left < self._best_time_s - 0.3 or not math.isfinite(self._best_at_s):
            self._best_time_s, self._best_at_s = left, time_s
        since = time_s - self._best_at_s
        self._blocked = since > self.config.blocked_s
        alone = not (np.hypot(movers[0, :, 0] - pose.x, movers[0, :, 1] - pose.y) < ALONE_M).any()
        if alone and since > self.config.hesitate_s and time_s >= self._backs_out_until_s:
            self._backs_out_until_s = time_s + self.config.back_out_s
        if since > self.config.stuck_s and time_s - self._replanned_at_s > self.config.stuck_s:
            self._replanned_at_s = time_s
            moved = np.hypot(*(movers[-1, :, :2] - movers[0, :, :2]).T)
            standing = movers[0][moved < 0.2]
            try:
                around = self.floor.time_to(self._goal, standing)
            except NoPathError:
                return  # somebody stands on the goal: wait
            if around.passable[self.floor.cell(pose.x, pose.y)]:
                self._field = around
                self._best_time_s = self._time_at(around, pose.x, pose.y)

    def _time_at(self, towards: TimeField, x: float, y: float) -> float:
        return float(self.floor.interpolate(towards.time_s.ravel(), np.array([x], np.float32), np.array([y], np.float32))[0])


def turn_plan(state: DriveState, yaw: float, robot: RobotConfig, config: MppiConfig, long_way: bool = False) -> Plan:
    """A plan that stops and turns on the spot to a heading, slower as it gets there; the long way round if so wanted."""
    rows, (v, w) = [[state.x, state.y, state.yaw]], (state.v, state.w)
    twists, accelerations = [[v, w]], [[state.a, state.alpha]]
    x, y, heading = rows[0]
    dt, room = config.step_s, min(config.comfort_radps2, robot.max_angular_radps2)
    brake = min(config.comfort_mps2, robot.max_linear_mps2)
    target = heading + wrap_angle(yaw - heading)
    if long_way:
        target -= math.copysign(2.0 * math.pi, target - heading)
    for _ in range(config.steps):
        error = target - heading
        wanted = math.copysign(min(0.8 * robot.max_angular_radps, math.sqrt(1.0 * room * abs(error)), 2.5 * abs(error) + 0.05), error)
        alpha = min(max((wanted - w) / dt, -room), room)
        a = min(max(-v / dt, -brake), brake)
        middle_v, middle_w = v + 0.5 * a * dt, w + 0.5 * alpha * dt
        x += middle_v * dt * math.cos(heading + 0.5 * middle_w * dt)
        y += middle_v * dt * math.sin(heading + 0.5 * middle_w * dt)
        heading += middle_w * dt
        v, w = v + a * dt, w + alpha * dt
        rows.append([x, y, heading])
        twists.append([v, w])
        accelerations.append([a, alpha])
    return Plan(np.array(rows), np.array(twists), np.array(accelerations), dt, math.inf, 0.0)


def outline_of(robot: RobotConfig) -> Outline:
    """The discs that cover a robot."""
    if not robot.footprint:
        return Outline.disc(robot.radius_m)
    body, wheels = Outline.rectangle(robot.half_length_m, robot.half_width_m), robot.wheels
    return Outline((*body.discs, *((0.0, side * wheels.track_m / 2, wheels.radius_m) for side in (-1, 1))), body.radius_m)


def floor_for(truth: WorldTruth, robot: RobotConfig, speeds: SpeedConfig | None = None) -> Floor:
    """The floor of a world for a robot; may be shared by drivers."""
    outline = outline_of(robot)
    return Floor(truth.free, truth.resolution_m, truth.origin_xy, outline.radius_m, robot.max_linear_mps, speeds, outline.reach_m)
