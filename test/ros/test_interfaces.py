"""The generated tf2_msgs and nav2_msgs are the real ones on the wire: their RIHS01 hashes are those of ROS 2 Jazzy's packages."""

import importlib
import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

from astra.navigation.mission import Code, Phase

pytestmark = pytest.mark.ros

HASHES = {
    "tf2_msgs/msg/TFMessage": "e369d0f05a23ae52",
    "tf2_msgs/action/LookupTransform": "0b8adf6bc0b59588",
    "nav2_msgs/msg/Costmap": "d51bf7aecafdbb3f",
    "nav2_msgs/action/NavigateToPose": "a56dba8a3234a121",
    "nav2_msgs/action/FollowPath": "9d95513552fb578c",
    "nav2_msgs/action/ComputePathToPose": "b11d50c914791956",
    "nav2_msgs/action/NavigateThroughPoses": "4e680a34fd277720",
}


@pytest.mark.parametrize(("interface", "prefix"), HASHES.items())
def test_hash(interface: str, prefix: str) -> None:
    package = interface.split("/")[0]
    description = json.loads((Path(get_package_share_directory(package)).parent / f"{interface}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes[interface].startswith(f"RIHS01_{prefix}")


def test_every_interface_of_ours_can_be_imported_and_has_error_codes_where_it_answers() -> None:
    root = Path(__file__).parents[2]
    for kind in ("msg", "srv", "action"):
        module = importlib.import_module(f"astra_nav.{kind}")
        for path in (root / kind).glob(f"*.{kind}"):
            interface = getattr(module, path.stem)
            answer = {"srv": "Response", "action": "Result"}.get(kind)
            if answer is not None:
                assert {"error_code", "error_msg"} <= set(getattr(interface, answer).get_fields_and_field_types()), path.name
                assert getattr(interface, answer).NONE == 0


def test_mission_codes_and_phases_are_those_of_the_action() -> None:
    from astra_nav.action import NavigateToTarget

    for code in Code:
        assert getattr(NavigateToTarget.Result, code.name) == code
    for phase in Phase:
        assert getattr(NavigateToTarget.Feedback, f"PHASE_{phase.name}") == phase
