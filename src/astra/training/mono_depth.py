"""Depth labels without a depth camera: any monocular depth model's pictures, made metric by what the lidar measured (paper 3.2.1).

The model is the user's; its output is a folder with one `<camera>/<stamp_ns>.npy` (H, W) for each packed image.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, Float32Array, FloatArray
from astra.datasets.columns import NpyColumn
from astra.datasets.samples import Sample, SampleSet
from astra.geometry import CameraRig

DRAFT_FILE = ".depth.npy"


@dataclass(frozen=True, slots=True)
class AlignConfig:
    """How a picture is made metric. `kind`: disparity, for models whose output grows with nearness, or depth."""

    kind: str = "disparity"
    trials: int = 200
    tolerance: float = 0.1  # relative error in depth of a point that agrees
    agreement: float = 0.4  # of the points must agree
    points: int = 12  # at least
    far_m: float = 20.0

    def __post_init__(self) -> None:
        require(self.kind in ("disparity", "depth"), "kind", self.kind, "disparity or depth")
        require(0.0 < self.tolerance < 1.0, "tolerance", self.tolerance, "between 0 and 1")
        require(0.0 < self.agreement <= 1.0, "agreement", self.agreement, "in (0, 1]")


def align(mono: FloatArray, depth_m: FloatArray, config: AlignConfig, rng: np.random.Generator) -> tuple[float, float] | None:
    """Scale and shift that make a monocular picture metric, by RANSAC over pairs of points and least squares over those that agree.

    s·m + t is depth, or its inverse for disparity.

    Args:
        mono: (N,) what the model says where depth is known.
        depth_m: (N,) what was measured.
        config: limits.
        rng: of the pairs.

    Returns:
        (s, t), or None where too few points agree.
    """
    if len(mono) < config.points:
        return None
    target = 1.0 / depth_m if config.kind == "disparity" else depth_m
    first, second = rng.integers(0, len(mono), (2, config.trials))
    run = mono[second] - mono[first]
    usable = np.abs(run) > 1e-9
    slope = (target[second] - target[first])[usable] / run[usable]
    shift = target[first][usable] - slope * mono[first][usable]
    if not len(slope):
        return None
    agreeing = (np.abs(slope[:, None] * mono + shift[:, None] - target) < config.tolerance * target) & (slope > 0)[:, None]
    best = agreeing[int(agreeing.sum(1).argmax())]
    if best.mean() < config.agreement or best.sum() < 3:
        return None
    (s, t), *_ = np.linalg.lstsq(np.column_stack([mono[best], np.ones(best.sum())]), target[best], rcond=None)
    return (float(s), float(t)) if s > 0 else None


def metric(mono: AnyArray, line: tuple[float, float], config: AlignConfig) -> Float32Array:
    """Depth (H, W) [m] of a picture by `align`'s line; 0 where it would be behind the camera or beyond `far_m`."""
    value = line[0] * np.asarray(mono, np.float64) + line[1]
    depth = 1.0 / np.maximum(value, 1e-9) if config.kind == "disparity" else value
    return np.where((value > 1e-9) & (depth < config.far_m), depth, 0.0).astype(np.float32)


def add_depth(place: Path, folder: Path, config: AlignConfig) -> dict[str, int]:
    """Give the drives of a sample set that have no depth one from `folder`; says how many pictures could be aligned and how many could not.

    Raises:
        BadInputError: a picture is missing, or a drive has no lidar to align it to.
    """
    told, rng = {"aligned": 0, "refused": 0}, np.random.default_rng(0)
    samples = SampleSet(place)
    columns: dict[Path, NpyColumn] = {}
    with ExitStack() as stack:
        for sample in (samples[i] for i in range(len(samples))):
            if sample.depth is not None:
                continue
            shard, depths = sample.shard.folder, []
            points, rig = _scan_points(sample), sample.shard.rig(sample.image.shape[1:3])
            for k, name in enumerate(rig.names):
                picture = _picture(folder, name, sample.stamp_ns, sample.image.shape[1:3])
                pixels, depth = _seen(points, rig, k)
                line = align(picture[pixels[:, 1], pixels[:, 0]].astype(np.float64), depth, config, rng)
                told["refused" if line is None else "aligned"] += 1
                depths.append(np.zeros(picture.shape, np.float32) if line is None else metric(picture, line, config))
            if shard not in columns:
                columns[shard] = stack.enter_context(NpyColumn(shard / DRAFT_FILE))
            columns[shard].append(np.stack(depths).astype(np.float16))
    for shard in columns:
        (shard / DRAFT_FILE).replace(shard / "depth.npy")
    return told


def _picture(folder: Path, camera: str, stamp_ns: int, size: tuple[int, int]) -> AnyArray:
    path = folder / camera / f"{stamp_ns}.npy"
    try:
        picture = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} is missing or damaged: {error}") from error
    if picture.ndim != 2:
        raise BadInputError(f"{path} has shape {picture.shape}, not (H, W)")
    return np.asarray(cv2.resize(picture.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR))


def _scan_points(sample: Sample) -> FloatArray:
    """The last scan's returns (N, 3) [m, base_link]."""
    facts: dict[str, Any] | None = json.loads((sample.shard.folder / "shard.json").read_text(encoding="utf-8"))["scan"]
    if facts is None or sample.scan is None:
        raise BadInputError(f"{sample.shard.folder} has neither depth images nor a lidar: nothing says how large the monocular depth is")
    angles = facts["angle_min_rad"] + facts["angle_increment_rad"] * np.arange(len(sample.scan))
    known = np.isfinite(sample.scan)
    ranges, angles = sample.scan[known].astype(np.float64), angles[known]
    local = np.column_stack([ranges * np.cos(angles), ranges * np.sin(angles), np.zeros(len(ranges)), np.ones(len(ranges))])
    return np.asarray((local @ np.array(facts["base_from_lidar"]).T)[:, :3])


def _seen(points: FloatArray, rig: CameraRig, number: int) -> tuple[AnyArray, FloatArray]:
    """Pixels (N, 2) and depths (N,) of the points that a camera has in its picture."""
    camera = rig.cameras[number]
    local = camera.base_from_cam.inverse().apply(points)
    pixels, inside = camera.model.project(local)
    return np.clip(np.round(pixels[inside]).astype(int), 0, [camera.model.width - 1, camera.model.height - 1]), local[inside, 2]
