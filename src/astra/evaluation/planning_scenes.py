"""Scenes that planners are judged on: moments of the expert's drives through test worlds, what the robot then knew, and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.types import BoolArray, Float32Array, FloatArray
from astra.datasets.lessons import ROUTE_M, LessonConfig, denser, write_lessons
from astra.geometry.distance import sample_bilinear
from astra.local_model.planning.config import MapConfig
from astra.navigation.grid import LocalGrid
from astra.sim.worlds.plan import Kind

IN, OUT = "in_distribution", "out_of_distribution"
WORLDS: tuple[tuple[Kind, int], ...] = (("home", 25000), ("office", 25001), ("home", 25002), ("office", 25003), ("warehouse", 25004))
TUNE = 10_000  # so much lower lie the validation worlds' seeds
AHEAD_M = 2.5  # of the subgoal, as `navigation.route_driver` has it
FINE_M = 0.05
SLACK_M = 0.01  # what the truth's interpolation may be wrong by
PARTS = 2  # poses judged a step
FAULT_MPS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class PlanScene:
    """One moment. Known to the robot: occupied, known (2Y, 2X) cells of 0.05 m around base_link, discs (D, 3) of movers it sees, velocity (H, 2) newest
    first, goal (4,) x, y, yaw, final, route (N, 2). The truth: field (Y, X) Φ [m], movers (T + 1, D', 3) from now on, seen (D',) which of them are the
    discs that it sees, plan (T, 3) of the expert."""

    name: str
    occupied: BoolArray
    known: BoolArray
    discs: FloatArray
    velocity: FloatArray
    goal: FloatArray
    route: FloatArray
    field: Float32Array
    movers: FloatArray
    seen: BoolArray
    plan: FloatArray

    def grid(self) -> LocalGrid:
        """What is known as the classical planner's grid, base_link at its origin; movers that are seen stand in it as they stand now."""
        occupied, half = self.occupied.copy(), 0.5 * len(self.occupied) * FINE_M
        along = (np.arange(len(occupied)) + 0.5) * FINE_M - half
        for x, y, radius in self.discs:
            occupied |= np.hypot(along[None, :] - x, along[:, None] - y) <= radius
        return LocalGrid.from_occupied(occupied, -half, -half, FINE_M, known=self.known | occupied)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one trajectory: touched anything that stands, or somebody while in motion; only what stands; least room to what stands [m],
    distances from the expert's [m], length over time [m/s]. People walk on by their timetables: who walks into a robot that stands is not its fault."""

    touched: bool
    touched_still: bool
    room_m: float
    apart_m: float
    end_m: float
    speed_mps: float
    expert_mps: float


def scenes(cache: Path, group: str, split: str, count: int) -> Iterator[PlanScene]:
    """`count` moments of a group, evenly over its drives; lessons that are not in the cache are made.

    in_distribution: test worlds with the furniture of training worlds; out_of_distribution: twice as full, with furniture no training world has.
    """
    usual = LessonConfig(usual_furniture=True)
    config = usual if group == IN else denser(usual)
    offset = TUNE if split == "validate" else 0
    for kind, seed in WORLDS:
        seed -= offset
        write_lessons(kind, seed, cache / split / group, config)
        with np.load(cache / split / group / f"{kind}{seed}.npz") as file:
            rows = {name: file[name] for name in file.files}
        total, each = len(rows["plan"]), -(-count // len(WORLDS))
        for k in np.unique(np.linspace(0, total - 1, min(each, total)).astype(int)):
            yield _scene(f"{kind}{seed}/{k}", {name: row[k] for name, row in rows.items() if row.ndim and len(row) == total})


def judge(poses: FloatArray, scene: PlanScene, radius_m: float, step_s: float, maps: MapConfig) -> Judgement:
    """A trajectory (T, 3) in base_link against the truth, at its own times."""
    fine = np.concatenate([np.zeros((1, 3)), poses])
    at = np.arange(1, PARTS * len(poses) + 1) / PARTS
    x, y = (np.interp(at, np.arange(len(fine)), fine[:, k]) for k in range(2))
    room = sample_bilinear(scene.field, np.stack([x, y], axis=1) / maps.resolution_m + 0.5 * maps.cells)
    low = np.minimum(np.floor(at).astype(int), len(scene.movers) - 2)
    share = (at - low)[:, None]
    movers = (1.0 - share[..., None]) * scene.movers[low] + share[..., None] * scene.movers[low + 1]
    beside = (np.hypot(movers[..., 0] - x[:, None], movers[..., 1] - y[:, None]) - movers[..., 2]).min(axis=1) - radius_m
    moves = np.hypot(np.diff(x, prepend=0.0), np.diff(y, prepend=0.0)) * PARTS / step_s > FAULT_MPS
    still = float(room.min()) - radius_m
    apart = np.hypot(*(poses - scene.plan)[:, :2].T)
    seconds = step_s * len(poses)
    lengths = [float(np.hypot(*np.diff(way[:, :2], axis=0, prepend=np.zeros((1, 2))).T).sum()) for way in (poses, scene.plan)]
    into = bool((moves & (beside < -SLACK_M)).any())
    return Judgement(still < -SLACK_M or into, still < -SLACK_M, still, float(apart.mean()), float(apart[-1]), lengths[0] / seconds, lengths[1] / seconds)


def _scene(name: str, row: dict[str, Any]) -> PlanScene:
    side = 2 * len(row["field"])
    occupied, known = (np.unpackbits(row[key])[: side * side].reshape(side, side).astype(bool) for key in ("occupied", "known"))
    movers = row["discs"].astype(np.float64)
    final = float(row["route_m"]) <= AHEAD_M
    pieces = min(round(AHEAD_M / ROUTE_M), len(row["route"]))
    route = np.concatenate([np.zeros((1, 2)), row["route"][:pieces]]).astype(np.float64)
    goal = np.array([*row["goal"], 1.0]) if final else np.array([*route[-1], 0.0, 0.0])
    return PlanScene(
        name, occupied, known, movers[0][row["disc_seen"]], row["velocity"].astype(np.float64), goal, route, row["field"].astype(np.float32), movers,
        row["disc_seen"], row["plan"].astype(np.float64),
    )  # fmt: skip
