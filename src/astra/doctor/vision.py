"""Cameras against the robot's motion: focal length, mounting, and the wheels' sign and scale, seen in the pictures.

Between two images of one camera the directions of matched points tell how the camera turned (a rotation alone, where it hardly moved) and which way it went
(an essential matrix). Wheels and gyro tell the same of the base. A wrong extrinsic rotates one against the other; a wrong focal length stretches the turns; a
wrong sign turns the way round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from astra.core.types import CameraFrame, FloatArray, UInt8Array
from astra.datasets import Drive
from astra.doctor.finding import Finding, Severity, graded
from astra.geometry import Pose2, RigCamera, Trajectory
from astra.perception.local import LocalFeatureConfig, LocalFeatureExtractor, LocalFeatures, match

MOVE_M, TURN_RAD = 0.3, 0.2  # of a pair of images
STRAIGHT_RAD, SPOT_M = 0.1, 0.12  # a move turns less, a turn moves less
MIN_MATCHES = 40
ENOUGH = 5  # pairs that make a judgement
MOST = 15  # pairs of each kind and camera
EPIPOLAR_RAD = 0.004
FEATURES = LocalFeatureConfig(max_features=400)


@dataclass(frozen=True, slots=True, eq=False)
class SeenMotion:
    """A camera's motion between two images beside the base's: `turn_cam` (3,) rotation vector [rad], `way_cam` (3,) unit vector, in camera axes, or NaN."""

    base_motion: Pose2  # first_from_second, by wheels and gyro
    turn_cam: FloatArray
    way_cam: FloatArray
    inlier_share: float


@dataclass(slots=True, eq=False)
class CameraWitness:
    """Collects what one camera saw of the robot's motion."""

    camera: RigCamera
    moves: list[SeenMotion] = field(default_factory=list)
    turns: list[SeenMotion] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    repeats: int = 0
    featureless: int = 0
    looked: int = 0
    _extractor: LocalFeatureExtractor = field(default_factory=lambda: LocalFeatureExtractor(FEATURES))
    _last: tuple[Pose2, LocalFeatures, FloatArray] | None = None  # where, what, and its rays (N, 2)
    _picture: UInt8Array | None = None

    @property
    def satisfied(self) -> bool:
        """Whether more images would not tell more."""
        return len(self.moves) >= MOST and len(self.turns) >= MOST

    def look(self, frame: CameraFrame, odom_from_base: Pose2) -> None:
        """Take in an image; pairs are made where the robot has moved or turned enough."""
        moved = None if self._last is None else self._last[0].inverse() @ odom_from_base
        if moved is not None and np.hypot(moved.x, moved.y) < MOVE_M and abs(moved.yaw) < TURN_RAD:
            return
        self.looked += 1
        self.brightness.append(float(frame.rgb[::4, ::4].mean()))
        if self._picture is not None and np.array_equal(self._picture, frame.rgb):
            self.repeats += 1
        self._picture = frame.rgb
        features = self._extractor.extract(frame.rgb)
        self.featureless += len(features) < MIN_MATCHES
        rays = self.camera.model.unproject(features.keypoints.astype(np.float64))
        if self._last is not None and moved is not None:
            self._pair(self._last[1], self._last[2], features, rays, moved)
        self._last = (odom_from_base, features, rays)

    def _pair(self, first: LocalFeatures, first_rays: FloatArray, second: LocalFeatures, second_rays: FloatArray, moved: Pose2) -> None:
        distance, turn = float(np.hypot(moved.x, moved.y)), abs(moved.yaw)
        is_turn, is_move = turn >= TURN_RAD and distance < SPOT_M, turn < STRAIGHT_RAD and MOVE_M <= distance < 4 * MOVE_M
        if not (is_turn and len(self.turns) < MOST) and not (is_move and len(self.moves) < MOST):
            return
        pairs = match(first.descriptors, second.descriptors, FEATURES)
        if len(pairs) < MIN_MATCHES:
            return
        a, b = first_rays[pairs[:, 0]], second_rays[pairs[:, 1]]
        seen = _turn_seen(a, b, moved) if is_turn else _move_seen(a, b, moved)
        if seen is not None:
            (self.turns if is_turn else self.moves).append(seen)


def examine_vision(drive: Drive) -> Iterator[Finding]:
    """What each camera's pictures say about it; nothing for drives without odometry."""
    odometry = drive.odometry
    if not drive.topics.cameras:
        return
    if odometry is None:
        yield Finding("cameras against motion", Severity.UNKNOWN, "without wheels there is no motion to compare with")
        return
    for witness in _witnesses(drive, odometry):
        yield from _pictures(witness)
        yield from _mounting(witness)
        yield from _turns(witness)


def _witnesses(drive: Drive, odometry: Trajectory) -> list[CameraWitness]:
    witnesses = {camera.name: CameraWitness(camera) for camera in drive.rig.cameras}
    for frame in drive.frames():
        witness = witnesses[frame.camera]
        if not witness.satisfied and odometry.stamps_ns[0] <= frame.stamp_ns <= odometry.stamps_ns[-1]:
            witness.look(frame, odometry.at(frame.stamp_ns))
        elif all(w.satisfied for w in witnesses.values()):
            break
    return list(witnesses.values())


def _pictures(witness: CameraWitness) -> Iterator[Finding]:
    name = witness.camera.name
    if witness.looked < ENOUGH:
        yield Finding(f"pictures of {name}", Severity.UNKNOWN, "the robot hardly moved", "record a drive of ten metres with turns both ways")
        return
    mean = float(np.mean(witness.brightness))
    if mean < 20.0 or mean > 240.0:
        yield Finding(
            f"pictures of {name}",
            Severity.ERROR,
            f"the pictures are {'dark' if mean < 20.0 else 'washed out'} (mean {mean:.0f} of 255)",
            "take off the lens cap, set the exposure",
            mean,
            "of 255",
        )
    if witness.repeats:
        what = f"{witness.repeats} of {witness.looked} pictures repeat the one before though the robot moved"
        yield Finding(
            f"pictures of {name}", Severity.ERROR, what, "the driver sends old images: restart it, look at its USB bandwidth", witness.repeats, "images"
        )
    bare = witness.featureless / witness.looked
    what = f"{bare:.0%} of the pictures show hardly anything to hold on to"
    yield graded(
        f"texture of {name}", bare, "share", 0.3, 0.8, what=what, advice="focus the lens, shorten the exposure, or turn the camera away from bare walls"
    )


def _mounting(witness: CameraWitness) -> Iterator[Finding]:
    """The camera's orientation by what it saw, against its transform."""
    name, base_from_cam = witness.camera.name, witness.camera.base_from_cam.rotation
    ways = np.array([m.way_cam for m in witness.moves if np.isfinite(m.way_cam).all()]).reshape(-1, 3)
    if len(ways) < ENOUGH:
        yield Finding(f"mounting of {name}", Severity.UNKNOWN, "too few straight stretches to judge", "drive some metres straight on while recording")
        return
    ahead = np.array([[m.base_motion.x, m.base_motion.y, 0.0] for m in witness.moves if np.isfinite(m.way_cam).all()])
    expected = _unit(ahead @ base_from_cam)  # cam_from_base applied to rows
    angles = np.degrees(np.arccos(np.clip((ways * expected).sum(axis=1), -1.0, 1.0)))
    error = float(np.median(angles))
    if error > 150.0:
        advice = "swap the wheels' direction (forward is positive), or turn base_link → camera by 180°"
        yield Finding(f"mounting of {name}", Severity.ERROR, "it sees the robot drive the other way than the wheels say", advice, error, "deg")
        return
    seen = _unit(np.median(ways @ base_from_cam.T, axis=0, keepdims=True))[0]
    yaw = float(np.degrees(np.arctan2(seen[1], seen[0]) - np.median(np.arctan2(ahead[:, 1], ahead[:, 0]))))
    what = f"driving ahead looks {error:.1f}° off what its transform says"
    pitch = float(np.degrees(np.arcsin(np.clip(seen[2], -1.0, 1.0))))
    advice = f"mend base_link → camera: it seems to be turned by {-((yaw + 180.0) % 360.0 - 180.0):+.1f}° about z and {pitch:+.1f}° about y"
    yield graded(f"mounting of {name}", error, "deg", 6.0, 15.0, what=what, advice=advice)
    share = float(np.median([m.inlier_share for m in witness.moves]))
    what = f"{share:.0%} of the matches agree with one rigid motion"
    yield graded(
        f"epipolar fit of {name}",
        share,
        "share",
        0.6,
        0.3,
        what=what,
        advice="calibrate the camera anew (distortion, image size), and see that it is fixed firmly",
    )


def _turns(witness: CameraWitness) -> Iterator[Finding]:
    """Turns on the spot: the axis shows the camera's roll and pitch, the size its focal length."""
    name, base_from_cam = witness.camera.name, witness.camera.base_from_cam.rotation
    if len(witness.turns) < ENOUGH:
        yield Finding(f"focal length of {name}", Severity.UNKNOWN, "too few turns on the spot to judge", "turn on the spot once each way while recording")
        return
    seen = np.array([m.turn_cam for m in witness.turns]) @ base_from_cam.T
    told = np.array([m.base_motion.yaw for m in witness.turns])
    ratio = float(np.median(seen[:, 2] / told))
    if ratio < 0.0:
        yield Finding(
            f"turns seen by {name}",
            Severity.ERROR,
            "it sees the robot turn the other way than wheels and gyro say",
            "mend base_link → camera (upside down?) or the sign of the turns",
            ratio,
            "ratio",
        )
        return
    tilt = float(np.degrees(np.median(np.arccos(np.clip((_unit(seen)[:, 2]) * np.sign(told), -1.0, 1.0)))))
    advice = "mend roll and pitch of base_link → camera"
    yield graded(f"upright of {name}", tilt, "deg", 5.0, 15.0, what=f"it sees the robot turn about an axis {tilt:.1f}° from base_link's z", advice=advice)
    what = f"it sees turns {ratio:.3f} times as large as wheels and gyro do"
    advice = f"its focal length seems to be {'larger' if ratio > 1.0 else 'smaller'} than given, or the turns of wheels and gyro are off: calibrate it anew"
    yield graded(f"focal length of {name}", abs(ratio - 1.0), "ratio − 1", 0.1, 0.3, what=what, advice=advice)


def _turn_seen(a: FloatArray, b: FloatArray, moved: Pose2) -> SeenMotion | None:
    """first_from_second of rays a, b (N, 2) on the plane z = 1 that only turned: Kabsch on their directions, trimmed."""
    a, b = (_unit(np.column_stack([rays, np.ones(len(rays))])) for rays in (a, b))
    keep = np.ones(len(a), bool)
    for _ in range(8):
        rotation = _kabsch(b[keep], a[keep])
        error = np.linalg.norm(a - b @ rotation.T, axis=1)
        keep = error < max(0.03, float(np.quantile(error, 0.5)))
        if keep.sum() < MIN_MATCHES // 2:
            return None
    return SeenMotion(moved, _rotation_vector(rotation), np.full(3, np.nan), float(keep.mean()))


def _move_seen(a: FloatArray, b: FloatArray, moved: Pose2) -> SeenMotion | None:
    """Direction of travel from an essential matrix of rays a, b (N, 2) on the plane z = 1."""
    import cv2

    essential, inliers = cv2.findEssentialMat(a, b, np.eye(3), method=cv2.RANSAC, prob=0.999, threshold=EPIPOLAR_RAD)
    if essential is None or essential.shape != (3, 3):
        return None
    good, rotation, way, _ = cv2.recoverPose(essential, a, b, np.eye(3), mask=inliers.copy())
    if good < MIN_MATCHES // 2:
        return None
    # second_from_first (rotation, way): the second camera's place in the first one's axes is −Rᵀt.
    return SeenMotion(moved, _rotation_vector(rotation.T), _unit((-rotation.T @ way).reshape(1, 3))[0], float(inliers.sum()) / len(a))


def _kabsch(source: FloatArray, target: FloatArray) -> FloatArray:
    u, _, vt = np.linalg.svd(target.T @ source)
    rotation: FloatArray = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    return rotation


def _rotation_vector(rotation: FloatArray) -> FloatArray:
    import cv2

    vector: FloatArray = cv2.Rodrigues(rotation)[0].ravel()
    return vector


def _unit(rows: FloatArray) -> FloatArray:
    unit: FloatArray = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return unit
