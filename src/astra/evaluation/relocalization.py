"""`astra eval relocalization`: a robot wakes up anywhere. What does one frame tell it, what five on the way, and what looking around on purpose?

Offline: true images of the simulator at the poses that the mission's own looking around leads to, odometry with errors, no ROS and no movers.
Right is within 1 m and 5° of the truth, wrong is a pose further off, lost is the admission.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import FloatArray, nanoseconds
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.goals_table import wilson
from astra.evaluation.mapping.episodes import Episode
from astra.evaluation.mapping.judge import FragmentErrors, map_errors
from astra.evaluation.mapping.material import prepare
from astra.fusion.relocalization import OdometryPoint, TrackState
from astra.geometry import CameraRig, Pose2, wrap_angle
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import LocalizationResult, Query, Status
from astra.navigation.free_space import free_ways
from astra.navigation.look_around import LookAround
from astra.navigation.mission_events import Advance, MissionConfig, Tick
from astra.navigation.recovery import widest_gap
from astra.navigation.whereabouts import Whereabouts, look_pose
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.starts import floor_plan, random_start
from astra.sim.world import World

RIGHT_M, RIGHT_RAD = 1.0, math.radians(5.0)
HALF_WIDTH_M = 0.30
MODES = ("one", "five", "active")
BEFORE_MOVING = 3  # looks at standstill before the robot looks around
FEWEST_NODES_OK_M = 0.5  # a map with a node further off is no ground to judge localization on
NOTES = (
    "Robots that wake up at random places of unseen worlds. `one`: the answer to one moment's images; `five`: at most five moments of an aimless "
    "motion; `active`: looking around as the mission does. right: within 1 m and 5° of the truth; wrong: a pose further off; lost: no pose. "
    "Worlds without movers; odometry errs by 2 % of the way and 2 % of the turn. Intervals are Wilson's, 95 %."
)


@dataclass(frozen=True, slots=True)
class RelocalizationTableConfig:
    """Which maps (folders named like tours: home20000, ring20001 …), how many starts on each, with which cameras."""

    maps: Path
    starts: int = 12
    cameras: tuple[str, ...] = ()  # of the robot; none: all
    only: str = ""
    max_looks: int = 24

    def __post_init__(self) -> None:
        require(self.maps.is_dir(), "maps", self.maps, "a folder of maps")
        require(1 <= self.starts <= 1000, "starts", self.starts, "between 1 and 1000")


@dataclass(frozen=True, slots=True)
class Waking:
    """One start, one way of looking."""

    map: str
    start: int
    cameras: int
    mode: str
    outcome: str
    error_m: float
    error_deg: float
    looks: int
    turned_rad: float
    driven_m: float
    view_m: float  # from the start to the nearest mapped view that looks the same way (30°); infinite: none
    nearest_m: float  # between the robot's centre and the nearest obstacle, over all moves


class Body:
    """The robot in the simulator with odometry that errs."""

    def __init__(self, simulation: Simulation, start: Pose2, cameras: tuple[str, ...], rng: np.random.Generator) -> None:
        self.simulation, self.truth, self._cameras, self._rng = simulation, start, cameras, rng
        self.odom, self.driven_m, self.turned_rad, self.time_s = Pose2(*rng.uniform(-3.0, 3.0, 3)), 0.0, 0.0, 0.0
        plan = floor_plan(simulation.world)
        self._plan, self._clearance = plan, plan.clearance_m()
        self.nearest_m = self._clear_m()
        simulation.place(start)

    def move(self, step: Pose2) -> None:
        """Turn or drive; the truth and what odometry makes of it."""
        pieces = max(1, math.ceil(abs(step.x) / 0.1))
        for _ in range(pieces):
            self.truth = self.truth @ Pose2(step.x / pieces, 0.0, step.yaw / pieces)
            self.nearest_m = min(self.nearest_m, self._clear_m())
        noise = 0.02 * self._rng.standard_normal(2)
        self.odom = self.odom @ Pose2(step.x * (1.0 + noise[0]), 0.0, step.yaw * (1.0 + noise[1]) + 0.01 * noise[0] * step.x)
        self.driven_m, self.turned_rad = self.driven_m + abs(step.x), self.turned_rad + abs(step.yaw)
        self.time_s += 3.0
        self.simulation.place(self.truth)

    def odometry(self) -> OdometryPoint:
        """Where odometry believes the robot to be."""
        return OdometryPoint(nanoseconds(self.time_s), self.odom, self.driven_m, self.turned_rad)

    def ways(self, headings: FloatArray) -> FloatArray:
        """How far the lidar says that it may drive."""
        return free_ways(self.simulation.scan(), Pose2(), headings, HALF_WIDTH_M, HALF_WIDTH_M)

    def gap(self) -> float | None:
        """The heading of the widest gap."""
        return widest_gap(self.simulation.scan())

    @property
    def rig(self) -> CameraRig:
        """The cameras that are used."""
        rig = self.simulation.rig
        return replace(rig, cameras=tuple(c for c in rig.cameras if not self._cameras or c.name in self._cameras))

    def query(self, suspects: tuple[Pose2, ...] = ()) -> Query:
        """What the cameras see."""
        frames = tuple(f for f in self.simulation.render() if not self._cameras or f.camera in self._cameras)
        return replace(Query.from_frames(frames, self.simulation.rig), stamp_ns=nanoseconds(self.time_s), thorough=True, suspects=suspects)

    def _clear_m(self) -> float:
        cell = self._plan.cell(self.truth.x, self.truth.y)
        return 0.0 if cell is None else float(self._clearance[cell])


class Judge:
    """The truth on one map, fragment by fragment."""

    def __init__(self, localizer: GlobalLocalizer, fragments: Sequence[FragmentErrors]) -> None:
        self._loaded, self._fragments = localizer.loaded, {f.fragment: f for f in fragments}
        self._rows = {f.fragment: localizer.loaded.rows_of_nodes(f.node_ids) for f in fragments}

    def error(self, map_from_base: Pose2, world_from_base: Pose2) -> tuple[float, float]:
        """Off by [m], [rad], in the fragment of the map that the pose fits best: places that two fragments show have two right poses."""
        trues = [self._in_map(fragment, world_from_base) for fragment in self._fragments]
        true = min(trues, key=map_from_base.distance_to)
        return map_from_base.distance_to(true), abs(wrap_angle(map_from_base.yaw - true.yaw))

    def view_m(self, world_from_base: Pose2) -> float:
        """Distance to the nearest mapped view that looks within 30° of the robot's heading."""
        best = math.inf
        for fragment in self._fragments:
            true = self._in_map(fragment, world_from_base)
            rows = self._rows[fragment]
            ahead = self._loaded.view_axes[rows, :2] @ np.array([math.cos(true.yaw), math.sin(true.yaw)])
            alike = rows[ahead > math.cos(math.radians(30.0))]
            if len(alike):
                best = min(best, float(np.linalg.norm(self._loaded.view_positions[alike, :2] - [true.x, true.y], axis=1).min()))
        return best

    def _in_map(self, fragment: int, world_from_base: Pose2) -> Pose2:
        world_from_map = self._fragments[fragment].world_from_map
        point = np.array([world_from_base.x, world_from_base.y, 0.0])
        x, y, _ = world_from_map.inverse().apply(point)
        heading = world_from_map.rotation.T @ np.array([math.cos(world_from_base.yaw), math.sin(world_from_base.yaw), 0.0])
        return Pose2(float(x), float(y), math.atan2(heading[1], heading[0]))


def wake(localizer: GlobalLocalizer, judge: Judge, body_at: Callable[[], Body], name: str, start: int, config: RelocalizationTableConfig) -> Iterator[Waking]:
    """All ways of looking from one start."""
    body = body_at()
    view_m = judge.view_m(body.truth)
    first = localizer.localize(body.query())
    for mode in MODES:
        body = body_at()
        first = localizer.localize(body.query()) if mode == MODES[-1] else first
        pose, looks = _one(first) if mode == "one" else several(localizer, body, first) if mode == "five" else _active(localizer, body, first, config)
        error_m, error_rad = (math.inf, math.inf) if pose is None else judge.error(pose, body.truth)
        outcome = "lost" if pose is None else "right" if error_m <= RIGHT_M and error_rad <= RIGHT_RAD else "wrong"
        cameras = len(config.cameras) or len(body.simulation.rig.cameras)
        yield Waking(
            name, start, cameras, mode, outcome, round(error_m, 4), round(math.degrees(error_rad), 3), looks, round(body.turned_rad, 2),
            round(body.driven_m, 2), round(view_m, 2), round(body.nearest_m, 3),
        )  # fmt: skip


def _one(first: LocalizationResult) -> tuple[Pose2 | None, int]:
    return (first.map_from_base.pose2() if first.status is Status.LOCALIZED and first.map_from_base is not None else None), 1


def several(localizer: GlobalLocalizer, body: Body, first: LocalizationResult, moments: int = 5) -> tuple[Pose2 | None, int]:
    """A few moments of an aimless motion: straight on where there is room, else a turn. The pose, if any, and how many it took."""
    whereabouts, result = Whereabouts(), first
    for look in range(1, moments + 1):
        if look > 1:
            room_m = float(body.ways(np.zeros(1))[0])
            body.move(Pose2(0.5, 0.0, 0.0) if room_m > 0.7 else Pose2(0.0, 0.0, math.pi / 4.0))
            result = localizer.localize(body.query(whereabouts.suspects(body.odometry())))
        if _settled(whereabouts, body, localizer, result):
            return _pose(whereabouts, body), look
    return None, moments


def _active(localizer: GlobalLocalizer, body: Body, first: LocalizationResult, config: RelocalizationTableConfig) -> tuple[Pose2 | None, int]:
    """As the mission looks around: where the map says it tells most, else turn by turn."""
    whereabouts, result, look_around = Whereabouts(), first, LookAround(MissionConfig())
    headings = 2.0 * math.pi * np.arange(whereabouts.config.looking.turns) / whereabouts.config.looking.turns
    for look in range(1, config.max_looks + 1):
        repeats = BEFORE_MOVING if look == 1 else 1
        if any(_settled(whereabouts, body, localizer, result) for _ in range(repeats)):
            return _pose(whereabouts, body), look
        wish = whereabouts.next_look(localizer.loaded, body.rig, body.ways(headings))
        view = None if wish is None else look_pose(Pose2(), wish)
        step = look_around.next(Tick(body.time_s, look=view, gap_rad=body.gap(), room_ahead_m=float(body.ways(np.zeros(1))[0])))
        if isinstance(step, str):
            return None, look
        body.move(Pose2(step.distance_m, 0.0, 0.0) if isinstance(step, Advance) else Pose2(0.0, 0.0, step.angle_rad))
        look_around.ended(True, "")
        result = localizer.localize(body.query(whereabouts.suspects(body.odometry())))
    return None, config.max_looks


def _settled(whereabouts: Whereabouts, body: Body, localizer: GlobalLocalizer, result: LocalizationResult) -> bool:
    odometry = body.odometry()
    whereabouts.estimator.advance(odometry)
    whereabouts.settle(result, odometry, whereabouts.consider(result, odometry, body.rig, localizer.likeness))
    return whereabouts.estimator.state is TrackState.TRACKING


def _pose(whereabouts: Whereabouts, body: Body) -> Pose2 | None:
    estimate = whereabouts.estimator.estimate_at(body.odometry())
    return None if estimate is None else estimate.map_from_base


# --- the table --------------------------------------------------------------------------------------------------------------------------


def run(config: RelocalizationTableConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Wake up on every map and write episodes.jsonl, results.json and report.md; starts that stand there already are not measured again."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "episodes.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    cameras = len(config.cameras) or len(RobotConfig().rig().cameras)
    for folder in sorted(p for p in config.maps.iterdir() if (p / "map.yaml").is_file() and "-" not in p.name and config.only in p.name):
        kind = folder.name.rstrip("0123456789")
        episode = Episode(kind, int(folder.name[len(kind) :]), "", movers=False)
        done = {row["start"] for row in rows if row["map"] == folder.name and row["cameras"] == cameras and row["mode"] == MODES[-1]}
        if len(done) >= config.starts:
            continue
        try:
            rows += _wake_on(folder, episode, [k for k in range(config.starts) if k not in done], config, path, progress)
        except BadInputError as error:
            progress(f"{folder.name}: {error}")
    results = figures(rows)
    write_report(results, out, "Relocalization", NOTES)
    return results


def _wake_on(
    folder: Path, episode: Episode, starts: Sequence[int], config: RelocalizationTableConfig, path: Path, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    material = prepare(episode)
    localizer = GlobalLocalizer(folder)
    fragments = map_errors(localizer.loaded.map, material.truth)
    if max(f.worst_m for f in fragments) > FEWEST_NODES_OK_M:
        raise BadInputError("this map has a node that is off by more than half a metre")
    judge, world = Judge(localizer, fragments), material.world
    simulation = Simulation(world, RobotConfig(), 0, movers=False)
    rows = []
    try:
        for start in starts:
            pose = _start(world, episode, start)

            def body_at(pose: Pose2 = pose, start: int = start) -> Body:
                return Body(simulation, pose, config.cameras, np.random.default_rng([episode.seed, start, 1]))

            for waking in wake(localizer, judge, body_at, folder.name, start, config):
                rows.append(asdict(waking))
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
            progress(f"{folder.name} {start}: " + ", ".join(f"{row['mode']} {row['outcome']} ({row['looks']})" for row in rows[-3:]))
    finally:
        simulation.close()
    return rows


def _start(world: World, episode: Episode, start: int) -> Pose2:
    return random_start(world, np.random.default_rng([episode.seed, start]))


def figures(rows: Sequence[dict[str, Any]]) -> list[Result]:
    """Shares by number of cameras, kind of building and way of looking, and what looking around cost."""
    out = []
    for cameras in sorted({row["cameras"] for row in rows}, reverse=True):
        for kind in ("all", *sorted({row["map"].rstrip("0123456789") for row in rows})):
            for mode in MODES:
                mine = [r for r in rows if r["cameras"] == cameras and r["mode"] == mode and kind in ("all", r["map"].rstrip("0123456789"))]
                name = f"{cameras} cameras/{kind}/{mode}"
                if not mine:
                    continue
                out += [_share(f"{name}/{outcome}", [r["outcome"] == outcome for r in mine]) for outcome in ("right", "wrong", "lost")]
                if mode == "active":
                    out.append(Result(f"{name}/looks", float(np.mean([r["looks"] for r in mine])), "", len(mine)))
                    out.append(Result(f"{name}/driven", float(np.mean([r["driven_m"] for r in mine])), "m", len(mine)))
                    moved = [r["nearest_m"] for r in mine if r["driven_m"] > 0.0]
                    if moved:
                        out.append(Result(f"{name}/nearest obstacle when moving", min(moved), "m", len(moved)))
    return out


def _share(name: str, hits: Sequence[bool]) -> Result:
    low, high = wilson(sum(hits), len(hits))
    return Result(name, sum(hits) / len(hits), "", len(hits), 0.5 * (high - low))
