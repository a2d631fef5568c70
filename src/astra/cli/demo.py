"""`astra demo`: the whole loop as the four commands a user would type."""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import astra
from astra.core.errors import AstraError
from astra.core.paths import cache_dir

WORLD_SEED = 0
FIRST_INSTRUCTION = "find the resting area"
EXAMPLES = """examples:
  astra demo                          the resting area, from a random start
  astra demo --seed 3 --out out/d3    another start and goal
  astra demo --mission "find the swimming pool"
"""
# What the world, the tour and the map are made by; a change there makes new ones.
RECIPE_FOLDERS = ("core", "geometry", "sim", "datasets", "mapping", "perception", "topomap", "fusion")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the result (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="picks start and goal (default: 0)")
    parser.add_argument("--mission", help="an instruction of your own")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make what is missing of world, tour and map, then run the mission."""
    folder = cache_dir() / "demo" / recipe_of_sources()
    world, tour, topomap = folder / "office", folder / "tour", folder / "map"
    began = time.monotonic()
    if not world.exists():
        _step("build the office", ["sim", "world", "--kind", "demo", "--seed", str(WORLD_SEED), "--out", str(world)])
    if not topomap.exists():
        if not tour.exists():
            _step("drive a tour through it", ["sim", "record", str(world), "--out", str(tour), "--no-truth"])
        _step("turn the tour into a map", ["map", "build", str(tour), "--out", str(topomap)])
    instruction = args.mission or instruction_of_seed(world, args.seed)
    command = ["sim", "run", str(world), "--map", str(topomap), "--mission", instruction, "--start", "random", "--seed", str(args.seed)]
    code = _step("wake up somewhere and go", [*command, "--out", str(args.out)], fatal=False)
    print(f"\n{time.monotonic() - began:.0f} s in all. Look at {args.out / 'report.html'}")
    return code


def recipe_of_sources() -> str:
    """A short hash of the sources that the world, the tour and the map depend on."""
    digest = hashlib.sha256()
    root = Path(astra.__file__).parent
    for file in sorted(f for name in RECIPE_FOLDERS for f in (root / name).rglob("*") if f.suffix in (".py", ".yaml")):
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def instruction_of_seed(world: Path, seed: int) -> str:
    """Seed 0 looks for the resting area; the others walk through the world's answerable instructions."""
    from astra.sim.world import load_world

    if seed == 0:
        return FIRST_INSTRUCTION
    truth = load_world(world).truth
    if truth is None:
        raise AstraError(f"{world} has lost its truth.yaml; remove the folder and start again")
    texts = [entry.text for entry in truth.instructions if entry.answers]
    return texts[seed % len(texts)]


def _step(what: str, command: list[str], *, fatal: bool = True) -> int:
    from astra.cli.main import main

    print(f"\n\033[1m▶ {what}\033[0m\n  astra {' '.join(command)}", flush=True)
    began = time.monotonic()
    code = main(command)
    print(f"  {time.monotonic() - began:.0f} s", flush=True)
    if code and fatal:
        raise AstraError(f"{what}: failed with exit code {code}")
    return code
