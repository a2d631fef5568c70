"""What a map is built from: images in time order, the rig that took them and, where known, odometry and scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from astra.core.types import CameraFrame, Float32Array, ImuSample, IntArray, LaserScan, nanoseconds
from astra.geometry import BODY_FROM_OPTICAL, CameraRig, Pose3, RigCamera, Trajectory


@runtime_checkable
class Tour(Protocol):
    """One walk or drive through a building; `astra.datasets` opens bags, videos and photo folders as one."""

    @property
    def name(self) -> str:
        """A short name for records and file names."""
        ...

    @property
    def rig(self) -> CameraRig:
        """The cameras, calibrated, and where they sit on base_link."""
        ...

    @property
    def odometry(self) -> Trajectory | None:
        """odom_from_base over the tour; metric, drifting. None for a hand-held camera."""
        ...

    def frames(self) -> Iterator[CameraFrame]:
        """Images of all cameras in time order."""
        ...

    def scans(self) -> Sequence[LaserScan]:
        """Planar scans in time order; empty without a lidar."""
        ...


@runtime_checkable
class CalibratedTour(Tour, Protocol):
    """A tour that knows whether its intrinsics were measured; plain tours count as calibrated."""

    @property
    def calibrated(self) -> bool:
        """False if the rig's focal length is a guess that SfM has to refine."""
        ...


@runtime_checkable
class MountedTour(Tour, Protocol):
    """A tour that knows where its other sensors sit; elsewhere a scan is taken to be level over base_link."""

    def base_from_sensor(self, frame: str) -> Pose3:
        """Where the sensor with this frame id sits on base_link."""
        ...


@runtime_checkable
class InertialTour(Tour, Protocol):
    """A tour with an IMU."""

    @property
    def base_from_imu(self) -> Pose3 | None:
        """Where the IMU sits on base_link; None where nobody said."""
        ...

    def imu(self) -> Sequence[ImuSample]:
        """All readings in time order."""
        ...


@runtime_checkable
class DepthTour(Tour, Protocol):
    """A tour whose cameras measure depth."""

    def depths(self, stamps_ns: IntArray, tolerance_s: float) -> Iterator[tuple[int, str, Float32Array]]:
        """For each stamp (N,) and camera the first depth image (H, W) [m] near it, as index, camera's name and image; none without depth."""
        ...


@runtime_checkable
class NamedTour(Tour, Protocol):
    """A tour whose images have names of their own, by which its user will look for their poses."""

    def image_name(self, frame: CameraFrame) -> str:
        """The file name of one of the tour's images."""
        ...


@runtime_checkable
class NotedTour(Tour, Protocol):
    """A tour that knows which of its images were damaged, once they were read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence each, naming the images."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TourWithOdometry:
    """A tour whose odometry comes from a file (`--odometry traj.tum`), in place of its own."""

    tour: Tour
    odometry: Trajectory | None

    @property
    def name(self) -> str:
        """The tour's name."""
        return self.tour.name

    @property
    def rig(self) -> CameraRig:
        """The tour's cameras."""
        return self.tour.rig

    @property
    def calibrated(self) -> bool:
        """Whether the tour's intrinsics were measured."""
        return is_calibrated(self.tour)

    def frames(self) -> Iterator[CameraFrame]:
        """The tour's images."""
        return self.tour.frames()

    def scans(self) -> Sequence[LaserScan]:
        """The tour's scans."""
        return self.tour.scans()

    def base_from_sensor(self, frame: str) -> Pose3:
        """Where the tour's other sensors sit."""
        return base_from_sensor(self.tour, frame)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the tour could not read."""
        return damages(self.tour)

    @property
    def base_from_imu(self) -> Pose3 | None:
        """Where the tour's IMU sits."""
        return self.tour.base_from_imu if isinstance(self.tour, InertialTour) else None

    def imu(self) -> Sequence[ImuSample]:
        """The tour's IMU."""
        return self.tour.imu() if isinstance(self.tour, InertialTour) else ()

    def depths(self, stamps_ns: IntArray, tolerance_s: float) -> Iterator[tuple[int, str, Float32Array]]:
        """The tour's depth images."""
        return self.tour.depths(stamps_ns, tolerance_s) if isinstance(self.tour, DepthTour) else iter(())

    def image_name(self, frame: CameraFrame) -> str:
        """The image's own name, or an empty text."""
        return image_name(self.tour, frame)


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Images taken at the same moment, at most one a camera."""

    stamp_ns: int
    frames: tuple[CameraFrame, ...]


def is_mounted(rig: CameraRig) -> bool:
    """Whether it is known where the cameras sit on base_link; identity poses mean that nobody said."""
    return any(camera.base_from_cam.angle_to(Pose3()) > 1e-6 or bool(camera.base_from_cam.translation.any()) for camera in rig.cameras)


def usable_rig(rig: CameraRig) -> CameraRig:
    """The rig that SfM can hold rigid: all cameras if their mounting is known, else the first alone, looking along base_link's x axis."""
    if is_mounted(rig):
        return rig
    first = rig.cameras[0]
    return CameraRig((RigCamera(first.name, first.model, BODY_FROM_OPTICAL),))


def is_calibrated(tour: Tour) -> bool:
    """Whether the tour's intrinsics may be held fixed."""
    return tour.calibrated if isinstance(tour, CalibratedTour) else True


def base_from_sensor(tour: Tour, frame: str) -> Pose3:
    """Where a sensor of the tour sits; level over base_link where nobody said."""
    return tour.base_from_sensor(frame) if isinstance(tour, MountedTour) else Pose3()


def image_name(tour: Tour, frame: CameraFrame) -> str:
    """The image's own file name, or an empty text if it has none."""
    return tour.image_name(frame) if isinstance(tour, NamedTour) else ""


def damages(tour: Tour) -> tuple[str, ...]:
    """What of the tour could not be read; complete once its frames were."""
    return tour.notes if isinstance(tour, NotedTour) else ()


def synchronised(tour: Tour, tolerance_s: float) -> Iterator[FrameSet]:
    """Group a tour's images by time: a set ends when a camera repeats or `tolerance_s` has passed since its first image."""
    tolerance_ns = nanoseconds(tolerance_s)
    pending: list[CameraFrame] = []
    for frame in tour.frames():
        if pending and (frame.stamp_ns - pending[0].stamp_ns > tolerance_ns or any(frame.camera == other.camera for other in pending)):
            yield FrameSet(pending[0].stamp_ns, tuple(pending))
            pending = []
        pending.append(frame)
    if pending:
        yield FrameSet(pending[0].stamp_ns, tuple(pending))
