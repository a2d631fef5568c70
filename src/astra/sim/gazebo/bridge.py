"""Which topics ros_gz_bridge carries between Gazebo and ROS, as its YAML."""

from __future__ import annotations

import yaml

from astra.sim.robot import RobotConfig

HEADER = """# Topics that ros_gz_bridge carries; made by `astra sim export` for the cameras of one robot.
# ROS names are relative, so that a namespace works; Gazebo's are absolute. Truth is for evaluation only.
"""
TO_ROS, TO_GAZEBO = "GZ_TO_ROS", "ROS_TO_GZ"


def bridge_entries(robot: RobotConfig) -> list[dict[str, str]]:
    """The bridge's entries: the topics of docs/INTERFACES.md that a robot publishes or follows."""
    entries = [_entry("clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock")]
    for camera in robot.rig().names:
        entries.append(_entry(f"{camera}/image_raw", "sensor_msgs/msg/Image", "gz.msgs.Image"))
        entries.append(_entry(f"{camera}/camera_info", "sensor_msgs/msg/CameraInfo", "gz.msgs.CameraInfo"))
    entries += [
        _entry("imu", "sensor_msgs/msg/Imu", "gz.msgs.IMU"),
        _entry("wheel/odometry", "nav_msgs/msg/Odometry", "gz.msgs.Odometry"),
        _entry("scan", "sensor_msgs/msg/LaserScan", "gz.msgs.LaserScan"),
        _entry("joint_states", "sensor_msgs/msg/JointState", "gz.msgs.Model"),
        _entry("ground_truth/odom", "nav_msgs/msg/Odometry", "gz.msgs.Odometry"),
        _entry("cmd_vel", "geometry_msgs/msg/Twist", "gz.msgs.Twist", TO_GAZEBO),
    ]
    return entries


def bridge_yaml(robot: RobotConfig) -> str:
    """The bridge's configuration file."""
    return HEADER + yaml.safe_dump(bridge_entries(robot), sort_keys=False)


def _entry(name: str, ros_type: str, gz_type: str, direction: str = TO_ROS) -> dict[str, str]:
    ros_name = f"/{name}" if name == "clock" else name
    return {"ros_topic_name": ros_name, "gz_topic_name": f"/{name}", "ros_type_name": ros_type, "gz_type_name": gz_type, "direction": direction}
