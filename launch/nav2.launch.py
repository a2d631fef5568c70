"""The stack with Nav2's servers: `ros2 launch astra_nav nav2.launch.py map:=/maps/home`. Needs ros-$ROS_DISTRO-navigation2.

controller_server follows Astra-Local's paths, behavior_server spins and backs up, collision_monitor is the last hop before cmd_vel. With `bt:=true`
bt_navigator takes the goals and plans on the topological map by our tree; with `nav2_map:=floor.yaml` map_server owns /map. What bringup.launch.py
takes is taken here too.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "config" / "nav2"
ARGUMENTS = {
    "map": (None, "map folder"),
    "namespace": ("", "namespace of all nodes"),
    "use_sim_time": ("false", "follow /clock"),
    "controller": ("rpp", "rpp (regulated pure pursuit) or mppi"),
    "bt": ("false", "start bt_navigator with our behaviour tree"),
    "nav2_map": ("", "start map_server with this map; align ours to it first (astra map align)"),
    "stamped": ("false", "cmd_vel is a TwistStamped, Nav2's default from Kilted on"),
    "world": ("", "run the embedded simulator in this world"),
    "start": ("random", "simulator: 'random' or x,y,yaw"),
    "seed": ("0", "simulator: seed"),
}
# package, executable, and topics: what the servers command goes through the collision monitor
SERVERS = (
    ("nav2_controller", "controller_server", [("cmd_vel", "cmd_vel_nav")]),
    ("nav2_behaviors", "behavior_server", [("cmd_vel", "cmd_vel_nav")]),
    ("nav2_collision_monitor", "collision_monitor", []),
)


def actions(context):
    """Nav2's servers, their manager, and the stack."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    true = {name for name, text in value.items() if text.lower() in ("true", "1")}
    servers = [*SERVERS]
    if value["nav2_map"]:
        servers.insert(0, ("nav2_map_server", "map_server", []))
    if "bt" in true:
        servers.append(("nav2_bt_navigator", "bt_navigator", []))
    # Costmaps live in a namespace of their own, where a relative name means another topic.
    scan = "/".join(["", *value["namespace"].strip("/").split(), "scan"])
    common = {
        "use_sim_time": "use_sim_time" in true, "enable_stamped_cmd_vel": "stamped" in true,
        "obstacle_layer.scan.topic": scan, "scan.topic": scan,
        "default_nav_to_pose_bt_xml": str(CONFIG / "navigate_to_pose.xml"), "yaml_filename": value["nav2_map"],
    }  # fmt: skip
    files = [str(CONFIG / "nav2.yaml"), *([str(CONFIG / "mppi.yaml")] if value["controller"] == "mppi" else [])]
    manager = {"node_names": [executable for _, executable, _ in servers]}
    servers.append(("nav2_lifecycle_manager", "lifecycle_manager", []))
    started = [
        Node(
            package=package, executable=executable, name="lifecycle_manager_navigation" if executable == "lifecycle_manager" else executable,
            namespace=value["namespace"], output="screen", respawn=True, respawn_delay=1.0,
            parameters=[*files, common, *([manager] if executable == "lifecycle_manager" else [])],
            remappings=[("/tf", "tf"), ("/tf_static", "tf_static"), *topics],
        )
        for package, executable, topics in servers
    ]  # fmt: skip
    given = {**{name: value[name] for name in ("map", "namespace", "use_sim_time", "bt", "stamped", "world", "start", "seed")}, "nav2": "true"}
    if value["nav2_map"]:
        given["publish_map"] = "false"
    bringup = PythonLaunchDescriptionSource(str(HERE / "bringup.launch.py"))
    return [IncludeLaunchDescription(bringup, launch_arguments=list(given.items())), *started]


def generate_launch_description():
    """Entry point of `ros2 launch`."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=text) for name, (default, text) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=actions)])
