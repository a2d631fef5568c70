"""`astra train STAGE`: train a stage of the model from packed samples."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  astra train pretrain_3d --config config/training/pretrain_3d.yaml --samples samples/train --out runs/pretrain_3d
  astra train pretrain_3d --config my.yaml --samples samples/train --validation samples/validate --out runs/mine

Interrupted trainings go on from their last checkpoint when the same command is given again. Samples come from `astra drive pack`; those of test
worlds are refused.
"""
STAGES = ("pretrain_3d",)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("stage", choices=STAGES, help="what to train")
    parser.add_argument("--config", type=Path, help="YAML of the stage's settings (default: its defaults)")
    parser.add_argument("--samples", type=Path, required=True, help="sample set made by `astra drive pack`")
    parser.add_argument("--validation", type=Path, help="sample set of validation worlds, to report on during training")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, metrics and weights; a training in it goes on")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train."""
    import logging
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.training import pretrain_3d

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = load_config(pretrain_3d.Pretrain3dConfig, args.config)
    validation = "" if args.validation is None else str(args.validation)
    weights = pretrain_3d.run(replace(config, samples=str(args.samples), validation=validation, out=str(args.out)))
    print(f"{weights}")
    return 0
