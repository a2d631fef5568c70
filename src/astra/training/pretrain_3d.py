"""Stage 1: the 3-D encoder learns from rendered depth and colour, from depth itself, and from the true floor (paper 3.2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.datasets.samples import SampleSet, require_training
from astra.local_model.depth import DepthBins
from astra.local_model.encoder3d import Encoder3d, Encoder3dConfig
from astra.local_model.lifting import STRIDE
from astra.local_model.occupancy import Occupancy, OccupancyHead, cells_between
from astra.local_model.rendering import RayBatch, render_rays
from astra.training.loop import LoopConfig, device_of, process, read_weights, train
from astra.training.surround import AugmentConfig, SurroundBatch, SurroundSamples

WINDOW_M, WINDOW_RESOLUTION_M = 9.6, 0.1  # of the packed truth


@dataclass(frozen=True, slots=True)
class Pretrain3dConfig:
    """What is learned from what. `labels`: the share of samples whose occupancy may be used (the rest teach by rendering alone)."""

    samples: str = ""
    validation: str = ""
    out: str = ""
    start: str = ""  # weights to begin with; none: from scratch
    depth_weight: float = 0.5
    render_weight: float = 1.0
    colour_weight: float = 0.5
    occupancy_weight: float = 1.0
    near_weight: float = 1.0  # of the near map over the wide one
    occupied_gain: float = 2.0  # of occupied cells over free ones
    rays: int = 256  # of a sample
    render_steps: int = 64
    labels: float = 1.0
    labelled_only: bool = False  # draw no other samples
    evaluation_samples: int = 200
    encoder: Encoder3dConfig = field(default_factory=Encoder3dConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        require(self.rays >= 1, "rays", self.rays, "at least 1")
        require(self.render_steps >= 8, "render_steps", self.render_steps, "at least 8")
        require(0.0 <= self.labels <= 1.0, "labels", self.labels, "in [0, 1]")


class EyesModel(nn.Module):
    """Encoder and heads, trained together."""

    def __init__(self, config: Encoder3dConfig) -> None:
        super().__init__()
        self.encoder = Encoder3d(config)
        self.head = OccupancyHead(config)

    def forward(self, batch: SurroundBatch) -> tuple[Tensor, Occupancy]:
        """(depth logits, occupancy)."""
        encoding = self.encoder(batch.images, batch.rays, batch.voxel, batch.near_voxel, batch.works)
        return encoding.depth_logits, self.head(encoding)


def run(config: Pretrain3dConfig) -> Path:
    """Train; returns the weights' file.

    Raises:
        BadInputError: no samples, or samples of test worlds.
    """
    samples = SampleSet(Path(config.samples))
    for split in samples.splits:
        require_training(split, config.samples)
    data = SurroundSamples(samples, config.encoder, config.augment, config.loop.seed + process())
    torch.manual_seed(config.loop.seed)
    model = EyesModel(config.encoder)
    recipe = {"stage": "pretrain_3d", "config": {k: v for k, v in asdict(config).items() if k not in ("loop", "samples", "validation", "out", "start")}}
    if config.start:
        state, before = read_weights(Path(config.start))
        recipe["start"] = before
        model.load_state_dict(state, strict=True)
    labelled = np.random.default_rng(config.loop.seed).random(len(samples)) < config.labels
    drawn = np.flatnonzero(labelled) if config.labelled_only else np.arange(len(samples))
    if not len(drawn):
        raise BadInputError(f"labels {config.labels} leaves none of the {len(samples)} samples of {config.samples}")

    def losses(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([config.loop.seed, step, process()])
        indices = rng.choice(drawn, config.loop.batch)
        batch = data.batch(indices).to(device_of(model))
        return stage_losses(model, batch, torch.from_numpy(labelled[indices].astype(np.float32)).to(batch.images), config, rng)

    evaluate = None
    if config.validation:
        unseen = SampleSet(Path(config.validation), splits=("validate",))
        chosen = np.linspace(0, len(unseen) - 1, min(config.evaluation_samples, len(unseen))).astype(int)
        held = SurroundSamples(unseen, config.encoder, None)

        def evaluate() -> dict[str, float]:
            with torch.no_grad():
                return scores(model, [held.batch(part).to(device_of(model)) for part in np.array_split(chosen, max(1, len(chosen) // 4))], config)

    return train(model, losses, config.loop, Path(config.out), recipe, evaluate)


def stage_losses(model: EyesModel, batch: SurroundBatch, labelled: Tensor, config: Pretrain3dConfig, rng: np.random.Generator) -> dict[str, Tensor]:
    """Depth, rendering, colour and occupancy losses of one batch; `labelled` (B,) says whose occupancy may be used."""
    logits, occupancy = model(batch)
    wide, near = (_map_loss(*pair, labelled, config.occupied_gain) for pair in map_targets(occupancy, batch, config.encoder))
    error, shade = render_losses(occupancy.sdf, occupancy.colour, model.head.fields.beta, batch, config.encoder, rng, config.rays, config.render_steps)
    return {
        "depth": config.depth_weight * depth_loss(logits, batch.depth, batch.works, config.encoder.bins),
        "render": config.render_weight * error,
        "colour": config.colour_weight * shade,
        "wide": config.occupancy_weight * wide,
        "near": config.occupancy_weight * config.near_weight * near,
    }


def map_targets(occupancy: Occupancy, batch: SurroundBatch, config: Encoder3dConfig) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(logits, occupied, counted) of the wide and of the near map, at the resolution of each."""
    pairs = []
    for logits, seen, grid in ((occupancy.wide, occupancy.wide_seen, config.grid), (occupancy.near, occupancy.near_seen, config.near)):
        target, counted = (
            cells_between(x, WINDOW_M, WINDOW_RESOLUTION_M, grid.size_m, grid.resolution_m) for x in (batch.occupied * batch.counted, batch.counted)
        )
        pairs.append((logits, target.to(logits.dtype), counted.to(logits.dtype) * seen.to(logits.dtype)))
    return pairs


def depth_loss(logits: Tensor, depth: Tensor, works: Tensor, bins: DepthBins) -> Tensor:
    """Cross-entropy of each feature pixel's nearest true depth among the pixels that it covers; beyond the last bin is the last bin."""
    b, v, d, h, w = logits.shape
    patches = depth[..., : h * STRIDE, : w * STRIDE].reshape(b * v, 1, h * STRIDE, w * STRIDE)
    known = torch.where(patches > 0, patches, torch.full_like(patches, 1e3))
    nearest = -torch.nn.functional.max_pool2d(-known, STRIDE).view(b, v, h, w)
    edges = torch.from_numpy(bins.edges()).to(depth)
    target = torch.bucketize(nearest, edges[1:-1]).clamp(0, d - 1)
    weight = (nearest < 1e3) * works[:, :, None, None]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(0, 1), reduction="none").view(b, v, h, w)
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def render_losses(
    sdf: Tensor, colour: Tensor, beta: Tensor, batch: SurroundBatch, config: Encoder3dConfig, rng: np.random.Generator, count: int, steps: int
) -> tuple[Tensor, Tensor]:
    """L1 on rendered depth (a share of the farthest) and colour of `count` random pixels of working cameras.

    Surfaces outside the grid must leave the ray transparent.
    """
    b, v, h, w = batch.depth.shape
    camera, row, column = (torch.from_numpy(rng.integers(0, n, (b, count))).to(batch.depth.device) for n in (v, h, w))
    at = torch.arange(b, device=batch.depth.device)[:, None]
    directions = batch.directions[at, camera, :, row, column]
    rays = RayBatch(batch.origins[at, camera], directions)
    depth, seen = batch.depth[at, camera, row, column], batch.images[at, camera, :, row, column]
    far, grid = config.bins.far_m, config.grid
    edges = torch.from_numpy(np.geomspace(0.2, far, steps + 1)).to(depth)
    out = render_rays(sdf, colour, beta, rays, edges, grid)
    points = rays.origins + directions * depth.unsqueeze(-1)
    half, top = grid.size_m / 2, grid.z_min_m + grid.levels * grid.level_m
    inside = (points[..., :2].abs().amax(-1) < half) & (points[..., 2] < top) & (depth > 0)
    works = batch.works[at, camera] * (depth > 0)
    error = (out.depth - torch.where(inside, depth, torch.full_like(depth, far))).abs() / far
    shade = (out.colour - seen).abs().mean(-1) * inside
    total = works.sum().clamp(min=1.0)
    return (error * works).sum() / total, (shade * works).sum() / total


def _map_loss(logits: Tensor, occupied: Tensor, counted: Tensor, labelled: Tensor, gain: float) -> Tensor:
    weight = counted * labelled[:, None, None] * (1.0 + (gain - 1.0) * occupied)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, occupied, reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def scores(model: EyesModel, batches: Sequence[SurroundBatch], config: Pretrain3dConfig) -> dict[str, float]:
    """Obstacle and total IoU within 4 m (wide map), precision and recall within 2 m with a cell of tolerance (near map), AbsRel of depth."""
    hits = {"wide_tp": 0.0, "wide_fp": 0.0, "wide_fn": 0.0, "wide_tn": 0.0, "near_tp": 0.0, "near_found": 0.0, "near_said": 0.0, "near_true": 0.0}
    relative, pixels = 0.0, 0.0
    centres = torch.from_numpy(config.encoder.bins.centres()).float().to(device_of(model))
    for batch in batches:
        logits, occupancy = model(batch)
        (wide, target, counted), (near, near_target, near_counted) = map_targets(occupancy, batch, config.encoder)
        close = within(wide.shape[-1], config.encoder.grid.resolution_m, 4.0).to(counted) * counted
        said = (wide > 0).float()
        for name, value in (("tp", said * target), ("fp", said * (1 - target)), ("fn", (1 - said) * target), ("tn", (1 - said) * (1 - target))):
            hits[f"wide_{name}"] += float((value * close).sum())
        close = within(near.shape[-1], config.encoder.near.resolution_m, 2.0).to(near_counted) * near_counted
        said, target = (near > 0).float() * close, near_target * close
        grown_said, grown_target = (torch.nn.functional.max_pool2d(x[:, None], 3, 1, 1)[:, 0] for x in (said, near_target))
        hits["near_tp"] += float((said * grown_target).sum())
        hits["near_said"] += float(said.sum())
        hits["near_found"] += float((target * grown_said).sum())
        hits["near_true"] += float(target.sum())
        expected = (logits.softmax(2) * centres.view(1, 1, -1, 1, 1)).sum(2)
        truth = batch.depth[..., STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE][..., : expected.shape[-2], : expected.shape[-1]]
        valid = ((truth > 0) & (truth < config.encoder.bins.far_m)).float()
        relative += float(((expected - truth).abs() / truth.clamp(min=0.1) * valid).sum())
        pixels += float(valid.sum())
    tp, fp, fn, tn = (hits[f"wide_{k}"] for k in ("tp", "fp", "fn", "tn"))
    obstacle, free = tp / max(tp + fp + fn, 1.0), tn / max(tn + fp + fn, 1.0)
    return {
        "obstacle_iou": obstacle, "total_iou": (tp + tn) / max(tp + tn + fp + fn, 1.0), "free_iou": free,
        "near_precision": hits["near_tp"] / max(hits["near_said"], 1.0), "near_recall": hits["near_found"] / max(hits["near_true"], 1.0),
        "abs_rel": relative / max(pixels, 1.0),
    }  # fmt: skip


def within(cells: int, resolution_m: float, radius_m: float) -> Tensor:
    """(cells, cells), 1 within a radius of the middle of a square map."""
    along = (torch.arange(cells) + 0.5) * resolution_m - cells * resolution_m / 2.0
    return (along[:, None].square() + along[None].square() <= radius_m**2).float()
