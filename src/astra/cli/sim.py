"""`astra sim`: make worlds, record tours, run missions."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra sim world --kind office --seed 0 --out worlds/office
  astra sim record worlds/office --out drives/office
  astra sim run worlds/office --map maps/office --mission "find the resting area" --start random --out out/run1
"""
WORLD_EXAMPLES = """examples:
  astra sim world --kind office --seed 0 --out worlds/office
  astra sim world --out worlds/other --seed 7 --overview other.png
"""
RECORD_EXAMPLES = """examples:
  astra sim record worlds/office --out drives/office
  astra sim record worlds/office --out drives/office_small --size 160x120 --no-truth --seed 3
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands world, record and run."""
    from astra.cli import sim_run

    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(dest="sim_command", metavar="COMMAND", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    world = commands.add_parser("world", help="generate a furnished office", epilog=WORLD_EXAMPLES, formatter_class=raw)
    world.add_argument("--kind", choices=["office"], default="office", help="what to build (default: %(default)s, the one kind so far)")
    world.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    world.add_argument("--seed", type=int, default=0, help="colours, textures, posters and small displacements (default: 0)")
    world.add_argument("--overview", type=Path, help="also write a picture from above to this PNG")
    world.set_defaults(run=make_world)
    record = commands.add_parser("record", help="drive the tour of a world and record it (rosbag2, MCAP)", epilog=RECORD_EXAMPLES, formatter_class=raw)
    record.add_argument("world", type=Path, help="world folder made by `astra sim world`")
    record.add_argument("--out", type=Path, required=True, help="the drive to write; must not exist")
    record.add_argument("--robot", type=Path, help="robot YAML (default: the built-in differential drive)")
    record.add_argument("--seed", type=int, default=0, help="seed of the sensors' errors (default: 0)")
    record.add_argument("--size", metavar="WxH", help="image size, for example 224x160 (default: the robot's)")
    record.add_argument("--rate", type=float, default=5.0, help="images a second of every camera (default: %(default)s)")
    record.add_argument("--no-truth", action="store_true", help="leave /ground_truth/odom out")
    record.set_defaults(run=record_drive)
    mission = commands.add_parser("run", help="run one mission through the real ROS graph and judge it", formatter_class=raw)
    sim_run.configure(mission)


def make_world(args: argparse.Namespace) -> int:
    """Generate a world."""
    from astra.sim.world import build_office

    world = build_office(args.out, args.seed)
    truth = world.truth
    if args.overview is not None:
        _overview(args.out, args.overview)
    if truth is not None:
        print(f"{args.out}: {len(truth.areas)} areas, {len(truth.instructions)} instructions, {truth.free.mean():.0%} of the floor free")
    return 0


def record_drive(args: argparse.Namespace) -> int:
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


def _overview(world: Path, path: Path) -> None:
    import cv2

    from astra.sim.robot import RobotConfig
    from astra.sim.simulation import Simulation
    from astra.sim.world import load_world

    simulation = Simulation(load_world(world), RobotConfig(), 0)
    if not cv2.imwrite(str(path), simulation.render_overview(1280, 800)[..., ::-1]):
        raise BadInputError(f"cannot write {path}")
    simulation.close()
