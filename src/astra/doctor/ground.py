"""The floor against the wheels: how fast it goes by, seen from above, tells the wheels' scale, or a camera's height and pitch.

Each image is laid out on the floor by the camera's calibration and its transform (inverse perspective mapping). Between two images that the wheels say are a
short way apart, the floor's texture has moved by that way; a phase correlation measures by how much it really has. A camera too low or pitched too far down
in its transform shows a floor that goes by too slowly, and so do wheels that count too much: what all cameras say together is laid to the wheels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from astra.core.types import CameraFrame, Float32Array, FloatArray, UInt8Array
from astra.datasets import Drive
from astra.doctor.finding import Finding, Severity, graded
from astra.geometry import Pose2, RigCamera

CELL_M = 0.02  # of the floor seen from above
FAR_M, HALF_WIDTH_M = 3.0, 0.6  # the piece of floor ahead of the camera
LEAST_ROWS = 32  # of cells ahead of the camera that it sees whole
MOVE_M, MOST_MOVE_M, STRAIGHT_RAD, TURN_RAD = 0.15, 0.45, 0.05, 0.1
SURE = 0.15  # of the phase correlation's response
SPREAD = 0.2  # between the quartiles of what one camera says: more, and something else than the floor goes by
ENOUGH, MOST = 5, 60  # pairs of images
WARN, FAIL = 0.1, 0.3  # of ratio − 1


@dataclass(slots=True, eq=False)
class FloorWitness:
    """What one camera saw of the floor: `ratios` of the way by the floor to the way by the wheels."""

    camera: RigCamera
    ratios: list[float] = field(default_factory=list)
    _last: tuple[Pose2, Float32Array] | None = None  # where, and the floor from above
    _pixels: Float32Array = field(init=False)
    _ahead: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._pixels, self._ahead = floor_pixels(self.camera)

    @property
    def sees_floor(self) -> bool:
        """Whether enough of the floor lies in the picture."""
        return len(self._pixels) >= LEAST_ROWS

    @property
    def ratio(self) -> float | None:
        """The floor's way over the wheels'; None where too little was seen, or too much besides the floor."""
        if len(self.ratios) < ENOUGH:
            return None
        low, middle, high = np.quantile(self.ratios, (0.25, 0.5, 0.75))
        return float(middle) if high - low < SPREAD else None

    def look(self, frame: CameraFrame, odom_from_base: Pose2) -> None:
        """Take in an image; a pair is made where the robot has gone a little way straight on."""
        moved = None if self._last is None else self._last[0].inverse() @ odom_from_base
        distance = 0.0 if moved is None else float(np.hypot(moved.x, moved.y))
        if moved is not None and distance < MOVE_M and abs(moved.yaw) < TURN_RAD:
            return
        floor = seen_from_above(frame.rgb, self._pixels)
        if self._last is not None and moved is not None and abs(moved.yaw) < STRAIGHT_RAD and MOVE_M <= distance <= MOST_MOVE_M:
            window = cv2.createHanningWindow(floor.shape[::-1], cv2.CV_32F)
            (across, along), sure = cv2.phaseCorrelate(self._last[1], floor, window)
            if sure >= SURE:
                left = np.array([-self._ahead[1], self._ahead[0]])
                seen = -CELL_M * (along * self._ahead + across * left)
                self.ratios.append(float(seen @ (moved.x, moved.y)) / distance**2)
        self._last = (odom_from_base, floor)


def examine_ground(drive: Drive) -> Iterator[Finding]:
    """What the floor says of each camera's height and pitch, and all of them of the wheels; nothing for drives without wheels or cameras."""
    odometry = drive.odometry
    if odometry is None or not drive.topics.cameras:
        return
    witnesses = {camera.name: FloorWitness(camera) for camera in drive.rig.cameras}
    looking = {name: witness for name, witness in witnesses.items() if witness.sees_floor}
    for frame in drive.frames() if looking else ():
        witness = looking.get(frame.camera)
        if witness is not None and len(witness.ratios) < MOST and odometry.stamps_ns[0] <= frame.stamp_ns <= odometry.stamps_ns[-1]:
            witness.look(frame, odometry.at(frame.stamp_ns))
    ratios = {name: ratio for name, witness in witnesses.items() if (ratio := witness.ratio) is not None}
    if not ratios:
        advice = "drive some metres straight on, over a floor with some texture, with a camera that sees it one to three metres away"
        yield Finding("wheels against the floor", Severity.UNKNOWN, "no camera sees the floor go by", advice)
        return
    scale = float(np.median(list(ratios.values())))
    if scale <= 0.0:
        advice = "swap the wheels' direction (forward is positive), or mend where the cameras look"
        yield Finding("wheels against the floor", Severity.ERROR, "the floor goes by the other way than the wheels say", advice, round(scale, 6), "ratio")
        return
    if len(ratios) > 1:
        what = f"the floor goes by {scale:.3f} times as fast as the wheels say, by {len(ratios)} cameras"
        advice = f"measure a straight line of some metres: multiply the wheels' radius by {scale:.2f}, or mend the height of all cameras"
        yield graded("wheels against the floor", abs(scale - 1.0), "ratio − 1", WARN, FAIL, what=what, advice=advice)
    for name, ratio in ratios.items():
        what = f"the floor goes by {ratio:.3f} times as fast as the wheels say"
        advice = f"mend height or pitch of base_link → {name} ({_advice(witnesses[name].camera, ratio)}), or the wheels' radius"
        yield graded(f"floor seen by {name}", abs(ratio - 1.0), "ratio − 1", WARN, FAIL, what=what, advice=advice)


def _advice(camera: RigCamera, ratio: float) -> str:
    if ratio <= 0.0:
        return "it looks the other way than told"
    height = float(camera.base_from_cam.translation[2])
    return f"told {height:.2f} m; {height / ratio:.2f} m would fit, or a view tilted farther {'down' if ratio > 1.0 else 'up'}"


def floor_pixels(camera: RigCamera) -> tuple[Float32Array, FloatArray]:
    """Where in the picture the floor ahead of the camera lies.

    Returns:
        pixels (R, C, 2) of a grid on the floor, row 0 the nearest that is seen from side to side, column 0 rightmost; and the direction (2,) it looks along
        in base_link. No rows where the camera looks up or down, or the floor is out of sight.
    """
    rotation, centre = camera.base_from_cam.rotation, camera.base_from_cam.translation
    ahead = rotation[:2, 2]
    length = float(np.linalg.norm(ahead))
    if length < 0.3 or centre[2] <= 0.05:
        return np.zeros((0, 0, 2), np.float32), np.array([1.0, 0.0])
    ahead = ahead / length
    forth, left = np.meshgrid(np.arange(0.2, FAR_M, CELL_M), np.arange(-HALF_WIDTH_M, HALF_WIDTH_M, CELL_M), indexing="ij")
    points = np.zeros((*forth.shape, 3))
    points[..., :2] = centre[:2] + forth[..., None] * ahead + left[..., None] * np.array([-ahead[1], ahead[0]])
    pixels, inside = camera.model.project(((points - centre) @ rotation).reshape(-1, 3))
    whole = np.flatnonzero(inside.reshape(forth.shape).all(axis=1))
    return pixels.reshape(*forth.shape, 2)[whole].astype(np.float32), ahead


def seen_from_above(rgb: UInt8Array, pixels: Float32Array) -> Float32Array:
    """The floor's texture (R, C) by the pixels (R, C, 2) of its cells: grey, without slow changes of brightness."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32)
    floor = np.asarray(cv2.remap(grey, pixels, None, cv2.INTER_LINEAR), np.float32)
    return floor - np.asarray(cv2.GaussianBlur(floor, (0, 0), 6.0), np.float32)
