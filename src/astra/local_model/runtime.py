"""The eyes on the robot: images in, occupancy now and soon out, by ONNX Runtime; torch is never imported.

Every frame is looked at once; its volume waits in a ring buffer for the frames to come.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from astra.core.config import from_mapping, require
from astra.core.errors import BadInputError
from astra.core.types import BoolArray, Float32Array, UInt8Array
from astra.geometry import CameraModel, CameraRig, Pose2
from astra.local_model.config import Encoder3dConfig, ForecasterConfig
from astra.local_model.health import CameraHealth, CameraState, HealthConfig
from astra.local_model.history import VolumeHistory
from astra.local_model.lifting import STRIDE, plan_splat
from astra.local_model.memory import LastingConfig, LastingMap, MemoryConfig, NearMemory
from astra.local_model.pooling import Pooling

FORMAT_VERSION = 2
DESCRIPTION_FILE, LOOK_FILE, SETTLE_FILE, FORECAST_FILE = "eyes.json", "look.onnx", "settle.onnx", "forecast.onnx"
SEEN_RAYS = 0.5  # of rays that must end in or pass through a cell before anything is said about it
LEAST = 1e-6  # probability
BLOCK = 2 * STRIDE  # images are whole numbers of these


@dataclass(frozen=True, slots=True)
class EyesConfig:
    """How the eyes run."""

    width: int = 160  # images are made this wide
    height: int = 112  # and cut to at most this height, around their middle
    threads: int = 1
    moments_s: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)  # of the forecast; none: no forecast
    health: HealthConfig = field(default_factory=HealthConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    lasting: LastingConfig = field(default_factory=LastingConfig)

    def __post_init__(self) -> None:
        require(self.width >= BLOCK and self.width % BLOCK == 0, "width", self.width, f"a multiple of {BLOCK}")
        require(self.height >= BLOCK and self.height % BLOCK == 0, "height", self.height, f"a multiple of {BLOCK}")
        require(self.threads >= 1, "threads", self.threads, "at least 1")
        require(all(0.0 <= m <= 2.0 for m in self.moments_s), "moments_s", self.moments_s, "in [0, 2]")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which on a cell counts as occupied, chosen on validation worlds; `mover`: as walked into by somebody."""

    wide: float = 0.5
    near: float = 0.5
    forecast: float = 0.5
    mover: float = 0.5

    def __post_init__(self) -> None:
        for name in ("wide", "near", "forecast", "mover"):
            require(0.0 < getattr(self, name) < 1.0, name, getattr(self, name), "in (0, 1)")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What is around the robot. Maps are square, base_link in the middle, row y (0 rightmost), column x (0 rearmost).

    wide, near: (Y, X) float32, the probability that a cell is occupied; wide_seen, near_seen: (Y, X) bool, others are unknown.
    recent, recent_seen: like `near`, of the last two seconds: what stands at the robot's feet is seen from farther off alone.
    forecast: (F, Y, X) float32 like `wide` at the moments of the configuration, in today's base_link; None where there is none. Who walks is in it.
    standing, movers: (F, Y, X) float32, what `forecast` is put together from: what is occupied, and that it will be by somebody who walks; None likewise.
    features: (C·Z, Y, X) float32, what planner and odometry read. depth_m: (V, h, w) float32, the expected depth of each pixel of the features.
    cameras: the state of each.
    """

    stamp_ns: int
    wide: Float32Array
    near: Float32Array
    wide_seen: BoolArray
    near_seen: BoolArray
    recent: Float32Array
    recent_seen: BoolArray
    forecast: Float32Array | None
    standing: Float32Array | None
    movers: Float32Array | None
    features: Float32Array
    depth_m: Float32Array
    cameras: Mapping[str, CameraState]


class Eyes:
    """The exported encoder, heads and forecaster of one folder, for one rig.

    Args:
        folder: as `training.export` writes it.
        rig: cameras by name, as they are published; images may have any size of the same shape.
        config: sizes and threads.

    Raises:
        BadInputError: the folder is not there, damaged or of another version.
    """

    def __init__(self, folder: Path, rig: CameraRig, config: EyesConfig | None = None) -> None:
        self.config = c = config or EyesConfig()
        told = read_description(folder)
        self.encoder = e = from_mapping(Encoder3dConfig, told["encoder"], str(folder / DESCRIPTION_FILE))
        self.thresholds = from_mapping(Thresholds, told.get("thresholds", {}), str(folder / DESCRIPTION_FILE))
        forecaster = told.get("forecaster")
        self.forecaster = None if forecaster is None else from_mapping(ForecasterConfig, forecaster, str(folder / DESCRIPTION_FILE))
        names = (LOOK_FILE, SETTLE_FILE) if self.forecaster is None else (LOOK_FILE, SETTLE_FILE, FORECAST_FILE)
        self.graphs = {name: _session(folder / name, 1 if name == LOOK_FILE else c.threads) for name in names}
        self._helper = ThreadPoolExecutor(1, "eyes") if c.threads > 1 and len(rig.cameras) > 1 else None
        self.rig = rig
        fitted = CameraRig(tuple(replace(camera, model=fit_camera(camera.model, c)) for camera in rig.cameras))
        sizes = {(m.model.width, m.model.height) for m in fitted.cameras}
        if len(sizes) != 1:
            raise BadInputError(f"the rig's images must have one shape, found {sorted(sizes)} after resizing")
        self._size = sizes.pop()
        plans = [plan_splat(fitted, STRIDE, e.bins, grid) for grid in (e.grid, e.near)]
        self._rays, self._middles = plans[0].rays, e.bins.centres().astype(np.float32)
        self._wide_pool, self._near_pool = (Pooling(plan.voxel, grid.count) for plan, grid in zip(plans, (e.grid, e.near)))
        self._health = CameraHealth(rig.names, c.health)
        self.history_steps, step_s = (self.forecaster.past, self.forecaster.step_s) if self.forecaster is not None else (1, 0.5)
        self._history = VolumeHistory(e.grid, self.history_steps, step_s)
        self._memory, self._lasting = NearMemory(e.near, c.memory), LastingMap(e.grid, c.lasting)
        self._last_pose: Pose2 | None = None

    def see(self, images: Mapping[str, UInt8Array | None], stamp_ns: int, odom_from_base: Pose2) -> View:
        """Look once.

        Args:
            images: camera → (H, W, 3) uint8 RGB; absent or None where nothing came.
            stamp_ns: of the images.
            odom_from_base: where the robot then was, by odometry.
        """
        states = self._judge(images, odom_from_base)
        features, depth = self._look_at(images, states)
        wide, near = self._wide_pool(features, depth), self._near_pool(features, depth)
        voxels, wide_map, near_map = self.graphs[SETTLE_FILE].run(None, {"coarse": wide.cells[None], "fine": near.cells[None]})
        cells, columns = self.encoder.near.cells, self.encoder.grid.cells
        volume = voxels[0].reshape(-1, columns, columns)
        near_seen = near.seen.reshape(cells, cells) >= SEEN_RAYS
        forecast, standing, movers = self._foresee(stamp_ns, odom_from_base, volume, wide_map[0])
        return View(
            stamp_ns, wide_map[0], near_map[0], wide.seen.reshape(-1, columns, columns).sum(0) >= SEEN_RAYS, near_seen,
            *self._memory.add(stamp_ns, odom_from_base, near_map[0], near_seen),
            forecast, standing, movers, volume, np.tensordot(depth, self._middles, ((1,), (0,))), states,
        )  # fmt: skip

    def _judge(self, images: Mapping[str, UInt8Array | None], pose: Pose2) -> dict[str, CameraState]:
        before = self._last_pose or pose
        self._last_pose = pose
        motion = before.inverse() @ pose
        return self._health.judge(images, float(np.hypot(motion.x, motion.y)), motion.yaw)

    def _look_at(self, images: Mapping[str, UInt8Array | None], states: Mapping[str, CameraState]) -> tuple[Float32Array, Float32Array]:
        width, height = self._size
        batch = np.zeros((len(states), 3, height, width), np.float32)
        for k, (name, state) in enumerate(states.items()):
            image = images.get(name)
            if state is CameraState.WORKS and image is not None:
                batch[k] = fit_image(image, width, height).transpose(2, 0, 1)
        features, depth = self._run_look(batch / np.float32(255.0))
        works = np.array([state is CameraState.WORKS for state in states.values()], np.float32)
        return features, depth * works[:, None, None, None]

    def _run_look(self, images: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Each camera is looked at alone, so that two threads take half of them each: the steps within are too small to be shared."""
        look = self.graphs[LOOK_FILE]
        if self._helper is None:
            features, depth = look.run(None, {"images": images, "rays": self._rays})
            return features, depth
        half = len(images) // 2
        others = self._helper.submit(look.run, None, {"images": images[half:], "rays": self._rays[half:]})
        first = look.run(None, {"images": images[:half], "rays": self._rays[:half]})
        features, depth = (np.concatenate(both) for both in zip(first, others.result()))
        return features, depth

    def _foresee(
        self, stamp_ns: int, odom_from_base: Pose2, volume: Float32Array, wide: Float32Array
    ) -> tuple[Float32Array, Float32Array, Float32Array] | tuple[None, None, None]:
        """What is occupied ahead by anything, what stands, and who walks, (F, Y, X) each."""
        if self.forecaster is None or not self.config.moments_s:
            return None, None, None
        columns = wide.shape[0]
        self._history.push(stamp_ns, odom_from_base, np.concatenate([volume, wide[None]]).reshape(-1, columns**2).T.copy())
        lasting, moments = self._lasting.add(stamp_ns, odom_from_base, wide), np.array([self.config.moments_s], np.float32)
        looks, known = self._history.aligned()
        outputs = self.graphs[FORECAST_FILE].run(None, {"cells": looks, "lasting": lasting[None], "known": known, "moments": moments})
        standing, movers = (out[0] for out in outputs)
        return combined(standing, movers, self.thresholds), standing, movers


def combined(standing: Float32Array, movers: Float32Array, thresholds: Thresholds) -> Float32Array:
    """What is occupied by anything: the greater of two probabilities, that of who walks made comparable, so that its threshold becomes that of the forecast."""
    shift = _logit(thresholds.forecast) - _logit(thresholds.mover)
    sure = np.clip(movers, LEAST, 1.0 - LEAST)
    walked = 1.0 / (1.0 + np.exp(-(np.log(sure / (1.0 - sure)) + shift)))
    out: Float32Array = np.maximum(standing, walked).astype(np.float32)
    return out


def _logit(chance: float) -> float:
    return math.log(chance / (1.0 - chance))


def fit_camera(camera: CameraModel, config: EyesConfig) -> CameraModel:
    """The camera whose images `fit_image` gives."""
    scaled = camera.scaled(config.width / camera.width)
    height = min(config.height, scaled.height // BLOCK * BLOCK)
    if height < BLOCK:
        raise BadInputError(f"images of {camera.width}×{camera.height} are too flat for the eyes")
    return replace(scaled, width=config.width, height=height, cy=scaled.cy - (scaled.height - height) // 2)


def fit_image(image: UInt8Array, width: int, height: int) -> UInt8Array:
    """(H, W, 3) resized to a width, and cut to a height around its middle."""
    full = round(image.shape[0] * width / image.shape[1])
    if image.shape[1] != width:
        image = np.asarray(cv2.resize(image, (width, full), interpolation=cv2.INTER_AREA), np.uint8)
    first = (full - height) // 2
    return image[first : first + height]


def read_description(folder: Path) -> dict[str, Any]:
    """What `eyes.json` says.

    Raises:
        BadInputError: there is none, or it is of another version.
    """
    path = folder / DESCRIPTION_FILE
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{folder} holds no exported eyes: {error}") from error
    if told.get("format_version") != FORMAT_VERSION:
        raise BadInputError(f"{path} is of format {told.get('format_version')}, not {FORMAT_VERSION}")
    return told


def _session(path: Path, threads: int) -> Any:
    from onnxruntime import InferenceSession, SessionOptions

    if not path.is_file():
        raise BadInputError(f"{path} is missing")
    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
