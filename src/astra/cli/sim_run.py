"""`astra sim run`: one mission through the real ROS graph, judged against the simulator's truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

EXAMPLES = """examples:
  astra sim run worlds/office --map maps/office --mission "find the resting area" --start random --seed 1 --out out/run1
  astra sim run worlds/office --map maps/office --mission "go to room 201" --start 1.5,0.2,3.1 --out out/run2 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("world", type=Path, help="world folder")
    parser.add_argument("--map", type=Path, required=True, help="map folder")
    parser.add_argument("--mission", required=True, help="the instruction")
    parser.add_argument("--start", default="random", help="'random' or x,y,yaw in the world frame (default: random)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the start and of all noise")
    parser.add_argument("--out", type=Path, required=True, help="folder for result.json, report.html, mission.mp4, mission.mcap and logs")
    parser.add_argument("--time-limit", type=float, default=300.0, metavar="S", help="simulated seconds (default: %(default)s)")
    parser.add_argument("--no-video", action="store_true", help="skip mission.mp4")
    parser.add_argument("--json", action="store_true", help="print result.json instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the mission; exit code 0 only if it succeeded."""
    from astra.evaluation.mission_report import summary_rows
    from astra.ros.mission import MissionRequest, run_mission

    request = MissionRequest(
        world=args.world, map=args.map, instruction=args.mission, out=args.out, start=args.start, seed=args.seed, time_limit_s=args.time_limit,
        video=not args.no_video,
    )  # fmt: skip
    result = run_mission(request, lambda text: print(f"  · {text}", file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(json.loads((args.out / "result.json").read_text())))
    else:
        print()
        for name, value in [*summary_rows(result), *(("error", error) for error in result.errors)]:
            print(f"  {name:<22} {value}")
    return 0 if result.success else 1
