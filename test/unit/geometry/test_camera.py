import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from astra.core.errors import BadInputError
from astra.geometry import CameraModel, CameraRig, Pose3, RigCamera

PINHOLE = CameraModel(640, 480, 500.0, 505.0, 320.5, 239.0)
LENS = CameraModel(640, 480, 500.0, 505.0, 320.5, 239.0, "plumb_bob", (-0.28, 0.07, 0.001, -0.0005, 0.01))
FISHEYE = CameraModel(640, 480, 300.0, 300.0, 320.0, 240.0, "equidistant", (-0.02, 0.01, -0.002, 0.0005))


def rays(n: int, spread: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-spread, spread, (n, 2))


@pytest.mark.parametrize(("model", "spread"), [(PINHOLE, 1.0), (LENS, 0.5), (FISHEYE, 1.2)])
def test_unproject_inverts_project(model: CameraModel, spread: float) -> None:
    r = rays(200, spread)
    pixels, _ = model.project(np.c_[r, np.ones(len(r))])
    np.testing.assert_allclose(model.unproject(pixels), r, atol=1e-8)


def test_lenses_agree_with_opencv() -> None:
    points = np.c_[rays(50, 0.5), np.ones(50)]
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), LENS.matrix, np.array(LENS.distortion))[0][:, 0]
    np.testing.assert_allclose(LENS.project(points)[0], expected, atol=1e-9)
    expected = cv2.fisheye.projectPoints(points[None], np.zeros(3), np.zeros(3), FISHEYE.matrix, np.array(FISHEYE.distortion))[0][0]
    np.testing.assert_allclose(FISHEYE.project(points)[0], expected, atol=1e-6)


def test_what_lies_behind_or_beside_is_not_visible() -> None:
    _, visible = PINHOLE.project(np.array([[0, 0, 1.0], [0, 0, -1.0], [5.0, 0, 1.0]]))
    assert visible.tolist() == [True, False, False]


def test_field_of_view_spans_the_image() -> None:
    model = CameraModel.from_fov(224, 160, math.radians(90))
    edge = np.array([[-0.5, 79.5], [223.5, 79.5]])
    np.testing.assert_allclose(model.unproject(edge)[:, 0], [-1.0, 1.0])


def test_scaling_keeps_rays() -> None:
    half = LENS.scaled(0.5)
    points = np.c_[rays(20, 0.4), np.ones(20)]
    np.testing.assert_allclose((half.project(points)[0] + 0.5) * 2 - 0.5, LENS.project(points)[0], atol=1e-9)


def test_camera_yaml_round_trip(tmp_path: Path) -> None:
    LENS.save(tmp_path / "camera.yaml")
    assert CameraModel.load(tmp_path / "camera.yaml") == LENS


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"camera_matrix": None}, "camera_matrix"),
        ({"camera_matrix": {"data": [1, 2]}}, "9"),
        ({"camera_matrix": {"data": [0] * 9}}, "focal"),
        ({"image_width": 0}, "0×480"),
        ({"distortion_model": "rational_polynomial", "distortion_coefficients": {"data": [1.0]}}, "rational_polynomial"),
    ],
)
def test_unusable_calibrations_are_refused_by_name(tmp_path: Path, change: dict[str, object], named: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump({**PINHOLE.to_camera_info(), **change}))
    with pytest.raises(BadInputError, match=named):
        CameraModel.load(path)


def test_a_rig_names_its_cameras_when_one_is_unknown() -> None:
    rig = CameraRig((RigCamera("front", PINHOLE, Pose3()),))
    assert rig["front"].model is PINHOLE
    with pytest.raises(BadInputError, match="front"):
        rig["back"]
