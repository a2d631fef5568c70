"""Fisheye pictures made of pinhole views: every point is seen where the camera model says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from astra.core.errors import AstraError
from astra.core.types import UInt8Array
from astra.geometry import CameraModel, Pose3
from astra.sim import engine
from astra.sim.fisheye import Fisheye, equidistant, views
from astra.sim.render import Renderer

GL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras look along -z with +y up


def in_front(yaw_deg: float, pitch_deg: float, distance_m: float) -> np.ndarray:
    """A point (3,) in optical axes, so many degrees to the right and then up."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    return distance_m * np.array([math.cos(pitch) * math.sin(yaw), -math.sin(pitch), math.cos(pitch) * math.cos(yaw)])


POINTS = np.array([in_front(*p) for p in ((0, 0, 2), (30, 10, 2), (-45, 20, 2), (60, -30, 3), (-80, 0, 2), (82, 25, 2), (5, 55, 2), (-29, -50, 2))])


def scene(fisheye: Fisheye) -> str:
    """The lens at (0, 0, 0) with its optical axes along the world's, a camera for each face, a red ball at each point."""
    cameras = ""
    for number, face in enumerate(fisheye.faces):
        axes = face.cam_from_face.rotation @ GL_FROM_OPTICAL
        x, y = (" ".join(f"{v:.9g}" for v in axes[:, i]) for i in (0, 1))
        cameras += f'<camera name="{number}" xyaxes="{x} {y}" fovy="{math.degrees(face.vertical_fov_rad):.9g}"/>'
    balls = "".join(f'<geom type="sphere" size="0.06" pos="{x} {y} {z}" rgba="1 0 0 1"/>' for x, y, z in POINTS)
    return f"""<mujoco><visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/><map znear="0.001" zfar="10"/></visual>
    <statistic extent="10" center="0 0 0"/><worldbody>{cameras}{balls}</worldbody></mujoco>"""


@pytest.mark.parametrize("size", [(224, 160, 180.0), (224, 160, 120.0), (240, 240, 180.0)])
def test_points_are_seen_where_the_model_projects_them(size: tuple[int, int, float]) -> None:
    fisheye = Fisheye(equidistant(size[0], size[1], math.radians(size[2])))
    mujoco = engine.mujoco()
    model = mujoco.MjModel.from_xml_string(scene(fisheye))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = Renderer(model)
    try:
        shots = [renderer.camera(data, i, (f.model.width, f.model.height), (), depth=True) for i, f in enumerate(fisheye.faces)]
    finally:
        renderer.close()
    rgb = fisheye.compose([shot[0] for shot in shots])
    depth = fisheye.compose_depth([shot[1] for shot in shots if shot[1] is not None])
    pixels, inside = fisheye.model.project(POINTS)
    whole = inside & (np.abs(pixels - [fisheye.model.cx, fisheye.model.cy]) < np.array(size[:2]) / 2 - 6).all(axis=1)
    assert whole.sum() >= 4
    rows, columns = np.mgrid[: size[1], : size[0]]
    for (u, v), point in zip(pixels[whole], POINTS[whole]):
        near = (np.hypot(columns - u, rows - v) < 8) & (rgb[..., 0] > 128)
        assert np.hypot(columns[near].mean() - u, rows[near].mean() - v) < 1.0
        # The ball's face is nearer than its middle, by up to its radius.
        assert point[2] - 0.07 < depth[round(v), round(u)] < point[2] + 0.03


def paint(model: CameraModel, cam_from_face: Pose3) -> UInt8Array:
    """A pinhole picture in which the colour tells the direction in the lens's frame, smoothly."""
    u, v = np.meshgrid(np.arange(model.width), np.arange(model.height))
    rays = np.stack([(u - model.cx) / model.fx, (v - model.cy) / model.fy, np.ones(u.shape)], axis=-1)
    directions = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)) @ cam_from_face.rotation.T
    return np.asarray(np.round(127.5 + 127.5 * directions), np.uint8)


@pytest.mark.parametrize("degrees", [90.0, 120.0, 150.0, 180.0])
def test_every_pixel_looks_where_the_model_says_and_no_seam_shows(degrees: float) -> None:
    fisheye = Fisheye(equidistant(224, 160, math.radians(degrees)))
    picture = fisheye.compose([paint(face.model, face.cam_from_face) for face in fisheye.faces])
    x, y = np.meshgrid((np.arange(224) - 111.5) / fisheye.model.fx, (np.arange(160) - 79.5) / fisheye.model.fy)
    theta, azimuth = np.hypot(x, y), np.arctan2(y, x)
    wanted = np.stack([np.sin(theta) * np.cos(azimuth), np.sin(theta) * np.sin(azimuth), np.cos(theta)], axis=-1)
    seen = theta < math.pi / 2
    assert np.abs(picture[seen] - (127.5 + 127.5 * wanted[seen])).max() < 2.5
    assert not picture[~seen].any()


def test_few_pixels_are_drawn_for_one_picture() -> None:
    """A whole cube around the lens would be several times as much."""
    narrow, wide = views(equidistant(224, 160, math.radians(90.0))), views(equidistant(224, 160, math.pi))
    assert len(narrow) == 1 and len(wide) <= 3
    assert sum(face.model.width * face.model.height for face in wide) < 4 * 224 * 160


def test_a_lens_that_is_no_ideal_fisheye_is_refused() -> None:
    with pytest.raises(AstraError, match="equidistant"):
        views(CameraModel.from_fov(224, 160, 1.0))
    with pytest.raises(AstraError, match="horizontal_fov_rad"):
        equidistant(224, 160, 4.0)
