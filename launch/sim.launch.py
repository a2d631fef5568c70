"""The embedded simulator alone: `ros2 launch astra_nav sim.launch.py world:=/worlds/office`."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    names = {"world": None, "start": "random", "seed": "0", "lidar": "true", "namespace": "", "record": ""}
    declared = [DeclareLaunchArgument(name, default_value=default) for name, default in names.items()]
    bringup = PythonLaunchDescriptionSource(str(Path(__file__).with_name("bringup.launch.py")))
    arguments = [(name, LaunchConfiguration(name)) for name in names]
    return LaunchDescription([*declared, IncludeLaunchDescription(bringup, launch_arguments=arguments)])
