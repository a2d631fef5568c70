"""`astra drive inspect`: is this recording complete, and do its clocks agree?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astra.datasets.report import DriveReport

EXAMPLES = """examples:
  astra drive inspect drives/office
  astra drive inspect bags/my_robot --topics my_robot.yaml --json
  astra drive inspect bags/my_robot --write-topics my_robot.yaml   # a topic map to start from

A topic map names a recording's topics and, where its clocks differ, whose stamps count:
  cameras:
    front: {image: /front/image_raw/compressed, info: /front/camera_info, depth: /front/depth}
  imu: /imu/data
  wheel: /odom
  scan: /scan
  clocks:
    /imu/data: {offset_s: -0.012}    # added to its stamps; "auto" estimates it from the times of reception
    /scan: {stamps: receive}         # times of reception, for drivers that do not stamp
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("drive", type=Path, help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file")
    parser.add_argument("--topics", type=Path, metavar="FILE", help="topic map YAML (default: topics are found by type)")
    parser.add_argument("--write-topics", type=Path, metavar="FILE", help="write the topic map in use to FILE")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    from astra.datasets import TopicMap, open_drive

    drive = open_drive(args.drive, TopicMap.load(args.topics) if args.topics else None, need_cameras=False)
    if args.write_topics is not None:
        drive.topics.save(args.write_topics)
    report = drive.report()
    print(json.dumps(report.to_json()) if args.json else _text(report))
    return 0


def _text(report: DriveReport) -> str:
    out = [f"{report.path}: {report.duration_s:.1f} s", f"  {'topic':<36} {'count':>7} {'Hz':>8} {'longest gap':>12} {'lost':>5}  {'delay':>8}  read as"]
    for t in report.topics:
        delay = "–" if t.delay_s is None else f"{t.delay_s[1] * 1e3:.1f} ms"
        lost = f"{t.dropped}" if t.role else ""
        offset = f" ({t.offset_s:+.3f} s)" if t.offset_s else ""
        out.append(f"  {t.topic:<36} {t.count:>7} {t.rate_hz:>8.2f} {t.longest_gap_s:>10.3f} s {lost:>5}  {delay:>8}  {t.role}{offset}".rstrip())
    if report.complete_sets is not None:
        out.append(f"  all cameras together at {report.complete_sets:.1%} of the moments")
    if report.wheel_to_imu_lag_s is not None:
        out.append(f"  the IMU shows turns {report.wheel_to_imu_lag_s * 1e3:+.0f} ms after the wheels")
    if report.identical:
        out.append("  every message is, byte for byte, what was recorded")
    return "\n".join([*out, *(f"  warning: {text}" for text in report.warnings)])
