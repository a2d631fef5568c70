"""Camera models (pinhole plumb_bob and equidistant fisheye) and rigs, in the ROS camera_info convention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from astra.core.config import load_yaml
from astra.core.errors import BadInputError
from astra.core.types import AnyArray, BoolArray, FloatArray
from astra.geometry.se3 import Pose3

MAX_SIDE_PX = 32768
DISTORTION_MODELS = ("plumb_bob", "equidistant")


@dataclass(frozen=True, slots=True)
class CameraModel:
    """Intrinsics of one camera. `distortion`: plumb_bob k1 k2 p1 p2 k3, or equidistant k1 k2 k3 k4; pixels are centred at integers."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = "plumb_bob"
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise BadInputError(f"camera size {self.width}×{self.height} is not positive")
        if max(self.width, self.height) > MAX_SIDE_PX:
            raise BadInputError(f"camera size {self.width}×{self.height} is beyond {MAX_SIDE_PX} pixels a side")
        if not (math.isfinite(self.cx) and math.isfinite(self.cy) and all(map(math.isfinite, self.distortion))):
            raise BadInputError(f"principal point ({self.cx}, {self.cy}) or distortion {self.distortion} is not finite")
        if not (math.isfinite(self.fx) and math.isfinite(self.fy) and self.fx > 0 and self.fy > 0):
            raise BadInputError(f"focal length ({self.fx}, {self.fy}) is not positive: is the camera calibrated?")
        if self.distortion_model not in DISTORTION_MODELS:
            raise BadInputError(f"distortion_model {self.distortion_model!r} is not one of {', '.join(DISTORTION_MODELS)}")

    @property
    def matrix(self) -> FloatArray:
        """The camera matrix K (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """Whether any lens term differs from the ideal pinhole."""
        return self.distortion_model == "equidistant" or any(abs(k) > 1e-12 for k in self.distortion)

    def project(self, points_cam: AnyArray) -> tuple[FloatArray, BoolArray]:
        """Project points (N, 3) in the optical frame [m].

        Returns:
            pixels (N, 2) and whether each lies in front of the camera and inside the image.
        """
        points = np.asarray(points_cam, dtype=np.float64)
        depth = points[:, 2]
        in_front = depth > 1e-6
        rays = points[:, :2] / np.where(in_front, depth, 1.0)[:, None]
        pixels = self._distort(rays) * [self.fx, self.fy] + [self.cx, self.cy]
        inside = (pixels[:, 0] >= -0.5) & (pixels[:, 0] < self.width - 0.5) & (pixels[:, 1] >= -0.5) & (pixels[:, 1] < self.height - 0.5)
        return pixels, in_front & inside

    def unproject(self, pixels: AnyArray) -> FloatArray:
        """Rays (N, 2) on the plane z = 1 of the optical frame for pixels (N, 2)."""
        distorted = (np.asarray(pixels, dtype=np.float64) - [self.cx, self.cy]) / [self.fx, self.fy]
        return self._undistort(distorted) if self.is_distorted else distorted

    def scaled(self, factor: float) -> CameraModel:
        """The same camera for images resized by `factor`."""
        return CameraModel(
            round(self.width * factor), round(self.height * factor), self.fx * factor, self.fy * factor,
            (self.cx + 0.5) * factor - 0.5, (self.cy + 0.5) * factor - 0.5, self.distortion_model, self.distortion,
        )  # fmt: skip

    def _distort(self, rays: FloatArray) -> FloatArray:
        if not self.is_distorted:
            return rays
        r2 = (rays**2).sum(axis=1, keepdims=True)
        if self.distortion_model == "equidistant":
            k1, k2, k3, k4 = (*self.distortion, 0.0, 0.0, 0.0, 0.0)[:4]
            r = np.sqrt(r2)
            theta = np.arctan(r)
            t2 = theta**2
            scale = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
            bent: FloatArray = rays * np.where(r > 1e-9, scale / np.maximum(r, 1e-9), 1.0)
            return bent
        k1, k2, p1, p2, k3 = (*self.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        x, y = rays[:, :1], rays[:, 1:]
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        tangential = np.hstack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y])
        return np.asarray(rays * radial + tangential)

    def _undistort(self, distorted: FloatArray) -> FloatArray:
        # Newton on the two-dimensional distortion with a numerical Jacobian; fisheye starts from its closed-form angle.
        rays = distorted.copy()
        if self.distortion_model == "equidistant":
            theta = np.linalg.norm(distorted, axis=1, keepdims=True)
            rays = distorted * np.where(theta > 1e-9, np.tan(np.minimum(theta, 1.5)) / np.maximum(theta, 1e-9), 1.0)
        step = 1e-6
        for _ in range(20):
            here = self._distort(rays)
            error = here - distorted
            if float(np.abs(error).max(initial=0.0)) < 1e-10:
                break
            ex = (self._distort(rays + np.array([step, 0.0])) - here) / step
            ey = (self._distort(rays + np.array([0.0, step])) - here) / step
            determinant = ex[:, 0] * ey[:, 1] - ex[:, 1] * ey[:, 0]
            determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
            along_x = ey[:, 1] * error[:, 0] - ey[:, 0] * error[:, 1]
            along_y = ex[:, 0] * error[:, 1] - ex[:, 1] * error[:, 0]
            rays = rays - np.stack([along_x, along_y], axis=1) / determinant[:, None]
        return rays

    @staticmethod
    def from_fov(width: int, height: int, horizontal_fov_rad: float) -> CameraModel:
        """An ideal pinhole camera with square pixels."""
        focal = width / 2.0 / math.tan(horizontal_fov_rad / 2.0)
        return CameraModel(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)

    def to_camera_info(self, name: str = "camera") -> dict[str, Any]:
        """The ROS camera_info YAML mapping."""
        k = [self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0]
        d = list(self.distortion) or ([0.0] * (4 if self.distortion_model == "equidistant" else 5))
        return {
            "image_width": self.width,
            "image_height": self.height,
            "camera_name": name,
            "camera_matrix": {"rows": 3, "cols": 3, "data": k},
            "distortion_model": self.distortion_model,
            "distortion_coefficients": {"rows": 1, "cols": len(d), "data": d},
        }

    @staticmethod
    def from_camera_info(info: dict[str, Any], where: str = "camera_info") -> CameraModel:
        """From the ROS camera_info YAML mapping.

        Raises:
            BadInputError: a key is missing, or a value is unusable; the message names it.
        """
        try:
            if not isinstance(info["camera_matrix"], dict):
                raise BadInputError(f"{where}: camera_matrix is not a mapping with `data`")
            k = [float(v) for v in info["camera_matrix"]["data"]]
            d = [float(v) for v in info.get("distortion_coefficients", {}).get("data", [])]
            model = str(info.get("distortion_model") or "plumb_bob")
            if model in ("fisheye", "equidistant"):
                model = "equidistant"
            elif not any(d):
                model = "plumb_bob"
            if len(k) != 9:
                raise BadInputError(f"{where}: camera_matrix has {len(k)} entries, 9 are needed")
            return CameraModel(int(info["image_width"]), int(info["image_height"]), k[0], k[4], k[2], k[5], model, tuple(d) if any(d) else ())
        except KeyError as error:
            raise BadInputError(f"{where}: {error.args[0]} is missing") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadInputError(f"{where}: {error}") from error
        except BadInputError as error:
            raise BadInputError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error

    @staticmethod
    def load(path: Path) -> CameraModel:
        """Read `camera.yaml` (ROS camera_info convention)."""
        return CameraModel.from_camera_info(load_yaml(path), str(path))

    def save(self, path: Path, name: str = "camera") -> None:
        """Write `camera.yaml` (ROS camera_info convention)."""
        path.write_text(yaml.safe_dump(self.to_camera_info(name), sort_keys=False), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class RigCamera:
    """A camera on the robot: its model and where it sits (`base_from_cam`, optical axes)."""

    name: str
    model: CameraModel
    base_from_cam: Pose3


@dataclass(frozen=True, slots=True)
class CameraRig:
    """The robot's cameras, in a fixed order."""

    cameras: tuple[RigCamera, ...]

    def __getitem__(self, name: str) -> RigCamera:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise BadInputError(f"no camera {name!r} on this rig; it has: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in order."""
        return tuple(camera.name for camera in self.cameras)
