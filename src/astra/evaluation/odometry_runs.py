"""Runs that odometry is judged on: what wheels and IMU said, and the truth; from recorded drives, or from the simulator's physics alone.

A run of the second kind needs no camera, so that sixty of them take minutes: a robot of the frozen recipe of `sim.randomize` (radius and
track errors, creep, slip events, IMU noise and bias, all drawn by the seed) follows the world's tour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.paths import atomic_write, cache_dir, recipe_hash
from astra.core.types import BoolArray, FloatArray, ImuSample, IntArray, WheelTwist, seconds
from astra.datasets.drive import Drive
from astra.datasets.motion import motion_of
from astra.datasets.mounting import imu_on_base
from astra.geometry import Trajectory
from astra.sim.randomize import RandomizationConfig, randomized
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.tour import TourConfig, TourDriver
from astra.sim.world import World, load_world
from astra.sim.worlds.build import generate
from astra.sim.worlds.plan import KINDS, Kind

CONTROL_S = 0.02
SETTLE_S = 1.0
SLIP_MPS, SLIP_RADPS = 0.05, 0.25  # by so much wheels and truth differ where they slip
STEADY_S = 0.06  # … for at least so long
SPIN_RADPS, STAND_MPS, STAND_RADPS = 0.4, 0.002, 0.004
FIRST_SEEDS = {"validate": 10011, "test": 20011}
STUCK = {("warehouse", 20011): 20012}  # worlds whose tour ends at an obstacle, and which stands in


@dataclass(frozen=True, slots=True, eq=False)
class OdometryRun:
    """One run: `wheel`, `imu` (base_link's axes), truth poses and `velocities` (N, 2) of v [m/s], w [rad/s] at the truth's stamps."""

    name: str
    wheel: Sequence[WheelTwist]
    imu: Sequence[ImuSample]
    truth: Trajectory
    velocities: FloatArray


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a simulated run is made from; everything follows from it."""

    kind: Kind
    world_seed: int
    seed: int  # of the robot's errors
    seconds: float = 75.0

    @property
    def name(self) -> str:
        """Name of the run."""
        return f"{self.kind}{self.world_seed}_{self.seed}"

    def key(self) -> str:
        """Changes with anything that changes the run."""
        recipe = {"recipe": asdict(RandomizationConfig()), "robot": asdict(RobotConfig()), "tour": asdict(TourConfig()), "settle": SETTLE_S}
        return recipe_hash(recipe | asdict(self))


def run_specs(split: str, count: int) -> tuple[RunSpec, ...]:
    """`count` runs, over one world of each kind; every run has a robot of its own."""
    if split not in FIRST_SEEDS:
        raise BadInputError(f"split {split!r} is none of {', '.join(FIRST_SEEDS)}")
    first = FIRST_SEEDS[split]
    kinds = [KINDS[-i % len(KINDS)] for i in range(count)]
    return tuple(RunSpec(kind, STUCK.get((kind, first), first), first + 90 + i) for i, kind in enumerate(kinds))


def simulated_run(spec: RunSpec, root: Path | None = None) -> OdometryRun:
    """The run of a spec; driven now, unless it is in the cache (`root`)."""
    root = root or cache_dir() / "evaluation"
    path = root / "odometry" / f"{spec.name}-{spec.key()}.npz"
    if not path.is_file():
        folder = root / "worlds" / f"{spec.kind}{spec.world_seed}"
        world = load_world(folder) if folder.is_dir() else generate(spec.kind, spec.world_seed, folder)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **_drive(world, spec))
        atomic_write(path, buffer.getvalue())
    with np.load(path) as data:
        wheel, imu, truth = data["wheel"], data["imu"], data["truth"]
        stamps = {name: data[f"{name}_ns"] for name in ("wheel", "imu", "truth")}
    twists = [WheelTwist(t, v, w) for t, (v, w) in zip(stamps["wheel"].tolist(), wheel.tolist())]
    samples = [ImuSample(t, row[:3], row[3:]) for t, row in zip(stamps["imu"].tolist(), imu)]
    return OdometryRun(spec.name, twists, samples, Trajectory(stamps["truth"], truth[:, :3]), truth[:, 3:])


def recorded_run(drive: Drive) -> OdometryRun:
    """The run of a recorded drive.

    Raises:
        BadInputError: it was recorded without truth, or without wheels.
    """
    wheel, motion = drive.wheel(), motion_of(drive)
    if motion.source != "truth" or not wheel:
        raise BadInputError(f"{drive.path} has no {'wheel odometry' if motion.source == 'truth' else 'truth'} to judge odometry by")
    return OdometryRun(drive.name, wheel, imu_on_base(drive).samples, Trajectory(motion.stamps_ns, motion.poses), motion.velocities)


def _drive(world: World, spec: RunSpec) -> dict[str, Any]:
    """Follow the world's tour without looking."""
    assert world.truth is not None
    robot = RobotConfig()
    simulation = Simulation(world, robot, spec.seed, movers=False, real=randomized(robot, spec.seed))
    driver = TourDriver(world.truth.tour, TourConfig())
    wheel: list[WheelTwist] = []
    imu: list[ImuSample] = []
    stamps: list[int] = []
    truth: list[tuple[float, ...]] = []
    while seconds(simulation.time_ns) < spec.seconds:
        pose, scene = simulation.pose(), simulation.truth()
        settled = seconds(simulation.time_ns) > SETTLE_S
        command = driver.command(pose, (scene.linear_mps, scene.angular_radps), seconds(scene.stamp_ns)) if settled else (0.0, 0.0)
        if command is None:
            break
        simulation.set_command(*command)
        simulation.advance(CONTROL_S)
        pose, scene = simulation.pose(), simulation.truth()
        truth.append((pose.x, pose.y, pose.yaw, scene.linear_mps, scene.angular_radps))
        stamps.append(simulation.time_ns)
        imu += simulation.drain_imu()
        wheel += simulation.drain_wheel()
    simulation.close()
    return {
        "wheel_ns": np.array([w.stamp_ns for w in wheel]), "wheel": np.array([(w.linear_mps, w.angular_radps) for w in wheel]),
        "imu_ns": np.array([s.stamp_ns for s in imu]), "imu": np.array([[*s.angular_velocity, *s.linear_acceleration] for s in imu]),
        "truth_ns": np.array(stamps), "truth": np.array(truth),
    }  # fmt: skip


# --- what happened ----------------------------------------------------------------------------------------------------------------------


def events(run: OdometryRun) -> dict[str, IntArray]:
    """Spans (M, 2) of time [ns] by what happens in them, by the truth: slip, spin (a turn on the spot), standstill."""
    stamps = np.array([w.stamp_ns for w in run.wheel], dtype=np.int64)
    told = np.array([(w.linear_mps, w.angular_radps) for w in run.wheel])
    start = int(stamps[0])
    known, wanted = (run.truth.stamps_ns - start).astype(np.float64), (stamps - start).astype(np.float64)
    true = np.stack([np.interp(wanted, known, column) for column in run.velocities.T], axis=1)
    speed, turn = np.abs(true[:, 0]), np.abs(true[:, 1])
    apart = np.abs(told - true)
    return {
        "slip": _spans(stamps, (apart[:, 0] > SLIP_MPS) | (apart[:, 1] > SLIP_RADPS), STEADY_S),
        "spin": _spans(stamps, (turn > SPIN_RADPS) & (speed < 0.1), 0.5),
        "standstill": _spans(stamps, (turn < STAND_RADPS) & (speed < STAND_MPS), 0.5),
    }


def _spans(stamps_ns: IntArray, happens: BoolArray, least_s: float) -> IntArray:
    """Spans (M, 2) of stamps during which something happens for long enough."""
    edges = np.diff(np.concatenate([[0], happens.astype(np.int8), [0]]))
    begins, ends = stamps_ns[np.flatnonzero(edges == 1)], stamps_ns[np.flatnonzero(edges == -1) - 1]
    spans: IntArray = np.stack([begins, ends], axis=1)[(ends - begins) * 1e-9 >= least_s]
    return spans
