"""Transforms over time: the system's tf2_ros where it is installed, else a tree of ours that needs only tf2_msgs.

tf2_ros exists in no wheel. Our semantics are tf2's: per child one parent, linear and spherical interpolation, no extrapolation, a cache of fixed length.
"""

from __future__ import annotations

import bisect
import threading
from typing import Any, Protocol

import numpy as np
from tf2_msgs.msg import TFMessage

from astra.core.errors import AstraError
from astra.core.types import FloatArray, nanoseconds
from astra.geometry import Pose3
from astra.ros import qos
from astra.ros.conversions import ns_from_stamp, pose3_from_transform, transform_stamped
from astra.ros.polled import PolledSubscription

_IDENTITY = Pose3()


class TransformUnavailableError(AstraError):
    """The two frames are not connected, or not at that time."""


class TransformTree:
    """Transforms by child frame; thread-safe; no ROS in it."""

    def __init__(self, cache_s: float = 10.0) -> None:
        self._cache_ns = nanoseconds(cache_s)
        self._parents: dict[str, str] = {}
        self._static: dict[str, Pose3] = {}
        self._stamps: dict[str, list[int]] = {}
        self._poses: dict[str, list[Pose3]] = {}
        self._lock = threading.Lock()

    def insert(self, parent: str, child: str, parent_from_child: Pose3, stamp_ns: int, *, static: bool = False) -> None:
        """Add a transform; one that is out of order is sorted in, one older than the cache is dropped."""
        with self._lock:
            if self._parents.get(child) != parent:
                self._stamps.pop(child, None)
                self._poses.pop(child, None)
                self._static.pop(child, None)
                self._parents[child] = parent
            if static:
                self._static[child] = parent_from_child
                return
            self._static.pop(child, None)
            stamps, poses = self._stamps.setdefault(child, []), self._poses.setdefault(child, [])
            i = bisect.bisect_left(stamps, stamp_ns)
            if i < len(stamps) and stamps[i] == stamp_ns:
                poses[i] = parent_from_child
                return
            stamps.insert(i, stamp_ns)
            poses.insert(i, parent_from_child)
            if stamps[-1] - stamps[0] > self._cache_ns * 5 // 4:  # trim in batches
                old = bisect.bisect_left(stamps, stamps[-1] - self._cache_ns)
                del stamps[:old], poses[:old]

    def lookup(self, target: str, source: str, stamp_ns: int | None = None) -> Pose3:
        """`target_from_source` at a stamp, or at the newest time common to the chain if `stamp_ns` is None.

        Raises:
            TransformUnavailableError: a frame is unknown, the two are not connected, or the stamp lies outside the cache.
        """
        with self._lock:
            up, down = self._chain(source), self._chain(target)
            common = next((frame for frame in up if frame in down), None)
            if common is None:
                raise TransformUnavailableError(f"frames {target!r} and {source!r} are not connected")
            up, down = up[: up.index(common)], down[: down.index(common)]
            if stamp_ns is None:
                stamp_ns = self._common_ns(up + down)
            return self._compose(down, stamp_ns).inverse() @ self._compose(up, stamp_ns)

    def newest_ns(self, target: str, source: str) -> int | None:
        """The newest stamp at which the two frames are connected (0 if they are rigidly so), or None if they are not."""
        with self._lock:
            up, down = self._chain(source), self._chain(target)
            common = next((frame for frame in up if frame in down), None)
            return None if common is None else self._common_ns(up[: up.index(common)] + down[: down.index(common)])

    def clear(self) -> None:
        """Forget every moving transform (the clock jumped back)."""
        with self._lock:
            for child in [c for c in self._parents if c not in self._static]:
                del self._parents[child]
            self._stamps.clear()
            self._poses.clear()

    def _common_ns(self, frames: list[str]) -> int:
        return min((self._stamps[frame][-1] for frame in frames if frame not in self._static), default=0)

    def _chain(self, frame: str) -> list[str]:
        chain = [frame]
        while chain[-1] in self._parents:
            if len(chain) > 100:
                raise TransformUnavailableError(f"the frames above {frame!r} form a loop")
            chain.append(self._parents[chain[-1]])
        return chain

    def _compose(self, chain: list[str], stamp_ns: int) -> Pose3:
        pose = _IDENTITY
        for frame in chain:
            pose = self._at(frame, stamp_ns) @ pose
        return pose

    def _at(self, frame: str, stamp_ns: int) -> Pose3:
        if frame in self._static:
            return self._static[frame]
        stamps, poses = self._stamps[frame], self._poses[frame]
        i = bisect.bisect_left(stamps, stamp_ns)
        if i < len(stamps) and stamps[i] == stamp_ns:
            return poses[i]
        if i == 0 or i == len(stamps):
            where = "before" if i == 0 else "after"
            by_s = abs((stamps[0] if i == 0 else stamps[-1]) - stamp_ns) / 1e9
            raise TransformUnavailableError(f"{frame!r} is asked for {by_s:.3f} s {where} what is known of it")
        u = (stamp_ns - stamps[i - 1]) / (stamps[i] - stamps[i - 1])
        a, b = poses[i - 1], poses[i]
        return Pose3.from_quaternion(_slerp(a.quaternion_xyzw(), b.quaternion_xyzw(), u), a.translation + u * (b.translation - a.translation))


def _slerp(a: FloatArray, b: FloatArray, u: float) -> FloatArray:
    cosine = float(a @ b)
    if cosine < 0.0:
        b, cosine = -b, -cosine
    if cosine > 0.9995:
        return np.asarray(a + u * (b - a))
    angle = float(np.arccos(cosine))
    return np.asarray((np.sin((1.0 - u) * angle) * a + np.sin(u * angle) * b) / np.sin(angle))


class _Transforms(Protocol):
    def insert(self, parent: str, child: str, parent_from_child: Pose3, stamp_ns: int, *, static: bool = False) -> None: ...
    def lookup(self, target: str, source: str, stamp_ns: int | None = None) -> Pose3: ...
    def newest_ns(self, target: str, source: str) -> int | None: ...
    def clear(self) -> None: ...


class SystemTree:
    """The same interface on the system's tf2."""

    def __init__(self, cache_s: float = 10.0) -> None:
        import tf2_ros
        from rclpy.duration import Duration

        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer(cache_time=Duration(nanoseconds=nanoseconds(cache_s)))

    def insert(self, parent: str, child: str, parent_from_child: Pose3, stamp_ns: int, *, static: bool = False) -> None:
        """Add a transform."""
        message = transform_stamped(parent, child, parent_from_child, stamp_ns)
        (self._buffer.set_transform_static if static else self._buffer.set_transform)(message, "astra")

    def lookup(self, target: str, source: str, stamp_ns: int | None = None) -> Pose3:
        """See `TransformTree.lookup`."""
        from rclpy.time import Time

        try:
            return pose3_from_transform(self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns or 0)).transform)
        except self._tf2.TransformException as error:
            raise TransformUnavailableError(str(error)) from error

    def newest_ns(self, target: str, source: str) -> int | None:
        """See `TransformTree.newest_ns`."""
        try:
            return int(self._buffer.get_latest_common_time(target, source).nanoseconds)
        except self._tf2.TransformException:
            return None

    def clear(self) -> None:
        """Forget every transform."""
        self._buffer.clear()


def _new_tree(cache_s: float) -> _Transforms:
    try:
        return SystemTree(cache_s)
    except ImportError:
        return TransformTree(cache_s)


class TfBuffer:
    """Listens to /tf and /tf_static; relative names, so that namespaces work.

    `static_only` spares light nodes the moving frames; `polled` reads them only when a lookup asks for them (on the executor's thread).
    """

    def __init__(self, node: Any, cache_s: float = 10.0, *, static_only: bool = False, polled: bool = False) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        self._node = node
        self.tree = _new_tree(cache_s)
        latched = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        moving = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
        self._subscriptions = [node.create_subscription(TFMessage, "tf_static", lambda m: self._insert(m, True), latched)]
        self._polled: PolledSubscription | None = None
        if polled and not static_only:
            self._polled = PolledSubscription(node, TFMessage, "tf", moving)
        elif not static_only:
            self._subscriptions.append(node.create_subscription(TFMessage, "tf", lambda m: self._insert(m, False), moving))

    def lookup(self, target: str, source: str, stamp_ns: int | None = None) -> Pose3:
        """`target_from_source` at a stamp, by default the newest at which they are connected.

        Never waits: the executor that would deliver the transform is the caller's own.

        Raises:
            TransformUnavailableError: see `TransformTree.lookup`.
        """
        self._read()
        return self.tree.lookup(target, source, stamp_ns)

    def newest_ns(self, target: str, source: str) -> int | None:
        """The newest stamp at which the two frames are connected, or None if they are not."""
        self._read()
        return self.tree.newest_ns(target, source)

    def clear(self) -> None:
        """Forget the moving transforms (the clock jumped back)."""
        self.tree.clear()

    def destroy(self) -> None:
        """Cease to listen."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        if self._polled is not None:
            self._polled.destroy()
        self._subscriptions, self._polled = [], None

    def _read(self) -> None:
        for message in self._polled.drain() if self._polled is not None else ():
            self._insert(message, False)

    def _insert(self, message: Any, static: bool) -> None:
        for t in message.transforms:
            r = t.transform.rotation
            values = (t.transform.translation.x, t.transform.translation.y, t.transform.translation.z, r.x, r.y, r.z, r.w)
            if not np.all(np.isfinite(values)) or not any(values[3:]):
                continue  # tf2 ignores broken transforms too
            pose = pose3_from_transform(t.transform)
            self.tree.insert(t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/"), pose, ns_from_stamp(t.header.stamp), static=static)


class TfBroadcaster:
    """Publishes moving transforms."""

    def __init__(self, node: Any) -> None:
        self._publisher = node.create_publisher(TFMessage, "tf", qos.RELIABLE)

    def send(self, parent: str, child: str, parent_from_child: Pose3, stamp_ns: int) -> None:
        """Publish one transform."""
        self._publisher.publish(TFMessage(transforms=[transform_stamped(parent, child, parent_from_child, stamp_ns)]))


class StaticTfBroadcaster:
    """Publishes the fixed transforms of one node, latched, all in one message."""

    def __init__(self, node: Any) -> None:
        self._publisher = node.create_publisher(TFMessage, "tf_static", qos.LATCHED)

    def send(self, transforms: dict[tuple[str, str], Pose3], stamp_ns: int = 0) -> None:
        """Publish `{(parent, child): parent_from_child}`."""
        messages = [transform_stamped(parent, child, pose, stamp_ns) for (parent, child), pose in transforms.items()]
        self._publisher.publish(TFMessage(transforms=messages))
