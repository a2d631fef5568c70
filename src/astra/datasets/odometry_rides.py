"""Recorded drives → rides for the odometry head: what the frozen eyes saw, frame by frame, with IMU, wheels and the true poses.

The eyes look once at each frame. A ride is kept by what the drive holds and by the eyes' graphs: new eyes look anew, nothing else is done twice.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from astra.core.errors import BadInputError
from astra.core.paths import atomic_dir, atomic_write, recipe_hash
from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray, ImuSample, IntArray, UInt8Array, WheelTwist, nanoseconds, seconds
from astra.datasets import open_drive
from astra.datasets.columns import NpyColumn
from astra.datasets.drive import Drive
from astra.datasets.mounting import imu_on_base
from astra.datasets.odometry_noise import SensorNoise, disturbed, standing
from astra.geometry import Pose2, Pose3, Trajectory
from astra.local_model.health import CameraState
from astra.local_model.odometry.config import POINT_COLUMNS, OdometryHeadConfig
from astra.local_model.odometry.points import PointOdometry, PointsConfig, grey_pictures, pixel_rays
from astra.local_model.odometry.runtime import eyes_key
from astra.local_model.odometry.steps import central, imu_rows, wheel_rows
from astra.local_model.runtime import Eyes, EyesConfig, View

logger = logging.getLogger(__name__)
FEATURES_FILE, READINGS_FILE, FACTS_FILE = "features.npy", "readings.npz", "ride.json"
PICTURES_FILE, DEPTHS_FILE = "pictures.npy", "depths.npy"
LAYOUT = 2  # raised when a ride is kept otherwise
PERIOD_S, EARLY_S = 0.2, 0.02  # frames that are looked at lie so far apart, or a little less


@dataclass(frozen=True, slots=True, eq=False)
class Ride:
    """N frames of one drive.

    features: (N, C, cells, cells) float16; points: (N, 14), `PointMotion.columns` of the step that ends with each frame; seen: (N,), whether a camera
    worked; truth: (N, 6) of x y z [m] roll pitch yaw [rad], world.
    imu, wheel: (N, rows, columns) of the step that ends with each frame, as `steps` makes them; those of the first frame are empty.
    """

    name: str
    stamps_ns: IntArray
    features: AnyArray
    points: Float32Array
    seen: BoolArray
    imu: Float32Array
    wheel: Float32Array
    truth: FloatArray

    def lasts_s(self, index: int) -> float:
        """How long the step that ends with a frame lasts; 0 for the first."""
        return seconds(int(self.stamps_ns[index] - self.stamps_ns[index - 1])) if index > 0 else 0.0

    def motion(self, index: int, *, spatial: bool = False) -> FloatArray:
        """The true motion (3,), or (6,), of the step that ends with a frame, in the base at its beginning."""
        before, now = self.truth[index - 1], self.truth[index]
        if not spatial:
            planar = Pose2(before[0], before[1], before[5]).inverse() @ Pose2(now[0], now[1], now[5])
            return np.array([planar.x, planar.y, planar.yaw])
        a, b = (Pose3.from_rpy(row[3], row[4], row[5], row[:3]) for row in (before, now))
        return _six((a.inverse() @ b).matrix())


def take_in(path: Path, eyes: Path, out: Path, split: str, config: OdometryHeadConfig) -> Path:
    """Look at a drive and keep it as a ride below `out`; one that is there already is left alone, even where its drive is gone. Returns its folder.

    Raises:
        BadInputError: a drive of another split, or without wheels or truth.
    """
    name, place = path.stem if path.is_file() else path.name, out / eyes_key(eyes)
    kept = list(place.glob(f"{glob.escape(name)}-{'[0-9a-f]' * 8}-{config.cells}-{LAYOUT}"))
    if not path.exists() and len(kept) == 1:
        return kept[0]
    drive = open_drive(path)
    folder = place / f"{name}-{drive_digest(drive)}-{config.cells}-{LAYOUT}"
    if folder in kept:
        return folder
    told = drive.origin.split if drive.origin is not None else None
    if told != split:
        raise BadInputError(f"{path} is {'of no simulated world' if told is None else f'of the {told} split'}, not of the {split} split")
    odometry, (truth_ns, truth) = drive.odometry, _truth(drive)
    if odometry is None:
        raise BadInputError(f"{path} holds no wheel odometry")
    stamps, seen = list[int](), list[list[bool]]()
    with atomic_dir(folder, replace=False) as draft:
        with NpyColumn(draft / FEATURES_FILE) as column, NpyColumn(draft / PICTURES_FILE) as pictures, NpyColumn(draft / DEPTHS_FILE) as depths:
            for view, grey in _looks(drive, eyes, odometry):
                stamps.append(view.stamp_ns)
                seen.append([state is CameraState.WORKS for state in view.cameras.values()])
                column.append(central(view.features, config.cells).astype(np.float16))
                pictures.append(grey)
                depths.append(view.depth_m.astype(np.float16))
        at: IntArray = np.array(stamps, dtype=np.int64)
        poses = np.stack([np.interp(at - truth_ns[0], truth_ns - truth_ns[0], values) for values in truth.T], axis=1)
        wheel, imu = drive.wheel(), imu_on_base(drive).samples
        rays, centres = pixel_rays(drive.rig)
        np.savez(
            draft / READINGS_FILE, stamps_ns=at, seen=np.array(seen), truth=poses, rays=rays, centres=centres,
            imu_ns=np.array([s.stamp_ns for s in imu], dtype=np.int64), wheel_ns=np.array([w.stamp_ns for w in wheel], dtype=np.int64),
            imu=np.array([[*s.angular_velocity, *s.linear_acceleration] for s in imu]).reshape(-1, 6),
            wheel=np.array([(w.linear_mps, w.angular_radps) for w in wheel]).reshape(-1, 2),
        )  # fmt: skip
        facts = {"drive": path.name, "split": split, "eyes": eyes_key(eyes), "frames": len(stamps)}
        (draft / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    logger.info("%s: %d frames", path.name, len(stamps))
    return folder


def drive_digest(drive: Drive) -> str:
    """Eight hexadecimal digits of a drive's wheel odometry and rig: drives of one name in two folders are two."""
    odometry = drive.odometry
    if odometry is None:
        raise BadInputError(f"{drive.path} holds no wheel odometry")
    whole = hashlib.sha256(odometry.stamps_ns.tobytes() + odometry.poses.tobytes())
    for camera in drive.rig.cameras:
        whole.update(camera.name.encode() + camera.base_from_cam.matrix().tobytes())
    return whole.hexdigest()[:8]


def load_ride(folder: Path, config: OdometryHeadConfig, noise: SensorNoise | None = None, variant: int = 0) -> Ride:
    """A ride that `take_in` kept; features stay on the disk.

    Args:
        folder: the ride.
        config: sizes.
        noise: what befalls wheels and IMU besides; None: nothing.
        variant: which of many drawings of it.

    Raises:
        BadInputError: it is damaged, or was kept for other sizes.
    """
    try:
        features = np.load(folder / FEATURES_FILE, mmap_mode="r")
        with np.load(folder / READINGS_FILE) as data:
            read = {name: data[name] for name in data.files}
        stamps, truth = read["stamps_ns"], read["truth"]
        points = _points(folder, read)
        imu = [ImuSample(t, row[:3], row[3:]) for t, row in zip(read["imu_ns"].tolist(), read["imu"])]
        wheel = [WheelTwist(t, v, w) for t, (v, w) in zip(read["wheel_ns"].tolist(), read["wheel"].tolist())]
    except (OSError, ValueError, KeyError) as error:
        raise BadInputError(f"{folder} holds no ride: {error}") from error
    if features.shape[1:] != (config.feature_channels, config.cells, config.cells):
        raise BadInputError(f"{folder} holds features of shape {features.shape[1:]}, not ({config.feature_channels}, {config.cells}, {config.cells})")
    if noise is not None:
        still = standing(read["wheel_ns"], stamps, truth)
        wheel, imu = disturbed(wheel, imu, still, (variant, *folder.name.encode()), noise)
    return Ride(folder.name, stamps, features, points, read["seen"].any(axis=1), *steps_of(stamps, imu, wheel, config), truth)


def _points(folder: Path, read: Mapping[str, AnyArray]) -> Float32Array:
    """Each step's points, followed once and kept beside the ride."""
    config = PointsConfig()
    path = folder / f"points-{recipe_hash(asdict(config))}.npy"
    if not path.is_file():
        follower = PointOdometry(read["rays"], read["centres"], config)
        pictures, depths = (np.load(folder / name, mmap_mode="r") for name in (PICTURES_FILE, DEPTHS_FILE))
        told = [follower.push(np.asarray(g), np.asarray(d, np.float32), works) for g, d, works in zip(pictures, depths, read["seen"])]
        rows = [np.zeros(POINT_COLUMNS, np.float32) if motion is None else motion.columns() for motion in told]
        buffer = io.BytesIO()
        np.save(buffer, np.stack(rows))
        atomic_write(path, buffer.getvalue())
    return np.asarray(np.load(path), np.float32)


def steps_of(
    stamps_ns: IntArray, imu: Sequence[ImuSample], wheel: Sequence[WheelTwist], config: OdometryHeadConfig
) -> tuple[Float32Array, Float32Array]:
    """(N, imu_rows, 8) and (N, wheel_rows, 4): the readings, in time order, of the step that ends with each frame."""
    imu_ns, wheel_ns = ([r.stamp_ns for r in readings] for readings in (imu, wheel))
    felt, rolled = [imu_rows((), 0, 0, config)], [wheel_rows((), 0, 0, config)]
    for begin, end in zip(stamps_ns[:-1].tolist(), stamps_ns[1:].tolist()):
        a, b = np.searchsorted(imu_ns, (begin, end), side="right")
        felt.append(imu_rows(imu[a:b], begin, end, config))
        a, b = np.searchsorted(wheel_ns, (begin, end), side="right")
        rolled.append(wheel_rows(wheel[a:b], begin, end, config))
    return np.stack(felt), np.stack(rolled)


def _looks(drive: Drive, folder: Path, odometry: Trajectory) -> Iterator[tuple[View, UInt8Array]]:
    """What the eyes see, and the grey pictures (V, h, w) they see it in."""
    eyes, last_ns = Eyes(folder, drive.rig, EyesConfig(moments_s=())), -nanoseconds(1e9)
    for observation in drive.observations():
        if observation.stamp_ns - last_ns >= nanoseconds(PERIOD_S - EARLY_S):
            last_ns = observation.stamp_ns
            images: dict[str, UInt8Array | None] = {frame.camera: frame.rgb for frame in observation.frames}
            yield eyes.see(images, last_ns, odometry.at(last_ns)), grey_pictures(images, drive.rig)


def _truth(drive: Drive) -> tuple[IntArray, FloatArray]:
    """Stamps (M,) and poses (M, 6), angles unwrapped."""
    scenes = list(drive.scenes())
    if not scenes:
        raise BadInputError(f"{drive.path} was recorded without truth: there is nothing to learn motion from")
    poses = np.array([_six(scene.world_from_base) for scene in scenes])
    poses[:, 3:] = np.unwrap(poses[:, 3:], axis=0)
    return np.array([scene.stamp_ns for scene in scenes], dtype=np.int64), poses


def _six(matrix: AnyArray) -> FloatArray:
    """x y z, roll pitch yaw of a pose (4, 4)."""
    r = np.asarray(matrix)
    roll, yaw = math.atan2(r[2, 1], r[2, 2]), math.atan2(r[1, 0], r[0, 0])
    return np.array([r[0, 3], r[1, 3], r[2, 3], roll, math.atan2(-r[2, 0], math.hypot(r[2, 1], r[2, 2])), yaw])
