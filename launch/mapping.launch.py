"""Build a map from a recorded tour: `ros2 launch astra_nav mapping.launch.py tour:=/bags/tour map:=/maps/home`."""

from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import FindPackagePrefix

from launch import LaunchDescription


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    astra = [FindPackagePrefix("astra_nav"), "/lib/astra_nav/astra"]
    return LaunchDescription(
        [
            DeclareLaunchArgument("tour", description="rosbag2 folder, folder of photos or video"),
            DeclareLaunchArgument("map", description="map folder to write"),
            ExecuteProcess(cmd=[astra, "map", "build", LaunchConfiguration("tour"), "--out", LaunchConfiguration("map")], output="screen"),
        ]
    )
