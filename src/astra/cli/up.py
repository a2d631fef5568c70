"""`astra up`: the stack as supervised processes, for machines without `ros2 launch`."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from pathlib import Path

EXAMPLES = """examples:
  astra up --map maps/home                          on a robot
  astra up --map maps/office --sim worlds/office    with the embedded simulator
  ROS_DOMAIN_ID=7 astra up --map maps/home --record bags/today
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--map", type=Path, required=True, help="map folder")
    parser.add_argument("--sim", type=Path, metavar="WORLD", help="run the embedded simulator in this world")
    parser.add_argument("--start", default="random", help="simulator: 'random' or x,y,yaw (default: random)")
    parser.add_argument("--seed", type=int, default=0, help="simulator: seed")
    parser.add_argument("--no-lidar", action="store_true", help="simulator: without the lidar")
    parser.add_argument("--record", type=Path, metavar="BAG", help="record every topic")
    parser.add_argument("--black-box", type=Path, metavar="DIR", help="keep the last minute in memory, and write it here when something goes wrong")
    parser.add_argument("--dash", action="store_true", help="serve a live page (config/astra_dash.yaml; commands need ASTRA_DASH_TOKEN)")
    parser.add_argument("--nav2", action="store_true", help="leave path following to Nav2's servers")
    parser.add_argument("--use-sim-time", action="store_true", help="follow /clock")
    parser.add_argument("--namespace", default="", help="ROS namespace of all nodes")
    parser.add_argument("--config", type=Path, metavar="DIR", help="folder of parameter files instead of config/")
    parser.add_argument("--log-dir", type=Path, help="one log file per node (default: out/logs/TIME)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C; exit code 1 if a node stays down, 2 if it refuses its parameters or files."""
    from astra.core.errors import BadInputError
    from astra.ros.environment import activate
    from astra.ros.stack import SimOptions, StackOptions, describe

    activate()
    from astra.ros.listener import Listener
    from astra.ros.supervisor import Supervisor

    sim = SimOptions(args.sim, args.start, args.seed, not args.no_lidar) if args.sim else None
    options = StackOptions(
        map=args.map, sim=sim, use_sim_time=args.use_sim_time, namespace=args.namespace, nav2=args.nav2, record=args.record, dash=args.dash,
        black_box=args.black_box, config_dir=args.config,
    )
    nodes = describe(options)
    log_dir = args.log_dir or Path("out/logs") / time.strftime("%Y%m%d-%H%M%S")
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    with Supervisor(nodes, log_dir, namespace=args.namespace, say=lambda text: print(text, flush=True)) as stack:
        print(f"{', '.join(stack.names)} started in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}; logs in {log_dir}; Ctrl-C ends", flush=True)
        with Listener(args.namespace) as listener:
            began, missing = time.monotonic(), set(stack.names)
            while not ended.is_set() and not stack.failed:
                listener.listen(0.5)
                if missing and not (missing := missing - listener.active):
                    print(f"all nodes active after {time.monotonic() - began:.1f} s", flush=True)
        return BadInputError.exit_code if stack.refused else int(bool(stack.failed))
