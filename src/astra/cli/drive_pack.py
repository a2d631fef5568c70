"""`astra drive pack`: drives into training samples."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

EXAMPLES = """examples:
  astra drive pack drives/train0 drives/train1 --out samples/train
  astra drive pack drives/* --out samples/train --rate-hz 4 --json
  astra drive pack bags/my_robot --topics my_robot.yaml --out samples/real

Packing again skips the drives that are done. The files' schema: docs/SAMPLES.md.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("drives", type=Path, nargs="+", metavar="DRIVE", help="recorded drives")
    parser.add_argument("--out", type=Path, required=True, help="the sample set; drives are added to one that exists")
    parser.add_argument("--rate-hz", type=float, help="samples a second of driving (default: 2)")
    parser.add_argument("--config", type=Path, help="YAML with overrides of PackConfig")
    parser.add_argument("--topics", type=Path, metavar="FILE", help="topic map YAML (default: topics are found by type)")
    parser.add_argument("--worlds", type=Path, metavar="DIR", help="where the drives' worlds lie now, if they have been moved")
    parser.add_argument("--split", choices=["train", "validate", "test"], default="train", help="of real drives; simulated ones have their world's")
    parser.add_argument("--json", action="store_true", help="print what was packed as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pack the drives."""
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.datasets import TopicMap, open_drive
    from astra.datasets.packing import PackConfig, pack_drive
    from astra.mapping.progress import Quiet, TqdmProgress

    config = load_config(PackConfig, args.config)
    if args.rate_hz is not None:
        config = replace(config, rate_hz=args.rate_hz)
    topics = TopicMap.load(args.topics) if args.topics else None
    progress = Quiet() if args.json or not sys.stderr.isatty() else TqdmProgress()
    results = []
    for path in args.drives:
        drive = open_drive(path, topics)
        tick = progress.start(drive.name, int(drive.duration_s * config.rate_hz))
        results.append(pack_drive(drive, args.out, config, worlds=args.worlds, split=args.split, tick=tick))
        progress.finish(drive.name)
    if args.json:
        print(json.dumps([{"folder": str(r.folder), "samples": r.samples, "kept": r.kept} for r in results]))
    else:
        for result in results:
            print(f"{result.folder}: {result.samples} samples{' (kept)' if result.kept else ''}")
    return 0
