"""RViz with the suite's displays: `ros2 launch astra_nav rviz.launch.py`; of one robot among several: `namespace:=r2`. Needs ros-$ROS_DISTRO-rviz2."""

import re
import tempfile
from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config" / "rviz" / "astra.rviz"
ARGUMENTS = {
    "namespace": ("", "namespace of the robot to look at"),
    "use_sim_time": ("false", "follow /clock"),
    "config": (str(CONFIG), "displays"),
}


def rviz(context):
    """RViz; its topics are absolute, so a robot's namespace is written into a copy of the displays."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    namespace, config = value["namespace"].strip("/"), Path(value["config"])
    if namespace:
        text = re.sub(r"(Topic: \{Value: )/(?!tf)", rf"\1/{namespace}/", config.read_text(encoding="utf-8"))
        config = Path(tempfile.mkdtemp(prefix="astra-rviz-")) / "astra.rviz"
        config.write_text(text, encoding="utf-8")
    return [
        Node(
            package="rviz2", executable="rviz2", name="rviz2", namespace=value["namespace"], output="screen", arguments=["-d", str(config)],
            parameters=[{"use_sim_time": value["use_sim_time"].lower() in ("true", "1")}], remappings=[("/tf", "tf"), ("/tf_static", "tf_static")],
        )
    ]  # fmt: skip


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=rviz)])
