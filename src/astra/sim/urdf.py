"""The robot as URDF text, for `/robot_description`, RViz and anything else that asks what it looks like."""

from __future__ import annotations

import math
from xml.sax.saxutils import quoteattr

from astra.geometry import Pose3
from astra.sim.robot import RobotConfig

_LINK = """  <link name={name}>
    <visual><origin xyz="{at}" rpy="{turn}"/><geometry>{shape}</geometry><material name="{material}"/></visual>{collision}
  </link>"""
_JOINT = """  <joint name="{name}" type="{kind}">
    <parent link="{parent}"/><child link="{child}"/><origin xyz="{at}" rpy="{turn}"/>{axis}
  </joint>"""


def sensor_frames(robot: RobotConfig) -> dict[tuple[str, str], Pose3]:
    """Every fixed frame of the sensors: (parent, child) → parent_from_child."""
    import numpy as np

    frames = {("base_link", f"{c.name}_optical_frame"): c.base_from_cam for c in robot.rig().cameras}
    frames["base_link", "imu_link"] = Pose3(translation=np.array([0.0, 0.0, robot.imu.z_m]))
    frames["base_link", "lidar"] = Pose3(translation=np.array([0.0, 0.0, robot.lidar.z_m]))
    return frames


def urdf_from_robot(robot: RobotConfig) -> str:
    """A URDF with base_link on the floor, two wheels, the mast and one link a sensor."""
    clearance = 0.05
    hull = robot.body_height_m - clearance
    mast = robot.cameras.z_m + 0.05 - robot.body_height_m
    wheel = f'<cylinder radius="{robot.wheels.radius_m:g}" length="0.03"/>'
    shape = f'<cylinder radius="{robot.radius_m:g}" length="{hull:g}"/>'
    if robot.footprint:
        shape = f'<box size="{robot.length_m:g} {robot.width_m:g} {hull:g}"/>'
    parts = [
        f'<?xml version="1.0"?>\n<robot name={quoteattr(robot.name)}>',
        '  <material name="dark"><color rgba="0.15 0.17 0.22 1"/></material>\n  <material name="light"><color rgba="0.7 0.7 0.72 1"/></material>',
        _link("base_link", shape, "dark", (0.0, 0.0, clearance + hull / 2), solid=True),
        _link("mast", f'<cylinder radius="0.03" length="{mast:g}"/>', "light", solid=True),
        _joint("mast_joint", "base_link", "mast", (0.0, 0.0, robot.body_height_m + mast / 2)),
    ]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        parts.append(_link(f"wheel_{side}", wheel, "light", turn=(math.pi / 2, 0.0, 0.0)))
        at = (0.0, sign * robot.wheels.track_m / 2, robot.wheels.radius_m)
        parts.append(_joint(f"joint_{side}", "base_link", f"wheel_{side}", at, kind="continuous", axis='<axis xyz="0 1 0"/>'))
    for (parent, child), pose in sensor_frames(robot).items():
        x, y, z = (float(v) for v in pose.translation)
        parts.append(_link(child, '<box size="0.03 0.03 0.03"/>', "light"))
        parts.append(_joint(f"{child}_joint", parent, child, (x, y, z), rpy(pose)))
    return "\n".join([*parts, "</robot>", ""])


def _link(
    name: str, shape: str, material: str, at: tuple[float, float, float] = (0.0, 0.0, 0.0), turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    solid: bool = False,
) -> str:  # fmt: skip
    place = f'<origin xyz="{_numbers(at)}" rpy="{_numbers(turn)}"/>'
    collision = f"\n    <collision>{place}<geometry>{shape}</geometry></collision>" if solid else ""
    return _LINK.format(name=quoteattr(name), shape=shape, material=material, at=_numbers(at), turn=_numbers(turn), collision=collision)


def _joint(
    name: str, parent: str, child: str, at: tuple[float, float, float], turn: tuple[float, float, float] = (0.0, 0.0, 0.0), kind: str = "fixed",
    axis: str = "",
) -> str:  # fmt: skip
    return _JOINT.format(name=name, kind=kind, parent=parent, child=child, at=_numbers(at), turn=_numbers(turn), axis=axis)


def _numbers(values: tuple[float, float, float]) -> str:
    return " ".join(f"{v:.6g}" for v in values)


def rpy(pose: Pose3) -> tuple[float, float, float]:
    """Fixed-axis roll, pitch, yaw of a rotation (URDF's convention)."""
    m = pose.rotation
    pitch = math.asin(max(-1.0, min(1.0, -float(m[2, 0]))))
    if abs(m[2, 0]) > 1.0 - 1e-9:
        return math.atan2(-float(m[1, 2]), float(m[1, 1])), pitch, 0.0
    return math.atan2(float(m[2, 1]), float(m[2, 2])), pitch, math.atan2(float(m[1, 0]), float(m[0, 0]))
