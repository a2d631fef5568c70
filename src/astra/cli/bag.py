"""`astra bag`: keep the last minute of everything when something goes wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLES = """examples:
  astra bag snapshot --out snapshots                 keeps the last 60 s in memory until Ctrl-C; writes them down when something goes wrong
  astra bag snapshot --out snapshots --seconds 120 --max-disk-mb 500
  astra bag snapshot --now                           asks the one that runs to write now (the same: ros2 service call /astra/snapshot std_srvs/srv/Trigger)
  astra up --map maps/home --black-box snapshots     the stack with it
"""
ANSWER_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("action", choices=("snapshot",), help="snapshot: a ring of the last minute, written when something goes wrong or on request")
    parser.add_argument("--now", action="store_true", help="ask the running one to write now, and end")
    parser.add_argument("--out", type=Path, default=Path("out/snapshots"), help="folder for the snapshots (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="how much is kept (default: 60)")
    parser.add_argument("--max-disk-mb", type=float, help="bound of all snapshots together; the oldest are removed (default: 1000)")
    parser.add_argument("--namespace", default="", help="ROS namespace of the robot")
    parser.add_argument("--use-sim-time", action="store_true", help="follow /clock")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the node in this process until Ctrl-C, or ask the running one."""
    from astra.core.paths import share_dir
    from astra.ros.environment import activate

    activate()
    if args.now:
        return _ask(args.namespace)
    from astra.ros.nodes import astra_black_box

    words = ["--ros-args", "--params-file", str(share_dir() / "config" / "astra_black_box.yaml"), "-p", f"out:={args.out.resolve()}"]
    if args.namespace:
        words += ["-r", f"__ns:=/{args.namespace.strip('/')}"]
    given = {"seconds": args.seconds, "max_disk_mb": args.max_disk_mb, "use_sim_time": args.use_sim_time or None}
    for name, value in given.items():
        if value is not None:
            words += ["-p", f"{name}:={str(value).lower()}"]
    sys.argv = ["astra_black_box", *words]
    return astra_black_box.main()


def _ask(namespace: str) -> int:
    """Call /astra/snapshot and print the answer."""
    import rclpy
    from std_srvs.srv import Trigger

    from astra.core.errors import AstraError

    rclpy.init(args=[])
    asker = rclpy.create_node("astra_snapshot_asker", namespace=namespace)
    try:
        client = asker.create_client(Trigger, "astra/snapshot")
        if not client.wait_for_service(ANSWER_S):
            raise AstraError("no black box is running: start one with `astra bag snapshot` or `astra up --black-box DIR`")
        answer = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(asker, answer, timeout_sec=ANSWER_S)
        if not answer.done():
            raise AstraError(f"the black box did not answer within {ANSWER_S:.0f} s")
        print(answer.result().message)
        return int(not answer.result().success)
    finally:
        asker.destroy_node()
        rclpy.try_shutdown()
