"""SE(2)/SE(3), camera models and distance fields. Transforms are named `a_from_b` and compose with `@`."""

from astra.geometry.camera import CameraModel, CameraRig, RigCamera
from astra.geometry.se2 import Pose2, wrap_angle
from astra.geometry.se3 import BODY_FROM_OPTICAL, Pose3
from astra.geometry.similarity import Similarity
from astra.geometry.trajectory import Trajectory

__all__ = ["BODY_FROM_OPTICAL", "CameraModel", "CameraRig", "Pose2", "Pose3", "RigCamera", "Similarity", "Trajectory", "wrap_angle"]
