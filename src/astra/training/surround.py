"""Packed samples → batches for the encoder: images, the geometry of their rig, true depth and occupancy, all augmented alike."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, FloatArray
from astra.datasets.local_truth import MOVER, OUTSIDE, STATIC
from astra.datasets.samples import Sample, SampleSet, ShardFacts
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera
from astra.local_model.encoder3d import Encoder3dConfig
from astra.local_model.lifting import STRIDE, SplatPlan, plan_splat
from astra.local_model.runtime import BLOCK, EyesConfig, fit_camera, fit_image

KEPT_PLANS = 64
WINDOW_CELLS = 96  # of the packed truth
WIDEST = 256  # images wider than this are made smaller
FITTED = EyesConfig()


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """What varies from one look at a sample to the next."""

    brightness: float = 0.25  # relative
    contrast: float = 0.2
    colour: float = 0.1  # of each channel
    noise: float = 0.02
    mirror: float = 0.5  # probability; the whole scene, its rig included
    drop_camera: float = 0.1  # probability of each
    tilt_rad: float = 0.006  # of each camera, one standard deviation: the rig is never quite as calibrated
    shift_m: float = 0.005

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            require(0.0 <= value <= 1.0, f.name, value, "in [0, 1]")


@dataclass(frozen=True, slots=True, eq=False)
class SurroundBatch:
    """B samples of V cameras. Shapes as in `Encoder3d.forward`; besides:

    depth: (B, V, H, W) [m], 0 where unknown. occupied: (B, Y, X) 0..1 on the packed window; counted: (B, Y, X), 1 where a camera looked.
    origins: (B, V, 3) of the cameras; directions: (B, V, 3, H, W) per metre of depth, base_link.
    """

    images: Tensor
    rays: Tensor
    voxel: Tensor
    near_voxel: Tensor
    works: Tensor
    depth: Tensor
    occupied: Tensor
    counted: Tensor
    origins: Tensor
    directions: Tensor

    def to(self, device: torch.device) -> SurroundBatch:
        """The same there."""
        return SurroundBatch(*(getattr(self, f.name).to(device) for f in fields(self)))


class SurroundSamples:
    """Draws batches from a sample set.

    Args:
        samples: the set.
        config: of the encoder, for its grids and bins.
        augment: None for evaluation.
        seed: of the order and of the augmentation.
    """

    def __init__(self, samples: SampleSet, config: Encoder3dConfig, augment: AugmentConfig | None, seed: int = 0) -> None:
        self.samples, self._config, self._augment = samples, config, augment
        self._rng = np.random.default_rng(seed)
        self._plans: OrderedDict[tuple[str, bool], _Geometry] = OrderedDict()

    def batch(self, indices: AnyArray) -> SurroundBatch:
        """The samples at these indices.

        Raises:
            BadInputError: samples without depth. Those without occupancy (real drives) teach by depth and rendering alone.
        """
        rows = [self._one(self.samples[int(i)]) for i in indices]
        return SurroundBatch(*(torch.from_numpy(np.stack([row[k] for row in rows])) for k in range(len(rows[0]))))

    def _one(self, sample: Sample) -> tuple[AnyArray, ...]:
        if sample.depth is None:
            raise BadInputError(f"{sample.shard.folder} has no depth: record the drive with --depth, or with a depth camera")
        rng, augment = self._rng, self._augment
        mirrored = augment is not None and bool(rng.random() < augment.mirror)
        geometry = self._geometry(sample.shard, sample.image.shape[1:3], mirrored)
        pictures, depth = _fitted(np.asarray(sample.image), np.asarray(sample.depth, dtype=np.float32))
        images = np.moveaxis(pictures, 3, 1).astype(np.float32) / 255.0
        now, visible = _truth(sample)
        works = np.ones(len(images), np.float32)
        if augment is not None:
            images = self._photometric(images, augment)
            works[rng.random(len(images)) < augment.drop_camera] = 0.0
            if not works.any():
                works[int(rng.integers(len(works)))] = 1.0
        if mirrored:
            images, depth, now, visible = images[..., ::-1], depth[..., ::-1], now[::-1], visible[::-1]
        occupied = ((now == STATIC) | (now == MOVER)).astype(np.float32)
        counted = ((visible > 0) & (now != OUTSIDE)).astype(np.float32)
        g = geometry
        return (
            np.ascontiguousarray(images), g.coarse.rays.astype(np.float32), g.coarse.voxel, g.near.voxel, works, np.ascontiguousarray(depth),
            occupied, counted, g.origins, g.directions,
        )  # fmt: skip

    def _photometric(self, images: AnyArray, a: AugmentConfig) -> AnyArray:
        rng = self._rng
        gain = 1.0 + rng.uniform(-a.brightness, a.brightness) + rng.uniform(-a.colour, a.colour, 3)[None, :, None, None]
        spread = 1.0 + rng.uniform(-a.contrast, a.contrast)
        out = (images - 0.5) * spread + 0.5
        out = out * gain + a.noise * rng.standard_normal(images.shape, dtype=np.float32)
        return np.clip(out, 0.0, 1.0).astype(np.float32)

    def _geometry(self, facts: ShardFacts, size: tuple[int, int], mirrored: bool) -> _Geometry:
        if self._augment is not None and (self._augment.tilt_rad > 0 or self._augment.shift_m > 0) and self._rng.random() < 0.5:
            return _Geometry.of(self._shaken(_rig(facts, size, mirrored)), self._config)
        key = (str(facts.folder), mirrored)
        if key not in self._plans:
            self._plans[key] = _Geometry.of(_rig(facts, size, mirrored), self._config)
            if len(self._plans) > KEPT_PLANS:
                self._plans.popitem(last=False)
        return self._plans[key]

    def _shaken(self, rig: CameraRig) -> CameraRig:
        assert self._augment is not None
        cameras = []
        for camera in rig.cameras:
            roll, pitch, yaw = (float(v) for v in self._rng.normal(0.0, self._augment.tilt_rad, 3))
            jolt = Pose3.from_rpy(roll, pitch, yaw, self._rng.normal(0.0, self._augment.shift_m, 3))
            cameras.append(RigCamera(camera.name, camera.model, camera.base_from_cam @ jolt))
        return CameraRig(tuple(cameras))


@dataclass(frozen=True, slots=True, eq=False)
class _Geometry:
    coarse: SplatPlan
    near: SplatPlan
    origins: AnyArray
    directions: AnyArray

    @staticmethod
    def of(rig: CameraRig, config: Encoder3dConfig) -> _Geometry:
        coarse, near = (plan_splat(rig, STRIDE, config.bins, grid) for grid in (config.grid, config.near))
        origins = np.stack([c.base_from_cam.translation for c in rig.cameras]).astype(np.float32)
        directions = np.stack([_directions(c) for c in rig.cameras]).astype(np.float32)
        return _Geometry(coarse, near, origins, directions)


def _truth(sample: Sample) -> tuple[AnyArray, AnyArray]:
    """Occupancy now and what is looked at (Y, X); nothing, where there is no truth."""
    if sample.occupancy is None or sample.visible is None:
        nothing = np.zeros((WINDOW_CELLS, WINDOW_CELLS), np.uint8)
        return nothing, nothing
    return np.asarray(sample.occupancy[0]), np.asarray(sample.visible)


def _is_odd(size: tuple[int, int]) -> bool:
    """Whether images (height, width) must be made smaller before the encoder takes them."""
    return bool(size[0] % BLOCK or size[1] % BLOCK or size[1] > WIDEST)


def _fitted(images: AnyArray, depth: AnyArray) -> tuple[AnyArray, AnyArray]:
    """(V, H, W, 3) and (V, H, W) at a size that the encoder takes, as the robot's eyes do it."""
    if not _is_odd(images.shape[1:3]):
        return images, depth
    model = fit_camera(CameraModel(images.shape[2], images.shape[1], 1.0, 1.0, 0.0, 0.0), FITTED)
    pictures = np.stack([fit_image(image, model.width, model.height) for image in images])
    full = round(depth.shape[1] * model.width / depth.shape[2])
    first = (full - model.height) // 2
    small = [cv2.resize(d, (model.width, full), interpolation=cv2.INTER_NEAREST)[first : first + model.height] for d in depth]
    return pictures, np.stack(small)


def _directions(camera: RigCamera) -> FloatArray:
    """(3, H, W) per metre of depth, base_link."""
    h, w = camera.model.height, camera.model.width
    v, u = np.meshgrid(np.arange(h, dtype=np.float64), np.arange(w, dtype=np.float64), indexing="ij")
    plane = camera.model.unproject(np.stack([u.ravel(), v.ravel()], axis=1))
    rays: FloatArray = (np.hstack([plane, np.ones((len(plane), 1))]) @ camera.base_from_cam.rotation.T).T.reshape(3, h, w)
    return rays


def _rig(facts: ShardFacts, size: tuple[int, int], mirrored: bool) -> CameraRig:
    """The rig of a drive at the encoder's size; mirrored left to right, the way its mirrored images would have been taken."""
    cameras = []
    flip_y, flip_x = np.diag([1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, 1.0])
    for camera in facts.rig(size).cameras:
        model, pose = camera.model, camera.base_from_cam
        if mirrored:
            k = model.distortion
            terms = (*k[:3], -k[3], *k[4:]) if model.distortion_model == "plumb_bob" and len(k) > 3 else k  # tangential p2 acts along x
            model = replace(model, cx=model.width - 1.0 - model.cx, distortion=terms)
            pose = Pose3(flip_y @ pose.rotation @ flip_x, flip_y @ pose.translation)
        cameras.append(RigCamera(camera.name, fit_camera(model, FITTED) if _is_odd(size) else model, pose))
    return CameraRig(tuple(cameras))
