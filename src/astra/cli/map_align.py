"""`astra map align`: a map into the frame of a user's own Nav2 map."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra map align maps/office --to nav2/office.yaml
  astra map align maps/office --to nav2/office.yaml --near 12.5 3.0 1.57 --out maps/office_aligned --json

The walls that the tour's scans saw are laid over those of the Nav2 map; every pose, point and landmark moves with them. Where the walls fit in
two ways nothing is moved, and --near must say which one is meant.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra map align`."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("map", metavar="MAP", type=Path, help="map folder with an occupancy grid")
    parser.add_argument("--to", metavar="YAML", type=Path, required=True, help="the YAML of Nav2's map server")
    parser.add_argument("--near", nargs=3, type=float, metavar=("X", "Y", "YAW"), help="about where the map's origin lies in the Nav2 map [m, m, rad]")
    parser.add_argument("--out", metavar="MAP", type=Path, help="map folder to write (default: MAP itself)")
    parser.add_argument("--config", metavar="FILE", type=Path, help="YAML with overrides of AlignConfig")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Align, and print how well it fits."""
    from astra.core.config import load_config
    from astra.geometry import Pose2
    from astra.mapping.align import AlignConfig, align_map

    if args.near is not None and not all(math.isfinite(v) for v in args.near):
        raise BadInputError(f"--near {' '.join(str(v) for v in args.near)} is not a pose")
    near = None if args.near is None else Pose2(*args.near)
    config: AlignConfig = load_config(AlignConfig, args.config)
    found = align_map(args.map, args.to, args.out, config, near)
    out = args.out or args.map
    if args.json:
        print(json.dumps({"map": str(out), **found.record()}))
        return 0
    pose, motion = found.user_from_map, found.motion
    print(f"{out}: moved by x {pose.x:.3f} m, y {pose.y:.3f} m, {math.degrees(pose.yaw):.2f}°, lengths by {100 * (motion.scale - 1.0):+.2f} %")
    print(f"  {100 * motion.fit:.0f} % of the walls fit, {100 * motion.residual_m:.1f} cm RMS; the Nav2 map knows {100 * motion.coverage:.0f} % of them")
    print(f"  next best way: {100 * found.rival:.0f} % as good")
    return 0
