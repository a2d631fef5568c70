"""`astra sim export`: a world and the robot for another simulator."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  astra sim export worlds/office --format sdf --out gazebo/office
  astra sim export worlds/office --format sdf --robot config/robot/diffdrive.yaml --start 1,0,1.57 --out gazebo/office2
  ros2 launch astra_nav gazebo.launch.py world:=gazebo/office map:=maps/office
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("world", type=Path, help="world folder made by `astra sim world`, or a MuJoCo XML scene without a robot")
    parser.add_argument("--format", choices=["sdf"], default="sdf", help="SDF 1.9 for Gazebo Harmonic (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument("--robot", type=Path, help="robot YAML (default: the built-in differential drive)")
    parser.add_argument("--start", metavar="X,Y,YAW", help="where the robot stands [m, rad], or 'random' (default: the tour's start); --start=-1,0,0 works too")
    parser.add_argument("--seed", type=int, default=0, help="of a random start (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export a world."""
    import numpy as np

    from astra.core.config import load_config
    from astra.sim.gazebo import export_sdf
    from astra.sim.robot import RobotConfig
    from astra.sim.starts import start_from_text
    from astra.sim.world import load_world

    world, robot = load_world(args.world), load_config(RobotConfig, args.robot)
    start = None if args.start is None else start_from_text(args.start, world, np.random.default_rng(args.seed), robot.radius_m)
    done = export_sdf(world, robot, args.out, start)
    print(f"{args.out}: {done.meshes} meshes, {done.textures} textures, {done.visuals} visuals, {done.collisions} collision shapes")
    if done.left_out:
        print(f"left out: {done.left_out} that move (people, carts)")
    return 0
