"""Packed samples: what a learner reads is what the drive holds, now and ahead."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from astra.cli.main import main
from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, ImuSample, LaserScan, Scene, WheelTwist
from astra.datasets import Drive, DriveWriter
from astra.datasets.local_truth import FREE, MOVER, OUTSIDE, STATIC, LocalTruth, Window
from astra.datasets.motion import in_ego_frame, motion_of
from astra.datasets.origin import DriveOrigin
from astra.datasets.packing import PackConfig, pack_drive
from astra.datasets.samples import SampleSet, require_training
from astra.datasets.visibility import VisibleCells
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.sim.world import WorldTruth, build_office, load_world
from astra.sim.worlds.plan import split_from_seed

MS = 1_000_000
Recorder = Callable[..., Path]
CONFIG = PackConfig(rate_hz=5.0, window=Window(4.0, 0.1))
RIG = CameraRig((RigCamera("front", CameraModel.from_fov(32, 24, math.radians(90)), Pose3(translation=np.array([0.1, 0.0, 0.9])) @ BODY_FROM_OPTICAL),))


def floor(size_m: float = 10.0) -> WorldTruth:
    """An empty hall around the origin with a wall along x = 2 and nothing else."""
    cells = round(size_m / 0.05)
    free = np.ones((cells, cells), bool)
    free[:, round((2.0 + size_m / 2) / 0.05) : round((2.1 + size_m / 2) / 0.05)] = False
    return WorldTruth((), (), np.array([(0.0, 0.0), (1.0, 0.0)]), Pose2(), free, 0.05, (-size_m / 2, -size_m / 2))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's office."""
    out = tmp_path_factory.mktemp("samples") / "office"
    build_office(out, 3)
    return out


@pytest.fixture
def circling(world: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a drive of 8 s on a circle in that world, at 0.4 m/s and 0.5 rad/s, with somebody crossing."""

    def record(name: str = "circle", seed: int = 3, truth: bool = True) -> Path:
        origin = DriveOrigin(str(world) if truth else "", "office", seed, split_from_seed(seed), "diffdrive", 0.22, 1, "expert")
        with DriveWriter(tmp_path / name, RIG, truth=truth, lidar=Pose3(translation=np.array([0.0, 0.0, 0.2])), origin=origin) as writer:
            writer.write_goal(0, Pose2(-4.0, 1.0, 0.5))
            writer.write_disturbed(6_500 * MS, True)
            writer.write_disturbed(6_900 * MS, False)
            for tick in range(801):
                now, t = tick * 10 * MS, tick * 0.01
                writer.write_imu(ImuSample(now, np.array([0.0, 0.0, 0.5]), np.array([0.0, 0.0, 9.81])))
                if tick % 2 == 0:
                    writer.write_wheel(WheelTwist(now, 0.4, 0.5))
                    writer.write_truth(Scene(now, Pose3.from_pose2(where(t)).matrix(), 0.4, 0.5, in_contact=t >= 2.0))
                if tick % 10 == 5 and tick < 300:  # it plans to go straight on, and no more after 3 s
                    writer.write_plan(now, np.array([astuple(where(t) @ Pose2(0.04 * k, 0.0, 0.0)) for k in range(31)]))
                if tick % 10 == 0:
                    writer.write_movers(now, np.array([(-5.0 + 0.5 * t, 0.0, 0.3)]))
                    writer.write_scan(LaserScan(now, "lidar", np.full(4, 1.0 + tick, np.float32), -1.0, 0.5, 0.1, 1e6))
                    writer.write_frame(CameraFrame(now, "front", np.full((24, 32, 3), tick % 200, np.uint8), np.full((24, 32), 1.5, np.float32)))
        return tmp_path / name

    return record


def where(t_s: float) -> Pose2:
    """The pose on the circle."""
    return Pose2(-4.0, 0.0, 0.3) @ Pose2.exp(0.4 * t_s, 0.0, 0.5 * t_s)


def test_a_sample_holds_what_the_drive_holds(circling: Callable[..., Path], tmp_path: Path) -> None:
    assert pack_drive(Drive(circling()), tmp_path / "set", CONFIG).samples == 21
    samples = SampleSet(tmp_path / "set")
    assert len(samples) == 21
    for i in (0, 7, 20):
        sample, t = samples[i], 1.0 + 0.2 * i
        tick = round(t * 100)
        assert sample.stamp_ns == tick * 10 * MS
        assert abs(int(sample.image[0, 5, 5, 0]) - tick % 200) <= 2
        assert sample.depth is not None
        assert sample.depth.dtype == np.float16
        np.testing.assert_allclose(sample.depth, 1.5)
        np.testing.assert_allclose(sample.pose, [where(t).x, where(t).y, 0.3 + 0.5 * t], atol=1e-9)
        np.testing.assert_allclose(sample.velocity, [0.4, 0.5], rtol=1e-6)
        assert sample.in_contact == (t >= 2.0)
        assert sample.imu.shape == (100, 7)
        np.testing.assert_allclose(sample.imu[:, 0], np.arange(-0.99, 0.001, 0.01), atol=1e-9)
        assert sample.wheel.shape == (50, 3)
        assert sample.scan is not None
        assert sample.scan[0] == 1.0 + tick
        for k in (0, 9, 29):
            ahead = Pose2.exp(0.4 * (k + 1) / 10, 0.0, 0.5 * (k + 1) / 10)
            np.testing.assert_allclose(sample.future[k], [ahead.x, ahead.y, ahead.yaw], atol=1e-4)
        assert sample.disturbed == (t >= 3.5)  # at some time in the three seconds ahead
        assert (sample.plan is not None) == (t < 3.0)
        if sample.plan is not None:
            planned = where(t).inverse() @ where(t - 0.05) @ Pose2(0.04 * 30.5, 0.0, 0.0)
            np.testing.assert_allclose(sample.plan[29], [planned.x, planned.y, planned.yaw], atol=1e-5)
        goal = where(t).inverse() @ Pose2(-4.0, 1.0, 0.5)
        np.testing.assert_allclose(sample.goal, [goal.x, goal.y, goal.yaw], atol=1e-6)
    assert samples[0].shard.cameras == ("front",)
    np.testing.assert_allclose(samples[0].shard.base_from_cam[0], RIG["front"].base_from_cam.matrix())


def test_the_occupancy_ahead_moves_with_the_movers_and_stays_in_todays_frame(circling: Callable[..., Path], tmp_path: Path, world: Path) -> None:
    pack_drive(Drive(circling()), tmp_path / "set", CONFIG)
    truth = load_world(world).truth
    assert truth is not None
    sample = SampleSet(tmp_path / "set")[0]
    assert sample.occupancy is not None
    assert sample.occupancy.shape == (7, 40, 40)
    static = LocalTruth(truth, CONFIG.window).static(where(1.0))
    rows, columns = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    for k, grid in enumerate(sample.occupancy):
        somebody = where(1.0).inverse().apply(np.array([-5.0 + 0.5 * (1.0 + 0.5 * k), 0.0]))
        near = np.hypot((columns + 0.5) * 0.1 - 2.0 - somebody[0], (rows + 0.5) * 0.1 - 2.0 - somebody[1]) <= 0.3
        np.testing.assert_array_equal(grid == MOVER, near)
        np.testing.assert_array_equal(grid[~near], static[~near])


def test_packing_again_keeps_what_is_done_and_refuses_other_settings(circling: Callable[..., Path], tmp_path: Path) -> None:
    drive = Drive(circling())
    first = pack_drive(drive, tmp_path / "set", CONFIG)
    before = (first.folder / "image.npy").stat().st_mtime_ns
    again = pack_drive(Drive(circling("other")), tmp_path / "set", CONFIG)
    assert again.folder != first.folder
    kept = pack_drive(drive, tmp_path / "set", CONFIG)
    assert (kept.kept, kept.folder, kept.samples) == (True, first.folder, first.samples)
    assert (first.folder / "image.npy").stat().st_mtime_ns == before
    with pytest.raises(BadInputError, match="other settings"):
        pack_drive(drive, tmp_path / "set", replace(CONFIG, rate_hz=1.0))
    assert len(SampleSet(tmp_path / "set")) == 42
    assert SampleSet(tmp_path / "set").before(25, 8) == range(21, 25)  # not beyond the drive's first


def test_what_was_interrupted_leaves_nothing_that_counts(circling: Callable[..., Path], tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    drive = Drive(circling())
    with pytest.raises(KeyboardInterrupt):
        pack_drive(drive, tmp_path / "set", CONFIG, tick=interrupt)
    with pytest.raises(BadInputError, match="no sample"):
        SampleSet(tmp_path / "set")
    assert pack_drive(drive, tmp_path / "set", CONFIG).samples == 21


@pytest.mark.parametrize(("seed", "split"), [(9_999, "train"), (10_000, "validate"), (20_000, "test")])
def test_training_gets_training_worlds_only(world: Path, circling: Callable[..., Path], tmp_path: Path, seed: int, split: str) -> None:
    text = (world / "truth.yaml").read_text()
    (tmp_path / "worlds" / "office").mkdir(parents=True)
    for name in ("scene.xml", "occupancy.png"):
        (tmp_path / "worlds" / "office" / name).write_bytes((world / name).read_bytes())
    (tmp_path / "worlds" / "office" / "truth.yaml").write_text(text.replace("seed: 3", f"seed: {seed}"))
    pack_drive(Drive(circling(seed=seed)), tmp_path / "set", CONFIG, worlds=tmp_path / "worlds")
    sample = SampleSet(tmp_path / "set", splits=(split,))[0]
    assert (sample.shard.split, sample.shard.world_seed) == (split, seed)
    if split == "train":
        require_training(sample.shard.split)
        return
    with pytest.raises(BadInputError, match="no sample of the splits train"):
        SampleSet(tmp_path / "set")
    with pytest.raises(BadInputError, match=split):
        require_training(sample.shard.split, str(tmp_path))


def test_a_world_that_moved_away_or_is_another_is_named(circling: Callable[..., Path], world: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="seed 4, but .*office is another"):
        pack_drive(Drive(circling(seed=4)), tmp_path / "set", CONFIG)
    with pytest.raises(BadInputError, match=f"{world} is not there"):
        pack_drive(Drive(circling("b")), tmp_path / "set", CONFIG, worlds=tmp_path)


def test_a_real_drive_has_odometry_for_poses_and_no_occupancy(circling: Callable[..., Path], tmp_path: Path) -> None:
    pack_drive(Drive(circling(truth=False)), tmp_path / "set", CONFIG)
    sample = SampleSet(tmp_path / "set")[5]
    assert sample.shard.pose_source == "odometry"
    assert sample.occupancy is None
    np.testing.assert_allclose(sample.future[29], [0.8 * math.sin(1.5), 0.8 * (1 - math.cos(1.5)), 1.5], atol=0.03)


def test_nobody_packs_what_has_no_poses(recorded: Recorder, tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "blind", RIG) as writer:
        writer.write_frame(CameraFrame(0, "front", np.zeros((24, 32, 3), np.uint8)))
    with pytest.raises(BadInputError, match="neither truth nor wheel odometry"):
        pack_drive(Drive(tmp_path / "blind"), tmp_path / "set", CONFIG)


def test_only_so_many_drives_are_held_open(circling: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astra.datasets.samples.OPEN_SHARDS", 2)
    folder = pack_drive(Drive(circling()), tmp_path / "set", CONFIG).folder
    for i in range(6):
        shutil.copytree(folder, tmp_path / "set" / f"more{i}")
    samples, files = SampleSet(tmp_path / "set"), Path("/proc/self/fd")
    assert samples[0].tick == 0  # a sample that is kept would keep its drive open
    before = len(list(files.iterdir()))
    assert len({samples[i].shard.folder for i in range(0, len(samples), 21)}) == 7
    assert len(list(files.iterdir())) <= before + 4  # image, depth, occupancy and visible of one drive more


def test_a_damaged_set_is_named(circling: Callable[..., Path], tmp_path: Path) -> None:
    folder = pack_drive(Drive(circling()), tmp_path / "set", CONFIG).folder
    data = (folder / "image.npy").read_bytes()
    (folder / "image.npy").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInputError, match=r"image\.npy is missing or damaged"):
        _ = SampleSet(tmp_path / "set")[0]
    document = json.loads((tmp_path / "set" / "samples.json").read_text())
    (tmp_path / "set" / "samples.json").write_text(json.dumps(document | {"format_version": 99}))
    with pytest.raises(BadInputError, match="format 99"):
        SampleSet(tmp_path / "set")


def test_the_command_packs_and_says_what_it_kept(circling: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["drive", "pack", str(circling()), "--out", str(tmp_path / "set"), "--rate-hz", "1", "--json"]
    for kept in (False, True):
        assert main(arguments) == 0
        (shard,) = json.loads(capsys.readouterr().out)
        assert (shard["samples"], shard["kept"]) == (5, kept)


@pytest.mark.parametrize("yaw", [0.0, 0.7, math.pi / 2, -2.4])
def test_walls_are_seen_from_any_heading(yaw: float) -> None:
    window = Window(4.0, 0.1)
    pose = Pose2(1.0, 0.5, yaw)
    grid = LocalTruth(floor(), window).static(pose)
    x = pose.apply(window.points()[:, :, 0])[..., 0]
    assert (grid[(x > 2.02) & (x < 2.08)] == STATIC).all()
    assert (grid[(x < 1.9) | (x > 2.2)] == FREE).all()


def test_beyond_the_world_nothing_is_known() -> None:
    window = Window(8.0, 0.1)
    grid = LocalTruth(floor(10.0), window).static(Pose2(4.0, 0.0, 0.0))
    assert (grid[:, :48] != OUTSIDE).all()  # x from −4 m to 0.8 m of the robot: inside
    assert (grid[:, 51:] == OUTSIDE).all()


def test_cells_are_visible_up_to_what_the_cameras_meet() -> None:
    window = Window(4.0, 0.1)
    camera = CameraModel.from_fov(64, 48, math.radians(90))
    rig = CameraRig((RigCamera("front", camera, Pose3(translation=np.array([0.0, 0.0, 0.9])) @ BODY_FROM_OPTICAL),))
    visible = VisibleCells(rig, window)
    seen = visible({"front": np.full((48, 64), 1.0, np.float32)}).astype(bool)  # a wall 1 m ahead
    x, y = np.moveaxis(window.points()[:, :, 0], -1, 0)
    assert seen[(x > 0.1) & (x < 1.0) & (np.abs(y) < 0.8 * x)].all()
    assert not seen[(x > 1.1) | (x < -0.1) | (np.abs(y) > x + 0.15)].any()
    assert not visible({"front": np.zeros((48, 64), np.float32)}).any()  # nothing measured, nothing known


def test_poses_in_the_ego_frame_are_those_of_the_group() -> None:
    rng = np.random.default_rng(0)
    here, others = rng.uniform(-3, 3, 3), rng.uniform(-3, 3, (20, 3))
    for other, seen in zip(others, in_ego_frame(here, others)):
        expected = Pose2(*here).inverse() @ Pose2(*other)
        np.testing.assert_allclose(seen, [expected.x, expected.y, expected.yaw], atol=1e-12)


def test_motion_looks_ahead_along_the_way(circling: Callable[..., Path]) -> None:
    motion = motion_of(Drive(circling()))
    pose = motion.along(1_000 * MS, 1.0)
    np.testing.assert_allclose(pose[:2], [where(3.5).x, where(3.5).y], atol=0.01)
    np.testing.assert_allclose(motion.along(1_000 * MS, 99.0), motion.poses[-1])
