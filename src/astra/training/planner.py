"""Trains the planner: any of its heads, with the masked ESDF loss, from lessons of the expert (paper 3.2.2, Figure 9).

The maps are spoiled as a robot's are: things are missed, others invented, forecasts are wrong or missing, half the scenes are mirrored.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from astra.core.config import from_mapping, require
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, BoolArray, Float32Array
from astra.local_model.planning.config import MapConfig, PlannerConfig
from astra.local_model.planning.esdf import EsdfConfig, masked_esdf_loss
from astra.local_model.planning.maps import clearance_maps, distance_of
from astra.local_model.planning.network import Planner, ReadScene, Scene2d
from astra.local_model.planning.solvers import draw
from astra.local_model.planning.trajectory import poses_from_steps, scaled, steps_from_poses, unscaled
from astra.training.loop import LoopConfig, device_of, process, read_weights, train

logger = logging.getLogger(__name__)
ROUTE_M = 0.25  # between the points of a lesson's route
FINE = 2  # parts of a map's cell along each side, in the lessons


@dataclass(frozen=True, slots=True)
class SpoilConfig:
    """How a map that is learned from differs from the truth that was seen."""

    missed: int = 3  # at most so many things …
    missed_m: tuple[float, float] = (0.1, 0.35)  # … of this radius are not there
    invented: int = 2
    invented_m: tuple[float, float] = (0.05, 0.15)
    clear_of_way_m: float = 0.4  # what is invented lies so far from the demonstration
    spoiled: float = 0.4  # share of maps with any of that
    thicker: float = 0.3  # share of maps whose things are a cell (0.05 m) thicker, and a third as many by two
    no_forecast: float = 0.5
    forecast_mps: float = 0.15  # error of a forecast, growing with time
    route_m: float = 0.1  # error of a subgoal on the route


@dataclass(frozen=True, slots=True)
class TrainPlannerConfig:
    """What is learned, and how."""

    lookahead_m: tuple[float, float] = (0.9, 4.0)  # of the subgoal along the route
    disc_m: float = 0.22  # the robot
    evaluation_samples: int = 256
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    esdf: EsdfConfig = field(default_factory=EsdfConfig)
    spoil: SpoilConfig = field(default_factory=SpoilConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6000, batch=64, rate=1e-3, warmup=200, ema=0.998, threads=1))

    def __post_init__(self) -> None:
        require(0.0 < self.lookahead_m[0] <= self.lookahead_m[1], "lookahead_m", self.lookahead_m, "positive and in order")
        require(self.evaluation_samples >= 1, "evaluation_samples", self.evaluation_samples, "at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class LessonBatch:
    """scene, the demonstration's poses (B, T, 3), and the truth: Φ of what stands still (B, 1, Y, X), movers (B, T, D, 3)."""

    scene: Scene2d
    poses: Tensor
    field: Tensor
    movers: Tensor


class LessonSet:
    """Lessons of one split, in memory (13 kB each).

    Raises:
        BadInputError: there are none, or one of another split.
    """

    def __init__(self, folder: Path, split: str, config: TrainPlannerConfig) -> None:
        self.config, parts = config, list[dict[str, AnyArray]]()
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as file:
                if str(file["split"]) != split:
                    raise BadInputError(f"{path} is of the {file['split']} split, not {split}")
                parts.append({name: file[name] for name in file.files if file[name].ndim})
        if not parts:
            raise BadInputError(f"{folder} holds no lessons: make them with `astra train lessons`")
        self._arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def __len__(self) -> int:
        return len(self._arrays["plan"])

    def batch(self, chosen: AnyArray, rng: np.random.Generator, spoiled: bool = True) -> LessonBatch:
        """The lessons `chosen` (B,), each spoiled and mirrored by chance if so wanted."""
        a, c, maps = self._arrays, self.config, self.config.planner.maps
        side = FINE * maps.cells
        occupied, known = (np.unpackbits(a[name][chosen], axis=1)[:, : side * side].reshape(-1, side, side).astype(bool) for name in ("occupied", "known"))
        plan, goal = a["plan"][chosen].copy(), self._goals(chosen, rng, spoiled)
        truth = a["discs"][chosen].astype(np.float32)
        foretold = self._foretold(truth, a["disc_seen"][chosen], rng, spoiled)
        if spoiled:
            for k in np.flatnonzero(rng.random(len(chosen)) < c.spoil.spoiled):
                occupied[k] = spoil(occupied[k], known[k], plan[k], rng, c.spoil, maps)
            for k in np.flatnonzero(rng.random(len(chosen)) < c.spoil.thicker):
                occupied[k] = cv2.dilate(occupied[k].astype(np.uint8), np.ones((3, 3), np.uint8), iterations=1 + int(rng.random() < 0.33)) > 0
        distance = np.stack([distance_of(o, maps) for o in occupied])
        read = clearance_maps(distance, known[:, ::FINE, ::FINE], foretold, c.disc_m, maps)
        velocity, field_ = a["velocity"][chosen].copy(), a["field"][chosen].astype(np.float32)
        if spoiled:
            flip = rng.random(len(chosen)) < 0.5
            read[flip], field_[flip] = read[flip][:, :, ::-1], field_[flip][:, ::-1]
            for array, columns in ((plan, (1, 2)), (goal, (1, 2)), (velocity, (1,)), (truth, (1,))):
                for column in columns:
                    array[flip, ..., column] *= -1.0
        scene = Scene2d(*(torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (read, velocity, goal)))
        return LessonBatch(scene, torch.from_numpy(plan), torch.from_numpy(field_)[:, None], torch.from_numpy(truth[:, 1:]))

    def _goals(self, chosen: AnyArray, rng: np.random.Generator, spoiled: bool) -> Float32Array:
        """(B, 4): a point ahead on the route, or the goal itself with its heading."""
        a, c = self._arrays, self.config
        ahead = rng.uniform(*c.lookahead_m, len(chosen)) if spoiled else np.full(len(chosen), 2.5)
        final = ahead >= a["route_m"][chosen]
        index = np.clip(np.round(ahead / ROUTE_M).astype(int) - 1, 0, a["route"].shape[1] - 1)
        goal = np.zeros((len(chosen), 4), np.float32)
        goal[:, :2] = a["route"][chosen, index]
        if spoiled:
            goal[:, :2] += c.spoil.route_m * rng.standard_normal((len(chosen), 2))
        goal[final, :3] = a["goal"][chosen][final]
        goal[:, 3] = final
        return goal

    def _foretold(self, discs: Float32Array, seen: BoolArray, rng: np.random.Generator, spoiled: bool) -> Float32Array:
        """(B, M, D, 3): movers that are seen, at the maps' moments; where there is no forecast, they stay."""
        config = self.config.planner
        moments = np.array(config.maps.moments_s)
        at = np.round(moments / config.trajectory.step_s).astype(int)
        there = discs[:, at].copy()
        there[..., 0] = np.where(seen[:, None], there[..., 0], 100.0)
        if spoiled:
            wander = rng.standard_normal((len(discs), 1, discs.shape[2], 2)) * self.config.spoil.forecast_mps
            there[..., :2] += wander * moments[None, :, None, None]
            still = rng.random(len(discs)) < self.config.spoil.no_forecast
            there[still] = there[still][:, :1]
        return there


def spoil(occupied: BoolArray, known: BoolArray, plan: Float32Array, rng: np.random.Generator, config: SpoilConfig, maps: MapConfig) -> BoolArray:
    """A map (2Y, 2X) in which a few things are missing and a few are invented, none of those on the demonstrated way."""
    out, cell = occupied.astype(np.uint8), maps.resolution_m / FINE
    for present, count, radii in ((0, config.missed, config.missed_m), (1, config.invented, config.invented_m)):
        rows, columns = np.nonzero(occupied if not present else known & ~occupied)
        for _ in range(int(rng.integers(count + 1)) if len(rows) else 0):
            k = int(rng.integers(len(rows)))
            at = (np.array([columns[k], rows[k]]) + 0.5) * cell - 0.5 * maps.size_m
            if present and np.hypot(*(np.vstack([plan[:, :2], np.zeros((1, 2))]) - at).T).min() < config.clear_of_way_m:
                continue
            cv2.circle(out, (int(columns[k]), int(rows[k])), max(1, round(float(rng.uniform(*radii)) / cell)), present, -1)
    return out > 0


def step_losses(model: Planner, batch: LessonBatch, config: TrainPlannerConfig) -> dict[str, Tensor]:
    """The head's own losses and the masked ESDF loss of its one-step estimate."""
    c = config.planner
    data = scaled(steps_from_poses(batch.poses), c.trajectory)
    parts, estimate = model.losses(model.encoder(batch.scene), data)
    if config.esdf.weight > 0.0:
        discs = data.new_tensor([[0.0, 0.0, config.disc_m]])
        poses = poses_from_steps(unscaled(estimate, c.trajectory))
        parts["esdf"] = masked_esdf_loss(poses, batch.poses, batch.field, c.maps.resolution_m, config.esdf, discs, batch.movers)
    return parts


def scores(model: Planner, data: LessonSet, chosen: AnyArray, batch: int = 64) -> dict[str, float]:
    """One sample a scene: share that touches something, mean distance from the demonstration [m], mean speed over the demonstration's."""
    from astra.local_model.planning.esdf import sample_field

    c, rng = data.config.planner, np.random.default_rng(0)
    touched, apart, speed, meant = [], [], [], []
    with torch.no_grad():
        for k in range(0, len(chosen), batch):
            given = data.batch(chosen[k : k + batch], rng, spoiled=False)
            scene = model.encoder(given.scene)
            noise = rng.standard_normal(given.poses.shape).astype(np.float32)

            def refine(x: AnyArray, t: AnyArray, scene: ReadScene = scene) -> AnyArray:
                return np.asarray(model.refine(torch.from_numpy(x), torch.from_numpy(t), scene).numpy())

            x = draw(refine, c, noise)
            steps = unscaled(torch.from_numpy(np.asarray(x, np.float32)), c.trajectory)
            poses = poses_from_steps(steps)
            distance = sample_field(given.field, poses[:, None, :, :2], c.maps.resolution_m)[:, 0]
            beside = ((poses[:, :, None, :2] - given.movers[..., :2]).norm(dim=-1) - given.movers[..., 2]).amin(-1)
            touched.append((torch.minimum(distance, beside) < data.config.disc_m).any(1))
            apart.append((poses - given.poses)[..., :2].norm(dim=-1).mean(1))
            speed.append(steps[..., :2].norm(dim=-1).sum(1))
            meant.append(steps_from_poses(given.poses)[..., :2].norm(dim=-1).sum(1))
    means = [float(torch.cat(values).float().mean()) for values in (touched, apart, speed, meant)]
    return {"touched": means[0], "apart_m": means[1], "speed": means[2] / max(means[3], 1e-6)}


def run(config: TrainPlannerConfig, lessons: Path, validation: Path | None, out: Path, begin: Path | None = None) -> Path:
    """Train; returns the weights' file. Goes on where it was cut off.

    Args:
        config: what is learned.
        lessons: of train worlds.
        validation: of validation worlds, to report on.
        out: checkpoints, metrics and weights.
        begin: weights to begin with; what another head has of its own is begun anew.

    Raises:
        BadInputError: no lessons, of another split, or `begin` has other sizes.
    """
    data = LessonSet(lessons, "train", config)
    held = LessonSet(validation, "validate", config) if validation is not None else None
    torch.manual_seed(config.loop.seed)
    model = Planner(config.planner)
    if begin is not None:
        _begin(model, begin)

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([config.loop.seed, step, process()])
        batch = data.batch(rng.integers(0, len(data), config.loop.batch), rng)
        return step_losses(model, _to(batch, device_of(model)), config)

    evaluate = None
    if held is not None:
        chosen = np.linspace(0, len(held) - 1, min(config.evaluation_samples, len(held))).astype(int)

        def evaluate() -> dict[str, float]:
            return scores(model, held, chosen)

    settings = {k: v for k, v in asdict(config).items() if k != "loop"}
    recipe = {"stage": "planner", "config": settings, "lessons": len(data), "begin": None if begin is None else read_weights(begin)[1]}
    return train(model, losses, config.loop, out, recipe, evaluate)


def load_planner(weights: Path) -> tuple[Planner, dict[str, Any]]:
    """The planner of a checkpoint, in evaluation mode, and its recipe.

    Raises:
        BadInputError: no checkpoint of that stage.
    """
    state, recipe = read_weights(weights)
    if recipe.get("stage") != "planner":
        raise BadInputError(f"{weights} holds no planner, but {recipe.get('stage')}")
    model = Planner(from_mapping(PlannerConfig, recipe["config"]["planner"], str(weights)))
    model.load_state_dict(state, strict=True)
    return model.eval(), recipe


def _begin(model: Planner, weights: Path) -> None:
    other, _ = load_planner(weights)
    if replace(other.config, head=model.config.head) != model.config:
        raise BadInputError(f"{weights} holds a planner of other sizes")
    missing, unexpected = model.load_state_dict(other.state_dict(), strict=False)
    logger.info("begun anew: %s; left out: %s", missing, unexpected)


def _to(batch: LessonBatch, device: torch.device) -> LessonBatch:
    scene = Scene2d(*(x.to(device) for x in (batch.scene.maps, batch.scene.velocity, batch.scene.goal)))
    return LessonBatch(scene, *(x.to(device) for x in (batch.poses, batch.field, batch.movers)))
