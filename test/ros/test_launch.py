import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gazebo_hall
import launch_evaluator
import pytest
import ros_graph
import yaml
from ament_index_python.packages import get_package_prefix

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]


def check(context: launch_evaluator.Context) -> list[str]:
    """Every executable exists and every parameter file is there; returns the executables."""
    for node in context.nodes:
        executable = Path(get_package_prefix(node["package"])) / "lib" / node["package"] / node["executable"]
        assert os.access(executable, os.X_OK), executable
        for parameters in node["parameters"]:
            assert isinstance(parameters, dict) or Path(parameters).is_file()
    return [node["executable"] for node in context.nodes]


def test_bringup_starts_what_astra_up_starts(tmp_path: Path) -> None:
    from astra.ros.stack import StackOptions, describe

    started = check(launch_evaluator.evaluate(ROOT / "launch" / "bringup.launch.py", {"map": str(tmp_path)}))
    assert started == [spec.name for spec in describe(StackOptions(map=tmp_path))]


def test_nav2_and_namespace_reach_the_nodes(tmp_path: Path) -> None:
    context = launch_evaluator.evaluate(ROOT / "launch" / "bringup.launch.py", {"map": str(tmp_path), "nav2": "true", "namespace": "r2"})
    assert "astra_controller" not in check(context)
    assert {node["namespace"] for node in context.nodes} == {"r2"}


def test_sim_starts_the_simulator_alone(tmp_path: Path) -> None:
    assert check(launch_evaluator.evaluate(ROOT / "launch" / "sim.launch.py", {"world": str(tmp_path)})) == ["astra_sim"]


def test_mapping_runs_the_command() -> None:
    context = launch_evaluator.evaluate(ROOT / "launch" / "mapping.launch.py", {"tour": "/t", "map": "/m"})
    (command,) = context.processes
    assert os.access(command[0], os.X_OK)
    assert command[1:] == ["map", "build", "/t", "--out", "/m"]


def nav2(tmp_path: Path, **arguments: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Ours and Nav2's nodes by name, with `parameters` as one mapping: those of the files' sections, then what the launch file lays over them."""
    context = launch_evaluator.evaluate(ROOT / "launch" / "nav2.launch.py", {"map": str(tmp_path), **arguments})
    check(launch_evaluator.Context({}, nodes=[node for node in context.nodes if node["package"] == "astra_nav"]))
    for node in context.nodes:
        merged: dict[str, Any] = {}
        for entry in node["parameters"]:
            merged |= entry if isinstance(entry, dict) else yaml.safe_load(Path(entry).read_text())["/**"].get(node["name"], {}).get("ros__parameters", {})
        node["parameters"] = merged
    ours = {node["name"]: node for node in context.nodes if node["package"] == "astra_nav"}
    return ours, {node["name"]: node for node in context.nodes if node["package"] != "astra_nav"}


def test_nav2_starts_its_servers_with_a_section_of_parameters_each(tmp_path: Path) -> None:
    ours, servers = nav2(tmp_path, namespace="r2")
    assert "astra_controller" not in ours
    manager = servers["lifecycle_manager_navigation"]["parameters"]
    assert set(manager["node_names"]) == set(servers) - {"lifecycle_manager_navigation"} == {"controller_server", "behavior_server", "collision_monitor"}
    assert manager["bond_timeout"] == 0.0
    assert set(servers) | {"local_costmap"} <= set(yaml.safe_load((ROOT / "config" / "nav2" / "nav2.yaml").read_text())["/**"])
    gate = servers["collision_monitor"]["parameters"]
    assert gate["scan.topic"] == gate["obstacle_layer.scan.topic"] == "/r2/scan"
    for name, node in servers.items():
        assert node["namespace"] == "r2"
        assert node["parameters"]["enable_stamped_cmd_vel"] is False
        if name in ("controller_server", "behavior_server"):
            assert ("cmd_vel", gate["cmd_vel_in_topic"]) in node["remappings"]


def test_bt_navigator_takes_the_goals_and_finds_every_server_of_our_tree(tmp_path: Path) -> None:
    ours, servers = nav2(tmp_path, bt="true")
    mine, theirs = ours["astra_navigator"]["parameters"], servers["bt_navigator"]["parameters"]
    assert mine["serve_navigate_to_pose"] is mine["subscribe_goal_pose"] is False
    tree = ElementTree.parse(theirs["default_nav_to_pose_bt_xml"]).getroot()
    wanted = {node.tag.lower() for node in tree.iter() if node.tag in ("Spin", "BackUp", "Wait")}
    assert wanted == set(servers["behavior_server"]["parameters"]["behavior_plugins"])
    assert "bt_navigator" in servers["lifecycle_manager_navigation"]["parameters"]["node_names"]


def test_nav2s_own_map_mppi_and_stamped_commands(tmp_path: Path) -> None:
    ours, servers = nav2(tmp_path, nav2_map="/maps/floor.yaml", controller="mppi", stamped="true", world=str(tmp_path))
    assert servers["map_server"]["parameters"]["yaml_filename"] == "/maps/floor.yaml"
    assert ours["astra_global"]["parameters"]["publish_map"] is False
    assert servers["controller_server"]["parameters"]["FollowPath"]["plugin"] == "nav2_mppi_controller::MPPIController"
    assert all(node["parameters"]["enable_stamped_cmd_vel"] is True for node in [*servers.values(), ours["astra_sim"]])
    assert servers["lifecycle_manager_navigation"]["parameters"]["node_names"][0] == "map_server"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `astra sim export` makes of a small hall."""
    from astra.sim.gazebo import export_sdf
    from astra.sim.robot import RobotConfig

    out = tmp_path_factory.mktemp("gazebo") / "hall"
    export_sdf(gazebo_hall.build_hall(out.parent / "world"), RobotConfig(), out)
    return out


def test_gazebo_takes_the_simulators_place(exported: Path, tmp_path: Path) -> None:
    from astra.ros.stack import StackOptions, describe

    arguments = {"world": str(exported), "map": str(tmp_path), "namespace": "r2", "gui": "false"}
    context = launch_evaluator.evaluate(ROOT / "launch" / "gazebo.launch.py", arguments)
    ours = [node for node in context.nodes if node["package"] == "astra_nav"]
    started = check(launch_evaluator.Context({}, nodes=ours))
    assert started == [spec.name for spec in describe(StackOptions(map=tmp_path))]  # astra_sim is not among them
    assert all(any(isinstance(p, dict) and p.get("use_sim_time") is True for p in node["parameters"]) for node in context.nodes)
    assert {node["namespace"] for node in context.nodes} == {"r2"}
    ((file, options),) = context.foreign
    assert file == "ros_gz_sim/launch/gz_sim.launch.py"
    assert options["gz_args"].split() == ["-r", "-s", "--headless-rendering", str(exported / "world.sdf")]
    models = Path(context.environment["GZ_SIM_RESOURCE_PATH"])
    uris = [uri.text for uri in ElementTree.parse(exported / "world.sdf").iter("uri")]
    assert len(uris) == 2
    assert all((models / str(uri).removeprefix("model://") / "model.config").is_file() for uri in uris)
    others = {node["package"]: node for node in context.nodes if node["package"] != "astra_nav"}
    assert set(others) == {"ros_gz_bridge", "robot_state_publisher"}
    (bridge,) = others["ros_gz_bridge"]["parameters"]
    assert Path(bridge["config_file"]).is_file()
    (description,) = others["robot_state_publisher"]["parameters"]
    links = {link.get("name") for link in ElementTree.fromstring(description["robot_description"]).iter("link")}
    assert {"base_link", "front_optical_frame", "imu_link", "lidar"} <= links


def test_gazebo_with_nav2_and_alone(exported: Path, tmp_path: Path) -> None:
    launch = ROOT / "launch" / "gazebo.launch.py"
    context = launch_evaluator.evaluate(launch, {"world": str(exported), "map": str(tmp_path), "nav2": "true"})
    executables = [node["executable"] for node in context.nodes]
    assert "controller_server" in executables
    assert "astra_sim" not in executables
    alone = launch_evaluator.evaluate(launch, {"world": str(exported)})
    assert [node["package"] for node in alone.nodes] == ["ros_gz_bridge", "robot_state_publisher"]
    with pytest.raises(FileNotFoundError, match=r"holds no world\.sdf"):
        launch_evaluator.evaluate(launch, {"world": str(tmp_path)})


def test_everything_the_stack_hears_from_a_robot_comes_through_the_bridge() -> None:
    """The simulator's publishers in docs/INTERFACES.md, less what robot_state_publisher does or Gazebo has nothing like."""
    document = (ROOT / "docs" / "INTERFACES.md").read_text(encoding="utf-8")
    section = document.split("## astra_sim")[1].split("\n## ")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in section.splitlines() if line.startswith(("| publishes", "| subscribes"))]
    offered = {name.lstrip("/"): kind for _, name, kind in rows}
    bridged = {e["ros_topic_name"].lstrip("/"): e["ros_type_name"] for e in yaml.safe_load((ROOT / "config" / "gazebo" / "bridge.yaml").read_text())}
    others = {"robot_description", "tf_static", "diagnostics", "ground_truth/collisions"}
    assert {name: kind for name, kind in offered.items() if name not in others} == {n: k for n, k in bridged.items() if n != "joint_states"}


def displays(path: Path) -> dict[str, tuple[str, str]]:
    """Topics of the displays and tools of an RViz configuration → (class, durability)."""
    manager = yaml.safe_load(path.read_text(encoding="utf-8"))["Visualization Manager"]
    found = {}
    for entry in [*manager["Displays"], *manager["Tools"]]:
        topic = entry.get("Topic") or entry.get("Description Topic")
        if topic is not None:
            found[topic["Value"]] = (entry["Class"].rpartition("/")[2], topic["Durability Policy"])
    return found


def test_every_display_shows_a_topic_of_the_right_type_that_somebody_publishes() -> None:
    document = (ROOT / "docs" / "INTERFACES.md").read_text(encoding="utf-8")
    types = {name: (role, kind) for rows in ros_graph.documented(ROOT / "docs" / "INTERFACES.md").values() for role, name, kind in rows if role != "calls"}
    later = dict(re.findall(r"`(/astra/\w+)` \(`(\S+?)`", document.split("Kept, and not published yet")[1].split("\n\n")[0]))
    wanted = {
        "Map": "nav_msgs/msg/OccupancyGrid", "MarkerArray": "visualization_msgs/msg/MarkerArray", "RobotModel": "std_msgs/msg/String",
        "Polygon": "geometry_msgs/msg/PolygonStamped", "PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
        "Odometry": "nav_msgs/msg/Odometry", "LaserScan": "sensor_msgs/msg/LaserScan", "Path": "nav_msgs/msg/Path", "Pose": "geometry_msgs/msg/PoseStamped",
        "Image": "sensor_msgs/msg/Image", "SetInitialPose": "geometry_msgs/msg/PoseWithCovarianceStamped", "SetGoal": "geometry_msgs/msg/PoseStamped",
    }  # fmt: skip
    shown = displays(ROOT / "config" / "rviz" / "astra.rviz")
    for topic, (kind, _) in shown.items():
        assert wanted[kind] == (later[topic] if topic in later else types[topic][1]), topic
    latched = {"/map", "/astra/graph_markers", "/robot_description", "/astra/footprint", "/astra/route", "/astra/hypotheses"}
    assert {topic for topic, (_, durability) in shown.items() if durability == "Transient Local"} == latched
    assert {"/astra/samples", "/astra/occupancy_forecast", "/goal_pose", "/initialpose"} <= set(shown)


def test_rviz_looks_at_one_robot_of_several() -> None:
    launch = ROOT / "launch" / "rviz.launch.py"
    (alone,) = launch_evaluator.evaluate(launch, {}).nodes
    assert alone["arguments"] == ["-d", str(ROOT / "config" / "rviz" / "astra.rviz")]
    (second,) = launch_evaluator.evaluate(launch, {"namespace": "r2"}).nodes
    assert second["namespace"] == "r2"
    topics = set(displays(Path(second["arguments"][1])))
    assert topics == {f"/r2{topic}" for topic in displays(Path(alone["arguments"][1]))}


def test_two_robots_in_one_graph_share_no_name(tmp_path: Path) -> None:
    """Nothing of ours is absolute but /clock, /diagnostics and the frames' names; heartbeats of another robot are nobody's."""
    from astra.ros.watch import own_name

    robots = [launch_evaluator.evaluate(ROOT / "launch" / "bringup.launch.py", {"map": str(tmp_path), "namespace": n}).nodes for n in ("r1", "r2")]
    assert {node["namespace"] for node in robots[0]}.isdisjoint(node["namespace"] for node in robots[1])
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "astra" / "ros").rglob("*.py") if "faults" not in str(path)]
    makers = "create_publisher|create_subscription|PolledSubscription|create_service|create_client|ActionClient|ActionServer"
    created = re.compile(rf'(?:{makers})\([^"\n]*"(/[^"]*)"')
    absolute = {name for source in sources for name in created.findall(source)}
    assert {name for name in absolute if not name.startswith("/ground_truth")} <= {"/clock", "/diagnostics", "/astra/localization", "/navigate_to_target"}
    assert own_name("r1/astra_local", "/r1") == own_name("astra_local", "/") == "astra_local"
    assert own_name("r1/astra_local", "/r2") is own_name("r1/astra_local", "/") is own_name("astra_local", "/r1") is None


@pytest.mark.parametrize("path", sorted((ROOT / "launch").glob("*.launch.py")), ids=lambda p: p.name)
def test_every_launch_file_is_covered_here(path: Path) -> None:
    assert path.name in Path(__file__).read_text()
