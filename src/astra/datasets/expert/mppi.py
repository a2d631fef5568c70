"""Local planning by sampling: model predictive path integral control (Williams et al., 2017) with everything known.

    u* = Σ_k w_k u_k,   w_k ∝ exp(-(S(u_k) - min S) / λ)

Samples are velocity targets around the last plan, smooth in time, and a few manoeuvres a person would think of (stop, turn, back out).
Targets are followed with limited acceleration and jerk, as by the robot. Costs S are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray
from astra.datasets.expert.outline import Outline
from astra.datasets.expert.route import Floor, TimeField
from astra.sim.robot import RobotConfig

_F = np.float32


@dataclass(frozen=True, slots=True)
class MppiConfig:
    """Horizon, sampling and the weights of the costs."""

    steps: int = 30
    step_s: float = 0.1
    samples: int = 320
    knot_steps: int = 5
    temperature_s: float = 0.06
    noise_mps: float = 0.25
    noise_radps: float = 0.55
    comfort_mps2: float = 0.65
    comfort_radps2: float = 2.0
    jerk_mps3: float = 3.0
    jerk_radps3: float = 10.0
    reverse_mps: float = 0.25
    lateral_mps2: float = 0.5
    near_m: float = 0.12  # clearance below which every second costs more
    near_weight: float = 6.0
    touch_m: float = 0.03  # a round robot's wheels stick out by so much
    touch_weight: float = 150.0
    speed_weight: float = 12.0
    reverse_weight: float = 4.0  # s per m driven backwards
    turn_weight: float = 0.8
    smooth_weight: float = 0.012
    person_m: float = 0.9  # clearance to a mover below which the robot slows down
    person_weight: float = 8.0
    person_gap_m: float = 0.30
    person_touch_weight: float = 40.0  # only while driving: who stands still is walked around

    def __post_init__(self) -> None:
        require(5 <= self.steps <= 200, "steps", self.steps, "between 5 and 200")
        require(0.02 <= self.step_s <= 0.5, "step_s", self.step_s, "between 0.02 and 0.5")
        require(32 <= self.samples <= 8192, "samples", self.samples, "between 32 and 8192")
        require(1 <= self.knot_steps <= self.steps, "knot_steps", self.knot_steps, "between 1 and steps")
        require(self.temperature_s > 0.0, "temperature_s", self.temperature_s, "positive")


@dataclass(frozen=True, slots=True)
class DriveState:
    """Where the robot is, how fast, and how hard it accelerates (world frame, SI units)."""

    x: float
    y: float
    yaw: float
    v: float = 0.0
    w: float = 0.0
    a: float = 0.0
    alpha: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The next few seconds: `poses` (T+1, 3) x, y, yaw from now on, `twists` (T+1, 2) v, w, `accelerations` (T+1, 2); steps of `step_s`.

    `clearance_m` is the least of the way, to solids and movers alike; `cost_s` is S of the plan.
    """

    poses: FloatArray
    twists: FloatArray
    accelerations: FloatArray
    step_s: float
    clearance_m: float
    cost_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Rollout:
    """(T, K) each: twists and accelerations at the end of every step, and the poses then."""

    v: Float32Array
    w: Float32Array
    a: Float32Array
    alpha: Float32Array
    x: Float32Array
    y: Float32Array
    yaw: Float32Array


class Mppi:
    """Samples, judges and averages; remembers its last plan. Deterministic for the generator it is given."""

    def __init__(self, floor: Floor, robot: RobotConfig, outline: Outline, rng: np.random.Generator, config: MppiConfig | None = None) -> None:
        self.config = c = config or MppiConfig()
        self._floor, self._outline, self._rng = floor, outline, rng
        reverse = min(c.reverse_mps, robot.max_linear_mps)
        self._low = np.array([-reverse, -robot.max_angular_radps], _F)[:, None]
        self._high = np.array([robot.max_linear_mps, robot.max_angular_radps], _F)[:, None]
        self._brake = min(c.comfort_mps2, robot.max_linear_mps2)
        self._accel = np.array([self._brake, min(c.comfort_radps2, robot.max_angular_radps2)], _F)[:, None]
        self._jerk = np.array([c.jerk_mps3, c.jerk_radps3], _F)[:, None] * _F(c.step_s)
        self._sigma = np.array([c.noise_mps, c.noise_radps], _F)[:, None]
        self._knots = math.ceil(c.steps / c.knot_steps) + 1
        places = np.arange(c.steps) / c.knot_steps
        self._blend = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(self._knots))).astype(_F)
        self._manoeuvres = self._make_manoeuvres()
        self._mean = np.zeros((c.steps, 2), _F)
        self._reverse_weight = c.reverse_weight

    def reset(self) -> None:
        """Forget the last plan."""
        self._mean[:] = 0.0

    def plan(
        self, state: DriveState, field: TimeField, movers: FloatArray | None = None, final_yaw: float | None = None, reverse_share: float = 1.0
    ) -> Plan:
        """The best way found from `state` down the time field.

        Args:
            state: now.
            field: time to the goal.
            movers: (T+1, M, 3) x, y, radius [m] of movers at the plan's steps, from now on.
            final_yaw: heading wanted at the goal [rad].
            reverse_share: of the usual dislike of driving backwards.
        """
        self._reverse_weight = self.config.reverse_weight * reverse_share
        self._mean[:-1] = self._mean[1:]
        targets = self._sample()
        rollout = self._roll(state, targets)
        cost, _ = self._cost(rollout, state, field, movers, final_yaw)
        best = int(np.argmin(cost))
        weights = np.exp((cost[best] - cost) / _F(self.config.temperature_s))
        weights /= weights.sum()
        candidates = np.stack([targets @ weights, targets[:, :, best]], axis=-1)
        rollout = self._roll(state, candidates)
        final, clearance = self._cost(rollout, state, field, movers, final_yaw)
        chosen = int(final[1] < final[0] - 0.02)
        self._mean = candidates[:, :, chosen].copy()
        return self._plan_of(state, rollout, chosen, float(clearance[:, chosen].min()), float(final[chosen]))

    def _sample(self) -> Float32Array:
        """Velocity targets (T, 2, K): the last plan, manoeuvres, and noise around the last plan."""
        c = self.config
        fixed = self._manoeuvres.shape[-1]
        count = c.samples - fixed - 1
        noise = self._rng.standard_normal((self._knots, 2, count), dtype=_F) * self._sigma
        noise[..., : count // 3] *= _F(0.3)  # some stay close, for a steady hand
        targets = np.empty((c.steps, 2, c.samples), _F)
        targets[:, :, 0] = self._mean
        targets[:, :, 1 : fixed + 1] = self._manoeuvres
        targets[:, :, fixed + 1 :] = np.tensordot(self._blend, noise, axes=1) + self._mean[:, :, None]
        np.clip(targets, self._low, self._high, out=targets)
        return targets

    def _make_manoeuvres(self) -> Float32Array:
        """(T, 2, J): constant twists, and backing out, then turning."""
        full, turn = float(self._high[0, 0]), float(self._high[1, 0])
        back = float(self._low[0, 0])
        steps = self.config.steps
        plans = [np.tile([v, w], (steps, 1)) for v in (back, 0.0, 0.5 * full, full) for w in (-turn, -0.4 * turn, 0.0, 0.4 * turn, turn)]
        for w in (-turn, turn):
            for first, (v, spin), (then_v, then_w) in (
                (steps // 3, (back, 0.0), (0.0, w)),
                (steps // 3, (back, 0.5 * w), (0.3 * full, w)),
                (steps // 2, (0.0, w), (full, 0.0)),
                (steps // 4, (0.0, w), (full, 0.0)),
            ):
                plan = np.tile([then_v, then_w], (steps, 1))
                plan[:first] = [v, spin]
                plans.append(plan)
        return np.stack(plans, axis=-1).astype(_F)

    def _roll(self, state: DriveState, targets: Float32Array) -> _Rollout:
        """Follow targets (T, 2, K) with limited acceleration and jerk; unicycle, midpoint rule."""
        steps, _, count = targets.shape
        dt = _F(self.config.step_s)
        velocity = np.empty((steps + 1, 2, count), _F)
        acceleration = np.empty((steps, 2, count), _F)
        velocity[0] = np.array([[state.v], [state.w]], _F)
        a = np.broadcast_to(np.array([[state.a], [state.alpha]], _F), (2, count))
        change = np.empty((2, count), _F)
        for t in range(steps):
            np.subtract(targets[t], velocity[t], out=change)
            change /= dt
            np.minimum(change, self._accel, out=change)
            np.maximum(change, -self._accel, out=change)
            change -= a
            np.minimum(change, self._jerk, out=change)
            np.maximum(change, -self._jerk, out=change)
            a = np.add(a, change, out=acceleration[t])
            np.multiply(a, dt, out=velocity[t + 1])
            velocity[t + 1] += velocity[t]
        np.clip(velocity[1:], self._low, self._high, out=velocity[1:])
        middle = (velocity[1:] + velocity[:-1]) * (_F(0.5) * dt)
        turned: Float32Array = np.cumsum(middle[:, 1], axis=0, dtype=_F)
        yaw = turned + _F(state.yaw)
        heading = yaw - _F(0.5) * middle[:, 1]
        x: Float32Array = np.cumsum(middle[:, 0] * np.cos(heading), axis=0, dtype=_F)
        y: Float32Array = np.cumsum(middle[:, 0] * np.sin(heading), axis=0, dtype=_F)
        x += _F(state.x)
        y += _F(state.y)
        return _Rollout(velocity[1:, 0], velocity[1:, 1], acceleration[:, 0], acceleration[:, 1], x, y, yaw)

    def _cost(
        self, r: _Rollout, state: DriveState, field: TimeField, movers: FloatArray | None, final_yaw: float | None
    ) -> tuple[Float32Array, Float32Array]:
        """S (K,) [s] of every rollout, and its clearance (T, K) [m]."""
        c, dt = self.config, _F(self.config.step_s)
        clearance = self._clearance(r)
        time = self._floor.interpolate(field.time_s.ravel(), r.x, r.y)
        allowed = self._floor.speeds.allowed(clearance, float(self._high[0, 0]))
        np.minimum(allowed, np.sqrt(_F(2.0 * self._brake * 0.7 * self._high[0, 0]) * np.maximum(time, 0.0) + _F(1e-4)), out=allowed)
        running = c.near_weight * np.maximum(_F(1.0) - clearance / _F(c.near_m), 0.0) ** 2
        running += self._touching(clearance, c.touch_weight)
        if movers is not None and movers.shape[1] > 0:
            beside, courtesy = self._beside_movers(r, movers)
            np.minimum(clearance, beside, out=clearance)
            running += courtesy
            running += self._touching(beside, c.person_touch_weight) * np.clip(np.abs(r.v) / _F(0.15), 0.1, 1.0)
            slow = np.clip(beside / _F(c.person_m), 0.1, 1.0) * self._high[0, 0]
            np.minimum(allowed, slow, out=allowed)
        running += c.speed_weight * np.maximum(np.abs(r.v) - allowed, 0.0) ** 2 / self._high[0, 0] ** 2
        running += self._reverse_weight * np.maximum(-r.v, 0.0)
        running += c.speed_weight * np.maximum(np.abs(r.v * r.w) - _F(c.lateral_mps2), 0.0) ** 2
        running += 0.05 * (r.w / self._high[1, 0]) ** 2
        cost = running.sum(axis=0) * dt
        cost += time[-1] + time.mean(axis=0)
        cost += c.smooth_weight * self._roughness(r, state)
        cost += self._turn_left(r, field, time[-1], final_yaw)
        return cost.astype(_F), clearance

    def _touching(self, room_m: Float32Array, weight: float) -> Float32Array:
        """The price (T, K) a second of touching something, the more the deeper."""
        short = (_F(self.config.touch_m) - room_m) / _F(0.05)
        price: Float32Array = _F(weight) * (np.clip(short, 0.0, 3.0) + _F(0.3) * (short > 0.0))
        return price

    def _clearance(self, r: _Rollout) -> Float32Array:
        """Room (T, K) between the outline and the nearest solid [m]."""
        if self._outline.is_round:
            return self._floor.distance_at(r.x, r.y) - _F(self._outline.radius_m)
        cos, sin = np.cos(r.yaw), np.sin(r.yaw)
        least = np.full(r.x.shape, np.inf, _F)
        for offset_x, offset_y, radius in self._outline.discs:
            x: Float32Array = (r.x + _F(offset_x) * cos - _F(offset_y) * sin).astype(_F)
            y: Float32Array = (r.y + _F(offset_x) * sin + _F(offset_y) * cos).astype(_F)
            np.minimum(least, self._floor.distance_at(x, y) - _F(radius), out=least)
        return least

    def _beside_movers(self, r: _Rollout, movers: FloatArray) -> tuple[Float32Array, Float32Array]:
        """Room (T, K) to the nearest mover [m], and the price (T, K) of coming close to one or of standing in its way."""
        c = self.config
        now, radius = movers[1:, :, :2].astype(_F), movers[1:, :, 2].astype(_F)
        step = (movers[1:, :, :2] - movers[:-1, :, :2]).astype(_F) * _F(0.8 / c.step_s)  # where it goes in the next 0.8 s
        square = np.maximum((step**2).sum(axis=-1), 1e-6)
        nearest = np.full(r.x.shape, np.inf, _F)
        price = np.zeros(r.x.shape, _F)
        half = _F(self._outline.reach_m)
        for m in range(now.shape[1]):
            dx, dy = r.x - now[:, m, 0, None], r.y - now[:, m, 1, None]
            gap = np.sqrt(dx * dx + dy * dy) - (radius[:, m, None] + half)
            np.minimum(nearest, gap, out=nearest)
            along = np.clip((dx * step[:, m, 0, None] + dy * step[:, m, 1, None]) / square[:, m, None], 0.0, 1.0)
            dx -= along * step[:, m, 0, None]
            dy -= along * step[:, m, 1, None]
            ahead = np.sqrt(dx * dx + dy * dy) - (radius[:, m, None] + half)
            price += np.maximum(_F(1.0) - ahead / _F(c.person_gap_m), 0.0) ** 2
            price += np.maximum(_F(1.0) - gap / _F(c.person_gap_m), 0.0) ** 2
        return nearest, _F(c.person_weight) * price

    def _roughness(self, r: _Rollout, state: DriveState) -> Float32Array:
        """Squared changes of acceleration over the rollout, relative to the limits; (K,)."""
        linear = np.diff(r.a, axis=0, prepend=_F(state.a)) / self._accel[0, 0]
        angular = np.diff(r.alpha, axis=0, prepend=_F(state.alpha)) / self._accel[1, 0]
        rough: Float32Array = (linear**2).sum(axis=0) + (angular**2).sum(axis=0)
        return rough

    def _turn_left(self, r: _Rollout, field: TimeField, time_left: Float32Array, final_yaw: float | None) -> Float32Array:
        """Time (K,) that turning into the way (or to the goal's heading) will still take at the rollout's end [s]."""
        x, y, yaw = r.x[-1], r.y[-1], r.yaw[-1]
        ahead = field.direction.reshape(-1, 2)[self._floor.flat_cells(x, y)]
        wanted = np.arctan2(ahead[:, 1], ahead[:, 0])
        error = np.abs(np.remainder(wanted - yaw + _F(math.pi), _F(2.0 * math.pi)) - _F(math.pi))
        far = np.clip(time_left - 0.3, 0.0, 1.0)
        cost = far * np.maximum(error - 0.15, 0.0)
        if final_yaw is not None:
            last = np.abs(np.remainder(_F(final_yaw) - yaw + _F(math.pi), _F(2.0 * math.pi)) - _F(math.pi))
            cost += (1.0 - far) * last
        turn: Float32Array = cost * _F(self.config.turn_weight / self._high[1, 0])
        return turn

    def _plan_of(self, state: DriveState, r: _Rollout, k: int, clearance_m: float, cost_s: float) -> Plan:
        now = np.array([[state.x, state.y, state.yaw]])
        poses = np.concatenate([now, np.stack([r.x[:, k], r.y[:, k], r.yaw[:, k]], axis=1)])
        twists = np.concatenate([[[state.v, state.w]], np.stack([r.v[:, k], r.w[:, k]], axis=1)])
        accelerations = np.concatenate([[[state.a, state.alpha]], np.stack([r.a[:, k], r.alpha[:, k]], axis=1)])
        return Plan(poses, twists, accelerations, self.config.step_s, clearance_m, cost_s)
