"""What pretraining is worth, and what looking for depth is worth: short trainings with few labels, side by side (the paper's Table 7, in small).

Pretraining sees every sample's depth and colour and no label. Then a tenth of the samples, with their labels alone, teaches eyes that begin
from it, eyes that begin from nothing, and eyes from nothing that lift every pixel to all depths alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.evaluation.bench_report import Result, write_report
from astra.training.loop import LoopConfig, metrics
from astra.training.pretrain_3d import Pretrain3dConfig, run

FIGURES = ("obstacle_iou", "total_iou", "near_precision", "near_recall")
ARMS = {"pretrained": "from pretraining", "scratch": "from nothing", "no_depth": "from nothing, without depth"}


@dataclass(frozen=True, slots=True)
class AblationConfig:
    """How much; the same steps for every arm."""

    seeds: int = 3  # each draws its own tenth
    labels: float = 0.1
    pretrain_steps: int = 200
    steps: int = 100
    stage: Pretrain3dConfig = field(
        default_factory=lambda: Pretrain3dConfig(
            rays=160, render_steps=48, depth_weight=1.0, evaluation_samples=40,
            loop=LoopConfig(batch=2, rate=8e-4, warmup=20, ema=0.95, checkpoint_every=100, evaluate_every=100_000, threads=1),
        )
    )  # fmt: skip

    def __post_init__(self) -> None:
        require(self.seeds >= 2, "seeds", self.seeds, "at least 2")
        require(0.0 < self.labels <= 1.0, "labels", self.labels, "in (0, 1]")
        require(min(self.pretrain_steps, self.steps) > self.stage.loop.warmup, "steps", self.steps, f"more than warmup {self.stage.loop.warmup}")


def compare(config: AblationConfig, samples: Path, validation: Path, out: Path, told: Callable[[str], None]) -> list[Result]:
    """Train every arm that `out` does not hold yet, and write the report.

    Raises:
        BadInputError: no samples, or samples of test worlds.
    """
    stage = replace(config.stage, samples=str(samples), validation=str(validation))
    seen = replace(stage, validation="", labels=0.0, out=str(out / "pretraining"), loop=replace(stage.loop, steps=config.pretrain_steps))
    told("pretraining: depth and colour, no labels")
    start = run(seen)
    taught = replace(stage, labels=config.labels, labelled_only=True, depth_weight=0.0, render_weight=0.0, colour_weight=0.0)
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for arm, seed in [(arm, seed) for seed in range(config.seeds) for arm in ("pretrained", "scratch")] + [("no_depth", seed) for seed in range(config.seeds)]:
        place = out / f"{arm}_{seed}"
        chosen = replace(taught, out=str(place), loop=replace(stage.loop, steps=config.steps, seed=seed))
        if arm == "pretrained":
            chosen = replace(chosen, start=str(start))
        if arm == "no_depth":
            chosen = replace(chosen, encoder=replace(chosen.encoder, uniform_depth=True))
        run(chosen)
        found[arm].append(_last_scores(place))
        told(f"{arm}, seed {seed}: obstacle IoU {found[arm][-1]['obstacle_iou']:.3f}")
    results = _results(found)
    about = (
        f"{config.seeds} seeds, {config.labels:.0%} of the labels, {config.steps} steps of {stage.loop.batch} samples; pretraining: {config.pretrain_steps} "
        f"steps of depth and colour. {stage.evaluation_samples} samples of validation worlds. " + "; ".join(f"`{arm}`: {about}" for arm, about in ARMS.items())
    )
    write_report(results, out, "What pretraining and depth are worth", about)
    return results


def _last_scores(place: Path) -> dict[str, float]:
    rows = [row for row in metrics(place) if "eval/obstacle_iou" in row]
    return {name.removeprefix("eval/"): float(value) for name, value in rows[-1].items() if name.startswith("eval/")}


def _results(found: dict[str, list[dict[str, float]]]) -> list[Result]:
    """The mean of each arm's figures over seeds, and by how many points the first arm is ahead of each other, seed by seed."""
    results = []
    for arm, rows in found.items():
        results += [_mean(f"{arm}_{name}", [row[name] for row in rows], "") for name in FIGURES]
    first = found["pretrained"]
    for arm in ("scratch", "no_depth"):
        gains = [100.0 * (mine["obstacle_iou"] - theirs["obstacle_iou"]) for mine, theirs in zip(first, found[arm])]
        results.append(_mean(f"pretrained_over_{arm}", gains, "points", "≥ 2" if arm == "scratch" else ""))
    depth = [100.0 * (mine["obstacle_iou"] - theirs["obstacle_iou"]) for mine, theirs in zip(found["scratch"], found["no_depth"])]
    return [*results, _mean("scratch_over_no_depth", depth, "points")]


def _mean(name: str, values: list[float], unit: str, target: str = "") -> Result:
    half = 1.96 * float(np.std(values, ddof=1)) / float(np.sqrt(len(values)))
    return Result(name, float(np.mean(values)), unit, len(values), half, target)
