"""Fisheye pictures from a renderer that only knows pinholes: a few views around the lens, bent into one by a table made once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from astra.core.config import require
from astra.core.errors import BadInputError
from astra.core.types import Float32Array, FloatArray, UInt8Array
from astra.geometry import CameraModel, Pose3

# Yaw to the right and pitch up [deg] of the views that may stand for one lens; the set with the fewest pixels is taken.
_LAYOUTS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.0, 0.0),),
    ((-45.0, 0.0), (45.0, 0.0)),
    ((-60.0, 0.0), (0.0, 0.0), (60.0, 0.0)),
    ((0.0, 0.0), (-90.0, 0.0), (90.0, 0.0), (0.0, 90.0), (0.0, -90.0)),
)
_SHARPNESS = 1.25  # pixels of a view's middle for one of the picture
_MARGIN_PX = 1.5  # around what is needed of a view, so that interpolation stays inside it
_VIEW_PX = 4000  # what starting a view costs, in pixels
_MAX_TANGENT = 4.0  # of half a view's field of view


@dataclass(frozen=True, slots=True)
class Face:
    """One pinhole view of the lens: what to render, and how its optical frame is turned in the lens's."""

    model: CameraModel
    cam_from_face: Pose3

    @property
    def vertical_fov_rad(self) -> float:
        """The whole vertical field of view, edge to edge."""
        return 2.0 * math.atan(self.model.height / 2.0 / self.model.fy)


def equidistant(width: int, height: int, horizontal_fov_rad: float) -> CameraModel:
    """An ideal fisheye: a ray at the angle θ from the axis falls f·θ from the middle, f = (width / 2) / (fov / 2)."""
    require(0.1 <= horizontal_fov_rad <= math.pi + 1e-9, "horizontal_fov_rad", horizontal_fov_rad, "between 0.1 and π")
    focal = width / horizontal_fov_rad
    return CameraModel(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0, "equidistant")


def views(model: CameraModel) -> tuple[Face, ...]:
    """The pinhole views that together see all that an ideal equidistant camera sees within 90° of its axis."""
    directions, seen = _directions(model)
    best: tuple[Face, ...] = ()
    cost = math.inf
    for layout in _LAYOUTS:
        faces = _faces(model, directions[seen], layout)
        pixels = sum(face.model.width * face.model.height + _VIEW_PX for face in faces)
        if faces and pixels < cost:
            best, cost = faces, pixels
    return best


class Fisheye:
    """Bends the pictures of `faces` into the one of the lens. Beyond 90° from the axis it is black and has no depth."""

    def __init__(self, model: CameraModel) -> None:
        self.model = model
        self.faces = views(model)
        directions, seen = _directions(model)
        flat = directions.reshape(-1, 3)
        owner = _owners(flat, self.faces)
        # All views lie one below the other in one sheet, so that a single remap suffices.
        self._tops = np.concatenate([[0], np.cumsum([face.model.height for face in self.faces])]).tolist()
        across, down, ratio = np.full(len(flat), -10.0), np.full(len(flat), -10.0), np.zeros(len(flat))
        for number, face in enumerate(self.faces):
            mine = seen.ravel() & (owner == number)
            rays = flat[mine] @ face.cam_from_face.rotation
            across[mine] = face.model.fx * rays[:, 0] / rays[:, 2] + face.model.cx
            down[mine] = face.model.fy * rays[:, 1] / rays[:, 2] + face.model.cy + self._tops[number]
            ratio[mine] = np.maximum(flat[mine, 2], 0.0) / rays[:, 2]
        size = (model.height, model.width)
        self._map = (across.reshape(size).astype(np.float32), down.reshape(size).astype(np.float32))
        self._fixed = cv2.convertMaps(*self._map, cv2.CV_16SC2)  # integer maps are twice as fast
        self._ratio: Float32Array = ratio.reshape(size).astype(np.float32)  # depth along the lens's axis over that along the view's
        width = max(face.model.width for face in self.faces)
        self._sheet: UInt8Array = np.zeros((self._tops[-1], width, 3), np.uint8)
        self._depth_sheet: Float32Array = np.zeros((self._tops[-1], width), np.float32)

    def compose(self, pictures: list[UInt8Array]) -> UInt8Array:
        """The picture (H, W, 3) from those of the faces, in their order."""
        for number, picture in enumerate(pictures):
            self._sheet[self._tops[number] : self._tops[number + 1], : picture.shape[1]] = picture
        return np.asarray(cv2.remap(self._sheet, *self._fixed, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)

    def compose_depth(self, depths: list[Float32Array]) -> Float32Array:
        """Depth (H, W) [m] along the lens's axis from that of the faces along theirs; 0 where there is nothing."""
        for number, depth in enumerate(depths):
            self._depth_sheet[self._tops[number] : self._tops[number + 1], : depth.shape[1]] = depth
        along = cv2.remap(self._depth_sheet, *self._map, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(along * self._ratio, np.float32)


def _directions(model: CameraModel) -> tuple[FloatArray, np.ndarray]:
    """Unit rays (H, W, 3) of all pixels in the optical frame, and which (H, W) lie within 90° of the axis."""
    if model.distortion_model != "equidistant" or any(model.distortion):
        raise BadInputError(f"a fisheye must be equidistant without coefficients, not {model.distortion_model} {model.distortion}")
    x = (np.arange(model.width) - model.cx) / model.fx
    y = (np.arange(model.height) - model.cy) / model.fy
    bent = np.stack(np.meshgrid(x, y), axis=-1)
    theta = np.linalg.norm(bent, axis=-1)
    directions = np.concatenate([bent * np.sinc(theta / np.pi)[..., None], np.cos(theta)[..., None]], axis=-1)
    return directions, theta <= math.pi / 2


def _turn(yaw_deg: float, pitch_deg: float) -> Pose3:
    """A view turned right by yaw and then up by pitch, in optical axes (x right, y down, z forward)."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    right = np.array([[math.cos(yaw), 0.0, math.sin(yaw)], [0.0, 1.0, 0.0], [-math.sin(yaw), 0.0, math.cos(yaw)]])
    up = np.array([[1.0, 0.0, 0.0], [0.0, math.cos(pitch), -math.sin(pitch)], [0.0, math.sin(pitch), math.cos(pitch)]])
    return Pose3(right @ up, np.zeros(3))


def _faces(model: CameraModel, directions: FloatArray, layout: tuple[tuple[float, float], ...]) -> tuple[Face, ...]:
    """Views of a layout, each just as large as the rays (N, 3) nearest to its axis need; () if one would be too wide."""
    focal = model.fx * _SHARPNESS
    turns = [_turn(*angles) for angles in layout]
    nearest = np.argmax(np.stack([directions @ turn.rotation[:, 2] for turn in turns], axis=1), axis=1)
    faces = []
    for number, turn in enumerate(turns):
        rays = directions[nearest == number] @ turn.rotation
        if len(rays) == 0:
            continue
        if float(rays[:, 2].min()) <= 1e-3:
            return ()
        half = np.abs(rays[:, :2] / rays[:, 2:]).max(axis=0)
        if float(half.max()) > _MAX_TANGENT:
            return ()
        width, height = (int(v) for v in np.ceil(2.0 * (half * focal + _MARGIN_PX)))
        faces.append(Face(CameraModel(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0), turn))
    return tuple(faces)


def _owners(directions: FloatArray, faces: tuple[Face, ...]) -> np.ndarray:
    """Which face (N,) each ray (N, 3) is nearest to the axis of."""
    return np.asarray(np.argmax(np.stack([directions @ face.cam_from_face.rotation[:, 2] for face in faces], axis=1), axis=1))
