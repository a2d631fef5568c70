"""Our types as COLMAP's and back. COLMAP's pixel centres lie at +0.5; this module and `sfm` are the only ones that know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from astra.geometry import CameraModel, Pose3, Similarity


def silence_colmap() -> None:
    """Keep COLMAP's own log off the terminal, where progress is shown; whoever wants it sets GLOG_minloglevel."""
    import pycolmap

    if "GLOG_minloglevel" not in os.environ:
        pycolmap.logging.minloglevel = int(pycolmap.logging.FATAL)


def adjust_bundle(model: Any, options: Any) -> None:
    """Bundle adjustment of a whole model in place; `pycolmap.bundle_adjustment` would bring COLMAP's log back."""
    import pycolmap

    problem = pycolmap.BundleAdjustmentConfig()
    for image_id in sorted(model.reg_image_ids()):
        problem.add_image(image_id)
    problem.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, problem, model).solve()
    model.update_point_3d_errors()


def colmap_camera(model: CameraModel, camera_id: int, calibrated: bool) -> Any:
    """The COLMAP camera of a model; an uncalibrated one gets a single radial term to refine."""
    import pycolmap

    cx, cy = model.cx + 0.5, model.cy + 0.5
    if not calibrated:
        kind, params = "SIMPLE_RADIAL", [0.5 * (model.fx + model.fy), cx, cy, 0.0]
    elif model.distortion_model == "equidistant":
        kind, params = "OPENCV_FISHEYE", [model.fx, model.fy, cx, cy, *(*model.distortion, 0.0, 0.0, 0.0, 0.0)[:4]]
    elif not model.is_distorted:
        kind, params = "PINHOLE", [model.fx, model.fy, cx, cy]
    else:
        k1, k2, p1, p2, k3 = (*model.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        kind, params = "FULL_OPENCV", [model.fx, model.fy, cx, cy, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]
    camera = pycolmap.Camera(model=kind, width=model.width, height=model.height, params=params, camera_id=camera_id)
    camera.has_prior_focal_length = calibrated
    return camera


def model_from_colmap(camera: Any, given: CameraModel) -> CameraModel:
    """Intrinsics after SfM; only a SIMPLE_RADIAL camera was refined, others come back as they were given."""
    if camera.model.name != "SIMPLE_RADIAL":
        return given
    focal, cx, cy, k = (float(v) for v in camera.params)
    return CameraModel(given.width, given.height, focal, focal, cx - 0.5, cy - 0.5, "plumb_bob", (k, 0.0, 0.0, 0.0, 0.0))


def camera_sensor(camera_id: int) -> Any:
    """COLMAP's id of a camera as a sensor."""
    import pycolmap

    return pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id)


def rigid_from_pose(a_from_b: Pose3) -> Any:
    """A COLMAP rigid transform."""
    import pycolmap

    return pycolmap.Rigid3d(pycolmap.Rotation3d(a_from_b.rotation), a_from_b.translation)


def pose_from_rigid(rigid: Any) -> Pose3:
    """From a COLMAP rigid transform."""
    return Pose3(np.asarray(rigid.rotation.matrix()), np.asarray(rigid.translation).copy())


def move_model(source: Path, motion: Similarity, target: Path) -> None:
    """Write COLMAP's model in folder `source` to `target`, carried along by `motion`."""
    import pycolmap

    model = pycolmap.Reconstruction(str(source))
    model.transform(pycolmap.Sim3d(motion.scale, pycolmap.Rotation3d(motion.rotation), motion.translation))
    target.mkdir(parents=True)
    model.write_binary(str(target))
