"""What an IMU says of a reconstruction: which way is up, and, where the camera was accelerated enough, how long a unit is.

Between two keyframes i, j the gyroscope and the accelerometer are integrated in the IMU's frame at i (preintegration, Forster et al. 2017):
ΔR, Δv, Δp with p_j = p_i + v_i Δt + ½ g Δt² + R_i Δp and v_j = v_i + g Δt + R_i Δv. Two neighbouring stretches share v_j, so that
    (p₃ − p₂)/Δt₂ − (p₂ − p₁)/Δt₁ = ½ g (Δt₁ + Δt₂) + R₂Δp₂/Δt₂ − R₁Δp₁/Δt₁ + R₁Δv₁,  p = s c + R l,
is linear in scale s, gravity g and the accelerometer's bias (Mur-Artal & Tardós 2017, section IV-B); c are the cameras' centres, l the lever arm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astra.core.config import require
from astra.core.types import FloatArray, ImuSample, IntArray
from astra.geometry import Pose3
from astra.mapping.gravity import Up
from astra.mapping.keyframes import Keyframe
from astra.mapping.scale import ScaleReading
from astra.mapping.sfm import SfmFragment
from astra.mapping.tour import InertialTour, Tour, is_mounted

GRAVITY_MPS2 = 9.80665


@dataclass(frozen=True, slots=True)
class InertialConfig:
    """What the IMU is trusted with."""

    min_gap_s: float = 0.7  # between the keyframes that are used; over shorter stretches the cameras' noise is larger than their acceleration
    max_gap_s: float = 2.5  # over longer ones double integration says nothing
    max_sample_gap_s: float = 0.1
    accelerometer_bias_sigma: float = 0.1  # m/s², of what a MEMS accelerometer may be off by
    accelerometer_scale_sigma: float = 0.025  # relative, of what it may be off by besides
    up_sigma_rad: float = math.radians(0.2)  # of the direction that no averaging removes: how the IMU is bolted to the camera
    speed_mps: float = 0.7  # at which a recording may begin or end
    min_up_s: float = 5.0  # of samples that an average needs
    min_triplets: int = 24  # that the scale needs
    min_second_turn: float = 0.15  # of the camera's turns about a second axis to those about the first, to find how the IMU is bolted to it
    max_mount_error_rad: float = math.radians(1.5)  # between a turn by camera and by gyroscope, median
    folds: int = 8  # parts of the tour, left out in turn to see how far the answer moves

    def __post_init__(self) -> None:
        for name in ("min_gap_s", "max_gap_s", "max_sample_gap_s", "accelerometer_bias_sigma", "speed_mps", "min_up_s"):
            require(getattr(self, name) > 0.0, f"inertial.{name}", getattr(self, name), "> 0")
        require(self.folds >= 4, "inertial.folds", self.folds, "≥ 4")
        require(self.min_triplets >= 2 * self.folds, "inertial.min_triplets", self.min_triplets, "≥ 2 · folds")


@dataclass(frozen=True, slots=True, eq=False)
class ImuTrack:
    """One tour's IMU: stamps_ns (N,), gyro (N, 3) [rad/s], accel (N, 3) [m/s², gravity included], and where it sits against the first camera.

    cam_from_imu: None where nobody said; its rotation is then found from how camera and gyroscope turn, and the two are taken to be in one place.
    """

    stamps_ns: IntArray
    gyro: FloatArray
    accel: FloatArray
    cam_from_imu: Pose3 | None

    @staticmethod
    def of(samples: Sequence[ImuSample], cam_from_imu: Pose3 | None) -> ImuTrack:
        """Samples in time order; doubled stamps are left out."""
        stamps = np.array([s.stamp_ns for s in samples], dtype=np.int64)
        kept = np.diff(stamps, prepend=stamps[:1] - 1) > 0
        gyro = np.array([s.angular_velocity for s in samples], dtype=np.float64).reshape(-1, 3)
        accel = np.array([s.linear_acceleration for s in samples], dtype=np.float64).reshape(-1, 3)
        return ImuTrack(stamps[kept], gyro[kept], accel[kept], cam_from_imu)


def imu_tracks(tours: Sequence[Tour]) -> dict[int, ImuTrack]:
    """The IMU of every tour that has one."""
    found = {}
    for index, tour in enumerate(tours):
        samples = tour.imu() if isinstance(tour, InertialTour) else ()
        if samples and isinstance(tour, InertialTour):
            base_from_imu = tour.base_from_imu if is_mounted(tour.rig) else None
            cam_from_imu = None if base_from_imu is None else tour.rig.cameras[0].base_from_cam.inverse() @ base_from_imu
            found[index] = ImuTrack.of(samples, cam_from_imu)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """Preintegrated motion between keyframes `first` and `last` (S,), in the IMU's frame at the first.

    rotation: (S, 3, 3). velocity, position: (S, 3). velocity_by_bias, position_by_bias: (S, 3, 3) derivatives by the accelerometer's bias.
    fragment_from_imu: (S, 3, 3) orientation at the first keyframe.
    """

    first: IntArray
    last: IntArray
    seconds: FloatArray
    rotation: FloatArray
    velocity: FloatArray
    position: FloatArray
    velocity_by_bias: FloatArray
    position_by_bias: FloatArray
    fragment_from_imu: FloatArray


def up_of_imu(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], tracks: Mapping[int, ImuTrack], config: InertialConfig | None = None
) -> Up | None:
    """Against gravity, with the accelerometer's bias solved for where the tour is long enough, else by the plain average; None without an answer."""
    config = config or InertialConfig()
    average = _average_up(fragment, keyframes, tracks, config)
    system = _system(fragment, keyframes, tracks, config)
    if average is None or system is None:
        return average
    gravity = _solve(*system, config)[1:4]
    up = -gravity / np.linalg.norm(gravity)
    others = np.array([_solve(*part, config)[1:4] for part in _left_out(system, config)])
    others = -others / np.linalg.norm(others, axis=1, keepdims=True)
    spread = math.sqrt((config.folds - 1) / config.folds * float(((others - others.mean(axis=0)) ** 2).sum()) / 2.0)
    if float(up @ average.direction) < math.cos(math.radians(5.0)):
        return average  # they cannot differ that much: the system is ill-posed
    return Up(np.asarray(up), math.hypot(spread, config.up_sigma_rad), "imu")


def imu_reading(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], tracks: Mapping[int, ImuTrack], config: InertialConfig | None = None
) -> ScaleReading | None:
    """The scale at which the cameras' accelerations are the IMU's; None where too little was recorded, or nothing was accelerated.

    The cameras' accelerations are the noisier: regressed on the IMU's, not the IMU's on them, which would shrink the scale. Sigma holds half
    the gap between the two regressions, the scatter of the answers with a part of the tour left out, and the accelerometer's own scale.
    """
    config = config or InertialConfig()
    system = _system(fragment, keyframes, tracks, config)
    whole = None if system is None else _both_ways(*system, config)
    if system is None or whole is None:
        return None
    answers = [_both_ways(*part, config) for part in _left_out(system, config)]
    logs = np.array([math.log(answer[1]) for answer in answers if answer is not None])
    if len(logs) < config.folds:
        return None
    spread = math.sqrt((config.folds - 1) / config.folds * float(((logs - logs.mean()) ** 2).sum()))
    gap = math.log(whole[1] / whole[0]) / 2.0
    return ScaleReading("imu", whole[1], math.sqrt(spread**2 + gap**2 + config.accelerometer_scale_sigma**2))


def _average_up(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], tracks: Mapping[int, ImuTrack], config: InertialConfig
) -> Up | None:
    """The accelerometer averaged over the tours in the fragment's frame: what is left of it is the answer to gravity.

    The mean acceleration of a tour is its change of speed over its time, next to nothing; vibration averages out. None where that is not so.
    """
    forces, seconds, runs = [], [], 0
    for _, found in _all(fragment, keyframes, tracks, config):
        forces.append(np.einsum("sij,sj->si", found.fragment_from_imu, found.velocity) / found.seconds[:, None])
        seconds.append(found.seconds)
        runs += 1 + int((found.first[1:] != found.last[:-1]).sum())
    if not forces or float(np.concatenate(seconds).sum()) < config.min_up_s:
        return None
    force, weight = np.concatenate(forces), np.concatenate(seconds)
    mean = np.average(force, axis=0, weights=weight)
    size = float(np.linalg.norm(mean))
    if not 0.9 * GRAVITY_MPS2 < size < 1.1 * GRAVITY_MPS2:
        return None  # in other units, without gravity, or on a rig that is not rigid: no accelerometer to go by
    speed = config.speed_mps * math.sqrt(runs) / float(weight.sum())
    return Up(mean / size, math.hypot(speed, config.accelerometer_bias_sigma) / size, "imu")


_System = tuple[FloatArray, FloatArray, FloatArray]


def _system(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], tracks: Mapping[int, ImuTrack], config: InertialConfig
) -> _System | None:
    """Columns (T, 3, 7), right side (T, 3) and weights (T,) of all tours' triplets; None if they are few."""
    rows = [_equations(fragment, found, track) for track, found in _all(fragment, keyframes, tracks, config)]
    if sum(len(right) for _, right in rows) < config.min_triplets:
        return None
    columns, right = np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])
    return columns, right, _robust_weights(columns, right, config)


def _left_out(system: _System, config: InertialConfig) -> list[_System]:
    """The system without each of its parts in turn."""
    parts = np.array_split(np.arange(len(system[0])), config.folds)
    return [(np.delete(system[0], part, axis=0), np.delete(system[1], part, axis=0), np.delete(system[2], part)) for part in parts]


def _all(
    fragment: SfmFragment, keyframes: Sequence[Keyframe], tracks: Mapping[int, ImuTrack], config: InertialConfig
) -> list[tuple[ImuTrack, _Stretches]]:
    """Every tour's track, its place on the camera found, with its stretches."""
    out = []
    for tour, track in sorted(tracks.items()):
        known = _spaced([k for k in sorted(keyframes, key=lambda k: k.id) if k.tour == tour and k.id in fragment.sfm_from_ref], config)
        pairs = [(a, b) for a, b in itertools.pairwise(known) if _is_covered(track, a.stamp_ns, b.stamp_ns, config)]
        cam_from_imu = track.cam_from_imu or (_mounting(fragment, pairs, track, config) if pairs else None)
        if pairs and cam_from_imu is not None:
            placed = replace(track, cam_from_imu=cam_from_imu)
            out.append((placed, _preintegrate(fragment, pairs, placed, cam_from_imu)))
    return out


def _mounting(fragment: SfmFragment, pairs: Sequence[tuple[Keyframe, Keyframe]], track: ImuTrack, config: InertialConfig) -> Pose3 | None:
    """How the IMU is turned against the camera: the rotation C for which log ΔR_cam = C log ΔR_imu over all stretches (Kabsch), the gyroscope's bias
    found with it. None where the camera turned about one axis only, or where the two do not turn alike.
    """
    poses = fragment.sfm_from_ref
    by_camera = _log(np.array([poses[a.id].rotation.T @ poses[b.id].rotation for a, b in pairs]))
    spans = [(a.stamp_ns, b.stamp_ns) for a, b in pairs]
    seconds = np.array([(end - start) * 1e-9 for start, end in spans])[:, None]
    times, gyro, accel = _resampled(track, spans)
    bias, more = np.zeros(3), np.zeros(3)
    for step in range(150):
        if step % 50 == 0:  # a bias turns a stretch by itself times its seconds: integrating again is needed now and then only
            bias, more = bias + more, np.zeros(3)
            by_imu = _log(_integrate(times, gyro - bias, accel)[0])
        turned = by_imu - more * seconds
        u, spread, vt = np.linalg.svd(by_camera.T @ turned)
        turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
        more = more + ((turned - by_camera @ turn) * seconds).sum(axis=0) / (seconds**2).sum()
    error = float(np.median(np.linalg.norm(turned - by_camera @ turn, axis=1)))
    if spread[1] < config.min_second_turn**2 * spread[0] or error > config.max_mount_error_rad:
        return None
    return Pose3(np.asarray(turn))


def _equations(fragment: SfmFragment, found: _Stretches, track: ImuTrack) -> tuple[FloatArray, FloatArray]:
    """The linear system of the module's head: columns (T, 3, 7) of s, g, bias and right side (T, 3), rows in units of velocity times Δt."""
    one = np.flatnonzero(found.last[:-1] == found.first[1:])
    two = one + 1
    centres = {k: pose.translation for k, pose in fragment.sfm_from_ref.items()}
    assert track.cam_from_imu is not None
    levers = {k: pose.rotation @ track.cam_from_imu.translation for k, pose in fragment.sfm_from_ref.items()}

    def step(of: dict[int, FloatArray]) -> FloatArray:
        """(T, 3) second difference of a position over the triplets."""
        a, b, c = (np.array([of[int(k)] for k in ids]).reshape(-1, 3) for ids in (found.first[one], found.last[one], found.last[two]))
        return np.asarray((c - b) / found.seconds[two, None] - (b - a) / found.seconds[one, None])

    turn_one, turn_two = found.fragment_from_imu[one], found.fragment_from_imu[two]
    dt_one, dt_two = found.seconds[one], found.seconds[two]
    measured = np.einsum("tij,tj->ti", turn_two, found.position[two]) / dt_two[:, None]
    measured += np.einsum("tij,tj->ti", turn_one, found.velocity[one] - found.position[one] / dt_one[:, None])
    by_bias = turn_two @ found.position_by_bias[two] / dt_two[:, None, None]
    by_bias = by_bias + turn_one @ (found.velocity_by_bias[one] - found.position_by_bias[one] / dt_one[:, None, None])
    columns = np.concatenate([step(centres)[:, :, None], -0.5 * (dt_one + dt_two)[:, None, None] * np.eye(3), -by_bias], axis=2)
    scale = 2.0 * dt_one * dt_two / (dt_one + dt_two)  # a position's noise weighs 1/Δt
    return columns * scale[:, None, None], (measured - step(levers)) * scale[:, None]


def _robust_weights(columns: FloatArray, right: FloatArray, config: InertialConfig) -> FloatArray:
    """(T,) Huber weights of the triplets, the noise's variance included, after a few rounds of reweighted least squares."""
    weight = np.ones(len(columns))
    for _ in range(8):
        answer = _solve(columns, right, weight, config)
        residual = np.linalg.norm(columns @ answer - right, axis=1)
        noise = max(float(np.median(residual)) / 1.54, 1e-6)  # of one axis: the median of a 3-D normal's length is 1.54 σ
        weight = np.minimum(1.0, 2.5 * noise / np.maximum(residual, 1e-12)) / noise**2
    return np.asarray(weight)


def _priors(gravity: FloatArray, config: InertialConfig) -> tuple[FloatArray, FloatArray]:
    """Rows (4, 7) and right side (4,): gravity's size, linearised, and a small bias."""
    rows, right = np.zeros((4, 7)), np.zeros(4)
    size = float(np.linalg.norm(gravity))
    if size > 1e-9:
        rows[0, 1:4], right[0] = gravity / size / 0.02, GRAVITY_MPS2 / 0.02
    rows[1:, 4:] = np.eye(3) / config.accelerometer_bias_sigma
    return rows, right


def _solve(columns: FloatArray, right: FloatArray, weight: FloatArray, config: InertialConfig) -> FloatArray:
    """(7,) scale, gravity and bias; twice, for gravity's size is linearised."""
    root = np.sqrt(weight)
    data, target = (columns * root[:, None, None]).reshape(-1, 7), (right * root[:, None]).reshape(-1)
    answer = np.zeros(7)
    for _ in range(3):
        rows, wanted = _priors(answer[1:4], config)
        answer = np.linalg.lstsq(np.concatenate([data, rows]), np.concatenate([target, wanted]), rcond=None)[0]
    return np.asarray(answer)


def _both_ways(columns: FloatArray, right: FloatArray, weight: FloatArray, config: InertialConfig) -> tuple[float, float] | None:
    """The scale by regressing the IMU on the cameras, and by regressing the cameras on the IMU; None where they do not go together."""
    root = np.sqrt(weight)
    data, target = (columns * root[:, None, None]).reshape(-1, 7), (right * root[:, None]).reshape(-1)
    rows, wanted = _priors(_solve(columns, right, weight, config)[1:4], config)
    data, target = np.concatenate([data, rows]), np.concatenate([target, wanted])
    others = data[:, 1:]
    cameras = data[:, 0] - others @ np.linalg.lstsq(others, data[:, 0], rcond=None)[0]
    inertial = target - others @ np.linalg.lstsq(others, target, rcond=None)[0]
    together = float(cameras @ inertial)
    if together <= 0.0:
        return None
    return together / float(cameras @ cameras), float(inertial @ inertial) / together


def _preintegrate(
    fragment: SfmFragment, pairs: Sequence[tuple[Keyframe, Keyframe]], track: ImuTrack, cam_from_imu: Pose3
) -> _Stretches:
    """The stretches between pairs of keyframes, with the gyroscope's constant bias taken out by the keyframes' rotations."""
    orientation = {k.id: (fragment.sfm_from_ref[k.id] @ cam_from_imu).rotation for k in itertools.chain(*pairs)}
    turned = np.array([orientation[a.id].T @ orientation[b.id] for a, b in pairs])
    spans = [(a.stamp_ns, b.stamp_ns) for a, b in pairs]
    seconds = np.array([(end - start) * 1e-9 for start, end in spans])
    bias = np.zeros(3)
    for _ in range(3):
        times, gyro, accel = _resampled(track, spans)
        rotation, velocity, position, velocity_by_bias, position_by_bias = _integrate(times, gyro - bias, accel)
        bias = bias - np.median(_log(np.swapaxes(rotation, 1, 2) @ turned) / seconds[:, None], axis=0)
    first, last = (np.array([pair[end].id for pair in pairs]) for end in (0, 1))
    start = np.array([orientation[int(k)] for k in first])
    return _Stretches(first, last, seconds, rotation, velocity, position, velocity_by_bias, position_by_bias, start)


def _spaced(keyframes: Sequence[Keyframe], config: InertialConfig) -> list[Keyframe]:
    """Keyframes at least `min_gap_s` apart."""
    kept: list[Keyframe] = []
    for keyframe in keyframes:
        if not kept or keyframe.stamp_ns - kept[-1].stamp_ns >= config.min_gap_s * 1e9:
            kept.append(keyframe)
    return kept


def _is_covered(track: ImuTrack, start_ns: int, end_ns: int, config: InertialConfig) -> bool:
    if not 0 < end_ns - start_ns <= config.max_gap_s * 1e9 or len(track.stamps_ns) < 2:
        return False
    low, high = np.searchsorted(track.stamps_ns, [start_ns, end_ns], side="right")
    if low == 0 or high == len(track.stamps_ns):
        return False
    return bool(np.diff(track.stamps_ns[low - 1 : high + 1]).max() <= config.max_sample_gap_s * 1e9)


def _resampled(track: ImuTrack, spans: Sequence[tuple[int, int]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Samples inside each span and at its ends, padded with its end: times (S, M) [s], gyro and accel (S, M, 3)."""
    start_ns = int(track.stamps_ns[0])
    inner = [track.stamps_ns[(track.stamps_ns > a) & (track.stamps_ns < b)] for a, b in spans]
    times = np.empty((len(spans), max(len(i) for i in inner) + 2))
    for row, ((a, b), between) in enumerate(zip(spans, inner)):
        times[row] = (b - start_ns) * 1e-9
        times[row, 0] = (a - start_ns) * 1e-9
        times[row, 1 : 1 + len(between)] = (between - start_ns) * 1e-9
    known = (track.stamps_ns - start_ns) * 1e-9
    gyro, accel = (np.stack([np.interp(times, known, c) for c in values.T], axis=2) for values in (track.gyro, track.accel))
    return times, gyro, accel


def _integrate(times: FloatArray, gyro: FloatArray, accel: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Rotation, velocity, position and the latter two's derivatives by the accelerometer's bias over each row, by the midpoint rule."""
    count = len(times)
    rotation = np.tile(np.eye(3), (count, 1, 1))
    velocity, position = np.zeros((count, 3)), np.zeros((count, 3))
    velocity_by_bias, position_by_bias = np.zeros((count, 3, 3)), np.zeros((count, 3, 3))
    for k in range(times.shape[1] - 1):
        dt = times[:, k + 1] - times[:, k]
        half = _exp(0.25 * (gyro[:, k] + gyro[:, k + 1]) * dt[:, None])
        middle = rotation @ half
        force = np.einsum("sij,sj->si", middle, 0.5 * (accel[:, k] + accel[:, k + 1]))
        position += velocity * dt[:, None] + 0.5 * force * dt[:, None] ** 2
        velocity += force * dt[:, None]
        position_by_bias += velocity_by_bias * dt[:, None, None] - 0.5 * middle * dt[:, None, None] ** 2
        velocity_by_bias -= middle * dt[:, None, None]
        rotation = middle @ half
    return rotation, velocity, position, velocity_by_bias, position_by_bias


def _exp(turns: FloatArray) -> FloatArray:
    """Rotation matrices (S, 3, 3) of rotation vectors (S, 3) [rad]."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(turns).as_matrix())


def _log(rotations: FloatArray) -> FloatArray:
    """Rotation vectors (S, 3) [rad] of rotation matrices (S, 3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotations).as_rotvec())
