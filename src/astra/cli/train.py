"""`astra train STAGE`: make training data, and train a stage of the model from packed samples."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

EXAMPLES = """examples:
  astra train data --worlds 60 --out samples
  astra train pretrain_3d --samples samples/train --validation samples/validate --out runs/pretrain_3d
  astra train pretrain_3d --config my.yaml --samples samples/train --out runs/mine

Interrupted work goes on when the same command is given again. Samples of test worlds are refused.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the stages."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    _data(stages.add_parser("data", help="generate worlds, ride through them and pack what was seen"))
    _stage(stages.add_parser("pretrain_3d", help="the 3-D encoder: depth, rendering, occupancy"), _pretrain_3d)


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--worlds", type=int, help="how many worlds, those for validation among them (default: 60)")
    parser.add_argument("--config", type=Path, help="YAML with overrides of DataConfig")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sample sets train and validate; one that exists is added to")
    parser.set_defaults(run=_make)


def _stage(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--config", type=Path, help="YAML of the stage's settings (default: its defaults)")
    parser.add_argument("--samples", type=Path, required=True, help="sample set made by `astra train data` or `astra drive pack`")
    parser.add_argument("--validation", type=Path, help="sample set of validation worlds, to report on during training")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, metrics and weights; a training in it goes on")
    parser.set_defaults(run=run)


def _make(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.training.recipe import DataConfig, make

    config = load_config(DataConfig, args.config)
    if args.worlds is not None:
        config = replace(config, worlds=args.worlds)
    make(config, args.out, lambda line: print(line, flush=True))
    return 0


def _pretrain_3d(args: argparse.Namespace) -> int:
    import logging
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.training import pretrain_3d

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    config = load_config(pretrain_3d.Pretrain3dConfig, args.config)
    validation = "" if args.validation is None else str(args.validation)
    print(pretrain_3d.run(replace(config, samples=str(args.samples), validation=validation, out=str(args.out))))
    return 0
