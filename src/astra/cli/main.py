"""`astra`: one command, one file per subcommand in this folder."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from astra import __version__
from astra.core.errors import AstraError

# Subcommand → module in astra.cli, and its one-line help; modules are imported only when used, so that `astra --help` is instant.
COMMANDS = {
    "demo": "world, tour, map and a mission from an unknown start, in one go",
    "map": "build, extend, merge, align, inspect, view and export maps",
    "localize": "where were these images taken?",
    "find": "what does this instruction or image mean on the map?",
    "route": "a route over the graph",
    "odometry": "wheel and IMU odometry of a recorded drive",
    "doctor": "is this machine, robot and calibration fit, and what to do where not?",
    "bag": "keep the last minute of everything when something goes wrong",
    "drive": "inspect recorded drives and pack them for training",
    "eval": "measure how good things are, against the truth",
    "bench": "measure what things cost on this machine",
    "sim": "make worlds, record tours, run missions",
    "train": "train a stage of the model from packed samples",
    "dash": "a live page about the running robot, for machines without RViz",
    "up": "start the stack and supervise it (for machines without ros2 launch)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="astra", description="Astra Nav: map, localize, find, drive.")
    parser.add_argument("--version", action="version", version=f"astra {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == chosen:
            importlib.import_module(f"astra.cli.{name}").configure(sub)
    args = parser.parse_args(arguments)
    level = logging.INFO if os.environ.get("ASTRA_VERBOSE") else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(args.run(args) or 0)
    except AstraError as error:
        print(f"astra: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def node_main(name: str) -> None:
    """Entry point of the executables in lib/astra_nav: run the ROS node called `name`, or `astra` itself."""
    if name == "astra":
        raise SystemExit(main())
    from astra.ros.environment import activate

    activate()
    module = importlib.import_module(f"astra.ros.nodes.{name}")
    raise SystemExit(module.main())


if __name__ == "__main__":
    raise SystemExit(main())
