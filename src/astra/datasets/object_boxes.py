"""Boxes of furniture in packed samples: each pixel's depth says where it is, the world's truth what stands there.

Nothing is drawn: a world is planned again from its seed, which costs a second, and the pictures are those that were packed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.types import Float32Array, FloatArray, IntArray, UInt8Array
from astra.datasets.packing import SHARD_FILE
from astra.geometry import CameraModel, Pose2, Pose3
from astra.perception.objects import CLASSES, class_of
from astra.sim.furniture import open_catalogue
from astra.sim.randomize import randomized
from astra.sim.robot import RobotConfig
from astra.sim.worlds.build import PLANNERS, TAGS, Draft
from astra.sim.worlds.plan import Kind, split_from_seed
from astra.sim.worlds.style import STYLES
from astra.sim.worlds.truth import WorldTruth, instance_image

STEP = 2  # pixels between two whose instance is looked up
TRIM = 0.02  # of an instance's pixels at each side, which may be its neighbour's


@dataclass(frozen=True, slots=True)
class BoxConfig:
    """Which samples, and what is large enough to be a box."""

    every: int = 2  # of the samples; neighbours are alike
    min_pixels: int = 40  # that show a thing
    min_side_px: float = 5.0

    def __post_init__(self) -> None:
        require(self.every >= 1, "every", self.every, "≥ 1")
        require(self.min_pixels >= 1, "min_pixels", self.min_pixels, "≥ 1")
        require(self.min_side_px > 0.0, "min_side_px", self.min_side_px, "> 0")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """images: (N, H, W, 3) uint8 RGB. boxes: (M, 4) float32 x0 y0 x1 y1 [px], those of image `owner` (M,), of class `label` (M,);
    −1: too small to tell, neither right nor wrong."""

    images: UInt8Array
    boxes: Float32Array
    owner: IntArray
    label: IntArray


def planned_truth(kind: Kind, seed: int) -> WorldTruth | None:
    """The truth of a generated world without painting it; None where its first plan was refused."""
    library = open_catalogue(split_from_seed(seed))
    draft = Draft(PLANNERS[kind](seed, library, 1.0), library, STYLES[kind], (seed, seed, TAGS[kind]))
    return None if draft.problems() else draft.truth(seed, ())


def label_shard(shard: Path, config: BoxConfig) -> LabelledImages | None:
    """The images of a shard of packed samples with their boxes; None if its world cannot be planned again."""
    origin = json.loads((shard / SHARD_FILE).read_text(encoding="utf-8"))["origin"]
    truth = planned_truth(origin["kind"], int(origin["world_seed"]))
    poses = np.load(shard / "pose.npy")
    if truth is None or not _lies_in(poses, truth):
        return None
    depth, images = (np.load(shard / f"{name}.npy", mmap_mode="r") for name in ("depth", "image"))
    cameras = _cameras(int(origin["seed"]), images.shape[3], images.shape[2])
    rows = range(0, len(poses), config.every)
    boxes, owner, label = [], [], []
    for number, (row, k) in enumerate((r, c) for r in rows for c in range(len(cameras))):
        camera, base_from_cam = cameras[k]
        world_from_cam = Pose3.from_pose2(Pose2(*(float(v) for v in poses[row]))) @ base_from_cam
        seen = instance_image(np.asarray(depth[row, k, ::STEP, ::STEP], np.float32), camera, world_from_cam, truth)
        for kind_of, box in _boxes(seen, truth, config):
            boxes.append(box)
            owner.append(number)
            label.append(kind_of)
    pictures = np.ascontiguousarray(images[:: config.every]).reshape(-1, *images.shape[2:])
    return LabelledImages(pictures, np.array(boxes, np.float32).reshape(-1, 4), np.array(owner, np.int64), np.array(label, np.int64))


def _boxes(seen: IntArray, truth: WorldTruth, config: BoxConfig) -> list[tuple[int, FloatArray]]:
    """Class (−1: too small) and box of each thing in an image of instances, in pixels of the whole image."""
    out = []
    for thing in (t for t in truth.instances if t.id in set(np.unique(seen).tolist())):
        kind = class_of(thing.category)
        if kind is None:
            continue
        rows, columns = np.nonzero(seen == thing.id)
        low, high = np.quantile(columns, [TRIM, 1 - TRIM]), np.quantile(rows, [TRIM, 1 - TRIM])
        box = STEP * np.array([low[0], high[0], low[1] + 1, high[1] + 1])
        is_large = len(rows) * STEP**2 >= config.min_pixels and min(box[2] - box[0], box[3] - box[1]) >= config.min_side_px
        out.append((CLASSES.index(kind) if is_large else -1, box))
    return out


def _cameras(seed: int, width: int, height: int) -> list[tuple[CameraModel, Pose3]]:
    """The cameras of the robot of a seed, for every `STEP`th pixel, and where they truly look from."""
    robot = RobotConfig()
    robot = replace(robot, cameras=replace(robot.cameras, width=width, height=height))
    return [(camera.model.scaled(1.0 / STEP), camera.base_from_cam) for camera in randomized(robot, seed).true_rig.cameras]


def _lies_in(poses: FloatArray, truth: WorldTruth) -> bool:
    """Whether the robot was where this world is free; another plan of the same seed would be in its way."""
    columns = ((poses[:, 0] - truth.origin_xy[0]) / truth.resolution_m).astype(int)
    rows = ((poses[:, 1] - truth.origin_xy[1]) / truth.resolution_m).astype(int)
    if columns.min() < 0 or rows.min() < 0 or columns.max() >= truth.free.shape[1] or rows.max() >= truth.free.shape[0]:
        return False
    return bool(truth.free[rows, columns].mean() > 0.99)
