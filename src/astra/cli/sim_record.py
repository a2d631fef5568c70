"""`astra sim record`: drive through a world and record it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra sim record worlds/office --out drives/office
  astra sim record worlds/office --out drives/office_small --size 160x120 --no-truth --seed 3
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("world", type=Path, help="world folder made by `astra sim world`")
    parser.add_argument("--out", type=Path, required=True, help="the drive to write; must not exist")
    parser.add_argument("--robot", type=Path, help="robot YAML (default: the built-in differential drive)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sensors' errors (default: 0)")
    parser.add_argument("--size", metavar="WxH", help="image size, for example 224x160 (default: the robot's)")
    parser.add_argument("--rate", type=float, default=5.0, help="images a second of every camera (default: %(default)s)")
    parser.add_argument("--no-truth", action="store_true", help="leave /ground_truth/odom out")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record the tour of a world."""
    import numpy as np

    from astra.core.config import load_config
    from astra.datasets import DriveWriter
    from astra.geometry import Pose3
    from astra.sim.robot import RobotConfig
    from astra.sim.simulation import Simulation
    from astra.sim.tour import TourConfig, record_tour
    from astra.sim.world import load_world

    world, robot = load_world(args.world), load_config(RobotConfig, args.robot)
    if world.truth is None:
        raise BadInputError(f"{args.world} has no tour: only worlds made by `astra sim world` know where a person would drive")
    if args.out.exists():
        raise BadInputError(f"{args.out} exists already; a drive is never overwritten")
    if args.size:
        width, height = _size(args.size)
        robot = replace(robot, cameras=replace(robot.cameras, width=width, height=height))
    config = TourConfig(image_rate_hz=args.rate)
    simulation = Simulation(world, robot, args.seed)
    lidar, imu = (Pose3(translation=np.array([0.0, 0.0, z])) for z in (robot.lidar.z_m, robot.imu.z_m))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=f".{args.out.name}-") as draft:
        folder = Path(draft) / args.out.name
        with DriveWriter(folder, simulation.rig, lidar=lidar, imu=imu, truth=not args.no_truth) as writer:
            result = record_tour(simulation, world.truth.tour, writer, config, truth=not args.no_truth, progress=_progress)
        folder.rename(args.out)
    simulation.close()
    print(f"{args.out}: {result.length_m:.1f} m in {result.duration_s:.0f} s, {result.frames} images, {result.collisions} collisions")
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise BadInputError(f"--size {text!r} is not of the form WxH, for example 224x160")
    return int(width), int(height)


def _progress(part: float) -> None:
    if sys.stderr.isatty():
        print(f"\r  recording {part:4.0%}", end="\n" if part >= 1.0 else "", file=sys.stderr, flush=True)
