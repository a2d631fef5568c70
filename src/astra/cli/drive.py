"""`astra drive`: look at recorded drives and pack them; one file per subcommand beside this one."""

from __future__ import annotations

import argparse
import importlib

EXAMPLES = """examples:
  astra drive inspect drives/office
  astra drive inspect bags/my_robot --topics my_robot.yaml --json
  astra drive pack drives/train* --out samples/train
"""
# Subcommand → module in astra.cli and its one-line help.
COMMANDS = {
    "inspect": ("drive_inspect", "rates, gaps, lost messages, clock steps and delays of every topic"),
    "pack": ("drive_pack", "training samples from drives"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(dest="drive_command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        importlib.import_module(f"astra.cli.{module}").configure(commands.add_parser(name, help=summary))
