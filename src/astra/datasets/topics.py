"""Which topics of a recording mean what: found by type and name, or given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from astra.core.errors import BadInputError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """One camera's topics; `name` is the camera's name in this project."""

    name: str
    image: str
    info: str | None


@dataclass(frozen=True, slots=True)
class TopicMap:
    """The topics that a drive is read from; empty strings mean "none"."""

    cameras: tuple[CameraTopics, ...]
    imu: str = ""
    wheel: str = ""
    scan: str = ""


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
    for topic in sorted(t for t, kind in types.items() if kind in IMAGE_TYPES and "depth" not in t):
        base = topic.removesuffix("/compressed").rsplit("/", 1)[0]
        name = base.strip("/").replace("/", "_") or "camera"
        if any(camera.name == name for camera in cameras):
            continue  # the same camera, raw and compressed
        info = f"{base}/camera_info"
        cameras.append(CameraTopics(name, topic, info if types.get(info) == "sensor_msgs/msg/CameraInfo" else None))
    if need_cameras and not cameras:
        raise BadInputError(f"{source} has no camera topic (sensor_msgs/Image or CompressedImage); it has: {', '.join(sorted(types)) or 'nothing'}")
    return TopicMap(
        tuple(cameras), _only(types, "sensor_msgs/msg/Imu", "imu", source), _only(types, "nav_msgs/msg/Odometry", "wheel", source),
        _only(types, "sensor_msgs/msg/LaserScan", "scan", source),
    )  # fmt: skip


def _only(types: Mapping[str, str], kind: str, hint: str, source: str) -> str:
    found = sorted(t for t, k in types.items() if k == kind and not t.startswith("/ground_truth"))
    if len(found) > 1:
        hinted = [t for t in found if hint in t]
        if len(hinted) != 1:
            raise BadInputError(f"{source} has several {kind} topics ({', '.join(found)}); name the right one in a topic map")
        return hinted[0]
    return found[0] if found else ""
