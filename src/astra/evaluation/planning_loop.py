"""Closed loop without pictures or physics: the stack's own grid, route driver, planner, shield and pursuit on a point of a robot in a planned world.

The lidar is cast over the true floor, which holds everything up to the mast; people walk by their timetables and wait for the robot. Where it gets no
further, the mission's ladder of recoveries is climbed. Localization, slip and delays are missing: figures of missions come from missions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import AstraError
from astra.core.types import Float32Array, FloatArray, LaserScan, nanoseconds
from astra.datasets.expert import ExpertDriver, NoMovers, floor_for
from astra.datasets.expert.starts import connected_floor
from astra.datasets.lessons import LessonConfig, PlannedWorld, Sight, plan_world
from astra.evaluation.planning import wilson
from astra.evaluation.planning_loop_peers import NAMES, PeerPlanner
from astra.geometry.se2 import Pose2
from astra.local_model.planning.runtime import TrajectorySampler
from astra.navigation.control import ControlConfig, RegulatedPurePursuit
from astra.navigation.gate import Ages, VelocityGate
from astra.navigation.grid import GridConfig
from astra.navigation.learned import LearnedConfig, LearnedPlanner
from astra.navigation.local_planning import LocalPlanning, PlanJob
from astra.navigation.planner import ClassicalPlanner
from astra.navigation.protocols import LocalPath, Planner
from astra.navigation.recovery import Recovery, RecoveryConfig, RecoveryLadder, widest_gap
from astra.navigation.route_driver import DriverConfig, Order, RouteDriver
from astra.navigation.shield import Shield, ShieldConfig, ShieldCounts, ShieldedPlanner
from astra.sim.robot import RobotConfig
from astra.sim.worlds.plan import Kind

EPISODES, REPORT = "closed_loop.jsonl", "closed_loop.md"
TICK_S, PLAN_TICKS = 0.1, 2
FAULT_MPS = 0.05
SPIN_RADPS, BACK_UP_MPS = 0.8, 0.15
WORLDS: tuple[tuple[Kind, int], ...] = (("home", 25000), ("office", 25001), ("home", 25002), ("office", 25003))


@dataclass(frozen=True, slots=True)
class LoopTableConfig:
    """How many episodes, and who drives: `expert`, `classical`, and exported planners by name."""

    split: str = "test"
    episodes: int = 24  # half of them with people
    models: tuple[tuple[str, Path], ...] = ()
    paired: int = 60  # of the episodes that peers drive too
    peers: tuple[str, ...] = ("classical", "pure_pursuit", "dwa", "mppi", "mppi_truth")
    shortest_m: float = 4.0
    longest_m: float = 12.0
    lesson: LessonConfig = field(default_factory=LessonConfig)

    def __post_init__(self) -> None:
        require(self.episodes >= 1, "episodes", self.episodes, "at least 1")
        require(self.paired >= 0, "paired", self.paired, "at least 0")
        for name in self.peers:
            require(name in ("classical", *NAMES), "peers", name, f"of classical, {', '.join(NAMES)}")


@dataclass(frozen=True, slots=True)
class Episode:
    """What became of one drive. `collisions` are episodes of touching, `at_fault` those with the robot in motion."""

    arrived: bool
    why: str
    route_m: float
    driven_m: float
    lasted_s: float
    collisions: int
    at_fault: int
    room_m: float
    ticks: int
    fallbacks: int
    reasons: dict[str, int]
    recoveries: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A world, a way through it (N, 3), and whether people are about."""

    name: str
    world: PlannedWorld
    start: Pose2
    route: FloatArray
    goal: Pose2


def tasks(config: LoopTableConfig, robot: RobotConfig) -> Iterator[Task]:
    """The episodes, the same for everybody."""
    each = -(-config.episodes // len(WORLDS))
    for kind, seed in WORLDS:
        seed -= 10_000 if config.split == "validate" else 0
        world = plan_world(kind, seed, robot.radius_m, config.lesson)
        floor = floor_for(world.truth, robot)
        rng = np.random.default_rng([seed, 77])
        rows, columns = np.nonzero(connected_floor(floor, None) & (floor.distance > robot.radius_m + 0.15))
        made = 0
        while made < each:
            ends = rng.integers(len(rows), size=2)
            (x, y), (gx, gy) = floor.centres(rows[ends], columns[ends]).tolist()
            goal = Pose2(gx, gy, float(rng.uniform(-math.pi, math.pi)))
            try:
                line = floor.route(floor.time_to(goal), x, y)
            except AstraError:
                continue
            length = float(np.hypot(*np.diff(line, axis=0).T).sum())
            if not config.shortest_m <= length <= config.longest_m:
                continue
            route = np.column_stack([line, np.full(len(line), goal.yaw)])
            people = made % 2 == 1 and world.movers is not None
            name = f"{kind}{seed}/{made}{'_people' if people else ''}"
            yield Task(name, world if people else PlannedWorld(world.truth, None), Pose2(x, y, float(rng.uniform(-math.pi, math.pi))), route, goal)
            made += 1


class Body:
    """The robot as a disc with a twist, and what it touches."""

    def __init__(self, task: Task, robot: RobotConfig) -> None:
        self.task, self.robot, self.pose, self.velocity = task, robot, task.start, (0.0, 0.0)
        self._floor, self._movers = floor_for(task.world.truth, robot), task.world.movers
        self.time_s, self.driven_m, self.room_m = 0.0, 0.0, math.inf
        self.collisions = self.at_fault = 0
        self._touching = False
        if self._movers is not None:
            self._movers.reset(0.0, (self.pose.x, self.pose.y))

    def discs(self) -> FloatArray:
        """(D, 3) of who is where now."""
        return np.zeros((0, 3)) if self._movers is None else self._movers.positions(np.array([self.time_s]))[0]

    def move(self, twist: tuple[float, float]) -> None:
        """One tick on."""
        limits = (self.robot.max_linear_mps2 * TICK_S, self.robot.max_angular_radps2 * TICK_S)
        v, w = (old + min(max(new - old, -limit), limit) for old, new, limit in zip(self.velocity, twist, limits))
        turned, along = 0.5 * (self.velocity[1] + w) * TICK_S, 0.5 * (self.velocity[0] + v) * TICK_S
        self.pose = self.pose @ Pose2(along * math.cos(0.5 * turned), along * math.sin(0.5 * turned), turned)
        self.velocity, self.time_s, self.driven_m = (v, w), self.time_s + TICK_S, self.driven_m + abs(along)
        if self._movers is not None:
            self._movers.advance(self.time_s, (self.pose.x, self.pose.y))
        self._judge()

    def distances(self, points: FloatArray) -> Float32Array:
        """True distances (N,) [m] from points (N, 2) to what stands."""
        x, y = np.asarray(points, np.float32).T
        return self._floor.distance_at(x.copy(), y.copy())

    def movers_ahead(self, offsets: FloatArray) -> FloatArray:
        """(T, D, 3): who is where so many seconds from now."""
        return np.zeros((len(offsets), 0, 3)) if self._movers is None else self._movers.positions(self.time_s + offsets)

    def route_on(self) -> FloatArray:
        """(N, 3): a way from here, as a new route of the mission begins where the robot is; the old one if there is none."""
        x, y = self.pose.x, self.pose.y
        try:
            line = self._floor.route(self._floor.time_to(self.task.goal), x, y)
        except AstraError:
            return self.task.route
        return np.column_stack([line, np.full(len(line), self.task.goal.yaw)]) if len(line) > 1 else self.task.route

    def _judge(self) -> None:
        x, y = (np.array([value], np.float32) for value in (self.pose.x, self.pose.y))
        room = float(self._floor.distance_at(x, y)[0])
        for mx, my, radius in self.discs():
            room = min(room, math.hypot(mx - self.pose.x, my - self.pose.y) - radius)
        room -= self.robot.radius_m
        self.room_m = min(self.room_m, room)
        touches = room < -0.005
        if touches and not self._touching:
            self.collisions += 1
            self.at_fault += abs(self.velocity[0]) > FAULT_MPS
        self._touching = touches


def drive(task: Task, make: Callable[[Body], Planner], robot: RobotConfig, lesson: LessonConfig) -> Episode:
    """One episode with a planner, and the mission's ladder of recoveries where it gets no further."""
    body, sight, ladder = Body(task, robot), Sight(task.world.truth, lesson), RecoveryLadder()
    planner = make(body)
    planning, driver = LocalPlanning(GridConfig(), planner), RouteDriver(DriverConfig(), task.route, heed_yaw=False)
    control, gate, fresh, seen_from = RegulatedPurePursuit(ControlConfig(), 0.15, 3.2), VelocityGate(), Ages(0.0, 0.0), body.pose
    path: LocalPath | None = None
    limit_s, why, tick, speed, route_id = 20.0 + 4.0 * driver.remaining_m, "too late", 0, math.inf, 1
    recovering: list[tuple[float, float]] = []
    while body.time_s < limit_s:
        if tick % PLAN_TICKS == 0:
            ranges, _ = sight.look(body.pose, body.discs(), body.time_s)
            scan, seen_from = _scan(ranges, body.time_s, lesson), body.pose
            gate.see(scan, Pose2())
            job = PlanJob(scan, body.pose, Pose2(), body.pose, *body.velocity, () if recovering else driver.subgoals(Pose2(), body.pose), False, route_id)
            outcome = planning.process(job)
            if outcome.path is not None and not recovering:
                decision = driver.planned(body.time_s, outcome.path, outcome.subgoal is not None and outcome.subgoal.final, body.pose)
                if decision.end is not None:
                    step, path, why = ladder.next(), None, decision.why or str(decision.end)
                    if step is Recovery.GIVE_UP:
                        break
                    recovering = _twists(step, scan, ladder.config)
                    route_id, limit_s, driver = route_id + 1, limit_s + 10.0, RouteDriver(DriverConfig(), body.route_on(), heed_yaw=False)
                elif decision.order is Order.SEND and decision.path is not None:
                    path = decision.path
                    control.set_path(path.poses)
                elif decision.order is Order.HOLD:
                    path = None
            speed = _allowed(path)
        twist = (0.0, 0.0)
        if recovering:
            twist = recovering.pop(0)
        elif path is not None:
            command = control.command(body.pose, body.velocity, TICK_S, gate.clearance_m(), speed)
            twist = (command.linear_mps, command.angular_radps)
        let = gate.limit(*twist, fresh, seen_from.inverse() @ body.pose)
        body.move((let.linear_mps, let.angular_radps))
        if driver.arrived(Pose2(), body.pose):
            why = "arrived"
            break
        tick += 1
    counts = planner.counts if isinstance(planner, ShieldedPlanner) else None
    return _episode(body, why, ladder.count, counts)


def _twists(step: Recovery, scan: LaserScan, config: RecoveryConfig) -> list[tuple[float, float]]:
    """What the robot does in the ticks of a recovery, after it came to rest."""
    rest = [(0.0, 0.0)] * round(config.wait_s / TICK_S)
    if step is Recovery.SPIN:
        turn = widest_gap(scan)
        turn = config.default_spin_rad if turn is None else turn
        return rest + [(0.0, math.copysign(SPIN_RADPS, turn))] * math.ceil(abs(turn) / (SPIN_RADPS * TICK_S))
    if step is Recovery.BACK_UP:
        return rest + [(-BACK_UP_MPS, 0.0)] * math.ceil(config.back_up_m / (BACK_UP_MPS * TICK_S))
    return rest


def drive_expert(task: Task, robot: RobotConfig) -> Episode:
    """The same by the expert, who knows everything."""
    body = Body(task, robot)
    driver = ExpertDriver(task.world.truth, robot, np.random.default_rng(0), task.world.movers or NoMovers())
    driver.plan(task.goal, keep_yaw=False)
    while not (driver.done or driver.blocked) and body.time_s < 90.0:
        body.move(driver.command(body.pose, body.velocity, body.time_s))
    return _episode(body, "arrived" if driver.done else "blocked", 0, None)


def run(config: LoopTableConfig, out: Path, told: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """Drive what is not driven yet; writes closed_loop.jsonl and closed_loop.md, returns all rows."""
    out.mkdir(parents=True, exist_ok=True)
    path, robot = out / EPISODES, RobotConfig()
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    done = {(row["driver"], row["task"]) for row in rows}
    samplers = {name: TrajectorySampler(folder) for name, folder in config.models}
    every = max(1, config.episodes // max(config.paired, 1))
    # Turn about through the worlds, so that a run that is cut off has seen them all.
    for number, task in enumerate(sorted(tasks(config, robot), key=lambda task: int(task.name.split("/")[1].split("_")[0]))):
        peers = config.peers if (number // len(WORLDS)) % every == 0 else ()
        for name in (*samplers, *peers, "expert"):
            if (name, task.name) in done:
                continue
            if name == "expert":
                episode = drive_expert(task, robot)
            else:
                episode = drive(task, partial(_planner, name, samplers), robot, config.lesson)
            rows.append({"driver": name, "task": task.name, **asdict(episode)})
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            told(f"{task.name} · {name}: {episode.why} after {episode.lasted_s:.0f} s")
    (out / REPORT).write_text(report(rows), encoding="utf-8")
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, static episodes and those with people apart."""
    lines = ["# Closed loop, kinematic", "", "| driver | people | n | arrived % [95 %] | SPL | collisions at fault | all | speed m/s | fallback % |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name in dict.fromkeys(row["driver"] for row in rows):
        for people in (False, True):
            chosen = [row for row in rows if row["driver"] == name and row["task"].endswith("_people") == people]
            if not chosen:
                continue
            n, hits = len(chosen), sum(row["arrived"] for row in chosen)
            spl = np.mean([row["arrived"] * row["route_m"] / max(row["route_m"], row["driven_m"]) for row in chosen])
            ticks = sum(row["ticks"] for row in chosen)
            low, high = wilson(hits, n)
            fallback = f"{100.0 * sum(row['fallbacks'] for row in chosen) / ticks:.1f}" if ticks else "–"
            speed = sum(row["driven_m"] for row in chosen) / sum(row["lasted_s"] for row in chosen)
            lines.append(f"| {name} | {'yes' if people else 'no'} | {n} | {100.0 * hits / n:.0f} [{low:.0f}, {high:.0f}] | {spl:.2f} | "
                         f"{sum(row['at_fault'] for row in chosen)} | {sum(row['collisions'] for row in chosen)} | {speed:.2f} | {fallback} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def _planner(name: str, samplers: dict[str, TrajectorySampler], body: Body) -> Planner:
    if name in samplers:
        return learned_and_shielded(samplers[name])
    return ClassicalPlanner() if name == "classical" else PeerPlanner(name, body, body.robot.radius_m)


def learned_and_shielded(sampler: TrajectorySampler) -> ShieldedPlanner:
    """The learned planner as `astra_local` has it."""
    # The budget is for a robot's own computer; a machine that evaluates may be busy with other things.
    shield = Shield(ShieldConfig(budget_s=60.0))
    return ShieldedPlanner(LearnedPlanner(sampler, LearnedConfig()), ClassicalPlanner(), shield, lambda: Ages(0.0, 0.0))


def _scan(ranges: FloatArray, time_s: float, lesson: LessonConfig) -> LaserScan:
    seen: Float32Array = np.where(ranges < lesson.sight_m - 1e-6, ranges, np.inf).astype(np.float32)
    return LaserScan(nanoseconds(time_s), "base_link", seen, 0.0, 2.0 * math.pi / len(ranges), 0.05, lesson.sight_m)


def _allowed(path: LocalPath | None) -> float:
    """The slowest speed of the next stretch, as astra_local asks the controller for it."""
    if path is None:
        return math.inf
    ahead = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path.poses[:, :2], axis=0).T))]) <= 0.6
    return max(float(path.speeds_mps[ahead].min()), 0.2)


def _episode(body: Body, why: str, recoveries: int, counts: ShieldCounts | None) -> Episode:
    route_m = float(np.hypot(*np.diff(body.task.route[:, :2], axis=0).T).sum())
    counts = counts or ShieldCounts()
    return Episode(
        why == "arrived", why, round(route_m, 3), round(body.driven_m, 3), round(body.time_s, 2), body.collisions, int(body.at_fault),
        round(float(body.room_m), 4), counts.ticks, counts.fallbacks, {str(reason): count for reason, count in counts.reasons.items()}, recoveries,
    )  # fmt: skip
