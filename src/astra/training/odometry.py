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
from astra.core.types import AnyArray, Float32Array
from astra.datasets.odometry_noise import SensorNoise
from astra.datasets.odometry_rides import Ride, load_ride, take_in
from astra.local_model.config import Encoder3dConfig
from astra.local_model.odometry.config import IMU_COLUMNS, MODALITIES, POINT_COLUMNS, WHEEL_COLUMNS, OdometryHeadConfig
from astra.local_model.odometry.head import OdometryHead, l1, nll
from astra.local_model.odometry.points import PointsConfig
from astra.local_model.odometry.runtime import eyes_key
from astra.local_model.runtime import DESCRIPTION_FILE, read_description
from astra.sim.randomize import RandomizationConfig
from astra.training.loop import LoopConfig, device_of, process, read_weights, train

logger = logging.getLogger(__name__)
SUBSETS = {"vision": (1, 0, 0), "imu": (0, 1, 0), "wheel": (0, 0, 1), "vision+imu": (1, 1, 0), "imu+wheel": (0, 1, 1), "all": (1, 1, 1)}

Seen = dict[str, Float32Array]  # ride → (2, N, width): as it is, and mirrored


@dataclass(frozen=True, slots=True)
class TrainOdometryConfig:
    """How it is learned. Of which noise: `astra.sim.randomize.RandomizationConfig`, whose hash the checkpoint carries."""

    certain_steps: int = 600  # of L1, before the covariance is asked for
    drop_sensor: float = 0.3  # probability that a sensor is missing in a whole sequence; one always stays
    drop_step: float = 0.03  # and in one step
    drop_past: float = 0.2  # probability that a sequence begins late, as it does on a robot that has just started
    mirror: float = 0.5  # probability that left and right are exchanged
    variants: int = 3  # how often `noise` is drawn for each drive
    noise: SensorNoise = field(default_factory=SensorNoise)
    evaluation_samples: int = 400
    head: OdometryHeadConfig = field(default_factory=OdometryHeadConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=4000, batch=12, rate=1e-3, warmup=100, ema=0.995, threads=1))

    def __post_init__(self) -> None:
        require(self.certain_steps >= 0, "certain_steps", self.certain_steps, "at least 0")
        for name in ("drop_sensor", "drop_step", "drop_past"):
            require(0.0 <= getattr(self, name) < 1.0, name, getattr(self, name), "in [0, 1)")
        require(0.0 <= self.mirror <= 1.0, "mirror", self.mirror, "in [0, 1]")
        require(self.variants >= 1, "variants", self.variants, "at least 1")
        require(self.evaluation_samples >= 1, "evaluation_samples", self.evaluation_samples, "at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class StepBatch:
    """What `OdometryHead.forward` takes, and the true motion (B, n) of the newest step."""

    vision: Tensor
    points: Tensor
    imu: Tensor
    wheel: Tensor
    lasts_s: Tensor
    there: Tensor
    truth: Tensor

    def to(self, device: torch.device) -> StepBatch:
        """The same there."""
        return StepBatch(*(x.to(device) for x in (self.vision, self.points, self.imu, self.wheel, self.lasts_s, self.there, self.truth)))


class Steps:
    """Draws sequences that end with any frame of the rides but their first.

    Raises:
        BadInputError: there is no step in them.
    """

    def __init__(self, rides: Sequence[Ride], config: OdometryHeadConfig, seen: Seen | None = None) -> None:
        self.rides, self.config, self._seen = rides, config, seen
        ends = [(r, i) for r, ride in enumerate(rides) for i in range(1, len(ride.stamps_ns)) if self._is_step(ride, i)]
        if not ends:
            raise BadInputError(f"{len(rides)} rides hold no two frames within {config.max_step_s} s")
        self.ends: AnyArray = np.array(ends)

    def batch(self, chosen: AnyArray, mirrored: AnyArray | None = None) -> StepBatch:
        """The sequences that end with `ends[chosen]`; `mirrored` (B,): which of them with left and right exchanged."""
        flips = np.zeros(len(chosen), dtype=np.bool_) if mirrored is None else mirrored
        rows = [self._one(self.rides[r], i, bool(flip)) for (r, i), flip in zip(self.ends[chosen].tolist(), flips)]
        return StepBatch(*(torch.from_numpy(np.stack([row[k] for row in rows])) for k in range(7)))

    def _is_step(self, ride: Ride, index: int) -> bool:
        return 0.0 < ride.lasts_s(index) <= self.config.max_step_s

    def _one(self, ride: Ride, end: int, flip: bool) -> tuple[AnyArray, ...]:
        """Vision, points, rows (T, …), how long (T,), what is there (T, 3), truth (n,); what lies before the ride, or a gap, is zero."""
        c = self.config
        begin = end
        while begin > max(end - c.steps, 0) and self._is_step(ride, begin):
            begin -= 1
        steps, first = slice(begin + 1, end + 1), c.steps - (end - begin)
        points, imu, wheel = (_late(x[steps], c.steps) for x in (ride.points, ride.imu, ride.wheel))
        lasts, there = np.zeros(c.steps, np.float32), np.zeros((c.steps, len(MODALITIES)), np.float32)
        lasts[first:] = [ride.lasts_s(i) for i in range(begin + 1, end + 1)]
        there[first:, 0] = ride.seen[begin:end] & ride.seen[steps]
        there[:, 1], there[:, 2] = imu.any(axis=(1, 2)), wheel.any(axis=(1, 2))
        truth = ride.motion(end, spatial=c.spatial).astype(np.float32)
        if self._seen is not None:
            vision = _late(self._seen[ride.name][int(flip)][steps], c.steps)
        else:
            vision = _late(ride.features[begin : end + 1], c.steps + 1)
            vision = np.ascontiguousarray(vision[..., ::-1, :]) if flip else vision
        if flip:
            points, imu, wheel, truth = points * _POINTS_FLIP, imu * _IMU_FLIP, wheel * _WHEEL_FLIP, truth * (_SPATIAL_FLIP if c.spatial else _PLANAR_FLIP)
        return vision, points, imu, wheel, lasts, there, truth


def _late(rows: AnyArray, count: int) -> Float32Array:
    """(count, …) that end with the rows, zeros before."""
    out = np.zeros((count, *rows.shape[1:]), np.float32)
    out[count - len(rows) :] = rows
    return out


def _flips(count: int, columns: Sequence[int]) -> Float32Array:
    out = np.ones(count, np.float32)
    out[list(columns)] = -1.0
    return out


_POINTS_FLIP, _IMU_FLIP, _WHEEL_FLIP = _flips(POINT_COLUMNS, (2, 3, 8, 9)), _flips(IMU_COLUMNS, (2, 4, 6)), _flips(WHEEL_COLUMNS, (3,))
_PLANAR_FLIP, _SPATIAL_FLIP = _flips(3, (1, 2)), _flips(6, (1, 3, 5))  # left and right exchanged: y, and turns about x and z


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
    motion, factor = model(batch.vision, batch.points, batch.imu, batch.wheel, batch.lasts_s, dropped(batch.there, rng, config))
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
                motion, factor = model(given.vision, given.points, given.imu, given.wheel, given.lasts_s, there)
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


def look(model: OdometryHead, rides: Sequence[Ride], batch: int = 64) -> Seen:
    """What the model's correlation sees in each step of each ride, as it is and mirrored: (2, N, width)."""
    out: dict[str, Float32Array] = {}
    for ride in rides:
        if ride.name in out:
            continue
        rows = np.zeros((2, len(ride.stamps_ns), model.config.width), np.float32)
        with torch.no_grad():
            for begin in range(1, len(ride.stamps_ns), batch):
                frames = torch.from_numpy(ride.features[begin - 1 : begin + batch].astype(np.float32))
                for k, shown in enumerate((frames, frames.flip(-2))):
                    rows[k, begin : begin + batch] = model.steps.seen(shown[:-1], shown[1:]).numpy()
        out[ride.name] = rows
    return out


def run(
    config: TrainOdometryConfig, drives: Sequence[Path], validation: Sequence[Path], eyes: Path, out: Path, rides: Path | None = None, begin: Path | None = None
) -> Path:
    """Look at the drives with the eyes, once, and train; returns the weights' file. Both go on where they were cut off.

    Args:
        config: what is learned.
        drives: recorded in train worlds by robots with errors (`astra sim record --randomize`).
        validation: of validation worlds, to report on.
        eyes: as exported; new eyes need another `out`, their rides are kept beside the old.
        out: checkpoints, metrics and weights.
        rides: where rides are kept; None: below `out`.
        begin: weights of a head that has learned to compare two frames, for instance with `steps: 1`: that part of it is kept as it is.

    Raises:
        BadInputError: no drives, one of another split or without truth, or no eyes.
    """
    if not drives:
        raise BadInputError("training the odometry needs drives")
    told = from_mapping(Encoder3dConfig, read_description(eyes)["encoder"], str(eyes / DESCRIPTION_FILE))
    config = replace(config, head=replace(config.head, feature_channels=told.channels * told.grid.levels))
    torch.set_num_threads(config.loop.threads)
    root = rides or out / "rides"
    taken = _rides(drives, eyes, root, "train", config, config.variants)
    watched = _rides(validation, eyes, root, "validate", config, 1)
    torch.manual_seed(config.loop.seed)
    model = OdometryHead(config.head)
    seen, seen_there = _begun(model, begin, taken, watched)
    data, held = Steps(taken, config.head, seen), Steps(watched, config.head, seen_there) if watched else None

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([config.loop.seed, step, process()])
        chosen, flips = rng.integers(0, len(data.ends), config.loop.batch), rng.random(config.loop.batch) < config.mirror
        return stage_losses(model, data.batch(chosen, flips).to(device_of(model)), step, rng, config)

    evaluate = None
    if held is not None:
        chosen = np.linspace(0, len(held.ends) - 1, min(config.evaluation_samples, len(held.ends))).astype(int)

        def evaluate() -> dict[str, float]:
            return scores(model, held, chosen)

    settings = {k: v for k, v in asdict(config).items() if k != "loop"}
    recipe = {"stage": "odometry", "config": settings, "eyes": eyes_key(eyes), "noise": noise_key(config), "begin": None if begin is None else begin.name}
    return train(model, losses, config.loop, out, recipe, evaluate)


def _rides(paths: Sequence[Path], eyes: Path, root: Path, split: str, config: TrainOdometryConfig, variants: int) -> list[Ride]:
    folders = [take_in(path, eyes, root, split, config.head) for path in paths]
    return [load_ride(folder, config.head, config.noise, variant) for folder in folders for variant in range(variants)]


def noise_key(config: TrainOdometryConfig) -> str:
    """Of everything that is wrong with the robots: the simulator's recipe and the sensors' noise."""
    return recipe_hash({"robots": asdict(RandomizationConfig()), "sensors": asdict(config.noise), "points": asdict(PointsConfig())})


def _begun(model: OdometryHead, begin: Path | None, taken: Sequence[Ride], watched: Sequence[Ride]) -> tuple[Seen | None, Seen | None]:
    """Take over and freeze what compares two frames; what it sees in all rides."""
    if begin is None:
        return None, None
    state, recipe = read_weights(begin)
    if recipe.get("stage") != "odometry" or recipe["config"]["head"]["width"] != model.config.width:
        raise BadInputError(f"{begin} holds no odometry head of width {model.config.width}")
    kept = {name: value for name, value in state.items() if name.startswith(("steps.correlation.", "steps.flow."))}
    model.load_state_dict(kept, strict=False)
    model.steps.correlation.requires_grad_(False)
    model.steps.flow.requires_grad_(False)
    return look(model, taken), look(model, watched)
