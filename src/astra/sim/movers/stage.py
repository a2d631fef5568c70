"""All movers of a world in the physics: where each one is, how its legs stand, and that nobody walks into the robot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import BoolArray, FloatArray, IntArray
from astra.sim.movers.bodies import DISCS, HIP_SPREAD_M, hip_m, operator_x_m
from astra.sim.movers.mover import Mover

AHEAD_M = 0.5  # of a mover's way that must be clear of the robot
MARGIN_M = 0.1
PATIENCE_S, STEP_BACK_S = 10.0, 4.0  # who has waited that long steps back, so that two who meet in a narrow aisle do not stand for ever
HALF_STRIDE_M, SWING_RAD = 0.65, 0.45


class MoverSet:
    """The movers' present: each has its own clock, which stands still while the robot is in its way.

    Args:
        model: an MjModel compiled from a scene that holds the bodies of `movers_xml`; None where nobody is looked at, only `advance`d.
        movers: the same movers.
        robot_radius_m: what a mover keeps clear of, about the robot's position.

    Raises:
        BadInputError: the scene lacks a mover's body.
    """

    def __init__(self, model: Any, movers: tuple[Mover, ...], robot_radius_m: float = 0.3) -> None:
        self.movers = movers
        parts = ("body", "left", "right") if model is not None else ()
        self._mocaps = [np.array([_mocap(model, m, part) for m in movers], dtype=np.int64) for part in parts]
        self._hip_x = np.array([operator_x_m(m.kind) for m in movers])
        self._hip_z = np.array([hip_m(m.height_m) for m in movers])
        self._reach = np.array([m.radius_m + robot_radius_m + MARGIN_M for m in movers])
        self._look_s = np.array([AHEAD_M / max(m.top_speed_mps, 0.1) for m in movers])
        self._timetable = _Timetable(movers)
        self._time_s = 0.0
        self.reset(0.0)

    def reset(self, time_s: float, robot_xy: tuple[float, float] | None = None) -> None:
        """Start anew at a time; who would stand where the robot is begins at the next place of its loop that is clear of it."""
        self._time_s = time_s
        self._own = np.full(len(self.movers), float(time_s))
        self._direction = np.ones(len(self.movers))
        self._waited, self._back_left = np.zeros(len(self.movers)), np.zeros(len(self.movers))
        self._blocked = np.zeros(len(self.movers), bool)
        self._xy = self._timetable.at(self._own)[:, :2]
        if robot_xy is None or not self.movers:
            return
        later = np.arange(0.0, max(m.period_s for m in self.movers), 0.5)
        places = self._timetable.at(self._own[:, None] + later)[..., :2]
        clear = np.linalg.norm(places - np.array(robot_xy), axis=-1) > (self._reach + AHEAD_M)[:, None]
        self._own += np.where(clear.any(axis=1), later[clear.argmax(axis=1)], 0.0)
        self._xy = self._timetable.at(self._own)[:, :2]

    def apply(self, data: Any, time_s: float, robot_xy: tuple[float, float] | None = None) -> None:
        """Move everyone on to a time and write it into `data.mocap_pos` and `data.mocap_quat`.

        Args:
            data: the MjData.
            time_s: now; earlier than before starts anew.
            robot_xy: where the robot is [m]; None if nobody needs to mind it.
        """
        if not self.movers:
            return
        now = self.advance(time_s, robot_xy)
        body, left, right = self._mocaps
        yaw, swing = now[:, 2], SWING_RAD * np.sin(math.pi * now[:, 3])
        upright = np.zeros(len(yaw))
        data.mocap_pos[body, :2] = now[:, :2]
        data.mocap_quat[body] = _quaternions(yaw, upright)
        c, s = np.cos(yaw), np.sin(yaw)
        for ids, side in ((left, 1.0), (right, -1.0)):
            hip_y = side * HIP_SPREAD_M
            data.mocap_pos[ids, 0] = now[:, 0] + c * self._hip_x - s * hip_y
            data.mocap_pos[ids, 1] = now[:, 1] + s * self._hip_x + c * hip_y
            data.mocap_pos[ids, 2] = self._hip_z
            data.mocap_quat[ids] = _quaternions(yaw, side * swing)

    def advance(self, time_s: float, robot_xy: tuple[float, float] | None = None) -> FloatArray:
        """Move everyone on to a time: (M, 4) x, y [m], yaw [rad] and half strides; earlier than before starts anew."""
        if time_s < self._time_s:
            self.reset(time_s, robot_xy)
        self._advance(time_s - self._time_s, robot_xy)
        self._time_s = time_s
        now = self._timetable.at(self._own)
        self._xy = now[:, :2]
        return now

    def predict(self, times_s: FloatArray) -> FloatArray:
        """(M, T, 3): x, y [m], yaw [rad] of everyone at times (T,) from now on, if nobody has to wait."""
        ahead = np.maximum(np.asarray(times_s, dtype=np.float64) - self._time_s, 0.0)[None, :]
        back = np.where(self._direction < 0, self._back_left, 0.0)[:, None]
        poses: FloatArray = self._timetable.at(self._own[:, None] + ahead - 2.0 * np.minimum(ahead, back))[..., :3]
        return poses

    def positions(self, times_s: FloatArray) -> FloatArray:
        """(T, D, 3): x, y, radius [m] of the discs that cover everyone, carts by several, at times (T,) from now on, if nobody has to wait."""
        poses = self.predict(times_s)
        discs = [(k, along, radius) for k, m in enumerate(self.movers) for along, radius in DISCS[m.kind]]
        who, along_m, radius_m = np.array([d[0] for d in discs], dtype=np.int64), np.array([d[1] for d in discs]), np.array([d[2] for d in discs])
        x, y, yaw = (poses[who, :, k].T for k in range(3))
        return np.stack([x + along_m * np.cos(yaw), y + along_m * np.sin(yaw), np.broadcast_to(radius_m, x.shape)], axis=-1)

    def states(self, time_s: float) -> FloatArray:
        """(M, 6): x, y [m], yaw [rad], vx, vy [m/s], turning rate [rad/s] at a time from now on; who waits at present has no velocity."""
        tick = 0.02
        both = self.predict(np.array([time_s, time_s + tick]))
        rate = np.where(self._blocked[:, None], 0.0, (both[:, 1] - both[:, 0]) / tick)
        return np.concatenate([both[:, 0], rate], axis=1)

    def _advance(self, elapsed_s: float, robot_xy: tuple[float, float] | None) -> None:
        """Let every clock run by the elapsed time, but for those whose way is blocked; the impatient step back for a while."""
        self._blocked = self._is_blocked(robot_xy)
        self._waited = np.where(self._blocked, self._waited + elapsed_s, 0.0)
        self._own += np.where(self._blocked, 0.0, self._direction * elapsed_s)
        self._back_left = np.where(self._direction < 0, self._back_left - elapsed_s, 0.0)
        tired = self._waited > PATIENCE_S
        self._direction = np.where(tired, -self._direction, np.where(self._back_left <= 0.0, 1.0, self._direction))
        self._back_left = np.where(tired & (self._direction < 0), STEP_BACK_S, self._back_left)
        self._waited[tired] = 0.0

    def _is_blocked(self, robot_xy: tuple[float, float] | None) -> BoolArray:
        """(M,) whether the next `AHEAD_M` of a mover's way leads nearer to a robot that is within its reach."""
        nobody = np.zeros(len(self.movers), bool)
        if robot_xy is None:
            return nobody
        away = np.hypot(self._xy[:, 0] - robot_xy[0], self._xy[:, 1] - robot_xy[1])
        if (away > self._reach + 2.0 * AHEAD_M).all():
            return nobody
        fractions = np.linspace(0.0, 1.0, 6)
        way = self._timetable.at(self._own[:, None] + (self._direction * self._look_s)[:, None] * fractions)[..., :2]
        distance = np.linalg.norm(way - np.array(robot_xy), axis=-1)
        near = (distance[:, 1:] < self._reach[:, None]) & (distance[:, 1:] < distance[:, :1] - 1e-3)
        blocked: BoolArray = near.any(axis=1)
        return blocked


class _Timetable:
    """The knots of all movers in one sorted row, so that one search finds everybody's place."""

    def __init__(self, movers: tuple[Mover, ...]) -> None:
        self._period = np.array([m.period_s for m in movers])
        self._phase = np.array([m.phase_s for m in movers])
        self._start = 2.0 * float(self._period.max(initial=0.0)) * np.arange(len(movers))
        parts = [np.column_stack([m.knots, _half_strides(m.knots)]) for m in movers]
        self._rows = np.concatenate(parts) if parts else np.zeros((0, 5))
        self._keys = np.concatenate([p[:, 0] + start for p, start in zip(parts, self._start)]) if parts else np.zeros(0)
        self._last = np.cumsum([len(p) for p in parts], dtype=np.int64) - 1

    def at(self, own_s: FloatArray) -> FloatArray:
        """(M, …, 4): x, y, yaw and half strides since the last stop, at everybody's own times (M, …)."""
        shape = (-1,) + (1,) * (own_s.ndim - 1)
        local = (own_s + self._phase.reshape(shape)) % self._period.reshape(shape)
        after: IntArray = np.searchsorted(self._keys, local + self._start.reshape(shape), side="right")
        after = np.minimum(after, self._last.reshape(shape))
        before, behind = self._rows[after - 1], self._rows[after]
        part = (local - before[..., 0]) / (behind[..., 0] - before[..., 0])
        found: FloatArray = before[..., 1:] + part[..., None] * (behind[..., 1:] - before[..., 1:])
        return found


def _half_strides(knots: FloatArray) -> FloatArray:
    """(K,) steps taken up to each knot, a whole number of them between two stops, so that whoever stands has both feet together."""
    lengths = np.hypot(*np.diff(knots[:, 1:3], axis=0).T)
    walks = lengths > 1e-6
    steps = np.zeros(len(lengths))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], walks, [False]]).astype(int)))
    for first, end in edges.reshape(-1, 2):
        total = lengths[first:end].sum()
        steps[first:end] = lengths[first:end] / total * max(1, round(total / HALF_STRIDE_M))
    strides: FloatArray = np.concatenate([[0.0], np.cumsum(steps)])
    return strides


def _quaternions(yaw: FloatArray, pitch: FloatArray) -> FloatArray:
    """(M, 4) w x y z of a turn by `yaw` about z after one by `pitch` about y."""
    cz, sz, cy, sy = np.cos(yaw / 2), np.sin(yaw / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    return np.stack([cz * cy, -sz * sy, cz * sy, sz * cy], axis=1)


def _mocap(model: Any, mover: Mover, part: str) -> int:
    name = f"mover/{mover.name}/{part}"
    try:
        return int(model.body(name).mocapid[0])
    except KeyError as error:
        raise BadInputError(f"the scene has no body {name!r} for the mover {mover.name!r}") from error
