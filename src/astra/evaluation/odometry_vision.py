"""Odometry that sees, on recorded drives of unseen worlds: every subset of sensors, what each part is worth, and what it is compared with."""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from astra.core.errors import BadInputError
from astra.core.paths import recipe_hash
from astra.core.types import FloatArray, ImuSample, IntArray, UInt8Array, WheelTwist, nanoseconds, seconds
from astra.datasets import open_drive
from astra.datasets.drive import Drive
from astra.datasets.odometry_rides import EARLY_S, PERIOD_S, PICTURES_FILE, Ride, drive_digest, load_ride, take_in
from astra.evaluation.bench_report import Result, write_report
from astra.evaluation.odometry import MEASURE, Row, draw_run, method_figures, track_errors
from astra.evaluation.odometry_baselines import wheels_alone, wheels_and_gyro
from astra.evaluation.odometry_metrics import nees, nees_bounds, poses_at, relative
from astra.evaluation.odometry_runs import OdometryRun, events, recorded_run
from astra.fusion.deltas import VISION_DOUBT, doubted
from astra.fusion.inertial import integrate_imu
from astra.fusion.odometry import DeltaPose, OdometryConfig, WheelImuOdometry, integrate
from astra.geometry import Pose2, Trajectory
from astra.local_model.odometry.runtime import DESCRIPTION_FILE, LearnedOdometry, StepMotion, eyes_key
from astra.local_model.odometry.sight import SeeingOdometry

LATE_S = 0.15  # after its frame, a Δpose reaches the filter: exposure, transport, the eyes
CREEP = 0.01  # mean of the recipe's, as every robot of train worlds has it
NEES_M = 10.0
FEATURELESS = 100  # points that agree; fewer, and a step counts as one along featureless walls


@dataclass(frozen=True, slots=True)
class SeenTableConfig:
    """Which drives, and with what."""

    drives: tuple[Path, ...]
    head: Path
    two_frames: Path | None = None  # a head of one step, without points: BEV-ODOM
    eyes: Path = Path("models/eyes")
    rides: Path | None = None  # where what the eyes saw is kept; None: below the folder of results
    split: str = "test"


NOTES = (
    "Recorded tours of unseen worlds, each with a robot of its own, drawn by the frozen recipe: slip, wheels' and IMU's errors, cameras that hang askew. "
    "Errors over stretches of the true way, aligned at their start, no scale. `astra eval odometry --drives`."
)


def run_seen(config: SeenTableConfig, out: Path, progress: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Measure the drives that are not measured yet and write the report."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "seen.jsonl"
    done = {row["key"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())} if path.is_file() else {}
    recipe = {
        "heads": [(head / DESCRIPTION_FILE).read_text(encoding="utf-8") for head in (config.head, config.two_frames) if head is not None],
        "eyes": eyes_key(config.eyes), "split": config.split, "filter": asdict(OdometryConfig()), "creep": CREEP, "late_s": LATE_S, "doubt": VISION_DOUBT,
        "measure": MEASURE,
    }  # fmt: skip
    key, rows = recipe_hash(recipe), list[Row]()
    for number, drive in enumerate(config.drives):
        label = f"{drive.name}-{drive_digest(open_drive(drive))}"
        name = f"{label}-{key}"
        if name not in done:
            done[name] = {"key": name, **_measured(config, drive, out, label)}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[name]) + "\n")
        rows.append(done[name])
        told = ", ".join(f"{method} {row['ate_m']:.3f}" for method, row in rows[-1]["methods"].items())
        progress(f"{number + 1}/{len(config.drives)} {drive.name}: ATE [m] {told}")
    results = seen_figures(rows)
    write_report(results, out, f"Odometry that sees ({config.split})", NOTES)
    return results


def _measured(config: SeenTableConfig, drive: Path, out: Path, label: str) -> Row:
    seen = seen_run(drive, config.split, config.eyes, config.rides or out / "rides", LearnedOdometry(config.head))
    happened = dict(events(seen.run))
    happened["featureless"] = featureless(seen.ride)
    driven, told = seen_estimates(seen, config.head, config.two_frames)
    (out / "tum").mkdir(exist_ok=True)
    for name, track in {"truth": seen.run.truth, **driven}.items():
        track.save_tum(out / "tum" / f"{label}-{name.replace(' ', '_').replace(',', '')}.tum")
    shown = ("all", "vision+imu", "vision", "imu+wheel", "wheels alone", "wheels + gyro EKF", "two-frame BEV-ODOM")
    draw_run(out / f"{label}.png", seen.run, {name: driven[name] for name in shown if name in driven})
    return {
        "name": drive.name, "length_m": seen.run.truth.length_m(), "events": {name: len(spans) for name, spans in happened.items()},
        "methods": {name: track_errors(seen.run, track, happened) for name, track in driven.items()}, "nees": told,
    }  # fmt: skip


def featureless(ride: Ride) -> IntArray:
    """Spans (M, 2) of time [ns] in which few points agreed for a second and more."""
    few = np.concatenate([[False], ride.points[1:, 12] * 200.0 < FEATURELESS, [False]])
    edges = np.flatnonzero(np.diff(few.astype(int)))
    spans = np.array([(ride.stamps_ns[a], ride.stamps_ns[b]) for a, b in edges.reshape(-1, 2) if b - a >= 5], dtype=np.int64)
    return spans.reshape(-1, 2)


def seen_figures(rows: Sequence[Row]) -> list[Result]:
    """The figures over all drives."""
    results = method_figures(rows)

    def mean(name: str) -> float:
        return float(np.mean([row["methods"][name]["ate_m"] for row in rows]))

    for name, other in (("all", "wheels + gyro EKF"), ("all", "imu+wheel"), ("all, creep unknown", "wheels + gyro EKF")):
        results.append(Result(f"{name}: lower ATE than {other}", 100.0 * (1.0 - mean(name) / mean(other)), "%", len(rows)))
    if all("two-frame BEV-ODOM" in row["methods"] for row in rows):
        results.append(Result("vision: ATE of two-frame BEV-ODOM over its own", mean("two-frame BEV-ODOM") / mean("vision"), "×", len(rows), None, "≥ 1.5"))
    one = [row["nees"][min(1, len(row["nees"]) - 1)] for row in rows if row["nees"]]
    every = [value for row in rows for value in row["nees"]]
    low, high = nees_bounds(len(one))
    results.append(Result("all: NEES over 10 m, one a run", float(np.mean(one)), "", len(one), None, f"{low:.2f} … {high:.2f}"))
    results.append(Result("all: NEES over 10 m, all", float(np.mean(every)), "", len(every)))
    return results


@dataclass(frozen=True, slots=True, eq=False)
class SeenRun:
    """A recorded run with what its cameras saw."""

    run: OdometryRun
    ride: Ride
    pictures: UInt8Array  # (N, V, h, w)
    directions: FloatArray  # (V, h, w, 3), what each pixel looks along


def seen_run(path: Path, split: str, eyes: Path, rides: Path, head: LearnedOdometry) -> SeenRun:
    """The run of a drive; the eyes look at it once."""
    folder = take_in(path, eyes, rides, split, head.config)
    with np.load(folder / "readings.npz") as read:
        directions = read["rays"].astype(np.float64)
    return SeenRun(recorded_run(open_drive(path)), load_ride(folder, head.config), np.load(folder / PICTURES_FILE, mmap_mode="r"), directions)


def steps_told(head: LearnedOdometry, seen: SeenRun) -> list[StepMotion]:
    """What a head tells of each step, as on the robot."""
    ride, imu, wheel = seen.ride, seen.run.imu, seen.run.wheel
    imu_ns, wheel_ns = ([r.stamp_ns for r in readings] for readings in (imu, wheel))
    out, last = [], int(ride.stamps_ns[0])
    for k, stamp in enumerate(ride.stamps_ns.tolist()):
        felt = imu[bisect_left(imu_ns, last) : bisect_right(imu_ns, stamp)]
        rolled = wheel[bisect_left(wheel_ns, last) : bisect_right(wheel_ns, stamp)]
        features = np.asarray(ride.features[k], np.float32) if ride.seen[k] else None
        told = head.push(stamp, features, felt, rolled, ride.points[k] if ride.points[k, 0] > 0 else None)
        last = stamp
        if told is not None:
            out.append(told)
    return out


def composed(steps: Sequence[StepMotion]) -> Trajectory:
    """Steps one after the other; a gap keeps the pose."""
    stamps, pose = [steps[0].from_ns], Pose2()
    poses = [(0.0, 0.0, 0.0)]
    for step in steps:
        pose = pose @ Pose2(*step.planar.tolist())
        stamps.append(step.to_ns)
        poses.append((pose.x, pose.y, pose.yaw))
    return Trajectory(np.array(stamps, dtype=np.int64), np.array(poses))


def with_gyro(steps: Sequence[StepMotion], imu: Sequence[ImuSample]) -> Trajectory:
    """The steps' way and the gyro's turn, less a bias that is learned from what the steps say of the same turns (a Kalman filter of one state).

    The steps' turns err alike for seconds: they count as doubtful as the robot's filter takes them for (`fusion.deltas`).
    """
    noise, start = OdometryConfig(), int(imu[0].stamp_ns)
    known = np.array([s.stamp_ns - start for s in imu]) * 1e-9
    rates = np.array([float(s.angular_velocity[2]) for s in imu])
    angle = np.concatenate([[0.0], np.cumsum(0.5 * (rates[1:] + rates[:-1]) * np.diff(known))])
    bias, variance, pose = 0.0, noise.gyro_bias_initial_sigma_radps**2, Pose2()
    stamps, poses = [steps[0].from_ns], [(0.0, 0.0, 0.0)]
    for step in steps:
        span = seconds(step.to_ns - step.from_ns)
        felt = float(np.diff(np.interp([seconds(step.from_ns - start), seconds(step.to_ns - start)], known, angle))[0])
        variance += noise.gyro_bias_walk**2 * span
        doubt = (float(doubted(step.planar_covariance)[2, 2]) + noise.gyro_noise**2 * span) / span**2
        gain = variance / (variance + doubt)
        bias += gain * ((felt - float(step.planar[2])) / span - bias)
        variance *= 1.0 - gain
        turn = felt - bias * span
        pose = pose @ Pose2(*_turned(step, turn), turn)
        stamps.append(step.to_ns)
        poses.append((pose.x, pose.y, pose.yaw))
    return Trajectory(np.array(stamps, dtype=np.int64), np.array(poses))


def _turned(step: StepMotion, turn: float) -> tuple[float, float]:
    """The way of a step whose turn was taken for another: the covariance tells how both err together."""
    values, covariance = step.planar, step.planar_covariance
    moved = values[:2] + covariance[:2, 2] / covariance[2, 2] * (turn - values[2])
    return float(moved[0]), float(moved[1])


def fused(steps: Sequence[StepMotion], wheel: Sequence[WheelTwist], imu: Sequence[ImuSample], config: OdometryConfig | None = None) -> Trajectory:
    """Steps of vision with whatever else there is: the filter, where there are wheels; the gyro's turn; or the steps alone.

    Raises:
        BadInputError: not a single step was seen.
    """
    if not steps:
        raise BadInputError("the cameras tell of no motion: no two frames close enough to each other")
    if wheel:
        return SeeingFilter(wheel, imu, steps, config or OdometryConfig()).drive()[0]
    return with_gyro(steps, imu) if imu else composed(steps)


def look_through(drive: Drive, eyes: Path, head: Path, sensors: Collection[str], imu: Sequence[ImuSample]) -> list[StepMotion]:
    """What the head tells of a drive's pictures; with wheels it is told by vision alone, for the filter takes Δposes for independent."""
    used = ("vision",) if "wheel" in sensors or "imu" not in sensors else ("vision", "imu")
    odometry, out, pose, last_ns = SeeingOdometry(eyes, head, drive.rig, used), list[StepMotion](), Pose2(), -nanoseconds(1e9)
    imu_ns = [s.stamp_ns for s in imu]
    for observation in drive.observations():
        stamp = observation.stamp_ns
        if stamp - last_ns < nanoseconds(PERIOD_S - EARLY_S):
            continue
        felt = imu[bisect_left(imu_ns, last_ns) : bisect_right(imu_ns, stamp)] if "imu" in used else ()
        step = odometry.see({frame.camera: frame.rgb for frame in observation.frames}, stamp, pose, felt)
        last_ns = stamp
        if step is not None:
            pose = pose @ Pose2(*step.planar.tolist())
            out.append(step)
    return out


class SeeingFilter:
    """The filter of the robot, fed as on the robot: a Δpose comes `LATE_S` after its frame."""

    def __init__(self, wheel: Sequence[WheelTwist], imu: Sequence[ImuSample], steps: Sequence[StepMotion], config: OdometryConfig) -> None:
        self._wheel, self._imu, self.odometry = wheel, imu, WheelImuOdometry(config)
        self._deltas = [DeltaPose(s.from_ns, s.to_ns, Pose2(*s.planar.tolist()), doubted(s.planar_covariance)) for s in steps]

    def drive(self, truth: Trajectory | None = None) -> tuple[Trajectory, list[float]]:
        """The poses; with a truth, NEES over each ten metres of the true way, after which the frame begins anew."""
        odometry, stamps = self.odometry, np.array([w.stamp_ns for w in self._wheel], dtype=np.int64)
        true = np.zeros((len(stamps), 3)) if truth is None else poses_at(truth, stamps)
        path = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(true[:, :2], axis=0), axis=1))])
        begin, fed, due, rows, told = 0, 0, 0, list[tuple[float, float, float]](), list[float]()
        for i, twist in enumerate(self._wheel):
            while fed < len(self._imu) and self._imu[fed].stamp_ns <= twist.stamp_ns:
                odometry.add_imu(self._imu[fed])
                fed += 1
            odometry.add_wheel(twist)
            while due < len(self._deltas) and self._deltas[due].to_ns + nanoseconds(LATE_S) <= twist.stamp_ns:
                odometry.add_delta(self._deltas[due])
                due += 1
            pose = odometry.state.odom_from_base
            rows.append((pose.x, pose.y, pose.yaw))
            if path[i] - path[begin] >= NEES_M:
                error = _error(pose, relative(true[begin], true[i]))
                told.append(float(nees(error[None], odometry.state.covariance[None])[0]))
                begin = i
                odometry.start_frame(Pose2())
        return Trajectory(stamps, np.array(rows)), told


def _error(pose: Pose2, truth: FloatArray) -> FloatArray:
    return np.array([pose.x - truth[0], pose.y - truth[1], (pose.yaw - truth[2] + math.pi) % (2.0 * math.pi) - math.pi])


def points_alone(ride: Ride) -> Trajectory:
    """The followed points' motion, nothing learned."""
    pose, poses = Pose2(), [(0.0, 0.0, 0.0)]
    for row in ride.points[1:]:
        pose = pose @ Pose2(*(0.1 * row[1:4]).tolist())
        poses.append((pose.x, pose.y, pose.yaw))
    return Trajectory(ride.stamps_ns, np.array(poses))


def opencv_odometry(seen: SeenRun) -> Trajectory:
    """Monocular visual odometry as OpenCV's tutorials do it: the front camera's corners, Lucas-Kanade, the essential matrix; its scale the wheels'."""
    run, ride = seen.run, seen.ride
    rays = seen.directions[0]
    forward, left = rays.mean((0, 1)), np.array([0.0, 1.0, 0.0])
    axes = np.stack([-left, np.array([0.0, 0.0, -1.0]), forward / np.linalg.norm(forward)])  # optical axes of a level camera that looks ahead
    way = wheels_alone(run.wheel)
    pose, poses = Pose2(), [(0.0, 0.0, 0.0)]
    for k in range(1, len(ride.stamps_ns)):
        old, new = (np.asarray(seen.pictures[i][0]) for i in (k - 1, k))
        step = _essential(old, new, rays, axes)
        a, b = (way.at(int(ride.stamps_ns[i])) for i in (k - 1, k))
        length = a.distance_to(b)
        if step is not None:
            forth, yaw = step
            pose = pose @ Pose2(length * forth[0], length * forth[1], yaw)
        poses.append((pose.x, pose.y, pose.yaw))
    return Trajectory(ride.stamps_ns, np.array(poses))


def _essential(old: UInt8Array, new: UInt8Array, rays: FloatArray, axes: FloatArray) -> tuple[FloatArray, float] | None:
    """Direction of travel (2,) in the base and turn [rad] of one step, None where it cannot be told."""
    corners = cv2.goodFeaturesToTrack(old, 300, 0.01, 5.0)
    if corners is None or len(corners) < 12:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(old, new, corners, None)
    good = found[:, 0] > 0
    planes = []
    for points in (corners[good, 0], there[good, 0]):
        u, v = (np.clip(np.round(points[:, i]).astype(int), 0, rays.shape[1 - i] - 1) for i in (0, 1))
        left, up = np.clip(u - 1, 0, None), np.clip(v - 1, 0, None)
        per_u, per_v = rays[v, u] - rays[v, left], rays[v, u] - rays[up, u]
        looks = (rays[v, u] + (points[:, :1] - u[:, None]) * per_u + (points[:, 1:] - v[:, None]) * per_v) @ axes.T
        planes.append(looks[:, :2] / looks[:, 2:])
    if len(planes[0]) < 8:
        return None
    essential, inliers = cv2.findEssentialMat(planes[0], planes[1], np.eye(3), cv2.RANSAC, 0.999, 0.005)
    if essential is None or essential.shape != (3, 3):
        return None
    _, rotation, translation, _ = cv2.recoverPose(essential, planes[0], planes[1], np.eye(3), mask=inliers)
    moved = -axes.T @ (rotation.T @ translation[:, 0])
    turned = axes.T @ rotation.T @ axes
    return moved[:2] / max(float(np.linalg.norm(moved)), 1e-6), math.atan2(turned[1, 0], turned[0, 0])


def seen_estimates(seen: SeenRun, head: Path, two_frames: Path | None) -> tuple[dict[str, Trajectory], list[float]]:
    """The run by every method, and NEES of all sensors."""
    run = seen.run
    by = {name: steps_told(LearnedOdometry(head, sensors), seen) for name, sensors in SUBSETS.items()}
    config = OdometryConfig(wheel_creep=CREEP)
    out = {
        "all": fused(by["vision"], run.wheel, run.imu, config),
        "all, creep unknown": fused(by["vision"], run.wheel, run.imu),
        "vision+imu": with_gyro(by["vision+imu"], run.imu),
        "vision": composed(by["vision"]),
        "imu+wheel": integrate(run.wheel, run.imu),
        "imu+wheel, creep known": integrate(run.wheel, run.imu, config),
        "wheel": integrate(run.wheel, ()),
        "imu": integrate_imu(run.imu),
        "head alone, all": composed(by["all"]),
        "head alone, vision+imu": composed(by["vision+imu"]),
        "points alone": points_alone(seen.ride),
        "wheels alone": wheels_alone(run.wheel),
        "wheels + gyro EKF": wheels_and_gyro(run.wheel, run.imu),
        "OpenCV, scale by wheels": opencv_odometry(seen),
    }
    if two_frames is not None:
        out["two-frame BEV-ODOM"] = composed(steps_told(LearnedOdometry(two_frames), replace_points(seen)))
    return out, SeeingFilter(run.wheel, run.imu, by["vision"], config).drive(run.truth)[1]


SUBSETS = {"vision": ("vision",), "vision+imu": ("vision", "imu"), "all": ("vision", "imu", "wheel")}


def replace_points(seen: SeenRun) -> SeenRun:
    """The same run without points."""
    return replace(seen, ride=replace(seen.ride, points=np.zeros_like(seen.ride.points)))
