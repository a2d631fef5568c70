from pathlib import Path

import pytest

from astra.core.errors import BadInputError, ConfigError
from astra.ros.stack import SimOptions, StackOptions, describe


@pytest.fixture
def topomap(tmp_path: Path) -> Path:
    (tmp_path / "map").mkdir()
    return tmp_path / "map"


def names(options: StackOptions) -> list[str]:
    return [spec.name for spec in describe(options)]


def test_the_robot_runs_the_five_nodes(topomap: Path) -> None:
    assert names(StackOptions(map=topomap)) == ["astra_odometry", "astra_controller", "astra_local", "astra_global", "astra_navigator"]


def test_nav2_takes_the_controllers_place(topomap: Path) -> None:
    assert "astra_controller" not in names(StackOptions(map=topomap, nav2=True))


def test_simulation_sets_simulated_time_everywhere_but_in_the_simulator(topomap: Path, tmp_path: Path) -> None:
    specs = describe(StackOptions(map=topomap, sim=SimOptions(tmp_path), record=tmp_path / "bag"))
    assert [s.name for s in specs][:2] == ["astra_recorder", "astra_sim"]
    assert all(s.parameters.get("use_sim_time") is True for s in specs if s.name != "astra_sim")


def test_only_the_simulator_is_told_of_the_world(topomap: Path, tmp_path: Path) -> None:
    world = tmp_path / "secret_world"
    world.mkdir()
    for spec in describe(StackOptions(map=topomap, sim=SimOptions(world, start="1,2,3"))):
        told = any("secret_world" in str(value) or str(value) == "1,2,3" for value in spec.parameters.values())
        assert told == (spec.name == "astra_sim")


def test_who_owns_what_beside_nav2(topomap: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.yaml"
    mask.touch()
    options = StackOptions(map=topomap, sim=SimOptions(tmp_path), stamped=True, bt=True, publish_map=False, keepout_mask=mask)
    given = {spec.name: spec.parameters for spec in describe(options)}
    assert given["astra_sim"]["enable_stamped_cmd_vel"] is given["astra_controller"]["enable_stamped_cmd_vel"] is True
    assert given["astra_navigator"]["serve_navigate_to_pose"] is given["astra_navigator"]["subscribe_goal_pose"] is False
    assert given["astra_global"]["publish_map"] is False
    assert given["astra_local"]["keepout_mask"] == str(mask)
    assert "speed_mask" not in given["astra_local"]
    assert given["astra_navigator"]["keepout_mask"] == str(mask)  # routes lead around it
    with pytest.raises(BadInputError, match=r"speed_mask .*nowhere"):
        describe(StackOptions(map=topomap, speed_mask=tmp_path / "nowhere"))


def test_what_does_not_exist_is_refused(tmp_path: Path, topomap: Path) -> None:
    with pytest.raises(BadInputError, match="nowhere"):
        describe(StackOptions(map=tmp_path / "nowhere"))
    with pytest.raises(BadInputError, match="nowhere"):
        describe(StackOptions(map=topomap, sim=SimOptions(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="map"):
        StackOptions()
