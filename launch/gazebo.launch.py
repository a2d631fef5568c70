"""A world that `astra sim export` wrote, in Gazebo Harmonic: `ros2 launch astra_nav gazebo.launch.py world:=/worlds/office_sdf map:=/maps/office`.

Needs ros-$ROS_DISTRO-ros-gz and ros-$ROS_DISTRO-robot-state-publisher. Gazebo takes the place of astra_sim; without a map nothing but the simulator runs.
"""

from pathlib import Path

from launch.actions import AppendEnvironmentVariable, DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

ARGUMENTS = {
    "world": (None, "folder written by `astra sim export`"),
    "map": ("", "map folder; empty: the simulator alone"),
    "namespace": ("", "namespace of all nodes"),
    "nav2": ("false", "Nav2's servers follow paths, spin and back up"),
    "record": ("", "record every topic to this folder"),
    "config": ("", "folder of parameter files instead of config/"),
    "gui": ("true", "false: Gazebo's server alone, rendering without a display"),
}


def actions(context):
    """Gazebo, the bridge, the robot's frames and, with a map, the stack."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    world = Path(value["world"]).resolve()
    for name in ("world.sdf", "bridge.yaml", "robot.urdf", "models"):
        if not (world / name).exists():
            raise FileNotFoundError(f"{world} holds no {name}: is it a folder written by `astra sim export`?")
    common = {"namespace": value["namespace"], "output": "screen", "respawn": True, "respawn_delay": 1.0}
    gazebo = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    flags = "-r" if value["gui"].lower() in ("true", "1") else "-r -s --headless-rendering"
    started = [
        AppendEnvironmentVariable("GZ_SIM_RESOURCE_PATH", str(world / "models")),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(gazebo), launch_arguments=[("gz_args", f"{flags} {world / 'world.sdf'}"), ("on_exit_shutdown", "true")]
        ),
        Node(
            package="ros_gz_bridge", executable="parameter_bridge", name="gazebo_bridge",
            parameters=[{"config_file": str(world / "bridge.yaml"), "use_sim_time": True}], **common,
        ),
        Node(
            package="robot_state_publisher", executable="robot_state_publisher", name="robot_state_publisher",
            parameters=[{"robot_description": (world / "robot.urdf").read_text(encoding="utf-8"), "use_sim_time": True}],
            remappings=[("/tf", "tf"), ("/tf_static", "tf_static")], **common,
        ),
    ]  # fmt: skip
    if value["map"]:
        file = "nav2.launch.py" if value["nav2"].lower() in ("true", "1") else "bringup.launch.py"
        # Included files inherit every argument: `world` would start astra_sim beside Gazebo.
        overridden = {"world": "", "use_sim_time": "true"}
        bringup = PythonLaunchDescriptionSource(str(Path(__file__).resolve().with_name(file)))
        started.append(IncludeLaunchDescription(bringup, launch_arguments=list(overridden.items())))
    return started


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=actions)])
