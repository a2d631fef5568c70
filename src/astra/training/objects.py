"""The detector of furniture: EfficientNet-Lite0's first blocks as they are, and a small head on top that learns where things are.

The blocks are frozen, so that their features are computed once for each image and an epoch costs seconds. Each step leaves its result in the
output folder and is passed over when it is there: features by shard, the head by epoch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import Float32Array, FloatArray, IntArray, UInt8Array
from astra.datasets.object_boxes import BoxConfig, label_shard
from astra.perception.objects import CLASSES, STRIDE
from astra.perception.place import load_efficientnet

logger = logging.getLogger(__name__)
TAPS = (2, 4, 10)  # blocks whose outputs are used: strides 4, 8 and 16
CHANNELS = (24, 40, 112)
WIDTH = 64
SIZE_PX = 16.0  # of a box whose logarithm of size is 0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """Which images, and how long."""

    samples: str = ""
    validation: str = ""
    out: str = ""
    epochs: int = 10
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0
    threads: int = 1
    boxes: BoxConfig = field(default_factory=lambda: BoxConfig(every=6))

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "≥ 1")
        require(self.batch >= 1, "batch", self.batch, "≥ 1")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "> 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "≥ 0")
        require(1 <= self.threads <= 64, "threads", self.threads, "in 1..64")


class Trunk(nn.Module):
    """Features (B, C, h, w) at strides 4, 8 and 16 of images (B, H, W, 3) uint8 RGB."""

    def __init__(self) -> None:
        super().__init__()
        model = load_efficientnet()
        self.stem, self.norm, self.act = model._conv_stem, model._bn0, model._swish
        self.blocks = nn.ModuleList(list(model._blocks)[: TAPS[-1] + 1])
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255.0, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255.0, persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        x = self.act(self.norm(self.stem(x)))
        taps = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in TAPS:
                taps.append(x)
        return taps[0], taps[1], taps[2]


class Head(nn.Module):
    """From features to a heat map's logits (B, C, h, w), and (B, 4, h, w) the logarithm of width and height, and the centre's offset [cells]."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = CHANNELS
        self.coarse = _conv(coarse, WIDTH)
        self.lateral4, self.lateral8 = _conv(fine, WIDTH, stride=2), nn.Conv2d(middle, WIDTH, 1)
        self.join, self.last = _conv(WIDTH, WIDTH), _conv(WIDTH, 2 * WIDTH)
        self.heat, self.box = nn.Conv2d(2 * WIDTH, len(CLASSES), 1), nn.Conv2d(2 * WIDTH, 4, 1)
        nn.init.constant_(self.heat.bias, -4.0)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        x = self.last(self.join(x + self.lateral8(middle) + self.lateral4(fine)))
        return self.heat(x), self.box(x)


class Detector(nn.Module):
    """Trunk and head as they run on the robot: heat (B, C, h, w) 0..1, size (B, 2, h, w) and offset (B, 2, h, w) [px]."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.trunk, self.head = Trunk(), head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heat, box = self.head(*self.trunk(image))
        return heat.sigmoid(), SIZE_PX * box[:, :2].clamp(-3.0, 3.0).exp(), STRIDE * box[:, 2:]


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One shard ready for training: `features` (N, …) float16 by stride, and the boxes of `LabelledImages`."""

    features: tuple[Any, ...]
    boxes: Float32Array
    owner: IntArray
    label: IntArray

    def __len__(self) -> int:
        return len(self.features[0])


def run(config: ObjectsConfig) -> Head:
    """Make features, train the head, and return it; what is there already is kept."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    if not config.samples or not config.out:
        raise BadInputError("training a detector needs samples and an output folder")
    out = Path(config.out)
    shards = prepare_set(Path(config.samples), out / "features", config)
    head = Head()
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    batches = sum(-(-len(s) // config.batch) for s in shards)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=batches * config.epochs + 1, pct_start=0.15)
    first, state_file = 0, out / "state.pt"
    if state_file.is_file():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = int(state["epoch"])
    for epoch in range(first, config.epochs):
        begin, losses = time.monotonic(), []
        for features, targets in _batches(shards, config, np.random.default_rng([config.seed, epoch])):
            loss = detection_loss(*head(*features), *targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        logger.info("epoch %d of %d: loss %.3f, %.0f s", epoch + 1, config.epochs, float(np.mean(losses)), time.monotonic() - begin)
        state = {"head": head.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "epoch": epoch + 1}
        torch.save(state, state_file.with_suffix(".part"))
        state_file.with_suffix(".part").rename(state_file)
    head.eval()
    return head


def prepare_set(samples: Path, out: Path, config: ObjectsConfig, *, as_taken: bool = False) -> list[Shard]:
    """Labels and features of every shard of a sample set, made once; of the images as they were taken, or half of them spoiled."""
    out.mkdir(parents=True, exist_ok=True)
    trunk: Trunk | None = None
    shards: list[Shard] = []
    for folder in sorted(p for p in samples.iterdir() if (p / "shard.json").is_file()):
        files = [out / f"{folder.name}.{k}.npy" for k in range(3)]
        labels = out / f"{folder.name}.labels.npz"
        if not labels.is_file():
            found = label_shard(folder, config.boxes)
            if found is None:
                logger.warning("%s: its world could not be planned again; left out", folder.name)
                continue
            trunk = trunk or Trunk()
            rng = np.random.default_rng([config.seed, len(shards)])
            images = found.images if as_taken else np.stack([spoil(image, rng) for image in found.images])
            for file, feature in zip(files, _features(trunk, images)):
                np.save(file, feature)
            np.savez(labels.with_suffix(".part.npz"), boxes=found.boxes, owner=found.owner, label=found.label)
            labels.with_suffix(".part.npz").rename(labels)
            logger.info("%s: %d images, %d boxes", folder.name, len(found.images), len(found.boxes))
        document = np.load(labels)
        shards.append(Shard(tuple(np.load(f, mmap_mode="r") for f in files), document["boxes"], document["owner"], document["label"]))
    if not shards:
        raise BadInputError(f"{samples} holds no shard of packed samples")
    return shards


def _features(trunk: Trunk, images: UInt8Array) -> list[FloatArray]:
    parts: list[list[Any]] = [[], [], []]
    with torch.inference_mode():
        for k in range(0, len(images), 16):
            for part, feature in zip(parts, trunk(torch.from_numpy(images[k : k + 16]))):
                part.append(feature.numpy().astype(np.float16))
    return [np.concatenate(part) for part in parts]


def spoil(image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Half of the images in another light: gain, colour, contrast, blur and noise."""
    import cv2

    if rng.random() < 0.5:
        return image
    x = image.astype(np.float32) * rng.uniform(0.7, 1.3) * rng.uniform(0.88, 1.12, 3).astype(np.float32) + rng.uniform(-15, 15)
    if rng.random() < 0.3:
        x = np.asarray(cv2.GaussianBlur(x, (3, 3), float(rng.uniform(0.3, 0.9))), np.float32)
    return np.clip(x + rng.normal(0.0, rng.uniform(0.0, 6.0), x.shape), 0, 255).astype(np.uint8)


def targets_of(boxes: Float32Array, label: IntArray, rows: int, columns: int) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Heat (C, h, w), box (4, h, w) and its weight (h, w) for one image's boxes (M, 4); heat −1 where a thing is too small to tell.

    heat = exp(−½ ((x − cx)² / σx² + (y − cy)² / σy²)) with σ a seventh of the box's side, 1 in the cell of the centre.
    """
    heat, box, weight = np.zeros((len(CLASSES), rows, columns), np.float32), np.zeros((4, rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    for k in np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable"):
        low, high = boxes[k, :2], boxes[k, 2:]
        centre, side = (low + high) / 2.0 / STRIDE, np.maximum(high - low, 1.0)
        sigma = np.maximum(side / STRIDE / 7.0, 0.6)
        near = np.exp(-0.5 * (((x - centre[0]) / sigma[0]) ** 2 + ((y - centre[1]) / sigma[1]) ** 2))
        if label[k] < 0:
            heat[:, near > 0.3] = np.where(heat[:, near > 0.3] == 0.0, -1.0, heat[:, near > 0.3])
            continue
        row, column = min(max(round(float(centre[1])), 0), rows - 1), min(max(round(float(centre[0])), 0), columns - 1)
        near[row, column] = 1.0
        heat[label[k]] = np.maximum(heat[label[k]], near)
        inside = near > 0.5
        box[0, inside], box[1, inside] = np.log(side[0] / SIZE_PX), np.log(side[1] / SIZE_PX)
        box[2, inside], box[3, inside] = (centre[0] - x)[inside], (centre[1] - y)[inside]
        weight[inside] = near[inside]
    return heat, box, weight


def detection_loss(logits: Tensor, box: Tensor, heat: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Focal loss of the heat map (Law and Deng 2018; α 2, β 4) and L1 of the boxes at their centres."""
    p = logits.sigmoid().clamp(1e-4, 1.0 - 1e-4)
    is_centre = heat >= 1.0
    right = -((1.0 - p) ** 2 * p.log())[is_centre].sum()
    wrong = -((1.0 - heat).clamp(min=0.0) ** 4 * p**2 * (1.0 - p).log())[~is_centre & (heat >= 0.0)].sum()
    sizes = ((box - wanted).abs().sum(1) * weight).sum() / weight.sum().clamp(min=1.0)
    return (right + wrong) / is_centre.sum().clamp(min=1) + 0.7 * sizes


def _batches(shards: list[Shard], config: ObjectsConfig, rng: np.random.Generator) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """All images once, in an order that mixes the shards."""
    every = [(s, i) for s, shard in enumerate(shards) for i in range(len(shard))]
    order = rng.permutation(len(every))
    for k in range(0, len(order), config.batch):
        chosen = [every[i] for i in order[k : k + config.batch]]
        features = [torch.from_numpy(np.stack([shards[s].features[level][i] for s, i in chosen]).astype(np.float32)) for level in range(3)]
        rows, columns = features[1].shape[2:]
        made = []
        for s, i in chosen:
            mine = shards[s].owner == i
            made.append(targets_of(shards[s].boxes[mine], shards[s].label[mine], rows, columns))
        yield features, [torch.from_numpy(np.stack(part)) for part in zip(*made)]


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

