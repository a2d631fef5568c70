"""One query after the other on one map: what it asks, what each method answers, how far off that is. A line of queries.jsonl each."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import CameraFrame
from astra.evaluation.localization.baselines import BaselineAnswer, Baselines
from astra.evaluation.localization.truth import Truth
from astra.evaluation.mapping.episodes import Episode
from astra.evaluation.mapping.judge import map_errors
from astra.evaluation.mapping.material import prepare
from astra.evaluation.relocalization import FEWEST_NODES_OK_M, Body, several
from astra.geometry import CameraRig, Pose2, Pose3
from astra.global_model.localizer import GlobalLocalizer
from astra.global_model.types import LocalizationResult, Query, Status
from astra.sim.randomize import ImagePipeline, RandomizationConfig
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.starts import random_start
from astra.sim.world import World

CAMERA = "front"
CLEARANCE_M = 0.3
CHANGED_LIGHT = RandomizationConfig(camera_shift_m=0.0, camera_turn_deg=0.0, exposure=(0.4, 2.2), gamma=(0.7, 1.4), white_balance=(0.8, 1.25))


@dataclass(frozen=True, slots=True)
class QueriesConfig:
    """What is asked beside one plain image. frames: of an aimless motion, 1 for none. light_every, frames_every: which queries get these."""

    frames: int = 1
    frames_every: int = 20
    light_every: int = 10
    foreign: bool = False
    foreign_every: int = 4

    def __post_init__(self) -> None:
        require(1 <= self.frames <= 5, "frames", self.frames, "1 … 5")
        for name in ("frames_every", "light_every", "foreign_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "≥ 1")


@dataclass(frozen=True, slots=True)
class Ask:
    """One query: the image of the front camera of a robot that stands at `world_from_base`, on the map of that world."""

    map: str
    number: int
    world_from_base: Pose2


class Bench:
    """One map with its world; and, for images that are none of its business, another world."""

    def __init__(self, folder: Path, foreign: Path | None, config: QueriesConfig) -> None:
        self.config, self.name = config, folder.name
        material = prepare(episode_of(folder))
        self.localizer = GlobalLocalizer(folder)
        topo = self.localizer.loaded.map
        if topo.info.scale_source == "unknown":
            raise BadInputError(f"{folder.name}: a map without scale is no ground to judge localization on")
        fragments = map_errors(topo, material.truth)
        if max(f.worst_m for f in fragments) > FEWEST_NODES_OK_M:
            raise BadInputError(f"{folder.name}: a node is off by more than half a metre: no ground to judge localization on")
        self.truth, self.baselines = Truth(self.localizer.loaded, fragments), Baselines(self.localizer.loaded)
        self.world, self._elsewhere = material.world, _world(foreign) if foreign is not None else None
        self.simulation = Simulation(self.world, one_camera(), 0, movers=False)
        self.foreign = Simulation(self._elsewhere, one_camera(), 0, movers=False) if self._elsewhere is not None else None
        self.localizer.describe(_query(_picture(self.simulation, self.ask(0).world_from_base), self.simulation.rig))  # models load at the first image

    def ask(self, number: int) -> Ask:
        """The query of a number: always the same one, uniform over the reachable floor."""
        return Ask(self.name, number, _start(self.world, self.name, number))

    def measure(self, ask: Ask) -> dict[str, Any]:
        """All answers to one query."""
        config, rig = self.config, self.simulation.rig
        seed = seed_of(self.name)
        frame = _picture(self.simulation, ask.world_from_base)
        exposure = self.truth.exposure(CAMERA, rig[CAMERA].base_from_cam, ask.world_from_base)
        row: dict[str, Any] = {
            "map": self.name, "kind": kind_of(self.name), "query": ask.number,
            "pose": [round(v, 4) for v in (ask.world_from_base.x, ask.world_from_base.y, ask.world_from_base.yaw)],
            "view_m": _number(exposure.view_m), "near": exposure.is_near, "reverse": exposure.is_reverse,
            "centre_m": round(math.dist(self.truth.centre(), (ask.world_from_base.x, ask.world_from_base.y)), 3),
        }  # fmt: skip
        query = _query(frame, rig)
        row |= self._answers(query, ask.world_from_base)
        if ask.number % config.light_every == 0:
            light = ImagePipeline(CHANGED_LIGHT, rig, seed * 10_000 + ask.number)
            lit = replace(frame, rgb=light.apply(frame.rgb, CAMERA, 0.0, 0.0))
            row["light"] = self._ours(self.localizer.localize(_query(lit, rig)), ask.world_from_base)
        if config.frames > 1 and ask.number % config.frames_every == 0:
            row["frames"] = self._moving(ask, config.frames)
        if self.foreign is not None and self._elsewhere is not None and ask.number % config.foreign_every == 0:
            stranger = _picture(self.foreign, _start(self._elsewhere, self.name, ask.number))
            found = self.localizer.localize(_query(stranger, self.foreign.rig))
            row["foreign"] = {"status": found.status.value, "confidence": round(found.confidence, 4), "inliers": found.inliers}
        return row

    def close(self) -> None:
        """Free what renders."""
        self.simulation.close()
        if self.foreign is not None:
            self.foreign.close()

    def _answers(self, query: Query, truth: Pose2) -> dict[str, Any]:
        started, cpu = time.perf_counter(), time.process_time()
        images = self.localizer.describe(query)
        extraction_s = time.perf_counter() - started
        found = self.localizer.localize(query, images)
        cpu_s = time.process_time() - cpu
        ours = self._ours(found, truth)
        ours["time_s"]["cpu"] = round(cpu_s, 4)  # whatever else the machine does
        ours["time_s"]["extraction"] = round(extraction_s, 4)
        ours["time_s"]["total"] = round(ours["time_s"]["total"] + extraction_s, 4)
        others = self.baselines.answer(query, images)
        return {"astra": ours} | {name: self._theirs(answer, truth, extraction_s) for name, answer in others.items()}

    def _ours(self, found: LocalizationResult, truth: Pose2) -> dict[str, Any]:
        pose = found.map_from_base if found.status is Status.LOCALIZED else None
        answer = self._judged(pose, truth) | {"status": found.status.value, "confidence": round(found.confidence, 4), "inliers": found.inliers}
        if found.status is Status.COARSE and found.candidate_nodes:
            answer["coarse_m"] = round(self.truth.distance_m(found.candidate_nodes[0], truth), 3)
        times = found.times
        answer["time_s"] = {
            "coarse": round(times.coarse_s, 4), "consistency": round(times.consistency_s, 4), "fine": round(times.fine_s, 4), "total": round(times.total_s, 4),
        }  # fmt: skip
        return answer

    def _theirs(self, answer: BaselineAnswer, truth: Pose2, extraction_s: float) -> dict[str, Any]:
        status = "lost" if answer.map_from_base is None else "localized"
        total = round(answer.time_s + extraction_s, 4)
        return self._judged(answer.map_from_base, truth) | {"status": status, "confidence": round(answer.score, 4), "time_s": {"total": total}}

    def _judged(self, map_from_base: Pose3 | None, truth: Pose2) -> dict[str, Any]:
        if map_from_base is None:
            return {"off_m": None, "off_deg": None}
        off_m, off_rad = self.truth.error(map_from_base, truth)
        return {"off_m": round(off_m, 4), "off_deg": round(math.degrees(off_rad), 3)}

    def _moving(self, ask: Ask, frames: int) -> dict[str, Any]:
        body = Body(self.simulation, ask.world_from_base, (CAMERA,), np.random.default_rng([seed_of(self.name), ask.number, 2]))
        pose, looks = several(self.localizer, body, self.localizer.localize(body.query()), frames)
        judged = self._judged(None if pose is None else Pose3.from_pose2(pose), body.truth)
        return judged | {"status": "lost" if pose is None else "localized", "looks": looks, "driven_m": round(body.driven_m, 2)}


def measure_chunk(folder: Path, foreign: Path | None, numbers: Sequence[int], config: QueriesConfig) -> Iterator[dict[str, Any]]:
    """The rows of some queries of one map.

    Raises:
        BadInputError: the map is no ground to judge localization on.
    """
    bench = Bench(folder, foreign, config)
    try:
        for number in numbers:
            yield bench.measure(bench.ask(number))
    finally:
        bench.close()


def kind_of(name: str) -> str:
    """home, office, warehouse or ring."""
    return name.rstrip("0123456789")


def seed_of(name: str) -> int:
    """The seed of a world.

    Raises:
        BadInputError: the name is not a kind and a seed.
    """
    digits = name[len(kind_of(name)) :]
    if not digits:
        raise BadInputError(f"map {name!r} is not named like a tour: kind and seed, such as home20000")
    return int(digits)


def episode_of(folder: Path) -> Episode:
    """The tour that a map folder is named after; world and drive are those of `astra eval mapping`."""
    return Episode(kind_of(folder.name), seed_of(folder.name), "", movers=False)


def one_camera() -> RobotConfig:
    """The robot with its front camera alone: nothing else is asked about, and nothing else needs to be drawn."""
    robot = RobotConfig()
    row = robot.cameras.names.index(CAMERA)
    return replace(robot, cameras=replace(robot.cameras, names=(CAMERA,), yaws_deg=(robot.cameras.yaws_deg[row],)))


def _world(folder: Path) -> World:
    return prepare(episode_of(folder)).world


def _start(world: World, name: str, number: int) -> Pose2:
    return random_start(world, np.random.default_rng([seed_of(name), number, 7]), CLEARANCE_M)


def _picture(simulation: Simulation, pose: Pose2) -> CameraFrame:
    simulation.place(pose)
    return next(frame for frame in simulation.render() if frame.camera == CAMERA)


def _query(frame: CameraFrame, rig: CameraRig) -> Query:
    return Query.from_frames((frame,), rig)


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
