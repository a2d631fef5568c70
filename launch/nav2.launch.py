"""The stack with Nav2's servers: `ros2 launch astra_nav nav2.launch.py map:=/maps/home`. Needs ros-$ROS_DISTRO-navigation2.

controller_server follows Astra-Local's paths, behavior_server spins and backs up, collision_monitor is the last hop before cmd_vel.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

ARGUMENTS = {"map": None, "namespace": "", "use_sim_time": "false", "world": "", "start": "random", "seed": "0"}
# package, executable, and topics: what the servers command goes through the collision monitor
SERVERS = (
    ("nav2_controller", "controller_server", [("cmd_vel", "cmd_vel_nav")]),
    ("nav2_behaviors", "behavior_server", [("cmd_vel", "cmd_vel_nav")]),
    ("nav2_collision_monitor", "collision_monitor", []),
    ("nav2_lifecycle_manager", "lifecycle_manager", []),
)


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    here = Path(__file__).resolve().parent
    parameters = [str(here.parent / "config" / "nav2" / "nav2.yaml"), {"use_sim_time": LaunchConfiguration("use_sim_time")}]
    servers = [
        Node(
            package=package, executable=executable, name="lifecycle_manager_navigation" if executable == "lifecycle_manager" else executable,
            namespace=LaunchConfiguration("namespace"), output="screen", respawn=True, respawn_delay=1.0, parameters=parameters,
            remappings=[("/tf", "tf"), ("/tf_static", "tf_static"), *topics],
        )
        for package, executable, topics in SERVERS
    ]  # fmt: skip
    bringup = PythonLaunchDescriptionSource(str(here / "bringup.launch.py"))
    arguments = [*((name, LaunchConfiguration(name)) for name in ARGUMENTS), ("nav2", "true")]
    declared = [DeclareLaunchArgument(name, default_value=default) for name, default in ARGUMENTS.items()]
    return LaunchDescription([*declared, IncludeLaunchDescription(bringup, launch_arguments=arguments), *servers])
