"""Which topics of a recording mean what, and whose clock to believe: found by type and name, or given in YAML.

A topic map file says everything; what it leaves out is not read:

    cameras:
      front: {image: /front/image_raw/compressed, info: /front/camera_info, depth: /front/depth}
    imu: /imu/data
    wheel: /odom
    scan: /scan
    clocks:                                # how a topic's stamps become the drive's time; header stamps as they are, where not named
      /imu/data: {offset_s: -0.012}        # added to its header stamps
      /front/image_raw/compressed: {offset_s: auto}   # the constant that lets its quickest message arrive at once
      /scan: {stamps: receive}             # when the recorder got it, for drivers that do not stamp
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from astra.core.config import from_mapping, load_yaml
from astra.core.errors import BadInputError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
IMU_TYPE, WHEEL_TYPE, SCAN_TYPE = "sensor_msgs/msg/Imu", "nav_msgs/msg/Odometry", "sensor_msgs/msg/LaserScan"
TRUTH_TOPIC = "/ground_truth/odom"
CONTACT_TOPIC = "/ground_truth/in_contact"
GOAL_TOPIC = "/ground_truth/goal"
PLAN_TOPIC = "/ground_truth/plan"
DISTURBED_TOPIC = "/ground_truth/disturbed"
MOVERS_TOPIC = "/ground_truth/movers"


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """One camera's topics; `name` is the camera's name in this project."""

    name: str
    image: str
    info: str | None = None
    depth: str | None = None


@dataclass(frozen=True, slots=True)
class TopicClock:
    """How one topic's stamps become the drive's time: header stamps, or those of reception, plus a constant that may be estimated."""

    topic: str
    stamps: str = "header"
    offset_s: float = 0.0
    estimate: bool = False

    def __post_init__(self) -> None:
        if self.stamps not in ("header", "receive"):
            raise BadInputError(f"clocks.{self.topic}.stamps = {self.stamps!r} is neither 'header' nor 'receive'")
        if not math.isfinite(self.offset_s):
            raise BadInputError(f"clocks.{self.topic}.offset_s = {self.offset_s!r} is not finite")


@dataclass(frozen=True, slots=True)
class TopicMap:
    """The topics that a drive is read from; empty strings mean "none"."""

    cameras: tuple[CameraTopics, ...]
    imu: str = ""
    wheel: str = ""
    scan: str = ""
    clocks: tuple[TopicClock, ...] = ()

    def roles(self) -> dict[str, str]:
        """Topic → what it is read as, for all topics in use."""
        roles = {self.imu: "imu", self.wheel: "wheel", self.scan: "scan"}
        for camera in self.cameras:
            topics = {"image": camera.image, "calibration": camera.info or "", "depth": camera.depth or ""}
            roles |= {topic: f"{role} of {camera.name}" for role, topic in topics.items()}
        return {topic: role for topic, role in roles.items() if topic}

    def clock(self, topic: str) -> TopicClock:
        """The clock of one topic."""
        return next((clock for clock in self.clocks if clock.topic == topic), TopicClock(topic))

    def check(self, types: Mapping[str, str], source: str) -> None:
        """Refuse a map that names topics which the recording does not have.

        Raises:
            BadInputError: naming the source, the topic and what there is instead.
        """
        roles = self.roles() | {clock.topic: "its clock" for clock in self.clocks if clock.topic not in self.roles()}
        for topic, role in roles.items():
            if topic not in types:
                raise BadInputError(f"{source} has no topic {topic} ({role} in the topic map); it has: {', '.join(sorted(types)) or 'nothing'}")
        wanted = {self.imu: IMU_TYPE, self.wheel: WHEEL_TYPE, self.scan: SCAN_TYPE} | {c.info: INFO_TYPE for c in self.cameras if c.info}
        for topic, kind in wanted.items():
            if topic and types[topic] != kind:
                raise BadInputError(f"{source}: {topic} is {types[topic]}, not {kind} as its place in the topic map asks for")
        for topic in [topic for c in self.cameras for topic in (c.image, c.depth) if topic]:
            if types[topic] not in IMAGE_TYPES:
                raise BadInputError(f"{source}: {topic} is {types[topic]}, not an image")

    @staticmethod
    def load(path: Path) -> TopicMap:
        """Read a topic map file.

        Raises:
            BadInputError: not YAML, an unknown key, or a value of the wrong kind.
        """
        document = load_yaml(path)
        named = {key: _mapping(document.get(key) or {}, f"{path}: {key}") for key in ("cameras", "clocks")}
        cameras = [{"name": name, **_mapping(value, f"{path}: cameras.{name}")} for name, value in named["cameras"].items()]
        clocks = [_clock(topic, _mapping(value, f"{path}: clocks.{topic}")) for topic, value in named["clocks"].items()]
        single = {key: value or "" for key, value in document.items() if key not in ("cameras", "clocks")}
        for camera in cameras:
            if not camera.get("image"):
                raise BadInputError(f"{path}: cameras.{camera['name']} names no image topic")
        return from_mapping(TopicMap, {**single, "cameras": cameras, "clocks": clocks}, str(path))

    def save(self, path: Path) -> None:
        """Write the map as a topic map file."""
        cameras = {c.name: {key: value for key, value in asdict(c).items() if key != "name" and value} for c in self.cameras}
        clocks = {c.topic: {"stamps": c.stamps, "offset_s": "auto" if c.estimate else c.offset_s} for c in self.clocks}
        document = {"cameras": cameras, "imu": self.imu, "wheel": self.wheel, "scan": self.scan, "clocks": clocks}
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def discover_topics(types: Mapping[str, str], source: str, *, need_cameras: bool = True) -> TopicMap:
    """Find cameras, IMU, wheel odometry and scan by message type; truth is never chosen.

    Args:
        types: topic → message type.
        source: the recording's name, for errors.
        need_cameras: whether a recording without cameras is of no use.

    Raises:
        BadInputError: no camera topic, or two topics that could both be the wheel odometry.
    """
    cameras: list[CameraTopics] = []
    for topic in sorted(t for t, kind in types.items() if kind in IMAGE_TYPES and "depth" not in t.lower()):
        base = topic.removesuffix("/compressed").rsplit("/", 1)[0]
        name = base.strip("/").replace("/", "_") or "camera"
        if any(camera.name == name for camera in cameras):
            continue  # the same camera, raw and compressed
        info, depth = f"{base}/camera_info", f"{base}/depth"
        cameras.append(CameraTopics(name, topic, info if types.get(info) == INFO_TYPE else None, depth if types.get(depth) in IMAGE_TYPES else None))
    if need_cameras and not cameras:
        raise BadInputError(f"{source} has no camera topic (sensor_msgs/Image or CompressedImage); it has: {', '.join(sorted(types)) or 'nothing'}")
    imu, wheel, scan = (_only(types, kind, hint, source) for kind, hint in ((IMU_TYPE, "imu"), (WHEEL_TYPE, "wheel"), (SCAN_TYPE, "scan")))
    return TopicMap(tuple(cameras), imu, wheel, scan)


def _only(types: Mapping[str, str], kind: str, hint: str, source: str) -> str:
    found = sorted(t for t, k in types.items() if k == kind and not t.startswith("/ground_truth"))
    if len(found) > 1:
        hinted = [t for t in found if hint in t]
        if len(hinted) != 1:
            raise BadInputError(f"{source} has several {kind} topics ({', '.join(found)}); name the right one in a topic map")
        return hinted[0]
    return found[0] if found else ""


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInputError(f"{where} must be a mapping, found {value!r}")
    return value


def _clock(topic: str, values: dict[str, Any]) -> dict[str, Any]:
    if values.get("offset_s") == "auto":
        values = {**{key: value for key, value in values.items() if key != "offset_s"}, "estimate": True}
    return {"topic": topic, **values}
