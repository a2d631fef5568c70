import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, ImuSample, LaserScan, Scene, WheelTwist
from astra.datasets import Drive, DriveWriter, open_source
from astra.datasets.topics import discover_topics
from astra.geometry import CameraModel, CameraRig, Pose2, Pose3, RigCamera

MODEL = CameraModel.from_fov(64, 48, math.radians(90))
RIG = CameraRig((RigCamera("front", MODEL, Pose3.from_rpy(-1.5, 0.0, -1.5, np.array([0.1, 0.0, 0.9]))), RigCamera("back", MODEL, Pose3())))
LIDAR = Pose3(np.eye(3), np.array([0.0, 0.0, 0.2]))


def picture(seed: int) -> np.ndarray:
    return cv2.resize(np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC)


def record(path: Path, *, frames: int = 5, truth: bool = True) -> Path:
    with DriveWriter(path, RIG, lidar=LIDAR, truth=truth) as writer:
        for i in range(frames):
            t = 1_000_000_000 + i * 100_000_000
            for camera in RIG.names:
                writer.write_frame(CameraFrame(t, camera, picture(i)))
            writer.write_imu(ImuSample(t, np.array([0.0, 0.0, 0.5]), np.array([0.0, 0.0, 9.81])))
            writer.write_wheel(WheelTwist(t, 0.3, 0.5))
            writer.write_scan(LaserScan(t, "lidar", np.array([1.0, np.inf, 2.0], np.float32), -1.0, 1.0, 0.1, 10.0))
            writer.write_truth(Scene(t, Pose3.from_pose2(Pose2(0.1 * i, 0.0, 0.2)).matrix(), 0.3, 0.5, in_contact=i == 2))
    return path


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    drive = Drive(record(tmp_path / "drive"))
    assert drive.rig.names == ("back", "front")
    assert drive.rig["front"].model == MODEL
    np.testing.assert_allclose(drive.rig["front"].base_from_cam.matrix(), RIG["front"].base_from_cam.matrix(), atol=1e-9)
    frames = list(drive.frames())
    assert len(frames) == 10
    assert [f.stamp_ns for f in frames] == sorted(f.stamp_ns for f in frames)
    assert np.abs(frames[0].rgb.astype(int) - picture(0)).mean() < 5  # JPEG
    assert drive.imu()[2].angular_velocity[2] == 0.5
    assert drive.wheel()[3] == WheelTwist(1_300_000_000, 0.3, 0.5)
    assert drive.scans()[0].ranges.tolist() == [1.0, math.inf, 2.0]
    np.testing.assert_allclose(drive.base_from_sensor("lidar").translation, [0, 0, 0.2])
    truth = drive.truth()
    assert truth is not None
    assert truth.poses[4, 0] == pytest.approx(0.4)


def test_truth_is_only_recorded_when_asked_for_and_never_discovered(tmp_path: Path) -> None:
    assert Drive(record(tmp_path / "without", truth=False)).truth() is None
    assert Drive(record(tmp_path / "with")).topics.wheel == "/wheel/odometry"


def test_a_drive_reads_the_same_with_and_without_truth(tmp_path: Path) -> None:
    """What a map is built from does not depend on the truth topics being there."""
    with_truth, without = (Drive(record(tmp_path / str(truth), frames=20, truth=truth)) for truth in (True, False))
    for a, b in zip(with_truth.frames(), without.frames(), strict=True):
        assert (a.stamp_ns, a.camera) == (b.stamp_ns, b.camera)
        assert (a.rgb == b.rgb).all()
    assert with_truth.wheel() == without.wheel()
    assert with_truth.odometry is not None
    assert without.odometry is not None
    np.testing.assert_array_equal(with_truth.odometry.poses, without.odometry.poses)
    assert [scan.ranges.tolist() for scan in with_truth.scans()] == [scan.ranges.tolist() for scan in without.scans()]
    assert with_truth.topics == without.topics
    assert [c.name for c in with_truth.rig.cameras] == [c.name for c in without.rig.cameras]


def test_a_drive_is_never_overwritten(tmp_path: Path) -> None:
    record(tmp_path / "drive")
    with pytest.raises(BadInputError, match="exists"):
        record(tmp_path / "drive")


def test_a_truncated_bag_is_one_clear_error(tmp_path: Path) -> None:
    path = record(tmp_path / "drive", frames=20)
    mcap = next(path.glob("*.mcap"))
    mcap.write_bytes(mcap.read_bytes()[: mcap.stat().st_size // 2])
    with pytest.raises(BadInputError, match="drive"):
        list(Drive(path).frames())


def test_a_clock_that_steps_back_is_named(tmp_path: Path) -> None:
    with DriveWriter(tmp_path / "drive", RIG) as writer:
        for t in (2_000_000_000, 1_000_000_000):
            writer.write_frame(CameraFrame(t, "front", picture(0)))
    # rosbag2 sorts by receive time; a camera whose own stamps run backwards shows only in its headers.
    stamps = [f.stamp_ns for f in Drive(tmp_path / "drive").frames()]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize(
    ("types", "named"),
    [
        ({"/imu": "sensor_msgs/msg/Imu"}, "no camera topic"),
        ({"/c/image_raw": "sensor_msgs/msg/Image", "/a": "sensor_msgs/msg/Imu", "/b": "sensor_msgs/msg/Imu"}, "several"),
    ],
)
def test_undecidable_topics_are_refused(types: dict[str, str], named: str) -> None:
    with pytest.raises(BadInputError, match=named):
        discover_topics(types, "bag")


def test_a_camera_without_camera_info_is_refused_unless_given(tmp_path: Path) -> None:
    drive = Drive(record(tmp_path / "drive"))
    object.__setattr__(drive.topics.cameras[0], "info", None)
    with pytest.raises(BadInputError, match="camera_info"):
        _ = drive.rig


@pytest.mark.parametrize("name", ["missing", "text.txt", "empty"])
def test_what_is_no_source_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match=name):
        open_source(tmp_path / name)


def test_photo_folders_keep_their_order_and_size(tmp_path: Path) -> None:
    for i in (2, 1, 3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((48, 64, 3), i, np.uint8))
    MODEL.save(tmp_path / "camera.yaml")
    tour = open_source(tmp_path, tmp_path / "camera.yaml")
    assert [int(f.rgb[0, 0, 0]) for f in tour.frames()] == [1, 2, 3]
    assert tour.rig.cameras[0].model == MODEL
    CameraModel.from_fov(128, 96, 1.0).save(tmp_path / "other.yaml")
    with pytest.raises(BadInputError, match="128×96"):
        open_source(tmp_path, tmp_path / "other.yaml")


def test_videos_carry_their_timestamps(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for i in range(5):
        writer.write(picture(i))
    writer.release()
    stamps = [f.stamp_ns for f in open_source(tmp_path / "v.mp4").frames()]
    np.testing.assert_allclose(np.diff(stamps), 1e8, rtol=0.02)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match=r"broken\.mp4"):
        open_source(tmp_path / "broken.mp4")
