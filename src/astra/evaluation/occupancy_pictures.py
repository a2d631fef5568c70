"""What the eyes say beside what is true: maps, forecasts, and depth and colour rendered from the signed distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from astra.core.types import AnyArray, Float32Array, UInt8Array
from astra.datasets.local_truth import stirring
from astra.datasets.samples import Sample
from astra.evaluation.occupancy import maps_of
from astra.geometry import CameraRig
from astra.local_model.runtime import Eyes, View

TILE = 192  # pixels of a map
EVERY = 4  # pixels between two that are rendered
SHOWN_M = 6.0  # the farthest depth that has a colour of its own


@dataclass(frozen=True, slots=True, eq=False)
class RenderedLook:
    """(V, h, w): depth [m] and (V, h, w, 3) colour 0..1, rendered, and as they were; `inside`: surfaces that lie in the grid."""

    depth: Float32Array
    colour: Float32Array
    true_depth: Float32Array
    true_colour: Float32Array
    inside: AnyArray

    def abs_rel(self) -> tuple[float, float]:
        """(sum over pixels of the relative error of depth, pixels)."""
        error = np.abs(self.depth - self.true_depth) / np.maximum(self.true_depth, 0.1)
        return float(error[self.inside].sum()), float(self.inside.sum())

    def psnr(self) -> float:
        """Of colour, surfaces in the grid alone [dB]."""
        square = float(np.square(self.colour - self.true_colour)[self.inside].mean())
        return -10.0 * math.log10(max(square, 1e-9))


class Renderer:
    """The rendering heads of an eyes folder, by torch.

    Args:
        folder: of the eyes, with `weights.safetensors`.
        eyes: run from the same folder.
    """

    def __init__(self, folder: Path, eyes: Eyes) -> None:
        from safetensors.torch import load_file

        from astra.local_model.rendering import Fields

        state = load_file(folder / "weights.safetensors")
        prefix = "head.fields."
        self._fields = Fields(eyes.encoder.channels).eval()
        self._fields.load_state_dict({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}, strict=True)
        self._config = eyes.encoder

    def __call__(self, sample: Sample, view: View) -> RenderedLook:
        """Render what the sample's cameras should have seen."""
        import torch

        from astra.local_model.rendering import RayBatch, render_rays

        c = self._config
        images, depth = np.asarray(sample.image), np.asarray(sample.depth, np.float32)
        rig = sample.shard.rig(images.shape[1:3])
        origins, directions, shape = _rays(rig)
        edges = torch.from_numpy(np.geomspace(0.2, c.bins.far_m, 97)).float()
        volume = torch.from_numpy(view.features.reshape(1, c.channels, *c.grid.shape))
        with torch.no_grad():
            sdf, colour = self._fields(volume)
            rays = RayBatch(torch.from_numpy(origins)[None], torch.from_numpy(directions)[None])
            out = render_rays(sdf, colour, self._fields.beta, rays, edges, c.grid)
        half = EVERY // 2
        true_depth, true_colour = depth[:, half::EVERY, half::EVERY], images[:, half::EVERY, half::EVERY].astype(np.float32) / 255.0
        points = (origins + directions * true_depth.reshape(-1, 1)).reshape(*shape, 3)
        top = c.grid.z_min_m + c.grid.levels * c.grid.level_m
        inside = (np.abs(points[..., :2]).max(-1) < c.grid.size_m / 2) & (points[..., 2] < top) & (true_depth > 0.0) & (true_depth < c.bins.far_m)
        return RenderedLook(out.depth[0].numpy().reshape(shape), out.colour[0].numpy().reshape(*shape, 3), true_depth, true_colour, inside)


def _rays(rig: CameraRig) -> tuple[Float32Array, Float32Array, tuple[int, int, int]]:
    """Origins and directions (V·h·w, 3) of every `EVERY`-th pixel, per metre of depth, base_link."""
    origins, directions = [], []
    half = EVERY // 2
    model = rig.cameras[0].model
    v, u = np.meshgrid(np.arange(half, model.height, EVERY), np.arange(half, model.width, EVERY), indexing="ij")
    for camera in rig.cameras:
        plane = camera.model.unproject(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
        rays = np.hstack([plane, np.ones((len(plane), 1))]) @ camera.base_from_cam.rotation.T
        directions.append(rays)
        origins.append(np.broadcast_to(camera.base_from_cam.translation, rays.shape))
    shape = (len(rig.cameras), *v.shape)
    return np.concatenate(origins).astype(np.float32), np.concatenate(directions).astype(np.float32), shape


def rendered_picture(look: RenderedLook, path: Path) -> None:
    """Rows: images, rendered colour, true depth, rendered depth; one column a camera."""
    near = [(255 * np.clip(1.0 - d / SHOWN_M, 0, 1)).astype(np.uint8).reshape(-1, 1) for d in (look.true_depth, look.depth)]
    shades = [np.asarray(cv2.applyColorMap(d, cv2.COLORMAP_TURBO)) for d in near]
    rows: list[AnyArray] = [look.true_colour, look.colour, *(s.reshape(*look.depth.shape, 3)[..., ::-1] / 255.0 for s in shades)]
    tall = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    _write(path, np.asarray(cv2.resize((255 * np.clip(tall, 0, 1)).astype(np.uint8), None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST), np.uint8))


def ride_picture(eyes: Eyes, ride: Sequence[Sample], views: Sequence[View], path: Path) -> None:
    """Every fourth moment of a ride: images, what was said, what is true, what was foreseen for a second later, and what came true."""
    rows = []
    for sample, view in list(zip(ride, views))[3::4][:4]:
        grid = eyes.encoder.grid
        panels = [_said(view.wide, view.wide_seen), _true(*maps_of(sample, grid.size_m, grid.resolution_m))]
        if view.forecast is not None:
            panels += [_said(view.forecast[eyes.config.moments_s.index(1.0)], view.wide_seen), _true(*maps_of(sample, grid.size_m, grid.resolution_m, 2))]
        rows.append(np.concatenate([_strip_of(np.asarray(sample.image)), *map(_tile, panels)], axis=1))
    _write(path, np.concatenate(rows))


def most_motion(ride: Sequence[Sample], first: int) -> int:
    """The moment of a ride, from `first` on, at which the most cells in view are entered or left within a second."""
    cells = [int((stirring(np.asarray(s.occupancy)[0], np.asarray(s.occupancy)[2]) & (np.asarray(s.visible) > 0))[20:76, 20:76].sum()) for s in ride[first:]]
    return first + int(np.argmax(cells))


def strip_picture(eyes: Eyes, sample: Sample, view: View, path: Path) -> None:
    """One moment: its images; below, what is foreseen for each half second; below that, what came true (who walks in red)."""
    assert view.forecast is not None
    grid = eyes.encoder.grid
    said, true = [_said(view.wide, view.wide_seen)], [_true(*maps_of(sample, grid.size_m, grid.resolution_m, 0))]
    for k, moment in enumerate(eyes.config.moments_s):
        if moment > 0.0:
            said.append(_said(view.forecast[k], view.wide_seen))
            true.append(_true(*maps_of(sample, grid.size_m, grid.resolution_m, round(moment / 0.5))))
    maps = np.concatenate([np.concatenate(list(map(_tile, row)), axis=1) for row in (said, true)])
    images = np.concatenate(list(np.asarray(sample.image)), axis=1)
    images = np.asarray(cv2.resize(images, (maps.shape[1], images.shape[0] * maps.shape[1] // images.shape[1]), interpolation=cv2.INTER_AREA), np.uint8)
    _write(path, np.concatenate([images, maps]))


def _strip_of(images: UInt8Array) -> UInt8Array:
    row = np.concatenate(list(images), axis=1)
    row = np.asarray(cv2.resize(row, (row.shape[1] * TILE // row.shape[0] // 2, TILE // 2)), np.uint8)
    return np.vstack([row, np.full((TILE - row.shape[0], row.shape[1], 3), 255, np.uint8)])


def _tile(panel: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.copyMakeBorder(cv2.resize(panel, (TILE - 4, TILE - 4), interpolation=cv2.INTER_NEAREST), 2, 2, 2, 2, cv2.BORDER_CONSTANT), np.uint8)


def _said(probability: AnyArray, seen: AnyArray) -> UInt8Array:
    """Dark is occupied, blue unknown; ahead is up, left is left."""
    shade = np.repeat((255 * (1.0 - probability))[..., None], 3, axis=-1).astype(np.uint8)
    shade[~seen] = shade[~seen] // 2 + np.array([60, 60, 120], np.uint8)
    return _upright(shade)


def _true(occupied: AnyArray, looked: AnyArray, moving: AnyArray) -> UInt8Array:
    shade = np.where(occupied[..., None], 20, 255).astype(np.uint8).repeat(3, axis=-1)
    shade[moving & occupied] = (220, 40, 40)
    shade[~looked] = (140, 140, 190)
    return _upright(shade)


def _upright(picture_yx: UInt8Array) -> UInt8Array:
    out: UInt8Array = np.ascontiguousarray(picture_yx.transpose(1, 0, 2)[::-1, ::-1])
    return out


def _write(path: Path, rgb: UInt8Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))
