"""The behaviour tree for a stock bt_navigator: Nav2's own nodes alone, and actions that this suite or Nav2 serves."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[3]
STOCK = {
    "root", "BehaviorTree", "RecoveryNode", "PipelineSequence", "RateController", "ComputePathToPose", "FollowPath", "ReactiveFallback", "GoalUpdated",
    "RoundRobin", "Wait", "Spin", "BackUp", "Fallback", "Sequence", "WouldAControllerRecoveryHelp",
}  # fmt: skip


def test_routes_come_from_the_navigator_and_are_driven_by_astra_local() -> None:
    root = ET.parse(ROOT / "config" / "nav2" / "navigate_to_pose.xml").getroot()
    assert root.get("BTCPP_format") == "4"
    assert root.get("main_tree_to_execute") in {tree.get("ID") for tree in root.iter("BehaviorTree")}
    assert {node.tag for node in root.iter()} <= STOCK
    servers = {node.tag: node.get("server_name", "") for node in root.iter() if node.get("server_name")}
    assert servers == {"ComputePathToPose": "compute_path_to_pose", "FollowPath": "astra/follow_path", "Spin": "spin", "BackUp": "backup"}
    known = (ROOT / "docs" / "INTERFACES.md").read_text(encoding="utf-8")
    assert all(f"`/{name}`" in known for name in servers.values())


def test_the_robot_moves_to_recover_only_where_the_error_of_follow_path_says_that_it_may_help() -> None:
    root = ET.parse(ROOT / "config" / "nav2" / "navigate_to_pose.xml").getroot()
    (follow,) = root.iter("FollowPath")
    (motions,) = (node for node in root.iter("Sequence") if node.get("name") == "AMotionMayHelp")
    assert motions[0].tag == "WouldAControllerRecoveryHelp"
    assert motions[0].get("error_code") == follow.get("error_code_id")
    assert {"Spin", "BackUp"} <= {node.tag for node in motions.iter()}
    assert sum(node.tag in ("Spin", "BackUp") for node in root.iter()) == 2
