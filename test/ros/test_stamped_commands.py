"""cmd_vel as TwistStamped, Nav2's default from Kilted on."""

from __future__ import annotations

from pathlib import Path

import pytest
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import TwistStamped
from nav2_msgs.action import Spin
from rclpy.action import ActionClient
from ros_bench import ros_bench

from astra.core.types import seconds
from astra.ros import qos
from astra.ros.conversions import ns_from_stamp

pytestmark = pytest.mark.ros
ROBOT = Path(__file__).parent / "loopback_robot.py"


def test_commands_bear_stamp_and_frame_where_asked_for(ros_domain_of_module: int) -> None:
    commands: list[tuple[int, TwistStamped]] = []
    with ros_bench() as bench:
        bench.start("loopback_robot", code=f"import runpy; runpy.run_path({str(ROBOT)!r}, run_name='__main__')")
        bench.start("astra_odometry")
        bench.start("astra_controller", {"enable_stamped_cmd_vel": True})
        bench.node.create_subscription(TwistStamped, "cmd_vel", lambda m: commands.append((bench.node.get_clock().now().nanoseconds, m)), qos.RELIABLE)
        client = ActionClient(bench.node, Spin, "spin")
        bench.until(lambda: bench.active("astra_controller") and bench.active("astra_odometry") and client.server_is_ready(), 30.0, "the nodes")
        bench.until(lambda: bench.diagnostics.get("astra_odometry: odometry", (b"", ""))[0] == b"\x00", 10.0, "odometry")
        handle = bench.goal(client, Spin.Goal(target_yaw=1.0, time_allowance=Duration(sec=10)))
        bench.until(lambda: any(m.twist.angular.z > 0.0 for _, m in commands), 5.0, "a command that turns")
        handle.cancel_goal_async()
        bench.until(lambda: commands[-1][1].twist.angular.z == 0.0, 5.0, "the stop")
        client.destroy()
    assert {m.header.frame_id for _, m in commands} == {"base_link"}
    assert all(abs(seconds(now - ns_from_stamp(m.header.stamp))) < 1.0 for now, m in commands)
