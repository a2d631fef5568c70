"""A recorded drive, simulated or real, without ROS: calibration, sensors, synchronised observations, truth where it was recorded, and its state of health."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, Float32Array, FloatArray, ImuSample, IntArray, LaserScan, Observation, Scene, WheelTwist, nanoseconds
from astra.datasets import decode
from astra.datasets.bag import Bag
from astra.datasets.clocks import Stamper, clock_offsets
from astra.datasets.origin import DriveOrigin
from astra.datasets.report import DriveReport, inspect_bag
from astra.datasets.topics import CONTACT_TOPIC, DISTURBED_TOPIC, GOAL_TOPIC, MOVERS_TOPIC, PLAN_TOPIC, TRUTH_TOPIC, CameraTopics, TopicMap, discover_topics
from astra.geometry import CameraModel, CameraRig, Pose2, Pose3, RigCamera, Trajectory

REORDER_S = 0.5  # messages of different topics may arrive this much out of order
DEPTH_TOLERANCE_S = 0.005  # between an image and its depth
BASE_FRAMES = ("base_link", "base_footprint")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message with its time and the time at which it was received."""

    stamp_ns: int
    received_ns: int
    topic: str
    message: Any


@dataclass(frozen=True, slots=True, eq=False)
class MoverTracks:
    """Discs over time: `places` (T, M, 3) of x, y, radius [m, world] at `stamps_ns` (T,)."""

    stamps_ns: IntArray
    places: FloatArray

    def at(self, stamps_ns: IntArray) -> FloatArray:
        """Places (N, M, 3) at stamps (N,), linearly interpolated and clamped to the ends."""
        if self.places.size == 0:
            return np.zeros((len(stamps_ns), 0, 3))
        start = int(self.stamps_ns[0])
        known, wanted = (self.stamps_ns - start).astype(np.float64), (stamps_ns - start).astype(np.float64)
        flat = self.places.reshape(len(known), -1)
        return np.stack([np.interp(wanted, known, column) for column in flat.T], axis=1).reshape(len(wanted), -1, 3)


class Drive:
    """One recording; satisfies `mapping.tour.Tour`. Messages are decoded as they are asked for.

    Args:
        path: the bag's folder, or its .mcap/.db3/.bag file.
        topics: which topics to read; discovered by type if None.
        camera: intrinsics for a recording of one camera without camera_info.
        need_cameras: False for recordings of wheels and IMU alone.

    Raises:
        BadInputError: not a bag, a truncated bag, no camera topic, or a topic of `topics` that it does not have.
    """

    def __init__(self, path: Path, topics: TopicMap | None = None, camera: CameraModel | None = None, *, need_cameras: bool = True) -> None:
        self.bag = Bag(path)
        self.path = path
        self.name = path.stem if path.is_file() else path.name
        self.duration_s = self.bag.duration_s
        self._camera = camera
        kinds = {topic: facts.kind for topic, facts in self.bag.topics.items() if facts.count}
        if topics is not None:
            topics.check(kinds, str(path))
        self.topics = topics or discover_topics(kinds, str(path), need_cameras=need_cameras)

    @functools.cached_property
    def rig(self) -> CameraRig:
        """The cameras with intrinsics from camera_info and extrinsics from /tf_static (identity without it)."""
        models = {c.name: self._model(c) for c in self.topics.cameras}
        frames = self.camera_frames
        cameras = [RigCamera(name, model, self.base_from_sensor(frames.get(name, ""))) for name, model in models.items()]
        return CameraRig(tuple(cameras))

    @functools.cached_property
    def origin(self) -> DriveOrigin | None:
        """Which world and seed a simulated drive comes from; None for a real one."""
        return DriveOrigin.from_texts(self.bag.custom, str(self.path))

    def frames(self, *, depth: bool = False) -> Iterator[CameraFrame]:
        """All cameras' images in time order, with the depth images that belong to them if asked for.

        Raises:
            BadInputError: an image cannot be decoded, or a camera's clock runs backwards.
        """
        return (frame for _, frame in self.arriving_frames(depth=depth))

    def observations(self, tolerance_s: float = 0.02, *, depth: bool = False) -> Iterator[Observation]:
        """What the robot sensed, tick by tick: images taken within `tolerance_s` of each other and everything else since the last tick.

        A set of images ends when a camera repeats; a set may lack a camera. Without cameras there are ten ticks a second.

        Raises:
            BadInputError: as for `frames`, for every sensor.
        """
        from astra.datasets.observe import observations

        return observations(self, tolerance_s, depth=depth)

    def scenes(self) -> Iterator[Scene]:
        """The simulator's truth, where it was recorded. For targets and evaluation only: nothing that builds or uses a map may call this."""
        in_contact = False
        stamper = self._stamper()
        for message in self.bag.messages((TRUTH_TOPIC, CONTACT_TOPIC)):
            if message.topic == CONTACT_TOPIC:
                in_contact = bool(message.value.data)
            else:
                stamp = stamper(TRUTH_TOPIC, message.received_ns, decode.header_ns(message.value))
                yield decode.scene_from_message(message.value, stamp, in_contact=in_contact)

    def truth(self) -> Trajectory | None:
        """The path of `scenes`, or None without truth; the same restriction holds."""
        rows = [(scene.stamp_ns, Pose3.from_matrix(scene.world_from_base).pose2()) for scene in self.scenes()]
        if not rows:
            return None
        return Trajectory(np.array([stamp for stamp, _ in rows], dtype=np.int64), np.array([(p.x, p.y, p.yaw) for _, p in rows]))

    def movers(self) -> MoverTracks:
        """Where everybody else was, by the truth; the same restriction holds."""
        stamps, places = [], []
        for message in self.bag.messages((MOVERS_TOPIC,)):
            stamps.append(message.received_ns)
            places.append([(m.pose.position.x, m.pose.position.y, m.scale.x / 2.0) for m in message.value.markers])
        if len({len(row) for row in places}) > 1:
            raise BadInputError(f"{self.path}: {MOVERS_TOPIC} does not always hold the same movers")
        return MoverTracks(np.array(stamps, dtype=np.int64), np.array(places, dtype=np.float64).reshape(len(stamps), len(places[0]) if places else 0, 3))

    def goals(self) -> Sequence[tuple[int, Pose2]]:
        """Where the driver wanted to go, from when on, by the truth; the same restriction holds."""
        messages = self.bag.messages((GOAL_TOPIC,))
        return [(message.received_ns, decode.pose_from_message(message.value.pose).pose2()) for message in messages]

    def plans(self) -> Sequence[tuple[int, FloatArray]]:
        """What the driver meant to do: from when on, poses x, y, yaw (T, 3) `PLAN_STEP_S` apart, by the truth; the same restriction holds."""
        out = []
        for message in self.bag.messages((PLAN_TOPIC,)):
            poses = [decode.pose_from_message(p.pose).pose2() for p in message.value.poses]
            out.append((decode.header_ns(message.value), np.array([(p.x, p.y, p.yaw) for p in poses]).reshape(-1, 3)))
        return out

    def disturbances(self) -> Sequence[tuple[int, int]]:
        """From when to when the driver was kept from its plans, by the truth; the same restriction holds."""
        changes = [(message.received_ns, bool(message.value.data)) for message in self.bag.messages((DISTURBED_TOPIC,))]
        begins = [stamp for stamp, disturbed in changes if disturbed]
        ends = [stamp for stamp, disturbed in changes if not disturbed]
        return list(itertools.zip_longest(begins, ends, fillvalue=self.bag.start_ns + nanoseconds(self.duration_s)))

    def imu(self) -> Sequence[ImuSample]:
        """All IMU readings in time order."""
        return [decode.imu_from_message(a.message, a.stamp_ns) for a in self.arrivals((self.topics.imu,))]

    @functools.cached_property
    def base_from_imu(self) -> Pose3 | None:
        """Where the IMU sits on the base, by /tf_static; None without an IMU, or where nobody said."""
        frame = self.imu_frame
        return self.base_from_sensor(frame) if frame in self._static_transforms or frame in BASE_FRAMES else None

    @functools.cached_property
    def imu_frame(self) -> str:
        """The frame_id of the first IMU reading; empty without an IMU."""
        for message in self.bag.messages((self.topics.imu,) if self.topics.imu else ()):
            return str(message.value.header.frame_id.lstrip("/"))
        return ""

    @property
    def placed_frames(self) -> Collection[str]:
        """The frames that /tf_static places."""
        return self._static_transforms.keys()

    def wheel(self) -> Sequence[WheelTwist]:
        """All wheel odometry readings in time order."""
        return [decode.wheel_from_message(a.message, a.stamp_ns) for a in self.arrivals((self.topics.wheel,))]

    def scans(self) -> Sequence[LaserScan]:
        """All lidar scans in time order."""
        return [decode.scan_from_message(a.message, a.stamp_ns) for a in self.arrivals((self.topics.scan,))]

    @functools.cached_property
    def odometry(self) -> Trajectory | None:
        """Wheel and IMU odometry of the whole drive, or None without wheels."""
        from astra.datasets.mounting import imu_on_base
        from astra.fusion.odometry import integrate

        wheel = self.wheel()
        return integrate(wheel, imu_on_base(self).samples) if wheel else None

    def base_from_sensor(self, frame: str) -> Pose3:
        """Where a sensor frame sits on the base, by /tf_static (identity if unknown)."""
        pose, static = Pose3(), self._static_transforms
        while frame in static and frame not in BASE_FRAMES:
            frame, parent_from_frame = static[frame]
            pose = parent_from_frame @ pose
        return pose

    def report(self) -> DriveReport:
        """Rates, gaps, clock steps and delays of every topic."""
        return inspect_bag(self.bag, self.topics, self._offsets)

    def arrivals(self, topics: Collection[str]) -> Iterator[Arrival]:
        """Messages of some topics with their time, in the order in which they were received."""
        stamper = self._stamper()
        for message in self.bag.messages([topic for topic in topics if topic]):
            stamp = stamper(message.topic, message.received_ns, decode.header_ns(message.value))
            yield Arrival(stamp, message.received_ns, message.topic, message.value)

    def arriving_frames(self, *, depth: bool = False) -> Iterator[tuple[int, CameraFrame]]:
        """Images in time order, each with the time at which it was received."""
        names = {c.image: c.name for c in self.topics.cameras}
        depths = {c.depth: c.name for c in self.topics.cameras if c.depth} if depth else {}
        tolerance_ns = nanoseconds(DEPTH_TOLERANCE_S)
        waiting: dict[str, Arrival] = {}
        for a in _in_time_order(self.arrivals([*names, *depths]), early=depths, early_ns=tolerance_ns):
            if a.topic in depths:
                waiting[depths[a.topic]] = a
                continue
            camera, found = names[a.topic], waiting.get(names[a.topic])
            near = found is not None and abs(found.stamp_ns - a.stamp_ns) <= tolerance_ns
            metres = decode.depth_from_message(found.message, f"{self.path} {found.topic}") if found is not None and near else None
            yield a.received_ns, CameraFrame(a.stamp_ns, camera, decode.rgb_from_message(a.message, f"{self.path} {a.topic}"), metres)

    def depths(self, stamps_ns: IntArray, tolerance_s: float) -> Iterator[tuple[int, str, Float32Array]]:
        """For each stamp (N,) and camera the first depth image (H, W) [m] within `tolerance_s` of it, as index, camera's name and image."""
        names = {c.depth: c.name for c in self.topics.cameras if c.depth}
        order, taken = np.argsort(stamps_ns), set()
        for a in self.arrivals(names):
            at = int(np.clip(np.searchsorted(stamps_ns[order], a.stamp_ns), 0, len(order) - 1))
            for k in {int(order[at]), int(order[max(at - 1, 0)])}:
                if abs(int(stamps_ns[k]) - a.stamp_ns) <= nanoseconds(tolerance_s) and (k, a.topic) not in taken:
                    taken.add((k, a.topic))
                    yield k, names[a.topic], decode.depth_from_message(a.message, f"{self.path} {a.topic}")

    def _stamper(self) -> Stamper:
        return Stamper(str(self.path), self.topics, self._offsets)

    @functools.cached_property
    def _offsets(self) -> dict[str, int]:
        return clock_offsets(self.bag, self.topics)

    def _model(self, camera: CameraTopics) -> CameraModel:
        if self._camera is not None and len(self.topics.cameras) == 1:
            return self._camera
        if camera.info is None:
            raise BadInputError(f"{self.path}: camera {camera.name!r} has no camera_info beside {camera.image}; record it, or give --camera camera.yaml")
        for message in self.bag.messages((camera.info,)):
            return decode.camera_from_message(message.value, f"{self.path} {camera.info}")
        raise BadInputError(f"{self.path}: {camera.info} holds no message")

    @functools.cached_property
    def camera_frames(self) -> dict[str, str]:
        """The frame_id of each camera's first image, by the camera's name."""
        wanted = {c.image: c.name for c in self.topics.cameras}
        found: dict[str, str] = {}
        for message in self.bag.messages(wanted):
            found.setdefault(wanted[message.topic], message.value.header.frame_id.lstrip("/"))
            if len(found) == len(wanted):
                break
        return found

    @functools.cached_property
    def _static_transforms(self) -> dict[str, tuple[str, Pose3]]:
        found: dict[str, tuple[str, Pose3]] = {}
        for message in self.bag.messages(("/tf_static",)):
            for t in message.value.transforms:
                pose = Pose3.from_quaternion(decode.xyzw(t.transform.rotation), decode.xyz(t.transform.translation))
                found[t.child_frame_id.lstrip("/")] = (t.header.frame_id.lstrip("/"), pose)
        return found


def open_drive(path: Path, topics: TopicMap | None = None, *, need_cameras: bool = True) -> Drive:
    """Open a recorded drive; see `Drive`."""
    return Drive(path, topics, need_cameras=need_cameras)


def _in_time_order(arrivals: Iterator[Arrival], early: Collection[str], early_ns: int) -> Iterator[Arrival]:
    """Sort by stamp what arrives up to `REORDER_S` out of order; topics in `early` are stamped `early_ns` earlier."""
    heap: list[tuple[int, int, Arrival]] = []
    for rank, a in enumerate(arrivals):
        stamp = a.stamp_ns - early_ns if a.topic in early else a.stamp_ns
        heapq.heappush(heap, (stamp, rank, a))
        while a.received_ns - heap[0][2].received_ns > nanoseconds(REORDER_S):
            yield heapq.heappop(heap)[2]
    while heap:
        yield heapq.heappop(heap)[2]
