"""Drives into training samples: one folder a drive, arrays that are mapped into memory, finished folders kept. The schema is in docs/SAMPLES.md."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, IntArray, Observation, nanoseconds, seconds
from astra.datasets.columns import NpyColumn
from astra.datasets.drive import Drive, MoverTracks
from astra.datasets.intentions import Intentions
from astra.datasets.local_truth import LocalTruth, Window
from astra.datasets.motion import Motion, in_ego_frame, motion_of
from astra.datasets.payloads import KEY
from astra.datasets.visibility import VisibleCells
from astra.geometry import CameraRig, Pose2
from astra.sim.world import load_world

FORMAT_VERSION = 1
SET_FILE, SHARD_FILE = "samples.json", "shard.json"
DISTORTION_TERMS = 5


@dataclass(frozen=True, slots=True)
class PackConfig:
    """Which moments become samples, and how far they look back and ahead."""

    rate_hz: float = 2.0
    history_s: float = 1.0
    horizon_s: float = 3.0
    step_s: float = 0.1  # of the future path
    occupancy_step_s: float = 0.5
    subgoal_m: float = 3.0  # along the path that will be driven
    tolerance_s: float = 0.02
    window: Window = field(default_factory=Window)

    def __post_init__(self) -> None:
        require(0.05 <= self.rate_hz <= 50.0, "rate_hz", self.rate_hz, "between 0.05 and 50")
        require(0.0 <= self.history_s <= 30.0, "history_s", self.history_s, "between 0 and 30")
        require(0.1 <= self.horizon_s <= 30.0, "horizon_s", self.horizon_s, "between 0.1 and 30")
        require(0.01 <= self.step_s <= self.horizon_s, "step_s", self.step_s, "between 0.01 and horizon_s")
        require(0.01 <= self.occupancy_step_s <= self.horizon_s, "occupancy_step_s", self.occupancy_step_s, "between 0.01 and horizon_s")
        require(0.1 <= self.subgoal_m <= 50.0, "subgoal_m", self.subgoal_m, "between 0.1 and 50")

    def future_ns(self) -> IntArray:
        """Times of the future path after now (T,) [ns]."""
        return np.arange(1, round(self.horizon_s / self.step_s) + 1) * nanoseconds(self.step_s)

    def occupancy_ns(self) -> IntArray:
        """Times of the occupancy grids after now (F+1,) [ns], the first is now."""
        return np.arange(round(self.horizon_s / self.occupancy_step_s) + 1) * nanoseconds(self.occupancy_step_s)


@dataclass(frozen=True, slots=True)
class PackResult:
    """One drive's shard: its folder, how many samples it holds, and whether it was there before."""

    folder: Path
    samples: int
    kept: bool


def pack_drive(
    drive: Drive, out: Path, config: PackConfig, *, worlds: Path | None = None, split: str = "train", tick: Callable[[int], None] = lambda done: None
) -> PackResult:
    """Pack one drive into a folder of its own below `out`; one that is there already, packed from the same drive in the same way, is kept.

    Args:
        drive: simulated, with truth, or real: then there is no occupancy, and poses come from its odometry.
        out: the sample set.
        config: must be the same for all drives of a set.
        worlds: where the drive's world lies now, if it has been moved since: its folder or the folder that holds it.
        split: of a real drive; a simulated one has that of its world.
        tick: is told how many samples have been packed since its last call.

    Raises:
        BadInputError: a set packed with other settings, a drive without poses, or a world that cannot be found.
    """
    claim(out, config)
    folder = out / f"{drive.name}-{_recipe(drive, config)}"
    if folder.is_dir():
        return PackResult(folder, int(json.loads((folder / SHARD_FILE).read_text())["samples"]), kept=True)
    motion = motion_of(drive)
    local = _local_truth(drive, config, worlds)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{folder.name}-") as draft:
        shard = Path(draft) / "shard"
        shard.mkdir()
        count = _write_ticks(drive, motion, local, config, shard, tick)
        _write_streams(drive, motion, shard)
        write_rig(drive.rig, shard)
        (shard / SHARD_FILE).write_text(json.dumps(_facts(drive, motion, config, count, split), indent=1), encoding="utf-8")
        shard.rename(folder)
    return PackResult(folder, count, kept=False)


def claim(out: Path, config: PackConfig) -> None:
    """Make the set `out`, or see that it is one of these settings, the same for all its shards.

    Raises:
        BadInputError: it is of others, or something else.
    """
    wanted = {"format_version": FORMAT_VERSION, "config": asdict(config)}
    path = out / SET_FILE
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != wanted:
            raise BadInputError(f"{out} holds samples packed with other settings; choose another folder")
        return
    if out.exists() and any(not p.name.startswith(".") for p in out.iterdir()):
        raise BadInputError(f"{out} exists and is not a sample set")
    out.mkdir(parents=True, exist_ok=True)
    draft = out / f".{SET_FILE}-{os.getpid()}"  # several may pack into one set
    draft.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    draft.replace(path)


def _recipe(drive: Drive, config: PackConfig) -> str:
    source = drive.bag.custom.get(KEY) or f"{drive.path.resolve()} {drive.bag.start_ns} {drive.duration_s}"
    return hashlib.blake2b(f"{FORMAT_VERSION} {config} {drive.topics} {source}".encode(), digest_size=5).hexdigest()


def _local_truth(drive: Drive, config: PackConfig, worlds: Path | None) -> LocalTruth | None:
    if drive.origin is None or not drive.origin.world:
        return None
    recorded = Path(drive.origin.world)
    candidates = [recorded] if worlds is None else [worlds / recorded.name, worlds]
    folder = next((c for c in candidates if (c / "truth.yaml").is_file()), None)
    if folder is None:
        raise BadInputError(f"{drive.path}: its world {recorded} is not there; say where it lies now (--worlds)")
    truth = load_world(folder).truth
    if truth is None or truth.seed != drive.origin.world_seed:
        raise BadInputError(f"{drive.path} was recorded in the world of seed {drive.origin.world_seed}, but {folder} is another")
    return LocalTruth(truth, config.window)


def _write_ticks(drive: Drive, motion: Motion, local: LocalTruth | None, config: PackConfig, shard: Path, tick: Callable[[int], None]) -> int:
    movers, driver, visible = drive.movers(), Intentions(drive, motion), VisibleCells(drive.rig, config.window)
    with ExitStack() as stack:
        columns: dict[str, NpyColumn] = {}
        count = 0
        for observation in _chosen(drive, motion, config):
            rows = _images(observation, drive.rig.names) | _labels(observation.stamp_ns, motion, driver, config)
            if "depth" in rows:
                rows["visible"] = visible(dict(zip(drive.rig.names, rows["depth"])))
            if local is not None:
                rows["occupancy"] = _occupancy(observation.stamp_ns, motion, local, movers, config)
            for name, row in rows.items():
                if name not in columns:
                    if count:
                        raise BadInputError(f"{drive.path}: {name} is not there for all samples")
                    columns[name] = stack.enter_context(NpyColumn(shard / f"{name}.npy"))
                columns[name].append(row)
            if columns.keys() != rows.keys():
                raise BadInputError(f"{drive.path}: {', '.join(columns.keys() - rows.keys())} is not there for all samples")
            count += 1
            tick(1)
    return count


def _chosen(drive: Drive, motion: Motion, config: PackConfig) -> Iterator[Observation]:
    """Complete observations with enough before and after them, `rate_hz` a second at most."""
    earliest = motion.stamps_ns[0] + nanoseconds(config.history_s)
    latest = motion.stamps_ns[-1] - nanoseconds(config.horizon_s)
    names, period_ns, due = set(drive.rig.names), nanoseconds(1.0 / config.rate_hz), 0
    for observation in drive.observations(config.tolerance_s, depth=True):
        if {frame.camera for frame in observation.frames} != names or not earliest <= observation.stamp_ns <= latest or observation.stamp_ns < due:
            continue
        due = observation.stamp_ns + period_ns - nanoseconds(config.tolerance_s)
        yield observation


def _images(observation: Observation, names: Sequence[str]) -> dict[str, AnyArray]:
    frames = {frame.camera: frame for frame in observation.frames}
    rows: dict[str, AnyArray] = {"image": np.stack([frames[name].rgb for name in names])}
    depths = [frames[name].depth_m for name in names]
    if all(depth is not None for depth in depths):
        rows["depth"] = np.stack([np.asarray(depth, dtype=np.float16) for depth in depths])
    return rows


def _labels(stamp: int, motion: Motion, driver: Intentions, config: PackConfig) -> dict[str, AnyArray]:
    pose = motion.at(np.array([stamp]))[0]
    rows = {
        "stamp_ns": np.int64(stamp), "pose": pose, "velocity": motion.velocity_at(stamp), "in_contact": np.bool_(motion.in_contact_at(stamp)),
        "disturbed": np.bool_(driver.is_disturbed(stamp, nanoseconds(config.horizon_s))),
        "future": in_ego_frame(pose, motion.at(stamp + config.future_ns())).astype(np.float32),
        "plan": in_ego_frame(pose, driver.plan(stamp, config.future_ns())).astype(np.float32),
        "goal": in_ego_frame(pose, driver.goal(stamp)[None])[0].astype(np.float32),
        "subgoal": in_ego_frame(pose, motion.along(stamp, config.subgoal_m)[None])[0].astype(np.float32),
    }  # fmt: skip
    return {name: np.asarray(row) for name, row in rows.items()}


def _occupancy(stamp_ns: int, motion: Motion, local: LocalTruth, movers: MoverTracks, config: PackConfig) -> AnyArray:
    x, y, yaw = motion.at(np.array([stamp_ns]))[0].tolist()
    return local.over_time(Pose2(x, y, yaw), movers.at(stamp_ns + config.occupancy_ns()))


def _write_streams(drive: Drive, motion: Motion, shard: Path) -> None:
    """What sensors said all along; times in seconds since the drive's start, at its first pose."""
    start = int(motion.stamps_ns[0])
    imu = [(seconds(s.stamp_ns - start), *s.angular_velocity, *s.linear_acceleration) for s in drive.imu()]
    wheel = [(seconds(s.stamp_ns - start), s.linear_mps, s.angular_radps) for s in drive.wheel()]
    scans = drive.scans()
    np.save(shard / "imu.npy", np.array(imu, dtype=np.float64).reshape(-1, 7))
    np.save(shard / "wheel.npy", np.array(wheel, dtype=np.float64).reshape(-1, 3))
    np.save(shard / "scan_time.npy", np.array([seconds(s.stamp_ns - start) for s in scans], dtype=np.float64))
    np.save(shard / "scan.npy", np.stack([s.ranges for s in scans]) if scans else np.zeros((0, 0), np.float32))
    np.save(shard / "motion.npy", np.column_stack([(motion.stamps_ns - start) * 1e-9, motion.poses, motion.velocities]))


def write_rig(rig: CameraRig, shard: Path) -> None:
    """Where the cameras sit and how they see."""
    cameras = rig.cameras
    terms = [(*c.model.distortion, *[0.0] * DISTORTION_TERMS)[:DISTORTION_TERMS] for c in cameras]
    np.save(shard / "intrinsics.npy", np.array([(c.model.fx, c.model.fy, c.model.cx, c.model.cy) for c in cameras]))
    np.save(shard / "distortion.npy", np.array(terms))
    np.save(shard / "base_from_cam.npy", np.stack([c.base_from_cam.matrix() for c in cameras]))


def _facts(drive: Drive, motion: Motion, config: PackConfig, count: int, split: str) -> dict[str, object]:
    origin, scan = drive.origin, next(iter(drive.scans()), None)
    return {
        "samples": count, "drive": str(drive.path), "split": origin.split if origin else split, "origin": asdict(origin) if origin else None,
        "pose_source": motion.source, "start_ns": int(motion.stamps_ns[0]), "cameras": list(drive.rig.names),
        "distortion_models": [c.model.distortion_model for c in drive.rig.cameras],
        "scan": None if scan is None else {
            "angle_min_rad": scan.angle_min_rad, "angle_increment_rad": scan.angle_increment_rad, "range_min_m": scan.range_min_m,
            "range_max_m": scan.range_max_m, "base_from_lidar": drive.base_from_sensor(scan.frame).matrix().tolist(),
        },
    }  # fmt: skip
