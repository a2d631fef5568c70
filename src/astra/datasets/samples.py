"""Packed samples as a learner reads them: mapped into memory, a view at a time. The schema is in docs/SAMPLES.md."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import AnyArray, Float32Array, FloatArray, UInt8Array, seconds
from astra.datasets.packing import FORMAT_VERSION, SET_FILE, SHARD_FILE
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera

MAPPED = ("image", "depth", "occupancy", "visible")  # the large ones stay on disk
OPEN_SHARDS = 96  # each holds a file handle for every mapped array
SPLITS = ("train", "validate", "test")


def require_training(split: str, source: str = "this sample set") -> None:
    """Called by whatever fits parameters to samples: test worlds are never learned from.

    Raises:
        BadInputError: `split` is not train.
    """
    if split != "train":
        raise BadInputError(f"{source} holds samples of the {split} split; only the train split may be learned from")


@dataclass(frozen=True, slots=True, eq=False)
class ShardFacts:
    """What all samples of one drive share. `intrinsics` (V, 4): fx fy cx cy; `distortion` (V, 5); `base_from_cam` (V, 4, 4)."""

    folder: Path
    drive: str
    split: str
    world_seed: int | None
    pose_source: str
    cameras: tuple[str, ...]
    distortion_models: tuple[str, ...]
    intrinsics: FloatArray
    distortion: FloatArray
    base_from_cam: FloatArray

    def rig(self, size: tuple[int, int]) -> CameraRig:
        """The cameras as they are published, for images of (height, width)."""
        cameras = []
        for k, name in enumerate(self.cameras):
            fx, fy, cx, cy = (float(v) for v in self.intrinsics[k])
            terms = tuple(float(v) for v in self.distortion[k][: 4 if self.distortion_models[k] == "equidistant" else 5])
            model = CameraModel(size[1], size[0], fx, fy, cx, cy, self.distortion_models[k], terms)
            cameras.append(RigCamera(name, model, Pose3(self.base_from_cam[k][:3, :3], self.base_from_cam[k][:3, 3])))
        return CameraRig(tuple(cameras))


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One moment. Poses are x, y, yaw; what lies ahead is seen from base_link now. Views into the shard: copy what you change.

    image (V, H, W, 3) uint8; depth (V, H, W) float16 [m]; imu (N, 7) t, gyro, accel and wheel (N, 3) t, v, w of the last `history_s` with t ≤ 0 [s];
    scan (B,) float32 [m], the last one, None without; pose (3,) [world]; velocity (2,) v, w; future (T, 3) as driven, which is no example to follow
    where `disturbed`; plan (T, 3), what the expert meant to do, None where nobody says; goal (3,); subgoal (3,);
    occupancy (1 + F, Y, X) uint8 of FREE, STATIC, MOVER, OUTSIDE (`local_truth`), now first; visible (Y, X) uint8, 1 where a camera sees now.
    """

    shard: ShardFacts
    tick: int
    stamp_ns: int
    image: UInt8Array
    depth: AnyArray | None
    imu: FloatArray
    wheel: FloatArray
    scan: Float32Array | None
    pose: FloatArray
    velocity: Float32Array
    in_contact: bool
    disturbed: bool
    future: Float32Array
    plan: Float32Array | None
    goal: Float32Array
    subgoal: Float32Array
    occupancy: UInt8Array | None
    visible: UInt8Array | None


class SampleSet:
    """The samples of a folder that `astra drive pack` wrote, as one sequence; drives in the order of their names.

    Args:
        path: the folder.
        splits: which to read; those of other splits are passed over.

    Raises:
        BadInputError: no sample set, one of another version, a damaged shard, or no sample of these splits.
    """

    def __init__(self, path: Path, splits: Sequence[str] = ("train",)) -> None:
        unknown = sorted(set(splits) - set(SPLITS))
        if unknown:
            raise BadInputError(f"unknown split {unknown[0]!r}; there are {', '.join(SPLITS)}")
        self.path, self.splits = path, tuple(splits)
        document = _read(path / SET_FILE)
        if document.get("format_version") != FORMAT_VERSION:
            raise BadInputError(f"{path} has samples of format {document.get('format_version')}, not {FORMAT_VERSION}")
        self.history_s = float(document["config"]["history_s"])
        self.step_s, self.occupancy_step_s = float(document["config"]["step_s"]), float(document["config"]["occupancy_step_s"])
        shards = [(folder, _read(folder / SHARD_FILE)) for folder in sorted(p.parent for p in path.glob(f"[!.]*/{SHARD_FILE}"))]
        self._shards = [(folder, facts) for folder, facts in shards if facts["split"] in splits and facts["samples"]]
        self._ends = np.cumsum([facts["samples"] for _, facts in self._shards])
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        if not self._shards:
            raise BadInputError(f"{path} holds no sample of the splits {', '.join(splits)}")

    def __len__(self) -> int:
        """Samples in all."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        """One sample."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number, tick = self.locate(index % len(self))
        return self._shard(number).sample(tick, self.history_s)

    def locate(self, index: int) -> tuple[int, int]:
        """(number of the drive, tick in it) of a sample; samples of a drive follow each other in time, so that neighbours make a sequence."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        return number, index - (int(self._ends[number - 1]) if number else 0)

    def before(self, index: int, count: int) -> range:
        """Indices of at most `count` samples just before one, of the same drive, the oldest first."""
        return range(index - min(count, self.locate(index)[1]), index)

    def _shard(self, number: int) -> _Shard:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        shard = self._open[number] = _Shard(*self._shards[number])
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard


class _Shard:
    """The arrays of one drive."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self._folder = folder
        self._arrays: dict[str, AnyArray] = {}
        origin = facts["origin"]
        self._start_ns = int(facts["start_ns"])
        self.facts = ShardFacts(
            folder, facts["drive"], facts["split"], origin["world_seed"] if origin else None, facts["pose_source"], tuple(facts["cameras"]),
            tuple(facts["distortion_models"]), self._array("intrinsics"), self._array("distortion"), self._array("base_from_cam"),
        )  # fmt: skip
        if any(len(self._array(name)) != facts["samples"] for name in ("image", "pose", "future", "stamp_ns")):
            raise BadInputError(f"{folder} is damaged: its arrays do not hold {facts['samples']} samples")

    def sample(self, tick: int, history_s: float) -> Sample:
        """The sample at a tick."""
        stamp = int(self._array("stamp_ns")[tick])
        now_s = seconds(stamp - self._start_ns)
        row: dict[str, Any] = {name: self._array(name)[tick] for name in ("image", "pose", "velocity", "future", "goal", "subgoal")}
        for name in ("depth", "occupancy", "visible"):
            row[name] = self._array(name)[tick] if (self._folder / f"{name}.npy").is_file() else None
        last = int(np.searchsorted(self._array("scan_time"), now_s + 1e-9, side="right")) - 1
        return Sample(
            self.facts, tick, stamp, in_contact=bool(self._array("in_contact")[tick]), disturbed=bool(self._array("disturbed")[tick]), plan=self._plan(tick),
            imu=self._last("imu", now_s, history_s), wheel=self._last("wheel", now_s, history_s),
            scan=self._array("scan")[last] if last >= 0 else None, **row,
        )  # fmt: skip

    def _plan(self, tick: int) -> Float32Array | None:
        plan: Float32Array = self._array("plan")[tick]
        return plan if np.isfinite(plan).all() else None

    def _last(self, name: str, now_s: float, history_s: float) -> FloatArray:
        stream = self._array(name)
        first, end = np.searchsorted(stream[:, 0], [now_s - history_s + 1e-9, now_s + 1e-9])
        window: FloatArray = stream[first:end].copy()
        window[:, 0] -= now_s
        return window

    def _array(self, name: str) -> AnyArray:
        if name not in self._arrays:
            path = self._folder / f"{name}.npy"
            try:
                self._arrays[name] = np.asarray(np.load(path, mmap_mode="r" if name in MAPPED else None, allow_pickle=False))
            except (OSError, ValueError) as error:
                raise BadInputError(f"{path} is missing or damaged: {error}") from error
        return self._arrays[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise BadInputError(f"{path} must hold an object")
    return document
