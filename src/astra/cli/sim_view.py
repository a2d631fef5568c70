"""`astra sim view`: look at a world."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  astra sim view worlds/office --out office.html
  astra sim view worlds/office --out office.png --stops 4
  astra sim view scene.xml --robot config/robot/diffdrive.yaml --out scene.html
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("world", type=Path, help="world folder made by `astra sim world`, or a MuJoCo XML scene without a robot")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html|png", help="one page with everything, or one picture")
    parser.add_argument("--robot", type=Path, help="robot YAML whose cameras look (default: the built-in differential drive)")
    parser.add_argument("--stops", type=int, default=8, help="places along the tour with camera views (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page or picture."""
    from astra.core.config import load_config
    from astra.core.errors import BadInputError
    from astra.sim.robot import RobotConfig
    from astra.sim.view import write_view
    from astra.sim.world import load_world

    if not 0 < args.stops <= 64:
        raise BadInputError(f"--stops {args.stops} is not between 1 and 64")
    write_view(load_world(args.world), load_config(RobotConfig, args.robot), args.out, args.stops)
    print(args.out)
    return 0
