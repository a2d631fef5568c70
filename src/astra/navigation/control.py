"""Regulated pure pursuit: follows a path with the speed that its curvature, the obstacles and its end allow (Macenski et al., 2023).

What Nav2's RPP does, on our own types: lookahead by speed, curvature regulation, proximity regulation, rotation to the path's heading,
slow approach; then kinematic and acceleration limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray
from astra.geometry.se2 import Pose2, wrap_angle
from astra.navigation.polyline import arc_lengths, point_along, project


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """Speeds, lookahead and limits of `RegulatedPurePursuit`."""

    desired_linear_vel: float = 0.55  # m/s
    max_angular_vel: float = 1.2  # rad/s
    max_linear_accel: float = 0.7  # m/s²
    max_linear_decel: float = 0.8
    max_angular_accel: float = 2.3  # rad/s²
    lookahead_time: float = 1.2  # s
    min_lookahead_dist: float = 0.30  # m
    max_lookahead_dist: float = 0.80
    rotate_to_heading_min_angle: float = 0.785  # rad: the path leaves in another direction: turn on the spot
    rotate_to_heading_done_angle: float = 0.20
    rotate_to_heading_angular_vel: float = 1.0
    regulated_min_radius: float = 0.9  # m: tighter curves are driven slower
    regulated_min_speed: float = 0.12
    cost_scaling_dist: float = 0.45  # m of clearance below which speed falls
    approach_dist: float = 0.6  # m before the path's end
    min_approach_vel: float = 0.06

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and 0.0 < value <= 20.0, name, value, "> 0 and ≤ 20")
        require(self.min_lookahead_dist <= self.max_lookahead_dist, "min_lookahead_dist", self.min_lookahead_dist, "at most max_lookahead_dist")
        require(
            self.rotate_to_heading_done_angle < self.rotate_to_heading_min_angle,
            "rotate_to_heading_done_angle",
            self.rotate_to_heading_done_angle,
            "less than rotate_to_heading_min_angle",
        )


class ControlMode(StrEnum):
    """What the controller is doing."""

    FOLLOW = "follow"
    ROTATE_TO_PATH = "rotate_to_path"
    ROTATE_TO_GOAL = "rotate_to_goal"
    ARRIVED = "arrived"


@dataclass(frozen=True, slots=True)
class Command:
    """A body velocity; `remaining_m` is the path length still to go."""

    linear_mps: float
    angular_radps: float
    mode: ControlMode = ControlMode.FOLLOW
    remaining_m: float = 0.0

    def is_finite(self) -> bool:
        """Whether both speeds are finite."""
        return math.isfinite(self.linear_mps) and math.isfinite(self.angular_radps)


STOP = Command(0.0, 0.0, ControlMode.ARRIVED)


class RegulatedPurePursuit:
    """Follows one path at a time. `set_path` may be called at any rate; the last command's speed is carried over."""

    def __init__(self, config: ControlConfig | None = None, goal_tolerance_m: float = 0.25, yaw_tolerance_rad: float = 0.25) -> None:
        self.config = config or ControlConfig()
        self.goal_tolerance_m = goal_tolerance_m
        self.yaw_tolerance_rad = yaw_tolerance_rad
        self._line: FloatArray = np.zeros((1, 2))
        self._end_yaw = 0.0
        self._arc_m = 0.0
        self._rotating = False
        self._at_goal = False

    def set_path(self, poses: FloatArray) -> None:
        """Follow the poses (K, 3) of x, y, yaw from now on, in the frame of the poses given to `command`."""
        self._line = np.asarray(poses[:, :2], dtype=np.float64)
        self._end_yaw = float(poses[-1, 2])
        self._arc_m = 0.0
        self._at_goal = False

    def remaining_m(self, pose: Pose2) -> float:
        """Length of the path still to go, plus the distance to it [m]."""
        arc, offset = self._project(pose)
        return float(arc_lengths(self._line)[-1]) - arc + offset

    def command(self, pose: Pose2, velocity: tuple[float, float], dt_s: float, clearance_m: float = math.inf, speed_limit_mps: float = math.inf) -> Command:
        """The velocity for the next `dt_s` seconds.

        Args:
            pose: the robot in the path's frame.
            velocity: the last commanded (linear, angular) [m/s, rad/s], from which acceleration is limited.
            clearance_m: free distance around the outline now.
            speed_limit_mps: from outside (`/speed_limit`).
        """
        config = self.config
        self._arc_m, offset = self._project(pose)
        remaining = float(arc_lengths(self._line)[-1]) - self._arc_m
        to_end = math.hypot(self._line[-1, 0] - pose.x, self._line[-1, 1] - pose.y)
        # Once within the tolerance the position is good, even if turning on the spot shifts it a little.
        self._at_goal = to_end <= self.goal_tolerance_m and (self._at_goal or remaining <= 2.0 * self.goal_tolerance_m)
        if self._at_goal:
            error = wrap_angle(self._end_yaw - pose.yaw)
            if abs(error) <= self.yaw_tolerance_rad:
                return STOP
            return self._limited(0.0, self._turn_speed(error), velocity, dt_s, ControlMode.ROTATE_TO_GOAL, remaining)
        target = self._carrot(pose, velocity[0])
        ahead = pose.inverse().apply(target)
        bearing = math.atan2(ahead[1], ahead[0])
        threshold = config.rotate_to_heading_done_angle if self._rotating else config.rotate_to_heading_min_angle
        self._rotating = abs(bearing) > threshold
        if self._rotating:
            return self._limited(0.0, self._turn_speed(bearing), velocity, dt_s, ControlMode.ROTATE_TO_PATH, remaining)
        curvature = 2.0 * float(ahead[1]) / max(float(ahead @ ahead), 1e-4)
        speed = self._regulated(curvature, clearance_m, remaining + offset, speed_limit_mps)
        return self._limited(speed, speed * curvature, velocity, dt_s, ControlMode.FOLLOW, remaining)

    def _project(self, pose: Pose2) -> tuple[float, float]:
        """Arc length reached and distance from the path; only the stretch near the last place is searched, so that loops are driven whole."""
        return project(self._line, np.array([pose.x, pose.y]), max(0.0, self._arc_m - 0.3), self._arc_m + 1.5)

    def _carrot(self, pose: Pose2, speed_mps: float) -> FloatArray:
        """The point of the path at the lookahead distance from the robot, extended straight beyond the path's end."""
        config = self.config
        reach = min(max(abs(speed_mps) * config.lookahead_time, config.min_lookahead_dist), config.max_lookahead_dist)
        total = float(arc_lengths(self._line)[-1])
        wanted = self._arc_m + reach
        point = point_along(self._line, wanted)
        if wanted > total and len(self._line) > 1:
            # Near the end the carrot runs past it, so that the robot does not swerve at the last moment.
            back = self._line[-1] - point_along(self._line, total - 0.2)
            length = float(np.hypot(*back))
            if length > 1e-6:
                point = self._line[-1] + back / length * (wanted - total)
        return point

    def _turn_speed(self, error_rad: float) -> float:
        """Turn towards zero error, slowing so as to stop there at the angular acceleration limit."""
        speed = min(self.config.rotate_to_heading_angular_vel, self.config.max_angular_vel, math.sqrt(1.6 * self.config.max_angular_accel * abs(error_rad)))
        return math.copysign(max(speed, 0.15), error_rad)

    def _regulated(self, curvature: float, clearance_m: float, remaining_m: float, speed_limit_mps: float) -> float:
        """The linear speed that curvature, closeness and the approach to the end allow."""
        config = self.config
        speed = min(config.desired_linear_vel, speed_limit_mps)
        regulated = speed
        radius = 1.0 / max(abs(curvature), 1e-6)
        if radius < config.regulated_min_radius:
            regulated = min(regulated, speed * radius / config.regulated_min_radius)
        if clearance_m < config.cost_scaling_dist:
            regulated = min(regulated, speed * max(clearance_m, 0.0) / config.cost_scaling_dist)
        speed = min(speed, max(regulated, config.regulated_min_speed))
        if remaining_m < config.approach_dist:
            speed = min(speed, max(config.desired_linear_vel * remaining_m / config.approach_dist, config.min_approach_vel))
        if abs(curvature) * speed > config.max_angular_vel:
            speed = config.max_angular_vel / abs(curvature)
        return max(speed, 0.0)

    def _limited(self, linear: float, angular: float, before: tuple[float, float], dt_s: float, mode: ControlMode, remaining_m: float) -> Command:
        """Keep to the acceleration limits; a curve keeps its shape while the speed ramps."""
        config = self.config
        v = ramp(before[0], linear, config.max_linear_accel * dt_s, config.max_linear_decel * dt_s)
        if mode is ControlMode.FOLLOW and abs(linear) > 1e-6:
            angular *= v / linear
        angular = min(max(angular, -config.max_angular_vel), config.max_angular_vel)
        w = ramp(before[1], angular, config.max_angular_accel * dt_s, config.max_angular_accel * dt_s)
        return Command(v, w, mode, remaining_m)


def ramp(before: float, wanted: float, up: float, down: float) -> float:
    """The value nearest to `wanted` reachable from `before`: by `up` away from zero, by `down` towards it."""
    if wanted == before:
        return wanted
    towards_zero = before != 0.0 and (wanted - before) * before < 0.0
    step = down if towards_zero else up
    if towards_zero and wanted * before < 0.0:
        step = min(step, abs(before)) if abs(before) > 1e-9 else step  # stop first, then go the other way
    return before + math.copysign(min(abs(wanted - before), step), wanted - before)
