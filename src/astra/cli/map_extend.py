"""`astra map extend`: a new tour into an old map."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLES = """examples:
  astra map extend maps/office drives/tuesday
  astra map extend maps/office walk.mp4 --camera phone.yaml --json

The old map keeps its frame and the ids of its nodes, and stays as it was on any error. A tour that no evidence joins becomes a fragment of its
own, and a warning says why.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra map extend`."""
    from astra.cli.map import source_arguments

    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("map", metavar="MAP", type=Path, help="map folder to extend")
    source_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the tours, merge them into the map, and print what joins them or keeps them apart."""
    from astra.cli.landmark_backends import make_extractor
    from astra.cli.map import mapping_config, metric_clues, open_tours
    from astra.cli.map_merge import report
    from astra.mapping.extend import extend_map
    from astra.mapping.parallel import open_workers
    from astra.mapping.progress import Quiet, TqdmProgress
    from astra.perception.place import PlaceEncoder
    from astra.topomap.io import read_manifest

    read_manifest(args.map)
    tours = open_tours(args)
    progress = Quiet() if args.json or not sys.stderr.isatty() else TqdmProgress()
    extractor = make_extractor(args.landmarks, args.backend_config)
    with open_workers(args.workers, args.ray) as workers:
        merged = extend_map(args.map, tours, mapping_config(args, tours), None, extractor, PlaceEncoder(), progress, metric_clues(args), workers)
    report(args.map, merged, args.json)
    return 0
