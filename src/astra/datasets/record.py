"""A world and a robot in, a drive on disk out: the tour that a person would drive, or the expert's way from goal to goal."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.datasets.origin import DriveOrigin
from astra.datasets.writer import DriveWriter
from astra.geometry import Pose3
from astra.sim.driver import Driver
from astra.sim.randomize import RandomizedRobot, randomized
from astra.sim.recording import Recording, RecordingConfig, record_drive
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.tour import TourConfig, TourDriver
from astra.sim.world import World, WorldTruth
from astra.sim.worlds.plan import split_from_seed

DRIVERS = ("tour", "expert")
EXPERT_S = 60.0  # an expert's drive has no end of its own
EXPERT_STREAM = 3  # of random numbers, apart from the sensors'


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """What to record.

    `driver` is `tour` or `expert`; `seed` is that of the sensors' errors and of the expert's goals; `disturbances`: whether the
    expert may start in a bad place and is pushed now and then, so that its plans show how to come back. `randomize`: seed of how the
    robot differs from its description; None: not at all.
    """

    world: World
    out: Path
    robot: RobotConfig = field(default_factory=RobotConfig)
    seed: int = 0
    driver: str = "tour"
    raw: bool = False
    movers: bool = True
    disturbances: bool = True
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    randomize: int | None = None

    @property
    def real(self) -> RandomizedRobot | None:
        """The robot as it is driven, where it differs from its description."""
        return None if self.randomize is None else randomized(self.robot, self.randomize)

    def __post_init__(self) -> None:
        require(self.driver in DRIVERS, "driver", self.driver, f"one of {', '.join(DRIVERS)}")


def record_world(request: RecordRequest, progress: Callable[[float], None] | None = None) -> Recording:
    """Record one drive; the folder appears when it is whole.

    Raises:
        BadInputError: a world without truth, or a drive that exists already.
        AstraError: the driver did not come to its end.
    """
    truth = request.world.truth
    if truth is None:
        raise BadInputError(f"{request.world.scene} has no tour: only worlds made by `astra sim world` know where a person would drive")
    if request.out.exists():
        raise BadInputError(f"{request.out} exists already; a drive is never overwritten")
    stage = _tour(request, truth) if request.driver == "tour" else _expert(request, truth)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _record(request, truth, stage, progress)
    finally:
        stage.simulation.close()


def _record(request: RecordRequest, truth: WorldTruth, stage: _Stage, progress: Callable[[float], None] | None) -> Recording:
    robot, config = request.robot, stage.config
    lidar, imu = (Pose3(translation=np.array([0.0, 0.0, z])) for z in (robot.lidar.z_m, robot.imu.z_m))
    with tempfile.TemporaryDirectory(dir=request.out.parent, prefix=f".{request.out.name}-") as draft:
        folder, origin = Path(draft) / request.out.name, _origin(request, truth)
        with DriveWriter(folder, stage.simulation.rig, lidar=lidar, imu=imu, truth=config.truth, raw=request.raw, origin=origin) as writer:
            result = record_drive(stage.simulation, stage.driver, writer, config, progress)
        folder.rename(request.out)
    return result


@dataclass(frozen=True, slots=True)
class _Stage:
    """A robot in its world, who drives it, and for how long."""

    simulation: Simulation
    driver: Driver
    config: RecordingConfig


def _tour(request: RecordRequest, truth: WorldTruth) -> _Stage:
    simulation = Simulation(request.world, request.robot, request.seed, movers=request.movers, real=request.real)
    driver = TourDriver(truth.tour, TourConfig(), simulation.movers)
    return _Stage(simulation, driver, replace(request.recording, limit_s=driver.limit_s))


def _expert(request: RecordRequest, truth: WorldTruth) -> _Stage:
    """The expert from goal to goal, from a start that is sometimes a mistake, disturbed now and then."""
    from astra.datasets.expert import DisturbanceConfig, ExpertDriver, ExpertTour, StartKind, draw_start, floor_for
    from astra.datasets.expert.driver import outline_of

    rng = np.random.default_rng([request.seed, EXPERT_STREAM])
    floor, seconds = floor_for(truth, request.robot), request.recording.seconds
    duration_s = EXPERT_S if math.isinf(seconds) else seconds
    kinds = list(StartKind) if request.disturbances else [StartKind.FREE]
    kind = kinds[int(rng.integers(len(kinds)))]
    start = draw_start(floor, outline_of(request.robot), kind, rng, (truth.tour_start.x, truth.tour_start.y))
    simulation = Simulation(request.world, request.robot, request.seed, start, movers=request.movers, real=request.real)
    expert = ExpertDriver(truth, request.robot, rng, simulation.movers, floor=floor)
    driver = ExpertTour(expert, rng, duration_s, truth, DisturbanceConfig() if request.disturbances else None)
    return _Stage(simulation, driver, replace(request.recording, seconds=duration_s))


def _origin(request: RecordRequest, truth: WorldTruth) -> DriveOrigin:
    folder = str(request.world.scene.parent.resolve()) if request.recording.truth else ""
    split = split_from_seed(truth.seed)
    return DriveOrigin(folder, truth.kind, truth.seed, split, request.robot.name, request.robot.radius_m, request.seed, request.driver)
