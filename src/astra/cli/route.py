"""`astra route MAP --start X Y YAW --goal X Y YAW`: a route over the graph."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astra.core.errors import BadInputError

if TYPE_CHECKING:
    from astra.topomap.routes import Route

EXAMPLES = """examples:
  astra route maps/office --start 0 0 0 --goal 7.5 -3.2 1.57
  astra route maps/office --start 0 0 0 --goal 7.5 -3.2 0 --min-width 0.7                for a robot that needs 0.7 m
  astra route maps/office --start 0 0 0 --goal 7.5 -3.2 0 --block 12 13 --json      as if the way between nodes 12 and 13 were shut
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra route`."""
    parser.epilog = EXAMPLES
    parser.add_argument("map", type=Path, help="map folder")
    for name in ("start", "goal"):
        parser.add_argument(f"--{name}", type=float, nargs=3, metavar=("X", "Y", "YAW"), required=True, help=f"{name} pose [m, m, rad], map frame")
    parser.add_argument("--block", type=int, nargs=2, metavar=("A", "B"), action="append", default=[], help="an edge not to use; may be repeated")
    parser.add_argument("--min-width", type=float, default=0.0, metavar="M", help="take no passage known to be narrower (default: 0)")
    parser.add_argument("--prefer-width", type=float, default=0.0, metavar="M", help="go round narrower passages where that is not much longer")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plan the route and print it."""
    from astra.core.paths import atomic_write
    from astra.geometry import Pose2
    from astra.topomap.io import load_map
    from astra.topomap.routes import RouteConfig, plan_route

    for name in ("start", "goal"):
        if not all(map(math.isfinite, getattr(args, name))):
            raise BadInputError(f"--{name} {' '.join(map(str, getattr(args, name)))} is not a pose")
    topomap = load_map(args.map)
    unknown = [i for pair in args.block for i in pair if i not in topomap.nodes]
    if unknown:
        raise BadInputError(f"--block: the map has no node {unknown[0]}")
    blocked = frozenset((a, b) for a, b in args.block)
    for name in ("min_width", "prefer_width"):
        if not (math.isfinite(getattr(args, name)) and getattr(args, name) >= 0.0):
            raise BadInputError(f"--{name.replace('_', '-')} {getattr(args, name)} is not a width in metres")
    config = RouteConfig(min_width_m=args.min_width, preferred_width_m=args.prefer_width)
    route = plan_route(topomap, Pose2(*args.start), Pose2(*args.goal), blocked=blocked, config=config)
    text = json.dumps(record(route))
    if args.out is not None:
        atomic_write(args.out, text + "\n")
    if args.json:
        print(text)
    else:
        nodes = " ".join(map(str, route.node_ids)) or "none"
        print(f"{route.length_m:.2f} m by nodes {nodes}")
    return 0


def record(route: Route) -> dict[str, Any]:
    """The record of a route."""
    return {"length_m": round(route.length_m, 4), "node_ids": [int(i) for i in route.node_ids], "polyline_m": route.polyline.tolist()}
