"""Points followed over a patterned floor tell a step's motion, and how far it may be wrong."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from astra.core.types import Float32Array, UInt8Array
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.local_model.odometry.config import POINT_COLUMNS
from astra.local_model.odometry.points import PointOdometry, grey_pictures, pixel_rays

CAMERA = CameraModel.from_fov(160, 112, math.pi / 2)
FRONT, LEFT = (Pose3.from_rpy(0.0, 0.2, yaw, (0.0, 0.0, 0.9)) @ BODY_FROM_OPTICAL for yaw in (0.0, math.pi / 2))
RIG = CameraRig((RigCamera("front", CAMERA, FRONT), RigCamera("left", CAMERA, LEFT)))
RAYS, CENTRES = pixel_rays(RIG)
FLOOR = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (1200, 1200)).astype(np.float32), (0, 0), 2.5)
FLOOR = np.clip((FLOOR - FLOOR.mean()) / FLOOR.std() * 40 + 128, 0, 255).astype(np.float32)
BOTH = np.ones(2, dtype=np.bool_)


def seen(pose: Pose2, rays: Float32Array = RAYS) -> tuple[UInt8Array, Float32Array]:
    """The pictures of a floor that reaches to the horizon, 2 cm a pixel, and its depths as the eyes would tell them."""
    depth = np.where(rays[..., 2] < -0.02, 0.9 / np.maximum(-rays[..., 2], 0.02), 7.0)
    points = (CENTRES[:, None, None] + depth[..., None] * rays)[..., :2]
    c, s = math.cos(pose.yaw), math.sin(pose.yaw)
    world = points @ np.array([[c, s], [-s, c]]) + (pose.x, pose.y)
    at = (600.0 + 50.0 * world).astype(np.float32)
    pictures = np.stack([cv2.remap(FLOOR, np.ascontiguousarray(a[..., 0]), np.ascontiguousarray(a[..., 1]), cv2.INTER_LINEAR) for a in at])
    pictures[rays[..., 2] >= -0.15] = 128.0
    return pictures.astype(np.uint8), np.minimum(depth, 7.0)[:, 7::8, 4::8].astype(np.float32)


@pytest.mark.parametrize("step", [Pose2(0.09, 0.0, 0.0), Pose2(0.05, 0.0, 0.15), Pose2(0.0, 0.0, -0.2), Pose2()])
def test_the_step_is_found(step: Pose2) -> None:
    points = PointOdometry(RAYS, CENTRES)
    assert points.push(*seen(Pose2(0.3, -0.2, 0.4)), BOTH) is None
    told = points.push(*seen(Pose2(0.3, -0.2, 0.4) @ step), BOTH)
    assert told is not None and told.floor > 30
    np.testing.assert_allclose(told.values, (step.x, step.y, step.yaw), atol=0.004)
    assert np.linalg.eigvalsh(told.covariance)[0] > 0 and 1e-4 < math.sqrt(told.covariance[0, 0]) < 0.02
    columns = told.columns()
    assert columns.shape == (POINT_COLUMNS,) and columns[0] == 1.0 and np.isfinite(columns).all()


def test_cameras_that_cannot_be_believed_tell_nothing() -> None:
    points, none = PointOdometry(RAYS, CENTRES), np.zeros(2, dtype=np.bool_)
    points.push(*seen(Pose2()), BOTH)
    assert points.push(*seen(Pose2(0.05)), none) is None
    assert points.push(*seen(Pose2(0.1)), BOTH) is None  # nothing to compare with
    assert points.push(*seen(Pose2(0.15)), np.array([True, False])) is not None
    points.forget()
    assert points.push(*seen(Pose2(0.2)), BOTH) is None
    dark = np.zeros((2, 112, 160), np.uint8)
    assert points.push(dark, seen(Pose2())[1], BOTH) is None


def test_how_a_camera_hangs_is_learned_on_the_way() -> None:
    tilt = np.radians(1.0)
    bent = RAYS.copy()
    bent[0] = RAYS[0] @ cv2.Rodrigues(np.array([0.0, tilt, 0.0]))[0].T  # the front camera looks a degree lower than the rig says
    points, pose = PointOdometry(RAYS, CENTRES), Pose2()
    for _ in range(40):
        points.push(seen(pose, bent)[0], seen(pose)[1], BOTH)
        pose = pose @ Pose2.exp(0.09, 0.0, 0.02)
    assert 0.3 * tilt < points.tilts[0, 1] < 2.0 * tilt


def test_pictures_that_did_not_come_are_black() -> None:
    rgb = np.full((160, 224, 3), 90, np.uint8)
    rig = CameraRig(tuple(RigCamera(c.name, CameraModel.from_fov(224, 160, math.pi / 2), c.base_from_cam) for c in RIG.cameras))
    grey = grey_pictures({"front": rgb, "left": None}, rig)
    assert grey.shape == (2, 112, 160) and (grey[0] == 90).all() and not grey[1].any()
