"""`astra odometry DRIVE --out traj.tum`: wheel and IMU odometry of a recorded drive."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from astra.core.errors import BadInputError

EXAMPLES = """examples:
  astra odometry drives/tour0 --out tour0.tum
  astra odometry drives/tour0 --out wheel_only.tum --sensors wheel
  astra odometry drives/tour0 --out imu_only.tum --sensors imu     (good for seconds after each rest)
  astra odometry drives/tour0 --out seen.tum --sensors vision,imu,wheel
  astra odometry bags/husky --out husky.tum --config my_odometry.yaml --json
"""
SENSORS = ("vision", "imu", "wheel")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `astra odometry`."""
    parser.epilog = EXAMPLES
    parser.add_argument("drive", type=Path, help="rosbag2 folder or MCAP file with wheel odometry, an IMU, or both")
    parser.add_argument("--out", type=Path, required=True, help="TUM trajectory to write, odom_from_base")
    parser.add_argument("--sensors", default="imu,wheel", help="comma-separated subset of vision, imu, wheel (default: imu,wheel)")
    parser.add_argument("--eyes", type=Path, default=Path("models/eyes"), help="vision: the exported eyes (default: %(default)s)")
    parser.add_argument("--head", type=Path, default=Path("models/odometry"), help="vision: the exported odometry head (default: %(default)s)")
    parser.add_argument("--config", type=Path, help="YAML with overrides of OdometryConfig")
    parser.add_argument("--topics", type=Path, metavar="FILE", help="topic map YAML (default: topics are found by type)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Integrate the drive and write its trajectory."""
    from astra.core.config import load_config
    from astra.datasets import TopicMap, open_drive
    from astra.datasets.mounting import MountedImu, imu_on_base
    from astra.fusion.inertial import integrate_imu
    from astra.fusion.odometry import OdometryConfig, integrate

    sensors = _sensors(args.sensors)
    config = load_config(OdometryConfig, args.config)
    drive = open_drive(args.drive, TopicMap.load(args.topics) if args.topics else None, need_cameras="vision" in sensors)
    wheel = drive.wheel() if "wheel" in sensors else ()
    mounted = imu_on_base(drive) if "imu" in sensors else MountedImu((), "not asked for")
    if "wheel" in sensors and not wheel:
        raise BadInputError(f"{args.drive} holds no wheel odometry")
    if "wheel" not in sensors and "imu" in sensors and not mounted.samples:
        raise BadInputError(f"{args.drive} holds no IMU")
    if sensors == {"imu"} and not any(math.isfinite(s.linear_acceleration[0]) for s in mounted.samples):
        raise BadInputError(f"{args.drive}: nothing tells which way its IMU looks (no /tf_static): without wheels that must be known")
    if "imu" in sensors and not mounted.samples and not args.json:
        print("no IMU in this drive: the heading comes from the wheels alone")
    if "vision" in sensors:
        from astra.evaluation.odometry_vision import fused, look_through

        trajectory = fused(look_through(drive, args.eyes, args.head, sensors, mounted.samples), wheel, mounted.samples, config)
    else:
        trajectory = integrate(wheel, mounted.samples, config) if wheel else integrate_imu(mounted.samples)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = args.out.with_name(f".{args.out.name}.tmp")
    trajectory.save_tum(unfinished)
    unfinished.replace(args.out)
    summary = {
        "poses": len(trajectory.stamps_ns),
        "length_m": round(trajectory.length_m(), 3),
        "duration_s": round(float(trajectory.stamps_ns[-1] - trajectory.stamps_ns[0]) / 1e9, 3),
        "sensors": [name for name, there in (("vision", "vision" in sensors), ("imu", mounted.samples), ("wheel", wheel)) if there],
        "imu_mounting": mounted.how,
        "out": str(args.out),
    }
    print(json.dumps(summary) if args.json else f"{summary['poses']} poses, {summary['length_m']} m in {summary['duration_s']} s → {args.out}")
    return 0


def _sensors(text: str) -> frozenset[str]:
    chosen = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(chosen - set(SENSORS))
    if unknown or not chosen:
        raise BadInputError(f"--sensors {text!r}: choose from {', '.join(SENSORS)}")
    return chosen
