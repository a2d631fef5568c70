"""The exported eyes see what torch sees, forget cameras that fail, and never import torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from astra.core.errors import BadInputError
from astra.geometry import BODY_FROM_OPTICAL, CameraModel, CameraRig, Pose2, Pose3, RigCamera
from astra.local_model.config import Encoder3dConfig, ForecasterConfig
from astra.local_model.depth import DepthBins
from astra.local_model.encoder4d import Forecaster
from astra.local_model.health import CameraState
from astra.local_model.lifting import STRIDE, plan_splat
from astra.local_model.runtime import Eyes, EyesConfig, Thresholds, combined, fit_camera, fit_image
from astra.training.export import PARITY, export, fingerprint
from astra.training.pretrain_3d import EyesModel

SMALL = Encoder3dConfig(width=32, depth=1, heads=2, lifted=8, channels=4, neck=24, near_channels=8, bins=DepthBins(count=12))
RUN = EyesConfig(width=64, height=48)


def rig() -> CameraRig:
    cameras = []
    for k in range(4):
        at = Pose3.from_rpy(0, 0, k * math.pi / 2, np.array([0.0, 0.0, 0.9])) @ BODY_FROM_OPTICAL
        cameras.append(RigCamera(f"c{k}", CameraModel.from_fov(128, 100, math.pi / 2), at))
    return CameraRig(tuple(cameras))


def pictures(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"c{k}": rng.integers(0, 255, (100, 128, 3), dtype=np.uint8) for k in range(4)}


@pytest.fixture(scope="module")
def model() -> EyesModel:
    torch.manual_seed(0)
    eyes = EyesModel(SMALL)
    with torch.no_grad():
        for norm in (m for m in eyes.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return eyes.eval()


@pytest.fixture(scope="module")
def folder(model: EyesModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("eyes")
    recipe = {"stage": "pretrain_3d", "config": {"encoder": asdict(SMALL)}}
    save_file(model.state_dict(), root / "run.safetensors", {"recipe": json.dumps(recipe), "step": "1"})
    config = ForecasterConfig(channels=4, width=8, deep=16, blocks=1, heads=2)
    forecaster = Forecaster(SMALL.grid.levels, config)
    torch.nn.init.normal_(forecaster.map.leave.weight, std=0.05)
    recipe = {"stage": "pretrain_4d", "config": {"forecaster": asdict(config)}, "eyes": fingerprint(model)}
    save_file(forecaster.state_dict(), root / "forecaster.safetensors", {"recipe": json.dumps(recipe), "step": "1"})
    differences = export(root / "run.safetensors", root / "eyes", root / "forecaster.safetensors", (64, 48))
    assert differences.keys() == {"look", "settle", "forecast"} and max(differences.values()) <= PARITY
    return root / "eyes"


def test_the_robot_sees_what_torch_sees(model: EyesModel, folder: Path) -> None:
    images = pictures()
    view = Eyes(folder, rig(), RUN).see(images, 0, Pose2())
    fitted = CameraRig(tuple(RigCamera(c.name, fit_camera(c.model, RUN), c.base_from_cam) for c in rig().cameras))
    coarse, near = (plan_splat(fitted, STRIDE, SMALL.bins, grid) for grid in (SMALL.grid, SMALL.near))
    batch = torch.from_numpy(np.stack([fit_image(images[n], 64, 48) for n in fitted.names])).permute(0, 3, 1, 2)[None] / 255.0
    plans = [torch.from_numpy(a)[None] for a in (coarse.rays, coarse.voxel, near.voxel)]
    with torch.no_grad():
        encoding = model.encoder(batch, *plans, torch.ones(1, 4))
        occupancy = model.head(encoding)
    np.testing.assert_allclose(view.wide, occupancy.wide.sigmoid()[0].numpy(), atol=PARITY)
    np.testing.assert_allclose(view.near, occupancy.near.sigmoid()[0].numpy(), atol=PARITY)
    np.testing.assert_allclose(view.features, encoding.voxels[0].flatten(0, 1).numpy(), atol=PARITY)
    assert (view.wide_seen == occupancy.wide_seen[0].numpy()).mean() > 0.999
    assert view.forecast is not None and view.forecast.shape == (4, 48, 48)
    longer = Eyes(folder, rig(), replace(RUN, moments_s=(0.0, 0.5, 1.0, 1.5, 2.0))).see(images, 0, Pose2())
    assert longer.forecast is not None
    np.testing.assert_allclose(longer.forecast[1:], view.forecast, atol=1e-5)


def test_who_walks_counts_from_a_threshold_of_his_own() -> None:
    standing, movers = np.array([0.2, 0.2, 0.7], np.float32), np.array([0.15, 0.05, 0.0], np.float32)
    assert (combined(standing, movers, Thresholds(forecast=0.5, mover=0.1)) > 0.5).tolist() == [True, False, True]
    assert (combined(standing, movers, Thresholds(forecast=0.5, mover=0.9)) > 0.5).tolist() == [False, False, True]


def test_two_threads_see_what_one_sees(folder: Path) -> None:
    one, two = (Eyes(folder, rig(), replace(RUN, threads=count)).see(pictures(), 0, Pose2()) for count in (1, 2))
    for name in ("wide", "near", "features", "depth_m", "forecast", "movers"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), atol=1e-5)


def test_a_forecast_that_nobody_asks_for_is_not_made(folder: Path) -> None:
    view = Eyes(folder, rig(), replace(RUN, moments_s=())).see(pictures(), 0, Pose2())
    assert view.forecast is None and view.standing is None and view.movers is None


def test_what_only_a_broken_camera_sees_is_unknown(folder: Path) -> None:
    well = Eyes(folder, rig(), RUN).see(pictures(), 0, Pose2())
    broken = pictures() | {"c0": np.zeros((100, 128, 3), np.uint8), "c2": None}
    view = Eyes(folder, rig(), RUN).see(broken, 0, Pose2())
    assert view.cameras["c0"] is CameraState.BLACK and view.cameras["c2"] is CameraState.MISSING and view.cameras["c1"] is CameraState.WORKS
    ahead, left = (slice(21, 27), slice(27, 44)), (slice(27, 44), slice(21, 27))  # c0 looks ahead, c1 to the left
    assert well.wide_seen[ahead].any() and well.wide_seen[left].any() and not view.wide_seen[ahead].any()
    np.testing.assert_array_equal(view.wide_seen[left], well.wide_seen[left])
    blind = Eyes(folder, rig(), RUN).see({}, 0, Pose2())
    assert not blind.wide_seen.any() and not blind.near_seen.any()


def test_torch_is_not_needed(folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from astra.local_model.runtime import Eyes\n"
        "assert not any(m.startswith('torch.') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_images_of_any_size_are_fitted_with_their_geometry() -> None:
    camera = CameraModel.from_fov(640, 480, math.radians(80))
    fitted = fit_camera(camera, EyesConfig())
    assert (fitted.width, fitted.height) == (160, 112)
    point = np.array([[0.3, -0.2, 2.0]])
    (u, v), (u_fit, v_fit) = camera.project(point)[0][0], fitted.project(point)[0][0]
    assert abs((u + 0.5) / 4 - 0.5 - u_fit) < 1e-6 and abs((v + 0.5) / 4 - 0.5 - 4 - v_fit) < 1e-6
    image = np.zeros((480, 640, 3), np.uint8)
    image[240:244, 320:324] = 255
    assert fit_image(image, 160, 112)[60 - 4, 80, 0] == 255


def test_a_folder_without_eyes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no exported eyes"):
        Eyes(tmp_path, rig())
