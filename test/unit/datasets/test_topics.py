"""Topic maps and the report on a recording's health."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, ImuSample
from astra.datasets import Drive, DriveWriter, TopicMap
from astra.datasets.topics import CameraTopics, TopicClock
from astra.geometry import CameraRig

MS = 1_000_000
Recorder = Callable[..., Path]


def test_a_topic_map_survives_its_file(tmp_path: Path) -> None:
    clocks = (TopicClock("/imu", offset_s=-0.012), TopicClock("/scan", "receive"), TopicClock("/f/image", estimate=True))
    topics = TopicMap((CameraTopics("front", "/f/image", "/f/info", "/f/depth"), CameraTopics("back", "/b")), "/imu", "/odom", "/scan", clocks)
    topics.save(tmp_path / "topics.yaml")
    assert TopicMap.load(tmp_path / "topics.yaml") == topics


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("gyro: /imu\n", "gyro"),
        ("imu: 3\n", "imu"),
        ("cameras: [/front]\n", "cameras"),
        ("cameras: {front: {info: /front/camera_info}}\n", "cameras.front names no image"),
        ("clocks: {/imu: {stamps: clock}}\n", "'clock'"),
        ("clocks: {/imu: {offset_s: soon}}\n", "soon"),
        ("imu: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_topic_map_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "topics.yaml").write_text(text)
    with pytest.raises(BadInputError, match=named):
        TopicMap.load(tmp_path / "topics.yaml")


@pytest.mark.parametrize(
    ("topics", "named"),
    [
        (TopicMap((), imu="/imu/data"), r"drive has no topic /imu/data \(imu in the topic map\); it has: .*/imu"),
        (TopicMap((CameraTopics("front", "/front/image_raw"),)), "drive has no topic /front/image_raw"),
        (TopicMap((), imu="/scan"), "/scan is sensor_msgs/msg/LaserScan, not sensor_msgs/msg/Imu"),
        (TopicMap((), clocks=(TopicClock("/gps"),)), "no topic /gps"),
    ],
)
def test_a_topic_that_the_recording_lacks_is_named_with_its_file(recorded: Recorder, topics: TopicMap, named: str) -> None:
    with pytest.raises(BadInputError, match=named):
        Drive(recorded(), topics)


def test_a_map_reads_only_what_it_names(recorded: Recorder) -> None:
    image = CameraTopics("eye", "/back/image_raw/compressed", "/back/camera_info")
    drive = Drive(recorded(), TopicMap((image,), imu="/imu"))
    tick = list(drive.observations())[3]
    assert [f.camera for f in tick.frames] == ["eye"]
    assert len(tick.imu) == 10
    assert (tick.wheel, tick.scan) == ((), None)


def test_constant_offsets_move_a_topic_and_its_readings_to_their_tick(recorded: Recorder) -> None:
    path = recorded(imu_late_ms=40)
    drive = Drive(path, TopicMap(Drive(path).topics.cameras, "/imu", "/wheel/odometry", clocks=(TopicClock("/imu", offset_s=-0.04),)))
    assert drive.imu()[0].stamp_ns == Drive(path).imu()[0].stamp_ns - 40 * MS
    assert Drive(path).report().topic("/imu").offset_s == 0.0
    assert drive.report().topic("/imu").offset_s == -0.04


def test_another_machines_clock_is_reported_and_its_offset_estimated(tmp_path: Path) -> None:
    """A camera that counts from its own start, 1000 s apart, with 7 to 15 ms of transport."""
    rng = np.random.default_rng(0)
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i in range(200):
            writer.write_imu(ImuSample(i * 10 * MS, np.zeros(3), np.zeros(3)), 1_000_000 * MS + i * 10 * MS + int(rng.uniform(7, 15) * MS))
    report = Drive(tmp_path / "drive", need_cameras=False).report()
    assert any("/imu is stamped by another clock" in text for text in report.warnings)
    drive = Drive(tmp_path / "drive", TopicMap((), imu="/imu", clocks=(TopicClock("/imu", estimate=True),)))
    assert drive.imu()[0].stamp_ns == pytest.approx(1_000_007 * MS, abs=1 * MS)
    assert drive.report().warnings == ()


def test_rates_gaps_and_lost_images_are_counted(recorded: Recorder) -> None:
    report = Drive(recorded(lose=(4, 5, 6, 12))).report()
    front = report.topic("/front/image_raw/compressed")
    assert (front.count, front.rate_hz, front.dropped, front.steps_back) == (16, 10.0, 4, 0)
    assert front.longest_gap_s == pytest.approx(0.4)
    assert front.longest_gap_at_s == pytest.approx(0.3)
    assert report.topic("/imu").rate_hz == 100.0
    assert report.topic("/imu").dropped == 0
    assert report.complete_sets == 1.0
    assert sum("messages are missing" in text for text in report.warnings) == 2
    assert report.to_json()["topics"][0]["topic"] == report.topics[0].topic


def test_clock_steps_are_counted_not_refused(tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "drive", CameraRig(())) as writer:
        for i, stamp in enumerate((10, 20, 15, 30, 30, 5)):
            writer.write_imu(ImuSample(stamp * MS, np.zeros(3), np.zeros(3)), i * 10 * MS)
    report = Drive(tmp_path / "drive", need_cameras=False).report().topic("/imu")
    assert (report.steps_back, report.repeated) == (2, 1)


@pytest.mark.parametrize("late_ms", [0, 40, -130])
def test_the_lag_between_wheels_and_imu_is_found(recorded: Recorder, late_ms: int) -> None:
    report = Drive(recorded(seconds=10.0, imu_late_ms=late_ms)).report()
    assert report.wheel_to_imu_lag_s == pytest.approx(late_ms * 1e-3, abs=0.006)
    assert any("after the wheels" in text for text in report.warnings) == (late_ms != 0)


def test_cameras_that_miss_each_other_are_reported(recorded: Recorder, tmp_path: Path) -> None:
    pixel = np.zeros((24, 32, 3), np.uint8)
    with DriveWriter(tmp_path / "lame", Drive(recorded()).rig) as writer:
        for i in range(20):
            writer.write_frame(CameraFrame(i * 100 * MS, "front", pixel))
            if i % 2:
                writer.write_frame(CameraFrame(i * 100 * MS, "back", pixel))
    report = Drive(tmp_path / "lame").report()
    assert report.complete_sets is not None
    assert report.complete_sets <= 0.55
    assert any("image of every camera" in text for text in report.warnings)


@pytest.mark.skipif("ASTRA_REAL_DATA" not in os.environ, reason="ASTRA_REAL_DATA is not set")
def test_the_report_on_a_real_robots_bag() -> None:
    report = Drive(Path(os.environ["ASTRA_REAL_DATA"]) / "wheel_imu" / "test1.bag", need_cameras=False).report()
    assert report.topic("/husky_velocity_controller/odom").rate_hz == pytest.approx(10.0, abs=0.2)
    delay = report.topic("/imu/data").delay_s
    assert delay is not None
    assert 0.02 < delay[0] < delay[1] < delay[2] < 0.04
    assert report.wheel_to_imu_lag_s == pytest.approx(-0.4, abs=0.02)  # this robot's odometry is that late
    assert any("upwards along" in text for text in report.warnings)  # its IMU stands on edge
