"""`astra train STAGE`: make training data, and train a stage of the model from packed samples."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

EXAMPLES = """examples:
  astra train data --worlds 60 --out samples
  astra train pretrain_3d --samples samples/train --validation samples/validate --out runs/pretrain_3d
  astra train pretrain_3d --config my.yaml --samples samples/train --out runs/mine
  astra train pretrain_4d --eyes runs/pretrain_3d/weights.safetensors --samples samples/train --out runs/pretrain_4d
  astra train ablation --samples samples/train --validation samples/validate --out runs/ablation
  astra train export --eyes runs/pretrain_3d/weights.safetensors --forecaster runs/pretrain_4d/weights.safetensors --out models/eyes
  astra train objects --samples samples/train --validation samples/validate --out runs/objects
  astra train odometry --drives drives/train/* --validation drives/validate/* --eyes models/eyes --out runs/odometry
  astra train lessons --out lessons
  astra train planner --config config/training/planner.yaml --samples lessons/train --validation lessons/validate --out runs/planner
  astra train finetune --drive my.mcap --eyes models/eyes/weights.safetensors --out runs/my_robot

Interrupted work goes on when the same command is given again. Samples of test worlds are refused.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the stages."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    _data(stages.add_parser("data", help="generate worlds, ride through them and pack what was seen"))
    _stage(stages.add_parser("pretrain_3d", help="the 3-D encoder: depth, rendering, occupancy"), _pretrain_3d)
    forecast = stages.add_parser("pretrain_4d", help="the forecaster, over frozen eyes")
    forecast.add_argument("--eyes", type=Path, required=True, help="weights of pretrain_3d")
    _stage(forecast, _pretrain_4d)
    _export(stages.add_parser("export", help="trained weights to what runs on the robot (ONNX Runtime)"))
    worth = stages.add_parser("ablation", help="what pretraining and depth are worth: short trainings with few labels, side by side")
    worth.add_argument("--config", type=Path, help="YAML with overrides of AblationConfig")
    worth.add_argument("--samples", type=Path, required=True, help="sample set to train on")
    worth.add_argument("--validation", type=Path, required=True, help="sample set of validation worlds to measure on")
    worth.add_argument("--out", type=Path, required=True, help="folder for trainings and report; it goes on where it was cut off")
    worth.set_defaults(run=_ablation)
    _stage(stages.add_parser("objects", help="the detector of furniture, from packed samples with depth"), _objects)
    _odometry(stages.add_parser("odometry", help="the odometry head, over exported eyes, from recorded drives with truth"))
    _lessons(stages.add_parser("lessons", help="what the planner learns from: the expert in planned worlds, nothing rendered"))
    planner = stages.add_parser("planner", help="the planner: flow matching, or a peer's head, with the masked ESDF loss")
    planner.add_argument("--begin", type=Path, help="weights of another planner to begin with; what another head has of its own is begun anew")
    _stage(planner, _train_planner)
    _tune(stages.add_parser("finetune", help="train the eyes on with drives of one's own robot"))


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


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--eyes", type=Path, required=True, help="weights of pretrain_3d or finetune")
    parser.add_argument("--forecaster", type=Path, help="weights of pretrain_4d")
    parser.add_argument("--thresholds", type=Path, help="thresholds.yaml of `astra eval occupancy --split validate` (default: one half)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, for example models/eyes")
    parser.set_defaults(run=_write)


def _odometry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drives", type=Path, nargs="+", required=True, help="recorded in train worlds: astra sim record … --randomize SEED")
    parser.add_argument("--validation", type=Path, nargs="*", default=[], help="drives of validation worlds, to report on during training")
    parser.add_argument("--eyes", type=Path, required=True, help="folder of the exported eyes, for example models/eyes")
    parser.add_argument("--config", type=Path, help="YAML with overrides of TrainOdometryConfig")
    parser.add_argument("--rides", type=Path, help="folder where what the eyes saw is kept (default: rides, below --out)")
    parser.add_argument("--begin", type=Path, metavar="WEIGHTS", help="of a head that compares two frames: that part of it is kept as it is")
    parser.add_argument("--out", type=Path, required=True, help="folder for rides, checkpoints and weights; `model` in it is what runs on the robot")
    parser.set_defaults(run=_train_odometry)


def _lessons(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="YAML with overrides of PlannerDataConfig")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets train and validate; one that exists is added to")
    parser.set_defaults(run=_make_lessons)


def _tune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--drive", type=Path, nargs="+", required=True, help="recorded drives with depth images")
    parser.add_argument("--eyes", type=Path, required=True, help="weights to begin with")
    parser.add_argument("--mono-depth", type=Path, metavar="DIR", help="a monocular depth model's <camera>/<stamp_ns>.npy, made metric by the lidar")
    parser.add_argument("--topics", type=Path, help="topic map YAML (default: topics are found by type)")
    parser.add_argument("--config", type=Path, help="YAML with overrides of FinetuneConfig")
    parser.add_argument("--out", type=Path, required=True, help="folder for samples, checkpoints and weights")
    parser.set_defaults(run=_finetune)


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
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.training import pretrain_3d

    _speak()
    config = load_config(pretrain_3d.Pretrain3dConfig, args.config)
    validation = "" if args.validation is None else str(args.validation)
    print(pretrain_3d.run(replace(config, samples=str(args.samples), validation=validation, out=str(args.out))))
    return 0


def _pretrain_4d(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.training import pretrain_4d

    _speak()
    config = load_config(pretrain_4d.Pretrain4dConfig, args.config)
    validation = "" if args.validation is None else str(args.validation)
    print(pretrain_4d.run(replace(config, samples=str(args.samples), validation=validation, out=str(args.out), eyes=str(args.eyes))))
    return 0


def _objects(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from astra.core.config import load_config
    from astra.core.errors import BadInputError
    from astra.training import export_objects, objects

    _speak()
    if args.validation is None:
        raise BadInputError("training a detector needs --validation: its thresholds are chosen there")
    config = replace(load_config(objects.ObjectsConfig, args.config), samples=str(args.samples), validation=str(args.validation), out=str(args.out))
    head, thresholds = objects.run(config), export_objects.ThresholdConfig()
    judged = export_objects.judge(head, objects.prepare_set(args.validation, args.out / "validation", config, as_taken=True), thresholds)
    print(export_objects.export(head, judged, thresholds, args.out / "model"))
    return 0


def _ablation(args: argparse.Namespace) -> int:
    from astra.core.config import load_config
    from astra.training import ablation

    ablation.compare(load_config(ablation.AblationConfig, args.config), args.samples, args.validation, args.out, lambda line: print(line, flush=True))
    print((args.out / "report.md").read_text(encoding="utf-8"))
    return 0


def _write(args: argparse.Namespace) -> int:
    from astra.core.config import load_config
    from astra.local_model.runtime import Thresholds
    from astra.training.export import export

    differences = export(args.eyes, args.out, args.forecaster, thresholds=load_config(Thresholds, args.thresholds))
    print(f"{args.out}: " + ", ".join(f"{name} within {value:.1e} of torch" for name, value in differences.items()))
    return 0


def _train_odometry(args: argparse.Namespace) -> int:
    from astra.core.config import load_config
    from astra.training import export_odometry, odometry

    _speak()
    config = load_config(odometry.TrainOdometryConfig, args.config)
    weights = odometry.run(config, args.drives, args.validation, args.eyes, args.out, args.rides, args.begin)
    differences = export_odometry.export_odometry(weights, args.out / "model")
    print(f"{args.out / 'model'}: " + ", ".join(f"{name} within {value:.1e} of torch" for name, value in differences.items()))
    return 0


def _make_lessons(args: argparse.Namespace) -> int:
    from astra.core.config import load_config
    from astra.training.planner_data import PlannerDataConfig, make

    make(load_config(PlannerDataConfig, args.config), args.out, lambda line: print(line, flush=True))
    return 0


def _train_planner(args: argparse.Namespace) -> int:
    from astra.core.config import load_config
    from astra.training import export_planner, planner

    _speak()
    weights = planner.run(load_config(planner.TrainPlannerConfig, args.config), args.samples, args.validation, args.out, args.begin)
    differences = export_planner.export_planner(weights, args.out / "model")
    print(f"{args.out / 'model'}: " + ", ".join(f"{name} within {value:.1e} of torch" for name, value in differences.items()))
    return 0


def _finetune(args: argparse.Namespace) -> int:
    from astra.core.config import load_config
    from astra.training import finetune

    _speak()
    print(finetune.run(load_config(finetune.FinetuneConfig, args.config), args.drive, args.eyes, args.out, args.topics, args.mono_depth))
    return 0


def _speak() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
