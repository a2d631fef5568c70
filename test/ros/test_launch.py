import os
from pathlib import Path

import launch_evaluator
import pytest
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


def test_nav2_starts_its_servers_with_a_section_of_parameters_each(tmp_path: Path) -> None:
    context = launch_evaluator.evaluate(ROOT / "launch" / "nav2.launch.py", {"map": str(tmp_path), "namespace": "r2"})
    ours = [node for node in context.nodes if node["package"] == "astra_nav"]
    assert "astra_controller" not in check(launch_evaluator.Context({}, nodes=ours))
    servers = {node["name"]: node for node in context.nodes if node["package"] != "astra_nav"}
    sections = yaml.safe_load((ROOT / "config" / "nav2" / "nav2.yaml").read_text())
    assert set(sections["lifecycle_manager_navigation"]["ros__parameters"]["node_names"]) == set(servers) - {"lifecycle_manager_navigation"}
    assert set(servers) <= set(sections)
    gate = sections["collision_monitor"]["ros__parameters"]
    for name, node in servers.items():
        assert node["namespace"] == "r2"
        if name in ("controller_server", "behavior_server"):
            assert ("cmd_vel", gate["cmd_vel_in_topic"]) in node["remappings"]


@pytest.mark.parametrize("path", sorted((ROOT / "launch").glob("*.launch.py")), ids=lambda p: p.name)
def test_every_launch_file_is_covered_here(path: Path) -> None:
    assert path.name in Path(__file__).read_text()
