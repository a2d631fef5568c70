"""What the cameras say about the robot's motion: pictures in, `/astra/visual_odometry` out, on a thread of its own.

Its pose is the sum of what was seen, its covariance that of the newest step alone: whoever fuses it takes the motion between two messages in a row.
A message with covariance −1 begins anew: there was nothing to compare with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nav_msgs.msg import Odometry

from astra.core.config import require
from astra.core.types import AnyArray
from astra.fusion.deltas import PLANAR
from astra.geometry import CameraRig, Pose2, RigCamera
from astra.ros import node, qos
from astra.ros.conversions import pose_from_pose2, stamp_from_ns
from astra.ros.global_inputs import GlobalInputs, InputsConfig, RawView
from astra.ros.worker import LatestWorker

if TYPE_CHECKING:  # a node that has no cameras to look through does not load what looks
    from astra.local_model.odometry.runtime import StepMotion
    from astra.local_model.odometry.sight import SeeingOdometry



@dataclass(frozen=True, slots=True)
class SightConfig:
    """Learned visual odometry; it needs a third of a core."""

    model: str = field(default="", metadata={"help": "folder of the exported odometry head, for example models/odometry; empty: no visual odometry"})
    eyes: str = field(default="models/eyes", metadata={"help": "folder of the eyes it was trained over"})
    rate: float = field(default=5.0, metadata={"help": "looks a second"})
    inputs: InputsConfig = field(default_factory=InputsConfig)

    def __post_init__(self) -> None:
        require(1.0 <= self.rate <= 30.0, "rate", self.rate, "between 1 and 30 Hz")


class Sight:
    """Looks at the cameras at a steady rate and publishes what they tell.

    Args:
        owner: the node.
        config: models, rate and cameras.
        base_frame: of the robot.
    """

    def __init__(self, owner: node.AstraLifecycleNode, config: SightConfig, base_frame: str) -> None:
        self._node, self._config, self._base_frame = owner, config, base_frame
        self._inputs = GlobalInputs(owner, config.inputs, lambda: None, lambda old, new: None)
        self._odometry: SeeingOdometry | None = None
        self._seen_ns, self._pose, self._spent_s = -1, Pose2(), 0.0
        self._publisher = owner.create_publisher(Odometry, "astra/visual_odometry", qos.RELIABLE)
        owner.own_topic("astra/visual_odometry")
        self._worker = LatestWorker(owner, self._look, self._tell, self._fail)
        self._timer = owner.create_timer(0.5 / config.rate, self._tick, clock=owner.steady)

    def close(self) -> None:
        """End the thread and all subscriptions."""
        self._worker.close()
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)
        self._inputs.close()

    def _tick(self) -> None:
        if not self._node.active or self._worker.busy:
            return
        self._inputs.check()
        found = self._inputs.raw_views()
        if found is None or 0 <= found[0] - self._seen_ns < 0.9e9 / self._config.rate:
            return
        self._seen_ns = found[0]
        newest = self._inputs.track.newest
        self._worker.submit((*found, Pose2() if newest is None else newest.odom_from_base))

    def _look(self, job: tuple[int, tuple[RawView, ...], Pose2]) -> tuple[int, StepMotion | None]:
        """On the thread."""
        stamp_ns, raw, pose = job
        begun = time.thread_time()
        views = self._inputs.decode(raw)
        if self._odometry is None:
            missing = set(self._config.inputs.camera_names) - {view.camera for view in views}
            if missing:
                return stamp_ns, None
            from astra.local_model.odometry.sight import SeeingOdometry

            rig = CameraRig(tuple(RigCamera(view.camera, view.model, view.base_from_cam) for view in views))
            self._odometry = SeeingOdometry(Path(self._config.eyes), Path(self._config.model), rig)
        images: dict[str, AnyArray | None] = {view.camera: view.rgb for view in views}
        told = self._odometry.see(images, stamp_ns, pose)
        self._spent_s = time.thread_time() - begun
        return stamp_ns, told

    def _tell(self, result: tuple[int, StepMotion | None]) -> None:
        stamp_ns, told = result
        self._publisher.publish(self._message(stamp_ns, told))
        level, text = (node.OK, "sees how it moves") if told is not None else (node.WARN, "nothing to compare with: the first look, or no camera that works")
        self._node.report(level, "sight", text, cpu_ms=f"{1e3 * self._spent_s:.0f}", dropped=self._worker.dropped)

    def _message(self, stamp_ns: int, told: StepMotion | None) -> Any:
        covariance = np.full((6, 6), 0.0)
        if told is None:
            covariance[0, 0] = -1.0
        else:
            self._pose = self._pose @ Pose2(*told.planar.tolist())
            covariance[np.ix_(PLANAR, PLANAR)] = told.planar_covariance
        message = Odometry(child_frame_id=self._base_frame)
        message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), "visual_odom"
        message.pose.pose, message.pose.covariance = pose_from_pose2(self._pose), covariance.ravel().tolist()
        return message

    def _fail(self, error: Exception) -> None:
        self._node.report(node.ERROR, "sight", f"{type(error).__name__}: {error}")
