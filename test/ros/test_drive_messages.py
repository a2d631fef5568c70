"""A recorded drive is a bag of real ROS 2 messages: ROS itself reads every payload."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astra.core.types import CameraFrame, ImuSample, LaserScan, Scene, WheelTwist
from astra.datasets import DriveWriter
from astra.datasets.bag import Bag
from astra.geometry import CameraModel, CameraRig, Pose2, Pose3, RigCamera

pytestmark = pytest.mark.ros
RIG = CameraRig((RigCamera("front", CameraModel.from_fov(32, 24, 1.5), Pose3(translation=np.array([0.1, 0.0, 0.9]))),))


def test_ros_itself_reads_every_message_of_a_drive(tmp_path: Path) -> None:
    from rclpy.serialization import deserialize_message

    depth = np.full((24, 32), 1.25, np.float32)
    with DriveWriter(tmp_path / "drive", RIG, lidar=Pose3(), truth=True) as jpeg, DriveWriter(tmp_path / "raw", RIG, raw=True) as raw:
        for writer in (jpeg, raw):
            writer.write_frame(CameraFrame(5, "front", np.full((24, 32, 3), 7, np.uint8), depth))
        jpeg.write_imu(ImuSample(6, np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.0, 9.81])))
        jpeg.write_wheel(WheelTwist(7, 0.4, 0.5))
        jpeg.write_scan(LaserScan(8, "lidar", np.array([1.0, np.inf], np.float32), -1.0, 2.0, 0.1, 10.0))
        jpeg.write_truth(Scene(9, Pose3.from_pose2(Pose2(1.0, 2.0, 0.5)).matrix(), 0.4, 0.5, in_contact=True))
        jpeg.write_movers(10, np.array([(1.0, 2.0, 0.25)]))
        jpeg.write_goal(11, Pose2(3.0, 4.0, 0.0))
        jpeg.write_plan(12, np.array([(1.0, 2.0, 0.5), (1.1, 2.0, 0.5)]))
        jpeg.write_disturbed(13, True)
    read = {}
    for name in ("drive", "raw"):
        bag = Bag(tmp_path / name)
        for message in bag.raw(tuple(bag.topics)):
            read[name, message.topic] = deserialize_message(message.data, _message(bag.topics[message.topic].kind))
    assert len(read) == 17
    depth_image, image = read["raw", "/front/depth"], read["raw", "/front/image_raw"]
    assert (depth_image.encoding, depth_image.step, len(depth_image.data)) == ("16UC1", 64, 24 * 64)
    assert set(np.frombuffer(bytes(depth_image.data), "<u2")) == {1250}
    assert (image.encoding, image.height, image.width, set(image.data)) == ("rgb8", 24, 32, {7})
    assert read["drive", "/imu"].angular_velocity.y == 0.2
    assert read["drive", "/ground_truth/odom"].pose.pose.position.y == 2.0
    assert read["drive", "/ground_truth/in_contact"].data
    assert read["drive", "/ground_truth/movers"].markers[0].scale.x == 0.5
    assert [p.pose.position.x for p in read["drive", "/ground_truth/plan"].poses] == [1.0, 1.1]
    assert read["drive", "/front/camera_info"].width == 32
    assert {t.child_frame_id for t in read["drive", "/tf_static"].transforms} == {"front_optical_frame", "lidar", "imu_link"}


def _message(kind: str) -> Any:
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
