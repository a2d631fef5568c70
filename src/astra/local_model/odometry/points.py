"""What single points of the pictures say about a step: finer than cells of 0.2 m can.

Corners are followed from picture to picture (Lucas-Kanade, forth and back), each with a depth: the floor's where the eyes take it for floor,
the eyes' own elsewhere, which is rougher. The planar motion is the one under which all cameras' points look where they were found:

    cost = Σ ρ( eᵀ S⁻¹ e ),   S = σ_px² I + σ_depth² J Jᵀ,   J = ∂(direction) / ∂(log depth)

so that a point of unknown depth still tells of the turn, and of the way across its direction of flow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from astra.core.types import AnyArray, BoolArray, Float32Array, FloatArray, UInt8Array
from astra.geometry import CameraRig
from astra.local_model.runtime import EyesConfig, fit_camera, fit_image

_UNKNOWN = 3.0  # deviation of the log depth of what may be anywhere


@dataclass(frozen=True, slots=True)
class PointsConfig:
    """How points are found and followed."""

    count: int = 45  # in each picture, and as many again where floor may be seen
    quality: float = 0.01  # of the best corner there
    floor_within_m: float = 4.0
    apart_px: float = 5.0
    window_px: int = 11
    levels: int = 3
    back_px: float = 0.7  # a point that is not found again by going back is dropped
    pixel_sigma: float = 0.35
    floor_share: float = 0.12  # the eyes' depth is within this share of the floor's: floor
    cell_px: int = 8  # of the eyes' depths; they tell the nearest of a cell, on the floor that of its lower edge
    floor_sigma: float = 0.02
    depth_sigma: float = 0.25
    camera_depth_sigma: float = 0.2  # of all depths of a camera together
    believed_m: tuple[float, ...] = (0.4, 0.7, 1.25, 1.75, 7.0)  # depths that the eyes tell of what is no floor …
    factor: tuple[float, ...] = (1.37, 1.35, 1.08, 1.0, 0.97)  # … and by how much it is farther off, in train worlds: they tell the nearest of a cell
    least: int = 12
    rounds: int = 6
    floor_rounds: int = 3
    tilt_sigma_rad: float = 0.014  # how far a camera may hang from where the rig says, around each axis
    sideways_sigma_m: float = 0.001  # the wheels' way across, for a step
    calibrate_m: float = 0.03  # steps as long as this teach how the cameras hang
    calibrate_misfit: float = 3.0
    calibration_share: float = 0.1  # of each step's information: neighbouring steps see the same points
    calibration_fades: float = 0.9998


@dataclass(frozen=True, slots=True, eq=False)
class PointMotion:
    """base_from_base′ of a step: values (3,) x [m], y [m], yaw [rad] and their covariance (3, 3).

    floor_values (3,): the same with all depths unknown but the floor's, floor_x_sigma its deviation along x [m]. used, floor: how many points agree.
    """

    values: FloatArray
    covariance: FloatArray
    floor_values: FloatArray
    floor_x_sigma: float
    used: int
    floor: int
    misfit: float  # median of the whitened residual: about 1.2 if all is well

    def columns(self) -> Float32Array:
        """(POINT_COLUMNS,) as the head reads it."""
        sigma = np.log(np.sqrt(np.diag(self.covariance)) / 1e-3)
        other = np.clip((self.floor_values - self.values) / 0.01, -5.0, 5.0)
        doubt = np.log(max(self.floor_x_sigma, 1e-4) / 1e-3)
        return np.array([1.0, *(self.values / 0.1), *sigma, *other, doubt, self.misfit, self.used / 200.0, self.floor / 100.0], np.float32)


def pixel_rays(rig: CameraRig) -> tuple[Float32Array, FloatArray]:
    """What each pixel of the eyes' pictures looks along, (V, h, w, 3) per metre of depth in base_link's axes, and where the cameras are (V, 3)."""
    rays, centres = [], []
    for camera in rig.cameras:
        model = fit_camera(camera.model, EyesConfig())
        pixels = np.stack(np.meshgrid(np.arange(model.width), np.arange(model.height)), axis=-1).reshape(-1, 2)
        plane = model.unproject(pixels.astype(np.float64))
        directions = np.hstack([plane, np.ones((len(plane), 1))]) @ camera.base_from_cam.rotation.T
        rays.append(directions.reshape(model.height, model.width, 3).astype(np.float32))
        centres.append(camera.base_from_cam.translation)
    return np.stack(rays), np.stack(centres)


def grey_pictures(images: Mapping[str, UInt8Array | None], rig: CameraRig) -> UInt8Array:
    """(V, h, w) of the eyes' size; black where none came."""
    out = []
    for camera in rig.cameras:
        model, image = fit_camera(camera.model, EyesConfig()), images.get(camera.name)
        if image is None:
            out.append(np.zeros((model.height, model.width), np.uint8))
        else:
            out.append(np.asarray(cv2.cvtColor(fit_image(image, model.width, model.height), cv2.COLOR_RGB2GRAY), np.uint8))
    return np.stack(out)


@dataclass(frozen=True, slots=True, eq=False)
class _Tracks:
    """N points: their camera; what they were seen along (N, 3), per metre of depth; depth (N,); whether it is the floor's; the unit look (N, 3) now."""

    camera: AnyArray
    first: FloatArray
    depth: FloatArray
    is_floor: BoolArray
    look: FloatArray
    across: FloatArray  # (N, 2, 3), at right angles to the look
    centre: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Errors (N, 2) [rad]; by the motion (N, 2, 3); by where the point is in the old base (N, 2, 3); weights (N, 2, 2); squared whitened errors (N,)."""

    error: FloatArray
    jacobian: FloatArray
    to_error: FloatArray
    basis: FloatArray
    weight: FloatArray
    square: FloatArray

    prior: FloatArray

    def information(self) -> FloatArray:
        """(3 + V, 3 + V) of the motion and of each camera's depths."""
        columns = self.jacobian.shape[2]
        weighted = (self.weight @ self.jacobian).reshape(-1, columns)
        out: FloatArray = self.jacobian.reshape(-1, columns).T @ weighted + np.diag(self.prior)
        return out

    def gradient(self) -> FloatArray:
        """(3,) of half the cost by the motion."""
        weighted = (self.weight @ self.error[..., None]).ravel()
        out: FloatArray = self.jacobian.reshape(-1, self.jacobian.shape[2]).T @ weighted
        return out


class PointOdometry:
    """Follows points from frame to frame.

    Args:
        rays, centres: of `pixel_rays`.
        config: how.
    """

    def __init__(self, rays: Float32Array, centres: FloatArray, config: PointsConfig | None = None) -> None:
        self._rays, self._centres, self._config = rays, centres, config or PointsConfig()
        middle = rays[0, rays.shape[1] // 2, rays.shape[2] // 2 - 1 : rays.shape[2] // 2 + 1]
        self._pixel_rad = float(np.linalg.norm(middle[1] - middle[0]) / np.linalg.norm(middle[0]))
        down = np.maximum(-rays[..., 2], 1e-3)
        depths = centres[:, None, None, 2] / down
        edges = depths[:, self._config.cell_px - 1 :: self._config.cell_px, self._config.cell_px // 2 :: self._config.cell_px]
        self._floor: FloatArray = np.asarray(edges, np.float64)  # where the floor meets the lower edge of each cell of the eyes' depths
        low = depths < self._config.floor_within_m
        self._masks = [[np.where(m, 255, 0).astype(np.uint8) for m in (~view, view)] for view in low]
        self._before: tuple[UInt8Array, Float32Array, BoolArray] | None = None
        self.tilts: FloatArray = np.zeros((len(rays), 3))  # angles [rad] in base_link's axes by which each camera hangs otherwise than told
        self._known: FloatArray = np.eye(3 * len(rays)) / self._config.tilt_sigma_rad**2

    def forget(self) -> None:
        """Begin anew with the next frame."""
        self._before = None

    def push(self, greys: UInt8Array, depth_m: Float32Array, works: BoolArray) -> PointMotion | None:
        """The motion since the last frame, or None: the first one, or too few points.

        Args:
            greys: (V, h, w) of `grey_pictures`. depth_m: (V, h/8, w/8) by the eyes. works: (V,), which cameras can be believed.
        """
        before, self._before = self._before, (greys, depth_m, works)
        if before is None:
            return None
        found = [self._followed(k, before[0][k], greys[k], before[1][k]) for k in np.flatnonzero(before[2] & works).tolist()]
        parts = [tracks for tracks in found if tracks is not None]
        if sum(len(tracks.depth) for tracks in parts) < self._config.least:
            return None
        return self._solved(_Tracks(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Tracks.__slots__)))

    def _followed(self, camera: int, old: UInt8Array, new: UInt8Array, depth_m: Float32Array) -> _Tracks | None:
        """The points of one camera that are found again."""
        c = self._config
        parts = [cv2.goodFeaturesToTrack(old, c.count, c.quality, c.apart_px, mask=mask) for mask in self._masks[camera]]
        found_some = [part for part in parts if part is not None]
        if not found_some:
            return None
        corners = np.concatenate(found_some)
        how = {"winSize": (c.window_px, c.window_px), "maxLevel": c.levels}
        there, found, _ = cv2.calcOpticalFlowPyrLK(old, new, corners, None, **how)  # type: ignore[call-overload]
        back, again, _ = cv2.calcOpticalFlowPyrLK(new, old, there, None, **how)  # type: ignore[call-overload]
        height, width = old.shape
        a, b = corners[:, 0], there[:, 0]
        good = (found[:, 0] > 0) & (again[:, 0] > 0) & (np.linalg.norm(back[:, 0] - a, axis=1) < c.back_px)
        good &= (b[:, 0] >= 0) & (b[:, 0] <= width - 1) & (b[:, 1] >= 0) & (b[:, 1] <= height - 1)
        if not good.any():
            return None
        a, b = a[good], b[good]
        first, look = (_sampled(self._rays[camera], p) for p in (a, b))
        row, column = (np.minimum(a[:, k] / c.cell_px, depth_m.shape[k ^ 1] - 1).astype(int) for k in (1, 0))
        depth, edge = depth_m[row, column].astype(np.float64), self._floor[camera, row, column]
        centre = self._centres[camera]
        floor = centre[2] / np.maximum(-first[:, 2], 1e-3)
        is_floor = (np.abs(np.log(np.maximum(depth, 1e-2) / edge)) < c.floor_share) & (first[:, 2] < -0.1)
        depth = np.maximum(depth, 0.1) * np.interp(depth, c.believed_m, c.factor)
        look /= np.linalg.norm(look, axis=1, keepdims=True)
        centres = np.repeat(centre[None], len(a), axis=0)
        return _Tracks(np.full(len(a), camera), first, np.where(is_floor, floor, depth), is_floor, look, _across(look), centres)

    def _solved(self, tracks: _Tracks) -> PointMotion:
        """Robust least squares (Student's t, three degrees of freedom), and a look at how the cameras hang."""
        c, values = self._config, np.zeros(3 + len(self._centres))
        tracks = self._straightened(tracks)
        values, fit = self._descended(tracks, values, c.rounds, c.camera_depth_sigma)
        alone, floor_fit = self._descended(tracks, values, c.floor_rounds, _UNKNOWN)
        misfit = float(np.sqrt(np.median(fit.square)))
        near = fit.square < 16.0
        if math.hypot(values[0], values[1]) > c.calibrate_m and misfit < c.calibrate_misfit:
            self._calibrate(tracks, fit, values)
        covariance = np.asarray(np.linalg.inv(fit.information()) * max(1.0, misfit / 1.2) ** 2, np.float64)
        x_sigma = float(np.sqrt(np.linalg.inv(floor_fit.information())[0, 0]))
        return PointMotion(values[:3], covariance[:3, :3], alone[:3], x_sigma, int(near.sum()), int((near & tracks.is_floor).sum()), misfit)

    def _descended(self, tracks: _Tracks, values: FloatArray, rounds: int, camera_sigma: float) -> tuple[FloatArray, _Fit]:
        """Gauss-Newton from some values on."""
        prior = np.concatenate([np.full(3, 1e-6), np.full(len(self._centres), 1.0 / camera_sigma**2)])
        fit = self._fit(tracks, values, prior)
        for _ in range(rounds):
            step = np.linalg.solve(fit.information(), fit.gradient() + prior * values)
            values = values - np.clip(step, -0.5, 0.5)
            fit = self._fit(tracks, values, prior)
            if np.abs(step[:3]).max() < 2e-4:
                break
        return values, fit

    def _straightened(self, tracks: _Tracks) -> _Tracks:
        """The same with the cameras as they are by now believed to hang."""
        turns = np.stack([_rotation(angles) for angles in self.tilts])[tracks.camera]
        first, look = (np.einsum("nij,nj->ni", turns, x) for x in (tracks.first, tracks.look))
        floor = tracks.centre[:, 2] / np.maximum(-first[:, 2], 1e-3)
        return replace(tracks, first=first, look=look, across=_across(look), depth=np.where(tracks.is_floor, floor, tracks.depth))

    def _fit(self, t: _Tracks, values: FloatArray, prior: FloatArray) -> _Fit:
        """Errors and Jacobians under a motion."""
        c, s = math.cos(values[2]), math.sin(values[2])
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        deeper_by = np.where(t.is_floor, 1.0, np.exp(values[3:][t.camera]))
        sight = (deeper_by * t.depth)[:, None] * t.first
        moved = (t.centre + sight - np.array([values[0], values[1], 0.0])) @ turn.T
        ray = moved - t.centre
        away = np.linalg.norm(ray, axis=1, keepdims=True)
        unit = ray / away
        basis = t.across
        error = (basis @ unit[..., None])[..., 0]
        flat = (basis - error[..., None] * unit[:, None]) / away[..., None]
        spun = np.stack([moved[:, 1], -moved[:, 0], np.zeros(len(moved))], axis=1)
        shift = np.broadcast_to(-turn[:, :2], (len(moved), 3, 2))
        deeper = (flat @ (sight @ turn.T)[..., None])[..., 0]
        views = len(self._centres)
        whose = (t.camera[:, None] == np.arange(views)) & ~t.is_floor[:, None]
        jacobian = np.concatenate([flat @ np.concatenate([shift, spun[..., None]], axis=2), deeper[:, :, None] * whose[:, None]], axis=2)
        sigma = np.where(t.is_floor, self._config.floor_sigma, self._config.depth_sigma)
        pixel = (self._config.pixel_sigma * self._pixel_rad) ** 2
        share = sigma**2 / (pixel + sigma**2 * (deeper**2).sum(1))  # Sherman and Morrison's inverse of S
        inverse = (np.eye(2) - share[:, None, None] * deeper[:, :, None] * deeper[:, None]) / pixel
        square = ((error**2).sum(1) - share * (error * deeper).sum(1) ** 2) / pixel
        return _Fit(error, jacobian, flat @ turn, basis, (5.0 / (3.0 + square))[:, None, None] * inverse, square, prior)

    def _calibrate(self, t: _Tracks, fit: _Fit, values: FloatArray) -> None:
        """Learn each camera's tilt: wheels do not let the base move sideways, and the floor is level.

        An information filter over three small angles a camera, in base_link's axes; the step's motion is marginalised.
        """
        c, n = self._config, 3 * len(self.tilts)
        sight = t.depth[:, None] * t.first
        bent = -_skew(sight)  # of a point, by its camera's angles
        lower = np.where(t.is_floor, t.depth / np.maximum(-t.first[:, 2], 1e-3), 0.0)
        bent = bent + lower[:, None, None] * t.first[:, :, None] * (-_skew(t.first))[:, 2][:, None, :]
        own = fit.to_error @ bent + fit.basis @ _skew(t.look)
        angles: FloatArray = np.zeros((len(own), 2, n))
        for k in range(len(self.tilts)):
            mine = t.camera == k
            angles[mine, :, 3 * k : 3 * k + 3] = own[mine]
        row = np.zeros(len(values))  # an arc ends where half its turn points to
        row[:3] = -0.5 * values[2], 1.0, -0.5 * values[0]
        sideways, weight = values[1] - 0.5 * values[0] * values[2], 1.0 / (c.sideways_sigma_m + 0.01 * abs(values[0])) ** 2
        weighted = (fit.weight @ angles).reshape(-1, n)
        mixed = fit.jacobian.reshape(len(weighted), -1).T @ weighted
        own_information = angles.reshape(-1, n).T @ weighted
        motion_information = fit.information() + weight * np.outer(row, row)
        pull_motion = -fit.gradient() - fit.prior * values - weight * sideways * row
        pull_angles = -weighted.T @ fit.error.ravel()
        solved = np.linalg.solve(motion_information, np.column_stack([mixed, pull_motion]))
        gained = own_information - mixed.T @ solved[:, :n]
        pull = pull_angles - mixed.T @ solved[:, n]
        self._known = c.calibration_fades * self._known + c.calibration_share * 0.5 * (gained + gained.T)
        self.tilts = self.tilts + np.linalg.solve(self._known, c.calibration_share * pull).reshape(-1, 3)


def _rotation(angles: FloatArray) -> FloatArray:
    return np.asarray(cv2.Rodrigues(np.asarray(angles, np.float64))[0])


def _skew(v: FloatArray) -> FloatArray:
    """(N, 3, 3) of v × ·."""
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    out[:, 1, 0], out[:, 2, 0], out[:, 2, 1] = v[:, 2], -v[:, 1], v[:, 0]
    return out


def _across(looks: FloatArray) -> FloatArray:
    """Two unit vectors (N, 2, 3) at right angles to each look and to each other."""
    up = np.where(np.abs(looks[:, 2:]) < 0.9, np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]]))
    first = np.cross(up, looks)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(looks, first)], axis=1)


def _sampled(field: AnyArray, pixels: AnyArray) -> FloatArray:
    """(N,) or (N, C): a picture (h, w[, C]) between its pixels (N, 2)."""
    at = pixels.astype(np.float32)
    found = cv2.remap(np.ascontiguousarray(field, np.float32), at[:, None, 0], at[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[:, 0], np.float64)
