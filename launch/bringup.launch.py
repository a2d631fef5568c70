"""The stack on a robot: `ros2 launch astra_nav bringup.launch.py map:=/maps/home`."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from astra.ros.stack import SimOptions, StackOptions, describe
from launch import LaunchDescription

ARGUMENTS = {
    "map": ("", "map folder"),
    "namespace": ("", "namespace of all nodes"),
    "use_sim_time": ("false", "follow /clock"),
    "nav2": ("false", "Nav2's servers follow paths, spin and back up"),
    "bt": ("false", "Nav2's bt_navigator serves navigate_to_pose and goal_pose"),
    "stamped": ("false", "cmd_vel is a TwistStamped, Nav2's default from Kilted on"),
    "publish_map": ("true", "false where Nav2's map_server owns /map"),
    "keepout_mask": ("", "map_server YAML of zones that nobody may enter"),
    "speed_mask": ("", "map_server YAML of speed limits in percent"),
    "dash": ("false", "serve a live page about the robot"),
    "autostart": ("true", "go to active without a lifecycle manager"),
    "record": ("", "record every topic to this folder"),
    "black_box": ("", "keep the last minute in memory, and write it to this folder when something goes wrong"),
    "world": ("", "run the embedded simulator in this world"),
    "start": ("random", "simulator: 'random' or x,y,yaw"),
    "seed": ("0", "simulator: seed"),
    "lidar": ("true", "simulator: with the lidar"),
    "config": ("", "folder of parameter files instead of config/"),
}


def nodes(context):
    """The launch actions of the stack that `astra.ros.stack` describes."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    true = {name for name, text in value.items() if text.lower() in ("true", "1")}
    options = StackOptions(
        map=Path(value["map"]) if value["map"] else None,
        sim=SimOptions(Path(value["world"]), value["start"], int(value["seed"]), "lidar" in true) if value["world"] else None,
        use_sim_time="use_sim_time" in true,
        namespace=value["namespace"],
        nav2="nav2" in true,
        record=Path(value["record"]) if value["record"] else None,
        black_box=Path(value["black_box"]) if value["black_box"] else None,
        dash="dash" in true,
        autostart="autostart" in true,
        config_dir=Path(value["config"]) if value["config"] else None,
        bt="bt" in true,
        stamped="stamped" in true,
        publish_map="publish_map" in true,
        keepout_mask=Path(value["keepout_mask"]) if value["keepout_mask"] else None,
        speed_mask=Path(value["speed_mask"]) if value["speed_mask"] else None,
    )
    return [
        Node(
            package="astra_nav", executable=spec.name, name=spec.name, namespace=options.namespace, output="screen", respawn=True, respawn_delay=1.0,
            parameters=[*([str(spec.config)] if spec.config else []), dict(spec.parameters)],
        )
        for spec in describe(options)
    ]  # fmt: skip


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=nodes)])
