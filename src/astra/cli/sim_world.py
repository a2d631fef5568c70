"""`astra sim world`: generate a world."""

from __future__ import annotations

import argparse
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra sim world --kind office --seed 0 --out worlds/office
  astra sim world --out worlds/other --seed 7 --overview other.png
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kind", choices=["office"], default="office", help="what to build (default: %(default)s, the one kind so far)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument("--seed", type=int, default=0, help="colours, textures, posters and small displacements (default: 0)")
    parser.add_argument("--overview", type=Path, help="also write a picture from above to this PNG")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate a world."""
    from astra.sim.world import build_office

    world = build_office(args.out, args.seed)
    truth = world.truth
    if args.overview is not None:
        _overview(args.out, args.overview)
    if truth is not None:
        print(f"{args.out}: {len(truth.areas)} areas, {len(truth.instructions)} instructions, {truth.free.mean():.0%} of the floor free")
    return 0


def _overview(world: Path, path: Path) -> None:
    import cv2

    from astra.sim.robot import RobotConfig
    from astra.sim.simulation import Simulation
    from astra.sim.world import load_world

    simulation = Simulation(load_world(world), RobotConfig(), 0)
    if not cv2.imwrite(str(path), simulation.render_overview(1280, 800)[..., ::-1]):
        raise BadInputError(f"cannot write {path}")
    simulation.close()
