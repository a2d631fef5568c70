"""`astra eval realtime`: missions through the real ROS graph, and whether paths, odometry and commands keep their pace meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.realtime import Heard, figures
from astra.ros.environment import activate
from astra.ros.mission import isolate_ros

if TYPE_CHECKING:
    from astra.ros.faults.bench import StackBench

UNDER_WAY_S = 90.0
LOCALIZED_S = 60.0


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """Where, and for how long missions are watched; with `nodes` the map is made larger by copies of itself first."""

    world: Path
    map: Path
    minutes: float = 2.0
    nodes: int = 0
    config: Path | None = None  # folder of parameter files instead of config/

    def __post_init__(self) -> None:
        require(0.1 <= self.minutes <= 600.0, "minutes", self.minutes, "between 0.1 and 600")
        require(self.nodes == 0 or 10 <= self.nodes <= 20_000, "nodes", self.nodes, "0, or between 10 and 20,000")


class _Ears:
    """Subscriptions on the watcher's node; when a message was sent counts, not when it was heard."""

    def __init__(self) -> None:
        self.paths: list[tuple[float, float]] = []
        self.odometry: list[tuple[float, float]] = []
        self.clock: list[tuple[float, float]] = []
        self.first_pose_s = math.inf  # wall time

    def listen(self, node: Any) -> None:
        from astra_nav.msg import Localization
        from nav_msgs.msg import Odometry, Path

        from astra.ros import qos

        node.create_subscription(Path, "astra/local_path", self._on_path, qos.RELIABLE)
        node.create_subscription(Odometry, "odom", self._on_odometry, qos.sensor(200))
        node.create_subscription(Odometry, "/ground_truth/odom", self._on_truth, qos.sensor(200))
        node.create_subscription(Localization, "astra/localization", self._on_localization, qos.RELIABLE)

    def _on_path(self, message: Any, info: Any) -> None:
        if message.poses:
            self.paths.append((_sent_s(info), _stamp_s(message)))

    def _on_odometry(self, message: Any, info: Any) -> None:
        self.odometry.append((_sent_s(info), _stamp_s(message)))

    def _on_truth(self, message: Any, info: Any) -> None:
        self.clock.append((_sent_s(info), _stamp_s(message)))

    def _on_localization(self, message: Any, info: Any) -> None:
        if message.status == message.STATUS_LOCALIZED:
            self.first_pose_s = min(self.first_pose_s, _sent_s(info))


def run(config: RealtimeConfig, out: Path, say: Callable[[str], None]) -> list[Result]:
    """Bring the stack up, patrol, and write what was measured.

    Raises:
        BadInputError: the world carries no truth.
        AstraError: the stack did not come up.
    """
    isolate_ros()
    activate()
    from astra.ros.faults.bench import StackBench, load_average, patrol_places
    from astra.sim.world import load_world
    from astra.topomap.io import load_map

    truth = load_world(config.world).truth
    if truth is None:
        raise BadInputError(f"{config.world} carries no truth: use a world made by `astra sim world`")
    out.mkdir(parents=True, exist_ok=True)
    topomap, places = _enlarged(config, out), patrol_places(load_map(config.map))
    ears, began = _Ears(), time.time()
    start = f"{truth.tour_start.x},{truth.tour_start.y},{truth.tour_start.yaw}"
    bench = StackBench(config.world, topomap, start, places, out, say, record=False, faulty=False, listen=ears.listen, config_dir=config.config)
    with bench:
        bench.until(lambda: math.isfinite(ears.first_pose_s), LOCALIZED_S)
        bench.patrol(True)
        bench.until(bench.fast, UNDER_WAY_S)
        heard = _watched(bench, ears, config, began)
        load = load_average()
    results = [*figures(heard), Result("missions_ended", len(heard.ends), "missions", 1), Result("load_average", load, "processes", 1)]
    notes = f"{config.minutes:g} minutes of patrol on {topomap.name}; the machine's load average was {load:.1f} at the end."
    write_report(results, out, "Pace of the running stack", notes)
    return results


def _watched(bench: StackBench, ears: _Ears, config: RealtimeConfig, began: float) -> Heard:
    since, cpu, steady = bench.now_s(), bench.supervisor.cpu_seconds(), time.monotonic()
    bench.spend(60.0 * config.minutes)
    span_s, offset_s = bench.now_s() - since, time.time() - time.monotonic()
    cores = {name: (used - cpu[name]) / span_s for name, used in bench.supervisor.cpu_seconds().items()}
    return Heard(
        np.array([row for row in ears.paths if row[0] >= since]).reshape(-1, 2),
        np.array([row for row in ears.odometry if row[0] >= since]).reshape(-1, 2),
        np.array([row for row in bench.commands if row[0] >= since]).reshape(-1, 3),
        np.array([row for row in ears.clock if row[0] >= since]).reshape(-1, 2),
        np.array([when + offset_s for when, _, _ in bench.ends if when >= steady]),
        cores,
        ears.first_pose_s - began,
    )


def _enlarged(config: RealtimeConfig, out: Path) -> Path:
    if config.nodes == 0:
        return config.map
    from astra.evaluation.bench_localize import BenchLocalizeConfig, make_material

    folder = out / "maps" / f"nodes{config.nodes}"
    folder.parent.mkdir(exist_ok=True)
    if not (folder / "map.yaml").is_file():
        make_material(BenchLocalizeConfig(config.map, (config.nodes,)), config.nodes, folder)
    return folder


def _sent_s(info: Any) -> float:
    return float(info["source_timestamp"]) * 1e-9


def _stamp_s(message: Any) -> float:
    return float(message.header.stamp.sec) + 1e-9 * float(message.header.stamp.nanosec)
