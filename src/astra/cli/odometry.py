"""`astra odometry DRIVE --out traj.tum`: wheel and IMU odometry of a recorded drive."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra odometry drives/tour0 --out tour0.tum
  astra odometry drives/tour0 --out wheel_only.tum --sensors wheel
  astra odometry bags/husky --out husky.tum --config my_odometry.yaml --json
"""
SENSORS = ("vision", "imu", "wheel")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra odometry`."""
    parser.epilog = EXAMPLES
    parser.add_argument("drive", type=Path, help="rosbag2 folder or MCAP file with wheel odometry and, if present, an IMU")
    parser.add_argument("--out", type=Path, required=True, help="TUM trajectory to write, odom_from_base")
    parser.add_argument("--sensors", default="imu,wheel", help="comma-separated subset of vision, imu, wheel (default: imu,wheel)")
    parser.add_argument("--config", type=Path, help="YAML with overrides of OdometryConfig")
    parser.add_argument("--topics", type=Path, metavar="FILE", help="topic map YAML (default: topics are found by type)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Integrate the drive and write its trajectory."""
    from astra.core.config import load_config
    from astra.datasets import TopicMap, open_drive
    from astra.fusion.odometry import OdometryConfig, integrate

    sensors = _sensors(args.sensors)
    config = load_config(OdometryConfig, args.config)
    drive = open_drive(args.drive, TopicMap.load(args.topics) if args.topics else None, need_cameras=False)
    wheel = drive.wheel()
    if not len(wheel):
        raise BadInputError(f"{args.drive} holds no wheel odometry")
    imu = drive.imu() if "imu" in sensors else ()
    if "imu" in sensors and not len(imu) and not args.json:
        print("no IMU in this drive: the heading comes from the wheels alone")
    trajectory = integrate(wheel, imu, config)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = args.out.with_name(f".{args.out.name}.tmp")
    trajectory.save_tum(unfinished)
    unfinished.replace(args.out)
    summary = {
        "poses": len(trajectory.stamps_ns),
        "length_m": round(trajectory.length_m(), 3),
        "duration_s": round(float(trajectory.stamps_ns[-1] - trajectory.stamps_ns[0]) / 1e9, 3),
        "sensors": ["imu", "wheel"] if len(imu) else ["wheel"],
        "out": str(args.out),
    }
    print(json.dumps(summary) if args.json else f"{summary['poses']} poses, {summary['length_m']} m in {summary['duration_s']} s → {args.out}")
    return 0


def _sensors(text: str) -> frozenset[str]:
    chosen = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(chosen - set(SENSORS))
    if unknown or not chosen:
        raise BadInputError(f"--sensors {text!r}: choose from {', '.join(SENSORS)}")
    if "vision" in chosen:
        raise BadInputError("--sensors vision: no visual odometry model is installed")
    if "wheel" not in chosen:
        raise BadInputError(f"--sensors {text!r}: odometry without a visual model needs the wheels")
    return chosen
