"""`astra map merge`: two maps of one building become one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astra.mapping.merge import MergeConfig, Merged

EXAMPLES = """examples:
  astra map merge maps/monday maps/tuesday --out maps/office
  astra map merge maps/office maps/basement --out maps/office --json

The first map's frame and the ids of its nodes are kept. Maps that no evidence joins become two fragments of one map, and a warning says why.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra map merge`."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("maps", metavar="MAP", nargs=2, type=Path, help="two map folders; the first one's frame is kept")
    parser.add_argument("--out", metavar="MAP", type=Path, required=True, help="map folder to write; may be one of the two")
    parser.add_argument("--config", metavar="FILE", type=Path, help="YAML with overrides of MergeConfig")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON, show no progress")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Merge, and print what joins the maps or keeps them apart."""
    from astra.core.config import load_config
    from astra.mapping.merge import MergeConfig, merge_maps
    from astra.mapping.progress import Quiet, TqdmProgress

    progress = Quiet() if args.json or not sys.stderr.isatty() else TqdmProgress()
    first, second = args.maps
    config: MergeConfig = load_config(MergeConfig, args.config)
    report(args.out, merge_maps(first, second, args.out, config, progress), args.json)
    return 0


def report(out: Path, merged: Merged, as_json: bool) -> None:
    """Print how the merge went; a map that stays in fragments is a result, not an error."""
    if as_json:
        document = {"map": str(out), "joined": merged.is_joined, "trials": [t.record() for t in merged.trials], "warnings": list(merged.info.warnings)}
        print(json.dumps(document, ensure_ascii=False))
        return
    print(f"{out}: {'joined' if merged.is_joined else 'NOT joined: two fragments of one map'}")
    for trial in merged.trials:
        if trial.found is not None:
            verdict = "joined" if trial.is_accepted else f"apart: {'; '.join(trial.objections)}"
            print(f"  fragments {trial.fragment_a} and {trial.fragment_b}: {trial.found.places} places agree; {verdict}")
    for text in merged.info.warnings:
        print(f"  warning: {text}")
