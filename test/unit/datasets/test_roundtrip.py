"""What is recorded is what is read back, byte for byte, in any ROS 2 tool's format."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from astra.core.types import CameraFrame
from astra.datasets import Drive, DriveWriter
from astra.datasets.bag import Bag
from astra.datasets.origin import DriveOrigin
from astra.geometry import Pose2

Recorder = Callable[..., Path]
ORIGIN = DriveOrigin("/worlds/a", "office", 12, "train", "diffdrive", 0.22, 3, "expert")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, bytes]]:
    """Everything that goes into the bag, as serialized."""
    from rosbags.rosbag2 import Writer

    messages: list[tuple[str, int, bytes]] = []
    original = Writer.write

    def write(self: Writer, connection: object, timestamp: int, data: bytes) -> None:
        messages.append((connection.topic, timestamp, bytes(data)))  # type: ignore[attr-defined]
        original(self, connection, timestamp, data)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "write", write)
    return messages


def test_ten_drives_come_back_byte_for_byte(recorded: Recorder, written: list[tuple[str, int, bytes]]) -> None:
    for i in range(10):
        written.clear()
        path = recorded(str(i), seconds=0.5 + 0.1 * i, delay_ms=35 * (i % 2), depth=i < 5)
        bag = Bag(path)
        read = [(m.topic, m.received_ns, m.data) for m in bag.raw(tuple(bag.topics))]
        assert sorted(read) == sorted(written)
        assert Drive(path).report().identical is True


def test_a_drive_that_was_tampered_with_says_so(recorded: Recorder) -> None:
    path = recorded()
    other = recorded("other", imu_late_ms=1)
    next(path.glob("*.mcap")).write_bytes(next(other.glob("*.mcap")).read_bytes())
    report = Drive(path).report()
    assert report.identical is False
    assert "/imu: not the messages that were recorded" in report.warnings


def test_the_origin_travels_with_the_drive(recorded: Recorder, tmp_path: Path) -> None:
    assert Drive(recorded()).origin is None
    with DriveWriter(tmp_path / "known", Drive(recorded("rig")).rig, origin=ORIGIN) as writer:
        writer.write_frame(CameraFrame(5, "front", np.zeros((24, 32, 3), np.uint8)))
    assert Drive(tmp_path / "known").origin == ORIGIN


def test_raw_images_and_depth_keep_every_pixel(recorded: Recorder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, depth = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), rng.uniform(0.1, 30.0, (24, 32)).astype(np.float32)
    depth[0, :4] = [0.0, math.inf, math.nan, 70.0]  # nothing measured, or beyond what can be said
    with DriveWriter(tmp_path / "raw", Drive(recorded()).rig, raw=True) as writer:
        writer.write_frame(CameraFrame(7, "front", pixels, depth))
    drive = Drive(tmp_path / "raw")
    frame = next(drive.frames(depth=True))
    np.testing.assert_array_equal(frame.rgb, pixels)
    assert frame.depth_m is not None
    assert frame.depth_m[0, :4].tolist() == [0.0] * 4
    np.testing.assert_allclose(frame.depth_m[1:], depth[1:], atol=5.1e-4)
    image = next(drive.bag.messages(("/front/depth",))).value
    assert (image.encoding, image.step, image.is_bigendian) == ("16UC1", 64, 0)


def test_movers_are_written_as_markers(recorded: Recorder, tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "busy", Drive(recorded()).rig, truth=True) as writer:
        writer.write_movers(3, np.array([(1.0, 2.0, 0.25), (3.0, 4.0, 0.6)]))
    markers = next(Bag(tmp_path / "busy").messages(("/ground_truth/movers",))).value.markers
    assert [(m.id, m.pose.position.x, m.pose.position.y, m.scale.x) for m in markers] == [(0, 1.0, 2.0, 0.5), (1, 3.0, 4.0, 1.2)]


def test_what_the_driver_wants_comes_back(recorded: Recorder, tmp_path: Path) -> None:
    path = np.array([(1.0, 2.0, 3.1), (1.5, 2.0, -3.1)])
    with DriveWriter(tmp_path / "led", Drive(recorded()).rig, truth=True) as writer:
        writer.write_frame(CameraFrame(1_000, "front", np.zeros((24, 32, 3), np.uint8)))
        writer.write_goal(2_000, Pose2(4.0, 5.0, 0.5))
        writer.write_plan(3_000, path)
        writer.write_disturbed(4_000, True)
        writer.write_disturbed(5_000, False)
        writer.write_disturbed(6_000, True)
        writer.write_goal(9_000, Pose2(1.0, 1.0, 0.0))
    drive = Drive(tmp_path / "led")
    assert [(stamp, goal.x, round(goal.yaw, 9)) for stamp, goal in drive.goals()] == [(2_000, 4.0, 0.5), (9_000, 1.0, 0.0)]
    ((stamp, poses),) = drive.plans()
    assert stamp == 3_000
    np.testing.assert_allclose(poses, path, atol=1e-12)
    assert [begin for begin, _ in drive.disturbances()] == [4_000, 6_000]
    assert [end >= 5_000 for _, end in drive.disturbances()] == [True, True]  # the last one lasts to the drive's end
