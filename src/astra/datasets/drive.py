"""Read a recorded drive (rosbag2 or ROS 1 bag, simulated or real) without ROS."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, FloatArray, ImuSample, LaserScan, UInt8Array, WheelTwist, seconds
from astra.datasets.topics import CameraTopics, TopicMap, discover_topics
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera, Trajectory

TRUTH_TOPIC = "/ground_truth/odom"
_COLOURS = {"rgb8": None, "bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB, "mono8": cv2.COLOR_GRAY2RGB}


class Drive:
    """One recording; satisfies `mapping.tour.Tour`. Messages are decoded as they are asked for.

    Args:
        path: the bag's folder, or its .mcap/.db3/.bag file.
        topics: which topics to read; discovered by type if None.
        camera: intrinsics for a recording of one camera without camera_info.
        need_cameras: False for recordings of wheels and IMU alone.

    Raises:
        BadInputError: not a bag, a truncated bag, no camera topic, or no camera_info.
    """

    def __init__(
        self, path: Path, topics: TopicMap | None = None, camera: CameraModel | None = None, *, need_cameras: bool = True
    ) -> None:
        if not path.exists():
            raise BadInputError(f"{path} does not exist")
        self.path = path
        self.name = path.stem if path.is_file() else path.name
        self._camera = camera
        with self._open() as reader:
            kinds = {topic: info.msgtype for topic, info in reader.topics.items() if info.msgtype}
            self.topics = topics or discover_topics(kinds, str(path), need_cameras=need_cameras)
            self.duration_s = seconds(max(int(reader.duration), 0))

    @functools.cached_property
    def rig(self) -> CameraRig:
        """The cameras with intrinsics from camera_info and extrinsics from /tf_static (identity without it)."""
        models = {c.name: self._model(c) for c in self.topics.cameras}
        frames = self._camera_frames()
        static = self._static_transforms()
        cameras = [RigCamera(name, model, _base_from(frames.get(name, ""), static)) for name, model in models.items()]
        return CameraRig(tuple(cameras))

    def frames(self) -> Iterator[CameraFrame]:
        """All cameras' images in time order.

        Raises:
            BadInputError: an image cannot be decoded, or a camera's clock runs backwards.
        """
        names = {c.image: c.name for c in self.topics.cameras}
        last: dict[str, int] = {}
        for topic, message in self._messages(list(names)):
            stamp = _stamp(message)
            camera = names[topic]
            if stamp < last.get(camera, stamp):
                raise BadInputError(f"{self.path}: the clock of {topic} steps back by {seconds(last[camera] - stamp):.3f} s")
            last[camera] = stamp
            yield CameraFrame(stamp, camera, decode_image(message, f"{self.path} {topic}"))

    def imu(self) -> Sequence[ImuSample]:
        """All IMU readings in time order."""
        return [ImuSample(_stamp(m), _xyz(m.angular_velocity), _xyz(m.linear_acceleration)) for _, m in self._messages([self.topics.imu])]

    def wheel(self) -> Sequence[WheelTwist]:
        """All wheel odometry readings in time order."""
        return [WheelTwist(_stamp(m), float(m.twist.twist.linear.x), float(m.twist.twist.angular.z)) for _, m in self._messages([self.topics.wheel])]

    def scans(self) -> Sequence[LaserScan]:
        """All lidar scans in time order."""
        return [_scan(m) for _, m in self._messages([self.topics.scan])]

    @functools.cached_property
    def odometry(self) -> Trajectory | None:
        """Wheel and IMU odometry of the whole drive, or None without wheels."""
        from astra.fusion.odometry import integrate

        wheel = self.wheel()
        return integrate(wheel, self.imu()) if wheel else None

    def base_from_sensor(self, frame: str) -> Pose3:
        """Where a sensor frame sits on the base, by /tf_static (identity if unknown)."""
        return _base_from(frame, self._static_transforms())

    def truth(self) -> Trajectory | None:
        """The simulator's truth, where it was recorded. For evaluation only: nothing that builds or uses a map may call this."""
        rows = [(_stamp(m), m.pose.pose) for _, m in self._messages([TRUTH_TOPIC])]
        if not rows:
            return None
        poses = [Pose3.from_quaternion(_xyzw(p.orientation), _xyz(p.position)).pose2() for _, p in rows]
        return Trajectory(np.array([stamp for stamp, _ in rows], dtype=np.int64), np.array([(p.x, p.y, p.yaw) for p in poses]))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import Stores, get_typestore

        path = self.path
        if path.is_file() and path.suffix != ".bag":
            path = path.parent  # rosbag2 is a folder
        try:
            with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
                yield reader
        except BadInputError:
            raise
        except (AnyReaderError, OSError, ValueError, KeyError, AssertionError) as error:
            raise BadInputError(f"{self.path} is not a readable bag (damaged, truncated or foreign): {error}") from error

    def _messages(self, topics: list[str]) -> Iterator[tuple[str, Any]]:
        with self._open() as reader:
            connections = [c for c in reader.connections if c.topic in topics and c.topic]
            if not connections:
                return
            for connection, _, raw in reader.messages(connections):
                yield connection.topic, reader.deserialize(raw, connection.msgtype)

    def _model(self, camera: CameraTopics) -> CameraModel:
        if self._camera is not None and len(self.topics.cameras) == 1:
            return self._camera
        if camera.info is None:
            raise BadInputError(f"{self.path}: camera {camera.name!r} has no camera_info beside {camera.image}; record it, or give --camera camera.yaml")
        for _, m in self._messages([camera.info]):
            info = {
                "image_width": m.width, "image_height": m.height, "camera_matrix": {"data": list(m.k if hasattr(m, "k") else m.K)},
                "distortion_model": m.distortion_model, "distortion_coefficients": {"data": list(m.d if hasattr(m, "d") else m.D)},
            }  # fmt: skip
            return CameraModel.from_camera_info(info, f"{self.path} {camera.info}")
        raise BadInputError(f"{self.path}: {camera.info} holds no message")

    def _camera_frames(self) -> dict[str, str]:
        wanted = {c.image: c.name for c in self.topics.cameras}
        found: dict[str, str] = {}
        for topic, message in self._messages(list(wanted)):
            found.setdefault(wanted[topic], message.header.frame_id.lstrip("/"))
            if len(found) == len(wanted):
                break
        return found

    @functools.cache  # noqa: B019  (a drive lives as long as its reader)
    def _static_transforms(self) -> dict[str, tuple[str, Pose3]]:
        found: dict[str, tuple[str, Pose3]] = {}
        for _, message in self._messages(["/tf_static"]):
            for t in message.transforms:
                pose = Pose3.from_quaternion(_xyzw(t.transform.rotation), _xyz(t.transform.translation))
                found[t.child_frame_id.lstrip("/")] = (t.header.frame_id.lstrip("/"), pose)
        return found


def open_drive(path: Path, topics: TopicMap | None = None, *, need_cameras: bool = True) -> Drive:
    """Open a recorded drive; see `Drive`."""
    return Drive(path, topics, need_cameras=need_cameras)


def decode_image(message: Any, where: str) -> UInt8Array:
    """Image or CompressedImage (any bag version) to (H, W, 3) uint8 RGB.

    Raises:
        BadInputError: the bytes are no image, or the encoding is unknown.
    """
    if hasattr(message, "format"):
        decoded = cv2.imdecode(np.asarray(message.data, dtype=np.uint8), cv2.IMREAD_COLOR) if len(message.data) else None
        if decoded is None:
            raise BadInputError(f"{where}: a compressed image cannot be decoded")
        return np.ascontiguousarray(decoded[..., ::-1])
    if message.encoding not in _COLOURS:
        raise BadInputError(f"{where}: image encoding {message.encoding!r} is not one of {', '.join(_COLOURS)}")
    channels = {"mono8": 1, "rgba8": 4, "bgra8": 4}.get(message.encoding, 3)
    row = message.width * channels
    if len(message.data) < message.step * (message.height - 1) + row or message.step < row:
        raise BadInputError(f"{where}: an image's data do not fit its size")
    data = np.asarray(message.data, dtype=np.uint8)
    data = np.pad(data, (0, max(message.step * message.height - len(data), 0)))
    pixels = np.ascontiguousarray(data[: message.step * message.height].reshape(message.height, message.step)[:, :row])
    pixels = pixels.reshape(message.height, message.width, channels)
    code = _COLOURS[message.encoding]
    return pixels if code is None else np.asarray(cv2.cvtColor(pixels, code))


def _scan(m: Any) -> LaserScan:
    ranges = np.array(m.ranges, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        ranges[~((ranges >= m.range_min) & (ranges <= m.range_max))] = np.inf
    return LaserScan(
        _stamp(m), m.header.frame_id, ranges, float(m.angle_min), float(m.angle_increment), float(m.range_min), float(m.range_max)
    )


def _base_from(frame: str, static: dict[str, tuple[str, Pose3]]) -> Pose3:
    pose = Pose3()
    while frame in static and frame not in ("base_link", "base_footprint"):
        frame, parent_from_frame = static[frame]
        pose = parent_from_frame @ pose
    return pose


def _stamp(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _xyz(v: Any) -> FloatArray:
    return np.array([v.x, v.y, v.z], dtype=np.float64)


def _xyzw(q: Any) -> FloatArray:
    return np.array([q.x, q.y, q.z, q.w], dtype=np.float64)
