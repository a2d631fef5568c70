"""`astra sim`: make worlds, record drives, run missions; one file per subcommand beside this one."""

from __future__ import annotations

import argparse
import importlib

EXAMPLES = """examples:
  astra sim world --kind office --seed 0 --out worlds/office
  astra sim record worlds/office --out drives/office
  astra sim run worlds/office --map maps/office --mission "find the resting area" --start random --out out/run1
"""
# Subcommand → module in astra.cli and its one-line help.
COMMANDS = {
    "world": ("sim_world", "generate a home, an office or a warehouse"),
    "record": ("sim_record", "drive the tour of a world and record it (rosbag2, MCAP)"),
    "view": ("sim_view", "look at a world: from above with labels, and through the cameras"),
    "export": ("sim_export", "write a world and the robot for Gazebo (SDF 1.9)"),
    "run": ("sim_run", "run one mission through the real ROS graph and judge it"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(dest="sim_command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        importlib.import_module(f"astra.cli.{module}").configure(commands.add_parser(name, help=summary))
