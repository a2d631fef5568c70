"""Lessons for the planner: the expert drives, nothing is rendered, and what a robot would know of its surroundings is cut out of the truth.

Pictures are what drives cost. A planner that reads maps needs none: worlds are only planned (not painted), the expert drives them without
physics, among people, and is pushed off its way now and then. What the robot has seen is found by casting rays over the true floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError, BadInputError, NoPathError
from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray
from astra.datasets.expert import DisturbanceConfig, ExpertDriver, ExpertTour, NoMovers, StartKind, draw_start, floor_for
from astra.datasets.expert.driver import Phase, outline_of
from astra.geometry import Pose2
from astra.local_model.planning.config import MapConfig, TrajectoryConfig
from astra.sim.furniture import open_catalogue
from astra.sim.movers import MoverSet, plan_movers
from astra.sim.robot import RobotConfig
from astra.sim.world import WorldTruth
from astra.sim.worlds.build import PLANNERS, TAGS, Draft
from astra.sim.worlds.plan import Kind, split_from_seed
from astra.sim.worlds.style import STYLES
from astra.sim.worlds.truth import RESOLUTION_M

TICK_S = 0.1
FAR_M = 100.0  # where a disc lies that is not there
DISCS = 6  # nearest movers' discs that are kept
ROUTE_M = 0.25  # between the points of the route
ROUTE_POINTS = 20
BISECTIONS = 5  # of a step of a ray
Pilot = Callable[[dict[str, AnyArray]], FloatArray]  # a learner: a lesson without its plan → a trajectory (T, 3) in base_link


@dataclass(frozen=True, slots=True)
class LessonConfig:
    """How long, how often, and how the world differs from the usual."""

    seconds: float = 60.0
    every_ticks: int = 3
    clutter: float = 1.0
    usual_furniture: bool = False  # that of training worlds, in a test world too
    movers: bool = True
    memory_s: float = 20.0  # what was seen longer ago is forgotten
    sight_m: float = 5.0
    beams: int = 360
    piloted_s: tuple[float, float] = (6.0, 9.0)  # a learner, where there is one, drives so long out of so long
    maps: MapConfig = field(default_factory=MapConfig)
    trajectory: TrajectoryConfig = field(default_factory=TrajectoryConfig)

    def __post_init__(self) -> None:
        require(self.seconds >= 5.0, "seconds", self.seconds, "at least 5")
        require(self.every_ticks >= 1, "every_ticks", self.every_ticks, "at least 1")
        require(0.0 < self.piloted_s[0] <= self.piloted_s[1], "piloted_s", self.piloted_s, "positive and in order")
        require(0.1 <= self.clutter <= 5.0, "clutter", self.clutter, "between 0.1 and 5")
        steps = self.trajectory.step_s / TICK_S
        require(self.trajectory.steps * steps <= 30.0 + 1e-6, "trajectory.steps", self.trajectory.steps, "no longer than the expert plans: 3 s")


@dataclass(frozen=True, slots=True, eq=False)
class PlannedWorld:
    """A world that was planned but never painted: its truth and who moves in it."""

    truth: WorldTruth
    movers: MoverSet | None


def plan_world(kind: Kind, seed: int, robot_radius_m: float, config: LessonConfig) -> PlannedWorld:
    """The world of a kind and seed, as `sim.worlds.build.generate` plans it, without writing anything.

    Raises:
        AstraError: its plan does not pass the checks.
    """
    library = open_catalogue("train" if config.usual_furniture else split_from_seed(seed))
    draft = Draft(PLANNERS[kind](seed, library, config.clutter), library, STYLES[kind], (seed, seed, TAGS[kind]))
    problems = draft.problems()
    if problems:
        raise AstraError(f"{kind}{seed}: {problems[0]}")
    people = plan_movers(draft.plan, draft.free, draft.plan.outline[:2], RESOLUTION_M, np.random.default_rng([seed, TAGS[kind], 13])) if config.movers else ()
    return PlannedWorld(draft.truth(seed, ()), MoverSet(None, people, robot_radius_m) if people else None)


class Sight:
    """What a robot has seen of a true floor, by rays at its own height over the last while.

    Args:
        truth: the world.
        config: reach, rays and memory.
    """

    def __init__(self, truth: WorldTruth, config: LessonConfig) -> None:
        self._free, self._cell, self._origin = truth.free, truth.resolution_m, np.array(truth.origin_xy)
        self._config = config
        self._seen_s = np.full(truth.free.shape, -math.inf, np.float32)
        self._bearings = np.arange(config.beams) * (2.0 * math.pi / config.beams)
        self._ranges: FloatArray = np.arange(0.0, config.sight_m, self._cell)

    def look(self, pose: Pose2, discs: FloatArray, time_s: float) -> tuple[FloatArray, BoolArray]:
        """Look around; returns the ranges (beams,) [m], `sight_m` where nothing was hit, and which discs (M, 3) were seen."""
        bearings = self._bearings + pose.yaw
        ways = np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
        rows, columns, inside = self._cells(np.array([pose.x, pose.y]) + ways[:, None] * self._ranges[:, None])
        stops = ~inside | ~self._free[rows, columns]
        first = np.where(stops.any(axis=1), stops.argmax(axis=1), len(self._ranges) - 1)
        ranges = np.where(stops.any(axis=1), self._ranges[first], self._config.sight_m)
        hit, seen = _disc_hits(np.array([pose.x, pose.y]), ways, discs, ranges)
        shown = inside & (self._ranges <= np.minimum(ranges, hit)[:, None])
        self._seen_s[rows[shown], columns[shown]] = time_s
        return np.minimum(self._exact(pose, ways, ranges), hit), seen

    def _exact(self, pose: Pose2, ways: FloatArray, ranges: FloatArray) -> FloatArray:
        """Where between two steps the rays (N, 2) meet a cell's border, by bisection; ranges (N,) that meet nothing stay."""
        low, high = np.maximum(ranges - self._cell, 0.0), ranges.copy()
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            rows, columns, inside = self._cells(np.array([pose.x, pose.y]) + ways * middle[:, None])
            stops = ~inside | ~self._free[rows, columns]
            low, high = np.where(stops, low, middle), np.where(stops, middle, high)
        out: FloatArray = np.where(ranges < self._config.sight_m, high, ranges)
        return out

    def around(self, pose: Pose2, time_s: float, points: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Which points (Y, X, 2) [base_link] are known to be occupied, and which are known at all."""
        rows, columns, inside = self._cells(pose.apply(points.reshape(-1, 2)).reshape(points.shape))
        known = inside & (self._seen_s[rows, columns] >= time_s - self._config.memory_s)
        return known & ~self._free[rows, columns], known

    def _cells(self, points: FloatArray) -> tuple[AnyArray, AnyArray, BoolArray]:
        cells = np.floor((points - self._origin) / self._cell).astype(np.int32)
        columns, rows = cells[..., 0], cells[..., 1]
        inside = (rows >= 0) & (rows < self._free.shape[0]) & (columns >= 0) & (columns < self._free.shape[1])
        return np.where(inside, rows, 0), np.where(inside, columns, 0), inside


def _disc_hits(origin: FloatArray, ways: FloatArray, discs: FloatArray, ranges: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Ranges (N,) at which rays meet discs (M, 3), +inf for none, and which discs some ray meets before `ranges`."""
    if not len(discs):
        return np.full(len(ways), np.inf), np.zeros(0, bool)
    to = discs[:, :2] - origin
    along, square = ways @ to.T, (to**2).sum(axis=1) - discs[:, 2] ** 2
    root = along**2 - square
    meets = np.where((root >= 0.0) & (along > 0.0), along - np.sqrt(np.maximum(root, 0.0)), np.inf)
    meets = np.where(square < 0.0, 0.0, np.maximum(meets, 0.0))
    nearest = np.minimum(meets.min(axis=1), ranges)
    return meets.min(axis=1), np.asarray((meets <= nearest[:, None] + 1e-9).any(axis=0))


class Lessons:
    """One expert's drive through one planned world, and what can be learned from each moment of it.

    With a `pilot` it is the learner that drives most of the time, and the expert says what it would do there (DAgger, Ross et al., 2011).
    """

    def __init__(self, world: PlannedWorld, robot: RobotConfig, seed: int, config: LessonConfig, pilot: Pilot | None = None) -> None:
        self.world, self.config, self.robot, self._pilot = world, config, robot, pilot
        self._led: tuple[int, FloatArray] | None = None  # the learner's trajectory, and the tick it began at
        rng = np.random.default_rng([seed, 23])
        truth, outline = world.truth, outline_of(robot)
        self._floor = floor_for(truth, robot)
        kinds = list(StartKind)
        try:
            start = draw_start(self._floor, outline, kinds[int(rng.integers(len(kinds)))], rng, (truth.tour_start.x, truth.tour_start.y))
        except BadInputError:
            start = draw_start(self._floor, outline, StartKind.FREE, rng)
        self._movers = world.movers or NoMovers()
        if world.movers is not None:
            world.movers.reset(0.0, (start.x, start.y))
        self._driver = ExpertDriver(truth, robot, rng, self._movers, floor=self._floor)
        self._tour = ExpertTour(self._driver, rng, config.seconds, truth, DisturbanceConfig())
        self._sight, self._start = Sight(truth, config), start
        self._fine, self._coarse = config.maps.points(fine=True), config.maps.points()
        self._offsets: FloatArray = config.trajectory.step_s * np.arange(config.trajectory.steps + 1, dtype=np.float64)

    def rows(self) -> Iterator[dict[str, AnyArray]]:
        """The drive's samples, in order (docs/SAMPLES.md)."""
        kept: list[tuple[int, dict[str, AnyArray]]] = []
        poses: list[FloatArray] = []
        free: list[tuple[int, bool]] = []  # which goal, and whether the expert had its way
        kept.extend((len(poses) - 1, row) for row in self._drive(poses, free))
        ahead = np.round(self._offsets[1:] / TICK_S, 6)
        for tick, row in kept:
            last = tick + math.ceil(float(ahead[-1]))
            if last < len(poses) and all(free[k] == free[tick] and free[k][1] for k in range(tick, last + 1)):
                row = {**row, "plan": _relative(np.array(poses[tick : last + 1]), ahead).astype(np.float32)}
            yield row

    def _drive(self, poses: list[FloatArray], free: list[tuple[int, bool]]) -> Iterator[dict[str, AnyArray]]:
        pose, velocity, past, goals, goal = self._start, (0.0, 0.0), [(0.0, 0.0)] * 10, 0, None
        for tick in range(round(self.config.seconds / TICK_S)):
            now_s = tick * TICK_S
            if self.world.movers is not None:
                self.world.movers.advance(now_s, (pose.x, pose.y))
            discs = self._movers.positions(np.array([now_s]))[0]
            _, seen = self._sight.look(pose, discs, now_s) if tick % self.config.every_ticks == 0 else (None, np.zeros(len(discs), bool))
            try:
                command = self._tour.command(pose, velocity, now_s)
            except NoPathError:
                return
            if command is None:
                return
            if self._driver.goal is not goal:
                goal, goals = self._driver.goal, goals + 1
            fresh = abs(self._driver.planned_at_s - now_s) < 1e-6
            poses.append(np.array([pose.x, pose.y, pose.yaw]))
            free.append((goals, fresh and not self._tour.disturbed and self._led is None))
            if tick % self.config.every_ticks == 0:
                self._led = None
                if fresh and self._driver.phase in (Phase.DRIVING, Phase.TURNING):
                    row = self._row(pose, now_s, past, discs, seen)
                    yield row
                    if self._pilot is not None and now_s % self.config.piloted_s[1] < self.config.piloted_s[0]:
                        self._led, free[-1] = (tick, self._pilot(row)), (goals, False)
            command = command if self._led is None else _twist(self._led[1], (tick - self._led[0]) * TICK_S, self.config.trajectory.step_s)
            pose, velocity = self._moved(pose, velocity, command, fresh and self._led is None)
            past = [velocity, *past[:9]]

    def _moved(self, pose: Pose2, velocity: tuple[float, float], command: tuple[float, float], fresh: bool) -> tuple[Pose2, tuple[float, float]]:
        """A tick later: as planned where the expert has its way, by the command within the robot's accelerations where not."""
        if fresh and not self._tour.disturbed:
            plan = self._driver.plan_ahead
            v, w = plan.twists[1].tolist()
            return Pose2(*plan.poses[1].tolist()), (v, w)
        limits = (self.robot.max_linear_mps2 * TICK_S, self.robot.max_angular_radps2 * TICK_S)
        v, w = (old + min(max(new - old, -limit), limit) for old, new, limit in zip(velocity, command, limits))
        turned, along = 0.5 * (velocity[1] + w) * TICK_S, 0.5 * (velocity[0] + v) * TICK_S
        return pose @ Pose2(along * math.cos(0.5 * turned), along * math.sin(0.5 * turned), turned), (v, w)

    def _row(self, pose: Pose2, now_s: float, past: list[tuple[float, float]], discs: FloatArray, seen: BoolArray) -> dict[str, AnyArray]:
        maps, plan, inverse = self.config.maps, self._driver.plan_ahead, pose.inverse()
        occupied, known = self._sight.around(pose, now_s, self._fine)
        points = pose.apply(self._coarse.reshape(-1, 2)).astype(np.float32)
        field = self._floor.distance_at(points[:, 0].copy(), points[:, 1].copy()).reshape(maps.cells, maps.cells)
        ahead, shown = _nearest(self._movers.positions(now_s + self._offsets), seen, pose, inverse)
        steps: FloatArray = self._offsets[1:] / plan.step_s
        route = inverse.apply(self._driver.route)
        goal = inverse @ self._driver.goal if self._driver.goal is not None else pose
        every = max(1, round(self.config.trajectory.step_s / TICK_S))
        return {
            "occupied": np.packbits(occupied), "known": np.packbits(known), "field": field.astype(np.float16), "discs": ahead, "disc_seen": shown,
            "velocity": np.array([past[k * every] for k in range(4)], np.float32), "plan": _relative(plan.poses, steps).astype(np.float32),
            "route": _padded(route), "route_m": np.asarray(np.hypot(*np.diff(route, axis=0).T).sum(), np.float32),
            "goal": np.array([goal.x, goal.y, goal.yaw], np.float32),
        }  # fmt: skip


def _twist(poses: FloatArray, since_s: float, step_s: float) -> tuple[float, float]:
    """v, w of the step of a trajectory (T, 3) that is under way after so long."""
    way = np.concatenate([np.zeros((1, 3)), poses])
    k = min(int(since_s / step_s), len(poses) - 1)
    x, y, turn = (way[k + 1] - way[k]).tolist()
    ahead = x * math.cos(way[k, 2]) + y * math.sin(way[k, 2])
    return math.copysign(math.hypot(x, y), ahead) / step_s, turn / step_s


def _relative(poses: FloatArray, at: FloatArray) -> FloatArray:
    """Poses (T, 3) of a way (N, 3) at fractional indices (T,), seen from its first."""
    way = np.column_stack([poses[:, :2], np.unwrap(poses[:, 2])])
    there = np.stack([np.interp(at, np.arange(len(way)), column) for column in way.T], axis=1)
    x, y, yaw = way[0].tolist()
    there[:, :2] = Pose2(x, y, yaw).inverse().apply(there[:, :2])
    there[:, 2] -= yaw
    return there


def _nearest(discs: FloatArray, seen: BoolArray, pose: Pose2, inverse: Pose2) -> tuple[Float32Array, BoolArray]:
    """The discs (T, DISCS, 3) that come nearest, seen from here, and which of them the robot sees; missing ones lie far away."""
    ahead, shown = np.zeros((len(discs), DISCS, 3), np.float32), np.zeros(DISCS, bool)
    ahead[..., 0] = FAR_M
    away = np.hypot(discs[..., 0] - pose.x, discs[..., 1] - pose.y).min(axis=0)
    chosen = np.argsort(away)[:DISCS]
    chosen = chosen[away[chosen] < 6.0]
    ahead[:, : len(chosen), :2] = inverse.apply(discs[:, chosen, :2].reshape(-1, 2)).reshape(len(discs), -1, 2)
    ahead[:, : len(chosen), 2] = discs[:, chosen, 2]
    shown[: len(chosen)] = seen[chosen]
    return ahead, shown


def _padded(route: FloatArray) -> Float32Array:
    """(ROUTE_POINTS, 2): the route every `ROUTE_M`; beyond its end the end."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(route, axis=0).T))])
    at = ROUTE_M * np.arange(1, ROUTE_POINTS + 1)
    return np.stack([np.interp(at, lengths, column) for column in route.T], axis=1).astype(np.float32)


def write_lessons(
    kind: Kind, seed: int, out: Path, config: LessonConfig | None = None, robot: RobotConfig | None = None, pilot: Pilot | None = None
) -> int:
    """Add the file of one world, `<kind><seed>.npz`, to the folder `out`; one that is there is kept. Returns how many samples it holds.

    Raises:
        AstraError: no such world, or no room to drive in it.
    """
    config, robot, path = config or LessonConfig(), robot or RobotConfig(), out / f"{kind}{seed}.npz"
    if path.is_file():
        with np.load(path) as there:
            return len(there["plan"])
    world = plan_world(kind, seed, robot.radius_m, config)
    rows = list(Lessons(world, robot, seed, config, pilot).rows())
    if not rows:
        raise AstraError(f"{kind}{seed}: the expert found no way")
    out.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npz")
    arrays: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    np.savez(draft, **arrays, split=np.array(split_from_seed(seed)), radius_m=np.float32(robot.radius_m))
    draft.rename(path)
    return len(rows)


def denser(config: LessonConfig) -> LessonConfig:
    """The same with rooms filled twice as densely: what lies out of the distribution."""
    return replace(config, clutter=2.0 * config.clutter, usual_furniture=False)
