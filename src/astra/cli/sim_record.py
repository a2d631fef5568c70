"""`astra sim record`: drive through a world and record it."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra sim record worlds/office --out drives/office
  astra sim record worlds/office --out drives/office_small --size 160x120 --no-truth --seed 3
  astra sim record worlds/office --drive expert --seconds 60 --depth --size 160x120 --rate 10 --out drives/train0
  astra sim record worlds/office --drive expert --randomize 17 --robot config/robot/tug.yaml --out drives/train1
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("world", type=Path, help="world folder made by `astra sim world`")
    parser.add_argument("--out", type=Path, required=True, help="the drive to write; must not exist")
    parser.add_argument("--drive", choices=["tour", "expert"], default="tour", help="who drives: the world's tour, or the expert from goal to goal")
    parser.add_argument("--seconds", type=float, default=math.inf, metavar="S", help="end after S simulated seconds (default: the tour's end; expert: 60)")
    parser.add_argument("--robot", type=Path, help="robot YAML (default: the built-in differential drive)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sensors' errors and of the expert's goals (default: 0)")
    parser.add_argument("--size", metavar="WxH", help="image size, for example 224x160 (default: the robot's)")
    parser.add_argument("--rate", type=float, default=5.0, help="images a second of every camera (default: %(default)s)")
    parser.add_argument("--depth", action="store_true", help="record /<camera>/depth too (16UC1, millimetres)")
    parser.add_argument("--raw", action="store_true", help="images as they are instead of JPEG")
    parser.add_argument("--no-movers", action="store_true", help="leave out the people and carts of the world")
    parser.add_argument("--randomize", type=int, metavar="SEED", help="cameras askew, light, noise, slip and late images, drawn by SEED")
    parser.add_argument("--undisturbed", action="store_true", help="expert: start where there is room, and push nobody")
    parser.add_argument("--no-truth", action="store_true", help="leave /ground_truth/* out")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Record the drive."""
    from astra.core.config import load_config
    from astra.datasets.record import RecordRequest, record_world
    from astra.sim.recording import RecordingConfig
    from astra.sim.robot import RobotConfig
    from astra.sim.world import load_world

    world, robot = load_world(args.world), load_config(RobotConfig, args.robot)
    if args.size:
        width, height = _size(args.size)
        robot = replace(robot, cameras=replace(robot.cameras, width=width, height=height))
    recording = RecordingConfig(args.rate, seconds=args.seconds, depth=args.depth, truth=not args.no_truth)
    request = RecordRequest(world, args.out, robot, args.seed, args.drive, args.raw, not args.no_movers, not args.undisturbed, recording, args.randomize)
    result = record_world(request, _progress)
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
