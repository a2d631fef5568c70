"""`astra dash`: a live page about the running robot, for machines without RViz."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLES = """examples:
  astra dash                                        http://127.0.0.1:8642/ on the robot
  astra dash --host 0.0.0.0                         for every browser of the network, to look at only
  ASTRA_DASH_TOKEN=long-secret astra dash           who knows the token may send the robot somewhere, and stop it
  ssh -L 8642:127.0.0.1:8642 robot                  the safe way to reach it from elsewhere
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--host", help="address to listen on (default: config/astra_dash.yaml, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port; 0 takes a free one (default: config/astra_dash.yaml, 8642)")
    parser.add_argument("--namespace", default="", help="ROS namespace of the robot")
    parser.add_argument("--use-sim-time", action="store_true", help="follow /clock")
    parser.add_argument("--config", type=Path, metavar="FILE", help="parameter file instead of config/astra_dash.yaml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the node in this process until Ctrl-C."""
    from astra.core.errors import BadInputError
    from astra.core.paths import share_dir
    from astra.ros.environment import activate

    activate()
    from astra.ros.nodes import astra_dash

    config = args.config or share_dir() / "config" / "astra_dash.yaml"
    if not config.is_file():
        raise BadInputError(f"{config} does not exist")
    given = {"server.host": args.host, "server.port": args.port, "use_sim_time": args.use_sim_time or None}
    words = ["--ros-args", "--params-file", str(config)]
    if args.namespace:
        words += ["-r", f"__ns:=/{args.namespace.strip('/')}"]
    for name, value in given.items():
        if value is not None:
            words += ["-p", f"{name}:={str(value).lower()}"]
    sys.argv = ["astra_dash", *words]
    return astra_dash.main()
