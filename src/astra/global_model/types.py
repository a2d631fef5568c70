"""What goes into a localization and what comes out of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from astra.core.errors import BadInputError
from astra.core.types import CameraFrame, FloatArray, UInt8Array
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3


class Status(StrEnum):
    """How far a pose can be vouched for."""

    LOST = "lost"
    COARSE = "coarse"  # the place is known, the pose is not
    LOCALIZED = "localized"


@dataclass(frozen=True, slots=True, eq=False)
class QueryView:
    """One image of a query: `rgb` (H, W, 3) uint8 and where its camera sits on the base (optical axes)."""

    camera: str
    rgb: UInt8Array
    model: CameraModel
    base_from_cam: Pose3

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype.name != "uint8":
            raise BadInputError(f"{self.camera}: an image must be (H, W, 3) uint8, found {self.rgb.shape} {self.rgb.dtype}")
        if self.rgb.shape[:2] != (self.model.height, self.model.width):
            size = f"{self.rgb.shape[1]}×{self.rgb.shape[0]}"
            raise BadInputError(f"{self.camera}: image is {size}, its calibration is for {self.model.width}×{self.model.height}")


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Images taken at one moment by one or several cameras.

    `near`, `near_radius_m`: where the robot believes to be, a hint that adds candidates and never excludes one.
    `on_floor`: base_link is known to stand level on the floor, so that poses in the air are wrong.
    `thorough`: try every place that may be it, so that look-alikes are named too; `suspects` (base poses) among them.
    """

    stamp_ns: int
    views: tuple[QueryView, ...]
    near: Pose2 | None = None
    near_radius_m: float = 3.0
    on_floor: bool = False
    thorough: bool = False
    suspects: tuple[Pose2, ...] = ()

    def __post_init__(self) -> None:
        if not self.views:
            raise BadInputError("a query needs at least one image")

    @staticmethod
    def from_frames(frames: tuple[CameraFrame, ...], rig: CameraRig, near: Pose2 | None = None, near_radius_m: float = 3.0) -> Query:
        """The robot's own synchronous images."""
        if not frames:
            raise BadInputError("a query needs at least one image")
        views = tuple(QueryView(f.camera, f.rgb, rig[f.camera].model, rig[f.camera].base_from_cam) for f in frames)
        return Query(max(f.stamp_ns for f in frames), views, near, near_radius_m, on_floor=True)

    @staticmethod
    def from_image(rgb: UInt8Array, model: CameraModel, name: str = "image") -> Query:
        """One image of a camera held anywhere: base_link's axes are those of the camera, x forward."""
        return Query(0, (QueryView(name, rgb, model, BODY_FROM_OPTICAL),))


@dataclass(frozen=True, slots=True)
class Evidence:
    """One landmark matched or rejected: what was detected and the reason."""

    landmark_id: int
    detected: str
    why: str


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Wall time of each stage [s]."""

    coarse_s: float = 0.0
    consistency_s: float = 0.0
    fine_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Alternative:
    """A pose that the images would also fit, or that fits too poorly to be published: `map_from_base`, its covariance (6, 6), P(true).

    `explained`: the share of what the map shows from there that the images show too; NaN where that is not known.
    """

    map_from_base: Pose3
    covariance: FloatArray
    confidence: float
    explained: float = math.nan


@dataclass(frozen=True, slots=True, eq=False)
class LocalizationResult:
    """The answer to "Where am I?" with its evidence.

    `alternatives` are what several images in a row can decide between (`astra.fusion.hypotheses`), best first; never a localization.
    `map_from_base` and `covariance` (6, 6: x y z rx ry rz, map frame) are given if and only if the status is localized.
    """

    stamp_ns: int
    status: Status
    confidence: float
    reason: str
    map_from_base: Pose3 | None = None
    covariance: FloatArray | None = None
    candidate_nodes: tuple[int, ...] = ()
    matched_landmarks: tuple[Evidence, ...] = ()
    rejected_landmarks: tuple[Evidence, ...] = ()
    inliers: int = 0
    times: StageTimes = field(default_factory=StageTimes)
    alternatives: tuple[Alternative, ...] = ()
    explained: float = math.nan  # see `Alternative`
    claimed_map_from_base: Pose3 | None = None  # by a language model where geometry found nothing; unverified, never a localization


class GoalStatus(StrEnum):
    """Whether the goal's meaning is known."""

    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    FOUND = "found"


@dataclass(frozen=True, slots=True, eq=False)
class GoalCandidate:
    """One possible meaning of a goal: `map_from_goal` is where base_link shall stand. `landmark_id` is none for a bare image goal."""

    landmark_id: int | None
    label: str
    score: float
    node_ids: tuple[int, ...]
    map_from_goal: Pose2
    image: str
    why: str


@dataclass(frozen=True, slots=True)
class FindResult:
    """The answer to "Where am I going?": candidates best first, none if not found."""

    status: GoalStatus
    candidates: tuple[GoalCandidate, ...]
    reason: str
