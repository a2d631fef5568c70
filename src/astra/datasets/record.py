"""A world and a robot in, a drive on disk out: the tour that a person would drive, or the expert's way from goal to goal."""

from __future__ import annotations

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
from astra.sim.recording import Driver, Recording, RecordingConfig, record_drive
from astra.sim.robot import RobotConfig
from astra.sim.simulation import Simulation
from astra.sim.tour import TourConfig, TourDriver
from astra.sim.world import World, WorldTruth
from astra.sim.worlds.plan import split_from_seed

DRIVERS = ("tour", "expert")
EXPERT_S = 60.0  # an expert's drive has no end of its own


@dataclass(frozen=True, slots=True)
class RecordRequest:
    """What to record.

    `driver` is `tour` or `expert`; `seed` is that of the sensors' errors, of the randomization and of the expert's goals.
    """

    world: World
    out: Path
    robot: RobotConfig = field(default_factory=RobotConfig)
    seed: int = 0
    driver: str = "tour"
    raw: bool = False
    movers: bool = True
    recording: RecordingConfig = field(default_factory=RecordingConfig)

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
    robot = request.robot
    simulation = Simulation(request.world, robot, request.seed, movers=request.movers)
    driver, recording = _driver(request, truth, simulation)
    lidar, imu = (Pose3(translation=np.array([0.0, 0.0, z])) for z in (robot.lidar.z_m, robot.imu.z_m))
    request.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=request.out.parent, prefix=f".{request.out.name}-") as draft:
            folder = Path(draft) / request.out.name
            origin = _origin(request, truth)
            with DriveWriter(folder, simulation.rig, lidar=lidar, imu=imu, truth=recording.truth, raw=request.raw, origin=origin) as writer:
                result = record_drive(simulation, driver, writer, recording, progress)
            folder.rename(request.out)
    finally:
        simulation.close()
    return result


def _driver(request: RecordRequest, truth: WorldTruth, simulation: Simulation) -> tuple[Driver, RecordingConfig]:
    if request.driver == "tour":
        tour = TourDriver(truth.tour, TourConfig(), simulation.movers)
        return tour, replace(request.recording, limit_s=tour.limit_s)
    from astra.datasets.expert import ExpertDriver, ExpertTour

    duration_s = min(request.recording.seconds, EXPERT_S) if request.recording.seconds == float("inf") else request.recording.seconds
    rng = np.random.default_rng([request.seed, 3])
    expert = ExpertDriver(truth, request.robot, rng, simulation.movers)
    return ExpertTour(expert, rng, duration_s), replace(request.recording, seconds=duration_s)


def _origin(request: RecordRequest, truth: WorldTruth) -> DriveOrigin:
    folder = str(request.world.scene.parent.resolve()) if request.recording.truth else ""
    split = split_from_seed(truth.seed)
    return DriveOrigin(folder, truth.kind, truth.seed, split, request.robot.name, request.robot.radius_m, request.seed, request.driver)
