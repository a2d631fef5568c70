"""`astra sim world`: generate a world."""

from __future__ import annotations

import argparse
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra sim world --kind office --seed 0 --out worlds/office
  astra sim world --kind warehouse --seed 20001 --out worlds/warehouse --overview warehouse.png

Seeds below 10000 are for training, up to 19999 for validation, from 20000 on for tests; the same seed makes the same world. Furniture comes from
Debian's package sweethome3d-furniture where it is installed (its makers are named in ATTRIBUTION.txt), else from a plain set.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = ["home", "office", "warehouse", "demo"]
    parser.add_argument("--kind", choices=kinds, default="office", help="what to build (default: %(default)s); demo: the office of `astra demo`")
    parser.add_argument("--seed", type=int, default=0, help="of everything: plan, furniture, colours, people, sentences (default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument("--clutter", type=float, default=1.0, help="how densely rooms are furnished (default: %(default)s)")
    parser.add_argument("--plain", action="store_true", help="plain furniture even where real meshes are installed")
    parser.add_argument("--overview", type=Path, help="also write a picture from above to this PNG")
    parser.add_argument("--json", action="store_true", help="print a JSON record instead of a sentence")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate a world."""
    import json

    from astra.sim.world import build_office
    from astra.sim.worlds.build import generate
    from astra.sim.worlds.plan import split_from_seed

    if not 0.0 <= args.clutter <= 5.0:
        raise BadInputError(f"--clutter {args.clutter} is not between 0 and 5")
    if args.kind == "demo":
        truth = build_office(args.out, args.seed).truth
    else:
        truth = generate(args.kind, args.seed, args.out, clutter=args.clutter, plain=args.plain).truth
    assert truth is not None
    if args.overview is not None:
        _overview(args.out, args.overview)
    facts = {
        "world": str(args.out), "kind": truth.kind, "seed": truth.seed, "split": split_from_seed(truth.seed), "areas": len(truth.areas),
        "goals": len(truth.goals), "landmarks": len(truth.landmarks), "instances": len(truth.instances), "instructions": len(truth.instructions),
        "free_m2": round(float(truth.free.sum()) * truth.resolution_m**2, 1),
    }  # fmt: skip
    if args.json:
        print(json.dumps(facts))
    else:
        print(
            f"{args.out}: {truth.kind} for {facts['split']}, {facts['goals']} places to go, {facts['landmarks']} landmarks, "
            f"{facts['instructions']} instructions, {facts['free_m2']} m² of free floor"
        )
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
