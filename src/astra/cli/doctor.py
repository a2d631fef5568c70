"""`astra doctor [DRIVE]`: is this machine, robot and calibration fit? What is wrong, and what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from astra.core.errors import BadInputError

if TYPE_CHECKING:
    from astra.doctor.finding import Finding

EXAMPLES = """examples:
  astra doctor                                  # this machine
  astra doctor bags/first_drive                 # and the robot that recorded this: stand 5 s, drive 10 m, turn on the spot both ways
  astra doctor bags/first_drive --map maps/hq   # and does the map fit it?
  astra doctor --live 30                        # and the running robot: the graph, and 30 s of its sensors (drive it meanwhile)
  astra doctor bags/first_drive --json --all

exit codes: 0 all is well (warnings included), 1 something must be mended first, 2 bad input
"""
MARKS = {"ok": "ok", "unknown": "?", "warning": "warn", "error": "ERROR"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra doctor`."""
    parser.epilog = EXAMPLES
    parser.add_argument("drive", type=Path, nargs="?", help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file")
    parser.add_argument("--topics", type=Path, metavar="FILE", help="topic map YAML (default: topics are found by type; see `astra drive inspect`)")
    parser.add_argument("--map", type=Path, metavar="MAP", help="also judge whether this map fits the drive")
    parser.add_argument("--live", type=float, metavar="SECONDS", help="examine the running ROS graph and record its sensors for so long")
    parser.add_argument("--no-machine", action="store_true", help="leave this machine out")
    parser.add_argument("--all", action="store_true", help="also list what is well")
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found, the worst first; 1 if anything must be mended before driving."""
    from astra.doctor.finding import Severity, worst

    if args.live is not None and (args.drive is not None or not 1.0 <= args.live <= 3600.0):
        raise BadInputError("--live takes 1 … 3600 seconds and no DRIVE beside it")
    if args.map is not None and args.drive is None and args.live is None:
        raise BadInputError("--map needs a DRIVE, or --live, to compare the map with")
    found = []
    for finding in _examine(args):
        found.append(finding)
        if sys.stderr.isatty() and not args.json:
            print(f"\r{len(found)} checks, now: {finding.check:<50.50}", end="", file=sys.stderr)
    if sys.stderr.isatty() and not args.json:
        print("\r" + " " * 80 + "\r", end="", file=sys.stderr)
    found.sort(key=lambda f: -f.severity)
    print(json.dumps([f.to_json() for f in found], indent=1) if args.json else _text(found, everything=args.all))
    return 1 if worst(found) is Severity.ERROR else 0


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    from astra.doctor.machine import examine_machine

    if not args.no_machine:
        yield from examine_machine()
    if args.drive is not None:
        yield from _examine_drive(args.drive, args)
    elif args.live is not None:
        from astra.ros.graph_check import examine_graph
        from astra.ros.recording import recorded

        yield from examine_graph()
        with recorded(args.live) as drive:
            yield from _examine_drive(drive, args)


def _examine_drive(path: Path, args: argparse.Namespace) -> Iterator[Finding]:
    from astra.datasets import TopicMap, open_drive
    from astra.doctor.ground import examine_ground
    from astra.doctor.inertial import examine_inertial
    from astra.doctor.sensors import examine_sensors, examine_transforms
    from astra.doctor.vision import examine_vision

    drive = open_drive(path, TopicMap.load(args.topics) if args.topics else None, need_cameras=False)
    for examine in (examine_sensors, examine_transforms, examine_inertial, examine_vision, examine_ground):
        yield from examine(drive)
    if args.map is not None:
        from astra.doctor.map_fit import examine_map

        yield from examine_map(drive, args.map)


def _text(found: list[Finding], *, everything: bool) -> str:
    lines = []
    for f in found:
        if everything or f.severity.name != "OK":
            lines.append(f"{MARKS[f.severity.name.lower()]:>5}  {f.check}: {f.what}")
            if f.advice:
                lines.append(f"       → {f.advice}")
    counts = {name: sum(f.severity.name.lower() == name for f in found) for name in MARKS}
    return "\n".join([*lines, f"{counts['ok']} well, {counts['warning']} warnings, {counts['error']} errors, {counts['unknown']} could not be judged"])
