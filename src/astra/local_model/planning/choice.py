"""Which of several trajectories to drive: the one with room, progress and a steady hand, and not another one at every tick."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from astra.core.config import require
from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray
from astra.geometry.distance import sample_bilinear
from astra.local_model.planning.config import MapConfig

_DISTANCE_M = 0.5  # from the route that costs as much as so much progress


@dataclass(frozen=True, slots=True)
class ChoiceConfig:
    """Weights, in metres of progress, and the robot's limits."""

    margin_m: float = 0.03  # less room than this is a touch
    touch: float = 20.0
    comfort_m: float = 0.25  # room beyond which nothing is gained
    close: float = 2.0  # of the mean squared lack of room
    smooth: float = 0.3  # of the mean squared change of speed and turning rate from step to step, relative to the limits
    limits: float = 2.0  # of the greatest excess over a limit, relative to it
    backwards: float = 4.0  # a metre
    consistent: float = 0.3  # a metre of mean distance from the last choice, at the same times
    max_linear_mps: float = 0.6
    max_angular_radps: float = 1.2
    max_linear_mps2: float = 0.8
    max_angular_radps2: float = 2.5

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0.0, name, value, "≥ 0")


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What trajectories are judged by. maps: (M + 1, Y, X), `planning.maps`; velocity: v, w now; goal: x, y in base_link;
    route: (N, 2) the piece of route to it, may be empty; last: (T, 3) what is left of the last choice, in base_link, NaN beyond its end."""

    maps: Float32Array
    velocity: tuple[float, float]
    goal: tuple[float, float]
    step_s: float
    route: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    last: FloatArray | None = None


def clearance_along(maps: Float32Array, poses: FloatArray, step_s: float, config: MapConfig) -> FloatArray:
    """(K, 2 T) [m]: the maps' clearance halfway to and at each pose (K, T, 3) at its time; the last moment holds on."""
    places = np.concatenate([np.zeros_like(poses[:, :1, :2]), poses[..., :2]], axis=1)
    way = np.stack([0.5 * (places[:, :-1] + places[:, 1:]), places[:, 1:]], axis=2).reshape(len(poses), -1, 2)
    cells = way / config.resolution_m + 0.5 * config.cells
    at = np.interp(0.5 * step_s * np.arange(1, way.shape[1] + 1), config.moments_s, np.arange(len(config.moments_s)))
    first = np.minimum(np.floor(at).astype(int), len(config.moments_s) - 1)
    out = np.empty(way.shape[:2])
    for k in range(way.shape[1]):
        low, high = maps[first[k]], maps[min(first[k] + 1, len(config.moments_s) - 1)]
        # Between two moments who moves is taken to be at either.
        out[:, k] = sample_bilinear(np.minimum(low, high) if at[k] > first[k] else low, cells[:, k])
    clearance: FloatArray = out * config.cap_m
    return clearance


def costs(poses: FloatArray, situation: Situation, config: ChoiceConfig, maps: MapConfig) -> tuple[FloatArray, BoolArray]:
    """Cost (K,) of trajectories (K, T, 3), lower is better, and which of them touch nothing."""
    room = clearance_along(situation.maps, poses, situation.step_s, maps)
    least = room.min(axis=1)
    lack = np.clip(1.0 - room / config.comfort_m, 0.0, 2.0)
    total = config.close * (lack**2).mean(axis=1) + config.touch * (least < config.margin_m) * (1.0 + np.clip(config.margin_m - least, 0.0, 1.0))
    total -= _progress(poses, situation)
    v, w = _speeds(poses, situation.step_s)
    changes = [np.diff(x, axis=1, prepend=np.full((len(x), 1), now)) / situation.step_s for x, now in zip((v, w), situation.velocity)]
    relative = [change / limit for change, limit in zip(changes, (config.max_linear_mps2, config.max_angular_radps2))]
    total += config.smooth * sum((r**2).mean(axis=1) for r in relative)
    excess = np.stack([np.abs(v) / config.max_linear_mps, np.abs(w) / config.max_angular_radps, *(np.abs(r) for r in relative)]).max(axis=(0, 2)) - 1.1
    total += config.limits * np.maximum(excess, 0.0)
    total += config.backwards * np.maximum(-v, 0.0).sum(axis=1) * situation.step_s
    if situation.last is not None:
        known = np.isfinite(situation.last).all(axis=1)
        if known.any():
            total += config.consistent * np.hypot(*(poses[:, known, :2] - situation.last[known, :2]).transpose(2, 0, 1)).mean(axis=1)
    return total, least >= config.margin_m


def _progress(poses: FloatArray, situation: Situation) -> FloatArray:
    """(K,) [m] along the route, or towards the goal without one."""
    end = poses[:, -1, :2]
    if len(situation.route) < 2:
        return np.asarray(math.hypot(*situation.goal) - np.hypot(*(end - np.array(situation.goal)).T))
    along_m, off_m = _along(situation.route, np.concatenate([np.zeros((1, 2)), end]))
    progress: FloatArray = (along_m[1:] - along_m[0]) - np.maximum(off_m[1:] - off_m[0], 0.0) * _DISTANCE_M
    return progress


def _along(route: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Arc length of the route (N, 2) at the points (M, 2), and their distances from it."""
    begins, pieces = route[:-1], np.diff(route, axis=0)
    lengths = np.maximum(np.hypot(*pieces.T), 1e-9)
    share = np.clip(((points[:, None] - begins) * pieces).sum(-1) / lengths**2, 0.0, 1.0)
    away = np.hypot(*(points[:, None] - begins - share[..., None] * pieces).transpose(2, 0, 1))
    k, rows = away.argmin(axis=1), np.arange(len(points))
    return (np.cumsum(lengths) - lengths)[k] + share[rows, k] * lengths[k], away[rows, k]


def _speeds(poses: FloatArray, step_s: float) -> tuple[AnyArray, AnyArray]:
    """v, w (K, T) of each step; v is negative where it goes backwards."""
    before = np.concatenate([np.zeros_like(poses[:, :1]), poses[:, :-1]], axis=1)
    moved = poses - before
    ahead = moved[..., 0] * np.cos(before[..., 2]) + moved[..., 1] * np.sin(before[..., 2])
    return np.copysign(np.hypot(moved[..., 0], moved[..., 1]), ahead) / step_s, moved[..., 2] / step_s
