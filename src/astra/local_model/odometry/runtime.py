"""The learned odometry on the robot: each step becomes tokens once, and the last ten tell the newest step's motion. ONNX Runtime; torch is never imported."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.config import from_mapping
from astra.core.errors import BadInputError
from astra.core.types import Float32Array, FloatArray, ImuSample, WheelTwist, seconds
from astra.local_model.odometry.config import MODALITIES, POINT_COLUMNS, OdometryHeadConfig
from astra.local_model.odometry.steps import central, imu_rows, wheel_rows
from astra.local_model.runtime import LOOK_FILE, SETTLE_FILE

FORMAT_VERSION = 2
DESCRIPTION_FILE, STEP_FILE, MOTION_FILE = "odometry.json", "step.onnx", "motion.onnx"
_PLANAR = {3: (0, 1, 2), 6: (0, 1, 5)}  # x, y, yaw among the freedoms


@dataclass(frozen=True, slots=True, eq=False)
class StepMotion:
    """The motion base_from_base′ between two frames: `values` (3,) x [m], y [m], yaw [rad], or (6,) x y z roll pitch yaw; `covariance` (n, n).

    sensors: of which something was there in this step.
    """

    from_ns: int
    to_ns: int
    values: FloatArray
    covariance: FloatArray
    sensors: tuple[str, ...]

    @property
    def planar(self) -> FloatArray:
        """(3,): x [m], y [m], yaw [rad], whichever the head's freedoms are."""
        out: FloatArray = self.values[list(_PLANAR[len(self.values)])]
        return out

    @property
    def planar_covariance(self) -> FloatArray:
        """(3, 3): of `planar`."""
        chosen = _PLANAR[len(self.values)]
        out: FloatArray = self.covariance[np.ix_(chosen, chosen)]
        return out


class LearnedOdometry:
    """Frames in, motions out.

    Args:
        folder: as `training.export_odometry` writes it.
        sensors: which of vision, imu, wheel it may use. What is fused with wheels and IMU afterwards should be told by vision alone: the
            filter takes a Δpose for independent of what it knows already.
        threads: of ONNX Runtime.

    Raises:
        BadInputError: the folder is not there, damaged or of another version; no sensor, or one that does not exist.
    """

    def __init__(self, folder: Path, sensors: Collection[str] = ("vision",), threads: int = 1) -> None:
        unknown = sorted(set(sensors) - set(MODALITIES))
        if unknown or not sensors:
            raise BadInputError(f"sensors {sorted(sensors)}: choose from {', '.join(MODALITIES)}")
        told = read_description(folder)
        self.config = from_mapping(OdometryHeadConfig, told["head"], str(folder / DESCRIPTION_FILE))
        self.eyes = str(told["eyes"])
        self._allowed = np.array([name in sensors for name in MODALITIES])
        self._step, self._motion = (_session(folder / name, threads) for name in (STEP_FILE, MOTION_FILE))
        c = self.config
        self._blank = np.zeros((c.feature_channels, c.cells, c.cells), np.float32)
        self._kept: deque[tuple[Float32Array, Float32Array]] = deque(maxlen=c.steps)
        self._before: tuple[int, Float32Array | None] | None = None

    def push(
        self, stamp_ns: int, features: Float32Array | None, imu: Sequence[ImuSample], wheel: Sequence[WheelTwist], points: Float32Array | None = None
    ) -> StepMotion | None:
        """Take a frame; the motion since the last one, or None where there is none to compare with.

        A stamp that is not newer, or one too far from the last, begins anew.

        Args:
            stamp_ns: of the frame.
            features: (C, Y, X) of the eyes' `View`; None when no camera worked.
            imu: readings since the last frame at least, in base_link's axes; older and newer ones are passed over.
            wheel: likewise.
            points: (14,) `PointMotion.columns` of the step, if points were followed.

        Raises:
            BadInputError: features of another shape than the head was made for.
        """
        here = None if features is None else self._cropped(features)
        before, self._before = self._before, (stamp_ns, here)
        if before is None or not 0.0 < seconds(stamp_ns - before[0]) <= self.config.max_step_s:
            self._kept.clear()
            return None
        felt, rolled = imu_rows(imu, before[0], stamp_ns, self.config), wheel_rows(wheel, before[0], stamp_ns, self.config)
        there = np.array([before[1] is not None and here is not None, felt.any(), rolled.any()]) & self._allowed
        blank = self._blank
        frames = (before[1], here) if there[0] else (blank, blank)
        told = np.zeros(POINT_COLUMNS, np.float32) if points is None else points
        step = {"points": told[None], "imu": felt[None], "wheel": rolled[None], "lasts_s": np.array([seconds(stamp_ns - before[0])], np.float32)}
        self._kept.append((self._tokens(frames, step), there.astype(np.float32)))
        if not there.any():
            return None
        values, covariance = self._told(step)
        return StepMotion(before[0], stamp_ns, values, covariance, tuple(name for name, is_there in zip(MODALITIES, there) if is_there))

    def _cropped(self, features: Float32Array) -> Float32Array:
        c = self.config
        if features.ndim != 3 or features.shape[0] != c.feature_channels or min(features.shape[1:]) < c.cells:
            raise BadInputError(f"features of shape {features.shape}, not ({c.feature_channels}, ≥ {c.cells}, ≥ {c.cells})")
        return np.ascontiguousarray(central(features, c.cells), dtype=np.float32)

    def _tokens(self, frames: tuple[Float32Array | None, Float32Array | None], step: dict[str, Float32Array]) -> Float32Array:
        before, now = frames
        assert before is not None and now is not None
        tokens: Float32Array = self._step.run(None, {"before": before[None], "now": now[None], **step})[0][0]
        return tokens

    def _told(self, step: dict[str, Float32Array]) -> tuple[FloatArray, FloatArray]:
        c = self.config
        tokens, there = np.zeros((c.steps, len(MODALITIES), c.width), np.float32), np.zeros((c.steps, len(MODALITIES)), np.float32)
        for row, (kept, known) in zip(range(c.steps - len(self._kept), c.steps), self._kept):
            tokens[row], there[row] = kept, known
        motion, factor = (np.asarray(x[0], np.float64) for x in self._motion.run(None, {"tokens": tokens[None], "there": there[None], **step}))
        return motion, factor @ factor.T


def eyes_key(folder: Path) -> str:
    """Of the graphs that features come from: a head is of use with the eyes it was trained over alone.

    Raises:
        BadInputError: they are not there.
    """
    digest = hashlib.blake2b(digest_size=6)
    for name in (LOOK_FILE, SETTLE_FILE):
        try:
            digest.update((folder / name).read_bytes())
        except OSError as error:
            raise BadInputError(f"{folder} holds no exported eyes: {error}") from error
    return digest.hexdigest()


def read_description(folder: Path) -> dict[str, Any]:
    """What `odometry.json` says.

    Raises:
        BadInputError: there is none, or it is of another version.
    """
    path = folder / DESCRIPTION_FILE
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{folder} holds no exported odometry: {error}") from error
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
