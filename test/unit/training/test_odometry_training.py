"""From a drive to a head that runs without torch: rides are looked at once, motion is learned from what is seen, and test worlds never are."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, ImuSample, Scene, WheelTwist, nanoseconds
from astra.datasets import DriveWriter
from astra.datasets.odometry_noise import SensorNoise, disturbed
from astra.datasets.odometry_rides import Ride, load_ride, take_in
from astra.datasets.origin import DriveOrigin
from astra.evaluation.odometry_vision import composed
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.local_model.odometry.config import OdometryHeadConfig
from astra.local_model.odometry.head import OdometryHead
from astra.local_model.odometry.points import PointMotion, PointOdometry
from astra.local_model.odometry.runtime import DESCRIPTION_FILE, LearnedOdometry, eyes_key
from astra.training.export_odometry import export_odometry, load_head
from astra.training.loop import LoopConfig, with_weights
from astra.training.odometry import Steps, TrainOdometryConfig, dropped, run, scores, stage_losses

EYES = Path(__file__).resolve().parents[3] / "models" / "eyes"
CAMERA = CameraModel.from_fov(160, 112, math.pi / 2)
RIG = CameraRig((RigCamera("front", CAMERA, Pose3(translation=np.array([0.0, 0.0, 0.3])) @ BODY_FROM_OPTICAL),))
TINY = OdometryHeadConfig(steps=3, cells=8, projected=4, width=16, depth=1, heads=2, memory=8)
SPEED, TURN = 0.3, 0.2


def drive(path: Path, seed: int = 3, seconds: float = 2.0) -> Path:
    """A circle, seen by one camera five times a second."""
    origin = DriveOrigin("", "home", seed, "train" if seed < 10_000 else "validate" if seed < 20_000 else "test", "astra", 0.2, 1, "tour")
    with DriveWriter(path, RIG, truth=True, origin=origin) as writer:
        pose = Pose2()
        for tick in range(round(seconds * 50)):
            now = tick * 20_000_000
            for part in range(2):
                writer.write_imu(ImuSample(now + part * 10_000_000, np.array([0.0, 0.0, TURN]), np.array([0.0, 0.0, 9.81])))
            writer.write_wheel(WheelTwist(now, SPEED, TURN))
            writer.write_truth(Scene(now, Pose3.from_pose2(pose).matrix(), SPEED, TURN, in_contact=False))
            if tick % 10 == 0:
                writer.write_frame(CameraFrame(now, "front", np.random.default_rng(tick).integers(0, 255, (112, 160, 3), dtype=np.uint8)))
            pose = pose @ Pose2.exp(SPEED * 0.02, 0.0, TURN * 0.02)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of drives and one of a training."""
    root = tmp_path_factory.mktemp("odometry")
    config = TrainOdometryConfig(certain_steps=1, head=TINY, loop=LoopConfig(steps=2, batch=2, warmup=1, threads=1))
    run(config, [drive(root / "train")], [drive(root / "held", 10_003)], EYES, root / "out")
    return root, root / "out"


def test_a_ride_holds_what_was_seen_and_how_the_robot_moved(trained: tuple[Path, Path]) -> None:
    root, out = trained
    head = load_head(out / "weights.safetensors")[0].config
    folder = take_in(root / "train", EYES, out / "rides", "train", head)
    ride = load_ride(folder, head)
    assert ride.stamps_ns.tolist() == [k * 200_000_000 for k in range(10)] and ride.seen.all()
    assert ride.features.shape == (10, 96, 8, 8) and np.abs(ride.features).max() > 0
    expected = Pose2.exp(SPEED * 0.2, 0.0, TURN * 0.2)
    for index in (1, 9):
        np.testing.assert_allclose(ride.motion(index), (expected.x, expected.y, expected.yaw), atol=1e-4)
        np.testing.assert_allclose(ride.motion(index, spatial=True), (expected.x, expected.y, 0, 0, 0, expected.yaw), atol=1e-4)
    assert ride.wheel[5, -10:, 2].tolist() == pytest.approx([SPEED] * 10) and not ride.wheel[5, :-10].any()
    assert ride.imu[5, -20:, 4].tolist() == pytest.approx([TURN] * 20) and not ride.imu[0].any()


def test_a_drive_is_looked_at_once(trained: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = trained
    head = load_head(out / "weights.safetensors")[0].config
    folder = take_in(root / "train", EYES, out / "rides", "train", head)
    assert take_in(Path("gone") / "train", EYES, out / "rides", "train", head) == folder
    other = take_in(drive(tmp_path / "train", seconds=0.4), EYES, tmp_path / "rides", "train", head)
    assert other.parent.name == folder.parent.name and other.name != folder.name  # of another folder, by the same name
    for name in ("look.onnx", "settle.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    assert eyes_key(tmp_path) != eyes_key(EYES)


@pytest.mark.parametrize("seed", [10_001, 20_001])
def test_other_worlds_are_not_learned_from(seed: int, tmp_path: Path) -> None:
    path = drive(tmp_path / "drive", seed, seconds=0.1)
    with pytest.raises(BadInputError, match="not of the train split"):
        run(TrainOdometryConfig(head=TINY), [path], [], EYES, tmp_path / "out")


# --- learning -----------------------------------------------------------------------------------------------------------------------------


def seen_ride(seed: int, config: OdometryHeadConfig, frames: int = 80) -> Ride:
    """A robot that goes back and forth along x over a patterned floor, by up to a cell a step; its wheels are off by a lot."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((config.feature_channels, 64, 64)))
    rows, columns = np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None]
    spectrum *= np.exp(-60.0 * (rows**2 + columns**2))
    way = np.concatenate([[0.0], np.cumsum(rng.uniform(-0.2, 0.2, frames - 1))])
    shifted = np.stack([np.fft.irfft2(spectrum * np.exp(2j * np.pi * columns * x / 0.2), (64, 64)) for x in way])
    features = shifted[..., : config.cells, : config.cells]
    truth = np.zeros((frames, 6))
    truth[:, 0] = way
    imu, wheel = np.zeros((frames, config.imu_rows, 8), np.float32), np.zeros((frames, config.wheel_rows, 4), np.float32)
    wheel[1:, -1, 0], wheel[1:, -1, 2] = 1.0, (np.diff(way) + 0.2 * rng.standard_normal(frames - 1)) / 0.2
    stamps, points = np.arange(frames) * nanoseconds(0.2), np.zeros((frames, 14), np.float32)
    return Ride(f"made-up{seed}", stamps, (features / features.std()).astype(np.float16), points, np.ones(frames, bool), imu, wheel, truth)


SEER = OdometryHeadConfig(steps=1, feature_channels=6, cells=16, projected=6, width=32, depth=1, heads=2, memory=8, imu_rows=2, wheel_rows=2, points=False)


def learned(config: TrainOdometryConfig, steps: int) -> dict[str, float]:
    """The scores on rides that were not learned from."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, held = (Steps([seen_ride(first + k, config.head) for k in range(count)], config.head) for first, count in ((0, 12), (100, 2)))
    model, rng, rate = OdometryHead(config.head), np.random.default_rng(0), 1.2e-3
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 30, (steps + 10 - step) / 100)
        losses = stage_losses(model, data.batch(rng.integers(0, len(data.ends), 16)), step, rng, config)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return scores(model.eval(), held, np.arange(len(held.ends)))


def test_motion_is_learned_from_what_is_seen() -> None:
    found = learned(TrainOdometryConfig(certain_steps=1000, drop_sensor=0.2, drop_past=0.0, head=SEER), steps=120)
    assert found["vision/mm"] < 0.4 * found["still/mm"], found
    assert found["all/mm"] < 0.45 * found["still/mm"], found
    assert "imu/mm" not in found  # there was none


def test_errors_are_as_large_as_told() -> None:
    blind = replace(SEER, feature_channels=2, cells=8, projected=2)
    found = learned(TrainOdometryConfig(certain_steps=40, drop_sensor=0.4, drop_past=0.0, head=blind), steps=200)
    assert found["wheel/mm"] > 0.7 * found["still/mm"], found  # with such wheels nobody can know better
    assert 0.6 < 3.0 * found["wheel/nees"] < 1.6, found  # of three freedoms only x is ever wrong here


def test_one_sensor_always_stays() -> None:
    config = replace(TrainOdometryConfig(), drop_sensor=0.9, drop_step=0.5, drop_past=0.9)
    there = torch.ones(200, 4, 3)
    there[:, :, 0] = 0.0
    kept = dropped(there, np.random.default_rng(0), config)
    assert (kept <= there).all() and (kept[:, -1].sum(1) >= 1).all()
    assert kept[:, 0].mean() < 0.2
    assert not dropped(torch.zeros(5, 4, 3), np.random.default_rng(0), config).any()


def test_left_and_right_may_be_exchanged() -> None:
    ride = seen_ride(0, SEER)
    truth = ride.truth.copy()
    truth[:, 1], truth[:, 5] = np.linspace(0.0, 1.0, len(truth)), np.linspace(0.0, 0.5, len(truth))
    data = Steps([replace(ride, truth=truth)], SEER)
    plain, mirrored = (data.batch(np.arange(4), np.full(4, flip)) for flip in (False, True))
    np.testing.assert_allclose(mirrored.truth * torch.tensor([1.0, -1.0, -1.0]), plain.truth)
    np.testing.assert_allclose(mirrored.vision.flip(-2), plain.vision)
    np.testing.assert_allclose(mirrored.wheel[..., 3], -plain.wheel[..., 3])


def test_what_compares_frames_may_be_taken_over(trained: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = trained
    config = TrainOdometryConfig(certain_steps=1, variants=1, head=replace(TINY, steps=2), loop=LoopConfig(steps=2, batch=2, warmup=1, threads=1))
    run(config, [root / "train"], [], EYES, tmp_path / "out", out / "rides", out / "weights.safetensors")
    before, after = (load_head(folder / "weights.safetensors")[0].state_dict() for folder in (out, tmp_path / "out"))
    assert torch.equal(before["steps.flow.0.weight"], after["steps.flow.0.weight"])
    assert not torch.equal(before["steps.lasting.weight"], after["steps.lasting.weight"])


# --- what befalls sensors -----------------------------------------------------------------------------------------------------------------


def test_the_noise_is_the_seed_s_alone() -> None:
    imu = [ImuSample(t * 10_000_000, np.zeros(3), np.array([0.0, 0.0, 9.81])) for t in range(2000)]
    wheel = [WheelTwist(t * 20_000_000, SPEED, TURN) for t in range(1000)]
    still = np.arange(1000) < 100
    drawn = [disturbed(wheel, imu, still, (seed,), SensorNoise(lifted_share=1.0, stuck_share=1.0)) for seed in (1, 1, 2)]
    speeds = [np.array([w.linear_mps for w in twists]) for twists, _ in drawn]
    assert np.array_equal(speeds[0], speeds[1]) and not np.array_equal(speeds[0], speeds[2])
    assert (speeds[0] == 0.0).any() and not np.array_equal(speeds[0][still], np.full(100, SPEED))
    calm, felt = disturbed(wheel, imu, still, (1,), SensorNoise(0.0, lifted_share=0.0, stuck_share=0.0, bumps_per_min=(0.0, 0.0)))
    assert all(w.linear_mps == SPEED for w in calm) and abs(felt[-1].linear_acceleration[0]) < 0.1


# --- on the robot -------------------------------------------------------------------------------------------------------------------------


def follow(out: Path) -> list[PointMotion | None]:
    """What the points of the ride say, step by step, as `LearnedOdometry` is given it."""
    folder = next((out / "rides").glob("*/train-*"))
    with np.load(folder / "readings.npz") as read:
        follower = PointOdometry(read["rays"], read["centres"])
        pictures, depths = np.load(folder / "pictures.npy"), np.load(folder / "depths.npy").astype(np.float32)
        return [follower.push(grey, depth, works) for grey, depth, works in zip(pictures, depths, read["seen"])]


@pytest.fixture(scope="module")
def model(trained: tuple[Path, Path]) -> Path:
    """An exported head."""
    _, out = trained
    differences = export_odometry(out / "weights.safetensors", out / "model")
    assert differences.keys() == {"step", "motion"}
    return out / "model"


def test_the_robot_feels_what_torch_feels(trained: tuple[Path, Path], model: Path) -> None:
    root, out = trained
    torch_model, recipe = load_head(out / "weights.safetensors")
    config = torch_model.config
    ride = load_ride(take_in(root / "train", EYES, out / "rides", "train", config), config)
    assert recipe["eyes"] == LearnedOdometry(model).eyes == eyes_key(EYES)
    imu = [ImuSample(t * 10_000_000, np.array([0.0, 0.0, TURN]), np.array([0.0, 0.0, 9.81])) for t in range(200)]
    wheel = [WheelTwist(t * 20_000_000, SPEED, TURN) for t in range(100)]
    for sensors in (("vision",), ("vision", "imu", "wheel")):
        learned = LearnedOdometry(model, sensors)
        told = [
            learned.push(int(stamp), np.asarray(f, np.float32), imu, wheel, motion and motion.columns())
            for stamp, f, motion in zip(ride.stamps_ns, ride.features, follow(out))
        ]
        assert told[0] is None
        data = Steps([ride], config)
        batch = data.batch(np.arange(len(data.ends)))
        there = batch.there * torch.tensor([name in sensors for name in ("vision", "imu", "wheel")])
        with torch.no_grad(), with_weights(torch_model, dict(torch_model.state_dict())):
            motion, factor = torch_model(batch.vision, batch.points, batch.imu, batch.wheel, batch.lasts_s, there)
        for k, step in enumerate(told[1:]):
            assert step is not None and (step.from_ns, step.to_ns) == (ride.stamps_ns[k], ride.stamps_ns[k + 1]) and step.sensors == sensors
            np.testing.assert_allclose(step.values, motion[k].numpy(), atol=1e-5)
            np.testing.assert_allclose(step.covariance, (factor[k] @ factor[k].T).numpy(), atol=1e-5)


def test_a_spatial_head_is_trained_exported_and_read_in_the_plane(trained: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = trained
    config = TrainOdometryConfig(certain_steps=1, variants=1, head=replace(TINY, spatial=True), loop=LoopConfig(steps=2, batch=2, warmup=1, threads=1))
    weights = run(config, [root / "train"], [root / "held"], EYES, tmp_path / "out", out / "rides")
    export_odometry(weights, tmp_path / "model")
    learned, features = LearnedOdometry(tmp_path / "model"), np.zeros((96, 12, 12), np.float32)
    points = PointMotion(np.array([0.06, 0.01, 0.04]), 1e-6 * np.eye(3), np.array([0.06, 0.01, 0.04]), 1e-3, 100, 50, 0.5).columns()
    assert learned.push(0, features, (), ()) is None
    step = learned.push(nanoseconds(0.2), features, (), (), points)
    assert step is not None and step.values.shape == (6,) and step.covariance.shape == (6, 6)
    assert step.planar.tolist() == step.values[[0, 1, 5]].tolist()
    np.testing.assert_array_equal(step.planar_covariance, step.covariance[np.ix_((0, 1, 5), (0, 1, 5))])
    assert np.linalg.eigvalsh(step.planar_covariance)[0] > 0.0
    end = composed([step]).poses[-1]
    np.testing.assert_allclose(end, step.planar)


def test_gaps_and_blindness_begin_anew(model: Path) -> None:
    learned = LearnedOdometry(model)
    features = np.zeros((96, 12, 12), np.float32)
    pushed = [learned.push(nanoseconds(t), f, (), ()) for t, f in ((0.0, features), (0.2, features), (0.4, None), (0.6, features), (0.8, features))]
    assert [p is not None for p in pushed] == [False, True, False, False, True]
    assert learned.push(nanoseconds(0.8), features, (), ()) is None  # the same stamp
    assert learned.push(nanoseconds(0.7), features, (), ()) is None
    assert learned.push(nanoseconds(5.0), features, (), ()) is None
    step = learned.push(nanoseconds(5.2), features, (), ())
    assert step is not None and np.isfinite(step.values).all() and np.linalg.eigvalsh(step.covariance)[0] > 0
    with pytest.raises(BadInputError, match="features of shape"):
        learned.push(nanoseconds(5.4), np.zeros((3, 12, 12), np.float32), (), ())


def test_what_is_not_there_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="holds no exported odometry"):
        LearnedOdometry(tmp_path)
    with pytest.raises(BadInputError, match="choose from vision"):
        LearnedOdometry(model, ("sonar",))
    told = json.loads((model / DESCRIPTION_FILE).read_text()) | {"format_version": 99}
    (tmp_path / DESCRIPTION_FILE).write_text(json.dumps(told))
    with pytest.raises(BadInputError, match="format 99"):
        LearnedOdometry(tmp_path)


def test_torch_is_not_needed() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport astra.local_model.odometry.runtime"
    subprocess.run([sys.executable, "-c", code], check=True)
