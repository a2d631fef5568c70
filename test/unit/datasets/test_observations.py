"""A drive as a stream of observations and scenes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, ImuSample, Observation
from astra.datasets import Drive, DriveWriter, TopicMap
from astra.geometry import CameraRig

MS = 1_000_000
Recorder = Callable[..., Path]


def test_every_reading_appears_exactly_once_and_not_before_its_time(recorded: Recorder) -> None:
    drive = Drive(recorded())
    ticks = list(drive.observations())
    assert len(ticks) == 20
    assert {tuple(sorted(f.camera for f in tick.frames)) for tick in ticks} == {("back", "front")}
    last = ticks[-1].stamp_ns
    assert [s.stamp_ns for tick in ticks for s in tick.imu] == [s.stamp_ns for s in drive.imu() if s.stamp_ns <= last]
    assert [w for tick in ticks for w in tick.wheel] == [w for w in drive.wheel() if w.stamp_ns <= last]
    for before, tick in itertools.pairwise(ticks):
        assert all(before.stamp_ns < s.stamp_ns <= tick.stamp_ns for s in tick.imu)
        assert len(tick.imu) == 10
        assert tick.scan is not None
        assert tick.scan.stamp_ns == tick.stamp_ns


def test_readings_that_arrive_late_still_join_the_tick_of_their_time(recorded: Recorder) -> None:
    prompt, late = (list(Drive(recorded(str(delay), delay_ms=delay)).observations()) for delay in (0, 80))
    assert [[s.stamp_ns for s in tick.imu] for tick in prompt] == [[s.stamp_ns for s in tick.imu] for tick in late]


@pytest.mark.parametrize(("tolerance_s", "sizes"), [(0.02, {2}), (0.005, {1})])
def test_the_tolerance_decides_what_is_one_moment(recorded: Recorder, tolerance_s: float, sizes: set[int]) -> None:
    ticks = list(Drive(recorded(skew_ms=12)).observations(tolerance_s))
    assert {len(tick.frames) for tick in ticks} == sizes
    assert sum(len(tick.frames) for tick in ticks) == 40


def test_images_of_a_camera_that_arrives_late_are_sorted_in(recorded: Recorder, tmp_path: Path) -> None:
    pixel = np.zeros((24, 32, 3), np.uint8)
    with DriveWriter(tmp_path / "late", Drive(recorded()).rig) as writer:
        for i in range(10):
            now = (1_000 + 100 * i) * MS
            writer.write_frame(CameraFrame(now, "back", pixel), now + 150 * MS)
            writer.write_frame(CameraFrame(now, "front", pixel))
    ticks = list(Drive(tmp_path / "late").observations())
    assert [len(tick.frames) for tick in ticks] == [2] * 10
    assert [tick.stamp_ns for tick in ticks] == [(1_000 + 100 * i) * MS for i in range(10)]


def test_depth_comes_with_its_image_when_asked_for(recorded: Recorder) -> None:
    drive = Drive(recorded(depth=True))
    assert all(frame.depth_m is None for frame in drive.frames())
    for i, tick in enumerate(drive.observations(depth=True)):
        for frame in tick.frames:
            assert frame.depth_m is not None
            np.testing.assert_allclose(frame.depth_m, 1.5 + i / 10, atol=5.1e-4)


def test_scenes_follow_the_truth_and_its_contacts(recorded: Recorder) -> None:
    scenes = list(Drive(recorded()).scenes())
    assert len(scenes) == 100
    np.testing.assert_allclose([s.world_from_base[0, 3] for s in scenes], 0.3 * 0.02 * np.arange(100), atol=1e-12)
    assert [s.in_contact for s in scenes] == [0.5 <= 0.02 * i < 0.7 for i in range(100)]


def test_without_cameras_there_are_ten_ticks_a_second(tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i in range(300):
            writer.write_imu(ImuSample(i * 10 * MS, np.zeros(3), np.zeros(3)))
    ticks = list(Drive(tmp_path / "drive", need_cameras=False).observations())
    assert [s.stamp_ns for tick in ticks for s in tick.imu] == [i * 10 * MS for i in range(300)]
    assert len(ticks) == 30


def test_a_clock_that_steps_back_is_one_error_that_names_file_and_topic(tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i, stamp in enumerate((10, 20, 15, 30)):
            writer.write_imu(ImuSample(stamp * MS, np.zeros(3), np.zeros(3)), i * 10 * MS)
    drive = Drive(tmp_path / "drive", need_cameras=False)
    for read in (drive.imu, lambda: list(drive.observations())):
        with pytest.raises(BadInputError, match=r"drive: the clock of /imu steps back by 0\.005 s"):
            read()
    by_reception = Drive(tmp_path / "drive", _topics(tmp_path, "imu: /imu\nclocks: {/imu: {stamps: receive}}\n"))
    assert [s.stamp_ns for s in by_reception.imu()] == [0, 10 * MS, 20 * MS, 30 * MS]


def test_headers_that_nobody_filled_in_are_named(tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i in range(3):
            writer.write_imu(ImuSample(0, np.zeros(3), np.zeros(3)), i * MS)
    with pytest.raises(BadInputError, match=r"/imu carry no stamp"):
        Drive(tmp_path / "drive", need_cameras=False).imu()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_bag_is_one_clear_error(recorded: Recorder, share: float) -> None:
    path = recorded()
    file = next(path.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(BadInputError, match=r"drive is not a readable bag .*truncated"):
        list(Drive(path).observations())


def test_a_damaged_middle_is_one_clear_error(recorded: Recorder) -> None:
    path = recorded()
    file = next(path.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    chunk = bytes(data).index(b"zstd") + 100
    data[chunk : chunk + 400] = bytes(400)
    file.write_bytes(data)
    with pytest.raises(BadInputError, match="drive is not a readable bag"):
        list(Drive(path).observations())


def test_a_folder_whose_recorder_died_early_is_read_from_its_file(recorded: Recorder) -> None:
    path = recorded()
    (path / "metadata.yaml").unlink()
    file = next(path.glob("*.mcap"))
    assert len(list(Drive(path).observations())) == len(list(Drive(file).observations())) == 20


@pytest.mark.skipif("ASTRA_REAL_DATA" not in os.environ, reason="ASTRA_REAL_DATA is not set")
def test_a_real_robots_bag_reads_like_a_simulated_drive() -> None:
    drive = Drive(Path(os.environ["ASTRA_REAL_DATA"]) / "wheel_imu" / "test2.bag", need_cameras=False)
    ticks: list[Observation] = list(drive.observations())
    assert len(ticks) == pytest.approx(10 * drive.duration_s, abs=3)
    assert sum(len(tick.imu) for tick in ticks) == 3061
    assert sum(len(tick.wheel) for tick in ticks) == 3060
    assert drive.truth() is None
    assert drive.origin is None


def _topics(folder: Path, text: str) -> TopicMap:
    (folder / "topics.yaml").write_text(text)
    return TopicMap.load(folder / "topics.yaml")
