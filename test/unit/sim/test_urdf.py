"""The URDF says what the rig says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from astra.geometry import Pose3
from astra.sim.robot import RobotConfig
from astra.sim.urdf import sensor_frames, urdf_from_robot


def test_joints_place_every_sensor_as_the_rig_does() -> None:
    robot = RobotConfig()
    root = ElementTree.fromstring(urdf_from_robot(robot))
    links = {link.attrib["name"] for link in root.findall("link")}
    joints = {joint.find("child").attrib["link"]: joint for joint in root.findall("joint")}  # type: ignore[union-attr]
    assert links - set(joints) == {"base_link"}  # one tree, one root
    for (parent, child), pose in sensor_frames(robot).items():
        joint = joints[child]
        origin = joint.find("origin")
        assert origin is not None and joint.find("parent").attrib["link"] == parent  # type: ignore[union-attr]
        xyz, rpy = ([float(v) for v in origin.attrib[key].split()] for key in ("xyz", "rpy"))
        said = Pose3.from_rpy(*rpy, translation=xyz)
        assert said.angle_to(pose) == pytest.approx(0.0, abs=1e-4)
        assert np.allclose(said.translation, pose.translation, atol=1e-5)


def test_optical_axes_look_outwards() -> None:
    for (_, child), pose in sensor_frames(RobotConfig()).items():
        if child.endswith("_optical_frame"):
            forward = pose.rotation @ [0.0, 0.0, 1.0]
            assert forward[:2] @ pose.translation[:2] > 0 and abs(forward[2]) < 1e-9
            assert (pose.rotation @ [0.0, 1.0, 0.0])[2] == pytest.approx(-1.0)
