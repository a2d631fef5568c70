"""Rates, gaps and clocks of a recording's sensors, and whether its transforms place every sensor."""

from __future__ import annotations

from collections.abc import Iterator

from astra.datasets import Drive
from astra.datasets.drive import BASE_FRAMES
from astra.datasets.report import CLOCKS_DIFFER_S, LAG_S, DriveReport, TopicReport
from astra.doctor.finding import Finding, Severity, graded

# Rates [Hz] below which a sensor hinders, and below which it does not serve.
RATES = {"image": (8.0, 2.0), "imu": (80.0, 20.0), "wheel": (20.0, 8.0), "scan": (8.0, 3.0)}
CAMERA_HOLE_S, MOTION_HOLE_S = 0.5, 0.2  # a pause after which the robot stops by itself


def examine_sensors(drive: Drive) -> Iterator[Finding]:
    """What the messages' times say: present, often enough, in step, on one clock."""
    report = drive.report()
    for name, given in (("imu", drive.topics.imu), ("wheel", drive.topics.wheel)):
        if not given:
            yield Finding(name, Severity.WARNING if name == "imu" else Severity.ERROR, f"the recording has no {name} topic", _missing(name))
    read = [t for t in report.topics if t.role and not t.role.startswith("calibration")]
    for topic in read:
        yield from _rate(topic)
        yield from _clock(topic)
    if len(drive.topics.cameras) > 1 and report.complete_sets is not None:
        advice = "trigger the cameras together, or raise the parameter sync_tolerance_s up to half a period"
        what = f"{report.complete_sets:.1%} of the moments have an image of every camera"
        yield graded("camera sync", report.complete_sets, "share", 0.97, 0.8, what=what, advice=advice)
    yield from _lag(report)


def examine_transforms(drive: Drive) -> Iterator[Finding]:
    """Whether /tf_static places every camera, the IMU and the lidar on the base."""
    placed = drive.placed_frames
    if not placed:
        severity = Severity.ERROR if drive.topics.cameras else Severity.WARNING
        yield Finding(
            "transforms",
            severity,
            "there is no /tf_static: every sensor would be taken to sit in base_link",
            "start robot_state_publisher with your URDF, then record again",
        )
        return
    frames = {f"camera {name}": frame for name, frame in drive.camera_frames.items()}
    frames |= {"imu": drive.imu_frame} if drive.imu_frame else {}
    for what, frame in frames.items():
        if frame in placed or frame in BASE_FRAMES:
            yield Finding(f"transform of {what}", Severity.OK, f"{frame} is placed on the base")
        else:
            yield Finding(
                f"transform of {what}",
                Severity.ERROR,
                f"frame {frame!r} is not in /tf_static",
                f"publish base_link → {frame} (REP-103/105; optical frames look along z)",
            )
    poses = [camera.base_from_cam for camera in drive.rig.cameras]
    same = [(a, b) for i, a in enumerate(poses) for b in poses[:i] if a.angle_to(b) < 1e-3 and float(abs(a.translation - b.translation).max()) < 1e-3]
    if same:
        yield Finding(
            "transforms of the cameras",
            Severity.ERROR,
            "two cameras are said to stand in the same place and look the same way",
            "give each camera its own frame_id and transform",
        )


def _missing(name: str) -> str:
    return {
        "imu": "headings will come from the wheels alone: record the IMU",
        "wheel": "record the wheels' Odometry: without it there is no metric scale and no /odom",
    }[name]


def _rate(topic: TopicReport) -> Iterator[Finding]:
    kind = topic.role.split()[0]
    if kind not in RATES or topic.count < 2:
        return
    warn, fail = RATES[kind]
    yield graded(
        f"rate of {topic.topic}", topic.rate_hz, "Hz", warn, fail, what=f"{topic.role}: {topic.rate_hz:.1f} Hz", advice=f"raise it to {warn:.0f} Hz or more"
    )
    hole = CAMERA_HOLE_S if kind == "image" else MOTION_HOLE_S
    lost = topic.dropped / max(topic.count + topic.dropped, 1)
    what = f"{lost:.1%} of its messages are missing, the longest gap is {topic.longest_gap_s:.2f} s"
    severity = Severity.ERROR if lost > 0.2 else Severity.WARNING if lost > 0.02 or topic.longest_gap_s > hole else Severity.OK
    advice = "look for a full network or a busy core; large images want the shared-memory profile (config/fastdds.xml)" if severity else ""
    yield Finding(f"gaps of {topic.topic}", severity, what, advice, round(lost, 4), "share")


def _clock(topic: TopicReport) -> Iterator[Finding]:
    if topic.steps_back:
        advice = "stamp it by one steady clock (chrony, PTP), or read reception times by a topic map (stamps: receive)"
        yield Finding(f"clock of {topic.topic}", Severity.ERROR, f"its stamps step back {topic.steps_back} times", advice, topic.steps_back, "times")
    elif topic.delay_s is not None:
        least, median, most = topic.delay_s
        foreign = least - topic.offset_s < -0.001 or median - topic.offset_s > CLOCKS_DIFFER_S
        what = f"received {median * 1e3:.0f} ms after its stamp (most {most * 1e3:.0f} ms)"
        advice = "synchronise the clocks (chrony, PTP) or give offset_s in a topic map" if foreign else ""
        yield Finding(f"clock of {topic.topic}", Severity.ERROR if foreign else Severity.OK, what, advice, round(median, 4), "s")


def _lag(report: DriveReport) -> Iterator[Finding]:
    lag = report.wheel_to_imu_lag_s
    if lag is not None:
        what = f"the IMU shows turns {lag * 1e3:+.0f} ms after the wheels"
        yield graded(
            "imu and wheels in time", abs(lag), "s", LAG_S, 0.15, what=what, advice="give offset_s for one of them in a topic map, or mend its driver's stamps"
        )
