"""The odometry head learns each step's motion from simulated rides, with slip and sensors that fail; the eyes are frozen (paper 3.2.3)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from astra.core.config import from_mapping, require
from astra.core.errors import BadInputError
from astra.core.paths import recipe_hash
from astra.core.types import AnyArray
from astra.local_model.config import Encoder3dConfig
from astra.local_model.odometry.config import MODALITIES, OdometryHeadConfig
from astra.local_model.odometry.head import OdometryHead, l1, nll
from astra.local_model.runtime import DESCRIPTION_FILE, read_description
from astra.sim.randomize import RandomizationConfig
from astra.training.loop import LoopConfig, device_of, process, train
from astra.training.odometry_rides import Ride, eyes_key, load_ride, take_in

logger = logging.getLogger(__name__)
SUBSETS = {"vision": (1, 0, 0), "imu": (0, 1, 0), "wheel": (0, 0, 1), "vision+imu": (1, 1, 0), "imu+wheel": (0, 1, 1), "all": (1, 1, 1)}


@dataclass(frozen=True, slots=True)
class TrainOdometryConfig:
    """How it is learned. Of which noise: `astra.sim.randomize.RandomizationConfig`, whose hash the checkpoint carries."""

    certain_steps: int = 600  # of L1, before the covariance is asked for
    drop_sensor: float = 0.3  # probability that a sensor is missing in a whole sequence; one always stays
    drop_step: float = 0.03  # and in one step
    drop_past: float = 0.2  # probability that a sequence begins late, as it does on a robot that has just started
    evaluation_samples: int = 400
    head: OdometryHeadConfig = field(default_factory=OdometryHeadConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=4000, batch=12, rate=1e-3, warmup=100, ema=0.995, threads=1))

    def __post_init__(self) -> None:
        require(self.certain_steps >= 0, "certain_steps", self.certain_steps, "at least 0")
        for name in ("drop_sensor", "drop_step", "drop_past"):
            require(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "in [0, 1)")
        require(self.evaluation_samples >= 1, "evaluation_samples", self.evaluation_samples, "at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class StepBatch:
    """What `OdometryHead.forward` takes, and the true motion (B, n) of the newest step."""

    features: Tensor
    imu: Tensor
    wheel: Tensor
    lasts_s: Tensor
    there: Tensor
    truth: Tensor

    def to(self, device: torch.device) -> StepBatch:
        """The same there."""
        return StepBatch(*(x.to(device) for x in (self.features, self.imu, self.wheel, self.lasts_s, self.there, self.truth)))


class Steps:
    """Draws sequences that end with any frame of the rides but their first.

    Raises:
        BadInputError: there is no step in them.
    """

    def __init__(self, rides: Sequence[Ride], config: OdometryHeadConfig) -> None:
        self.rides, self.config = rides, config
        ends = [(r, i) for r, ride in enumerate(rides) for i in range(1, len(ride.stamps_ns)) if self._is_step(ride, i)]
        if not ends:
            raise BadInputError(f"{len(rides)} rides hold no two frames within {config.max_step_s} s")
        self.ends: AnyArray = np.array(ends)

    def batch(self, chosen: AnyArray) -> StepBatch:
        """The sequences that end with `ends[chosen]`."""
        rows = [self._one(self.rides[r], i) for r, i in self.ends[chosen]]
        return StepBatch(*(torch.from_numpy(np.stack([row[k] for row in rows])) for k in range(6)))

    def _is_step(self, ride: Ride, index: int) -> bool:
        return 0.0 < ride.lasts_s(index) <= self.config.max_step_s

    def _one(self, ride: Ride, end: int) -> tuple[AnyArray, ...]:
        """Frames (T + 1, …), rows (T, …), how long (T,), what is there (T, 3), truth (n,); what lies before the ride, or a gap, is zero."""
        c = self.config
        frames = np.zeros((c.steps + 1, *ride.features.shape[1:]), np.float32)
        imu, wheel = np.zeros((c.steps, *ride.imu.shape[1:]), np.float32), np.zeros((c.steps, *ride.wheel.shape[1:]), np.float32)
        lasts, there = np.zeros(c.steps, np.float32), np.zeros((c.steps, len(MODALITIES)), np.float32)
        frames[-1] = ride.features[end]
        for row, index in zip(range(c.steps - 1, -1, -1), range(end, 0, -1)):
            if not self._is_step(ride, index):
                break
            frames[row], imu[row], wheel[row], lasts[row] = ride.features[index - 1], ride.imu[index], ride.wheel[index], ride.lasts_s(index)
            there[row] = ride.seen[index - 1] and ride.seen[index], imu[row].any(), wheel[row].any()
        return frames, imu, wheel, lasts, there, ride.motion(end, spatial=c.spatial).astype(np.float32)


def dropped(there: Tensor, rng: np.random.Generator, config: TrainOdometryConfig) -> Tensor:
    """(B, T, 3) with sensors, steps and pasts taken away; of the newest step one sensor stays, if it had one."""
    b, t, kinds = there.shape
    keep = rng.random((b, 1, kinds)) >= config.drop_sensor
    last = there[:, -1].cpu().numpy() > 0
    chosen = np.where(last, rng.random((b, kinds)) + 1.0, 0.0).argmax(1)
    keep[np.arange(b), 0, chosen] = True
    kept = keep & (rng.random((b, t, kinds)) >= config.drop_step)
    starts = np.where(rng.random(b) < config.drop_past, rng.integers(0, t, b), 0)
    kept &= (np.arange(t)[None] >= starts[:, None])[..., None]
    kept[np.arange(b), -1, chosen] = True
    return there * torch.from_numpy(kept.astype(np.float32)).to(there.device)


def stage_losses(model: OdometryHead, batch: StepBatch, step: int, rng: np.random.Generator, config: TrainOdometryConfig) -> dict[str, Tensor]:
    """L1 of the motion, and after `certain_steps` the negative log likelihood."""
    motion, factor = model(batch.features, batch.imu, batch.wheel, batch.lasts_s, dropped(batch.there, rng, config))
    units = model.motion.units
    if step < config.certain_steps:
        return {"l1": l1(motion, batch.truth, units)}
    return {"nll": nll(motion, factor, batch.truth, units)}


def scores(model: OdometryHead, data: Steps, chosen: AnyArray, batch: int = 16) -> dict[str, float]:
    """For each subset of sensors: rms error of a step [mm, mrad] and NEES over its degrees of freedom; besides, the rms motion itself (`still`).

    Steps in which none of a subset's sensors was there do not count: nobody asks then.
    """
    errors: dict[str, list[AnyArray]] = {name: [] for name in ("still", *SUBSETS)}
    surprise: dict[str, list[AnyArray]] = {name: [] for name in SUBSETS}
    with torch.no_grad():
        for k in range(0, len(chosen), batch):
            given = data.batch(chosen[k : k + batch]).to(device_of(model))
            errors["still"].append(given.truth.cpu().numpy())
            for name, sensors in SUBSETS.items():
                asked = (given.there[:, -1] * torch.tensor(sensors, device=given.there.device)).sum(1) > 0
                there = given.there * torch.tensor(sensors, dtype=torch.float32, device=given.there.device)
                motion, factor = model(given.features, given.imu, given.wheel, given.lasts_s, there)
                error = motion - given.truth
                whitened = torch.linalg.solve_triangular(factor, error[..., None], upper=False)[..., 0]
                errors[name].append(error[asked].cpu().numpy())
                surprise[name].append(whitened.square().mean(1)[asked].cpu().numpy())
    out, ways = dict[str, float](), 3 if data.config.spatial else 2
    for name, parts in errors.items():
        all_of = np.concatenate(parts)
        if not len(all_of):
            continue
        if name in surprise:
            out[f"{name}/nees"] = float(np.concatenate(surprise[name]).mean())
        out[f"{name}/mm"] = 1000.0 * float(np.sqrt((all_of[:, :ways] ** 2).sum(1).mean()))
        out[f"{name}/mrad"] = 1000.0 * float(np.sqrt((all_of[:, ways:] ** 2).sum(1).mean()))
    return out


def run(config: TrainOdometryConfig, drives: Sequence[Path], validation: Sequence[Path], eyes: Path, out: Path) -> Path:
    """Look at the drives with the eyes, once, and train; returns the weights' file. Both go on where they were cut off.

    Args:
        config: what is learned.
        drives: recorded in train worlds by robots with errors (`astra sim record --randomize`).
        validation: of validation worlds, to report on.
        eyes: as exported; new eyes need another `out`, their rides are kept beside the old.
        out: rides, checkpoints, metrics and weights.

    Raises:
        BadInputError: no drives, one of another split or without truth, or no eyes.
    """
    if not drives:
        raise BadInputError("training the odometry needs drives")
    told = from_mapping(Encoder3dConfig, read_description(eyes)["encoder"], str(eyes / DESCRIPTION_FILE))
    config = replace(config, head=replace(config.head, feature_channels=told.channels * told.grid.levels))
    torch.set_num_threads(config.loop.threads)
    data, held = (_steps(paths, eyes, out, split, config.head) for paths, split in ((drives, "train"), (validation, "validate")))
    assert data is not None
    torch.manual_seed(config.loop.seed)
    model = OdometryHead(config.head)

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([config.loop.seed, step, process()])
        batch = data.batch(rng.integers(0, len(data.ends), config.loop.batch)).to(device_of(model))
        return stage_losses(model, batch, step, rng, config)

    evaluate = None
    if held is not None:
        chosen = np.linspace(0, len(held.ends) - 1, min(config.evaluation_samples, len(held.ends))).astype(int)

        def evaluate() -> dict[str, float]:
            return scores(model, held, chosen)

    settings = {k: v for k, v in asdict(config).items() if k != "loop"}
    recipe = {"stage": "odometry", "config": settings, "eyes": eyes_key(eyes), "noise": recipe_hash(asdict(RandomizationConfig()))}
    return train(model, losses, config.loop, out, recipe, evaluate)


def _steps(paths: Sequence[Path], eyes: Path, out: Path, split: str, config: OdometryHeadConfig) -> Steps | None:
    folders = [take_in(path, eyes, out / "rides", split, config) for path in paths]
    return Steps([load_ride(folder, config) for folder in folders], config) if folders else None
