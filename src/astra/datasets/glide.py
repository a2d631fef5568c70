"""Samples for the eyes alone: the robot is carried along random ways through a world, without physics, and looked out of.

What it costs is the pictures, so that there are six times as many for the same time as from the expert's drives. A shard holds several
rides, each on its own way; between them time jumps. There is no IMU, no encoder, no scan and no plan in it.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, Float32Array, FloatArray, nanoseconds
from astra.datasets.columns import NpyColumn
from astra.datasets.local_truth import LocalTruth
from astra.datasets.motion import Motion, in_ego_frame
from astra.datasets.origin import DriveOrigin
from astra.datasets.packing import SHARD_FILE, PackConfig, PackResult, claim, write_rig
from astra.datasets.visibility import VisibleCells
from astra.geometry import Pose2
from astra.sim.randomize import randomized
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.world import World, WorldTruth
from astra.sim.worlds.plan import split_from_seed

TICK_S = 0.1  # of the ride
MARGIN_M = 0.04  # around the robot's radius
AHEAD_M = 0.3  # how far ahead the rider looks
PAUSE_S = 60.0  # between two rides: everybody is somewhere else
BESIDE_M = (0.9, 3.0)  # how far a ride in company begins from somebody's way


@dataclass(frozen=True, slots=True)
class GlideConfig:
    """How many rides, how long, and what becomes a sample."""

    rides: int = 6
    seconds: float = 12.0  # of samples in each ride
    company: float = 0.0  # share of the rides that begin beside the way of somebody who walks then, and are slow
    pack: PackConfig = field(default_factory=PackConfig)

    def __post_init__(self) -> None:
        require(self.rides >= 1, "rides", self.rides, "at least 1")
        require(self.seconds >= 1.0, "seconds", self.seconds, "at least 1")
        require(0.0 <= self.company <= 1.0, "company", self.company, "in [0, 1]")
        period = 1.0 / self.pack.rate_hz
        for name, value in (("pack.rate_hz", period), ("pack.occupancy_step_s", self.pack.occupancy_step_s)):
            require(abs(value / TICK_S - round(value / TICK_S)) < 1e-6, name, value, f"a period of whole steps of {TICK_S} s")


def glide(world: World, robot: RobotConfig, config: GlideConfig, seed: int, out: Path, name: str) -> PackResult:
    """Ride through a world and add what was seen to the sample set `out` as the shard `name`; one that is there is kept.

    Args:
        world: with its truth.
        robot: whose cameras look; they are knocked askew, and their pictures spoiled, by the seed.
        config: the rides.
        seed: of the ways and of the cameras' errors.
        out: the sample set.
        name: of the shard.

    Raises:
        BadInputError: a world without truth or without room, or a set packed with other settings.
    """
    if world.truth is None:
        raise BadInputError(f"{world.scene} has no truth: only generated worlds can be glided through")
    claim(out, config.pack)
    folder = out / name
    if folder.is_dir():
        return PackResult(folder, int(json.loads((folder / SHARD_FILE).read_text())["samples"]), kept=True)
    simulation = Simulation(world, robot, seed, movers=True, real=randomized(robot, seed))
    rider, rng = Rider(world.truth, robot.radius_m + MARGIN_M), np.random.default_rng([seed, 5])
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}-") as draft:
            shard = Path(draft) / "shard"
            shard.mkdir()
            rides, count = [], 0
            with ExitStack() as stack:
                columns: dict[str, NpyColumn] = {}
                for _ in range(config.rides):
                    start_ns = simulation.time_ns + nanoseconds(PAUSE_S)
                    beside = _somebody(simulation, start_ns, config.seconds, rng) if config.company and rng.random() < config.company else None
                    motion = rider.ride(rng, start_ns, config.seconds + config.pack.horizon_s, beside)
                    for row in _samples(simulation, motion, LocalTruth(world.truth, config.pack.window), config):
                        for key, value in row.items():
                            if key not in columns:
                                columns[key] = stack.enter_context(NpyColumn(shard / f"{key}.npy"))
                            columns[key].append(value)
                        count += 1
                    rides.append(motion)
            _write_streams(rides, shard)
            write_rig(simulation.rig, shard)
            (shard / SHARD_FILE).write_text(json.dumps(_facts(world, robot, simulation, rides, count, seed), indent=1), encoding="utf-8")
            shard.rename(folder)
    finally:
        simulation.close()
    return PackResult(folder, count, kept=False)


class Rider:
    """Random ways over a world's free floor.

    Args:
        truth: of the world.
        radius_m: how far the way keeps from what stands there.
    """

    def __init__(self, truth: WorldTruth, radius_m: float) -> None:
        self._distance: Float32Array = cv2.distanceTransform(truth.free.astype(np.uint8), cv2.DIST_L2, 5) * np.float32(truth.resolution_m)
        self._truth, self._radius_m = truth, radius_m
        labels = np.asarray(cv2.connectedComponents((self._distance >= radius_m).astype(np.uint8))[1])
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        self._rows, self._columns = np.nonzero(labels == sizes.argmax())
        if sizes.max() < 100:
            raise BadInputError("this world has no room for the robot")

    def ride(self, rng: np.random.Generator, start_ns: int, seconds: float, beside: tuple[float, float] | None = None) -> Motion:
        """Where the robot is at every tick, from a random start on: it strolls, and turns where something is in the way.

        A ride `beside` a point x, y [m] begins within `BESIDE_M` of it, if there is room, and is slow.
        """
        x, y = self._start(rng, beside)
        yaw, v, w, lean, side = float(rng.uniform(-np.pi, np.pi)), 0.0, 0.0, 0.0, 1.0
        paces = [0.1, 0.2, 0.35, 0.35] if beside is None else [0.4, 0.4, 0.2, 0.0]
        pace, unrest = float(rng.choice([0.0, 0.25, 0.45, 0.6], p=paces)), float(rng.uniform(0.1, 0.5))
        poses, velocities = [], []
        for _ in range(round(seconds / TICK_S) + 1):
            poses.append((x, y, yaw))
            velocities.append((v, w))
            lean = 0.95 * lean + unrest * 0.3 * float(rng.standard_normal())
            blocked = self.clearance(x + AHEAD_M * np.cos(yaw), y + AHEAD_M * np.sin(yaw)) < self._radius_m
            if not blocked:
                side = 1.0 if lean > 0 else -1.0
            wanted = (0.0, 0.9 * side) if blocked else (pace, lean)
            v += float(np.clip(wanted[0] - v, -0.8 * TICK_S, 0.8 * TICK_S))
            w += float(np.clip(wanted[1] - w, -2.5 * TICK_S, 2.5 * TICK_S))
            yaw += w * TICK_S
            ahead = x + v * TICK_S * np.cos(yaw), y + v * TICK_S * np.sin(yaw)
            if self.clearance(*ahead) < self._radius_m:
                v = 0.0
            else:
                x, y = ahead
        stamps = start_ns + np.arange(len(poses)) * nanoseconds(TICK_S)
        return Motion(stamps, np.array(poses), np.array(velocities), np.zeros(len(poses), bool), "truth")

    def _start(self, rng: np.random.Generator, beside: tuple[float, float] | None) -> tuple[float, float]:
        origin, cell = self._truth.origin_xy, self._truth.resolution_m
        x, y = origin[0] + (self._columns + 0.5) * cell, origin[1] + (self._rows + 0.5) * cell
        chosen = np.arange(len(x))
        if beside is not None:
            away = np.hypot(x - beside[0], y - beside[1])
            chosen = np.flatnonzero((away >= BESIDE_M[0]) & (away <= BESIDE_M[1]))
            chosen = chosen if len(chosen) else np.arange(len(x))
        k = int(chosen[rng.integers(len(chosen))])
        return float(x[k]), float(y[k])

    def clearance(self, x: float, y: float) -> float:
        """To the next thing that stands there [m]; 0 outside."""
        origin, cell = self._truth.origin_xy, self._truth.resolution_m
        column, row = int((x - origin[0]) // cell), int((y - origin[1]) // cell)
        inside = 0 <= row < self._distance.shape[0] and 0 <= column < self._distance.shape[1]
        return float(self._distance[row, column]) if inside else 0.0


def _somebody(simulation: Simulation, start_ns: int, seconds: float, rng: np.random.Generator) -> tuple[float, float] | None:
    """Where somebody is at a moment of a ride to come, drawn from all moments at which somebody walks; None if nobody does."""
    if simulation.movers is None:
        return None
    times = start_ns * 1e-9 + np.arange(0.0, seconds, 0.5)
    simulation.movers.reset(float(times[0]))
    places = simulation.movers.predict(times)[..., :2]
    walks = np.hypot(*np.moveaxis(np.diff(places, axis=1), -1, 0)) > 0.1
    who, when = np.nonzero(walks)
    if not len(who):
        return None
    k = int(rng.integers(len(who)))
    x, y = places[who[k], when[k]]
    return float(x), float(y)


def _samples(simulation: Simulation, motion: Motion, local: LocalTruth, config: GlideConfig) -> list[dict[str, AnyArray]]:
    """One ride: every tick everybody moves on, every so often a sample is taken; truth is filled in once the future is known."""
    pack, names = config.pack, simulation.rig.names
    visible, every = VisibleCells(simulation.rig, pack.window), round(1.0 / pack.rate_hz / TICK_S)
    last = len(motion.poses) - 1 - round(pack.horizon_s / TICK_S)
    simulation.carry(Pose2(*motion.poses[0]), 0.0, (int(motion.stamps_ns[0]) - simulation.time_ns) * 1e-9, jump=True)
    rows, crowd = [], []
    for tick, (pose, velocity) in enumerate(zip(motion.poses, motion.velocities)):
        if tick:
            simulation.carry(Pose2(*pose), float(velocity[1]), TICK_S)
        crowd.append(simulation.crowd())
        if tick % every == 0 and tick <= last:
            frames = {f.camera: f for f in simulation.render(depth=True)}
            depth = np.stack([np.asarray(frames[n].depth_m, np.float16) for n in names])
            rows.append((tick, np.stack([frames[n].rgb for n in names]), depth, visible(dict(zip(names, depth)))))
    ahead = np.round(pack.occupancy_ns() / nanoseconds(TICK_S)).astype(int)
    return [
        {
            "image": image, "depth": depth, "visible": seen,
            "occupancy": local.over_time(Pose2(*motion.poses[tick]), np.stack([crowd[tick + k] for k in ahead])),
            **_labels(motion, tick, pack),
        }
        for tick, image, depth, seen in rows
    ]  # fmt: skip


def _labels(motion: Motion, tick: int, pack: PackConfig) -> dict[str, AnyArray]:
    stamp, pose = int(motion.stamps_ns[tick]), motion.poses[tick]
    future = in_ego_frame(pose, motion.at(stamp + pack.future_ns())).astype(np.float32)
    goal = in_ego_frame(pose, motion.poses[-1:])[0].astype(np.float32)
    rows = {
        "stamp_ns": np.int64(stamp), "pose": pose, "velocity": motion.velocity_at(stamp), "in_contact": np.bool_(False), "disturbed": np.bool_(False),
        "future": future, "plan": np.full_like(future, np.nan), "goal": goal,
        "subgoal": in_ego_frame(pose, motion.along(stamp, pack.subgoal_m)[None])[0].astype(np.float32),
    }  # fmt: skip
    return {name: np.asarray(row) for name, row in rows.items()}


def _write_streams(rides: list[Motion], shard: Path) -> None:
    start = int(rides[0].stamps_ns[0])
    for name, width in (("imu", 7), ("wheel", 3), ("scan", 0)):
        np.save(shard / f"{name}.npy", np.zeros((0, width), np.float32 if name == "scan" else np.float64))
    np.save(shard / "scan_time.npy", np.zeros(0))
    rows: list[FloatArray] = [np.column_stack([(m.stamps_ns - start) * 1e-9, m.poses, m.velocities]) for m in rides]
    np.save(shard / "motion.npy", np.concatenate(rows))


def _facts(world: World, robot: RobotConfig, simulation: Simulation, rides: list[Motion], count: int, seed: int) -> dict[str, object]:
    truth = world.truth
    assert truth is not None
    origin = DriveOrigin(
        str(world.scene.parent.resolve()), truth.kind, truth.seed, split_from_seed(truth.seed), robot.name, robot.radius_m, seed, "glide"
    )  # fmt: skip
    return {
        "samples": count, "drive": f"glide {seed}", "split": origin.split, "origin": asdict(origin), "pose_source": "truth",
        "start_ns": int(rides[0].stamps_ns[0]), "cameras": list(simulation.rig.names),
        "distortion_models": [c.model.distortion_model for c in simulation.rig.cameras], "scan": None,
    }  # fmt: skip
