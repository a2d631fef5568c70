"""An IMU alone: rest, up, preintegration against closed forms and against a real drone's truth."""

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import FloatArray, ImuSample
from astra.fusion.inertial import GRAVITY_MPS2, ImuSeries, integrate_imu, preintegrate, resting, rotation_of, upright
from astra.geometry import Pose3

REAL = os.environ.get("ASTRA_REAL_DATA")


def series(gyro: FloatArray, accel: FloatArray, rate_hz: float = 200.0) -> ImuSeries:
    return ImuSeries((np.arange(len(gyro)) * 1e9 / rate_hz).astype(np.int64), gyro, accel)


def test_a_constant_push_is_half_a_t_squared() -> None:
    moved = preintegrate(series(np.zeros((401, 3)), np.tile([0.4, 0.0, 0.0], (401, 1))), np.zeros(3), np.zeros(3))
    assert moved.span_s == pytest.approx(2.0)
    assert moved.velocity == pytest.approx([0.8, 0.0, 0.0])
    assert moved.position == pytest.approx([0.8, 0.0, 0.0])
    assert moved.rotation == pytest.approx(np.eye(3))


def test_a_circle_comes_back() -> None:
    """Turning at ω with the centripetal push v·ω to the left, at speed v: after a turn the speed's change is nought."""
    turns = 2.0 * math.pi / 1.6
    count = round(turns * 1000) + 1
    moved = preintegrate(series(np.tile([0.0, 0.0, 1.6], (count, 1)), np.tile([0.0, 0.8, 0.0], (count, 1)), 1000.0), np.zeros(3), np.zeros(3))
    assert moved.velocity == pytest.approx([0.0, 0.0, 0.0], abs=2e-3)
    # p = p₀ + v₀ t + Δp comes back to p₀, so that Δp = -v₀ t with v₀ = 0.8 / 1.6 along x
    assert moved.position == pytest.approx([-0.5 * moved.span_s, 0.0, 0.0], abs=2e-3)


def test_biases_are_taken_out() -> None:
    gyro, accel = np.tile([0.01, -0.02, 0.03], (201, 1)), np.tile([0.1, 0.2, -0.1], (201, 1))
    moved = preintegrate(series(gyro, accel), gyro[0], accel[0])
    assert moved.rotation == pytest.approx(np.eye(3))
    assert moved.position == pytest.approx(np.zeros(3))


@pytest.mark.parametrize("rpy", [(0.0, 0.0, 0.0), (math.pi / 2, 0.0, 0.0), (math.pi, 0.0, 0.0), (0.7, -1.2, 2.0)])
def test_gravity_tells_up_however_the_imu_is_mounted(rpy: tuple[float, float, float]) -> None:
    level_from_imu = Pose3.from_rpy(*rpy).rotation
    accel = np.tile(level_from_imu.T @ [0.0, 0.0, GRAVITY_MPS2], (400, 1))
    found = upright(series(np.zeros((400, 3)), accel))
    assert found @ accel[0] == pytest.approx([0.0, 0.0, GRAVITY_MPS2], abs=1e-6)
    assert found @ found.T == pytest.approx(np.eye(3), abs=1e-9)


def test_rest_is_seen_and_a_steady_turn_is_none() -> None:
    rng = np.random.default_rng(0)
    gyro, accel = 0.004 * rng.standard_normal((1200, 3)), [0.0, 0.0, 9.81] + 0.05 * rng.standard_normal((1200, 3))
    gyro[400:800, 2] += 0.5
    rest = resting(series(gyro, accel))
    assert not rest[:100].any()  # nothing is known before the first window
    assert rest[110:395].all()
    assert not rest[405:895].any()
    assert rest[905:].all()


def test_an_imu_alone_is_good_for_seconds_after_a_rest() -> None:
    t = np.arange(0.0, 6.0, 0.005)
    faster = np.where((t > 2) & (t < 3), 0.5, np.where((t > 4) & (t < 5), -0.5, 0.0)) + 0.1
    turn = np.where((t > 3) & (t < 4), 0.5, 0.0) + 0.02
    noise = np.random.default_rng(0).standard_normal(len(t))
    samples = [ImuSample(round(s * 1e9), np.array([0.0, 0.0, w]), np.array([a + 0.02 * n, 0.0, 9.81])) for s, w, a, n in zip(t, turn, faster, noise)]
    end = integrate_imu(samples).poses[-1]
    truth = np.array([0.25 + math.sin(0.5) + 0.25 * math.cos(0.5), (1 - math.cos(0.5)) + 0.25 * math.sin(0.5), 0.5])
    assert end == pytest.approx(truth, abs=0.05)


def test_an_imu_that_never_rests_is_bad_input() -> None:
    rng = np.random.default_rng(0)
    samples = [ImuSample(i * 5_000_000, rng.standard_normal(3), 3.0 * rng.standard_normal(3)) for i in range(600)]
    with pytest.raises(BadInputError, match="never rests"):
        integrate_imu(samples)


def euroc() -> tuple[ImuSeries, FloatArray, list[Pose3]]:
    """The drone's IMU, and its true times [s since the first sample] and poses."""
    folder = Path(REAL or "") / "euroc_v101"
    with gzip.open(folder / "imu.csv.gz", "rt") as file:
        rows = [line.split(",") for line in file if not line.startswith("#")]
    values = np.array([[float(v) for v in row[1:]] for row in rows])
    imu = ImuSeries(np.array([int(row[0]) for row in rows], dtype=np.int64), values[:, :3], values[:, 3:])
    with gzip.open(folder / "groundtruth.tum.gz", "rt") as file:
        truth = np.array([[float(v) for v in line.split()] for line in file if not line.startswith("#")])
    return imu, truth[:, 0] - float(imu.stamps_ns[0]) * 1e-9, [Pose3.from_quaternion(row[4:], row[1:4]) for row in truth]


@pytest.mark.skipif(not REAL, reason="ASTRA_REAL_DATA is not set: the real drone is not at hand")
def test_a_real_drones_rest_and_preintegration_agree_with_its_truth() -> None:
    """Rest is found where the truth stands; from a rest on, 1–5 s are predicted from the IMU to centimetres and decimetres."""
    imu, times, poses = euroc()
    assert np.isfinite(imu.gyro).all()
    assert np.isfinite(imu.accel).all()
    at = np.array([p.translation for p in poses])
    speed = np.linalg.norm(np.gradient(at, times, axis=0), axis=1)
    rest = resting(imu)
    told = np.interp(imu.times_s, times, speed)
    assert rest.any()
    assert float(np.percentile(told[rest], 95)) < 0.1
    begin = int(np.flatnonzero(rest)[-1]) if rest[0] else int(np.flatnonzero(rest)[0])
    bias = imu.gyro[rest][:2000].mean(axis=0)
    errors: dict[float, list[float]] = {1.0: [], 5.0: []}
    for start in np.arange(imu.times_s[begin] + 1.0, imu.times_s[-1] - 6.0, 5.0):
        for span, found in errors.items():
            i, j = (int(np.argmin(np.abs(times - t))) for t in (start, start + span))
            part = imu.between(*(imu.stamps_ns[0] + round(float(times[k]) * 1e9) for k in (i, j)))
            moved = preintegrate(part, bias, np.zeros(3))
            turned = poses[i].rotation.T @ poses[j].rotation
            found.append(math.acos(min(max((float(np.trace(moved.rotation.T @ turned)) - 1.0) / 2.0, -1.0), 1.0)))
    assert all(len(found) > 10 for found in errors.values())
    assert math.degrees(float(np.median(errors[1.0]))) < 1.0
    assert math.degrees(float(np.median(errors[5.0]))) < 2.0


def test_a_rotation_of_a_vector_is_rodrigues() -> None:
    assert rotation_of(np.array([0.0, 0.0, math.pi / 2])) @ [1.0, 0.0, 0.0] == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
