"""Trajectories pushed clear of what the maps show: the ESDF reward once more, on the robot, where the scene is no longer a guess.

A few damped Gauss-Newton steps on max(0, wanted − clearance) over the lengths and turns of each trajectory's arcs: what lies clear is left as it was
drawn, and wheels can still do what comes out. The network proposes where to go, this decides nothing but by how many centimetres things are missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, Float32Array, FloatArray
from astra.local_model.planning.config import MapConfig

_SPREAD = (0.03, 0.06)  # of a change of a step's length [m] and turn [rad] that costs as much as a missing 0.1 m of room
_ROOM_M = 0.1


@dataclass(frozen=True, slots=True)
class ClearingConfig:
    """How far things are missed, and how hard it is tried."""

    wanted_m: float = 0.1
    rounds: int = 4  # 0: trajectories stay as they were drawn
    least_share: float = 0.5  # of a step's length that is left: what has to stop altogether is not this one's to decide
    max_linear_mps: float = 0.6
    max_angular_radps: float = 1.2

    def __post_init__(self) -> None:
        require(0 <= self.rounds <= 50, "rounds", self.rounds, "between 0 and 50")
        require(0.0 <= self.least_share <= 1.0, "least_share", self.least_share, "in [0, 1]")
        for name in ("wanted_m", "max_linear_mps", "max_angular_radps"):
            require(0.0 <= getattr(self, name) < 10.0, name, getattr(self, name), "between 0 and 10")


class Clearing:
    """Pushes trajectories over maps of one form.

    Args:
        maps: of the clearance.
        steps: of a trajectory.
        step_s: between its poses.
        config: see there.
    """

    def __init__(self, maps: MapConfig, steps: int, step_s: float, config: ClearingConfig | None = None) -> None:
        self.config, self._maps, self._step_s = config or ClearingConfig(), maps, step_s
        at = np.interp(0.5 * step_s * np.arange(1, 2 * steps + 1), maps.moments_s, np.arange(len(maps.moments_s)))
        pairs = list(zip(np.floor(at).astype(int).tolist(), np.ceil(at).astype(int).tolist()))
        self._fields = list(dict.fromkeys(pairs))  # between two moments who moves is taken to be at either
        self._field = np.array([self._fields.index(pair) for pair in pairs])
        # Points halfway to and at each pose, as the mean of the poses around them.
        halves = 0.5 * (np.eye(steps) + np.eye(steps, k=-1))
        self._points = np.stack([halves, np.eye(steps)], axis=1).reshape(2 * steps, steps)
        self._price = np.repeat(_ROOM_M / np.array(_SPREAD), steps) ** 2

    def __call__(self, poses: FloatArray, maps: Float32Array) -> FloatArray:
        """Trajectories (K, T, 3) as near as may be to those given, clear of what the maps (M + 1, Y, X) show."""
        before = np.concatenate([np.zeros_like(poses[:, :1]), poses[:, :-1]], axis=1)
        moved, turns = poses[..., :2] - before[..., :2], poses[..., 2] - before[..., 2]
        along = before[..., 2] + 0.5 * turns
        drawn = moved[..., 0] * np.cos(along) + moved[..., 1] * np.sin(along)
        fields = np.stack([np.minimum(maps[a], maps[b]) for a, b in self._fields]) * np.float32(self._maps.cap_m)
        first = np.concatenate([drawn, turns], axis=1)
        wanted, out = first.copy(), poses
        for _ in range(self.config.rounds):
            out = _placed(wanted)
            room, slope = self._room(fields, out)
            lack = np.maximum(self.config.wanted_m - room, 0.0)
            busy = np.flatnonzero(lack.max(axis=1) > 0.005)
            if not len(busy):
                return out
            rows = self._rows(wanted[busy], out[busy], slope[busy] * (lack[busy] > 0.0)[..., None])
            pull = np.einsum("kpu,kp->ku", rows, lack[busy]) - self._price * 0.05 * (wanted[busy] - first[busy])
            matrix = np.einsum("kpu,kpv->kuv", rows, rows) + np.diag(0.05 * self._price)
            wanted[busy] = self._within(wanted[busy] + np.linalg.solve(matrix, pull[..., None])[..., 0], first[busy])
        return _placed(wanted) if self.config.rounds else out

    def _room(self, fields: Float32Array, poses: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Clearance (K, 2 T) [m] of the points, and its slope (K, 2 T, 2)."""
        cells = np.einsum("pt,ktc->kpc", self._points, poses[..., :2]) / self._maps.resolution_m + 0.5 * self._maps.cells - 0.5
        cells = np.clip(cells, 0.0, self._maps.cells - 1.001)
        corner = cells.astype(np.int64)
        u, v = (cells - corner).transpose(2, 0, 1)
        column, row = corner[..., 0], corner[..., 1]
        a, b, c, d = (fields[self._field, row + up, column + right].astype(np.float64) for up in (0, 1) for right in (0, 1))
        room = (a * (1.0 - u) + b * u) * (1.0 - v) + (c * (1.0 - u) + d * u) * v
        slope = np.stack([(b - a) * (1.0 - v) + (d - c) * v, (c - a) * (1.0 - u) + (d - b) * u], axis=-1) / self._maps.resolution_m
        return room, slope

    def _rows(self, arcs: AnyArray, poses: FloatArray, slope: FloatArray) -> FloatArray:
        """(K, 2 T, 2 T): what each point's clearance gains by each length and turn."""
        steps = poses.shape[1]
        turns = arcs[:, steps:]
        heading = np.cumsum(turns, axis=1) - 0.5 * turns
        ahead = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        before = np.concatenate([np.zeros_like(poses[:, :1, :2]), poses[:, :-1, :2]], axis=1)
        middle = 0.5 * (before + poses[..., :2])  # about which a step's turn swings what follows
        later = np.tril(np.ones((steps, steps)))
        by_length = later[None, :, :, None] * ahead[:, None]
        arm = poses[:, :, None, :2] - middle[:, None]
        by_turn = later[None, :, :, None] * np.stack([-arm[..., 1], arm[..., 0]], axis=-1)
        both = np.concatenate([by_length, by_turn], axis=2)
        rows: FloatArray = np.einsum("kpc,pt,ktuc->kpu", slope, self._points, both, optimize=True)
        return rows

    def _within(self, arcs: FloatArray, drawn: FloatArray) -> FloatArray:
        """The robot's limits, or what was drawn beyond them; a step stays `least_share` as long at least."""
        steps = arcs.shape[1] // 2
        out = arcs.copy()
        fast, turned = self.config.max_linear_mps * self._step_s, self.config.max_angular_radps * self._step_s
        lengths, turns = drawn[:, :steps], drawn[:, steps:]
        out[:, :steps] = np.clip(out[:, :steps], np.minimum(lengths, self.config.least_share * lengths), np.maximum(lengths, fast))
        out[:, steps:] = np.clip(out[:, steps:], np.minimum(turns, -turned), np.maximum(turns, turned))
        return out


def _placed(arcs: FloatArray) -> FloatArray:
    """Poses (K, T, 3) of arcs (K, 2 T): chords' lengths, then turns."""
    steps = arcs.shape[1] // 2
    lengths, turns = arcs[:, :steps], arcs[:, steps:]
    yaw = np.cumsum(turns, axis=1)
    heading = yaw - 0.5 * turns
    return np.stack([np.cumsum(lengths * np.cos(heading), axis=1), np.cumsum(lengths * np.sin(heading), axis=1), yaw], axis=-1)
