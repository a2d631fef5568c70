"""Send a sentence to a running stack and print what it reports: `python examples/send_goal.py "find the resting area"`."""

import sys

from astra.ros.environment import activate

activate()

import rclpy  # noqa: E402
from astra_nav.action import NavigateToTarget  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402


def main(text: str) -> int:
    """Send the goal and wait for its end; returns the action's error code."""
    rclpy.init()
    node = rclpy.create_node("send_goal")
    client = ActionClient(node, NavigateToTarget, "navigate_to_target")
    if not client.wait_for_server(10.0):
        print("no stack is running: start one with `astra up --map MAP`", file=sys.stderr)
        return 1
    goal = NavigateToTarget.Goal(kind=NavigateToTarget.Goal.KIND_TEXT, text=text)
    sent = client.send_goal_async(goal, feedback_callback=lambda m: print(f"{m.feedback.why} ({m.feedback.distance_remaining:.1f} m to go)"))
    rclpy.spin_until_future_complete(node, sent)
    ended = sent.result().get_result_async()
    rclpy.spin_until_future_complete(node, ended)
    result = ended.result().result
    print("arrived" if result.error_code == 0 else f"ended with code {result.error_code}: {result.error_msg}")
    node.destroy_node()
    rclpy.shutdown()
    return int(result.error_code)


if __name__ == "__main__":
    raise SystemExit(main(" ".join(sys.argv[1:]) or "find the resting area"))
